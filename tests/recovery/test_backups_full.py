"""Full backups: everything in them, files that change or vanish said, damage named file by file, unpacked safely."""

from __future__ import annotations

import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mobius_tui.errors import BadInput, EnvironmentFailed, OutOfResource, ProcessingFailed
from mobius_tui.recovery import full_backup as full_backup_module
from mobius_tui.recovery import zipped
from mobius_tui.recovery.atomic import Changed
from mobius_tui.recovery.backups import Backup, list_backups, read_backup_catalogue, verify_backup
from mobius_tui.recovery.full_backup import create_full
from mobius_tui.recovery.unpacking import unpack_full
from mobius_tui.recovery.zipped import MANIFEST, Item, Packing, contents, damage_inside, packed

CATALOGUE = b'{"images": [{"path": "a.png"}]}'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    library = tmp_path / "library"
    (library / "deck").mkdir(parents=True)
    (library / "library.json").write_bytes(CATALOGUE)
    (library / "a.png").write_bytes(b"a" * 10)
    (library / "deck" / "ü.png").write_bytes(os.urandom(3_000_000))
    (library / "empty.png").write_bytes(b"")
    os.utime(library / "a.png", ns=(5, 1_234_567_890_123_456_789))
    return tmp_path


def items(root: Path) -> list[Item]:
    found = [Item("library/library.json", root / "library" / "library.json", "catalogue")]
    images = sorted((root / "library").rglob("*.png"))
    return found + [Item(f"library/{path.relative_to(root / 'library').as_posix()}", path) for path in images]


def make(root: Path, **how: object) -> Backup:
    given = {"reason": "test", "who": "anna", "size": 100, "head": {}, **how}
    return create_full(given.pop("items", items(root)), root / "backups", **given)


def test_full_backup_and_its_side_files(root: Path) -> None:
    heard = []
    backup = make(root, details={"images": 1}, on_file=lambda packing: heard.append(packing.files))
    assert heard == [1, 2, 3, 4]
    assert (backup.kind, backup.state, backup.images, backup.encrypted) == ("full", "verified", 1, False)
    assert list_backups(root / "backups") == [backup]
    assert verify_backup(root / "backups", backup.name).state == "good"
    assert all(path.stat().st_mode & 0o137 == 0 for path in (root / "backups").iterdir())
    assert not list((root / "backups").glob(".*"))
    said = subprocess.run(
        ["sha256sum", "-c", f"{backup.name}.sha256"], cwd=root / "backups", capture_output=True, check=True
    )
    assert said.stdout.decode() == f"{backup.name}: OK\n"
    assert read_backup_catalogue(root / "backups", backup.name) == CATALOGUE
    with zipfile.ZipFile(backup.path) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        lines = [json.loads(line) for line in archive.read(MANIFEST).splitlines()]
    assert [line["path"] for line in lines[1:-1]] == [item.name for item in items(root)]
    assert lines[-1] == {"end": 4, "bytes": 3_000_010 + len(CATALOGUE)}
    by_name = {line["path"]: line for line in lines[1:-1]}
    assert by_name["library/a.png"]["mtime_ns"] == 1_234_567_890_123_456_789
    assert by_name["library/a.png"]["sha256"] == zipped.hashlib.sha256(b"a" * 10).hexdigest()


def test_large_files_are_streamed_in_zip64_form(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "_SMALL", 5)
    packing = Packing()
    pieces = list(packed(items(root), {}, packing, root))
    assert max(map(len, pieces)) <= zipped._PIECE
    whole = b"".join(pieces)
    assert damage_inside(io.BytesIO(whole)) == ""
    assert b"\x01\x00\x10\x00" in whole[:300], "the zip64 field of the first file's own header"


def test_out_is_a_name_of_ones_own(root: Path) -> None:
    backup = make(root, out="friday.zip")
    assert {path.name for path in (root / "backups").iterdir()} == {
        "friday.zip", "friday.zip.sha256", "friday.zip.meta.json",
    }  # fmt: skip
    assert verify_backup(root / "backups", backup.name).state == "good"
    with pytest.raises(BadInput, match="of that name already"):
        make(root, out="friday.zip")
    for name in ("a\\b.zip", "a\nb.zip", ".hidden", ""):
        with pytest.raises(BadInput, match="cannot name a backup"):
            make(root, out=name)


def test_vanished_and_unreadable_files_are_listed_and_the_rest_is_whole(root: Path) -> None:
    folder = root / "library" / "folder.png"
    folder.mkdir()
    more = [*items(root), Item("library/gone.png", root / "library" / "gone.png")]
    packing = Packing(skipped=[("library/out.png", "a symlink leads it out of the library")])
    backup = make(root, items=more, packing=packing)
    assert sorted(packing.skipped) == [
        ("library/folder.png", "cannot be read: not a regular file"),
        ("library/gone.png", "vanished"),
        ("library/out.png", "a symlink leads it out of the library"),
    ]
    assert packing.failed == 1
    with backup.path.open("rb") as file:
        assert sorted(contents(file).skipped) == sorted(packing.skipped)
    assert verify_backup(root / "backups", backup.name).state == "good"


@pytest.mark.parametrize("small", [1 << 25, 5])
def test_file_that_is_written_while_it_is_read_is_said(root: Path, monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    monkeypatch.setattr(zipped, "_SMALL", small)
    path = root / "library" / "a.png"
    real_whole, real_pieces = zipped.read_whole, zipped._pieces_of

    def read_whole(asked: Path) -> object:
        reading = real_whole(asked)
        if asked == path:
            path.write_bytes(reading.data + b"!")
            return zipped_reading(reading, path)
        return reading

    def pieces(file: object, problems: list[str]) -> object:
        if file.name == str(path):
            os.utime(path)
        return real_pieces(file, problems)

    monkeypatch.setattr(zipped, "read_whole", read_whole)
    monkeypatch.setattr(zipped, "_pieces_of", pieces)
    packing = Packing()
    backup = make(root, packing=packing)
    assert packing.flawed == [("library/a.png", "changed while it was read")]
    meta = json.loads((root / "backups" / f"{backup.name}.meta.json").read_bytes())
    assert meta["flawed"] == [["library/a.png", "changed while it was read"]]
    assert verify_backup(root / "backups", backup.name).state == "good", "what was read is what is in it"


def zipped_reading(reading: object, path: Path) -> object:
    from dataclasses import replace

    return replace(reading, after=path.stat())


def test_small_file_that_settles_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, seen = root / "library" / "a.png", zipped.read_whole, []

    def read_whole(asked: Path) -> object:
        reading = real(asked)
        if asked == path and not seen:
            seen.append(1)
            path.write_bytes(b"settled")
            return zipped_reading(reading, path)
        return reading

    monkeypatch.setattr(zipped, "read_whole", read_whole)
    packing = Packing()
    backup = make(root, packing=packing)
    assert packing.flawed == []
    with zipfile.ZipFile(backup.path) as archive:
        assert archive.read("library/a.png") == b"settled"


def test_catalogue_that_changes_or_vanishes_leaves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [Item("library.json", root / "nowhere.json", "catalogue")]
    with pytest.raises(EnvironmentFailed, match="vanished"):
        make(root, items=gone)
    real = zipped.read_whole

    def read_whole(asked: Path) -> object:
        reading = real(asked)
        asked.write_bytes(reading.data + b" ")
        return zipped_reading(reading, asked)

    monkeypatch.setattr(zipped, "read_whole", read_whole)
    with pytest.raises(Changed):
        make(root)
    assert list((root / "backups").iterdir()) == []


def test_too_little_space_is_said_before_anything_is_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_backup_module.shutil, "disk_usage", lambda _: type("U", (), {"free": 5_000_000})())
    assert make(root).state == "verified"
    with pytest.raises(OutOfResource, match="needs 14"):
        make(root, size=10_000_000)
    assert len(list_backups(root / "backups")) == 1


def spoil_member(path: Path, name: str) -> None:
    """Flip a byte of one file in a zip."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
        archive.fp.seek(info.header_offset + 26)
        lengths = archive.fp.read(4)
        start = info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    data = bytearray(path.read_bytes())
    data[start + 2] ^= 1
    path.write_bytes(data)


def test_damage_is_named_file_by_file(root: Path) -> None:
    backup = make(root)
    spoil_member(backup.path, "library/a.png")
    verdict = verify_backup(root / "backups", backup.name)
    assert verdict.state == "corrupt"
    assert "its hash is" in verdict.sentence and "1 of 4 files in it are damaged: library/a.png" in verdict.sentence
    assert read_backup_catalogue(root / "backups", backup.name) == CATALOGUE, "the catalogue in it is whole"
    spoil_member(backup.path, "library/library.json")
    with pytest.raises(ProcessingFailed, match=r"library/library\.json is damaged"):
        read_backup_catalogue(root / "backups", backup.name)


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-30], lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"PK" + data]
)
def test_what_is_no_whole_zip_is_corrupt(root: Path, spoil: Callable[[bytes], bytes]) -> None:
    backup = make(root)
    backup.path.write_bytes(spoil(backup.path.read_bytes()))
    assert verify_backup(root / "backups", backup.name).state == "corrupt"


def build(files: dict[str, bytes], listed: list[dict[str, object]], **how: object) -> io.BytesIO:
    """A doctored full backup."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how.get("compression", zipfile.ZIP_STORED)) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        head = {"what": "mobius full backup", "format": how.get("format", 1)}
        lines = [head, *listed, {"end": how.get("end", len(listed)), "bytes": 0}]
        archive.writestr(MANIFEST, "\n".join(json.dumps(line) for line in lines))
    made.seek(0)
    return made


def line(name: str, data: bytes = b"x", **how: object) -> dict[str, object]:
    digest = zipped.hashlib.sha256(data).hexdigest()
    return {"path": name, "size": len(data), "sha256": digest, "role": "image", "mtime_ns": 0, **how}


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "a/../../out", "a//b", "a\\..\\out", "./a", "..", ".", "a/", "a/./b", ""]
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    to = tmp_path / "to"
    with pytest.raises(ProcessingFailed, match="outside of itself"):
        unpack_full(build({name or "x": b"x"}, [line(name)]), to)
    assert not to.exists() and [path.name for path in tmp_path.iterdir()] == []


def test_no_symlink_in_the_folder_is_followed(tmp_path: Path) -> None:
    to, elsewhere = tmp_path / "to", tmp_path / "elsewhere"
    to.mkdir()
    elsewhere.mkdir()
    (to / "library").symlink_to(elsewhere)
    made = build({"library/a": b"x"}, [line("library/a")])
    with pytest.raises(BadInput, match="a symlink is in the way"):
        unpack_full(made, to, overwrite=True)
    (to / "library").unlink()
    (to / "library").mkdir()
    (to / "library" / "a").symlink_to(elsewhere / "b")
    unpack_full(made, to, overwrite=True)
    assert not (to / "library" / "a").is_symlink() and list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (build({"a": b"y"}, [line("a")]), "a is damaged"),
        (build({"a": b"xx"}, [line("a")]), "not of the size"),
        (build({}, [line("a")]), "a is not in it"),
        (build({"a": b"x" * 100}, [line("a", b"x" * 100)], compression=zipfile.ZIP_DEFLATED), "not of the size"),
        (build({"a": b"x"}, [line("a")], end=2), "manifest is not whole"),
        (build({"a": b"x"}, [line("a")], format=9), "format 9 is not known"),
        (build({"a": b"x"}, [line("a", size="?")]), "table of contents"),
        (build({"a": b"x"}, [line("a"), line("a")]), "lists a file twice"),
        (io.BytesIO(b"no zip"), "table of contents"),
    ],
)
def test_doctored_or_damaged_backups_leave_no_file_of_theirs(tmp_path: Path, made: io.BytesIO, said: str) -> None:
    with pytest.raises(ProcessingFailed, match=said):
        unpack_full(made, tmp_path / "to")
    assert not (tmp_path / "to").exists() or list((tmp_path / "to").iterdir()) == []


def test_file_that_the_manifest_does_not_list_is_damage() -> None:
    assert "not those that its manifest lists" in damage_inside(build({"a": b"x", "b": b"x"}, [line("a")]))


def test_unpacked_is_what_was_packed(root: Path, tmp_path: Path) -> None:
    backup = make(root)
    to = tmp_path / "to"
    heard = []
    with backup.path.open("rb") as file:
        done = unpack_full(file, to, heard=lambda number, total: heard.append((number, total)))
    assert (done.count, done.replaced, heard[-1]) == (4, [], (4, 4))
    for item in items(root):
        assert (to / item.name).read_bytes() == item.path.read_bytes()
        assert (to / item.name).stat().st_mode & 0o137 == 0
    assert (to / "library" / "a.png").stat().st_mtime_ns == 1_234_567_890_123_456_789


def test_nothing_is_overwritten_unasked_and_what_is_is_said(root: Path, tmp_path: Path) -> None:
    backup = make(root)
    to = tmp_path / "to"
    (to / "library").mkdir(parents=True)
    (to / "library" / "a.png").write_bytes(b"mine")
    with backup.path.open("rb") as file:
        with pytest.raises(BadInput, match=r"files are there already: library/a\.png"):
            unpack_full(file, to)
        assert [path.name for path in (to / "library").iterdir()] == ["a.png"]
        done = unpack_full(file, to, overwrite=True)
    assert done.replaced == ["library/a.png"]
    assert (to / "library" / "a.png").read_bytes() == b"a" * 10


def test_places_that_are_refused_are_refused_before_anything_is_written(root: Path, tmp_path: Path) -> None:
    def refuse(place: Path) -> None:
        if place.name == "empty.png":
            raise BadInput("live")

    with make(root).path.open("rb") as file, pytest.raises(BadInput, match="live"):
        unpack_full(file, tmp_path / "to", refuse=refuse)
    assert not (tmp_path / "to").exists()


def test_reading_error_in_the_middle_of_a_large_file_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "_SMALL", 5)
    real = zipped.open_whole

    class Broken:
        def __init__(self, path: Path) -> None:
            self.file, self.reads = real(path), 0

        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def fileno(self) -> int:
            return self.file.fileno()

        def read(self, size: int) -> bytes:
            self.reads += 1
            if self.reads > 1:
                raise OSError(5, "Input/output error")
            return self.file.read(1000)

    monkeypatch.setattr(zipped, "open_whole", lambda path: Broken(path) if path.name == "ü.png" else real(path))
    packing = Packing()
    make(root, packing=packing)
    assert packing.flawed == [("library/deck/ü.png", "cut off: Input/output error")]
