"""A watch whose guard cannot start is ended by a person all the same."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from watch_world import RUN, World, ill

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.guard.files import journal_path, open_watch, records_of, refuse_during_watch
from mobius_tui.guard.launch import OUTPUT, guard_holder, guard_lock
from mobius_tui.guard.wishes import answer_to, wish
from mobius_tui.operations import watching
from mobius_tui.operations.watching import ask_watch
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.watches import tell_gone_back
from mobius_tui.store.database import open_database
from mobius_tui.store.watches import find_watch
from mobius_tui.system.locks import FileLock
from mobius_tui.workspace import Workspace, init_workspace, open_workspace


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace in which no guard can be started: its output is in nobody's way but its own."""
    init_workspace(tmp_path)
    monkeypatch.setattr(watching, "ANSWER_S", 0.1)
    found = open_workspace(tmp_path, {}, {}, "bob")
    (found.logs / OUTPUT).mkdir(parents=True)
    return found


def left_alone(ws: Workspace, *, rolling_back: bool = False) -> None:
    """A watch under way whose guard is gone."""
    world = World(ws)
    if rolling_back:
        world.service.look, world.back.fails = ill, 100
    world.go(35.0)
    world.die()


def end(ws: Workspace) -> tuple[str, str, str]:
    last = records_of(journal_path(ws, RUN))[-1]
    return str(last.get("outcome")), str(last.get("decided_by")), str(last.get("reason"))


@pytest.mark.parametrize(("act", "outcome"), [("accept", "accepted"), ("stop", "stopped")])
def test_a_person_ends_a_watch_whose_guard_cannot_start(ws: Workspace, act: str, outcome: str) -> None:
    open_database(ws.database).close()
    left_alone(ws)
    assert ask_watch(ws, act, reason="it never comes up") == f"{outcome} by bob"
    assert end(ws) == (outcome, "bob", "it never comes up")
    assert open_watch(ws) is None and guard_holder(ws) is None
    refuse_during_watch(ws)
    assert [found["who"] for found in read_history(ws.state) if found["act"] == f"watch {outcome}"] == ["bob"]
    assert (ws.logs / f"{RUN}.report.md").exists()
    with contextlib.closing(open_database(ws.database)) as connection:
        row = find_watch(connection, RUN)
    assert row is not None
    assert (row.state, row.outcome, row.decided_by, row.next) == ("ended", outcome, "bob", "it never comes up")


def test_one_that_rolls_back_is_stopped_and_not_accepted(ws: Workspace) -> None:
    left_alone(ws, rolling_back=True)
    with pytest.raises(BadInput, match="rolling back"):
        ask_watch(ws, "accept")
    assert open_watch(ws) is not None
    assert ask_watch(ws, "stop", reason="I do it by hand") == "stopped by bob"
    assert end(ws) == ("stopped", "bob", "I do it by hand")


def test_what_was_asked_before_is_answered_first(ws: Workspace) -> None:
    left_alone(ws)
    asked = wish(ws, RUN, "rollback", "ann")
    assert tell_gone_back(ws.state, "carol", "cards look wrong") == []
    with pytest.raises(BadInput, match="ended"):
        ask_watch(ws, "accept")
    assert answer_to(ws, RUN, asked) == (False, "its guard does not run, and only a guard does that")
    assert end(ws) == ("rolled back", "carol", "cards look wrong")


def test_what_only_a_guard_does_waits_for_one(ws: Workspace) -> None:
    left_alone(ws)
    with pytest.raises(EnvironmentFailed, match="cannot be started"):
        ask_watch(ws, "auto", on=True)
    assert open_watch(ws) is not None


def test_a_guard_that_holds_its_lock_is_left_to_it(ws: Workspace) -> None:
    left_alone(ws)
    lock = FileLock(guard_lock(ws))
    assert lock.acquire("ann", "guard")
    try:
        with pytest.raises(EnvironmentFailed, match="has not answered"):
            ask_watch(ws, "stop", reason="now")
    finally:
        lock.release()
    assert open_watch(ws) is not None
