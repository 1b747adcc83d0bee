"""What the store knows of files, all of it."""

import sqlite3

from mobius_tui.store.images import KnownFile


def all_files(connection: sqlite3.Connection) -> list[KnownFile]:
    """Every known file, in order of path."""
    rows = connection.execute("SELECT path, size, mtime_ns, inode, sha256, error, cause FROM images ORDER BY path")
    return [KnownFile(*row) for row in rows]
