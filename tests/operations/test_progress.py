"""Progress in the job's row, in events and in the log."""

import json

import pytest

from mobius_tui.errors import Cancelled
from mobius_tui.logs import JsonLog
from mobius_tui.operations import progress as progress_module
from mobius_tui.operations.progress import Counts, Stopping, StoreProgress
from mobius_tui.store.events import list_events
from mobius_tui.store.jobs import add_job, ask, find_job
from mobius_tui.system.processes import process_token


@pytest.fixture
def job(make_workspace, store):
    connection = store(make_workspace(0))
    return connection, add_job(connection, "migrate", {}, "anna", owner=process_token())


def test_events_go_to_database_and_both_logs(job, tmp_path):
    connection, row = job
    logs = [JsonLog(tmp_path / name) for name in ("run.log", "service.log")]
    progress = StoreProgress(connection, row, logs[0], mirror=logs[1])
    progress.event("warning", "image_failed", "failed  [/]\x1b \udcff", path="[/]\x1b \udcff")
    (event,) = list_events(connection)
    assert (event.level, event.component, event.run_id) == ("warning", "migrate", row.run_id)
    assert event.message == "failed  [/]\x1b \\udcff", "half characters cannot be stored, all else is exact"
    assert event.fields == {"path": "[/]\x1b \udcff"}
    for log in logs:
        record = json.loads(log.path.read_bytes())
        assert (record["event"], record["fields"]) == ("image_failed", {"path": "[/]\x1b \udcff"})


def test_row_follows_phases_and_counts(job, tmp_path, monkeypatch):
    connection, row = job
    progress = StoreProgress(connection, row, JsonLog(tmp_path / "log"))
    progress.phase("hashing", 10, done=4)
    shown = find_job(connection, row.id)
    assert (shown.phase, shown.total, shown.done, shown.rate) == ("hashing", 10, 4, None)
    progress.advance(Counts(done=6, failed=1, low=2))
    progress.flush()
    shown = find_job(connection, row.id)
    assert (shown.done, shown.failed, shown.low) == (6, 1, 2)
    progress.phase("matching")
    shown = find_job(connection, row.id)
    assert (shown.phase, shown.total, shown.failed) == ("matching", None, 1)


def test_row_is_not_written_for_every_batch(job, tmp_path, monkeypatch):
    connection, row = job
    ticks = []
    progress = StoreProgress(connection, row, JsonLog(tmp_path / "log"), on_tick=ticks.append)
    monkeypatch.setattr(progress_module, "WRITE_EVERY_S", 3600.0)
    progress.phase("hashing", 100)
    for number in range(50):
        progress.advance(Counts(done=number))
    assert len(ticks) == 1


def test_stopping_is_heard_at_once(job, tmp_path, monkeypatch):
    connection, row = job
    monkeypatch.setattr(progress_module, "WRITE_EVERY_S", 3600.0)
    asked = []
    progress = StoreProgress(connection, row, JsonLog(tmp_path / "log"), stopping=lambda: bool(asked))
    progress.checkpoint()
    progress.checkpoint()
    asked.append(True)
    with pytest.raises(Stopping):
        progress.checkpoint()


@pytest.mark.parametrize(
    ("kind", "decoded", "fix"),
    [
        ("migrate", 0, "start it again; finished images are not decoded twice"),
        ("deploy", 0, "`mobius deploy` starts another one"),
        ("deploy", 7, "`mobius deploy` starts another one; finished images are not decoded twice"),
    ],
)
def test_what_to_do_after_a_cancellation(make_workspace, store, tmp_path, monkeypatch, kind, decoded, fix):
    connection = store(make_workspace(0))
    row = add_job(connection, kind, {}, "anna", owner=process_token())
    monkeypatch.setattr(progress_module, "WRITE_EVERY_S", 0.0)
    progress = StoreProgress(connection, row, JsonLog(tmp_path / "log"))
    progress.advance(Counts(done=decoded, decoded=decoded))
    ask(connection, row.id, "cancel", "bob")
    with pytest.raises(Cancelled) as caught:
        progress.checkpoint()
    assert (caught.value.what, caught.value.fix) == ("cancelled by bob", fix)
