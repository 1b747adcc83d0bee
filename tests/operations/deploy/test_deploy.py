"""The deploy from end to end: what each failure leaves live, and that nothing of others is lost."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from deploying import RUN, Stage, failing, passed, titles, with_dhash
from pictures import flat

from mobius_tui.errors import (
    BadInput,
    Cancelled,
    EnvironmentFailed,
    Held,
    MobiusError,
    ProcessingFailed,
    Terminated,
    TimeLimit,
    exit_code_of,
)
from mobius_tui.launch.health import Health
from mobius_tui.operations.deploy.course import Surroundings
from mobius_tui.operations.deploy.deploy import deploy
from mobius_tui.operations.deploy.options import DeployOptions
from mobius_tui.operations.options import default_options
from mobius_tui.operations.progress import Stopping
from mobius_tui.operations.run import run_in_foreground
from mobius_tui.operations.smoke import SmokeReport
from mobius_tui.recovery.atomic import Changed, hash_or_absent
from mobius_tui.recovery.backups import list_backups
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, journals
from mobius_tui.recovery.reserve import reserve_bytes
from mobius_tui.recovery.staging import staged_path
from mobius_tui.rollback.hooks import MOMENTS
from mobius_tui.settings import Settings, Sourced
from mobius_tui.system.locks import catalogue_lock, catalogue_lock_path, holder_of
from mobius_tui.workspace import Workspace


def test_it_publishes_and_says_so(stage: Stage) -> None:
    summary = stage.deploy(reason="release 12")
    assert with_dhash(stage.live) == 6 and titles(stage.live) == titles(stage.old)
    stage.at_rest()
    assert (summary.outcome, summary.images, summary.with_dhash_before, summary.with_dhash_after) == ("done", 6, 0, 6)
    assert summary.after == hash_or_absent(stage.ws.catalogue) and summary.rounds == 1
    states = {step["name"]: step["state"] for step in summary.steps}
    skipped = {name for name, state in states.items() if state == "skipped"}
    assert skipped == {"baseline", "before hook", "canary", "after hook", "watch"}
    assert set(states.values()) == {"done", "skipped"}
    assert stage.end()["state"] == "done" and stage.end()["exit_code"] == 0
    backup = list_backups(stage.ws.backups)[0]
    assert summary.backup == backup.name and backup.path.read_bytes() == stage.old
    act = [act for act in read_history(stage.ws.state) if act["act"] == "deploy"][-1]
    assert (act["who"], act["reason"]) == ("anna", "release 12")
    assert (act["before"], act["after"]) == (summary.before, summary.after)
    assert reserve_bytes(stage.ws.catalogue) > len(stage.live)


def test_each_step_has_time_state_and_reason(stage: Stage) -> None:
    stage.deploy()
    for row in stage.heard.shown[-1]["steps"]:
        assert row["began"] is not None and row["ended"] >= row["began"] and row["limit_s"] > 0, row
        assert row["reason"] or row["name"] == "finish", row


def test_failing_smoke_tests_roll_back(stage: Stage) -> None:
    with pytest.raises(ProcessingFailed, match="smoke tests failed: health: no answer; rolled back"):
        stage.deploy(failing)
    assert stage.live == stage.old
    stage.at_rest()
    assert stage.end()["state"] == "rolled back" and stage.end()["exit_code"] == 2
    assert stage.heard.states()["smoke"] == "failed" and stage.heard.states()["swap"] == "undone"


def test_without_automatic_rollback_it_stays_live_and_is_held(stage: Stage) -> None:
    with pytest.raises(ProcessingFailed, match="held"):
        stage.deploy(failing, auto_rollback=False)
    assert with_dhash(stage.live) == 6
    stage.at_rest()
    assert stage.end()["state"] == "held" and stage.heard.states()["swap"] == "done"


class Boom(Exception):
    """A defect in the middle of a step."""


@pytest.mark.parametrize(
    "step",
    [
        "preflight",
        "backup",
        "migrate",
        "verify",
        "baseline",
        "before hook",
        "canary",
        "swap",
        "hold",
        "settle",
        "smoke",
    ],
)
@pytest.mark.parametrize("error", [Boom("a defect"), OSError(28, "No space left on device"), Cancelled("by bert")])
def test_a_failure_in_any_step_leaves_the_old_one_live(stage: Stage, step: str, error: Exception) -> None:
    def fail() -> None:
        raise error

    stage.heard.at[step] = fail
    with pytest.raises((Boom, MobiusError)):
        stage.deploy()
    assert stage.live == stage.old
    stage.at_rest()


def test_a_full_disk_is_told_as_such_after_the_undoing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise EnvironmentFailed("the staged file cannot be written") from OSError(28, "No space left on device")

    monkeypatch.setattr("mobius_tui.operations.deploy.steps.stage", full)
    with pytest.raises(EnvironmentFailed) as failed:
        stage.deploy()
    assert exit_code_of(failed.value) == 5 and stage.end()["exit_code"] == 5
    assert stage.live == stage.old
    stage.at_rest()


def test_asked_to_end_it_undoes_and_says_so(stage: Stage) -> None:
    def stop() -> None:
        raise Stopping

    stage.heard.at["settle"] = stop
    with pytest.raises(Terminated, match="rolled back"):
        stage.deploy()
    assert stage.live == stage.old
    stage.at_rest()


def test_a_step_that_takes_too_long_is_undone_with_exit_4(stage: Stage) -> None:
    def slow(*_: object) -> SmokeReport:
        stage.clock.now += 10_000
        return passed()

    def late() -> None:
        stage.clock.now += 100_000

    stage.heard.at["matching"] = late
    with pytest.raises(TimeLimit, match=r"migrate.*undone"):
        stage.deploy(slow)
    assert stage.live == stage.old
    stage.at_rest()
    assert stage.end()["exit_code"] == 4


@pytest.mark.skipif(sys.platform == "win32", reason="no alarms")
@pytest.mark.timeout(0)  # its alarm would be in the way of the deploy's
def test_a_step_that_hangs_is_interrupted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobius_tui.operations.deploy.course.GRACE_S", 0.2)
    ws = stage.ws
    stage.ws = Workspace(ws.root, Sourced(Settings(settle_seconds=0, hold_seconds=0, smoke_seconds=1.0), {}), "anna")

    def hanging(*_: object) -> SmokeReport:
        time.sleep(8)
        return passed()

    with pytest.raises(TimeLimit, match=r"smoke.*rolled back"):
        stage.deploy(hanging)
    assert stage.live == stage.old
    stage.at_rest()


def edited(data: bytes, title: str) -> bytes:
    document = json.loads(data)
    document["images"][0]["title"] = title
    return json.dumps(document).encode()


@pytest.mark.parametrize("step", ["migrate", "matching", "verify", "before hook", "swap"])
def test_a_write_before_the_swap_is_carried_over(stage: Stage, step: str) -> None:
    done: list[int] = []

    def write() -> None:
        if not done:
            done.append(1)
            stage.ws.catalogue.write_bytes(edited(stage.old, "changed meanwhile"))

    stage.heard.at[step] = write
    summary = stage.deploy()
    assert summary.rounds == 2 and with_dhash(stage.live) == 6 and titles(stage.live)[0] == "changed meanwhile"
    stage.at_rest()
    assert list_backups(stage.ws.backups)[0].path.read_bytes() == edited(stage.old, "changed meanwhile")


def test_a_late_write_into_the_old_file_is_carried_over(stage: Stage) -> None:
    """A program that had the old file open writes into what the swap displaced."""
    handle = stage.ws.catalogue.open("r+b")
    done: list[int] = []

    def write(now: float) -> None:
        if not done and "hold" in stage.heard.phases:
            done.append(1)
            handle.write(edited(stage.old, "written late"))
            handle.truncate()
            handle.close()

    stage.clock.at_sleep = write
    summary = stage.deploy()
    assert done and summary.rounds == 2
    assert with_dhash(stage.live) == 6 and titles(stage.live)[0] == "written late"
    stage.at_rest()


def test_a_write_on_top_of_the_new_one_stays(stage: Stage) -> None:
    done: list[int] = []

    def write(now: float) -> None:
        if not done and "hold" in stage.heard.phases:
            done.append(1)
            stage.ws.catalogue.write_bytes(edited(stage.live, "on top"))

    stage.clock.at_sleep = write
    summary = stage.deploy()
    assert summary.rounds == 1 and with_dhash(stage.live) == 6 and titles(stage.live)[0] == "on top"
    assert summary.after == hash_or_absent(stage.ws.catalogue)
    stage.at_rest()


def test_an_old_version_written_over_the_new_one_is_carried_over(stage: Stage) -> None:
    done: list[int] = []

    def write(now: float) -> None:
        if not done and "hold" in stage.heard.phases:
            done.append(1)
            other = stage.ws.catalogue.with_name("other")
            other.write_bytes(edited(stage.old, "renamed over"))
            other.replace(stage.ws.catalogue)

    stage.clock.at_sleep = write
    summary = stage.deploy()
    assert summary.rounds == 2 and with_dhash(stage.live) == 6 and titles(stage.live)[0] == "renamed over"
    stage.at_rest()


def test_a_program_that_never_stops_writing_stops_the_deploy(stage: Stage) -> None:
    count = [0]

    def write() -> None:
        count[0] += 1
        stage.ws.catalogue.write_bytes(edited(stage.old, f"write {count[0]}"))

    stage.heard.at["swap"] = write
    with pytest.raises(EnvironmentFailed, match="in each of 3 rounds"):
        stage.deploy()
    assert titles(stage.live)[0] == "write 3" and with_dhash(stage.live) == 0
    stage.at_rest()


def test_both_files_written_stops_and_keeps_both(stage: Stage) -> None:
    done: list[int] = []

    def write(now: float) -> None:
        if not done and "hold" in stage.heard.phases:
            done.append(1)
            staged_path(stage.ws.catalogue, RUN).write_bytes(edited(stage.old, "into the old one"))
            stage.ws.catalogue.write_bytes(edited(stage.old, "over the new one"))

    stage.clock.at_sleep = write
    with pytest.raises(EnvironmentFailed, match="both the old and the new"):
        stage.deploy()
    assert titles(stage.live)[0] == "over the new one"
    kept = [path for path in (stage.ws.backups / "emergency").iterdir() if not path.name.endswith((".sha256", ".json"))]
    assert [titles(path.read_bytes())[0] for path in kept] == ["into the old one"]
    stage.at_rest()


def test_rolling_back_keeps_what_others_wrote_on_top(stage: Stage) -> None:
    def smoke(*_: object) -> SmokeReport:
        stage.ws.catalogue.write_bytes(edited(stage.live, "on top"))
        return failing()

    with pytest.raises(ProcessingFailed, match="with what others wrote"):
        stage.deploy(smoke)
    assert titles(stage.live)[0] == "on top" and with_dhash(stage.live) == 0
    assert "dhash_migration" not in json.loads(stage.live)
    stage.at_rest()


def test_replaced_during_the_smoke_tests_it_is_not_called_done(stage: Stage) -> None:
    def smoke(*_: object) -> SmokeReport:
        stage.ws.catalogue.write_bytes(edited(stage.old, "an old version"))
        return passed()

    with pytest.raises(ProcessingFailed, match="nothing of this deploy is live"):
        stage.deploy(smoke)
    assert titles(stage.live)[0] == "an old version"
    stage.at_rest()


def test_replaced_right_after_the_smoke_tests_it_is_not_called_done(stage: Stage) -> None:
    stage.heard.at["finish"] = lambda: stage.ws.catalogue.write_bytes(edited(stage.old, "an old version"))
    with pytest.raises(ProcessingFailed, match=r"replaced the published catalogue .* nothing of it is live"):
        stage.deploy()
    assert titles(stage.live)[0] == "an old version"
    assert stage.end()["state"] == "undone" and stage.heard.states()["finish"] == "failed"
    assert "deploy" not in [act["act"] for act in read_history(stage.ws.state)]
    stage.at_rest()


def test_a_file_made_earlier_is_taken_over(stage: Stage, tmp_path: Path) -> None:
    made = stage.ws.catalogue.with_name("made.json")
    options = {**default_options(stage.ws).to_json(), "output": str(made)}
    assert run_in_foreground(stage.ws, stage.connection, "migrate", options).state == "done"
    stage.ws.catalogue.write_bytes(edited(stage.old, "changed since"))
    summary = stage.deploy(source=str(made))
    assert summary.rounds == 1 and with_dhash(stage.live) == 6 and titles(stage.live)[0] == "changed since"
    assert summary.migration == {} and json.loads(stage.live)["dhash_migration"]["run"]["id"] == RUN
    stage.at_rest()


def test_a_file_that_lacks_entries_is_refused(stage: Stage) -> None:
    made = stage.ws.catalogue.with_name("made.json")
    document = json.loads(stage.old)
    document["images"] = document["images"][:3]
    made.write_text(json.dumps(document))
    with pytest.raises((BadInput, ProcessingFailed)):
        stage.deploy(source=str(made))
    assert stage.live == stage.old
    stage.at_rest()


def test_the_first_catalogue_is_published_and_taken_away_again(stage: Stage) -> None:
    stage.ws.catalogue.unlink()
    with pytest.raises(ProcessingFailed):
        stage.deploy(failing)
    assert not stage.ws.catalogue.exists()
    stage.at_rest()
    stage.heard.run_id = "deploy-20261120T130000Z"
    summary = stage.deploy()
    assert summary.backup is None and summary.before is None and with_dhash(stage.live) == 6
    stage.at_rest()


def test_of_two_operators_the_second_is_told_who_and_what_for(stage: Stage) -> None:
    with (
        catalogue_lock(stage.ws.catalogue, "bert", "deploy deploy-1"),
        pytest.raises(Held, match=r"bert holds the library since .* for deploy deploy-1"),
    ):
        stage.deploy()
    assert stage.live == stage.old and journals(stage.ws.state / JOURNALS) == []


def test_an_unhealthy_service_stops_it_unless_forced(stage: Stage) -> None:
    def ill(*_: object) -> Health:
        return Health("unhealthy", {"status": "unhealthy"}, "the disk is full", 0.01)

    around = Surroundings(stage.clock.sleep, stage.clock.monotonic, ill, passed)
    with pytest.raises(MobiusError, match="the disk is full"):
        deploy(stage.ws, stage.connection, DeployOptions(), stage.heard, around)
    assert stage.live == stage.old
    stage.at_rest()
    stage.heard.run_id = "deploy-20261120T130000Z"
    summary = deploy(stage.ws, stage.connection, DeployOptions(force=True), stage.heard, around)
    assert summary.outcome == "done"
    assert any("forced in spite of" in str(step["reason"]) for step in summary.steps)


def test_hooks_run_around_the_swap_and_at_the_end(stage: Stage, tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = tmp_path / "hook.sh"
    script.write_text(f'#!/bin/sh\necho "$MOBIUS_MOMENT $MOBIUS_RUN" >> {told}\n')
    script.chmod(0o755)
    moments = {f"hook_{moment}": str(script) for moment in MOMENTS}
    settings = Settings(settle_seconds=0, hold_seconds=0, parallel=1, **moments)
    stage.ws = Workspace(stage.ws.root, Sourced(settings, {}), "anna")
    stage.deploy()
    assert told.read_text().splitlines() == [f"before_swap {RUN}", f"after_swap {RUN}", f"on_completion {RUN}"]
    told.unlink()
    stage.heard.run_id = "deploy-20261120T130000Z"
    with pytest.raises(ProcessingFailed):
        stage.deploy(failing)
    said = [line.split()[0] for line in told.read_text().splitlines()]
    assert said == ["before_swap", "after_swap", "on_rollback", "on_completion"]


def test_a_required_hook_that_fails_stops_it_before_the_swap(stage: Stage, tmp_path: Path) -> None:
    script = tmp_path / "hook.sh"
    script.write_text("#!/bin/sh\nexit 3\n")
    script.chmod(0o755)
    settings = Settings(parallel=1, hook_before_swap=str(script), hooks_required="before_swap")
    stage.ws = Workspace(stage.ws.root, Sourced(settings, {}), "anna")
    with pytest.raises(ProcessingFailed, match="before_swap failed"):
        stage.deploy()
    assert stage.live == stage.old
    stage.at_rest()


def test_it_waits_for_its_time_without_holding_the_library(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.time()
    wall = [begun]
    monkeypatch.setattr("mobius_tui.system.clock.now", lambda: wall[0])
    free: list[bool] = []

    def pass_time(now: float) -> None:
        if "preflight" not in stage.heard.phases:
            free.append(holder_of(catalogue_lock_path(stage.ws.catalogue)) is None)
            wall[0] += 1

    stage.clock.at_sleep = pass_time
    stage.deploy(at=begun + 20)
    assert len(free) >= 20 and all(free) and stage.heard.phases[0].startswith("waiting until ")


def test_a_removed_lock_file_stops_it_before_the_swap(stage: Stage) -> None:
    stage.heard.at["verify"] = catalogue_lock_path(stage.ws.catalogue).unlink
    with pytest.raises(EnvironmentFailed, match="lock file was removed"):
        stage.deploy()
    assert stage.live == stage.old
    stage.at_rest()


def test_once_proven_it_is_not_cancelled_any_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancel() -> None:
        if stage.heard.phases[-1] == "finish":
            raise Cancelled("by bert")

    monkeypatch.setattr(stage.heard, "checkpoint", cancel)
    assert stage.deploy().outcome == "done" and with_dhash(stage.live) == 6
    stage.at_rest()


def test_a_write_while_it_is_backed_up_begins_a_new_round(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from mobius_tui.operations.deploy import steps

    real, calls = steps.backup_now, []

    def late(*given: object, **named: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise Changed("the catalogue was changed while it was backed up")
        return real(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "backup_now", late)
    assert stage.deploy().rounds == 2
    stage.at_rest()


def test_a_deploy_cut_off_before_is_brought_to_rest_first(stage: Stage) -> None:
    from mobius_tui.recovery.journal import Journal

    Journal.create(stage.ws.state / JOURNALS, "deploy-20261119T120000Z", kind="deploy", who="bert").close()
    stage.deploy()
    assert any("was cut off" in text for _, text in stage.heard.events)
    stage.at_rest()


def test_a_growing_queue_is_asked_about(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobius_tui.operations.deploy.steps.count_pairs", lambda _: 0)
    monkeypatch.setattr("mobius_tui.operations.deploy.queue.MOST_WAITING", -1)
    monkeypatch.setattr("mobius_tui.operations.deploy.queue.MOST_TIMES", 0)
    (stage.ws.library / "flat.png").write_bytes(flat())
    with pytest.raises(ProcessingFailed, match="--accept-queue"):
        stage.deploy()
    assert stage.live == stage.old
    stage.at_rest()
    stage.heard.run_id = "deploy-20261120T130000Z"
    assert stage.deploy(accept_queue=True).outcome == "done" and stage.heard.asked == []
    stage.ws.catalogue.write_bytes(stage.old)
    stage.heard.run_id, stage.heard.answer = "deploy-20261120T140000Z", True
    assert stage.deploy(attended=True).outcome == "done" and "review queue" in stage.heard.asked[0]
    stage.heard.run_id, stage.heard.answer = "deploy-20261120T150000Z", False
    with pytest.raises(ProcessingFailed, match="--accept-queue"):
        stage.deploy(attended=True)
