"""The steps of a deploy or rollback as people see them: from its journal, or from what its job's row mirrors of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mobius_tui.operations.deploy.options import StepState
from mobius_tui.store.jobs import ACTIVE, Job

CUT_OFF = "cut off"
"""State of a step that was under way when its process was killed; never written, only told."""

ENDED = ("done", "warning", "failed", "undone", "skipped", "again", CUT_OFF)
"""States of a step that is over; ``again`` when others wrote the catalogue and it is taken once more, ``warning``
when something went wrong in it that stops nothing."""

_RESTORING = {
    "staged": ("stage", "the target is beside the live file"),
    "swapped": ("swap", "the target is live"),
    "same": ("swap", "the target was live already"),
    "kept": ("keep", "what was live is kept"),
}
"""How the records of a restoring read as steps: name and reason by their state."""

MOST_STEPS = 200
"""More are not shown: neither a journal nor a row of MOBIUS holds so many."""


def steps_of_summary(summary: Mapping[str, Any]) -> tuple[StepState, ...]:
    """The steps that a job's row mirrors.

    Args:
        summary: The row's summary; whatever is no step in it is passed over.

    Returns:
        The steps, in the order of the table.
    """
    rows = summary.get("steps")
    found = rows[:MOST_STEPS] if isinstance(rows, list | tuple) else []
    return tuple(_step(row) for row in found if isinstance(row, Mapping) and row.get("name"))


def steps_of_job(job: Job) -> tuple[StepState, ...]:
    """The steps that a row mirrors, as its state lets them be: none is under way once the job is over or interrupted.

    Args:
        job: The row.

    Returns:
        The steps, in the order of the table.
    """
    steps = steps_of_summary(job.summary)
    return steps if job.state in ACTIVE else cut_off(steps)


def cut_off(steps: Iterable[StepState]) -> tuple[StepState, ...]:
    """The steps of a run whose process has ended: one that is still told as running was cut off."""
    return tuple(replace(step, state=CUT_OFF) if step.state == "running" else step for step in steps)


def warnings_of(steps: Iterable[StepState]) -> list[str]:
    """What went wrong and stopped nothing, a sentence a step."""
    return [f"{step.name}: {step.reason}" for step in steps if step.state == "warning"]


def _step(row: Mapping[str, Any]) -> StepState:
    return StepState(
        name=str(row["name"]),
        state=str(row.get("state", "")),
        began=_number(row.get("began")),
        ended=_number(row.get("ended")),
        reason=str(row.get("reason") or ""),
        limit_s=_number(row.get("limit_s")),
    )


def steps_of_journal(records: Iterable[Mapping[str, Any]]) -> tuple[StepState, ...]:
    """The steps that a journal tells of.

    Args:
        records: Its records, oldest first.

    Returns:
        The steps in the order in which they began; what a later record says of a step holds.
    """
    steps: dict[str, StepState] = {}
    for record in records:
        if record.get("what") == "restore" and record.get("state") in _RESTORING:
            record = _as_step(record)
        if record.get("what") != "step" or not record.get("step") or len(steps) >= MOST_STEPS:
            continue
        name, state, at = str(record["step"]), str(record.get("state", "")), seconds_of(record.get("time"))
        step = steps.setdefault(name, StepState(name, began=at))
        step.state = state
        if state == "running":
            step.began, step.ended = at, None
        else:
            step.ended = at
        step.reason = str(record.get("reason") or step.reason)
        step.limit_s = _number(record.get("limit_s")) or step.limit_s
    return tuple(steps.values())


def _as_step(record: Mapping[str, Any]) -> dict[str, Any]:
    name, reason = _RESTORING[str(record["state"])]
    kept = record.get("emergency")
    reason = f"{reason}: {str(kept).rpartition('/')[2]}" if name == "keep" and kept else reason
    return {"what": "step", "step": name, "state": "done", "time": record.get("time"), "reason": reason}


def seconds_of(text: object) -> float | None:
    """Seconds since the epoch of an ISO 8601 time; None when the text is none. Without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(str(text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value)
    return number if abs(number) < 1e11 else None  # also leaves out infinity and what is no number
