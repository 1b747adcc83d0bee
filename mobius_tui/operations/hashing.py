"""Give every image of a list its fingerprint: known ones from the store, the rest from the pool, batch by batch."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mobius_tui.fingerprint.model import Limits, Profile, Task
from mobius_tui.fingerprint.pool import HashingPool
from mobius_tui.fingerprint.versions import decoder_version, failure_environment
from mobius_tui.operations.inventory import Missing, Plan, Result, Setup, Unread, in_batches, keep_outcomes, plan_work
from mobius_tui.operations.progress import Counts, Progress

DETAILS = 500
"""Failures and low-confidence images told one by one in a run; the rest is counted."""


def setup_for(profile: str, limits: Limits) -> Setup:
    """What a fingerprint of this profile depends on, on this machine."""
    return Setup(profile, decoder_version(), failure_environment(limits))


@dataclass(slots=True)
class Tally:
    """Running counts of a run, and how many details it has told."""

    done: int = 0
    low: int = 0
    missing: int = 0
    decoded: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    told: int = 0

    def counts(self) -> Counts:
        """The counts as progress shows them."""
        return Counts(self.done, self.failures.total(), self.missing, self.low, decoded=self.decoded)


def fingerprint_all(
    connection: sqlite3.Connection,
    paths: Sequence[str],
    setup: Setup,
    limits: Limits,
    progress: Progress,
    *,
    workers: int,
    batch_size: int,
    fresh: bool = False,
    names: Sequence[str] | None = None,
) -> tuple[list[Result], Tally]:
    """Fingerprint files; each finished batch is committed before progress shows it.

    Args:
        connection: The database.
        paths: Absolute paths, each once.
        setup: Profile and versions.
        limits: What one image may cost.
        progress: Told of every batch; asked before each whether to go on.
        workers: Hashing processes.
        batch_size: Images a commit.
        fresh: Decode what is known, too.
        names: How to call each path in events; None means by path.

    Returns:
        A result for each path, and the counts.

    Raises:
        Cancelled: Somebody asked for it; committed batches stay.
    """
    results: list[Result | None] = []
    tally = Tally()
    called = names or paths
    plans: list[Plan] = []
    for plan in plan_work(connection, paths, setup, fresh=fresh):
        progress.checkpoint()
        for result in plan.results:
            if result is not None:
                _count(tally, result, called[len(results)], progress)
            results.append(result)
        plans.append(Plan([], plan.tasks))
        progress.advance(tally.counts())
    place_of = {path: place for place, path in enumerate(paths) if results[place] is None}
    if place_of:
        _run_pool(connection, plans, setup, limits, progress, workers, batch_size, (results, place_of, called, tally))
    return [result if result is not None else Missing() for result in results], tally


_Open = tuple[list[Result | None], dict[str, int], Sequence[str], Tally]


def _run_pool(
    connection: sqlite3.Connection,
    plans: list[Plan],
    setup: Setup,
    limits: Limits,
    progress: Progress,
    workers: int,
    batch_size: int,
    work: _Open,
) -> None:
    results, place_of, called, tally = work
    profile: Profile = "fast" if setup.profile == "fast" else "exact"
    number = 0
    with HashingPool(profile, limits, workers) as pool:
        for batch in in_batches(pool.map(_tasks(plans)), batch_size):
            kept = keep_outcomes(connection, batch, setup, progress.run_id)
            number += 1
            for outcome in batch:
                place = place_of[outcome.path]
                results[place] = kept[outcome.path]
                tally.decoded += outcome.status not in {"same", "missing"}
                _count(tally, kept[outcome.path], called[place], progress)
            progress.event("debug", "batch", f"batch {number}: {len(batch)} images", batch=number, images=len(batch))
            progress.advance(tally.counts())
            progress.checkpoint()


def _tasks(plans: list[Plan]) -> Iterator[Task]:
    for plan in plans:
        yield from plan.tasks


def _count(tally: Tally, result: Result, name: str, progress: Progress) -> None:
    tally.done += 1
    if isinstance(result, Missing):
        tally.missing += 1
        _tell(tally, progress, "warning", "image_missing", f"missing  {name}", name)
    elif isinstance(result, Unread):
        tally.failures[result.cause] += 1
        _tell(tally, progress, "warning", "image_failed", f"failed  {name}  {result.error}", name)
    elif result.status == "failed":
        tally.failures[result.cause or "other"] += 1
        _tell(tally, progress, "warning", "image_failed", f"failed  {name}  {result.error}", name)
    elif result.status == "low_confidence":
        tally.low += 1
        text = f"low confidence  {name}  {result.confidence or 0.0:.2f}  {result.reason or ''}".rstrip()
        _tell(tally, progress, "info", "low_confidence", text, name)


def _tell(tally: Tally, progress: Progress, level: str, event: str, message: str, name: str) -> None:
    if tally.told < DETAILS:
        progress.event(level, event, message, path=name)
    elif tally.told == DETAILS:
        progress.event("info", "details_end", f"more than {DETAILS} such images; the rest is only counted")
    tally.told += 1
