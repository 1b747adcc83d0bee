"""What a pane needs to know of its content: a title, lines at the top, and a list below them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, outside
from mobius_tui.console.snapshot import Snapshot

Detail = tuple[str, str]
"""A label and what it names, already safe to show."""


def labelled(label: str, value: object) -> Detail:
    """A detail whose value comes from outside, in words: a dash for an empty one, yes and no, counts by name."""
    return f"{outside(label).replace('_', ' '):<23}  ", outside(_worded(value))


def _worded(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {count}" for name, count in value.items())
    return "–" if value is None or value == "" else str(value)


@dataclass(frozen=True, slots=True)
class View:
    """One pane's content, as pure functions of the snapshot.

    Attributes:
        number: The key that jumps to the pane; the same on every screen.
        name: What it is called in titles and tabs.
        note: What the title and the tab add: a count, a percentage.
        head: Lines above the list, given the width and the rows of the pane.
        items: What the list holds, in the order it is shown.
        line: One item in a width.
        words: The text of an item that a filter searches.
        key: What stays the same of an item from one snapshot to the next.
        detail: Everything about an item: labels and texts.
        empty: What is shown instead of an empty list.
        points: Whether the cursor shows before it was moved: keys mean the line under it.
        now: Place of the item that stays in sight while the cursor does not show.
        spread: The lines of items that need more than one, by their place, given the width and the rows that all
            items leave free.
    """

    number: int
    name: str
    note: Callable[[Snapshot], str]
    head: Callable[[Snapshot, int, int, Glyphs], list[Line]]
    items: Callable[[Snapshot], Sequence[Any]]
    line: Callable[[Any, int, Glyphs, Snapshot], Line]
    words: Callable[[Any], str]
    key: Callable[[Any], object]
    detail: Callable[[Any, Snapshot], list[Detail]]
    empty: Callable[[Snapshot], str]
    points: bool = False
    now: Callable[[Sequence[Any]], int] = lambda _: 0
    spread: Callable[[Sequence[Any], int, int, Glyphs, Snapshot], Mapping[int, list[Line]]] = lambda *_: {}


def no_note(_: Snapshot) -> str:
    """Nothing to add to the title."""
    return ""


def no_head(_: Snapshot, __: int, ___: int, ____: Glyphs) -> list[Line]:
    """No lines above the list."""
    return []


def no_items(_: Snapshot) -> Sequence[Any]:
    """A pane without a list."""
    return ()


def short_time(at: float, now: float) -> str:
    """A moment in five cells: ``12:03`` for the same UTC day, ``11-19`` for another."""
    moment, today = datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(now, UTC)
    return moment.strftime("%H:%M" if moment.date() == today.date() else "%m-%d")


def long_time(at: float | None) -> str:
    """A moment with its date, ``2026-11-20 12:03:31 UTC``; a dash when there is none."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span_of(seconds: float) -> str:
    """A planned span: ``60 min``, ``90 s``."""
    return f"{seconds / 60:g} min" if seconds >= 60 and seconds % 30 == 0 else f"{seconds:g} s"


def brief_seconds(seconds: float) -> str:
    """A duration as a clock reads it: ``0:09``, ``3:05``, ``1:02:09``."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
