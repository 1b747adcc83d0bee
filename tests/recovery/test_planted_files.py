"""What somebody put in the place of a lock, a log, the history or the settings harms nothing and makes nobody wait."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.logs import JsonLog
from mobius_tui.recovery.backups import create_backup, list_backups, verify_backup
from mobius_tui.recovery.history import HISTORY_NAME, note_act, read_history
from mobius_tui.settings import TOML_NAME, load_settings
from mobius_tui.system.locks import FileLock, catalogue_lock, catalogue_lock_path, holder_of
from mobius_tui.system.processes import start_detached

pytestmark = pytest.mark.skipif(os.name != "posix", reason="named pipes and symlinks of Unix")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("precious")
    return path


def test_a_symlink_in_place_of_a_lock_never_costs_the_file_it_leads_to(tmp_path: Path, victim: Path) -> None:
    catalogue = tmp_path / "library.json"
    catalogue_lock_path(catalogue).symlink_to(victim)
    with pytest.raises(EnvironmentFailed, match="the lock cannot be opened"), catalogue_lock(catalogue, "a", "b"):
        pass
    assert holder_of(catalogue_lock_path(catalogue)) is None
    assert victim.read_text() == "precious"


def test_a_pipe_in_place_of_a_lock_makes_nobody_wait(tmp_path: Path) -> None:
    path = tmp_path / "worker.lock"
    os.mkfifo(path)
    assert holder_of(path) is None
    with pytest.raises(EnvironmentFailed, match="not a regular file"):
        FileLock(path).acquire("a", "b")


def test_a_symlink_or_pipe_in_place_of_the_history(tmp_path: Path, victim: Path) -> None:
    history = tmp_path / HISTORY_NAME
    history.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        note_act(tmp_path, "migrate", "anna")
    assert victim.read_text() == "precious"
    history.unlink()
    os.mkfifo(history)
    with pytest.raises(OSError, match="not a regular file"):
        note_act(tmp_path, "migrate", "anna")
    with pytest.raises(OSError, match="not a regular file"):
        read_history(tmp_path)


def test_a_pipe_in_place_of_a_log_drops_records(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.log")
    log = JsonLog(tmp_path / "run.log")
    log.write("info", "t", "e", "m")
    assert log.dropped == 1


def test_a_pipe_in_place_of_the_output_of_a_worker(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "worker.out")
    with pytest.raises(OSError, match="No such device"):
        start_detached(["true"], tmp_path, {}, tmp_path / "worker.out")


@pytest.mark.parametrize("what", ["pipe", "endless", "large"])
def test_settings_that_are_no_plain_file_are_bad_input(tmp_path: Path, what: str) -> None:
    path = tmp_path / TOML_NAME
    if what == "pipe":
        os.mkfifo(path)
    elif what == "endless":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(BadInput, match=r"not a regular file|larger than"):
        load_settings(tmp_path, {}, {})
    assert load_settings(tmp_path, {}, {}, lenient=True).warnings


@pytest.mark.parametrize("side", ["", ".sha256", ".meta.json"])
def test_a_pipe_in_place_of_a_backup_or_its_side_files_makes_nobody_wait(tmp_path: Path, side: str) -> None:
    catalogue = tmp_path / "library.json"
    catalogue.write_text('{"images": []}')
    made = create_backup(catalogue, tmp_path / "backups", reason="r", who="w")
    part = made.path.with_name(made.name + side)
    part.unlink()
    os.mkfifo(part)
    assert [backup.name for backup in list_backups(made.path.parent)] == [made.name]
    assert verify_backup(made.path.parent, made.name).state == ("good" if side == ".meta.json" else "unreadable")
