"""Comparing the library with the store: new, changed, moved, gone, and not mounted."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from known_files import all_files

from mobius_tui.operations import live
from mobius_tui.operations.live import Change, ScanResult, accept_library, refresh_files, scan_library
from mobius_tui.store.database import open_database, write_meta, writing
from mobius_tui.store.events import list_events
from mobius_tui.store.images import KnownFile, find_files, keep_files
from mobius_tui.store.pairs import Pair, keep_pairs, list_pairs
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

SHA = {name: bytes([number]) * 32 for number, name in enumerate("abcdef", start=1)}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    return open_workspace(tmp_path, {}, {}, "tester")


@pytest.fixture
def connection(ws: Workspace) -> Iterator[sqlite3.Connection]:
    opened = open_database(ws.database)
    yield opened
    opened.close()


def put(ws: Workspace, name: str, content: str = "x") -> Path:
    path = ws.library / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def scan(ws: Workspace, connection: sqlite3.Connection) -> tuple[ScanResult, list[Change]]:
    changes: list[Change] = []
    return scan_library(ws, connection, changes.append), changes


def read_all(connection: sqlite3.Connection) -> None:
    """As if every file had been read: its content is told by the first letter of its name."""
    with writing(connection):
        keep_files(
            connection,
            [
                KnownFile(f.path, f.size, Path(f.path).stat().st_mtime_ns, f.inode, SHA[Path(f.path).name[0]])
                for f in all_files(connection)
            ],
        )


def said(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return [(event.event, event.message) for event in list_events(connection)]


def counts(result: ScanResult) -> tuple[int, int, int, int]:
    return result.new, result.changed, result.moved, result.gone


def pair(left: str, right: str) -> Pair:
    return Pair(left + right, SHA[left[0]], SHA[right[0]], left, right, 3, 0.5, "waiting")


def test_a_second_look_finds_nothing(ws: Workspace, connection: sqlite3.Connection) -> None:
    put(ws, "a.png")
    put(ws, "sub/b.jpg")
    put(ws, "notes.txt")
    put(ws, ".hidden.png")
    result, changes = scan(ws, connection)
    assert counts(result) == (2, 0, 0, 0) and (result.images, result.unhashed) == (2, 2)
    assert [change.kind for change in changes] == ["new", "new"]
    assert said(connection) == [("image_new", "new  a.png"), ("image_new", "new  sub/b.jpg")]
    result, changes = scan(ws, connection)
    assert result.changes == 0 and not changes and len(said(connection)) == 2


def test_many_at_once_are_one_event(ws: Workspace, connection: sqlite3.Connection) -> None:
    for number in range(21):
        put(ws, f"a{number}.png")
    scan(ws, connection)
    assert said(connection) == [("image_new", "21 new images")]
    assert list_events(connection)[0].fields["count"] == 21
    for number in range(20):
        (ws.library / f"a{number}.png").unlink()
    scan(ws, connection)
    assert len(said(connection)) == 21


def test_a_changed_file_waits_to_be_read_and_keeps_its_content_till_then(
    ws: Workspace, connection: sqlite3.Connection
) -> None:
    path = put(ws, "a.png")
    scan(ws, connection)
    read_all(connection)
    assert scan(ws, connection)[0].unhashed == 0
    path.write_text("longer")
    result, _ = scan(ws, connection)
    assert counts(result) == (0, 1, 0, 0) and result.unhashed == 1
    known = find_files(connection, [str(path)])[str(path)]
    assert (known.sha256, known.mtime_ns, known.size) == (SHA["a"], -1, 6)
    assert scan(ws, connection)[0].changes == 0, "it is told once"


def test_a_change_of_the_time_alone_is_a_change(ws: Workspace, connection: sqlite3.Connection) -> None:
    path = put(ws, "a.png")
    scan(ws, connection)
    read_all(connection)
    os.utime(path, ns=(1, 1))
    assert scan(ws, connection)[0].changed == 1


def test_a_moved_file_keeps_its_content_without_being_read(ws: Workspace, connection: sqlite3.Connection) -> None:
    old = put(ws, "a.png")
    put(ws, "b.png")
    scan(ws, connection)
    read_all(connection)
    keep_pairs(connection, [pair("a.png", "b.png")], "r")
    new = ws.library / "deep" / "c.png"
    new.parent.mkdir()
    old.rename(new)
    result, changes = scan(ws, connection)
    assert counts(result) == (0, 0, 1, 0) and result.unhashed == 0
    assert changes == [Change("moved", str(new), str(old))]
    assert said(connection)[-1] == ("image_moved", "moved  a.png  to  deep/c.png")
    assert [(p.left_path, p.right_path) for p in list_pairs(connection)] == [("deep/c.png", "b.png")]
    assert {f.path: f.sha256 for f in all_files(connection)} == {
        str(new): SHA["a"],
        str(ws.library / "b.png"): SHA["b"],
    }


def test_a_hard_link_is_a_new_file_whose_content_is_known(ws: Workspace, connection: sqlite3.Connection) -> None:
    path = put(ws, "a.png")
    scan(ws, connection)
    read_all(connection)
    os.link(path, ws.library / "d.png")
    result, _ = scan(ws, connection)
    assert counts(result) == (1, 0, 0, 0) and result.unhashed == 0


def test_two_names_for_one_former_are_one_move(ws: Workspace, connection: sqlite3.Connection) -> None:
    path = put(ws, "a.png")
    scan(ws, connection)
    read_all(connection)
    os.link(path, ws.library / "d.png")
    path.rename(ws.library / "e.png")
    result, _ = scan(ws, connection)
    assert counts(result) == (1, 0, 1, 0)


def test_a_file_moved_over_another_drops_the_pairs_of_what_it_replaced(
    ws: Workspace, connection: sqlite3.Connection
) -> None:
    for name in ("a.png", "b.png", "c.png"):
        put(ws, name, name * ord(name[0]))
    scan(ws, connection)
    read_all(connection)
    keep_pairs(connection, [pair("a.png", "c.png"), pair("b.png", "c.png")], "r")
    (ws.library / "a.png").rename(ws.library / "b.png")
    result, _ = scan(ws, connection)
    assert (result.changed, result.unhashed) == (1, 0)
    assert [(p.left_path, p.right_path) for p in list_pairs(connection)] == [("b.png", "c.png")]


def test_pairs_go_with_the_last_file_of_a_content(ws: Workspace, connection: sqlite3.Connection) -> None:
    for name in ("a.png", "a2.png", "b.png"):
        put(ws, name, name)
    scan(ws, connection)
    read_all(connection)
    keep_pairs(connection, [pair("a.png", "b.png")], "r")
    (ws.library / "a.png").unlink()
    assert scan(ws, connection)[0].gone == 1
    assert [p.left_path for p in list_pairs(connection)] == ["a2.png"]
    (ws.library / "a2.png").unlink()
    scan(ws, connection)
    assert list_pairs(connection) == []


def test_a_file_known_from_elsewhere_is_not_gone(ws: Workspace, connection: sqlite3.Connection) -> None:
    """The catalogue may name files that the walk passes over, and files outside the library."""
    hidden, outside = put(ws, ".kept.png"), ws.root / "outside.png"
    outside.write_text("x")
    rows = [KnownFile(str(p), 1, p.stat().st_mtime_ns, p.stat().st_ino, SHA["a"]) for p in (hidden, outside)]
    keep_files(connection, [*rows, KnownFile(str(ws.root / "gone outside.png"), 1, 1, 1, SHA["b"])])
    assert scan(ws, connection)[0].changes == 0
    assert len(all_files(connection)) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_looked_at_is_not_gone(ws: Workspace, connection: sqlite3.Connection) -> None:
    put(ws, "sub/a.png")
    scan(ws, connection)
    (ws.library / "sub").chmod(0)
    try:
        result, _ = scan(ws, connection)
    finally:
        (ws.library / "sub").chmod(0o700)
    assert result.gone == 0 and result.skipped


def test_a_file_that_failed_before_it_was_looked_at_is_not_told_again(
    ws: Workspace, connection: sqlite3.Connection
) -> None:
    path = put(ws, "a.png")
    keep_files(connection, [KnownFile(str(path), 0, 0, 0, None, "permission denied", "permission")])
    assert scan(ws, connection)[0].changes == 0
    assert scan(ws, connection)[0].unhashed == 0
    path.write_text("changed")
    result = scan(ws, connection)[0]
    assert (result.changed, result.unhashed) == (1, 1)


def test_a_missing_library_loses_nothing(ws: Workspace, connection: sqlite3.Connection) -> None:
    put(ws, "a.png")
    scan(ws, connection)
    ws.library.rename(ws.root / "aside")
    result, changes = scan(ws, connection)
    assert "nothing is taken as gone" in result.note and not changes and result.images == 1
    again = refresh_files(ws, connection, [str(ws.library / "a.png")], changes.append)
    assert again.note and not changes


@pytest.mark.parametrize(("left", "note"), [(0, True), (4, True), (5, False), (10, False)])
def test_another_filesystem_without_most_images_is_not_mounted(
    ws: Workspace, connection: sqlite3.Connection, left: int, note: bool
) -> None:
    for number in range(10):
        put(ws, f"a{number}.png", "x" * number)
    scan(ws, connection)
    for number in range(10 - left):
        (ws.library / f"a{number}.png").unlink()
    write_meta(connection, live._DEVICE, "another")
    result, changes = scan(ws, connection)
    assert bool(result.note) is note
    assert len(changes) == (0 if note else 10 - left)
    if note:
        accept_library(connection)
        result, changes = scan(ws, connection)
        assert not result.note and len(changes) == 10 - left


def test_an_emptied_library_on_the_same_filesystem_is_empty(ws: Workspace, connection: sqlite3.Connection) -> None:
    path = put(ws, "a.png")
    scan(ws, connection)
    path.unlink()
    assert scan(ws, connection)[0].gone == 1


def test_hints_are_checked_against_the_files(ws: Workspace, connection: sqlite3.Connection) -> None:
    changes: list[Change] = []
    names = ["a.png", "notes.txt", ".b.png", ".dir/c.png", "library.json", "none.png", "bad\udcff.png"]
    for name in names[:5]:
        put(ws, name)
    hints = [str(ws.library / name) for name in names] + ["/etc/passwd", str(ws.library)]
    refresh_files(ws, connection, hints, changes.append)
    assert changes == [Change("new", str(ws.library / "a.png"))]
    read_all(connection)
    (ws.library / "a.png").rename(ws.library / "f.png")
    changes.clear()
    refresh_files(ws, connection, [str(ws.library / name) for name in ("a.png", "f.png")], changes.append)
    assert changes == [Change("moved", str(ws.library / "f.png"), str(ws.library / "a.png"))]
    (ws.library / "f.png").unlink()
    changes.clear()
    refresh_files(ws, connection, [str(ws.library / "f.png")], changes.append)
    assert changes == [Change("gone", str(ws.library / "f.png"))]
    assert all_files(connection) == []


def test_a_hint_for_an_unreadable_file_is_a_reason_to_read_it_again(
    ws: Workspace, connection: sqlite3.Connection
) -> None:
    path = put(ws, "a.png")
    status = path.stat()
    failed = KnownFile(str(path), status.st_size, status.st_mtime_ns, status.st_ino, None, "denied", "permission")
    keep_files(connection, [failed])
    assert scan(ws, connection)[0].unhashed == 0
    result = refresh_files(ws, connection, [str(path)], lambda change: None)
    assert (result.unhashed, result.changes) == (1, 0)
    keep_files(connection, [failed])
    assert scan_library(ws, connection, lambda change: None, retry=True).unhashed == 1


def test_names_go_through_as_they_are(ws: Workspace, connection: sqlite3.Connection) -> None:
    hostile = "[@click=app.quit]\x1b[31m\u202e\n.png"
    put(ws, hostile)
    scan(ws, connection)
    assert list_events(connection)[0].fields == {"path": hostile}


def test_more_than_a_page(ws: Workspace, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and commits smaller than the library change nothing."""
    monkeypatch.setattr("mobius_tui.store.scan.PAGE", 3)
    monkeypatch.setattr(live, "_COMMIT", 2)
    for number in range(20):
        put(ws, f"a{number:02}/p{'-' * number}.png", "x" * number)
    assert scan(ws, connection)[0].new == 20
    read_all_by_size(connection)
    for number in range(0, 20, 2):
        (ws.library / f"a{number:02}" / f"p{'-' * number}.png").unlink()
    (ws.library / "a01").rename(ws.library / "z")
    result, _ = scan(ws, connection)
    assert counts(result) == (0, 0, 1, 10)
    assert scan(ws, connection)[0].changes == 0


def read_all_by_size(connection: sqlite3.Connection) -> None:
    with writing(connection):
        keep_files(
            connection,
            [KnownFile(f.path, f.size, f.mtime_ns, f.inode, bytes([f.size]) * 32) for f in all_files(connection)],
        )


def test_what_a_run_reads_meanwhile_is_not_forgotten(ws: Workspace, connection: sqlite3.Connection) -> None:
    """Else the file would be decoded a second time."""
    fresh, changed = put(ws, "a.png"), put(ws, "b.png")
    status = changed.stat()
    keep_files(connection, [KnownFile(str(changed), 99, 99, status.st_ino, SHA["c"])])
    read = [KnownFile(str(p), 1, p.stat().st_mtime_ns, p.stat().st_ino, SHA["d"]) for p in (fresh, changed)]

    def the_run_commits(change: Change) -> None:
        keep_files(connection, [file for file in read if file.path == change.path])

    result = scan_library(ws, connection, the_run_commits)
    assert (result.new, result.changed, result.unhashed) == (1, 1, 0)
    assert all_files(connection) == read
