"""Where a watch keeps its files, and telling it what was done: what a rollback and the retention need to know of it.

The guard reads the wishes and is the only one who writes the journal.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mobius_tui.recovery.journal import ENDING, open_journals
from mobius_tui.system import clock
from mobius_tui.system.locks import held_here

if sys.platform != "win32":
    import fcntl

WATCHES = "watch"
"""Folder of the watches' journals and wishes in the state folder."""

GUARD_LOCK = "guard.lock"
"""File in the state folder whose flock the guard holds for life."""

WISHES_ENDING = ".wishes"
"""How the file of a watch's wishes ends, after the run id."""

_TURN_S = 1.0


def open_watches(state: Path) -> list[Path]:
    """The journals of the watches that have not come to their end, oldest first.

    Raises:
        OSError: The folder or a journal cannot be read.
    """
    return open_journals(state / WATCHES)


def wishes_path(journal: Path) -> Path:
    """The file of the wishes that belongs to a watch's journal."""
    return journal.with_name(journal.name.removesuffix(ENDING) + WISHES_ENDING)


def append_wish(path: Path, wish: Mapping[str, object]) -> int:
    """Append a wish and make it durable.

    Args:
        path: The file of the wishes; made when missing (0600).
        wish: What is wished, as data.

    Returns:
        Its number: the line it stands in, from 1.

    Raises:
        OSError: The file cannot be written.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # a symlink or a pipe in its place is none
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "the file of the wishes is not a regular file", str(path))
        _wait_for_turn(descriptor)
        before = _whole(descriptor)
        torn = before and not before.endswith(b"\n")
        line = (b"\n" if torn else b"") + json.dumps(dict(wish), sort_keys=True, default=str).encode() + b"\n"
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return before.count(b"\n") + (2 if torn else 1)


def tell_gone_back(state: Path, who: str, reason: str, **facts: object) -> list[str]:
    """Tell the open watches that the catalogue has gone back, unless it is their own guard that does it.

    Args:
        state: The state folder.
        who: Who rolled back.
        reason: Why.
        **facts: What else belongs to it, as data.

    Returns:
        What could not be told, in words; the watches end with the outcome ``rolled back``.
    """
    problems = []
    with contextlib.suppress(OSError):
        if held_here(state / GUARD_LOCK):
            return []
        for path in open_watches(state):
            wish = {"act": "gone back", "who": who, "reason": reason, "at": clock.now(), "facts": facts}
            try:
                append_wish(wishes_path(path), wish)
            except OSError as error:
                problems.append(f"the watch cannot be told: {error.strerror or error}")
    return problems


def _whole(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(descriptor, 1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


def _wait_for_turn(descriptor: int) -> None:
    """Take the file's lock; a stopped process that holds it is not waited for longer than a second."""
    if sys.platform == "win32":
        return
    until = time.monotonic() + _TURN_S
    while time.monotonic() < until:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:  # a filesystem without locks
            return
        else:
            return
