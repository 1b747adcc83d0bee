"""The one reader: a thread that looks at the store, the backups and the worker's lock, and makes snapshots.

It reads at most four times a second, only when the database has moved or the process of a job has ended, and slowly
otherwise, so that the window of the figures goes on. It never takes more than a fifth of the time, however large the
tables are.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from mobius_tui.console.journal import JournalReader
from mobius_tui.console.snapshot import Snapshot, publication_of, watch_on
from mobius_tui.errors import MobiusError
from mobius_tui.recovery.backups import Backup, list_backups
from mobius_tui.store.database import data_version, database_error, open_for_reading
from mobius_tui.store.jobs import Job
from mobius_tui.store.snapshot import StoreSnapshot, read_snapshot
from mobius_tui.system import clock
from mobius_tui.system.locks import holder_of
from mobius_tui.system.processes import is_alive
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

LEAST_PERIOD_S = 0.25
"""At most four reads a second."""

REFRESH_S = 15.0
"""A read without a change, so that the 15 minutes of the figures move on."""

ALIVE_S = 1.0
"""So often it is looked at whether the processes of running jobs live: a killed one writes nothing about it."""

COUNT_S = 1.0
"""While a deploy or rollback runs, the seconds of its step go on at this pace; so does the last of a watch's time."""

SECONDS_S = 120.0
"""The time left of a watch is told in seconds from here on, in minutes before."""

BACKUPS_S = 60.0
"""The backups are listed anew at least this often; sooner when their folder changed."""


class Source(Protocol):
    """Where the console has its snapshots from."""

    latest: Snapshot

    def start(self) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """Look no more."""

    def wake(self) -> None:
        """Look now."""


class Poller:
    """Makes a new ``latest`` whenever something moved.

    Args:
        ws: The workspace.
        read_only: Whether the console writes nothing.
        worker_note: Why no worker could be started.
        now: The wall clock.
    """

    def __init__(
        self,
        ws: Workspace,
        *,
        read_only: bool = False,
        worker_note: str = "",
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._ws = ws
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._version: int | None = None
        self._read_at = 0.0
        self._alive_at: float | None = None
        self._guard_at: float | None = None
        self._guard_token = ""
        self._backups_mtime: int | None = None
        self._backups_at = 0.0
        self._journals = JournalReader(ws)
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mobius-poller", daemon=True)
        self.latest = Snapshot(now(), ws.settings.environment, read_only=read_only, worker_note=worker_note)

    def start(self) -> None:
        """Look once, so that the first screen shows the state, then go on in a thread."""
        self.look()
        self._close()  # a connection belongs to one thread
        self._thread.start()

    def stop(self) -> None:
        """Look no more; the thread ends by itself."""
        self._stopped = True
        self._wake.set()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            began = time.monotonic()
            self.look()
            spent = time.monotonic() - began
            self._wake.wait(max(LEAST_PERIOD_S, 4 * spent))
            self._wake.clear()
        self._close()

    def look(self) -> Snapshot:
        """Look once.

        Returns:
            The latest snapshot; the same object as before when nothing moved.
        """
        before = self.latest
        alive = holder_of(self._ws.worker_lock) is not None
        found = self._with_journal(self._with_backups(before))
        gone = self._gone(before)
        found = self._with_store(found, forced=alive != before.worker_alive or bool(gone))
        if gone and found.problem:  # the database cannot tell how they ended
            found = self._interrupted(found, gone)
        found = self._with_guard(found)
        if alive != before.worker_alive:
            found = replace(found, worker_alive=alive, worker_note="" if alive else found.worker_note)
        if found is before and self._counts_on(found):
            found = replace(found, at=self._now())
        if found is not before:
            self.latest = found
        return self.latest

    def _gone(self, found: Snapshot) -> set[int]:
        """The jobs that are shown as running or paused although their process has ended."""
        if self._alive_at is not None and time.monotonic() - self._alive_at < ALIVE_S:
            return set()
        self._alive_at = time.monotonic()
        return {job.id for job in found.jobs if _runs(job) and not is_alive(job.owner)}

    def _interrupted(self, found: Snapshot, gone: set[int]) -> Snapshot:
        """The last known state, with these jobs interrupted."""
        if found.store is None:
            return found
        jobs = tuple(replace(job, state="interrupted") if job.id in gone else job for job in found.store.jobs)
        return replace(found, at=self._now(), store=replace(found.store, jobs=jobs))

    def _with_guard(self, found: Snapshot) -> Snapshot:
        """Whether the guard of the watch lives: a killed one writes nothing about it."""
        watch = watch_on(found)
        token = watch.token if watch is not None else ""
        due = self._guard_at is None or time.monotonic() - self._guard_at >= ALIVE_S
        if token != self._guard_token or due:
            self._guard_at, self._guard_token = time.monotonic(), token
            alive = bool(token) and is_alive(token)
            if alive != found.guard_alive:
                found = replace(found, at=self._now(), guard_alive=alive)
        return found

    def _counts_on(self, found: Snapshot) -> bool:
        """Whether seconds should be seen going on although nothing is written: of a step, or the last of a watch."""
        spent = self._now() - found.at
        publication, watch = publication_of(found), watch_on(found)
        if publication is not None and publication.state == "running" and spent >= COUNT_S:
            return True
        if watch is None:
            return False
        return spent >= (COUNT_S if 0 < watch.until_at - found.at <= SECONDS_S else REFRESH_S)

    def _with_store(self, found: Snapshot, *, forced: bool) -> Snapshot:
        try:
            store = self._read(forced=forced)
        except MobiusError as error:
            return self._with_problem(found, str(error))
        except sqlite3.Error as error:
            return self._with_problem(found, str(database_error(error, self._ws.database)))
        except OSError as error:
            return self._with_problem(found, f"the database cannot be read: {error.strerror or error}")
        except Exception as error:  # the thread must outlive any row; the defect is shown, not hidden
            return self._with_problem(found, f"the state cannot be understood: {visible(repr(error))}")
        if store is None:
            return found if not found.problem else replace(found, problem="", stale_since=None)
        return replace(found, at=self._now(), store=store, problem="", stale_since=None)

    def _with_problem(self, found: Snapshot, sentence: str) -> Snapshot:
        self._close()
        if found.problem == sentence:
            return found
        return replace(found, problem=sentence, stale_since=found.stale_since or self._now())

    def _read(self, *, forced: bool) -> StoreSnapshot | None:
        """The store's state; None when it has not moved.

        Raises:
            MobiusError: There is no database that can be read.
            sqlite3.Error: It refused.
            OSError: Its folder refused.
        """
        self._follow_file()
        if self._connection is None:
            self._connection = open_for_reading(self._ws.database)
            self._version = None
        if self._connection is None:
            raise MobiusError(self._why_none())
        version = data_version(self._connection)
        due = time.monotonic() - self._read_at >= REFRESH_S
        if version == self._version and not forced and not due:
            return None
        store = read_snapshot(self._connection, self._now())
        self._version, self._read_at = version, time.monotonic()
        return store

    def _why_none(self) -> str:
        if self._ws.database.exists():
            return "the database is of another version"
        if self.latest.store is not None:
            return "the database is gone, a worker makes it anew"
        return "there is no database yet, a worker makes it"

    def _follow_file(self) -> None:
        """Let go of a database that was moved away or replaced under the connection."""
        try:
            status = self._ws.database.stat()
            file = (status.st_dev, status.st_ino)
        except FileNotFoundError:
            file = None
        if file != self._file:
            self._close()
            self._file = file

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection, self._version = None, None

    def _with_journal(self, found: Snapshot) -> Snapshot:
        journal = self._journals.look()
        return found if journal == found.journal else replace(found, at=self._now(), journal=journal)

    def _with_backups(self, found: Snapshot) -> Snapshot:
        mtime = _mtime(self._ws.backups)
        due = time.monotonic() - self._backups_at >= BACKUPS_S
        if mtime == self._backups_mtime and not due and self._backups_at:
            return found
        self._backups_mtime, self._backups_at = mtime, time.monotonic()
        backups: tuple[Backup, ...] = ()
        problem = ""
        try:
            backups = tuple(list_backups(self._ws.backups))
        except (MobiusError, OSError) as error:
            problem = f"the backups cannot be listed: {visible(str(error))}"
        if backups == found.backups and problem == found.backups_problem:
            return found
        return replace(found, backups=backups, backups_problem=problem)


def _runs(job: Job) -> bool:
    return job.state in {"running", "paused"}


def _mtime(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
