"""How sure the distance of two dHashes alone can be: needs no numpy.

The table was fitted by ``benchmarks/fit_distance.py`` and says how often two images of different bytes show the same
picture at that distance, in a library of look-alikes (1,252 informative images of cards, pages, tiles, photos and clip
art; exact profile, Pillow 13.0). It is low even at 0, because cards of one deck and pages with one word changed share
a hash: a second look at the pixels has to decide.
"""

from __future__ import annotations

BY_DISTANCE: tuple[float, ...] = (
    *(0.502, 0.274, 0.153, 0.153, 0.0638, 0.0638, 0.042, 0.0276),  # 0..7 bits
    *(0.0183, 0.0183, 0.00572, 0.00375, 0.00375, 0.00181, 0.00137, 0.00115),  # 8..15
    *(8.34e-4, 1.33e-4, 1.33e-4, 8.42e-5, 8.42e-5, 8.42e-5, 2.92e-5, 2.92e-5),  # 16..23
    *(2.92e-5, 2.92e-5, 1.46e-5, 1.27e-5, 1.1e-5, 1.02e-5, 9.45e-6, 9.24e-6),  # 24..31
    6.89e-6,  # 32 and more
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
