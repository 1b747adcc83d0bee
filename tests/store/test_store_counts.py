"""What the store holds, by status: against rows whose answer is known."""

from __future__ import annotations

import sqlite3

import pytest

from mobius_tui.store.counts import LastRun, read_counts, read_last_run
from mobius_tui.store.images import Fingerprint, KnownFile, keep_files, keep_fingerprints
from mobius_tui.store.pairs import Pair, keep_pairs


def content(letter: str) -> bytes:
    return letter.encode() * 32


def shown(letter: str, status: str = "ok", profile: str = "exact") -> Fingerprint:
    failed = status == "failed"
    return Fingerprint(
        content(letter), profile, "d", status, None if failed else 5, None if failed else 0.5, None,
        "truncated" if failed else None, None, "", 8, 8, 9, "PNG",
    )  # fmt: skip


def file(path: str, letter: str | None, *, error: str | None = None, fresh: bool = False) -> KnownFile:
    return KnownFile(path, 9, -1 if fresh else 5, 1, None if letter is None else content(letter), error)


@pytest.fixture
def library(connection: sqlite3.Connection) -> sqlite3.Connection:
    keep_fingerprints(connection, [shown("a"), shown("b", "low_confidence"), shown("c", "failed"), shown("d")])
    keep_fingerprints(connection, [shown("d", "failed", "fast"), shown("z")])  # z has no file any more
    keep_files(connection, [file("/1", "a"), file("/2", "a"), file("/3", "a"), file("/4", "b"), file("/5", "c")])
    keep_files(connection, [file("/6", "c"), file("/7", "d"), file("/8", None, error="permission"), file("/9", None)])
    keep_files(connection, [file("/10", "b", fresh=True)])
    return connection


def pair(left: str, right: str, status: str) -> Pair:
    return Pair(f"{left}{right}{status}", content(left), content(right), left, right, 3, 0.9, status)


def test_every_file_is_of_one_status(library: sqlite3.Connection) -> None:
    found = read_counts(library)
    assert found.images == {"ok": 4, "low_confidence": 1, "failed": 2, "unreadable": 1, "waiting": 2}
    assert found.total == 10


def test_copies_are_duplicates_but_failed_ones_are_not(library: sqlite3.Connection) -> None:
    assert read_counts(library).duplicates == 3  # two of a, one of b; c failed, so its copies are none


def test_pairs_that_were_decided_to_be_duplicates_count_once(library: sqlite3.Connection) -> None:
    decided = [pair("a", "d", "accepted"), pair("b", "d", "auto"), pair("a", "b", "rejected"), pair("a", "z", "auto")]
    keep_pairs(library, [*decided, pair("b", "a", "waiting")], "r")
    found = read_counts(library)
    assert found.duplicates == 3 + 1  # d; z has no file
    assert found.pairs == {"waiting": 1, "auto": 2, "accepted": 1, "rejected": 1}


def test_nothing_is_zero(connection: sqlite3.Connection) -> None:
    found = read_counts(connection)
    assert (found.total, found.duplicates, dict(found.jobs)) == (0, 0, {})
    assert set(found.images.values()) == set(found.pairs.values()) == {0}


def test_the_last_run_is_the_one_that_ended_last(connection: sqlite3.Connection) -> None:
    assert read_last_run(connection) is None
    add = (
        "INSERT INTO jobs(kind, state, options, run_id, requested_by, requested_at, finished_at, total, failed,"
        " missing, exact) VALUES(?, ?, '{}', ?, 'ann', 1, ?, ?, ?, ?, ?)"
    )
    connection.execute(add, ("migrate", "done", "m1", 50.0, 100, 4, 6, 9))
    connection.execute(add, ("migrate", "done", "m2", 20.0, 7, 0, 0, 7))
    connection.execute(add, ("dry-run", "done", "d1", 60.0, 8, 0, 0, 8))
    connection.execute(add, ("migrate", "failed", "m3", 70.0, 5, 0, 0, 5))
    assert read_last_run(connection) == LastRun(images=90, duplicates=9)
    counts = read_counts(connection).jobs
    assert counts == {("migrate", "done"): 2, ("dry-run", "done"): 1, ("migrate", "failed"): 1}
