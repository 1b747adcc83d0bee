"""What the worker says of itself. Whether it lives is told by its lock, never by this row."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from mobius_tui.store.values import moment, number, text, whole


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """The last word of the worker.

    Attributes:
        token: Its process.
        state: ``idle``, ``working`` or ``stopping``.
        watching: How it notices changes: ``inotify and scan``, ``scan only: <why>``.
        scanned_at: When the last whole scan ended.
        scan_ms: How long it took.
        images: Images the last scan found.
        unhashed: Of these, those without a fingerprint.
        note: What a person should know; empty when all is well.
    """

    token: str
    pid: int
    version: str
    host: str
    cores: int
    started_at: float
    state: str
    watching: str
    scanned_at: float | None
    scan_ms: float | None
    images: int | None
    unhashed: int | None
    note: str


_COLUMNS = ", ".join(WorkerRow.__dataclass_fields__)


def read_worker(connection: sqlite3.Connection) -> WorkerRow | None:
    """The row; None when no worker ever ran here."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM worker WHERE id = 1").fetchone()
    if row is None:
        return None
    return WorkerRow(
        pid=whole(row["pid"]) or 0,
        cores=whole(row["cores"]) or 0,
        started_at=moment(row["started_at"]) or 0.0,
        scanned_at=moment(row["scanned_at"]),
        scan_ms=number(row["scan_ms"]),
        images=whole(row["images"]),
        unhashed=whole(row["unhashed"]),
        **{name: text(row[name]) for name in ("token", "version", "host", "state", "watching", "note")},
    )


def write_worker(connection: sqlite3.Connection, row: WorkerRow) -> None:
    """Replace the row."""
    marks = ", ".join("?" * len(WorkerRow.__dataclass_fields__))
    connection.execute(
        f"INSERT OR REPLACE INTO worker(id, {_COLUMNS}) VALUES(1, {marks})",
        tuple(getattr(row, name) for name in WorkerRow.__dataclass_fields__),
    )
