"""A thread's connection that survives its file being deleted or replaced."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.store.database import open_database
from mobius_tui.text import visible


class LiveDatabase:
    """The database of one thread.

    SQLite goes on writing to a file that has been deleted, unseen by everybody else; so the name is looked at before
    each use.

    Args:
        path: The database file.
    """

    def __init__(self, path: Path) -> None:
        self.opened = 0
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def connection(self) -> sqlite3.Connection:
        """The open connection; ``opened`` counts up when it is a new one.

        Raises:
            EnvironmentFailed: The database cannot be opened now, or its folder was removed meanwhile.
        """
        if self._connection is not None and _identity(self._path) == self._identity:
            return self._connection
        self.close()
        if not self._path.parent.is_dir():
            raise EnvironmentFailed("the state folder is gone", where=visible(str(self._path.parent)))
        self._connection = open_database(self._path)
        self._identity = _identity(self._path)
        self.opened += 1
        return self._connection

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino
