"""Suits, goods and figures as masks."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from PIL import Image

from mobius_tui.operations.demo_art.brush import SMOOTH, Colour, Pen, ring_points


def _heart(p: Pen) -> None:
    p.disc(0.29, 0.32, 0.22)
    p.disc(0.71, 0.32, 0.22)
    p.shape([(0.1, 0.42), (0.5, 0.94), (0.9, 0.42), (0.5, 0.25)])


def _diamond(p: Pen) -> None:
    p.shape([(0.5, 0.04), (0.86, 0.5), (0.5, 0.96), (0.14, 0.5)])


def _spade(p: Pen) -> None:
    p.disc(0.29, 0.58, 0.21)
    p.disc(0.71, 0.58, 0.21)
    p.shape([(0.1, 0.5), (0.5, 0.03), (0.9, 0.5), (0.5, 0.7)])
    p.shape([(0.5, 0.55), (0.68, 0.97), (0.32, 0.97)])


def _club(p: Pen) -> None:
    for x, y in ((0.5, 0.25), (0.27, 0.58), (0.73, 0.58)):
        p.disc(x, y, 0.21)
    p.disc(0.5, 0.5, 0.14)
    p.shape([(0.5, 0.45), (0.68, 0.97), (0.32, 0.97)])


def _leaf(p: Pen) -> None:
    p.disc(0.5, 0.42, 0.27, 0.34)
    p.shape([(0.27, 0.26), (0.5, 0.02), (0.73, 0.26)])
    p.shape([(0.28, 0.6), (0.5, 0.82), (0.72, 0.6)])
    p.line([(0.5, 0.18), (0.5, 0.98)], 0.045)
    for y in (0.3, 0.44, 0.58):
        p.line([(0.32, y - 0.1), (0.5, y), (0.68, y - 0.1)], 0.025, fill=0)
    p.line([(0.5, 0.16), (0.5, 0.76)], 0.03, fill=0)


def _acorn(p: Pen) -> None:
    p.disc(0.5, 0.58, 0.25, 0.33)
    p.shape([(0.44, 0.86), (0.5, 0.99), (0.56, 0.86)])
    p.box(0.17, 0.27, 0.83, 0.5, 0.11)
    p.line([(0.5, 0.3), (0.56, 0.06)], 0.07)
    p.line([(0.17, 0.52), (0.83, 0.52)], 0.03, fill=0)
    for x in (0.3, 0.43, 0.57, 0.7):
        p.line([(x - 0.06, 0.3), (x + 0.03, 0.48)], 0.022, fill=0)


def _bell(p: Pen) -> None:
    p.disc(0.5, 0.36, 0.26, 0.3)
    p.shape([(0.24, 0.36), (0.76, 0.36), (0.92, 0.76), (0.08, 0.76)])
    p.disc(0.5, 0.84, 0.11)
    p.disc(0.5, 0.08, 0.07)
    p.line([(0.15, 0.66), (0.85, 0.66)], 0.035, fill=0)


def _rose(p: Pen) -> None:
    for x, y in ring_points(0.5, 0.5, 0.27, 5, -90):
        p.disc(x, y, 0.21)
    for x, y in ring_points(0.5, 0.5, 0.2, 5, -54):
        p.disc(x, y, 0.055, fill=0)
    p.disc(0.5, 0.5, 0.15, fill=0)
    p.disc(0.5, 0.5, 0.11)


def _anchor(p: Pen) -> None:
    p.disc(0.5, 0.16, 0.12)
    p.disc(0.5, 0.16, 0.055, fill=0)
    p.line([(0.5, 0.26), (0.5, 0.88)], 0.09)
    p.line([(0.3, 0.38), (0.7, 0.38)], 0.08)
    p.line([(0.12, 0.6), (0.2, 0.78), (0.36, 0.88), (0.5, 0.91), (0.64, 0.88), (0.8, 0.78), (0.88, 0.6)], 0.08)
    p.shape([(0.02, 0.7), (0.1, 0.5), (0.26, 0.66)])
    p.shape([(0.98, 0.7), (0.9, 0.5), (0.74, 0.66)])


def _wheat(p: Pen) -> None:
    p.line([(0.5, 0.3), (0.5, 0.98)], 0.05)
    for y in (0.24, 0.4, 0.56):
        p.shape([(0.47, y + 0.14), (0.22, y + 0.04), (0.24, y - 0.1), (0.42, y)])
        p.shape([(0.53, y + 0.14), (0.78, y + 0.04), (0.76, y - 0.1), (0.58, y)])
    p.disc(0.5, 0.13, 0.07, 0.12)


def _fish(p: Pen) -> None:
    p.disc(0.43, 0.5, 0.35, 0.22)
    p.shape([(0.7, 0.5), (0.97, 0.26), (0.9, 0.5), (0.97, 0.74)])
    p.shape([(0.4, 0.32), (0.56, 0.14), (0.6, 0.36)])
    p.disc(0.25, 0.45, 0.04, fill=0)
    p.line([(0.38, 0.33), (0.42, 0.5), (0.38, 0.67)], 0.03, fill=0)


def _log(p: Pen) -> None:
    for x, y in ((0.28, 0.68), (0.72, 0.68), (0.5, 0.32)):
        p.disc(x, y, 0.21)
        p.disc(x, y, 0.155, fill=0)
        p.disc(x, y, 0.125)
        p.disc(x, y, 0.06, fill=0)


def _brick(p: Pen) -> None:
    for row, shift in ((0.16, 0.0), (0.4, 0.22), (0.64, 0.0)):
        for x in (-0.12, 0.32, 0.76):
            left, right = max(0.04, x + shift), min(0.96, x + shift + 0.4)
            if right - left > 0.1:
                p.box(left, row, right, row + 0.2, 0.03)


def _wool(p: Pen) -> None:
    for x, y in (*ring_points(0.46, 0.46, 0.2, 7), (0.46, 0.46)):
        p.disc(x, y, 0.15)
    p.disc(0.8, 0.42, 0.11, 0.14)
    p.disc(0.83, 0.38, 0.025, fill=0)
    for x in (0.32, 0.56):
        p.box(x, 0.7, x + 0.08, 0.92, 0.03)


def _ore(p: Pen) -> None:
    p.shape([(0.06, 0.82), (0.32, 0.3), (0.5, 0.56), (0.66, 0.14), (0.96, 0.82)])
    p.shape([(0.66, 0.14), (0.56, 0.4), (0.66, 0.34), (0.73, 0.42), (0.78, 0.4)], fill=0)
    p.line([(0.32, 0.3), (0.4, 0.62), (0.36, 0.82)], 0.025, fill=0)


def _star(p: Pen) -> None:
    outer, inner = ring_points(0.5, 0.53, 0.47, 5, -90), ring_points(0.5, 0.53, 0.2, 5, -54)
    p.shape([point for pair in zip(outer, inner, strict=True) for point in pair])


def _crown(p: Pen) -> None:
    p.shape([(0.08, 0.82), (0.04, 0.3), (0.28, 0.52), (0.5, 0.14), (0.72, 0.52), (0.96, 0.3), (0.92, 0.82)])
    for x, y in ((0.05, 0.26), (0.5, 0.12), (0.95, 0.26)):
        p.disc(x, y, 0.06)
    p.line([(0.1, 0.7), (0.9, 0.7)], 0.035, fill=0)


def _gem(p: Pen) -> None:
    p.shape([(0.24, 0.18), (0.76, 0.18), (0.97, 0.42), (0.5, 0.92), (0.03, 0.42)])
    for points in ([(0.03, 0.42), (0.97, 0.42)], [(0.24, 0.18), (0.36, 0.42), (0.5, 0.92), (0.64, 0.42), (0.76, 0.18)]):
        p.line(points, 0.025, fill=0)


def _key(p: Pen) -> None:
    p.disc(0.28, 0.5, 0.22)
    p.disc(0.28, 0.5, 0.12, fill=0)
    p.box(0.46, 0.44, 0.96, 0.56)
    p.box(0.72, 0.5, 0.79, 0.72)
    p.box(0.87, 0.5, 0.94, 0.68)


def _ship(p: Pen) -> None:
    p.shape([(0.06, 0.68), (0.94, 0.68), (0.8, 0.9), (0.2, 0.9)])
    p.box(0.48, 0.06, 0.53, 0.7)
    p.shape([(0.45, 0.12), (0.45, 0.6), (0.1, 0.6)])
    p.shape([(0.56, 0.18), (0.86, 0.6), (0.56, 0.6)])


def _tree(p: Pen) -> None:
    p.box(0.45, 0.7, 0.55, 0.97)
    for top, half, base in ((0.03, 0.22, 0.34), (0.2, 0.31, 0.56), (0.38, 0.4, 0.78)):
        p.shape([(0.5, top), (0.5 + half, base), (0.5 - half, base)])


def _meeple(p: Pen) -> None:
    p.disc(0.5, 0.2, 0.17)
    left = [(0.38, 0.32), (0.14, 0.4), (0.03, 0.5), (0.08, 0.57), (0.31, 0.56), (0.12, 0.9), (0.16, 0.96), (0.4, 0.96)]
    p.shape([*left, (0.5, 0.74), *((1 - x, y) for x, y in reversed(left))])


def _tower(p: Pen) -> None:
    p.shape([(0.26, 0.96), (0.32, 0.36), (0.68, 0.36), (0.74, 0.96)])
    for x in (0.24, 0.44, 0.64):
        p.box(x, 0.08, x + 0.12, 0.26)
    p.box(0.24, 0.2, 0.76, 0.4)
    p.box(0.44, 0.7, 0.56, 0.96, 0.05, fill=0)
    p.box(0.46, 0.46, 0.54, 0.58, 0.03, fill=0)


_SHAPES: dict[str, Callable[[Pen], None]] = {
    "heart": _heart,
    "diamond": _diamond,
    "spade": _spade,
    "club": _club,
    "leaf": _leaf,
    "acorn": _acorn,
    "bell": _bell,
    "rose": _rose,
    "anchor": _anchor,
    "wheat": _wheat,
    "fish": _fish,
    "log": _log,
    "brick": _brick,
    "wool": _wool,
    "ore": _ore,
    "star": _star,
    "crown": _crown,
    "gem": _gem,
    "key": _key,
    "ship": _ship,
    "tree": _tree,
    "meeple": _meeple,
    "tower": _tower,
}

NAMES = tuple(sorted(_SHAPES))
"""Every emblem there is."""


@lru_cache(maxsize=512)
def emblem(name: str, size: int) -> Image.Image:
    """An emblem as a smooth mask.

    Args:
        name: One of ``NAMES``.
        size: Pixels across and down.

    Returns:
        A shared image of mode L; do not draw on it.
    """
    canvas = Image.new("L", (size * SMOOTH, size * SMOOTH), 0)
    _SHAPES[name](Pen(canvas))
    return canvas.reduce(SMOOTH)


def put(
    image: Image.Image, name: str, centre: tuple[float, float], size: int, colour: Colour, *, down: bool = False
) -> None:
    """Draws an emblem about a centre, head down when asked."""
    mask = emblem(name, size)
    if down:
        mask = mask.transpose(Image.Transpose.ROTATE_180)
    image.paste(colour, (round(centre[0] - size / 2), round(centre[1] - size / 2)), mask)
