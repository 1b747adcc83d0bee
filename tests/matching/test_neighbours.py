from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from mobius_tui.matching import multi_index, neighbours
from mobius_tui.matching.neighbours import collapse, neighbours_of, pairs_within, suspects

Pairs = dict[tuple[int, int], int]

SHAPES = ("uniform", "sparse bits", "one part", "two parts", "balls", "walk")


def drawn(shape: str, count: int, seed: int) -> NDArray[np.uint64]:
    """Hashes that fall into buckets in very different ways."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 2**64, count, dtype=np.uint64)
    if shape == "uniform":
        return whole
    if shape == "sparse bits":
        return whole & rng.integers(0, 2**64, dtype=np.uint64) & rng.integers(0, 2**64, dtype=np.uint64)
    if shape == "one part":
        return whole >> np.uint64(48) << np.uint64(rng.integers(0, 49))
    if shape == "two parts":
        return whole & np.uint64(0xFFFF0000FFFF0000)
    if shape == "balls":
        centres = rng.integers(0, 2**64, 4, dtype=np.uint64)
        flips = np.uint64(1) << rng.integers(0, 64, (count, 4), dtype=np.uint64)
        return centres[rng.integers(0, 4, count)] ^ np.bitwise_or.reduce(flips, axis=1)
    return np.arange(count, dtype=np.uint64) + rng.integers(0, 2**63, dtype=np.uint64)


LIBRARIES = st.builds(drawn, st.sampled_from(SHAPES), st.integers(0, 250), st.integers(0, 2**32))
FEW = st.builds(drawn, st.sampled_from(SHAPES), st.integers(0, 40), st.integers(0, 2**32))
"""For the index, which at wide radii sets up one piece of work for every pair of keys that meet."""


def brute(hashes: NDArray[np.uint64], r: int) -> Pairs:
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    left, right = np.nonzero(np.triu(distance <= r, 1))
    return dict(zip(zip(left.tolist(), right.tolist(), strict=True), distance[left, right].tolist(), strict=True))


def found(hashes: NDArray[np.uint64], r: int, threads: int | None = 1) -> Pairs:
    pairs: Pairs = {}
    for block in pairs_within(hashes, r, threads=threads):
        assert 0 < len(block.left) <= neighbours.BLOCK_PAIRS
        for left, right, distance in zip(
            block.left.tolist(), block.right.tolist(), block.distance.tolist(), strict=True
        ):
            assert (left, right) not in pairs, "a pair came twice"
            pairs[left, right] = distance
    return pairs


@pytest.fixture()
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small libraries are cut into many tasks and steps too."""
    for module in (multi_index, neighbours):
        monkeypatch.setattr(module, "SLOTS_PER_TASK", 1024)
        monkeypatch.setattr(module, "SLOTS_PER_STEP", 512)


@pytest.fixture()
def indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small libraries go through the index, whatever it costs."""
    monkeypatch.setattr(neighbours, "_worthwhile_plan", multi_index.make_plan)


@given(LIBRARIES, st.integers(0, 64))
def test_brute_force_finds_exactly_the_pairs_within_r(hashes: NDArray[np.uint64], r: int) -> None:
    distinct = collapse(hashes).distinct
    assert found(distinct, r) == brute(distinct, r)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FEW, st.integers(0, 64))
@pytest.mark.usefixtures("indexed")
def test_the_index_finds_exactly_the_pairs_within_r(hashes: NDArray[np.uint64], r: int) -> None:
    distinct = collapse(hashes).distinct
    assert found(distinct, r) == brute(distinct, r)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FEW, st.integers(0, 64))
@pytest.mark.usefixtures("indexed", "small_pieces")
def test_the_index_is_exact_in_small_pieces_and_any_order(hashes: NDArray[np.uint64], r: int) -> None:
    shuffled = np.random.default_rng(len(hashes)).permutation(collapse(hashes).distinct)
    assert found(shuffled, r, threads=2) == brute(shuffled, r)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LIBRARIES, st.integers(0, 64))
@pytest.mark.usefixtures("small_pieces")
def test_brute_force_is_exact_in_small_pieces(hashes: NDArray[np.uint64], r: int) -> None:
    distinct = collapse(hashes).distinct
    assert found(distinct, r, threads=2) == brute(distinct, r)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("r", [3, 10])
@pytest.mark.usefixtures("indexed")
def test_a_library_large_enough_for_the_index_is_exact(shape: str, r: int) -> None:
    distinct = collapse(drawn(shape, 2000, r)).distinct
    assert found(distinct, r, threads=2) == brute(distinct, r)


def test_a_large_uniform_library_goes_through_the_index() -> None:
    assert neighbours._worthwhile_plan(drawn("uniform", 50_000, 1), 10) is not None


def test_clustered_hashes_are_compared_outright_when_buckets_do_not_help() -> None:
    distinct = np.arange(20_000, dtype=np.uint64)
    assert neighbours._worthwhile_plan(distinct, 12) is None


def test_the_order_of_pairs_does_not_depend_on_threads() -> None:
    distinct = collapse(drawn("balls", 20_000, 3)).distinct
    one = [block.left.tolist() for block in pairs_within(distinct, 6, threads=1)]
    two = [block.left.tolist() for block in pairs_within(distinct, 6, threads=2)]
    assert one == two


def test_a_search_given_up_half_way_ends_its_threads() -> None:
    import threading

    before = threading.active_count()
    blocks = pairs_within(np.arange(10_000, dtype=np.uint64), 64, threads=2)
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_hashes_have_no_pairs(count: int) -> None:
    assert list(pairs_within(np.zeros(count, np.uint64), 64)) == []


@pytest.mark.parametrize("r", [-1, 65])
def test_a_radius_that_cannot_be_is_refused(r: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.64"):
        list(pairs_within(np.zeros(2, np.uint64), r))


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 4)))
def test_collapse_takes_equal_hashes_together(values: list[int]) -> None:
    hashes = np.array(values, np.uint64)
    seen = collapse(hashes)
    assert seen.distinct.tolist() == sorted(set(values))
    assert seen.distinct[seen.inverse].tolist() == values
    assert seen.counts.tolist() == [values.count(value) for value in seen.distinct.tolist()]
    assert seen.first.tolist() == [values.index(value) for value in seen.distinct.tolist()]


@given(LIBRARIES, st.integers(0, 2**64 - 1), st.integers(0, 64), st.booleans())
def test_neighbours_of_one_hash(hashes: NDArray[np.uint64], one: int, r: int, member: bool) -> None:
    if member and len(hashes):
        one = int(hashes[0])
    places, distances = neighbours_of(one, hashes, r)
    expected = [
        (i, (one ^ int(h)).bit_count()) for i, h in enumerate(hashes.tolist()) if (one ^ int(h)).bit_count() <= r
    ]
    assert list(zip(places.tolist(), distances.tolist(), strict=True)) == expected


def test_neighbours_of_one_hash_across_steps() -> None:
    hashes = drawn("uniform", 3 * neighbours.ONE_STEP + 17, 5)
    planted = [0, neighbours.ONE_STEP - 1, neighbours.ONE_STEP, 2 * neighbours.ONE_STEP + 5, len(hashes) - 1]
    hashes[planted] = 0b111
    places, distances = neighbours_of(0, hashes, 3)
    assert places.tolist() == planted
    assert distances.tolist() == [3] * 5


def lonely(hashes: NDArray[np.uint64], r: int) -> list[bool]:
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    np.fill_diagonal(distance, 255)
    return (distance > r).all(axis=1).tolist()


@given(LIBRARIES, st.integers(0, 64), st.integers(0, 3))
def test_suspects_have_a_neighbour_within_the_margin(hashes: NDArray[np.uint64], r: int, equal: int) -> None:
    hashes = np.concatenate((hashes, hashes[:equal]))
    near = suspects(hashes, r)
    assert near.dtype == np.bool_
    assert near.tolist() == [not alone for alone in lonely(hashes, min(64, r + 4))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("r", [0, 6, 15])
def test_suspects_of_a_large_library(shape: str, r: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BRUTE_BELOW", 500)
    hashes = drawn(shape, 2000, r)
    assert suspects(hashes, r).tolist() == [not alone for alone in lonely(hashes, r + 4)]


def test_masks_meet_as_often_as_counted_one_by_one() -> None:
    tiles = np.random.default_rng(0).integers(0, 4, 1 << 7)
    keys = np.arange(len(tiles))
    counted = [int((tiles * tiles[keys ^ mask]).sum()) for mask in keys]
    assert multi_index.meetings(tiles).tolist() == counted


def test_a_search_heeds_a_call_to_stop() -> None:
    class Enough(Exception):
        pass

    def stop() -> None:
        raise Enough

    # Not one pair is within reach, and still the search can be ended.
    with pytest.raises(Enough):
        list(pairs_within(np.array([0, 2**64 - 1], np.uint64), 1, heed=stop))


@pytest.mark.parametrize("shape", ["balls", "uniform"])
def test_looking_for_suspects_heeds_a_call_to_stop(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(Exception):
        pass

    def stop() -> None:
        raise Enough

    monkeypatch.setattr(neighbours, "BRUTE_BELOW", 500)
    with pytest.raises(Enough):
        suspects(drawn(shape, 2000, 1), 10, heed=stop)


@pytest.mark.parametrize("index", [False, True])
def test_memory_does_not_grow_with_the_number_of_pairs(index: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    # 8,000 hashes that share all bits but 13: 32 million pairs, half a gigabyte if they were held.
    distinct = np.arange(8000, dtype=np.uint64) << np.uint64(48)
    if index:
        plan = multi_index.make_plan(distinct, 13)
        monkeypatch.setattr(neighbours, "_worthwhile_plan", lambda hashes, r: plan)
    tracemalloc.start()
    try:
        pairs = sum(len(block.left) for block in pairs_within(distinct, 13, threads=2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pairs == 8000 * 7999 // 2
    assert peak < 300 * 2**20


def test_a_slow_reader_is_not_run_far_ahead_of(monkeypatch: pytest.MonkeyPatch) -> None:
    handed_out = 0
    whole = neighbours._brute_work

    def counted(hashes: NDArray[np.uint64], r: int) -> object:
        nonlocal handed_out
        for task in whole(hashes, r):
            handed_out += 1
            yield task

    monkeypatch.setattr(neighbours, "_brute_work", counted)
    blocks = pairs_within(np.arange(8000, dtype=np.uint64), 64, threads=2)
    next(blocks)
    assert 1 < handed_out <= 6
    assert sum(1 for _ in blocks) > 100
