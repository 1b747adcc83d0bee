"""From images to candidate pairs: near enough by dHash to deserve a second look.

Equal content is one image, equal hashes are a star around the group's keeper, and different hashes meet through their
groups' keepers. So a library with ten thousand copies of one icon gives ten thousand candidates, not fifty million.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mobius_tui.matching.confidence import distance_confidence, distance_evidence
from mobius_tui.matching.facts import FactsTable, ImageFacts, as_table
from mobius_tui.matching.neighbours import BLOCK_PAIRS, neighbours_of, pairs_within


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two images that may show the same picture.

    Attributes:
        left: ``index`` of the one that would be kept.
        right: ``index`` of the other.
        distance: Hamming distance of their dHashes, 0..64.
        confidence: Probability by distance alone that they show the same picture, 0..1.
        evidence: What speaks for it, in words.
    """

    left: int
    right: int
    distance: int
    confidence: float
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CandidateBlock:
    """Candidates as columns, at most BLOCK_PAIRS of them.

    Attributes:
        left: ``index`` of the keepers, int64.
        right: ``index`` of the others, int64.
        distance: Hamming distances, uint8.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distance: NDArray[np.uint8]


def find_candidate_blocks(
    facts: FactsTable | Iterable[ImageFacts], r: int, *, heed: Callable[[], None] | None = None
) -> Iterator[CandidateBlock]:
    """Every candidate of a library.

    Args:
        facts: The images.
        r: Bits that may differ, 0..64.
        heed: Called now and then while the search runs, candidates or none; what it raises ends the search.

    Yields:
        Blocks, none empty: first the stars of equal hashes, then pairs of different hashes; the same on every run.
    """
    table = as_table(facts)
    rows = _one_row_a_content(table)
    hashes = table.dhash[rows]
    # Stable by hash after best-first: the first of each run is its keeper.
    by_hash = np.argsort(hashes, kind="stable")
    begins = np.ones(len(rows), np.bool_)
    np.not_equal(hashes[by_hash[1:]], hashes[by_hash[:-1]], out=begins[1:])
    keepers = by_hash[begins]
    group = np.cumsum(begins) - 1
    others = np.flatnonzero(~begins)
    index = table.index[rows]
    for low in range(0, len(others), BLOCK_PAIRS):
        part = others[low : low + BLOCK_PAIRS]
        yield CandidateBlock(index[keepers[group[part]]], index[by_hash[part]], np.zeros(len(part), np.uint8))
    for block in pairs_within(hashes[keepers], r, heed=heed):
        one, two = keepers[block.left], keepers[block.right]
        # Rows are best first, so the lower place is the one to keep.
        yield CandidateBlock(index[np.minimum(one, two)], index[np.maximum(one, two)], block.distance)


def candidates_for(new: ImageFacts, table: FactsTable, r: int) -> list[Candidate]:
    """The candidates that one more image brings: those of ``find_candidate_blocks`` over all that involve it.

    Args:
        new: The image, not in the table.
        table: The images there are.
        r: Bits that may differ, 0..64.

    Returns:
        The candidates, nearest first. None when the content is known already, or the image is not informative. What the
        new image makes needless is not taken back: where it becomes the keeper of a group of equal hashes, candidates
        of the old keeper stand until the next full search.
    """
    if not new.informative:
        return []
    near, distance = neighbours_of(new.dhash, table.dhash, r)
    # Equal content has an equal hash: it is among these, and all others need not be read.
    own = np.frombuffer(new.sha256, dtype=">u8").astype(np.uint64)
    if (table.content[:, near[distance == 0]] == own[:, None]).all(axis=0).any():
        return []
    both = table.picked(near, new)
    newest = len(near)
    best = _one_row_a_content(both)
    hashes = both.dhash[best]
    _, first = np.unique(hashes, return_index=True)
    keepers = best[first]
    equal = best[hashes == np.uint64(new.dhash)]
    away = np.append(distance, np.uint8(0))
    rank = np.empty(len(both), np.int64)
    rank[best] = np.arange(len(best))
    takes_over = equal[0] == newest
    partners = np.concatenate((equal[1:], keepers[keepers != newest])) if takes_over else equal[:1]
    partners = partners[np.lexsort((rank[partners], away[partners]))]
    found = []
    for partner in partners.tolist():
        left, right = (partner, newest) if rank[partner] < rank[newest] else (newest, partner)
        found.append(_candidate(int(both.index[left]), int(both.index[right]), int(away[partner])))
    return found


def _candidate(left: int, right: int, distance: int) -> Candidate:
    """One candidate with what its distance says."""
    return Candidate(left, right, distance, distance_confidence(distance), distance_evidence(distance))


def _one_row_a_content(table: FactsTable) -> NDArray[np.int64]:
    """The best row of each content among the informative images, best first."""
    rows = table.best_first(np.flatnonzero(table.informative))
    content = table.content[:, rows]
    by_content = np.lexsort(content[::-1])
    ordered = content[:, by_content]
    new = np.ones(len(rows), np.bool_)
    np.any(ordered[:, 1:] != ordered[:, :-1], axis=0, out=new[1:])
    # lexsort is stable, so the first of each run of equal content is its best row.
    return np.asarray(rows[np.sort(by_content[new])], np.int64)
