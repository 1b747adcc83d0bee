"""Everything the console shows, read in one short transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from mobius_tui.store.alerts import AlertRow, list_alerts
from mobius_tui.store.events import Event, list_events
from mobius_tui.store.jobs import Job, recent_jobs
from mobius_tui.store.metrics import Figures, read_figures
from mobius_tui.store.pairs import Pair, count_pairs, list_pairs
from mobius_tui.store.watches import TickRow, WatchRow, latest_watch, list_ticks
from mobius_tui.store.worker_row import WorkerRow, read_worker


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """The state of the database at one moment.

    Attributes:
        jobs: The latest 30 and all that are not over, newest first.
        events: The latest 200, oldest first.
        pairs: The first 500 waiting pairs, most confident first.
        waiting: How many pairs wait.
        low_confidence: How many contents of known files have a low confidence.
        watch: The watch that began last; None when there was none.
        ticks: Its latest 120 measurements, oldest first.
        alerts: The alerts, raised ones first.
    """

    worker: WorkerRow | None
    jobs: tuple[Job, ...]
    events: tuple[Event, ...]
    pairs: tuple[Pair, ...]
    waiting: int
    low_confidence: int
    figures: Figures
    watch: WatchRow | None = None
    ticks: tuple[TickRow, ...] = ()
    alerts: tuple[AlertRow, ...] = ()


def read_snapshot(connection: sqlite3.Connection, now: float) -> StoreSnapshot:
    """Read the snapshot.

    Args:
        connection: The database, for reading or writing.
        now: Seconds since the epoch, for the figures of the last 15 minutes.

    Returns:
        The snapshot, consistent in itself.
    """
    connection.execute("BEGIN")
    try:
        watch = latest_watch(connection)
        return StoreSnapshot(
            worker=read_worker(connection),
            jobs=tuple(recent_jobs(connection, 30)),
            events=tuple(list_events(connection, limit=200)),
            pairs=tuple(list_pairs(connection)),
            waiting=count_pairs(connection),
            low_confidence=count_low_confidence(connection),
            figures=read_figures(connection, now),
            watch=watch,
            ticks=() if watch is None else tuple(list_ticks(connection, watch.run_id)),
            alerts=tuple(list_alerts(connection)),
        )
    finally:
        connection.execute("COMMIT")


def count_low_confidence(connection: sqlite3.Connection) -> int:
    """How many known contents have a low confidence."""
    row = connection.execute(
        "SELECT count(DISTINCT f.sha256) FROM fingerprints f WHERE f.status = 'low_confidence'"
        " AND EXISTS (SELECT 1 FROM images i WHERE i.sha256 = f.sha256)"
    ).fetchone()
    return int(row[0])
