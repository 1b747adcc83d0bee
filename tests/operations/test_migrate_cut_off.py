"""A run that is killed, cancelled, paused or stopped goes on from the images it has finished."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from catalogue_of import decoded, entries, without_run
from pictures import flat, picture, truncated

from mobius_tui.logs import JsonLog
from mobius_tui.operations import progress as progress_module
from mobius_tui.operations.options import default_options
from mobius_tui.operations.progress import Counts, Stopping, StoreProgress
from mobius_tui.operations.run import run_job
from mobius_tui.store.jobs import add_job, ask, claim_next, find_job, list_jobs, release_job
from mobius_tui.store.pairs import list_pairs
from mobius_tui.system.processes import process_token

DRIVER = Path(__file__).with_name("cut_off_run.py")
FILES = {f"{n:02d}.png": picture(n) for n in range(12)} | {
    "cut.png": truncated(4), "flat.png": flat(),
}  # fmt: skip


def start(ws, *arguments):
    return subprocess.Popen(
        [sys.executable, DRIVER, ws.root, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def killed(ws, *arguments):
    process = start(ws, *arguments)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def test_killed_again_and_again_no_committed_image_is_decoded_twice(make_workspace, run, store):
    undisturbed = make_workspace(FILES, "undisturbed")
    run(undisturbed)
    ws = make_workspace(FILES, "killed")
    for batches in (1, 2, 1):
        before = decoded(store(ws))
        killed(ws, "kill-after-batches", str(batches))
        assert decoded(store(ws)) == before + 2 * batches
    assert not ws.catalogue.exists()
    job = run(ws)
    assert job.summary["decoded"] == len(FILES) - 8
    assert decoded(store(ws)) == len(FILES)
    assert without_run(ws.catalogue.read_bytes()) == without_run(undisturbed.catalogue.read_bytes())
    strip = [(pair.id, pair.left_path, pair.right_path) for pair in list_pairs(store(ws))]
    assert strip == [(pair.id, pair.left_path, pair.right_path) for pair in list_pairs(store(undisturbed))]


@pytest.mark.parametrize("phase", ["matching", "publishing"])
def test_killed_late_leaves_the_old_catalogue_and_decodes_nothing_again(make_workspace, run, store, phase):
    ws = make_workspace(6)
    ws.catalogue.write_bytes(b'{"images": []}')
    killed(ws, "kill-in", phase)
    assert ws.catalogue.read_bytes() == b'{"images": []}'
    job = run(ws)
    assert (job.state, job.summary["decoded"], decoded(store(ws))) == ("done", 0, 6)
    assert list(ws.library.glob(".library.json*.tmp")) == []


def test_killed_job_is_closed_by_the_next_one(make_workspace, run, store):
    ws = make_workspace(4)
    killed(ws, "kill-after-batches", "1")
    (interrupted,) = list_jobs(store(ws))
    assert interrupted.state == "interrupted"
    run(ws)
    assert [job.state for job in list_jobs(store(ws))] == ["done", "cancelled"]


def test_cancelled_run_keeps_its_batches(make_workspace, run, store):
    ws = make_workspace(9, batch_size=2)

    def cancel(tick):
        if tick.phase == "hashing" and tick.counts.decoded >= 2:
            ask(store(ws), list_jobs(store(ws))[0].id, "cancel", "somebody")

    with _no_waiting():
        job = run(ws, on_tick=cancel)
    assert (job.state, job.exit_code) == ("cancelled", 130)
    assert "somebody" in job.error
    kept = decoded(store(ws))
    assert 2 <= kept < 9
    assert not ws.catalogue.exists()
    job = run(ws)
    assert (job.state, job.summary["decoded"]) == ("done", 9 - kept)


def test_paused_run_waits_and_goes_on(make_workspace, run, store, monkeypatch):
    ws = make_workspace(8, batch_size=2)
    seen = []

    def act(tick):
        job = list_jobs(store(ws))[0]
        if tick.phase == "hashing" and tick.counts.decoded >= 2 and not seen:
            seen.append("asked")
            ask(store(ws), job.id, "pause", "anna")
        if tick.paused_by:
            assert (job.state, tick.paused_by) == ("paused", "anna")
            seen.append("paused")
            assert decoded(store(ws)) < 8
            ask(store(ws), job.id, "run", "bert")

    with _no_waiting():
        job = run(ws, on_tick=act)
    assert seen == ["asked", "paused"]
    assert (job.state, decoded(store(ws))) == ("done", 8)
    said = [
        row["message"] for row in store(ws).execute("SELECT message FROM events WHERE event IN ('paused', 'resumed')")
    ]
    assert said == ["paused by anna", "resumed by bert"]


def test_paused_run_can_be_cancelled(make_workspace, run, store):
    ws = make_workspace(8, batch_size=2)

    def act(tick):
        if tick.phase == "hashing" and tick.counts.decoded >= 2:
            ask(store(ws), list_jobs(store(ws))[0].id, "cancel" if tick.paused_by else "pause", "anna")

    with _no_waiting():
        job = run(ws, on_tick=act)
    assert (job.state, job.exit_code) == ("cancelled", 130)


@contextlib.contextmanager
def _no_waiting():
    """Progress looks and writes at every batch, however quick they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_module, "WRITE_EVERY_S", 0.0)
        yield


class Clock:
    """Monotonic seconds that pass when somebody sleeps, or by hand."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_rate_and_eta_leave_out_paused_time_and_what_was_known(make_workspace, store, monkeypatch, tmp_path):
    ws = make_workspace(1)
    connection = store(ws)
    job = add_job(connection, "migrate", {}, "anna", owner=process_token())
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    ticks = []
    progress = StoreProgress(connection, job, JsonLog(tmp_path / "log"), on_tick=ticks.append)
    progress.phase("hashing", 1000, done=900)
    assert (ticks[-1].rate, ticks[-1].eta_s, ticks[-1].counts.done) == (None, None, 900)
    clock.now += 60
    progress.advance(Counts(done=900))
    progress.advance(Counts(done=904))
    assert (ticks[-1].rate, ticks[-1].eta_s) == (None, None), "processes that start are no rate"
    clock.now += 2
    progress.advance(Counts(done=924))
    assert (ticks[-1].rate, ticks[-1].eta_s) == (10.0, 7.6)
    ask(connection, job.id, "pause", "bert")
    real = clock.sleep

    def sleep(seconds):
        real(3600)
        ask(connection, job.id, "run", "bert")

    clock.sleep = sleep
    progress.checkpoint()
    clock.now += 2
    progress.advance(Counts(done=944))
    assert (ticks[-1].rate, ticks[-1].eta_s) == (10.0, 5.6)
    assert find_job(connection, job.id).state == "running"


def test_stopping_leaves_the_job_resumable(make_workspace, store):
    ws = make_workspace(9, batch_size=2)
    connection = store(ws)
    asked = add_job(connection, "migrate", default_options(ws).to_json(), "anna")
    job = claim_next(connection, process_token())
    assert job.id == asked.id
    with _no_waiting(), pytest.raises(Stopping):
        run_job(ws, connection, job, stopping=lambda: decoded(connection) >= 4)
    assert 4 <= decoded(connection) < 9
    release_job(connection, job.id, process_token())
    assert find_job(connection, job.id).state == "interrupted"
    again = claim_next(connection, process_token())
    assert (again.id, again.run_id) == (job.id, job.run_id)
    done = run_job(ws, connection, again)
    assert (done.state, decoded(connection), len(entries(ws))) == ("done", 9, 9)


def test_fresh_job_that_is_resumed_decodes_nothing_twice(make_workspace, run, store):
    ws = make_workspace(9, batch_size=2)
    run(ws)
    connection = store(ws)
    add_job(connection, "migrate", default_options(ws).to_json() | {"fresh": True}, "anna")
    job = claim_next(connection, process_token())
    with _no_waiting(), pytest.raises(Stopping):
        run_job(ws, connection, job, stopping=lambda: decoded(connection) >= 9 + 4)
    release_job(connection, job.id, process_token())
    run_job(ws, connection, claim_next(connection, process_token()))
    assert decoded(connection) == 18


def test_stopped_verb_says_how_to_go_on(make_workspace, run, store):
    ws = make_workspace(4)
    job = run(ws, stopping=lambda: True)
    assert (job.state, job.exit_code) == ("cancelled", 130)
    assert "start it again" in job.error
    assert run(ws).state == "done"
