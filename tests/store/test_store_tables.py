"""Pairs, events, known files, fingerprints, the worker's row and the snapshot."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from pathlib import Path

from known_files import all_files

from mobius_tui.store.database import open_database, open_for_reading, writing
from mobius_tui.store.events import add_event, forget_events, list_events
from mobius_tui.store.images import (
    Fingerprint,
    KnownFile,
    find_files,
    find_fingerprints,
    fingerprints_by_path,
    forget_files,
    has_fingerprints,
    keep_files,
    keep_fingerprints,
)
from mobius_tui.store.jobs import add_job, finish_job
from mobius_tui.store.pairs import (
    Pair,
    count_pairs,
    drop_other_pairs,
    drop_pairs_of,
    keep_pairs,
    list_pairs,
    rename_in_pairs,
)
from mobius_tui.store.scan import Seen, count_pending, former_files, pending_files, vanished_contents
from mobius_tui.store.snapshot import count_low_confidence, read_snapshot
from mobius_tui.store.worker_row import WorkerRow, read_worker, write_worker
from mobius_tui.system.processes import process_token

HOSTILE = "[@click=app.quit]a[/] \x1b[31m \u202e\n.png"


def sha(number: int) -> bytes:
    return number.to_bytes(32, "big")


def pair(name: str, left: int, right: int, confidence: float = 0.5) -> Pair:
    return Pair(name, sha(left), sha(right), f"{left}.png", f"{right}.png", 9, confidence, "waiting", ("a", HOSTILE))


def fingerprint(number: int, *, status: str = "ok", dhash: int | None = 2**64 - 1) -> Fingerprint:
    return Fingerprint(sha(number), "exact", "d", status, dhash, 0.5, None, None, None, "", 3, 4, 5, "PNG")


def test_pairs_come_most_confident_first_and_are_written_over(connection: sqlite3.Connection) -> None:
    keep_pairs(connection, [pair("a", 1, 2, 0.2), pair("b", 3, 4, 0.9), pair("c", 5, 6, 0.2)], "r1")
    assert [p.id for p in list_pairs(connection)] == ["b", "a", "c"]
    keep_pairs(connection, [dataclasses.replace(pair("a", 1, 2, 0.95), distance=3)], "r2")
    first = list_pairs(connection)[0]
    assert (first.id, first.distance, first.evidence) == ("a", 3, ("a", HOSTILE))
    assert count_pairs(connection) == 3
    assert [p.id for p in list_pairs(connection, limit=1, offset=2)] == ["c"]


def test_many_pairs(connection: sqlite3.Connection) -> None:
    keep_pairs(connection, (pair(f"{n:05}", n, n + 1) for n in range(4500)), "r")
    assert count_pairs(connection) == 4500


def test_pairs_not_found_again_are_dropped(connection: sqlite3.Connection) -> None:
    keep_pairs(connection, [pair("a", 1, 2), pair("b", 3, 4)], "r1")
    keep_pairs(connection, [pair("b", 3, 4)], "r2")
    assert drop_other_pairs(connection, "r2") == 1
    assert [p.id for p in list_pairs(connection)] == ["b"]


def test_pairs_of_lost_contents_are_dropped_on_either_side(connection: sqlite3.Connection) -> None:
    keep_pairs(connection, [pair("a", 1, 2), pair("b", 2, 3), pair("c", 3, 4)], "r")
    assert drop_pairs_of(connection, [sha(2)]) == 2
    assert [p.id for p in list_pairs(connection)] == ["c"]


def test_a_renamed_file_is_renamed_in_its_pairs_only(connection: sqlite3.Connection) -> None:
    keep_pairs(connection, [pair("a", 1, 2), pair("b", 2, 1)], "r")
    rename_in_pairs(connection, sha(1), "1.png", HOSTILE)
    rename_in_pairs(connection, sha(2), "other.png", "x")
    names = {p.id: (p.left_path, p.right_path) for p in list_pairs(connection)}
    assert names == {"a": (HOSTILE, "2.png"), "b": ("2.png", HOSTILE)}


def test_events_by_level_run_and_number(connection: sqlite3.Connection) -> None:
    for number, level in enumerate(("debug", "info", "warning", "error"), start=1):
        add_event(connection, level, "t", f"e{number}", HOSTILE, run_id=f"r{number % 2}", fields={"n": number})
    assert [e.event for e in list_events(connection, level="warning")] == ["e3", "e4"]
    assert [e.event for e in list_events(connection, run_id="r1")] == ["e1", "e3"]
    assert [e.event for e in list_events(connection, after=2)] == ["e3", "e4"]
    assert [e.event for e in list_events(connection, limit=1)] == ["e4"]
    assert list_events(connection)[0].message == HOSTILE
    assert list_events(connection)[3].fields == {"n": 4}


def test_old_events_go(connection: sqlite3.Connection) -> None:
    add_event(connection, "info", "t", "old", "", at=100.0)
    add_event(connection, "info", "t", "new", "", at=200.0)
    assert forget_events(connection, 200.0) == 1
    assert [e.event for e in list_events(connection)] == ["new"]


def test_known_files_are_found_moved_and_forgotten(connection: sqlite3.Connection) -> None:
    files = [KnownFile(f"/l/{n:05}.png", n, 10 * n, 100 + n, sha(n)) for n in range(1, 12_001)]
    with writing(connection):
        keep_files(connection, files)
    assert all_files(connection) == files
    assert len(find_files(connection, [f.path for f in files[:1000]] + ["/l/none.png"])) == 1000
    assert former_files(connection, Seen("/l/new.png", 5, 50, 105)) == [files[4]]
    assert former_files(connection, Seen("/l/new.png", 5, 51, 105)) == []
    forget_files(connection, ["/l/00005.png"])
    assert former_files(connection, Seen("/l/new.png", 5, 50, 105)) == []


def test_fingerprints_keep_all_64_bits_and_do_not_mix(connection: sqlite3.Connection) -> None:
    some = [fingerprint(1), fingerprint(2, dhash=0), fingerprint(3, status="failed", dhash=None)]
    keep_fingerprints(connection, some)
    assert find_fingerprints(connection, [sha(1), sha(2), sha(3), sha(4)], "exact", "d") == {
        sha(n): found for n, found in enumerate(some, start=1)
    }
    assert find_fingerprints(connection, [sha(1)], "fast", "d") == {}
    assert find_fingerprints(connection, [sha(1)], "exact", "newer") == {}
    assert has_fingerprints(connection, "exact", "d") and not has_fingerprints(connection, "exact", "newer")


def test_fingerprints_by_path_come_once_a_file_and_only_with_a_dhash(connection: sqlite3.Connection) -> None:
    keep_fingerprints(connection, [fingerprint(1), fingerprint(2), fingerprint(3, status="failed", dhash=None)])
    keep_files(
        connection,
        [KnownFile(f"/l/{name}.png", 1, 1, 1, sha(n)) for name, n in (("c", 1), ("a", 2), ("b", 1), ("d", 3))],
    )
    assert [found.sha256 for found in fingerprints_by_path(connection, "exact", "d")] == [sha(2), sha(1), sha(1)]


def test_low_confidence_counts_contents_of_files_that_are_there(connection: sqlite3.Connection) -> None:
    keep_fingerprints(connection, [fingerprint(n, status="low_confidence") for n in (1, 2)])
    keep_files(connection, [KnownFile(f"/l/{name}.png", 1, 1, 1, sha(1)) for name in "ab"])
    assert count_low_confidence(connection) == 1


def test_the_worker_has_one_row(connection: sqlite3.Connection) -> None:
    assert read_worker(connection) is None
    row = WorkerRow("t", 1, "0", "h", 2, 1.0, "idle", "w", None, None, None, None, "")
    write_worker(connection, row)
    write_worker(connection, dataclasses.replace(row, pid=2, note=HOSTILE, images=5))
    assert read_worker(connection) == dataclasses.replace(row, pid=2, note=HOSTILE, images=5)


def test_a_snapshot_has_every_job_that_is_not_over(connection: sqlite3.Connection) -> None:
    running = add_job(connection, "migrate", {}, "ann", owner=process_token())
    for _ in range(40):
        finish_job(connection, add_job(connection, "backup", {}, "bob").id, "done", 0, "", {})
    shown = read_snapshot(connection, 0.0).jobs
    assert [job.id for job in shown] == [*range(running.id + 40, running.id + 10, -1), running.id]


def test_a_snapshot_is_consistent_while_others_write(connection: sqlite3.Connection, database: Path) -> None:
    """The writer changes pairs and events together; no snapshot sees one without the other."""
    done = threading.Event()

    def write() -> None:
        mine = open_database(database)
        for number in range(150):
            with writing(mine):
                mine.execute("DELETE FROM pairs")
                mine.execute("DELETE FROM events")
                for n in range(number % 7):
                    mine.execute(
                        "INSERT INTO pairs VALUES(?, x'00', x'01', 'a', 'b', 1, 0.5, 'waiting', '[]', 0, '')", (str(n),)
                    )
                    add_event(mine, "info", "t", "e", "")
        mine.close()
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    reader = open_for_reading(database)
    assert reader is not None
    seen = set()
    while not done.is_set():
        snapshot = read_snapshot(reader, 0.0)
        assert len(snapshot.events) == snapshot.waiting == len(snapshot.pairs)
        seen.add(snapshot.waiting)
    thread.join()
    reader.close()
    assert len(seen) > 1  # otherwise nothing was tried


def test_moved_files_are_searched_by_inode(connection: sqlite3.Connection) -> None:
    """Not by size: many files of one size would make a scan quadratic."""
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    former_files(connection, Seen("/x", 1, 2, 3))
    vanished_contents(connection, [sha(1)])
    count_pending(connection)
    pending_files(connection)
    connection.set_trace_callback(None)
    plans = [" ".join(row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")) for text in asked]
    used = ["images_inode", "images_sha", "images_pending", "images_pending"]
    assert len(plans) == len(used)
    for plan, index in zip(plans, used, strict=True):
        assert f"INDEX {index}" in plan
