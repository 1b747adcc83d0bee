"""A watch beside what others do meanwhile: a kill after a wish was granted, and somebody else's publication."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from watch_world import PLAN, RUN, World, ill

from mobius_tui.errors import Held
from mobius_tui.guard.files import plan_watch, refuse_during_watch
from mobius_tui.guard.launch import begin_watch, heal_guard
from mobius_tui.guard.watch import Watch
from mobius_tui.guard.wishes import wish
from mobius_tui.operations.watching import WatchOptions, start_watch
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.recovery.watches import GUARD_LOCK, open_watches, tell_gone_back
from mobius_tui.system import clock
from mobius_tui.system.locks import FileLock, catalogue_lock
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, init_workspace, open_workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    return open_workspace(tmp_path, {}, {}, "tester")


@pytest.fixture
def lock(ws: Workspace) -> Iterator[FileLock]:
    """The guard's lock, held by this process."""
    held = FileLock(ws.state / GUARD_LOCK)
    assert held.acquire("tester", "guard")
    yield held
    held.release()


class Killed(BaseException):
    """The guard is killed here."""


def publish(ws: Workspace, act: str, run: str, **details: object) -> None:
    note_act(
        ws.state, act, "eve", run_id=run, before="1" * 64, after=run.encode().hex().ljust(64, "0"), details=details
    )


def outcome(world: World) -> tuple[str, str, str]:
    end = world.keeper.story.end or {}
    return world.keeper.story.outcome, str(end.get("decided_by")), str(end.get("reason"))


@pytest.mark.parametrize(
    ("act", "meant"),
    [("accept", "accepted"), ("stop", "stopped"), ("rollback", "rolled back"), ("gone back", "rolled back")],
)
def test_a_wish_that_was_granted_is_done_after_a_kill(
    ws: Workspace, act: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    world = World(ws)
    world.go(25.0)
    if act == "gone back":
        tell_gone_back(ws.state, "bob", "by hand")
    else:
        wish(ws, RUN, act, "bob", reason="by hand")
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "_grant", killed)
        with pytest.raises(Killed):
            world.go(1.0)
    world.die()
    world.start()
    world.go(1.0)
    assert outcome(world) == (meant, "bob", "by hand")
    assert len(world.back.runs) == (act == "rollback")


def test_what_somebody_else_has_published_is_not_rolled_back(ws: Workspace) -> None:
    world = World(ws)
    world.go(25.0)
    world.service.look = ill
    world.go(10.0)
    publish(ws, "deploy", "deploy-2")
    world.go(30.0)
    assert outcome(world) == ("undecided", "eve", "superseded by deploy-2")
    assert world.back.runs == []


def test_a_publication_during_a_measurement_is_seen_before_its_rollback(ws: Workspace) -> None:
    world = World(ws)
    world.service.look = lambda measurement: ill(measurement)
    world.go(25.0)

    def published(measurement: object) -> object:
        publish(ws, "migrate", "migration-2", output=str(ws.catalogue))
        return ill(measurement)  # type: ignore[arg-type]

    world.service.look = published  # type: ignore[assignment]
    world.go(10.0)
    assert (outcome(world)[2], world.back.runs) == ("superseded by migration-2", [])


def test_a_publication_before_the_verdict_supersedes_a_watch_without_one(ws: Workspace) -> None:
    """The deploy was allowed when the time was over; the guard came to that only afterwards."""
    world = World(ws, replace(PLAN, auto=False))
    world.service.look = ill
    world.go(595.0)
    world.die()
    world.clock.go(60.0)
    publish(ws, "deploy", "deploy-2")
    world.start()
    world.go(5.0)
    assert outcome(world) == ("undecided", "eve", "superseded by deploy-2")


@pytest.mark.parametrize(
    ("act", "details"), [("migrate", {"output": "/elsewhere/other.json"}), ("deploy rolled back", {}), ("rollback", {})]
)
def test_what_publishes_nothing_supersedes_nothing(ws: Workspace, act: str, details: dict[str, object]) -> None:
    world = World(ws, replace(PLAN, auto=False))
    world.service.look = ill
    world.go(620.0)
    publish(ws, act, "run-2", **details)
    world.go(5.0)
    assert (world.keeper.story.state, world.keeper.story.end) == ("undecided", None)


def test_the_deploy_that_is_watched_does_not_supersede_it(ws: Workspace) -> None:
    world = World(ws)
    publish(ws, "deploy", "deploy-1")
    world.keeper.story.plan = replace(world.keeper.story.plan, deploy="deploy-1")
    world.go(620.0)
    assert world.keeper.story.outcome == "accepted"


def test_others_wait_for_the_last_measurement_of_a_living_guard_and_no_longer(ws: Workspace, lock: FileLock) -> None:
    assert lock.held
    world = World(ws)
    world.go(1.0)
    assert world.keeper.story.guard == process_token()
    _moved(world, -602.0)
    with pytest.raises(Held, match="being decided"):
        refuse_during_watch(ws)
    _moved(world, -80.0)
    refuse_during_watch(ws)
    _moved(world, 80.0)
    lock.release()
    refuse_during_watch(ws)


def _moved(world: World, seconds: float) -> None:
    """Let the journal say that the guard took the watch up so much earlier."""
    from mobius_tui.guard.timing import Anchor, BootClock

    now = Anchor.here(BootClock(), 0.0)
    before = getattr(world, "moved", 0.0) + seconds
    world.moved = before  # type: ignore[attr-defined]
    moved = replace(now, boottime=now.boottime + before)
    world.keeper.note("guard", token=process_token(), **moved.to_json())


def test_no_watch_begins_while_a_publication_is_under_way(ws: Workspace) -> None:
    ws.catalogue.write_text('{"images": []}')
    with catalogue_lock(ws.catalogue, "eve", "deploy deploy-2"):
        with pytest.raises(Held, match="eve"):
            start_watch(ws, WatchOptions(base_url="http://127.0.0.1:1"), {})
        with pytest.raises(Held, match="eve"):
            begin_watch(ws, PLAN, {}, wait_s=0.0)
    assert open_watches(ws.state) == []


def test_a_planned_watch_that_no_guard_takes_up_refuses_others_for_its_time_only(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = Journal.create(ws.state / JOURNALS, "deploy-1", kind="deploy")
    deploy.note("end", state="done")
    deploy.close()
    plan_watch(ws, replace(PLAN, deploy="deploy-1"))
    with pytest.raises(Held, match="deploy-1"):
        refuse_during_watch(ws)
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + PLAN.duration_s - 5.0)
    with pytest.raises(Held, match="deploy-1"):
        refuse_during_watch(ws)
    monkeypatch.setattr(clock, "now", lambda: now + PLAN.duration_s + 5.0)
    refuse_during_watch(ws)


def test_a_damaged_journal_is_told_and_kept(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(ws)
    world.go(25.0)
    world.die()
    data = world.path.read_bytes()
    world.path.write_bytes(data[:10] + b"x" * 10 + data[20:])
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + 86_400.0)
    assert "is damaged: nobody guards its watch" in heal_guard(ws, {})
    assert world.path.exists()
