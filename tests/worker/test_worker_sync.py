"""With `sync = "live"` a change reaches a published catalogue; without it, or before the first run, it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_worker_jobs import add_migration, wait_for
from worker_process import Worker, draw, make_workspace, until, value

from mobius_tui.operations.live import FIRST_RUN
from mobius_tui.store.database import open_database, write_meta
from mobius_tui.store.images import KnownFile, keep_files
from mobius_tui.store.jobs import finish_job, list_jobs
from mobius_tui.worker.sync import REASON, LiveSync
from mobius_tui.workspace import Workspace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[Workspace, object]]:
    ws = make_workspace(tmp_path / "ws", 1, 'sync = "live"')
    connection = open_database(ws.database)
    write_meta(connection, FIRST_RUN, "2026-11-20T12:00:00Z")
    yield ws, connection
    connection.close()


def test_asks_once_a_change(published):
    ws, connection = published
    sync = LiveSync(ws, Clock())
    assert not sync.step(connection)
    sync.changed()
    assert sync.step(connection)
    assert not sync.step(connection)
    (job,) = list_jobs(connection)
    assert (job.kind, job.state, job.reason, job.requested_by) == ("migrate", "queued", REASON, "worker")


def test_asks_again_when_somebody_else_held_the_library(published):
    ws, connection = published
    clock = Clock()
    sync = LiveSync(ws, clock)
    sync.changed()
    assert sync.step(connection)
    finish_job(connection, list_jobs(connection)[0].id, "refused", 3, "held", {})
    assert not sync.step(connection)
    clock.now += 60
    assert sync.step(connection)
    finish_job(connection, list_jobs(connection)[0].id, "failed", 2, "too many failures", {})
    clock.now += 1000
    assert not sync.step(connection)
    clock.now += 1000
    assert not sync.step(connection)


def test_waits_for_what_is_under_way_and_ten_times_as_long_as_it_took(published):
    ws, connection = published
    clock = Clock()
    sync = LiveSync(ws, clock)
    sync.changed()
    assert sync.step(connection)
    sync.changed()
    clock.now += 20
    assert not sync.step(connection)
    finish_job(connection, list_jobs(connection)[0].id, "done", 0, "", {})
    assert not sync.step(connection)
    clock.now += 199
    assert not sync.step(connection)
    clock.now += 2
    assert sync.step(connection)


@pytest.mark.parametrize("why", ["off", "unpublished", "pending"])
def test_does_not_ask(tmp_path, why):
    ws = make_workspace(tmp_path / "ws", 1, "" if why == "off" else 'sync = "live"')
    connection = open_database(ws.database)
    if why != "unpublished":
        write_meta(connection, FIRST_RUN, "2026-11-20T12:00:00Z")
    if why == "pending":
        keep_files(connection, [KnownFile(str(ws.library / "p000.png"), 1, 1, 1, None)])
    sync = LiveSync(ws, Clock())
    sync.changed()
    assert not sync.step(connection)
    assert list_jobs(connection) == []
    connection.close()


def test_a_new_image_reaches_the_catalogue(tmp_path: Path, start_worker: Callable[[Workspace], Worker]) -> None:
    ws = make_workspace(tmp_path / "ws", 4, 'sync = "live"')
    start_worker(ws)
    assert wait_for(ws, add_migration(ws)).state == "done"
    until(lambda: value(ws, "SELECT unhashed FROM worker") == 0, "the scan after the run")
    draw(ws.library / "new.png", 99)

    def entries() -> dict[str, str]:
        return {image["path"]: image["dhash_status"] for image in json.loads(ws.catalogue.read_bytes())["images"]}

    until(lambda: entries().get("new.png") == "ok", "the new image is in the catalogue")
    (ws.library / "p001.png").unlink()
    until(lambda: entries()["p001.png"] == "missing", "the deleted one is marked")
