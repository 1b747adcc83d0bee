"""What people ask of the guard: lines appended to a file, each taken once, answered in the journal."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mobius_tui.errors import BadInput
from mobius_tui.guard.files import journal_path, records_of
from mobius_tui.recovery.atomic import explained
from mobius_tui.recovery.hashes import open_whole
from mobius_tui.recovery.watches import append_wish, wishes_path
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

ACTS: Final = ("accept", "extend", "snapshot", "auto", "stop", "rollback", "gone back")
"""What can be wished; ``gone back`` is told by a rollback by hand."""

MOST_ADDED_S: Final = 86_400.0
"""Seconds that people can add to a watch in all."""

_LARGEST = 4 * 1024 * 1024
_LAST_MOMENT = 1e11
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish, or a line that is none.

    Attributes:
        number: The line it stands in, from 1.
        act: One of ``ACTS``; empty for a line that is no wish.
        who: Who wishes, as the file says.
        reason: Why.
        at: Seconds since the epoch.
        facts: What else belongs to it.
        problem: Why it is no wish; empty for one.
    """

    number: int
    act: str = ""
    who: str = ""
    reason: str = ""
    at: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


def wish(ws: Workspace, run: str, act: str, who: str, *, reason: str = "", **facts: object) -> int:
    """Ask something of the guard.

    Args:
        ws: The workspace.
        run: The watch.
        act: One of ``ACTS``.
        who: Who asks.
        reason: Why; ``stop`` needs one.
        **facts: ``seconds`` of ``extend``, ``on`` of ``auto``, ``name`` of ``snapshot``.

    Returns:
        Its number, for ``wait_taken``.

    Raises:
        BadInput: There is no such watch, or it is nothing that can be wished.
        EnvironmentFailed: It cannot be written.
        OutOfResource: There is no room for it.
    """
    problem = problem_of(act, reason, facts)
    if problem:
        raise BadInput(problem, fix="`mobius watch --help`")
    path = journal_path(ws, run)
    if not path.exists():
        raise BadInput(f"there is no watch {visible(run)}", fix="`mobius watch status`")
    wished = {"act": act, "who": who, "reason": reason, "at": clock.now(), "facts": facts}
    try:
        return append_wish(wishes_path(path), wished)
    except OSError as error:
        raise explained(error, visible(str(wishes_path(path)))) from error


def wait_taken(ws: Workspace, run: str, number: int, seconds: float) -> bool:
    """Wait until the guard has taken a wish.

    Args:
        ws: The workspace.
        run: The watch.
        number: The wish.
        seconds: How long to wait.

    Returns:
        Whether it was taken in time; ``answer_to`` tells what was answered.
    """
    until = time.monotonic() + seconds
    while answer_to(ws, run, number) is None:
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_S)
    return True


def answer_to(ws: Workspace, run: str, number: int) -> tuple[bool, str] | None:
    """What the guard answered to a wish: whether it was granted, and a sentence; None before it has taken it."""
    try:
        records = records_of(journal_path(ws, run))
    except FileNotFoundError:
        return None
    for record in reversed(records):
        if record.get("what") == "wish" and record.get("wish") == number:
            return record.get("granted") is True, visible(str(record.get("answer") or ""))
    return None


def read_wishes(journal: Path, after: int) -> list[Wish]:
    """The wishes of a watch behind a number; a line that is no wish tells why, one still being written is left.

    Args:
        journal: The watch's journal.
        after: The number of the last one that was taken.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        with open_whole(wishes_path(journal)) as file:
            lines = file.read(_LARGEST).split(b"\n")
    except FileNotFoundError:
        return []
    return [_wish(number, line) for number, line in enumerate(lines[:-1], 1) if number > after]


def problem_of(act: str, reason: str, facts: Mapping[str, object]) -> str:
    """Why something cannot be wished; empty when it can."""
    if act not in ACTS:
        return f"{visible(act)!r} is nothing that can be asked of a watch"
    if act == "stop" and not reason.strip():
        return "a watch is stopped with a reason"
    if act == "auto" and not isinstance(facts.get("on"), bool):
        return "automatic rollback is on or off"
    if act == "extend":
        seconds = facts.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MOST_ADDED_S:
            return "a watch is extended by more than 0 seconds and at most 24 hours"
    return ""


def _wish(number: int, line: bytes) -> Wish:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return Wish(number, problem="the line is no JSON")
    if not isinstance(found, dict):
        return Wish(number, problem="the line is no wish")
    act, who, reason, at, facts = (found.get(name) for name in ("act", "who", "reason", "at", "facts"))
    facts = facts if isinstance(facts, dict) else {}
    reason = reason if isinstance(reason, str) else ""
    if not isinstance(act, str) or not isinstance(who, str) or not who.strip():
        return Wish(number, problem="the line names no act or nobody")
    problem = problem_of(act, reason, facts)
    moment = float(at) if isinstance(at, int | float) and not isinstance(at, bool) and 0 <= at < _LAST_MOMENT else 0.0
    return Wish(number, act, who, reason, moment, facts, problem)
