"""A journal that names another catalogue than the workspace's makes nobody write or delete there."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from mobius_tui.recovery.atomic import ABSENT
from mobius_tui.recovery.journal import JOURNALS, Journal, open_journals
from mobius_tui.recovery.staging import staged_path
from mobius_tui.rollback.recover import recover
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

RUN = "deploy-20261120T100000Z"
OLD, NEW = b'{"images": []}', b'{"images": [], "new": 1}'


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def workspace(root: Path, live: bytes) -> Workspace:
    init_workspace(root)
    ws = open_workspace(root, {}, {}, "ada")
    ws.catalogue.write_bytes(live)
    return ws


def cut_off(ws: Workspace, live: Path, kind: str, before: str, after: str, **options: object) -> None:
    """The journal of a process that is dead, in the middle of publishing to ``live``."""
    folder = ws.state / JOURNALS
    journal = Journal.create(folder, RUN, kind=kind, who="bob", live=str(live), token="boot:1:1", options=options)
    if kind == "rollback":
        journal.note("restore", state="staged", before=before, after=after, emergency="/nowhere")
    else:
        journal.note("round", round=1, before=before, backup=None)
        journal.note("staged", before=before, after=after, backup=None)
    journal.close()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["deploy", "rollback"])
@pytest.mark.parametrize("there", [OLD, NEW, None])
def test_a_catalogue_elsewhere_is_left_alone(tmp_path: Path, kind: str, there: bytes | None) -> None:
    ws = workspace(tmp_path / "ws", b'{"images": [], "mine": 1}')
    other = tmp_path / "other"
    other.mkdir()
    live = other / "library.json"
    if there is not None:
        live.write_bytes(there)
    staged_path(live, RUN).write_bytes(OLD if there == NEW else NEW)
    cut_off(ws, live, kind, sha(OLD), sha(NEW))
    before, mine, said = files(other), ws.catalogue.read_bytes(), list[str]()
    assert recover(ws, said.append) == []
    assert files(other) == before and ws.catalogue.read_bytes() == mine
    assert len(said) == 1 and str(live) in said[0] and "left alone" in said[0]


def test_a_copied_workspace_settles_its_own_copy(tmp_path: Path) -> None:
    first = workspace(tmp_path / "first", NEW)
    staged_path(first.catalogue, RUN).write_bytes(OLD)
    cut_off(first, first.catalogue, "deploy", sha(OLD), sha(NEW))
    shutil.copytree(first.root, tmp_path / "copy")
    copy = open_workspace(tmp_path / "copy", {}, {}, "ada")
    assert [one.outcome for one in recover(copy, lambda _: None)] == ["rolled back"]
    assert copy.catalogue.read_bytes() == OLD and open_journals(copy.state / JOURNALS) == []
    assert first.catalogue.read_bytes() == NEW and staged_path(first.catalogue, RUN).read_bytes() == OLD


def test_a_rollback_of_another_file_is_settled_by_whoever_names_the_file(tmp_path: Path) -> None:
    ws = workspace(tmp_path / "ws", OLD)
    other = tmp_path / "other"
    other.mkdir()
    live = other / "library.json"
    live.write_bytes(NEW)
    staged_path(live, RUN).write_bytes(OLD)
    cut_off(ws, live, "rollback", sha(OLD), sha(NEW), input=str(live))
    assert recover(ws, lambda _: None) == []
    assert [one.outcome for one in recover(ws, lambda _: None, other=live)] == ["done"]
    kept = other / "emergency" / "library.json.bak.20261120T100000Z"
    assert live.read_bytes() == NEW and kept.read_bytes() == OLD
    assert open_journals(ws.state / JOURNALS) == []


def test_facts_of_a_journal_that_are_no_facts(tmp_path: Path) -> None:
    ws = workspace(tmp_path / "ws", NEW)
    journal = Journal.create(ws.state / JOURNALS, RUN, kind="rollback", live=7, token="", options=["x"], who=[1])
    journal.note("restore", state="swapped", run="../../x", before=ABSENT, after=sha(NEW), emergency=7)
    journal.close()
    assert [one.outcome for one in recover(ws, lambda _: None)] == ["done"]
    again = Journal.create(ws.state / JOURNALS, f"{RUN}2", kind="deploy", live=7, token="", options=["x"], who=[1])
    again.note("restore", state="swapped", run="../../x", before=ABSENT, after=sha(NEW))
    again.close()
    assert [one.outcome for one in recover(ws, lambda _: None)] == ["undone"]
    assert ws.catalogue.read_bytes() == NEW
