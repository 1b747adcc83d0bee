"""The worker's main loop: claims jobs, keeps the figures of each minute, forgets what is old."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from traceback import format_exception

from mobius_tui.errors import MobiusError
from mobius_tui.logs import SERVICE_LOG, JsonLog
from mobius_tui.store.alerts import AlertRow
from mobius_tui.store.events import add_event, forget_events
from mobius_tui.store.jobs import Job, claim_next
from mobius_tui.store.metrics import forget_old
from mobius_tui.store.watches import forget_watches
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.worker.alerts import Alerts, figures_of
from mobius_tui.worker.database import LiveDatabase
from mobius_tui.worker.follow import LibraryFollower
from mobius_tui.worker.health import HealthChecks, Pulse
from mobius_tui.worker.http import HttpServer
from mobius_tui.worker.metrics import Metrics
from mobius_tui.worker.recovery import Recovery
from mobius_tui.worker.requests import RequestCounts
from mobius_tui.worker.row import RowKeeper
from mobius_tui.worker.runner import JobRunner
from mobius_tui.worker.stopping import StopRequest
from mobius_tui.worker.upkeep import Upkeep
from mobius_tui.workspace import Workspace

TICK_S = 0.25
"""Seconds between two looks at the jobs; a wish to stop is heard within this time, too."""

GLANCE_S = 5.0
"""Seconds between two glances at whether an operation was cut off."""

EVENTS_KEPT_S = 30 * 86_400.0
"""Events older than this are forgotten."""

_SAMPLE_S = 60.0
_FORGET_S = 3600.0
_LONGEST_PAUSE_S = 30.0


class Service:
    """The worker, once it holds its lock.

    Args:
        ws: The workspace.
        stop: The wish to stop.
        lost: Whether the worker's lock is no longer what others see.
    """

    def __init__(self, ws: Workspace, stop: StopRequest, lost: Callable[[], bool] = lambda: False) -> None:
        self._ws = ws
        self._stop = stop
        self._lost = lost
        self._log = JsonLog(ws.logs / SERVICE_LOG, rotate=True, least=ws.settings.log_level, within=ws.root)
        self._row = RowKeeper()
        self._database = LiveDatabase(ws.database)
        self._runner = JobRunner(ws, self._log, stop, self._job_ended)
        self._follower = LibraryFollower(ws, self._row, self._log, stop.asked, lambda: self._runner.busy)
        self._due: dict[Callable[[sqlite3.Connection], None], float] = {self._sample: 0.0, self._forget: 0.0}
        self._recovery = Recovery(ws, self._log)
        self._due[self._recover] = time.monotonic() + _SAMPLE_S
        self._due[self._glance] = time.monotonic() + GLANCE_S
        self._due[Upkeep(ws, self._log).step] = 0.0
        self._said = ""
        self._stepped = time.monotonic()
        token = self._row.row.token
        checks = HealthChecks(ws, token, self._pulse, alerts=self._holding)
        self._requests = RequestCounts()
        self._metrics = Metrics(ws, self._requests, checks)
        self._alerts = Alerts(ws, lambda: figures_of(self._metrics.read()), self._log)
        self._http = HttpServer(ws, token, checks, self._log, requests=self._requests, metrics=self._metrics)

    def run(self) -> None:
        """Work until somebody wishes the end.

        Raises:
            EnvironmentFailed: The database cannot be opened at the start.
        """
        connection = self._database.connection()
        self._row.write(connection, self._database.opened)
        self._tell(connection, "worker_started", f"worker {self._row.row.pid} started")
        self._recover(connection)
        self._follower.start()
        self._http.start()
        pause = TICK_S
        while not self._stop.asked():
            if self._is_gone():
                break
            pause = TICK_S if self._attempt() else min(pause * 2, _LONGEST_PAUSE_S)
            self._alerts.step()  # also while the database fails
            self._rest(pause)
        self._wind_up()

    def _recover(self, _: sqlite3.Connection) -> None:
        """Finish or undo what a crash cut off, while this loop goes on."""
        self._recovery.begin()

    def _glance(self, _: sqlite3.Connection) -> None:
        """The same soon after a crash, and next to nothing when there was none; likewise for the guard of a watch."""
        self._recovery.glance()
        self._recovery.glance_at_guard()

    def _is_gone(self) -> bool:
        """Whether this worker has become invisible: another one may start now, so this one ends."""
        if self._lost():
            self._stop.ask("its lock file was removed")
            self._log.write("warning", "worker", "lock_lost", "the lock file was removed, this worker ends")
            return True
        return False

    def _attempt(self) -> bool:
        """One step; a failing database is told once and tried again later, it never ends the worker."""
        try:
            self._step(self._database.connection())
        except Exception as error:  # whatever it is, the worker goes on
            text = f"{type(error).__name__}: {visible(str(error))}"
            if text != self._said:
                self._log.write("error", "worker", "trouble", text, fields={"traceback": format_exception(error)})
                self._said = text
            self._database.close()
            return False
        self._stepped = time.monotonic()
        if self._said:
            self._log.write("info", "worker", "trouble_over", "the worker can go on")
            self._said = ""
        return True

    def _is_working(self) -> bool:
        return self._runner.busy or self._follower.hashing or self._recovery.busy

    def _pulse(self) -> Pulse:
        """How this worker is, for its health; asked from other threads."""
        return Pulse(
            step_s=time.monotonic() - self._stepped,
            trouble=self._said,
            working=self._is_working(),
            pool_trouble=self._follower.pool_trouble,
            note=self._row.row.note,
            lost=self._log.dropped,
        )

    def _holding(self) -> Sequence[AlertRow]:
        """The alerts that hold, for the health, which is there before them."""
        return self._alerts.raised()

    def _step(self, connection: sqlite3.Connection) -> None:
        self._row.set(state="working" if self._is_working() else "idle")
        self._row.write(connection, self._database.opened)
        if not self._runner.busy and not self._recovery.busy:
            job = claim_next(connection, self._row.row.token)
            if job is not None:
                self._log.write("info", "worker", "job_started", f"{job.kind} for {job.requested_by}", job.run_id)
                self._row.set(state="working")
                self._row.write(connection, self._database.opened)
                self._runner.start(job)
        for act, due in list(self._due.items()):
            if time.monotonic() >= due:
                every = {self._forget: _FORGET_S, self._glance: GLANCE_S}
                self._due[act] = next_due(due, time.monotonic(), every.get(act, _SAMPLE_S))
                act(connection)

    def _sample(self, connection: sqlite3.Connection) -> None:
        self._metrics.keep(connection)

    def _forget(self, connection: sqlite3.Connection) -> None:
        now = clock.now()
        forget_events(connection, now - EVENTS_KEPT_S)
        forget_old(connection, now)
        forget_watches(connection, now)

    def _job_ended(self, job: Job) -> None:
        self._log.write("info", "worker", "job_ended", f"job {job.id} is over or left", job.run_id)
        self._follower.job_ended()

    def _tell(self, connection: sqlite3.Connection, event: str, message: str) -> None:
        add_event(connection, "info", "worker", event, message)
        self._log.write("info", "worker", event, message)

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop.asked() and not self._lost():
            time.sleep(min(TICK_S, max(0.0, until - time.monotonic())))

    def _wind_up(self) -> None:
        """Let job and scan come to their next checkpoint; the guard of the wish ends what does not."""
        self._http.stop()
        self._row.set(state="stopping")
        for note in (
            lambda c: self._row.write(c, self._database.opened),
            lambda c: self._tell(c, "worker_stopping", f"worker stops ({self._stop.reason})"),
        ):
            try:
                note(self._database.connection())
            except (sqlite3.Error, MobiusError, OSError) as error:
                self._log.write("error", "worker", "database", visible(str(error)))
        while not (self._runner.join(0.1) and self._follower.ended(0.1) and self._recovery.join(0.1)):
            pass
        self._database.close()


def next_due(due: float, now: float, every: float) -> float:
    """When an act is due again: by its own beat, so that no minute goes without a sample; from now on when it is late.

    Args:
        due: When it was due.
        now: When it is done.
        every: Seconds between two.
    """
    return due + every if due + every > now else now + every
