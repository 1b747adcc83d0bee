"""A queued row is data: it starts nothing that this version does not know, and leads nowhere outside the workspace."""

import sqlite3

import pytest

from mobius_tui.operations import run as run_module
from mobius_tui.operations.run import run_job
from mobius_tui.store.jobs import add_job, claim_next
from mobius_tui.system.processes import process_token


def queued(connection, kind, options, run_id=None):
    job = add_job(connection, kind, options, "anna")
    if run_id:
        connection.execute("UPDATE jobs SET run_id = ? WHERE id = ?", (run_id, job.id))
    return claim_next(connection, process_token())


def test_unknown_kind_is_refused_and_nothing_is_written(make_workspace, store):
    ws = make_workspace(1)
    done = run_job(ws, store(ws), queued(store(ws), "deploy\x1b[2J", {}))
    assert (done.state, done.exit_code) == ("failed", 1)
    assert "deploy\\x1b[2J" in done.error
    assert not ws.catalogue.exists()


@pytest.mark.parametrize("option", ["input", "output", "temp_dir"])
def test_queued_row_takes_no_paths(make_workspace, store, tmp_path, option):
    ws = make_workspace(1)
    outside = tmp_path / "outside.json"
    done = run_job(ws, store(ws), queued(store(ws), "migrate", {option: str(outside)}))
    assert (done.state, done.exit_code) == ("failed", 1)
    assert "takes no paths" in done.error
    assert not outside.exists() and not ws.catalogue.exists()


@pytest.mark.parametrize(
    "options",
    [{"threshold": "ten"}, {"batch_size": None}, {"threshold": 5.5}, {"limit": []}, {"backup": 1}, {"profile": "odd"}],
)
def test_options_of_the_wrong_kind_are_bad_input(make_workspace, store, options):
    ws = make_workspace(1)
    done = run_job(ws, store(ws), queued(store(ws), "migrate", options))
    assert (done.state, done.exit_code) == ("failed", 1)
    assert not ws.catalogue.exists()


@pytest.mark.parametrize("run_id", ["../../escaped", "a/b", "\x1b[2J", ".hidden", "x" * 300])
def test_log_of_a_row_stays_in_the_folder_of_the_logs(make_workspace, store, run_id):
    ws = make_workspace(1)
    done = run_job(ws, store(ws), queued(store(ws), "migrate", {}, run_id))
    assert done.state == "done"
    assert [path.name for path in ws.logs.glob("**/*.log")] == [f"job-{done.id}.log"]
    assert not list(ws.root.parent.glob("**/escaped.log"))


def test_done_job_that_cannot_be_noted_says_that_it_is_done(make_workspace, store, monkeypatch):
    ws = make_workspace(1)
    job = queued(store(ws), "migrate", {})
    finish = run_module.finish_job

    def refuse_done(connection, job_id, state, *rest):
        if state == "done":
            raise sqlite3.OperationalError("database or disk is full")
        finish(connection, job_id, state, *rest)

    monkeypatch.setattr(run_module, "finish_job", refuse_done)
    done = run_job(ws, store(ws), job)
    assert (done.state, done.exit_code) == ("failed", 5)
    assert f"the migrate is done, {ws.catalogue} is written, but that could not be noted" in done.error
    assert ws.catalogue.exists()
