"""Totals of the hashing work since the database was made; they only grow, whichever process worked."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from mobius_tui.store.values import number

BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the histogram of hash times, seconds, each limit of the watch and the alerts among them."""

_BUCKETS = (*(f"upto_{bound:g}" for bound in BUCKETS_S), "beyond")


@dataclass(frozen=True, slots=True)
class Totals:
    """What was done so far.

    Attributes:
        images: Images that were decoded or tried.
        failed: Of these, those that gave no dHash.
        low: Those of low confidence.
        bytes: Sizes of their files.
        seconds: Time that they took, added up over all processes.
        buckets: How many took at most so long, by ``BUCKETS_S``; the last one is all of them.
    """

    images: int = 0
    failed: int = 0
    low: int = 0
    bytes: int = 0
    seconds: float = 0.0
    buckets: tuple[int, ...] = (0,) * len(_BUCKETS)


def add_totals(
    connection: sqlite3.Connection, durations_ms: Sequence[float], *, failed: int, low: int, size: int
) -> None:
    """Count a batch; inside a transaction of the caller.

    Args:
        connection: The database.
        durations_ms: Time of each image in ms, in ascending order.
        failed: How many failed.
        low: How many are of low confidence.
        size: Bytes of them all.
    """
    upto = [0, *(bisect_right(durations_ms, bound * 1000) for bound in BUCKETS_S), len(durations_ms)]
    grown = {
        "images": len(durations_ms),
        "failed": failed,
        "low": low,
        "bytes": size,
        "seconds": sum(durations_ms) / 1000,
        **dict(zip(_BUCKETS, (after - before for before, after in pairwise(upto)), strict=True)),
    }
    connection.executemany(
        "INSERT INTO totals VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
        [(name, value) for name, value in grown.items() if value],
    )


def read_totals(connection: sqlite3.Connection) -> Totals:
    """The totals as they stand; a damaged row counts as 0."""
    rows = {row["name"]: max(0.0, number(row["value"]) or 0.0) for row in connection.execute("SELECT * FROM totals")}
    whole = {name: int(rows.get(name, 0)) for name in ("images", "failed", "low", "bytes")}
    buckets = tuple(accumulate(int(rows.get(name, 0)) for name in _BUCKETS))
    return Totals(**whole, seconds=rows.get("seconds", 0.0), buckets=buckets)
