import itertools

import imagehash
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mobius_tui.fingerprint.dhash import dhash_of, dhash_of_reduction, hamming, hex_of, reduction_of

MODES = ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LA", "RGBA", "HSV"]


def reference(image):
    return int(str(imagehash.dhash(image, hash_size=8)), 16)


@st.composite
def images(draw):
    mode = draw(st.sampled_from(MODES))
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    seed = draw(st.binary(min_size=1, max_size=64))
    # Few values make ties, which are where a difference hash is easiest to get wrong.
    values = bytes(byte % draw(st.sampled_from([2, 3, 16, 256])) for byte in seed)
    bands = 1 if mode in {"1", "P"} else len(Image.new(mode, (1, 1)).getbands())
    size = width * height * bands
    raw = (values * (size // len(values) + 1))[:size]
    if mode == "1":
        return Image.frombytes("L", (width, height), bytes(byte * 127 & 255 for byte in raw)).convert("1")
    image = Image.frombytes(mode, (width, height), raw)
    if mode == "P":
        image.putpalette(bytes(range(256)) * 3)
    return image


@given(images())
def test_it_is_the_reference_bit_for_bit(image):
    assert dhash_of(image) == reference(image)


@given(st.binary(min_size=72, max_size=72))
def test_bits_go_row_by_row_from_the_most_significant(grid):
    rows = [grid[start : start + 9] for start in range(0, 72, 9)]
    bits = "".join("1" if right > left else "0" for row in rows for left, right in itertools.pairwise(row))
    assert dhash_of_reduction(grid) == int(bits, 2)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_hex_and_distance(a, b):
    assert int(hex_of(a), 16) == a
    assert len(hex_of(a)) == 16
    assert hex_of(a) == hex_of(a).lower()
    assert hamming(a, b) == bin(a ^ b).count("1")


@pytest.mark.parametrize(("value", "text"), [(0, "0" * 16), (2**64 - 1, "f" * 16), (0x00F0, "00000000000000f0")])
def test_hex_keeps_leading_zeros(value, text):
    assert hex_of(value) == text


def test_the_reduction_is_nine_by_eight():
    assert len(reduction_of(Image.new("RGB", (100, 50)))) == 72
