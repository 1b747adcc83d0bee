"""Candidate pairs that wait for a person, by the content of both files."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from mobius_tui.store.database import writing
from mobius_tui.store.values import json_texts, number, text, whole
from mobius_tui.system import clock


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files that may show the same picture.

    Attributes:
        id: 16 hex digits, from both contents.
        left_path: The keeper, as the catalogue writes its path.
        distance: Hamming distance of the exact dHashes, bits.
        confidence: 0..1 that both show the same picture.
        status: ``waiting`` until somebody or something decides.
        evidence: What speaks for or against it, in words.
    """

    id: str
    left_sha: bytes
    right_sha: bytes
    left_path: str
    right_path: str
    distance: int
    confidence: float
    status: str
    evidence: tuple[str, ...] = ()


_COLUMNS = "id, left_sha, right_sha, left_path, right_path, distance, confidence, status, evidence"


def keep_pairs(connection: sqlite3.Connection, pairs: Iterable[Pair], run_id: str) -> None:
    """Write pairs in transactions of some thousand rows; a known one gets the new figures."""
    chunk: list[Pair] = []
    for pair in pairs:
        chunk.append(pair)
        if len(chunk) >= 10_000:  # random keys: each transaction touches most pages
            _keep_chunk(connection, chunk, run_id)
            chunk.clear()
    _keep_chunk(connection, chunk, run_id)


def _keep_chunk(connection: sqlite3.Connection, pairs: list[Pair], run_id: str) -> None:
    at = clock.now()
    with writing(connection):
        connection.executemany(
            f"INSERT INTO pairs({_COLUMNS}, found_at, run_id) VALUES({', '.join('?' * 11)})"
            " ON CONFLICT(id) DO UPDATE SET"
            " left_sha = excluded.left_sha, right_sha = excluded.right_sha, left_path = excluded.left_path,"
            " right_path = excluded.right_path, distance = excluded.distance, confidence = excluded.confidence,"
            " status = excluded.status, evidence = excluded.evidence, run_id = excluded.run_id",
            (
                (
                    p.id, p.left_sha, p.right_sha, p.left_path, p.right_path, p.distance, p.confidence, p.status,
                    json.dumps(p.evidence), at, run_id,
                )
                for p in pairs
            ),
        )  # fmt: skip


def drop_other_pairs(connection: sqlite3.Connection, run_id: str) -> int:
    """Delete the waiting pairs that a whole run has not found again; returns how many."""
    return connection.execute("DELETE FROM pairs WHERE status = 'waiting' AND run_id <> ?", (run_id,)).rowcount


def drop_pairs_of(connection: sqlite3.Connection, contents: Iterable[bytes]) -> int:
    """Delete the waiting pairs of contents that no file has any more; returns how many."""
    dropped = 0
    for content in contents:
        dropped += connection.execute(
            "DELETE FROM pairs WHERE status = 'waiting' AND (left_sha = ? OR right_sha = ?)", (content, content)
        ).rowcount
    return dropped


def list_pairs(
    connection: sqlite3.Connection, *, status: str = "waiting", limit: int = 500, offset: int = 0
) -> list[Pair]:
    """Pairs of a status, the most confident first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM pairs WHERE status = ? ORDER BY confidence DESC, id LIMIT ? OFFSET ?",
        (status, limit, offset),
    ).fetchall()
    return [_pair(row) for row in rows]


def count_pairs(connection: sqlite3.Connection, status: str = "waiting") -> int:
    """How many pairs have a status."""
    return int(connection.execute("SELECT count(*) FROM pairs WHERE status = ?", (status,)).fetchone()[0])


def _pair(row: sqlite3.Row) -> Pair:
    return Pair(
        text(row["id"]),
        row["left_sha"],
        row["right_sha"],
        text(row["left_path"]),
        text(row["right_path"]),
        min(64, max(0, whole(row["distance"]) or 0)),
        min(1.0, max(0.0, number(row["confidence"]) or 0.0)),
        text(row["status"]),
        json_texts(row["evidence"]),
    )


def rename_in_pairs(connection: sqlite3.Connection, content: bytes, old: str, new: str) -> None:
    """Name a content in its pairs by another file that holds it; inside a transaction of the caller."""
    for side in ("left", "right"):
        connection.execute(
            f"UPDATE pairs SET {side}_path = ? WHERE {side}_sha = ? AND {side}_path = ?", (new, content, old)
        )
