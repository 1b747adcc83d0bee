"""How far the hash of one image can be trusted: how many of its 64 bits would survive noise.

A bit is the sign of a brightness step between two neighbours of the 9x8 grid. Noise moves such a step by a normal
deviate, so a step of d gray levels keeps its sign with probability Phi(|d| / NOISE). A bit that is a coin toss counts
0, a certain one counts 1, and the confidence is the mean over the 64 bits. The figures were measured:
docs/fingerprints.md.
"""

from __future__ import annotations

import math
from typing import Final

from mobius_tui.fingerprint.dhash import COLUMNS, ROWS

NOISE: Final = 1.5
"""Standard deviation, in gray levels, that re-encoding and resizing add to a step (1.05 measured), with a margin."""

LIMIT: Final = 0.1
"""Below it an image is ``low_confidence``: blank images measure at most 0.08, the weakest page of text 0.13."""

TINY_SIDE: Final = 16
"""Pixels; with a shorter side a grid cell covers less than two pixels, and single pixels decide the bits."""

_TINY_CAP = 0.08
_PLAIN_CAP = 0.08
_MINORITY = 3
_FLAT_RANGE = 12
_NEARLY_WHITE = 243
_NEARLY_BLACK = 12
_SURVIVES: Final = tuple(math.erf(step / NOISE / math.sqrt(2.0)) for step in range(256))


def confidence_of(grid: bytes, width: int, height: int) -> tuple[float, str | None]:
    """The confidence of an image's hash.

    Args:
        grid: The 72 bytes of ``dhash.reduction_of``.
        width: Pixels of the image.
        height: Pixels of the image.

    Returns:
        0..1, and why it is low (``flat``, ``blank``, ``tiny``, ``weak gradients``); None when it is not.
    """
    total = 0.0
    rising = 0
    for row in range(0, COLUMNS * ROWS, COLUMNS):
        for column in range(row, row + COLUMNS - 1):
            step = grid[column + 1] - grid[column]
            total += _SURVIVES[abs(step)]
            rising += step > 0
    confidence = total / (ROWS * (COLUMNS - 1))
    plain = min(rising, 64 - rising) < _MINORITY
    if plain:
        # All steps go one way: a hash that every such gradient shares, however steep it is.
        confidence = min(confidence, _PLAIN_CAP)
    side = min(width, height)
    if side < TINY_SIDE:
        return round(min(confidence, _TINY_CAP * side / TINY_SIDE), 4), "tiny"
    if confidence >= LIMIT:
        return round(confidence, 4), None
    return round(confidence, 4), _reason(grid, plain=plain)


def _reason(grid: bytes, *, plain: bool) -> str:
    lowest, highest = min(grid), max(grid)
    if lowest >= _NEARLY_WHITE or highest <= _NEARLY_BLACK:
        return "blank"
    return "flat" if plain or highest - lowest <= _FLAT_RANGE else "weak gradients"
