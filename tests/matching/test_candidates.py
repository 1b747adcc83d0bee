from __future__ import annotations

import hashlib
from collections.abc import Iterable

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from mobius_tui.matching.candidates import Candidate, candidates_for, find_candidate_blocks
from mobius_tui.matching.facts import FactsTable, ImageFacts, choose_keeper, exact_groups

HASHES = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 3, 7, 0xFF, 0xFFFF, 2**64 - 1, 0xF0F0F0F0F0F0F0F0, 0xF0F0F0F0F0F0F0F1]),
)


def sha(content: int) -> bytes:
    return hashlib.sha256(str(content).encode()).digest()


@st.composite
def libraries(draw: st.DrawFn) -> list[ImageFacts]:
    contents = draw(
        st.lists(st.tuples(HASHES, st.booleans(), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=8)
    )
    files = draw(st.lists(st.integers(0, len(contents) - 1), max_size=16))
    order = draw(st.permutations(range(len(files))))
    return [
        ImageFacts(
            100 + place, sha(content), contents[content][0], contents[content][1], *contents[content][2:], order[place]
        )
        for place, content in enumerate(files)
    ]


def expected(facts: list[ImageFacts], r: int) -> set[tuple[int, int, int]]:
    """The definition, image by image."""

    def worth(one: ImageFacts) -> tuple[int, int, int]:
        return (-one.pixels, -one.bytes, one.order)

    contents: dict[bytes, ImageFacts] = {}
    for one in sorted((one for one in facts if one.informative), key=worth):
        contents.setdefault(one.sha256, one)
    groups: dict[int, list[ImageFacts]] = {}
    for one in contents.values():
        groups.setdefault(one.dhash, []).append(one)
    pairs = {(group[0].index, other.index, 0) for group in groups.values() for other in group[1:]}
    keepers = sorted((group[0] for group in groups.values()), key=worth)
    for place, left in enumerate(keepers):
        for right in keepers[place + 1 :]:
            distance = (left.dhash ^ right.dhash).bit_count()
            if distance <= r:
                pairs.add((left.index, right.index, distance))
    return pairs


def triples(candidates: list[Candidate]) -> set[tuple[int, int, int]]:
    found = [(one.left, one.right, one.distance) for one in candidates]
    assert len(found) == len(set(found))
    return set(found)


def searched(facts: Iterable[ImageFacts], r: int) -> set[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    for block in find_candidate_blocks(facts, r):
        assert len(block.left)
        found += zip(block.left.tolist(), block.right.tolist(), block.distance.tolist(), strict=True)
    assert len(found) == len(set(found))
    return set(found)


@given(libraries(), st.integers(0, 64))
def test_candidates_follow_the_definition(facts: list[ImageFacts], r: int) -> None:
    assert searched(facts, r) == expected(facts, r)


@given(libraries().filter(bool), st.integers(0, 64))
def test_one_more_image_brings_what_the_whole_search_finds_of_it(facts: list[ImageFacts], r: int) -> None:
    *old, new = facts
    found = triples(candidates_for(new, FactsTable(old), r))
    if any(one.sha256 == new.sha256 for one in old):
        assert found == set()
    else:
        assert found == {pair for pair in expected(facts, r) if new.index in pair[:2]}


def test_new_candidates_come_nearest_first() -> None:
    old = FactsTable(ImageFacts(i, sha(i), 2**i - 1, True, 9, 9, i) for i in range(10))
    new = ImageFacts(99, sha(99), 0b1000000000, True, 9, 9, 99)
    distances = [one.distance for one in candidates_for(new, old, 20)]
    assert distances == sorted(distances)
    assert len(distances) == 10


def test_confidence_and_evidence_are_those_of_the_distance() -> None:
    old = FactsTable([ImageFacts(0, sha(0), 0, True, 1, 1, 0)])
    [one] = candidates_for(ImageFacts(1, sha(1), 0b111, True, 1, 1, 1), old, 3)
    assert one.evidence == ("3 bits differ",)
    assert 0 < one.confidence < 1


def test_equal_hashes_are_a_star_not_all_pairs() -> None:
    facts = [ImageFacts(i, sha(i), 5, True, 1, 1, i) for i in range(2000)]
    facts[700] = ImageFacts(700, sha(700), 5, True, 2, 1, 700)
    found = searched(facts, 10)
    assert len(found) == 1999
    assert {left for left, _, _ in found} == {700}


def test_many_images_given_as_a_generator() -> None:
    found = searched((ImageFacts(i, sha(i), i << 20, True, 1, 1, i) for i in range(3000)), 1)
    assert found == {(a, a ^ bit, 1) for a in range(3000) for bit in (1 << k for k in range(12)) if a < a ^ bit < 3000}


def test_no_images() -> None:
    assert searched([], 10) == set()
    assert candidates_for(ImageFacts(0, sha(0), 0, True, 1, 1, 0), FactsTable(), 64) == []


def test_a_sha256_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        FactsTable([ImageFacts(0, b"short", 0, True, 1, 1, 0)])


@given(st.lists(st.integers(0, 5)))
def test_exact_groups(contents: list[int]) -> None:
    groups = exact_groups([sha(one) for one in contents])
    assert groups == [
        places
        for first, content in enumerate(contents)
        if (places := [i for i, one in enumerate(contents) if one == content])[0] == first and len(places) > 1
    ]


def test_keeper_has_more_pixels_then_more_bytes_then_is_listed_first() -> None:
    def facts(pixels: int, size: int, order: int) -> ImageFacts:
        return ImageFacts(0, sha(0), 0, True, pixels, size, order)

    assert choose_keeper([facts(1, 9, 0), facts(2, 1, 9)]) == 1
    assert choose_keeper([facts(2, 1, 0), facts(2, 2, 9)]) == 1
    assert choose_keeper([facts(2, 2, 3), facts(2, 2, 1)]) == 1
    with pytest.raises(ValueError):
        choose_keeper([])


@settings(max_examples=50)
@given(libraries().filter(bool))
def test_the_table_keeps_what_it_was_given(facts: list[ImageFacts]) -> None:
    table = FactsTable(facts)
    assert [table.sha256(row) for row in range(len(table))] == [one.sha256 for one in facts]
    assert table.dhash.tolist() == [one.dhash for one in facts]
    assert table.index.tolist() == [one.index for one in facts]
    assert table.informative.tolist() == [one.informative for one in facts]
