"""`mobius backup` with every option: what it says, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from running_verbs import Mobius

from mobius_tui.cli.verbs.backup import age_of
from mobius_tui.system import clock

OLD = "library.json.bak.20200101T000000Z"


@pytest.fixture
def migrated(mobius: Mobius, ws: Path) -> Path:
    assert mobius("migrate", "--workspace", ws, "-q").code == 0
    return ws


def make_old(ws: Path, mobius: Mobius, stamp: str = "20200101T000000Z") -> str:
    """A backup of long ago."""
    name = mobius("backup", "create", "--workspace", ws, "--json").json["name"]
    old = f"library.json.bak.{stamp}"
    for path in list((ws / "backups").glob(f"{name}*")):
        path.rename(path.with_name(path.name.replace(name, old)))
    hashes = ws / "backups" / f"{old}.sha256"
    hashes.write_text(hashes.read_text().replace(name, old))
    return old


def test_help_names_every_verb(mobius: Mobius) -> None:
    out = mobius("backup", "--help").out
    for verb in ("create", "verify", "list", "clean", "restore", "pin", "unpin", "key"):
        assert f"  {verb} " in out


def test_full_with_options(mobius: Mobius, migrated: Path, tmp_path: Path) -> None:
    answer = mobius(
        "backup", "create", "--full", "--exclude", "cards/*", "--reason", "move", "--workspace", migrated, "--json"
    )
    assert answer.code == 0
    assert (answer.json["kind"], answer.json["files"], answer.json["reason"]) == ("full", 3, "move")
    assert answer.json["skipped"] == answer.json["flawed"] == []
    out = mobius(
        "backup", "create", "--full", "--include", "cards/*", "--out", tmp_path / "f.zip", "--workspace", migrated
    )
    assert out.code == 0 and "f.zip" in out.out and "4 files" in out.err
    checked = subprocess.run(["sha256sum", "-c", "f.zip.sha256"], cwd=tmp_path, check=False)
    assert checked.returncode == 0
    assert mobius("backup", "create", "--full", "--out", tmp_path / "f.zip", "--workspace", migrated).code == 1
    assert mobius("backup", "create", "--full", "--out", "", "--workspace", migrated).code == 1
    assert mobius("backup", "create", "--include", "x", "--workspace", migrated).code == 1
    for name in (answer.json["name"], tmp_path / "f.zip"):
        assert mobius("backup", "verify", name, "--workspace", migrated).code == 0


def test_full_that_lacks_an_unreadable_file_is_kept_and_said(
    mobius: Mobius, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mobius_tui.recovery import zipped

    real = zipped.read_whole

    def read_whole(path: Path) -> object:
        if path.name == "king.png":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(zipped, "read_whole", read_whole)
    answer = mobius("backup", "create", "--full", "--workspace", migrated)
    assert answer.code == 2
    assert "library/cards/king.png: cannot be read: Permission denied" in answer.err
    assert "lacks 1 file that could not be read" in answer.err
    assert mobius("backup", "verify", "--workspace", migrated).code == 0


def test_list(mobius: Mobius, migrated: Path) -> None:
    assert mobius("backup", "list", "--workspace", migrated, "--json").json == []
    assert "no backup yet" in mobius("backup", "list", "--workspace", migrated).err
    old = make_old(migrated, mobius)
    name = mobius("backup", "create", "--reason", "lunch", "--workspace", migrated, "--json").json["name"]
    mobius("backup", "pin", old, "--workspace", migrated)
    told = mobius("backup", "list", "--workspace", migrated)
    assert told.code == 0 and max(map(len, told.out.splitlines())) <= 80
    lines = told.out.splitlines()
    assert lines[0].startswith(name) and "verified" in lines[0] and "lunch (" in lines[1]
    assert any(line.startswith(old) and line.endswith("pinned") for line in lines)
    facts = mobius("backup", "list", "--workspace", migrated, "--json").json
    assert [one["name"] for one in facts] == [name, old]
    assert (facts[1]["pinned"], facts[1]["keep"], facts[1]["why"].split(",")[0]) == (True, True, "pinned")
    assert facts[0]["at"].endswith("Z") and facts[0]["verified_at"].endswith("Z")
    assert mobius("backup", "list", "--emergency", "--workspace", migrated, "--json").json == []


def test_hostile_reason_is_no_terminal_control(mobius: Mobius, migrated: Path) -> None:
    mobius("backup", "create", "--reason", "\x1b[2J\u202eevil", "--workspace", migrated)
    for arguments in (["list"], ["clean", "--dry-run"], ["verify", "--all"]):
        answer = mobius("backup", *arguments, "--workspace", migrated)
        assert "\x1b" not in answer.out + answer.err and "\u202e" not in answer.out + answer.err


def test_clean_says_the_reason_for_each(mobius: Mobius, migrated: Path) -> None:
    old = [make_old(migrated, mobius, f"20200101T00000{second}Z") for second in range(7)]
    would = mobius("backup", "clean", "--dry-run", "--workspace", migrated)
    assert would.code == 0 and would.out.count("would go") == 2
    assert would.err.startswith("2 backups, ") and would.err.endswith(" would go; 5 kept:\n")
    many = [make_old(migrated, mobius, f"20190101T0000{second:02d}Z") for second in range(8)]
    lines = mobius("backup", "clean", "--dry-run", "--workspace", migrated).err.splitlines()
    assert len(lines) == 2 and lines[0] == f"{lines[1]}:" and lines[1].startswith("9 backups, ")
    for name in many:
        for path in (migrated / "backups").glob(f"{name}*"):
            path.unlink()
    assert all((migrated / "backups" / name).exists() for name in old)
    answer = mobius("backup", "clean", "--workspace", migrated, "--json")
    gone = {one["name"] for one in answer.json["decisions"] if not one["keep"]}
    assert gone == set(old[:2]) and all(one["why"] for one in answer.json["decisions"])
    assert {name for name in old if (migrated / "backups" / name).exists()} == set(old[2:])
    assert mobius("backup", "clean", "--older-than", "-1", "--workspace", migrated).code == 1
    assert mobius("backup", "clean", "--older-than", "nan", "--workspace", migrated).code == 1
    act = mobius("history", "--workspace", migrated, "--json").json[-1]
    assert act["act"] == "backup clean"


def test_pin_and_unpin(mobius: Mobius, migrated: Path) -> None:
    name = mobius("backup", "create", "--workspace", migrated, "--json").json["name"]
    assert mobius("backup", "pin", name, "--workspace", migrated, "--json").json == [{"name": name, "pinned": True}]
    assert mobius("backup", "list", "--workspace", migrated, "--json").json[0]["pinned"] is True
    assert mobius("backup", "unpin", name, "--workspace", migrated).code == 0
    assert mobius("backup", "list", "--workspace", migrated, "--json").json[0]["pinned"] is False
    for bad in (OLD, "../library/library.json", ""):
        assert mobius("backup", "pin", bad, "--workspace", migrated).code == 1


def test_restore_to_a_folder(mobius: Mobius, migrated: Path, tmp_path: Path) -> None:
    name = mobius("backup", "create", "--workspace", migrated, "--json").json["name"]
    answer = mobius("backup", "restore", name, "--to", tmp_path / "to", "--workspace", migrated)
    assert answer.code == 0 and "nothing live was touched" in answer.err
    live = (migrated / "library" / "library.json").read_bytes()
    assert (tmp_path / "to" / "library.json").read_bytes() == live
    assert mobius("backup", "restore", name, "--to", tmp_path / "to", "--workspace", migrated).code == 1
    told = mobius("backup", "restore", name, "--to", tmp_path / "to", "--overwrite", "--workspace", migrated, "--json")
    assert told.json["replaced"] == ["library.json"] and told.json["live"] is False
    assert (
        mobius("backup", "restore", name, "--to", migrated / "library", "--overwrite", "--workspace", migrated).code
        == 1
    )
    assert mobius("backup", "restore", OLD, "--workspace", migrated).code == 1
    assert mobius("backup", "restore", name, "--to", "", "--workspace", migrated).code == 1
    (migrated / "backups" / name).write_bytes(b"{}")
    assert mobius("backup", "restore", name, "--workspace", migrated).code == 2


def test_restore_live(mobius: Mobius, migrated: Path) -> None:
    live = migrated / "library" / "library.json"
    before = live.read_bytes()
    name = mobius("backup", "create", "--workspace", migrated, "--json").json["name"]
    live.write_bytes(before.replace(b"{", b'{"mine": 1, ', 1))
    told = mobius("backup", "restore", name, "--live", "--reason", "oops", "--workspace", migrated, "--json")
    assert told.code == 0 and told.json["changed"] and live.read_bytes() == before
    assert b'"mine"' in Path(told.json["emergency"]).read_bytes()
    copies = mobius("backup", "list", "--emergency", "--workspace", migrated, "--json").json
    assert [one["path"] for one in copies] == [told.json["emergency"]]
    assert mobius("backup", "verify", copies[0]["name"], "--workspace", migrated).code == 0
    again = mobius("backup", "restore", name, "--live", "--workspace", migrated)
    assert again.code == 0 and "live already" in again.out
    assert mobius("backup", "restore", name, "--live", "--to", "x", "--workspace", migrated).code == 1


def test_encrypted(mobius: Mobius, migrated: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyrage")
    assert mobius("backup", "create", "--encrypt", "--workspace", migrated).code == 1
    made = mobius("backup", "key", tmp_path / "key.txt", "--json")
    assert made.code == 0 and made.json["public"][0].startswith("age1")
    assert mobius("backup", "key", tmp_path / "key.txt").code == 1
    (migrated / "mobius.toml").write_text(f"backup_key_file = {json.dumps(str(tmp_path / 'key.txt'))}\n")
    name = mobius("backup", "create", "--encrypt", "--workspace", migrated, "--json").json["name"]
    assert name.endswith(".age") and mobius("backup", "verify", name, "--workspace", migrated).code == 0
    (tmp_path / "key.txt").chmod(0o644)
    assert mobius("backup", "create", "--encrypt", "--workspace", migrated).code == 3


def test_folder_of_backups_that_cannot_be_read(mobius: Mobius, migrated: Path) -> None:
    for path in (migrated / "backups").iterdir():
        path.unlink()
    (migrated / "backups").rmdir()
    (migrated / "backups").write_text("")
    for verb in ("list", "verify", "clean", "create"):
        answer = mobius("backup", verb, "--workspace", migrated)
        assert answer.code == 3, verb
        assert "no backup yet" not in answer.err + answer.out


def test_verify_all_finds_what_is_missing(mobius: Mobius, migrated: Path) -> None:
    name = mobius("backup", "create", "--workspace", migrated, "--json").json["name"]
    (migrated / "backups" / name).unlink()
    answer = mobius("backup", "verify", "--all", "--workspace", migrated, "--json")
    assert answer.code == 2 and [(one["name"], one["state"]) for one in answer.json] == [(name, "missing")]
    assert os.listdir(migrated / "backups")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (7199, "119m"), (7200, "2h"), (172_799, "47h"), (172_800, "2d"), (-90, "-1m")],
)
def test_age_in_one_unit(seconds: float, said: str) -> None:
    now = clock.now()
    assert age_of(now - seconds, now) == said


@pytest.mark.parametrize(
    "arguments",
    [
        ("backup", "create", "--full", "--out", ""),
        ("backup", "clean", "--older-than", "-1"),
        ("backup", "restore", "x", "--live", "--to", "y"),
        ("backup", "restore", "x", "--to", ""),
        ("backup", "key", ""),
        ("deploy", "--force", "--from", ""),
        ("report", "1", "-o", ""),
    ],
)
def test_whoever_asks_wrongly_is_told_what_to_do(mobius: Mobius, ws: Path, arguments: tuple[str, ...]) -> None:
    (ws / "library" / "library.json").write_text('{"images": []}')
    assert mobius("migrate", "--workspace", ws).code == 0
    answer = mobius(*arguments, "--workspace", ws)
    assert answer.code == 1 and ". Next: " in answer.err, answer.err
