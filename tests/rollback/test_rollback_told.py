"""What a rollback and a recovery leave where people look: service log, events, the run's own log."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from publishing import Published, sha

from mobius_tui.logs import SERVICE_LOG
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.recovery.staging import stage, staged_path, swap
from mobius_tui.rollback.options import Outcome, RollbackOptions
from mobius_tui.rollback.recover import recover
from mobius_tui.rollback.run import roll_back
from mobius_tui.rollback.undo import live_since
from mobius_tui.store.database import open_database
from mobius_tui.store.events import Event, list_events
from mobius_tui.workspace import Workspace, open_workspace

RUN = "deploy-20261120T120000Z"


def workspace(library: Published) -> Workspace:
    return open_workspace(library.root, {}, {}, "ada")


def asked(library: Published, **options: object) -> Outcome:
    chosen = RollbackOptions(force=True, **options)  # type: ignore[arg-type]
    return roll_back(workspace(library), chosen, confirm=lambda _: True, say=lambda _: None, environ={})


def log_of(ws: Workspace, name: str) -> list[dict[str, object]]:
    path = ws.logs / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def events_of(ws: Workspace, run: str) -> list[Event]:
    connection = open_database(ws.database)
    try:
        return list_events(connection, run_id=run, limit=1000)
    finally:
        connection.close()


def test_a_rollback_is_in_service_log_and_events(library: Published) -> None:
    library.publish()
    ws = workspace(library)
    open_database(ws.database).close()
    done = asked(library, reason="too many duplicates")
    told = [record for record in log_of(ws, SERVICE_LOG) if record["component"] == "rollback"]
    assert [record["event"] for record in told if record["level"] == "info"] == ["start", "end"]
    assert {record["run"] for record in told} == {done.run}
    assert told[0]["message"] == "rollback by ada: too many duplicates"
    assert told[-1]["message"] == f"rollback done: restored ({done.target})"
    events = events_of(ws, done.run)
    of_log = log_of(ws, f"{done.run}.log")
    assert [event.message for event in events] == [record["message"] for record in of_log], "nothing is only in one"
    assert events[0].event == "start" and events[-1].event == "end"


def test_warnings_are_told_with_their_level(library: Published) -> None:
    library.publish()
    library.publish()
    newest = max(library.backups.glob("*Z"))
    newest.chmod(0o640)
    newest.write_bytes(b"{}")
    ws = workspace(library)
    open_database(ws.database).close()
    done = asked(library)
    assert done.warnings
    for found in (
        [str(record["message"]) for record in log_of(ws, SERVICE_LOG) if record["level"] == "warning"],
        [event.message for event in events_of(ws, done.run) if event.level == "warning"],
    ):
        assert set(done.warnings) <= set(found)


def test_a_person_can_read_the_log_of_a_rollback(library: Published) -> None:
    library.publish()
    done = asked(library)
    said = [str(record["message"]) for record in log_of(workspace(library), f"{done.run}.log")]
    assert f"target: done, {done.target}: verified" in said
    assert "the target is live" in said
    assert f"what was live is kept as {Path(done.emergency).name}" in said
    assert any(line.startswith("worker: skipped") for line in said)
    assert "worker: begins" in said


def test_a_database_that_takes_no_event_is_asked_once(library: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    library.publish()
    ws = workspace(library)
    open_database(ws.database).close()
    tried: list[str] = []

    def locked(_: object, *facts: str, **__: object) -> None:
        tried.append(facts[2])
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr("mobius_tui.rollback.records.add_event", locked)
    done = asked(library)
    assert done.exit_code == 0 and tried == ["start"]
    assert log_of(ws, SERVICE_LOG)[-1]["event"] == "end"


def cut_off_deploy(library: Published) -> Workspace:
    library.publish()
    before = library.live.read_bytes()
    ws = workspace(library)
    journal = Journal.create(ws.state / JOURNALS, RUN, kind="deploy", who="t", live=str(library.live), options={})
    journal.note("round", round=1, before=sha(before), backup="")
    after = stage(library.live, [before + b"\n"], staged_path(library.live, RUN))
    journal.note("staged", round=1, before=sha(before), after=after)
    journal.note("step", step="swap", state="running")
    swap(staged_path(library.live, RUN), library.live, sha(before))
    journal.close()
    return ws


def test_a_recovered_run_says_so_in_its_own_log_and_events(library: Published) -> None:
    ws = cut_off_deploy(library)
    open_database(ws.database).close()
    said: list[str] = []
    recover(ws, said.append)
    last = log_of(ws, f"{RUN}.log")[-1]
    assert (last["component"], last["run"], last["level"]) == ("recovery", RUN, "warning")
    assert last["message"] == "was cut off: it was live but not proven; the catalogue from before is live again"
    assert f"{RUN} {last['message']}" in said
    assert events_of(ws, RUN)[-1].message == last["message"]


def test_a_recovery_makes_no_database(library: Published) -> None:
    ws = cut_off_deploy(library)
    assert recover(ws, lambda _: None)
    assert not ws.database.exists() and log_of(ws, f"{RUN}.log")


def test_the_history_has_the_time_of_the_swap(library: Published) -> None:
    ws = cut_off_deploy(library)
    journal = Journal.resume(ws.state / JOURNALS / f"{RUN}.journal")
    journal.note("step", step="swap", state="done")
    swapped = journal.records[-1]["time"]
    journal.note("step", step="smoke", state="done")
    journal.close()
    assert [one.outcome for one in recover(ws, lambda _: None)] == ["done"]
    act = read_history(ws.state)[-1]
    assert act["details"]["live_since"] == swapped and act["time"] > swapped


def test_the_time_of_a_swap_by_what_the_journal_has_of_it() -> None:
    running = {"what": "step", "step": "swap", "state": "running", "time": "a"}
    done = {**running, "state": "done", "time": "b"}
    assert live_since([]) == "" and live_since([{"what": "step", "step": "backup", "time": "x"}]) == ""
    assert live_since([running]) == "a"
    assert live_since([running, done, {**running, "state": "failed", "time": "c"}]) == "b"
