"""Every act that changed anything, in a file that outlives the database: `.mobius/history.jsonl`."""

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

from mobius_tui.recovery.hashes import open_whole
from mobius_tui.system import clock

if sys.platform != "win32":
    import fcntl

HISTORY_NAME = "history.jsonl"
"""The file in the state folder."""

_READ_BYTES = 16 * 1024 * 1024
"""So much of its end is read: tens of thousands of acts, whatever its size."""


def note_act(
    state: Path,
    act: str,
    who: str,
    *,
    run_id: str = "",
    reason: str = "",
    before: str | None = None,
    after: str | None = None,
    details: Mapping[str, object] | None = None,
) -> None:
    """Append one act and make it durable.

    Args:
        state: The state folder.
        act: What was done: ``migrate``, ``backup``, ``worker start`` and so on.
        who: The actor.
        run_id: The run it belongs to.
        reason: Why, in words.
        before: SHA-256 of the catalogue before; None when it did not exist or was not touched.
        after: SHA-256 of the catalogue after; None likewise.
        details: What else belongs to it, as data.

    Raises:
        OSError: The file cannot be written.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = {
        "time": clock.iso(clock.now()),
        "act": act,
        "who": who,
        "run": run_id,
        "reason": reason,
        "before": before,
        "after": after,
        "details": dict(details or {}),
    }
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    for name in ("O_NOFOLLOW", "O_NONBLOCK"):  # a symlink or a pipe put in its place is no history
        flags |= getattr(os, name, 0)
    descriptor = os.open(state / HISTORY_NAME, flags, 0o640)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "the history is not a regular file", str(state / HISTORY_NAME))
        _wait_for_turn(descriptor)
        size = os.lseek(descriptor, 0, os.SEEK_END)
        os.lseek(descriptor, max(0, size - 1), os.SEEK_SET)
        torn = os.read(descriptor, 1) not in {b"", b"\n"}
        line = (b"\n" if torn else b"") + json.dumps(record, sort_keys=True).encode() + b"\n"
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(state / HISTORY_NAME))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if not size:
        _sync_folder(state)


def _wait_for_turn(descriptor: int) -> None:
    """Take the open file's lock: while another process is writing, the last byte may not be a line's end yet.

    Waited for a second at most: a stopped process must not hold up a rollback, and a blank line between two acts is
    harmless.
    """
    if sys.platform == "win32":
        return
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:  # a filesystem without locks
            return
        else:
            return


def _sync_folder(folder: Path) -> None:
    """Make a new file's name durable, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_history(state: Path, limit: int = 200) -> list[dict[str, object]]:
    """The latest acts, oldest first; lines torn by a crash are left out."""
    try:
        with open_whole(state / HISTORY_NAME) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _READ_BYTES))
            lines = file.read(_READ_BYTES).splitlines()
    except FileNotFoundError:
        return []
    acts: list[dict[str, object]] = []
    for line in lines[-limit:]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            acts.append(record)
    return acts
