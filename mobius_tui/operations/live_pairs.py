"""Waiting pairs of single new images: one against all that the store knows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import numpy as np

from mobius_tui.catalogue.document import file_key
from mobius_tui.fingerprint.versions import decoder_version
from mobius_tui.matching.candidates import Candidate, candidates_for
from mobius_tui.matching.facts import FactsTable, ImageFacts
from mobius_tui.matching.neighbours import FAST_MARGIN, neighbours_of
from mobius_tui.matching.pairs import pair_id
from mobius_tui.operations.live import catalogue_folder
from mobius_tui.operations.matches import MOST_PAIRS, facts_of
from mobius_tui.store.images import Fingerprint, find_fingerprints, fingerprints_by_path
from mobius_tui.store.pairs import Pair, count_pairs, keep_pairs
from mobius_tui.store.scan import paths_of
from mobius_tui.workspace import Workspace

RUN_ID = "live"
"""How pairs and figures name the work that no run asked for."""


class LivePairs:
    """The dHashes of the library in memory, 73 bytes an image; read from the store when first needed.

    Args:
        ws: The workspace: its profile and threshold.
        hash_exactly: Fingerprints paths in the exact profile and keeps that; needed in the fast one.
    """

    def __init__(self, ws: Workspace, hash_exactly: Callable[[sqlite3.Connection, Sequence[str]], None]) -> None:
        self._ws = ws
        self._fast = ws.settings.profile == "fast"
        self._hash_exactly = hash_exactly
        self._table: FactsTable | None = None

    def forget(self) -> None:
        """Contents have vanished, or a run has changed the store: read it again when next needed."""
        self._table = None

    def add(self, connection: sqlite3.Connection, prints: Sequence[Fingerprint]) -> int:
        """Compare new fingerprints with all others and with each other.

        Args:
            connection: The database; the fingerprints and their files are in it.
            prints: With a dHash, of the live profile.

        Returns:
            How many waiting pairs they brought.
        """
        table = self._known(connection, {found.sha256 for found in prints})
        pairs: list[Pair] = []
        for found in prints:
            if _holds(table, found.sha256):
                continue
            facts = facts_of(len(table), found)
            pairs += (
                self._by_fast_hash(connection, facts, table) if self._fast else self._by_hash(connection, facts, table)
            )
            table.append(facts)
        room = max(0, MOST_PAIRS - count_pairs(connection))
        keep_pairs(connection, pairs[:room], RUN_ID)
        return min(room, len(pairs))

    def _known(self, connection: sqlite3.Connection, new: set[bytes]) -> FactsTable:
        """All images; one that is read from the store now leaves out the new ones, which are still to be compared."""
        if self._table is None:
            self._table = FactsTable()
            for found in fingerprints_by_path(connection, self._ws.settings.profile, decoder_version()):
                if found.sha256 not in new:
                    self._table.append(facts_of(len(self._table), found))
        return self._table

    def _by_hash(self, connection: sqlite3.Connection, new: ImageFacts, table: FactsTable) -> list[Pair]:
        def content(index: int) -> bytes:
            return new.sha256 if index == new.index else table.sha256(index)

        near = candidates_for(new, table, self._ws.settings.threshold)
        return self._rows(connection, [(content(found.left), content(found.right), found) for found in near])

    def _by_fast_hash(self, connection: sqlite3.Connection, new: ImageFacts, table: FactsTable) -> list[Pair]:
        """Fast hashes only say who is looked at: distances are those of exact ones."""
        if not new.informative:
            return []
        near, _ = neighbours_of(new.dhash, table.dhash, self._ws.settings.threshold + FAST_MARGIN)
        near = near[table.informative[near]]
        if not len(near):
            return []
        others = list(dict.fromkeys(table.sha256(row) for row in near.tolist()))
        exact = self._exact(connection, [new.sha256, *others])
        own = exact.pop(new.sha256, None)
        if own is None or own.dhash is None:
            return []
        contents = [content for content in others if content in exact and exact[content].dhash is not None]
        some = FactsTable(facts_of(place, exact[content]) for place, content in enumerate(contents))
        contents.append(new.sha256)
        found = candidates_for(facts_of(len(some), own), some, self._ws.settings.threshold)
        return self._rows(connection, [(contents[one.left], contents[one.right], one) for one in found])

    def _exact(self, connection: sqlite3.Connection, contents: Sequence[bytes]) -> dict[bytes, Fingerprint]:
        """Fingerprints of the exact profile; those that are missing are made."""
        decoder = decoder_version()
        known = find_fingerprints(connection, contents, "exact", decoder)
        paths = [paths_of(connection, content)[:1] for content in contents if content not in known]
        missing = [path for some in paths for path in some]
        if missing:
            self._hash_exactly(connection, missing)
            known = find_fingerprints(connection, contents, "exact", decoder)
        return known

    def _rows(self, connection: sqlite3.Connection, found: Sequence[tuple[bytes, bytes, Candidate]]) -> list[Pair]:
        folder = catalogue_folder(self._ws)
        rows = []
        for left, right, candidate in found:
            names = [paths_of(connection, content)[:1] for content in (left, right)]
            if not all(names):
                continue  # a file that went meanwhile
            rows.append(
                Pair(
                    id=pair_id(left, right),
                    left_sha=left,
                    right_sha=right,
                    left_path=file_key(names[0][0], folder),
                    right_path=file_key(names[1][0], folder),
                    distance=candidate.distance,
                    confidence=candidate.confidence,
                    status="waiting",
                    evidence=candidate.evidence,
                )
            )
        return rows


def _holds(table: FactsTable, content: bytes) -> bool:
    """Whether the table has an image of this content."""
    rows = np.flatnonzero(table.content[0] == np.uint64(int.from_bytes(content[:8], "big")))
    return any(table.sha256(row) == content for row in rows.tolist())
