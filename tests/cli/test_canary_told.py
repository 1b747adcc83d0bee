"""What is said of a canary while its deploy judges it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_verbs import Mobius

from mobius_tui.operations.canary_view import read_canary
from mobius_tui.operations.status import read_status
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.store.database import open_database
from mobius_tui.store.watches import TickRow, WatchRow, write_tick, write_watch
from mobius_tui.system import clock
from mobius_tui.system.locks import FileLock, catalogue_lock_path
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

DEPLOY = "deploy-20261120T120000Z"
RULES = [{"rule": "health", "verdict": "pass", "value": 0.0, "limit": 3.0, "samples": 1, "needed": 1, "margin": 1.0}]


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    init_workspace(tmp_path / "ws")
    opened = open_workspace(tmp_path / "ws", {}, {}, "anna")
    opened.catalogue.write_text('{"images": []}')
    lock = FileLock(catalogue_lock_path(opened.catalogue))
    assert lock.acquire("anna", "deploy")
    yield opened
    lock.release()


@pytest.fixture
def journal(ws: Workspace) -> Iterator[Journal]:
    """Of a deploy whose canary is live."""
    made = Journal.create(ws.state / JOURNALS, DEPLOY, kind="deploy", who="anna")
    made.note("step", step="canary", state="running")
    made.note("staged", canary=True)
    yield made
    made.close()


def measured(connection: sqlite3.Connection) -> None:
    now = clock.now()
    plan = {"canary": True, "duration_s": 100.0, "interval_s": 10.0}
    row = WatchRow(
        f"{DEPLOY}-canary", DEPLOY, "running", "", "anna", "", True, plan, now, now + 70.0, None, "", (), "all well"
    )
    write_watch(connection, row)
    for number in (1, 2, 3):
        write_tick(connection, row.run_id, TickRow(number, now, 10.0 * number, "pass", {}, RULES))
    connection.commit()


def shown(mobius: Mobius, ws: Workspace) -> str:
    answer = mobius("watch", "status", "--workspace", ws.root)
    assert answer.code == 0, answer.err
    return " ".join(answer.out.split())


def test_a_canary_that_settles_is_told_without_a_measurement(mobius: Mobius, ws: Workspace, journal: Journal) -> None:
    open_database(ws.database).close()
    found = read_status(ws)
    assert found.watch == (
        f"a canary is judged by {DEPLOY}: held and settling, it is not measured yet; `mobius deploy --follow` shows it"
    )
    assert "mobius watch" not in [command for command, _ in found.next_steps]
    assert "settling" in shown(mobius, ws) and "first measurement" not in shown(mobius, ws)


def test_a_canary_is_told_with_measurements_rules_and_time_left(
    mobius: Mobius, ws: Workspace, journal: Journal
) -> None:
    with contextlib.closing(open_database(ws.database)) as connection:
        measured(connection)
    said = read_status(ws).watch
    assert said.startswith(f"a canary is judged by {DEPLOY}: 3 of 10 measurements, ") and said.endswith(
        "left: all well"
    )
    page = shown(mobius, ws)
    for part in (f"canary of {DEPLOY}", "judged by its deploy", "3 of 10 measurements", "s left", "next all well"):
        assert part in page
    assert "rule value limit" in page and "health 0 3" in page
    facts = mobius("watch", "status", "--json", "--workspace", ws.root).json
    assert facts["watch"] is None and (facts["canary"]["measured"], facts["canary"]["planned"]) == (3, 10)
    assert facts["canary"]["rules"] == RULES


def test_where_the_database_does_not_answer_the_deploy_is_named(
    mobius: Mobius, ws: Workspace, journal: Journal
) -> None:
    ws.database.write_bytes(b"junk" * 2000)
    assert read_status(ws).watch == f"a canary is judged by {DEPLOY}: `mobius deploy --follow` shows it"
    assert "`mobius deploy --follow`" in shown(mobius, ws)


def test_a_canary_that_is_over_or_cut_off_is_none(ws: Workspace, journal: Journal) -> None:
    assert read_canary(ws) is not None
    journal.note("step", step="canary", state="done")
    assert read_canary(ws) is None
    journal.note("step", step="canary", state="running")
    assert read_canary(ws) is not None
    journal.note("end", state="rolled back")
    assert read_canary(ws) is None


def test_nobody_judges_the_canary_of_a_deploy_that_is_dead(tmp_path: Path) -> None:
    init_workspace(tmp_path / "other")
    ws = open_workspace(tmp_path / "other", {}, {}, "anna")
    ws.catalogue.write_text('{"images": []}')
    made = Journal.create(ws.state / JOURNALS, DEPLOY, kind="deploy", who="anna")
    made.note("step", step="canary", state="running")
    made.note("staged", canary=True)
    made.close()
    assert read_canary(ws) is None
