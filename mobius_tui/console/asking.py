"""What an action is made of: its key, whether it can be done now, what is asked before it, and what it does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from mobius_tui.console.lines import Line
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.workspace import Workspace

Able = Callable[[Snapshot], str | None]
"""Says why an action cannot be done now; None when it can."""

StoreCall = Callable[[Workspace, sqlite3.Connection, Snapshot], str]
"""Does an action on the store and says what it did."""

Act = Callable[[Workspace, Snapshot], str]
"""Does an action that needs no database, on files or by a process of its own, and says what it did."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before an action.

    Attributes:
        title: What is about to happen.
        lines: What it means.
        yes: Name of the choice that does it.
        no: Name of the choice that leaves it.
        typed: Word that has to be typed first; empty when none.
    """

    title: str
    lines: tuple[str, ...]
    yes: str
    typed: str = ""
    no: str = "Cancel"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action has found out before it asks.

    Attributes:
        title: Of the page that shows it.
        lines: The page; empty when the question says it all.
        question: What is asked then; None when it cannot be done, which the page tells.
        act: Does it, with what was found out.
    """

    title: str
    lines: tuple[Line, ...]
    question: Question | None
    act: Act | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a key does.

    Attributes:
        keys: Names of the keys, as the toolkit spells them; the first is shown.
        shown: How the first key is written.
        name: Identifier.
        label: One or two words for the footer.
        description: One sentence for help and palette.
        able: Says why it cannot be done now.
        writes: Whether it changes anything but the screen.
        call: The store call; None when something else does it.
        question: What to ask first; None when nothing.
        act: What is done without the database; None when something else does it.
        plan: Finds out what would be done, in a thread, and what to ask; None when nothing has to be found out.
        rank: Place in the footer, from the left; 0 keeps it out of there.
        leads: The pane that the key goes to instead while there is something to see; None when there never is.
    """

    keys: tuple[str, ...]
    shown: str
    name: str
    label: str
    description: str
    able: Able = lambda _: None
    writes: bool = False
    call: StoreCall | None = None
    question: Callable[[Snapshot], Question] | None = None
    rank: int = 0
    act: Act | None = None
    plan: Callable[[Workspace, Snapshot], Plan] | None = None
    leads: Callable[[Snapshot], str] | None = None


def typed_in_production(snapshot: Snapshot) -> str:
    """The word that has to be typed before what changes production."""
    return snapshot.environment if snapshot.environment == "production" else ""
