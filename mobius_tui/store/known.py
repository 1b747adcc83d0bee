"""Asking what is known of files before they are read: as of when, and under which other name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from mobius_tui.store.images import KnownFile, find_files
from mobius_tui.store.values import number, stored

_CHUNK = 400


def find_files_since(connection: sqlite3.Connection, paths: Sequence[str], since: float) -> dict[str, KnownFile]:
    """What is known of these paths, left out what was noted before a time.

    Args:
        connection: The database.
        paths: Absolute paths.
        since: Seconds since the epoch; 0 takes everything.

    Returns:
        By path; unknown ones are left out.
    """
    found = find_files(connection, paths)
    if not since:
        return found
    old: set[str] = set()
    names = list(found)
    for start in range(0, len(names), _CHUNK):
        part = names[start : start + _CHUNK]
        marks = ", ".join("?" * len(part))
        rows = connection.execute(f"SELECT path FROM images WHERE path IN ({marks}) AND seen_at < ?", (*part, since))
        old.update(row["path"] for row in rows)
    return {path: file for path, file in found.items() if path not in old}


def find_alike(connection: sqlite3.Connection, size: int, mtime_ns: int, inode: int) -> bytes | None:
    """A content that a file of an unknown name may have: that of a file with the same inode and time, or of its size.

    Args:
        connection: The database.
        size: Bytes of the file.
        mtime_ns: Its modification time.
        inode: Its inode.

    Returns:
        SHA-256 of that content, a guess to be confirmed by reading the file; None when no known file is like it.
    """
    # +size: thousands of files may have one size, so the first search must go by inode
    moved = "SELECT sha256 FROM images WHERE inode = ? AND +size = ? AND mtime_ns = ? AND +sha256 IS NOT NULL LIMIT 1"
    copied = "SELECT sha256 FROM images WHERE size = ? AND sha256 IS NOT NULL LIMIT 1"
    row = connection.execute(moved, (stored(inode), size, stored(mtime_ns))).fetchone()
    row = row or connection.execute(copied, (size,)).fetchone()
    return row["sha256"] if row is not None and isinstance(row["sha256"], bytes) else None


def known_dhashes(connection: sqlite3.Connection, profile: str, decoder: str) -> Iterator[tuple[bytes, bytes]]:
    """Content and dHash of every known file that has one, in order of path; read in pages.

    Args:
        connection: The database.
        profile: Only of this profile.
        decoder: And of this decoder.

    Yields:
        SHA-256 and 8 bytes a file: equal contents come more than once.
    """
    last = ""
    while True:
        rows = connection.execute(
            "SELECT i.sha256, f.dhash, i.path FROM images i JOIN fingerprints f ON f.sha256 = i.sha256"
            " AND f.profile = ? AND f.decoder = ? WHERE i.path > ? AND f.dhash IS NOT NULL ORDER BY i.path LIMIT 5000",
            (profile, decoder, last),
        ).fetchall()
        for content, dhash, _ in rows:
            if isinstance(content, bytes) and len(content) == 32 and isinstance(dhash, bytes) and len(dhash) == 8:
                yield content, dhash
        if not rows:
            return
        last = rows[-1][2]


def files_mark(connection: sqlite3.Connection) -> tuple[int, float]:
    """What changes when a file is noted anew or forgotten: how many there are, and when one was noted last."""
    row = connection.execute("SELECT count(*), max(seen_at) FROM images").fetchone()
    return int(row[0]), number(row[1]) or 0.0


def forget_fingerprints(connection: sqlite3.Connection, contents: Sequence[bytes], profile: str) -> None:
    """Delete what a profile knows of contents; inside a transaction of the caller."""
    connection.executemany(
        "DELETE FROM fingerprints WHERE sha256 = ? AND profile = ?", ((content, profile) for content in contents)
    )


def started_at(connection: sqlite3.Connection, run_id: str) -> float | None:
    """When a run was started for the first time, seconds since the epoch; None when there is no such run."""
    row = connection.execute("SELECT started_at FROM jobs WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None else row["started_at"]
