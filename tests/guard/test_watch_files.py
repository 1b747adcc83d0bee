from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from watch_world import PLAN, RUN, FakeClock, World, good, ill

from mobius_tui.errors import BadInput, Held
from mobius_tui.guard.files import all_open, open_watch, plan_watch, records_of, refuse_during_watch
from mobius_tui.guard.launch import close_void, forget_starts, heal_guard, pause_after, starts_in_vain
from mobius_tui.guard.model import Baseline, Plan
from mobius_tui.guard.records import kept_rules, measurement_from, plan_from, rule_from, story_of
from mobius_tui.guard.rules import judge
from mobius_tui.operations.backup import needed_backups
from mobius_tui.recovery.journal import Journal
from mobius_tui.system import clock
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

DEPLOY = "deploy-20261120T115900Z"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    return open_workspace(tmp_path, {}, {}, "tester")


def deploy(ws: Workspace, *, end: str = "", token: str = "gone:1:1") -> None:
    journal = Journal.create(ws.state / "deploy", DEPLOY, kind="deploy", who="ann", token=token)
    if end:
        journal.note("end", state=end, exit_code=0)
    journal.close()


def test_no_watch_is_no_watch_and_refuses_nothing(ws: Workspace) -> None:
    assert open_watch(ws) is None
    refuse_during_watch(ws)
    assert heal_guard(ws, {}) == ""


def test_plan_and_measurement_come_back_from_the_journal_as_they_were() -> None:
    plan = replace(PLAN, baseline=Baseline(1.5, "totals", 100, 3, 0.03, 12.5, 4, 10, 9, "ab", ("a.png", "b.png")))
    assert plan_from(plan.to_json()) == plan
    measurement = ill(good(3, 30.2, 2))
    assert measurement_from({**measurement.to_json(), "durations_ms": list(measurement.durations_ms)}) == measurement
    for row in judge(PLAN, [measurement]):
        assert rule_from(kept_rules([row])[0]) == replace(row, trend=())


@pytest.mark.parametrize("data", [None, 3, [], {"run": 5, "auto": "yes", "duration_s": "long", "baseline": [1]}])
def test_a_plan_of_strange_data_has_its_defaults(data: object) -> None:
    assert plan_from(data) == Plan("")


def test_a_journal_that_is_none_of_a_watch_is_left_alone(ws: Workspace) -> None:
    Journal.create(ws.state / "watch", RUN, kind="deploy").close()
    assert open_watch(ws) is None
    assert story_of([{"what": "tick"}]) is None


@pytest.mark.parametrize(
    ("end", "ready"), [("", "wait"), ("done", "start"), ("held", "start"), ("rolled back", "void"), ("undone", "void")]
)
def test_a_planned_watch_waits_for_its_deploy(ws: Workspace, end: str, ready: str) -> None:
    deploy(ws, end=end)
    plan_watch(ws, replace(PLAN, deploy=DEPLOY))
    found = open_watch(ws)
    assert found is not None
    assert (found.state, found.ready) == ("planned", ready)


def test_a_planned_watch_whose_deploy_is_gone_for_long_is_void(ws: Workspace) -> None:
    path = plan_watch(ws, replace(PLAN, deploy=DEPLOY))
    clock = FakeClock()
    clock.wall = 4_000_000_000.0
    assert [watch.ready for watch in all_open(ws)] == ["wait"]
    assert [watch.ready for watch in all_open(ws, clock)] == ["wait"]  # the process that planned it lives
    text = path.read_bytes()
    path.unlink()
    journal = Journal.create(
        ws.state / "watch", RUN, kind="watch", plan=replace(PLAN, deploy=DEPLOY).to_json(), token="x:1:1"
    )
    journal.close()
    assert process_token().encode() in text
    assert [watch.ready for watch in all_open(ws, clock)] == ["void"]


def test_a_void_watch_is_closed_by_whoever_heals(ws: Workspace) -> None:
    deploy(ws, end="rolled back")
    path = plan_watch(ws, replace(PLAN, deploy=DEPLOY))
    assert "void" in heal_guard(ws, {})
    end = records_of(path)[-1]
    assert (end["what"], end["outcome"], end["exit_code"]) == ("end", "void", 2)
    assert open_watch(ws) is None


def test_the_deploy_under_way_is_not_refused_by_its_own_planned_watch(ws: Workspace) -> None:
    deploy(ws)
    plan_watch(ws, replace(PLAN, deploy=DEPLOY))
    refuse_during_watch(ws)


def test_others_are_refused_until_the_time_is_over_and_not_after(ws: Workspace) -> None:
    world = World(ws)
    world.clock.boot = "boot-1"
    with pytest.raises(Held, match=r"ann until 20"):
        refuse_during_watch(ws)
    world.go(1.0)
    world.service.look = lambda m: replace(good(m.number, m.elapsed_s), samples=0, durations_ms=(), source="none")
    world.go(700.0)
    assert world.keeper.story.state == "undecided"
    refuse_during_watch(ws)


def test_a_watch_that_rolls_back_refuses_however_late(ws: Workspace) -> None:
    world = World(ws)
    world.service.look, world.back.fails = ill, 1000
    world.go(40.0)
    with pytest.raises(Held, match="rolling back"):
        refuse_during_watch(ws)


def test_the_running_watch_comes_before_one_without_a_verdict(ws: Workspace) -> None:
    world = World(ws)
    world.service.look = lambda m: replace(good(m.number, m.elapsed_s), samples=0, durations_ms=(), source="none")
    world.go(700.0)
    plan_watch(ws, replace(PLAN, run="watch-20261120T130000Z"))
    assert [watch.state for watch in all_open(ws)] == ["undecided", "planned"]
    found = open_watch(ws)
    assert found is not None
    assert found.state == "undecided"


def test_a_torn_last_record_is_nothing(ws: Workspace) -> None:
    world = World(ws)
    world.go(35.0)
    world.die()
    length = len(b"\n".join(world.path.read_bytes().rstrip(b"\0").split(b"\n")))
    with world.path.open("r+b") as file:
        file.truncate(length - 30)
    world.start()
    assert world.keeper.story.last_number == 2
    world.go(700.0)
    assert world.keeper.story.end is not None


def test_the_way_back_of_an_open_watch_is_needed(ws: Workspace) -> None:
    name = "library.json.bak.20261120T115959Z"
    plan_watch(ws, replace(PLAN, backup=name))
    assert needed_backups(ws) == {name: f"needed by {RUN}, which has not come to its end"}
    found = open_watch(ws)
    assert found is not None
    close_void(found)
    assert needed_backups(ws) == {}


def test_the_journal_has_its_room_before_the_disk_is_full(ws: Workspace) -> None:
    path = plan_watch(ws, replace(PLAN, duration_s=3600.0, interval_s=60.0))
    assert path.stat().st_blocks * 512 >= 60 * 6000


def test_a_watch_has_no_more_measurements_than_its_journal_can_hold(ws: Workspace) -> None:
    with pytest.raises(BadInput, match="too many"):
        plan_watch(ws, replace(PLAN, duration_s=3601.0, interval_s=0.36))
    world = World(ws)
    world.go(601.0)
    size = len(world.path.read_bytes().rstrip(b"\0"))
    assert size / 60 * 11_500 < 60_000_000  # with a day more than planned


@pytest.mark.parametrize("odd", [10**400, -(10**400), float("nan"), float("inf"), 1e300, -1e300, 0, -1.0])
@pytest.mark.parametrize("name", ["duration_s", "interval_s", "elapsed_s", "boottime", "at", "added_s"])
def test_figures_that_are_none_in_a_journal_break_nobody(ws: Workspace, name: str, odd: float) -> None:
    here = {"boot_id": "another", "boottime": 1.0, "at": clock.now(), "elapsed_s": 0.0}
    plan = {"run": RUN, "duration_s": 60.0, "interval_s": 1.0, "who": "ann"}
    journal = Journal.create(ws.state / "watch", RUN, kind="watch", plan={**plan, name: odd})
    journal.note("start", **{**here, name: odd})
    journal.note("wish", wish=1, granted=True, act="extend", facts={"added_s": 1.0, "seconds": 1.0, name: odd})
    journal.close()
    (watch,) = all_open(ws)
    assert watch.plan.interval_s > 0
    clock.iso(watch.until_at)
    try:
        refuse_during_watch(ws)
    except Held as held:
        assert "ann" in held.what
    (ws.state / "guard.starts").write_text(json.dumps([odd]))
    assert starts_in_vain(ws) == []


def test_starts_in_vain_are_tried_ever_less_often(ws: Workspace) -> None:
    assert pause_after(0) == 0.0
    pauses = [pause_after(starts) for starts in range(1, 15)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 600.0
    now = clock.now()
    (ws.state / "guard.starts").write_text(f"[{now - 9999.0}, {now - 2.0}, {now - 1.0}]")
    assert starts_in_vain(ws) == [now - 2.0, now - 1.0]
    forget_starts(ws)
    assert starts_in_vain(ws) == []
    (ws.state / "guard.starts").write_text("{")
    assert starts_in_vain(ws) == []
