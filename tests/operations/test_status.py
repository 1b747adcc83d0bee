from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from mobius_tui.guard.files import plan_watch
from mobius_tui.guard.model import Plan
from mobius_tui.notifications.outbox import OutboxState
from mobius_tui.operations import status
from mobius_tui.operations.status import read_status
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import Job, add_job, finish_job, update_job
from mobius_tui.system.locks import FileLock
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

Opened = Callable[..., Workspace]

CATALOGUE = {
    "images": [
        {"path": "a.png", "dhash": "0" * 16, "dhash_confidence": 0.5, "dhash_status": "ok"},
        {"path": "b.png", "dhash": None, "dhash_confidence": None, "dhash_status": "failed", "dhash_error": "x"},
        {"path": "c.png"},
    ],
    "dhash_duplicates": [{"duplicate": "a.png", "original": "b.png", "status": "exact"}],
}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path / "ws")
    return open_workspace(tmp_path / "ws", {}, {}, "anna")


@pytest.fixture
def connection(ws: Workspace) -> sqlite3.Connection:
    return open_database(ws.database)


def steps(ws: Workspace) -> list[str]:
    return [command for command, _ in read_status(ws).next_steps]


def test_an_empty_workspace(ws: Workspace) -> None:
    before = sorted(ws.root.rglob("*"))
    found = read_status(ws)
    assert (found.catalogue.exists, found.worker, found.active, found.last_failure) == (False, None, (), None)
    assert (found.waiting, found.backup) == (None, None)
    assert steps(ws) == ["mobius migrate --dry-run", "mobius migrate"]
    assert found.jobs_known and found.state_readable
    json.dumps(found.to_json())
    assert sorted(ws.root.rglob("*")) == before


def test_what_is_live_by_the_history(ws: Workspace) -> None:
    ws.catalogue.write_text(json.dumps(CATALOGUE))
    digest = sha256_file(ws.catalogue)
    found = read_status(ws).catalogue
    assert (found.images, found.duplicates, found.sha256, found.since) == (3, 1, digest, None)
    assert found.by_status == {"failed": 1, "not hashed": 1, "ok": 1}
    note_act(ws.state, "migrate", "berta", run_id="migration-1", before="0" * 64, after=digest)
    note_act(ws.state, "backup", "carla", before=digest, after=digest)
    found = read_status(ws).catalogue
    assert (found.by, found.act, found.run_id) == ("berta", "migrate", "migration-1")
    ws.catalogue.write_text(json.dumps(CATALOGUE) + "\n")
    assert read_status(ws).catalogue.since is None


def test_what_a_deploy_put_live_is_its_own_before_it_ends(ws: Workspace) -> None:
    ws.catalogue.write_text(json.dumps(CATALOGUE))
    digest = sha256_file(ws.catalogue)
    journal = Journal.create(ws.state / JOURNALS, "deploy-20261120T120000Z", kind="deploy", who="berta")
    journal.note("staged", before="0" * 64, after=digest)
    assert read_status(ws).catalogue.since is None, "not swapped"
    journal.note("step", step="swap", state="done")
    found = read_status(ws).catalogue
    assert found.since is not None and found.by == "berta" and found.run_id == "deploy-20261120T120000Z"
    assert found.act.startswith("deploy") and "not come to its end" in found.act
    journal.note("end", state="rolled back")
    assert read_status(ws).catalogue.since is None, "it is over, and this is not what it left"
    journal.close()


def test_a_cut_off_deploy_is_brought_to_rest_by_what_is_named(ws: Workspace, connection: sqlite3.Connection) -> None:
    add_job(connection, "deploy", {"foreground": True}, "anna", owner="boot:1:1")
    assert steps(ws)[0] == "mobius worker start"
    lock = FileLock(ws.worker_lock)
    lock.acquire("anna", "worker")
    assert steps(ws)[0] == "mobius deploy --follow", "a worker runs already"
    lock.release()


def test_a_catalogue_too_large_to_parse_is_counted_by_its_run(
    ws: Workspace, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "COUNTED_BYTES", 10)
    ws.catalogue.write_text(json.dumps(CATALOGUE))
    assert read_status(ws).catalogue.images is None
    job = add_job(connection, "migrate", {}, "anna", owner="gone")
    summary = {"after": sha256_file(ws.catalogue), "total": 9, "processed": 6, "low_confidence": 2, "errors": 2,
               "missing": 1, "duplicates": 4}  # fmt: skip
    finish_job(connection, job.id, "done", 0, "", summary)
    found = read_status(ws).catalogue
    assert (found.images, found.duplicates) == (9, 4)
    assert found.by_status == {"failed": 2, "low_confidence": 2, "missing": 1, "ok": 4}


def test_running_work_and_the_last_failure(ws: Workspace, connection: sqlite3.Connection) -> None:
    failed = add_job(connection, "migrate", {}, "anna", owner="gone")
    finish_job(connection, failed.id, "failed", 2, "too many", {})
    running = add_job(connection, "dry-run", {}, "anna", owner=process_token())
    update_job(connection, running.id, state="running", total=10, done=5, eta_s=3.0, rate=2.0)
    found = read_status(ws)
    assert [job.id for job in found.active] == [running.id]
    assert found.last_failure is not None and found.last_failure.id == failed.id
    assert f"mobius logs --run {failed.run_id}" in steps(ws)
    refused = add_job(connection, "migrate", {}, "berta", owner="gone")
    finish_job(connection, refused.id, "refused", 3, "anna holds the library", {})
    assert read_status(ws).last_failure == found.last_failure  # it hides no real failure, and is none
    finish_job(connection, running.id, "done", 0, "", {})
    assert read_status(ws).last_failure is not None  # a dry run mends no migration
    mended = add_job(connection, "migrate", {}, "anna", owner="gone")
    finish_job(connection, mended.id, "done", 0, "", {})
    assert read_status(ws).last_failure is None


def test_what_to_type_about_jobs(ws: Workspace, connection: sqlite3.Connection) -> None:
    queued = add_job(connection, "migrate", {}, "anna")
    assert steps(ws)[0] == "mobius worker start"
    lock = FileLock(ws.worker_lock)
    lock.acquire("anna", "worker")
    assert steps(ws)[0] == "mobius"
    assert read_status(ws).worker is not None
    lock.release()
    finish_job(connection, queued.id, "cancelled", 130, "", {})
    add_job(connection, "migrate", {}, "anna", owner="boot:1:1")
    assert steps(ws)[0] == "mobius migrate"


def test_it_works_with_everything_broken(ws: Workspace) -> None:
    (ws.root / "mobius.toml").write_text("= x")
    ws.database.write_bytes(b"junk" * 2000)
    (ws.state / "history.jsonl").write_bytes(b"\xff\n{}\n[]\n")
    ws.catalogue.write_bytes(b"\xff")
    ws.worker_lock.mkdir()
    found = read_status(open_workspace(ws.root, {}, {}, "anna", lenient=True))
    assert len(found.warnings) == 2 and not found.jobs_known
    assert "not UTF-8" in found.catalogue.error
    assert found.next_steps[0][0] == "mobius check"
    json.dumps(found.to_json())


def test_an_unreadable_catalogue_is_told(ws: Workspace) -> None:
    ws.catalogue.mkdir()
    assert read_status(ws).catalogue.error
    ws.catalogue.rmdir()
    ws.catalogue.symlink_to(ws.catalogue)
    assert read_status(ws).catalogue.error
    with contextlib.suppress(OSError):
        ws.catalogue.unlink()
    (ws.root / "library.json").write_text("{}")
    ws.catalogue  # noqa: B018 - one catalogue is fine


def test_a_watch_that_is_on_is_told_and_comes_next(make_workspace: Opened, run: Callable[..., Job]) -> None:
    ws = make_workspace()
    run(ws)
    assert read_status(ws).watch == ""
    plan_watch(ws, Plan(run="watch-20261120T120000Z", who="anna", duration_s=3600.0, interval_s=60.0))
    found = read_status(ws)
    assert "for anna" in found.watch
    assert "any verb or the worker starts it again" in found.watch
    assert found.next_steps[0][0] == "mobius watch"


def test_what_nobody_was_told_is_a_warning(make_workspace: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace()
    assert not read_status(ws).warnings
    monkeypatch.setattr(status, "outbox_state", lambda _: OutboxState(failing=2, problem="no\x1b[31m answer"))
    assert read_status(ws).warnings == ("2 notifications not delivered: no\\x1b[31m answer; see `mobius alerts`",)


def test_a_watch_that_ended_badly_is_told_until_something_is_published(ws: Workspace) -> None:
    note_act(ws.state, "deploy", "anna", run_id="deploy-1", before="0" * 64, after="1" * 64)
    assert read_status(ws).last_watch == ""
    note_act(ws.state, "rollback", "guard", run_id="rollback-1", before="1" * 64, after="0" * 64)
    note_act(ws.state, "watch rolled back", "rule health", run_id="watch-1", reason="health: 3 bad in a row")
    note_act(ws.state, "worker start", "guard")
    found = read_status(ws)
    assert re.fullmatch(r"rolled back \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: health: 3 bad in a row", found.last_watch)
    assert "mobius watch status" in steps(ws)
    note_act(ws.state, "deploy", "anna", run_id="deploy-2", before="0" * 64, after="1" * 64)
    assert read_status(ws).last_watch == ""
    note_act(ws.state, "watch undecided", "anna", run_id="watch-2", reason="superseded by deploy-2")
    assert read_status(ws).last_watch == ""
    note_act(ws.state, "watch stopped", "bert", run_id="watch-3", reason="lunch")
    assert read_status(ws).last_watch.endswith("Z by bert: lunch")
    note_act(ws.state, "watch accepted", "the rules", run_id="watch-4", reason="all pass")
    assert read_status(ws).last_watch == ""


def test_a_watch_that_is_on_hides_how_the_one_before_ended(make_workspace: Opened, run: Callable[..., Job]) -> None:
    ws = make_workspace()
    run(ws)
    note_act(ws.state, "watch stopped", "bert", run_id="watch-0", reason="lunch")
    assert read_status(ws).last_watch
    plan_watch(ws, Plan(run="watch-20261120T120000Z", who="anna", duration_s=3600.0, interval_s=60.0))
    assert read_status(ws).last_watch == ""
