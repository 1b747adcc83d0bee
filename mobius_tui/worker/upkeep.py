"""What the worker does by itself: a backup by schedule, and once a day a clean of backups and of old run logs."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mobius_tui.errors import MobiusError
from mobius_tui.logs import JsonLog
from mobius_tui.operations.backup import clean_backups, decisions_of
from mobius_tui.operations.run_logs import forget_run_logs
from mobius_tui.recovery.backup_files import Backup, list_backups, newest
from mobius_tui.recovery.backups import digest_now
from mobius_tui.recovery.retention import Decision
from mobius_tui.store.database import read_meta, write_meta, writing
from mobius_tui.store.events import add_event
from mobius_tui.store.jobs import add_job, list_jobs
from mobius_tui.system import clock
from mobius_tui.text import counted, visible
from mobius_tui.workspace import Workspace

CLEAN_S = 86_400.0
"""Seconds between two cleans."""

REASON = "by schedule"
"""Why such a backup is made, as backup and history say."""

AGAIN_S = 900.0
"""Seconds until a backup is asked for again that could not be made."""

_CLEANED = "backups_cleaned"


class Upkeep:
    """Backups by schedule and the daily clean of backups and run logs.

    Args:
        ws: The workspace.
        log: The service log.
        tick: Seconds that never go back.
    """

    def __init__(self, ws: Workspace, log: JsonLog, tick: Callable[[], float] = time.monotonic) -> None:
        self._ws = ws
        self._log = log
        self._tick = tick
        self._again = tick()
        self._seen: tuple[object, ...] = ()
        self._thread: threading.Thread | None = None
        self._decisions: list[Decision] = []
        self._logs: list[str] = []

    def step(self, connection: sqlite3.Connection) -> None:
        """Do what is due; a failure is told and tried again later, it never ends the worker.

        Args:
            connection: The database.
        """
        for act in (self._back_up, self._clean):
            try:
                act(connection)
            except (MobiusError, OSError) as error:
                self._log.write("warning", "worker", "upkeep", f"upkeep of the backups: {visible(str(error))}")

    def _back_up(self, connection: sqlite3.Connection) -> None:
        """Ask for a backup when the newest one is too old and the catalogue is another one since."""
        every_s = self._ws.settings.backup_every * 3600
        if not every_s or self._tick() < self._again:
            return
        latest = _latest(self._ws)
        if latest is not None and clock.now() - latest.at < every_s:
            return
        if any(job.kind == "backup" for job in list_jobs(connection, active_only=True)):
            return
        if not self._is_changed(latest):
            return
        self._again = self._tick() + AGAIN_S
        add_job(connection, "backup", {"reason": REASON}, "worker", reason=REASON)

    def _is_changed(self, latest: Backup | None) -> bool:
        """Whether what a backup holds is not what is live; the files are read only when they were touched."""
        paths = (self._ws.catalogue, decisions_of(self._ws))
        try:
            status = self._ws.catalogue.stat()
        except FileNotFoundError:
            return False
        seen = (status.st_ino, status.st_size, status.st_mtime_ns, *_touched(paths[1]), latest and latest.name)
        if seen == self._seen:
            return False
        if latest is not None and latest.state == "verified":
            live = tuple(digest_now(path) for path in paths)
            if live == (latest.catalogue_sha256, latest.decisions_sha256):
                self._seen = seen
                return False
        return True

    def _clean(self, connection: sqlite3.Connection) -> None:
        """Clean once a day, counted by the clock, so that a worker that is often restarted does it as well."""
        self._tell(connection)
        now = clock.now()
        last = read_meta(connection, _CLEANED)
        if self._thread is not None or (last is not None and 0 <= now - _number(last) < CLEAN_S):
            return
        with writing(connection):
            write_meta(connection, _CLEANED, f"{now:.0f}")
        active = {job.run_id for job in list_jobs(connection, active_only=True)}
        # hundreds of removals take seconds, and the worker's loop must not wait; the next clean goes on
        self._thread = threading.Thread(target=self._clean_now, args=(active,), name="clean", daemon=True)
        self._thread.start()

    def _clean_now(self, active: set[str]) -> None:
        try:
            self._decisions = clean_backups(self._ws, dry_run=False)
        except Exception as error:  # in a thread nobody else would hear of it
            self._log.write("warning", "worker", "upkeep", f"the backups were not cleaned: {visible(str(error))}")
        try:
            self._logs = forget_run_logs(self._ws, active, clock.now())
        except Exception as error:
            self._log.write("warning", "worker", "upkeep", f"old run logs were not deleted: {visible(str(error))}")

    def wait(self) -> None:
        """Wait until a clean that is under way has ended."""
        if self._thread is not None:
            self._thread.join()

    def _tell(self, connection: sqlite3.Connection) -> None:
        """Tell what the last clean did, once it has ended."""
        if self._thread is None or self._thread.is_alive():
            return
        decisions, self._decisions, self._thread = self._decisions, [], None
        removed = [each.backup.name for each in decisions if not each.keep]
        if removed:
            said = f"{counted(len(removed), 'backup')} removed that no rule keeps"
            add_event(connection, "info", "worker", "backups_cleaned", said, fields={"removed": removed})
            self._log.write("info", "worker", "backups_cleaned", said, fields={"removed": removed})
        logs, self._logs = self._logs, []
        if logs:
            said = f"{counted(len(logs), 'run log')} older than 90 days deleted"
            add_event(connection, "info", "worker", "logs_cleaned", said, fields={"removed": logs})
            self._log.write("info", "worker", "logs_cleaned", said, fields={"removed": logs})
        for each in decisions:
            if each.failed:
                self._log.write("warning", "worker", "upkeep", f"{each.backup.name} {visible(each.reason)}")


def _latest(ws: Workspace) -> Backup | None:
    known = [backup for backup in list_backups(ws.backups) if backup.kind == "catalogue" and backup.state != "corrupt"]
    return newest(known, clock.now())


def _touched(path: Path) -> tuple[object, ...]:
    try:
        status = path.stat()
    except OSError:
        return (None,)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
