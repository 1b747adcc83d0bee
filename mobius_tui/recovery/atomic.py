"""Replace a file whole or not at all.

The temporary lies in the folder of the real target, is written, synced, read back and compared before it takes the
target's name, and the folder is synced after. What a reader sees under the name is the old file or the new one,
whatever is killed and whenever.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed, OutOfResource
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.system.exchange import exchange, rename_new
from mobius_tui.text import visible

if sys.platform != "win32":
    import fcntl

ABSENT = "absent"
"""What to expect of a target that must not exist yet."""

_SPENT = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EFBIG}
_NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
# the kernel keeps these by itself, from the content: a copied one would be wrong
_KERNELS_OWN = {"security.ima", "security.evm"}
_LONGEST_NAME = 255
_SHORT = 16
_in_use: set[str] = set()
_in_use_guard = threading.Lock()


class Changed(EnvironmentFailed):
    """The live file is no longer the one that was read; nothing was written."""


def write_atomic(target: Path, chunks: Iterable[bytes], *, mode: int = 0o640, expect: str | None = None) -> str:
    """Write a file so that its name always leads to a whole one.

    Symlinks are followed: the file they lead to is replaced, they stay. Owner, group, mode and extended attributes
    (ACLs included) of the replaced file are kept, or nothing is written. A file with several hard links is refused,
    because a rename would part it from its other names.

    Args:
        target: The name to write; it may be a symlink, also one that leads to a file yet to be made.
        chunks: The content in pieces; consumed once.
        mode: Permissions of a new file, less the umask; a replaced file keeps its own.
        expect: SHA-256 (hex) of the content that the caller read, or ``"absent"``; None replaces whatever is there.

    Returns:
        SHA-256 of the content written, 64 lower-case hex digits.

    Raises:
        Changed: The live file is not the expected one; it is as it was.
        EnvironmentFailed: The system does not allow it, or an attribute could not be kept; the target is as it was,
            unless the message says that only the last sync of the folder failed.
        OutOfResource: Disk space, quota or file handles ran out; the target is as it was.
    """
    real = Path(os.path.realpath(target))
    shown = visible(str(target))
    try:
        with folder_open(real.parent) as folder:
            old = replaceable(real, shown)
            if expect is not None:
                _check_expected(real, expect, shown)
            sweep_leftovers(real.parent, real.name)
            with _temporary(real) as temporary:
                digest = fill(temporary, chunks, real, old, mode)
                if Path(os.path.realpath(target)) != real:
                    raise Changed(f"{shown} was pointed elsewhere meanwhile, nothing was written", fix="run it again")
                _put_in_place(temporary, real, expect, digest, shown)
            sync_folder(folder, shown)
    except OSError as error:
        if error.errno is None:  # no system call's: the caller's own, such as a TimeoutError
            raise
        raise explained(error, shown) from error
    return digest


def sweep_leftovers(folder: Path, name: str) -> list[Path]:
    """Remove temporaries that writers of a file left behind when they were killed.

    A writer killed between an exchange and its check may have left what another program had just written: that goes
    back to its name, or stays beside it as ``<name>.rescued-<process id>``.

    Args:
        folder: The folder of the real target.
        name: The target's name.

    Returns:
        The files removed. Those of a living process stay, as do files that cannot be removed.
    """
    pattern = re.compile(re.escape(_stem(name)) + r"\.(\d{1,10})\.(?:tmp|old|([0-9a-f]{16})\.([0-9a-f]{16})\.swap)")
    # what an exchange of two temporaries leaves where it takes a link and two renames
    spare = re.compile(r"\." + re.escape(_stem(name)) + r"\.\d{1,10}\.(?:tmp|old)\.(\d{1,10})\.old()()")
    removed = []
    for entry in sorted(os.listdir(folder)):
        match = pattern.fullmatch(entry) or spare.fullmatch(entry)
        if match is None or not _is_abandoned(folder / entry, int(match[1])):
            continue
        with contextlib.suppress(OSError):
            if match[2] and not _settle_swap(folder / entry, folder / name, match[2], match[3]):
                continue
            (folder / entry).unlink()
            removed.append(folder / entry)
    return removed


def _settle_swap(leftover: Path, real: Path, old: str, new: str) -> bool:
    """Whether the leftover of a cut-off exchange is known content; an unknown one is somebody's write and is kept."""
    if sha256_file(leftover)[:_SHORT] in {old, new}:
        return True
    if hash_or_absent(real)[:_SHORT] == new:
        exchange(leftover, real)
        return sha256_file(leftover)[:_SHORT] == new
    rename_new(leftover, real.with_name(f"{real.name}.rescued-{os.getpid()}"))
    return False


def _stem(name: str) -> str:
    """The hidden first part of a temporary's name; a digest of the target's name when that is too long to add to."""
    if len(os.fsencode(name)) > _LONGEST_NAME - 64:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    return f".{name}"


@contextlib.contextmanager
def folder_open(folder: Path) -> Iterator[int | None]:
    """The folder's descriptor, opened before anything is written so that its sync cannot fail for want of rights."""
    if sys.platform == "win32":
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def replaceable(real: Path, shown: str) -> os.stat_result | None:
    """Status of the file about to be replaced, None when there is none.

    Raises:
        EnvironmentFailed: A rename would spoil it: no regular file, or one with several names.
    """
    try:
        status = real.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise EnvironmentFailed(f"{shown} is not a regular file, nothing was written", fix="give the name of a file")
    if status.st_nlink > 1:  # perhaps by an exchange in several steps that was killed in between
        sweep_leftovers(real.parent, real.name)
        status = real.lstat()
    if status.st_nlink > 1:
        raise EnvironmentFailed(
            f"{shown} has {status.st_nlink} hard links and a safe write would part it from the others",
            fix="make the other names symlinks to it, or make it a file of its own (cp -p it aside, mv it back)",
        )
    return status


def hash_or_absent(path: Path) -> str:
    """SHA-256 of a file, ``"absent"`` when there is none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        return sha256_file(path)
    except FileNotFoundError:
        return ABSENT


def _check_expected(real: Path, expect: str, shown: str) -> None:
    if hash_or_absent(real) != expect:
        raise _changed(shown)


def _changed(shown: str) -> Changed:
    return Changed(f"{shown} was changed by somebody else since it was read, nothing was written", fix="run it again")


@contextlib.contextmanager
def _temporary(real: Path) -> Iterator[Path]:
    """A name for the new content, removed at the end if the name is still taken."""
    temporary = real.with_name(f"{_stem(real.name)}.{os.getpid()}.tmp")
    key = str(temporary)
    with _in_use_guard:
        if key in _in_use:
            what = f"{visible(str(real))} is being written by this process already"
            raise EnvironmentFailed(what, fix="run it again")
        _in_use.add(key)
    try:
        # a name with our own process id that we do not use was left by a dead process of the same id
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        _in_use.discard(key)


def fill(temporary: Path, chunks: Iterable[bytes], real: Path, old: os.stat_result | None, mode: int) -> str:
    """Write a new file, give it the attributes of the one it is to replace, sync it and read it back.

    Args:
        temporary: The new file; its name must be free.
        chunks: The content in pieces; consumed once.
        real: The file that it is to replace.
        old: That file's status; None when there is none.
        mode: Permissions when there is none, less the umask.

    Returns:
        SHA-256 of the content, 64 hex digits.

    Raises:
        EnvironmentFailed: An attribute cannot be kept, or the disk gave back something else.
        OSError: A system call failed.
    """
    shown = visible(str(real))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, mode if old is None else 0o600)
    try:
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # says "alive" to a sweep; not every filesystem has it
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(descriptor, view) :]
        if old is not None:
            _keep_attributes(descriptor, real, old, shown)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if sha256_file(temporary) != digest.hexdigest():
        raise EnvironmentFailed(
            f"{shown} came back from the disk other than it was written, the old file stays", fix="check the disk"
        )
    return digest.hexdigest()


def _keep_attributes(descriptor: int, real: Path, old: os.stat_result, shown: str) -> None:
    """Give the temporary the owner, group, mode and extended attributes of the old file, or refuse."""
    if sys.platform == "win32":
        return
    new = os.fstat(descriptor)
    try:
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
        _copy_extended(descriptor, real)
    except OSError as error:
        if error.errno in _SPENT:
            raise
        raise EnvironmentFailed(
            f"owner, group, mode or attributes of {shown} cannot be kept ({error.strerror}), nothing was written",
            fix=f"run it as the file's owner (user id {old.st_uid}, group id {old.st_gid})",
        ) from error
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid, new.st_mode) != (old.st_uid, old.st_gid, old.st_mode):
        raise EnvironmentFailed(f"owner, group or mode of {shown} cannot be kept here, nothing was written")


def _copy_extended(descriptor: int, real: Path) -> None:
    if not sys.platform.startswith("linux"):
        return
    wanted, present = _extended(real), _extended(descriptor)
    for name in present.keys() - wanted.keys():  # such as an ACL that the folder hands down to new files
        os.removexattr(descriptor, name)
    for name, value in wanted.items():
        if present.get(name) != value:
            os.setxattr(descriptor, name, value)


def _extended(file: Path | int) -> dict[str, bytes]:
    if not sys.platform.startswith("linux"):
        return {}
    try:
        names = os.listxattr(file)
    except OSError as error:
        if error.errno in {errno.ENOTSUP, errno.EOPNOTSUPP}:
            return {}
        raise
    return {name: os.getxattr(file, name) for name in names if name not in _KERNELS_OWN}


def _put_in_place(temporary: Path, real: Path, expect: str | None, digest: str, shown: str) -> None:
    """Give the temporary the target's name; with an expectation, undo it if another file came out."""
    if expect is None:
        temporary.replace(real)
        return
    if expect == ABSENT:
        try:
            rename_new(temporary, real)
        except FileExistsError:
            raise _changed(shown) from None
        return
    # the name tells a sweep what a kill between the exchange and its check has left behind
    swapping = real.with_name(f"{_stem(real.name)}.{os.getpid()}.{expect[:_SHORT]}.{digest[:_SHORT]}.swap")
    temporary.replace(swapping)
    try:
        exchange_checked(swapping, real, expect)
    except Changed:
        swapping.unlink(missing_ok=True)
        raise
    except BaseException:
        if hash_or_absent(swapping) == digest:
            swapping.unlink()
        raise
    swapping.unlink()


def exchange_checked(staged: Path, real: Path, expect: str) -> None:
    """Exchange two files, and back again if what came out is not what was expected.

    Args:
        staged: The new file.
        real: The live one.
        expect: SHA-256 that the live file must have.

    Raises:
        Changed: It had another; what others wrote last is live.
        OSError: The exchange is not possible; both names are as they were.
    """
    shown = visible(str(real))
    inode, ours = staged.stat().st_ino, sha256_file(staged)
    _check_expected(real, expect, shown)
    try:
        exchange(staged, real)
        came_out = sha256_file(staged)
    except FileNotFoundError:
        raise _changed(shown) from None
    except BaseException:
        # an interrupt may come after the exchange: what came out is unknown, so it goes back
        if real.stat().st_ino == inode:
            exchange(staged, real)
        raise
    if came_out == expect:
        return
    exchange(staged, real)
    if sha256_file(staged) != ours:  # a third version replaced ours meanwhile: the newest must stay live
        exchange(staged, real)
    raise _changed(shown)


def sync_folder(folder: int | None, shown: str) -> None:
    """Make the names of a folder durable.

    Raises:
        EnvironmentFailed: The disk refused.
    """
    if folder is None:
        return
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise EnvironmentFailed(
                f"{shown} was replaced, but its folder could not be synced to disk ({error.strerror})",
                fix="check the disk, then compare the file's hash",
            ) from error


def _is_abandoned(path: Path, pid: int) -> bool:
    """True when the process that made the temporary is gone and nobody holds its lock."""
    if str(path) in _in_use or (pid != os.getpid() and _is_alive(pid)):
        return False
    if sys.platform == "win32":
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # a writer in another container has a process id that means nothing here
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EWOULDBLOCK, errno.EACCES}
    finally:
        os.close(descriptor)
    return True


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def explained(error: OSError, shown: str) -> EnvironmentFailed | OutOfResource:
    """A failed system call as an error for people.

    Args:
        error: What failed.
        shown: The file, safe to show.

    Returns:
        The error to raise; what ran out is told apart from what is not allowed.
    """
    reason = error.strerror or str(error)
    if error.errno in _SPENT:
        return OutOfResource(f"{shown} cannot be written: {reason}, the old state stays", fix="free some, run it again")
    return EnvironmentFailed(
        f"{shown} cannot be written: {reason}, the old state stays", fix="check its folder's rights"
    )
