"""The name of a pair: needs no numpy, so that every verb may use it."""

from __future__ import annotations

import hashlib

ID_DIGITS = 16
"""Hex digits of a pair's name."""


def pair_id(sha_a: bytes, sha_b: bytes) -> str:
    """The name of a pair, by the content of its two files, in either order.

    Args:
        sha_a: SHA-256 of one file's bytes, 32 raw bytes.
        sha_b: SHA-256 of the other's.

    Returns:
        The first 16 hex digits of the SHA-256 over the two raw 32-byte digests, the smaller first, joined without a
        separator (64 bytes in all).

    Raises:
        ValueError: A digest is not 32 bytes.
    """
    if len(sha_a) != 32 or len(sha_b) != 32:
        raise ValueError(f"a SHA-256 has 32 bytes, not {len(sha_a)} and {len(sha_b)}")
    return hashlib.sha256(min(sha_a, sha_b) + max(sha_a, sha_b)).hexdigest()[:ID_DIGITS]
