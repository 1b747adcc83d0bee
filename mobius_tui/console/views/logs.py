"""Pane 6: the latest events of everything."""

from __future__ import annotations

from collections.abc import Sequence

from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.events import event_detail, event_line_with_source, event_words
from mobius_tui.console.views.view import View, no_head
from mobius_tui.logs import LEVELS
from mobius_tui.store.events import Event


def logs_view(level: str) -> View:
    """The pane's content for a least level.

    Args:
        level: One of ``LEVELS``; events below it are left out.

    Returns:
        The view; its title names the level.
    """
    kept = set(LEVELS[LEVELS.index(level) :])

    def items(snapshot: Snapshot) -> Sequence[Event]:
        events = snapshot.store.events if snapshot.store else ()
        return [event for event in reversed(events) if event.level in kept or event.level not in LEVELS]

    return View(
        number=6,
        name="Logs",
        note=lambda _: "all levels" if level == LEVELS[0] else f"{level} and above",
        head=no_head,
        items=items,
        line=event_line_with_source,
        words=event_words,
        key=lambda event: event.id,
        detail=event_detail,
        empty=lambda _: "nothing happened yet" if level == LEVELS[0] else f"nothing of level {level} or above",
    )


def next_level(level: str) -> str:
    """The level after this one, from the last back to the first."""
    return LEVELS[(LEVELS.index(level) + 1) % len(LEVELS)]
