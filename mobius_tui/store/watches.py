"""What the guard says of its watch, for consoles and verbs; the watch's own files are the truth."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mobius_tui.store.values import json_object, moment, number, text, whole

KEPT_S = 60 * 86_400.0
"""Seconds that the rows of a watch are kept after its end; its report and journal stay."""


@dataclass(frozen=True, slots=True)
class WatchRow:
    """One watch.

    Attributes:
        run_id: Its run.
        deploy: The deploy that it guards; empty when a person started it.
        state: ``planned``, ``running``, ``rolling back``, ``undecided`` or ``ended``.
        outcome: How it ended, or how it stands since its time is over; empty before.
        who: Who started it.
        reason: Why.
        auto: Whether it rolls back by itself.
        plan: The plan as data.
        began_at: Seconds since the epoch; likewise ``until_at``, ``ended_at``, ``updated_at``.
        token: The guard's process; empty before it runs.
        snapshots: The four named ones: ``name``, ``due_at``, ``taken_at`` (None before), ``verdict``; then taken ones.
        next: What would happen next and why, one line; once ``state`` is ``ended`` the reason of the outcome.
        problem: What the guard itself is in trouble with; empty when nothing.
        decided_by: Who or what decided the outcome.
    """

    run_id: str
    deploy: str
    state: str
    outcome: str
    who: str
    reason: str
    auto: bool
    plan: Mapping[str, Any]
    began_at: float
    until_at: float
    ended_at: float | None
    token: str
    snapshots: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    next: str = ""
    problem: str = ""
    decided_by: str = ""
    updated_at: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it has not come to its end."""
        return self.state != "ended"


@dataclass(frozen=True, slots=True)
class TickRow:
    """One measurement and what the rules said of it.

    Attributes:
        number: Of the measurement.
        at: Seconds since the epoch.
        elapsed_s: Seconds since the watch began.
        verdict: The whole: ``fail`` when a rule fails, else ``collector error``, ``no data`` or ``pass``.
        measurement: As ``guard.model.Measurement.to_json``.
        rules: As ``guard.model.RuleRow.to_json``, in the order of ``RULES``.
    """

    number: int
    at: float
    elapsed_s: float
    verdict: str
    measurement: Mapping[str, Any]
    rules: Sequence[Mapping[str, Any]]


_COLUMNS = tuple(WatchRow.__dataclass_fields__)


def write_watch(connection: sqlite3.Connection, row: WatchRow) -> None:
    """Put a watch's row, in place of its former one."""
    values = [getattr(row, name) for name in _COLUMNS]
    plain = [json.dumps(value) if isinstance(value, Mapping | list | tuple) else value for value in values]
    marks = ", ".join("?" * len(plain))
    connection.execute(f"INSERT OR REPLACE INTO watches({', '.join(_COLUMNS)}) VALUES({marks})", plain)


def write_tick(connection: sqlite3.Connection, run_id: str, tick: TickRow) -> None:
    """Put a measurement's row; the same one twice is one."""
    connection.execute(
        "INSERT OR REPLACE INTO watch_ticks(run_id, number, at, elapsed_s, verdict, measurement, rules)"
        " VALUES(?, ?, ?, ?, ?, ?, ?)",
        (
            run_id,
            tick.number,
            tick.at,
            tick.elapsed_s,
            tick.verdict,
            json.dumps(dict(tick.measurement)),
            json.dumps([dict(rule) for rule in tick.rules]),
        ),
    )


def latest_watch(connection: sqlite3.Connection) -> WatchRow | None:
    """The watch that began last; None when there was none."""
    row = connection.execute("SELECT * FROM watches ORDER BY began_at DESC, run_id DESC LIMIT 1").fetchone()
    return None if row is None else _watch(row)


def find_watch(connection: sqlite3.Connection, run_id: str) -> WatchRow | None:
    """A watch by its run id; None when there is none."""
    row = connection.execute("SELECT * FROM watches WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None else _watch(row)


def list_ticks(connection: sqlite3.Connection, run_id: str, *, limit: int = 120, after: int = 0) -> list[TickRow]:
    """The latest measurements of a watch, oldest first.

    Args:
        connection: The database.
        run_id: The watch.
        limit: How many at most.
        after: Only those with a greater number.
    """
    rows = connection.execute(
        "SELECT * FROM watch_ticks WHERE run_id = ? AND number > ? ORDER BY number DESC LIMIT ?", (run_id, after, limit)
    ).fetchall()
    return [_tick(row) for row in reversed(rows)]


def forget_watches(connection: sqlite3.Connection, now: float) -> None:
    """Delete the rows of watches that ended more than 60 days ago."""
    old = "SELECT run_id FROM watches WHERE ended_at < ?"
    connection.execute(f"DELETE FROM watch_ticks WHERE run_id IN ({old})", (now - KEPT_S,))
    connection.execute("DELETE FROM watches WHERE ended_at < ?", (now - KEPT_S,))


def _watch(row: sqlite3.Row) -> WatchRow:
    return WatchRow(
        auto=bool(whole(row["auto"])),
        plan=json_object(row["plan"]) or {},
        began_at=moment(row["began_at"]) or 0.0,
        until_at=moment(row["until_at"]) or 0.0,
        ended_at=moment(row["ended_at"]),
        updated_at=moment(row["updated_at"]) or 0.0,
        snapshots=_objects(row["snapshots"]),
        **{
            name: text(row[name])
            for name in (
                "run_id", "deploy", "state", "outcome", "who", "reason", "token", "next", "problem", "decided_by",
            )
        },
    )  # fmt: skip


def _tick(row: sqlite3.Row) -> TickRow:
    return TickRow(
        number=whole(row["number"]) or 0,
        at=moment(row["at"]) or 0.0,
        elapsed_s=number(row["elapsed_s"]) or 0.0,
        verdict=text(row["verdict"]),
        measurement=json_object(row["measurement"]) or {},
        rules=_objects(row["rules"]),
    )


def _objects(value: object) -> tuple[Mapping[str, Any], ...]:
    try:
        found = json.loads(text(value))
    except (ValueError, RecursionError):
        return ()
    return tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()
