"""A watch whose journal cannot be opened keeps the guard from no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from watch_world import PLAN

from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.guard import main
from mobius_tui.guard.files import OpenWatch, journal_path, plan_watch
from mobius_tui.guard.keeping import Keeper
from mobius_tui.guard.launch import guard_lock
from mobius_tui.recovery.journal import Journal
from mobius_tui.system.locks import FileLock
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

FIRST, SECOND = "watch-20261120T120000Z", "watch-20261120T130000Z"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    found = open_workspace(tmp_path, {}, {}, "tester")
    for run in (FIRST, SECOND):
        plan_watch(found, replace(PLAN, run=run))
    return found


def guarded_all(ws: Workspace, monkeypatch: pytest.MonkeyPatch, mends_at: int = 99) -> tuple[list[str], list[str]]:
    """What was guarded, in turn, and what was told; the first journal opens at an attempt of its own."""
    attempts: list[str] = []
    told: list[str] = []

    def guard(ws: Workspace, environ: object, env: object, watch: OpenWatch, *_: object) -> None:
        attempts.append(watch.run)
        if watch.run == FIRST and attempts.count(FIRST) < mends_at:
            raise EnvironmentFailed("the journal cannot be opened")
        Keeper(watch.path).close()
        journal = Journal.resume(watch.path)
        journal.note("end", outcome="accepted")
        journal.close()

    monkeypatch.setattr(main, "_guard", guard)
    lock = FileLock(guard_lock(ws))
    assert lock.acquire("tester", "guard")
    try:
        main._guard_all(ws, {}, None, lock, main._Wish(), told.append)
    except MobiusError as error:
        told.append(f"ended: {error.what}")
    finally:
        lock.release()
    return attempts, told


def test_one_that_opens_later_is_guarded_after_the_others(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, told = guarded_all(ws, monkeypatch, mends_at=2)
    assert attempts == [FIRST, SECOND, FIRST]
    assert told == [f"the watch {FIRST} is passed over for now: the journal cannot be opened"]


def test_one_that_never_opens_is_told_when_the_others_are_done(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts, told = guarded_all(ws, monkeypatch)
    assert attempts == [FIRST, SECOND, FIRST]
    assert told[-1] == "ended: the journal cannot be opened"


def test_a_journal_that_cannot_be_read_keeps_from_no_other(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_path(ws, FIRST).unlink()
    journal_path(ws, FIRST).mkdir()
    attempts, told = guarded_all(ws, monkeypatch)
    assert attempts == [SECOND]
    assert "cannot be read" in told[0] and told[-1].startswith("ended: ")
