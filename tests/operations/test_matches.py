"""Waiting pairs in columns, and byte-identical groups."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.matching.candidates import CandidateBlock
from mobius_tui.matching.confidence import distance_confidence
from mobius_tui.operations import matches
from mobius_tui.operations.matches import exact_duplicates, waiting_pairs
from mobius_tui.store.images import Fingerprint


class Going:
    """Progress that nobody watches."""

    run_id = "test"

    def checkpoint(self) -> None:
        """Go on."""


def found(content: int, dhash: int | None, pixels: int = 100, status: str = "ok") -> Fingerprint:
    sha = hashlib.sha256(b"%d" % content).digest()
    return Fingerprint(sha, "exact", "d", status, dhash, 0.9, None, None, None, "", pixels, 1, 1, "PNG")


def brute(results: list[Fingerprint], threshold: int) -> set[tuple[frozenset[bytes], int]]:
    """Pairs of different hashes, each hash by the content that is kept of it."""
    best: dict[int, Fingerprint] = {}
    for one in sorted(results, key=lambda one: -one.width):
        best.setdefault(one.dhash or 0, one)
    some = list(best.values())
    return {
        (frozenset((a.sha256, b.sha256)), ((a.dhash or 0) ^ (b.dhash or 0)).bit_count())
        for a in some
        for b in some
        if 0 < ((a.dhash or 0) ^ (b.dhash or 0)).bit_count() <= threshold
    }


near_hashes = st.lists(st.integers(0, 255), min_size=0, max_size=14)


@given(near_hashes, st.integers(0, 10))
def test_all_pairs_within_the_threshold_nearest_first(hashes, threshold):
    results = [found(number, dhash, 1000 - number) for number, dhash in enumerate(hashes)]
    waiting = waiting_pairs(results, [f"{n}.png" for n in range(len(results))], threshold, Going())
    pairs = list(waiting)
    assert len(pairs) == len(waiting) == waiting.found
    assert [pair.distance for pair in pairs] == sorted(pair.distance for pair in pairs)
    assert {(frozenset((p.left_sha, p.right_sha)), p.distance) for p in pairs if p.distance} == brute(
        results, threshold
    )
    assert sum(pair.distance == 0 for pair in pairs) == len(hashes) - len(set(hashes))
    for pair in pairs:
        assert int(pair.left_path.split(".")[0]) < int(pair.right_path.split(".")[0]), "the larger one is kept"
        assert (pair.confidence, pair.status) == (distance_confidence(pair.distance), "waiting")


@given(near_hashes, st.integers(1, 6))
def test_too_many_pairs_leave_the_nearest(hashes, most):
    results = [found(number, dhash, 1000 - number) for number, dhash in enumerate(hashes)]
    names = [str(n) for n in range(len(results))]
    every = list(waiting_pairs(results, names, 8, Going()))
    some = waiting_pairs(results, names, 8, Going(), most=most)
    assert list(some) == every[:most]
    assert some.found == len(every)


@given(st.lists(st.integers(0, 8), max_size=30), st.integers(1, 9))
def test_nearest_are_kept_in_whatever_order_they_are_found(distances, most):
    """One candidate a block, as a large library gives many blocks."""
    results = [found(number, number) for number in range(len(distances) + 1)]

    def blocks(table, threshold, *, heed):
        for number, distance in enumerate(distances):
            yield CandidateBlock(np.array([0]), np.array([number + 1]), np.array([distance], np.uint8))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matches, "find_candidate_blocks", blocks)
        waiting = waiting_pairs(results, [str(n) for n in range(len(results))], 8, Going(), most=most)
    expected = sorted((distance, number + 1) for number, distance in enumerate(distances))[:most]
    assert list(zip(waiting.distance.tolist(), waiting.right.tolist(), strict=True)) == expected
    assert waiting.found == len(distances)


def test_unhashed_and_uninformative_images_match_nothing():
    results = [found(1, None, status="failed"), found(2, 0, status="low_confidence"), found(3, 0), None]
    assert list(waiting_pairs(results, list("abcd"), 64, Going())) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), max_size=10))
def test_each_exact_duplicate_once_against_the_keeper(files):
    results = [found(content, content, pixels) for content, pixels in files]
    duplicates = exact_duplicates(results)
    assert [pair.duplicate for pair in duplicates] == sorted({pair.duplicate for pair in duplicates})
    groups: dict[bytes, list[int]] = {}
    for place, one in enumerate(results):
        groups.setdefault(one.sha256, []).append(place)
    assert len(duplicates) == len(files) - len(groups)
    for pair in duplicates:
        group = groups[results[pair.duplicate].sha256]
        assert pair.original == min(group, key=lambda place: (-results[place].width, place))
