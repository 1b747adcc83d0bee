"""Ending a watch whose guard does not come up: the verb of a person is the guard for a moment."""

from __future__ import annotations

from typing import Final

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.guard.ending import decide, finish
from mobius_tui.guard.files import journal_path
from mobius_tui.guard.granting import Answer, answer
from mobius_tui.guard.keeping import Keeper
from mobius_tui.guard.launch import guard_lock
from mobius_tui.guard.mirror import Mirror
from mobius_tui.guard.model import Outcome
from mobius_tui.guard.rows import watch_row
from mobius_tui.guard.telling import Telling, whole_verdict
from mobius_tui.guard.timing import BootClock, Clock
from mobius_tui.guard.wishes import Wish, read_wishes
from mobius_tui.notifications.outbox import notify
from mobius_tui.system.locks import FileLock
from mobius_tui.system.processes import process_token
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

ENDS: Final[dict[str, Outcome]] = {"accept": "accepted", "stop": "stopped", "gone back": "rolled back"}
"""The wishes that need no guard, and how the watch ends by them."""


def end_by_hand(ws: Workspace, run: str, clock: Clock | None = None) -> bool:
    """Take the wishes that wait, and end the watch by the first that ends one without measuring or rolling back.

    Args:
        ws: The workspace.
        run: The watch; the wish is in its file already.
        clock: Tells the time; None means the machine's.

    Returns:
        Whether this process could be the guard; False when one runs after all, which takes the wishes itself.

    Raises:
        EnvironmentFailed: The journal cannot be written, or it is none of a watch.
        OSError: Its files cannot be read or written.
    """
    lock = FileLock(guard_lock(ws))
    if not lock.acquire(ws.actor, "ending a watch without its guard"):
        return False
    try:
        keeper, mirror = Keeper(journal_path(ws, run)), Mirror(ws)
        try:
            _end(ws, keeper, mirror, clock or BootClock())
        finally:
            keeper.close()
            mirror.close()
    finally:
        lock.release()
    return True


def _end(ws: Workspace, keeper: Keeper, mirror: Mirror, clock: Clock) -> None:
    story = keeper.story
    anchor = story.anchor
    elapsed = 0.0 if anchor is None else anchor.elapsed(clock, story.last_elapsed_s)
    for wish in read_wishes(keeper.path, max(story.taken, default=0)):
        _take(keeper, wish, elapsed)
    if story.ending is not None and story.end is None:
        rows = story.history[-1] if story.history else ()
        latest = story.measurements[-1] if story.measurements else None
        telling = Telling(ws, story.plan.run, mirror, notify)
        finish(ws, keeper, telling, whole_verdict(story, story.plan, latest, rows, elapsed, ""))
    if not keeper.flush():
        raise EnvironmentFailed(
            f"the journal of the watch cannot be written: {keeper.problem}", where=visible(str(keeper.path))
        )
    token = process_token()
    mirror.watch(watch_row(story, elapsed_s=elapsed, now=clock.now(), token=token, next_="", problem=""))
    mirror.flush()  # a database that does not answer shows it later, or not: the journal is the truth


def _take(keeper: Keeper, wish: Wish, elapsed: float) -> None:
    """Answer one wish; what only a guard can do is refused."""
    given = answer(wish, keeper.story, elapsed)
    if given.granted and wish.act not in ENDS:
        given = Answer(False, "its guard does not run, and only a guard does that", wish.facts)
    keeper.note(
        "wish",
        wish=wish.number,
        act=wish.act,
        who=wish.who,
        reason=wish.reason,
        granted=given.granted,
        answer=given.sentence,
        facts=dict(given.facts),
        elapsed_s=elapsed,
    )
    if given.granted:
        decide(keeper, ENDS[wish.act], wish.who, wish.reason or given.sentence, elapsed)
