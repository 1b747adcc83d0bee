"""The full backup of a workspace, what goes into it, and unpacking it again."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mobius_tui.errors import BadInput, ProcessingFailed
from mobius_tui.operations.backup import DECISIONS_NAME, backup_now, verify_backups
from mobius_tui.operations.backup_full import full_backup
from mobius_tui.operations.backup_restore import restore_backup
from mobius_tui.recovery.backup_files import list_backups
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.zipped import MANIFEST
from mobius_tui.workspace import Workspace, open_workspace

linked = pytest.mark.skipif(os.name != "posix", reason="symlinks of Unix")


@pytest.fixture
def ws(make_workspace: Any, run: Any) -> Workspace:
    ws = make_workspace(4)
    run(ws)
    (ws.review / DECISIONS_NAME).write_bytes(b'{"who": "anna"}\n')
    return ws


def members(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def images(path: Path) -> list[str]:
    return [name for name in members(path) if name.endswith(".png")]


def test_everything_is_in_it(ws: Workspace) -> None:
    heard = []
    done = full_backup(ws, "before the move", on_file=lambda number, total: heard.append((number, total)))
    assert (done.backup.kind, done.backup.images, done.backup.reason) == ("full", 4, "before the move")
    assert members(done.backup.path) == [
        "library/library.json", "review/decisions.jsonl", "library/deck/00.png", "library/deck/01.png",
        "library/deck/02.png", "library/deck/03.png", MANIFEST,
    ]  # fmt: skip
    assert heard[-1] == (6, 6) and done.packing.skipped == done.packing.flawed == []
    act = read_history(ws.state)[-1]
    assert (act["act"], act["details"]) == ("backup", {"backup": done.backup.name})
    assert [verdict.state for verdict in verify_backups(ws, done.backup.name)] == ["good"]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        (["deck/*"], [], 4),
        (["*1.png", "*2.png"], [], 2),
        ([], ["*1.png"], 3),
        (["*1.png", "*2.png"], ["*/01*"], 1),
        (["DECK/*"], [], 0),
    ],
)
def test_include_and_exclude(ws: Workspace, include: list[str], exclude: list[str], left: int) -> None:
    done = full_backup(ws, "", include=include, exclude=exclude)
    assert len(images(done.backup.path)) == left
    with zipfile.ZipFile(done.backup.path) as archive:
        head = json.loads(archive.read(MANIFEST).splitlines()[0])
    assert (head["include"], head["exclude"], head["excluded"]) == (include, exclude, 4 - left)


@linked
def test_symlinks_that_lead_out_are_named_and_not_followed(ws: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (ws.library / "out.png").symlink_to(tmp_path / "photos" / "secret.png")
    (tmp_path / "photos").mkdir()
    secret.replace(tmp_path / "photos" / "secret.png")
    (ws.library / "folder").symlink_to(tmp_path / "photos")
    (ws.library / "in.png").symlink_to(ws.library / "deck" / "00.png")
    done = full_backup(ws, "")
    assert "library/in.png" in members(done.backup.path)
    skipped = dict(done.packing.skipped)
    assert skipped["library/out.png"] == skipped["library/folder/secret.png"] == "a symlink leads it out of the library"
    assert b"secret" not in done.backup.path.read_bytes().replace(b"secret.png", b"")


def test_entries_of_missing_and_foreign_files_are_named(ws: Workspace, tmp_path: Path) -> None:
    document = json.loads(ws.catalogue.read_bytes())
    (ws.library / "plain.dat").write_bytes(b"no image by its name")
    document["images"] += [{"path": "plain.dat"}, {"path": str(tmp_path / "elsewhere.png")}, {"path": "gone.png"}]
    ws.catalogue.write_text(json.dumps(document))
    done = full_backup(ws, "")
    assert "library/plain.dat" in members(done.backup.path)
    assert dict(done.packing.skipped) == {
        str(tmp_path / "elsewhere.png"): "lies outside of the library",
        "library/gone.png": "missing",
    }
    assert done.packing.failed == 0


def test_catalogue_beside_the_library_keeps_its_place(ws: Workspace, tmp_path: Path) -> None:
    document = json.loads(ws.catalogue.read_bytes())
    ws.catalogue.unlink()
    for entry in document["images"]:
        entry["path"] = f"library/{entry['path']}"
    (ws.root / "library.json").write_text(json.dumps(document))
    done = full_backup(ws, "")
    assert members(done.backup.path)[0] == "library.json" and len(images(done.backup.path)) == 4
    restore_backup(ws, done.backup.name, tmp_path / "to")
    restored = json.loads((tmp_path / "to" / "library.json").read_bytes())
    assert all((tmp_path / "to" / entry["path"]).is_file() for entry in restored["images"])


def test_out_names_file_or_folder(ws: Workspace, tmp_path: Path) -> None:
    done = full_backup(ws, "", out=tmp_path / "friday.zip")
    assert done.backup.path == tmp_path / "friday.zip"
    (tmp_path / "disk").mkdir()
    in_folder = full_backup(ws, "", out=tmp_path / "disk").backup
    assert in_folder.path.parent == tmp_path / "disk" and in_folder.name.startswith("dhash_")
    assert list_backups(ws.backups) == []
    for name in (str(tmp_path / "friday.zip"), str(in_folder.path)):
        assert [verdict.state for verdict in verify_backups(ws, name)] == ["good"]
        assert restore_backup(ws, name, tmp_path / f"to-{Path(name).name}").kind == "full"
    with pytest.raises(BadInput, match="there already"):
        full_backup(ws, "", out=tmp_path / "friday.zip")
    with pytest.raises(BadInput, match="no folder"):
        full_backup(ws, "", out=tmp_path / "nowhere" / "a.zip")


def test_without_a_valid_catalogue_there_is_none(make_workspace: Any) -> None:
    ws = make_workspace(1)
    with pytest.raises(BadInput):
        full_backup(ws, "")
    assert not list(ws.backups.glob("dhash*"))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but hidden ones in the library, such as locks."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".library")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_restored_anywhere_it_is_a_workspace_again(ws: Workspace, tmp_path: Path) -> None:
    before = tree(ws.root)
    done = full_backup(ws, "")
    found = restore_backup(ws, done.backup.name)
    assert found.unpacked is not None and found.unpacked.to == ws.root / f"restored-{done.backup.name}"
    again = open_workspace(found.unpacked.to, {}, {}, "tester")
    assert tree(again.library) == tree(ws.library) and again.catalogue.exists()
    assert (again.review / DECISIONS_NAME).read_bytes() == b'{"who": "anna"}\n'
    changed = {name for name in before if tree(ws.root).get(name) != before[name]}
    assert changed <= {".mobius/history.jsonl"}


def test_catalogue_backup_restored_to_a_folder(ws: Workspace, tmp_path: Path) -> None:
    backup = backup_now(ws, "r")
    found = restore_backup(ws, backup.name, tmp_path / "to")
    assert found.unpacked is not None and found.unpacked.files == ["library.json", "decisions.jsonl"]
    assert (tmp_path / "to" / "library.json").read_bytes() == ws.catalogue.read_bytes()
    with pytest.raises(BadInput, match="there already"):
        restore_backup(ws, backup.name, tmp_path / "to")
    again = restore_backup(ws, backup.name, tmp_path / "to", overwrite=True)
    assert again.unpacked is not None and again.unpacked.replaced == ["library.json", "decisions.jsonl"]


@pytest.mark.parametrize("full", [False, True])
def test_nothing_live_is_touched_by_unpacking(ws: Workspace, full: bool) -> None:
    name = full_backup(ws, "").backup.name if full else backup_now(ws, "r").name
    before = tree(ws.root)
    for to in [ws.root, ws.library] if full else [ws.library, ws.review, ws.backups, ws.state]:
        with pytest.raises(BadInput, match="in use"):
            restore_backup(ws, name, to, overwrite=True)
    assert tree(ws.root) == before


def test_corrupt_ones_and_lost_decisions_are_not_unpacked(ws: Workspace, tmp_path: Path) -> None:
    backup = backup_now(ws, "r")
    side = backup.path.with_name(f"{backup.name}.decisions.jsonl")
    side.write_bytes(b"{}")
    with pytest.raises(ProcessingFailed, match="decisions"):
        restore_backup(ws, backup.name, tmp_path / "to")
    side.unlink()
    with pytest.raises(ProcessingFailed, match="missing"):
        restore_backup(ws, backup.name, tmp_path / "to")
    backup.path.write_bytes(b'{"images": [ ]}')
    with pytest.raises(ProcessingFailed, match="its hash is"):
        restore_backup(ws, backup.name, tmp_path / "to")
    with pytest.raises(BadInput, match="there is no backup"):
        restore_backup(ws, "library.json.bak.20200101T000000Z", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_put_live_it_is_journalled_and_the_present_state_kept(ws: Workspace) -> None:
    old = ws.catalogue.read_bytes()
    backup = full_backup(ws, "")
    changed = old.replace(b'"images"', b'"mine": 1, "images"', 1)
    ws.catalogue.write_bytes(changed)
    found = restore_backup(ws, backup.backup.name, live=True, reason="as it was")
    assert found.live is not None and found.live.changed and ws.catalogue.read_bytes() == old
    assert found.live.emergency is not None and found.live.emergency.read_bytes() == changed
    assert found.live.emergency.parent == ws.backups / "emergency"
    act = read_history(ws.state)[-1]
    assert (act["act"], act["reason"], act["run"]) == ("backup restore", "as it was", found.run_id)
    assert act["details"]["target"] == backup.backup.name
    journal = (ws.state / "deploy" / f"{found.run_id}.journal").read_text()
    assert '"end"' in journal
    again = restore_backup(ws, backup.backup.name, live=True)
    assert again.live is not None and not again.live.changed


def test_corrupt_backup_is_never_put_live(ws: Workspace) -> None:
    old = ws.catalogue.read_bytes()
    backup = backup_now(ws, "r")
    backup.path.write_bytes(b'{"images": [ ]}')
    with pytest.raises(ProcessingFailed):
        restore_backup(ws, backup.name, live=True)
    assert ws.catalogue.read_bytes() == old
    assert not (ws.state / "deploy").exists() or not list((ws.state / "deploy").iterdir())
