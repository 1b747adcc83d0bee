"""The command ``mobius``: run a verb, say what went wrong, end with the right exit code."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from mobius_tui.errors import INTERNAL_ERROR, BadInput, EnvironmentFailed, MobiusError, OutOfResource, exit_code_of

_ADVICE = {
    errno.EACCES: ". Next: check its owner and mode, or `mobius doctor`",
    errno.EPERM: ". Next: check its owner and mode, or `mobius doctor`",
    errno.EROFS: ". Next: mount it for writing",
    errno.ENOSPC: ". Next: free space, `mobius doctor` shows how much there is",
    errno.EMFILE: ". Next: ulimit -n 4096",
}


def main() -> NoReturn:
    """Run with the process's arguments and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one verb.

    Args:
        arguments: What follows ``mobius`` on the command line.

    Returns:
        The exit code; everything has been said on stderr.
    """
    from mobius_tui.cli import interrupts, output
    from mobius_tui.cli.unattended import tell_if_unattended
    from mobius_tui.rollback.words import verb_of

    began = time.time()
    output.prepare_streams()
    interrupts.install()
    plain = verb_of(arguments)
    code, failed = _run_plainly(plain, arguments) if plain else _run_verb(arguments)
    known = None if failed is None else _as_common(failed)
    tell_if_unattended(arguments, code, known, "" if known is None else _sentence(known), began)
    return code


def _run_verb(arguments: Sequence[str]) -> tuple[int, BaseException | None]:
    """Run a verb with click; its exit code, and what ended it."""
    from mobius_tui.cli import output
    from mobius_tui.cli.app import root
    from mobius_tui.cli.call import Call
    from mobius_tui.uncaught import uncaught_into

    call = Call(_run_console)
    failed: BaseException | None = None
    try:
        with uncaught_into(lambda error, _: _report_defect(error, call)):
            answer = root.main(args=list(arguments), prog_name="mobius", standalone_mode=False, obj=call)
        code = answer if isinstance(answer, int) else 0
    except BaseException as error:
        code, failed = _report(error, call), _as_known(error)
    try:
        output.flush(sys.stdout)
        output.flush(sys.stderr)
    except OSError as error:
        output.discard(sys.stdout)
        code, failed = code or _report(error, call), failed or error
    return code, failed


def _run_plainly(verb: str, arguments: Sequence[str]) -> tuple[int, BaseException | None]:
    """Run a verb that must work when every package is broken: nothing but the standard library is imported."""
    from mobius_tui.cli import interrupts, output

    verbose = bool({"-v", "--verbose"} & set(arguments))
    failed: BaseException | None = None
    try:
        code = _run_guard(arguments) if verb == "guard-run" else _run_rollback(arguments)
        interrupts.lift_time_limit()
    except BaseException as error:
        interrupts.lift_time_limit()
        code, failed = _report_plainly(error, verbose), error
    try:
        output.flush(sys.stdout)
        output.flush(sys.stderr)
    except OSError as error:
        output.discard(sys.stdout)
        code, failed = code or _report_plainly(error, verbose), failed or error
    return code, failed


def _run_rollback(arguments: Sequence[str]) -> int:
    from mobius_tui.cli.plain import PlainTalk
    from mobius_tui.rollback.command import run as run_verb

    return run_verb(arguments, PlainTalk())


def _run_guard(arguments: Sequence[str]) -> int:
    import os

    from mobius_tui.cli import output
    from mobius_tui.guard.main import run as run_guard

    return run_guard(arguments, os.environ, output.tell)


def _report_plainly(error: BaseException, verbose: bool) -> int:
    """Say an error in one sentence, without click; the exit code it means."""
    from mobius_tui.cli import output

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1 if error.code else 0
    known = _as_common(error)
    code = exit_code_of(known)
    if code != INTERNAL_ERROR or isinstance(known, MobiusError):
        output.tell_wrapped(f"mobius: {_sentence(known)}", "bad")
    else:
        advice = "" if verbose else "; run it again with -v for the details"
        output.tell_wrapped(f"mobius: a defect of MOBIUS: {type(error).__name__}: {error}{advice}", "bad")
    if verbose:
        _tell_traceback(error)
    return code


def _run_console(*arguments: Any, **options: Any) -> int:
    """The console, whose packages are imported only now."""
    from mobius_tui.console.app import run_console

    return run_console(*arguments, **options)


def _report(error: BaseException, call: object) -> int:
    """Say an error in one sentence; the exit code it means."""
    from mobius_tui.cli import output
    from mobius_tui.cli.call import Call

    assert isinstance(call, Call)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1 if error.code else 0
    known = _as_known(error)
    code = exit_code_of(known)
    if code != INTERNAL_ERROR or isinstance(known, MobiusError):
        output.tell_wrapped(f"mobius: {_sentence(known)}", "bad")
    else:
        _report_defect(error, call)
    if call.verbose:
        _tell_traceback(error)
    return code


def _as_known(error: BaseException) -> BaseException:
    """The error as one of MOBIUS, where it is none of a programmer's making."""
    import click

    if isinstance(error, click.Abort):
        return KeyboardInterrupt("interrupted")
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "mobius"
        said = " ".join(error.format_message().split()).rstrip(".")  # click lists choices in lines of their own
        return BadInput(said, fix=f"`{path} --help`")
    if isinstance(error, click.ClickException):
        return BadInput(error.format_message().rstrip("."))
    return _as_common(error)


def _as_common(error: BaseException) -> BaseException:
    """The same, where click has no part in it."""
    from mobius_tui.cli.interrupts import AskedToEnd

    if isinstance(error, AskedToEnd):
        return error.cause
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt("interrupted")
    if isinstance(error, MemoryError):
        return MemoryError("there is not enough memory")
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "mobius_tui":
        said = str(error).strip().splitlines()[:1] or [error.name or "unknown"]
        return EnvironmentFailed(f"a package cannot be loaded: {said[0]}", fix="`mobius doctor`, or install it again")
    if type(error).__module__ == "sqlite3" and "full" in str(error):
        return OutOfResource(f"the database cannot be written: {error}", fix="free space")
    if type(error).__module__ == "sqlite3":
        return EnvironmentFailed(f"the database cannot be used: {error}", fix="`mobius doctor` says more")
    return error


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError):
        place = "" if error.filename is None else f" ({error.filename})"
        advice = _ADVICE.get(error.errno or 0, "")
        return f"{error.strerror or error}{place}{advice}"
    return str(error)


def _report_defect(error: BaseException, call: object) -> None:
    """A defect of MOBIUS: a short sentence for people, the traceback for the log."""
    import traceback

    from mobius_tui.cli import output
    from mobius_tui.cli.call import Call

    assert isinstance(call, Call)
    where = ""
    if call.log is not None:
        from mobius_tui.logs import JsonLog

        text = "".join(traceback.format_exception(error))
        log = JsonLog(call.log)
        log.write("error", "cli", "defect", f"{type(error).__name__}: {error}", fields={"traceback": text})
        where = f"; the details are in {call.log}" if not log.dropped else ""
    advice = "" if where or call.verbose else "; run it again with -v for the details"
    output.tell_wrapped(f"mobius: a defect of MOBIUS: {type(error).__name__}: {error}{where}{advice}", "bad")


def _tell_traceback(error: BaseException) -> None:
    import traceback

    from mobius_tui.cli import output

    for line in "".join(traceback.format_exception(error)).splitlines():
        output.tell(line, "dim")


if __name__ == "__main__":
    main()
