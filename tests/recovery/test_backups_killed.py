"""A maker or remover of backups that is killed at any step leaves whole backups or none, and nothing that lies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mobius_tui.recovery import backup_marks
from mobius_tui.recovery.backup_files import MAKING, REMOVING, list_backups, mark_of
from mobius_tui.recovery.backup_marks import remove_files, sweep
from mobius_tui.recovery.backups import PREFIX, create_backup, verify_backup
from mobius_tui.recovery.full_backup import create_full
from mobius_tui.recovery.zipped import Item
from mobius_tui.system.processes import process_token

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed process is a fork of the test's")

STEPS = ("open", "os.remove", "os.rename", "os.chmod", "os.mkdir", "os.truncate", "ctypes.dlsym")
OLD = "20200101T000000Z"
KILLED = 77


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "library.json").write_bytes(b'{"images": []}')
    (tmp_path / "decisions.jsonl").write_bytes(b"{}\n")
    (tmp_path / "a.png").write_bytes(b"x" * 3000)
    return tmp_path


def make(root: Path) -> None:
    create_backup(root / "library.json", root / "backups", reason="r", who="w", decisions=root / "decisions.jsonl")


def make_full(root: Path) -> None:
    items = [Item("library.json", root / "library.json", "catalogue"), Item("library/a.png", root / "a.png")]
    create_full(items, root / "backups", reason="r", who="w", size=10, head={})


def make_old(root: Path) -> None:
    """A backup with another stamp than any that is made now."""
    make(root)
    folder = root / "backups"
    name = list_backups(folder)[0].name
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace(name, PREFIX + OLD))
    hashes = folder / f"{PREFIX}{OLD}.sha256"
    hashes.write_text(hashes.read_text().replace(name, PREFIX + OLD))


def killed_at(step: int, act: Callable[[Path], None], root: Path) -> bool:
    """Run an act in a fork that ends without any clean-up at its nth step; whether it came that far."""
    child = os.fork()
    if not child:
        seen = []

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event in STEPS and (event != "open" or str(arguments[0]).startswith(str(root))):
                seen.append(event)
                if len(seen) == step:
                    os._exit(KILLED)

        sys.addaudithook(hook)
        code = 1
        try:
            act(root)
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, KILLED}
    return status == KILLED


def lies(folder: Path) -> list[str]:
    """What side files claim that is not so."""
    found = []
    if not folder.exists():
        return []
    for path in folder.glob("*.sha256"):
        checked = subprocess.run(
            ["sha256sum", "-c", "--quiet", path.name], cwd=folder, check=False, capture_output=True
        )
        if checked.returncode:
            found.append(path.name)
    found += [
        path.name for path in folder.glob("*.meta.json") if not Path(str(path).removesuffix(".meta.json")).exists()
    ]
    for backup in list_backups(folder):
        if backup.state != "verified" or verify_backup(folder, backup.name).state != "good":
            found.append(f"{backup.name} is {backup.state}")
    return found


def leftovers(folder: Path) -> list[str]:
    kept = [backup.name for backup in list_backups(folder)]
    return [path.name for path in folder.iterdir() if not path.name.startswith(tuple(kept))]


@pytest.mark.parametrize("act", [make, make_full], ids=["catalogue", "full"])
def test_killed_while_making(root: Path, act: Callable[[Path], None]) -> None:
    step = 1
    while killed_at(step, act, root):
        assert lies(root / "backups") == [], f"step {step}"
        make(root)
        assert lies(root / "backups") == leftovers(root / "backups") == [], f"step {step}"
        for path in (root / "backups").iterdir():
            path.unlink()
        step += 1
    assert step > 15


def test_killed_while_removing(root: Path) -> None:
    def act(where: Path) -> None:
        remove_files(where / "backups", PREFIX + OLD)

    step, gone = 1, False
    while True:
        if not (root / "backups" / f"{PREFIX}{OLD}.meta.json").exists():
            for path in [*(root / "backups").glob("*"), *(root / "backups").glob(".*")]:
                path.unlink()
            make_old(root)
        if not killed_at(step, act, root):
            break
        assert lies(root / "backups") == [], f"step {step}"
        listed = bool(list_backups(root / "backups"))
        assert not (gone and listed), "what was on its way out does not come back"
        gone = not listed
        sweep(root / "backups")
        assert lies(root / "backups") == leftovers(root / "backups") == [], f"step {step}"
        assert bool(list_backups(root / "backups")) == listed
        step += 1
    assert step > 5


def test_mark_of_a_dead_maker_never_costs_a_whole_backup(root: Path) -> None:
    """Another process may have come to its end between our look at the name and our mark."""
    make(root)
    backup = list_backups(root / "backups")[0]
    mark_of(root / "backups", backup.name, MAKING).touch()
    assert list_backups(root / "backups") == []
    assert sweep(root / "backups") == [backup.name]
    assert list_backups(root / "backups") == [backup]


def test_mark_that_a_sweep_has_just_taken_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, removed = backup_marks._lock, []

    def lock(descriptor: int) -> bool:
        if not removed:
            removed.extend((root / "backups").glob(".*.making"))
            removed[0].unlink()
        return real(descriptor)

    monkeypatch.setattr(backup_marks, "_lock", lock)
    make(root)
    assert removed and lies(root / "backups") == leftovers(root / "backups") == []
    assert len(list_backups(root / "backups")) == 1


def test_no_space_for_a_mark_does_not_keep_a_backup_from_being_removed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(root)

    def replace(path: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    remove_files(root / "backups", PREFIX + OLD)
    assert list((root / "backups").iterdir()) == []


def test_backup_that_may_not_be_removed_stays_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_old(root)
    before = list_backups(root / "backups")
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if path.name == PREFIX + OLD:
            raise PermissionError(1, "Operation not permitted")
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(PermissionError):
        remove_files(root / "backups", PREFIX + OLD)
    assert list_backups(root / "backups") == before
    assert lies(root / "backups") == leftovers(root / "backups") == []


def test_what_is_being_removed_is_not_listed(root: Path) -> None:
    make_old(root)
    mark_of(root / "backups", PREFIX + OLD, REMOVING).touch()
    assert list_backups(root / "backups") == []


def test_living_maker_is_left_alone_where_there_are_no_locks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is granted there: the maker's token tells, and this process knows its own claims."""
    monkeypatch.setattr(backup_marks, "_lock", lambda _: True)
    folder = root / "backups"
    with backup_marks.claimed(folder, lambda stamp: PREFIX + stamp) as claim:
        claim.path.write_bytes(b"half")
        assert sweep(folder) == [] and claim.path.exists()
        claim.path.unlink()
    sleeper = subprocess.Popen(["sleep", "60"])
    mark = mark_of(folder, PREFIX + OLD, MAKING)
    try:
        (folder / f"{PREFIX}{OLD}").write_bytes(b"half")
        mark.write_text(process_token(sleeper.pid))
        assert sweep(folder) == [] and mark.exists()
    finally:
        sleeper.kill()
        sleeper.wait()
    assert sweep(folder) == [PREFIX + OLD] and list(folder.iterdir()) == []
