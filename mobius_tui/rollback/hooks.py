"""Hooks: commands of the operator's at four moments of a deploy or rollback, such as maintenance mode or a restart.

A hook is a command line from the settings, run without a shell from the workspace folder. It is refused where others
could have written it, because it runs with the rights of whoever deploys.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError
from mobius_tui.settings import TOML_NAME
from mobius_tui.text import human_seconds, visible
from mobius_tui.workspace import Workspace

MOMENTS = ("before_swap", "after_swap", "on_rollback", "on_completion")
"""When a hook runs; the setting of each is ``hook_<moment>``."""

TAIL_BYTES = 8192
"""Bytes of a hook's output that are kept, the last ones."""

TAIL_LINES = 20
"""Lines of a hook's output that are kept, the last ones."""

_QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\.""", re.DOTALL)
_SHELL_WORD = re.compile(rf"""(?:{_QUOTED.pattern}|[^\s'"\\])+""", re.DOTALL)
_OPERATOR = re.compile(r"(?:\|\|?|&&?|;)$|\d?(?:>>?|<<?<?)")
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^}]*\}?|\()|`")
_ONLY_A_VARIABLE = re.compile(r'"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\})"')
_SCRIPT_NEXT = re.compile(r"-[a-z]*[ce]")

_GRACE_S = 2.0
"""Between asking a hook to end and ending it."""

_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class HookResult:
    """How a hook went.

    Attributes:
        moment: One of MOMENTS.
        ran: Whether a program was started; False when none is set or it was refused.
        ok: Whether all is well: it ended with 0, or none is set.
        exit_code: As the shell would say it: 128 + n for signal n; None when nothing ran or the time limit ran out.
        seconds: How long it took.
        output: The last lines of what it printed (both streams), fit to be shown.
        sentence: The same in words; empty when no hook is set.
        required: Whether its failure stops the deploy.
        timed_out: Whether the time limit ended it.
    """

    moment: str
    ran: bool
    ok: bool
    exit_code: int | None = None
    seconds: float = 0.0
    output: tuple[str, ...] = ()
    sentence: str = ""
    required: bool = False
    timed_out: bool = False

    @property
    def stops(self) -> bool:
        """Whether it failed and was required."""
        return self.required and not self.ok


def hook_command(ws: Workspace, moment: str) -> str:
    """The command line of a moment as it is set; empty when there is none."""
    return str(getattr(ws.settings, f"hook_{moment}")).strip()


def required_moments(ws: Workspace) -> frozenset[str]:
    """The moments whose hook has to succeed.

    Raises:
        BadInput: The setting names something else.
    """
    named = [word.strip() for word in ws.settings.hooks_required.split(",") if word.strip()]
    for word in named:
        if word not in MOMENTS:
            raise BadInput(
                f"hooks_required names {visible(repr(word))}, which is no hook",
                where=ws.sourced.sources.get("hooks_required", ""),
                fix=f"use {', '.join(MOMENTS)}",
            )
    return frozenset(named)


def prepare_hook(ws: Workspace, moment: str, environ: Mapping[str, str]) -> list[str]:
    """A hook's program, absolute, and its arguments, after every check.

    Args:
        ws: The workspace.
        moment: One of MOMENTS.
        environ: Its ``PATH`` finds programs that are named without a slash.

    Returns:
        What to run; empty when no hook is set.

    Raises:
        BadInput: The command line cannot be understood.
        EnvironmentFailed: The program is not there or cannot be run, or others can write what would be run.
    """
    line = hook_command(ws, moment)
    if not line:
        return []
    setting = f"hook_{moment}"
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadInput(f"{setting} cannot be split into words: {error}", fix="check its quotes") from error
    if not words or any("\0" in word for word in words):
        raise BadInput(f"{setting} names no program", fix="write a program and its arguments")
    meant = _meant_for_a_shell(line)
    if meant:
        raise BadInput(
            f"{setting} holds {visible(meant)}, which only a shell understands, and hooks run without one",
            where=ws.sourced.sources.get(setting, ""),
            fix=f"put the commands into a script and name that, or {setting} = \"sh -c '...'\"",
        )
    program = _found(ws.root, words[0], setting, environ)
    refuse_writable(ws, program, words[1:], setting)
    return [str(program), *words[1:]]


def _meant_for_a_shell(line: str) -> str:
    """What in a command line would be taken literally though a shell was meant; empty when nothing is.

    What is quoted or escaped is meant as it stands, but for a word that is nothing but a variable in double quotes.
    """
    words: list[str] = _SHELL_WORD.findall(line)
    for number, word in enumerate(words):
        bare = _QUOTED.sub("_", word)
        found = _OPERATOR.match(bare) or _VARIABLE.search(bare)
        if found or bare.endswith(";"):
            return str(found[0]) if found else ";"
        if _ONLY_A_VARIABLE.fullmatch(word) and (number == 0 or not _SCRIPT_NEXT.fullmatch(words[number - 1])):
            return word
    return ""


def run_hook(
    ws: Workspace,
    moment: str,
    facts: Mapping[str, str],
    *,
    tell: Callable[..., object] = lambda *_, **__: None,
    environ: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> HookResult:
    """Run the hook of a moment, if one is set; a failure of any kind is a result, never an exception.

    Args:
        ws: The workspace; its folder is the hook's working folder.
        moment: One of MOMENTS.
        facts: More variables for it, such as ``MOBIUS_RUN``, ``MOBIUS_LIVE``, ``MOBIUS_BACKUP``, ``MOBIUS_OUTCOME``.
            ``MOBIUS_MOMENT``, ``MOBIUS_ENVIRONMENT`` and ``MOBIUS_WORKSPACE`` are set by themselves, and
            ``MOBIUS_LIVE`` is the workspace's catalogue unless it is given.
        tell: Told of start and end: ``tell(level, event, message, **fields)``, as ``Progress.event``.
        environ: The environment it inherits; None means this process's.
        limit_s: Seconds it may take, less than the setting ``hook_seconds``; None means that setting.

    Returns:
        The result. What the hook left running in the background stays, unless the time limit ran out: then its whole
        process group is ended.
    """
    inherited = dict(os.environ if environ is None else environ)
    try:
        required = moment in required_moments(ws)
    except BadInput as error:
        required = True  # whoever misspelt one meant some hook to be required: better stop than go on
        if hook_command(ws, moment):
            return _refused(moment, error, required, tell)
    try:
        command = prepare_hook(ws, moment, inherited)
    except MobiusError as error:
        return _refused(moment, error, required, tell)
    if not command:
        return HookResult(moment, ran=False, ok=True, required=required)
    limit = ws.settings.hook_seconds if limit_s is None else max(0.0, min(limit_s, ws.settings.hook_seconds))
    variables = {
        **inherited,
        "MOBIUS_LIVE": _live(ws),
        **facts,
        "MOBIUS_MOMENT": moment,
        "MOBIUS_ENVIRONMENT": ws.settings.environment,
        "MOBIUS_WORKSPACE": str(ws.root),
    }
    tell("info", "hook", f"hook {moment}: {visible(hook_command(ws, moment))}", moment=moment, limit_s=limit)
    result = _run(command, ws.root, variables, moment, limit, required)
    level = "info" if result.ok else ("error" if required else "warning")
    facts_told = {"exit_code": result.exit_code, "seconds": round(result.seconds, 3), "output": list(result.output)}
    tell(level, "hook_end", result.sentence, moment=moment, ok=result.ok, **facts_told)
    return result


def _live(ws: Workspace) -> str:
    try:
        return str(ws.catalogue)
    except MobiusError:  # two catalogues, and no setting chooses
        return ""


def _refused(moment: str, error: MobiusError, required: bool, tell: Callable[..., object]) -> HookResult:
    sentence = f"hook {moment} was not run: {visible(str(error))}"
    tell("error" if required else "warning", "hook_refused", sentence, moment=moment)
    return HookResult(moment, ran=False, ok=False, sentence=sentence, required=required)


def _found(root: Path, name: str, setting: str, environ: Mapping[str, str]) -> Path:
    """The program a hook names, absolute: with a slash from the workspace, without one from the PATH."""
    if "/" in name or os.sep in name:
        path = Path(os.path.normpath(root / Path(name).expanduser()))
    else:
        found = shutil.which(name, path=environ.get("PATH", os.defpath))
        if found is None:
            beside = f"write ./{visible(name)} for the one in the workspace" if (root / name).exists() else ""
            raise EnvironmentFailed(
                f"the program of {setting} is not in the PATH",
                where=visible(name),
                fix=beside or f"install it, or give its whole path in {setting}",
            )
        path = Path(found).absolute()
    shown = visible(str(path))
    try:
        status = path.stat()
    except OSError as error:
        raise EnvironmentFailed(
            f"the program of {setting} cannot be found: {error.strerror}", where=shown, fix=f"correct {setting}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise EnvironmentFailed(
            f"the program of {setting} is not a regular file", where=shown, fix=f"correct {setting}"
        )
    if not os.access(path, os.X_OK):
        fix = f"chmod u+x {_quoted(path)}"
        raise EnvironmentFailed(f"the program of {setting} cannot be executed", where=shown, fix=fix)
    return path


def refuse_writable(ws: Workspace, program: Path, arguments: list[str], setting: str) -> None:
    """Refuse a hook that somebody else could have written, or could write before it runs.

    Looked at are the workspace folder, ``mobius.toml``, the program and its folder, arguments that name files of the
    workspace, and the folders above all of these (where a sticky bit keeps others from moving what is not theirs).

    Raises:
        EnvironmentFailed: Says which path, and what mends it.
    """
    if sys.platform == "win32":
        return
    scripts = [path for word in arguments if (path := _script_of(ws.root, word)) is not None]
    strict = [ws.root, ws.root / TOML_NAME]
    for path in (program, *scripts):
        strict += [path.parent, path, Path(os.path.realpath(path)).parent]
    above: dict[Path, None] = {}
    for path in strict:
        for name in (path, Path(os.path.realpath(path))):
            above.update(dict.fromkeys(name.parents))
    for path in dict.fromkeys(strict):
        inside = path == ws.root or ws.root in path.parents
        _refuse_path(path, setting, sticky_is_safe=False, group_counts=inside or path in {program, *scripts})
    for path in above:
        if path not in strict:
            _refuse_path(path, setting, sticky_is_safe=True, group_counts=False)


def _script_of(root: Path, word: str) -> Path | None:
    """The file of the workspace that an argument names."""
    try:
        path = Path(os.path.normpath(root / word))
        inside = root in path.parents or root in Path(os.path.realpath(path)).parents
        return path if inside and path.is_file() else None
    except (OSError, ValueError):
        return None


def _refuse_path(path: Path, setting: str, *, sticky_is_safe: bool, group_counts: bool) -> None:
    """Refuse a path that others can write; of folders of the system, root's own groups are root's matter."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise EnvironmentFailed(
            f"whether others can write {visible(str(path))} cannot be told: {error.strerror}", fix="check its rights"
        ) from error
    if status.st_uid not in {0, os.geteuid()}:
        raise EnvironmentFailed(
            f"{setting} is not run, because {visible(str(path))} belongs to another user (user id {status.st_uid})",
            fix=f"run it as that user, or chown {os.geteuid()} {_quoted(path)}",
        )
    bits = stat.S_IWOTH | (stat.S_IWGRP if group_counts or status.st_uid != 0 else 0)
    if not status.st_mode & bits or (sticky_is_safe and status.st_mode & stat.S_ISVTX):
        return
    raise EnvironmentFailed(
        f"{setting} is not run, because others can write {visible(str(path))}",
        fix=f"chmod go-w {_quoted(path)}",
    )


def _quoted(path: Path) -> str:
    return visible(shlex.quote(str(path)))


def _run(
    command: list[str], folder: Path, environ: Mapping[str, str], moment: str, limit: float, required: bool
) -> HookResult:
    began = time.monotonic()
    try:
        # on Windows a pipe cannot be waited for together with a process, so the output is not read there
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if sys.platform == "win32" else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            close_fds=True,
            start_new_session=sys.platform != "win32",
        )
    except (OSError, ValueError) as error:
        sentence = f"hook {moment} could not be started: {visible(getattr(error, 'strerror', None) or str(error))}"
        return HookResult(moment, ran=False, ok=False, sentence=sentence, required=required)
    tail = _Tail()
    ended = False
    try:
        ended = _finished(process, tail, began + limit)
    finally:
        if not ended:  # the time limit, or an interrupt of this process
            _end_group(process, tail)
        if process.stdout is not None:
            process.stdout.close()
    seconds = time.monotonic() - began
    output = tail.lines()
    if not ended:
        sentence = f"hook {moment} took longer than {limit:g} s and was ended"
        return HookResult(moment, True, False, None, seconds, output, sentence, required, timed_out=True)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    said = "ended well" if code == 0 else f"failed with exit code {code}"
    last = f": {output[-1]}" if code and output else ""
    sentence = f"hook {moment} {said} after {human_seconds(seconds)}{last}"
    return HookResult(moment, True, code == 0, code, seconds, output, sentence, required)


class _Tail:
    """The last bytes of a stream."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._cut = False

    def add(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > TAIL_BYTES:
            del self._kept[: len(self._kept) - TAIL_BYTES]
            self._cut = True

    def lines(self) -> tuple[str, ...]:
        text = bytes(self._kept).decode("utf-8", "replace")
        lines = [visible(line.rstrip("\r")) for line in text.split("\n")]
        while lines and not lines[-1]:
            lines.pop()
        if self._cut or len(lines) > TAIL_LINES:
            lines = ["...", *lines[1:][-TAIL_LINES:]]
        return tuple(lines)


def _finished(process: subprocess.Popen[bytes], tail: _Tail, deadline: float) -> bool:
    """Read what the program prints until it ends; False when the deadline came first.

    What it leaves running may keep its output open: the end of the program counts, not the end of the output.
    """
    if process.stdout is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
            return True
        return False
    is_open = True
    while process.poll() is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        if is_open:
            is_open = _read_some(process, tail, min(left, _LOOK_S))
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(left)
    # at most what a pipe holds: a background program may go on printing for ever
    for _ in range(16):
        if not is_open or not _read_some(process, tail, 0.0):
            break
    return True


def _read_some(process: subprocess.Popen[bytes], tail: _Tail, wait_s: float) -> bool:
    """Read what is there after waiting for it; False when the output has ended."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(wait_s):
            return True
    data = os.read(process.stdout.fileno(), 65536)
    tail.add(data)
    return bool(data)


def _end_group(process: subprocess.Popen[bytes], tail: _Tail) -> None:
    """End a program and what it started: asked first, then killed; collected last, so that no other gets its id."""
    if process.returncode is not None:  # an interrupt came just after its end
        return
    if sys.platform == "win32":
        process.kill()
        process.wait()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline and _read_some(process, tail, _LOOK_S):
        pass
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
