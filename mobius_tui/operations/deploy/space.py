"""How much space a deploy takes at the worst, on each filesystem that it writes to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.recovery.reserve import SLACK_BYTES
from mobius_tui.text import human_bytes

IMAGE_BYTES = 512
"""Bytes that a publication adds at most for an image: its owned fields, a new entry, its line as a duplicate."""

ROW_BYTES = 1024
"""Bytes that an image takes in the database, its journal included."""

BASE_BYTES = 16 * 1024 * 1024
"""Bytes for logs, side files, journal and history, whatever the library's size."""

LEAST_INODES = 64
"""Files that a deploy makes, with some to spare."""


@dataclass(frozen=True, slots=True)
class Need:
    """Space that is needed in one place.

    Attributes:
        what: What for, in words.
        folder: Where: a folder that exists.
        bytes: How much.
    """

    what: str
    folder: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Room:
    """One filesystem, what is free on it and what is needed.

    Attributes:
        folder: A folder on it.
        free: Bytes that this process may take.
        inodes: Files that may be made; None when the filesystem sets no number.
        needed: Bytes.
        what: What for, in words.
        read_only: Whether it is mounted read-only.
    """

    folder: Path
    free: int
    inodes: int | None
    needed: int
    what: str
    read_only: bool

    @property
    def is_enough(self) -> bool:
        """Whether the deploy fits."""
        return self.free >= self.needed and (self.inodes is None or self.inodes >= LEAST_INODES)

    @property
    def sentence(self) -> str:
        """What is free and what is needed, in words."""
        if self.free >= self.needed and not self.is_enough:
            return f"{self.inodes:,} more files can be made, {LEAST_INODES} are needed for {self.what}"
        return f"{human_bytes(self.free)} free, {human_bytes(self.needed)} needed at the worst for {self.what}"


def needs(
    live: Path,
    backups: Path,
    state: Path,
    logs: Path,
    *,
    size: int,
    images: int,
    reserved: int = 0,
    canary: bool = False,
) -> list[Need]:
    """What a deploy writes at the worst, a rollback included.

    Args:
        live: Folder of the real live file: the staged file, which becomes the displaced one, and the reserve.
        backups: Folder of the backups: one more, and the emergency copy of a rollback.
        state: State folder: the scratch proof of the backup, the database, the journal.
        logs: Folder of the logs.
        size: Bytes of the live catalogue.
        images: Entries, and files that no entry names.
        reserved: Bytes that the reserve holds already.
        canary: Whether a canary goes first, beside which everything waits.

    Returns:
        The needs; folders that do not exist yet are replaced by the nearest one above.
    """
    grown = size + images * IMAGE_BYTES
    reserve = max(0, grown + SLACK_BYTES - reserved)
    return [
        Need("the staged file and the reserve", nearest(live), grown * (2 if canary else 1) + reserve),
        Need("the backup and an emergency copy", nearest(backups), size + grown + SLACK_BYTES),
        Need("the proof of the backup and the database", nearest(state), size + images * ROW_BYTES + SLACK_BYTES),
        Need("logs", nearest(logs), BASE_BYTES),
    ]


def rooms(wanted: Sequence[Need]) -> list[Room]:
    """The filesystems concerned, each once, with the sum of what is needed there.

    Raises:
        OSError: A folder cannot be looked at.
    """
    by_device: dict[int, list[Need]] = {}
    for need in wanted:
        by_device.setdefault(need.folder.stat().st_dev, []).append(need)
    found = []
    for group in by_device.values():
        folder = group[0].folder
        free, inodes, read_only = free_space(folder)
        what = ", ".join(need.what for need in group)
        found.append(Room(folder, free, inodes, sum(need.bytes for need in group), what, read_only))
    return found


def free_space(folder: Path) -> tuple[int, int | None, bool]:
    """Bytes and files that may still be made on a folder's filesystem, and whether it is read-only.

    A quota counts where the filesystem tells it in its figures.

    Raises:
        OSError: It cannot be looked at.
    """
    if not hasattr(os, "statvfs"):
        import shutil

        return shutil.disk_usage(folder).free, None, False
    figures = os.statvfs(folder)
    inodes = figures.f_favail if figures.f_files else None
    return figures.f_bavail * figures.f_frsize, inodes, bool(figures.f_flag & os.ST_RDONLY)


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.is_dir() and folder.parent != folder:
        folder = folder.parent
    return folder
