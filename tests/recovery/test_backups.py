"""Catalogue backups: whole, verified, never overwritten, and what verification tells apart."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mobius_tui.errors import BadInput, EnvironmentFailed, OutOfResource, ProcessingFailed
from mobius_tui.recovery import backup_files, backup_marks
from mobius_tui.recovery import backups as backups_module
from mobius_tui.recovery.atomic import Changed
from mobius_tui.recovery.backups import (
    PREFIX,
    create_backup,
    list_backups,
    newest,
    parse_name,
    pin,
    read_backup_catalogue,
    verify_backup,
    widowed,
)
from mobius_tui.system import clock

CATALOGUE = b'{"images": [{"path": "a.png"}]}'
NOON = 1_790_000_000.0


@pytest.fixture
def catalogue(tmp_path):
    path = tmp_path / "library.json"
    path.write_bytes(CATALOGUE)
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "backups"


def make(catalogue, folder, **details):
    return create_backup(catalogue, folder, reason="test", who="anna", details=details)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_backup_and_its_side_files(catalogue, folder):
    backup = make(catalogue, folder, images=1, mobius="9.9")
    assert backup.name == PREFIX + clock.stamp(backup.at)
    assert names(folder) == [backup.name, f"{backup.name}.meta.json", f"{backup.name}.sha256"]
    assert backup.path.read_bytes() == CATALOGUE
    assert (backup.state, backup.images, backup.size, backup.who) == ("verified", 1, len(CATALOGUE), "anna")
    meta = json.loads((folder / f"{backup.name}.meta.json").read_bytes())
    assert (meta["reason"], meta["mobius"], meta["sha256"]) == ("test", "9.9", hashlib.sha256(CATALOGUE).hexdigest())
    assert list_backups(folder) == [backup]


def test_sha256sum_accepts_it_from_inside_the_folder_and_after_copying(catalogue, folder, tmp_path):
    backup = make(catalogue, folder)
    copied = folder.rename(tmp_path / "elsewhere")
    command = ["sha256sum", "-c", f"{backup.name}.sha256"]
    said = subprocess.run(command, cwd=copied, check=True, capture_output=True, text=True)
    assert said.stdout == f"{backup.name}: OK\n"
    (copied / backup.name).write_bytes(CATALOGUE + b" ")
    assert subprocess.run(command, cwd=copied, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_are_0640_or_tighter(catalogue, folder, umask):
    before = os.umask(umask)
    try:
        make(catalogue, folder)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o027 == 0
    assert all(path.stat().st_mode & 0o137 == 0 for path in folder.iterdir())


def test_taken_stamp_waits_for_the_next_second(catalogue, folder, monkeypatch):
    now = [NOON]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(backup_marks.time, "sleep", lambda _: now.__setitem__(0, now[0] + 1))
    first = make(catalogue, folder)
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    catalogue.write_bytes(CATALOGUE + b"\n")
    second = make(catalogue, folder)
    assert second.at == first.at + 1
    assert {path: path.read_bytes() for path in kept} == kept


@pytest.mark.parametrize("side", ["", ".sha256", ".meta.json"])
def test_any_file_of_a_backup_takes_its_stamp(catalogue, folder, monkeypatch, side):
    now = [NOON]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(backup_marks.time, "sleep", lambda _: now.__setitem__(0, now[0] + 1))
    folder.mkdir()
    taken = folder / f"{PREFIX}{clock.stamp(NOON)}{side}"
    taken.write_bytes(b"mine")
    assert make(catalogue, folder).at == NOON + 1
    assert taken.read_bytes() == b"mine"


def test_faster_process_keeps_its_stamp(catalogue, folder, monkeypatch):
    """Both saw the stamp free; the other one made its mark, or came to its end, before ours was made."""
    now = [NOON]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(backup_marks.time, "sleep", lambda _: now.__setitem__(0, now[0] + 1))
    name = PREFIX + clock.stamp(NOON)
    real, looked = backup_marks.is_taken, []

    def is_taken(where, asked):
        found = real(where, asked)
        looked.append(asked)
        if len(looked) == 1:
            for side in ("", ".sha256", ".meta.json"):
                (folder / f"{name}{side}").write_bytes(b"theirs")
        return found

    monkeypatch.setattr(backup_marks, "is_taken", is_taken)
    assert make(catalogue, folder).at == NOON + 1
    assert (folder / name).read_bytes() == (folder / f"{name}.sha256").read_bytes() == b"theirs"
    assert not list(folder.glob(".*"))


def test_a_mark_of_a_living_maker_takes_the_stamp_and_is_not_swept(catalogue, folder, monkeypatch):
    now = [NOON]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setattr(backup_marks.time, "sleep", lambda _: now.__setitem__(0, now[0] + 1))
    with backup_marks.claimed(folder, lambda stamp: PREFIX + stamp) as claim:
        claim.path.write_bytes(b"half")
        assert make(catalogue, folder).at == NOON + 1
        assert backup_marks.sweep(folder) == []
        assert claim.path.read_bytes() == b"half"
        assert [one.at for one in list_backups(folder)] == [NOON + 1], "what is being made is not listed"


def test_two_processes_at_once_make_two_backups(catalogue, folder):
    code = (
        "import sys; from pathlib import Path; from mobius_tui.recovery.backups import create_backup\n"
        "sys.stdin.readline(); print(create_backup(Path(sys.argv[1]), Path(sys.argv[2]), reason='', who='').name)"
    )
    command = [sys.executable, "-c", code, catalogue, folder]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    made = {process.communicate(timeout=60)[0].strip() for process in both}
    assert len(made) == 2
    assert {backup.name for backup in list_backups(folder)} == made
    assert {verify_backup(folder, name).state for name in made} == {"good"}


@pytest.mark.parametrize("step", [1, 2, 3])
def test_killed_in_the_middle_leaves_no_backup_without_side_files(catalogue, folder, step):
    code = (
        "import os, signal, sys; from pathlib import Path; from mobius_tui.recovery import atomic, backups\n"
        "real, done = atomic._put_in_place, []\n"
        "def put(*arguments):\n"
        "    done.append(1)\n"
        "    if len(done) == int(sys.argv[3]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(*arguments)\n"
        "atomic._put_in_place = put\n"
        "backups.create_backup(Path(sys.argv[1]), Path(sys.argv[2]), reason='', who='')"
    )
    command = [sys.executable, "-c", code, catalogue, folder, str(step)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert list_backups(folder) == []
    backup = make(catalogue, folder)
    found = list_backups(folder)
    assert found[0] == backup
    assert [verify_backup(folder, one.name).state for one in found] == ["good"]
    assert not [name for name in names(folder) if name.startswith(".")], "what the killed one left is swept"


def test_catalogue_that_changes_meanwhile_leaves_nothing(catalogue, folder, monkeypatch):
    real = backups_module._pieces

    def pieces(path):
        path.write_bytes(CATALOGUE + b" ")
        yield from real(path)

    monkeypatch.setattr(backups_module, "_pieces", pieces)
    with pytest.raises(Changed):
        make(catalogue, folder)
    assert names(folder) == []


def test_no_space_leaves_nothing(catalogue, folder, monkeypatch):
    real = backups_module.write_atomic

    def write(target, *arguments, **named):
        if not target.name.endswith((".sha256", ".json")):
            raise OutOfResource("full")
        return real(target, *arguments, **named)

    monkeypatch.setattr(backups_module, "write_atomic", write)
    with pytest.raises(OutOfResource):
        make(catalogue, folder)
    assert names(folder) == []


def test_nothing_to_back_up(folder, tmp_path):
    with pytest.raises(BadInput, match="no catalogue"):
        make(tmp_path / "library.json", folder)
    assert not folder.exists()


def test_folder_that_cannot_be_made(catalogue, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match="cannot be made"):
        make(catalogue, tmp_path / "file" / "backups")


def test_no_space_for_the_folder_is_a_lack_of_resources(catalogue, folder, monkeypatch):
    def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OutOfResource, match="No space left"):
        make(catalogue, folder)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)


def unreadable(path: Path) -> None:
    """What root cannot read either: a folder in its place."""
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "side", "state", "word"),
    [
        (lambda path: None, "", "good", "sha256sum -c"),
        (flip, "", "corrupt", "its hash is"),
        (lambda path: path.write_bytes(b""), "", "corrupt", "its hash is"),
        (Path.unlink, "", "missing", "the backup file is missing"),
        (unreadable, "", "unreadable", "cannot be read"),
        (Path.unlink, ".sha256", "missing", "its .sha256 file is missing"),
        (unreadable, ".sha256", "unreadable", "cannot be read"),
        (lambda path: path.write_bytes(b"\xff\xfe"), ".sha256", "corrupt", "holds no hash"),
        (lambda path: path.write_bytes(b""), ".sha256", "corrupt", "holds no hash"),
        (Path.unlink, ".meta.json", "good", "SHA-256"),
        (lambda path: path.write_bytes(b"[1"), ".meta.json", "good", "SHA-256"),
    ],
)
def test_verification_tells_apart(catalogue, folder, spoil, side, state, word):
    backup = make(catalogue, folder)
    spoil(folder / f"{backup.name}{side}")
    verdict = verify_backup(folder, backup.name)
    assert (verdict.state, verdict.name) == (state, backup.name)
    assert word in verdict.sentence
    if state == "good":
        assert list_backups(folder)[0].state == "verified"


def test_right_hash_of_something_that_is_no_catalogue_is_corrupt(catalogue, folder):
    catalogue.write_bytes(b'{"images": 3}')
    assert verify_backup(folder, make(catalogue, folder).name).state == "corrupt"
    catalogue.write_bytes(b"not JSON")
    assert verify_backup(folder, make(catalogue, folder).name).state == "corrupt"


def test_corrupt_backup_is_listed_as_such_and_a_mended_one_as_verified(catalogue, folder):
    backup = make(catalogue, folder)
    flip(backup.path)
    assert verify_backup(folder, backup.name).state == "corrupt"
    assert [one.state for one in list_backups(folder)] == ["corrupt"]
    flip(backup.path)
    verify_backup(folder, backup.name)
    assert [one.state for one in list_backups(folder)] == ["verified"]


def test_listing_is_newest_first_and_passes_over_strangers(catalogue, folder, monkeypatch):
    for at in (NOON + 5, NOON, NOON + 9):
        monkeypatch.setattr(clock, "now", lambda at=at: at)
        make(catalogue, folder)
    (folder / "README.md").write_text("")
    (folder / f"{PREFIX}yesterday").write_text("")
    (folder / f"{PREFIX}{clock.stamp(NOON + 1)}").write_text("found somewhere")
    listed = list_backups(folder)
    assert [backup.at - NOON for backup in listed] == [9, 5, 1, 0]
    assert [backup.state for backup in listed] == ["verified", "verified", "missing side file", "verified"]
    assert list_backups(folder / "nowhere") == []


def test_verification_of_a_folder_that_cannot_be_written(catalogue, folder, monkeypatch):
    backup = make(catalogue, folder)

    def write(*arguments, **named):
        raise OutOfResource("full")

    monkeypatch.setattr(backups_module, "write_atomic", write)
    assert verify_backup(folder, backup.name).state == "good"


def test_decisions_are_kept_with_every_backup(catalogue, folder, tmp_path):
    decisions = tmp_path / "decisions.jsonl"
    assert create_backup(catalogue, folder, reason="", who="", decisions=decisions).decisions_sha256 == ""
    decisions.write_bytes(b'{"who": "anna"}\n')
    backup = create_backup(catalogue, folder, reason="", who="", decisions=decisions)
    side = folder / f"{backup.name}.decisions.jsonl"
    assert side.read_bytes() == b'{"who": "anna"}\n' and side.stat().st_mode & 0o137 == 0
    assert backup.decisions_sha256 == hashlib.sha256(side.read_bytes()).hexdigest()
    said = subprocess.run(["sha256sum", "-c", f"{backup.name}.sha256"], cwd=folder, capture_output=True, check=True)
    assert said.stdout.decode() == f"{backup.name}: OK\n{side.name}: OK\n"
    side.write_bytes(b'{"who": "berta"}\n')
    verdict = verify_backup(folder, backup.name)
    assert verdict.state == "corrupt" and f"the hash of {side.name} is" in verdict.sentence
    side.unlink()
    verdict = verify_backup(folder, backup.name)
    assert verdict.state == "missing" and f"{side.name} is missing" in verdict.sentence


def test_hash_file_that_names_a_place_elsewhere_is_not_followed(catalogue, folder, tmp_path):
    backup = make(catalogue, folder)
    hashes = folder / f"{backup.name}.sha256"
    hashes.write_text(hashes.read_text() + f"{'0' * 64}  ../library.json\n")
    verdict = verify_backup(folder, backup.name)
    assert verdict.state == "corrupt" and "not beside it" in verdict.sentence


def test_folder_that_cannot_be_read_is_no_empty_one(catalogue, tmp_path):
    """Root reads everything: a file in the folder's place stands for what cannot be listed."""
    (tmp_path / "backups").write_text("")
    for ask in (list_backups, widowed):
        with pytest.raises(EnvironmentFailed, match="cannot be listed"):
            ask(tmp_path / "backups")


def test_those_of_which_only_side_files_are_left(catalogue, folder):
    assert widowed(folder) == []
    backup = make(catalogue, folder)
    assert widowed(folder) == []
    backup.path.unlink()
    (folder / "notes.sha256").write_text("")
    assert widowed(folder) == [backup.name]
    assert list_backups(folder) == []


def test_newest_is_none_of_the_future(catalogue, folder, monkeypatch):
    for at in (NOON, NOON + 9000, NOON + 50):
        monkeypatch.setattr(clock, "now", lambda at=at: at)
        make(catalogue, folder)
    assert newest(list_backups(folder), NOON + 100).at == NOON + 50
    assert newest(list_backups(folder), NOON + 9000).at == NOON + 9000
    assert newest([], NOON) is None


def test_catalogue_of_a_backup_is_verified_while_it_is_read(catalogue, folder):
    backup = make(catalogue, folder)
    assert read_backup_catalogue(folder, backup.name) == CATALOGUE
    flip(backup.path)
    with pytest.raises(ProcessingFailed, match="its hash is"):
        read_backup_catalogue(folder, backup.name)
    unreadable(backup.path)
    with pytest.raises(EnvironmentFailed, match="cannot be read"):
        read_backup_catalogue(folder, backup.name)
    backup.path.rmdir()
    with pytest.raises(ProcessingFailed, match="the backup file is missing"):
        read_backup_catalogue(folder, backup.name)


def test_recorded_hash_of_what_is_no_catalogue_does_not_make_it_one(catalogue, folder):
    catalogue.write_bytes(b"[]")
    with pytest.raises(ProcessingFailed, match="no array of images"):
        read_backup_catalogue(folder, make(catalogue, folder).name)


def test_pins(catalogue, folder):
    backup = make(catalogue, folder)
    pin(folder, backup.name, True, who="anna", reason="the fair")
    assert list_backups(folder)[0].pinned
    assert verify_backup(folder, backup.name).state == "good"
    assert list_backups(folder)[0].pinned, "a verification keeps the pin"
    pin(folder, backup.name, False)
    assert list_backups(folder) == [backup]
    with pytest.raises(BadInput, match="there is no backup"):
        pin(folder, PREFIX + "20200101T000000Z", True)


def test_pin_and_verification_at_once_lose_neither(catalogue, folder, monkeypatch):
    backup = make(catalogue, folder)
    real, meddled = backup_files.write_atomic, []

    def write(target, *arguments, **named):
        if not meddled:
            meddled.append(1)
            pin(folder, backup.name, True)
        return real(target, *arguments, **named)

    monkeypatch.setattr(backup_files, "write_atomic", write)
    flip(backup.path)
    assert verify_backup(folder, backup.name).state == "corrupt"
    found = list_backups(folder)[0]
    assert (found.pinned, found.state) == (True, "corrupt")


@pytest.mark.parametrize(
    ("name", "kind", "encrypted"),
    [
        ("library.json.bak.20261120T120000Z", "catalogue", False),
        ("library.json.bak.20261120T120000Z.age", "catalogue", True),
        ("dhash_20261120T120000Z.zip", "full", False),
        ("dhash_20261120T120000Z.zip.age", "full", True),
    ],
)
def test_names(name, kind, encrypted):
    found = parse_name(name)
    assert (found.kind, found.encrypted, clock.stamp(found.at)) == (kind, encrypted, "20261120T120000Z")


@pytest.mark.parametrize(
    "name",
    ["library.json", "library.json.bak.", "library.json.bak.20261320T120000Z", "dhash_20261120T120000Z", "x.zip",
     "library.json.bak.20261120T120000Z.sha256", "library.json.bak.20261120T120000Z.age.meta.json"],
)  # fmt: skip
def test_what_is_no_name(name):
    assert parse_name(name) is None
