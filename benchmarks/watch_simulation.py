"""How often a watch rolls back a healthy service, and how soon a broken one: `python benchmarks/watch_simulation.py`.

    python benchmarks/watch_simulation.py [--watches 10000] [--baseline 1000] [--seed 1] [--json FILE]

Whole watches of 60 measurements go through `rules.judge` itself. Drawn anew for each: 20 to 200 images a minute, the
baseline (its failures and its p95, from so many images), how much the hash times vary (sigma of their logarithm 0.3
to 1.2: scans of one kind, a mixed library), the load of the machine from minute to minute, busy phases, stalls that
hit a few images in a row, measurements left out, single failed health requests, the walk of the queue.

Beside it two readings of the same rules: `plain` fires as soon as a limit is passed (100 samples and 5 failures, 50
durations), `limit only` asks for the chance of so many failures at exactly the limit and believes the baseline.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mobius_tui.guard.binomial import chance_of
from mobius_tui.guard.limits import CHANCE, FAILURES_NEEDED, FEWEST_FAILURES, P95_NEEDED
from mobius_tui.guard.model import Baseline, CatalogueLook, HealthLook, Measurement, Plan, RuleRow
from mobius_tui.guard.rules import judge, nearest_rank

TICKS = 60
LATEST_START = 50
"""The last minute at which a fault begins: with 20 images a minute five minutes pass before 100 are there."""

HEALTHY_RATE, FAULTY_RATE, SLOWER = 0.01, 0.12, 4.0

FAULTS = {
    "healthy": (False, False),
    "12 % failures": (True, False),
    "p95 x 4": (False, True),
    "both": (True, True),
}

Judging = Callable[[Plan, Sequence[Measurement]], set[str]]
"""The names of the rules that fire."""


@dataclass(slots=True)
class Result:
    """What came of all watches of one kind under one reading of the rules."""

    fault: str
    reading: str
    baseline: int
    watches: int = 0
    early: int = 0
    found: int = 0
    minutes: list[int] = field(default_factory=list)
    by_rule: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, object]:
        ordered = sorted(self.minutes)
        return {
            "fault": self.fault,
            "reading": self.reading,
            "baseline": self.baseline,
            "watches": self.watches,
            "false": self.early / self.watches,
            "found": self.found / self.watches,
            "median": statistics.median(ordered) if ordered else None,
            "p95": nearest_rank(ordered, 0.95),
            "by_rule": dict(self.by_rule),
        }


@dataclass(frozen=True, slots=True)
class Service:
    """One service and its machine, as drawn."""

    images: int
    sigma: float
    baseline: Baseline
    start: int


def draw_service(rng: np.random.Generator, samples: int, *, faulty: bool) -> Service:
    """A service; ``samples``: images of the baseline; its ``start`` is the tick at which a fault begins to show."""
    sigma = float(rng.uniform(0.3, 1.2))
    failures = int(rng.binomial(samples, HEALTHY_RATE))
    baseline = Baseline(
        source="probes",
        samples=samples,
        failures=failures,
        failure_rate=failures / samples,
        p95_ms=nearest_rank((12 * rng.lognormal(0, sigma, samples)).tolist(), 0.95),
        queue=int(rng.integers(0, 300)),
    )
    start = int(rng.integers(1, LATEST_START + 1)) if faulty else TICKS + 1
    return Service(int(rng.integers(20, 201)), sigma, baseline, start)


def measurements(rng: np.random.Generator, service: Service, *, failing: bool, slow: bool) -> Iterator[Measurement]:
    """Its measurements, one after another."""
    load = rng.lognormal(0, 0.15, TICKS)
    if rng.random() < 1 / 3:
        busy = int(rng.integers(0, TICKS))
        load[busy : busy + 5] *= 1.8
    queue = service.baseline.queue + np.cumsum(rng.poisson(2, TICKS) - rng.poisson(2, TICKS))
    left_out, alone, unasked = rng.random((3, TICKS)) < [[0.01], [0.005], [0.005]]
    for tick in range(1, TICKS + 1):
        if left_out[tick - 1]:
            continue
        broken = tick >= service.start
        failures = int(rng.binomial(service.images, FAULTY_RATE if broken and failing else HEALTHY_RATE))
        times = 12 * rng.lognormal(0, service.sigma, service.images - failures) * load[tick - 1]
        if broken and slow:
            times *= SLOWER
        if rng.random() < 0.02:
            hit = int(rng.integers(0, len(times)))
            times[hit : hit + int(rng.integers(1, 6))] += rng.uniform(1000, 5000)
        yield Measurement(
            tick,
            at=60.0 * tick,
            elapsed_s=60.0 * tick,
            health=HealthLook(None if unasked[tick - 1] else not alone[tick - 1]),
            source="probes",
            samples=service.images,
            failures=failures,
            durations_ms=tuple(times.tolist()),
            queue=max(0, int(queue[tick - 1])),
            catalogue=CatalogueLook(True),
        )


def rows_of(plan: Plan, seen: Sequence[Measurement]) -> tuple[RuleRow, ...]:
    """What `judge` says of the whole watch; it is given no more measurements than its rules look at."""
    short = max(5, math.ceil(FAILURES_NEEDED / seen[-1].samples) + 1)
    rows = judge(plan, seen[-short:])
    if any(row.rule == "p95" and (row.value or 0) > (row.limit or 0) for row in rows):
        return judge(plan, seen)
    return rows


def as_built(plan: Plan, seen: Sequence[Measurement]) -> set[str]:
    return {row.rule for row in rows_of(plan, seen) if row.verdict == "fail"}


def plain(plan: Plan, seen: Sequence[Measurement]) -> set[str]:
    """The limits alone."""
    return _literal(rows_of(plan, seen), chance=1.1)


def limit_only(plan: Plan, seen: Sequence[Measurement]) -> set[str]:
    """The chance at exactly the limit, the baseline taken for the truth."""
    return _literal(rows_of(plan, seen), chance=CHANCE)


def _literal(rows: Sequence[RuleRow], chance: float) -> set[str]:
    fired = {row.rule for row in rows if row.verdict == "fail" and row.rule not in {"failures", "p95"}}
    for row in rows:
        if row.rule not in {"failures", "p95"} or row.value is None or row.limit is None or row.value <= row.limit:
            continue
        failures = round(row.value * row.samples)
        if row.rule == "p95" and row.samples >= P95_NEEDED:
            fired.add(row.rule)
        enough = row.samples >= FAILURES_NEEDED and failures >= FEWEST_FAILURES
        if row.rule == "failures" and enough and chance_of(failures, row.samples, row.limit) < chance:
            fired.add(row.rule)
    return fired


READINGS: dict[str, Judging] = {"as built": as_built, "limit only": limit_only, "plain": plain}


def run_watch(rng: np.random.Generator, samples: int, fault: str, judging: Judging) -> tuple[int, int, set[str]]:
    """One watch: the tick at which its fault begins, that of its rollback (0: never), and the rules that fired."""
    failing, slow = FAULTS[fault]
    service = draw_service(rng, samples, faulty=failing or slow)
    plan = Plan("watch-20261120T120000Z", auto=True, baseline=service.baseline)
    seen: list[Measurement] = []
    for measurement in measurements(rng, service, failing=failing, slow=slow):
        seen.append(measurement)
        fired = judging(plan, seen)
        if fired:
            return service.start, measurement.number, fired
    return service.start, 0, set()


def simulate(watches: int, samples: int, fault: str, reading: str, seed: int) -> Result:
    """So many watches of one kind; the same seed draws the same services for every reading."""
    result = Result(fault, reading, samples, watches)
    for number in range(watches):
        rng = np.random.default_rng([seed, number])
        start, at, fired = run_watch(rng, samples, fault, READINGS[reading])
        if at and at < start:
            result.early += 1
        elif at:
            result.found += 1
            result.minutes.append(at - start + 1)
        result.by_rule.update(fired)
    return result


def row(result: Result) -> str:
    told = result.summary()
    rules = ", ".join(f"{rule} {count:,}" for rule, count in sorted(result.by_rule.items())) or "-"
    healthy = result.fault == "healthy"
    found = "-" if healthy else f"{100 * result.found / result.watches:.2f} %"
    times = "-" if healthy or told["median"] is None else f"{told['median']:.0f} / {told['p95']:.0f} min"
    false = f"{100 * result.early / result.watches:.2f} %"
    return f"| {result.fault} | {result.reading} | {result.baseline:,} | {false} | {found} | {times} | {rules} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watches", type=int, default=10_000)
    parser.add_argument("--baseline", type=int, nargs="*", default=[1000])
    parser.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--readings", nargs="*", default=list(READINGS), choices=list(READINGS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began, kept = time.monotonic(), []
    print("| service | reading | baseline | rolled back before any fault | found | median / p95 | rules |")
    print("|---|---|---|---|---|---|---|")
    for samples in options.baseline:
        for fault in options.faults:
            for reading in options.readings:
                result = simulate(options.watches, samples, fault, reading, options.seed)
                kept.append(result.summary())
                print(row(result), flush=True)
    print(f"\n{options.watches:,} watches a row, seed {options.seed}, {time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
