"""Which hashes lie within r bits of each other: exact, with bounded memory, with numpy alone."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mobius_tui.matching.multi_index import (
    SLOT_NS,
    SLOTS_PER_STEP,
    SLOTS_PER_TASK,
    Found,
    Plan,
    lay_tiles,
    make_plan,
    near_slots,
    run_task,
    tasks_of,
)

BITS = 64
"""Bits of a dHash."""
BLOCK_PAIRS = SLOTS_PER_TASK
"""Most pairs in one block."""
FAST_MARGIN = 4
"""Bits by which a distance between hashes of the fast profile may be off (docs/matching.md)."""
BRUTE_BELOW = 16_384
"""Fewer hashes than this are compared outright: planning would cost more."""
ONE_STEP = 1 << 15
"""Hashes in one numpy call of a one-against-all search."""


@dataclass(frozen=True, slots=True)
class Collapsed:
    """Hashes with equal ones taken together.

    Attributes:
        distinct: The different hashes, ascending, uint64.
        inverse: For each input hash its place in ``distinct``, int64.
        counts: How often each occurs, int64.
        first: Where each occurs first in the input, int64.
    """

    distinct: NDArray[np.uint64]
    inverse: NDArray[np.int64]
    counts: NDArray[np.int64]
    first: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PairBlock:
    """Some pairs of near hashes.

    Attributes:
        left: Indices, int64.
        right: Indices, int64; always larger than ``left``.
        distance: Hamming distances, uint8.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distance: NDArray[np.uint8]


def collapse(hashes: NDArray[np.uint64]) -> Collapsed:
    """Take equal hashes together.

    Args:
        hashes: Any number of hashes in any order.

    Returns:
        The distinct ones, and how the input maps to them.
    """
    distinct, first, inverse, counts = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    return Collapsed(distinct, inverse.reshape(-1).astype(np.int64), counts.astype(np.int64), first.astype(np.int64))


def pairs_within(
    distinct: NDArray[np.uint64], r: int, *, threads: int | None = None, heed: Callable[[], None] | None = None
) -> Iterator[PairBlock]:
    """Every pair of hashes that differ in at most r bits, each once.

    Args:
        distinct: Different hashes, in any order (``collapse`` gives them).
        r: Bits that may differ, 0..64.
        threads: Threads that compare; by default one a core, at most four.
        heed: Called between pieces of work of some milliseconds, pairs or none; what it raises ends the search.

    Yields:
        Blocks of at most BLOCK_PAIRS pairs, none empty; the order is the same on every run, whatever the threads.

    Raises:
        ValueError: r is not within 0..64.
    """
    if not 0 <= r <= BITS:
        raise ValueError(f"a Hamming distance of 64-bit hashes is 0..64, not {r}")
    distinct = np.ascontiguousarray(distinct, dtype=np.uint64)
    plan = _worthwhile_plan(distinct, r)
    work = _indexed_work(distinct, r, plan) if plan else _brute_work(distinct, r)
    for found in _in_order(work, threads or min(4, os.cpu_count() or 1)):
        if heed:
            heed()
        if len(found.left):
            yield PairBlock(found.left, found.right, found.distance)


def neighbours_of(
    hash: int | np.uint64, hashes: NDArray[np.uint64], r: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The hashes within r bits of one hash: one row against all, no index needed.

    Args:
        hash: The hash asked about.
        hashes: Those to search, in any order, equal ones included.
        r: Bits that may differ, 0..64.

    Returns:
        Their indices, ascending, and distances.
    """
    one = np.uint64(hash)
    places: list[NDArray[np.int64]] = []
    distances: list[NDArray[np.uint8]] = []
    bits = np.empty(min(ONE_STEP, len(hashes)), np.uint64)
    count = np.empty(len(bits), np.uint8)
    for low in range(0, len(hashes), ONE_STEP):
        part = hashes[low : low + ONE_STEP]
        np.bitwise_xor(part, one, out=bits[: len(part)])
        np.bitwise_count(bits[: len(part)], out=count[: len(part)])
        hits = np.flatnonzero(count[: len(part)] <= r)
        if len(hits):
            places.append(hits + low)
            distances.append(count[hits])
    if not places:
        return np.empty(0, np.int64), np.empty(0, np.uint8)
    return np.concatenate(places), np.concatenate(distances)


def suspects(
    fast_hashes: NDArray[np.uint64], r: int, *, margin: int = FAST_MARGIN, heed: Callable[[], None] | None = None
) -> NDArray[np.bool_]:
    """Images of the fast profile that must be hashed exactly before any distance is computed.

    Args:
        fast_hashes: Hashes of the fast profile.
        r: The candidates' radius between exact hashes.
        margin: Bits by which a distance between fast hashes may be off.
        heed: Called between pieces of work; what it raises ends the search.

    Returns:
        A flag a hash: whether any other lies within r + margin, equal ones included.
    """
    seen = collapse(fast_hashes)
    near = seen.counts > 1
    _mark_by_sample(seen.distinct, near, min(BITS, r + margin), heed)
    waiting = np.flatnonzero(~near)
    if len(waiting) * len(near) * SLOT_NS < 1e9:
        for place in waiting:
            near[place] = len(neighbours_of(seen.distinct[place], seen.distinct, min(BITS, r + margin))[0]) > 1
    else:
        for block in pairs_within(seen.distinct, min(BITS, r + margin), heed=heed):
            near[block.left] = True
            near[block.right] = True
    return near[seen.inverse]


def _mark_by_sample(
    distinct: NDArray[np.uint64], near: NDArray[np.bool_], r: int, heed: Callable[[], None] | None
) -> None:
    """Mark hashes with a neighbour in a growing sample, as long as that finds many.

    In a large library at a wide radius nearly every hash has a neighbour by chance; the pairs are not needed for that.
    """
    if len(distinct) < BRUTE_BELOW:
        return
    sample = np.random.default_rng(0).permutation(len(distinct))
    for low in range(0, len(sample), 256):
        if heed:
            heed()
        waiting = np.flatnonzero(~near)
        chosen = sample[low : low + 256]
        marked = 0
        for begin in range(0, len(waiting), 256):
            rows = waiting[begin : begin + 256]
            close = np.bitwise_count(distinct[rows][:, None] ^ distinct[chosen][None, :]) <= r
            close &= rows[:, None] != chosen[None, :]
            hits = close.any(axis=1)
            near[rows[hits]] = True
            marked += int(hits.sum())
        # One in twenty is the least that pays for another round.
        if marked * 20 < len(waiting):
            return


def _worthwhile_plan(distinct: NDArray[np.uint64], r: int) -> Plan | None:
    """The plan of an indexed search; None where comparing everything is cheaper."""
    if len(distinct) < BRUTE_BELOW:
        return None
    plan = make_plan(distinct, r)
    return plan if plan and plan.nanoseconds < len(distinct) ** 2 / 2 * SLOT_NS else None


def _indexed_work(distinct: NDArray[np.uint64], r: int, plan: Plan) -> Iterator[Callable[[], Found]]:
    """The tasks of a multi-index search."""
    for at, part in enumerate(plan.parts):
        if part.radius < 0:
            continue
        tiles = lay_tiles(distinct, part)
        for task in tasks_of(tiles, part):
            yield partial(run_task, tiles, task, plan.parts, at, r)


def _brute_work(distinct: NDArray[np.uint64], r: int) -> Iterator[Callable[[], Found]]:
    """The tasks of comparing every hash with every later one."""
    rows, columns = 64, SLOTS_PER_TASK // 64
    for top in range(0, len(distinct), rows):
        for begin in range(top, len(distinct), columns):
            yield partial(_brute_piece, distinct, top, top + rows, begin, begin + columns, r)


def _brute_piece(distinct: NDArray[np.uint64], top: int, bottom: int, begin: int, end: int, r: int) -> Found:
    """Some rows against some columns, pairs above the diagonal only."""
    columns = distinct[begin:end]
    step = max(1, SLOTS_PER_STEP // max(1, len(columns)))
    lefts, rights, distances = [], [], []
    for row in range(top, min(bottom, len(distinct)), step):
        _, distance, hits = near_slots(distinct[row : min(row + step, bottom), None], columns[None, :], r)
        left, right = np.divmod(hits, len(columns))
        left += row
        right += begin
        later = left < right
        lefts.append(left[later])
        rights.append(right[later])
        distances.append(distance[hits[later]])
    return Found(np.concatenate(lefts), np.concatenate(rights), np.concatenate(distances))


def _in_order(work: Iterator[Callable[[], Found]], threads: int) -> Iterator[Found]:
    """Run tasks in threads, a few ahead, and give their answers in the order of the tasks."""
    if threads == 1:
        for task in work:
            yield task()
        return
    ahead: deque[Future[Found]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="neighbours")
    try:
        for task in work:
            ahead.append(pool.submit(task))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
