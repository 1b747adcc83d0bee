"""Comparing a walk of the library with the known files, inside the database: memory does not grow with the library."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mobius_tui.store.images import FILE_COLUMNS, KnownFile
from mobius_tui.store.values import stored

PAGE = 20_000
"""Files compared in one read, so that no read transaction is long."""

PENDING = "(mtime_ns = -1 OR (sha256 IS NULL AND error IS NULL))"
"""Files whose present content was never read, or only while it may have been changing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a walk saw of a file; its path is absolute."""

    path: str
    size: int
    mtime_ns: int
    inode: int


def keep_walk(connection: sqlite3.Connection, seen: Iterable[Seen]) -> int:
    """Note a walk in a temporary table of this connection, in place of the walk before.

    Args:
        connection: The database.
        seen: The files; taken lazily.

    Returns:
        How many there were.
    """
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS walk(path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, inode INTEGER)"
        " WITHOUT ROWID"
    )
    connection.execute("BEGIN")
    try:
        connection.execute("DELETE FROM temp.walk")
        connection.executemany(
            "INSERT OR REPLACE INTO temp.walk VALUES(?, ?, ?, ?)",
            ((s.path, s.size, stored(s.mtime_ns), stored(s.inode)) for s in seen),
        )
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return int(connection.execute("SELECT count(*) FROM temp.walk").fetchone()[0])


def walk_differences(connection: sqlite3.Connection) -> Iterator[tuple[Seen, KnownFile | None]]:
    """Files of the walk that are unknown, or known with another size, mtime or inode.

    A known file whose time is not trusted differs only by size or inode: it waits to be read anyway.

    Yields:
        What was seen, and what is known; in order of path.
    """
    last: str | None = ""
    while last is not None:
        page = "SELECT * FROM temp.walk WHERE path > ? ORDER BY path LIMIT ?"
        end = connection.execute(f"SELECT max(path) FROM ({page})", (last, PAGE)).fetchone()[0]
        rows = connection.execute(
            f"SELECT w.path AS p, w.size AS s, w.mtime_ns AS m, w.inode AS n, i.* FROM ({page}) w"
            " LEFT JOIN images i ON i.path = w.path WHERE i.path IS NULL OR i.size <> w.size OR i.inode <> w.inode"
            " OR (i.mtime_ns <> w.mtime_ns AND i.mtime_ns <> -1)",
            (last, PAGE),
        ).fetchall()
        for row in rows:
            known = None if row["path"] is None else _known(row)
            yield Seen(row["p"], row["s"], row["m"], row["n"]), known
        last = end


def unseen_files(connection: sqlite3.Connection, folder: str) -> Iterator[KnownFile]:
    """Known files below a folder that the walk did not see, in order of path.

    Args:
        connection: The database, after ``keep_walk``.
        folder: Absolute path without a slash at its end.

    Yields:
        The files; whether they are gone is for the caller to look.
    """
    last, beyond = folder + "/", folder + "0"  # "0" is the character after "/"
    while True:
        rows = connection.execute(
            f"SELECT {FILE_COLUMNS} FROM images i WHERE path > ? AND path < ?"
            " AND NOT EXISTS (SELECT 1 FROM temp.walk w WHERE w.path = i.path) ORDER BY path LIMIT ?",
            (last, beyond, PAGE),
        ).fetchall()
        if not rows:
            return
        yield from (_known(row) for row in rows)
        last = rows[-1]["path"]


def former_files(connection: sqlite3.Connection, seen: Seen) -> list[KnownFile]:
    """Known, read files under other names with this size, mtime and inode."""
    # +size: thousands of files may have one size, so the search must go by inode
    rows = connection.execute(
        f"SELECT {FILE_COLUMNS} FROM images WHERE inode = ? AND +size = ? AND mtime_ns = ? AND +sha256 IS NOT NULL"
        " AND path <> ?",
        (stored(seen.inode), seen.size, stored(seen.mtime_ns), seen.path),
    ).fetchall()
    return [_known(row) for row in rows]


def pending_files(connection: sqlite3.Connection, after: str = "", limit: int = 500) -> list[KnownFile]:
    """Files that wait to be read, in order of path."""
    rows = connection.execute(
        f"SELECT {FILE_COLUMNS} FROM images WHERE {PENDING} AND path > ? ORDER BY path LIMIT ?", (after, limit)
    ).fetchall()
    return [_known(row) for row in rows]


def count_pending(connection: sqlite3.Connection) -> int:
    """How many files wait to be read."""
    return int(connection.execute(f"SELECT count(*) FROM images WHERE {PENDING}").fetchone()[0])


def unreadable_files(connection: sqlite3.Connection, limit: int = 500) -> list[KnownFile]:
    """Files that could not be read when they were last tried."""
    rows = connection.execute(
        f"SELECT {FILE_COLUMNS} FROM images WHERE sha256 IS NULL AND error IS NOT NULL LIMIT ?", (limit,)
    ).fetchall()
    return [_known(row) for row in rows]


def vanished_contents(connection: sqlite3.Connection, contents: Iterable[bytes]) -> list[bytes]:
    """Of these contents, those that no known file has any more."""
    return [
        content
        for content in dict.fromkeys(contents)
        if connection.execute("SELECT 1 FROM images WHERE sha256 = ?", (content,)).fetchone() is None
    ]


def paths_of(connection: sqlite3.Connection, content: bytes) -> list[str]:
    """The known files with a content, in order of path."""
    return [row[0] for row in connection.execute("SELECT path FROM images WHERE sha256 = ? ORDER BY path", (content,))]


def _known(row: sqlite3.Row) -> KnownFile:
    return KnownFile(row["path"], row["size"], row["mtime_ns"], row["inode"], row["sha256"], row["error"], row["cause"])
