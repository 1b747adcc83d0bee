"""`mobius alerts`: what is raised, what nobody has acknowledged, and whether notifications arrive."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, get_args

import click

from mobius_tui.audiences import AUDIENCES
from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import table, wrapped
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.notifications.items import Item
from mobius_tui.notifications.message import Audience
from mobius_tui.notifications.outbox import OutboxState, acknowledge, outbox_state, send_test
from mobius_tui.recovery.history import note_act
from mobius_tui.store.alerts import AlertRow, acknowledge_alert, list_alerts
from mobius_tui.store.database import database_error, open_database, open_for_reading, writing
from mobius_tui.system import clock
from mobius_tui.text import counted, visible
from mobius_tui.workspace import Workspace


@click.group("alerts", invoke_without_command=True)
@takes_common_options
@click.pass_context
def alerts(ctx: click.Context) -> int | None:
    """Alerts, raised and recent ones, and critical notifications that nobody has acknowledged."""
    if ctx.invoked_subcommand is not None:
        return None
    call = ctx.obj
    assert isinstance(call, Call)
    ws = call.open(lenient=True)
    rows, state = _rows(ws), outbox_state(ws)
    if call.json:
        show_json({"alerts": [_row_facts(row) for row in rows], **_outbox_facts(state)})
        return 0
    _show_rows(call, rows)
    _show_outbox(state)
    if not ws.sourced.routes:
        call.say("nobody is notified: `[notify.default]` with `command` or `url` in mobius.toml says who is")
    return 0


@alerts.command("ack")
@takes_common_options
@click.argument("names", nargs=-1, metavar="[NAME|ID]...")
@click.option("--all", "every", is_flag=True, help="All that nobody has acknowledged.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def ack(call: Call, names: tuple[str, ...], every: bool, reason: str) -> int:
    """Acknowledge an alert by name or a notification by id: it is not repeated any more, the alert itself stays."""
    if bool(names) == every:
        raise BadInput("what is acknowledged is not said", fix="name alerts or ids, or give --all")
    ws = call.open(writes=True)
    who = call.who()
    rows = {row.name: row for row in _rows(ws) if row.raised and not row.acknowledged_by}
    items = {item.number: item for item in outbox_state(ws).unacknowledged}
    subjects = {item.subject for item in items.values() if item.subject}
    wanted = set(names) or {*rows, *items}
    unknown = sorted(wanted - rows.keys() - items.keys() - subjects)
    if unknown:
        known = ", ".join(sorted({*rows, *items, *subjects})) or "nothing"
        fix = f"there is {visible(known)} to acknowledge; `mobius alerts` shows it"
        raise BadInput(f"nothing to acknowledge is called {visible(', '.join(unknown))}", fix=fix)
    chosen = [item for item in items.values() if item.number in wanted or (item.subject and item.subject in wanted)]
    done = [item for item in chosen if acknowledge(ws, item.number, who)]
    about = (wanted | {item.subject for item in chosen}) & rows.keys()
    seen = _acknowledge_rows(ws, sorted(about), who)
    _tell_acknowledged(call, ws, seen, done, reason)
    return 0


def _tell_acknowledged(call: Call, ws: Workspace, seen: list[str], done: list[Item], reason: str) -> None:
    numbers = [item.number for item in done]
    if seen or numbers:
        details = {"alerts": seen, "notifications": numbers}
        note_act(ws.state, f"acknowledge {', '.join([*seen, *numbers])}", call.who(), reason=reason, details=details)
    if call.json:
        show_json({"alerts": seen, "notifications": numbers})
        return
    for name in seen:
        show(f"alert {name} acknowledged", "good")
    for item in done:
        show(f"notification {item.number} acknowledged, it is not repeated: {visible(str(item.body['title']))}", "good")
    if not seen and not numbers:
        call.say("there was nothing to acknowledge")


@alerts.command("test")
@takes_common_options
@click.option("--audience", "chosen", type=click.Choice(AUDIENCES), multiple=True,
              help="For whom; default: every audience with a route.")  # fmt: skip
@click.pass_obj
def test(call: Call, chosen: tuple[str, ...]) -> int:
    """Send a test notification at once and say what came of it. Exit 3 when one did not arrive."""
    ws = call.open(writes=True)
    names: tuple[Audience, ...] = get_args(Audience)
    asked = [name for name in names if name in (chosen or ws.sourced.routes)]
    if not asked:
        raise BadInput("no route is set", fix="`[notify.default]` with `command` or `url` in mobius.toml sets one")
    found: list[dict[str, Any]] = []
    for name in asked:
        route, problem = send_test(ws, name, call.who())
        if route is None:
            fix = f"`[notify.{name}]` or `[notify.default]` with `command` or `url` in mobius.toml sets one"
            raise BadInput(f"no route leads to {name}", fix=fix)
        found.append({"audience": name, "to": route.shown, "delivered": not problem, "problem": problem})
        if not call.json:
            said = f"not delivered: {problem}" if problem else "delivered"
            for line in wrapped(f"{name}: {said} ({route.shown})", width=data_width()):
                show(line, "bad" if problem else "good")
    tested = ", ".join(str(each["audience"]) for each in found)
    note_act(ws.state, f"test notifications for {tested}", call.who(), details={"tests": found})
    if call.json:
        show_json(found)
    failed = [each for each in found if not each["delivered"]]
    if failed:
        said = ", ".join(str(each["audience"]) for each in failed)
        raise EnvironmentFailed(f"no test arrived for {said}", fix="mend what is said above, then test it again")
    return 0


def _rows(ws: Workspace) -> list[AlertRow]:
    """The alerts that the worker keeps; none without a database.

    Raises:
        EnvironmentFailed: It cannot be read.
    """
    try:
        connection = open_for_reading(ws.database)
        if connection is None:
            return []
        with contextlib.closing(connection):
            return list_alerts(connection)
    except sqlite3.Error as error:
        raise database_error(error, ws.database) from error


def _acknowledge_rows(ws: Workspace, names: list[str], who: str) -> list[str]:
    if not names:
        return []
    try:
        with contextlib.closing(open_database(ws.database)) as connection, writing(connection):
            return [name for name in names if acknowledge_alert(connection, name, who, clock.now())]
    except sqlite3.Error as error:
        raise database_error(error, ws.database) from error


def _show_rows(call: Call, rows: list[AlertRow]) -> None:
    if not rows:
        call.say("no alert was ever raised here")
        return
    cells = [(row.name, row.severity, _stands(row), row.acknowledged_by or "-", row.sentence) for row in rows]
    heads = ("alert", "severity", "state", "seen by", "what")
    for line in table(cells, heads=heads, cut_end=True, width=data_width()):
        show(line)


def _stands(row: AlertRow) -> str:
    return f"raised {_short(row.since)}" if row.raised else f"cleared {_short(row.cleared_at or row.since)}"


def _short(at: float) -> str:
    """The time of today, else the day, UTC."""
    moment, today = clock.iso(at), clock.iso(clock.now())[:10]
    return moment[11:] if moment.startswith(today) else moment[:10]


def _show_outbox(state: OutboxState) -> None:
    if state.unacknowledged:
        show(f"{counted(len(state.unacknowledged), 'critical notification')} not acknowledged:")
        cells = [
            (item.number, str(item.body.get("kind")), _short(item.created), _sent(item), str(item.body.get("title")))
            for item in state.unacknowledged
        ]
        for line in table(cells, heads=("id", "kind", "since", "sent", "what"), cut_end=True, width=data_width()):
            show(line)
    for line in outbox_lines(state):
        show(line, "warn")


def _sent(item: Item) -> str:
    return f"{item.sends} times" if item.sends != 1 else "once"


def outbox_lines(state: OutboxState) -> list[str]:
    """What is wrong with the outbox, for people; none when nothing is."""
    lines = []
    if state.failing:
        lines.append(f"{counted(state.failing, 'notification')} could not be delivered yet: {visible(state.problem)}")
    if state.failed:
        lines.append(f"{counted(state.failed, 'notification')} given up in the last 30 days")
    if state.dropped:
        lines.append(f"{counted(state.dropped, 'notification')} dropped for want of room")
    return lines


def _row_facts(row: AlertRow) -> dict[str, object]:
    return {
        "name": row.name,
        "severity": row.severity,
        "audience": row.audience,
        "raised": row.raised,
        "value": row.value,
        "limit": row.limit_at,
        "since": clock.iso(row.since),
        "cleared": None if row.cleared_at is None else clock.iso(row.cleared_at),
        "acknowledged_by": row.acknowledged_by or None,
        "sentence": row.sentence,
    }


def _outbox_facts(state: OutboxState) -> dict[str, object]:
    return {
        "unacknowledged": [
            {"id": item.number, "state": item.state, "sends": item.sends, "problem": item.problem or None, **item.body}
            for item in state.unacknowledged
        ],
        "outbox": {
            "pending": state.pending,
            "repeating": state.repeating,
            "failing": state.failing,
            "failed": state.failed,
            "dropped": state.dropped,
            "problem": state.problem or None,
        },
    }
