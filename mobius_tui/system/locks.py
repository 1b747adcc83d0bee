"""Advisory locks that die with their process: flock, or msvcrt where that is missing.

``lockf`` is unusable (lost when any descriptor of the file closes), PID files and leases lie after kill -9.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed, Held
from mobius_tui.system import clock
from mobius_tui.system.processes import is_alive, pid_of, process_token
from mobius_tui.text import visible

_PROBE_S = 0.25
"""Whoever asks for the holder holds the lock for an instant: such a moment is no refusal."""


_held: set[tuple[int, int]] = set()
# the files whose lock this process holds: their body cannot tell when a full disk kept it from being written


_NO_FILE = {errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENXIO}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as the holder wrote it; a hint for people, never the truth.

    Attributes:
        since: Seconds since the epoch; 0 when the holder left no name.
        token: The holder's process token; empty when it left none.
    """

    who: str
    since: float
    purpose: str
    pid: int
    token: str = ""


class FileLock:
    """An exclusive lock on a file, held until released or the process ends.

    Args:
        path: The lock file; created when missing, never deleted (deleting would race).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, who: str, purpose: str, *, wait_s: float = 0.0) -> bool:
        """Take the lock and write who holds it.

        Args:
            who: The actor.
            purpose: What for, in words.
            wait_s: Seconds to try.

        Returns:
            Whether it is held now.

        Raises:
            EnvironmentFailed: The lock file cannot be opened, or the filesystem has no locks.
        """
        try:
            descriptor = _opened(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise EnvironmentFailed(
                f"the lock cannot be opened: {error.strerror}",
                where=visible(str(self.path)),
                fix="move it aside" if error.errno in _NO_FILE else "check the folder's permissions",
            ) from error
        deadline = time.monotonic() + max(wait_s, _PROBE_S)
        try:
            while not _try_lock(descriptor):
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return False
                time.sleep(0.02)
        except OSError as error:
            os.close(descriptor)
            raise EnvironmentFailed(
                f"the lock cannot be taken: {error.strerror}",
                where=visible(str(self.path)),
                fix="`mobius doctor` says what the filesystem lacks",
            ) from error
        holder = Holder(who, clock.now(), purpose, os.getpid(), process_token())
        body = json.dumps(asdict(holder)).encode()
        with contextlib.suppress(OSError):  # the body is a hint; the lock itself is held even on a full disk
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)  # pwrite and pread are Unix's
            os.write(descriptor, body)
        _held.add(_identity(descriptor))
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is not None:
            _held.discard(_identity(self._descriptor))
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    @property
    def lost(self) -> bool:
        """Whether the lock is held on a file that its path no longer names: nobody else can see it any more."""
        return self._descriptor is not None and not _is_file(self._descriptor, self.path)


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether a path still names the open file; unknown counts as yes."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    opened = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def held_here(path: Path) -> bool:
    """Whether this very process holds the lock of a file."""
    try:
        status = path.stat()
    except OSError:
        return False
    return (status.st_dev, status.st_ino) in _held


def holder_of(path: Path) -> Holder | None:
    """Who holds the lock of a file now.

    Args:
        path: The lock file.

    Returns:
        The holder, ``Holder("?", ...)`` when held by one who left no name; None when it is free.
    """
    try:
        descriptor = _opened(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        if _try_lock(descriptor, shared=True):
            return None
        os.lseek(descriptor, 0, os.SEEK_SET)
        return _read_holder(os.read(descriptor, 65536))
    except OSError:  # a filesystem without locks: nobody can hold one there
        return None
    finally:
        os.close(descriptor)


def _read_holder(body: bytes) -> Holder:
    try:
        found = json.loads(body)
        who, since, purpose = str(found["who"]), float(found["since"]), str(found["purpose"])
        clock.iso(since)  # a time that no calendar has makes the rest no better
        return Holder(who, since, purpose, int(found["pid"]), str(found.get("token", "")))
    except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return Holder("?", 0.0, "?", 0)


@contextlib.contextmanager
def catalogue_lock(catalogue: Path, who: str, purpose: str, *, wait_s: float = 0.0) -> Iterator[FileLock]:
    """Hold the lock of a catalogue for one operation.

    Args:
        catalogue: The ``library.json``; symlinks are followed, the lock lies beside the real file.
        who: The actor.
        purpose: Shown to whoever finds it taken.
        wait_s: Seconds to try.

    Yields:
        The held lock.

    Raises:
        Held: Another process holds it: says who, since when and what for.
    """
    lock = FileLock(catalogue_lock_path(catalogue))
    if not lock.acquire(who, purpose, wait_s=wait_s):
        raise taken_error(lock.path)
    try:
        yield lock
    finally:
        lock.release()


def catalogue_lock_path(catalogue: Path) -> Path:
    """The lock file beside the real catalogue."""
    real = Path(os.path.realpath(catalogue))
    return real.with_name(f".{real.name}.lock")


def send_signal(holder: Holder, number: int, what: str) -> None:
    """Send a signal to whoever holds a lock, never to a later process with the same PID; gone is as good as told.

    Args:
        holder: Who holds it, with a token.
        number: The signal.
        what: What the holder is, in words.

    Raises:
        EnvironmentFailed: It belongs to another user.
    """
    try:
        if is_alive(holder.token) and pid_of(holder.token) == holder.pid:  # PID 0 would be this very group
            os.kill(holder.pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise EnvironmentFailed(
            f"{what} (PID {holder.pid}) belongs to another user",
            fix=f"ask {visible(holder.who)}, or use that account",
        ) from error


def taken_error(path: Path) -> Held:
    """The error that says who holds a lock, since when and what for."""
    holder = holder_of(path)
    if holder is None or not holder.since:
        return Held("another process holds the library", fix="try again, `mobius jobs` shows what runs")
    return Held(
        f"{visible(holder.who)} holds the library since {clock.iso(holder.since)}"
        f" for {visible(holder.purpose)} (PID {holder.pid})",
        fix="wait for it, or see `mobius jobs`",
    )


def _opened(path: Path, flags: int) -> int:
    """Open a lock file: never what a symlink put in its place leads to, and never a pipe, which would wait for ever."""
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o640)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
    try:
        import fcntl
    except ImportError:
        return _try_lock_windows(descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_lock_windows(descriptor: int) -> bool:
    import msvcrt

    os.lseek(descriptor, 1 << 30, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True
