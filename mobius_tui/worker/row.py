"""What the worker says of itself, written only when it has changed."""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import replace

from mobius_tui import __version__
from mobius_tui.operations.options import available_cores
from mobius_tui.store.worker_row import WorkerRow, write_worker
from mobius_tui.system import clock
from mobius_tui.system.identity import host_name
from mobius_tui.system.processes import process_token


class RowKeeper:
    """The worker's row: any thread sets values, one thread writes them."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._written: tuple[int, WorkerRow] | None = None
        self.row = WorkerRow(
            token=process_token(),
            pid=os.getpid(),
            version=__version__,
            host=host_name(),
            cores=available_cores(),
            started_at=clock.now(),
            state="idle",
            watching="starting",
            scanned_at=None,
            scan_ms=None,
            images=None,
            unhashed=None,
            note="",
        )

    def set(self, **values: object) -> None:
        """Change columns of the row."""
        with self._guard:
            self.row = replace(self.row, **values)  # type: ignore[arg-type]

    def write(self, connection: sqlite3.Connection, opened: int) -> bool:
        """Write the row if it has changed or the database is a new one.

        Args:
            connection: The database.
            opened: Which opening of the database this is.

        Returns:
            Whether it was written.
        """
        row = self.row
        if self._written == (opened, row):
            return False
        write_worker(connection, row)
        self._written = (opened, row)
        return True
