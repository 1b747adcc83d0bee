"""Rows that somebody else has written: a damaged one costs itself, never a verb, a worker or a console."""

from __future__ import annotations

import sqlite3

import pytest

from mobius_tui.errors import BadInput
from mobius_tui.store.events import list_events
from mobius_tui.store.images import Fingerprint, KnownFile, find_files, find_fingerprints, keep_files, keep_fingerprints
from mobius_tui.store.jobs import add_job, ask, claim_next, find_job, list_jobs
from mobius_tui.store.known import find_alike
from mobius_tui.store.metrics import keep_batch, read_figures
from mobius_tui.store.pairs import list_pairs
from mobius_tui.store.snapshot import read_snapshot
from mobius_tui.store.values import json_object, json_texts, moment, number, text, whole
from mobius_tui.store.worker_row import read_worker
from mobius_tui.system.processes import process_token

SHA = b"s" * 32


def test_values_of_the_wrong_kind_are_none() -> None:
    assert [text(value) for value in ("a", b"\xff", None, 5)] == ["a", "\\xff", "", "5"]
    assert [number(value) for value in (1.5, "1.5", None, float("inf"), b"")] == [1.5, None, None, None, None]
    assert [whole(value) for value in (7, 7.9, "x", 1e300)] == [7, 7, None, None]
    assert [moment(value) for value in (5.0, -1, 1e18, "then")] == [5.0, None, None, None]
    assert [json_object(value) for value in ('{"a": 1}', "[1]", "{bad", "[" * 100_000)] == [{"a": 1}, None, None, None]
    assert [json_texts(value) for value in ('["a", 5]', "{}", "{bad")] == [("a",), (), ()]


@pytest.mark.parametrize("options", ["{bad", "[1, 2]", "null", "5", b"\xff"])
def test_a_job_whose_options_cannot_be_read_is_ended_and_the_next_one_claimed(
    connection: sqlite3.Connection, options: str | bytes
) -> None:
    damaged = add_job(connection, "migrate", {}, "ann")
    good = add_job(connection, "dry-run", {"a": 1}, "bob")
    connection.execute("UPDATE jobs SET options = ? WHERE id = ?", (options, damaged.id))
    assert len(list_jobs(connection, active_only=True)) == 2
    claimed = claim_next(connection, process_token())
    assert claimed is not None and (claimed.id, claimed.options) == (good.id, {"a": 1})
    ended = find_job(connection, damaged.id)
    assert (ended.state, ended.exit_code) == ("failed", 1) and "damaged" in ended.error


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_number_that_no_row_can_have_is_no_job(connection: sqlite3.Connection, number: int) -> None:
    with pytest.raises(BadInput, match="there is no job"):
        ask(connection, number, "cancel", "ann")


def test_a_job_of_wrong_values_can_be_listed(connection: sqlite3.Connection) -> None:
    job = add_job(connection, "migrate", {}, "ann")
    connection.execute(
        "UPDATE jobs SET state = 'running', owner = 5, requested_at = 'then', started_at = 1e18, total = 'many',"
        " done = 'x', rate = 'fast', summary = 'none', run_id = 7, reason = x'ff', exit_code = 'zero'"
    )
    (found,) = list_jobs(connection)
    assert (found.id, found.state, found.run_id, found.reason) == (job.id, "interrupted", "7", "\\xff")
    assert (found.requested_at, found.started_at, found.total, found.done, found.rate) == (0.0, None, None, 0, None)


def test_damaged_events_pairs_and_worker_are_read_as_far_as_they_go(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO events(at, level, component, event, message, fields)"
                       " VALUES(9e18, 'error', x'ff', 'e', 'm', '[]')")  # fmt: skip
    connection.execute("INSERT INTO pairs VALUES('x', x'00', x'01', x'ff', 'r', 'far', 9e99, 'waiting', '{bad', 1, '')")
    connection.execute("INSERT INTO worker VALUES(1, 5, 'p', x'ff', 1, 'two', 1e18, 's', 'w', 'n', 'm', 'i', 'u', 7)")
    (event,) = list_events(connection)
    assert (event.at, event.component, event.fields) == (0.0, "\\xff", {})
    (pair,) = list_pairs(connection)
    assert (pair.left_path, pair.distance, pair.confidence, pair.evidence) == ("\\xff", 0, 1.0, ())
    worker = read_worker(connection)
    assert worker is not None and (worker.token, worker.pid, worker.scanned_at, worker.note) == ("5", 0, None, "7")
    assert read_snapshot(connection, 10.0).events == (event,)


def test_damaged_durations_cost_their_own_figures(connection: sqlite3.Connection) -> None:
    keep_batch(connection, "r", [4.0, 4.0], failed=1, low=0, size=1, at=90.0)
    connection.execute("INSERT INTO batches(at, run_id, images, failed, low, bytes, durations)"
                       " VALUES(91, 'r', 'x', 'y', 'z', 'q', x'01020304ff'), (92, 'r', 1, 1, 1, 1, 't')")  # fmt: skip
    figures = read_figures(connection, 100.0)
    assert (figures.images, figures.failed, figures.average_ms) == (2, 1, 4.0)


@pytest.mark.parametrize(
    "damage",
    [
        "dhash = x'00'", "dhash = 'text'", "dhash = NULL", "status = 'failed'", "status = 'odd'", "confidence = 9e999",
        "confidence = -1", "confidence = 'sure'", "confidence = NULL", "format = x'ff'", "width = 'w'",
    ],
)  # fmt: skip
def test_a_damaged_fingerprint_is_unknown(connection: sqlite3.Connection, damage: str) -> None:
    made = Fingerprint(SHA, "exact", "d", "ok", 5, 0.9, None, None, None, "", 8, 8, 100, "PNG")
    keep_fingerprints(connection, [made])
    assert find_fingerprints(connection, [SHA], "exact", "d") == {SHA: made}
    connection.execute(f"UPDATE fingerprints SET {damage}")
    assert find_fingerprints(connection, [SHA], "exact", "d") == {}


def test_a_hash_that_is_none_is_as_if_the_file_was_never_read(connection: sqlite3.Connection) -> None:
    keep_files(connection, [KnownFile("/l/a.png", 10, 20, 30, SHA)])
    connection.execute("UPDATE images SET sha256 = 'text'")
    assert find_files(connection, ["/l/a.png"])["/l/a.png"].sha256 is None
    assert find_alike(connection, 10, 20, 30) is None
