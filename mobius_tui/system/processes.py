"""Processes: a name that outlives PID reuse, whether one is alive, and starting one that outlives the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_TOKEN = re.compile(r"[^:]*:([0-9]{1,10}):[^:]*")


def process_token(pid: int | None = None) -> str:
    """A name for a process that no later process has: boot id, PID and start time.

    Args:
        pid: The process; None means this one.

    Returns:
        A text without spaces; empty when there is no such process.
    """
    number = os.getpid() if pid is None else pid
    started = _start_time(number)
    return f"{_boot_id()}:{number}:{started}" if started else ""


def is_alive(token: str) -> bool:
    """Whether the process with this token still runs."""
    pid = pid_of(token)
    return pid is not None and process_token(pid) == token


def pid_of(token: str) -> int | None:
    """The PID in a token; None when it holds none."""
    match = _TOKEN.fullmatch(token)
    return int(match[1]) if match else None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "boot"


def _start_time(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return _portable_start_time(pid)
    # The name in brackets is any 15 bytes: a character may be cut in two.
    fields = stat.rpartition(b")")[2].decode("ascii").split()
    return "" if fields[0] in {"Z", "X"} else fields[19]


def _portable_start_time(pid: int) -> str:
    if sys.platform == "linux":
        return ""
    if sys.platform == "win32":
        return _windows_start_time(pid)
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip().replace(" ", "_").replace(":", ".")


def _windows_start_time(pid: int) -> str:
    import ctypes

    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
    if not handle:
        return ""
    times = (ctypes.c_ulonglong * 4)()
    known = kernel.GetProcessTimes(handle, *(ctypes.byref(times, 8 * n) for n in range(4)))
    kernel.CloseHandle(handle)
    return str(times[0]) if known and not times[1] else ""


def start_detached(arguments: Sequence[str], cwd: Path, environ: Mapping[str, str], output: Path) -> int:
    """Start a program in a session of its own, without a terminal.

    Args:
        arguments: Program and its arguments.
        cwd: Its working folder.
        environ: Its environment.
        output: File that takes its stdout and stderr, appended; made with mode 0640.

    Returns:
        Its PID.

    Raises:
        OSError: The program or the file cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(output, flags, 0o640), "ab") as sink:
        if sys.platform != "win32":
            os.set_blocking(sink.fileno(), True)  # opening a pipe nobody reads fails; a slow disk is waited for
        options: dict[str, object] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": 0x00000008 | 0x00000200}  # DETACHED_PROCESS, CREATE_NEW_PROCESS_GROUP
        child = subprocess.Popen(
            list(arguments),
            cwd=cwd,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            close_fds=True,
            **options,  # type: ignore[call-overload]
        )
    child.returncode = 0  # it is not waited for: keeps Popen from complaining when it is collected
    return int(child.pid)


def reap(pid: int) -> int | None:
    """Collect a child of this process that has ended, so that no zombie stays.

    Args:
        pid: The child.

    Returns:
        Its exit code, negative for a signal; None when it runs on or is no child of this process.
    """
    if sys.platform == "win32":
        return None
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found else None


def lower_priority(niceness: int = 10) -> None:
    """Let other programs go first; a process that is nicer already stays so.

    Args:
        niceness: 0..19, as of nice(1).
    """
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        if os.getpriority(os.PRIO_PROCESS, 0) < niceness:
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
