"""Known files and the fingerprints of their contents.

A file is known by size, mtime and inode; a fingerprint by the SHA-256 of the bytes, the profile and the decoder. So a
file that was moved or copied is not decoded again, and no two decoders are mixed.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any

from mobius_tui.store.values import stored
from mobius_tui.system import clock

FILE_COLUMNS = "path, size, mtime_ns, inode, sha256, error, cause"
"""The columns of a ``KnownFile``, in its order."""

_CHUNK = 400


@dataclass(frozen=True, slots=True)
class KnownFile:
    """What was last seen of a file.

    Attributes:
        path: Absolute.
        mtime_ns: -1 when the file was too fresh to trust its time.
        sha256: Of its content; None when it could not be read.
        error: Why it could not be read; None when it could.
        cause: Class of that error.
    """

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha256: bytes | None
    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the bytes of an image gave.

    Attributes:
        status: ``ok``, ``low_confidence`` or ``failed``.
        dhash: 0 .. 2**64-1; None when failed.
        environment: For a failure: limits and external decoders it failed under; it is tried again under others.
        bytes: Size of the file.
    """

    sha256: bytes
    profile: str
    decoder: str
    status: str
    dhash: int | None
    confidence: float | None
    reason: str | None
    error: str | None
    cause: str | None
    environment: str
    width: int
    height: int
    bytes: int
    format: str


def find_files(connection: sqlite3.Connection, paths: Sequence[str]) -> dict[str, KnownFile]:
    """What is known of these paths; unknown ones are left out."""
    found: dict[str, KnownFile] = {}
    for start in range(0, len(paths), _CHUNK):
        part = paths[start : start + _CHUNK]
        marks = ", ".join("?" * len(part))
        for row in connection.execute(f"SELECT {FILE_COLUMNS} FROM images WHERE path IN ({marks})", tuple(part)):
            found[row["path"]] = _known_file(row)
    return found


def _known_file(row: Sequence[Any]) -> KnownFile:
    """A row as a file; what is no hash in a damaged one is as if the file was never read."""
    file = KnownFile(*row)
    return file if file.sha256 is None or isinstance(file.sha256, bytes) else replace(file, sha256=None)


def keep_files(connection: sqlite3.Connection, files: Iterable[KnownFile]) -> None:
    """Write what is known of files; inside a transaction of the caller."""
    at = clock.now()
    connection.executemany(
        f"INSERT INTO images({FILE_COLUMNS}, seen_at) VALUES(?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(path) DO UPDATE SET"
        " size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode, sha256 = excluded.sha256,"
        " error = excluded.error, cause = excluded.cause, seen_at = excluded.seen_at",
        ((f.path, f.size, stored(f.mtime_ns), stored(f.inode), f.sha256, f.error, f.cause, at) for f in files),
    )


def forget_files(connection: sqlite3.Connection, paths: Iterable[str]) -> None:
    """Drop files that are gone; their fingerprints stay, for they belong to the content."""
    connection.executemany("DELETE FROM images WHERE path = ?", ((path,) for path in paths))


def find_fingerprints(
    connection: sqlite3.Connection, contents: Iterable[bytes], profile: str, decoder: str
) -> dict[bytes, Fingerprint]:
    """Fingerprints of these contents in one profile and decoder; unknown contents are left out."""
    wanted = list(dict.fromkeys(contents))
    found: dict[bytes, Fingerprint] = {}
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        marks = ", ".join("?" * len(part))
        rows = connection.execute(
            f"SELECT {_PRINT} FROM fingerprints WHERE sha256 IN ({marks}) AND profile = ? AND decoder = ?",
            (*part, profile, decoder),
        )
        for row in rows:
            known = _fingerprint(row)
            if known is not None:
                found[known.sha256] = known
    return found


_PRINT = (
    "sha256, profile, decoder, status, dhash, confidence, reason, error, cause, environment,"
    " width, height, bytes, format"
)


def fingerprints_by_path(connection: sqlite3.Connection, profile: str, decoder: str) -> Iterator[Fingerprint]:
    """The fingerprint of every known file that has a dHash, in order of path; read in pages.

    Args:
        connection: The database.
        profile: Only of this profile.
        decoder: And of this decoder.

    Yields:
        A fingerprint a file: equal contents come more than once.
    """
    columns = ", ".join(f"f.{name.strip()}" for name in _PRINT.split(","))
    last = ""
    while True:
        rows = connection.execute(
            f"SELECT {columns}, i.path FROM images i JOIN fingerprints f ON f.sha256 = i.sha256 AND f.profile = ?"
            " AND f.decoder = ? WHERE i.path > ? AND f.dhash IS NOT NULL ORDER BY i.path LIMIT 5000",
            (profile, decoder, last),
        ).fetchall()
        if not rows:
            return
        for row in rows:
            known = _fingerprint(tuple(row)[:-1])
            if known is not None:
                yield known
        last = rows[-1]["path"]


def has_fingerprints(connection: sqlite3.Connection, profile: str, decoder: str) -> bool:
    """Whether there is any fingerprint of a profile and decoder."""
    row = connection.execute(
        "SELECT 1 FROM fingerprints WHERE profile = ? AND decoder = ? LIMIT 1", (profile, decoder)
    ).fetchone()
    return row is not None


def keep_fingerprints(connection: sqlite3.Connection, prints: Iterable[Fingerprint]) -> None:
    """Write fingerprints; inside a transaction of the caller."""
    connection.executemany(
        f"INSERT OR REPLACE INTO fingerprints({_PRINT}) VALUES({', '.join('?' * 14)})",
        (
            (
                p.sha256, p.profile, p.decoder, p.status, None if p.dhash is None else p.dhash.to_bytes(8, "big"),
                p.confidence, p.reason, p.error, p.cause, p.environment, p.width, p.height, p.bytes, p.format,
            )
            for p in prints
        ),
    )  # fmt: skip


def _fingerprint(row: Iterable[Any]) -> Fingerprint | None:
    """A row as a fingerprint; None when it is damaged: the image is then decoded again."""
    values = list(row)
    dhash, confidence = values[4], values[5]
    if not all(map(isinstance, values, _KINDS)):
        return None
    if values[3] not in _STATUSES or (dhash is None) != (values[3] == "failed"):
        return None
    if dhash is not None and (len(dhash) != 8 or confidence is None or not 0 <= confidence <= 1):
        return None
    for place in (1, 2, 3, 13):  # profile, decoder, status, format: the same few texts, a million times
        values[place] = sys.intern(values[place])
    values[4] = None if dhash is None else int.from_bytes(dhash, "big")
    return Fingerprint(*values)


_STATUSES = ("ok", "low_confidence", "failed")
_OPTIONAL_TEXT = (str, NoneType)
_KINDS: tuple[type | tuple[type, ...], ...] = (
    bytes, str, str, str, (bytes, NoneType), (float, int, NoneType), _OPTIONAL_TEXT, _OPTIONAL_TEXT, _OPTIONAL_TEXT,
    str, int, int, int, str,
)  # fmt: skip


def count_images(connection: sqlite3.Connection) -> int:
    """How many files are known."""
    return int(connection.execute("SELECT count(*) FROM images").fetchone()[0])
