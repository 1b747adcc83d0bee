"""The triggers of a watch as lines: each with value, limit, baseline, samples, margin, verdict and trend.

Every figure and verdict is the guard's own, as its rows have it; here they are only written out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, Span, columns, fit, merge, outside, width_of, wrap
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.trends import round_scale, trend_line
from mobius_tui.guard.model import RULES
from mobius_tui.store.values import number
from mobius_tui.store.watches import TickRow

TREND = 60
"""Measurements that a trend line shows at most."""

_COUNTING = ("health", "catalogue")
"""Rules whose trend is good or bad at each measurement, and whose limit is how many in a row."""

_HEADS = (
    ("rule", 11, False), ("value", 8, True), ("limit", 8, True), ("baseline", 8, True), ("samples", 9, True),
    ("margin", 6, True), ("verdict", 9, False),
)  # fmt: skip
_LEAST_TREND = 8
_LEAST_LIMIT = 1e-9


def latest_rules(snapshot: Snapshot) -> Mapping[str, Mapping[str, Any]]:
    """What each rule said at the latest measurement, by its name; empty before the first."""
    ticks = snapshot.store.ticks if snapshot.store else ()
    return {outside(rule.get("rule")): rule for rule in ticks[-1].rules} if ticks else {}


def rule_lines(snapshot: Snapshot, width: int, glyphs: Glyphs) -> list[Line]:
    """The table: a line of heads, then one a rule; columns give way from the right when there is little room."""
    rules = latest_rules(snapshot)
    heads = columns([(fit(head, room, right=right), "muted") for head, room, right in _HEADS], 1)
    trend = width - width_of(heads) - 1
    lines = [merge([*heads, (" trend", "muted")]) if trend >= _LEAST_TREND else heads]
    for name in RULES:
        cells = columns(_cells(name, rules.get(name, {}), glyphs), 1)
        drawn = _trend(name, snapshot, trend, glyphs) if trend >= _LEAST_TREND else ()
        lines.append(merge([*cells, (" ", ""), *drawn]))
    return lines


def _cells(name: str, rule: Mapping[str, Any], glyphs: Glyphs) -> list[Span]:
    mark, role = verdict_mark(rule.get("verdict"), glyphs)
    margin = _number(rule.get("margin"))
    loud = role if role in {"bad", "warn"} else ""
    texts = (
        f"{mark} {name}",
        figure(name, rule.get("value"), glyphs),
        figure(name, rule.get("limit"), glyphs),
        figure(name, rule.get("baseline"), glyphs),
        _samples(rule, glyphs),
        glyphs.dash if margin is None else f"{max(-9.99, min(9.99, margin)):.0%}",
        verdict_word(rule.get("verdict"), glyphs),
    )
    roles = (role, loud or "strong", "muted", "muted", "muted", loud, role)
    return [
        (fit(text, room, right=right, ellipsis=glyphs.middle), tone)
        for text, tone, (_, room, right) in zip(texts, roles, _HEADS, strict=True)
    ]


def brief_rule_lines(snapshot: Snapshot, width: int, glyphs: Glyphs, *, trends: bool) -> list[Line]:
    """The same for a narrow column: a line a rule with value, limit and verdict, and its trend below.

    Args:
        snapshot: The state.
        width: Cells.
        glyphs: The characters.
        trends: Whether there is room for them.
    """
    rules = latest_rules(snapshot)
    lines: list[Line] = []
    for name in RULES:
        rule = rules.get(name, {})
        mark, role = verdict_mark(rule.get("verdict"), glyphs)
        loud = role if role in {"bad", "warn"} else "strong"
        passed = rule.get("verdict") == "pass"
        right = f"max {figure(name, rule.get('limit'), glyphs)}"
        right = right if passed or not rule else verdict_word(rule.get("verdict"), glyphs)
        parts: list[Span] = [(fit(f"{mark} {name}", 11), role), (" ", "")]
        parts.append((fit(figure(name, rule.get("value"), glyphs), 8, right=True), loud))
        gap = max(1, width - width_of(tuple(parts)) - len(right))
        lines.append(merge([*parts, (" " * gap, ""), (right, "muted" if passed or not rule else role)]))
        if trends:
            lines.append(_trend(name, snapshot, width, glyphs))
    return lines


def loud_lines(snapshot: Snapshot, width: int, most: int, glyphs: Glyphs) -> list[Line]:
    """Why each rule that does not pass does not, the failing ones first.

    Args:
        snapshot: The state.
        width: Cells.
        most: Rows there are for it.
        glyphs: The characters.
    """
    lines: list[Line] = []
    found = sorted(latest_rules(snapshot).items(), key=lambda item: item[1].get("verdict") != "fail")
    for name, rule in found:
        verdict = rule.get("verdict")
        if verdict == "pass" or not rule.get("sentence"):
            continue
        mark, role = verdict_mark(verdict, glyphs)
        rows = wrap(f"{mark} {name}: {outside(rule['sentence'])}", width, min(2, most - len(lines)))
        lines += [((row, role),) for row in rows]
    return lines


def verdict_mark(verdict: object, glyphs: Glyphs) -> Span:
    """Mark and role of a verdict; a dot before there is one."""
    marks: dict[str, Span] = {
        "pass": (glyphs.ok, "ok"),
        "fail": (glyphs.bad, "bad"),
        "no data": (glyphs.unknown, "warn"),
        "collector error": (glyphs.warn, "warn"),
    }
    return marks.get(str(verdict), (glyphs.dot, "muted"))


def verdict_word(verdict: object, glyphs: Glyphs) -> str:
    """A verdict in one or two words: a failing one is loud without colour, too; a dash before there is one."""
    words = {"fail": "FAIL", "collector error": "error"}
    return words.get(str(verdict), outside(verdict)) if verdict else glyphs.dash


def figure(name: str, value: object, glyphs: Glyphs) -> str:
    """A rule's value or limit in its own unit; a dash when there is none."""
    found = _number(value)
    if found is None:
        return glyphs.dash
    if name == "failures":
        return f"{found:.1%}" if abs(found) < 100 else glyphs.dash
    if name == "p95":
        return f"{found:,.0f} ms" if found < 10_000 else f"{found / 1000:,.0f} s"
    return f"{found:,.0f}"


def _samples(rule: Mapping[str, Any], glyphs: Glyphs) -> str:
    """What the value rests on, and while the rule could not fire for want of them, how many it needs."""
    found, needed = _number(rule.get("samples")), _number(rule.get("needed"))
    if found is None:
        return glyphs.dash
    lacks = needed is not None and found < needed and rule.get("could_fire") is not True
    return f"{found:,.0f} of {needed:,.0f}" if lacks else f"{found:,.0f}"


def _trend(name: str, snapshot: Snapshot, width: int, glyphs: Glyphs) -> Line:
    """The latest values against the rule's own limit."""
    ticks = snapshot.store.ticks if snapshot.store else ()
    if not ticks:
        return ()
    rule = latest_rules(snapshot).get(name, {})
    points = _points(rule.get("trend")) or [_single(name, tick) for tick in ticks[-TREND:]]
    limit = _number(rule.get("limit"))
    judged = limit is not None and limit > _LEAST_LIMIT
    scale = limit if judged and limit is not None else round_scale(points, 1.0)
    return trend_line(points[-max(1, width) :], width, scale, glyphs, judged=judged and name not in _COUNTING)


def _points(trend: object) -> list[float | None]:
    return [_number(value) for value in trend[-TREND:]] if isinstance(trend, list | tuple) else []


def _single(name: str, tick: TickRow) -> float | None:
    """A rule's value at one measurement, where the latest row has no trend of its own."""
    return next((_number(rule.get("value")) for rule in tick.rules if rule.get("rule") == name), None)


def _number(value: object) -> float | None:
    """A finite number of a row; None for anything else, yes and no too."""
    found = None if isinstance(value, bool) else number(value)
    return None if found is None else float(found)


def worst_of(ticks: Sequence[TickRow]) -> str:
    """The whole verdict of the latest measurement; empty before the first."""
    return ticks[-1].verdict if ticks else ""
