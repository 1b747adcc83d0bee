"""Parts of the worker in this process: the wish to stop, the runner of jobs, the row."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from worker_process import make_workspace, until

from mobius_tui.errors import EnvironmentFailed, OutOfResource
from mobius_tui.logs import JsonLog
from mobius_tui.operations.progress import Stopping
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import Job, add_job, claim_next, find_job
from mobius_tui.store.worker_row import read_worker
from mobius_tui.system.processes import process_token
from mobius_tui.worker import runner as runner_module
from mobius_tui.worker.database import LiveDatabase
from mobius_tui.worker.row import RowKeeper
from mobius_tui.worker.runner import TRIES, JobRunner
from mobius_tui.worker.service import Service, next_due
from mobius_tui.worker.stopping import StopRequest
from mobius_tui.workspace import Workspace


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_are_a_wish_and_the_handlers_are_put_back(number: signal.Signals) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("the tests run under nohup")
    before = signal.getsignal(number)
    left: list[bool] = []
    stop = StopRequest(leave=lambda: left.append(True))
    with stop.listening():
        assert not stop.asked()
        os.kill(os.getpid(), number)
        until(stop.asked, "the wish")
    assert stop.reason == number.name and not left
    assert signal.getsignal(number) == before


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = StopRequest()
        with stop.listening():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert not stop.asked()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_end_that_takes_too_long_is_a_hard_one() -> None:
    left: list[bool] = []
    stop = StopRequest(deadline_s=0.1, leave=lambda: left.append(True))
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: left, "the guard ends the process")


def test_an_end_in_time_is_no_hard_one() -> None:
    left: list[bool] = []
    stop = StopRequest(deadline_s=0.0, leave=lambda: left.append(True))
    with stop.listening():
        pass
    assert not left


def test_two_signals_at_once_are_one_wish_and_ctrl_c_again_is_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[bool] = []
    stop = StopRequest(leave=lambda: left.append(True))
    now = [100.0]
    monkeypatch.setattr("mobius_tui.worker.stopping.time.monotonic", lambda: now[0])
    stop._heard(signal.SIGHUP, None)
    now[0] += 0.1
    stop._heard(signal.SIGINT, None)
    assert not left and stop.reason == "SIGHUP"
    now[0] += 2.0
    stop._heard(signal.SIGTERM, None)
    assert not left
    stop._heard(signal.SIGINT, None)
    assert left


def run_raising(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, times: int = 99
) -> tuple[Workspace, Job, list[Job]]:
    """Run a claimed job whose operation raises, and claim it again while that is possible."""
    ws = make_workspace(tmp_path / "ws", 0)
    connection = open_database(ws.database)
    job = add_job(connection, "migrate", {}, "ann")
    calls = []

    def run_job(ws: Workspace, connection: sqlite3.Connection, job: Job, **_: object) -> Job:
        calls.append(job)
        if len(calls) <= times:
            raise error
        return job

    monkeypatch.setattr("mobius_tui.operations.run.run_job", run_job)
    monkeypatch.setattr(runner_module, "_PAUSES_S", (0.0,))
    runner = JobRunner(ws, JsonLog(ws.logs / "service.log"), StopRequest(), lambda job: None)
    for _ in range(TRIES + 2):
        claimed = claim_next(connection, process_token())
        if claimed is None or len(calls) > times or (isinstance(error, Stopping) and calls):
            break
        runner.start(claimed)
        assert runner.join(60)
    found = find_job(connection, job.id)
    connection.close()
    return ws, found, calls


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ZeroDivisionError("oh"), 70, "a defect of MOBIUS ended the job: ZeroDivisionError: oh"),
        (SystemExit(3), 70, "a defect of MOBIUS ended the job: SystemExit: 3"),
        (KeyboardInterrupt(), 130, "a defect of MOBIUS ended the job: KeyboardInterrupt: KeyboardInterrupt"),
        (MemoryError(), 5, "MemoryError"),
        (OutOfResource("no space \x1b[31m"), 5, "no space \\x1b[31m"),
    ],
)
def test_whatever_a_job_raises_it_ends_the_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    ws, job, calls = run_raising(tmp_path, monkeypatch, error)
    assert (job.state, job.exit_code, job.error) == ("failed", code, text)
    assert len(calls) == 1
    assert "traceback" in (ws.logs / "service.log").read_text()


def test_a_failing_database_gives_the_job_more_tries_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job, calls = run_raising(tmp_path, monkeypatch, sqlite3.OperationalError("database or disk is full"))
    assert len(calls) == TRIES
    assert (job.state, job.exit_code) == ("failed", 5)


def test_a_database_that_recovers_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, job, calls = run_raising(tmp_path, monkeypatch, sqlite3.OperationalError("database is locked"), times=2)
    assert len(calls) == 3
    assert job.state == "running"  # the stand-in for the operation does not finish rows


def test_stopping_gives_the_job_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, job, calls = run_raising(tmp_path, monkeypatch, Stopping())
    assert len(calls) == 1
    assert job.state in {"interrupted", "running"} and job.exit_code is None


def test_the_row_is_written_only_when_it_changed(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "m.db")
    keeper = RowKeeper()
    assert keeper.write(connection, 1)
    assert not keeper.write(connection, 1)
    keeper.set(note="x")
    assert keeper.write(connection, 1)
    assert read_worker(connection) == keeper.row
    keeper.set(note="x")
    assert not keeper.write(connection, 1)
    assert keeper.write(connection, 2), "a new database has no row yet"


def test_a_replaced_database_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    live = LiveDatabase(path)
    first = live.connection()
    assert live.connection() is first and live.opened == 1
    other = tmp_path / "other.db"
    open_database(other).close()
    other.replace(path)
    assert live.connection() is not first and live.opened == 2
    path.unlink()
    live.connection()
    assert path.exists() and live.opened == 3
    live.close()
    path.unlink()
    path.mkdir()
    with pytest.raises(EnvironmentFailed):
        live.connection()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database is locked"), ZeroDivisionError("a defect")])
def test_the_main_loop_survives_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    ws = make_workspace(tmp_path / "ws", 0)
    ws.state.mkdir(exist_ok=True)
    calls: list[str] = []

    def claim(connection: sqlite3.Connection, owner: str) -> None:
        calls.append(owner)
        if len(calls) <= 2:
            raise error

    monkeypatch.setattr("mobius_tui.worker.service.claim_next", claim)
    stop = StopRequest()
    thread = threading.Thread(target=Service(ws, stop).run)
    thread.start()
    try:
        until(lambda: len(calls) > 3, "it goes on")
    finally:
        stop.ask("the test")
        thread.join(60)
    events = [json.loads(line)["event"] for line in (ws.logs / "service.log").read_text().splitlines()]
    assert events.count("trouble") == 1, "told once"
    assert events.index("trouble") < events.index("trouble_over") < events.index("worker_stopping")


def test_what_was_cut_off_is_brought_to_rest_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hooks may take minutes: the loop goes on making steps, begins no job meanwhile, and ends only after it."""
    ws = make_workspace(tmp_path / "ws", 0)
    ws.state.mkdir(exist_ok=True)
    under_way, may_end, claims = threading.Event(), threading.Event(), []

    def hold(_: Workspace, say: Any) -> list[Any]:
        under_way.set()
        assert may_end.wait(60)
        say("it was cut off")
        raise ValueError("a defect")

    monkeypatch.setattr("mobius_tui.worker.recovery.recover", hold)
    monkeypatch.setattr("mobius_tui.worker.service.claim_next", lambda *_: claims.append(1))
    stop = StopRequest()
    service = Service(ws, stop)
    steps: list[int] = []
    monkeypatch.setattr(service, "_sample", lambda _: None)
    step = service._step
    monkeypatch.setattr(service, "_step", lambda connection: (step(connection), steps.append(1)))
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        until(under_way.is_set, "it is being brought to rest")
        until(lambda: len(steps) > 2, "the loop goes on")
        assert not claims and service._pulse().working
        may_end.set()
        until(lambda: claims, "jobs begin afterwards")
    finally:
        may_end.set()
        stop.ask("the test")
        thread.join(60)
    told = [json.loads(line) for line in (ws.logs / "service.log").read_text().splitlines()]
    said = [record["message"] for record in told if record["event"] == "recovery"]
    assert said == ["it was cut off", "ValueError: a defect"]


def test_a_day_of_minutes_has_no_gap_though_each_look_is_a_little_late() -> None:
    late = random.Random(5)
    due, minutes = 30.0, set()
    for _ in range(1440):
        now = due + late.uniform(0.0, 0.9)
        minutes.add(int(now // 60))
        due = next_due(due, now, 60.0)
    assert minutes == set(range(1440))


def test_what_was_missed_is_not_made_up_for() -> None:
    assert next_due(0.0, 5000.0, 60.0) == 5060.0
    assert next_due(5000.0, 5060.5, 60.0) == 5120.5
