"""Figures against a plain computation."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.store import metrics
from mobius_tui.store.metrics import (
    TREND_POINTS,
    WINDOW_S,
    forget_old,
    keep_batch,
    keep_sample,
    read_figures,
)

NOW = 1_800_000_000.0

durations = st.lists(st.floats(0.0, 60_000.0, width=32), min_size=1, max_size=40)
batches = st.lists(st.tuples(st.floats(0.0, 2 * WINDOW_S), durations, st.integers(0, 40)), max_size=12)


@given(batches, st.sampled_from([0, 3, 2000]))
def test_figures_are_those_of_a_plain_computation(rows: list[tuple[float, list[float], int]], few: int) -> None:
    connection = _memory()
    for ago, times, failed in rows:
        keep_batch(connection, "r", times, failed=min(failed, len(times)), low=0, size=1, at=NOW - ago)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "_FEW", few)
        figures = read_figures(connection, NOW)
    inside = [(ago, times, min(failed, len(times))) for ago, times, failed in rows if NOW - ago > NOW - WINDOW_S]
    every = sorted(value for _, times, _ in inside for value in times)
    assert figures.images == len(every)
    assert figures.failed == sum(failed for _, _, failed in inside)
    if not every:
        assert (figures.average_ms, figures.p95_ms, figures.failure_rate, figures.rate_per_hour) == (None,) * 4
        assert set(figures.trend_p95) == {None}
        return
    assert figures.average_ms == pytest.approx(sum(every) / len(every))
    at_most = [value for value in every if sum(other <= value for other in every) / len(every) >= 0.95 - 1e-12]
    assert figures.p95_ms == min(at_most)
    assert figures.rate_per_hour == pytest.approx(len(every) * 4)
    assert sum(rate * WINDOW_S / TREND_POINTS for rate in figures.trend_rate if rate) == pytest.approx(len(every))
    assert len(figures.trend_average) == TREND_POINTS
    connection.close()


def _memory() -> sqlite3.Connection:
    from mobius_tui.store import database

    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    database._ensure_schema(connection, Path(":memory:"))
    return connection


def test_a_point_without_work_is_a_gap(connection: sqlite3.Connection) -> None:
    keep_batch(connection, "r", [10.0, 20.0], failed=1, low=0, size=1, at=NOW - 1)
    keep_batch(connection, "r", [30.0], failed=0, low=0, size=1, at=NOW - WINDOW_S + 1)
    figures = read_figures(connection, NOW)
    assert figures.trend_average[-1] == 15.0
    assert figures.trend_average[0] == 30.0
    assert set(figures.trend_average[1:-1]) == {None}
    assert figures.trend_failed[-1] == 0.5 and figures.trend_failed[0] == 0.0


def test_a_minute_has_one_sample_and_old_rows_go(connection: sqlite3.Connection) -> None:
    figures = read_figures(connection, NOW)
    keep_sample(connection, figures, 1, 2, 3, NOW)
    keep_sample(connection, figures, 4, 5, 6, NOW + 1)
    keep_sample(connection, figures, 0, 0, 0, NOW - 61 * 86_400)
    keep_batch(connection, "r", [1.0], failed=0, low=0, size=1, at=NOW - 86_401)
    keep_batch(connection, "r", [1.0], failed=0, low=0, size=1, at=NOW - 86_399)
    forget_old(connection, NOW)
    rows = [tuple(row) for row in connection.execute("SELECT queue, images, hashed, average_ms FROM samples")]
    assert rows == [(4, 5, 6, None)]
    assert connection.execute("SELECT count(*) FROM batches").fetchone()[0] == 1
