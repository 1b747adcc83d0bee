"""Fingerprints and pairs of images that came after the first run, in both profiles."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from mobius_tui.fingerprint.model import Outcome
from mobius_tui.fingerprint.versions import decoder_version
from mobius_tui.operations.live import scan_library
from mobius_tui.operations.live_hashing import LiveHasher
from mobius_tui.operations.live_pairs import LivePairs
from mobius_tui.operations.options import default_options
from mobius_tui.operations.run import run_in_foreground
from mobius_tui.store.database import open_database
from mobius_tui.store.events import list_events
from mobius_tui.store.images import Fingerprint, KnownFile, find_files, keep_files, keep_fingerprints
from mobius_tui.store.jobs import add_job
from mobius_tui.store.pairs import list_pairs
from mobius_tui.store.scan import count_pending
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, init_workspace, open_workspace


def picture(seed: int, size: tuple[int, int] = (420, 400)) -> Image.Image:
    cells = bytes((i * i * (seed + 3) * 37 + i * 91 + seed * 59) % 256 for i in range(132))
    return Image.frombytes("L", (12, 11), cells).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture(params=["exact", "fast"])
def ws(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    (tmp_path / "mobius.toml").write_text(f'profile = "{request.param}"\nparallel = 1\nbatch_size = 2\n')
    made = open_workspace(tmp_path, {}, {}, "tester")
    for number in range(4):
        picture(number).save(made.library / f"p{number}.jpg", quality=92)
    return made


@pytest.fixture
def connection(ws: Workspace) -> Iterator[sqlite3.Connection]:
    opened = open_database(ws.database)
    yield opened
    opened.close()


@pytest.fixture
def hasher(ws: Workspace) -> Iterator[LiveHasher]:
    made = LiveHasher(ws)
    yield made
    made.close()


def migrate(ws: Workspace, connection: sqlite3.Connection) -> None:
    job = run_in_foreground(ws, connection, "migrate", default_options(ws).to_json())
    assert job.state == "done", job.error


def follow(ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher) -> int:
    """Scan and hash until nothing is left; returns the images that were read."""
    for path in ws.library.iterdir():
        old = time.time() - 60  # they rest
        os.utime(path, (old, path.stat().st_mtime if path.stat().st_mtime < old else old))
    if scan_library(ws, connection, lambda change: None).changed:
        hasher.forget()
    images = 0
    while True:
        done = hasher.hash_pending(connection, lambda: True)
        images += done.images
        assert not done.note
        if not done.again:
            return images


def test_live_pairs_are_those_that_a_whole_run_finds(
    ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher
) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    near = picture(2).filter(ImageFilter.GaussianBlur(1))
    near.save(ws.library / "near2.jpg", quality=60)
    picture(2, (460, 440)).save(ws.library / "large2.png")
    picture(3).save(ws.library / "same3.png")
    picture(9).save(ws.library / "other.jpg", quality=92)
    assert follow(ws, connection, hasher) == 4
    live = {p.id: (p.left_path, p.right_path, p.distance, p.confidence) for p in list_pairs(connection)}
    assert len(live) >= 3
    migrate(ws, connection)
    whole = {p.id: (p.left_path, p.right_path, p.distance, p.confidence) for p in list_pairs(connection)}
    assert whole.keys() <= live.keys()
    assert {key: live[key] for key in whole} == whole


def test_nothing_is_hashed_before_the_first_run(
    ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher
) -> None:
    assert follow(ws, connection, hasher) == 0
    assert count_pending(connection) == 4


def test_a_running_migration_comes_first(ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    picture(7).save(ws.library / "new.png")
    os.utime(ws.library / "new.png", (1, 1))
    scan_library(ws, connection, lambda change: None)
    add_job(connection, "migrate", {}, "ann", owner=process_token())
    done = hasher.hash_pending(connection, lambda: True)
    assert (done.images, done.again) == (0, True)


def test_it_stops_between_batches(ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    for number in range(20, 27):
        picture(number).save(ws.library / f"n{number}.png")
        os.utime(ws.library / f"n{number}.png", (1, 1))
    scan_library(ws, connection, lambda change: None)
    answers = iter([True, False])
    done = hasher.hash_pending(connection, lambda: next(answers))
    assert done.again and 0 < done.images < 7
    assert count_pending(connection) == 7 - done.images, "what was read is kept"
    assert follow(ws, connection, hasher) == 7 - done.images


def test_a_migration_that_a_verb_starts_meanwhile_does_the_rest(
    ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher
) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    for number in range(20, 27):
        picture(number).save(ws.library / f"n{number}.png")
        os.utime(ws.library / f"n{number}.png", (1, 1))
    scan_library(ws, connection, lambda change: None)

    def go_on() -> bool:
        add_job(connection, "migrate", {}, "ann", owner=process_token())
        return True

    done = hasher.hash_pending(connection, go_on)
    assert done.again and 0 < done.images < 7


def test_a_touched_file_is_read_but_not_decoded(
    ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher
) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    decoded = connection.execute("SELECT sum(images) FROM batches").fetchone()[0]
    os.utime(ws.library / "p1.jpg", (5, 5))
    assert follow(ws, connection, hasher) == 1
    assert connection.execute("SELECT sum(images) FROM batches").fetchone()[0] == decoded
    assert count_pending(connection) == 0


def test_a_copy_of_a_known_image_is_read_but_not_decoded(
    ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher
) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    decoded = connection.execute("SELECT sum(images) FROM batches").fetchone()[0]
    copy = ws.library / "copy.jpg"
    copy.write_bytes((ws.library / "p1.jpg").read_bytes())
    assert follow(ws, connection, hasher) == 1
    assert connection.execute("SELECT sum(images) FROM batches").fetchone()[0] == decoded
    known = find_files(connection, [str(copy), str(ws.library / "p1.jpg")])
    assert known[str(copy)].sha256 == known[str(ws.library / "p1.jpg")].sha256


def test_a_file_that_is_being_written_waits_until_it_rests(
    ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    path = ws.library / "new.png"
    picture(7).save(path)
    scan_library(ws, connection, lambda change: None)
    now = path.stat().st_mtime
    monkeypatch.setattr("mobius_tui.operations.live_hashing.time.time", lambda: now + 0.1)
    done = hasher.hash_pending(connection, lambda: True)
    assert (done.images, done.again) == (0, True)
    monkeypatch.setattr("mobius_tui.operations.live_hashing.time.time", lambda: now + 1.0)
    assert hasher.hash_pending(connection, lambda: True).images == 1


def test_a_changed_content_loses_its_pairs_and_finds_new_ones(
    ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher
) -> None:
    picture(1, (430, 410)).save(ws.library / "twin.png")
    migrate(ws, connection)
    follow(ws, connection, hasher)
    assert [{p.left_path, p.right_path} for p in list_pairs(connection)] == [{"p1.jpg", "twin.png"}]
    picture(2, (430, 410)).save(ws.library / "twin.png")
    assert follow(ws, connection, hasher) == 1
    assert [{p.left_path, p.right_path} for p in list_pairs(connection)] == [{"p2.jpg", "twin.png"}]


def test_bad_files_are_told_once(ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    (ws.library / "bad.png").write_text("no image")
    Image.new("L", (300, 300), 200).save(ws.library / "flat.png")
    assert follow(ws, connection, hasher) == 2
    assert follow(ws, connection, hasher) == 0
    told = [event.message for event in list_events(connection) if event.run_id == "live"]
    assert len(told) == 2
    assert told[0].startswith("failed  bad.png") and told[1].startswith("low confidence  flat.png")
    assert list_pairs(connection) == [], "a flat picture matches nothing"


def test_an_unreadable_file_is_told_once_and_read_once_it_can_be(
    ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    path = ws.library / "new.png"
    picture(7).save(path)
    denied = Outcome(str(path), "failed", error="permission denied", cause="permission")
    with monkeypatch.context() as patched:
        patched.setattr(LiveHasher, "_outcomes", lambda self, pool, tasks: (denied for _ in tasks))
        assert follow(ws, connection, hasher) == 1
        assert follow(ws, connection, hasher) == 0, "the scan alone is no reason to try again"
        scan_library(ws, connection, lambda change: None, retry=True)
        assert follow(ws, connection, hasher) == 1
    assert [event.message for event in list_events(connection) if event.event == "image_failed"] == [
        "failed  new.png  permission denied"
    ]
    scan_library(ws, connection, lambda change: None, retry=True)
    assert follow(ws, connection, hasher) == 1
    assert find_files(connection, [str(path)])[str(path)].sha256 is not None


def test_another_decoder_waits_for_a_run(ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher) -> None:
    migrate(ws, connection)
    connection.execute("UPDATE fingerprints SET decoder = 'an older one'")
    picture(7).save(ws.library / "new.png")
    scan_library(ws, connection, lambda change: None)
    done = hasher.hash_pending(connection, lambda: True)
    assert "mobius migrate" in done.note and done.images == 0 and not done.again
    assert find_files(connection, [str(ws.library / "new.png")])[str(ws.library / "new.png")].sha256 is None


def test_fast_pairs_have_exact_distances(ws: Workspace, connection: sqlite3.Connection, hasher: LiveHasher) -> None:
    migrate(ws, connection)
    follow(ws, connection, hasher)
    picture(0).filter(ImageFilter.GaussianBlur(2)).save(ws.library / "blurred.jpg", quality=40)
    follow(ws, connection, hasher)
    (found,) = list_pairs(connection)
    rows = connection.execute(
        "SELECT dhash FROM fingerprints WHERE profile = 'exact' AND decoder = ? AND sha256 IN (?, ?)",
        (decoder_version(), found.left_sha, found.right_sha),
    ).fetchall()
    one, two = (int.from_bytes(row[0], "big") for row in rows)
    assert (one ^ two).bit_count() == found.distance


BASE = 0x0123_4567_89AB_CDEF


def flipped(bits: int, start: int = 0) -> int:
    return BASE ^ (((1 << bits) - 1) << start)


def test_fast_hashes_only_say_who_is_looked_at(connection: sqlite3.Connection, tmp_path: Path) -> None:
    """A pair that the fast hashes put 4 bits too far is found, one that they put too near is not."""
    init_workspace(tmp_path / "ws")
    ws = open_workspace(tmp_path / "ws", {"profile": "fast", "threshold": 10}, {}, "tester")
    hashes = {  # name: fast, exact
        "old": (BASE, BASE),
        "too far": (flipped(14), flipped(10)),
        "too near": (flipped(3, 20), flipped(11, 20)),
        "unlike": (flipped(40, 20), flipped(2, 40)),
    }
    prints: dict[str, Fingerprint] = {}
    for number, (name, both) in enumerate(hashes.items()):
        content = bytes([number]) * 32
        for profile, dhash in zip(("fast", "exact"), both, strict=True):
            found = Fingerprint(
                content, profile, decoder_version(), "ok", dhash, 0.9, None, None, None, "", 9, 9, 9, "JPEG"
            )
            keep_fingerprints(connection, [found])
            if profile == "fast":
                prints[name] = found
        keep_files(connection, [KnownFile(str(ws.library / f"{name}.jpg"), 1, 1, number, content)])
    asked: list[str] = []
    pairs = LivePairs(ws, lambda connection, paths: asked.extend(paths))
    for name in ("too far", "too near", "unlike"):
        pairs.forget()
        pairs.add(connection, [prints[name]])
    found_pairs = {(p.left_path, p.right_path): p.distance for p in list_pairs(connection)}
    assert {frozenset(names): bits for names, bits in found_pairs.items()} == {
        frozenset({"old.jpg", "too far.jpg"}): 10
    }
    assert asked == []


def test_exact_hashes_that_are_missing_are_made(connection: sqlite3.Connection, tmp_path: Path) -> None:
    init_workspace(tmp_path / "ws")
    ws = open_workspace(tmp_path / "ws", {"profile": "fast"}, {}, "tester")
    made = [
        Fingerprint(bytes([n]) * 32, "fast", decoder_version(), "ok", BASE, 0.9, None, None, None, "", 9, 9, 9, "JPEG")
        for n in (1, 2)
    ]
    keep_fingerprints(connection, made)
    keep_files(connection, [KnownFile(str(ws.library / f"{n}.jpg"), 1, 1, n, bytes([n]) * 32) for n in (1, 2)])
    asked: list[str] = []

    def hash_exactly(connection: sqlite3.Connection, paths: Sequence[str]) -> None:
        asked.extend(paths)
        keep_fingerprints(connection, [dataclasses.replace(found, profile="exact") for found in made])

    assert LivePairs(ws, hash_exactly).add(connection, [made[1]]) == 1
    assert sorted(asked) == [str(ws.library / "1.jpg"), str(ws.library / "2.jpg")]
