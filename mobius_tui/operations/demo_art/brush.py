"""The few strokes that all demo pictures are made of: fonts, smooth shapes, gradients, grain, shadows, wrapped text."""

from __future__ import annotations

import math
import random
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Colour = (42, 36, 33)
"""Text and outlines."""

PAPER: Colour = (251, 247, 238)
"""Card stock and pages."""

SMOOTH = 4
"""How many times larger a mask is drawn before it is reduced, since ImageDraw's own edges are jagged."""


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in typeface at a height in pixels."""
    return ImageFont.load_default(size)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """The colour that lies ``share`` (0..1) of the way from ``a`` to ``b``."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.35) -> Colour:
    """The colour mixed with black."""
    return mix(colour, (0, 0, 0), share)


def lighter(colour: Colour, share: float = 0.35) -> Colour:
    """The colour mixed with white."""
    return mix(colour, (255, 255, 255), share)


class Pen:
    """Draws on a canvas measured in units of its own width, so that a shape is described once for every size.

    Args:
        image: What is drawn on; 0..1 is its full width.
    """

    def __init__(self, image: Image.Image) -> None:
        self.scale = image.width
        self.draw = ImageDraw.Draw(image)

    def disc(self, x: float, y: float, rx: float, ry: float | None = None, fill: object = 255) -> None:
        """A filled ellipse about a centre."""
        s, ry = self.scale, rx if ry is None else ry
        self.draw.ellipse(((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s), fill=fill)  # type: ignore[arg-type]

    def shape(self, points: list[Point], fill: object = 255) -> None:
        """A filled polygon."""
        self.draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=fill)  # type: ignore[arg-type]

    def line(self, points: list[Point], width: float, fill: object = 255) -> None:
        """A polyline with round joints."""
        s = self.scale
        self.draw.line(
            [(x * s, y * s) for x, y in points],
            fill=fill,  # type: ignore[arg-type]
            width=max(1, round(width * s)),
            joint="curve",
        )

    def box(self, x0: float, y0: float, x1: float, y1: float, radius: float = 0, fill: object = 255) -> None:
        """A filled rectangle with rounded corners."""
        s = self.scale
        self.draw.rounded_rectangle((x0 * s, y0 * s, x1 * s, y1 * s), radius * s, fill=fill)  # type: ignore[arg-type]


def ring_points(x: float, y: float, radius: float, count: int, turn: float = 0) -> list[Point]:
    """The corners of a regular polygon; ``turn`` in degrees, 0 puts the first one at three o'clock."""
    steps = [math.radians(turn + 360 * i / count) for i in range(count)]
    return [(x + radius * math.cos(a), y + radius * math.sin(a)) for a in steps]


@lru_cache(maxsize=256)
def rounded_mask(width: int, height: int, radius: int) -> Image.Image:
    """A smooth rounded rectangle as a mask (mode L)."""
    mask = Image.new("L", (width * SMOOTH, height * SMOOTH), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, width * SMOOTH - 1, height * SMOOTH - 1), radius * SMOOTH, fill=255)
    return mask.reduce(SMOOTH)


def panel(image: Image.Image, box: tuple[int, int, int, int], radius: int, fill: Colour) -> None:
    """Fills a rounded rectangle with smooth corners."""
    left, top, right, bottom = box
    image.paste(fill, (left, top), rounded_mask(right - left, bottom - top, radius))


def frame(
    image: Image.Image, box: tuple[int, int, int, int], radius: int, line: int, colours: tuple[Colour, Colour]
) -> None:
    """A rounded rectangle of the first colour, ``line`` pixels wide, around one of the second."""
    left, top, right, bottom = box
    panel(image, box, radius, colours[0])
    panel(image, (left + line, top + line, right - line, bottom - line), max(1, radius - line), colours[1])


@lru_cache(maxsize=128)
def fade(width: int, height: int, top: Colour, bottom: Colour) -> Image.Image:
    """A vertical gradient; shared, so copy it before drawing on it."""
    ramp = Image.linear_gradient("L").resize((width, height), Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", ramp.size, bottom), Image.new("RGB", ramp.size, top), ramp)


@lru_cache(maxsize=128)
def glow(width: int, height: int, middle: Colour, edge: Colour) -> Image.Image:
    """A radial gradient; shared, so copy it before drawing on it."""
    ramp = Image.radial_gradient("L").resize((width, height), Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", ramp.size, edge), Image.new("RGB", ramp.size, middle), ramp)


@lru_cache(maxsize=32)
def grain(width: int, height: int, seed: str, cell: tuple[float, float] = (1, 1)) -> Image.Image:
    """Seeded noise around mid-gray (mode L).

    Args:
        width: Pixels.
        height: Pixels.
        seed: Same seed, same noise.
        cell: Size of one grain in pixels across and down; long cells look like wood.
    """
    columns, rows = max(2, round(width / cell[0])), max(2, round(height / cell[1]))
    noise = Image.frombytes("L", (columns, rows), random.Random(seed).randbytes(columns * rows))
    return noise if noise.size == (width, height) else noise.resize((width, height), Image.Resampling.BICUBIC)


def roughened(image: Image.Image, noise: Image.Image, strength: float) -> Image.Image:
    """The picture with noise added: ``strength`` is the largest change of a channel as a share of 255."""
    around_zero = noise.point([round((value - 127.5) * strength + 128) for value in range(256)])
    return ImageChops.add(image, Image.merge("RGB", (around_zero,) * 3), 1, -128)


def shadowed(image: Image.Image, piece: Image.Image, place: tuple[int, int], depth: int = 6) -> None:
    """Pastes a piece with transparency (mode RGBA) and the soft shadow it throws to the lower right."""
    mask = piece.getchannel("A")
    room = Image.new("L", (piece.width + 6 * depth, piece.height + 6 * depth), 0)
    room.paste(mask.point([value * 2 // 5 for value in range(256)]), (3 * depth, 3 * depth))
    room = room.filter(ImageFilter.BoxBlur(depth))
    image.paste((20, 14, 10), (place[0] - 2 * depth, place[1] - 2 * depth), room)
    image.paste(piece.convert("RGB"), place, mask)


def write(
    image: Image.Image,
    place: tuple[float, float],
    text: str,
    size: int,
    fill: Colour = INK,
    *,
    anchor: str = "mm",
    bold: float = 0,
) -> None:
    """One line of text; ``anchor`` as Pillow names it, ``bold`` the extra stroke in pixels."""
    ImageDraw.Draw(image).text(place, text, fill=fill, font=font(size), anchor=anchor, stroke_width=bold)


@lru_cache(maxsize=4096)
def _length(word: str, size: int) -> float:
    return font(size).getlength(word)


def wrapped(text: str, size: int, width: int) -> list[str]:
    """The text broken into lines that are at most ``width`` pixels wide, kerning across spaces left out."""
    lines: list[list[str]] = [[]]
    used = 0.0
    for word in text.split():
        longer = used + (_length(" ", size) if lines[-1] else 0) + _length(word, size)
        if lines[-1] and longer > width:
            lines.append([])
            longer = _length(word, size)
        lines[-1].append(word)
        used = longer
    return [" ".join(words) for words in lines if words]


def paragraph(
    image: Image.Image, box: tuple[int, int, int], text: str, size: int, fill: Colour = INK, *, centred: bool = False
) -> int:
    """Wrapped text.

    Args:
        image: What it is written on.
        box: Left, top and width in pixels.
        text: Words.
        size: Height of the type in pixels.
        fill: Colour.
        centred: Lines in the middle of the box instead of at its left.

    Returns:
        The y where the next paragraph may start.
    """
    left, top, width = box
    step = round(size * 1.36)
    for line in wrapped(text, size, width):
        place = (left + width / 2, top) if centred else (left, top)
        write(image, place, line, size, fill, anchor="ma" if centred else "la")
        top += step
    return top
