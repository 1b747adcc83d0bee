"""Ending what holds the catalogue: asked, killed after a while, never a process that is not the holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from publishing import Published

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.rollback.stopping import cancel_queued, running_operation, stop_operation
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import add_job, find_job
from mobius_tui.system.locks import FileLock, catalogue_lock, catalogue_lock_path
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, open_workspace

HOME = Path(__file__).parents[2]
Hold = Callable[..., subprocess.Popen[str]]

_HOLDER = """
import signal, sys, time
from pathlib import Path
from mobius_tui.system.locks import catalogue_lock
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with catalogue_lock(Path(sys.argv[1]), "berta", "migrate"):
    print("held", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def ws(library: Published) -> Workspace:
    return open_workspace(library.root, {}, {}, "anna")


@pytest.fixture
def hold(library: Published) -> Iterator[Hold]:
    """Another process that holds the catalogue's lock."""
    started: list[subprocess.Popen[str]] = []

    def start(temper: str = "meek") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _HOLDER, str(library.live), temper]
        process = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_nothing_runs(ws: Workspace) -> None:
    assert not stop_operation(ws, ws.catalogue, lambda _: None)


def test_a_process_that_hears_ends_by_sigterm(ws: Workspace, hold: Hold) -> None:
    process = hold()
    said: list[str] = []
    assert stop_operation(ws, ws.catalogue, said.append)
    assert process.poll() is not None  # it was collected here, so its code is not to be had any more
    assert running_operation(ws.catalogue) is None
    assert "berta" in said[0] and "has ended" in said[-1]


def test_a_process_that_does_not_hear_is_killed_when_its_time_is_up(ws: Workspace, hold: Hold) -> None:
    hold("stubborn")
    said: list[str] = []
    assert stop_operation(ws, ws.catalogue, said.append, grace_s=0.2)
    assert running_operation(ws.catalogue) is None
    assert "was killed" in said[-1]


def test_jobs_of_the_ended_process_are_cancelled_and_others_are_not(ws: Workspace, hold: Hold) -> None:
    process = hold()
    connection = open_database(ws.database)
    try:
        mine = add_job(connection, "migrate", {}, "berta", owner=process_token(process.pid))
        other = add_job(connection, "migrate", {}, "carl", owner=process_token())
        stop_operation(ws, ws.catalogue, lambda _: None)
        assert find_job(connection, mine.id).state == "cancelled"
        assert find_job(connection, other.id).state == "running"
    finally:
        connection.close()


def test_jobs_that_wait_for_the_worker_and_would_publish_are_cancelled(ws: Workspace) -> None:
    connection = open_database(ws.database)
    try:
        migrate = add_job(connection, "migrate", {}, "berta")
        dry = add_job(connection, "dry-run", {}, "berta")
        cancel_queued(ws, lambda _: None)
        assert find_job(connection, migrate.id).state == "cancelled"
        assert find_job(connection, dry.id).state == "queued"
    finally:
        connection.close()


@pytest.mark.parametrize("damage", ["missing", "garbage", "locked"])
def test_without_a_database_the_process_is_ended_all_the_same(ws: Workspace, hold: Hold, damage: str) -> None:
    connection = None
    if damage == "garbage":
        ws.state.mkdir(exist_ok=True)
        ws.database.write_bytes(b"no database" * 1000)
    elif damage == "locked":
        connection = open_database(ws.database)
        connection.execute("BEGIN EXCLUSIVE")
    hold()
    assert stop_operation(ws, ws.catalogue, lambda _: None)
    assert running_operation(ws.catalogue) is None
    if connection is not None:
        connection.close()


def test_a_holder_without_a_name_is_not_guessed(ws: Workspace) -> None:
    lock = FileLock(catalogue_lock_path(ws.catalogue))
    assert lock.acquire("x", "y")
    try:
        catalogue_lock_path(ws.catalogue).write_bytes(b"")
        ticks = iter(range(1000))
        with pytest.raises(EnvironmentFailed, match="no name"):
            stop_operation(ws, ws.catalogue, lambda _: None, clock=lambda: next(ticks) * 0.1, sleep=lambda _: None)
    finally:
        lock.release()


def test_a_later_process_with_the_same_number_is_never_signalled(
    ws: Workspace, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock's holder names a process that is gone; its number now belongs to another one."""
    bystander = hold()
    token = process_token(bystander.pid)
    body = catalogue_lock_path(ws.catalogue).read_text()
    catalogue_lock_path(ws.catalogue).write_text(body.replace(token, token[:-1] + ("0" if token[-1] != "0" else "1")))
    ticks = iter(range(1000))
    sent: list[int] = []
    with monkeypatch.context() as patched, pytest.raises(EnvironmentFailed):
        patched.setattr(os, "kill", lambda pid, number: sent.append(number))
        stop_operation(ws, ws.catalogue, lambda _: None, clock=lambda: next(ticks) * 0.1, sleep=lambda _: None)
    assert signal.SIGTERM not in sent and signal.SIGKILL not in sent


def test_the_lock_is_free_afterwards(ws: Workspace, hold: Hold) -> None:
    hold()
    stop_operation(ws, ws.catalogue, lambda _: None)
    with catalogue_lock(ws.catalogue, "anna", "rollback"):
        assert running_operation(ws.catalogue) is not None
