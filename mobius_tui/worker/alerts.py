"""The worker's alerts: judged each minute, kept in the database, told once each; and the outbox, looked after."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, get_args

from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.logs import JsonLog
from mobius_tui.notifications.message import Audience, Notification, Severity
from mobius_tui.notifications.outbox import notify, routes_to, step_outbox
from mobius_tui.store.alerts import AlertRow, list_alerts, write_alert
from mobius_tui.store.database import open_database, open_for_reading, writing
from mobius_tui.store.events import add_event
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.worker.alerting import NAMES, Change, Figures, Name, Standing, judge, look_at
from mobius_tui.worker.health import Check
from mobius_tui.worker.metrics import Reading
from mobius_tui.workspace import Workspace

EVERY_S: Final = 60.0
"""Seconds between two judgements."""

OUTBOX_S: Final = 5.0
"""Seconds between two looks at the outbox."""

TOLD_AGAIN_S: Final = 600.0
"""What was raised or cleared so shortly before a start may not have been told: it is, unless the outbox knows it."""

_BUSY_MS = 2000
_LEVELS = {"info": "info", "warning": "warning", "critical": "error"}
_TITLES: Mapping[str, str] = {
    "average": "images take long",
    "p95": "the slowest images take long",
    "failures": "images fail",
    "queue": "the review queue is long",
    "health": "the service is not healthy",
}


class Alerts:
    """The alerts of one workspace's worker.

    Args:
        ws: The workspace.
        read: Reads what is judged; may take seconds, so it is called in a thread of its own.
        log: The service log.
        monotonic: Seconds, to tell when the next judgement is due.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        ws: Workspace,
        read: Callable[[], Figures],
        log: JsonLog,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._ws = ws
        self._read = read
        self._log = log
        self._monotonic = monotonic
        self._now = now
        self._judge_at = self._outbox_at = monotonic()
        self._standings: dict[Name, Standing] = dict.fromkeys(NAMES, Standing())
        self._known = False
        self._unwritten: dict[str, AlertRow] = {}
        self._events: list[Change] = []
        self._thread: threading.Thread | None = None

    def step(self) -> None:
        """Do what is due, in the background; cheap, and never raises."""
        now = self._monotonic()
        if now >= self._outbox_at:
            self._outbox_at = now + OUTBOX_S
            step_outbox(self._ws)
        if now >= self._judge_at and (self._thread is None or not self._thread.is_alive()):
            self._judge_at = now + EVERY_S
            self._thread = threading.Thread(target=self._judge_safely, name="alerts", daemon=True)
            with contextlib.suppress(RuntimeError):  # no thread to be had: in a minute, perhaps
                self._thread.start()

    def raised(self) -> list[AlertRow]:
        """The alerts that hold now, in the order of their names' table."""
        return [standing.row for standing in self._standings.values() if standing.row is not None]

    def _judge_safely(self) -> None:
        try:
            self.judge_now()
        except Exception as error:  # whatever it is, the next minute is judged again
            self._log.write("error", "alert", "trouble", f"{type(error).__name__}: {visible(str(error))}")

    def judge_now(self) -> list[Change]:
        """Look, judge, keep and tell; returns what was raised and cleared."""
        figures = self._read()
        self._remember()
        changes: list[Change] = []
        for name, look in look_at(figures).items():
            before = self._standings[name]
            judged = judge(name, before, look, self._now())
            self._standings[name] = judged.standing
            changes += judged.changes
            rows = [change.row for change in judged.changes]
            if judged.standing.row is not None and judged.standing.row != before.row:
                rows.append(judged.standing.row)
            if rows:
                self._unwritten[name] = rows[-1]
        self._events += changes
        self._keep()
        for change in changes:
            self._log.write(_level(change), "alert", change.kind, words_of(change), fields=_facts(change.row))
            notify(self._ws, notification_of(change))
        return changes

    def _remember(self) -> None:
        """Take up what was raised before this worker started; again later when the database cannot be read."""
        if self._known:
            return
        try:
            connection = open_for_reading(self._ws.database)
            if connection is None:
                return
            with contextlib.closing(connection):
                rows = list_alerts(connection)
        except (sqlite3.Error, OSError, MobiusError):
            return
        self._known = True
        for row in rows:
            name = next((known for known in NAMES if known == row.name), None)
            if name is None:
                continue
            if row.raised and self._standings[name].row is None:
                self._standings[name] = Standing(row)
            at = row.since if row.raised else row.cleared_at or 0.0
            told = notification_of(Change("alert" if row.raised else "clear", row))
            if 0 <= self._now() - at < TOLD_AGAIN_S and routes_to(self._ws, told):
                notify(self._ws, told)

    def _keep(self) -> None:
        """Write rows and events; what the database refuses is written with the next judgement."""
        if not self._unwritten and not self._events:
            return
        try:
            if not self._ws.state.is_dir():  # a workspace that was removed is not made anew
                raise EnvironmentFailed("the state folder is gone", where=visible(str(self._ws.state)))
            with contextlib.closing(open_database(self._ws.database, busy_ms=_BUSY_MS)) as connection:
                self._write(connection)
        except (sqlite3.Error, OSError, MobiusError) as error:
            self._log.write("warning", "alert", "not_kept", f"the alerts cannot be kept: {visible(str(error))}")
            return
        self._unwritten.clear()
        self._events.clear()

    def _write(self, connection: sqlite3.Connection) -> None:
        with writing(connection):
            stored = {row.name: row for row in list_alerts(connection)}
            for row in self._unwritten.values():
                write_alert(connection, _with_acknowledgement(row, stored.get(row.name)))
            for change in self._events:
                level, facts = _level(change), _facts(change.row)
                add_event(connection, level, "alert", change.kind, words_of(change), fields=facts)


def figures_of(reading: Reading) -> Figures:
    """What is judged of a reading of the metrics."""
    checks: Mapping[str, Check] = reading.checks
    wrong = "; ".join(check.sentence for check in checks.values() if check.ok is not True)
    health = reading.status if checks else ""
    found = reading.stored
    if found is None:
        return Figures(health=health, wrong=wrong)
    figures = found.figures
    return Figures(
        figures.images, figures.failed, figures.average_ms, figures.p95_ms, found.queue, health, wrong
    )  # fmt: skip


def notification_of(change: Change) -> Notification:
    """What people are told of an alert; a ``clear`` is as grave as its alert was, so that the same people get it."""
    row = change.row
    at = row.since if change.kind == "alert" else row.cleared_at or row.since
    title = _TITLES.get(row.name, row.name)
    severities: tuple[Severity, ...] = get_args(Severity)
    audiences: tuple[Audience, ...] = get_args(Audience)
    return Notification(
        kind=change.kind,
        severity=next((known for known in severities if known == row.severity), "warning"),
        audience=next((known for known in audiences if known == row.audience), "sre"),
        title=title if change.kind == "alert" else f"cleared: {title}",
        sentence=row.sentence,
        at=at,
        verdict=_facts(row),
        key=f"{change.kind} {row.name} {row.severity} {at!r}",
        subject=row.name,
    )


def words_of(change: Change) -> str:
    """An alert in one line."""
    said = "raised" if change.kind == "alert" else "cleared"
    return f"{change.row.name} {said} ({change.row.severity}): {change.row.sentence}"


def _level(change: Change) -> str:
    return _LEVELS.get(change.row.severity, "warning") if change.kind == "alert" else "info"


def _facts(row: AlertRow) -> dict[str, object]:
    return {
        "alert": row.name,
        "severity": row.severity,
        "audience": row.audience,
        "value": row.value,
        "limit": row.limit_at,
        "since": clock.iso(row.since),
        "cleared": None if row.cleared_at is None else clock.iso(row.cleared_at),
        "sentence": row.sentence,
    }


def _with_acknowledgement(row: AlertRow, stored: AlertRow | None) -> AlertRow:
    """A row with who has acknowledged it meanwhile, if it is still the same alert."""
    if stored is None or stored.since != row.since or not stored.acknowledged_by:
        return row
    return replace(row, acknowledged_by=stored.acknowledged_by, acknowledged_at=stored.acknowledged_at)
