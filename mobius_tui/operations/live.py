"""The library as it is now against what the store knows: new, changed, moved and vanished images.

Nothing is decoded here and the catalogue is never written; a file whose content has to be read is marked pending.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mobius_tui.catalogue.document import file_key
from mobius_tui.catalogue.formats import EXTENSIONS, extension
from mobius_tui.catalogue.walk import Problem, starts_as_image, walk_library
from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.store.database import read_meta, write_meta, writing
from mobius_tui.store.events import add_event
from mobius_tui.store.images import KnownFile, count_images, find_files, forget_files, keep_files
from mobius_tui.store.pairs import drop_pairs_of, rename_in_pairs
from mobius_tui.store.scan import (
    Seen,
    count_pending,
    former_files,
    keep_walk,
    paths_of,
    unreadable_files,
    unseen_files,
    vanished_contents,
    walk_differences,
)
from mobius_tui.store.values import stored
from mobius_tui.workspace import CATALOGUE_NAME, Workspace

TOLD_ONE_BY_ONE = 20
"""More changes of a kind than this at once become one event."""

FIRST_RUN = "first_run"
"""Key in the store's meta table, written by each whole run that is published; absent before the first."""

_COMMIT = 1000
_DEVICE = "library_device"

Kind = Literal["new", "changed", "moved", "gone"]

_SUMMARY = {
    "new": "{:,} new images",
    "changed": "{:,} images have changed",
    "moved": "{:,} images have moved",
    "gone": "{:,} images are gone",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One image that is not as it was.

    Attributes:
        kind: What happened to it.
        path: Absolute.
        former: Its absolute path before it moved; empty otherwise.
    """

    kind: Kind
    path: str
    former: str = ""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a comparison found.

    Attributes:
        images: Known images afterwards.
        unhashed: Of these, those whose content waits to be read.
        new: How many were new.
        skipped: Things below the library that the walk could not use.
        seconds: How long it took.
        note: Why the library could not be looked at; the store is then as it was. Empty when all is well.
    """

    images: int
    unhashed: int
    new: int = 0
    changed: int = 0
    moved: int = 0
    gone: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def changes(self) -> int:
        """How many images are not as they were."""
        return self.new + self.changed + self.moved + self.gone


def scan_library(
    ws: Workspace, connection: sqlite3.Connection, on_change: Callable[[Change], None], *, retry: bool = False
) -> ScanResult:
    """Walk the library and bring the store's files up to date with it.

    A library that is missing, or that lost most of its images when the filesystem below it changed, counts as not
    mounted: nothing is taken as gone.

    Args:
        ws: The workspace.
        connection: The database.
        on_change: Told of each change.
        retry: Files that could not be read wait to be read again: their folders' rights may have changed.

    Returns:
        What was found.
    """
    began = time.monotonic()
    skipped = 0

    def skip(_: Problem) -> None:
        nonlocal skipped
        skipped += 1

    try:
        device = str(ws.library.stat().st_dev)
        walk = walk_library(ws.library, skip)
        walked = keep_walk(connection, (Seen(str(f.path), f.size, f.mtime_ns, f.inode) for f in walk))
    except (BadInput, EnvironmentFailed, OSError) as error:
        return _unseen(connection, f"the library cannot be read, nothing is taken as gone: {error}", began)
    folder = library_folder(ws)
    if read_meta(connection, _DEVICE) not in {None, device} and _mostly_gone(connection, folder, walked):
        return _unseen(
            connection,
            "the library lies on another filesystem than before and most of its images are not there: taken as not"
            " mounted, nothing is taken as gone; when it is meant so, run `mobius migrate`",
            began,
        )
    record = _Record(ws, connection, on_change)
    for seen, known in walk_differences(connection):
        record.differs(seen, known)
    record.commit()
    for known in unseen_files(connection, folder):
        record.unseen(known)
    if retry:
        record.retry(unreadable_files(connection))
    record.finish()
    if read_meta(connection, _DEVICE) != device:
        write_meta(connection, _DEVICE, device)
    return record.result(skipped, began)


def refresh_files(
    ws: Workspace, connection: sqlite3.Connection, paths: Iterable[str], on_change: Callable[[Change], None]
) -> ScanResult:
    """Look at some files again, as folder events advise.

    Args:
        ws: The workspace.
        connection: The database.
        paths: Absolute paths; files that are no images of the library are passed over.
        on_change: Told of each change.

    Returns:
        What was found.
    """
    began = time.monotonic()
    folder = library_folder(ws)
    if not os.path.isdir(folder):  # noqa: PTH112
        return _unseen(connection, "the library folder is missing, nothing is taken as gone", began)
    wanted = sorted({path for path in paths if _may_be_image(path, folder)})
    known = find_files(connection, wanted)
    record = _Record(ws, connection, on_change)
    absent = []
    for path in wanted:
        seen = look_at(path)
        if seen is not None:
            record.compare(seen, known.get(path))
        elif path in known:
            absent.append(known[path])
    record.commit()  # a file that was moved is no longer known by its old name
    still = find_files(connection, [file.path for file in absent])
    for file in still.values():
        record.unseen(file)
    record.finish()
    return record.result(0, began)


def accept_library(connection: sqlite3.Connection) -> None:
    """Take the library as it is now for whole: somebody has published it."""
    connection.execute("DELETE FROM meta WHERE key = ?", (_DEVICE,))


def library_folder(ws: Workspace) -> str:
    """The library's absolute path, as the walk writes it."""
    return os.path.abspath(ws.library)  # noqa: PTH100 (symlinks in it stay as they are)


def catalogue_folder(ws: Workspace) -> str:
    """The folder that the catalogue's paths are relative to."""
    try:
        return os.path.dirname(os.path.abspath(ws.catalogue))  # noqa: PTH100, PTH120
    except BadInput:  # two catalogues: every verb says so, here the library will do
        return library_folder(ws)


def look_at(path: str) -> Seen | None:
    """A file as a walk would see it; None when there is no image."""
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        if extension(os.path.basename(path)) not in EXTENSIONS and not starts_as_image(path):  # noqa: PTH119
            return None
    except (OSError, ValueError):
        return None
    return Seen(path, found.st_size, stored(found.st_mtime_ns), stored(found.st_ino))


def _may_be_image(path: str, folder: str) -> bool:
    """Whether the walk would come to a path with this name."""
    inside = path.removeprefix(folder + os.sep)
    if inside in {path, CATALOGUE_NAME} or inside.startswith(".") or f"{os.sep}." in inside:
        return False
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_gone(path: str) -> bool:
    """Whether there is surely no such file; one that cannot be looked at is not gone."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _mostly_gone(connection: sqlite3.Connection, folder: str, walked: int) -> bool:
    known = connection.execute(
        "SELECT count(*) FROM images WHERE path > ? AND path < ?", (folder + "/", folder + "0")
    ).fetchone()[0]
    if not known:
        return False
    if not walked:
        return True
    gone = sum(1 for _ in unseen_files(connection, folder))
    return gone * 2 > int(known)


def _unseen(connection: sqlite3.Connection, note: str, began: float) -> ScanResult:
    return ScanResult(count_images(connection), count_pending(connection), seconds=time.monotonic() - began, note=note)


class _Record:
    """Collects changes and commits them with their events, some thousand rows at a time."""

    def __init__(self, ws: Workspace, connection: sqlite3.Connection, on_change: Callable[[Change], None]) -> None:
        self._connection = connection
        self._on_change = on_change
        self._folder = catalogue_folder(ws)
        self._counts: dict[Kind, int] = {"new": 0, "changed": 0, "moved": 0, "gone": 0}
        self._first: dict[Kind, list[Change]] = {"new": [], "changed": [], "moved": [], "gone": []}
        self._files: list[tuple[KnownFile, KnownFile | None]] = []  # as it is now, as it was known
        self._forgotten: list[str] = []
        self._left: list[tuple[bytes, str]] = []

    def compare(self, seen: Seen, known: KnownFile | None) -> None:
        """Note a file if it is not as it is known."""
        if known is not None and (known.size, known.inode) == (seen.size, seen.inode):
            if known.mtime_ns == seen.mtime_ns:
                self.retry([known])
            if known.mtime_ns in {seen.mtime_ns, -1}:
                return
        self.differs(seen, known)

    def differs(self, seen: Seen, known: KnownFile | None) -> None:
        """Note a file that is unknown or not as it is known."""
        if known is not None and known.error is not None and not known.inode:  # it failed before it was even looked at
            row = KnownFile(seen.path, seen.size, seen.mtime_ns, seen.inode, None, known.error, known.cause)
            self._files.append((row, known))
            return
        formers = former_files(self._connection, seen)
        former = next((f for f in formers if f.path not in self._forgotten and _is_gone(f.path)), None)
        content = formers[0].sha256 if formers else None
        if content is not None:  # read before, under another name
            row = KnownFile(seen.path, seen.size, seen.mtime_ns, seen.inode, content)
        elif known is not None and known.sha256 is not None:
            # The old content stays until the new one is read; the time says that it waits for that.
            row = KnownFile(seen.path, seen.size, -1, seen.inode, known.sha256)
        else:
            row = KnownFile(seen.path, seen.size, seen.mtime_ns, seen.inode, None)
        self._files.append((row, known))
        if known is not None and known.sha256 is not None and content is not None:
            self._left.append((known.sha256, seen.path))
        if former is not None and former.sha256 is not None:
            self._forgotten.append(former.path)
            self._left.append((former.sha256, former.path))
        if known is not None:
            self._note(Change("changed", seen.path))
        elif former is not None:
            self._note(Change("moved", seen.path, former.path))
        else:
            self._note(Change("new", seen.path))

    def unseen(self, known: KnownFile) -> None:
        """Note a known file that the walk did not come to: gone, or there and not an image of the library."""
        if not _is_gone(known.path):
            seen = look_at(known.path)
            if seen is not None:
                self.compare(seen, known)
            return
        self._forgotten.append(known.path)
        if known.sha256 is not None:
            self._left.append((known.sha256, known.path))
        self._note(Change("gone", known.path))

    def commit(self) -> None:
        """Write what was collected."""
        if not self._files and not self._forgotten:
            return
        with writing(self._connection):
            self._write()

    def finish(self) -> None:
        """Write what was collected, and the events of all."""
        if not any(self._counts.values()) and not self._files:
            return
        with writing(self._connection):
            self._write()
            for kind, count in self._counts.items():
                self._tell(kind, count)

    def result(self, skipped: int, began: float) -> ScanResult:
        """The counts so far."""
        return ScanResult(
            images=count_images(self._connection),
            unhashed=count_pending(self._connection),
            new=self._counts["new"],
            changed=self._counts["changed"],
            moved=self._counts["moved"],
            gone=self._counts["gone"],
            skipped=skipped,
            seconds=time.monotonic() - began,
        )

    def retry(self, files: Iterable[KnownFile]) -> None:
        """Let files that could not be read wait to be read again: an event may tell of a change of their rights."""
        self._files += [
            (replace(file, mtime_ns=-1), file)
            for file in files
            if file.error is not None and file.sha256 is None and look_at(file.path) is not None
        ]

    def _note(self, change: Change) -> None:
        self._counts[change.kind] += 1
        if len(self._first[change.kind]) < TOLD_ONE_BY_ONE:
            self._first[change.kind].append(change)
        self._on_change(change)
        if len(self._files) + len(self._forgotten) >= _COMMIT:
            self.commit()

    def _write(self) -> None:
        now = find_files(self._connection, [row.path for row, _ in self._files])
        # A run may have read a file since it was compared: what the run knows is better.
        keep_files(self._connection, [row for row, before in self._files if now.get(row.path) == before])
        forget_files(self._connection, self._forgotten)
        contents_left(self._connection, self._left, self._folder)
        self._files, self._forgotten, self._left = [], [], []

    def _tell(self, kind: Kind, count: int) -> None:
        names = [self._name(change.path) for change in self._first[kind]]
        if count > TOLD_ONE_BY_ONE:
            fields = {"count": count, "paths": names}
            add_event(self._connection, "info", "library", f"image_{kind}", _SUMMARY[kind].format(count), fields=fields)
            return
        for change, name in zip(self._first[kind], names, strict=True):
            if change.former:
                former = self._name(change.former)
                text, more = f"moved  {former}  to  {name}", {"path": name, "former": former}
            else:
                text, more = f"{kind}  {name}", {"path": name}
            add_event(self._connection, "info", "library", f"image_{kind}", text, fields=more)

    def _name(self, path: str) -> str:
        return file_key(path, self._folder)


def contents_left(connection: sqlite3.Connection, left: Sequence[tuple[bytes, str]], folder: str) -> list[bytes]:
    """Mend the waiting pairs of contents that left a path; inside a transaction of the caller.

    Args:
        connection: The database; its files are up to date.
        left: A content and the absolute path that held it.
        folder: The catalogue's folder.

    Returns:
        The contents that no file has any more; their pairs are dropped.
    """
    lost = vanished_contents(connection, [content for content, _ in left])
    drop_pairs_of(connection, lost)
    for content, path in left:
        if content not in lost:
            rename_in_pairs(
                connection, content, file_key(path, folder), file_key(paths_of(connection, content)[0], folder)
            )
    return lost
