"""Unpacking a backup: verified while written, never outside of its folder, never over what is there unasked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError, ProcessingFailed
from mobius_tui.recovery.atomic import explained
from mobius_tui.recovery.zipped import Contents, Heard, Listed, contents, member_pieces
from mobius_tui.system.exchange import rename_new
from mobius_tui.text import visible

_NAMED = 3


@dataclass(slots=True)
class Unpacked:
    """What was unpacked.

    Attributes:
        to: The folder.
        files: Names of the files written, below the folder; images only counted.
        count: How many files were written, images included.
        size: Their bytes.
        replaced: Names of files that were there before.
        skipped: What the backup itself lacks, with the reason.
    """

    to: Path
    files: list[str] = field(default_factory=list)
    count: int = 0
    size: int = 0
    replaced: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def unpack_full(
    file: BinaryIO,
    to: Path,
    *,
    overwrite: bool = False,
    refuse: Callable[[Path], None] = lambda _: None,
    heard: Heard = lambda done, total: None,
) -> Unpacked:
    """Unpack a full backup.

    Args:
        file: The zip, open to read.
        to: The folder, made when missing.
        overwrite: Replace files that are there.
        refuse: Called with the real path of each file before any is written; raises when it must not be touched.
        heard: Told after each file.

    Returns:
        What was done.

    Raises:
        BadInput: Files are in the way.
        ProcessingFailed: The backup is damaged, or names a place outside the folder.
        MobiusError: It cannot be written.
    """
    found = contents(file)
    targets = _Targets(to)
    done = Unpacked(to, skipped=list(found.skipped))
    for listed in found.files:
        place = targets.place(listed.name)
        refuse(place)
        if os.path.lexists(place):
            done.replaced.append(listed.name)
    if len({listed.name for listed in found.files}) != len(found.files):
        raise ProcessingFailed("its manifest lists a file twice")
    _refuse_taken(to, done.replaced, overwrite=overwrite)
    for number, listed in enumerate(found.files, 1):
        _unpack(found, listed, targets, done)
        heard(number, len(found.files))
    _sync_all()
    return done


def _unpack(found: Contents, listed: Listed, targets: _Targets, done: Unpacked) -> None:
    place = targets.made(listed.name)
    write_file(place, member_pieces(found, listed), overwrite=listed.name in done.replaced)
    with contextlib.suppress(OSError, OverflowError):
        os.utime(place, ns=(listed.mtime_ns, listed.mtime_ns))
    if listed.role != "image":
        done.files.append(listed.name)
    done.count += 1
    done.size += listed.size


def unpack_files(
    files: Iterable[tuple[str, Iterable[bytes]]],
    to: Path,
    *,
    overwrite: bool = False,
    refuse: Callable[[Path], None] = lambda _: None,
) -> Unpacked:
    """Write a few files into a folder under the same rules as ``unpack_full``.

    Args:
        files: Names and contents.
        to: The folder, made when missing.
        overwrite: Replace files that are there.
        refuse: Called with the real path of each file before any is written.

    Returns:
        What was done.
    """
    targets, done = _Targets(to), Unpacked(to)
    listed = list(files)
    for name, _ in listed:
        place = targets.place(name)
        refuse(place)
        if os.path.lexists(place):
            done.replaced.append(name)
    _refuse_taken(to, done.replaced, overwrite=overwrite)
    for name, pieces in listed:
        done.size += write_file(targets.made(name), pieces, overwrite=name in done.replaced)
        done.files.append(name)
        done.count += 1
    _sync_all()
    return done


def _refuse_taken(to: Path, taken: list[str], *, overwrite: bool) -> None:
    if not taken or overwrite:
        return
    more = f" and {len(taken) - _NAMED:,} more" if len(taken) > _NAMED else ""
    raise BadInput(
        f"files are there already: {', '.join(visible(name) for name in taken[:_NAMED])}{more}",
        where=visible(str(to)),
        fix="give --to another folder, or --overwrite",
    )


class _Targets:
    """Places below a folder: none outside it, whatever a name says and wherever a symlink leads."""

    def __init__(self, to: Path) -> None:
        self.to = to
        self.real = Path(os.path.realpath(to))
        self._folders: set[Path] = set()

    def place(self, name: str) -> Path:
        """The real path of a file, not made yet."""
        parts = PurePosixPath(name).parts
        bad = not parts or name.startswith("/") or "\0" in name or "\\" in name or "//" in name
        if bad or any(part in {"..", "."} for part in name.split("/")) or name.endswith("/"):
            raise ProcessingFailed(f"it names a place outside of itself: {visible(name)!r}", fix="do not trust it")
        if os.name == "nt" and ":" in name:
            raise ProcessingFailed(f"it names a drive: {visible(name)!r}", fix="do not trust it")
        folder = self.real.joinpath(*parts[:-1])
        if Path(os.path.realpath(folder)) != folder:
            raise BadInput(
                f"a symlink is in the way of {visible(name)!r}",
                where=visible(str(self.to)),
                fix="give --to a new folder",
            )
        return folder / parts[-1]

    def made(self, name: str) -> Path:
        """The real path of a file, its folder made."""
        place = self.place(name)
        if place.parent not in self._folders:
            try:
                place.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            except OSError as error:
                raise explained(error, visible(str(place.parent))) from error
            self._folders.add(place.parent)
        return place


def write_file(place: Path, pieces: Iterable[bytes], *, overwrite: bool) -> int:
    """Write a file under a hidden name and give it its own when it is whole; returns its bytes.

    Args:
        place: Its name.
        pieces: The content; an error raised by them leaves nothing.
        overwrite: Replace what has the name.

    Raises:
        EnvironmentFailed: It cannot be written, or the name was taken meanwhile.
        OutOfResource: There is no space.
    """
    shown = visible(str(place))
    hidden = place.with_name(f".{os.getpid()}.restoring")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY"):
        flags |= getattr(os, name, 0)
    size = 0
    try:
        with _whole(hidden), os.fdopen(os.open(hidden, flags, 0o640), "wb") as file:
            for piece in pieces:
                size += file.write(piece)
            file.flush()
            if overwrite:
                hidden.replace(place)
            else:
                rename_new(hidden, place)
    except FileExistsError as error:
        raise EnvironmentFailed(f"{shown} was made by somebody else meanwhile", fix="run it again") from error
    except MobiusError:
        raise
    except OSError as error:
        raise explained(error, shown) from error
    return size


@contextlib.contextmanager
def _whole(hidden: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            hidden.unlink()
        raise


def _sync_all() -> None:
    """Make everything durable at once: a sync for each of 100,000 files would take minutes."""
    if hasattr(os, "sync"):
        os.sync()
