"""Run logs go after 90 days, unless their run goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.operations.run_logs import KEPT_S, KINDS, forget_run_logs, old_run_logs
from mobius_tui.recovery.journal import Journal
from mobius_tui.workspace import Workspace

DAY = 86_400.0
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


def stamp(age_days: float) -> str:
    return datetime.fromtimestamp(NOW - age_days * DAY, UTC).strftime("%Y%m%dT%H%M%SZ")


def lay(ws: Workspace, name: str, age_days: float) -> None:
    path = ws.logs / name
    path.write_text("{}\n")
    os.utime(path, (NOW - age_days * DAY,) * 2)


def test_only_old_run_logs_go_and_reports_stay(make_workspace: Callable[..., Workspace]) -> None:
    ws = make_workspace(0)
    old, young = stamp(91), stamp(89)
    for kind in KINDS:
        lay(ws, f"{kind}-{old}.log", 91)
        lay(ws, f"{kind}-{young}.log", 89)
    others = [f"watch-{old}.report.md", f"watch-{old}.report.json", f"dry-run-{old}.json", "service.log",
              "service.log.3", f"notes-{old}.log", f"deploy-{old}.log.bak", "README.md"]  # fmt: skip
    for name in others:
        lay(ws, name, 400)
    lay(ws, f"deploy-{stamp(200)}.log", 1)  # written to yesterday
    lay(ws, f"migration-{stamp(1)}.log", 200)  # its clock was wrong
    (ws.logs / f"backup-{stamp(300)}.log").mkdir()
    (ws.logs / f"backup-{stamp(301)}.log").symlink_to(ws.logs / "service.log")
    before = {path.name for path in ws.logs.iterdir()}
    gone = forget_run_logs(ws, (), NOW)
    assert sorted(gone) == sorted(f"{kind}-{old}.log" for kind in KINDS)
    assert {path.name for path in ws.logs.iterdir()} == before - set(gone)


def test_those_of_an_open_deploy_watch_or_job_stay(make_workspace: Callable[..., Workspace]) -> None:
    ws = make_workspace(0)
    runs = {folder: f"{folder}-{stamp(100)}" for folder in ("deploy", "watch")}
    for folder, run in runs.items():
        Journal.create(ws.state / folder, run, kind=folder).close()
    ended = f"deploy-{stamp(120)}"
    journal = Journal.create(ws.state / "deploy", ended, kind="deploy")
    journal.note("end", state="done")
    journal.close()
    paused = f"migration-{stamp(95)}"
    for run in (*runs.values(), ended, paused):
        lay(ws, f"{run}.log", 95)
    assert forget_run_logs(ws, {paused}, NOW) == [f"{ended}.log"]


def test_a_workspace_without_a_folder_of_logs(make_workspace: Callable[..., Workspace]) -> None:
    ws = make_workspace(0)
    for path in ws.logs.iterdir():
        path.unlink()
    ws.logs.rmdir()
    assert forget_run_logs(ws, (), NOW) == []


@given(st.text(max_size=40), st.floats(0, 1000))
def test_no_other_name_is_taken_for_a_run_log(name: str, age: float) -> None:
    assert old_run_logs([name], {name: NOW - age * DAY}, keep=(), now=NOW) == []


@given(st.sampled_from(KINDS), st.integers(0, 400), st.integers(0, 400))
def test_the_younger_of_both_times_decides(kind: str, began: int, touched: int) -> None:
    name = f"{kind}-{stamp(began)}.log"
    gone = old_run_logs([name], {name: NOW - touched * DAY}, keep=(), now=NOW)
    assert gone == ([name] if min(began, touched) * DAY > KEPT_S else [])
