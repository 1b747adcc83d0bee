"""The rules of a watch: what each says of the measurements so far, and why; no I/O, nothing remembered.

A measurement's ``errors`` that begin with a rule's name and a colon concern that rule; all others concern every rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from mobius_tui.guard.binomial import chance_of, chance_unchanged
from mobius_tui.guard.limits import (
    CATALOGUE_LIMIT,
    CHANCE,
    CHANCE_UNCHANGED,
    COMPARED_FROM,
    FAILURES_LIMIT,
    FAILURES_NEEDED,
    FEWEST_FAILURES,
    HEALTH_LIMIT,
    LARGEST,
    P95_EVIDENCE,
    P95_LIMIT_MS,
    P95_NEEDED,
    QUEUE_GROWTH,
    TOLD_NEEDED,
    Limit,
    failures_limit,
    length,
    limit_of,
    milliseconds,
    percent,
    positive,
    queue_limit,
    share,
    whole,
)
from mobius_tui.guard.model import RULES, Measurement, Plan, RuleName, RuleRow, Source, Verdict
from mobius_tui.text import visible

TREND = 60
"""Values of single measurements that a row shows."""


def judge(plan: Plan, measurements: Sequence[Measurement]) -> tuple[RuleRow, ...]:
    """What each rule says now.

    Args:
        plan: Of the watch; only its baseline counts.
        measurements: All so far, the latest last; those of a gap are simply not there.

    Returns:
        A row for each rule, in the order of ``RULES``. Never raises, whatever the measurements hold.
    """
    if not measurements:
        return tuple(RuleRow(rule, "no data", sentence="nothing was measured yet") for rule in RULES)
    judged = (_health, _failures, _p95, _queue, _catalogue)
    return tuple(replace(rule(plan, measurements), rule=name) for name, rule in zip(RULES, judged, strict=True))


def troubles(measurement: Measurement, rule: str) -> tuple[str, ...]:
    """What the guard itself could not do that concerns a rule, as text that is safe to show."""
    found = []
    for error in measurement.errors if isinstance(measurement.errors, list | tuple) else ():
        concerned, colon, rest = str(error).partition(":")
        if not colon or concerned not in RULES:
            found.append(visible(str(error)))
        elif concerned == rule:
            found.append(visible(rest.strip()))
    return tuple(found)


# -------------------------------------------------------------------------------------------- health and catalogue


def _health(plan: Plan, measurements: Sequence[Measurement]) -> RuleRow:
    return _looks(measurements, "health", HEALTH_LIMIT, lambda each: each.health)


def _catalogue(plan: Plan, measurements: Sequence[Measurement]) -> RuleRow:
    return _looks(measurements, "catalogue", CATALOGUE_LIMIT, lambda each: each.catalogue)


def _looks(
    measurements: Sequence[Measurement], rule: RuleName, limit: int, look: Callable[[Measurement], Any]
) -> RuleRow:
    """A rule over looks that are good, bad or could not be taken; the last neither add nor reset."""

    def good(measurement: Measurement) -> bool | None:
        ok = getattr(look(measurement), "ok", None)
        return ok if isinstance(ok, bool) else None

    bad, ticks = 0, 0
    for measurement in reversed(measurements):
        ticks += 1
        ok = good(measurement)
        if ok:
            break
        bad += ok is False
    latest = good(measurements[-1])
    seen = _at_most(limit, (each for each in reversed(measurements) if good(each) is not None))
    said = visible(str(getattr(look(measurements[-1]), "sentence", "") or ""))
    verdict = _verdict(bad >= limit, latest is not None, measurements[-1], rule)
    return RuleRow(
        rule,
        verdict,
        value=float(bad) if seen else None,
        limit=float(limit),
        samples=ticks if seen else 0,
        needed=limit,
        ticks=ticks,
        could_fire=bad >= limit or (latest is not None and seen >= limit),
        margin=_margin(bad, limit) if seen else None,
        trend=tuple(None if good(each) is None else float(not good(each)) for each in measurements[-TREND:]),
        sentence=_looks_sentence(bad, limit, latest, said or "; ".join(troubles(measurements[-1], rule))),
    )


def _looks_sentence(bad: int, limit: int, latest: bool | None, said: str) -> str:
    why = f": {said}" if said else ""
    in_a_row = f"{bad} bad in a row, fires at more than {limit - 1}" if bad else ""
    if latest is None:
        return f"could not be asked, which counts for nothing{why}" + (f"; before that {in_a_row}" if bad else "")
    return f"{in_a_row}{why}" if bad else f"good, fires at more than {limit - 1} bad in a row{why}"


# -------------------------------------------------------------------------------------------------------- failures


def _failures(plan: Plan, measurements: Sequence[Measurement]) -> RuleRow:
    source = _source(measurements)
    limit = failures_limit(plan, source)
    if source == "rates":
        return _told(measurements, "failures", limit, lambda each: share(each.failure_rate), percent)
    samples = failures = ticks = 0
    for measurement in reversed(measurements):
        counted, failed = _counts(measurement) if measurement.source == source else (0, 0)
        samples, failures, ticks = samples + counted, failures + failed, ticks + (counted > 0)
        if samples >= FAILURES_NEEDED:
            break
    rate = failures / samples if samples else None
    enough = samples >= FAILURES_NEEDED
    over = rate is not None and rate > limit.value
    fires = enough and over and failures >= FEWEST_FAILURES and _no_accident(plan, failures, samples, limit)
    latest = measurements[-1]
    fresh = latest.source == source and _counts(latest)[0] > 0
    return RuleRow(
        "failures",
        _verdict(fires, fresh and enough, latest, "failures", fresh=fresh),
        value=rate,
        limit=limit.value,
        baseline=limit.baseline,
        samples=samples,
        needed=FAILURES_NEEDED,
        ticks=ticks,
        could_fire=fires or (fresh and enough),
        margin=None if rate is None else _margin(rate, limit.value),
        trend=tuple(_single_rate(each) for each in measurements[-TREND:]),
        sentence=_failures_sentence(
            failures, samples, limit, fires=fires, fresh=fresh, trouble=troubles(latest, "failures")
        ),
    )


def _no_accident(plan: Plan, failures: int, samples: int, limit: Limit) -> bool:
    """Whether chance does not explain it: neither at exactly the limit, nor in a service as it was before the swap.

    The second is asked only where the baseline sets the limit, for the baseline is a sample too: one failure of 1,000
    where in truth ten fail would make a healthy service look three times as bad. A small baseline could hardly ever be
    told apart from anything, so with one the limit alone counts.
    """
    if chance_of(failures, samples, limit.value) >= CHANCE:
        return False
    before, samples_before = whole(plan.baseline.failures), whole(plan.baseline.samples)
    if not limit.relative or samples_before < COMPARED_FROM:
        return True
    if failures > samples * FAILURES_LIMIT and chance_of(failures, samples, FAILURES_LIMIT) < CHANCE:
        return True
    return chance_unchanged(failures, samples, min(before, samples_before), samples_before) < CHANCE_UNCHANGED


def _failures_sentence(
    failures: int, samples: int, limit: Limit, *, fires: bool, fresh: bool, trouble: Sequence[str]
) -> str:
    if not samples:
        return _nothing("no image was sent or counted", trouble)
    rate = failures / samples
    head = f"{failures:,} of {samples:,} failed ({percent(rate)}), "
    head += f"over the limit {limit.told}" if rate > limit.value else f"limit {limit.told}"
    if fires:
        return f"{head}, and no accident"
    if not fresh:
        return f"{head}; {_nothing('nothing new at this measurement', trouble)}"
    if samples < FAILURES_NEEDED:
        return f"{head}; cannot fire before {FAILURES_NEEDED} samples"
    return f"{head}, but so few can be an accident; could fire" if rate > limit.value else f"{head}, could fire"


def _single_rate(measurement: Measurement) -> float | None:
    if measurement.source == "rates":
        return share(measurement.failure_rate)
    samples, failures = _counts(measurement)
    return failures / samples if samples else None


def _counts(measurement: Measurement) -> tuple[int, int]:
    """Samples and failures that make sense; (0, 0) otherwise."""
    samples, failures = measurement.samples, measurement.failures
    if length(samples) is None or length(failures) is None or failures > samples:
        return 0, 0
    return samples, failures


# ------------------------------------------------------------------------------------------------------------- p95


def _p95(plan: Plan, measurements: Sequence[Measurement]) -> RuleRow:
    source = _source(measurements)
    limit = limit_of(plan, source, positive(plan.baseline.p95_ms), P95_LIMIT_MS, milliseconds)
    if source in {"rates", "totals"}:
        return _told(measurements, "p95", limit, lambda each: positive(each.p95_ms), milliseconds)
    latest, run, ticks = measurements[-1], list[float](), 0
    cleaned = [_durations(each) for each in measurements[-TREND:]]
    for durations in chain(reversed(cleaned), map(_durations, reversed(measurements[:-TREND]))):
        run += durations
        ticks += bool(durations)
        if len(run) >= P95_NEEDED:
            break
    value = nearest_rank(run, 0.95)
    enough, fresh = len(run) >= P95_NEEDED, bool(cleaned[-1])
    over = value is not None and value > limit.value
    fires = enough and over and _slow_for_long(measurements, limit.value)
    return RuleRow(
        "p95",
        _verdict(fires, fresh and enough, latest, "p95", fresh=fresh),
        value=value,
        limit=limit.value,
        baseline=limit.baseline,
        samples=len(run),
        needed=P95_NEEDED,
        ticks=ticks,
        could_fire=fires or (fresh and enough),
        margin=None if value is None else _margin(value, limit.value),
        trend=tuple(nearest_rank(each, 0.95) for each in cleaned),
        sentence=_p95_sentence(value, len(run), limit, fires=fires, fresh=fresh, trouble=troubles(latest, "p95")),
    )


def _slow_for_long(measurements: Sequence[Measurement], limit: float) -> bool:
    """Whether more durations are above the limit than the 5 % that may be, and that is no accident.

    The shortest run of 50 may not show it where times vary much; then a longer one up to now may.
    """
    samples = above = 0
    for measurement in reversed(measurements):
        durations = _durations(measurement)
        samples, above = samples + len(durations), above + sum(each > limit for each in durations)
        if samples >= P95_NEEDED and chance_of(above, samples, 0.05) < CHANCE:
            return True
        if samples >= P95_EVIDENCE:
            break
    return False


def _p95_sentence(
    value: float | None, samples: int, limit: Limit, *, fires: bool, fresh: bool, trouble: Sequence[str]
) -> str:
    if value is None:
        return _nothing("no hash time was measured", trouble)
    head = f"{milliseconds(value)} (p95 of {samples:,}), "
    head += f"over the limit {limit.told}" if value > limit.value else f"limit {limit.told}"
    if fires:
        return f"{head}, and no accident"
    if not fresh:
        return f"{head}; {_nothing('nothing new at this measurement', trouble)}"
    if samples < P95_NEEDED:
        return f"{head}; cannot fire before {P95_NEEDED} samples"
    return (
        f"{head}, but so few slow images can be an accident; could fire"
        if value > limit.value
        else f"{head}, could fire"
    )


def nearest_rank(values: Sequence[float], part: float) -> float | None:
    """The percentile by nearest rank; None of nothing.

    Args:
        values: In any order and unit.
        part: Fraction 0..1.
    """
    if not values:
        return None
    return sorted(values)[max(1, math.ceil(part * len(values) - 1e-9)) - 1]


def _durations(measurement: Measurement) -> list[float]:
    """The durations that make sense, milliseconds; none unless they are those of probes."""
    told = measurement.durations_ms
    if measurement.source != "probes" or not isinstance(told, tuple | list):
        return []
    if set(map(type, told)) == {float} and math.isfinite(sum(told)) and min(told) >= 0 and max(told) < LARGEST:
        return list(told)
    return [each for each in told if (type(each) is float or type(each) is int) and 0 <= each < LARGEST]


# ------------------------------------------------------------------------------------- rates that the service tells


def _told(
    measurements: Sequence[Measurement],
    rule: RuleName,
    limit: Limit,
    read: Callable[[Measurement], float | None],
    unit: Callable[[float], str],
) -> RuleRow:
    """A rule over bare rates, of which nobody knows what they rest on: over the limit several times in a row."""
    row, values = 0, [read(each) for each in reversed(measurements)]
    for value in values:
        if value is not None and value <= limit.value:
            break
        row += value is not None
    seen = _at_most(TOLD_NEEDED, (value for value in values if value is not None))
    latest = values[0]
    value = next((each for each in values if each is not None), None)
    fires = row >= TOLD_NEEDED
    head = "" if value is None else f"{unit(value)} as the service tells it, "
    head += f"over the limit {limit.told}" if row else f"limit {limit.told}"
    why = f", {row} in a row, fires at {TOLD_NEEDED}" if row else f", fires at {TOLD_NEEDED} in a row over it"
    if latest is None:
        why += f"; {_nothing('nothing told at this measurement', troubles(measurements[-1], rule))}"
    return RuleRow(
        rule,
        _verdict(fires, latest is not None, measurements[-1], rule),
        value=value,
        limit=limit.value,
        baseline=limit.baseline,
        samples=seen,
        needed=TOLD_NEEDED,
        ticks=seen,
        could_fire=fires or (latest is not None and seen >= TOLD_NEEDED),
        margin=None if value is None else _margin(value, limit.value),
        trend=tuple(reversed(values[:TREND])),
        sentence=head + why,
    )


# ----------------------------------------------------------------------------------------------------------- queue


def _queue(plan: Plan, measurements: Sequence[Measurement]) -> RuleRow:
    before = length(plan.baseline.queue)
    lengths = [length(each.queue) for each in measurements]
    first = before if before is not None else next((each for each in lengths if each is not None), None)
    value = next((each for each in reversed(lengths) if each is not None), None)
    latest, trouble = lengths[-1], troubles(measurements[-1], "queue")
    trend = tuple(None if each is None else float(each) for each in lengths[-TREND:])
    if first is None or value is None:
        told = _nothing("the service told no queue", trouble)
        verdict = _verdict(False, False, measurements[-1], "queue")
        kept = None if before is None else float(queue_limit(before)[0])
        known = None if before is None else float(before)
        return RuleRow("queue", verdict, limit=kept, baseline=known, trend=trend, sentence=told)
    limit, why = queue_limit(first) if before is not None else (first + QUEUE_GROWTH, "")
    why = why or f"{QUEUE_GROWTH} more than {first:,} when the watch began, for nothing was measured before"
    seen = sum(each is not None for each in lengths)
    judged = latest is not None and (before is not None or seen > 1)
    fires = judged and value > limit
    head = f"{value:,} waiting, {'over the limit' if value > limit else 'limit'} {limit:,} ({why})"
    if latest is None:
        head += f"; {_nothing('nothing told at this measurement', trouble)}"
    elif not fires:
        head += ", could fire" if judged else "; cannot fire at the first look"
    return RuleRow(
        "queue",
        _verdict(fires, judged, measurements[-1], "queue", fresh=latest is not None),
        value=float(value),
        limit=float(limit),
        baseline=None if before is None else float(before),
        samples=1,
        needed=1 if before is not None else 2,
        ticks=1,
        could_fire=judged,
        margin=_margin(value, limit),
        trend=trend,
        sentence=head,
    )


# ------------------------------------------------------------------------------------------------ what all rules use


def _source(measurements: Sequence[Measurement]) -> Source:
    """Where the latest measurement that has any got its rates from."""
    known: tuple[Source, ...] = ("probes", "totals", "rates")
    return next((each.source for each in reversed(measurements) if each.source in known), "none")


def _verdict(fires: bool, judged: bool, latest: Measurement, rule: str, *, fresh: bool | None = None) -> Verdict:
    """``fresh``: whether the latest measurement has a value at all; as ``judged`` unless given."""
    if fires:
        return "fail"
    if judged:
        return "pass"
    has_value = judged if fresh is None else fresh
    return "collector error" if not has_value and troubles(latest, rule) else "no data"


def _nothing(what: str, trouble: Sequence[str]) -> str:
    return f"{what} ({'; '.join(trouble)})" if trouble else what


def _margin(value: float, limit: float) -> float:
    return (limit - value) / limit


def _at_most(most: int, items: Iterator[object]) -> int:
    return sum(1 for _ in zip(range(most), items, strict=False))
