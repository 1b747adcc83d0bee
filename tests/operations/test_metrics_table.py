"""Samples in a table of bounded length and width, and as CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.operations import metrics_table
from mobius_tui.operations.metrics_table import FIGURES, MOST_ROWS, cells_of, compact, csv_cell, csv_of, spans_of

NOW = 1_790_000_000.0
DAY = 86_400.0
figure = st.none() | st.floats(0, 1e11, allow_nan=False)


def sample(at: float, **given: float | None) -> dict[str, float | None]:
    return {"at": at, **{name: None for name, _, _ in FIGURES}, **given}


samples = st.lists(
    st.fixed_dictionaries(
        {"at": st.integers(0, int(60 * DAY / 60)).map(lambda minute: NOW - minute * 60.0)},
        optional={name: figure for name, _, _ in FIGURES},
    ),
    max_size=40,
).map(lambda rows: sorted(rows, key=lambda row: row["at"]))


@given(samples, st.floats(60, 60 * DAY), st.sampled_from([60, 80, 160]))
def test_never_more_rows_than_fit_and_every_sample_in_one(rows: list[Any], age: float, width: int) -> None:
    inside = [row for row in rows if row["at"] >= NOW - age]
    spans = spans_of(inside, NOW - age, NOW)
    assert len(spans) <= MOST_ROWS
    assert sum(span.minutes for span in spans) == len(inside)
    assert [span.at for span in spans] == sorted({span.at for span in spans})
    for name, _, factor in FIGURES:
        values = [row[name] * factor for row in inside if row.get(name) is not None]
        told = [span.figures[name] for span in spans if span.figures[name] is not None]
        assert bool(values) == bool(told)
        if values:
            assert min(three[0] for three in told if three) == min(values)
            assert max(three[2] for three in told if three) == max(values)
    if spans:
        _, cells = cells_of(spans, width)
        assert len(cells) == len(spans) and all(len(row) == 1 + len(FIGURES) for row in cells)
        assert max(sum(map(len, row)) + 2 * len(FIGURES) for row in cells) <= max(width, 60)


def test_a_row_is_as_short_as_fits() -> None:
    assert [metrics_table.step_of(hours * 3600) for hours in (0.5, 1.5, 24, 48, 7 * 24, 60 * 24)] == [
        60, 120, 3600, 7200, 6 * 3600, 2 * 86400,
    ]  # fmt: skip
    assert set(map(metrics_table.step_of, (1, 1e4, 1e6, 1e9))) <= set(metrics_table.STEPS_S)


def test_few_samples_of_a_long_time_are_not_thrown_together() -> None:
    spans = spans_of([sample(NOW - 60 * at, queue=at) for at in range(5, 0, -1)], NOW - 60 * DAY, NOW)
    assert [span.figures["queue"] for span in spans] == [(float(at),) * 3 for at in range(5, 0, -1)]


def test_a_gap_is_shown_and_is_no_zero() -> None:
    spans = spans_of([sample(NOW - 600, queue=7), sample(NOW, queue=9)], NOW - 900, NOW)
    _, rows = cells_of(spans, 80)
    assert rows[0][-1] == "7" and rows[-1][-1] == "9"
    assert {row[-1] for row in rows[1:-1]} == {"-"} and len(rows) == 11


def test_all_three_values_where_there_is_room() -> None:
    spans = spans_of([sample(NOW - 86_400 + 60 * at, average_ms=at) for at in range(1440)], NOW - DAY, NOW)
    assert cells_of(spans, 80)[0] == "least/mean/most"
    assert cells_of(spans, 30)[0] == "mean"
    assert cells_of(spans, 80)[1][1][1].count("/") == 2


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.314, "0.31"), (1.25, "1.2"), (12.4, "12"), (9999, "9,999"), (14_400, "14k"), (1_440_000, "1.4M")],
)
def test_compact(value: float, shown: str) -> None:
    assert compact(value) == shown


@pytest.mark.parametrize("cell", ["=1+1", "+1", "@x", "-x", "\t=1", "\r=1", "-1+2"])
def test_a_formula_is_quoted(cell: str) -> None:
    assert csv_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "1", "-1.5", "2026-11-20T12:00:00Z", "x=1"])
def test_what_is_none_stays(cell: str) -> None:
    assert csv_cell(cell) == cell


def test_csv_holds_every_sample() -> None:
    rows = [sample(NOW, queue=7, average_ms=0.1 + 0.2), sample(NOW + 60)]
    read = list(csv.DictReader(io.StringIO(csv_of(rows))))
    assert [row["time"] for row in read] == ["2026-09-21T14:13:20Z", "2026-09-21T14:14:20Z"]
    assert read[0]["queue"] == "7" and read[0]["average_ms"] == "0.3" and read[1]["queue"] == ""
    assert csv_of([]) == "time\n"
