"""Images from a full backup: what differs comes back, what it replaces is kept, the rest stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from publishing import sha

from mobius_tui.errors import Cancelled, Held, ProcessingFailed
from mobius_tui.operations.backup_full import full_backup
from mobius_tui.rollback.images import restore_images
from mobius_tui.rollback.options import Preview, RollbackOptions
from mobius_tui.rollback.run import roll_back
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.workspace import Workspace

CATALOGUE = b'{"images": [{"path": "deck/00.png"}, {"path": "deck/01.png"}]}'


@pytest.fixture
def ws(make_workspace: Callable[..., Workspace]) -> Workspace:
    made = make_workspace(3)
    (made.library / "library.json").write_bytes(CATALOGUE)
    return made


def test_what_differs_comes_back_and_is_kept(ws: Workspace, tmp_path: Path) -> None:
    backup = full_backup(ws, "test").backup
    deck = ws.library / "deck"
    original = (deck / "00.png").read_bytes()
    (deck / "00.png").write_bytes(b"edited")
    (deck / "00.png").chmod(0o664)
    (deck / "01.png").unlink()
    (deck / "new.png").write_bytes(b"new")
    for again in (False, True):
        done = restore_images(backup.path, ws.library, tmp_path / "kept")
        wanted = (
            {"restored": 1, "added": 1, "unchanged": 1} if not again else {"restored": 0, "added": 0, "unchanged": 3}
        )
        assert done == {**wanted, "refused": 0}
    assert (deck / "00.png").read_bytes() == original
    assert (deck / "00.png").stat().st_mode & 0o777 == 0o664
    assert (tmp_path / "kept" / "deck" / "00.png").read_bytes() == b"edited"
    assert (deck / "new.png").read_bytes() == b"new"
    assert sorted(path.name for path in deck.iterdir()) == ["00.png", "01.png", "02.png", "new.png"]


def test_a_damaged_backup_leaves_the_image_that_is_there(ws: Workspace, tmp_path: Path) -> None:
    backup = full_backup(ws, "test").backup
    image = ws.library / "deck" / "00.png"
    data = image.read_bytes()
    packed = backup.path.read_bytes()
    at = packed.index(data)
    backup.path.write_bytes(packed[: at + 40] + bytes([packed[at + 40] ^ 1]) + packed[at + 41 :])
    image.write_bytes(b"edited")
    with pytest.raises(ProcessingFailed):
        restore_images(backup.path, ws.library, tmp_path / "kept")
    assert image.read_bytes() == b"edited"


def test_a_symlink_out_of_the_library_is_refused(ws: Workspace, tmp_path: Path) -> None:
    backup = full_backup(ws, "test").backup
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    (ws.library / "deck" / "00.png").unlink()
    (ws.library / "deck" / "00.png").symlink_to(outside)
    assert restore_images(backup.path, ws.library, tmp_path / "kept")["refused"] == 1
    assert outside.read_bytes() == b"mine"


def go(ws: Workspace, options: RollbackOptions, answer: bool = True) -> tuple[object, list[Preview]]:
    asked: list[Preview] = []

    def confirm(preview: Preview) -> bool:
        asked.append(preview)
        return answer

    return roll_back(ws, options, confirm=confirm, say=lambda _: None, environ={}), asked


def test_the_verb_takes_the_full_backup_of_the_same_catalogue(ws: Workspace) -> None:
    full_backup(ws, "test")
    (ws.library / "deck" / "00.png").write_bytes(b"edited")
    ws.catalogue.write_bytes(b'{"images": []}')
    outcome, _ = go(ws, RollbackOptions(with_images=True, force=True))
    assert ws.catalogue.read_bytes() == CATALOGUE
    assert outcome.images["restored"] == 1 and outcome.exit_code == 0  # type: ignore[attr-defined]
    kept = list((ws.backups / "emergency").glob("*/deck/00.png"))
    assert [path.read_bytes() for path in kept] == [b"edited"]


def test_a_damaged_full_backup_is_refused_before_anything_is_touched(ws: Workspace) -> None:
    backup = full_backup(ws, "test").backup
    data = (ws.library / "deck" / "00.png").read_bytes()
    packed = backup.path.read_bytes()
    at = packed.index(data)
    backup.path.write_bytes(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :])
    ws.catalogue.write_bytes(b'{"images": []}')
    with pytest.raises(ProcessingFailed):
        go(ws, RollbackOptions(with_images=True, force=True))
    assert ws.catalogue.read_bytes() == b'{"images": []}'


def test_a_person_who_says_no_changes_nothing(ws: Workspace) -> None:
    full_backup(ws, "test")
    ws.catalogue.write_bytes(b'{"images": []}')
    with pytest.raises(Cancelled):
        go(ws, RollbackOptions(), answer=False)
    assert ws.catalogue.read_bytes() == b'{"images": []}'


def test_what_is_asked_names_what_comes_back_and_what_goes(ws: Workspace) -> None:
    backup = full_backup(ws, "test").backup
    ws.catalogue.write_bytes(b'{"images": [{"path": "other", "title": "t"}]}')
    _, asked = go(ws, RollbackOptions())
    assert asked[0].target == str(backup.path)
    assert asked[0].changes is not None and asked[0].changes.added == ("other",)
    assert asked[0].after is not None and asked[0].after.entries == 2


def test_while_another_process_holds_the_catalogue_nothing_is_asked(ws: Workspace) -> None:
    full_backup(ws, "test")
    with catalogue_lock(ws.catalogue, "berta", "deploy"), pytest.raises(Held, match="berta"):
        go(ws, RollbackOptions())


def test_what_people_decided_is_not_touched(ws: Workspace) -> None:
    decisions = ws.review / "decisions.jsonl"
    decisions.write_bytes(b'{"pair": 1}\n')
    full_backup(ws, "test")
    decisions.write_bytes(b'{"pair": 1}\n{"pair": 2}\n')
    before = sha(decisions.read_bytes())
    ws.catalogue.write_bytes(b'{"images": []}')
    go(ws, RollbackOptions(with_images=True, force=True))
    assert sha(decisions.read_bytes()) == before
