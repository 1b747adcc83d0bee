"""The library of a run: the catalogue's entries and the files that no entry names, as absolute paths."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.catalogue.document import Document, empty_document, file_key
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.catalogue.walk import Problem, walk_library
from mobius_tui.errors import BadInput
from mobius_tui.operations.options import MigrateOptions
from mobius_tui.recovery.atomic import ABSENT
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


@dataclass(slots=True)
class Library:
    """Catalogue and files of one run.

    Attributes:
        source: The catalogue that was read, or would be.
        document: What it holds.
        sha256: Hex hash of the bytes read; ``absent`` when there is no catalogue.
        names: Path of each image as the catalogue writes it: entries first, then the appended files in byte order.
        paths: Absolute path of each.
        entries: How many of them are entries.
        unnamed: Names of the files that no entry names, appended or not.
        skipped: What the walk could not use.
    """

    source: Path
    document: Document
    sha256: str
    names: list[str]
    paths: list[str]
    entries: int
    unnamed: list[str]
    skipped: int

    def __len__(self) -> int:
        return len(self.paths)


def source_of(ws: Workspace, options: MigrateOptions) -> Path:
    """The catalogue a run reads."""
    return Path(options.input).absolute() if options.input else ws.catalogue


def load_library(ws: Workspace, options: MigrateOptions, on_problem: Callable[[Problem], None]) -> Library:
    """Read the catalogue and walk the folder.

    Args:
        ws: The workspace.
        options: Input, and whether unnamed files get an entry.
        on_problem: Told of what the walk skips.

    Returns:
        The library.

    Raises:
        BadInput: The catalogue breaks a rule, the named input or the library folder does not exist.
    """
    source = source_of(ws, options)
    _refuse_unspeakable(source, ws.library)
    folder = os.path.dirname(os.path.abspath(source))  # noqa: PTH100, PTH120 (as catalogue.document does)
    if source.exists() or options.input or source.is_symlink():
        loaded = read_catalogue(source)
        document, digest = loaded.document, loaded.sha256
    else:
        document, digest = empty_document(str(source)), ABSENT
    names = [entry.path for entry in document.entries]
    paths = [os.path.normpath(os.path.join(folder, entry.key)) for entry in document.entries]  # noqa: PTH118
    unnamed, skipped = _unnamed_files(ws, paths, folder, on_problem)
    if options.add:
        names += [name for name, _ in unnamed]
        paths += [path for _, path in unnamed]
    called = [name for name, _ in unnamed]
    return Library(source, document, digest, names, paths, len(document.entries), called, skipped)


def _refuse_unspeakable(*places: Path) -> None:
    """Refuse a folder whose own name is not UTF-8: neither a catalogue nor the database can hold paths below it."""
    for place in places:
        try:
            str(place).encode()
        except UnicodeEncodeError:
            raise BadInput(
                "the path of the library is not UTF-8", where=visible(str(place)), fix="rename the folder"
            ) from None


def _unnamed_files(
    ws: Workspace, named: Sequence[str], folder: str, on_problem: Callable[[Problem], None]
) -> tuple[list[tuple[str, str]], int]:
    """Name and absolute path of each file without an entry, and how many things were skipped."""
    if not ws.library.is_dir():
        if named:
            return [], 0
        raise BadInput(
            "there is no library folder", where=visible(str(ws.library)), fix="make it, or set `library` in mobius.toml"
        )
    skipped = 0

    def note(problem: Problem) -> None:
        nonlocal skipped
        skipped += 1
        on_problem(problem)

    real = _RealFolders()
    known = {real.of(path) for path in named}
    unnamed = []
    for found in walk_library(ws.library, note):
        path = str(found.path)
        if real.of(path) not in known:
            unnamed.append((file_key(path, folder), path))
    return unnamed, skipped


class _RealFolders:
    """One way to write the path of a file, whichever symlinked folders it was reached through."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def of(self, path: str) -> str:
        """The path with its folder's symlinks resolved; the last part, even a symlink, stays."""
        folder, name = os.path.split(path)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return f"{self._real[folder]}/{name}"


def choose(library: Library, options: MigrateOptions) -> list[int]:
    """Places of the images that a limited run works on; all of them without a limit."""
    every = range(len(library))
    if options.limit is None or options.limit >= len(library):
        return list(every)
    if not options.sample:
        return list(every[: options.limit])
    ranked = sorted(every, key=lambda place: hashlib.sha256(library.names[place].encode()).digest())
    return sorted(ranked[: options.limit])
