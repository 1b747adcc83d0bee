"""A watch and its measurements as rows of the database."""

from __future__ import annotations

from typing import Any

from mobius_tui.guard.model import Measurement, RuleRow
from mobius_tui.guard.records import Story
from mobius_tui.guard.timing import snapshots_due
from mobius_tui.guard.verdict import overall
from mobius_tui.store.watches import TickRow, WatchRow


def tick_row(measurement: Measurement, rows: tuple[RuleRow, ...]) -> TickRow:
    """A measurement and what the rules said of it."""
    return TickRow(
        measurement.number,
        measurement.at,
        measurement.elapsed_s,
        overall(rows),
        measurement.to_json(),
        tuple(row.to_json() for row in rows),
    )


def watch_row(story: Story, *, elapsed_s: float, now: float, token: str, next_: str, problem: str) -> WatchRow:
    """A watch as it stands.

    Args:
        story: What its journal tells.
        elapsed_s: Seconds since it began.
        now: Seconds since the epoch: what falls due is told by the clock on the wall as it is.
        token: The guard's process.
        next_: What would happen next; of an ended watch the row keeps the reason in its place.
        problem: What the guard is in trouble with.
    """
    plan, end = story.plan, story.end or story.ending
    return WatchRow(
        run_id=plan.run,
        deploy=plan.deploy,
        state=story.state,
        outcome=story.outcome,
        who=plan.who,
        reason=plan.reason,
        auto=plan.auto,
        plan=plan.to_json(),
        began_at=story.started_at,
        until_at=now + story.deadline_s - elapsed_s,
        ended_at=None if story.end is None else now,
        token=token,
        snapshots=_snapshots(story, elapsed_s, now),
        next=next_ if story.end is None else str(story.end.get("reason") or ""),
        problem=problem,
        decided_by="" if end is None else str(end.get("decided_by") or ""),
        updated_at=now,
    )


def _snapshots(story: Story, elapsed_s: float, now: float) -> tuple[dict[str, Any], ...]:
    """The named ones, taken or not, then those that people asked for."""
    due = snapshots_due(story.plan)
    taken = {str(each.get("name")): each for each in story.snapshots if each.get("due_s") is not None}
    found = [
        {
            "name": each.name,
            "due_at": now + each.due_s - elapsed_s,
            "taken_at": taken[each.name].get("at") if each.name in taken else None,
            "verdict": taken[each.name].get("verdict") if each.name in taken else "",
        }
        for each in due
    ]
    found += [
        {"name": each.get("name"), "due_at": each.get("at"), "taken_at": each.get("at"), "verdict": each.get("verdict")}
        for each in story.snapshots
        if each.get("due_s") is None
    ]
    return tuple(found)
