"""Where the rules of a watch fire: the fixed limits, and those that follow from the baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from mobius_tui.guard.model import Plan, Source

HEALTH_LIMIT: Final = 3
"""Failures in a row from which the health rule fires: more than two."""

CATALOGUE_LIMIT: Final = 2
"""Bad looks in a row from which the catalogue rule fires."""

FAILURES_LIMIT: Final = 0.10
"""Fraction of failures above which the failures rule fires, whatever the baseline."""

P95_LIMIT_MS: Final = 30_000.0
"""95th percentile above which the p95 rule fires, whatever the baseline; milliseconds."""

TIMES_BASELINE: Final = 3.0
"""How many times the baseline failures and p95 may be."""

FAILURES_NEEDED: Final = 100
"""Samples that the failures rule looks at, at least."""

FEWEST_FAILURES: Final = 5
"""Failures without which no failure rate is over any limit."""

P95_NEEDED: Final = 50
"""Durations that the p95 rule looks at, at least."""

P95_EVIDENCE: Final = 1000
"""Durations up to which a longer run may show that a p95 over its limit is no chance."""

CHANCE: Final = 0.001
"""Below this chance at exactly the limit, so many are no accident."""

CHANCE_UNCHANGED: Final = 1e-5
"""Below this chance in a service that did not change, a rise over the baseline is one: 60 looks stay under 0.1 %."""

COMPARED_FROM: Final = 500
"""Samples of a baseline from which it is compared as a sample itself; a smaller one shows no fault of 12 % that way."""

TOLD_NEEDED: Final = 3
"""Measurements in a row over the limit that a rule needs when it knows the service's bare rates only."""

QUEUE_GROWTH: Final = 100
"""By how much the queue may grow."""

QUEUE_TIMES: Final = 5
"""How many times the baseline the queue may be."""

QUEUE_FLOOR: Final = 20
"""What a smaller baseline of the queue counts as."""


LARGEST: Final = 10**15
"""No count, length or duration is as great; greater ones make no sense."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Where a rule fires: ``relative`` when the baseline sets it; ``told`` says how in words."""

    value: float
    baseline: float | None
    relative: bool
    told: str


def failures_limit(plan: Plan, source: Source) -> Limit:
    """The limit of the failure rate, a fraction, for figures that come from ``source``."""
    known, failed = whole(plan.baseline.samples), whole(plan.baseline.failures)
    rate = share(plan.baseline.failure_rate)
    if rate is None and known:
        rate = min(failed, known) / known
    limit = limit_of(plan, source, rate, FAILURES_LIMIT, percent)
    if rate == 0 and limit.baseline is not None:
        return replace(limit, told=f"{percent(FAILURES_LIMIT)} (fixed: nothing failed before)")
    return limit


def limit_of(plan: Plan, source: Source, baseline: float | None, fixed: float, unit: Callable[[float], str]) -> Limit:
    """The lower of the fixed limit and the one of a baseline that was measured in the same way."""
    alike = plan.baseline.source == "none" or (plan.baseline.source == "probes") == (source == "probes")
    if baseline is None:
        return Limit(fixed, None, False, f"{unit(fixed)} (fixed: no baseline)")
    if not alike and source != "none":
        return Limit(fixed, None, False, f"{unit(fixed)} (fixed: the baseline was measured in another way)")
    relative = round(TIMES_BASELINE * baseline, 12)  # 3 x 10.1 is 30.3 and no less: exactly at the limit is not over it
    if relative == 0:
        return Limit(fixed, baseline, False, f"{unit(fixed)} (fixed: the baseline is 0)")
    if relative < fixed:
        return Limit(relative, baseline, True, f"{unit(relative)} ({TIMES_BASELINE:g}x baseline {unit(baseline)})")
    return Limit(fixed, baseline, False, f"{unit(fixed)} (fixed; baseline {unit(baseline)})")


def queue_limit(before: int) -> tuple[int, str]:
    """The length above which the queue is too long, and how that comes about, in words."""
    grown, times = before + QUEUE_GROWTH, QUEUE_TIMES * max(before, QUEUE_FLOOR)
    if times < grown:
        return times, f"{QUEUE_TIMES}x the baseline {before:,}" + (
            f", counted as {QUEUE_FLOOR}" if before < QUEUE_FLOOR else ""
        )
    return grown, f"the baseline {before:,} and {QUEUE_GROWTH} more"


def positive(value: object) -> float | None:
    """A finite number >= 0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < LARGEST:
        return None
    return value


def share(value: object) -> float | None:
    """A fraction 0..1; None for anything else."""
    number = positive(value)
    return number if number is not None and number <= 1 else None


def length(value: object) -> int | None:
    """A whole number >= 0; None for anything else."""
    return value if type(value) is int and 0 <= value < LARGEST else None


def whole(value: object) -> int:
    """A whole number >= 0; 0 for anything else."""
    return length(value) or 0


def percent(part: float) -> str:
    """A fraction for people, like ``3.0 %``."""
    shown = 100 * part
    return f"{shown:.1f} %" if shown >= 1 or shown == 0 else f"{shown:.2g} %"


def milliseconds(value: float) -> str:
    """A duration for people; ``value`` in milliseconds."""
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"
