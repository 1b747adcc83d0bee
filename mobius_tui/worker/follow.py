"""Following the library: folder events, the scan that reconciles, and hashing of what is new."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.logs import JsonLog
from mobius_tui.operations.live import (
    FIRST_RUN,
    Change,
    ScanResult,
    accept_library,
    library_folder,
    refresh_files,
    scan_library,
)
from mobius_tui.store.database import read_meta
from mobius_tui.store.events import add_event
from mobius_tui.store.scan import count_pending
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.worker.database import LiveDatabase
from mobius_tui.worker.row import RowKeeper
from mobius_tui.worker.sync import LiveSync
from mobius_tui.worker.watch import FolderWatch
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from mobius_tui.operations.live_hashing import LiveHasher

TICK_S = 0.1
"""Seconds between two looks at the events."""

STRETCH = 20.0
"""A scan takes at most one part in this many of the time."""

WATCHING = "inotify and scan"
"""What the worker's row says when all is well."""

_WATCH_AGAIN_S = 60.0
_WATCH_SOON_S = 2.0
_RETRY_S = 3600.0
_WATCH_MORE_S = 600.0
_UNKNOWN = "?"
_HASH_AGAIN_S = 0.5
_SAY_SCAN_S = 60.0
_LOST_S = 3.0
_LONGEST_PAUSE_S = 30.0


class LibraryFollower:
    """A thread that keeps the store up to date with the library.

    Args:
        ws: The workspace.
        row: Takes what it finds.
        log: The service log.
        stopping: Says whether the worker should end.
        busy: Whether the worker runs a job: hashing then waits.
    """

    def __init__(
        self, ws: Workspace, row: RowKeeper, log: JsonLog, stopping: Callable[[], bool], busy: Callable[[], bool]
    ) -> None:
        self.hashing = False
        self.pool_trouble = ""
        self._ws = ws
        self._row = row
        self._log = log
        self._stopping = stopping
        self._busy = busy
        self._database = LiveDatabase(ws.database)
        self._opened = 0
        self._hasher: LiveHasher | None = None
        self._watch: FolderWatch | None = None
        self._watch_due = 0.0
        self._watch_began = 0.0
        self._published: str | None = _UNKNOWN
        self._scan_due = 0.0
        self._scanned = 0.0
        self._retry_due = 0.0
        self._scan_s = 0.0
        self._said_scan = 0.0
        self._hash_due: float | None = 0.0
        self._ended_jobs = threading.Event()
        self._note = ("", "")
        self._sync = LiveSync(ws)
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def ended(self, timeout_s: float) -> bool:
        """Wait for the thread; returns whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def job_ended(self) -> None:
        """A job has ended: what waited for it goes on. May be called from any thread."""
        self._ended_jobs.set()

    def _run(self) -> None:
        pause = TICK_S
        said = ""
        while not self._stopping():
            try:
                self._round(self._database.connection())
                pause, said = TICK_S, ""
            except Exception as error:  # whatever it is, the library is looked at again
                text = f"{type(error).__name__}: {visible(str(error))}"
                if text != said:
                    self._log.write("error", "library", "trouble", text, fields={"traceback": format_exception(error)})
                said = text
                pause = min(max(pause, 0.25) * 2, _LONGEST_PAUSE_S)
                self._database.close()
                self._scan_due = 0.0
            self._rest(pause)
        self._close()

    def _round(self, connection: sqlite3.Connection) -> None:
        now = time.monotonic()
        if self._opened != self._database.opened:  # a new database knows nothing yet
            self._opened = self._database.opened
            self._scan_due, self._hash_due = now, now
            self._forget()
        if self._ended_jobs.is_set():
            self._ended_jobs.clear()
            self._scan_due, self._hash_due = now, now
        self._keep_watch(now)
        if self._watch is not None:
            paths, everything = self._watch.take(now)
            if everything:
                self._scan_due = min(self._scan_due, self._scanned + max(0.3, 2 * self._scan_s))
            if paths:
                self._found(connection, refresh_files(self._ws, connection, paths, _nothing))
        if now >= self._scan_due:
            self._scan(connection)
        self._hash(connection)
        if self._sync.step(connection):
            self._log.write("info", "library", "sync", "changes go into the catalogue by a migration")

    def _scan(self, connection: sqlite3.Connection) -> None:
        late: list[str] = []

        def noted(change: Change) -> None:
            if len(late) < 20 and change.kind != "gone" and _age(change.path) > _LOST_S:
                late.append(change.path)

        self._look_for_runs(connection)
        first = not self._scanned
        retry = time.monotonic() >= self._retry_due
        if retry:
            self._retry_due = time.monotonic() + _RETRY_S
        result = scan_library(self._ws, connection, noted, retry=retry)
        self._scanned, self._scan_s = time.monotonic(), result.seconds
        self._scan_due = self._scanned + max(self._ws.settings.scan_seconds, STRETCH * result.seconds)
        self._found(connection, result)
        if late and not first and self._watch is not None:
            self._log.write("warning", "library", "events_lost", "the scan found what no folder event told")
            self._watch_anew(_WATCH_AGAIN_S)
        told = (self._row.row.images, self._row.row.unhashed)
        if told != (result.images, result.unhashed) or self._scanned - self._said_scan > _SAY_SCAN_S or result.changes:
            self._said_scan = self._scanned
            self._row.set(scanned_at=clock.now(), scan_ms=round(result.seconds * 1000, 1))
            self._row.set(images=result.images, unhashed=result.unhashed)

    def _found(self, connection: sqlite3.Connection, result: ScanResult) -> None:
        if result.note != self._note[0]:
            self._say(connection, (result.note, self._note[1]))
        if result.changes:
            self._row.set(images=result.images, unhashed=result.unhashed)
            self._sync.changed()
        if result.changed or result.gone:
            self._forget()
        if result.unhashed and self._hash_due is None:
            self._hash_due = time.monotonic()

    def _hash(self, connection: sqlite3.Connection) -> None:
        if self._hash_due is None or time.monotonic() < self._hash_due or self._busy():
            if self._hasher is not None:
                self._hasher.rest()
            return
        if self._hasher is None:
            if not count_pending(connection):
                self._hash_due = None
                return
            from mobius_tui.operations.live_hashing import LiveHasher  # brings numpy and the decoders

            self._hasher = LiveHasher(self._ws)
        self.hashing = True
        try:
            done = self._hasher.hash_pending(connection, lambda: not (self._stopping() or self._busy()))
            self.pool_trouble = ""
        except EnvironmentFailed as error:
            self.pool_trouble = error.what
            raise
        finally:
            self.hashing = False
        self._hash_due = time.monotonic() + _HASH_AGAIN_S if done.again else None
        if done.note != self._note[1]:
            self._say(connection, (self._note[0], done.note))
        if done.images:
            self._row.set(unhashed=count_pending(connection))
            text = f"{done.images} images fingerprinted, {done.pairs} pairs"
            self._log.write("info", "library", "live_hashing", text)

    def _keep_watch(self, now: float) -> None:
        """Start listening, or start again where it is broken; a new watch listens before the old one ends."""
        if not self._ws.settings.watch_folder:
            self._row.set(watching="scan only: watch_folder is off")
            return
        if self._watch is not None and not self._watch.alive:
            self._watch.stop()
            self._watch = None
            self._row.set(watching="scan only: the folder events ended")
            self._watch_due = max(now, self._watch_began + _WATCH_SOON_S)
        if now < self._watch_due:
            return
        old, watch = self._watch, FolderWatch(library_folder(self._ws))
        self._watch_began = now
        try:
            watch.start()
        except EnvironmentFailed as error:
            self._watch, self._watch_due = None, now + _WATCH_AGAIN_S
            self._row.set(watching=f"scan only: {error.what}")
            self._log.write("warning", "library", "watch", f"no folder events: {error.what}")
        else:
            self._watch = watch
            self._watch_due = now + _WATCH_MORE_S if watch.unwatched else float("inf")
            self._row.set(watching=f"{WATCHING}, {watch.unwatched}" if watch.unwatched else WATCHING)
            self._scan_due = now  # what happened before the watch began
        if old is not None:
            old.stop()

    def _watch_anew(self, spacing_s: float) -> None:
        """Start the watch again soon, but not again and again."""
        self._watch_due = min(self._watch_due, max(time.monotonic(), self._watch_began + spacing_s))

    def _say(self, connection: sqlite3.Connection, note: tuple[str, str]) -> None:
        """Show what a person should know, in the row, as an event and in the log."""
        for before, after in zip(self._note, note, strict=True):
            if after and after != before:
                add_event(connection, "warning", "library", "library_note", after)
                self._log.write("warning", "library", "library_note", after)
        if self._note[0] and not note[0]:
            add_event(connection, "info", "library", "library_note", "the library can be looked at again")
            self._watch_anew(0.0)
        self._note = note
        self._row.set(note="; ".join(text for text in note if text))

    def _look_for_runs(self, connection: sqlite3.Connection) -> None:
        """Whether a run, of this worker or of a verb, has published the library."""
        published = read_meta(connection, FIRST_RUN)
        if published == self._published:
            return
        if self._published is not _UNKNOWN:
            accept_library(connection)
        self._published = published
        self._forget()
        self._hash_due = time.monotonic()

    def _forget(self) -> None:
        if self._hasher is not None:
            self._hasher.forget()

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping() and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.1, left))

    def _close(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        if self._hasher is not None:
            self._hasher.close()
        self._database.close()


def _nothing(_: Change) -> None:
    """Nobody needs to be told."""


def _age(path: str) -> float:
    """Seconds since a file was last touched in any way; 0 when it cannot be told."""
    try:
        return time.time() - Path(path).stat().st_ctime
    except (OSError, ValueError):
        return 0.0
