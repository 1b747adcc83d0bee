"""Kept one-minute samples for people: grouped into a table that fits a screen, or every one as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mobius_tui.system import clock

MOST_ROWS: Final = 48
"""Rows of a table at most."""

STEPS_S: Final = tuple(60 * minutes for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880))
"""Lengths that a row may stand for, seconds."""

Sample = Mapping[str, float | None]
"""A minute, as ``store.metrics.list_samples`` gives it."""

FIGURES: Final[tuple[tuple[str, str, float], ...]] = (
    ("average_ms", "avg ms", 1.0),
    ("p95_ms", "p95 ms", 1.0),
    ("failure_rate", "failed %", 100.0),
    ("rate_per_hour", "images/h", 1.0),
    ("queue", "queue", 1.0),
)
"""Columns of the table: name in a sample, title, and what it is multiplied by."""


@dataclass(frozen=True, slots=True)
class Span:
    """Some minutes taken together.

    Attributes:
        at: When they begin, seconds since the epoch.
        minutes: How many were sampled.
        figures: Least, mean and greatest of each figure, by name; None where nothing was measured.
    """

    at: int
    minutes: int
    figures: Mapping[str, tuple[float, float, float] | None]


def step_of(seconds: float, most: int = MOST_ROWS) -> int:
    """The shortest length of a row, in seconds, with which a time fits so many rows."""
    return next((step for step in STEPS_S if seconds / step <= most - 1), STEPS_S[-1])


def spans_of(samples: Sequence[Sample], since: float, until: float) -> list[Span]:
    """The samples of a time grouped into rows of equal length, from the first one to the last, gaps included.

    Args:
        samples: Oldest first.
        since: Seconds since the epoch.
        until: Likewise.

    Returns:
        At most ``MOST_ROWS`` spans, aligned to UTC; empty without samples.
    """
    known = [at for sample in samples if (at := sample.get("at")) is not None and since - 60 <= at <= until + 60]
    step = step_of(until - max(since, min(known, default=since)))
    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        at = sample.get("at")
        if at is not None and since - 60 <= at <= until + 60:
            groups.setdefault(int(at // step * step), []).append(sample)
    if not groups:
        return []
    last = max(groups)
    first = max(min(groups), last - (MOST_ROWS - 1) * step)
    return [_span(at, groups.get(at, [])) for at in range(first, last + 1, step)]


def _span(at: int, group: Sequence[Sample]) -> Span:
    figures: dict[str, tuple[float, float, float] | None] = {}
    for name, _, factor in FIGURES:
        values = [value * factor for sample in group if (value := sample.get(name)) is not None]
        figures[name] = (min(values), sum(values) / len(values), max(values)) if values else None
    return Span(at, len(group), figures)


_SCALES: Final = ((1e4, 1.0, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (1e12, 1e9, "G"))

Words = Callable[[tuple[float, float, float]], str]
"""Least, mean and greatest in a cell."""

_MANNERS: Final[tuple[tuple[str, Words], ...]] = (
    ("least/mean/most", lambda three: _joined([compact(value) for value in three])),
    ("mean/most", lambda three: _joined([compact(value) for value in three[1:]])),
    ("mean", lambda three: compact(three[1])),
)


def cells_of(spans: Sequence[Span], width: int) -> tuple[str, list[list[str]]]:
    """The cells of a table, with as much of each figure as there is room for.

    Args:
        spans: The rows.
        width: Columns of the screen.

    Returns:
        What a cell holds, and the rows: time in UTC, then the figures; a dash where nothing was measured.
    """
    for manner, words in _MANNERS:
        rows = [
            [clock.iso(span.at)[5:16].replace("T", " "), *(_cell(span.figures[name], words) for name, _, _ in FIGURES)]
            for span in spans
        ]
        heads = ["time (UTC) ", *(title for _, title, _ in FIGURES)]
        widest = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
        if sum(widest) + 2 * (len(widest) - 1) <= width or words is _MANNERS[-1][1]:
            return manner, rows
    raise AssertionError("the last manner is taken whatever the width")


def _cell(three: tuple[float, float, float] | None, words: Words) -> str:
    return "-" if three is None else words(three)


def _joined(words: Sequence[str]) -> str:
    return words[0] if len(set(words)) == 1 else "/".join(words)


def compact(value: float) -> str:
    """A number in a few characters: ``0.31``, ``12``, ``9,999``, ``14k``, ``1.4M``."""
    scale = next((each for each in _SCALES if abs(value) < each[0]), _SCALES[-1])
    shown = value / scale[1]
    places = 0 if shown == int(shown) or abs(shown) >= 10 else 1 if abs(shown) >= 1 else 2
    return f"{shown:,.{places}f}{scale[2]}"


def csv_of(samples: Sequence[Sample]) -> str:
    """Every sample as CSV: ISO time first, then the figures as they were kept; an empty cell where there is none."""
    names = [name for name in samples[0] if name != "at"] if samples else []
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["time", *names])
    for sample in samples:
        at = sample.get("at")
        values = ["" if (value := sample.get(name)) is None else f"{value:.12g}" for name in names]
        writer.writerow([csv_cell(word) for word in ["" if at is None else clock.iso(at), *values]])
    return written.getvalue()


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: one that starts with = + - @ gets a quote before it.

    A number keeps its sign.
    """
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text if text.startswith("-") else f"'{text}"
