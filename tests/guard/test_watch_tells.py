"""What the guard tells people when it cannot judge, and when it cannot roll back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from watch_world import PLAN, RUN, World, ill

from mobius_tui.cli.watch_lines import event_sentence
from mobius_tui.guard.figures import for_rates, refused_key
from mobius_tui.guard.model import Baseline, Measurement
from mobius_tui.launch.questions import Answer
from mobius_tui.workspace import Workspace, init_workspace, open_workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    return open_workspace(tmp_path, {}, {}, "tester")


@pytest.fixture
def world(ws: Workspace) -> World:
    return World(ws)


def no_key(measurement: Measurement) -> Measurement:
    said = for_rates(refused_key("/metrics/dhash", Answer(401, data=b"{}")))
    return replace(measurement, source="none", samples=0, durations_ms=(), queue=None, errors=said)


def silent_pages(world: World) -> list[str]:
    return [told.key.partition("/")[2] for told in world.told if "/silent " in told.key]


def test_a_rule_that_cannot_be_judged_is_paged_once_also_after_a_new_start(world: World) -> None:
    world.service.look = no_key
    world.go(21.0)
    assert silent_pages(world) == []
    world.go(20.0)
    world.die()
    world.start()
    world.go(100.0)
    assert silent_pages(world) == ["silent failures", "silent p95", "silent queue"]
    told = [told for told in world.told if "/silent " in told.key]
    assert {(each.severity, each.audience) for each in told} == {("warning", "sre")}
    assert all("answered 401" in each.sentence and "internal_api_key_file" in each.sentence for each in told)


def test_figures_that_a_service_tells_no_more_are_paged_and_a_dead_or_new_one_is_not(world: World) -> None:
    def nothing(measurement: Measurement) -> Measurement:
        return replace(measurement, source="none", samples=0, durations_ms=(), queue=None)

    world.service.look = lambda m: nothing(ill(m) if m.number % 2 else m)
    world.go(100.0)
    assert silent_pages(world) == []
    world.service.look = nothing
    world.go(41.0)
    assert silent_pages(world) == ["silent failures", "silent p95", "silent queue"]


def test_a_service_that_never_told_figures_pages_nothing_for_want_of_them(ws: Workspace) -> None:
    world = World(ws, replace(PLAN, baseline=Baseline()))
    world.service.look = lambda m: replace(m, source="none", samples=0, durations_ms=(), queue=None)
    world.go(100.0)
    assert silent_pages(world) == []


def test_a_rollback_that_fails_is_in_the_journal_once_for_each_reason(world: World) -> None:
    world.service.look = ill
    world.back.fails = 6
    world.go(45.0)
    world.die()
    world.start()
    world.go(10.0)
    world.back.says = "the backup is gone"
    world.go(60.0)
    assert world.keeper.story.outcome == "rolled back"
    told = [record for record in world.keeper.records if record["what"] == "rollback" and record["state"] != "begins"]
    assert [(record["state"], record.get("reason")) for record in told] == [
        ("failed", "the disk does not answer"),
        ("failed", "the backup is gone"),
        ("done", None),
    ]
    assert "the rollback failed and is tried again: the disk does not answer" in map(event_sentence, told)
    report = (world.ws.logs / f"{RUN}.report.md").read_text()
    assert "the disk does not answer" in report
