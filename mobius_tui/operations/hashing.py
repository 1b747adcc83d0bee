"""Give every image of a list its fingerprint: known ones from the store, the rest from the pool, batch by batch."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mobius_tui.fingerprint.model import Limits, Outcome, Profile, Task
from mobius_tui.fingerprint.pool import HashingPool
from mobius_tui.fingerprint.versions import decoder_version, failure_environment
from mobius_tui.operations.inventory import Missing, Plan, Result, Setup, Unread, in_batches, keep_outcomes, plan_work
from mobius_tui.operations.progress import Counts, Progress
from mobius_tui.text import counted

DETAILS = 500
"""Failures and low-confidence images told one by one in a run; the rest is counted."""


def setup_for(profile: str, limits: Limits) -> Setup:
    """What a fingerprint of this profile depends on, on this machine."""
    return Setup(profile, decoder_version(), failure_environment(limits))


@dataclass(slots=True)
class Tally:
    """Running counts of a run, and how many details it has told.

    Attributes:
        decoded: Images whose bytes were turned into a fingerprint or found to be none; known ones are not among them.
        hashing_s: Seconds that took, paused time left out.
    """

    done: int = 0
    low: int = 0
    missing: int = 0
    decoded: int = 0
    hashing_s: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    told: int = 0

    def counts(self) -> Counts:
        """The counts as progress shows them."""
        return Counts(self.done, self.failures.total(), self.missing, self.low, decoded=self.decoded)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a list of images is fingerprinted.

    Attributes:
        setup: Profile and versions.
        limits: What one image may cost.
        workers: Hashing processes.
        batch_size: Images a commit.
        temp_dir: Folder for what decoders write meanwhile; None means the system's.
        since: Trust only what was found out from this time on, seconds since the epoch; 0 trusts everything.
        phase: What this work is called.
        tell: Whether single images are told of in events.
    """

    setup: Setup
    limits: Limits
    workers: int
    batch_size: int
    temp_dir: str | None = None
    since: float = 0.0
    phase: str = "hashing"
    tell: bool = True


def fingerprint_all(
    connection: sqlite3.Connection,
    paths: Sequence[str],
    manner: Manner,
    progress: Progress,
    *,
    names: Sequence[str] | None = None,
    counts: Callable[[Tally], Counts] = Tally.counts,
) -> tuple[list[Result], Tally]:
    """Fingerprint files; each finished batch is committed before progress shows it.

    Args:
        connection: The database.
        paths: Absolute paths, each once.
        manner: Profile, limits and so on.
        progress: Told of every batch; asked before each whether to go on.
        names: How to call each path in events; None means by path.
        counts: What progress shows of the running counts.

    Returns:
        A result for each path, and the counts.

    Raises:
        Cancelled: Somebody asked for it; committed batches stay.
    """
    work = _Work(paths, names or paths, manner, progress, counts)
    progress.phase("comparing with what is known", len(paths))
    for plan in plan_work(connection, paths, manner.setup, since=manner.since):
        progress.checkpoint()
        work.add(plan)
    progress.phase(manner.phase, len(paths), done=work.tally.done)
    if work.tasks:
        _run_pool(connection, work)
    return [result or Unread("its result was lost", "crash") for result in work.results], work.tally


class _Work:
    """Results so far, the work left, and the counts.

    Args:
        paths: All files.
        names: How to call each.
        manner: How they are fingerprinted.
        progress: Told of everything.
        shown: What progress shows of the counts.
    """

    def __init__(
        self,
        paths: Sequence[str],
        names: Sequence[str],
        manner: Manner,
        progress: Progress,
        shown: Callable[[Tally], Counts],
    ) -> None:
        self.names = names
        self.manner = manner
        self.progress = progress
        self.results: list[Result | None] = []
        self.tasks: list[Task] = []
        self.places: dict[str, int] = {}
        self.tally = Tally()
        self._paths = paths
        self._shown = shown

    def add(self, plan: Plan) -> None:
        """Take over a slice of the plan."""
        for result in plan.results:
            place = len(self.results)
            self.results.append(result)
            if result is None:
                self.places[self._paths[place]] = place
            else:
                self._count(result, place)
        self.tasks += plan.tasks
        self.advance()

    def settle(self, outcome: Outcome, result: Result) -> None:
        """Note what the pool and the store made of a file."""
        place = self.places[outcome.path]
        self.results[place] = result
        self.tally.decoded += outcome.status not in {"same", "missing"} and outcome.sha256 is not None
        self._count(result, place)

    def advance(self) -> None:
        """Show the counts."""
        self.progress.advance(self._shown(self.tally))

    def _count(self, result: Result, place: int) -> None:
        tally, name = self.tally, self.names[place]
        tally.done += 1
        if isinstance(result, Missing):
            tally.missing += 1
            self._tell("warning", "image_missing", f"missing  {name}", name)
        elif isinstance(result, Unread) or result.status == "failed":
            tally.failures[result.cause or "other"] += 1
            self._tell("warning", "image_failed", f"failed  {name}  {result.error}", name)
        elif result.status == "low_confidence":
            tally.low += 1
            text = f"low confidence  {name}  {result.confidence or 0.0:.2f}  {result.reason or ''}".rstrip()
            self._tell("info", "low_confidence", text, name)

    def _tell(self, level: str, event: str, message: str, name: str) -> None:
        if not self.manner.tell:
            return
        if self.tally.told < DETAILS:
            self.progress.event(level, event, message, path=name)
        elif self.tally.told == DETAILS:
            self.progress.event("info", "details_end", f"more than {DETAILS} such images; the rest is only counted")
        self.tally.told += 1


def _run_pool(connection: sqlite3.Connection, work: _Work) -> None:
    """Fingerprint what is left; a batch is committed, then shown, then it is asked whether to go on."""
    manner, progress = work.manner, work.progress
    profile: Profile = "fast" if manner.setup.profile == "fast" else "exact"
    number = 0
    began = time.monotonic()
    with HashingPool(profile, manner.limits, manner.workers, temp_dir=manner.temp_dir) as pool:
        for batch in in_batches(pool.map(work.tasks), manner.batch_size):
            kept = keep_outcomes(connection, batch, manner.setup, progress.run_id, fresh=manner.since > 0)
            number += 1
            for outcome in batch:
                work.settle(outcome, kept[outcome.path])
            progress.event("debug", "batch", f"batch {number}: {counted(len(batch))}", batch=number, images=len(batch))
            work.advance()
            work.tally.hashing_s += time.monotonic() - began
            progress.checkpoint()
            began = time.monotonic()
