"""From fingerprints to duplicates and waiting pairs.

Only byte-identical files are called duplicates; whatever is near by dHash waits for a person.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from mobius_tui.fingerprint.model import Limits
from mobius_tui.matching.candidates import find_candidates
from mobius_tui.matching.facts import FactsTable, ImageFacts, choose_keeper, exact_groups
from mobius_tui.matching.neighbours import suspects
from mobius_tui.matching.pairs import pair_id
from mobius_tui.operations.hashing import fingerprint_all, setup_for
from mobius_tui.operations.inventory import Result
from mobius_tui.operations.progress import Progress
from mobius_tui.store.images import Fingerprint
from mobius_tui.store.pairs import Pair

MOST_PAIRS = 200_000
"""Waiting pairs that are kept at most; nobody reviews more, and the count beyond is reported."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A file that is a duplicate of its group's keeper; both by their place."""

    duplicate: int
    original: int


def facts_of(place: int, found: Fingerprint) -> ImageFacts:
    """What matching needs of an image with a dHash."""
    return ImageFacts(
        index=place,
        sha256=found.sha256,
        dhash=found.dhash or 0,
        informative=found.status == "ok",
        pixels=found.width * found.height,
        bytes=found.bytes,
        order=place,
    )


def exact_duplicates(results: Sequence[Result | None]) -> list[Duplicate]:
    """Byte-identical images that were decoded, each once against its group's keeper, in the catalogue's order.

    Args:
        results: By place; those without a dHash are left out.

    Returns:
        The duplicates.
    """
    hashed = [(place, found) for place, found in enumerate(results) if has_dhash(found)]
    duplicates = []
    for group in exact_groups([found.sha256 for _, found in hashed]):
        facts = [facts_of(*hashed[member]) for member in group]
        keeper = hashed[group[choose_keeper(facts)]][0]
        duplicates += [Duplicate(hashed[member][0], keeper) for member in group if hashed[member][0] != keeper]
    return sorted(duplicates, key=lambda pair: pair.duplicate)


def has_dhash(result: Result | None) -> TypeGuard[Fingerprint]:
    """Whether an image has a dHash."""
    return isinstance(result, Fingerprint) and result.dhash is not None


def exact_prints(
    connection: sqlite3.Connection,
    paths: Sequence[str],
    results: Sequence[Result | None],
    threshold: int,
    limits: Limits,
    progress: Progress,
    *,
    workers: int,
    batch_size: int,
) -> list[Result | None]:
    """Fingerprints of the exact profile for all images that may be in a candidate pair of a fast run.

    Both profiles so give the same pairs: the fast ones only say who is looked at.

    Args:
        connection: The database.
        paths: Absolute paths by place.
        results: Fingerprints of the fast profile.
        threshold: Largest distance of a candidate pair, bits.
        limits: What one image may cost.
        progress: Told of the work.
        workers: Hashing processes.
        batch_size: Images a commit.

    Returns:
        By place: the exact fingerprint of the suspects, None of all others.
    """
    import numpy as np

    places = [place for place, found in enumerate(results) if has_dhash(found)]
    hashes = np.array([found.dhash for found in results if has_dhash(found)], dtype=np.uint64)
    near = suspects(hashes, threshold)
    chosen = [place for place, suspect in zip(places, near.tolist(), strict=True) if suspect]
    progress.phase("exact hashes of candidates", len(chosen))
    found, _ = fingerprint_all(
        connection,
        [paths[place] for place in chosen],
        setup_for("exact", limits),
        limits,
        progress,
        workers=workers,
        batch_size=batch_size,
    )
    exact: list[Result | None] = [None] * len(results)
    for place, result in zip(chosen, found, strict=True):
        exact[place] = result
    return exact


def waiting_pairs(
    results: Sequence[Result | None], names: Sequence[str], threshold: int, progress: Progress
) -> Iterator[Pair]:
    """Candidate pairs of different contents, as rows for the queue.

    Args:
        results: Fingerprints of the exact profile, by place.
        names: Path of each image as the catalogue writes it.
        threshold: Largest distance, bits.
        progress: Asked now and then whether to go on.

    Yields:
        Pairs, the keeper on the left.
    """
    table = FactsTable(facts_of(place, found) for place, found in enumerate(results) if has_dhash(found))
    for number, candidate in enumerate(find_candidates(table, threshold)):
        if number % 1000 == 0:
            progress.checkpoint()
        left, right = results[candidate.left], results[candidate.right]
        assert isinstance(left, Fingerprint) and isinstance(right, Fingerprint)
        yield Pair(
            id=pair_id(left.sha256, right.sha256),
            left_sha=left.sha256,
            right_sha=right.sha256,
            left_path=names[candidate.left],
            right_path=names[candidate.right],
            distance=candidate.distance,
            confidence=candidate.confidence,
            status="waiting",
            evidence=candidate.evidence,
        )
