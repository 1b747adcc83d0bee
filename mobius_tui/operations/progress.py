"""How an operation tells where it is, and hears that it should pause or end."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from mobius_tui.errors import Cancelled
from mobius_tui.logs import JsonLog
from mobius_tui.store.events import add_event
from mobius_tui.store.jobs import Job, ask, keep_summary, update_job, wanted_of
from mobius_tui.text import counted

ASKING = "a question"
"""Who has paused a job that waits for an answer."""

WRITE_EVERY_S = 0.25
"""Progress reaches the database at most this often."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a run is: images done of a total, and what they came out as."""

    done: int = 0
    failed: int = 0
    missing: int = 0
    low: int = 0
    exact: int = 0
    waiting: int = 0
    decoded: int = 0


class Progress(Protocol):
    """What an operation needs of its surroundings."""

    run_id: str

    def phase(self, name: str, total: int | None = None, done: int = 0) -> None:
        """A new phase begins; ``total`` images are in it, ``done`` of them need no work."""

    def advance(self, counts: Counts) -> None:
        """The counts are now these."""

    def event(self, level: str, event: str, message: str, **fields: object) -> None:
        """Something happened that people should be able to read later."""

    def show(self, summary: Mapping[str, object]) -> None:
        """What the job has to show while it runs, such as the steps of a deploy."""

    def ask(self, question: str, patience_s: float) -> bool:
        """Wait for a person's yes (resume) or no (cancel); False when nobody answers within some seconds.

        Raises:
            Cancelled: The answer is no.
        """

    def checkpoint(self) -> None:
        """Wait here while paused.

        Raises:
            Cancelled: The operation should end; what is committed stays.
        """


class Stopping(Exception):
    """The process that runs the job is ending; the job stays as it is and is resumed."""


@dataclass(frozen=True, slots=True)
class Tick:
    """What a line of progress on a terminal needs."""

    phase: str
    total: int | None
    counts: Counts
    rate: float | None
    eta_s: float | None
    paused_by: str


class StoreProgress:
    """Progress that is written to a job's row, to events and to the run log.

    Args:
        connection: The database, of the calling thread.
        job: The row.
        log: The run log.
        stopping: Says whether this process should end; the job then stays resumable.
        on_tick: Called with each written state, for a terminal.
        mirror: A second log, the worker's service log.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        job: Job,
        log: JsonLog,
        *,
        stopping: Callable[[], bool] = lambda: False,
        on_tick: Callable[[Tick], None] = lambda _: None,
        mirror: JsonLog | None = None,
    ) -> None:
        self.run_id = job.run_id
        self._connection = connection
        self._job = job
        self._log = log
        self._mirror = mirror
        self._stopping = stopping
        self._on_tick = on_tick
        self._phase = ""
        self._total: int | None = None
        self._counts = Counts()
        self._began = time.monotonic()
        self._paused_s = 0.0
        self._first_done = 0
        self._warm = False
        self._written = 0.0
        self._asked = 0.0

    def phase(self, name: str, total: int | None = None, done: int = 0) -> None:
        """Begin a phase; rate and ETA start anew, and what is done already does not count for them."""
        self._phase, self._total = name, total
        if total is not None:
            self._counts = replace(self._counts, done=done)
        self._began, self._paused_s, self._first_done = time.monotonic(), 0.0, self._counts.done
        self._warm = False
        self.event("info", "phase", name if total is None else f"{name}: {counted(total)}", total=total)
        self._write()

    def advance(self, counts: Counts) -> None:
        """Note the counts; written at most four times a second."""
        if self._counts.done == self._first_done < counts.done and not self._warm:
            # Until the first batch is back its processes start: that time would make the ETA ten times too long.
            self._began, self._paused_s, self._first_done, self._warm = time.monotonic(), 0.0, counts.done, True
        self._counts = counts
        if time.monotonic() - self._written >= WRITE_EVERY_S:
            self._write()

    def event(self, level: str, event: str, message: str, **fields: object) -> None:
        """Write an event to the database and the logs."""
        message = message.encode("utf-8", "backslashreplace").decode()  # half characters cannot be stored
        add_event(self._connection, level, self._job.kind, event, message, run_id=self.run_id, fields=fields)
        for log in (self._log, self._mirror):
            if log is not None:
                log.write(level, self._job.kind, event, message, self.run_id, fields)

    def show(self, summary: Mapping[str, object]) -> None:
        """Keep it in the job's row."""
        keep_summary(self._connection, self._job.id, summary)

    def checkpoint(self) -> None:
        """Wait while paused; leave when cancelled or when the process ends."""
        if self._stopping():
            raise Stopping
        if time.monotonic() - self._asked < WRITE_EVERY_S:
            return
        self._asked = time.monotonic()
        wanted, who = wanted_of(self._connection, self._job.id)
        if wanted == "pause":
            wanted, who = self._wait_paused(who)
        if wanted == "cancel":
            self._write()
            raise Cancelled(f"cancelled by {who}", fix=self._again())

    def ask(self, question: str, patience_s: float) -> bool:
        """Pause with a question in view until somebody resumes or cancels the job, or the patience ends."""
        self.event("warning", "question", question)
        ask(self._connection, self._job.id, "pause", ASKING)
        self._write(state="paused", paused_by=ASKING)
        since = time.monotonic()
        while True:
            if self._stopping():
                raise Stopping
            wanted, who = wanted_of(self._connection, self._job.id)
            if wanted != "pause":
                break
            if time.monotonic() - since > patience_s:
                ask(self._connection, self._job.id, "run", ASKING)
                self._write()
                return False
            time.sleep(WRITE_EVERY_S)
        self._paused_s += time.monotonic() - since
        self._write()
        if wanted == "cancel":
            raise Cancelled(f"cancelled by {who}: {question}")
        self.event("info", "answered", f"accepted by {who}: {question}")
        return True

    def _again(self) -> str:
        """What to do after a cancellation; of a deploy, images are spoken of only where any were decoded."""
        kept = "finished images are not decoded twice"
        if self._job.kind != "deploy":
            return f"start it again; {kept}"
        return "`mobius deploy` starts another one" + (f"; {kept}" if self._counts.decoded else "")

    def flush(self) -> None:
        """Write the state now."""
        self._write()

    def _wait_paused(self, who: str) -> tuple[str, str]:
        self.event("info", "paused", f"paused by {who}")
        self._write(state="paused", paused_by=who)
        since = time.monotonic()
        wanted = "pause"
        while wanted == "pause":
            if self._stopping():
                raise Stopping
            time.sleep(WRITE_EVERY_S)
            wanted, who = wanted_of(self._connection, self._job.id)
        self._paused_s += time.monotonic() - since
        self.event("info", "resumed", f"resumed by {who}")
        self._write()
        return wanted, who

    def _write(self, state: str = "running", paused_by: str = "") -> None:
        rate, eta = self._speed()
        c = self._counts
        update_job(
            self._connection,
            self._job.id,
            state=state,
            phase=self._phase,
            total=self._total,
            rate=rate,
            eta_s=eta,
            **asdict(c),
        )
        self._written = time.monotonic()
        self._on_tick(Tick(self._phase, self._total, c, rate, eta, paused_by))

    def _speed(self) -> tuple[float | None, float | None]:
        """Images a second since the phase's first batch was back, paused time left out, and the seconds left."""
        elapsed = time.monotonic() - self._began - self._paused_s
        finished = self._counts.done - self._first_done
        if self._total is None or finished <= 0 or elapsed <= 0.05:
            return None, None
        rate = finished / elapsed
        return rate, max(0.0, (self._total - self._counts.done) / rate)
