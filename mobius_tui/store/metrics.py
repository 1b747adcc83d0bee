"""Figures of the hashing work: from raw durations, never from buckets."""

from __future__ import annotations

import array
import contextlib
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from mobius_tui.store.database import writing
from mobius_tui.store.totals import add_totals
from mobius_tui.store.values import number, whole
from mobius_tui.system import clock

WINDOW_S = 900.0
"""Averages, p95 and rates cover this many seconds."""

TREND_POINTS = 30
"""Points of a trend line: half a minute each over the window."""

_FEW = 2000


@dataclass(frozen=True, slots=True)
class Figures:
    """Metrics of the last 15 minutes; None where nothing was measured.

    Attributes:
        average_ms: Mean time of one image, milliseconds.
        p95_ms: 95th percentile of it.
        failure_rate: Fraction 0..1 of images that failed.
        rate_per_hour: Images in the window, scaled to an hour.
        images: Images measured in the window.
        failed: Those that failed.
        trend_average: ``TREND_POINTS`` means, oldest first, None where nothing ran.
        trend_p95: The same for the 95th percentile.
        trend_rate: Images a second per point.
        trend_failed: Failure fractions.
    """

    average_ms: float | None
    p95_ms: float | None
    failure_rate: float | None
    rate_per_hour: float | None
    images: int
    failed: int
    trend_average: tuple[float | None, ...]
    trend_p95: tuple[float | None, ...]
    trend_rate: tuple[float | None, ...]
    trend_failed: tuple[float | None, ...]


def keep_batch(
    connection: sqlite3.Connection,
    run_id: str,
    durations_ms: Sequence[float],
    *,
    failed: int,
    low: int,
    size: int,
    at: float | None = None,
) -> None:
    """Note a batch of images, in the figures and in the totals together.

    Args:
        connection: The database; a transaction of the caller is joined.
        run_id: What they were hashed for.
        durations_ms: Time of each image, milliseconds.
        failed: How many failed.
        low: How many are of low confidence.
        size: Bytes of them all.
        at: When, seconds since the epoch; None means now.
    """
    ordered = sorted(durations_ms)  # a percentile is then found without sorting
    with contextlib.nullcontext() if connection.in_transaction else writing(connection):
        connection.execute(
            "INSERT INTO batches(at, run_id, images, failed, low, bytes, durations) VALUES(?, ?, ?, ?, ?, ?, ?)",
            (
                clock.now() if at is None else at,
                run_id,
                len(ordered),
                failed,
                low,
                size,
                array.array("f", ordered).tobytes(),
            ),
        )
        add_totals(connection, ordered, failed=failed, low=low, size=size)


def read_figures(connection: sqlite3.Connection, now: float) -> Figures:
    """The figures of the 15 minutes before ``now``."""
    rows = connection.execute(
        "SELECT at, failed, durations FROM batches WHERE at > ? AND at <= ? ORDER BY at", (now - WINDOW_S, now)
    ).fetchall()
    points: list[list[array.array[float]]] = [[] for _ in range(TREND_POINTS)]
    fails = [0] * TREND_POINTS
    step = WINDOW_S / TREND_POINTS
    for row in rows:
        point = min(TREND_POINTS - 1, int((row["at"] - (now - WINDOW_S)) / step))
        durations = row["durations"]
        if isinstance(durations, bytes) and len(durations) % 4 == 0:  # a damaged row costs its own figures
            points[point].append(array.array("f", durations))
            fails[point] += whole(row["failed"]) or 0
    counts = [sum(map(len, batches)) for batches in points]
    sums = [sum(map(sum, batches)) for batches in points]
    images, failed = sum(counts), sum(fails)
    return Figures(
        average_ms=sum(sums) / images if images else None,
        p95_ms=_percentile([batch for batches in points for batch in batches], 95),
        failure_rate=failed / images if images else None,
        rate_per_hour=images * 3600 / WINDOW_S if images else None,
        images=images,
        failed=failed,
        trend_average=tuple(total / n if n else None for total, n in zip(sums, counts, strict=True)),
        trend_p95=tuple(_percentile(batches, 95) for batches in points),
        trend_rate=tuple(n / step if n else None for n in counts),
        trend_failed=tuple(f / n if n else None for f, n in zip(fails, counts, strict=True)),
    )


def _percentile(batches: Sequence[array.array[float]], percent: int) -> float | None:
    """Nearest rank: the least of all values that at least this share of them does not exceed.

    The batches are in order, so the range that holds it is halved by bisection until few values are in it: a tenth of
    the time of sorting them all.
    """
    batches = [batch for batch in batches if batch]
    if not batches:
        return None
    count = sum(map(len, batches))
    rank = max(1, -(-count * percent // 100))
    low, high = min(batch[0] for batch in batches) - 1.0, max(batch[-1] for batch in batches)
    below, inside = 0, count  # values <= low, and values in (low, high]
    while inside > _FEW and low < (middle := (low + high) / 2) < high:
        upto = sum(bisect_right(batch, middle) for batch in batches)
        if upto >= rank:
            high, inside = middle, upto - below
        else:
            low, below, inside = middle, upto, inside - (upto - below)
    rest = sorted(value for batch in batches for value in batch[bisect_right(batch, low) : bisect_right(batch, high)])
    return rest[rank - below - 1]


def keep_sample(
    connection: sqlite3.Connection,
    figures: Figures,
    queue: int,
    images: int,
    hashed: int,
    now: float,
    *,
    low: int | None = None,
    duplicates: int | None = None,
    memory_bytes: int | None = None,
    cpu_share: float | None = None,
) -> None:
    """Note the figures of a minute; kept for 60 days.

    Args:
        connection: The database.
        figures: Of the 15 minutes before.
        queue: Waiting pairs and low-confidence images.
        images: Known files.
        hashed: Of these, those that have been read.
        now: Seconds since the epoch.
        low: Low-confidence images of the library.
        duplicates: Its duplicates.
        memory_bytes: Resident memory of the worker and its children.
        cpu_share: Processor time that they took, as a share of one core.
    """
    row = {
        "at": int(now // 60 * 60),
        "average_ms": figures.average_ms,
        "p95_ms": figures.p95_ms,
        "failure_rate": figures.failure_rate,
        "rate_per_hour": figures.rate_per_hour,
        "queue": queue,
        "images": images,
        "hashed": hashed,
        "measured": figures.images,
        "failed": figures.failed,
        "low": low,
        "duplicates": duplicates,
        "memory_bytes": memory_bytes,
        "cpu_share": cpu_share,
    }
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT OR REPLACE INTO samples({', '.join(row)}) VALUES({marks})", list(row.values()))


def list_samples(connection: sqlite3.Connection, since: float, until: float) -> list[dict[str, float | None]]:
    """The figures of each minute in a time, oldest first.

    Args:
        connection: The database.
        since: Seconds since the epoch.
        until: Likewise.

    Returns:
        A row a minute: ``at`` (seconds), the figures of the 15 minutes before (milliseconds, fraction 0..1, images an
        hour, ``measured`` and ``failed`` images) and what ``keep_sample`` was told; None where nothing was measured.
    """
    rows = connection.execute("SELECT * FROM samples WHERE at >= ? AND at <= ? ORDER BY at", (since, until)).fetchall()
    return [{name: number(row[name]) for name in row.keys()} for row in rows]  # noqa: SIM118


def forget_old(connection: sqlite3.Connection, now: float) -> None:
    """Delete batches older than a day and samples older than 60 days."""
    connection.execute("DELETE FROM batches WHERE at < ?", (now - 86_400,))
    connection.execute("DELETE FROM samples WHERE at < ?", (now - 60 * 86_400,))
