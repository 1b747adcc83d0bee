"""What the demo holds besides its originals: copies of every kind, unreadable files, near-empty pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageDraw, ImageEnhance, features

from mobius_tui.operations.demo_art.brush import font, rounded_mask
from mobius_tui.operations.demo_art.cards import beast_card
from mobius_tui.operations.demo_art.pages import page
from mobius_tui.operations.demo_art.photos import scanned
from mobius_tui.operations.demo_art.pieces import die


@dataclass(frozen=True, slots=True)
class Copy:
    """The same picture in another file.

    Attributes:
        path: Relative to the library; the suffix chooses the format.
        source: The original's path.
        how: In words, what was done to it.
        change: What was done to the pixels.
        options: Passed to Pillow's ``save``.
    """

    path: str
    source: str
    how: str
    change: Callable[[Image.Image], Image.Image]
    options: dict[str, Any] = field(default_factory=dict)


EXACT: tuple[tuple[str, str], ...] = (
    ("tutorials/setup/ace.png", "decks/french/spades-ace.png"),
    ("tutorials/setup/board.jpg", "photos/board.jpg"),
    ("tutorials/setup/p03.png", "rulebook/p03.png"),
    ("tutorials/scoring/p03 (1).png", "rulebook/p03.png"),
    ("decks/oak/copy of 07.png", "decks/oak/07.png"),
    ("tokens/[bold]x[/].png", "tokens/meeple-red.png"),
    ('decks/harbour/"calm" & <b>water</b>.png', "decks/harbour/09.png"),
    ("boxes/old/oak-harbour.png", "boxes/oak-harbour.png"),
)
"""Byte-identical copies and their originals; some have names that are legal and awkward."""


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture.convert("RGB")
    white = Image.new("RGB", picture.size, (255, 255, 255))
    white.paste(picture, (0, 0), picture)
    return white


def _scaled(share: float) -> Callable[[Image.Image], Image.Image]:
    return lambda picture: picture.resize(
        (round(picture.width * share), round(picture.height * share)), Image.Resampling.LANCZOS
    )


def _gray16(picture: Image.Image) -> Image.Image:
    gray = picture.convert("L")
    # The same byte twice is the value times 257, little end first: the full 16-bit range.
    return Image.frombytes("I;16", gray.size, Image.merge("LA", (gray, gray)).tobytes())


def _round_corners(picture: Image.Image) -> Image.Image:
    cut = picture.convert("RGB")
    cut.putalpha(rounded_mask(*picture.size, 20))
    return cut


def _trimmed(picture: Image.Image) -> Image.Image:
    by = round(picture.width * 0.02)
    return picture.crop((by, by, picture.width - by, picture.height - by))


def _stamped(picture: Image.Image) -> Image.Image:
    layer = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    place = (picture.width - 12, picture.height - 10)
    ImageDraw.Draw(layer).text(place, "PROOF 2", fill=(255, 255, 255, 150), font=font(26), anchor="rs")
    return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")


def _turned(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_90)


def _exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F] = "Mobius demo"
    return tags


def near_copies() -> list[Copy]:
    """Every copy with other bytes; AVIF only where Pillow can write it."""
    jpeg: dict[str, Any] = {"quality": 80}
    made = [
        Copy("exports/oak-12.jpg", "decks/oak/12.png", "JPEG at quality 80", _rgb, jpeg),
        Copy("exports/hearts-07-small.png", "decks/french/hearts-07.png", "half the size", _scaled(0.5)),
        Copy("exports/beast-03.webp", "decks/beasts/03.png", "WebP", _rgb, {"quality": 82, "method": 2}),
        Copy("exports/cave-1.gif", "boards/cave-1.png", "GIF, 256 colours", lambda p: p.quantize(256)),
        Copy("exports/mill.bmp", "boards/mill.png", "BMP", _rgb),
        Copy("exports/p02.tif", "rulebook/p02.png", "TIFF", _rgb, {"compression": "tiff_lzw"}),
        Copy("photos/coins-turned.jpg", "photos/coins.jpg", "turned by EXIF", _turned, jpeg | {"exif": _exif(6)}),
        Copy("scans/stones-40-16bit.png", "boards/stones-40.png", "16-bit gray", _gray16),
        Copy("exports/race-meadow-256.png", "boards/race-meadow.png", "palette", lambda p: p.quantize(128)),
        Copy("exports/oak-20-cut.png", "decks/oak/20.png", "transparent corners", _round_corners),
        Copy("exports/dice-web.jpg", "photos/dice.jpg", "JPEG at quality 30", _rgb, {"quality": 30}),
        Copy("scans/p07-gray.png", "rulebook/p07.png", "gray", lambda p: p.convert("L")),
        Copy("scans/p04-fax.png", "rulebook/p04.png", "black and white", lambda p: p.convert("1")),
        Copy("scans/p01.jpg", "rulebook/p01.png", "scanned", lambda p: scanned(p, 0.5, "p01"), jpeg),
        Copy("scans/p09.jpg", "rulebook/p09.png", "scanned", lambda p: scanned(p, -0.7, "p09"), jpeg),
        Copy("scans/board-front.jpg", "boards/island-1.png", "scanned", lambda p: scanned(p, 0.6, "board"), jpeg),
        Copy("scans/harbour-05.jpg", "decks/harbour/05.png", "scanned", lambda p: scanned(p, -0.4, "card"), jpeg),
        Copy("boxes/print/nightkeep.jpg", "boxes/nightkeep.png", "CMYK", lambda p: p.convert("CMYK"), {"quality": 90}),
        Copy("exports/goods-large.jpg", "photos/goods.jpg", "half as large again", _scaled(1.5), jpeg),
        Copy("exports/clubs-king-trim.png", "decks/french/clubs-king.png", "trimmed by 2 %", _trimmed),
        Copy(
            "photos/tiles-bright.jpg",
            "photos/tiles.jpg",
            "brighter",
            lambda p: ImageEnhance.Brightness(p).enhance(1.15),
            jpeg,
        ),
        Copy("boxes/proof/storm-pilots.png", "boxes/storm-pilots.png", "stamped", _stamped),
        Copy("boards/mat-blue\u200f.png", "boards/mat-blue.png", "three quarters of the size", _scaled(0.75)),
        Copy(
            "photos/court-progressive.jpg",
            "photos/court.jpg",
            "progressive JPEG",
            _rgb,
            {"quality": 85, "progressive": True},
        ),
    ]
    rolls = [_rgb(die(value, (196, 44, 40))) for value in (4, 1, 6, 2)]
    made.append(
        Copy(
            "exports/die-roll.gif",
            "dice/red-3.png",
            "first frame of an animation",
            _rgb,
            {"save_all": True, "append_images": rolls, "duration": 120, "loop": 0},
        )
    )
    if features.check("avif"):
        made.append(
            Copy("exports/meadow-mile.avif", "boxes/meadow-mile.png", "AVIF", _rgb, {"quality": 70, "speed": 9})
        )
    return made


LOOKALIKES: tuple[tuple[str, str, str], ...] = (
    ("decks/oak/07.png", "decks/oak/08.png", "another numeral"),
    ("decks/oak/01.png", "decks/oak/02.png", "another numeral"),
    ("decks/oak/31.png", "decks/oak/40.png", "another numeral"),
    ("decks/oak/17.png", "decks/oak-second-edition/17.png", "another edition"),
    ("decks/french/hearts-07.png", "decks/french/diamonds-07.png", "another suit"),
    ("decks/french/spades-09.png", "decks/french/spades-10.png", "one pip more"),
    ("decks/french/back-crimson.png", "decks/french/back-navy.png", "another colour"),
    ("rulebook/p05.png", "rulebook/second-printing/p05.png", "one word"),
    ("rulebook/p09.png", "rulebook/second-printing/p09.png", "one word"),
    ("rulebook/p12.png", "rulebook/second-printing/p12.png", "one figure"),
    ("rulebook/p16.png", "rulebook/second-printing/p16.png", "one figure"),
    ("boards/stones-40.png", "boards/stones-41.png", "one stone more"),
    ("boards/draughts-start.png", "boards/draughts-moved.png", "one man moved"),
    ("boards/mat-red.png", "boards/mat-green.png", "another colour"),
    ("photos/meeples.jpg", "photos/meeples-one-moved.jpg", "one meeple moved"),
    ("tiles/forest-06.png", "tiles/forest-08.png", "another number"),
    ("tokens/meeple-red.png", "tokens/meeple-blue.png", "another colour"),
    ("tokens/coin-01.png", "tokens/coin-02.png", "another value"),
)
"""Pairs of different pictures that look nearly the same, and what differs."""


NEAR_EMPTY = ("scans/blank.png", "scans/flat.png", "tokens/icon.png")
"""Pictures with next to nothing in them."""


def near_empty(path: str) -> Image.Image:
    """One of ``NEAR_EMPTY``."""
    if path == "scans/blank.png":
        return Image.new("L", (620, 876), 255)
    if path == "scans/flat.png":
        return Image.new("RGB", (360, 504), (122, 118, 112))
    icon = Image.new("RGB", (4, 4), (250, 247, 238))
    for place in ((1, 0), (2, 1), (1, 2), (3, 3)):
        icon.putpixel(place, (150, 50, 40))
    return icon


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(60_001))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _encoded(picture: Image.Image, name: str) -> bytes:
    made = io.BytesIO()
    picture.save(made, name)
    return made.getvalue()


BROKEN: tuple[tuple[str, str], ...] = (
    ("scans/p12.jpg", "truncated JPEG"),
    ("decks/beasts/25.png", "truncated PNG"),
    ("scans/empty.png", "no bytes"),
    ("rulebook/p19.png", "text, not an image"),
    ("exports/poster.png", "declares 60000 x 60000 pixels"),
)
"""Files that no decoder should accept, and what is wrong with them."""


def broken_file(path: str) -> bytes:
    """The bytes of one of ``BROKEN``."""
    if path == "scans/p12.jpg":
        jpeg = _encoded(page(12), "JPEG")
        return jpeg[: len(jpeg) * 3 // 5]
    if path == "decks/beasts/25.png":
        png = _encoded(beast_card("Unfinished", 5, "24", (96, 96, 118), (58, 150, 92)), "PNG")
        return png[: len(png) // 2]
    if path == "rulebook/p19.png":
        return b"Page 19 is still at the printer's. Ask for it on Thursday.\n"
    return _bomb() if path == "exports/poster.png" else b""
