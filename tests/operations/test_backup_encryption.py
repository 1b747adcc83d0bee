"""Encrypted backups: age files, opened with the key alone, never quietly in the plain."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mobius_tui.errors import BadInput, EnvironmentFailed, ProcessingFailed
from mobius_tui.operations.backup import DECISIONS_NAME, backup_now, reusable_backup, verify_backups
from mobius_tui.operations.backup_encryption import Key, load_key, make_key, needed_key
from mobius_tui.operations.backup_full import full_backup
from mobius_tui.operations.backup_restore import restore_backup
from mobius_tui.recovery.backup_files import list_backups
from mobius_tui.recovery.backups import read_backup_catalogue
from mobius_tui.workspace import Workspace, open_workspace

pyrage = pytest.importorskip("pyrage")


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return make_key(tmp_path / "key.txt")


@pytest.fixture
def ws(make_workspace: Any, run: Any, key: Key) -> Workspace:
    ws = make_workspace(3, backup_key_file=str(key.path))
    run(ws)
    (ws.review / DECISIONS_NAME).write_bytes(b'{"who": "anna"}\n')
    return ws


def plain(ws: Workspace) -> Workspace:
    """The same workspace without its key."""
    return open_workspace(ws.root, {"parallel": 1}, {}, "tester")


def test_catalogue_backup(ws: Workspace, key: Key, tmp_path: Path) -> None:
    backup = backup_now(ws, "r", encrypt=key.encrypt)
    assert backup.name.endswith("Z.age") and (backup.kind, backup.encrypted) == ("catalogue", True)
    assert list_backups(ws.backups) == [backup]
    sides = {path.name.removeprefix(backup.name) for path in ws.backups.glob(f"{backup.name}*")}
    assert sides == {"", ".sha256", ".meta.json", ".decisions.jsonl.age"}
    assert all(b"images" not in path.read_bytes()[:200] for path in ws.backups.glob("*.age"))
    identity = pyrage.x25519.Identity.from_str(key.path.read_text().splitlines()[-1])
    assert pyrage.decrypt(backup.path.read_bytes(), [identity]) == ws.catalogue.read_bytes()
    assert verify_backups(ws, backup.name)[0].state == "good"
    found = restore_backup(ws, backup.name, tmp_path / "to")
    assert found.unpacked is not None and found.unpacked.count == 2
    assert (tmp_path / "to" / "library.json").read_bytes() == ws.catalogue.read_bytes()
    assert (tmp_path / "to" / "decisions.jsonl").read_bytes() == b'{"who": "anna"}\n'


def test_full_backup(ws: Workspace, key: Key, tmp_path: Path) -> None:
    backup = full_backup(ws, "r", encrypt=key.encrypt).backup
    assert backup.name.endswith(".zip.age") and (backup.kind, backup.encrypted) == ("full", True)
    assert verify_backups(ws, backup.name)[0].state == "good"
    found = restore_backup(ws, backup.name, tmp_path / "to")
    assert found.unpacked is not None and found.unpacked.count == 5
    assert read_backup_catalogue(ws.backups, backup.name, key.decrypt) == ws.catalogue.read_bytes()
    assert not [path.name for path in ws.backups.iterdir() if path.name.startswith((".", "tmp"))]


def test_without_the_key_only_the_outer_hash_is_known(ws: Workspace, key: Key, tmp_path: Path) -> None:
    backup = backup_now(ws, "r", encrypt=key.encrypt)
    verdict = verify_backups(plain(ws), backup.name)[0]
    assert verdict.state == "good" and "not looked into without its key" in verdict.sentence
    with pytest.raises(BadInput, match="is encrypted"):
        restore_backup(plain(ws), backup.name, tmp_path / "to")
    with pytest.raises(BadInput, match="no key to encrypt with"):
        needed_key(plain(ws))


def test_another_key_is_told_from_damage(ws: Workspace, key: Key, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other.txt")
    backup = backup_now(ws, "r", encrypt=other.encrypt)
    verdict = verify_backups(ws, backup.name)[0]
    assert verdict.state == "unreadable" and "another key" in verdict.sentence
    mine = full_backup(ws, "r", encrypt=key.encrypt).backup
    data = bytearray(mine.path.read_bytes())
    data[-40] ^= 1
    mine.path.write_bytes(data)
    assert verify_backups(ws, mine.name)[0].state == "corrupt"
    with pytest.raises(ProcessingFailed, match="cannot be decrypted"):
        restore_backup(ws, mine.name, tmp_path / "to")


def test_way_back_is_never_an_encrypted_one(ws: Workspace, key: Key, run: Any) -> None:
    backup = backup_now(ws, "r", encrypt=key.encrypt)
    assert reusable_backup(ws) is None
    assert run(ws).summary["backup"] != backup.name


def test_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = make_key(tmp_path / "key.txt")
    finally:
        os.umask(before)
    assert key.path.stat().st_mode & 0o777 == 0o600
    body = key.path.read_text()
    assert body.splitlines()[1] == f"# public key: {key.public[0]}" and "AGE-SECRET-KEY-" in body
    with pytest.raises(BadInput, match="never overwritten"):
        make_key(key.path)
    assert key.path.read_text() == body
    assert "AGE-SECRET" not in repr(key)


@pytest.mark.skipif(os.name != "posix", reason="modes of Unix")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_key_that_others_can_read_is_refused(key: Key, mode: int) -> None:
    key.path.chmod(mode)
    with pytest.raises(EnvironmentFailed, match="others can read"):
        load_key(key.path)


@pytest.mark.parametrize(("body", "said"), [("", "holds no key"), ("# only\n", "holds no key"), ("x\n", "no age key")])
def test_key_file_without_a_key(tmp_path: Path, body: str, said: str) -> None:
    path = tmp_path / "key.txt"
    path.write_text(body)
    path.chmod(0o600)
    with pytest.raises(BadInput, match=said):
        load_key(path)
    with pytest.raises(BadInput, match="there is no key file"):
        load_key(tmp_path / "nowhere")


def test_error_of_what_is_encrypted_reaches_the_caller_and_leaves_no_thread(key: Key) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        list(key.encrypt(pieces()))


def test_taker_that_leaves_early_ends_the_encryption(key: Key) -> None:
    import threading

    taken = key.encrypt(iter([b"x" * 1_000_000] * 50))
    next(taken)
    taken.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "backup-encryption"]


def test_extra_that_is_not_installed_is_said(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrage", None)
    with pytest.raises(EnvironmentFailed, match=r"extra \[encryption\]"):
        load_key(key.path)
