"""The poller: reads only when something moved, and says what is wrong until it is mended."""

import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from console_states import NOW, WORKER, workspace

from mobius_tui.console import poller as poller_module
from mobius_tui.console.poller import Poller
from mobius_tui.console.snapshot import publication_of, way_is_free
from mobius_tui.recovery.backups import create_backup
from mobius_tui.store.database import open_database
from mobius_tui.store.events import add_event
from mobius_tui.store.jobs import add_job, keep_summary, update_job
from mobius_tui.store.metrics import keep_batch
from mobius_tui.store.worker_row import write_worker
from mobius_tui.system.locks import FileLock
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import init_workspace


@pytest.fixture
def ws(tmp_path):
    init_workspace(tmp_path)
    return workspace(tmp_path)


@pytest.fixture
def database(ws):
    connection = open_database(ws.database)
    yield connection
    connection.close()


def test_the_same_object_until_something_moves(ws, database):
    poller = Poller(ws)
    first = poller.look()
    assert first.store is not None
    assert poller.look() is first
    add_event(database, "info", "test", "x", "moved")
    second = poller.look()
    assert second is not first
    assert second.store.events[-1].message == "moved"


def test_no_read_without_a_change(ws, database, monkeypatch):
    reads = []
    real = poller_module.read_snapshot
    monkeypatch.setattr(poller_module, "read_snapshot", lambda *a: reads.append(1) or real(*a))
    poller = Poller(ws)
    for _ in range(20):
        poller.look()
    assert len(reads) == 1


def test_the_window_of_the_figures_goes_on_without_a_change(ws, database, monkeypatch):
    at = [NOW]
    keep_batch(database, "r", [10.0] * 5, failed=0, low=0, size=1, at=NOW - 1)
    poller = Poller(ws, now=lambda: at[0])
    assert poller.look().store.figures.images == 5
    at[0] = NOW + 2000
    monkeypatch.setattr(poller_module, "REFRESH_S", 0.0)
    assert poller.look().store.figures.images == 0


def test_no_database_yet_then_one(ws):
    poller = Poller(ws)
    assert "no database yet" in poller.look().problem
    open_database(ws.database).close()
    found = poller.look()
    assert (found.problem, found.stale_since) == ("", None)
    assert found.store is not None


def test_a_database_that_is_moved_away_and_comes_back(ws, database):
    add_event(database, "info", "test", "x", "first")
    poller = Poller(ws, now=lambda: NOW)
    poller.look()
    aside = ws.database.with_name("aside.db")
    database.close()
    ws.database.rename(aside)
    gone = poller.look()
    assert gone.problem
    assert gone.stale_since == NOW
    assert gone.store.events[-1].message == "first"
    with open_database(ws.database) as other:
        add_event(other, "info", "test", "x", "second")
    back = poller.look()
    assert back.problem == ""
    assert [event.message for event in back.store.events] == ["second"]


def test_a_corrupt_database_is_a_sentence_and_it_recovers(ws, database):
    poller = Poller(ws)
    poller.look()
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    for name in ("mobius.db-wal", "mobius.db-shm"):
        (ws.state / name).unlink(missing_ok=True)
    good = ws.database.read_bytes()
    ws.database.unlink()
    ws.database.write_bytes(b"this is no database" * 1000)
    broken = poller.look()
    assert "database cannot be used" in broken.problem
    assert broken.store is not None
    ws.database.unlink()
    ws.database.write_bytes(good)
    assert poller.look().problem == ""


def test_a_damaged_row_costs_only_itself(ws, database):
    poller = Poller(ws)
    job = add_job(database, "migrate", {}, "ada")
    database.execute("UPDATE jobs SET options = 'no json', total = 'many' WHERE id = ?", (job.id,))
    found = poller.look()
    assert (found.problem, found.jobs[0].total, found.jobs[0].options) == ("", None, {})


def test_a_state_that_cannot_be_understood_does_not_end_the_thread(ws, database, monkeypatch):
    def odd(*_):
        raise KeyError("of a later version")

    poller = Poller(ws)
    with monkeypatch.context() as patch:
        patch.setattr(poller_module, "read_snapshot", odd)
        assert "cannot be understood" in poller.look().problem
    add_job(database, "migrate", {}, "ada")
    assert poller.look().problem == ""


def test_a_locked_database_is_a_sentence(ws, database, monkeypatch):
    def locked(*_):
        raise sqlite3.OperationalError("database is locked")

    poller = Poller(ws)
    poller.look()
    real = poller_module.read_snapshot
    monkeypatch.setattr(poller_module, "read_snapshot", locked)
    add_event(database, "info", "test", "x", "moved")
    assert "locked" in poller.look().problem
    monkeypatch.setattr(poller_module, "read_snapshot", real)
    assert poller.look().problem == ""


def test_the_worker_lives_by_its_lock_and_never_by_its_row(ws, database):
    write_worker(database, replace(WORKER, state="working"))
    poller = Poller(ws, worker_note="no python")
    assert not poller.look().worker_alive
    lock = FileLock(ws.worker_lock)
    assert lock.acquire("ada", "worker")
    alive = poller.look()
    assert alive.worker_alive
    assert alive.worker_note == ""
    lock.release()
    assert not poller.look().worker_alive


def test_a_dead_worker_is_seen_with_its_job(ws, database):
    """Nothing is written when a worker dies, so the jobs must be read again."""
    worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lock = FileLock(ws.worker_lock)
    lock.acquire("ada", "worker")
    job = add_job(database, "migrate", {}, "ada", owner=process_token(worker.pid))
    update_job(database, job.id, state="running")
    poller = Poller(ws)
    assert poller.look().jobs[0].state == "running"
    worker.kill()
    worker.communicate()
    lock.release()
    assert poller.look().jobs[0].state == "interrupted"


def a_killed_deploy(database):
    """A deploy's row with a step under way, and a way to kill its process."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    job = add_job(database, "deploy", {"foreground": True}, "ada", owner=process_token(process.pid))
    steps = [{"name": "swap", "state": "done"}, {"name": "hold", "state": "running", "began": NOW, "limit_s": 63.0}]
    keep_summary(database, job.id, {"steps": steps})

    def kill():
        process.kill()
        process.communicate()

    return kill


def test_a_killed_deploy_is_seen_although_nothing_is_written(ws, database, monkeypatch):
    """Neither its row nor a lock that is looked at changes when it is killed."""
    monkeypatch.setattr(poller_module, "ALIVE_S", 0.0)
    kill = a_killed_deploy(database)
    poller = Poller(ws)
    found = poller.look()
    assert [step.state for step in publication_of(found).steps] == ["done", "running"]
    assert way_is_free(found) == "deploy of ada is running"
    kill()
    found = poller.look()
    assert found.jobs[0].state == "interrupted"
    assert [step.state for step in publication_of(found).steps] == ["done", "cut off"]
    assert way_is_free(found) is None
    assert poller.look() is found, "an interrupted one is not read again and again"


def test_a_killed_deploy_is_seen_without_its_database(ws, database, monkeypatch):
    monkeypatch.setattr(poller_module, "ALIVE_S", 0.0)
    kill = a_killed_deploy(database)
    poller = Poller(ws)
    poller.look()
    database.close()
    ws.database.rename(ws.database.with_name("aside.db"))
    assert poller.look().jobs[0].state == "running"
    kill()
    found = poller.look()
    assert found.problem
    assert found.jobs[0].state == "interrupted"


def test_processes_are_looked_at_once_a_second(ws, database, monkeypatch):
    looked = []
    monkeypatch.setattr(poller_module, "is_alive", lambda token: looked.append(token) or True)
    monkeypatch.setattr(poller_module, "ALIVE_S", 1e9)
    job = add_job(database, "migrate", {}, "ada", owner=process_token())
    poller = Poller(ws)
    poller.look()
    poller._alive_at = None
    for _ in range(20):
        poller.look()
    assert looked == [job.owner]


def test_backups_are_listed_when_their_folder_moved(ws, database, monkeypatch):
    monkeypatch.setattr(poller_module, "BACKUPS_S", 1e9)
    poller = Poller(ws)
    assert poller.look().backups == ()
    ws.library.mkdir(exist_ok=True)
    (ws.library / "library.json").write_text('{"images": []}')
    made = create_backup(ws.library / "library.json", ws.backups, reason="test", who="ada")
    assert [backup.name for backup in poller.look().backups] == [made.name]


def test_the_thread_follows_and_ends(ws, database):
    poller = Poller(ws)
    poller.start()
    add_event(database, "info", "test", "x", "moved")
    poller.wake()
    for _ in range(400):
        if poller.latest.store.events:
            break
        poller._thread.join(0.05)
    assert poller.latest.store.events[-1].message == "moved"
    poller.stop()
    poller._thread.join(10)
    assert not poller._thread.is_alive()
