"""The full backup of a workspace: catalogue, decisions and images."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.catalogue.walk import Problem, walk_library
from mobius_tui.errors import BadInput
from mobius_tui.operations.backup import decisions_of, details_of, note_backup
from mobius_tui.recovery.backup_files import Backup
from mobius_tui.recovery.backups import Encrypt
from mobius_tui.recovery.full_backup import create_full
from mobius_tui.recovery.zipped import Item, Packing
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

IMAGES = "library/"
"""Where the images lie in the zip, so that it unpacks to something like a workspace."""

DECISIONS = "review/decisions.jsonl"
"""Where people's decisions lie in the zip."""


@dataclass(frozen=True, slots=True)
class FullBackup:
    """A full backup and what went into it.

    Attributes:
        backup: The verified backup.
        packing: Counts, and the files that are flawed or left out, with the reason.
    """

    backup: Backup
    packing: Packing


@dataclass(slots=True)
class _Chosen:
    """What goes into a full backup: the files, their bytes, what is skipped and how much was not asked for."""

    items: list[Item]
    size: int
    skipped: list[tuple[str, str]]
    excluded: int


def full_backup(
    ws: Workspace,
    reason: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    out: Path | None = None,
    encrypt: Encrypt | None = None,
    on_file: Callable[[int, int], None] = lambda done, total: None,
) -> FullBackup:
    """Back up catalogue, decisions and images into one zip, and note it in the history.

    Args:
        ws: The workspace.
        reason: Why.
        include: Patterns (``*`` also crosses folders) of images below the library; without any, all of them.
        exclude: Patterns of images to leave out.
        out: Where to write it instead: a file, or a folder to name it in by the time.
        encrypt: Encrypts it; None writes it plain.
        on_file: Told after each file how many of how many are done.

    Returns:
        The backup and what was skipped.

    Raises:
        BadInput: There is no valid catalogue, or the name is taken.
        EnvironmentFailed: It could not be made or read back.
        OutOfResource: There is no space for it.
    """
    entries = read_catalogue(ws.catalogue).document.entries
    chosen = _choose(ws, [entry.path for entry in entries], include, exclude)
    packing = Packing(skipped=list(chosen.skipped))
    folder, name = _place(ws, out)
    catalogue = chosen.items[0].name
    head = {
        "created": clock.iso(clock.now()),
        "catalogue": catalogue,
        "include": list(include),
        "exclude": list(exclude),
        "excluded": chosen.excluded,
        "library": str(ws.library),
    }
    backup = create_full(
        chosen.items,
        folder,
        reason=reason,
        who=ws.actor,
        size=chosen.size,
        head=head,
        details={**details_of(ws, len(entries)), "excluded": chosen.excluded},
        out=name,
        encrypt=encrypt,
        packing=packing,
        on_file=lambda now: on_file(now.files, len(chosen.items)),
    )
    note_backup(ws, backup, reason)
    return FullBackup(backup, packing)


def _place(ws: Workspace, out: Path | None) -> tuple[Path, str | None]:
    """The folder of the new file, and its name if that was chosen."""
    if out is None:
        return ws.backups, None
    if out.is_dir():
        return out.absolute(), None
    if not out.parent.is_dir():
        raise BadInput("there is no folder for the backup", where=visible(str(out)), fix="make it first")
    if os.path.lexists(out):
        raise BadInput("the file is there already", where=visible(str(out)), fix="give --out another name")
    return out.absolute().parent, out.name


def _choose(ws: Workspace, named: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> _Chosen:
    """The files: catalogue first, decisions, then the images, with or without an entry."""
    catalogue = ws.catalogue
    inside = _below(os.path.realpath(catalogue), os.path.realpath(ws.library))
    items = [Item(f"{IMAGES}{inside}" if inside else catalogue.name, catalogue, "catalogue")]
    size = catalogue.stat().st_size
    decisions = decisions_of(ws)
    if decisions.is_file():
        items.append(Item(DECISIONS, decisions, "decisions"))
        size += decisions.stat().st_size
    chosen = _Chosen(items, size, [], 0)
    taken = {item.name for item in items}
    for name, path, bytes_of in _images(ws, named, chosen.skipped):
        if not _wanted(name, include, exclude):
            chosen.excluded += 1
        elif f"{IMAGES}{name}" not in taken:
            taken.add(f"{IMAGES}{name}")
            chosen.items.append(Item(f"{IMAGES}{name}", path))
            chosen.size += bytes_of
    return chosen


def _images(ws: Workspace, named: Sequence[str], skipped: list[tuple[str, str]]) -> Iterator[tuple[str, Path, int]]:
    """Name below the library, real path and bytes of each image."""
    real_library = os.path.realpath(ws.library)

    def problem(found: Problem) -> None:
        skipped.append((f"{IMAGES}{found.relative}".encode("utf-8", "backslashreplace").decode(), found.what))

    seen = set()
    if ws.library.is_dir():
        for found in walk_library(ws.library, problem):
            real = os.path.realpath(found.path)
            if _below(real, real_library) is None:
                skipped.append((f"{IMAGES}{found.relative}", "a symlink leads it out of the library"))
                continue
            seen.add(real)
            yield found.relative, Path(real), found.size
    base = ws.catalogue.parent
    for path in named:  # files that look like no image, yet an entry names them
        real = os.path.realpath(base / path)
        if real in seen:
            continue
        seen.add(real)
        below = _below(real, real_library)
        if below is None:
            skipped.append((path, "lies outside of the library"))
            continue
        try:
            status = os.stat(real)  # noqa: PTH116
        except OSError as error:
            skipped.append(
                (f"{IMAGES}{below}", "missing" if isinstance(error, FileNotFoundError) else "cannot be read")
            )
            continue
        yield below, Path(real), status.st_size


def _below(real: str, real_folder: str) -> str | None:
    """A path relative to a folder, with ``/``; None when it lies outside."""
    start = real_folder.rstrip(os.sep) + os.sep
    return real.removeprefix(start).replace(os.sep, "/") if real.startswith(start) else None


def _wanted(name: str, include: Sequence[str], exclude: Sequence[str]) -> bool:
    if include and not any(fnmatch.fnmatchcase(name, pattern) for pattern in include):
        return False
    return not any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude)
