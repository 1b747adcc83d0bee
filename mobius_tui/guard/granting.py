"""What the guard answers to a wish: a pure function of the wish and of where the watch stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobius_tui.guard.records import Story
from mobius_tui.guard.wishes import MOST_ADDED_S, Wish
from mobius_tui.text import spoken_seconds, visible


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a wish.

    Attributes:
        granted: Whether it is done.
        sentence: The same in words.
        facts: What follows from it, for the journal; replaces the wish's own.
    """

    granted: bool
    sentence: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def answer(wish: Wish, story: Story, elapsed_s: float) -> Answer:
    """Whether a wish is granted, and why not.

    Args:
        wish: From the file.
        story: Where the watch stands.
        elapsed_s: Seconds since it began.

    Returns:
        The answer; it is not acted upon here.
    """
    if wish.problem:
        return Answer(False, f"left aside: {wish.problem}", wish.facts)
    if story.ending is not None or story.end is not None:
        return Answer(False, "the watch has ended", wish.facts)
    who, state = visible(wish.who), story.state
    if wish.act == "gone back":
        return Answer(True, f"{who} has rolled back", wish.facts)
    if wish.act == "stop":
        return Answer(True, f"stopped by {who}", wish.facts)
    if state == "rolling back":
        return Answer(False, "it is rolling back", wish.facts)
    if wish.act == "accept":
        return Answer(True, f"accepted by {who}", wish.facts)
    if wish.act == "rollback":
        return Answer(True, f"{who} asks to roll back", wish.facts)
    if wish.act == "snapshot":
        return Answer(True, "taken", wish.facts)
    if wish.act == "extend":
        return _extended(wish, story, elapsed_s)
    if state == "undecided":
        return Answer(False, "the time is over: extend, accept, stop or roll back", wish.facts)
    on = wish.facts.get("on") is True
    return Answer(True, f"automatic rollback is {'on' if on else 'off'}", wish.facts)


def _extended(wish: Wish, story: Story, elapsed_s: float) -> Answer:
    """More time; after the time is over it counts from now. People can add a day in all."""
    asked = float(wish.facts.get("seconds") or 0.0)
    left = MOST_ADDED_S - story.asked_s
    if asked > left + 1e-6:
        return Answer(
            False, f"at most 24 hours can be added, {spoken_seconds(max(0.0, left))} of them are left", wish.facts
        )
    late = max(0.0, elapsed_s - story.deadline_s) if story.state == "undecided" else 0.0
    said = f"{spoken_seconds(asked)} more, {spoken_seconds(story.deadline_s + late + asked - elapsed_s)} left"
    return Answer(True, said, {**wish.facts, "seconds": asked, "added_s": asked + late})
