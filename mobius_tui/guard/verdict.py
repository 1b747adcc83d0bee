"""What follows from the rules: the whole verdict, what would happen next, how a watch ends when its time is over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from mobius_tui.guard.limits import CATALOGUE_LIMIT, HEALTH_LIMIT, TOLD_NEEDED
from mobius_tui.guard.model import RULES, Measurement, Outcome, Plan, RuleName, RuleRow, Verdict

_WORST: tuple[Verdict, ...] = ("fail", "collector error", "no data", "pass")
_EVERY_TIME: tuple[RuleName, ...] = ("health", "catalogue")
_IN_THE_END: tuple[RuleName, ...] = ("failures", "p95", "queue")
_RATES: tuple[RuleName, ...] = ("failures", "p95")

OVER_AT_END: Final = 3
"""So many latest measurements with a rate over its limit, each explained by chance, are not accepted as chance."""

OVER_TOLD: Final = 1
"""The same where the service tells its rate, which is one of 15 minutes already."""

SILENT_FROM: Final = 3
"""Measurements in a row without data from which a rule is silent."""


def overall(rows: Sequence[RuleRow]) -> Verdict:
    """The whole verdict: ``fail`` when a rule fails, else ``collector error``, ``no data`` or ``pass``.

    Args:
        rows: As ``judge`` gives them; none at all is no data.
    """
    found = {row.verdict for row in rows}
    return next((verdict for verdict in _WORST if verdict in found), "no data")


def failing(rows: Sequence[RuleRow]) -> tuple[RuleRow, ...]:
    """The rows of the rules that fail."""
    return tuple(row for row in rows if row.verdict == "fail")


def silent(
    plan: Plan, measurements: Sequence[Measurement], history: Sequence[tuple[RuleRow, ...]]
) -> tuple[RuleRow, ...]:
    """The rows of the rules that cannot be judged for several measurements in a row, though they should have data.

    Args:
        plan: Of the watch.
        measurements: All so far, the latest last.
        history: What the rules said of each.

    Returns:
        Rules with collector errors all along; failures, p95 and queue together where the service told nothing at all
        that it, or the baseline, had told before. One that is down is the business of the health rule.
    """
    last, recent = history[-SILENT_FROM:], measurements[-SILENT_FROM:]
    if len(last) < SILENT_FROM or len(recent) < SILENT_FROM:
        return ()
    found: set[RuleName] = set(RULES)
    for rows in last:
        found &= {row.rule for row in rows if row.verdict == "collector error"}
    knew = plan.baseline.source != "none" or any(_tells(each) for each in measurements)
    if knew and not any(_tells(each) or each.health.ok is False for each in recent):
        found |= set(_IN_THE_END)
    return tuple(row for row in last[-1] if row.rule in found)


def _tells(measurement: Measurement) -> bool:
    return measurement.source != "none" or measurement.queue is not None


def next_line(plan: Plan, rows: Sequence[RuleRow], left_s: float) -> str:
    """What would happen next and why, in one line.

    Args:
        plan: Of the watch.
        rows: As ``judge`` gave them at the latest measurement; empty before the first.
        left_s: Seconds until the time is over.
    """
    if not rows:
        return "waiting for the first measurement"
    fails = failing(rows)
    if fails:
        why = f"{_names(fails)} {'is' if len(fails) == 1 else 'are'} over the limit"
        return f"{why}: rolling back" if plan.auto else f"{why}: would roll back; {_OFF}"
    then = "rolls back" if plan.auto else f"would roll back; {_OFF}"
    near = [line for line in map(_near, rows) if line]
    if near:
        return f"{near[0]} {then}"
    silent = [row for row in rows if row.verdict != "pass"]
    if left_s <= 0:
        return "the time is over: being decided"
    if silent:
        return f"{_names(silent)}: {_silence(silent)}; accepted in {_minutes(left_s)} if all have data by then"
    return f"all rules pass; accepted in {_minutes(left_s)}"


_OFF = "automatic rollback is off: it pages and asks"


def _near(row: RuleRow) -> str:
    """How near a rule is to firing, as the beginning of a sentence; empty when it is not."""
    value, limit = row.value or 0.0, row.limit or math.inf
    if row.rule == "health" and value == HEALTH_LIMIT - 1:
        return f"health failed {value:.0f} in a row: one more failure"
    if row.rule == "catalogue" and value == CATALOGUE_LIMIT - 1:
        return "the catalogue was bad at the last look: one more bad look"
    if row.rule in {"failures", "p95"} and value > limit and row.verdict == "pass":
        if row.needed == TOLD_NEEDED:
            return f"{row.rule} is over the limit as the service tells it: {TOLD_NEEDED} in a row"
        return f"{row.rule} is over the limit, but that can be an accident: more of it"
    return ""


def decide_end(
    plan: Plan,
    history: Sequence[tuple[RuleRow, ...]],
    *,
    numbers: Sequence[int] = (),
    due: int | None = None,
    answered: int = 0,
) -> tuple[Outcome, str]:
    """How a watch ends when its time is over and nothing was rolled back.

    Args:
        plan: Of the watch.
        history: What the rules said at each measurement, the latest last.
        numbers: Of the measurements; 1, 2, 3 ... unless given. A gap leaves some out.
        due: How many measurements fell due in all; the plan's duration over its interval unless given.
        answered: Number of the measurement up to which a person has answered for what failed.

    Returns:
        ``accepted`` or ``undecided``, and why, in a sentence that names the rules.
    """
    if not history:
        return "undecided", "nothing was measured"
    numbers = numbers or range(1, len(history) + 1)
    fell_due = max(due or _planned(plan), numbers[-1])
    reasons = [
        *_failed(history, numbers, answered),
        *_not_good_now(history[-1], fell_due - numbers[-1]),
        *_over_now(history),
        *_seldom(history, fell_due),
        *_never_judged(history, numbers, fell_due),
    ]
    if reasons:
        return "undecided", "; ".join(reasons)
    return "accepted", f"every rule had data and none failed in {len(history):,} of {fell_due:,} measurements"


def _planned(plan: Plan) -> int:
    return math.floor(plan.duration_s / plan.interval_s + 1e-9) if plan.interval_s > 0 else 0


def _failed(history: Sequence[tuple[RuleRow, ...]], numbers: Sequence[int], answered: int) -> list[str]:
    """Each rule that failed after what a person has answered for, with its latest such measurement."""
    latest: dict[RuleName, tuple[int, RuleRow]] = {}
    for number, rows in zip(numbers, history, strict=True):
        if number > answered or number == numbers[-1]:
            latest.update({row.rule: (number, row) for row in failing(rows)})
    now = {row.rule for row in failing(history[-1])}
    return [
        f"{rule} {'fails' if rule in now else 'failed'} (measurement {number}: {row.sentence}) and nobody has answered"
        for rule, (number, row) in sorted(latest.items(), key=lambda item: RULES.index(item[0]))
    ]


def _not_good_now(rows: tuple[RuleRow, ...], missed: int) -> list[str]:
    """Health and catalogue must be good at the end: a bad look that did not fire yet is not."""
    reasons = [
        f"{row.rule} is not good at the end ({row.sentence})"
        for row in rows
        if row.rule in _EVERY_TIME and row.verdict != "fail" and (row.verdict != "pass" or row.value)
    ]
    if missed >= HEALTH_LIMIT:
        reasons.append(f"{', '.join(_EVERY_TIME)}: the last {missed:,} measurements were missed")
    return reasons


def _over_now(history: Sequence[tuple[RuleRow, ...]]) -> list[str]:
    """A rate that is over its limit again and again to the end is not accepted because each could be an accident."""
    reasons = []
    for rule in _RATES:
        rows = [row for each in history for row in each if row.rule == rule and row.verdict in {"pass", "fail"}]
        enough = OVER_TOLD if rows and rows[-1].needed == TOLD_NEEDED else OVER_AT_END
        last = rows[-enough:]
        if len(last) == enough and all(row.verdict == "pass" and (row.margin or 0.0) < 0 for row in last):
            when = "measurement" if enough == 1 else f"{enough} measurements"
            reasons.append(f"{rule} was over its limit at the last {when} ({last[-1].sentence})")
    return reasons


def _seldom(history: Sequence[tuple[RuleRow, ...]], due: int) -> list[str]:
    reasons = []
    for rule in _EVERY_TIME:
        looks = [row for rows in history for row in rows if row.rule == rule and row.verdict in {"pass", "fail"}]
        good = sum(not row.value for row in looks)
        if len(looks) * 2 < due:
            reasons.append(f"{rule} had data at {len(looks):,} of {due:,} measurements, half of them are needed")
        elif good * 2 < due:
            reasons.append(f"{rule} was good at {good:,} of {due:,} measurements, half of them are needed")
    return reasons


def _never_judged(history: Sequence[tuple[RuleRow, ...]], numbers: Sequence[int], due: int) -> list[str]:
    late = [rows for number, rows in zip(numbers, history, strict=True) if number * 4 > due * 3]
    reasons = []
    for rule in _IN_THE_END:
        if not any(row.could_fire for rows in late for row in rows if row.rule == rule):
            why = next((row.sentence for row in history[-1] if row.rule == rule), "")
            reasons.append(f"{rule} could not have fired in the last quarter{f' ({why})' if why else ''}")
    return reasons


def _names(rows: Sequence[RuleRow]) -> str:
    return ", ".join(row.rule for row in rows)


def _silence(rows: Sequence[RuleRow]) -> str:
    return " and ".join(verdict for verdict in _WORST if any(row.verdict == verdict for row in rows))


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{math.ceil(seconds / 60)} min"
