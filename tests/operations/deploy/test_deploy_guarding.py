"""The watch that a deploy plans: when it is written, what it holds, who takes it up, and when it is void."""

from __future__ import annotations

from typing import Any

import pytest
from deploying import RUN, Stage, failing, with_dhash

from mobius_tui.errors import EnvironmentFailed, Held, ProcessingFailed
from mobius_tui.guard.files import all_open, plan_watch
from mobius_tui.guard.model import Baseline, Plan
from mobius_tui.notifications.message import Notification
from mobius_tui.operations.deploy import course, guarding
from mobius_tui.operations.deploy.preflight import preflight
from mobius_tui.recovery.atomic import hash_or_absent
from mobius_tui.recovery.journal import read_journal
from mobius_tui.recovery.watches import WATCHES
from mobius_tui.system import clock


def plans(stage: Stage) -> list[list[dict[str, Any]]]:
    """The records of every watch."""
    return [read_journal(path).records for path in sorted((stage.ws.state / WATCHES).glob("*.journal"))]


def test_it_is_planned_before_anything_is_live_and_taken_up_at_the_end(stage: Stage) -> None:
    seen: list[Any] = []

    def look() -> None:
        (watch,) = all_open(stage.ws)
        seen.append((watch.ready, stage.live == stage.old))

    stage.heard.at["swap"] = look
    stage.heard.at["finish"] = look
    summary = stage.deploy(watch=True, reason="release 12")
    assert seen == [("wait", True), ("wait", False)]
    (watch,) = stage.service.guarded
    plan = watch.plan
    assert (plan.deploy, plan.auto, plan.reason, plan.who) == (RUN, True, "release 12", "anna")
    assert (plan.duration_s, plan.interval_s, plan.backup) == (3600.0, 60.0, summary.backup)
    baseline = plan.baseline
    assert (baseline.entries, baseline.with_dhash, baseline.samples) == (6, 6, 20)
    assert baseline.published == hash_or_absent(stage.ws.catalogue) == summary.after
    assert summary.watch["run"] == watch.run and summary.watch["until"] and summary.watch["auto"] is True
    assert stage.heard.states()["baseline"] == stage.heard.states()["watch"] == "done"
    stage.at_rest()


def test_the_queue_that_the_publication_itself_brings_is_no_growth(stage: Stage) -> None:
    """Six pictures of which two look alike wait for a person once this is live."""
    from pictures import flat, put

    put(stage.ws.library, {"deck/06.png": flat()})
    stage.service.baseline = Baseline(source="rates", queue=0)
    stage.deploy(watch=True)
    (watch,) = stage.service.guarded
    assert watch.plan.baseline.queue == 1


def test_without_it_nothing_is_measured_nor_planned(stage: Stage) -> None:
    stage.service.guard = AssertionError("no guard was asked for")
    assert stage.deploy().watch == {}
    assert plans(stage) == []


def test_a_service_that_cannot_be_measured_is_a_warning(stage: Stage) -> None:
    stage.service.baseline = Baseline()
    stage.deploy(watch=True)
    assert stage.heard.states()["baseline"] == "warning"
    assert stage.service.guarded


def test_the_watch_of_a_deploy_that_was_undone_is_void(stage: Stage) -> None:
    with pytest.raises(ProcessingFailed):
        stage.deploy(failing, watch=True)
    assert stage.live == stage.old and not stage.service.guarded
    ((*_, end),) = plans(stage)
    assert (end["what"], end["outcome"], end["decided_by"]) == ("end", "void", RUN)
    assert all_open(stage.ws) == []


def test_one_that_is_held_is_watched_without_rollback(stage: Stage) -> None:
    with pytest.raises(ProcessingFailed, match="held"):
        stage.deploy(failing, watch=True, auto_rollback=False)
    (watch,) = stage.service.guarded
    assert not watch.plan.auto and with_dhash(stage.live) == 6


def test_a_guard_that_does_not_start_is_told_and_the_deploy_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Notification] = []
    monkeypatch.setattr(guarding, "notify", lambda _, notification: told.append(notification))
    stage.service.guard = EnvironmentFailed("no process can be started")
    with pytest.raises(EnvironmentFailed, match=r"published.*no guard watches it: no process can be started"):
        stage.deploy(watch=True)
    assert with_dhash(stage.live) == 6 and stage.end()["state"] == "done" and stage.end()["exit_code"] == 0
    stage.at_rest()
    (watch,) = all_open(stage.ws)
    assert watch.ready == "start", "whoever comes next starts it"
    last = stage.heard.shown[-1]
    assert last["outcome"] == "done" and last["watch"] == {
        "run": watch.run, "until": None, "problem": "no process can be started",
    }  # fmt: skip
    (notification,) = told
    assert (notification.severity, notification.audience, notification.run) == ("critical", "sre", RUN)


def test_during_a_watch_no_deploy_begins(stage: Stage) -> None:
    path = plan_watch(stage.ws, Plan(run="watch-20261120T110000Z", who="berta"))
    with pytest.raises(Held, match="berta"):
        stage.deploy()
    assert stage.live == stage.old and not stage.heard.phases
    (found,) = [finding for finding in preflight(stage.ws, options(), ask=lambda _: well()) if finding.name == "watch"]
    assert found.ok is False and not found.forceable and "berta" in found.sentence
    path.unlink()
    stage.deploy()


def test_a_watch_that_begins_while_it_waits_for_its_time_stops_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [clock.now()]
    monkeypatch.setattr(clock, "now", lambda: now[0])

    def pass_by(_: float) -> None:
        now[0] += 10.0
        if not list((stage.ws.state / WATCHES).glob("*")):
            plan_watch(stage.ws, Plan(run="watch-20261120T110000Z", who="berta"))

    stage.clock.at_sleep = pass_by
    with pytest.raises(Held, match="berta"):
        stage.deploy(at=now[0] + 25.0)
    assert stage.live == stage.old


def options() -> Any:
    from mobius_tui.operations.deploy.options import DeployOptions

    return DeployOptions()


def well() -> Any:
    from deploying import healthy

    return healthy()


def test_a_watch_without_a_verdict_gives_way(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard still holds the earlier watch when the deploy ends, and comes to the new one after a moment."""
    paths = [plan_watch(stage.ws, Plan(run=f"watch-20261120T11000{number}Z")) for number in (1, 2)]
    first, second = sorted(all_open(stage.ws), key=lambda watch: watch.path)
    found = iter([first, first, second])
    monkeypatch.setattr(course, "start_guard", lambda *_: next(found))
    monkeypatch.setattr(course.time, "sleep", lambda _: None)
    assert course.guard_now(stage.ws, paths[1]) is second
    monkeypatch.setattr(course, "start_guard", lambda *_: first)
    monkeypatch.setattr(course, "START_S", 0.0)
    with pytest.raises(EnvironmentFailed, match=f"still holds {first.run}"):
        course.guard_now(stage.ws, paths[1])
