"""How jobs end: in their row, in events and in the run log."""

import json
import sqlite3

import pytest
from pictures import look_alike, picture, truncated

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.operations import run as run_module
from mobius_tui.operations.run import run_job
from mobius_tui.store.events import list_events
from mobius_tui.store.jobs import add_job, list_jobs
from mobius_tui.system.processes import process_token


def log_of(ws, job):
    return [json.loads(line) for line in (ws.logs / f"{job.run_id}.log").read_text().splitlines()]


def test_done_job_tells_its_options_and_its_summary(make_workspace, run, store):
    ws = make_workspace(2)
    job = run(ws, reason="the fair", threshold=7)
    assert (job.state, job.exit_code, job.error, job.reason) == ("done", 0, "", "the fair")
    assert (job.phase, job.done, job.decoded) == ("publishing", 2, 2)
    records = log_of(ws, job)
    assert (records[0]["event"], records[0]["fields"]["options"]["threshold"]) == ("start", 7)
    assert (records[-1]["event"], records[-1]["fields"]["total"]) == ("end", 2)
    assert [event.event for event in list_events(store(ws))][-1] == "end"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadInput("it is wrong\x1b[2J", where="here", fix="mend it"), 1, "it is wrong\\x1b[2J (here). Next: mend it"),
        (PermissionError(13, "Permission denied", "/lib/\x1b"), 3, "Permission denied (/lib/\\x1b)"),
        (OSError(28, "No space left on device"), 5, "No space left on device"),
        (MemoryError(), 5, "not enough memory"),
        (sqlite3.OperationalError("database is locked"), 3, "database is locked"),
        (sqlite3.OperationalError("database or disk is full"), 5, "full"),
        (ZeroDivisionError("oh"), 70, "a defect of MOBIUS: ZeroDivisionError: oh"),
    ],
)
def test_failed_job_says_why(make_workspace, run, store, monkeypatch, error, code, said):
    ws = make_workspace(1)

    def fail(*_):
        raise error

    monkeypatch.setattr(run_module, "migrate", fail)
    job = run(ws)
    assert (job.state, job.exit_code) == ("failed", code)
    assert said in job.error
    last = log_of(ws, job)[-1]
    assert (last["level"], last["event"], last["message"]) == ("error", "failed", job.error)
    said_plainly = isinstance(error, BadInput | sqlite3.Error)
    assert ("traceback" in last.get("fields", {})) is not said_plainly


def test_end_that_cannot_be_written_is_an_error(make_workspace, store, monkeypatch):
    ws = make_workspace(1)
    job = add_job(store(ws), "migrate", {}, "anna", owner=process_token())

    def fail(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(run_module, "migrate", fail)
    monkeypatch.setattr(run_module, "finish_job", fail)
    with pytest.raises(EnvironmentFailed, match="disk I/O error"):
        run_job(ws, store(ws), job)


def test_interrupt_leaves_the_job_to_be_continued(make_workspace, run, store, monkeypatch):
    ws = make_workspace(1)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module, "migrate", interrupted)
        run(ws)
    assert list_jobs(store(ws))[0].state == "running", "until this process ends"


def test_row_of_a_finished_run_says_what_its_summary_says(make_workspace, run):
    ws = make_workspace(
        {"a.png": picture(1), "copy.png": picture(1), "like.png": look_alike(1), "cut.png": truncated(2)}
    )
    for kind in ("dry-run", "migrate"):
        job = run(ws, kind)
        found = (job.exact, job.waiting, job.low, job.failed, job.done, job.total)
        wanted = ("exact_duplicates", "waiting_pairs", "low_confidence", "errors", "total", "total")
        assert found == tuple(job.summary[name] for name in wanted), kind
