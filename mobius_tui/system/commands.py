"""Commands of the operator's: a command line from the settings, run without a shell and with a time limit.

It is refused where others could have written it, because it runs with the rights of whoever runs MOBIUS.
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
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.text import visible

TAIL_BYTES = 8192
"""Bytes of a command's output that are kept, the last ones."""

TAIL_LINES = 20
"""Lines of a command's output that are kept, the last ones."""

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
class Ended:
    """How a command went.

    Attributes:
        exit_code: As the shell would say it: 128 + n for signal n; None when it did not start or its time ran out.
        seconds: How long it took.
        output: The last lines of what it printed (both streams), fit to be shown.
        problem: Why it could not be started, in words; empty when it was.
        timed_out: Whether the time limit ended it.
    """

    exit_code: int | None = None
    seconds: float = 0.0
    output: tuple[str, ...] = ()
    problem: str = ""
    timed_out: bool = False


def prepare_command(
    root: Path, line: str, setting: str, environ: Mapping[str, str], *, config: Path, source: str = ""
) -> list[str]:
    """A command line's program, absolute, and its arguments, after every check.

    Args:
        root: The workspace folder; relative programs lie in it.
        line: The command line.
        setting: What it is called in the settings, for people.
        environ: Its ``PATH`` finds programs that are named without a slash.
        config: The file of the settings.
        source: Where the command line was set, for people.

    Returns:
        What to run.

    Raises:
        BadInput: The command line cannot be understood.
        EnvironmentFailed: The program is not there or cannot be run, or others can write what would be run.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadInput(f"{setting} cannot be split into words: {error}", fix="check its quotes") from error
    if not words or any("\0" in word for word in words):
        raise BadInput(f"{setting} names no program", fix="write a program and its arguments")
    meant = _meant_for_a_shell(line)
    if meant:
        raise BadInput(
            f"{setting} holds {visible(meant)}, which only a shell understands, and it is run without one",
            where=source,
            fix=f"put the commands into a script and name that, or {setting} = \"sh -c '...'\"",
        )
    program = _found(root, words[0], setting, environ)
    refuse_writable(root, config, program, words[1:], setting)
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


def refuse_writable(root: Path, config: Path, program: Path, arguments: list[str], setting: str) -> None:
    """Refuse a command that somebody else could have written, or could write before it runs.

    Looked at are the workspace folder, the settings, the program and its folder, arguments that name files of the
    workspace, and the folders above all of these (where a sticky bit keeps others from moving what is not theirs).

    Raises:
        EnvironmentFailed: Says which path, and what mends it.
    """
    if sys.platform == "win32":
        return
    scripts = [path for word in arguments if (path := _script_of(root, word)) is not None]
    strict = [root, config]
    for path in (program, *scripts):
        strict += [path.parent, path, Path(os.path.realpath(path)).parent]
    above: dict[Path, None] = {}
    for path in strict:
        for name in (path, Path(os.path.realpath(path))):
            above.update(dict.fromkeys(name.parents))
    for path in dict.fromkeys(strict):
        inside = path == root or root in path.parents
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


def run_command(
    command: list[str], folder: Path, environ: Mapping[str, str], limit_s: float, stdin: bytes = b""
) -> Ended:
    """Run a prepared command; a failure of any kind is a result, never an exception.

    Args:
        command: The program and its arguments.
        folder: Its working folder.
        environ: Its environment, whole.
        limit_s: Seconds it may take; then it and what it started is ended.
        stdin: What it may read; nothing waits for it to do so.

    Returns:
        How it went. What it left running in the background stays, unless the time limit ran out.
    """
    began = time.monotonic()
    try:
        with _readable(stdin) as source:
            # on Windows a pipe cannot be waited for together with a process, so the output is not read there
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environ),
                stdin=source,
                stdout=subprocess.DEVNULL if sys.platform == "win32" else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                close_fds=True,
                start_new_session=sys.platform != "win32",
            )
    except (OSError, ValueError) as error:
        return Ended(problem=visible(getattr(error, "strerror", None) or str(error)))
    tail = _Tail()
    ended = False
    try:
        ended = _finished(process, tail, began + limit_s)
    finally:
        if not ended:  # the time limit, or an interrupt of this process
            _end_group(process, tail)
        if process.stdout is not None:
            process.stdout.close()
    seconds = time.monotonic() - began
    if not ended:
        return Ended(None, seconds, tail.lines(), timed_out=True)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Ended(code, seconds, tail.lines())


@contextlib.contextmanager
def _readable(data: bytes) -> Iterator[IO[bytes] | int]:
    """Data that a program may read or leave: a file, so that nobody waits; in memory, where a disk may be full."""
    if not data:
        yield subprocess.DEVNULL
        return
    memory = getattr(os, "memfd_create", None)
    with os.fdopen(memory("notification"), "w+b") if memory else tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


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
