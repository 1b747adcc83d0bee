"""Failures that the machine may be to blame for: following the library lets them be, each migrate tries them once."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from mobius_tui.fingerprint.file import fingerprint_file
from mobius_tui.fingerprint.model import Limits, Outcome, Task
from mobius_tui.operations.hashing import setup_for
from mobius_tui.operations.inventory import keep_outcomes, plan_work
from mobius_tui.operations.live import refresh_files, scan_library
from mobius_tui.store.scan import count_pending

SETUP = setup_for("exact", Limits())


def failed(path: Path, cause: str) -> Outcome:
    """The file's outcome, as after a bad minute of the machine."""
    if cause == "too large":
        return fingerprint_file(Task(str(path)), "exact", Limits(bytes=3))
    found = path.stat()
    return Outcome(
        *(str(path), "failed", b"a" * 32, found.st_size, found.st_mtime_ns, found.st_ino),
        error="it failed",
        cause=cause,
        duration_ms=60_000.0,
        read_ns=found.st_mtime_ns + 3600 * 10**9,
    )


def tasks(connection: sqlite3.Connection, path: Path) -> int:
    return sum(len(plan.tasks) for plan in plan_work(connection, [str(path)], SETUP))


@pytest.mark.parametrize("cause", ["timeout", "crash", "too large"])
def test_it_is_let_be_until_it_changes_and_each_run_tries_it(make_workspace, store, cause):
    ws = make_workspace(1)
    connection = store(ws)
    [path] = (ws.library / "deck").iterdir()
    scan_library(ws, connection, lambda _: None)
    assert count_pending(connection) == 1
    keep_outcomes(connection, [failed(path, cause)], SETUP, "run")
    changes = []
    for _ in range(2):
        scan_library(ws, connection, changes.append)
        assert count_pending(connection) == 0, "the worker does not try it again and again"
        assert tasks(connection, path) == 1, "but a run does, once"
    assert changes == []
    os.utime(path, ns=(1, 1))
    scan_library(ws, connection, changes.append)
    assert count_pending(connection) == 1


def test_a_file_that_could_not_be_read_is_tried_when_its_mode_changes(make_workspace, store):
    ws = make_workspace(1)
    connection = store(ws)
    [path] = (ws.library / "deck").iterdir()
    scan_library(ws, connection, lambda _: None)
    keep_outcomes(connection, [failed(path, "too large")], SETUP, "run")
    path.chmod(0o600)
    refresh_files(ws, connection, [str(path)], lambda _: None)
    assert count_pending(connection) == 1
