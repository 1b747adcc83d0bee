from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from watch_world import PLAN, RUN, World, good, ill

from mobius_tui.guard.files import OpenWatch, open_watch
from mobius_tui.guard.model import Measurement
from mobius_tui.guard.wishes import answer_to, wish
from mobius_tui.recovery.history import note_act, read_history
from mobius_tui.recovery.watches import append_wish, tell_gone_back, wishes_path
from mobius_tui.store.database import open_database
from mobius_tui.store.watches import find_watch, list_ticks
from mobius_tui.workspace import Workspace, init_workspace, open_workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    return open_workspace(tmp_path, {}, {}, "tester")


@pytest.fixture
def world(ws: Workspace) -> World:
    return World(ws)


def outcome(world: World) -> str:
    return f"{world.keeper.story.state}: {world.keeper.story.outcome}"


def test_a_good_service_is_accepted_at_the_end_of_the_time_and_not_before(world: World) -> None:
    world.go(599.0)
    assert outcome(world) == "running: "
    world.go(2.0)
    assert outcome(world) == "ended: accepted"
    end = world.keeper.records[-1]
    assert (end["what"], end["exit_code"], end["decided_by"]) == ("end", 0, "the rules")
    assert [number for number, _ in world.service.asked] == list(range(1, 61))
    assert {merged for _, merged in world.service.asked} == {1}


def test_four_snapshots_are_kept_each_once_with_their_rules(world: World) -> None:
    world.go(700.0)
    found = [(s["name"], s["number"], s["verdict"], len(s["rules"])) for s in world.keeper.story.snapshots]
    assert found == [
        ("+50 s", 5, "pass", 5),
        ("+2.5 min", 15, "pass", 5),
        ("+5 min", 30, "pass", 5),
        ("+10 min", 60, "pass", 5),
    ]
    assert world.kinds().count("snapshot") == 4


def test_a_last_snapshot_between_two_measurements_is_taken_when_the_time_is_over(ws: Workspace) -> None:
    world = World(ws, replace(PLAN, duration_s=604.0))
    world.go(700.0)
    assert [s["name"] for s in world.keeper.story.snapshots][-1] == "+10.1 min"


def test_three_failures_in_a_row_roll_back_and_two_do_not(world: World) -> None:
    world.service.look = lambda m: ill(m) if m.number in {5, 6, 10, 11, 12} else m
    world.go(115.0)
    assert world.back.runs == []
    world.go(10.0)
    assert outcome(world) == "ended: rolled back"
    assert world.keeper.records[-1]["decided_by"] == "rule health"
    assert [intent.backup for intent in world.back.runs] == ["library.json.bak.20261120T115959Z"]
    assert world.back.runs[0].who == "guard"
    assert world.back.runs[0].reason.startswith(f"watch {RUN}: health")


def test_the_trigger_is_journalled_before_the_rollback_and_that_before_the_end(world: World) -> None:
    world.service.look = ill
    world.go(40.0)
    later = [what for what in world.whats() if what in {"trigger", "rollback", "ending", "end"}]
    assert later == ["trigger", "rollback", "rollback", "ending", "end"]


def test_every_notification_carries_the_whole_verdict_as_json(world: World) -> None:
    world.service.look = ill
    world.go(40.0)
    assert world.kinds() == ["watch start", "trigger", "rollback", "end"]
    for told in world.told:
        assert told.run == RUN
        assert json.loads(json.dumps(told.verdict))["rules"][0]["rule"] == "health"


def test_without_automatic_rollback_each_rule_is_paged_once_and_the_watch_goes_on(ws: Workspace) -> None:
    world = World(ws, replace(PLAN, auto=False))
    world.service.look = ill
    world.go(300.0)
    assert (outcome(world), world.back.runs) == ("running: ", [])
    assert world.told_keys().count("ask health") == 1
    world.go(400.0)
    assert outcome(world) == "undecided: undecided"


def test_automatic_rollback_turned_on_while_a_rule_fails_acts_at_the_next_measurement(ws: Workspace) -> None:
    world = World(ws, replace(PLAN, auto=False))
    world.service.look = ill
    world.go(45.0)
    wish(ws, RUN, "auto", "bob", on=True)
    world.go(1.0)
    assert world.back.runs == []
    world.go(5.0)
    assert outcome(world) == "ended: rolled back"


def test_automatic_rollback_turned_off_holds_after_a_new_start(world: World, ws: Workspace) -> None:
    wish(ws, RUN, "auto", "bob", on=False)
    world.go(1.0)
    world.die()
    world.start()
    world.service.look = ill
    world.go(100.0)
    assert (world.back.runs, world.keeper.story.plan.auto) == ([], False)


def test_late_ticks_are_one_measurement(world: World) -> None:
    world.go(10.5)
    world.clock.go(25.0)  # a stall, shorter than a gap
    world.go(0.1)
    assert world.service.asked == [(1, 1), (3, 2)]


def test_a_measurement_that_stalls_counts_once(world: World) -> None:
    world.go(9.5)
    world.service.look = lambda m: ill(m) if m.number == 1 else m
    world.service.takes_s = 100.0
    world.clock.go(0.5)
    world.watch.attempt()
    world.service.takes_s = 0.0
    world.go(30.0)
    assert [number for number, _ in world.service.asked[:2]] == [1, 11]
    assert world.back.runs == []


def test_time_without_the_guard_is_a_gap_and_no_data(world: World) -> None:
    world.go(30.5)
    world.die()
    world.clock.go(60.0)
    world.start()
    world.go(0.1)
    gap = next(record for record in world.keeper.records if record["what"] == "gap")
    assert (gap["from"], gap["to"]) == (4, 8)
    assert world.service.asked == [(1, 1), (2, 1), (3, 1), (9, 1)]


def test_a_stopped_guard_that_goes_on_makes_a_gap_as_well(world: World) -> None:
    world.go(30.5)
    world.clock.go(100.0)
    world.go(0.1)
    gap = next(record for record in world.keeper.records if record["what"] == "gap")
    assert (gap["from"], gap["to"], world.back.runs) == (4, 12, [])


def test_a_killed_guard_goes_on_with_the_same_deadline(world: World) -> None:
    for _ in range(6):
        world.go(95.0)
        world.die()
        world.clock.go(3.0)
        world.start()
    assert outcome(world) == "running: "
    world.go(12.5)
    assert outcome(world) == "ended: accepted"
    assert world.whats().count("start") == 1
    assert world.kinds().count("watch start") == 1


def test_a_wall_clock_that_jumps_changes_nothing(world: World) -> None:
    for jump in (-7200.0, 36_000.0, -86_400.0):
        world.clock.wall += jump
        world.go(100.0)
        world.die()
        world.start()
    assert outcome(world) == "running: "
    world.go(295.0)
    assert outcome(world) == "running: "
    world.go(6.0)
    assert outcome(world) == "ended: accepted"


@pytest.mark.parametrize(("wall", "left"), [(50.0, 350.0), (-100_000.0, 400.0)])
def test_after_a_reboot_the_wall_clock_tells_but_never_makes_it_younger(world: World, wall: float, left: float) -> None:
    world.go(200.0)
    world.die()
    world.clock.boot, world.clock.at = "boot-2", 7.0
    world.clock.wall += wall
    world.start()
    world.go(left - 5.0)
    assert world.keeper.story.state == "running"
    assert any("started again" in str(record.get("note")) for record in world.keeper.records)
    world.go(6.0)
    assert world.keeper.story.state != "running"


def test_a_kill_after_the_rollback_does_not_do_it_again(world: World) -> None:
    world.service.look = ill
    world.keeper.note = _dying(world, "rollback", "done")
    with pytest.raises(KeyboardInterrupt):
        world.go(60.0)
    world.die()
    world.start()
    world.go(1.0)
    assert (outcome(world), len(world.back.runs)) == ("ended: rolled back", 1)


def test_a_kill_before_the_rollback_does_it_at_the_next_start(world: World) -> None:
    world.service.look = ill
    world.keeper.note = _dying(world, "rollback", "begins")
    with pytest.raises(KeyboardInterrupt):
        world.go(60.0)
    world.die()
    world.service.look = lambda m: m  # by now it looks well again: decided is decided
    world.start()
    world.go(1.0)
    assert (outcome(world), len(world.back.runs)) == ("ended: rolled back", 1)


@pytest.mark.parametrize("what", ["ending", "end"])
def test_a_kill_at_the_end_changes_nothing_of_the_outcome(world: World, what: str) -> None:
    world.keeper.note = _dying(world, what)
    with pytest.raises(KeyboardInterrupt):
        world.go(700.0)
    world.die()
    world.service.look = ill
    world.start()
    world.go(100.0)
    assert outcome(world) == "ended: accepted"
    acts = [act["act"] for act in read_history(world.ws.state)]
    assert acts.count("watch accepted") == 1


def _dying(world: World, what: str, state: str = ""):
    note = world.keeper.note

    def noted(kind: str, **facts: object) -> bool:
        if kind == what and (not state or facts.get("state") == state):
            raise KeyboardInterrupt
        return note(kind, **facts)

    return noted


def test_a_rollback_that_fails_is_tried_at_each_interval_and_never_goes_forward(world: World) -> None:
    world.service.look = ill
    world.back.fails = 3
    world.go(31.0)
    world.service.look = lambda m: m
    world.go(15.0)
    assert (outcome(world), len(world.back.runs)) == ("rolling back: ", 2)
    assert "rollback" in world.told_keys()
    world.go(20.0)
    assert (outcome(world), len(world.back.runs)) == ("ended: rolled back", 4)


def test_an_unhealthy_service_after_the_rollback_is_said(world: World) -> None:
    world.service.look, world.back.health = ill, "unreachable"
    world.go(60.0)
    assert "unreachable" in world.keeper.records[-1]["reason"]
    assert [told.severity for told in world.told if told.kind == "rollback"] == ["critical"]


def test_the_time_over_without_data_holds_pins_pages_each_hour_and_ends_by_a_person(
    world: World, ws: Workspace
) -> None:
    world.service.look = lambda m: Measurement(m.number, m.at, m.elapsed_s)
    world.go(601.0)
    assert outcome(world) == "undecided: undecided"
    assert world.kinds().count("undecided") == 1
    world.go(1250.0)  # the hour of this watch is 60 intervals
    assert world.kinds().count("undecided") == 3
    world.die()
    world.start()
    world.go(5.0)
    assert world.kinds().count("undecided") == 3
    number = wish(ws, RUN, "accept", "bob", reason="looked myself")
    world.go(1.0)
    assert answer_to(ws, RUN, number) == (True, "accepted by bob")
    assert (outcome(world), world.keeper.records[-1]["decided_by"]) == ("ended: accepted", "bob")


def test_a_new_publication_supersedes_a_watch_without_a_verdict(ws: Workspace) -> None:
    world = World(ws, replace(PLAN, deploy="deploy-0"))
    world.service.look = lambda m: Measurement(m.number, m.at, m.elapsed_s)
    note_act(ws.state, "deploy", "ann", run_id="deploy-0", before="0" * 64, after="1" * 64)
    world.go(700.0)
    note_act(ws.state, "backup", "ann")
    note_act(ws.state, "rollback", "ann", before="1" * 64, after="0" * 64)
    world.go(1.0)
    assert outcome(world) == "undecided: undecided"
    note_act(ws.state, "deploy", "eve", run_id="deploy-1", before="1" * 64, after="2" * 64)
    world.go(1.0)
    end = world.keeper.records[-1]
    assert (end["outcome"], end["decided_by"], end["exit_code"]) == ("undecided", "eve", 4)


def test_more_time_moves_the_deadline_and_is_bounded(world: World, ws: Workspace) -> None:
    world.go(500.0)
    first = wish(ws, RUN, "extend", "bob", seconds=300)
    second = wish(ws, RUN, "extend", "bob", seconds=86_400)
    world.go(1.0)
    assert (answer_to(ws, RUN, first) or ("",))[0] is True
    assert (answer_to(ws, RUN, second) or ("",))[0] is False
    world.die()
    world.start()
    world.go(390.0)
    assert outcome(world) == "running: "
    world.go(12.0)
    assert outcome(world) == "ended: accepted"


def test_more_time_after_the_time_is_over_counts_from_then(world: World, ws: Workspace) -> None:
    world.service.look = lambda m: Measurement(m.number, m.at, m.elapsed_s)
    world.go(900.0)
    world.service.look = lambda m: m
    wish(ws, RUN, "extend", "bob", seconds=100)
    world.go(1.0)
    assert outcome(world) == "running: "
    assert [n for n, _ in world.service.asked if n > 60][:1] in ([], [91])
    world.go(90.0)
    assert outcome(world) == "running: "
    world.go(15.0)
    assert world.keeper.story.state != "running"


def test_an_extra_snapshot_measures_afresh_and_is_not_judged(world: World, ws: Workspace) -> None:
    world.go(25.0)
    world.service.look = ill
    for _ in range(4):
        wish(ws, RUN, "snapshot", "bob", name="before lunch")
    world.go(1.0)
    world.service.look = lambda m: m
    world.go(20.0)
    assert world.back.runs == []
    extra = [s for s in world.keeper.story.snapshots if s["name"] == "before lunch"]
    assert [s["verdict"] for s in extra] == ["pass"] * 4
    assert extra[0]["measurement"]["health"]["ok"] is False


def test_a_person_rolls_back_through_the_guard(world: World, ws: Workspace) -> None:
    world.go(12.0)
    wish(ws, RUN, "rollback", "bob", reason="customers complain")
    world.go(1.0)
    assert (outcome(world), world.back.runs[0].who) == ("ended: rolled back", "bob")
    assert world.keeper.records[-1]["decided_by"] == "bob"


def test_a_rollback_by_hand_ends_the_watch_by_that_person(world: World, ws: Workspace) -> None:
    world.go(12.0)
    assert tell_gone_back(ws.state, "carol", "by hand") == []
    world.go(1.0)
    end = world.keeper.records[-1]
    assert (end["outcome"], end["decided_by"], end["exit_code"], world.back.runs) == ("rolled back", "carol", 2, [])


def test_while_it_rolls_back_nothing_but_stop_and_a_rollback_by_hand_is_heard(world: World, ws: Workspace) -> None:
    world.service.look, world.back.fails = ill, 100
    world.go(31.0)
    refused = [wish(ws, RUN, act, "bob") for act in ("accept", "snapshot", "rollback")]
    world.go(1.0)
    assert [(answer_to(ws, RUN, n) or ("",))[0] for n in refused] == [False, False, False]
    wish(ws, RUN, "stop", "bob", reason="I do it by hand")
    world.go(1.0)
    assert outcome(world) == "ended: stopped"


def test_damaged_and_unknown_lines_of_the_wishes_are_skipped_and_told(world: World, ws: Workspace) -> None:
    wishes = wishes_path(world.path)
    wishes.write_bytes(b'{"act": "acc\n\xff\xfe\n[]\n{"act": "sing", "who": "bob"}\n{"act": "stop", "who": "bob"}\n')
    append_wish(wishes, {"act": "extend", "who": "bob", "facts": {"seconds": float("nan")}})
    world.go(1.0)
    taken = world.keeper.story.taken
    assert [granted for granted, _ in taken.values()] == [False] * 6
    wish(ws, RUN, "accept", "bob")
    world.go(1.0)
    assert outcome(world) == "ended: accepted"


def test_each_wish_is_taken_once_however_often_the_guard_starts(world: World, ws: Workspace) -> None:
    wish(ws, RUN, "extend", "bob", seconds=60)
    for _ in range(3):
        world.go(1.0)
        world.die()
        world.start()
    assert world.whats().count("wish") == 1
    assert world.keeper.story.deadline_s == 660.0


def test_a_collector_that_breaks_is_no_failure_of_the_service(world: World) -> None:
    def breaks(_: Measurement) -> Measurement:
        raise ZeroDivisionError

    world.service.look = breaks
    world.go(300.0)
    assert (outcome(world), world.back.runs) == ("running: ", [])
    assert {rules[0].verdict for rules in world.keeper.story.history} == {"collector error"}


def test_rows_of_a_locked_database_are_caught_up(world: World, ws: Workspace) -> None:
    open_database(ws.database).close()
    with contextlib.closing(sqlite3.connect(ws.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        world.go(10.0)
        other.execute("ROLLBACK")
    world.go(11.0)
    with contextlib.closing(open_database(ws.database)) as connection:
        assert [tick.number for tick in list_ticks(connection, RUN)] == [1, 2]
        row = find_watch(connection, RUN)
    assert row is not None
    assert (row.state, row.auto, len(row.snapshots), row.next != "") == ("running", True, 4, True)


def test_a_missing_database_is_not_made(world: World, ws: Workspace) -> None:
    world.go(700.0)
    assert outcome(world) == "ended: accepted"
    assert not ws.database.exists()


def test_a_journal_that_cannot_be_written_ends_nothing_and_is_caught_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.go(15.0)
    fsync = os.fsync
    monkeypatch.setattr("mobius_tui.recovery.journal.os.fsync", _full)
    world.go(20.0)
    assert world.told_keys().count("journal") == 1
    assert world.keeper.story.last_number == 3
    monkeypatch.setattr("mobius_tui.recovery.journal.os.fsync", fsync)
    monkeypatch.setattr("mobius_tui.guard.keeping.AGAIN_S", 0.0)
    world.keeper._again_at = 0.0
    world.go(1.0)
    world.die()
    world.start()
    assert [m.number for m in world.keeper.story.measurements] == [1, 2, 3]


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_the_report_is_written_with_the_outcome(world: World, ws: Workspace) -> None:
    world.go(700.0)
    report = ws.logs / f"{RUN}.report.json"
    assert json.loads(report.read_text())["outcome"] == "accepted"
    assert (ws.logs / f"{RUN}.report.md").stat().st_mode & 0o777 == 0o640


def test_what_others_read_of_it_agrees(world: World, ws: Workspace) -> None:
    world.go(100.0)
    found = open_watch(ws, world.clock)
    assert isinstance(found, OpenWatch)
    assert (found.run, found.state, round(found.left_s)) == (RUN, "running", 500)
    assert good(1, 1.0).health.ok
