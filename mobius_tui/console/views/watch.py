"""Pane 5: the watch after a deploy: time left, snapshots, each rule, what would happen next, and what happened.

The guard judges; its rows are written out here. A console works out nothing but the time left and the age of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import BLANK, Line, Span, columns, merge, outside, width_of, wrap
from mobius_tui.console.snapshot import Snapshot, guard_dead, is_canary, watch_on, watch_shown
from mobius_tui.console.views.events import event_detail, event_line, event_words
from mobius_tui.console.views.rules import brief_rule_lines, loud_lines, rule_lines, verdict_mark, worst_of
from mobius_tui.console.views.view import View, brief_seconds, long_time, no_items, no_note, short_time
from mobius_tui.store.events import Event
from mobius_tui.store.values import moment, number
from mobius_tui.store.watches import WatchRow

SECONDS_S = 120.0
"""The time left is told in seconds from here on, in minutes before."""

GUARD_DEAD = "guard dead: any verb or the worker starts it again"
"""What is said of a watch whose guard is gone."""

CANARY_DEAD = "its deploy is gone: the next deploy or rollback finishes or undoes it"
"""What is said of a canary whose deploy is gone."""

_LATE_S = 15.0
_LEAST_EVENTS = 4
_SPACIOUS = 30


def time_left(watch: WatchRow, now: float) -> str:
    """The time left in a few cells: ``41 min``, in the last two minutes ``95 s``; ``0 s`` when it is over."""
    left = max(0.0, watch.until_at - now)
    return f"{left:.0f} s" if left <= SECONDS_S else f"{math.ceil(left / 60)} min"


def guard_text(snapshot: Snapshot, glyphs: Glyphs) -> tuple[str, bool]:
    """The header's word on the watch that is on, empty when none is; and whether it calls for a person."""
    watch = watch_on(snapshot)
    if watch is None:
        return "", False
    who = "canary" if is_canary(watch) else "guard"
    if guard_dead(snapshot):
        return f"{who} {glyphs.stopped} dead", True
    if watch.state != "running":
        return f"{who} {_state_mark(watch, glyphs)[0]} {outside(watch.state)}", watch.state != "planned"
    left = f"{time_left(watch, snapshot.at)} left"
    worst = worst_of(snapshot.store.ticks) if snapshot.store else ""
    if worst == "fail":
        return f"{who} {glyphs.bad} a rule fails, {left}", True
    return f"{who} {glyphs.running} {left}", False


def _note(snapshot: Snapshot) -> str:
    watch = watch_shown(snapshot)
    if watch is None:
        return ""
    if guard_dead(snapshot):
        return "dead" if not is_canary(watch) else "interrupted"
    if watch.state == "running":
        return f"{time_left(watch, snapshot.at).replace(' ', '').replace('min', 'm')} left"
    return outside(watch.outcome or watch.state) if not watch.active else outside(watch.state)


def _head(snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """State, snapshots, rules and the next line; why a rule does not pass takes what rows are left over."""
    watch = watch_shown(snapshot)
    if watch is None:
        return _nothing_on(snapshot, width)
    lines = [_state_line(watch, snapshot, width, glyphs), _by_line(watch, snapshot, width)]
    lines += _end_lines(watch, snapshot, width)
    lines += _trouble_lines(watch, snapshot, width, glyphs)
    spacious = height >= _SPACIOUS
    gap = [BLANK] if spacious else []
    table = [] if watch.state == "planned" else [*gap, *_snapshot_lines(watch, snapshot, width, glyphs)]
    if snapshot.store is not None and snapshot.store.ticks:
        table += [*gap, *rule_lines(snapshot, width, glyphs)]
    after = _next_lines(watch, snapshot, width)
    room = height - len(lines) - len(table) - len(after) - len(gap) - (1 if height > 12 else 0) - _LEAST_EVENTS
    loud = loud_lines(snapshot, width, max(1, room), glyphs) if watch.active else []
    return [*lines, *table, *loud, *gap, *after, *([BLANK] if height > 12 else [])]


def _brief_head(snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """The same for the column of the metrics, while another pane has the keys."""
    watch = watch_shown(snapshot)
    if watch is None:
        return []
    mark, role = _state_mark(watch, glyphs)
    state = outside(watch.outcome or watch.state) if not watch.active else outside(watch.state)
    left = f"{time_left(watch, snapshot.at)} left" if watch.state == "running" else ""
    auto = "" if is_canary(watch) or not watch.active else "auto on" if watch.auto else "auto off"
    if guard_dead(snapshot):
        mark, role, state = glyphs.stopped, "bad", "guard dead" if not is_canary(watch) else "interrupted"
    lines = [_fitting([(f"{mark} {state}", role), (left, "strong"), (auto, "muted")], width)]
    lines += _trouble_lines(watch, snapshot, width, glyphs)
    if not watch.active:
        lines += _end_lines(watch, snapshot, width)
    next_ = _next_lines(watch, snapshot, width, most=3)
    room = height - len(lines) - len(next_)
    if watch.state != "planned":
        trends = room >= 11
        gap = [BLANK] if room >= 14 else []
        lines += [*gap, *brief_rule_lines(snapshot, width, glyphs, trends=trends), *gap]
    loud = height - len(lines) - len(next_)
    return [*lines, *(loud_lines(snapshot, width, loud, glyphs) if watch.active else []), *next_]


def _nothing_on(snapshot: Snapshot, width: int) -> list[Line]:
    """That no watch is on, and how the last one ended."""
    watch = snapshot.store.watch if snapshot.store else None
    if watch is None:
        return []
    ended = f"The last one ended {long_time(watch.ended_at)}: {outside(watch.outcome)}, {_report(watch)}"
    said = "No watch is on." if snapshot.read_only else "No watch is on; w starts one."
    return [((row, "muted"),) for row in (*wrap(said, width, 2), *wrap(ended, width, 3))]


def _state_mark(watch: WatchRow, glyphs: Glyphs) -> Span:
    marks: dict[str, Span] = {
        "planned": (glyphs.queued, "muted"),
        "running": (glyphs.play, "accent"),
        "rolling back": (glyphs.warn, "bad"),
        "undecided": (glyphs.unknown, "warn"),
        "accepted": (glyphs.ok, "ok"),
        "rolled back": (glyphs.bad, "bad"),
        "stopped": (glyphs.warn, "warn"),
        "void": (glyphs.dash, "muted"),
    }
    return marks.get(watch.state if watch.active else watch.outcome, (glyphs.unknown, "warn"))


def _auto(watch: WatchRow) -> str:
    if is_canary(watch):
        return "its deploy undoes it"
    return "auto rollback on" if watch.auto else "auto rollback off"


def _state_line(watch: WatchRow, snapshot: Snapshot, width: int, glyphs: Glyphs) -> Line:
    mark, role = _state_mark(watch, glyphs)
    state = outside(watch.state if watch.active else watch.outcome or watch.state).upper()
    if guard_dead(snapshot):
        (mark, role), state = (glyphs.stopped, "bad"), "GUARD DEAD" if not is_canary(watch) else "INTERRUPTED"
    parts: list[Span] = [("CANARY" if is_canary(watch) else "WATCH", "live"), (f"{mark} {state}", role)]
    if watch.state == "running":
        left = f"{time_left(watch, snapshot.at)} left, until {short_time(watch.until_at, snapshot.at)} UTC"
        parts.append((left if watch.until_at > snapshot.at else "its time is over", "strong"))
    elif watch.state == "planned":
        parts.append(("it begins when its deploy is live", ""))
    elif not watch.active and watch.ended_at is not None:
        took = brief_seconds(watch.ended_at - watch.began_at)
        parts.append((f"{short_time(watch.ended_at, snapshot.at)} UTC, after {took}", "strong"))
    else:
        parts.append((f"its time was over {short_time(watch.until_at, snapshot.at)} UTC", "strong"))
    if watch.active:
        parts.append((_auto(watch), "warn" if not watch.auto and not is_canary(watch) else ""))
    return _fitting(parts, width)


def _by_line(watch: WatchRow, snapshot: Snapshot, width: int) -> Line:
    began = f" {short_time(watch.began_at, snapshot.at)}" if watch.began_at else ""
    guards = f"guards {outside(watch.deploy)}" if watch.deploy else "started by hand"
    parts: list[Span] = [(f"by {outside(watch.who)}{began}", "muted"), (guards, "muted")]
    baseline = watch.plan.get("baseline")
    measured = isinstance(baseline, Mapping) and bool(baseline.get("at"))
    parts.append(("" if measured else "no baseline", "warn"))
    parts.append((outside(watch.reason), "muted"))
    return _fitting(parts, width)


def _fitting(parts: Sequence[Span], width: int) -> Line:
    """The parts from the left that have room; the first stays whatever it takes."""
    kept: list[Span] = []
    for part in parts:
        if part[0] and (not kept or width_of(columns([*kept, part])) <= width):
            kept.append(part)
    return columns(kept)


def _end_lines(watch: WatchRow, snapshot: Snapshot, width: int) -> list[Line]:
    """Of a watch that has ended: who decided, why, and where the report is."""
    if watch.active:
        return []
    told = next((str(event.fields.get("reason") or "") for event in _events(snapshot, watch) if _is_end(event)), "")
    why = told or watch.next  # the event may be gone, the row keeps the reason
    said = f"decided by {outside(watch.decided_by) or '–'}{f': {outside(why)}' if why else ''}"
    lines: list[Line] = [((row, ""),) for row in wrap(said, width, 3)]
    return [*lines, *(((row, "muted"),) for row in wrap(_report(watch), width, 2))]


def _is_end(event: Event) -> bool:
    return event.event == "watch_ended"


def _report(watch: WatchRow) -> str:
    if is_canary(watch):
        return f"deploy {outside(watch.deploy)} has its story"
    return f"report logs/{outside(watch.run_id)}.report.md"


def _trouble_lines(watch: WatchRow, snapshot: Snapshot, width: int, glyphs: Glyphs) -> list[Line]:
    """What keeps the figures from being those of now: a dead guard, one in trouble, one that has not measured."""
    if not watch.active:
        return []
    old = snapshot.at - watch.updated_at
    aged = f"figures {_age(old)} old"
    said = ""
    role = "warn"
    if guard_dead(snapshot):
        said = f"{CANARY_DEAD if is_canary(watch) else GUARD_DEAD}; {aged}"
        role = "bad"
    elif watch.problem:
        said = f"the guard is in trouble: {outside(watch.problem)}"
    elif watch.state == "running" and old > 2 * (number(watch.plan.get("interval_s")) or 60.0) + _LATE_S:
        said = f"no measurement since {short_time(watch.updated_at, snapshot.at)} UTC: {aged}"
    return [((row, role),) for row in wrap(f"{glyphs.warn} {said}", width, 3)] if said else []


def _age(seconds: float) -> str:
    """In minutes: a line that counts seconds would be painted each second for nothing."""
    minutes = int(max(0.0, seconds) // 60)
    return f"{minutes:,} min" if minutes else "less than a minute"


def _snapshot_lines(watch: WatchRow, snapshot: Snapshot, width: int, glyphs: Glyphs) -> list[Line]:
    """The named snapshots: verdict of those that were taken, due time of the others."""
    label: Span = ("snapshots", "muted")
    rows: list[list[Span]] = [[label]] if watch.snapshots else []
    for each in watch.snapshots:
        part = _snapshot(each, watch, snapshot, glyphs)
        if width_of(columns([*rows[-1], part])) > width:
            rows.append([(" " * len(label[0]), "")])
        rows[-1].append(part)
    return [columns(row) for row in rows[:3]]


def _snapshot(each: Mapping[str, Any], watch: WatchRow, snapshot: Snapshot, glyphs: Glyphs) -> Span:
    name, due = outside(each.get("name") or "?"), moment(each.get("due_at"))
    if moment(each.get("taken_at")) is not None:
        mark, role = verdict_mark(each.get("verdict"), glyphs)
        return f"{mark} {name} {outside(each.get('verdict') or glyphs.dash)}", role
    due = due if watch.active else None  # what had not fallen due when it ended is not taken any more
    return f"{glyphs.dot} {name} {glyphs.dash if due is None else short_time(due, snapshot.at)}", "muted"


def _next_lines(watch: WatchRow, snapshot: Snapshot, width: int, most: int = 2) -> list[Line]:
    if not watch.active or not watch.next:
        return []
    fails = worst_of(snapshot.store.ticks if snapshot.store else ()) == "fail"
    role = "bad" if fails or watch.state == "rolling back" else "strong"
    label = "next:"
    if guard_dead(snapshot):  # what it said will not come to pass before it is started again
        label, role = "it said:", "muted"
    rows = wrap(f"{label} {outside(watch.next)}", width, most)
    return [merge([(rows[0][: len(label)], "muted"), (rows[0][len(label) :], role)]), *(((r, role),) for r in rows[1:])]


def _events(snapshot: Snapshot, watch: WatchRow) -> list[Event]:
    events = snapshot.store.events if snapshot.store else ()
    return [event for event in reversed(events) if event.run_id == watch.run_id]


def _items(snapshot: Snapshot) -> Sequence[Event]:
    watch = watch_shown(snapshot)
    return () if watch is None else _events(snapshot, watch)


def _empty(snapshot: Snapshot) -> str:
    watch = watch_shown(snapshot)
    if watch is None:
        if snapshot.store is not None and snapshot.store.watch is not None:
            return ""
        return (
            "there was no watch yet" if snapshot.read_only else "there was no watch yet: w starts one of what is live"
        )
    if is_canary(watch):
        return "what happens is told by its deploy: pane 2"
    return "its events are no longer among the latest; `mobius logs --run` has them"


WATCH = View(
    number=5,
    name="Watch",
    note=_note,
    head=_head,
    items=_items,
    line=event_line,
    words=event_words,
    key=lambda event: event.id,
    detail=event_detail,
    empty=_empty,
)
"""The pane's content."""

RULES_COLUMN = View(
    number=5,
    name="Rules",
    note=_note,
    head=_brief_head,
    items=no_items,
    line=lambda *_: BLANK,
    words=lambda _: "",
    key=lambda item: item,
    detail=lambda *_: [],
    empty=no_note,
)
"""The rules in the place of the metrics, on a wide screen during a watch."""
