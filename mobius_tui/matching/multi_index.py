"""Pairs of near hashes by multi-index hashing: bucket against bucket, as tiles that numpy compares in one go.

The 64 bits are cut into parts. Two hashes within r bits agree within t_s bits on at least one part s, when the t_s add
up to r - parts + 1 (Norouzi, Punjani, Fleet: "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014). So
for each part the hashes are sorted into buckets by that part, and each bucket meets the buckets whose key differs from
its own in at most t_s bits: one XOR mask at a time. Buckets are cut into tiles of a fixed width, so that a whole array
of tile pairs is compared without a loop over buckets.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SLOTS_PER_TASK = 1 << 20
"""Most comparisons, and so most pairs, in the answer of one task."""
SLOTS_PER_STEP = 1 << 17
"""Comparisons in one numpy call: their temporaries stay in the second-level cache."""
SLOT_NS = 0.9
"""XOR, bit count and comparison of one slot of a tile pair, or of brute force."""
GATHER_NS = 2.0
"""Fetching one hash of a tile."""
ROW_NS = 12.0
"""Setting up one tile for one mask."""
MASK_NS = 100_000.0
"""Setting up one mask."""
PARTS = (4, 5, 6, 8)
"""Numbers of parts that are tried; a part has at most 16 bits."""
TILE_WIDTHS = (4, 8, 16)
"""Hashes a tile may hold."""
MOST_PER_BUCKET = 64
"""Hashes in a mean bucket, above which a cut into that many parts is not even costed."""


class _Room(threading.local):
    """Arrays that each thread uses again and again: fresh ones would cost more in page faults than the comparing."""

    def __init__(self) -> None:
        self.bits = np.empty(SLOTS_PER_STEP, np.uint64)
        self.count = np.empty(SLOTS_PER_STEP, np.uint8)
        self.near = np.empty(SLOTS_PER_STEP, np.bool_)


_room = _Room()


def near_slots(
    left: NDArray[np.uint64], right: NDArray[np.uint64], r: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64]]:
    """Compare two arrays that broadcast against each other, of at most SLOTS_PER_STEP slots.

    Args:
        left: Hashes.
        right: Hashes.
        r: Bits that may differ.

    Returns:
        XOR and distance of every slot, flat, valid until this thread's next call; and the slots within r.
    """
    shape = np.broadcast_shapes(left.shape, right.shape)
    size = int(np.prod(shape))
    bits, count, near = _room.bits[:size], _room.count[:size], _room.near[:size]
    np.bitwise_xor(left, right, out=bits.reshape(shape))
    np.bitwise_count(bits, out=count)
    np.less_equal(count, r, out=near)
    return bits, count, np.flatnonzero(near)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the 64 bits and the search over it.

    Attributes:
        shift: Bits to the right of the part.
        width: Bits of the part.
        radius: Bits in which two keys may differ here; -1 leaves the part out.
        tile: Hashes a tile holds.
    """

    shift: int
    width: int
    radius: int
    tile: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search is cut into parts, and what it is expected to cost.

    Attributes:
        parts: The parts, those with radius -1 included.
        nanoseconds: Estimated time on one core.
    """

    parts: tuple[Part, ...]
    nanoseconds: float


@dataclass(frozen=True, slots=True)
class Found:
    """Pairs as they come from one task, unordered.

    Attributes:
        left: Indices, int64.
        right: Indices, int64; of each pair the larger one.
        distance: Hamming distances, uint8.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distance: NDArray[np.uint8]


_NOTHING = Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint8))


def cut(parts: int) -> list[tuple[int, int]]:
    """The 64 bits in contiguous parts of nearly the same width.

    Args:
        parts: How many.

    Returns:
        (shift, width) of each part, lowest bits first.
    """
    edges = [64 * i // parts for i in range(parts + 1)]
    return [(low, high - low) for low, high in pairwise(edges)]


def keys_of(hashes: NDArray[np.uint64], shift: int, width: int) -> NDArray[np.int64]:
    """The part of each hash as a number."""
    return ((hashes >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)


def meetings(tiles: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each XOR mask, how many ordered pairs of tiles it brings together.

    The autocorrelation over XOR by the fast Walsh-Hadamard transform, so that each mask costs the same to know.

    Args:
        tiles: Tiles a bucket holds, by key; a power of two long.

    Returns:
        As many numbers as keys, by mask.
    """
    spectrum = _walsh_hadamard(tiles.astype(np.float64))
    return np.rint(_walsh_hadamard(spectrum * spectrum) / len(tiles))


def _walsh_hadamard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform, natural order, not normalised."""
    bits = len(values).bit_length() - 1
    square = values.reshape(1 << bits // 2, -1)
    # Half of the index bits by rows, the other half turned by a quarter: every inner loop is long and contiguous.
    return _butterflies(np.ascontiguousarray(_butterflies(square.copy()).T)).T.reshape(-1)


def _butterflies(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The transform over the first axis, in place."""
    half = 1
    while half < len(rows):
        pairs = rows.reshape(-1, 2, half, rows.shape[1])
        total = pairs[:, 0] + pairs[:, 1]
        np.subtract(pairs[:, 0], pairs[:, 1], out=pairs[:, 1])
        pairs[:, 0] = total
        half *= 2
    return rows


def make_plan(hashes: NDArray[np.uint64], r: int) -> Plan | None:
    """The cheapest way to cut this search, judged by how the hashes really fall into buckets.

    Args:
        hashes: Distinct hashes.
        r: Bits that may differ, 0..64.

    Returns:
        The plan; None when no cut can work for this r.
    """
    fitting = [parts for parts in PARTS if len(hashes) <= MOST_PER_BUCKET << 64 // parts] or PARTS[:1]
    plans = [_plan_of(hashes, r, parts) for parts in fitting]
    return min((plan for plan in plans if plan), key=lambda plan: plan.nanoseconds, default=None)


def _plan_of(hashes: NDArray[np.uint64], r: int, parts: int) -> Plan | None:
    """The cheapest radii for one number of parts; they add up to r - parts + 1."""
    total = r - parts + 1
    best: dict[int, tuple[float, tuple[Part, ...]]] = {0: (0.0, ())}
    for shift, width in cut(parts):
        costs = [(-1, 0.0, TILE_WIDTHS[0]), *_costs(hashes, shift, width)]
        following: dict[int, tuple[float, tuple[Part, ...]]] = {}
        for spent, (price, chosen) in best.items():
            for radius, cost, tile in costs:
                key, sum_price = spent + radius, price + cost
                if key <= total + parts and (key not in following or sum_price < following[key][0]):
                    following[key] = (sum_price, (*chosen, Part(shift, width, radius, tile)))
        best = following
    if total not in best:
        return None
    price, chosen = best[total]
    return Plan(chosen, price)


def _costs(hashes: NDArray[np.uint64], shift: int, width: int) -> list[tuple[int, float, int]]:
    """(radius, nanoseconds, best tile width) of a search over one part, for each radius from 0."""
    counts = np.bincount(keys_of(hashes, shift, width), minlength=1 << width)
    bits = np.bitwise_count(np.arange(1 << width, dtype=np.uint32))
    by_tile = []
    for tile in TILE_WIDTHS:
        tiles = -(-counts // tile)
        met = np.maximum(meetings(tiles), 0.0) / 2
        each = met * (tile * tile * SLOT_NS + 2 * tile * GATHER_NS) + (met > 0) * (MASK_NS + ROW_NS * tiles.sum())
        by_tile.append(np.cumsum(np.bincount(bits, weights=each, minlength=width + 1)))
    table = np.array(by_tile)
    choice = table.argmin(axis=0)
    return [(radius, float(table[choice[radius], radius]), TILE_WIDTHS[choice[radius]]) for radius in range(width + 1)]


@dataclass(frozen=True, slots=True)
class Tiles:
    """Hashes sorted by one part and cut into tiles.

    Attributes:
        values: (tiles, width) hashes, padded; a pad is the complement of the tile's first hash.
        held: Hashes each tile really holds.
        first: Position in ``order`` of each tile's first hash.
        order: Indices of the hashes, sorted by key.
        key: Key of each tile.
        start: First tile of each key.
        count: Tiles of each key.
    """

    values: NDArray[np.uint64]
    held: NDArray[np.int64]
    first: NDArray[np.int64]
    order: NDArray[np.int32]
    key: NDArray[np.int64]
    start: NDArray[np.int64]
    count: NDArray[np.int64]


def lay_tiles(hashes: NDArray[np.uint64], part: Part) -> Tiles:
    """Sort the hashes by one part and cut each bucket into tiles.

    Args:
        hashes: Distinct hashes.
        part: The part, with its tile width.

    Returns:
        The tiles of every bucket, buckets in the order of their keys.
    """
    keys = keys_of(hashes, part.shift, part.width).astype(np.uint16)
    order = np.argsort(keys, kind="stable").astype(np.int32)
    held_by_key = np.bincount(keys, minlength=1 << part.width)
    count = -(-held_by_key // part.tile)
    start = np.cumsum(count) - count
    key = np.repeat(np.arange(1 << part.width), count)
    place = np.arange(len(key)) - start[key]
    first = (np.cumsum(held_by_key) - held_by_key)[key] + place * part.tile
    held = np.minimum(held_by_key[key] - place * part.tile, part.tile)
    within = np.arange(part.tile)
    values = hashes[order[np.minimum(first[:, None] + within, len(hashes) - 1)]]
    values = np.where(within < held[:, None], values, ~values[:, :1])
    return Tiles(np.ascontiguousarray(values), held, first, order, key, start, count)


@dataclass(frozen=True, slots=True)
class Task:
    """A range of the tile pairs that one mask brings together.

    Attributes:
        before: Tile pairs before each left tile; the total at the end.
        partner: First right tile of each left tile.
        low: First tile pair of this task.
        high: The one after its last.
    """

    before: NDArray[np.int64]
    partner: NDArray[np.int64]
    low: int
    high: int


def tasks_of(tiles: Tiles, part: Part) -> Iterator[Task]:
    """The work over one part, mask by mask, in pieces of at most SLOTS_PER_TASK comparisons.

    Args:
        tiles: The part's tiles.
        part: The part with its radius.

    Yields:
        Tasks, always in the same order.
    """
    masks = np.arange(1 << part.width)
    bits = np.bitwise_count(masks.astype(np.uint32))
    met = meetings(tiles.count)
    piece = max(1, SLOTS_PER_TASK // (part.tile * part.tile))
    own = np.arange(len(tiles.key))
    for mask in masks[(bits <= part.radius) & (met > 0)]:
        if mask == 0:
            # Within a bucket a tile meets itself and those after it.
            partner = own
            counts = tiles.start[tiles.key] + tiles.count[tiles.key] - own
        else:
            other = tiles.key ^ mask
            partner = tiles.start[other]
            counts = np.where(tiles.key < other, tiles.count[other], 0)
        before = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
        for low in range(0, int(before[-1]), piece):
            yield Task(before, partner, low, min(low + piece, int(before[-1])))


def run_task(tiles: Tiles, task: Task, parts: tuple[Part, ...], at: int, r: int) -> Found:
    """Compare the tile pairs of one task.

    Args:
        tiles: Tiles of the part.
        task: The range of tile pairs.
        parts: All parts of the plan.
        at: Which of them this is; pairs that an earlier part finds are left out.
        r: Bits that may differ.

    Returns:
        The pairs within r that no earlier part finds; at most SLOTS_PER_TASK.
    """
    width = parts[at].tile
    rows = np.arange(
        np.searchsorted(task.before, task.low, side="right") - 1, np.searchsorted(task.before, task.high, side="left")
    )
    begin = np.maximum(task.before[rows], task.low)
    counts = np.minimum(task.before[rows + 1], task.high) - begin
    left_tiles = np.repeat(rows, counts)
    shift = task.partner[rows] - task.before[rows]
    right_tiles = np.arange(task.low, task.high) + shift.take(left_tiles - rows[0])
    step = SLOTS_PER_STEP // (width * width)
    found = [
        _compare(tiles, left_tiles[low : low + step], right_tiles[low : low + step], parts, at, r)
        for low in range(0, len(left_tiles), step)
    ]
    found = [some for some in found if len(some.left)]
    if len(found) == 1:
        return found[0]
    if not found:
        return _NOTHING
    return Found(
        np.concatenate([some.left for some in found]),
        np.concatenate([some.right for some in found]),
        np.concatenate([some.distance for some in found]),
    )


def _compare(
    tiles: Tiles,
    left_tiles: NDArray[np.int64],
    right_tiles: NDArray[np.int64],
    parts: tuple[Part, ...],
    at: int,
    r: int,
) -> Found:
    """Every hash of the left tiles against every hash of the right tile beside it."""
    width, pairs = tiles.values.shape[1], len(left_tiles)
    # Slot of the tile first, tile pair last: the innermost loop is long and contiguous.
    left = np.ascontiguousarray(tiles.values.take(left_tiles, axis=0).T)
    right = np.ascontiguousarray(tiles.values.take(right_tiles, axis=0).T)
    differing, distance, hits = near_slots(left[:, None, :], right[None, :, :], r)
    if not len(hits):
        return _NOTHING
    slot_left, rest = np.divmod(hits, width * pairs)
    slot_right, pair = np.divmod(rest, pairs)
    tile_left, tile_right = left_tiles[pair], right_tiles[pair]
    real = (slot_left < tiles.held[tile_left]) & (slot_right < tiles.held[tile_right])
    real &= (tile_left != tile_right) | (slot_left < slot_right)
    bits = differing[hits]
    for part in parts[:at]:
        if part.radius >= 0:
            key = (bits >> np.uint64(part.shift)) & np.uint64((1 << part.width) - 1)
            real &= np.bitwise_count(key) > part.radius
    one = tiles.order[tiles.first[tile_left[real]] + slot_left[real]].astype(np.int64)
    two = tiles.order[tiles.first[tile_right[real]] + slot_right[real]].astype(np.int64)
    return Found(np.minimum(one, two), np.maximum(one, two), distance[hits[real]])
