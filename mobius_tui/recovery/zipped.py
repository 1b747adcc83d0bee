"""The inside of a full backup: a zip of stored files with a manifest that has each one's size, SHA-256 and time.

The manifest is ``MANIFEST.jsonl``, the last file: a head, a line a file, and an end that counts them. The zip is
written as a stream, so that its hash is known when its last byte is written, and in the zip64 form, so that no size is
too large.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from mobius_tui.errors import ProcessingFailed
from mobius_tui.recovery.hashes import open_whole, read_whole
from mobius_tui.text import counted, visible

MANIFEST = "MANIFEST.jsonl"
"""The manifest's name in the zip."""

FORMAT = 1
"""Version of the manifest."""

_SMALL = 32 * 1024 * 1024
_PIECE = 1 << 20
_TRIES = 3
_NAMED = 10
_LONGEST_LINE = 1 << 20
_CHANGED = "changed while it was read"


@dataclass(frozen=True, slots=True)
class Item:
    """A file that goes into a full backup.

    Attributes:
        name: Its name in the zip, with ``/``.
        path: Where it is read.
        role: ``catalogue``, ``decisions`` or ``image``.
    """

    name: str
    path: Path
    role: str = "image"


@dataclass(slots=True)
class Packing:
    """How far the packing is, and what went wrong with single files.

    Attributes:
        files: Files packed.
        size: Their bytes.
        flawed: Files that are in it, but not as they were at one moment: written by others while they were read,
            however often that was tried, or cut off by a disk that could not be read on.
        skipped: Files that are not in it, with the reason: vanished, unreadable, or left out by whoever listed them.
        failed: How many of the skipped ones are there but could not be read.
        digests: By role, the hash of a file that is there once: ``catalogue`` and ``decisions``.
    """

    files: int = 0
    size: int = 0
    flawed: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    failed: int = 0
    digests: dict[str, str] = field(default_factory=dict)


class _Sink:
    """What zipfile writes to: it cannot seek, and what was written is taken out piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def taken(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        yield from pieces


def packed(
    items: Iterable[Item],
    head: Mapping[str, object],
    packing: Packing,
    scratch: Path,
    on_file: Callable[[Packing], None] = lambda _: None,
) -> Iterator[bytes]:
    """The bytes of a full backup.

    Args:
        items: What goes into it, in this order.
        head: Facts for the manifest's first line.
        packing: Told of everything; what it lists as skipped already is written into the manifest.
        scratch: Folder for the growing manifest, a file without a name.
        on_file: Called after each file.

    Yields:
        Pieces of the zip.

    Raises:
        OSError: The manifest cannot be written; a file that cannot be read is only noted.
    """
    sink = _Sink()
    with tempfile.TemporaryFile(dir=scratch) as manifest:
        manifest.write(_line({"what": "mobius full backup", "format": FORMAT, **head}))
        # zipfile asks for more of a file than writing needs
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]
            for item in items:
                try:
                    yield from _member(archive, sink, item, manifest, packing)
                except _Unreadable as error:
                    packing.skipped.append((item.name, error.why))
                    packing.failed += not error.vanished
                on_file(packing)
            for name, why in packing.skipped:
                manifest.write(_line({"skipped": name, "why": why}))
            manifest.write(_line({"end": packing.files, "bytes": packing.size}))
            manifest.seek(0)
            with archive.open(_info(MANIFEST, time.time()), "w", force_zip64=True) as member:
                while piece := manifest.read(_PIECE):
                    member.write(piece)
                    yield from sink.taken()
        yield from sink.taken()


class _Unreadable(Exception):
    """A file that could not be opened."""

    def __init__(self, why: str, *, vanished: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.vanished = vanished


def _member(archive: zipfile.ZipFile, sink: _Sink, item: Item, manifest: BinaryIO, packing: Packing) -> Iterator[bytes]:
    """Put one file into the zip and its line into the manifest."""
    pieces, before, flaw = _opened(item.path)
    digest, size = hashlib.sha256(), 0
    with archive.open(_info(item.name, before.st_mtime), "w", force_zip64=before.st_size >= _SMALL) as member:
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            member.write(piece)
            yield from sink.taken()
    facts: dict[str, object] = {"path": item.name, "size": size, "sha256": digest.hexdigest(), "role": item.role}
    facts["mtime_ns"] = before.st_mtime_ns
    if flaw():
        facts["flaw"] = flaw()
        packing.flawed.append((item.name, flaw()))
    if item.role != "image":
        packing.digests[item.role] = digest.hexdigest()
    manifest.write(_line(facts))
    packing.files += 1
    packing.size += size


def _opened(path: Path) -> tuple[Iterable[bytes], os.stat_result, Callable[[], str]]:
    """A file's pieces, its status, and what was wrong with the reading, to be asked after the last piece.

    A small one is read again when somebody was writing it; a large one goes into the zip as it is read.
    """
    try:
        if path.stat().st_size < _SMALL:
            for _ in range(_TRIES):
                reading = read_whole(path)
                if reading.steady:
                    break
            return [reading.data], reading.before, lambda: "" if reading.steady else _CHANGED
        file = open_whole(path)
    except FileNotFoundError as error:
        raise _Unreadable("vanished", vanished=True) from error
    except OSError as error:
        raise _Unreadable(f"cannot be read: {error.strerror or error}") from error
    before = os.fstat(file.fileno())
    problems: list[str] = []
    return _pieces_of(file, problems), before, lambda: problems[0] if problems else _changed_since(path, before)


def _pieces_of(file: BinaryIO, problems: list[str]) -> Iterator[bytes]:
    with file:
        try:
            while piece := file.read(_PIECE):
                yield piece
        except OSError as error:  # the zip holds what came before it: said, not passed off as the file
            problems.append(f"cut off: {error.strerror or error}")


def _changed_since(path: Path, before: os.stat_result) -> str:
    try:
        after = path.stat()
    except OSError:
        return _CHANGED
    same = (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    return "" if same else _CHANGED


def _info(name: str, mtime: float) -> zipfile.ZipInfo:
    at = time.gmtime(min(max(mtime, 315_532_800.0), 4_354_819_198.0))  # the years that a zip can say
    info = zipfile.ZipInfo(name, at[:6])
    info.external_attr = (0o100640 << 16) & 0xFFFFFFFF
    info.create_system = 3
    return info


def _line(facts: Mapping[str, object]) -> bytes:
    return json.dumps(facts, sort_keys=True).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Listed:
    """A file as the manifest lists it.

    Attributes:
        mtime_ns: Time of its last change, nanoseconds since the epoch.
    """

    name: str
    size: int
    sha256: str
    role: str
    mtime_ns: int


@dataclass(slots=True)
class Contents:
    """A full backup, opened.

    Attributes:
        archive: The zip.
        head: The manifest's first line.
        files: What it lists.
        skipped: What was left out when it was made, with the reason.
    """

    archive: zipfile.ZipFile
    head: Mapping[str, Any]
    files: list[Listed]
    skipped: list[tuple[str, str]]


def contents(file: BinaryIO) -> Contents:
    """Open a full backup and read its manifest.

    Raises:
        ProcessingFailed: It is no zip, or its manifest is damaged or not the whole one.
    """
    try:
        archive = zipfile.ZipFile(file)
        files, skipped = [], []
        end: Mapping[str, Any] | None = None
        with archive.open(MANIFEST) as lines:
            head = _parsed(lines.readline(_LONGEST_LINE))
            for raw in iter(lambda: lines.readline(_LONGEST_LINE), b""):
                line = _parsed(raw)
                if "path" in line:
                    files.append(
                        Listed(
                            str(line["path"]), int(line["size"]), str(line["sha256"]), str(line["role"]),
                            int(line["mtime_ns"]),
                        )
                    )  # fmt: skip
                elif "skipped" in line:
                    skipped.append((str(line["skipped"]), str(line["why"])))
                elif "end" in line:
                    end = line
    except KeyError as error:
        raise ProcessingFailed(f"it has no whole manifest ({visible(str(error))})") from error
    except _DAMAGE as error:
        raise ProcessingFailed(f"its table of contents cannot be read ({visible(str(error))})") from error
    if head.get("what") != "mobius full backup" or end is None or end.get("end") != len(files):
        raise ProcessingFailed("its manifest is not whole")
    if head.get("format") != FORMAT:
        raise ProcessingFailed(f"its format {visible(str(head.get('format')))} is not known to this MOBIUS")
    return Contents(archive, head, files, skipped)


_DAMAGE = (zipfile.BadZipFile, ValueError, TypeError, EOFError, RuntimeError, RecursionError, NotImplementedError)


def _parsed(line: bytes) -> Mapping[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("a line of the manifest is no object")
    return value


def member_pieces(found: Contents, listed: Listed) -> Iterator[bytes]:
    """A file's bytes, compared with the manifest on their way.

    Args:
        found: The opened backup.
        listed: The file.

    Yields:
        Pieces; never more bytes than the manifest says.

    Raises:
        ProcessingFailed: They are not what was packed; raised after the last good piece at the latest.
    """
    shown = visible(listed.name)
    digest, size = hashlib.sha256(), 0
    try:
        info = found.archive.getinfo(listed.name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != listed.size:
            raise ProcessingFailed(f"{shown} is not of the size that was packed")
        with found.archive.open(info) as member:
            while piece := member.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                yield piece
    except KeyError as error:
        raise ProcessingFailed(f"{shown} is not in it") from error
    except _DAMAGE as error:
        raise ProcessingFailed(f"{shown} is damaged ({visible(str(error))})") from error
    if size != listed.size or digest.hexdigest() != listed.sha256:
        raise ProcessingFailed(f"{shown} is damaged: its hash is not the one that was noted")


Heard = Callable[[int, int], None]
"""Told how many files of how many are done."""


def damage_inside(file: BinaryIO, heard: Heard = lambda done, total: None) -> str:
    """What is wrong inside a full backup, file by file; empty when nothing is.

    Args:
        file: The zip, open to read.
        heard: Told after each file.

    Raises:
        OSError: It cannot be read.
    """
    try:
        found = contents(file)
    except ProcessingFailed as error:
        return error.what
    names = sorted(found.archive.namelist())
    if names != sorted([MANIFEST, *(listed.name for listed in found.files)]):
        return "its files are not those that its manifest lists"
    bad = []
    for number, listed in enumerate(found.files, 1):
        try:
            for _ in member_pieces(found, listed):
                pass
        except ProcessingFailed as error:
            bad.append(error.what)
        heard(number, len(found.files))
    if not bad:
        return ""
    more = f" and {len(bad) - _NAMED:,} more" if len(bad) > _NAMED else ""
    return f"{len(bad):,} of {counted(len(found.files), 'file')} in it are damaged: {'; '.join(bad[:_NAMED])}{more}"


def catalogue_inside(file: BinaryIO) -> bytes:
    """The catalogue of a full backup, compared with its manifest.

    Raises:
        ProcessingFailed: It is damaged.
        OSError: It cannot be read.
    """
    found = contents(file)
    for listed in found.files:
        if listed.role == "catalogue":
            return b"".join(member_pieces(found, listed))
    raise ProcessingFailed("it holds no catalogue")
