"""Alerts as they stand: raised, cleared, acknowledged."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from mobius_tui.store.values import moment, number, text, whole


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert.

    Attributes:
        name: Which limit it is about, like ``failures``.
        severity: ``info``, ``warning`` or ``critical``.
        audience: For whom, like ``sre``.
        raised: Whether it holds now.
        value: What was measured; None where there is no figure.
        limit_at: The limit, in the same unit.
        sentence: In words.
        since: When it was raised last, seconds since the epoch.
        cleared_at: When it was cleared; None while it holds.
        acknowledged_by: Who has seen it; empty when nobody has.
        acknowledged_at: When.
    """

    name: str
    severity: str
    audience: str
    raised: bool
    value: float | None
    limit_at: float | None
    sentence: str
    since: float
    cleared_at: float | None = None
    acknowledged_by: str = ""
    acknowledged_at: float | None = None


_COLUMNS = tuple(AlertRow.__dataclass_fields__)


def write_alert(connection: sqlite3.Connection, row: AlertRow) -> None:
    """Put an alert's row, in place of its former one."""
    marks = ", ".join("?" * len(_COLUMNS))
    connection.execute(
        f"INSERT OR REPLACE INTO alerts({', '.join(_COLUMNS)}) VALUES({marks})",
        [getattr(row, name) for name in _COLUMNS],
    )


def list_alerts(connection: sqlite3.Connection, *, raised_only: bool = False) -> list[AlertRow]:
    """The alerts, the raised ones first, then the latest first."""
    where = "WHERE raised = 1" if raised_only else ""
    rows = connection.execute(f"SELECT * FROM alerts {where} ORDER BY raised DESC, since DESC, name").fetchall()
    return [
        AlertRow(
            raised=bool(whole(row["raised"])),
            value=number(row["value"]),
            limit_at=number(row["limit_at"]),
            since=moment(row["since"]) or 0.0,
            cleared_at=moment(row["cleared_at"]),
            acknowledged_at=moment(row["acknowledged_at"]),
            **{name: text(row[name]) for name in ("name", "severity", "audience", "sentence", "acknowledged_by")},
        )
        for row in rows
    ]


def acknowledge_alert(connection: sqlite3.Connection, name: str, who: str, now: float) -> bool:
    """Note that somebody has seen a raised alert; returns whether there was one that nobody had."""
    done = connection.execute(
        "UPDATE alerts SET acknowledged_by = ?, acknowledged_at = ? WHERE name = ? AND raised = 1"
        " AND acknowledged_by = ''",
        (who, now, name),
    )
    return done.rowcount > 0
