"""Space kept beside the live file, so that a rollback can write on a full disk."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed, OutOfResource
from mobius_tui.recovery.atomic import explained
from mobius_tui.recovery.staging import real_file
from mobius_tui.text import visible

SLACK_BYTES = 1024 * 1024
"""More than the catalogue's own size: its side files, a log, the history."""


def reserve_path(live: Path) -> Path:
    """Where the reserve of a live file lies: a hidden name beside the real file."""
    real = real_file(live)
    return real.with_name(f".{real.name}.reserve")


def reserve_bytes(live: Path) -> int:
    """Bytes that the reserve holds now; 0 when there is none."""
    try:
        return reserve_path(live).lstat().st_size
    except OSError:
        return 0


def ensure_reserve(live: Path, content_bytes: int) -> None:
    """Keep space for a rollback to content of some size; a large enough reserve stays as it is.

    Args:
        live: The live name.
        content_bytes: Size of the largest content that a rollback may have to write.

    Raises:
        OutOfResource: There is no room for it.
        EnvironmentFailed: It cannot be made.
    """
    path = reserve_path(live)
    wanted = content_bytes + SLACK_BYTES
    if reserve_bytes(live) >= wanted:
        return
    try:
        _allocate(path, wanted)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        failed = explained(error, visible(str(path)))
        kind = OutOfResource if isinstance(failed, OutOfResource) else EnvironmentFailed
        reason = error.strerror or str(error)
        raise kind(
            f"the space that a rollback needs cannot be kept: {reason}", where=visible(str(path)), fix="free some"
        ) from error


def release_reserve(live: Path) -> int:
    """Give the reserved space back; returns how many bytes, 0 when there was none or it cannot be given back."""
    freed = reserve_bytes(live)
    try:
        reserve_path(live).unlink()
    except OSError:
        return 0
    return freed


def _allocate(path: Path, size: int) -> None:
    """Take real blocks: a hole in a file keeps no space."""
    flags = os.O_WRONLY | os.O_CREAT
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NONBLOCK"):  # a pipe in its place would be waited for
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
            return
        block = bytes(1 << 20)
        for start in range(0, size, len(block)):
            os.write(descriptor, block[: size - start])
    finally:
        os.close(descriptor)
