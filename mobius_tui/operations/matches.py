"""From fingerprints to duplicates and waiting pairs.

Only byte-identical files are called duplicates; whatever is near by dHash waits for a person.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from mobius_tui.matching.candidates import CandidateBlock, find_candidate_blocks
from mobius_tui.matching.confidence import distance_confidence, distance_evidence
from mobius_tui.matching.facts import FactsTable, ImageFacts, choose_keeper, exact_groups
from mobius_tui.matching.neighbours import suspects
from mobius_tui.matching.pairs import pair_id
from mobius_tui.operations.hashing import Manner, Tally, fingerprint_all
from mobius_tui.operations.inventory import Result
from mobius_tui.operations.progress import Counts, Progress
from mobius_tui.store.images import Fingerprint
from mobius_tui.store.pairs import Pair

Number = TypeVar("Number", bound=np.generic)

MOST_PAIRS = 200_000
"""Waiting pairs that are kept at most, the nearest; nobody reviews more, and the count beyond is reported."""


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
    manner: Manner,
    progress: Progress,
    so_far: Tally,
) -> tuple[list[Result | None], Tally]:
    """Fingerprints of the exact profile for all images that may be in a candidate pair of a fast run.

    Both profiles so give the same pairs: the fast hashes only say who is looked at.

    Args:
        connection: The database.
        paths: Absolute paths by place.
        results: Fingerprints of the fast profile.
        threshold: Largest distance of a candidate pair, bits.
        manner: How images are fingerprinted, in the exact profile.
        progress: Told of the work.
        so_far: Counts of the run; they stay in view.

    Returns:
        By place: the exact fingerprint of the suspects, None of all others; and the counts of this work.
    """
    places = [place for place, found in enumerate(results) if has_dhash(found)]
    hashes = np.array([found.dhash for found in results if has_dhash(found)], dtype=np.uint64)
    near = suspects(hashes, threshold, heed=progress.checkpoint)
    chosen = [place for place, suspect in zip(places, near.tolist(), strict=True) if suspect]

    def shown(tally: Tally) -> Counts:
        return replace(so_far.counts(), done=tally.done, decoded=so_far.decoded + tally.decoded)

    found, tally = fingerprint_all(connection, [paths[place] for place in chosen], manner, progress, counts=shown)
    exact: list[Result | None] = [None] * len(results)
    for place, result in zip(chosen, found, strict=True):
        exact[place] = result
    return exact, tally


@dataclass(frozen=True, slots=True)
class Waiting:
    """Candidate pairs of different contents, in columns; iterating gives them as rows for the queue.

    Attributes:
        left: Places of the keepers.
        right: Places of the others.
        distance: Hamming distances, bits.
        found: How many candidates there are; more than are held here when they are too many.
        results: Fingerprints of the exact profile, by place.
        names: Path of each image as the catalogue writes it.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distance: NDArray[np.uint8]
    found: int
    results: Sequence[Result | None]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.left)

    def __iter__(self) -> Iterator[Pair]:
        for one, other, distance in zip(self.left.tolist(), self.right.tolist(), self.distance.tolist(), strict=True):
            left, right = self.results[one], self.results[other]
            assert isinstance(left, Fingerprint) and isinstance(right, Fingerprint)
            yield Pair(
                id=pair_id(left.sha256, right.sha256),
                left_sha=left.sha256,
                right_sha=right.sha256,
                left_path=self.names[one],
                right_path=self.names[other],
                distance=distance,
                confidence=distance_confidence(distance),
                status="waiting",
                evidence=distance_evidence(distance),
            )


def waiting_pairs(
    results: Sequence[Result | None],
    names: Sequence[str],
    threshold: int,
    progress: Progress,
    *,
    most: int = MOST_PAIRS,
) -> Waiting:
    """Candidate pairs of different contents, the nearest of them when they are too many.

    Args:
        results: Fingerprints of the exact profile, by place.
        names: Path of each image as the catalogue writes it.
        threshold: Largest distance, bits.
        progress: Asked now and then whether to go on.
        most: How many are kept.

    Returns:
        The pairs, the keeper on the left; nearest first, the same on every run.
    """
    table = FactsTable(facts_of(place, found) for place, found in enumerate(results) if has_dhash(found))
    nearest: list[list[CandidateBlock]] = [[] for _ in range(threshold + 1)]
    room = [most] * (threshold + 1)
    found = 0
    for block in find_candidate_blocks(table, threshold, heed=progress.checkpoint):
        found += len(block.left)
        for distance in range(threshold + 1):
            chosen = np.flatnonzero(block.distance == distance)[: room[distance]]
            if len(chosen):
                nearest[distance].append(
                    CandidateBlock(block.left[chosen], block.right[chosen], block.distance[chosen])
                )
                # what is kept of a distance leaves that much less room for every larger one
                room[distance:] = [max(0, left - len(chosen)) for left in room[distance:]]
    kept = [block for blocks in nearest for block in blocks]
    return Waiting(
        _joined([block.left for block in kept], np.int64)[:most],
        _joined([block.right for block in kept], np.int64)[:most],
        _joined([block.distance for block in kept], np.uint8)[:most],
        found,
        results,
        names,
    )


def _joined(parts: Sequence[NDArray[Number]], kind: type[Number]) -> NDArray[Number]:
    return np.concatenate(parts) if parts else np.empty(0, kind)
