"""Events: what happened, for the console, `mobius logs` and the run logs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobius_tui.logs import LEVELS
from mobius_tui.store.values import json_object, moment, text
from mobius_tui.system import clock


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        at: Seconds since the epoch, UTC.
        event: A short name, like ``image_failed``.
        message: One sentence; may hold names from outside, so show it through ``visible``.
        fields: What belongs to it, as data.
    """

    id: int
    at: float
    level: str
    component: str
    run_id: str
    event: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def add_event(
    connection: sqlite3.Connection,
    level: str,
    component: str,
    event: str,
    message: str,
    *,
    run_id: str = "",
    fields: Mapping[str, object] | None = None,
    at: float | None = None,
) -> None:
    """Append an event."""
    connection.execute(
        "INSERT INTO events(at, level, component, run_id, event, message, fields) VALUES(?, ?, ?, ?, ?, ?, ?)",
        (clock.now() if at is None else at, level, component, run_id, event, message, json.dumps(dict(fields or {}))),
    )


def list_events(
    connection: sqlite3.Connection,
    *,
    after: int = 0,
    level: str = "debug",
    run_id: str = "",
    component: str = "",
    since: float = 0.0,
    limit: int = 200,
) -> list[Event]:
    """The latest events, oldest first.

    Args:
        connection: The database.
        after: Only those with a larger id.
        level: Only this level and above.
        run_id: Only those of a run.
        component: Only those of a part of MOBIUS.
        since: Only those from then on, seconds since the epoch.
        limit: How many at most.

    Returns:
        Events in order of id.
    """
    levels = LEVELS[LEVELS.index(level) :]
    marks = ", ".join("?" * len(levels))
    narrowed = {"run_id = ?": run_id, "component = ?": component, "at >= ?": since}
    given = {condition: value for condition, value in narrowed.items() if value}
    condition = " AND ".join(["id > ?", f"level IN ({marks})", *given])
    rows = connection.execute(
        f"SELECT * FROM events WHERE {condition} ORDER BY id DESC LIMIT ?", (after, *levels, *given.values(), limit)
    ).fetchall()
    return [_event(row) for row in reversed(rows)]


def _event(row: sqlite3.Row) -> Event:
    return Event(
        row["id"],
        moment(row["at"]) or 0.0,
        text(row["level"]),
        text(row["component"]),
        text(row["run_id"]),
        text(row["event"]),
        text(row["message"]),
        json_object(row["fields"]) or {},
    )


def forget_events(connection: sqlite3.Connection, before: float) -> int:
    """Delete events older than a time; returns how many."""
    return connection.execute("DELETE FROM events WHERE at < ?", (before,)).rowcount
