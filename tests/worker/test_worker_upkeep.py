"""Backups by schedule and the daily clean of the worker."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from mobius_tui.logs import JsonLog
from mobius_tui.operations.backup import DECISIONS_NAME, backup_now
from mobius_tui.recovery.backup_files import list_backups
from mobius_tui.recovery.history import read_history
from mobius_tui.store.events import list_events
from mobius_tui.store.jobs import Job, list_jobs, update_job
from mobius_tui.system import clock
from mobius_tui.worker.upkeep import AGAIN_S, REASON, Upkeep
from mobius_tui.workspace import Workspace

HOUR = 3600.0
Store = Callable[[Workspace], sqlite3.Connection]


class Time:
    """A clock of days and one that never goes back, set by hand."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(clock, "now", time)
    return time


@pytest.fixture
def ws(make_workspace: Any) -> Workspace:
    ws = make_workspace({}, backup_every=6)
    write(ws, 0)
    return ws


def write(ws: Workspace, number: int) -> None:
    ws.catalogue.write_text(json.dumps({"images": [], "number": number}))


def upkeep(ws: Workspace, time: Time) -> Upkeep:
    return Upkeep(ws, JsonLog(ws.logs / "service.log"), time)


def asked(connection: sqlite3.Connection) -> list[Job]:
    return [job for job in list_jobs(connection) if job.kind == "backup"]


def finish(connection: sqlite3.Connection) -> None:
    for job in asked(connection):
        update_job(connection, job.id, state="done")


def test_backup_is_asked_for_when_the_newest_is_too_old(ws: Workspace, store: Store, time: Time) -> None:
    keep, connection = upkeep(ws, time), store(ws)
    keep.step(connection)
    assert [(job.reason, job.requested_by) for job in asked(connection)] == [(REASON, "worker")]
    keep.step(connection)
    assert len(asked(connection)) == 1, "one waits already"
    backup_now(ws, REASON, images=0)
    finish(connection)
    write(ws, 1)
    time.now += 6 * HOUR - 2
    keep.step(connection)
    assert len(asked(connection)) == 1
    time.now += 2
    keep.step(connection)
    assert len(asked(connection)) == 2


def test_unchanged_catalogue_is_not_backed_up_again(ws: Workspace, store: Store, time: Time) -> None:
    keep, connection = upkeep(ws, time), store(ws)
    backup_now(ws, "by hand", images=0)
    time.now += 7 * HOUR
    keep.step(connection)
    assert asked(connection) == []
    (ws.review / DECISIONS_NAME).write_bytes(b"{}\n")
    keep.step(connection)
    assert len(asked(connection)) == 1, "people's decisions are in every backup"


def test_one_that_failed_is_tried_again_later(ws: Workspace, store: Store, time: Time) -> None:
    keep, connection = upkeep(ws, time), store(ws)
    keep.step(connection)
    finish(connection)
    time.now += AGAIN_S - 1
    keep.step(connection)
    assert len(asked(connection)) == 1
    time.now += 2
    keep.step(connection)
    assert len(asked(connection)) == 2


def test_backups_of_the_future_hold_nothing_up(ws: Workspace, store: Store, time: Time) -> None:
    time.now += 400 * 24 * HOUR
    backup_now(ws, "wrong clock", images=0)
    time.now -= 400 * 24 * HOUR
    keep, connection = upkeep(ws, time), store(ws)
    keep.step(connection)
    assert len(asked(connection)) == 1


def test_no_schedule_and_no_catalogue_ask_for_nothing(make_workspace: Any, store: Store, time: Time) -> None:
    off = make_workspace({}, name="off")
    write(off, 0)
    empty = make_workspace({}, name="empty", backup_every=1)
    for ws in (off, empty):
        upkeep(ws, time).step(store(ws))
        assert asked(store(ws)) == []


def test_daily_clean_is_noted(ws: Workspace, store: Store, time: Time) -> None:
    for number in range(8):
        write(ws, number)
        backup_now(ws, "r", images=0)
        time.now += 1
    write(ws, -1)
    connection = store(ws)
    time.now += 40 * 24 * HOUR
    keep = upkeep(ws, time)
    keep.step(connection)
    keep.wait()
    keep.step(connection)
    told = [event for event in list_events(connection) if event.event == "backups_cleaned"]
    assert [event.message for event in told] == ["3 backups removed that no rule keeps"]
    assert len(list_backups(ws.backups)) == 5
    act = read_history(ws.state)[-1]
    assert (act["act"], len(act["details"]["removed"])) == ("backup clean", 3)
    for number in range(8):
        write(ws, number)
        backup_now(ws, "r", images=0)
        time.now += 1
    time.now += 23 * HOUR
    again = upkeep(ws, time)
    again.step(connection)
    again.wait()
    assert read_history(ws.state)[-1]["act"] == "backup", "a worker started anew does not clean again within a day"


def test_trouble_is_told_and_does_not_end_the_worker(ws: Workspace, store: Store, time: Time) -> None:
    ws.backups.rename(ws.root / "elsewhere")
    ws.backups.write_text("")
    keep = upkeep(ws, time)
    keep.step(store(ws))
    keep.wait()
    said = (ws.logs / "service.log").read_text()
    assert said.count("cannot be listed") == 2 and "the backups were not cleaned" in said


def test_old_run_logs_go_once_a_day_and_it_is_told(ws: Workspace, store: Store, time: Time) -> None:
    keep, connection = upkeep(ws, time), store(ws)
    for run, age in (("deploy-20260101T000000Z", 91), ("deploy-20260910T000000Z", 1)):
        path = ws.logs / f"{run}.log"
        path.write_text("{}\n")
        os.utime(path, (time.now - age * 24 * HOUR,) * 2)
    for _ in range(2):
        keep.step(connection)
        keep.wait()
    assert [path.name for path in ws.logs.glob("deploy-*")] == ["deploy-20260910T000000Z.log"]
    (event,) = [event for event in list_events(connection) if event.event == "logs_cleaned"]
    assert event.fields == {"removed": ["deploy-20260101T000000Z.log"]}
    assert event.message == "1 run log older than 90 days deleted"
