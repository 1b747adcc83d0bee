"""Acknowledging alerts: they are not repeated any more; whether they hold is the worker's to say."""

from __future__ import annotations

import sqlite3

from mobius_tui.console.asking import Action
from mobius_tui.console.lines import outside
from mobius_tui.console.publish_actions import REASON
from mobius_tui.console.snapshot import Snapshot, raised_alerts
from mobius_tui.errors import BadInput
from mobius_tui.store.alerts import acknowledge_alert
from mobius_tui.store.database import writing
from mobius_tui.system import clock
from mobius_tui.workspace import Workspace


def unseen(snapshot: Snapshot) -> list[str]:
    """Names of the alerts that the key means: the one under the cursor of pane 3, else all that nobody has seen."""
    names = [row.name for row in raised_alerts(snapshot) if not row.acknowledged_by]
    return [name for name in names if name == snapshot.alert] if snapshot.alert else names


def able_to_acknowledge(snapshot: Snapshot) -> str | None:
    """Whether there is an alert that nobody has seen."""
    if snapshot.problem:
        return snapshot.problem
    if not raised_alerts(snapshot):
        return "no alert is raised"
    if unseen(snapshot):
        return None
    seen = next((row for row in raised_alerts(snapshot) if row.name == snapshot.alert), None)
    return f"{outside(seen.acknowledged_by)} has seen {outside(seen.name)}" if seen else "every alert has been seen"


def _acknowledge(ws: Workspace, connection: sqlite3.Connection, snapshot: Snapshot) -> str:
    from mobius_tui.notifications.outbox import acknowledge, outbox_state
    from mobius_tui.recovery.history import note_act

    names = unseen(snapshot)
    with writing(connection):
        seen = [name for name in names if acknowledge_alert(connection, name, ws.actor, clock.now())]
    told = [item for item in outbox_state(ws).unacknowledged if item.subject in names]
    numbers = [item.number for item in told if acknowledge(ws, item.number, ws.actor)]
    if not seen and not numbers:
        raise BadInput("somebody else has just acknowledged it")
    details = {"alerts": seen, "notifications": numbers}
    note_act(ws.state, f"acknowledge {', '.join([*seen, *numbers])}", ws.actor, reason=REASON, details=details)
    return f"acknowledged: {outside(', '.join(seen or numbers))}"


ACTIONS = (
    Action(
        ("K",), "K", "acknowledge", "acknowledge",
        "Acknowledge the alert chosen in pane 3, else all: they are not repeated any more.",
        able_to_acknowledge, True, _acknowledge, rank=14,
    ),
)  # fmt: skip
"""The actions of the alerts."""
