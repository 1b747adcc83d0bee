"""The metrics of the worker: one reading of database, files and processes, told as JSON or as Prometheus text."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mobius_tui.errors import MobiusError
from mobius_tui.operations.run_steps import seconds_of
from mobius_tui.recovery.history import HISTORY_NAME, read_history
from mobius_tui.store.alerts import AlertRow, list_alerts
from mobius_tui.store.counts import LastRun, LibraryCounts, read_counts, read_last_run
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.metrics import WINDOW_S, Figures, keep_sample, read_figures
from mobius_tui.store.snapshot import count_low_confidence
from mobius_tui.store.totals import Totals, read_totals
from mobius_tui.store.watches import TickRow, WatchRow, latest_watch, list_ticks
from mobius_tui.system import clock
from mobius_tui.worker.footprint import Footprint, FootprintLook
from mobius_tui.worker.health import Check, HealthChecks, status_of
from mobius_tui.worker.requests import Answered, RequestCounts
from mobius_tui.workspace import Workspace

FRESH_S: Final = 1.5
"""A reading younger than this is not made again."""

STRETCH: Final = 20.0
"""What the database told is kept this many times as long as it took."""

LONGEST_S: Final = 15.0
"""But no longer than this, seconds."""

CHECKS_S: Final = 2.0
"""Seconds that a reading waits for the checks of the worker's health: less than who asks waits for the reading."""

BUSY_MS: Final = 1000
"""How long a reading waits for a locked database; then its figures are unknown."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What one short transaction found in the database.

    Attributes:
        figures: Of the last 15 minutes.
        low: Contents of low confidence that nobody has settled.
        watch: The watch that began last.
        tick: Its latest measurement.
        last_run: The migration or deploy that ended last; None when there was none.
    """

    figures: Figures
    counts: LibraryCounts
    low: int
    totals: Totals
    alerts: tuple[AlertRow, ...] = ()
    watch: WatchRow | None = None
    tick: TickRow | None = None
    last_run: LastRun | None = None

    @property
    def queue(self) -> int:
        """Waiting pairs and low-confidence images."""
        return self.counts.pairs["waiting"] + self.low

    @property
    def duplicate_rate(self) -> float | None:
        """Share of the files that were read which are a duplicate of another; None when none were."""
        read = self.counts.total - self.counts.images["waiting"]
        return self.counts.duplicates / read if read else None

    @property
    def detection_rate(self) -> float | None:
        """Share of the last run's fingerprinted images that it found to be duplicates; None when it had none."""
        run = self.last_run
        return run.duplicates / run.images if run is not None and run.images else None


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that is told at one moment.

    Attributes:
        at: Seconds since the epoch.
        uptime_s: Of the worker.
        stored: None while the database cannot be read: figures of another time are not those of now.
        totals: The last known ones; None before any were.
        checks: Of the worker's health.
        migrated_at: When a migration or a deploy published last; None when never.
        backup_at: Of the newest verified backup; None when there is none.
        backups: Backups by state; None when they could not be looked at.
        footprint: What the worker takes of the machine.
        answered: Its requests.
    """

    at: float
    uptime_s: float
    stored: Stored | None
    totals: Totals | None
    checks: Mapping[str, Check]
    migrated_at: float | None
    backup_at: float | None
    backups: Mapping[str, int] | None
    footprint: Footprint
    answered: Answered

    @property
    def status(self) -> str:
        """The worker's health."""
        return status_of(self.checks)


class Metrics:
    """The metrics of one workspace's worker.

    Args:
        ws: The workspace.
        requests: Counts of its HTTP.
        checks: Its health.
        monotonic: Seconds, to tell how old a reading is.
    """

    def __init__(
        self,
        ws: Workspace,
        requests: RequestCounts,
        checks: HealthChecks,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ws = ws
        self._requests = requests
        self._checks = checks
        self._monotonic = monotonic
        self._began = monotonic()
        self._footprint = FootprintLook()
        self._guard = threading.Lock()
        self._last: tuple[float, Reading] | None = None
        self._totals: Totals | None = None
        self._stored: Stored | None = None
        self._stored_until = 0.0
        self._history: tuple[tuple[int, ...], float | None] = ((), None)

    def json(self) -> dict[str, object]:
        """The body of ``/metrics/dhash``; null where nothing was measured. May take a second: not for an event loop."""
        return body(self.read())

    def text(self) -> str:
        """The text of ``/metrics``, for Prometheus. May take a second: not for an event loop."""
        from mobius_tui.worker.prometheus import exposition  # 90 ms, in the worker only

        return exposition(self.read())

    def read(self) -> Reading:
        """A reading that is fresh; several who ask at once share one."""
        with self._guard:
            if self._last is None or self._monotonic() - self._last[0] > FRESH_S:
                reading = self._look()
                self._last = (self._monotonic(), reading)
            return self._last[1]

    def keep(self, connection: sqlite3.Connection) -> None:
        """Keep the sample of this minute, by the worker's main loop.

        Raises:
            sqlite3.Error: The database cannot be read or written.
        """
        now = clock.now()
        found = read_stored(connection, now)
        with self._guard:
            taken = self._footprint.look()
        keep_sample(
            connection,
            found.figures,
            found.queue,
            found.counts.total,
            found.counts.total - found.counts.images["waiting"],
            now,
            low=found.low,
            duplicates=found.counts.duplicates,
            memory_bytes=taken.resident_bytes,
            cpu_share=taken.cpu_share,
        )

    def _look(self) -> Reading:
        checks = self._examined()
        backups = self._checks.backups()
        good = [backup.at for backup in backups or () if backup.state == "verified" and backup.at <= clock.now()]
        stored = self._read_database()
        return Reading(
            at=clock.now(),
            uptime_s=self._monotonic() - self._began,
            stored=stored,
            totals=self._totals,
            checks=checks,
            migrated_at=self._migrated_at(),
            backup_at=max(good, default=None),
            backups=None if backups is None else Counter(backup.state for backup in backups),
            footprint=self._footprint.look(),
            answered=self._requests.read(),
        )

    def _examined(self) -> Mapping[str, Check]:
        try:
            return self._checks.ask().result(CHECKS_S)
        except TimeoutError:  # a disk or a network filesystem hangs
            late = Check(False, f"the checks have not ended within {CHECKS_S:g} s", grave=True)
            return {**self._checks.last(), "checks": late}

    def _read_database(self) -> Stored | None:
        """What the database holds; a costly look is remembered longer, so that asking takes a small share of a core."""
        if self._stored is not None and self._monotonic() < self._stored_until:
            return self._stored
        began, self._stored = self._monotonic(), None
        with contextlib.suppress(sqlite3.Error, OSError, MobiusError):
            connection = open_for_reading(self._ws.database)
            if connection is not None:
                with contextlib.closing(connection):
                    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
                    connection.execute("BEGIN")
                    self._stored = read_stored(connection, clock.now())
                self._totals = self._stored.totals
        ended = self._monotonic()
        self._stored_until = ended + min(LONGEST_S, STRETCH * (ended - began))
        return self._stored

    def _migrated_at(self) -> float | None:
        """When the history says that a migration or deploy published last; read again only when the file has grown."""
        with contextlib.suppress(OSError, MobiusError):
            found = (self._ws.state / HISTORY_NAME).stat()
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            if seen != self._history[0]:
                self._history = (seen, last_publication(self._ws) or self._history[1])
        return self._history[1]


def read_stored(connection: sqlite3.Connection, now: float) -> Stored:
    """What the database holds; for a connection of any thread, best inside a transaction.

    Args:
        connection: The database.
        now: Seconds since the epoch, for the figures of the last 15 minutes.
    """
    watch = latest_watch(connection)
    ticks = [] if watch is None else list_ticks(connection, watch.run_id, limit=1)
    return Stored(
        figures=read_figures(connection, now),
        counts=read_counts(connection),
        low=count_low_confidence(connection),
        totals=read_totals(connection),
        alerts=tuple(list_alerts(connection)),
        watch=watch,
        tick=ticks[-1] if ticks else None,
        last_run=read_last_run(connection),
    )


def last_publication(ws: Workspace) -> float | None:
    """When a migration or a deploy last made the live catalogue, by the history.

    Args:
        ws: The workspace.

    Returns:
        Seconds since the epoch; None when the history knows of none.

    Raises:
        OSError: The history cannot be read.
        MobiusError: Two files claim to be the catalogue.
    """
    live = os.path.realpath(ws.catalogue)
    for act in reversed(read_history(ws.state, limit=5000)):
        details = act.get("details")
        output = details.get("output") if isinstance(details, dict) else None
        elsewhere = isinstance(output, str) and os.path.realpath(output) != live  # migrate -o
        if act.get("act") in {"migrate", "deploy"} and act.get("after") and not elsewhere:
            return seconds_of(act.get("time"))
    return None


def body(reading: Reading) -> dict[str, object]:
    """The JSON of ``/metrics/dhash``.

    Args:
        reading: What was found.

    Returns:
        JSON data; None where nothing was measured or the database cannot be read, never NaN.
    """
    found, totals, taken = reading.stored, reading.totals, reading.footprint
    figures = None if found is None else found.figures
    share = taken.cpu_share
    return {
        "avg_hash_time_ms": None if figures is None else _rounded(figures.average_ms, 3),
        "p95_hash_time_ms": None if figures is None else _rounded(figures.p95_ms, 3),
        "processing_rate_per_hour": None if figures is None else _rounded(figures.rate_per_hour, 1),
        "extraction_failures_rate": None if figures is None else _rounded(figures.failure_rate, 6),
        "low_confidence_queue_length": None if found is None else found.queue,
        "duplicate_rate": None if found is None else _rounded(found.duplicate_rate, 6),
        "last_migration_timestamp": None if reading.migrated_at is None else clock.iso(reading.migrated_at),
        "last_backup_timestamp": None if reading.backup_at is None else clock.iso(reading.backup_at),
        "system_health_status": reading.status,
        "window_s": int(WINDOW_S),
        "samples": None if figures is None else figures.images,
        "failed_samples": None if figures is None else figures.failed,
        "totals": {
            "requests_total": reading.answered.total,
            "errors_total": reading.answered.errors,
            "images_total": None if totals is None else totals.images,
            "image_processing_errors": None if totals is None else totals.failed,
        },
        "duplicate_detection_rate": None if found is None else _rounded(found.detection_rate, 6),
        "review_pairs_waiting": None if found is None else found.counts.pairs["waiting"],
        "low_confidence_images": None if found is None else found.low,
        "images": None if found is None else found.counts.total,
        "cpu_percent": None if share is None else round(share * 100, 2),
        "resident_bytes": taken.resident_bytes,
        "disk_read_bytes": taken.disk_read_bytes,
        "disk_written_bytes": taken.disk_written_bytes,
        "measured_at": clock.iso(reading.at),
    }


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)
