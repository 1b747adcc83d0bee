"""The watch ends as a person would have decided: failures, p95 and the queue, at, just under and just over each limit.

By probes, by the service's totals, and by the bare rates that it tells; whole watches, see ``watch_script``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_service import EXTRACT, Answer, metrics, totals
from watch_script import (
    ACCEPTED,
    BY_PROBES,
    BY_RATES,
    BY_TOTALS,
    Ends,
    Script,
    at,
    check,
    counted,
    play,
    probed,
    rolled_back,
    since,
    undecided,
)  # fmt: skip

from mobius_tui.guard import collector as collecting

RATE, P95, QUEUE = "extraction_failures_rate", "p95_hash_time_ms", "low_confidence_queue_length"
PROBED, TOTALED, TOLD = BY_PROBES.baseline, BY_TOTALS.baseline, BY_RATES.baseline
Case = tuple[Script, Ends]

BRIEF = 30
"""Minutes of a watch that shows no more in an hour."""


def tells(name: str, value: Any, *minutes: Any, lasts: int = BRIEF, **before: Any) -> Script:
    """A service that tells bare rates: one figure differs at some minutes, else always; ``before`` is its baseline."""
    other = metrics(**{name: value})
    when = tuple(minute for each in minutes for minute in (each if isinstance(each, range) else (each,)))
    figures = at({when: other}, metrics()) if when else lambda _: other
    return replace(BY_RATES, figures=figures, minutes=lasts, baseline={**TOLD, **before})


def fails(of_100: Callable[[int], int], images: int = 100, lasts: int = BRIEF, **before: Any) -> Script:
    """A service that counts: of the images of each minute so many fail; nothing failed before unless said."""
    nothing = {"samples": 1000, "failures": 0, "failure_rate": 0.0}
    figures, baseline = counted(of_100, lambda _: images), {**TOTALED, **nothing, **before}
    return replace(BY_TOTALS, figures=figures, minutes=lasts, baseline=baseline)


def only(minute: int, failures: int) -> Callable[[int], int]:
    return lambda now: failures if now == minute else 0


def probes(images: int, failing: Callable[[int], int] = lambda _: 0, minutes: int = 6, **before: Any) -> Script:
    """So many probes a minute."""
    return replace(BY_PROBES, probe=probed(failing), images=images, minutes=minutes, baseline={**PROBED, **before})


def before(failures: int, samples: int) -> dict[str, Any]:
    return {"failures": failures, "samples": samples, "failure_rate": failures / samples}


OVER_AT_THE_LAST = "over its limit at the last measurement"
OVER = undecided("failures", OVER_AT_THE_LAST)

FAILURES: dict[str, Case] = {
    "bare rates: exactly 10 % for an hour": (tells(RATE, 0.10, lasts=60), ACCEPTED),
    "bare rates: over 10 % twice": (tells(RATE, 0.1001, 20, 21), ACCEPTED),
    "bare rates: over 10 % twice, at it, twice": (tells(RATE, 0.1001, 20, 21, 23, 24), ACCEPTED),
    "bare rates: over 10 % three times": (tells(RATE, 0.1001, 20, 21, 22), rolled_back("failures", 22)),
    "bare rates: from the first minute on": (tells(RATE, 1.0), rolled_back("failures", 3)),
    "bare rates: over 10 % at the last two": (
        tells(RATE, 0.1001, 59, 60, lasts=60),
        OVER,
    ),
    "bare rates: over 10 % at the last": (tells(RATE, 0.1001, 60, lasts=60), OVER),
    "bare rates: over 10 % at the last three": (tells(RATE, 0.1001, 58, 59, 60, lasts=60), rolled_back("failures", 60)),
    "bare rates: exactly 3x baseline": (tells(RATE, 0.03, failure_rate=0.01), ACCEPTED),
    "bare rates: exactly 3x baseline, where 3 x 0.018 is not 0.054": (tells(RATE, 0.054, failure_rate=0.018), ACCEPTED),
    "bare rates: over 3x baseline": (
        tells(RATE, 0.0301, 20, 21, 22, failure_rate=0.01),
        rolled_back("failures", 22),
    ),
    "bare rates: 10 % is less than 3x baseline": (tells(RATE, 0.1, failure_rate=0.05), ACCEPTED),
    "bare rates: over 10 %, less than 3x baseline": (
        tells(RATE, 0.11, failure_rate=0.05),
        rolled_back("failures", 3),
    ),
    "bare rates: no baseline, 9 %": (tells(RATE, 0.09, source="none", failure_rate=None), ACCEPTED),
    "bare rates: no baseline, 11 %": (
        tells(RATE, 0.11, source="none", failure_rate=None),
        rolled_back("failures", 3),
    ),
    "bare rates: baseline 0, 9 %": (tells(RATE, 0.09), ACCEPTED),
    "bare rates: the baseline was measured by probes": (
        tells(RATE, 0.09, **{**PROBED, "failure_rate": 0.01}),
        ACCEPTED,
    ),
    "totals: 20 of 100": (fails(only(20, 20)), ACCEPTED),
    "totals: 21 of 100": (fails(only(20, 21)), rolled_back("failures", 20)),
    "totals: 34 of 200": (fails(only(20, 34), 200), ACCEPTED),
    "totals: 35 of 200": (fails(only(20, 35), 200), rolled_back("failures", 20)),
    "totals: exactly 10 % for an hour": (fails(lambda _: 10, lasts=60), ACCEPTED),
    "totals: 11 % for an hour": (fails(lambda _: 11, lasts=60), undecided("failures", "last 3 measurements")),
    "totals: 11 % but for the last minute": (fails(lambda now: 11 if now < 60 else 0, lasts=60), ACCEPTED),
    "totals: 99 images, all failed": (fails(lambda now: 99 if now == 2 else 0, 99), rolled_back("failures", 3)),
    "totals: 100 images, all failed": (fails(only(2, 100)), rolled_back("failures", 2)),
    "totals: 2 images a minute, all failed": (
        fails(lambda _: 2, 2, lasts=60, **before(0, 1000)),
        rolled_back("failures", 51),
    ),
    "totals: 1 image a minute, all failed": (
        fails(lambda _: 1, 1, lasts=60),
        undecided("failures", "cannot fire before 100 samples"),
    ),
    "totals: 4 of 100, where 1 of 1,000 failed before": (
        fails(only(20, 4), source="rates", samples=0, failures=0, failure_rate=0.001),
        ACCEPTED,
    ),
    "totals: 5 of 100, where 1 of 1,000 failed before": (
        fails(only(20, 5), source="rates", samples=0, failures=0, failure_rate=0.001),
        rolled_back("failures", 20),
    ),
    "totals: 9 of 100, where 1 % of 1,000 failed before": (fails(only(20, 9), **before(10, 1000)), ACCEPTED),
    "totals: 10 of 100, where 1 % of 1,000 failed before": (
        fails(only(20, 10), **before(10, 1000)),
        rolled_back("failures", 20),
    ),
    "totals: 10 of 100, where 5 of 500 failed before": (fails(only(20, 10), **before(5, 500)), ACCEPTED),
    "totals: 10 of 100, where 5 of 499 failed before": (
        fails(only(20, 10), **before(5, 499)),  # too few to be compared as a sample
        rolled_back("failures", 20),
    ),
    "totals: exactly 3x baseline for an hour": (fails(lambda _: 3, lasts=60, **before(10, 1000)), ACCEPTED),
    "totals: rises from 0 to 20 %": (
        fails(lambda now: 200 * now // 300, 200, lasts=60),
        rolled_back("failures", 53),
    ),
    "totals: rises from 0 to 20 %, where 0.5 % failed before": (
        fails(lambda now: 200 * now // 300, 200, lasts=60, **before(5, 1000)),
        rolled_back("failures", 17),
    ),
    "probes: 20 of 100": (probes(100, only(3, 20)), ACCEPTED),
    "probes: 21 of 100": (probes(100, only(3, 21)), rolled_back("failures", 3)),
    "probes: 33 a minute, all fail, at 99 no verdict": (probes(33, lambda _: 33), rolled_back("failures", 4)),
    "probes: 50 a minute, all fail": (probes(50, lambda _: 50), rolled_back("failures", 2)),
    "probes: as many fail as before the swap": (probes(50, lambda _: 2, **before(8, 200)), ACCEPTED),
    "probes: one of 10 fails, as before": (
        replace(BY_PROBES, probe=probed(lambda _: 1), baseline={**PROBED, **before(20, 200)}),
        ACCEPTED,
    ),
    "probes: what the service tells of other work is not judged": (
        replace(BY_PROBES, figures=lambda _: metrics(**{RATE: 0.9, P95: 9e5})),
        ACCEPTED,
    ),
}


def slow(images: int, slow_ones: Callable[[int], int], ms: float, minutes: int = 4) -> Script:
    """Probes of 10 ms before the swap; now so many of a minute take longer."""
    took = probed(ms=lambda minute, number: ms if number < slow_ones(minute) else 10.0)
    return replace(BY_PROBES, probe=took, images=images, minutes=minutes, baseline={**PROBED, "p95_ms": 10.0})


P95S: dict[str, Case] = {
    "bare rates: exactly 3x baseline": (tells(P95, 135.0), ACCEPTED),
    "bare rates: exactly 3x baseline, where 3 x 10.1 is not 30.3": (tells(P95, 30.3, p95_ms=10.1), ACCEPTED),
    "bare rates: over 3x baseline twice": (tells(P95, 135.01, 20, 21), ACCEPTED),
    "bare rates: over 3x baseline three times": (tells(P95, 135.01, 20, 21, 22), rolled_back("p95", 22)),
    "bare rates: over 3x baseline at the last two": (
        tells(P95, 135.01, 59, 60, lasts=60),
        undecided("p95", OVER_AT_THE_LAST),
    ),
    "bare rates: no baseline, exactly 30 s": (tells(P95, 30_000.0, p95_ms=None), ACCEPTED),
    "bare rates: no baseline, over 30 s": (tells(P95, 30_000.1, p95_ms=None), rolled_back("p95", 3)),
    "bare rates: baseline 0, exactly 30 s": (tells(P95, 30_000, p95_ms=0.0), ACCEPTED),
    "bare rates: baseline 0, over 30 s": (tells(P95, 30_000.1, p95_ms=0.0), rolled_back("p95", 3)),
    "bare rates: exactly 30 s is less than 3x baseline": (tells(P95, 30_000.0, p95_ms=20_000.0), ACCEPTED),
    "bare rates: over 30 s, less than 3x baseline": (
        tells(P95, 30_000.1, p95_ms=20_000.0),
        rolled_back("p95", 3),
    ),
    "totals: over 3x baseline three times": (
        replace(BY_TOTALS, figures=lambda now: counted(**{P95: 135.01 if now > 19 else 45.0})(now)),
        rolled_back("p95", 22),
    ),
    "probes: exactly 3x baseline": (slow(50, lambda _: 50, 30.0), ACCEPTED),
    "probes: over 3x baseline": (slow(50, lambda now: 50 * (now > 2), 30.01), rolled_back("p95", 3)),
    "probes: 8 slow of 50": (slow(50, only(2, 8), 40.0), ACCEPTED),
    "probes: 9 slow of 50": (slow(50, only(2, 9), 40.0), rolled_back("p95", 2)),
    "probes: 49 are not enough": (slow(49, lambda _: 49, 40.0), rolled_back("p95", 2)),
    "probes: 50 are enough": (slow(50, lambda _: 50, 40.0), rolled_back("p95", 1)),
    "probes: 3 slow of 50 in minute after minute": (
        slow(50, lambda _: 3, 40.0),
        undecided("p95", "last 3 measurements"),
    ),
    "probes: 3 slow of 50 for twenty minutes": (slow(50, lambda _: 6, 40.0, 20), rolled_back("p95", 3)),
}


def waits(length: object, before: int | None, *minutes: Any) -> Script:
    return tells(QUEUE, length, *minutes, queue=before)


LIMITS = {0: 100, 3: 100, 19: 100, 20: 100, 21: 105, 24: 120, 25: 125, 26: 126, 1000: 1100}
"""By the length at the swap, the greatest length that passes: 100 more, or 5x where that is less (20 at least)."""

QUEUES: dict[str, Case] = {
    **{
        f"{swap} at the swap, {most} now": (replace(waits(most, swap), minutes=6), ACCEPTED)
        for swap, most in LIMITS.items()
    },
    **{
        f"{swap} at the swap, {most + 1} now": (waits(most + 1, swap, since(4)), rolled_back("queue", 4))
        for swap, most in LIMITS.items()
    },
    "grows by one a minute": (
        replace(BY_RATES, figures=lambda now: metrics(**{QUEUE: 1043 + now}), baseline={**TOLD, "queue": 1000}),
        rolled_back("queue", 58),
    ),
    "one long look": (waits(101, 3, 20), rolled_back("queue", 20)),
    "at the first look": (waits(101, 3, 1), rolled_back("queue", 1)),
    "long at the swap already": (waits(1000, 1000), ACCEPTED),
    "shrinks": (waits(0, 1000), ACCEPTED),
    "no baseline, 100 more than at the first look": (waits(103, None, since(2)), ACCEPTED),
    "no baseline, 101 more than at the first look": (waits(104, None, since(2)), rolled_back("queue", 2)),
    "a length as a decimal": (waits(101.0, 3, 20), rolled_back("queue", 20)),
    "with totals": (
        replace(BY_TOTALS, figures=lambda now: counted(**{QUEUE: 101 if now == 20 else 100})(now)),
        rolled_back("queue", 20),
    ),
    "with probes": (
        replace(BY_PROBES, figures=at({5: metrics(**{QUEUE: 101})}, metrics(**{QUEUE: 100}))),
        rolled_back("queue", 5),
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures(tmp_path: Path, name: str) -> None:
    script, ends = FAILURES[name]
    check(play(tmp_path / "ws", script), ends, script)


@pytest.mark.parametrize("name", P95S)
def test_p95(tmp_path: Path, name: str) -> None:
    script, ends = P95S[name]
    check(play(tmp_path / "ws", script), ends, script)


@pytest.mark.parametrize("name", QUEUES)
def test_queue(tmp_path: Path, name: str) -> None:
    script, ends = QUEUES[name]
    check(play(tmp_path / "ws", script), ends, script)


@pytest.mark.parametrize(("ms", "ends"), [(30_000.0, ACCEPTED), (30_000.1, rolled_back("p95", 1))])
def test_thirty_seconds_of_a_probe(tmp_path: Path, ms: float, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the question is invented: nothing takes 30 s here."""
    asked = collecting.call

    def waited(url: str, method: str, path: str, **more: Any) -> Any:
        answer = asked(url, method, path, **more)
        return replace(answer, seconds=31.0) if path == EXTRACT else answer

    monkeypatch.setattr(collecting, "call", waited)
    script = replace(slow(50, lambda _: 50, ms), baseline={**PROBED, "p95_ms": None})
    check(play(tmp_path / "ws", script), ends, script)


def test_a_service_that_starts_counting_anew_has_not_failed(tmp_path: Path) -> None:
    """Its totals go back to nothing: what it counts since is new, and no more."""

    def figures(minute: int) -> Answer:
        return totals(50_000 + 100 * minute, 4_000) if minute < 20 else totals(100 * (minute - 19), 5 * (minute - 19))

    script = replace(BY_TOTALS, figures=figures, baseline={**TOTALED, **before(50, 1000)})
    check(told := play(tmp_path / "ws", script), ACCEPTED, script)
    assert [(each.samples, each.failures) for each in told.measurements[18:21]] == [(100, 0), (100, 5), (100, 5)]


@pytest.mark.parametrize(
    ("rule", "script"),
    [
        ("failures", tells(RATE, 0.5, 20, 21, 22)),
        ("failures", fails(only(20, 50))),
        ("p95", tells(P95, 136.0, 20, 21, 22)),
        ("queue", waits(101, 3, 20)),
    ],
    ids=["bare rates", "totals", "p95", "queue"],
)
def test_with_automatic_rollback_off_it_asks_once_and_has_no_verdict(tmp_path: Path, rule: str, script: Script) -> None:
    told = play(tmp_path / "ws", replace(script, auto=False))
    assert (told.outcome, told.rollbacks, list(told.failed)) == ("undecided", 0, [rule])
    assert f"{rule} failed (measurement 2" in told.reason and "nobody has answered" in told.reason
    assert [key for key in told.keys if not key.startswith("snapshot")] == [
        "start",
        f"ask {rule}",
        f"undecided {BRIEF} 0",
    ]


def test_two_rules_at_once_are_both_in_the_reason(tmp_path: Path) -> None:
    figures = at({20: metrics(**{QUEUE: 101, RATE: 0.5}), (18, 19): metrics(**{RATE: 0.5})}, metrics())
    told = play(tmp_path / "ws", replace(BY_RATES, figures=figures))
    assert (told.outcome, told.rule, told.failed) == ("rolled back", "failures", {"failures": 20, "queue": 20})
    assert "failures: " in told.reason and "; queue: 101 waiting" in told.reason
    json.dumps(told.report, allow_nan=False)
