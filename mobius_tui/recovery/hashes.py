"""SHA-256 of files, and reading a file while noticing that somebody writes it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Reading:
    """The bytes of one read and what the file looked like around it.

    Attributes:
        data: The bytes.
        before: Status of the open file before the first byte.
        after: Status of what the name leads to after the last byte; None when it is gone.
    """

    data: bytes
    before: os.stat_result
    after: os.stat_result | None

    @property
    def steady(self) -> bool:
        """True when nobody wrote, replaced or removed the file during the read."""
        return (
            self.after is not None
            and len(self.data) == self.before.st_size
            and _identity(self.before) == _identity(self.after)
        )


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, read in pieces.

    Args:
        path: The file; symlinks are followed.

    Returns:
        64 lower-case hex digits.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb", opener=_open_to_read) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_whole(path: Path | str) -> BinaryIO:
    """A regular file, opened to be read.

    Raises:
        OSError: It cannot be opened; EINVAL when it is no regular file (a named pipe would wait for ever).
    """
    return open(path, "rb", opener=_open_to_read)


def read_whole(path: Path | str) -> Reading:
    """A regular file's bytes, with its status before and after.

    Args:
        path: The file; symlinks are followed.

    Returns:
        The reading; ask it whether it was ``steady``.

    Raises:
        OSError: It cannot be read; EINVAL when it is no regular file (a named pipe would wait for ever).
    """
    with open(path, "rb", opener=_open_to_read) as file:
        before = os.fstat(file.fileno())
        data = file.read()
    try:
        after = Path(path).stat()
    except FileNotFoundError:
        return Reading(data, before, None)
    return Reading(data, before, after)


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _open_to_read(path: str, flags: int) -> int:
    # without O_NONBLOCK opening a named pipe waits for a writer
    descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(22, "not a regular file", path)
