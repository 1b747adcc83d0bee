"""Renames that the standard library lacks: exchange two files, and rename without replacing.

Linux has both in one system call, ``renameat2(2)``. Where the system or the filesystem lacks it, hard links and plain
renames do the same in more steps; the docstrings say what that costs.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def exchange(staged: Path, live: Path) -> bool:
    """Swap two files of one folder, so that readers of ``live`` see the old or the new file and never none.

    Args:
        staged: The new file; afterwards this name holds what was live.
        live: The name readers use; afterwards it holds what was staged.

    Returns:
        True when the system did it in one step. False after the fallback (link, rename, rename): ``live`` was always
        whole, but a file that another program renamed over it in between is lost, and a crash may leave ``staged``
        missing and a hidden ``.<name>.<pid>.old`` in its place.

    Raises:
        OSError: Neither way works here; both names are as they were.
    """
    if _renameat2(staged, live, _RENAME_EXCHANGE):
        return True
    spare = live.with_name(f".{live.name}.{os.getpid()}.old")
    with contextlib.suppress(FileNotFoundError):
        spare.unlink()
    os.link(live, spare, follow_symlinks=False)
    try:
        staged.replace(live)
        spare.replace(staged)
    except BaseException:
        # between the two renames the spare is the only name of what was live
        if not os.path.lexists(staged) and not spare.samefile(live):
            os.link(live, staged, follow_symlinks=False)
            spare.replace(live)
        with contextlib.suppress(FileNotFoundError):
            spare.unlink()
        raise
    return False


def rename_new(source: Path, target: Path) -> None:
    """Rename a file to a name that must be free.

    Args:
        source: The file.
        target: Its new name on the same filesystem.

    Raises:
        FileExistsError: The name is taken; nothing changed.
        OSError: The rename failed; nothing changed.
    """
    if sys.platform == "win32":
        source.rename(target)
        return
    if _renameat2(source, target, _RENAME_NOREPLACE):
        return
    os.link(source, target, follow_symlinks=False)
    source.unlink()


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Call renameat2; False when the C library, the kernel or the filesystem does not know the flags."""
    if not sys.platform.startswith("linux"):
        return False
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))
