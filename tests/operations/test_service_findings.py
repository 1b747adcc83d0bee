"""What doctor says about the service: reach, key, guard, losses of the log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mobius_tui.logs import LOST, JsonLog
from mobius_tui.notifications.items import Item, State, add_item, outbox_of
from mobius_tui.notifications.message import Notification, body_of
from mobius_tui.operations import service_findings
from mobius_tui.operations.machine import Finding
from mobius_tui.operations.service_findings import examine_service
from mobius_tui.settings import load_settings
from mobius_tui.workspace import Workspace

Opened = Callable[..., Workspace]
KEY = "hunter2hunter2hunter2"


def found(ws: Workspace) -> dict[str, Finding]:
    return {finding.topic: finding for finding in examine_service(ws)}


@pytest.mark.parametrize(("host", "key", "state"), [("0.0.0.0", "", "warning"), ("0.0.0.0", KEY, "note")])
def test_a_host_beyond_loopback(make_workspace: Opened, host: str, key: str, state: str) -> None:
    finding = found(make_workspace(0, host=host, internal_api_key=key))["http"]
    assert finding.state == state and "others may reach it" in finding.said and KEY not in str(finding)
    assert ("openssl rand" in finding.fix) == (not key)


def test_loopback_without_a_worker_says_nothing(make_workspace: Opened) -> None:
    assert "http" not in found(make_workspace(0))


def test_the_key_and_where_it_stands(make_workspace: Opened, tmp_path: Path) -> None:
    assert found(make_workspace(0))["API key"].state == "note"
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    ws = make_workspace(0, "second", internal_api_key_file=str(file))
    finding = found(ws)["API key"]
    assert finding.state == "problem" and finding.fix.startswith("chmod 600")
    file.chmod(0o600)
    assert found(ws)["API key"].state == "ok"
    file.unlink()
    assert found(ws)["API key"].state == "warning"


@pytest.mark.parametrize("variable", ["INTERNAL_API_KEY", "MOBIUS_INTERNAL_API_KEY"])
def test_a_key_of_the_environment_alone_reaches_not_everybody(make_workspace: Opened, variable: str) -> None:
    ws = make_workspace(0)
    ws = Workspace(ws.root, load_settings(ws.root, {"port": 5001}, {variable: KEY}), "tester")
    finding = found(ws)["API key"]
    assert finding.state == "note" and f"{variable} alone" in finding.said
    assert f"printenv {variable}" in finding.fix and "internal_api_key_file" in finding.fix
    assert KEY not in str(finding)
    assert "authorization" in found(ws)["prometheus"].said


def test_a_key_in_a_file_of_settings_that_others_read(make_workspace: Opened) -> None:
    ws = make_workspace(0)
    toml = ws.root / "mobius.toml"
    toml.write_text(f'internal_api_key = "{KEY}"\n')
    toml.chmod(0o644)
    ws = Workspace(ws.root, load_settings(ws.root, {}, {}), "tester")
    finding = found(ws)["API key"]
    assert finding.state == "warning" and finding.fix == f"chmod 600 {toml}" and KEY not in finding.said
    toml.chmod(0o600)
    assert found(ws)["API key"].state == "ok"


def test_what_the_log_lost_in_a_day(make_workspace: Opened) -> None:
    ws = make_workspace(0)
    for days, lost in ((2, 100), (0, 12), (0, 3)):
        at = datetime.now(UTC) - timedelta(days=days)
        log = JsonLog(ws.logs / "service.log", now=lambda at=at: at)  # type: ignore[misc]
        log.write("warning", "log", LOST, "x", fields={"lost": lost})
    finding = found(ws)["logs"]
    assert finding.state == "warning" and finding.said.startswith("15 records of the service log lost")


class Watch:
    run, state, ready = "watch-20261120T120000Z", "running", "start"


@pytest.mark.parametrize(("ready", "state"), [("start", "problem"), ("wait", "note")])
def test_a_watch_without_its_guard(
    make_workspace: Opened, monkeypatch: pytest.MonkeyPatch, ready: str, state: str
) -> None:
    watch = Watch()
    watch.ready = ready
    monkeypatch.setattr(service_findings, "open_watch", lambda _: watch)
    finding = found(make_workspace(0))["guard"]
    assert finding.state == state and watch.run in finding.said


def kept(ws: Workspace, state: State, problem: str = "", *, repeats: bool = False) -> None:
    number = f"{len(list(outbox_of(ws).glob('*.json'))):08x}"
    notification = Notification("alert", "critical" if repeats else "info", "sre", "title", "sentence", at=1.0)
    body = body_of(notification, number, "host", str(ws.root))
    assert add_item(ws, Item(number, state, body, repeats=repeats, created=1.0, problem=problem))


def told(ws: Workspace) -> list[Finding]:
    return [finding for finding in examine_service(ws) if finding.topic == "notify"]


def test_an_outbox_where_all_went_out_is_no_finding(make_workspace: Opened) -> None:
    ws = make_workspace(0)
    assert told(ws) == []
    kept(ws, "delivered")
    kept(ws, "acknowledged", repeats=True)
    assert told(ws) == []


def test_notifications_that_reach_nobody(make_workspace: Opened) -> None:
    ws = make_workspace(0)
    kept(ws, "pending")
    kept(ws, "pending", "refused by \x1b[31mhook")
    kept(ws, "failed", "given up")
    (finding,) = told(ws)
    assert finding.state == "warning" and finding.said.startswith("2 notifications not delivered: refused by ")
    assert "\x1b" not in finding.said and "mobius alerts test" in finding.fix


def test_notifications_that_were_dropped(make_workspace: Opened) -> None:
    ws = make_workspace(0)
    kept(ws, "delivered")
    (outbox_of(ws) / "dropped").write_text("7\n")
    (finding,) = told(ws)
    assert finding.state == "warning" and finding.said == "7 notifications dropped for want of room"


def test_notifications_that_nobody_has_acknowledged(make_workspace: Opened) -> None:
    ws = make_workspace(0)
    kept(ws, "repeating", repeats=True)
    (finding,) = told(ws)
    assert finding.state == "note" and finding.said.startswith("1 critical notification that nobody has acknowledged")
    assert finding.fix == "mobius alerts"


def test_an_outbox_that_cannot_be_read(make_workspace: Opened) -> None:
    ws = make_workspace(0)
    outbox_of(ws).write_text("no folder")
    (finding,) = told(ws)
    assert finding.state == "warning" and finding.said == "the outbox cannot be read: Not a directory"
    assert str(outbox_of(ws)) in finding.fix
