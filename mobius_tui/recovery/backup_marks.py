"""Making and removing a backup's files so that a kill at any call leaves a whole backup or none.

Making: a hidden mark, locked for as long as its maker lives, claims the name; then come the file, its side files, and
last the mark goes. Removing: the meta file becomes the mark in one rename, then the files go, and last the mark. What
is marked is not listed; the next create or clean sweeps what a dead maker or remover left.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError, OutOfResource, exit_code_of
from mobius_tui.recovery.atomic import explained, sweep_leftovers, write_atomic
from mobius_tui.recovery.backup_files import (
    FULL_PREFIX,
    HASHES,
    MAKING,
    META,
    PREFIX,
    REMOVING,
    SIDES,
    mark_of,
    marked,
)
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.system import clock
from mobius_tui.system.processes import is_alive, process_token
from mobius_tui.text import visible

if sys.platform != "win32":
    import fcntl

PREFIXES = (PREFIX, FULL_PREFIX)
"""How the names begin that belong to the folder of the backups."""

_PAUSE_S = 0.05
_claimed: set[str] = set()
_claimed_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class Claim:
    """A name that is this process's to make a backup under.

    Attributes:
        folder: Where it will lie.
        name: Its bare name.
        at: When it is said to be made, seconds since the epoch.
    """

    folder: Path
    name: str
    at: float

    @property
    def path(self) -> Path:
        """The backup's file."""
        return self.folder / self.name


@contextlib.contextmanager
def claimed(
    folder: Path, name_at: Callable[[str], str], prefixes: Sequence[str] = PREFIXES, *, waits: bool = True
) -> Iterator[Claim]:
    """Claim a name, and leave a whole backup under it or nothing.

    Args:
        folder: Where the backup will lie; made when missing.
        name_at: The name for a stamp.
        prefixes: How names begin whose leftovers are swept first.
        waits: A taken name waits for the next second; otherwise it is refused.

    Yields:
        The claim; everything of the backup is to be written before this returns.

    Raises:
        BadInput: The name is taken, and nobody waits.
        EnvironmentFailed: The folder cannot be made or written.
        OutOfResource: There is no space for the mark.
    """
    make_folder(folder)
    sweep(folder, prefixes)
    while True:
        now = clock.now()
        name = name_at(clock.stamp(now))
        descriptor = _take(folder, name)
        if descriptor is not None:
            break
        if not waits:
            raise BadInput("there is a file of that name already", where=visible(name), fix="give another name")
        time.sleep(_PAUSE_S)
    claim = Claim(folder, name, float(int(now)))
    mark = mark_of(folder, name, MAKING)
    try:
        yield claim
        _sync(folder)
        mark.unlink()
        _sync(folder)
    except BaseException:
        with contextlib.suppress(OSError):
            _discard(folder, name)
        raise
    finally:
        os.close(descriptor)
        with _claimed_guard:
            _claimed.discard(str(mark))


def _take(folder: Path, name: str) -> int | None:
    """The descriptor of the locked mark; None when the name is taken."""
    if is_taken(folder, name):
        return None
    mark = mark_of(folder, name, MAKING)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    with _claimed_guard:
        try:
            descriptor = os.open(mark, flags, 0o640)
        except FileExistsError:
            return None
        except OSError as error:
            raise explained(error, visible(str(mark))) from error
        _claimed.add(str(mark))
    ours = False
    try:
        # not ours when a sweep took it for a dead one's before it was locked
        ours = _lock(descriptor) and _is_still(descriptor, mark)
        if ours:
            os.write(descriptor, process_token().encode())
            if is_taken(folder, name):  # by one that came to its end between the first look and the mark
                mark.unlink()
                ours = False
            else:
                _sync(folder)
    except OSError as error:
        with contextlib.suppress(OSError):
            mark.unlink()
        ours = False
        raise explained(error, visible(str(mark))) from error
    finally:
        if not ours:
            os.close(descriptor)
            with _claimed_guard:
                _claimed.discard(str(mark))
    return descriptor if ours else None


def is_taken(folder: Path, name: str) -> bool:
    """Whether any file of a backup of this name is there."""
    return any(os.path.lexists(folder / f"{name}{side}") for side in ("", *SIDES))


def sweep(folder: Path, prefixes: Sequence[str] = PREFIXES) -> list[str]:
    """Settle what killed makers and removers left.

    Args:
        folder: Where backups lie.
        prefixes: How the names begin that are meant.

    Returns:
        Names of backups that were settled: left whole, or gone.
    """
    settled = []
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return []
    for entry in entries:
        if not any(entry.startswith(f".{prefix}") for prefix in prefixes):
            continue
        mark = marked(entry)
        temporary = re.fullmatch(r"\.(.+)\.\d+\.tmp", entry)
        with contextlib.suppress(OSError, MobiusError):
            if mark is not None and mark[1] == REMOVING:
                remove_files(folder, mark[0])
                settled.append(mark[0])
            elif mark is not None and _discard_abandoned(folder, mark[0]):
                settled.append(mark[0])
            elif temporary is not None:
                sweep_leftovers(folder, temporary[1])
    return settled


def remove_files(folder: Path, name: str) -> None:
    """Remove a backup with its side files; killed in between, the next sweep goes on.

    Raises:
        OSError: It may not be removed; it is as it was, but for what a crash would leave.
    """
    mark = mark_of(folder, name, REMOVING)
    _mark_removing(folder, name, mark)
    hashes = folder / f"{name}{HASHES}"
    try:
        kept = read_whole(hashes).data
    except OSError:
        kept = b""
    hashes.unlink(missing_ok=True)
    try:
        (folder / name).unlink(missing_ok=True)
    except OSError:  # such as one that was made immutable: it stays a backup
        if kept:
            with contextlib.suppress(MobiusError):
                write_atomic(hashes, [kept])
        with contextlib.suppress(OSError):
            if mark.stat().st_size:
                mark.replace(folder / f"{name}{META}")
            else:
                mark.unlink()
        raise
    for side in SIDES:
        (folder / f"{name}{side}").unlink(missing_ok=True)
    _sync(folder)
    mark.unlink(missing_ok=True)
    _sync(folder)


def _mark_removing(folder: Path, name: str, mark: Path) -> None:
    """Let the meta file become the mark, which takes no space; without one, make an empty mark if that can be done."""
    try:
        (folder / f"{name}{META}").replace(mark)
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o640))
    except OSError as error:
        if exit_code_of(error) != OutOfResource.exit_code:
            raise
        # not even a name fits on the disk: go without a mark, the meta file first, so that nothing left says verified
        (folder / f"{name}{META}").unlink(missing_ok=True)
    _sync(folder)


def _discard(folder: Path, name: str) -> None:
    """Settle a name whose maker is gone: a whole backup stays, fragments go; last the mark."""
    if not all((folder / f"{name}{side}").is_file() for side in ("", HASHES, META)):
        for side in (META, HASHES, *SIDES, ""):
            (folder / f"{name}{side}").unlink(missing_ok=True)
            sweep_leftovers(folder, f"{name}{side}")
        _sync(folder)
    mark_of(folder, name, MAKING).unlink(missing_ok=True)
    _sync(folder)


def _discard_abandoned(folder: Path, name: str) -> bool:
    """Settle a name whose maker is gone: nobody holds the mark's lock, and its token names no living process."""
    mark = mark_of(folder, name, MAKING)
    with _claimed_guard:
        if str(mark) in _claimed:
            return False
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(mark, flags)
    try:  # the lock is held to the end: one that has just made the mark must not take it meanwhile
        if not _lock(descriptor) or not _is_still(descriptor, mark):
            return False
        token = os.read(descriptor, 200).decode("ascii", "replace")
        # a filesystem without locks grants everything: then the token alone tells
        if token not in {"", process_token()} and is_alive(token):
            return False
        _discard(folder, name)
    finally:
        os.close(descriptor)
    return True


def _lock(descriptor: int) -> bool:
    """Whether the lock is ours now; a filesystem without locks never says no."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EWOULDBLOCK, errno.EACCES}
    return True


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether the path names the open file: a finished maker has removed its mark before it lets go of the lock."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)


def make_folder(folder: Path) -> None:
    """Make the folder of the backups (0750) when it is missing.

    Raises:
        EnvironmentFailed: It cannot be made.
        OutOfResource: There is no space for it.
    """
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        kind = OutOfResource if exit_code_of(error) == OutOfResource.exit_code else EnvironmentFailed
        raise kind(
            f"the folder of the backups cannot be made: {error.strerror}",
            where=visible(str(folder)),
            fix="check its owner, and the space left",
        ) from error


def _sync(folder: Path) -> None:
    """Make names durable; filesystems that cannot sync a folder are no error."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}:
            raise
    finally:
        os.close(descriptor)
