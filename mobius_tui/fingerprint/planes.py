"""Pixels of any mode to 8 bits without transparency.

Deep samples are scaled from their type's range, not clipped; transparency is laid over white.
"""

from __future__ import annotations

import math
import sys
from typing import Final, Literal

from PIL import Image, ImageChops

PLAIN_MODES: Final = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})
"""Modes that Pillow turns into ``L`` by itself without losing anything that counts."""

Plane = Literal["RGB", "L"]
"""What a picture with transparency can come out as."""

_STRIP_PIXELS = 1 << 22
_BITS_PER_SAMPLE = 258
_SAMPLE_FORMAT = 339
_UNSIGNED = 1


def flattened(image: Image.Image, data: bytes = b"", *, transparent: Plane = "RGB") -> Image.Image:
    """The image with 8 bits a sample and without transparency.

    Args:
        image: A loaded image of any mode.
        data: The file it came from; the bit depth of a PNG's transparent colour is read from it.
        transparent: Mode that a picture with transparency comes out in.

    Returns:
        An image in one of ``PLAIN_MODES``; the same object when nothing was to be done.
    """
    if image.mode.startswith("I;16"):
        return _from_16_bits(image)
    if image.mode == "I":
        return _from_integers(image)
    if image.mode == "F":
        return _from_floats(image)
    if image.mode == "La":
        image = image.convert("LA")
    elif image.mode == "RGBa":
        image = image.convert("RGBA")
    if image.has_transparency_data:
        _scale_transparent_colour(image, data)
        return over_white(image, transparent)
    return image if image.mode in PLAIN_MODES else _as_rgb(image)


def over_white(image: Image.Image, mode: Plane = "RGB") -> Image.Image:
    """The picture on a white ground, as ``Image.alpha_composite`` lays it.

    A large image is worked in strips: it needs two planes in memory and not four, and strips that are all opaque or all
    transparent, as most of a picture with a cut-out ground is, need no blending.

    Args:
        image: Any mode with transparency.
        mode: What is wanted; ``L`` is what converting the ``RGB`` picture gives.

    Returns:
        The picture in that mode.
    """
    rows = max(1, _STRIP_PIXELS // max(1, image.width))
    if rows >= image.height:
        return _strip_over_white(image, mode)
    result = Image.new(mode, image.size, "white")
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(image.height, top + rows))
        result.paste(_strip_over_white(image.crop(box), mode), box)
    return result


def _strip_over_white(image: Image.Image, mode: Plane) -> Image.Image:
    strip = image if image.mode == "RGBA" else image.convert("RGBA")
    faintest, strongest = strip.getchannel("A").getextrema()
    if strongest == 0:
        return Image.new(mode, strip.size, "white")
    if faintest != 255:
        strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
    return strip.convert(mode)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "LAB":
        from PIL import ImageCms

        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        turned = ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image)
        assert turned is not None
        return turned
    return image.convert("RGB")


def _scale_transparent_colour(image: Image.Image, data: bytes) -> None:
    # Pillow scales a PNG's gray samples of 2 and 4 bits and the colour samples of 16, but not the transparent colour.
    if image.format != "PNG" or len(data) < 26 or "transparency" not in image.info or image.mode == "P":
        return
    depth, colour = data[24], image.info["transparency"]
    if image.mode == "L" and depth in {2, 4} and isinstance(colour, int):
        image.info["transparency"] = colour * 255 // ((1 << depth) - 1)
    elif image.mode == "RGB" and depth == 16 and isinstance(colour, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _from_16_bits(image: Image.Image) -> Image.Image:
    raw = image.tobytes()
    big = image.mode == "I;16B" or (image.mode == "I;16N" and sys.byteorder == "big")
    high, low = (raw[0::2], raw[1::2]) if big else (raw[1::2], raw[0::2])
    bits = _tiff_tag(image, _BITS_PER_SAMPLE)
    if 8 < bits < 16:
        # A 12-bit TIFF keeps its samples in the low bits.
        scale = 2.0 ** (8 - bits)
        return image.convert("I").convert("F").point(lambda value: value * scale).convert("L")
    return _with_16_bit_colour(image, Image.frombytes("L", image.size, high), high, low)


def _with_16_bit_colour(image: Image.Image, plane: Image.Image, high: bytes, low: bytes) -> Image.Image:
    colour = image.info.get("transparency")
    if not isinstance(colour, int):
        return plane
    opaque_high, opaque_low = bytearray(b"\xff" * 256), bytearray(b"\xff" * 256)
    opaque_high[colour >> 8 & 255] = opaque_low[colour & 255] = 0
    alpha = ImageChops.lighter(
        Image.frombytes("L", image.size, high.translate(bytes(opaque_high))),
        Image.frombytes("L", image.size, low.translate(bytes(opaque_low))),
    )
    return over_white(Image.merge("LA", (plane, alpha)))


def _from_integers(image: Image.Image) -> Image.Image:
    """32-bit samples, from the smallest of the ranges of 8, 16, 31 and 32 bits that holds them all."""
    lowest, highest = _extent(image)
    bits, kind = _tiff_tag(image, _BITS_PER_SAMPLE), _tiff_tag(image, _SAMPLE_FORMAT)
    if lowest < 0 and bits == 32 and kind == _UNSIGNED:
        # Pillow holds unsigned samples as signed ones: the top byte is right either way.
        return Image.frombytes("L", image.size, image.tobytes("raw", "I")[3::4])
    if lowest >= 0:
        scale = next(scale for top, scale in _WHOLE if highest <= top)
        return image.convert("F").point(lambda value: value * scale).convert("L")
    bound = max(-lowest, highest + 1)
    scale = next(scale for top, scale in _HALVES if bound <= top)
    return image.convert("F").point(lambda value: value * scale + 128.0).convert("L")


_WHOLE = ((2**8 - 1, 1.0), (2**16 - 1, 2.0**-8), (2**31 - 1, 2.0**-23))
_HALVES = ((2**7, 1.0), (2**15, 2.0**-8), (2**31, 2.0**-24))


def _from_floats(image: Image.Image) -> Image.Image:
    """Float samples: 0..1 is the range of the type; files that hold 8, 16 or 32-bit figures as floats have that one."""
    lowest, highest = _extent(image)
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        lowest, highest = 0.0, 1.0
    if lowest < 0:
        bound = max(-lowest, highest)
        top = next((top for top in (1.0, 2.0**7, 2.0**15, 2.0**31) if bound <= top), bound)
        scale, offset = 127.5 / top, 127.5
    else:
        top = next((top for top in (1.0, 2.0**8 - 1, 2.0**16 - 1, 2.0**32 - 1) if highest <= top), highest)
        scale, offset = 255.0 / top, 0.0
    return image.point(lambda value: value * scale + (offset + 0.5)).convert("L")


def _extent(image: Image.Image) -> tuple[float, float]:
    lowest, highest = image.getextrema()
    if isinstance(lowest, tuple) or isinstance(highest, tuple):
        raise ValueError("one band expected")
    return lowest, highest


def _tiff_tag(image: Image.Image, tag: int) -> int:
    tags = getattr(image, "tag_v2", None)
    value = tags.get(tag, (0,)) if tags is not None else (0,)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else 0
