"""The worker notices soon that an operation was cut off, and looks at next to nothing when none was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mobius_tui.logs import JsonLog
from mobius_tui.recovery.journal import JOURNALS, Journal, open_journals
from mobius_tui.system.processes import process_token
from mobius_tui.worker import recovery as module
from mobius_tui.worker.recovery import Recovery
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

RUN = "deploy-20261120T120000Z"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path / "ws")
    return open_workspace(tmp_path / "ws", {}, {}, "ada")


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Each listing of the journals that a glance makes."""
    made: list[Path] = []
    monkeypatch.setattr(module, "open_journals", lambda folder: (made.append(folder), open_journals(folder))[1])
    return made


def begun(ws: Workspace, token: str, run: str = RUN, live: Path | None = None) -> Journal:
    head = {"kind": "deploy", "who": "bob", "live": str(live or ws.catalogue), "options": {}, "token": token}
    return Journal.create(ws.state / JOURNALS, run, **head)


def glanced(recovery: Recovery) -> None:
    recovery.glance()
    assert recovery.join(60)


def made(ws: Workspace) -> Recovery:
    return Recovery(ws, JsonLog(ws.logs / "service.log"))


def said(ws: Workspace) -> list[str]:
    path = ws.logs / "service.log"
    return [json.loads(line)["message"] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_glance_costs_a_stat_when_nothing_begins(ws: Workspace, listings: list[Path]) -> None:
    recovery = made(ws)
    glanced(recovery)  # there is no folder yet
    journal = begun(ws, process_token())
    journal.note("end", state="done", exit_code=0)
    journal.close()
    for _ in range(5):
        glanced(recovery)
    assert len(listings) == 1, "the folder is read when it has changed, and not again"
    assert said(ws) == []


def test_a_killed_operation_is_brought_to_rest_by_the_next_glance(ws: Workspace, listings: list[Path]) -> None:
    recovery = made(ws)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        begun(ws, process_token(other.pid)).close()
        for _ in range(4):
            glanced(recovery)
        assert len(listings) == 1 and said(ws) == [], "its process lives: nothing is read again, nothing is done"
        assert open_journals(ws.state / JOURNALS)
        other.kill()
    glanced(recovery)
    assert open_journals(ws.state / JOURNALS) == []
    assert any(f"{RUN} was cut off" in text for text in said(ws))


def test_one_that_ends_well_is_left_alone(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(module, "recover", lambda *_: looks.append(1))
    recovery = made(ws)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        journal = begun(ws, process_token(other.pid))
        glanced(recovery)
        journal.note("end", state="done", exit_code=0)
        journal.close()
    glanced(recovery)
    assert looks == []


def defect(*_: object) -> None:
    raise ValueError("a defect")


def nothing(_: Workspace, say: Callable[[str], None]) -> None:
    say("it is left alone")


@pytest.mark.parametrize("look", [defect, nothing])
def test_what_cannot_be_brought_to_rest_is_tried_by_each_look_and_told_once(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch, look: Callable[..., None]
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(module, "recover", lambda *given: (looks.append(1), look(*given))[1])
    begun(ws, "boot:1:1").close()
    recovery = made(ws)
    for _ in range(4):
        glanced(recovery)
    assert len(looks) == 1, "a glance leaves it to the next look"
    recovery.begin()
    assert recovery.join(60)
    assert len(looks) == 2 and len(said(ws)) == 1
    begun(ws, "boot:1:1", run="deploy-20261120T130000Z").close()
    glanced(recovery)
    assert len(looks) == 3, "but another one that was cut off is not made to wait"
