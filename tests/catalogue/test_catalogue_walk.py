"""The walk: order, what counts as an image, loops, and what is reported."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui import errors
from mobius_tui.catalogue import walk
from mobius_tui.catalogue.walk import Problem, walk_library

LINUX = sys.platform.startswith("linux")
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def put(root: Path, *names: str, data: bytes = b"") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def walked(root: Path) -> tuple[list[str], list[Problem]]:
    problems: list[Problem] = []
    return [found.relative for found in walk_library(root, problems.append)], problems


def test_what_is_known_of_an_image(tmp_path: Path) -> None:
    put(tmp_path, "cards/oak/07.png", data=b"12345")
    os.utime(tmp_path / "cards/oak/07.png", ns=(1, 1_700_000_000_123_456_789))
    (found,) = walk_library(tmp_path, print)
    assert found.path == tmp_path / "cards/oak/07.png"
    assert found.path.is_absolute()
    assert (found.relative, found.size, found.mtime_ns) == ("cards/oak/07.png", 5, 1_700_000_000_123_456_789)
    assert found.inode == found.path.stat().st_ino


def test_byte_order_of_the_whole_path(tmp_path: Path) -> None:
    names = [
        "a/z.png",
        "a-b.png",
        "a.png",
        "a0.png",
        "B.png",
        "é.png",
        "z.png",
        "a/b/c.png",
        "a/b.png",
        "\U0001f600.png",
    ]
    put(tmp_path, *names)
    found, problems = walked(tmp_path)
    assert found == sorted(names, key=os.fsencode)
    assert found[1:4] == ["a-b.png", "a.png", "a/b.png"], "- and . come before the slash"
    assert problems == []


NAME = st.text("ab-.0é", min_size=1, max_size=3).filter(lambda name: name[0] != ".")
PART = st.lists(NAME, min_size=1, max_size=3).map("/".join)


@given(st.lists(PART, max_size=8, unique=True))
def test_byte_order_of_any_names(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    root = tmp_path_factory.mktemp("walk")
    names = [name + ".png" for name in names]
    put(root, *names)
    assert walked(root) == (sorted(names, key=os.fsencode), [])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_passed_over(tmp_path: Path) -> None:
    put(
        tmp_path,
        ".hidden.png",
        ".git/a.png",
        "a/.b/c.png",
        "notes.txt",
        "library.json",
        ".library.json.7.tmp",
        data=PNG[:4],
    )
    put(tmp_path, "a/empty", "library.json.lock")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(tmp_path)
        listener.bind("socket.png")
        os.chdir(here)
        assert walked(tmp_path) == ([], [])


def test_a_catalogue_that_is_named_like_an_image_elsewhere_is_one(tmp_path: Path) -> None:
    put(tmp_path, "library.json.png", "library.json", "a/library.json", data=PNG)
    assert walked(tmp_path) == (["a/library.json", "library.json.png"], [])


def test_unknown_extensions_are_sniffed(tmp_path: Path) -> None:
    put(tmp_path, "scan", "scan.dat", "photo.png.bak", "x.JPG", ".thumb", data=PNG)
    put(tmp_path, "note", data=b"P5 is what this note is about")
    put(tmp_path, "text", "film.mp4", data=b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41")
    assert walked(tmp_path)[0] == ["photo.png.bak", "scan", "scan.dat", "x.JPG"]


def test_where_listings_tell_no_inodes_files_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: with the zeros of the listing all folders would be one, and all files changed."""

    class Entry:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.entry = entry

        def __getattr__(self, name: str) -> object:
            return getattr(self.entry, name)

        def stat(self) -> os.stat_result:
            fields = list(self.entry.stat())
            fields[1:4] = 0, 0, 0
            return os.stat_result(fields)

    listed = os.scandir
    put(tmp_path, "a/x.png", "b/y.png", "c/z.png")
    monkeypatch.setattr(os, "scandir", lambda path: contextlib.nullcontext([Entry(entry) for entry in listed(path)]))
    problems: list[Problem] = []
    found = [(image.relative, image.inode) for image in walk_library(tmp_path, problems.append)]
    assert found == [(name, (tmp_path / name).stat().st_ino) for name in ("a/x.png", "b/y.png", "c/z.png")]
    assert problems == []


def test_links_to_folders_outside_are_followed_once(tmp_path: Path) -> None:
    root, outside = tmp_path / "library", tmp_path / "outside"
    put(outside, "x.png", "deep/y.png")
    put(root, "m.png")
    (root / "a").symlink_to(outside)
    (root / "b").symlink_to("../outside/deep")
    found, problems = walked(root)
    assert found == ["a/deep/y.png", "a/x.png", "m.png"]
    assert [(p.relative, p.kind) for p in problems] == [("b", "loop")]


def test_loops_end(tmp_path: Path) -> None:
    root, outside = tmp_path / "library", tmp_path / "outside"
    put(root, "a/b/x.png")
    put(outside, "y.png")
    (root / "a/b/up").symlink_to("..")
    (root / "a/b/root").symlink_to(root)
    (root / "a/b/above").symlink_to(tmp_path)
    (root / "a/b/self").symlink_to("self")
    (root / "a/first").symlink_to("b")
    (root / "out").symlink_to(outside)
    (outside / "again").symlink_to(outside)
    (outside / "back").symlink_to(root / "a")
    found, problems = walked(root)
    assert found == ["a/b/x.png", "out/y.png"]
    assert {p.relative: p.kind for p in problems if p.kind == "loop"} == dict.fromkeys(
        ("a/b/up", "a/b/root", "a/b/above", "a/first", "out/again", "out/back"), "loop"
    )


def test_a_real_folder_is_read_under_its_own_name_not_its_links(tmp_path: Path) -> None:
    put(tmp_path, "z/x.png")
    (tmp_path / "a").symlink_to("z")
    assert walked(tmp_path)[0] == ["z/x.png"]


def test_a_hidden_folder_is_read_where_a_link_shows_it(tmp_path: Path) -> None:
    put(tmp_path, ".store/x.png")
    (tmp_path / "a").symlink_to(".store")
    assert walked(tmp_path) == (["a/x.png"], [])


def test_links_to_files(tmp_path: Path) -> None:
    put(tmp_path, "x.png", data=b"123")
    (tmp_path / "y.png").symlink_to("x.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "gone.txt").symlink_to("nowhere.txt")
    (tmp_path / "self.png").symlink_to("self.png")
    found, problems = walked(tmp_path)
    assert found == ["x.png", "y.png"]
    assert {(p.relative, p.kind) for p in problems} == {("gone.png", "link"), ("self.png", "unreadable")}


@pytest.mark.skipif(not LINUX, reason="other systems refuse such names themselves")
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path)
    Path(os.fsdecode(root + b"/fold\xe9r")).mkdir()
    for name in (b"/caf\xe9.png", b"/fold\xe9r/a.png", b"/fine.png"):
        Path(os.fsdecode(root + name)).write_bytes(b"")
    found, problems = walked(tmp_path)
    assert found == ["fine.png"]
    assert [(p.relative, p.kind) for p in problems] == [("caf\udce9.png", "name"), ("fold\udce9r", "name")]


def test_hostile_names_come_out_exact(tmp_path: Path) -> None:
    names = ["a\nb.png", "\x1b[2J.png", "\u202egnp.png", "[/].png"]
    put(tmp_path, *names)
    assert walked(tmp_path) == (sorted(names, key=os.fsencode), [])


@pytest.mark.parametrize("denied", ["scandir", "open"])
def test_without_permission(tmp_path: Path, denied: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "closed/x.png", "unknown", "z.png", data=PNG)
    genuine = getattr(os, denied)

    def refusing(path: str, *args: object) -> object:
        if str(path).endswith(("closed", "unknown")):
            raise PermissionError(13, "Permission denied", path)
        return genuine(path, *args)

    monkeypatch.setattr(walk.os, denied, refusing)
    found, problems = walked(tmp_path)
    assert found[-1] == "z.png"
    assert [(p.relative, p.kind) for p in problems] == [
        ("closed" if denied == "scandir" else "unknown", "permission"),
    ]


def test_what_vanishes_is_passed_over_quietly(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png", "c", "d/e.png", "f/g.png", data=PNG)
    problems: list[Problem] = []
    found = []
    for image in walk_library(tmp_path, problems.append):
        found.append(image.relative)
        if image.relative == "a.png":
            (tmp_path / "b.png").unlink()
            (tmp_path / "c").unlink()
            (tmp_path / "d/e.png").unlink()
            (tmp_path / "d").rmdir()
    assert (found, problems) == (["a.png", "f/g.png"], [])


def test_no_folder(tmp_path: Path) -> None:
    put(tmp_path, "file")
    for name in ("none", "file"):
        with pytest.raises(errors.BadInput) as caught:
            next(walk_library(tmp_path / name, print))
        assert errors.exit_code_of(caught.value) == 1


def test_memory_does_not_grow_with_the_folders(tmp_path: Path) -> None:
    def peak() -> int:
        tracemalloc.start()
        for _ in walk_library(tmp_path, print):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    put(tmp_path, *(f"d0/e{e}/{n}.png" for e in range(10) for n in range(20)))
    few = peak()
    put(tmp_path, *(f"d{d}/e{e}/{n}.png" for d in range(10) for e in range(10) for n in range(20)))
    assert peak() < few + 100 * 400, "a few hundred bytes a folder, nothing a file"
