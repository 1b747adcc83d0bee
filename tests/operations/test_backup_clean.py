"""Cleaning, pinning and reusing backups in a workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.operations import backup as backup_module
from mobius_tui.operations.backup import (
    DECISIONS_NAME,
    backup_now,
    clean_backups,
    judge_backups,
    known_backups,
    needed_backups,
    pin_backup,
    reusable_backup,
    verify_backups,
)
from mobius_tui.recovery.backup_files import Backup, mark_of
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.system import clock
from mobius_tui.workspace import Workspace

DAY = 86_400.0


@pytest.fixture
def ws(make_workspace: Any) -> Workspace:
    ws = make_workspace({})
    write(ws, 0)
    return ws


def write(ws: Workspace, number: int) -> None:
    ws.catalogue.write_text(json.dumps({"images": [], "number": number}))


def make_at(ws: Workspace, monkeypatch: pytest.MonkeyPatch, days_ago: float, number: int = 0) -> Backup:
    """A backup of another content than those before it, so many days old."""
    at = NOW - days_ago * DAY
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: at)
        write(ws, int(days_ago * 1000) + number)
        return backup_now(ws, "r", images=0)


NOW = clock.now()


def crowd(ws: Workspace, monkeypatch: pytest.MonkeyPatch, count: int = 8) -> list[Backup]:
    """Old backups of one day and their content, the newest first."""
    return [make_at(ws, monkeypatch, 40 + number * 0.0001, number) for number in range(count)]


def names(ws: Workspace) -> set[str]:
    return {backup.name for backup in known_backups(ws)}


def test_what_no_rule_keeps_goes_with_its_side_files_and_is_noted(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = crowd(ws, monkeypatch)
    write(ws, -1)
    would = clean_backups(ws, dry_run=True)
    assert names(ws) == {backup.name for backup in old}, "a dry run removes nothing"
    done = clean_backups(ws, dry_run=False)
    assert done == would
    gone = {each.backup.name for each in done if not each.keep}
    assert gone == {backup.name for backup in old[5:]} and names(ws) == {backup.name for backup in old[:5]}
    assert not [path for path in ws.backups.iterdir() if path.name.startswith((".", *gone))]
    act = read_history(ws.state)[-1]
    assert (act["act"], set(act["details"]["removed"])) == ("backup clean", gone)
    assert all(each.keep for each in clean_backups(ws, dry_run=False))
    assert read_history(ws.state)[-1] == act, "nothing was changed, nothing is noted"


def test_days_asked_for_and_the_deploys_own(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        make_at(ws, monkeypatch, 3 + number * 0.0001, number)
    assert all(each.keep for each in judge_backups(ws))
    assert len([each for each in judge_backups(ws, older_than_days=2) if not each.keep]) >= 2
    assert len([each for each in judge_backups(ws, retention_days=1) if not each.keep]) >= 2


def test_what_an_open_journal_names_is_needed_however_torn(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    oldest = crowd(ws, monkeypatch)[-1]
    write(ws, -1)
    journal = Journal.create(ws.state / JOURNALS, "deploy-20261120T120000Z", kind="deploy", who="anna")
    journal.note("step", step="backup", state="done", backup=oldest.name)
    assert needed_backups(ws)[oldest.name] == "needed by deploy-20261120T120000Z, which has not come to its end"
    path = journal.path
    data = path.read_bytes()
    assert oldest.name in {each.backup.name for each in clean_backups(ws, dry_run=False) if each.keep}
    path.write_bytes(data[:60] + b"?" + data[61:])  # corrupt from its first record on
    assert oldest.name in needed_backups(ws)
    path.write_bytes(data)
    journal.note("end", state="done")
    journal.close()
    assert oldest.name not in needed_backups(ws)


def test_way_back_of_what_is_live_is_needed(make_workspace: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace(1)
    run(ws)
    made = run(ws).summary["backup"]
    assert needed_backups(ws) == {made: "the way back from what is live"}


def test_journals_that_cannot_be_read_stop_a_clean(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(ws, monkeypatch)
    (ws.state / JOURNALS).mkdir(parents=True, exist_ok=True)
    (ws.state / JOURNALS / "deploy-20261120T120000Z.journal").mkdir()
    before = names(ws)
    with pytest.raises(EnvironmentFailed, match="no backup may be removed"):
        clean_backups(ws, dry_run=False)
    assert names(ws) == before


def test_pinned_meanwhile_stays(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    oldest = crowd(ws, monkeypatch)[-1]
    write(ws, -1)
    real = backup_module.judge_backups

    def judge(*arguments: Any, **how: Any) -> Any:
        decisions = real(*arguments, **how)
        pin_backup(ws, oldest.name, True)
        return decisions

    monkeypatch.setattr(backup_module, "judge_backups", judge)
    done = {each.backup.name: each for each in clean_backups(ws, dry_run=False)}
    assert (done[oldest.name].keep, done[oldest.name].reason) == (True, "pinned meanwhile")
    assert oldest.name in names(ws)


def test_one_that_cannot_be_removed_is_said_and_the_others_go(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    oldest = crowd(ws, monkeypatch)[-1]
    write(ws, -1)
    real = backup_module.remove_files

    def remove(folder: Path, name: str) -> None:
        if name == oldest.name:
            raise PermissionError(1, "Operation not permitted")
        real(folder, name)

    monkeypatch.setattr(backup_module, "remove_files", remove)
    done = {each.backup.name: each for each in clean_backups(ws, dry_run=False)}
    assert (done[oldest.name].keep, done[oldest.name].failed) == (True, True)
    assert "Operation not permitted" in done[oldest.name].reason
    assert len(names(ws)) == 6


def test_full_disk_keeps_nobody_from_making_room(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(ws, monkeypatch)
    write(ws, -1)

    def full(*arguments: Any, **how: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup_module, "note_act", full)
    clean_backups(ws, dry_run=False)
    assert len(names(ws)) == 5


def test_leftovers_and_side_files_without_a_backup_are_swept(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = crowd(ws, monkeypatch)[-1]
    lost.path.unlink()
    cut_off = "library.json.bak.20200101T000000Z"
    (ws.backups / cut_off).write_bytes(b"half")
    mark_of(ws.backups, cut_off, "making").write_bytes(b"")
    assert [verdict.state for verdict in verify_backups(ws, every=True)].count("missing") == 1
    done = clean_backups(ws, dry_run=False)
    assert [each.backup.state for each in done if each.backup.name == lost.name] == ["missing"]
    assert not [path.name for path in ws.backups.iterdir() if path.name.startswith((".", lost.name, cut_off))]


def test_emergency_copies_have_a_list_of_their_own_and_go_by_age(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = crowd(ws, monkeypatch, 5)
    folder = ws.backups / "emergency"
    folder.mkdir()
    young, old = (f"library.json.bak.{clock.stamp(NOW - days * DAY)}" for days in (1, 50))
    for name in (young, old):
        (folder / name).write_bytes(b'{"images": []}')
    write(ws, -1)
    assert {backup.name for backup in known_backups(ws, emergency=True)} == {young, old}
    assert names(ws) == {backup.name for backup in kept}
    clean_backups(ws, dry_run=False)
    assert [backup.name for backup in known_backups(ws, emergency=True)] == [young]
    assert names(ws) == {backup.name for backup in kept}
    assert verify_backups(ws, every=True)[-1].name == f"emergency/{young}"
    pin_backup(ws, f"emergency/{young}", True)
    assert known_backups(ws, emergency=True)[0].pinned


def test_pins_are_noted(ws: Workspace) -> None:
    backup = backup_now(ws, "r")
    pin_backup(ws, backup.name, True, "the fair")
    assert known_backups(ws)[0].pinned
    act = read_history(ws.state)[-1]
    assert (act["act"], act["reason"], act["details"]) == ("backup pin", "the fair", {"backup": backup.name})
    pin_backup(ws, backup.name, False)
    assert not known_backups(ws)[0].pinned and read_history(ws.state)[-1]["act"] == "backup unpin"
    with pytest.raises(BadInput, match="there is no backup"):
        pin_backup(ws, "library.json.bak.20200101T000000Z", True)


def test_same_bytes_are_reused_as_the_way_back(ws: Workspace) -> None:
    first = backup_now(ws, "one", images=0)
    again = backup_now(ws, "two", images=0, reuse=True)
    assert (again.name, again.sha256) == (first.name, first.sha256)
    assert backup_now(ws, "three", images=0).name != first.name, "only when asked to"
    assert reusable_backup(ws) is not None


@pytest.mark.parametrize("spoil", ["other catalogue", "other decisions", "corrupt", "newer one of the future"])
def test_what_is_not_exactly_the_same_is_not_reused(ws: Workspace, monkeypatch: pytest.MonkeyPatch, spoil: str) -> None:
    first = backup_now(ws, "one", images=0)
    if spoil == "other catalogue":
        write(ws, 5)
    elif spoil == "other decisions":
        (ws.review / DECISIONS_NAME).write_bytes(b"{}\n")
    elif spoil == "corrupt":
        data = first.path.read_bytes()
        first.path.write_bytes(data.replace(b"0", b"1"))
    else:
        write(ws, 6)
        make_at(ws, monkeypatch, -40)
    assert reusable_backup(ws) is None
    made = backup_now(ws, "two", images=0, reuse=True)
    assert made.name != first.name and made.path.read_bytes() == ws.catalogue.read_bytes()


def test_migration_reuses_a_backup_made_just_before_it(make_workspace: Any, run: Any) -> None:
    ws = make_workspace(1)
    run(ws)
    made = backup_now(ws, "by hand")
    job = run(ws)
    assert job.summary["backup"] == made.name and len(known_backups(ws)) == 1
    assert run(ws).summary["backup"] != made.name


@pytest.mark.parametrize("call", [lambda ws: known_backups(ws), lambda ws: verify_backups(ws)])
def test_folder_that_cannot_be_read_is_no_empty_one(ws: Workspace, call: Any) -> None:
    for path in ws.backups.iterdir():
        path.unlink()
    ws.backups.rmdir()
    ws.backups.write_text("")
    with pytest.raises(EnvironmentFailed, match="cannot be listed"):
        call(ws)


def test_latest_is_not_dated_in_the_future(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    make_at(ws, monkeypatch, -40)
    now = make_at(ws, monkeypatch, 0)
    assert [verdict.name for verdict in verify_backups(ws)] == [now.name]


def test_modes_of_everything_in_the_folder(ws: Workspace) -> None:
    (ws.review / DECISIONS_NAME).write_bytes(b"{}\n")
    (ws.review / DECISIONS_NAME).chmod(0o666)
    backup = backup_now(ws, "r")
    parts = list(ws.backups.glob(f"{backup.name}*"))
    assert len(parts) == 4 and all(path.stat().st_mode & 0o137 == 0 for path in parts)


def test_a_dry_run_removes_nothing_not_even_leftovers(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    crowd(ws, monkeypatch)
    cut_off = "library.json.bak.20260101T000000Z"
    mark_of(ws.backups, cut_off, "making").write_bytes(b"")
    (ws.backups / cut_off).write_bytes(b"half")
    before = {path.name: path.stat().st_ino for path in ws.backups.iterdir()}
    assert any(not decision.keep for decision in clean_backups(ws, dry_run=True))
    assert {path.name: path.stat().st_ino for path in ws.backups.iterdir()} == before
    clean_backups(ws, dry_run=False)
    assert not (ws.backups / cut_off).exists() and not mark_of(ws.backups, cut_off, "making").exists()
