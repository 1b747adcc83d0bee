"""Bytes of a file to the picture that is hashed: the loading rules of the exact profile.

First frame; EXIF orientation applied; 16-bit, integer and float samples scaled from their type's range to 8 bits;
transparency over white. Size limits are checked on the header, before a pixel is decoded.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Final

from PIL import Image

from mobius_tui.catalogue.formats import SNIFF_BYTES, has_tga_footer, sniff
from mobius_tui.errors import ProcessingFailed
from mobius_tui.fingerprint.model import Limits
from mobius_tui.fingerprint.planes import flattened
from mobius_tui.text import human_bytes

PILLOW_FORMATS: Final = {
    "JPEG": ("JPEG", "MPO"),
    "PNG": ("PNG",),
    "GIF": ("GIF",),
    "TIFF": ("TIFF",),
    "WEBP": ("WEBP",),
    "AVIF": ("AVIF",),
    "HEIF": ("HEIF",),
    "BMP": ("BMP",),
    "PPM": ("PPM",),
    "ICO": ("ICO",),
    "ICNS": ("ICNS",),
    "QOI": ("QOI",),
    "DDS": ("DDS",),
    "SGI": ("SGI",),
    "PCX": ("PCX",),
    "PSD": ("PSD",),
    "JPEG2000": ("JPEG2000",),
    "TGA": ("TGA",),
}
"""Sniffed format to the Pillow plugins that may read it: never one that runs a program, as EPS does."""


class DecodeFailed(ProcessingFailed):
    """An image could not be turned into pixels.

    Args:
        what: Why, in words for a person.
        cause: The class of ``Outcome.cause``.
        lasting: Whether the same bytes fail again under the same limits and tools.
    """

    def __init__(self, what: str, cause: str, *, lasting: bool = True) -> None:
        super().__init__(what)
        self.cause = cause
        self.lasting = lasting


class NotOpened(DecodeFailed):
    """Pillow does not know the file, or not this variant of its format; another decoder may."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decoded file is.

    Attributes:
        format: Pillow's name of the format, such as ``JPEG``.
        width: Pixels after orientation.
        height: Pixels after orientation.
        mode: Pillow's mode of the file before any conversion.
        reduced: Whether it was decoded at a reduced scale.
    """

    format: str
    width: int
    height: int
    mode: str
    reduced: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """A first frame in a plain mode, not turned yet.

    Attributes:
        image: In one of ``planes.PLAIN_MODES``.
        orientation: The EXIF orientation still to be applied, 1..8.
        format: Pillow's name of the format.
        mode: Pillow's mode of the file before any conversion.
    """

    image: Image.Image
    orientation: int
    format: str
    mode: str


def load_exact(data: bytes, limits: Limits) -> tuple[Image.Image, Facts]:
    """Decode a file by the loading rules.

    Args:
        data: The whole file.
        limits: Pixels and bytes that are allowed.

    Returns:
        The first frame, upright, 8 bits a sample, without transparency, in one of ``planes.PLAIN_MODES``;
        and its facts.

    Raises:
        NotOpened: Pillow does not recognise it.
        DecodeFailed: It is too large, truncated, or its decoder gave up.
    """
    return _turned(decoded(data, limits))


def load_luminance(data: bytes, limits: Limits) -> tuple[Image.Image, Facts]:
    """As ``load_exact``, in mode ``L``.

    The conversion is done before turning, a quarter of the bytes to move; pixel by pixel, so the result is the same.

    Args:
        data: The whole file.
        limits: Pixels and bytes that are allowed.

    Returns:
        The first frame as brightness, and its facts.

    Raises:
        DecodeFailed: As ``load_exact``.
    """
    return _turned(decoded(data, limits, luminance=True))


def decoded(data: bytes, limits: Limits, *, luminance: bool = False) -> Decoded:
    """The first frame in a plain mode, not yet turned.

    Args:
        data: The whole file.
        limits: Pixels and bytes that are allowed.
        luminance: Whether to convert to ``L``.

    Returns:
        The frame and what is known of it.

    Raises:
        DecodeFailed: As ``load_exact``.
    """
    image = opened(data, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            check_pixels(image.size, limits)
            plain = flattened(image, data, transparent="L" if luminance else "RGB")
            if luminance and plain.mode != "L":
                plain = plain.convert("L")
            return Decoded(plain, orientation_of(image), image.format or "", image.mode)
    except Exception as error:
        raise explained(error, image.format or "", limits) from error


def _turned(frame: Decoded) -> tuple[Image.Image, Facts]:
    image = upright(frame.image, frame.orientation)
    return image, Facts(frame.format, image.width, image.height, frame.mode)


def opened(data: bytes, limits: Limits) -> Image.Image:
    """The file's header read by Pillow; nothing is decoded yet.

    Args:
        data: The whole file.
        limits: Pixels and bytes that are allowed.

    Returns:
        A lazy image on its first frame, within the limits.

    Raises:
        NotOpened: No plugin recognises it.
        DecodeFailed: It is empty or too large.
    """
    if not data:
        raise DecodeFailed("the file is empty", "not an image")
    if len(data) > limits.bytes:
        raise DecodeFailed(too_many_bytes(len(data), limits), "too large")
    name = sniff(data[:SNIFF_BYTES]) or ("TGA" if has_tga_footer(data[-18:]) else None)
    if name is None:
        raise NotOpened("not an image: its first bytes are those of no known image format", "not an image")
    if name not in PILLOW_FORMATS:
        raise NotOpened(f"{name} is not a format that is read directly", "decoder missing")
    if name == "HEIF" and not _heif_ready():
        raise NotOpened("HEIC needs the package pillow-heif", "decoder missing")
    # Pillow raises beyond twice its own figure, for frames inside a file too; warnings below that are for others.
    Image.MAX_IMAGE_PIXELS = max(1, limits.pixels // 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=PILLOW_FORMATS[name])
    except Exception as error:
        raise _unopened(error, name, limits) from error
    check_pixels(image.size, limits)
    return image


def check_pixels(size: tuple[int, int], limits: Limits) -> None:
    """Refuse a picture of more pixels than allowed.

    Args:
        size: Width and height.
        limits: The limit.

    Raises:
        DecodeFailed: With cause ``too large``.
    """
    if size[0] * size[1] > limits.pixels:
        raise DecodeFailed(_too_many_pixels(size[0] * size[1], limits.pixels), "too large")


def _too_many_pixels(count: int, limit: int) -> str:
    return f"too large: it has {count:,} pixels, the limit is {limit:,}"


def too_many_bytes(size: int, limits: Limits) -> str:
    """The sentence for a file of more bytes than allowed."""
    return f"too large: the file has {human_bytes(size)}, the limit is {human_bytes(limits.bytes)}"


def explained(error: BaseException, format_name: str, limits: Limits) -> DecodeFailed:
    """A decoder's error as a sentence of our own: the same bytes always get the same words.

    Args:
        error: What Pillow raised while decoding.
        format_name: The format, for the sentence.
        limits: The limits in force, for the sentence.

    Returns:
        The failure to report.
    """
    kind = f"{format_name} file" if format_name else "file"
    text = str(error).lower()
    if isinstance(error, DecodeFailed):
        return error
    if isinstance(error, MemoryError) or "out of memory" in text:
        return DecodeFailed("decoding it needs more memory than one image may use", "memory")
    if isinstance(error, Image.DecompressionBombError):
        figures = [int(figure) for figure in re.findall(r"\d+", text)]
        return DecodeFailed(_too_many_pixels(figures[0] if figures else 0, limits.pixels), "too large")
    if isinstance(error, EOFError) or any(
        word in text for word in ("truncat", "not enough", "incomplete", "end of file")
    ):
        return DecodeFailed(f"truncated: the {kind} ends before the picture does", "truncated")
    if isinstance(error, (OSError, SyntaxError, ValueError, struct.error, zlib.error, IndexError)):
        return DecodeFailed(f"damaged: the {kind} cannot be decoded to the end", "truncated")
    return DecodeFailed(f"the {kind} cannot be decoded", "other")


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 when there is none or it cannot be read."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # EXIF is written by anyone: whatever its parser trips over, the picture itself is fine
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned as an EXIF orientation says; the same object when there is nothing to turn.

    Args:
        image: Any image.
        orientation: 1..8, TIFF 6.0 tag 274.
    """
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _heif_ready() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def _unopened(error: Exception, name: str, limits: Limits) -> DecodeFailed:
    if isinstance(error, (MemoryError, Image.DecompressionBombError)):
        return explained(error, name, limits)
    if name in {"JPEG", "PNG", "GIF", "BMP"}:
        # Pillow reads every variant of these, so what it refuses is broken, and another decoder would guess.
        return DecodeFailed(f"damaged: it starts as a {name} file, but its header cannot be read", "truncated")
    return NotOpened(f"a {name} file of a kind that cannot be read, or damaged", "truncated")
