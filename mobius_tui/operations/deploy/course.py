"""The course of one deploy: what its steps share, and how each is journalled, limited and shown."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType

from mobius_tui.errors import EnvironmentFailed, MobiusError, TimeLimit
from mobius_tui.guard.canary import watch_canary
from mobius_tui.guard.collector import baseline_budget, take_baseline
from mobius_tui.guard.files import OpenWatch
from mobius_tui.guard.launch import START_S, start_guard
from mobius_tui.guard.model import Baseline, Outcome, Plan
from mobius_tui.launch.health import Health, ask_health
from mobius_tui.operations.deploy.options import DeployOptions, StepState
from mobius_tui.operations.migrate import Prepared
from mobius_tui.operations.progress import Counts, Progress
from mobius_tui.operations.smoke import SmokeReport, run_smoke
from mobius_tui.recovery.journal import Journal
from mobius_tui.recovery.staging import hash_or_absent, real_file, staged_path
from mobius_tui.settings import Settings
from mobius_tui.system import clock
from mobius_tui.text import human_seconds, visible
from mobius_tui.workspace import Workspace

GRACE_S = 20.0
"""A step that does not hear that its time is over is interrupted so many seconds later."""


def guard_now(ws: Workspace, planned: Path) -> OpenWatch:
    """Have the guard, a process of its own, take up a watch.

    Args:
        ws: The workspace.
        planned: The watch's journal.

    Returns:
        The watch, taken up.

    Raises:
        MobiusError: No guard could be started, or it does not come to this watch.
    """
    flagged = ws.sourced.sources.get("environment") == "flag"
    until = time.monotonic() + START_S
    while True:
        watch = start_guard(ws, os.environ, ws.settings.environment if flagged else None)
        if watch.path == planned:
            return watch
        if time.monotonic() > until:  # one without a verdict gives way to a new publication
            raise EnvironmentFailed(f"the guard still holds {watch.run}", fix="`mobius watch status` says why")
        time.sleep(0.25)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a deploy takes from outside: time, and whoever answers for the service.

    Attributes:
        sleep: Waits for some seconds.
        monotonic: Seconds that never go back.
        ask: Asks the service how it is.
        smoke: Runs the smoke tests.
        baseline: Measures how the service is before anything goes live.
        watch_canary: Measures and judges until a canary's time is over, from (workspace, plan, note, checkpoint).
        start_guard: Has the guard take up the watch of this journal.
    """

    sleep: Callable[[float], object] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    ask: Callable[[Workspace], Health] = ask_health
    smoke: Callable[[Workspace], SmokeReport] = lambda ws: run_smoke(ws, quick=False)
    baseline: Callable[[Workspace], Baseline] = lambda ws: take_baseline(
        ws, "", budget_s=baseline_budget(ws.settings.watch_seconds)
    )
    watch_canary: Callable[[Workspace, Plan, Callable[..., object], Callable[[], object]], tuple[Outcome, str]] = (
        watch_canary
    )
    start_guard: Callable[[Workspace, Path], OpenWatch] = guard_now


class Again(Exception):
    """The catalogue was written by others: the deploy starts over from the backup with what they wrote."""


@dataclass(slots=True)
class Course:
    """The state of a running deploy; its steps read and write it.

    Attributes:
        ws: The workspace.
        connection: The database.
        options: What is asked for.
        progress: Told of everything; asked whether to go on.
        around: Time and the service.
        journal: The journal; open.
        rows: The table of steps as people see it.
        round: How often the catalogue has been read, from 1.
        before: SHA-256 of the live file that was read; ``absent`` when there was none, empty before that.
        after: SHA-256 of the staged content; empty before it was staged.
        backup: Name of the way back; None when there was no catalogue.
        prepared: The migration; None with ``--from``.
        entries: Entries of the staged catalogue.
        with_dhash: Entries with a dHash: before, staged.
        began: When it began, monotonic seconds.
        began_at: When it began, seconds since the epoch.
        hooked: Whether the hook before the swap has run.
        published: SHA-256 of what the last swap made live; empty before that.
        displaced: SHA-256 of what it displaced; ``absent`` when there was nothing.
        canary: SHA-256 of the canary of this round; empty when there is none.
        canary_passed: Whether a canary was accepted, in this round or an earlier one.
        baseline: How the service was before anything went live; None when it was not measured.
        planned: The journal of the watch that is planned; None when none is.
        lost: Whether the catalogue's lock is no longer what others see.
    """

    ws: Workspace
    connection: sqlite3.Connection
    options: DeployOptions
    progress: Progress
    around: Surroundings
    journal: Journal
    rows: dict[str, StepState]
    began: float
    began_at: float
    round: int = 1
    before: str = ""
    after: str = ""
    backup: str | None = None
    prepared: Prepared | None = None
    entries: int | None = None
    with_dhash: tuple[int | None, int | None] = (None, None)
    hooked: bool = False
    published: str = ""
    displaced: str = ""
    canary: str = ""
    canary_passed: bool = False
    baseline: Baseline | None = None
    planned: Path | None = None
    lost: Callable[[], bool] = lambda: False

    @property
    def staged(self) -> Path:
        """Where the new content is staged; after the swap, what it displaced."""
        return staged_path(self.ws.catalogue, self.journal.run_id)

    def live_hash(self) -> str:
        """SHA-256 of the live file now, or ``absent``."""
        return hash_or_absent(real_file(self.ws.catalogue))

    def staged_hash(self) -> str:
        """SHA-256 of what lies under the staged name, or ``absent``."""
        return hash_or_absent(self.staged)

    def say(self, text: str, level: str = "info") -> None:
        """Tell a sentence of events and logs."""
        self.progress.event(level, "deploy", text)

    def show(self, question: str = "") -> None:
        """Show the table of steps, and what is asked."""
        asked = {"question": question} if question else {}
        self.progress.show({"steps": [row.to_json() for row in self.rows.values()], "round": self.round, **asked})

    def wait(self, seconds: float, look: Callable[[], object] = lambda: None) -> None:
        """Wait, looking at something four times a second, open to being cancelled."""
        until = self.around.monotonic() + seconds
        while True:
            self.progress.checkpoint()
            look()
            left = until - self.around.monotonic()
            if left <= 0:
                return
            self.around.sleep(min(0.25, left))

    @contextlib.contextmanager
    def step(self, name: str, limit_s: float, *, last: bool = False) -> Iterator[StepState]:
        """Take one step: journalled before and after, within its time.

        Args:
            name: The step.
            limit_s: Seconds it may take.
            last: Nothing is left to be undone, so it is not open to being cancelled.

        Yields:
            Its row; the step writes its reason and may call itself skipped.

        Raises:
            TimeLimit: Its time ran out.
        """
        row = self.rows[name]
        row.state, row.began, row.ended, row.reason = "running", clock.now(), None, ""
        row.limit_s = limit_s
        self.journal.note("step", step=name, state="running", round=self.round, limit_s=limit_s)
        whole, self.progress = self.progress, _Limited(self.progress, name, limit_s, self.around.monotonic)
        try:
            self.show()
            self.progress.phase(name)
            if not last:
                self.progress.checkpoint()
            with _interrupted_after(name, limit_s + GRACE_S):
                yield row
        except Again as again:
            row.state, row.reason = "again", str(again)
            raise
        except BaseException as error:
            row.state, row.reason = "failed", visible(str(error) or type(error).__name__)
            raise
        else:
            row.state = "done" if row.state == "running" else row.state
            self.journal.note("step", step=name, state=row.state, round=self.round, reason=row.reason)
        finally:
            self.progress = whole
            row.ended = clock.now()
            with contextlib.suppress(sqlite3.Error):
                self.show()


class _Limited:
    """A progress that ends a step whose time is over."""

    def __init__(self, inner: Progress, step: str, limit_s: float, monotonic: Callable[[], float]) -> None:
        self.run_id = inner.run_id
        self._inner = inner
        self._step = step
        self._limit_s = limit_s
        self._monotonic = monotonic
        self._until = monotonic() + limit_s

    def phase(self, name: str, total: int | None = None, done: int = 0) -> None:
        self._inner.phase(name, total, done)

    def advance(self, counts: Counts) -> None:
        self._inner.advance(counts)

    def event(self, level: str, event: str, message: str, **fields: object) -> None:
        self._inner.event(level, event, message, **fields)

    def show(self, summary: Mapping[str, object]) -> None:
        self._inner.show(summary)

    def ask(self, question: str, patience_s: float) -> bool:
        before = self._monotonic()
        answer = self._inner.ask(question, patience_s)
        self._until += self._monotonic() - before
        return answer

    def checkpoint(self) -> None:
        before = self._monotonic()
        self._inner.checkpoint()
        paused = self._monotonic() - before
        if paused > 1.0:  # time spent paused is the operator's, not the step's
            self._until += paused
        if self._monotonic() > self._until:
            raise time_over(self._step, self._limit_s)


def time_over(step: str, limit_s: float) -> MobiusError:
    """The error of a step whose time limit ran out."""
    setting = {"before hook": "hook_seconds", "after hook": "hook_seconds"}.get(step, f"{step}_seconds")
    known = any(item.name == setting for item in fields(Settings))
    return TimeLimit(
        f"the step {step} took longer than its limit of {human_seconds(limit_s)}",
        fix=f"see why, or raise {setting} in mobius.toml" if known else "see why, then deploy again",
    )


@contextlib.contextmanager
def _interrupted_after(step: str, seconds: float) -> Iterator[None]:
    """Interrupt a step that hangs in a system call; only where this thread can be, and nobody else set the alarm."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
        or signal.getitimer(signal.ITIMER_REAL)[0]
    ):
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise time_over(step, seconds - GRACE_S)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
