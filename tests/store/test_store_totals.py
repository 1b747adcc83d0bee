"""Totals against a plain computation, and in one transaction with the batch that they count."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.store import database, metrics
from mobius_tui.store.database import open_database, writing
from mobius_tui.store.metrics import keep_batch, keep_sample, list_samples, read_figures
from mobius_tui.store.totals import BUCKETS_S, Totals, read_totals

edges = st.sampled_from([bound * 1000 for bound in BUCKETS_S])
durations = st.lists(st.one_of(edges, st.floats(0.0, 90_000.0)), min_size=1, max_size=30)


@given(st.lists(st.tuples(durations, st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**9)), max_size=6))
def test_totals_are_those_of_a_plain_computation(rows: list[tuple[list[float], int, int, int]]) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    database._ensure_schema(connection, Path(":memory:"))
    for times, failed, low, size in rows:
        keep_batch(connection, "r", times, failed=failed, low=low, size=size)
    every = [value for times, *_ in rows for value in times]
    found = read_totals(connection)
    assert (found.images, found.failed) == (len(every), sum(row[1] for row in rows))
    assert (found.low, found.bytes) == (sum(row[2] for row in rows), sum(row[3] for row in rows))
    assert found.seconds == pytest.approx(sum(every) / 1000)
    wanted = [sum(value <= bound * 1000 for value in every) for bound in BUCKETS_S]
    assert found.buckets == (*wanted, len(every))
    connection.close()


def test_every_limit_of_watch_and_alerts_is_a_bucket() -> None:
    assert {0.05, 0.1, 0.2, 30.0} <= set(BUCKETS_S)


def test_a_batch_and_its_totals_are_kept_together_or_not_at_all(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError), writing(connection):
        keep_batch(connection, "r", [1.0, 2.0], failed=1, low=0, size=5)
        raise RuntimeError
    assert read_totals(connection) == Totals()

    def breaks(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(metrics, "add_totals", breaks)
    with pytest.raises(RuntimeError):
        keep_batch(connection, "r", [1.0], failed=0, low=0, size=5)
    assert connection.execute("SELECT count(*) FROM batches").fetchone()[0] == 0


def test_totals_of_two_connections_add_up(connection: sqlite3.Connection, database: Path) -> None:
    other = open_database(database)
    keep_batch(connection, "one", [10.0], failed=0, low=1, size=5)
    keep_batch(other, "two", [20.0, 40_000.0], failed=1, low=0, size=6)
    assert read_totals(connection) == read_totals(other)
    assert read_totals(other).images == 3
    assert read_totals(other).buckets[-2:] == (2, 3)
    other.close()


def test_totals_outlive_the_batches(connection: sqlite3.Connection) -> None:
    keep_batch(connection, "r", [10.0], failed=0, low=0, size=5, at=0.0)
    metrics.forget_old(connection, 10**9)
    assert read_figures(connection, 10**9).images == 0
    assert read_totals(connection).images == 1


def test_a_damaged_total_costs_itself_and_is_counted_on(connection: sqlite3.Connection) -> None:
    keep_batch(connection, "r", [10.0], failed=1, low=1, size=5)
    connection.execute("UPDATE totals SET value = 'many' WHERE name = 'images'")
    connection.execute("UPDATE totals SET value = -3 WHERE name = 'failed'")
    found = read_totals(connection)
    assert (found.images, found.failed, found.low) == (0, 0, 1)
    keep_batch(connection, "r", [10.0], failed=0, low=1, size=5)
    assert (read_totals(connection).images, read_totals(connection).low) == (1, 2)


def test_a_sample_holds_all_that_was_measured(connection: sqlite3.Connection) -> None:
    keep_batch(connection, "r", [10.0, 30.0], failed=1, low=0, size=5, at=100.0)
    figures = read_figures(connection, 130.0)
    keep_sample(connection, figures, 7, 20, 19, 130.0, low=2, duplicates=3, memory_bytes=4, cpu_share=0.5)
    keep_sample(connection, figures, 7, 20, 19, 190.0)
    full, bare = list_samples(connection, 0, 1000)
    assert full == {
        "at": 120, "average_ms": 20.0, "p95_ms": 30.0, "failure_rate": 0.5, "rate_per_hour": 8.0, "queue": 7,
        "images": 20, "hashed": 19, "measured": 2, "failed": 1, "low": 2, "duplicates": 3, "memory_bytes": 4,
        "cpu_share": 0.5,
    }  # fmt: skip
    assert [bare[name] for name in ("low", "duplicates", "memory_bytes", "cpu_share")] == [None] * 4
