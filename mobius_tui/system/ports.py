"""Which process listens on a port, where the system tells (Linux); a hint for people, nothing is decided by it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_LISTENS = "0A"


def listener_of(port: int) -> str:
    """The process that listens on a TCP port of this machine.

    Args:
        port: 1..65535.

    Returns:
        Name and PID, such as ``python3, PID 4711``; empty when it cannot be told, as of another user's process.
        The name is text from outside.
    """
    wanted = {f"socket:[{inode}]" for inode in _inodes(port)}
    if not wanted:
        return ""
    with contextlib.suppress(OSError):
        for pid in sorted((name for name in os.listdir("/proc") if name.isdigit()), key=int):
            if any(name in wanted for name in _open_files(pid)):
                return f"{_name_of(pid)}, PID {pid}"
    return ""


def _inodes(port: int) -> Iterator[str]:
    """The inodes of the sockets that listen on a port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _open_files(pid: str) -> Iterator[str]:
    """What the open files of a process are; nothing of one that may not be looked at."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                yield os.readlink(f"{folder}/{name}")  # noqa: PTH115


def _name_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip() or "a process"
    except OSError:
        return "a process"
