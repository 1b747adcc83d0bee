"""The canary that a deploy is judging right now: by the deploy's journal, and how far it is by its rows."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobius_tui.errors import MobiusError
from mobius_tui.guard.timing import due_number
from mobius_tui.recovery.journal import JOURNALS, open_journals, read_journal, run_of
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.values import number
from mobius_tui.store.watches import TickRow, WatchRow, find_watch, list_ticks
from mobius_tui.system import clock
from mobius_tui.system.locks import catalogue_lock_path, holder_of
from mobius_tui.text import spoken_seconds
from mobius_tui.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CanaryView:
    """A canary that is live and judged by its deploy.

    Attributes:
        deploy: The deploy's run id.
        known: Whether the database answers.
        row: The canary's row; None before its first measurement could be due, or where the database does not answer.
        ticks: Its measurements so far, oldest first.
    """

    deploy: str
    known: bool = False
    row: WatchRow | None = None
    ticks: tuple[TickRow, ...] = ()

    @property
    def left_s(self) -> float | None:
        """Seconds until its time is over; None before it is measured."""
        return None if self.row is None else max(0.0, self.row.until_at - clock.now())

    @property
    def planned(self) -> int:
        """Measurements in all; 0 when unknown."""
        plan = {} if self.row is None else self.row.plan
        duration, interval = number(plan.get("duration_s")) or 0.0, number(plan.get("interval_s")) or 0.0
        return due_number(duration, interval) if interval > 0 else 0

    @property
    def measured(self) -> str:
        """How many measurements were made, in words."""
        last = self.ticks[-1].number if self.ticks else 0
        return f"{last:,} of {self.planned:,} measurements" if self.planned else f"{last:,} measurements"

    @property
    def sentence(self) -> str:
        """Where it stands, in one line."""
        head = f"a canary is judged by {self.deploy}"
        if self.row is None:
            how = "held and settling, it is not measured yet; " if self.known else ""
            return f"{head}: {how}`mobius deploy --follow` shows it"
        return f"{head}: {self.measured}, {spoken_seconds(self.left_s or 0.0)} left: {self.row.next or '-'}"


def canary_rows(canary: CanaryView) -> list[tuple[str, str]]:
    """A canary as labels and values."""
    row = canary.row
    rows = [("canary of", canary.deploy)]
    if row is None:
        return [*rows, ("state", canary.sentence)]
    left = f"{clock.iso(row.until_at)}, {spoken_seconds(canary.left_s or 0.0)} left"
    rows += [("started by", row.who or "-"), ("state", "judged by its deploy; a rule that fails takes it back")]
    return [*rows, ("until", left), ("measurements", canary.measured), ("next", row.next or "-")]


def canary_rules(canary: CanaryView) -> list[dict[str, Any]]:
    """What the rules say of its latest measurement; empty before the first."""
    return [dict(rule) for rule in canary.ticks[-1].rules] if canary.ticks else []


def canary_facts(canary: CanaryView) -> dict[str, object]:
    """A canary as a JSON object; ``null`` where its deploy has not told it."""
    row, left = canary.row, canary.left_s
    return {
        "deploy": canary.deploy,
        "measured": canary.ticks[-1].number if canary.ticks else 0,
        "planned": canary.planned or None,
        "until": None if row is None else clock.iso(row.until_at),
        "left_s": None if left is None else round(left, 1),
        "rules": canary_rules(canary),
        "next": canary.sentence if row is None else row.next,
    }


def read_canary(ws: Workspace) -> CanaryView | None:
    """The canary that a deploy is judging; nothing is written.

    Args:
        ws: The workspace.

    Returns:
        What is known of it; None when no deploy is at its canary.
    """
    run = ""
    with contextlib.suppress(MobiusError, OSError):
        if holder_of(catalogue_lock_path(ws.catalogue)) is not None:  # else it was cut off, and nobody judges it
            run = next((run_of(path) for path in open_journals(ws.state / JOURNALS) if _is_at_canary(path)), "")
    if not run:
        return None
    try:
        connection = open_for_reading(ws.database)
        if connection is None:
            return CanaryView(run)
        with contextlib.closing(connection):
            row = find_watch(connection, f"{run}-canary")
            ticks = tuple(list_ticks(connection, f"{run}-canary")) if row is not None else ()
    except (MobiusError, sqlite3.Error, OSError, ValueError):
        return CanaryView(run)
    return CanaryView(run, True, row, ticks)


def _is_at_canary(path: Path) -> bool:
    """Whether the latest step that a deploy's journal tells of is a canary that is staged and not ended."""
    records = read_journal(path).records
    steps = [record for record in records if record.get("what") == "step" and record.get("step")]
    at_it = bool(steps) and (steps[-1].get("step"), steps[-1].get("state")) == ("canary", "running")
    return at_it and any(record.get("canary") is True for record in records)
