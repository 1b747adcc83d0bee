"""Jobs of a real worker: run, killed, stopped, gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from worker_process import Worker, descendants, events, make_slow_workspace, make_workspace, query, until, value

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.operations.options import default_options
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import Job, add_job, ask, find_job
from mobius_tui.worker.run import run_worker
from mobius_tui.workspace import Workspace

Start = Callable[[Workspace], Worker]


def add_migration(ws: Workspace, kind: str = "migrate") -> int:
    connection = open_database(ws.database)
    try:
        return add_job(connection, kind, default_options(ws).to_json(), "ann").id
    finally:
        connection.close()


def job_of(ws: Workspace, number: int) -> Job:
    connection = open_database(ws.database)
    try:
        return find_job(connection, number)
    finally:
        connection.close()


def wait_for(ws: Workspace, number: int) -> Job:
    until(lambda: not job_of(ws, number).active, f"job {number} is over")
    return job_of(ws, number)


def open_files(pid: int) -> list[str]:
    try:
        return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:  # it has ended meanwhile
        return []


def without_run(ws: Workspace) -> bytes:
    """The catalogue's bytes but for what varies by run."""
    data = ws.catalogue.read_bytes()
    found = json.loads(data)
    assert found["dhash_migration"].pop("run")
    masked, hits = re.subn(rb'"run": ?\{.*?\}', b'"run": {}', data, flags=re.DOTALL)
    assert hits == 1
    return masked


def test_a_queued_job_is_run_and_shown(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 12)
    worker = start_worker(ws)
    job = wait_for(ws, add_migration(ws))
    assert (job.state, job.exit_code, job.done) == ("done", 0, 12), job.error
    assert len(json.loads(ws.catalogue.read_bytes())["images"]) == 12
    until(lambda: value(ws, "SELECT unhashed FROM worker") == 0, "all are hashed")
    assert worker.stop() == 0
    assert query(ws, "SELECT state, pid FROM worker") == [("stopping", worker.process.pid)]


def test_killed_three_times_the_catalogue_is_the_same_and_nothing_is_decoded_twice(
    tmp_path: Path, start_worker: Start
) -> None:
    images = 80
    undisturbed = make_slow_workspace(tmp_path / "calm", images)
    calm = start_worker(undisturbed)
    calm_job = add_migration(undisturbed)
    assert wait_for(undisturbed, calm_job).state == "done"
    calm.stop()
    ws = make_slow_workspace(tmp_path / "ws", images, "batch_size = 4")
    number = add_migration(ws)
    for kill in range(1, 4):
        worker = start_worker(ws)
        until(lambda kill=kill: job_of(ws, number).done > 15 * kill, "some batches are kept")
        children = descendants(worker.process.pid)
        assert children, "the pool has processes"
        worker.kill()
        until(lambda children=children: not any(Path(f"/proc/{pid}").exists() for pid in children), "no orphans")
        assert job_of(ws, number).state == "interrupted"
    start_worker(ws)
    assert wait_for(ws, number).state == "done"
    assert value(ws, "SELECT sum(images) FROM batches WHERE run_id <> 'live'") == images
    assert without_run(ws) == without_run(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_wish_to_stop_leaves_the_job_resumable(tmp_path: Path, start_worker: Start, number: int) -> None:
    ws = make_slow_workspace(tmp_path / "ws", 80, "batch_size = 4")
    if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("the tests run under nohup")
    worker = start_worker(ws)
    job = add_migration(ws)
    until(lambda: job_of(ws, job).done >= 8, "it works")
    children = descendants(worker.process.pid)
    assert worker.stop(number) == 0
    assert job_of(ws, job).state == "interrupted"
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "no orphans")
    start_worker(ws)
    assert wait_for(ws, job).state == "done"
    assert value(ws, "SELECT sum(images) FROM batches WHERE run_id <> 'live'") == 80


def test_a_hanging_decoder_does_not_keep_the_worker_from_ending(tmp_path: Path, start_worker: Start) -> None:
    """The end is a hard one then: the job goes on at the next start all the same, and no process is left."""
    ws = make_slow_workspace(tmp_path / "ws", 80, "batch_size = 4")
    worker = start_worker(ws)
    job = add_migration(ws)
    until(lambda: job_of(ws, job).done >= 8, "it works")
    children = descendants(worker.process.pid)
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    assert worker.stop() == 0
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "no orphans")
    assert job_of(ws, job).state == "interrupted"
    start_worker(ws)
    assert wait_for(ws, job).state == "done"


def test_pause_and_cancel_reach_the_job(tmp_path: Path, start_worker: Start) -> None:
    ws = make_slow_workspace(tmp_path / "ws", 80, "batch_size = 4")
    start_worker(ws)
    number = add_migration(ws)
    until(lambda: job_of(ws, number).done >= 4, "it works")
    connection = open_database(ws.database)
    ask(connection, number, "pause", "bob")
    until(lambda: job_of(ws, number).state == "paused", "it pauses")
    ask(connection, number, "cancel", "cy")
    connection.close()
    job = wait_for(ws, number)
    assert (job.state, job.exit_code) == ("cancelled", 130)
    assert "cy" in job.error
    assert not ws.catalogue.exists()


def test_a_failed_job_does_not_end_the_worker(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 3)
    ws.catalogue.write_text("[]")
    start_worker(ws)
    job = wait_for(ws, add_migration(ws))
    assert (job.state, job.exit_code) == ("failed", 1)
    ws.catalogue.unlink()
    assert wait_for(ws, add_migration(ws)).state == "done"


def test_two_workers_at_once_are_one_and_a_reason(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 1)
    first = start_worker(ws)
    second = Worker(ws)
    said, _ = second.process.communicate(timeout=60)
    assert second.process.returncode == 3
    assert f"PID {first.process.pid}" in said and "runs already" in said and "T" in said
    assert first.process.poll() is None


def test_the_lock_is_free_at_once_after_kill_9_mid_job(tmp_path: Path, start_worker: Start) -> None:
    """The pool's processes must not have inherited it."""
    ws = make_slow_workspace(tmp_path / "ws", 80, "batch_size = 4")
    worker = start_worker(ws)
    number = add_migration(ws)
    until(lambda: job_of(ws, number).done >= 4, "it works")
    held = open_files(worker.process.pid)
    assert str(ws.worker_lock) in held
    for pid in descendants(worker.process.pid):
        assert str(ws.worker_lock) not in open_files(pid)
    worker.kill()
    start_worker(ws)


def test_the_database_deleted_under_the_worker_is_made_anew(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 5)
    worker = start_worker(ws)
    until(lambda: value(ws, "SELECT images FROM worker") == 5, "the first scan")
    for name in ("mobius.db", "mobius.db-wal", "mobius.db-shm"):
        (ws.state / name).unlink(missing_ok=True)
    until(lambda: value(ws, "SELECT images FROM worker") == 5, "the scan again")
    assert value(ws, "SELECT pid FROM worker") == worker.process.pid
    assert wait_for(ws, add_migration(ws)).state == "done"


def test_a_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace(tmp_path / "ws", 1)
    monkeypatch.setattr("mobius_tui.launch.folder.network_filesystem", lambda path: "nfs4")
    with pytest.raises(EnvironmentFailed, match="network filesystem \\(nfs4\\)") as failed:
        run_worker(ws)
    assert failed.value.exit_code == 3 and "state_dir" in failed.value.fix


def test_the_worker_is_nice_and_tells_of_itself(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 1)
    worker = start_worker(ws)
    until(lambda: value(ws, "SELECT watching FROM worker") == "inotify and scan", "it watches")
    assert os.getpriority(os.PRIO_PROCESS, worker.process.pid) == max(10, os.nice(0))
    assert any("worker_started" in event for event in events(ws))
    until(lambda: value(ws, "SELECT count(*) FROM samples"), "a sample")
    lines = [json.loads(line) for line in (ws.logs / "service.log").read_text().splitlines()]
    assert lines[0]["event"] == "worker_started"
