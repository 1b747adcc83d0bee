"""`mobius logs`: the events of the database for people; the run's log file where the database has them no more."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.output import flush, reader_has_left, show, show_json, show_json_line
from mobius_tui.errors import BadInput, MobiusError
from mobius_tui.logs import LEVELS
from mobius_tui.store.database import data_version, open_for_reading
from mobius_tui.store.events import Event, list_events
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

POLL_S = 0.25
"""Seconds between two looks for new events."""

_APART_S = 1.0
_STYLES = {"warning": "warn", "error": "bad", "debug": "dim"}


@click.command("logs")
@takes_common_options
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--level", type=click.Choice(LEVELS), default="info", show_default=True, help="This level and above.")
@click.option("--run", "run_id", metavar="ID", default="", help="Only this run, such as migration-20261120T120431Z.")
@click.option("-n", "--lines", type=click.IntRange(0, 1_000_000), default=50, show_default=True, metavar="N",
              help="The latest N.")  # fmt: skip
@click.pass_obj
def logs(call: Call, follow: bool, level: str, run_id: str, lines: int) -> int:
    """Logs for people: what happened, oldest first. With --json one object a line when following."""
    ws = call.open(lenient=True)
    found, last = _latest(ws, level, run_id, lines)
    if call.json and not follow:
        show_json([_facts(event) for event in found])
        return 0
    say: Callable[[Event], None] = (lambda event: show_json_line(_facts(event))) if call.json else _show
    for event in found:
        say(event)
    if not follow:
        if not found:
            call.say("nothing was logged" + (f" by {visible(run_id)}" if run_id else "") + f" at level {level}")
        return 0
    for event in _follow(ws, level, run_id, last):
        say(event)
    return 0


def _latest(ws: Workspace, level: str, run_id: str, lines: int) -> tuple[list[Event], int]:
    """From the database, else from the log files; and the id of the last event there is."""
    last = 0
    with contextlib.suppress(MobiusError, sqlite3.Error, OSError):
        connection = open_for_reading(ws.database)
        if connection is not None:
            with contextlib.closing(connection):
                connection.execute("BEGIN")
                last = int(connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])
                found = list_events(connection, level=level, run_id=run_id, limit=lines) if lines else []
                connection.execute("COMMIT")
                if not run_id:
                    return found, last
                filed = _of_run_log(ws, level, run_id, lines) if found else _from_files(ws, level, run_id, lines)
                return (filed if _knows_more(filed, found) else found), last
    return _from_files(ws, level, run_id, lines), last


def _of_run_log(ws: Workspace, level: str, run_id: str, lines: int) -> list[Event]:
    """The same from the run's log file; empty where that cannot be had."""
    with contextlib.suppress(BadInput, OSError):
        return _from_files(ws, level, run_id, lines)
    return []


def _knows_more(filed: list[Event], found: list[Event]) -> bool:
    """Whether a run log has what the database was too busy or too full to take, or has forgotten."""
    if not filed or not found:
        return bool(filed)
    return len(filed) > len(found) or filed[-1].at > found[-1].at + _APART_S


def _from_files(ws: Workspace, level: str, run_id: str, lines: int) -> list[Event]:
    if run_id:
        if "/" in run_id or "\0" in run_id or run_id.startswith("."):
            raise BadInput(f"{visible(run_id)!r} is no run", fix="`mobius jobs --all --json` has their names")
        path = ws.logs / f"{run_id}.log"
        if not path.is_file():
            raise BadInput(f"there is no run {visible(run_id)!r}", fix="`mobius jobs --all --json` has their names")
        paths = [path]
    else:
        paths = sorted(ws.logs.glob("*.log")) if ws.logs.is_dir() else []
    wanted = LEVELS[LEVELS.index(level) :]
    found: list[Event] = []
    for path in paths:  # the end of each: years of logs need not fit in memory
        found += deque((event for event in _read_log(path) if event.level in wanted), maxlen=lines)
    found.sort(key=lambda event: event.at)
    return found[-lines:] if lines else []


def _read_log(path: Path) -> Iterator[Event]:
    """The records of a log file; lines that are none are passed over."""
    if not path.is_file():
        return
    with contextlib.suppress(OSError), path.open("rb") as file:
        for line in file:
            event = _event(line)
            if event is not None:
                yield event


def _event(line: bytes) -> Event | None:
    """A line of a log file as an event; None when it is none."""
    try:
        record = json.loads(line)
        at = datetime.fromisoformat(record["time"]).timestamp()
        level, component, run_id, event, message = (
            str(record.get(name, "")) for name in ("level", "component", "run", "event", "message")
        )
        return Event(0, at, level, component, run_id, event, message, dict(record.get("fields", {})))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _follow(ws: Workspace, level: str, run_id: str, after: int) -> Iterator[Event]:
    """New events as they come; waits for the database where there is none yet, and goes on with one made anew."""
    connection: sqlite3.Connection | None = None
    file = _identity(ws.database)
    seen = -1
    try:
        while not reader_has_left():
            if connection is not None and _identity(ws.database) not in {file, None}:
                connection.close()
                connection, seen, after = None, -1, 0
            if connection is None:
                file = _identity(ws.database)
                with contextlib.suppress(MobiusError):
                    connection = open_for_reading(ws.database)
            if connection is not None:
                version = data_version(connection)
                if version != seen:
                    seen = version
                    for event in list_events(connection, after=after, level=level, run_id=run_id, limit=10_000):
                        after = event.id
                        yield event
            time.sleep(POLL_S)
    finally:
        if connection is not None:
            connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a name leads to; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _facts(event: Event) -> dict[str, object]:
    return {
        "time": clock.iso(event.at),
        "level": event.level,
        "component": event.component,
        "run": event.run_id,
        "event": event.event,
        "message": event.message,
        "fields": dict(event.fields),
    }


def _show(event: Event) -> None:
    import sys

    show(f"{clock.iso(event.at)} {event.level:<7} {event.component}: {event.message}", _STYLES.get(event.level, ""))
    flush(sys.stdout)
