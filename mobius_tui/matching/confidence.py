"""How sure the distance of two dHashes alone can be: needs no numpy.

The table was fitted by ``benchmarks/fit_distance.py`` and says how often two images of different bytes show the same
picture at that distance, in a library of look-alikes (1,295 card, page, tile, photo and clip-art images, 352 true
pairs). It is low even at 0, because pages with one word changed share a hash: a second look at the pixels decides.
"""

from __future__ import annotations

BY_DISTANCE: tuple[float, ...] = (
    0.5,
    0.278,
    0.151,
    0.151,
    0.0642,
    0.0642,
    0.0411,
    0.0264,
    0.019,
    0.019,
    0.00637,
    0.00319,
    0.00319,
    0.00157,
    0.00118,
    0.00099,
    0.00072,
    0.00009,
)
"""Probability by distance; distances beyond the end have the last value."""


def distance_confidence(distance: int) -> float:
    """The probability that two images of different content show the same picture.

    Args:
        distance: Hamming distance of their dHashes, 0..64.

    Returns:
        0..1, never rising with the distance. For images whose hashes are informative.

    Raises:
        ValueError: The distance is not within 0..64.
    """
    if not 0 <= distance <= 64:
        raise ValueError(f"a Hamming distance of 64-bit hashes is 0..64, not {distance}")
    return BY_DISTANCE[min(distance, len(BY_DISTANCE) - 1)]


def distance_evidence(distance: int) -> tuple[str, ...]:
    """What the distance says, in words.

    Args:
        distance: Hamming distance, 0..64.

    Returns:
        One short phrase, such as ``9 bits differ``.
    """
    if distance == 0:
        return ("same dHash",)
    return (f"{distance} bit differs" if distance == 1 else f"{distance} bits differ",)
