"""`mobius logs`: the events of the database for people; the log files where they know what the database does not."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.output import flush, reader_has_left, show, show_json, show_json_line
from mobius_tui.errors import BadInput, MobiusError
from mobius_tui.logs import LEVELS, SERVICE_LOG
from mobius_tui.store.database import data_version, open_for_reading
from mobius_tui.store.events import Event, list_events
from mobius_tui.system import clock
from mobius_tui.text import duration_of, visible
from mobius_tui.workspace import Workspace

POLL_S = 0.25
"""Seconds between two looks for new events."""

_APART_S = 1.0
_STYLES = {"warning": "warn", "error": "bad", "debug": "dim"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are asked for.

    Attributes:
        level: This one and above.
        run_id: Of one run; empty for all.
        component: Of one part; empty for all.
        since: Seconds since the epoch; 0 for any time.
    """

    level: str
    run_id: str
    component: str
    since: float

    def takes(self, event: Event) -> bool:
        """Whether an event of a log file is asked for; its run is that of the file."""
        fits = LEVELS.index(self.level) <= (LEVELS.index(event.level) if event.level in LEVELS else -1)
        return fits and event.at >= self.since and self.component in {"", event.component}


def _moment(age: str) -> float:
    """When something of an age happened; 0 for no age."""
    if not age:
        return 0.0
    seconds = duration_of(age)
    if seconds is None:
        raise BadInput(f"{visible(age)!r} is no duration", fix="write it like 90m, 48h or 7d")
    return clock.now() - seconds


@click.command("logs")
@takes_common_options
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--level", type=click.Choice(LEVELS), default="info", show_default=True, help="This level and above.")
@click.option("--run", "run_id", metavar="ID", default="", help="Only this run, such as migration-20261120T120431Z.")
@click.option("--component", metavar="NAME", default="", help="Only what this part says: worker, http, deploy, guard.")
@click.option("--since", metavar="AGE", default="", help="Only the last so much: 90m, 48h, 7d.")
@click.option("-n", "--lines", type=click.IntRange(0, 1_000_000), default=50, show_default=True, metavar="N",
              help="The latest N.")  # fmt: skip
@click.pass_obj
def logs(call: Call, follow: bool, level: str, run_id: str, component: str, since: str, lines: int) -> int:
    """Logs for people: what happened, oldest first. With --json one object a line when following."""
    ws = call.open(lenient=True)
    wanted = Wanted(level, run_id, component, _moment(since))
    found, last = _latest(ws, wanted, lines)
    if call.json and not follow:
        show_json([_facts(event) for event in found])
        return 0
    say: Callable[[Event], None] = (lambda event: show_json_line(_facts(event))) if call.json else _show
    for event in found:
        say(event)
    if not follow:
        if not found:
            who = f" by {visible(run_id or component)}" if run_id or component else ""
            call.say(f"nothing was logged{who} at level {level}")
        return 0
    if found and not any(event.id for event in found):
        call.say("these are from the log files; what follows is from the database's events only")
    for event in _follow(ws, wanted, last):
        say(event)
    return 0


def _latest(ws: Workspace, wanted: Wanted, lines: int) -> tuple[list[Event], int]:
    """From the database, else from the log files; and the id of the last event there is."""
    last = 0
    with contextlib.suppress(MobiusError, sqlite3.Error, OSError):
        connection = open_for_reading(ws.database)
        if connection is not None:
            with contextlib.closing(connection):
                connection.execute("BEGIN")
                last = int(connection.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()[0])
                found = _listed(connection, wanted, 0, lines) if lines else []
                connection.execute("COMMIT")
                if not wanted.run_id and (found or not wanted.component):
                    return found, last
                filed = _of_run_log(ws, wanted, lines) if found else _from_files(ws, wanted, lines)
                return (filed if _knows_more(filed, found) else found), last
    return _from_files(ws, wanted, lines), last


def _listed(connection: sqlite3.Connection, wanted: Wanted, after: int, limit: int) -> list[Event]:
    return list_events(
        connection, after=after, level=wanted.level, run_id=wanted.run_id, component=wanted.component,
        since=wanted.since, limit=limit,
    )  # fmt: skip


def _of_run_log(ws: Workspace, wanted: Wanted, lines: int) -> list[Event]:
    """The same from the run's log file; empty where that cannot be had."""
    with contextlib.suppress(BadInput, OSError):
        return _from_files(ws, wanted, lines)
    return []


def _knows_more(filed: list[Event], found: list[Event]) -> bool:
    """Whether a run log has what the database was too busy or too full to take, or has forgotten."""
    if not filed or not found:
        return bool(filed)
    return len(filed) > len(found) or filed[-1].at > found[-1].at + _APART_S


def _from_files(ws: Workspace, wanted: Wanted, lines: int) -> list[Event]:
    run_id = wanted.run_id
    if run_id:
        if "/" in run_id or "\0" in run_id or run_id.startswith("."):
            raise BadInput(f"{visible(run_id)!r} is no run", fix="`mobius jobs --all --json` has their names")
        path = ws.logs / f"{run_id}.log"
        if not path.is_file():
            raise BadInput(f"there is no run {visible(run_id)!r}", fix="`mobius jobs --all --json` has their names")
        paths = [path]
    else:
        found_here = [*ws.logs.glob("*.log"), *ws.logs.glob(f"{SERVICE_LOG}.[0-9]*")] if ws.logs.is_dir() else []
        paths = sorted(found_here, key=_turn)
    found: list[Event] = []
    for path in paths:  # the end of each: years of logs need not fit in memory
        found += deque((event for event in _read_log(path) if wanted.takes(event)), maxlen=lines)
    found.sort(key=lambda event: event.at)
    return found[-lines:] if lines else []


def _turn(path: Path) -> tuple[int, str]:
    """Where a file stands among others with records of the same millisecond: what was rotated comes first, by age."""
    number = path.suffix[1:]
    return (-int(number), path.name) if number.isascii() and number.isdigit() else (1, path.name)


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


def _follow(ws: Workspace, wanted: Wanted, after: int) -> Iterator[Event]:
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
                    for event in _listed(connection, wanted, after, 10_000):
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
