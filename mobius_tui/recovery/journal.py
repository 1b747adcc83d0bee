"""The journal of an operation that changes what is live: what was intended, what is done, in a file that outlives all.

JSON lines, each durable before the step it announces and chained to the one before by a hash. Space is taken at the
start, so that a full disk cannot stop an operation from noting how it ends. Recovery reads the journal for what was
meant and the files' hashes for what was done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.recovery.hashes import open_whole, read_whole
from mobius_tui.system import clock
from mobius_tui.text import visible

JOURNALS = "deploy"
"""Folder of the journals in the state folder."""

ENDING = ".journal"
"""How a journal's name ends, after the run id."""

RESERVED_BYTES = 128 * 1024
"""Space that a journal takes at its start; several times what a deploy with many rounds writes."""

_LARGEST = 64 * 1024 * 1024
_SUM = 32
_TAIL = 16 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """What a journal holds.

    Attributes:
        records: The records of the unbroken chain, oldest first.
        problem: Empty; ``empty`` when it holds no record; ``torn`` when a crash cut the last one off; ``corrupt`` when
            what follows the chain looks like records but does not belong to it.
        length: Bytes of the unbroken chain.
        last_sum: The hash that the next record is chained to.
    """

    records: list[dict[str, Any]]
    problem: str
    length: int
    last_sum: str = ""

    @property
    def sound(self) -> bool:
        """Whether nothing but a cut-off last record is missing."""
        return self.problem in {"", "torn"}

    @property
    def ended(self) -> bool:
        """Whether the operation has come to its end, whichever."""
        return bool(self.records) and self.records[-1].get("what") == "end"


@dataclass(slots=True)
class Journal:
    """An open journal.

    Attributes:
        path: The file.
        run_id: The run it belongs to.
        records: What it holds so far.
    """

    path: Path
    run_id: str
    records: list[dict[str, Any]] = field(default_factory=list)
    _descriptor: int = -1
    _at: int = 0
    _sum: str = ""

    @classmethod
    def create(cls, folder: Path, run_id: str, **head: object) -> Journal:
        """Begin a journal with a record ``begin``.

        Args:
            folder: The folder of the journals, made when missing (0700).
            run_id: The run; names the file.
            **head: Facts of the first record.

        Returns:
            The open journal.

        Raises:
            FileExistsError: There is one of this name.
            OSError: It cannot be written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{run_id}{ENDING}"
        descriptor = os.open(path, _flags(os.O_RDWR | os.O_CREAT | os.O_EXCL), 0o640)
        journal = cls(path, run_id, _descriptor=descriptor)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
            journal.note("begin", run=run_id, **head)
            _sync_folder(folder)
        except BaseException:
            journal.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return journal

    @classmethod
    def resume(cls, path: Path) -> Journal:
        """Go on with a journal that a crash left open; what follows its unbroken chain is overwritten.

        Args:
            path: The file.

        Returns:
            The open journal.

        Raises:
            OSError: It cannot be read or written.
            EnvironmentFailed: It is no journal.
        """
        reading = read_journal(path)
        descriptor = os.open(path, _flags(os.O_RDWR))
        try:
            _blank(descriptor, reading.length)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, run_of(path), reading.records, descriptor, reading.length, reading.last_sum)

    def note(self, what: str, **facts: object) -> None:
        """Append a record; it is on the disk when this returns.

        Args:
            what: ``begin``, ``step``, ``note`` or ``end``.
            **facts: What else belongs to it, as data.

        Raises:
            OSError: It could not be written; the file holds the records before it.
        """
        record = {"n": len(self.records), "time": clock.iso(clock.now()), "what": what, **facts}
        body = json.dumps(record, sort_keys=True, ensure_ascii=True, default=str)
        total = _chained(self._sum, body)
        line = f"{total} {body}\n".encode()
        at = self._at
        view = memoryview(line)
        try:
            while view:
                written = _write_at(self._descriptor, view, at)
                view, at = view[written:], at + written
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):  # what is left of it behind a shorter record would look corrupt
                _blank(self._descriptor, self._at)
            raise
        self._at, self._sum = at, total
        self.records.append(json.loads(body))

    def close(self) -> None:
        """Close the file, and give back the space it kept if it has ended; harmless when it is closed."""
        if self._descriptor >= 0:
            if self.records and self.records[-1]["what"] == "end":
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._at)
            os.close(self._descriptor)
            self._descriptor = -1


def read_journal(path: Path) -> Reading:
    """Read a journal as far as its chain is unbroken.

    Args:
        path: The file.

    Returns:
        The reading.

    Raises:
        OSError: It cannot be read.
        EnvironmentFailed: It is far too large to be a journal.
    """
    if path.stat().st_size > _LARGEST:
        raise EnvironmentFailed("the journal is too large to be one", where=visible(str(path)), fix="move it aside")
    data = read_whole(path).data
    records: list[dict[str, Any]] = []
    at, total = 0, ""
    while (end := data.find(b"\n", at)) >= 0:
        record = _record(data[at:end], total, len(records))
        if record is None:
            break
        total = data[at : at + _SUM].decode("ascii")
        records.append(record)
        at = end + 1
    return Reading(records, _problem(data[at:], records), at, total)


def open_journals(folder: Path) -> list[Path]:
    """The journals of a folder that are not at rest, oldest first.

    A journal without a single whole record counts as one: its operation was killed before it began.

    Raises:
        OSError: The folder or a journal cannot be read.
    """
    found = []
    for path in journals(folder):
        with contextlib.suppress(FileNotFoundError):
            if not _is_at_rest(path):
                found.append(path)
    return found


def _is_at_rest(path: Path) -> bool:
    """Whether the last line is an end; mostly the tail alone is read: every writing verb asks this of all journals."""
    with open_whole(path) as file:  # a pipe in a journal's place would be waited for
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    if tail.endswith(b"\0"):  # killed, or the power cut, before the space that it kept was given back
        with contextlib.suppress(EnvironmentFailed):
            return read_journal(path).ended
    if not tail.endswith(b"\n"):
        return False
    try:
        return bool(json.loads(tail[:-1].rpartition(b"\n")[2][_SUM + 1 :])["what"] == "end")
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def journals(folder: Path) -> list[Path]:
    """All journals of a folder, oldest first; none when there is no folder.

    Raises:
        OSError: The folder cannot be read.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names, key=_stamp_first) if name.endswith(ENDING)]


def run_of(path: Path) -> str:
    """The run id in a journal's name."""
    return path.name.removesuffix(ENDING)


def begin_of(reading: Reading) -> Mapping[str, Any]:
    """The first record; empty when there is none."""
    return reading.records[0] if reading.records else {}


def _stamp_first(name: str) -> tuple[str, str]:
    return name.removesuffix(ENDING).rpartition("-")[2], name


def _record(line: bytes, total: str, number: int) -> dict[str, Any] | None:
    """The record of a line when it is the next of the chain, else None."""
    try:
        given, body = line[:_SUM].decode("ascii"), line[_SUM + 1 :].decode("ascii")
        if line[_SUM : _SUM + 1] != b" " or given != _chained(total, body):
            return None
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and record.get("n") == number else None


def _problem(rest: bytes, records: list[dict[str, Any]]) -> str:
    """What is wrong behind the unbroken chain; a single broken piece is what a crash leaves."""
    rest = rest.rstrip(b"\0")
    if rest and (b"\n" in rest.rstrip(b"\n") or (rest.endswith(b"\n") and b"\0" not in rest)):
        return "corrupt"
    if rest:
        return "torn"
    return "" if records else "empty"


def _chained(before: str, body: str) -> str:
    return hashlib.sha256(f"{before}{body}".encode()).hexdigest()[:_SUM]


def _blank(descriptor: int, start: int) -> None:
    """Overwrite what follows the chain with zeros, where anything does."""
    size = os.fstat(descriptor).st_size
    os.lseek(descriptor, start, os.SEEK_SET)
    rest = os.read(descriptor, max(0, size - start))
    if rest.strip(b"\0"):
        _write_at(descriptor, memoryview(bytes(len(rest))), start)
        os.fsync(descriptor)


def _write_at(descriptor: int, data: memoryview, at: int) -> int:
    os.lseek(descriptor, at, os.SEEK_SET)  # pwrite is Unix's
    return os.write(descriptor, data)


def _flags(flags: int) -> int:
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return flags


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
