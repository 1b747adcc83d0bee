"""The fast profile: JPEG decoded at a reduced scale, everything else as in the exact profile.

The decoder's own scaling (``draft``) leaves out most of the work. It is used only while the shorter side keeps
``SHORTER_SIDE`` pixels, which bounds what it changes in the hash; docs/fingerprints.md has the deviation.
"""

from __future__ import annotations

import warnings
from typing import Final

from PIL import Image

from mobius_tui.catalogue.formats import SNIFF_BYTES, sniff
from mobius_tui.fingerprint.decode import Facts, explained, load_luminance, opened, orientation_of, upright
from mobius_tui.fingerprint.model import Limits

SHORTER_SIDE: Final = 512
"""Pixels that the shorter side keeps at least; at 384 pages of text moved by up to 4 bits."""

SURE: Final = 0.3
"""A reduced picture of a lower confidence is decoded again in full: near black or white the decoder's scaling skips
what clipping does to noise, and weak gradients turn by it; 12 to 15 bits were seen."""


def load_fast(data: bytes, limits: Limits) -> tuple[Image.Image, Facts]:
    """The brightness of a picture, at a reduced scale where that is sound.

    Args:
        data: The whole file.
        limits: Pixels and bytes that are allowed; they hold for the full size.

    Returns:
        Mode ``L``, upright; the facts give the full size.

    Raises:
        DecodeFailed: As ``decode.load_exact``.
    """
    if sniff(data[:SNIFF_BYTES]) != "JPEG":
        return load_luminance(data, limits)
    image = opened(data, limits)
    full = image.size
    if min(full) < 2 * SHORTER_SIDE or image.mode not in {"L", "RGB"}:
        return load_luminance(data, limits)
    mode = image.mode
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Y of a YCbCr file is its luminance; a file that stores RGB itself is converted by Pillow as usual.
            image.draft("L" if _stores_luminance(image) else None, (SHORTER_SIDE, SHORTER_SIDE))
            image.load()
            orientation = orientation_of(image)
            plane = upright(image if image.mode == "L" else image.convert("L"), orientation)
    except Exception as error:
        raise explained(error, image.format or "", limits) from error
    width, height = full if orientation < 5 else (full[1], full[0])
    return plane, Facts(image.format or "", width, height, mode, reduced=True)


def _stores_luminance(image: Image.Image) -> bool:
    # Adobe's marker with transform 0 means the three components are RGB.
    return image.mode == "L" or image.info.get("adobe_transform", 1) == 1
