"""`mobius deploy`: what it asks, whom it refuses, the process it starts, and how it follows that."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ending import kill_holder
from running_verbs import Mobius, finish, start, tree

from mobius_tui.cli.step_lines import StepPrinter, live_line, step_lines
from mobius_tui.cli.verbs import deploy as verb
from mobius_tui.errors import EnvironmentFailed
from mobius_tui.guard.files import all_open
from mobius_tui.guard.launch import guard_holder
from mobius_tui.operations.deploy import launch
from mobius_tui.operations.deploy.options import DeployOptions, StepState
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import (
    Job,
    add_job,
    ask,
    claim_job,
    claim_next,
    find_job,
    finish_job,
    keep_summary,
    list_jobs,
    settle_interrupted,
    update_job,
    wanted_of,
)
from mobius_tui.system.locks import catalogue_lock, catalogue_lock_path, holder_of
from mobius_tui.system.processes import is_alive, pid_of, process_token
from mobius_tui.text import human_seconds
from mobius_tui.workspace import open_workspace

PATIENCE_S = 120.0
QUICK = "port = 0\nparallel = 1\nsettle_seconds = 0\nhold_seconds = 0\n"
SLOW = "port = 0\nparallel = 1\nsettle_seconds = 600\nhold_seconds = 0\n"


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def database(ws: Path) -> Iterator[Any]:
    with contextlib.closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        yield connection


def deploys(ws: Path) -> list[Job]:
    with database(ws) as connection:
        return [job for job in list_jobs(connection) if job.kind == "deploy"]


def live_hash(ws: Path) -> str:
    return hashlib.sha256((ws / "library" / "library.json").read_bytes()).hexdigest()


@pytest.fixture
def live(mobius: Mobius, ws: Path) -> Path:
    """A workspace with a live catalogue whose deploys wait for nothing."""
    (ws / "mobius.toml").write_text(QUICK)
    assert mobius("migrate", "--workspace", ws).code == 0
    return ws


@pytest.fixture
def settling(live: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes], Job]]:
    """A deploy in its settling, which lasts, and the verb that follows it."""
    (live / "mobius.toml").write_text(SLOW)
    follower = start("deploy", "--force", "--no-watch", "--workspace", live)
    try:
        until(lambda: any(step_of(job, "settle") == "running" for job in deploys(live)), "it settles")
        yield live, follower, deploys(live)[0]
    finally:
        follower.kill()
        follower.wait()
        for job in deploys(live):
            pid = pid_of(job.owner)
            if pid is not None and is_alive(job.owner):
                os.kill(pid, signal.SIGKILL)


def step_of(job: Job, name: str) -> str:
    return next((str(row["state"]) for row in job.summary.get("steps", []) if row["name"] == name), "")


def step_reason(job: Job, name: str) -> object:
    return next(row["reason"] for row in job.summary["steps"] if row["name"] == name)


def test_where_nobody_can_be_asked_force_is_needed(mobius: Mobius, live: Path) -> None:
    answer = mobius("deploy", "--workspace", live)
    assert answer.code == 1
    assert "--force" in answer.err
    assert deploys(live) == []


@pytest.mark.parametrize(
    ("environment", "typed", "goes_on"),
    [
        ("development", "y\n", True),
        ("development", "\n", False),
        ("development", "", False),
        ("production", "y\n", False),
        ("production", "Production\n", False),
        ("production", "production\n", True),
    ],
)
def test_it_asks_before_it_starts(
    mobius: Mobius, live: Path, monkeypatch: pytest.MonkeyPatch, environment: str, typed: str, goes_on: bool
) -> None:
    started: list[DeployOptions] = []

    def never(*given: Any) -> Job:
        started.append(given[2])
        raise EnvironmentFailed("not in this test")

    monkeypatch.setattr(verb, "is_terminal", lambda _: True)
    monkeypatch.setattr(verb, "start_deploy", never)
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    answer = mobius("deploy", "--workspace", live, "--env", environment, "--reason", "new scans", "--at", "+10m")
    assert (len(started) == 1) == goes_on
    assert answer.code == (3 if goes_on else 130)
    for said in (environment, "ws/library/library.json", live_hash(live)[:12], "5 images", "new scans"):
        assert said.replace(" ", "") in "".join(answer.err.split())
    if goes_on:
        assert started[0].reason == "new scans" and started[0].at is not None and not started[0].force


def test_somebody_who_holds_the_library_is_named_and_nothing_is_started(mobius: Mobius, live: Path) -> None:
    with catalogue_lock(live / "library" / "library.json", "bob", "a restore"):
        answer = mobius("deploy", "--force", "--workspace", live)
    assert answer.code == 3
    assert "bob" in answer.err and "a restore" in answer.err and re.search(r"since 20\d\d-", answer.err)
    assert deploys(live) == []


def test_a_second_deploy_is_told_who_since_when_and_what_is_going_on(mobius: Mobius, live: Path) -> None:
    with database(live) as connection:
        job = add_job(connection, "deploy", {}, "bob", owner=process_token())
        keep_summary(connection, job.id, {"steps": [{"name": "smoke", "state": "running"}]})
    answer = mobius("deploy", "--force", "--workspace", live)
    assert answer.code == 3
    assert "bob deploys since 20" in answer.err and "now at smoke" in answer.err
    assert f"mobius cancel {job.id}" in answer.err
    assert len(deploys(live)) == 1


def test_of_two_operators_at_once_one_wins_and_the_other_is_told(mobius: Mobius, live: Path) -> None:
    (live / "mobius.toml").write_text(SLOW)
    both = {
        name: start("deploy", "--force", "--no-watch", "--workspace", live, "--as", name) for name in ("ann", "bob")
    }
    try:
        until(lambda: any(process.poll() is not None for process in both.values()), "one is refused")
        (loser,) = [name for name, process in both.items() if process.poll() is not None]
        winner = "bob" if loser == "ann" else "ann"
        answer = finish(both[loser])
        assert answer.code == 3, answer.err
        assert f"{winner} deploys since" in answer.err or f"{winner} holds the library since" in answer.err
        (job,) = [job for job in deploys(live) if job.active]
        assert job.requested_by == winner
        assert mobius("cancel", job.id, "--workspace", live).code == 0
        assert finish(both[winner]).code == 130
    finally:
        for process in both.values():
            process.kill()
            process.wait()


def test_a_row_without_its_process_is_nobodys_to_take_or_settle(live: Path) -> None:
    with database(live) as connection:
        job = add_job(connection, "deploy", {"foreground": True}, "bob")
        assert claim_next(connection, process_token()) is None, "no worker takes it"
        assert settle_interrupted(connection, "eve") == 0
        assert find_job(connection, job.id).state == "queued"
        taken = claim_job(connection, job.id, "deploy", process_token())
        assert (taken.state, taken.owner) == ("running", process_token())


def test_a_row_that_lost_its_process_keeps_no_deploy_from_starting(mobius: Mobius, live: Path) -> None:
    with database(live) as connection:
        old = add_job(connection, "deploy", {"foreground": True}, "bob")
        assert mobius("deploy", "--force", "--workspace", live).code == 3, "it may just be starting"
        connection.execute("UPDATE jobs SET requested_at = requested_at - 3600 WHERE id = ?", (old.id,))
        launch.refuse_when_held(open_workspace(live, {}, {}, "ada"), connection)
        assert find_job(connection, old.id).state == "failed"


@pytest.mark.parametrize(
    ("kind", "options", "change"),
    [("backup", {"foreground": True}, ""), ("deploy", {}, ""), ("deploy", {"foreground": True}, "cancelled")],
)
def test_only_a_row_that_waits_for_it_is_run(
    mobius: Mobius, live: Path, kind: str, options: dict[str, object], change: str
) -> None:
    with database(live) as connection:
        job = add_job(connection, kind, options, "eve")
        if change:
            finish_job(connection, job.id, change, 130, "eve did not want it", {})
        before = find_job(connection, job.id)
        previous = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
        try:
            answer = mobius("deploy", "--job", job.id, "--workspace", live)
        finally:
            for number, handler in zip((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), previous, strict=True):
                signal.signal(number, handler)
        assert answer.code == 1
        assert find_job(connection, job.id) == before


@pytest.mark.parametrize(("code", "exits"), [(5, 5), (3, 3), (0, 3), (70, 3)])
def test_a_process_that_dies_at_once_is_told_with_its_last_words(
    mobius: Mobius, live: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int, exits: int
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\necho first >&2\nprintf 'mobius: it broke\\033[2J\\n' >&2\nexit {code}\n")
    script.chmod(0o755)
    monkeypatch.setattr(launch.sys, "executable", str(script))
    answer = mobius("deploy", "--force", "--workspace", live)
    assert answer.code == exits
    assert "did not start: it broke\\x1b[2J" in answer.err and "deploy.out" in answer.err
    (job,) = deploys(live)
    assert (job.state, job.exit_code) == ("failed", exits)
    assert "it broke" in job.error


def test_a_deploy_that_fails_rolls_back_and_its_code_is_the_verbs(mobius: Mobius, live: Path) -> None:
    """No worker runs, so its smoke tests fail; --force goes on in spite of that at the preflight."""
    before = live_hash(live)
    answer = finish(
        start("deploy", "--force", "--no-watch", "--workspace", live, "--as", "anna", "--reason", "new scans")
    )
    assert answer.code == 2, answer.err
    for name, state in (("preflight", "done"), ("swap", "undone"), ("smoke", "failed")):
        assert re.search(rf"^\d\d:\d\d:\d\d  {state} +{name} ", answer.out, re.MULTILINE), (name, answer.out)
    assert "outcome" in answer.out and "rolled back" in answer.err
    assert re.search(r"undone +swap .* is live, .* was; taken back$", answer.out, re.MULTILINE), answer.out
    assert live_hash(live) == before
    (job,) = deploys(live)
    assert (job.requested_by, job.reason, job.exit_code) == ("anna", "new scans", 2)
    assert holder_of(catalogue_lock_path(live / "library" / "library.json")) is None
    again = mobius("deploy", "--follow", "--workspace", live, "--json")
    assert again.code == 2
    assert again.json["run"] == job.run_id and again.json["exit_code"] == 2
    assert {step["name"] for step in again.json["steps"]} >= {"preflight", "backup", "swap", "smoke"}


def test_a_deploy_goes_through_with_a_worker(mobius: Mobius, live: Path) -> None:
    assert mobius("worker", "start", "--workspace", live).code == 0
    try:
        answer = finish(start("deploy", "--force", "--no-watch", "--workspace", live))
        assert answer.code == 0, answer.err + answer.out
        assert "way back" in answer.out and "undone" not in answer.out
        (job,) = deploys(live)
        assert job.state == "done" and step_of(job, "finish") == "done"
        assert live_hash(live).startswith(str(job.summary["after"])[:12])
        history = mobius("history", "--workspace", live).out
        assert "the way back is library.json.bak." in history
    finally:
        mobius("worker", "stop", "--workspace", live)


def test_a_guard_watches_it_and_nothing_is_deployed_meanwhile(mobius: Mobius, live: Path) -> None:
    with (live / "mobius.toml").open("a") as settings:
        settings.write("probe_images = 3\n")
    ws = open_workspace(live, {}, {}, None)
    assert mobius("worker", "start", "--workspace", live).code == 0
    try:
        answer = finish(start("deploy", "--force", "--workspace", live))
        assert answer.code == 0, answer.err + answer.out
        assert "guards it until" in answer.out and "`mobius watch` joins it" in answer.out
        holder = guard_holder(ws)
        assert holder is not None
        (job,) = deploys(live)
        assert step_of(job, "baseline") == step_of(job, "watch") == "done", job.summary
        published = live_hash(live)
        again = mobius("deploy", "--force", "--workspace", live)
        assert again.code == 3 and job.run_id in again.err and "until" in again.err, again.err
        assert live_hash(live) == published and len(deploys(live)) == 1
        (watch,) = all_open(ws)
        assert (watch.plan.deploy, watch.plan.auto, watch.token) == (job.run_id, True, holder.token)
        ended = finish(start("watch", "stop", "--reason", "the test is over", "--workspace", live))
        assert ended.code == 0, ended.err
        until(lambda: guard_holder(ws) is None, "the guard ends")
    finally:
        holder = guard_holder(ws)
        kill_holder(holder)
        mobius("worker", "stop", "--workspace", live)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--canary", "0"), "canary"),
        (("--canary", "100"), "canary"),
        (("--canary", "many"), "canary"),
        (("--canary-duration", "10m"), "needs --canary"),
        (("--canary", "5", "--canary-duration", "soon"), "no duration"),
        (("--canary", "5", "--canary-duration", "3d"), "no duration"),
    ],
)
def test_a_canary_that_cannot_be_is_refused(mobius: Mobius, live: Path, given: tuple[str, ...], said: str) -> None:
    answer = mobius("deploy", "--force", *given, "--workspace", live)
    assert answer.code == 1 and said in answer.err
    assert deploys(live) == []


def test_a_dry_run_counts_what_a_canary_would_publish(mobius: Mobius, live: Path) -> None:
    answer = mobius("deploy", "--dry-run", "--force", "--canary", "50", "--workspace", live)
    assert answer.code == 0, answer.err
    assert re.search(r"^good +canary +[1-4] of 5 images would be published first$", answer.out, re.MULTILINE)
    facts = mobius("deploy", "--dry-run", "--force", "--canary", "50", "--workspace", live, "--json").json
    assert facts["canary"]["percent"] == 50.0 and 1 <= facts["canary"]["images"] < facts["canary"]["of"] == 5


def test_what_is_asked_says_who_watches_it(live: Path) -> None:
    ws = open_workspace(live, {}, {}, None)
    said = " ".join(" ".join(verb.intent_lines(ws, DeployOptions(canary=5.0, watch=True))).split())
    hold, settle = ws.settings.hold_seconds, ws.settings.settle_seconds
    assert "5 % of the images first, watched for 10:00 after " in said
    assert f": {human_seconds(hold + settle + 600.0)} in all" in said
    assert "a guard watches the service for 1:00:00 and rolls back when it fails" in said
    held = " ".join(verb.intent_lines(ws, DeployOptions(watch=True, auto_rollback=False)))
    assert "pages and asks when it fails" in held
    assert "nobody watches it" in " ".join(verb.intent_lines(ws, DeployOptions()))


def test_ctrl_c_leaves_it_running_and_cancel_undoes_it(
    mobius: Mobius, settling: tuple[Path, subprocess.Popen[bytes], Job]
) -> None:
    live, follower, job = settling
    published = live_hash(live)
    follower.send_signal(signal.SIGINT)
    answer = finish(follower)
    assert answer.code == 130
    said = " ".join(answer.err.split())
    assert f"deploy {job.id} goes on" in said and "mobius deploy --follow" in said
    pid = pid_of(job.owner)
    assert pid is not None
    os.kill(pid, signal.SIGHUP)
    assert is_alive(job.owner) and deploys(live)[0].state == "running"
    cancelled = mobius("cancel", job.id, "--workspace", live)
    assert cancelled.code == 0 and "undoes" in cancelled.out
    until(lambda: not deploys(live)[0].active, "it ends")
    (over,) = deploys(live)
    assert (over.state, over.exit_code) == ("cancelled", 130)
    assert live_hash(live) != published
    assert step_of(over, "swap") == "undone"
    assert mobius("deploy", "--follow", "--workspace", live).code == 130


def test_who_only_looks_on_ends_nothing(settling: tuple[Path, subprocess.Popen[bytes], Job]) -> None:
    """A time limit ends the deploy of whoever started it with that, never one that is only followed."""
    live, _, job = settling
    published = live_hash(live)
    answer = finish(start("deploy", "--follow", "--timeout", "2", "--workspace", live))
    assert answer.code == 4 and f"deploy {job.id} goes on" in " ".join(answer.err.split()), answer.err
    (still,) = deploys(live)
    assert (still.state, still.wanted) == ("running", "run") and live_hash(live) == published


def test_a_deploy_is_not_paused(mobius: Mobius, settling: tuple[Path, subprocess.Popen[bytes], Job]) -> None:
    """What it put live is not proven yet; the console says the same."""
    live, _, job = settling
    answer = mobius("pause", job.id, "--workspace", live)
    assert answer.code == 1 and "a deploy cannot be paused" in answer.err and f"mobius cancel {job.id}" in answer.err
    assert deploys(live)[0].wanted == "run"


def test_the_end_is_told_whole_on_80_columns() -> None:
    copy = "library.json.bak.20261120T145447Z"
    why = "another program wrote the catalogue in each of three rounds; set a hook that puts it into maintenance first"
    summary = {"outcome": "rolled back", "reason": why, "emergency": f"/srv/{'long/' * 20}backups/emergency/{copy}"}
    lines = verb.end_lines(summary, 80)
    assert max(map(len, lines)) <= 80 and f"emergency/{copy}" in " ".join(lines)
    assert why in " ".join(" ".join(lines).split()), lines


def test_sigterm_undoes_it(settling: tuple[Path, subprocess.Popen[bytes], Job]) -> None:
    live, follower, job = settling
    published = live_hash(live)
    pid = pid_of(job.owner)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    answer = finish(follower)
    assert answer.code == 143, answer.err
    assert live_hash(live) != published
    assert deploys(live)[0].state == "cancelled"


def test_a_killed_deploy_is_told_and_brought_to_rest(settling: tuple[Path, subprocess.Popen[bytes], Job]) -> None:
    live, follower, job = settling
    before = str(step_reason(job, "swap")).split("live, ")[1].split(" ")[0]
    output = live / "logs" / launch.OUTPUT
    output.write_text("mobius: an earlier deploy failed\n")
    os.utime(output, (job.requested_at - 60, job.requested_at - 60))
    pid = pid_of(job.owner)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    answer = finish(follower)
    assert answer.code == 2, "it was rolled back"
    assert "was killed" in answer.err and "is live again" in answer.err
    assert "an earlier deploy failed" not in answer.err, "those are not its last words"
    assert live_hash(live).startswith(before)
    assert [(over.state, over.exit_code) for over in deploys(live)] == [("failed", 2)]


def test_last_words_are_those_of_this_deploy(live: Path) -> None:
    ws = open_workspace(live, {}, {}, "anna")
    with database(live) as connection:
        job = add_job(connection, "deploy", {"foreground": True}, "anna")
    assert launch.abandoned_words(ws, job) == ""
    output = live / "logs" / launch.OUTPUT
    output.write_text("killed by\x1b[2J\n")
    os.utime(output, (job.requested_at + 1, job.requested_at + 1))
    assert launch.abandoned_words(ws, job) == "killed by\\x1b[2J"
    os.utime(output, (job.requested_at - 1, job.requested_at - 1))
    assert launch.abandoned_words(ws, job) == ""


@pytest.mark.parametrize(
    ("elsewhere", "typed", "wanted"), [(False, "\n", "cancel"), (False, "y\n", "run"), (True, "\n", "run")]
)
def test_an_answer_that_comes_late_changes_nothing(
    live: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: bool, typed: str, wanted: str
) -> None:
    """Somebody let it go on in the console: a no typed here afterwards must not end it."""
    ws = open_workspace(live, {}, {}, "anna")
    with database(live) as connection:
        job = add_job(connection, "deploy", {"foreground": True}, "anna", owner=process_token())
        keep_summary(connection, job.id, {"question": "the queue grew"})
        ask(connection, job.id, "pause", "mobius")
        update_job(connection, job.id, state="paused")
        job = find_job(connection, job.id)
        if elsewhere:
            ask(connection, job.id, "run", "berta")
            update_job(connection, job.id, state="running")
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        verb._answer(ws, job, "the queue grew")
        assert wanted_of(connection, job.id)[0] == wanted


def test_the_time_limit_of_the_verb_ends_the_deploy(live: Path) -> None:
    (live / "mobius.toml").write_text(SLOW)
    before = live_hash(live)
    answer = finish(start("deploy", "--force", "--no-watch", "--workspace", live, "--timeout", "3"))
    assert answer.code == 4, answer.err
    assert "time limit" in answer.err
    assert live_hash(live) == before
    assert deploys(live)[0].state == "cancelled"


def test_follow_takes_nothing_else_and_wants_a_deploy(mobius: Mobius, live: Path) -> None:
    assert "nothing was ever deployed" in mobius("deploy", "--follow", "--workspace", live).err
    assert mobius("deploy", "--follow", "--force", "--workspace", live).code == 1
    assert mobius("deploy", "--from", live / "none.json", "--force", "--workspace", live).code == 1
    assert mobius("deploy", "--at", "yesterday", "--force", "--workspace", live).code == 1


def test_a_dry_run_writes_only_its_report(mobius: Mobius, live: Path) -> None:
    before = live_hash(live)
    stopped = mobius("deploy", "--dry-run", "--workspace", live)
    assert stopped.code != 0 and "health" in stopped.err, "no worker answers"
    data = mobius("deploy", "--dry-run", "--workspace", live, "--json")
    assert data.code == stopped.code
    assert [row["ok"] for row in data.json["preflight"] if row["name"] == "health"] == [False], "why is data, too"
    answer = mobius("deploy", "--dry-run", "--force", "--workspace", live)
    assert answer.code == 0, answer.err
    assert "DRY RUN" in answer.out and re.search(r"^good +catalogue ", answer.out, re.MULTILINE)
    assert live_hash(live) == before
    assert deploys(live) == [] and not list((live / "backups").glob("library.json.bak.*"))
    facts = mobius("deploy", "--dry-run", "--force", "--workspace", live, "--json").json
    assert facts["preflight"][0]["name"] == "catalogue" and facts["mode"] == "DRY RUN"


def test_a_dry_run_of_a_file_judges_it_as_the_deploy_would(mobius: Mobius, live: Path) -> None:
    assert mobius("migrate", "-o", live / "staged.json", "--workspace", live, "--fresh").code == 0
    before = tree(live / "library")
    answer = mobius("deploy", "--dry-run", "--force", "--from", live / "staged.json", "--workspace", live)
    assert answer.code == 0, answer.err
    assert re.search(r"^good +file .*5 images", answer.out, re.MULTILINE)
    (live / "staged.json").write_text(
        (live / "library" / "library.json").read_text().replace('"dhash": "', '"dhash": "0')
    )
    answer = mobius("deploy", "--dry-run", "--force", "--from", live / "staged.json", "--workspace", live)
    assert answer.code in {1, 2}, answer.out
    assert tree(live / "library") == before and deploys(live) == []


def row(**changes: Any) -> Job:
    first: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__, "")
    first |= {"id": 1, "state": "running", "summary": {}, "total": None, "done": 0, "eta_s": None, "wanted": "run"}
    return Job(**{**first, **changes})


def test_a_step_is_a_line_whose_reason_hangs_below_itself() -> None:
    step = StepState("backup", "done", 0.0, 75.0, "a reason that does not fit on the line that is left for it")
    lines = step_lines(step, 70)
    assert lines[0].startswith("00:01:15  done      backup          1:15  a reason")
    assert len(lines) > 1 and all(len(line) <= 70 for line in lines)
    assert {len(line) - len(line.lstrip()) for line in lines[1:]} == {lines[0].index("a reason")}
    assert step_lines(StepState("x\x1b[2J", "od\nd", None, None, "\x1b"), 80)[0].isprintable()


def test_the_live_line_says_how_long_and_how_far() -> None:
    steps = (StepState("backup", "done"), StepState("migrate", "running", 100.0, None, "", 3600.0))
    line = live_line(row(total=100, done=40, eta_s=9.0), steps, 112.4)
    assert line == "2/2 migrate  12 s of 1:00:00  40/100  ETA 9.0 s"
    assert "bob asked to end it" in live_line(row(wanted="cancel", wanted_by="bob"), steps, 112.4)
    assert live_line(row(phase="waiting until noon"), (), 0.0) == "waiting until noon"


def test_each_end_is_printed_once_and_a_second_round_again(capsys: pytest.CaptureFixture[str]) -> None:
    printer = StepPrinter(to_stdout=True, quiet=False, now=lambda: 10.0)

    def look(*steps: StepState) -> str:
        printer.look(row(summary={"steps": [step.to_json() for step in steps]}))
        return capsys.readouterr().out

    assert "running" in look(StepState("swap", "running", 1.0))
    assert look(StepState("swap", "running", 1.0)) == ""
    assert look(StepState("swap", "again", 1.0, 2.0, "others wrote")).count("again") == 1
    assert look(StepState("swap", "waiting", 1.0, 2.0, "others wrote")) == ""
    assert "running" in look(StepState("swap", "running", 3.0))
    assert look(StepState("swap", "done", 3.0, 4.0)).count("done") == 1
    assert look(StepState("swap", "done", 3.0, 4.0)) == ""
    assert look(StepState("swap", "undone", 3.0, 4.0)).count("undone") == 1
    quiet = StepPrinter(to_stdout=True, quiet=True)
    quiet.look(row(summary={"steps": [StepState("a", "done").to_json()]}))
    assert capsys.readouterr().out == ""
