"""Backups, deploy and rollback in the console: what is shown before it asks, what is started, what is refused."""

from __future__ import annotations

import os
import time
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from console_states import NOW, Frozen, backup, done, job, running, store, workspace
from hypothesis import given
from hypothesis import strategies as st
from publish_states import RUN, deploy_done, deploy_failed, deploy_job, deploying, rolling_back, steps

from mobius_tui.console import backup_actions, publish_actions
from mobius_tui.console.actions import footer_actions, label_of, registry
from mobius_tui.console.application import ConsoleApp
from mobius_tui.console.glyphs import ASCII, UNICODE
from mobius_tui.console.journal import JournalReader, publication_of_journal
from mobius_tui.console.lines import plain, width_of
from mobius_tui.console.poller import Poller
from mobius_tui.console.snapshot import JUST_S, Snapshot, publication_of, shows_publication
from mobius_tui.console.themes import load_theme
from mobius_tui.console.views.deploy import DEPLOY, ROLLBACK, view_of_publication
from mobius_tui.errors import EnvironmentFailed, ProcessingFailed
from mobius_tui.operations.deploy import launch
from mobius_tui.recovery.backups import create_backup, list_backups
from mobius_tui.recovery.journal import Journal, read_journal
from mobius_tui.system import clock
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace

ACTIONS = {action.name: action for action in registry()}
CATALOGUE = b'{"images": [{"path": "a.png"}]}\n'


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    made = workspace(tmp_path)
    for folder in (made.library, made.backups, made.logs, made.state):
        folder.mkdir(parents=True)
    made.catalogue.write_bytes(CATALOGUE)
    return made


def kept(ws: Workspace, monkeypatch: pytest.MonkeyPatch, ages_days: list[float]) -> list[str]:
    """Backups of these ages; their names."""
    names = []
    now = clock.now()
    for number, age in enumerate(ages_days):
        ws.catalogue.write_bytes(CATALOGUE + b" " * number)
        monkeypatch.setattr(clock, "now", lambda at=now - age * 86_400: at)
        names.append(create_backup(ws.catalogue, ws.backups, reason="test", who="ada").name)
    monkeypatch.undo()
    return names


def app_of(ws: Workspace, snapshot: Snapshot | None = None, environment: str = "development") -> ConsoleApp:
    first = snapshot or running(store=done().store, backups=tuple(list_backups(ws.backups)), environment=environment)
    return ConsoleApp(ws, Frozen(first), load_theme("mobius-dark"), now=lambda: NOW)


def screen_text(app: ConsoleApp) -> str:
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in lines)


async def shown(pilot: Any, text: str) -> str:
    for _ in range(3000):
        if text in screen_text(pilot.app):
            return screen_text(pilot.app)
        await pilot.pause(0.01)
    raise AssertionError(f"{text!r} was never shown:\n{screen_text(pilot.app)}")


async def test_verify_and_pin_mean_the_backup_under_the_cursor(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = kept(ws, monkeypatch, [2, 1])
    (ws.backups / old).write_bytes(b"something else")
    app = app_of(ws)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("c")
        await shown(pilot, "verify: not now: choose a backup in pane 1")
        await pilot.press("1", "c")
        await shown(pilot, f"{new} is good")
        await pilot.press("down", "c")
        text = await shown(pilot, "verify: corrupt")
        assert old in text
        await pilot.press("i")
        await shown(pilot, "pinned: it is kept for good")
    assert {each.name: each.pinned for each in list_backups(ws.backups)} == {old: True, new: False}


async def test_cleaning_shows_every_reason_then_asks_and_only_then_removes(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = kept(ws, monkeypatch, [400.002, 400.001, 400, 300, 200, 100, 90, 80, 70, 60, 50])
    going = names[:2]
    app = app_of(ws, environment="production")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "X")
        text = await shown(pilot, "Clean: the plan")
        for name in going:
            assert name in text
        assert "no rule keeps it" in " ".join(text.split()) and "keep " in text and "enter Remove them" in text
        await pilot.press("escape")
        await shown(pilot, "clean: left as it was")
        await pilot.press("X")
        await shown(pilot, "Clean: the plan")
        await pilot.press("enter")
        text = await shown(pilot, "[› Cancel ]")
        assert "of 11 (" in text and "Type production to go on" in text
        await pilot.press("right", "enter")
        await shown(pilot, "type production first")
        assert len(list_backups(ws.backups)) == 11
        await pilot.press(*"production", "enter")
        await shown(pilot, "removed")
    left = {each.name for each in list_backups(ws.backups)}
    assert not left & set(going) and names[-1] in left


async def test_nothing_to_clean_is_said_and_the_keys_work_afterwards(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(ws, monkeypatch, [1])
    app = app_of(ws)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "X")
        text = await shown(pilot, "There is nothing to remove")
        assert "enter" not in text
        await pilot.press("enter")
        await shown(pilot, "clean: left as it was")
        await pilot.press("7")
        await shown(pilot, "┏━ 7 Jobs")


async def test_a_rollback_asks_with_the_target_and_runs_in_a_process_of_its_own(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = kept(ws, monkeypatch, [2, 1])
    ran: list[list[str]] = []
    monkeypatch.setattr(publish_actions, "run_verb", lambda _, arguments, output: ran.append(arguments) or "")
    app = app_of(ws, environment="production")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "down", "R")
        text = await shown(pilot, "[› Cancel ]")
        assert f"Roll production back to {old}?" in text and "verified just now" in text
        assert "emergency copy" in text and "You chose it in pane 1" in text
        await pilot.press("enter")
        await shown(pilot, "rollback: left as it was")
        assert ran == []
        await pilot.press("R")
        await shown(pilot, "[› Cancel ]")
        await pilot.press("right", *"productiom", "enter")
        await shown(pilot, "type production first")
        await pilot.press("backspace", "n", "enter")
        await shown(pilot, f"rolled back to {old}")
    assert ran == [["rollback", "--force", "--backup", old, "--reason", "from the console"]]


async def test_a_bad_target_is_told_and_cannot_be_rolled_back_to(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = kept(ws, monkeypatch, [1])
    (ws.backups / name).write_bytes(b"{}")
    monkeypatch.setattr(publish_actions, "run_verb", lambda *_: pytest.fail("it was started"))
    app = app_of(ws)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "R")
        text = await shown(pilot, "Rollback: the target")
        assert "corrupt" in text and "cannot serve" in text
        await pilot.press("enter")
        await shown(pilot, "rollback: left as it was")


async def test_a_rollback_that_fails_says_its_last_words_whole(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(ws, monkeypatch, [1])
    words = (
        "bob holds the library since 2026-11-20T12:00:00Z for a restore of many things (PID 4711). Next: " + "wait " * 9
    )
    script = ws.root / "python"
    script.write_text(f"#!/bin/sh\necho 'mobius: {words}end' >&2\nexit 3\n")
    script.chmod(0o755)
    monkeypatch.setattr(launch.sys, "executable", str(script))
    app = app_of(ws)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "R")
        await shown(pilot, "[› Cancel ]")
        await pilot.press("right", "enter")
        text = await shown(pilot, "end")
        assert "rollback: bob holds the library since" in text and "mobius:" not in text.splitlines()[-3]


async def test_the_preflight_is_shown_before_a_deploy_asks(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from mobius_tui.operations.deploy import preflight as module

    findings = [module.Finding("space", True, "much"), module.Finding("health", False, "no worker", "start one")]
    monkeypatch.setattr(module, "preflight", lambda *_: findings)
    started: list[Any] = []
    monkeypatch.setattr(launch, "start_deploy", lambda *given: started.append(given) or job(id=77))
    app = app_of(ws, environment="production")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("D")
        text = await shown(pilot, "Deploy: preflight")
        assert "bad      health: no worker" in text and "next: start one" in text and "Not now: health" in text
        await pilot.press("enter")
        await shown(pilot, "deploy: left as it was")
        findings.pop()
        await pilot.press("D")
        await shown(pilot, "enter Start deploy")
        await pilot.press("enter")
        await shown(pilot, "Deploy 12,482 images to production?")
        await pilot.press("right", *"production", "enter")
        await shown(pilot, "deploy 77 has begun")
    ((_, _, options, environ, _),) = started
    assert options.reason == "from the console" and not options.force and environ is os.environ


async def test_a_deploy_that_is_refused_says_who_holds_the_library(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mobius_tui.operations.deploy import preflight as module
    from mobius_tui.system.locks import catalogue_lock

    monkeypatch.setattr(module, "preflight", lambda *_: [module.Finding("space", True, "much")])
    app = app_of(ws)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("D")
        await shown(pilot, "enter Start deploy")
        await pilot.press("enter")
        await shown(pilot, "[› Cancel ]")
        with catalogue_lock(ws.catalogue, "bob", "a restore"):
            await pilot.press("right", "enter")
            text = await shown(pilot, "deploy: bob holds the library since")
            assert "a restore" in text and "Next" in text


async def test_unpacking_names_the_folder_and_touches_nothing_live(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = kept(ws, monkeypatch, [1])
    ran: list[list[str]] = []
    monkeypatch.setattr(backup_actions, "run_verb", lambda _, arguments, output: ran.append(arguments) or "")
    app = app_of(ws)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "U")
        text = await shown(pilot, "[› Cancel ]")
        assert f"restored/{name}/" in text
        await pilot.press("right", "enter")
        await shown(pilot, "unpacked into")
    assert ran == [["backup", "restore", name, "--to", str(ws.root / "restored" / name)]]


async def test_what_is_chosen_stays_chosen_while_it_asks(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that comes while the question is open does not become the target."""
    (name,) = kept(ws, monkeypatch, [1])
    ran: list[list[str]] = []
    monkeypatch.setattr(publish_actions, "run_verb", lambda _, arguments, output: ran.append(arguments) or "")
    app = app_of(ws)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "R")
        await shown(pilot, "[› Cancel ]")
        latest = app._source.latest
        app._source.latest = replace(latest, backups=(replace(latest.backups[0], name="newer"), *latest.backups))
        await pilot.press("right", "enter")
        await shown(pilot, "rolled back to")
    assert ran[0][3] == name


@pytest.mark.parametrize("key", ["D", "R", "X", "U", "c", "i", "A", "b"])
async def test_a_read_only_console_knows_none_of_these_keys(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    kept(ws, monkeypatch, [1])
    snapshot = running(store=done().store, backups=tuple(list_backups(ws.backups)), read_only=True)
    app = ConsoleApp(ws, Frozen(snapshot), load_theme("mobius-dark"), now=lambda: NOW, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1")
        await pilot.pause()
        before = screen_text(app)
        await pilot.press(key)
        await pilot.pause()
        assert screen_text(app) == before


def test_every_disabled_action_says_why() -> None:
    empty = running(store=done().store, backups=())
    assert ACTIONS["verify"].able(empty) == "there is no backup yet; b makes one"
    assert ACTIONS["rollback"].able(empty) == "there is no backup to go back to"
    assert "pane 1" in ACTIONS["pin"].able(done())
    assert "pane 1" in ACTIONS["clean"].able(done())
    assert ACTIONS["deploy"].able(deploying()) == "deploy of ada is running"
    assert ACTIONS["migrate"].able(deploying()) == "deploy of ada is running"
    assert ACTIONS["deploy"].able(running()).startswith("migrate 12 of ada is running")
    assert ACTIONS["pause"].able(deploying()) == "a deploy cannot be paused; C ends it"
    assert ACTIONS["rollback"].able(deploying()) is None, "a rollback ends the deploy"
    assert ACTIONS["rollback"].able(rolling_back()) == "rollback of bob is running"
    assert ACTIONS["rollback"].able(replace(done(), problem="disk I/O error")) is None, "it needs no database"
    assert ACTIONS["deploy"].able(replace(done(), problem="disk I/O error")) == "disk I/O error"
    assert ACTIONS["answer"].able(deploying()) == "no deploy asks anything"


def test_a_deploy_that_asks_is_answered_after_a_question() -> None:
    asking = deploying(
        state="paused", summary={"steps": steps("migrate", "running"), "question": "900 pairs would wait"}
    )
    assert "900 pairs would wait: A answers" in drawn(asking)
    assert ACTIONS["answer"].able(asking) is None
    assert ACTIONS["answer"].question(asking).title == "900 pairs would wait: publish it?"
    assert ACTIONS["answer"].question(replace(asking, environment="production")).typed == "production"


def test_the_footer_speaks_of_the_pane_and_of_the_pin() -> None:
    first = replace(done(), pane="Backups", chosen=done().backups[0].name)
    assert label_of(ACTIONS["pin"], first) == "unpin"
    assert label_of(ACTIONS["pin"], replace(first, chosen=done().backups[1].name)) == "pin"
    names = [action.name for action in footer_actions(registry(), first)]
    assert names[:3] == ["verify", "pin", "restore"]
    assert "verify" not in [action.name for action in footer_actions(registry(), done())]


def drawn(snapshot: Snapshot, width: int = 76, height: int = 18) -> str:
    view = view_of_publication(snapshot)
    lines = view.head(snapshot, width, height, UNICODE)
    lines += [view.line(item, width, UNICODE, snapshot) for item in view.items(snapshot)]
    return "\n".join(plain(line) for line in lines)


def test_each_step_has_time_state_duration_and_reason() -> None:
    text = drawn(deploying())
    assert "12:02:06 ✓ backup      done      2.4 s  library.json.bak.20261120T120204Z" in text
    assert "▶ smoke       runs       0:55  limit 5:00" in text
    assert "· finish      waits" in text
    text = drawn(deploy_failed())
    assert "✗ rolled back" in text and "what was live before is live again" in text
    assert "! swap        undone" in text and "✗ smoke       failed    4.1 s  2 of 8 smoke" in text
    assert drawn(rolling_back()).startswith("ROLLBACK  ▶ running  0:04  by bob")


def harmless(text: str) -> bool:
    return not {unicodedata.category(character) for character in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.text(min_size=1, max_size=30),
                "state": st.sampled_from(["waiting", "running", "done", "x\x1b"]),
            },
            optional={
                "began": st.none() | st.floats() | st.text(max_size=3),
                "ended": st.none() | st.floats(0, 2e9),
                "reason": st.none() | st.text(max_size=90),
                "limit_s": st.none() | st.floats() | st.booleans(),
            },
        ),
        max_size=14,
    ),
    st.integers(20, 200),
    st.integers(1, 40),
    st.sampled_from([UNICODE, ASCII]),
    st.sampled_from(["queued", "running", "interrupted", "done", "failed", "of a later version"]),
)
def test_any_steps_are_drawn_in_any_size(
    rows: list[dict[str, object]], width: int, height: int, glyphs: Any, state: str
) -> None:
    snapshot = deploying(state=state, summary={"steps": rows, "outcome": "\x1b[2J", "reason": "a\nb"}, error="\u202e")
    for view in (DEPLOY, ROLLBACK):
        assert all(harmless(plain(line)) for line in view.head(snapshot, width, height, glyphs))
        items = view.items(snapshot)
        assert 0 <= view.now(items) <= max(0, len(items) - 1)
        for item in items:
            line = view.line(item, width, glyphs, snapshot)
            assert harmless(plain(line))
            assert width < 50 or width_of(line) <= width
            assert all(harmless(text) for pair in view.detail(item, snapshot) for text in pair)
    assert view_of_publication(snapshot) is DEPLOY


def test_a_deploy_stands_in_the_migrations_place_for_an_hour() -> None:
    assert shows_publication(deploying())
    ended = deploy_done()
    assert shows_publication(ended)
    assert not shows_publication(replace(ended, at=NOW + JUST_S))
    later = job(id=20, state="running", requested_at=NOW + 5, started_at=NOW + 5)
    assert not shows_publication(running(store=store(jobs=(later, *ended.jobs))))
    only = running(store=store(jobs=(deploy_job(state="done", finished_at=NOW - 9e4, requested_at=NOW - 9.1e4),)))
    assert shows_publication(only), "there is no migration to show instead"
    assert not shows_publication(done())
    refused = running(store=store(jobs=(deploy_job(state="refused"), *done().jobs)))
    assert not shows_publication(refused), "nothing was begun"


def test_the_journal_tells_where_the_row_cannot() -> None:
    told = replace(rolling_back().journal, run_id=RUN, kind="deploy", state="rolled back", ended=NOW - 1, error="why")
    cut_off = replace(deploying(state="interrupted"), journal=told)
    found = publication_of(cut_off)
    assert found.state == "rolled back" and found.error == "why" and found.job is not None
    without_steps = replace(deploying(summary={}), journal=told)
    assert publication_of(without_steps).steps == told.steps
    assert publication_of(replace(deploying(), journal=told)).steps[0].name == "preflight"


def test_journals_are_followed_while_they_are_written(ws: Workspace) -> None:
    reader = JournalReader(ws)
    assert reader.look() is None
    journal = Journal.create(
        ws.state / "deploy", "deploy-20261120T120000Z", kind="deploy", who="ada", token=process_token()
    )
    journal.note("step", step="backup", state="running", limit_s=60)
    first = reader.look()
    assert (first.state, first.who, [step.name for step in first.steps]) == ("running", "ada", ["backup"])
    assert reader.look() is first or reader.look() == first
    journal.note("step", step="backup", state="done", reason="kept")
    assert reader.look().steps[0].state == "done"
    second = Journal.create(
        ws.state / "deploy", "rollback-20261120T120001Z", kind="rollback", who="bob", token="boot:1:1"
    )
    assert (reader.look().kind, reader.look().state) == ("rollback", "interrupted"), "its process is gone"
    second.note("restore", state="kept", emergency="/x/emergency/library.json.bak.20261120T120001Z")
    second.note("step", step="worker", state="running")
    assert [step.state for step in reader.look().steps] == ["done", "cut off"]
    second.note("end", state="done", exit_code=0, reason="the backup is live")
    last = reader.look()
    assert (last.state, last.exit_code, last.said, last.active) == ("done", 0, "the backup is live", False)
    assert last.steps[0].reason.endswith("library.json.bak.20261120T120001Z")
    journal.close()
    second.close()
    assert publication_of_journal("x", replace(read_journal(second.path), records=[])) is None


def test_the_poller_shows_a_rollback_without_a_database(ws: Workspace) -> None:
    now = [1000.0]
    poller = Poller(ws, read_only=True, now=lambda: now[0])
    journal = Journal.create(
        ws.state / "deploy", "rollback-20261120T120001Z", kind="rollback", who="bob", token=process_token()
    )
    found = poller.look()
    assert found.problem and found.journal is not None and shows_publication(found)
    assert poller.look() is found, "nothing moved"
    now[0] += 1.5
    assert poller.look().at == 1001.5, "the seconds of its step go on"
    journal.note("end", state="done", exit_code=0)
    assert poller.look().journal.state == "done"
    journal.close()
    last = poller.look()
    now[0] += 5
    assert poller.look() is last, "nothing runs any more"


def test_a_verb_of_its_own_process_is_judged_by_its_exit_code(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ws.root / "python"
    for code, words in ((0, ""), (2, "mobius: the backup is corrupt"), (7, "")):
        script.write_text(f"#!/bin/sh\necho '{words}'\nexit {code}\n")
        script.chmod(0o755)
        monkeypatch.setattr(launch.sys, "executable", str(script))
        if not code:
            assert publish_actions.run_verb(ws, ["rollback"], "x.out") == ""
            continue
        with pytest.raises(ProcessingFailed, match=r"is corrupt|exit code 7"):
            publish_actions.run_verb(ws, ["rollback"], "x.out")
    script.write_text("#!/bin/sh\nexec sleep 5\n")
    monkeypatch.setattr(publish_actions, "LONGEST_S", 0.2)
    began = time.monotonic()
    assert "goes on" in publish_actions.run_verb(ws, ["rollback"], "x.out")
    assert time.monotonic() - began < 60
    monkeypatch.setattr(launch.sys, "executable", "/nowhere/python")
    with pytest.raises(EnvironmentFailed):
        publish_actions.run_verb(ws, ["rollback"], "x.out")


def test_backups_are_told_apart_where_there_is_room() -> None:
    from mobius_tui.console.views.backups import BACKUPS

    full = replace(backup(1, reason="nightly"), name="dhash_20261120T120000Z.zip.age", kind="full", encrypted=True)
    wide = plain(BACKUPS.line(full, 76, UNICODE, running()))
    assert full.name in wide and "full encrypted" in wide and "nightly" in wide and len(wide.rstrip()) <= 76
    for each in (full, replace(full, pinned=True)):
        assert width_of(BACKUPS.line(each, 29, UNICODE, running())) <= 29
