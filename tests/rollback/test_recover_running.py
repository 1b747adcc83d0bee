"""A journal whose process lives is not taken for one that was cut off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mobius_tui.recovery.journal import JOURNALS, Journal, open_journals, read_journal
from mobius_tui.rollback.recover import recover
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

RUN = "rollback-20261120T120000Z"


def begun(root: Path, token: str) -> tuple[Workspace, Journal]:
    init_workspace(root)
    ws = open_workspace(root, {}, {}, "ada")
    head = {"kind": "rollback", "who": "bob", "live": str(ws.catalogue), "token": token}
    return ws, Journal.create(ws.state / JOURNALS, RUN, **head)


def test_a_rollback_that_still_runs_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ws, journal = begun(tmp_path, process_token(other.pid))
        said: list[str] = []
        assert recover(ws, said.append) == []
        assert said == [] and open_journals(ws.state / JOURNALS) == [journal.path]
        journal.note("step", step="worker", state="running")
        assert [record["what"] for record in read_journal(journal.path).records] == ["begin", "step"]
    settled = recover(ws, said.append)
    assert [one.run for one in settled] == [RUN] and "was cut off" in said[0]
    assert open_journals(ws.state / JOURNALS) == []
    journal.close()


def test_ones_own_and_nameless_ones_are_brought_to_rest(tmp_path: Path) -> None:
    for number, token in enumerate((process_token(), "", "boot:1:1")):
        ws, journal = begun(tmp_path / str(number), token)
        journal.close()
        assert [one.run for one in recover(ws, lambda _: None)] == [RUN]
