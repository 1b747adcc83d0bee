"""How much of what the store holds, by status: for the metrics."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mobius_tui.store.images import count_images
from mobius_tui.store.scan import count_pending
from mobius_tui.store.values import text, whole

IMAGE_STATUSES: Final = ("ok", "low_confidence", "failed", "unreadable", "waiting")
"""Every known file is of one of these; ``unreadable``: its bytes could not be read, ``waiting``: not read yet."""

PAIR_STATUSES: Final = ("waiting", "auto", "accepted", "rejected")
"""What becomes of a candidate pair; dropped ones are not kept."""

_LOW = "SELECT sha256 FROM fingerprints WHERE status = 'low_confidence'"
_FAILED = (
    "SELECT sha256 FROM fingerprints f WHERE dhash IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM fingerprints WHERE sha256 = f.sha256 AND dhash IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class LibraryCounts:
    """What is in the store.

    Attributes:
        images: Known files by ``IMAGE_STATUSES``.
        pairs: Pairs by status, those of ``PAIR_STATUSES`` always among them.
        jobs: Jobs by kind and state.
        duplicates: Files that are a duplicate of another: exact copies but one of each content, and the contents that
            an automatic or accepted pair says to be duplicates.
    """

    images: Mapping[str, int]
    pairs: Mapping[str, int]
    jobs: Mapping[tuple[str, str], int]
    duplicates: int

    @property
    def total(self) -> int:
        """How many files are known."""
        return sum(self.images.values())


@dataclass(frozen=True, slots=True)
class LastRun:
    """The migration or deploy that was done last.

    Attributes:
        images: Images with a dHash that it looked at.
        duplicates: How many of them it found to be duplicates.
    """

    images: int
    duplicates: int


def read_last_run(connection: sqlite3.Connection) -> LastRun | None:
    """The last one that went well; None when there was none, dry runs not counted."""
    row = connection.execute(
        "SELECT total, failed, missing, exact FROM jobs WHERE kind IN ('migrate', 'deploy') AND state = 'done'"
        " ORDER BY finished_at DESC, id DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    total, failed, missing, exact = (whole(value) or 0 for value in row)
    return LastRun(max(0, total - failed - missing), exact)


def read_counts(connection: sqlite3.Connection) -> LibraryCounts:
    """Count; a few milliseconds for each 10,000 images."""
    pairs = dict.fromkeys(PAIR_STATUSES, 0)
    for row in connection.execute("SELECT status, count(*) AS n FROM pairs GROUP BY status"):
        pairs[text(row["status"])] = int(row["n"])
    jobs: dict[tuple[str, str], int] = {}
    for row in connection.execute("SELECT kind, state, count(*) AS n FROM jobs GROUP BY kind, state"):
        jobs[text(row["kind"]), text(row["state"])] = int(row["n"])
    return LibraryCounts(_images(connection), pairs, jobs, _duplicates(connection))


def _images(connection: sqlite3.Connection) -> dict[str, int]:
    read = "FROM images WHERE mtime_ns <> -1 AND"
    counts = {
        "low_confidence": _one(connection, f"SELECT count(*) {read} sha256 IN ({_LOW})"),
        "failed": _one(connection, f"SELECT count(*) {read} sha256 IN ({_FAILED})"),
        "unreadable": _one(connection, f"SELECT count(*) {read} sha256 IS NULL AND error IS NOT NULL"),
        "waiting": count_pending(connection),
    }
    rest = max(0, count_images(connection) - sum(counts.values()))
    return {"ok": rest, **counts}


def _duplicates(connection: sqlite3.Connection) -> int:
    copies = _one(
        connection,
        "SELECT coalesce(sum(n - 1), 0) FROM (SELECT sha256 AS content, count(*) AS n FROM images"
        " WHERE sha256 IS NOT NULL GROUP BY sha256 HAVING n > 1)"
        " WHERE EXISTS (SELECT 1 FROM fingerprints WHERE sha256 = content AND dhash IS NOT NULL)",
    )
    others = _one(
        connection,
        "SELECT count(DISTINCT right_sha) FROM pairs WHERE status IN ('auto', 'accepted')"
        " AND EXISTS (SELECT 1 FROM images WHERE sha256 = right_sha)"
        " AND EXISTS (SELECT 1 FROM images WHERE sha256 = left_sha)",
    )
    return copies + others


def _one(connection: sqlite3.Connection, question: str) -> int:
    return int(connection.execute(question).fetchone()[0])
