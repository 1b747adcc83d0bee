"""What consoles and verbs see of the watch: rows of the database, written when it lets itself be written."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping

from mobius_tui.errors import MobiusError
from mobius_tui.store.database import open_database, writing
from mobius_tui.store.events import add_event
from mobius_tui.store.watches import TickRow, WatchRow, write_tick, write_watch
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

BUSY_MS = 250
"""Milliseconds that a locked database is waited for: a measurement must not be late for it."""

_MOST_WAITING = 20_000


class Mirror:
    """The rows of one watch; what a locked, missing or full database does not take waits and is caught up.

    Args:
        ws: The workspace; without a database in it none is made.

    Attributes:
        problem: Why the last rows wait, in words; empty when none do.
    """

    def __init__(self, ws: Workspace) -> None:
        self.problem = ""
        self._ws = ws
        self._connection: sqlite3.Connection | None = None
        self._row: WatchRow | None = None
        self._waiting: deque[Callable[[sqlite3.Connection], None]] = deque(maxlen=_MOST_WAITING)

    def watch(self, row: WatchRow) -> None:
        """The watch as it stands; a former one that waits is dropped for it."""
        self._row = row

    def tick(self, run: str, tick: TickRow) -> None:
        """A measurement."""
        self._waiting.append(lambda connection: write_tick(connection, run, tick))

    def event(self, level: str, event: str, message: str, run: str, fields: Mapping[str, object]) -> None:
        """Something that happened."""
        at = clock.now()
        self._waiting.append(
            lambda connection: add_event(connection, level, "guard", event, message, run_id=run, fields=fields, at=at)
        )

    def flush(self) -> bool:
        """Write all that waits in one go; returns whether nothing waits any more."""
        if self._row is None and not self._waiting:
            return True
        row, waiting = self._row, list(self._waiting)
        try:
            if not self._ws.database.exists():
                self.close()
                self.problem = "there is no database"
                return False
            if self._connection is None:
                self._connection = open_database(self._ws.database, busy_ms=BUSY_MS)
            with writing(self._connection):
                for write in waiting:
                    write(self._connection)
                if row is not None:
                    write_watch(self._connection, row)
        except (sqlite3.Error, MobiusError, OSError, ValueError, TypeError) as error:
            self.problem = visible(error.what if isinstance(error, MobiusError) else str(error))
            self.close()
            return False
        self._row = None
        self._waiting.clear()
        self.problem = ""
        return True

    def close(self) -> None:
        """Close the database; what waits stays."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None
