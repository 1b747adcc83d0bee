"""Backups of a workspace's catalogue: made, noted, verified by name."""

import json
import os

import pytest

from mobius_tui.errors import BadInput
from mobius_tui.operations.backup import backup_now, verify_backups
from mobius_tui.recovery.history import read_history


def test_backup_by_hand_counts_and_is_noted(make_workspace, run):
    ws = make_workspace(3)
    run(ws)
    backup = backup_now(ws, "before the fair")
    assert (backup.images, backup.who, backup.reason, backup.state) == (3, "tester", "before the fair", "verified")
    meta = json.loads((ws.backups / f"{backup.name}.meta.json").read_bytes())
    assert (meta["environment"], meta["images"]) == ("development", 3)
    assert meta["mobius"]
    act = read_history(ws.state)[-1]
    assert (act["act"], act["who"], act["reason"]) == ("backup", "tester", "before the fair")
    assert act["details"] == {"backup": backup.name}


def test_backup_as_a_job(make_workspace, run):
    ws = make_workspace(1)
    run(ws)
    job = run(ws, "backup", reason="nightly")
    assert (job.state, verify_backups(ws, job.summary["backup"])[0].state) == ("done", "good")


@pytest.mark.parametrize("content", [None, b'{"images": 3}', b"{"])
def test_what_could_not_serve_as_a_way_back_is_refused(make_workspace, run, content):
    ws = make_workspace({})
    if content is not None:
        ws.catalogue.write_bytes(content)
        os.utime(ws.catalogue, (0, 0))
    with pytest.raises(BadInput):
        backup_now(ws, "by hand")
    assert list(ws.backups.glob("library*")) == []
    assert run(ws, "backup").exit_code == 1


def test_verify_latest_one_or_all(make_workspace, run):
    ws = make_workspace(1)
    with pytest.raises(BadInput, match="no backup yet"):
        verify_backups(ws)
    run(ws)
    first, second = backup_now(ws, "one"), backup_now(ws, "two")
    first.path.write_bytes(b"")
    assert [(one.name, one.state) for one in verify_backups(ws)] == [(second.name, "good")]
    assert [one.state for one in verify_backups(ws, every=True)] == ["good", "corrupt"]
    assert [one.state for one in verify_backups(ws, first.name)] == ["corrupt"]


@pytest.mark.parametrize("name", ["../library/library.json", "a/b", "a\\b", "a\0b", ".hidden"])
def test_only_bare_names(make_workspace, name):
    with pytest.raises(BadInput, match="no backup's name"):
        verify_backups(make_workspace({}), name)
