"""The keys of the watch and of the alerts: what each asks, when it does nothing, and that a real guard hears them."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from console_states import NOW, Frozen, console, done, running, workspace
from ending import kill_holder
from publish_states import deploying
from watch_states import (
    ALERTS,
    alert,
    alerts_raised,
    rule,
    watch,
    watch_canary,
    watch_failing,
    watch_rolled_back,
    watch_undecided,
    watching,
)
from worker_process import make_workspace, until

from mobius_tui.console.actions import footer_actions, label_of, registry
from mobius_tui.console.application import ConsoleApp
from mobius_tui.console.glyphs import UNICODE
from mobius_tui.console.lines import plain
from mobius_tui.console.poller import Poller
from mobius_tui.console.snapshot import JUST_S, Snapshot, way_is_free
from mobius_tui.console.themes import load_theme
from mobius_tui.console.views.header import header_line
from mobius_tui.errors import BadInput
from mobius_tui.guard.files import journal_path, records_of
from mobius_tui.guard.launch import begin_watch, guard_holder
from mobius_tui.guard.model import Baseline, Plan
from mobius_tui.operations import watching as operations
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import read_history
from mobius_tui.store.alerts import list_alerts, write_alert
from mobius_tui.store.database import open_database
from mobius_tui.store.snapshot import read_snapshot
from mobius_tui.store.watches import write_watch
from mobius_tui.system import clock
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, init_workspace

ACTIONS = {action.name: action for action in registry()}
KEYS = {"accept": "Y", "extend": "E", "snapshot": "S", "auto": "T"}


def header(snapshot: Snapshot, width: int = 160, now: float = NOW) -> str:
    return plain(header_line(snapshot, now, width, UNICODE))


def screen_text(app: ConsoleApp) -> str:
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in lines)


async def shown(pilot: Any, text: str) -> str:
    for _ in range(3000):
        if text in screen_text(pilot.app):
            return screen_text(pilot.app)
        await pilot.pause(0.01)
    raise AssertionError(f"{text!r} is not shown:\n{screen_text(pilot.app)}")


def test_every_disabled_key_says_why() -> None:
    for name in KEYS:
        able = ACTIONS[name].able
        assert able(running()) == "no watch is on"
        assert able(watch_rolled_back()) == "no watch is on"
        assert able(watching()) == "give the keys to pane 5 first"
        assert able(replace(watching(), pane="Watch")) is None
        assert "its deploy" in str(able(replace(watch_canary(), pane="Watch")))
        assert "not begun" in str(able(replace(watching(state="planned"), pane="Watch")))
        assert "rolling back" in str(able(replace(watching(state="rolling back"), pane="Watch")))
    over = replace(watch_undecided(), pane="Watch")
    assert ACTIONS["accept"].able(over) is None and ACTIONS["extend"].able(over) is None
    assert "E extends" in str(ACTIONS["auto"].able(over))
    assert "its watch follows it" in str(ACTIONS["watch"].able(deploying()))
    assert ACTIONS["acknowledge"].able(running()) == "no alert is raised"
    assert ACTIONS["acknowledge"].able(alerts_raised()) is None
    assert ACTIONS["acknowledge"].able(replace(alerts_raised(), alert="queue")) == "bob has seen queue"


def test_deploy_and_migration_say_who_watches_until_when() -> None:
    assert way_is_free(watching()) == "a watch of ada is on until 12:45 UTC"
    assert "until 12:45" in str(ACTIONS["deploy"].able(watching())) and ACTIONS["dry_run"].able(watching()) is None
    assert way_is_free(watching(until_at=NOW - 1)) is None
    assert way_is_free(watch_undecided()) is None
    assert way_is_free(watch_rolled_back()) is None


def test_the_footer_shows_the_watchs_keys_first_in_its_pane() -> None:
    shown_ = [action.name for action in footer_actions(registry(), replace(watching(), pane="Watch"))]
    assert shown_[:5] == ["accept", "extend", "snapshot", "auto", "rollback"]
    assert "watch" not in shown_
    assert label_of(ACTIONS["auto"], watching()) == "auto off"
    assert label_of(ACTIONS["auto"], watching(auto=False)) == "auto on"
    assert "watch" in [action.name for action in footer_actions(registry(), done())]


def test_questions_tell_what_the_rules_say_and_want_production_typed(tmp_path: Path) -> None:
    question = ACTIONS["accept"].question
    assert question is not None
    assert question(watch_failing()).typed == "production"
    assert question(watch_failing()).lines[0] == "The rules say: failures fail."
    assert question(watching()).typed == ""
    plan = ACTIONS["auto"].plan
    assert plan is not None
    asked = plan(workspace(_made(tmp_path)), watch_failing()).question
    assert asked is not None and asked.typed == "production" and asked.title.endswith("on?")


def _made(root: Path) -> Path:
    init_workspace(root)
    return root


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object]]]:
    """What was asked of the watch, instead of a guard."""
    calls: list[tuple[str, dict[str, object]]] = []

    def ask(_: Workspace, act: str, *, reason: str = "", **facts: object) -> str:
        calls.append((act, facts))
        if act == "snapshot":
            raise BadInput("it is rolling back")
        return f"done \x1b[2J by {reason}"

    monkeypatch.setattr(operations, "ask_watch", ask)
    return calls


async def test_keys_ask_the_guard_and_say_its_answer(asked: list[tuple[str, dict[str, object]]]) -> None:
    async with console(watching()).run_test(size=(80, 24)) as pilot:
        await pilot.press("E")
        await shown(pilot, "extend: not now: give the keys to pane 5 first")
        await pilot.press("w", "E")
        await shown(pilot, r"extend: done \x1b[2J by from the console")
        await pilot.press("S")
        await shown(pilot, "snapshot: it is rolling back")
        await pilot.press("Y", "enter")
        await shown(pilot, "accept: left as it was")
        assert [act for act, _ in asked] == ["extend", "snapshot"]
        await pilot.press("Y", "right", "enter")
        await shown(pilot, "accept: done")
        await pilot.press("T", "right", "enter")
        await shown(pilot, "auto: done")
    assert asked == [
        ("extend", {"seconds": 900.0}), ("snapshot", {"name": ""}), ("accept", {}), ("auto", {"on": False}),
    ]  # fmt: skip


async def test_in_production_accepting_wants_its_name_typed(asked: list[tuple[str, dict[str, object]]]) -> None:
    async with console(watch_failing()).run_test(size=(80, 24)) as pilot:
        await pilot.press("5", "Y", "right", "enter")
        await shown(pilot, "type production first")
        assert asked == []
        await pilot.press(*"production", "enter")
        await shown(pilot, "accept: done")
    assert [act for act, _ in asked] == ["accept"]


async def test_auto_does_what_was_asked_whatever_somebody_turned_meanwhile(
    asked: list[tuple[str, dict[str, object]]],
) -> None:
    app = console(watching(auto=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5", "T")
        await shown(pilot, "Turn automatic rollback of development off?")
        app._source.latest = watching(auto=False)
        await pilot.press("right", "enter")
        await shown(pilot, "auto: done")
    assert asked == [("auto", {"on": False})]


async def test_without_a_watch_w_asks_and_starts_one_without_automatic_rollback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[Any] = []

    def start(ws: Workspace, options: Any, environ: Any, env_name: str | None) -> tuple[Any, bool]:
        begun.append(options)
        raise BadInput("nothing is live")

    monkeypatch.setattr(operations, "start_watch", start)
    async with console(done()).run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        text = await shown(pilot, "Start a watch of what is live in development?")
        assert "It lasts 60 min and measures every 1 min" in text and "Automatic rollback is off" in text
        await pilot.press("enter")
        await shown(pilot, "watch: left as it was")
        assert begun == []
        await pilot.press("w")
        await shown(pilot, "Start a watch")
        await pilot.press("right", "enter")
        await shown(pilot, "watch: nothing is live")
    assert [(options.auto, options.reason) for options in begun] == [(False, "from the console")]


async def test_a_read_only_console_has_none_of_these_keys(asked: list[tuple[str, dict[str, object]]]) -> None:
    app = console(replace(watching(alerts=ALERTS), read_only=True))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await pilot.pause()
        assert app._main.active.view.number == 2
        await pilot.press("5", "E", "S", "T", "Y", "K")
        await pilot.pause()
        text = screen_text(app)
        assert "accept  " not in text.splitlines()[-1] and "Turn automatic" not in text
        assert "RUNNING" in text
    assert asked == []


async def test_on_a_wide_screen_the_rules_stand_in_the_place_of_the_metrics() -> None:
    app = console(watching())
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        text = screen_text(app)
        assert "5 Rules" in text and "3 Metrics" not in text and "max 10.0%" in text
        await pilot.press("3")
        text = await shown(pilot, "3 Metrics")
        assert "5 Rules" not in text and "avg hash" in text
        await pilot.press("5")
        text = await shown(pilot, "5 Watch")
        assert "3 Metrics" in text and "1 Backups" not in text and "6 Logs" in text
        assert "✓ failures      0.4%    10.0%     0.5%" in text
        await pilot.press("1")
        await shown(pilot, "1 Backups")
        app._source.latest = replace(watch_rolled_back(), at=NOW + JUST_S)
        app.tick()
        text = await shown(pilot, "3 Metrics")
        assert "5 Rules" not in text


async def test_a_new_measurement_paints_only_what_changed() -> None:
    app = console(watching())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("5")
        await pilot.pause()
        painted: list[Any] = []
        for widget in app.screen.query("Painted"):
            widget.refresh = lambda *regions, **_: painted.append(regions)  # type: ignore[method-assign]
        app._source.latest = replace(watching(), at=NOW + 5)
        app.tick()
        assert painted == []
        app._source.latest = watching(changed=(rule("queue", value=42.0, margin=0.698),))
        app.tick()
        assert 0 < sum(region.area for regions in painted for region in regions) < 40


async def test_acknowledging_is_written_and_said_and_means_the_alert_under_the_cursor(tmp_path: Path) -> None:
    ws = workspace(_made(tmp_path))
    with contextlib.closing(open_database(ws.database)) as connection:
        for row in (*ALERTS[1:], alert("queue", "info")):
            write_alert(connection, row)
        app = ConsoleApp(ws, Frozen(running(store=read_snapshot(connection, NOW))), load_theme("mobius-dark"))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("3", "down", "K")
            await shown(pilot, "acknowledged: queue")
            assert [row.name for row in list_alerts(connection) if row.acknowledged_by] == ["queue"]
            await pilot.press("2", "K")
            await shown(pilot, "acknowledged: failures")
            await pilot.press("K")
            await shown(pilot, "somebody else has just acknowledged it")
    assert [act["act"] for act in read_history(ws.state)] == ["acknowledge queue", "acknowledge failures"]


# ------------------------------------------------------------------------------------------------- the guard's process


def test_the_poller_sees_the_guard_die_although_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mobius_tui.console import poller as module

    ws = workspace(_made(tmp_path))
    alive = {"guard": True}
    monkeypatch.setattr(module, "ALIVE_S", 0.0)
    monkeypatch.setattr(module, "is_alive", lambda _: alive["guard"])
    now = clock.now()
    with contextlib.closing(open_database(ws.database)) as connection:
        write_watch(connection, watch(until_at=now + 60, token=process_token()))
    poller = Poller(ws, now=lambda: now)
    assert poller.look().guard_alive
    first = poller.look()
    assert poller.look() is first
    alive["guard"] = False
    assert not poller.look().guard_alive
    assert "guard ○ dead" in header(poller.latest)
    now += 1.5  # its last two minutes are counted in seconds
    assert poller.look() is not first
    assert poller.latest.at == now


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Workspace]:
    """A published workspace with a watch by a real guard; no service answers."""
    ws = make_workspace(tmp_path / "ws", 2, "port = 0\nprobe_images = 0\n", parallel=1)
    entries = [{"path": f"p{n:03}.png", "dhash": f"{n:016x}", "dhash_confidence": 0.9, "dhash_status": "ok"}
               for n in range(2)]  # fmt: skip
    ws.catalogue.write_text(json.dumps({"images": entries}))
    baseline = Baseline(entries=2, with_dhash=2, queue=0, published=sha256_file(ws.catalogue))
    plan = Plan(
        f"watch-{clock.stamp(clock.now())}", who="ann", interval_s=60.0, live=str(ws.catalogue), baseline=baseline
    )
    with contextlib.closing(open_database(ws.database)):
        pass
    begin_watch(ws, plan, os.environ, wait_s=60.0)
    try:
        yield ws
    finally:
        deadline = time.monotonic() + 30.0
        while (holder := guard_holder(ws)) is not None and time.monotonic() < deadline:
            kill_holder(holder)
            time.sleep(0.05)


@pytest.mark.timeout(280)
async def test_a_real_guard_does_what_the_keys_ask(guarded: Workspace) -> None:
    app = ConsoleApp(guarded, Poller(guarded), load_theme("mobius-dark"))
    async with app.run_test(size=(100, 30)) as pilot:
        await shown(pilot, "guard ● 60 min left")
        await pilot.press("5", "E")
        await shown(pilot, "guard ● 75 min left")
        await pilot.press("T")
        await shown(pilot, "Turn automatic rollback of development on?")
        await pilot.press("right", "enter")
        await shown(pilot, "auto rollback on")
        await pilot.press("Y")
        await shown(pilot, "[  Accept ]")
        await pilot.press("right", "enter")
        await shown(pilot, "✓ ACCEPTED")
        text = await shown(pilot, ".report.md")
        assert "decided by" in text and "from the console" in text
    (path,) = guarded.logs.glob("*.report.md")
    wishes = [each["act"] for each in records_of(journal_path(guarded, path.name.removesuffix(".report.md")))
              if each["what"] == "wish"]  # fmt: skip
    assert wishes == ["extend", "auto", "accept"]
    until(lambda: guard_holder(guarded) is None, "the guard has ended")
