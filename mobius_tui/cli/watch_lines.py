"""A watch on a terminal or in a log: a line a measurement, each trigger's row, and how it ended."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mobius_tui.cli.layout import fitted, hanging, labelled, padded, table
from mobius_tui.guard.model import RULES
from mobius_tui.store.values import moment, number
from mobius_tui.system import clock
from mobius_tui.text import human_seconds, visible

DASH = "-"
"""What stands for a figure that was not measured."""

STYLES = {"pass": "", "fail": "bad", "no data": "warn", "collector error": "warn"}
"""How each verdict is coloured."""

_VERDICTS = {"pass": "pass", "fail": "FAIL", "no data": "no data", "collector error": "error"}
_NAMES = {"health": "health", "failures": "failures", "p95": "p95", "queue": "queue", "catalogue": "catalogue"}


def figure(rule: str, value: object) -> str:
    """A rule's value or limit in its own unit; a dash when there is none.

    Args:
        rule: Its name.
        value: Fraction 0..1 for failures, milliseconds for p95, else a count.
    """
    found = number(value)
    if found is None:
        return DASH
    if rule == "failures":
        return f"{found:.1%}"
    if rule == "p95":
        return f"{found:,.0f} ms" if found < 10_000 else f"{found / 1000:,.1f} s"
    return f"{found:,.0f}"


def verdict_of(rules: Sequence[Mapping[str, Any]]) -> str:
    """The verdict of a measurement as a whole: the worst of its rules."""
    found = [str(rule.get("verdict")) for rule in rules]
    return next((each for each in ("fail", "collector error", "no data") if each in found), "pass" if found else DASH)


def tick_line(measurement: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> str:
    """One measurement in one line of at most 80 columns: when, verdict, and each rule's value.

    Args:
        measurement: ``Measurement.to_json()``.
        rules: ``RuleRow.to_json()`` of each rule.
    """
    at = moment(measurement.get("at"))
    by_name = {str(rule.get("rule")): rule for rule in rules}
    parts = [
        clock.clock_text(at) if at is not None else "--:--:--",
        padded(f"+{human_seconds(number(measurement.get('elapsed_s')) or 0.0)}", 9),
        padded(_VERDICTS.get(verdict_of(rules), DASH), 7),
        padded(_health(measurement), 11),
    ]
    parts += [
        f"{label} {padded(_short(name, by_name.get(name, {})), room, right=True)}" for name, label, room in _FIGURES
    ]
    late = number(measurement.get("merged")) or 1
    return "  ".join(parts) + (f"  {late - 1:.0f} late" if late > 1 else "")


_FIGURES = (("failures", "failed", 5), ("p95", "p95", 7), ("queue", "queue", 3))


def _health(measurement: Mapping[str, Any]) -> str:
    found = measurement.get("health")
    return fitted(str(found.get("status") or "not asked") if isinstance(found, Mapping) else "not asked", 11)


def _short(name: str, rule: Mapping[str, Any]) -> str:
    shown = figure(name, rule.get("value"))
    return f"{shown}!" if rule.get("verdict") == "fail" else shown


def failing_lines(rules: Sequence[Mapping[str, Any]], width: int, also: Collection[str] = frozenset()) -> list[str]:
    """Why a rule does not pass, below a measurement's line.

    Args:
        rules: Each rule's row.
        width: Columns.
        also: Rules that are told of whatever their verdict is, beside those that fail or could not be judged.
    """
    lines: list[str] = []
    for rule in rules:
        if rule.get("verdict") in ("fail", "collector error") or str(rule.get("rule")) in also:
            head = f"    {_NAMES.get(str(rule.get('rule')), '?')}: "
            lines += hanging(head, str(rule.get("sentence") or rule.get("verdict")), width=width)
    return lines


def event_sentence(record: Mapping[str, Any]) -> str:
    """A record of the watch's journal that is no measurement, in words; empty for what nobody needs to see."""
    what, why = record.get("what"), str(record.get("reason") or "")
    if what == "snapshot":
        return f"snapshot {record.get('name')}: {record.get('verdict')}"
    if what == "gap":
        return f"measurements {record.get('from')} to {record.get('to')} were missed: {record.get('why') or 'no data'}"
    if what == "trigger":
        by = "" if record.get("rule") else f", decided by {record.get('who')}"  # the reason begins with the rule's name
        return f"rolling back{by}: {why}"
    if what == "wish":
        asked = f"{record.get('who')}: {record.get('act')}" + (f" ({why})" if why else "")
        return f"{asked}: {record.get('answer')}"
    if what == "rollback" and record.get("state") == "done":
        return f"the catalogue is back as in {record.get('target')}"
    if what == "rollback" and record.get("state") == "failed":
        return f"the rollback failed and is tried again: {why}"
    if what == "rollback":
        return f"rolling back to {record['backup']}" if record.get("backup") else "rolling back"
    return ""


def rule_table(rules: Sequence[Mapping[str, Any]], width: int) -> list[tuple[str, str]]:
    """The rules as a table: value, limit, baseline, samples, margin and verdict, each with its style.

    Args:
        rules: Each rule's row.
        width: Columns.
    """
    by_name = {str(rule.get("rule")): rule for rule in rules}
    rows, styles = [], [""]
    for name in RULES:
        rule = by_name.get(name, {})
        margin = number(rule.get("margin"))
        needed = number(rule.get("needed"))
        samples = f"{number(rule.get('samples')) or 0:,.0f}" + (f"/{needed:,.0f}" if needed and needed > 1 else "")
        rows.append(
            (
                name,
                figure(name, rule.get("value")),
                figure(name, rule.get("limit")),
                figure(name, rule.get("baseline")),
                samples if rule else DASH,
                DASH if margin is None else f"{margin:.0%}",
                str(rule.get("verdict") or DASH),
            )
        )
        styles.append(STYLES.get(str(rule.get("verdict")), ""))
    heads = ("rule", "value", "limit", "baseline", "samples/needed", "margin", "verdict")
    return list(zip(table(rows, heads=heads, right=(1, 2, 3, 4, 5), width=width), styles, strict=True))


def end_lines(facts: Mapping[str, Any], width: int) -> list[str]:
    """The block a watch ends with.

    Args:
        facts: ``outcome``, ``reason``, ``decided_by``, ``measurements``, ``lasted_s``, ``report``.
        width: Columns.
    """
    lasted = number(facts.get("lasted_s"))
    rows = [("outcome", str(facts.get("outcome") or DASH))]
    rows += [("why", visible(str(facts["reason"])))] if facts.get("reason") else []
    rows += [("decided by", visible(str(facts["decided_by"])))] if facts.get("decided_by") else []
    rows.append(("measurements", f"{number(facts.get('measurements')) or 0:,.0f}"))
    if lasted is not None:
        rows.append(("lasted", human_seconds(max(0.0, lasted))))
    rows += [("report", str(facts["report"]))] if facts.get("report") else []
    return labelled(rows, width=width)
