"""The files of the watches of a workspace: which is open, where it stands, until when others are refused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobius_tui.errors import BadInput, EnvironmentFailed, Held, MobiusError
from mobius_tui.guard.model import Plan
from mobius_tui.guard.records import State, Story, story_of
from mobius_tui.guard.timing import GAP_INTERVALS, BootClock, Clock
from mobius_tui.recovery.atomic import explained
from mobius_tui.recovery.journal import ENDING, JOURNALS, RESERVED_BYTES, Journal, journals, read_journal, run_of
from mobius_tui.recovery.watches import GUARD_LOCK, WATCHES, open_watches
from mobius_tui.system import clock as wall
from mobius_tui.system.locks import holder_of
from mobius_tui.system.processes import is_alive, process_token
from mobius_tui.text import human_seconds, spoken_seconds, visible
from mobius_tui.workspace import Workspace

MOST_TICKS = 10_000
"""Measurements of a watch at most: its journal is read whole."""

_TICK_BYTES = 5 * 1024
_MOST_RESERVED = 16 * 1024 * 1024
_LOST_S = 60.0
_ORDER = {"rolling back": 0, "running": 1, "undecided": 2, "planned": 3}


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """A watch that has not come to its end.

    Attributes:
        run: Its run id.
        plan: What was asked for, with ``auto`` as it is now.
        state: ``planned``, ``running``, ``rolling back`` or ``undecided``.
        began_at: Seconds since the epoch; 0 while it is planned.
        until_at: When its time is over, by the clock on the wall as it is now; 0 while it is planned.
        left_s: Seconds until then by the clock that counts; negative when it is over. While it is planned the whole,
            less what went by since it was due.
        token: The guard that wrote last; empty before one ran.
        who: Who asked for it.
        path: Its journal.
        ready: ``start`` when a guard should run; for a planned one ``wait`` while its deploy is under way and ``void``
            when that never went live.
        late_s: Seconds since its time is over, or since a guard took it up after that.
    """

    run: str
    plan: Plan
    state: State
    began_at: float
    until_at: float
    left_s: float
    token: str
    who: str
    path: Path
    ready: str
    late_s: float = 0.0


def plan_watch(ws: Workspace, plan: Plan) -> Path:
    """Write the plan of a watch; it starts when its deploy went live, or at once when it names none.

    Args:
        ws: The workspace.
        plan: What is asked for.

    Returns:
        Its journal.

    Raises:
        BadInput: It would be measured too often.
        FileExistsError: There is a watch of this run id.
        EnvironmentFailed: It cannot be written.
        OutOfResource: There is no room for it.
    """
    folder = ws.state / WATCHES
    if plan.duration_s > plan.interval_s * MOST_TICKS:
        asked = f"{human_seconds(plan.duration_s)} every {human_seconds(plan.interval_s)}"
        fix = f"measure less often, or watch shorter: {MOST_TICKS:,} at most"
        raise BadInput(f"a watch of {asked} has too many measurements", fix=fix)
    try:
        facts = {"plan": plan.to_json(), "who": plan.who, "reason": plan.reason, "token": process_token()}
        journal = Journal.create(folder, plan.run, kind="watch", **facts)
        journal.close()
        _reserve(journal.path, plan)
    except FileExistsError:
        raise
    except OSError as error:
        raise explained(error, visible(str(folder))) from error
    return journal.path


def _reserve(path: Path, plan: Plan) -> None:
    """Take the space that the journal will need, so that a full disk cannot keep the guard from noting how it ends."""
    size = RESERVED_BYTES + int(plan.duration_s / plan.interval_s + 1) * _TICK_BYTES
    if not hasattr(os, "posix_fallocate"):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.posix_fallocate(descriptor, 0, min(size, _MOST_RESERVED))
    except OSError:  # what it got at its creation serves; the guard pages when the disk is full
        return
    finally:
        os.close(descriptor)


def records_of(path: Path) -> list[dict[str, Any]]:
    """The records of a watch's journal, oldest first; a torn last one is left out.

    Raises:
        OSError: It cannot be read.
        EnvironmentFailed: It is no journal.
    """
    return read_journal(path).records


def journal_path(ws: Workspace, run: str) -> Path:
    """The journal of a watch, open or ended."""
    return ws.state / WATCHES / f"{run}{ENDING}"


def open_watch(ws: Workspace, clock: Clock | None = None) -> OpenWatch | None:
    """The watch that is on: the one that runs, else one without a verdict, else one that is planned.

    Args:
        ws: The workspace.
        clock: Tells the time; None means the machine's.

    Returns:
        The watch; None when there is none. Costs a look into one folder when there is none.

    Raises:
        EnvironmentFailed: The journals cannot be read.
    """
    found = all_open(ws, clock)
    return min(found, key=lambda watch: _ORDER[watch.state]) if found else None


def all_open(ws: Workspace, clock: Clock | None = None) -> list[OpenWatch]:
    """Every watch that has not come to its end, oldest first; one that no record tells of is left out.

    Raises:
        EnvironmentFailed: The journals cannot be read.
    """
    told = clock or BootClock()
    try:
        found = [_read(ws, path, told) for path in open_watches(ws.state)]
    except OSError as error:
        raise EnvironmentFailed(
            f"the watch cannot be read: {error.strerror}",
            where=visible(str(error.filename or ws.state / WATCHES)),
            fix="check owner and mode; what is no journal there can be moved aside",
        ) from error
    return [watch for watch in found if watch is not None]


def readable_watches(ws: Workspace) -> list[OpenWatch]:
    """Those of ``all_open`` whose journals can be read: one that cannot keeps a guard from none of the others."""
    found = []
    for path in journals(ws.state / WATCHES):
        with contextlib.suppress(OSError, MobiusError):
            found.append(_read(ws, path, BootClock()))
    return [watch for watch in found if watch is not None]


def refuse_during_watch(ws: Workspace) -> None:
    """Refuse what must not happen during a watch; one whose time is over without a verdict refuses nothing.

    While its guard is still at the last measurement there is no verdict yet, and it may roll back.

    Raises:
        Held: A watch is on: says who started it and until when.
    """
    for watch in all_open(ws):
        over = watch.left_s <= 0 and watch.state != "rolling back" and not _being_decided(ws, watch)
        if watch.ready != "start" or over or watch.state == "undecided":
            continue
        until = wall.iso(wall.now() + watch.left_s)
        live = f"the deploy {visible(watch.plan.deploy)} of" if watch.plan.deploy else "what is live, for"
        said = f"a watch guards {live} {visible(watch.who)} until {until} ({spoken_seconds(watch.left_s)} left)"
        if watch.state == "rolling back":
            said = f"the watch {visible(watch.run)} of {visible(watch.who)} is rolling back"
        elif watch.left_s <= 0:
            said = f"the time of the watch {visible(watch.run)} of {visible(watch.who)} is over: it is being decided"
        raise Held(said, fix="`mobius watch` joins it, `mobius watch accept` or `mobius watch stop --reason` ends it")


def _being_decided(ws: Workspace, watch: OpenWatch) -> bool:
    """Whether a living guard is at the last measurement, after which it may roll back: two intervals at most."""
    if watch.state != "running" or watch.late_s > max(_LOST_S, GAP_INTERVALS * watch.plan.interval_s):
        return False
    holder = holder_of(ws.state / GUARD_LOCK)
    return holder is not None and holder.token == watch.token


def _read(ws: Workspace, path: Path, clock: Clock) -> OpenWatch | None:
    try:
        told = story_of(records_of(path))
    except FileNotFoundError:
        return None
    if told is None or told.state == "ended":
        return None
    plan = told.plan
    who = plan.who
    if told.start is None or told.anchor is None:
        ready = readiness(ws, told, clock)
        left = plan.duration_s - _unguarded_s(ws, told, clock) if ready == "start" else plan.duration_s
        return OpenWatch(run_of(path), plan, "planned", 0.0, 0.0, left, "", who, path, ready)
    elapsed = told.anchor.elapsed(clock, told.last_elapsed_s)
    left, late = told.deadline_s - elapsed, max(0.0, elapsed - max(told.deadline_s, told.anchor.elapsed_s))
    until, ready = clock.now() + left, readiness(ws, told, clock)
    return OpenWatch(run_of(path), plan, told.state, told.started_at, until, left, told.guard, who, path, ready, late)


def _unguarded_s(ws: Workspace, story: Story, clock: Clock) -> float:
    """For how long no guard has taken up a watch that was due: one that never comes must not refuse others for ever."""
    since = _moment(story.planned_at)
    with contextlib.suppress(OSError):
        if story.plan.deploy:  # its journal's end is when it went live
            since = max(since, (ws.state / JOURNALS / f"{story.plan.deploy}{ENDING}").stat().st_mtime)
    return max(0.0, clock.now() - since)


def readiness(ws: Workspace, story: Story, clock: Clock) -> str:
    """Whether a guard should run for a watch: ``start``, ``wait`` or ``void``."""
    if story.start is not None or not story.plan.deploy:
        return "start"
    path = ws.state / JOURNALS / f"{story.plan.deploy}{ENDING}"
    try:
        reading = read_journal(path)
    except (FileNotFoundError, NotADirectoryError):
        old = clock.now() - _moment(story.planned_at) > _LOST_S
        return "void" if old and not is_alive(story.token) else "wait"
    except (OSError, MobiusError):
        return "wait"
    if not reading.ended:
        return "wait"
    end: Mapping[str, Any] = reading.records[-1]
    return "start" if end.get("state") in {"done", "held"} else "void"


def _moment(text: str) -> float:
    """Seconds since the epoch of a record's time; 0 when it is none."""
    return wall.from_stamp(text.replace("-", "").replace(":", "")) or 0.0
