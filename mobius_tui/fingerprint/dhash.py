"""The 64-bit difference hash, with Pillow alone.

Algorithm: Neal Krawetz, "Kind of Like That" (hackerfactor.com, 2013), in the bit order of ``imagehash.dhash``:
row by row, the first comparison is the most significant bit, a bit is set where brightness rises to the right.
"""

from __future__ import annotations

from PIL import Image

COLUMNS = 9
ROWS = 8


def reduction_of(image: Image.Image) -> bytes:
    """The 9x8 brightness grid that the hash compares.

    Args:
        image: Any mode that converts to ``L``; already oriented and without transparency.

    Returns:
        72 bytes, row by row, 0..255.
    """
    gray = image if image.mode == "L" else image.convert("L")
    return gray.resize((COLUMNS, ROWS), Image.Resampling.LANCZOS).tobytes()


def dhash_of_reduction(grid: bytes) -> int:
    """The hash of a 9x8 grid.

    Args:
        grid: 72 bytes, row by row.

    Returns:
        0 .. 2**64-1.
    """
    value = 0
    for row in range(0, COLUMNS * ROWS, COLUMNS):
        for column in range(row, row + COLUMNS - 1):
            value = value << 1 | (grid[column + 1] > grid[column])
    return value


def dhash_of(image: Image.Image) -> int:
    """The dHash of a picture, equal to ``int(str(imagehash.dhash(image, hash_size=8)), 16)``.

    Args:
        image: As ``decode.load_exact`` gives it.

    Returns:
        0 .. 2**64-1.
    """
    return dhash_of_reduction(reduction_of(image))


def hex_of(dhash: int) -> str:
    """The hash as the catalogue writes it: 16 lower-case hex digits."""
    return f"{dhash:016x}"


def hamming(a: int, b: int) -> int:
    """How many of the 64 bits of two hashes differ (the Hamming distance)."""
    return (a ^ b).bit_count()
