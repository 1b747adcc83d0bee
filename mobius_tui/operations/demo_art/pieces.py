"""Tokens, tiles, meeples and dice: small pictures with a transparent ground."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFilter

from mobius_tui.operations.demo_art.brush import (
    INK,
    PAPER,
    SMOOTH,
    Colour,
    Pen,
    darker,
    glow,
    lighter,
    mix,
    ring_points,
    rounded_mask,
    write,
)
from mobius_tui.operations.demo_art.emblems import emblem, put

SIZE = 220
"""Pixels of a piece, across and down."""

PLAYERS: dict[str, Colour] = {
    "red": (196, 52, 44),
    "blue": (44, 98, 178),
    "green": (62, 138, 66),
    "yellow": (230, 184, 44),
    "black": (56, 54, 58),
    "white": (226, 220, 208),
}
"""Colours of the players' pieces."""

GOODS: dict[str, Colour] = {
    "anchor": (58, 86, 118),
    "brick": (176, 86, 58),
    "fish": (60, 142, 164),
    "gem": (128, 74, 158),
    "log": (126, 88, 50),
    "ore": (104, 108, 116),
    "wheat": (206, 164, 52),
    "wool": (120, 164, 96),
}
"""Emblem and colour of each good."""

TERRAINS: dict[str, tuple[Colour, str]] = {
    "forest": ((58, 108, 62), "tree"),
    "field": ((222, 184, 76), "wheat"),
    "pasture": ((148, 188, 88), "wool"),
    "hill": ((190, 104, 66), "brick"),
    "mountain": ((132, 132, 138), "ore"),
    "sea": ((70, 140, 184), "fish"),
}
"""Colour and emblem of each landscape tile."""

_PIPS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    2: ((-1, -1), (1, 1)),
    3: ((-1, -1), (0, 0), (1, 1)),
    4: ((-1, -1), (1, -1), (-1, 1), (1, 1)),
    5: ((-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)),
    6: ((-1, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (1, 1)),
}


def _cut(picture: Image.Image, mask: Image.Image) -> Image.Image:
    picture = picture.convert("RGB")
    picture.putalpha(mask)
    return picture


def coin(value: int) -> Image.Image:
    """A coin: copper below 5, silver below 10, gold above; RGBA."""
    metal: Colour = (190, 118, 74) if value < 5 else (178, 182, 190) if value < 10 else (224, 182, 66)
    picture = glow(SIZE, SIZE, lighter(metal, 0.35), darker(metal, 0.25)).copy()
    mask = rounded_mask(SIZE - 16, SIZE - 16, (SIZE - 16) // 2)
    p = Pen(picture)
    for x, y in ring_points(0.5, 0.5, 0.41, 48):
        p.disc(x, y, 0.011, fill=darker(metal, 0.35))
    picture.paste(darker(metal, 0.3), (34, 34), rounded_mask(SIZE - 68, SIZE - 68, (SIZE - 68) // 2))
    inner = glow(SIZE - 74, SIZE - 74, lighter(metal, 0.3), metal)
    picture.paste(inner, (37, 37), rounded_mask(SIZE - 74, SIZE - 74, (SIZE - 74) // 2))
    write(picture, (SIZE / 2 + 2, SIZE / 2 + 3), str(value), 92 if value < 10 else 76, darker(metal, 0.5), bold=2)
    write(picture, (SIZE / 2, SIZE / 2), str(value), 92 if value < 10 else 76, lighter(metal, 0.6), bold=2)
    alpha = Image.new("L", (SIZE, SIZE), 0)
    alpha.paste(mask, (8, 8))
    return _cut(picture, alpha)


def good_token(name: str, *, worn: bool = False) -> Image.Image:
    """A round token of a good; RGBA. A worn one has lost some of its colour."""
    colour = mix(GOODS[name], (150, 140, 130), 0.45) if worn else GOODS[name]
    picture = glow(SIZE, SIZE, lighter(colour, 0.25), darker(colour, 0.15)).copy()
    picture.paste(PAPER, (26, 26), rounded_mask(SIZE - 52, SIZE - 52, (SIZE - 52) // 2))
    face = glow(SIZE - 62, SIZE - 62, lighter(colour, 0.75), lighter(colour, 0.5))
    picture.paste(face, (31, 31), rounded_mask(SIZE - 62, SIZE - 62, (SIZE - 62) // 2))
    put(picture, name, (SIZE / 2, SIZE / 2), 104, darker(colour, 0.25))
    alpha = Image.new("L", (SIZE, SIZE), 0)
    alpha.paste(rounded_mask(SIZE - 20, SIZE - 20, (SIZE - 20) // 2), (10, 10))
    return _cut(picture, alpha)


def meeple(player: str, *, lying: bool = False) -> Image.Image:
    """A wooden figure in a player's colour, standing or lying; RGBA."""
    colour = PLAYERS[player]
    mask = emblem("meeple", 184)
    alpha = Image.new("L", (SIZE, SIZE), 0)
    alpha.paste(mask, (18, 18))
    edge = alpha.filter(ImageFilter.BoxBlur(5))
    picture = glow(SIZE, SIZE, lighter(colour, 0.25), darker(colour, 0.3)).copy()
    picture.paste(lighter(colour, 0.2), (-4, -5), edge.point([value if value > 200 else 0 for value in range(256)]))
    picture.paste(colour, (0, 0), edge.point([max(0, value * 2 - 255) for value in range(256)]))
    thick = Image.new("L", (SIZE, SIZE), 0)
    for step in range(9):
        thick.paste(255, (18 + step, 18 + step), mask)
    whole = Image.new("RGB", (SIZE, SIZE), darker(colour, 0.5))
    whole.paste(picture, (0, 0), alpha)
    piece = _cut(whole, thick)
    return piece.rotate(98, Image.Resampling.BICUBIC) if lying else piece


def hexagon(size: int) -> Image.Image:
    """A smooth pointy-topped hexagon as a mask."""
    mask = Image.new("L", (size * SMOOTH, size * SMOOTH), 0)
    Pen(mask).shape(ring_points(0.5, 0.5, 0.49, 6, -90))
    return mask.reduce(SMOOTH)


def tile(terrain: str, number: int) -> Image.Image:
    """A hexagonal landscape tile with a number chit; RGBA. Tiles of a terrain differ by the number."""
    colour, name = TERRAINS[terrain]
    picture = Image.new("RGB", (SIZE, SIZE), darker(colour, 0.35))
    inner = hexagon(SIZE - 18)
    picture.paste(glow(SIZE - 18, SIZE - 18, lighter(colour, 0.2), darker(colour, 0.1)), (9, 9), inner)
    for x, y in ring_points(SIZE / 2, SIZE / 2, 66, 6):
        put(picture, name, (x, y), 44, darker(colour, 0.28))
    if number:
        picture.paste(darker(PAPER, 0.4), (75, 77), rounded_mask(72, 72, 36))
        picture.paste(PAPER, (74, 74), rounded_mask(72, 72, 36))
        hot: Colour = (190, 40, 34) if number in {6, 8} else INK
        write(picture, (SIZE / 2, SIZE / 2 - 4), str(number), 38, hot, bold=0.8)
        dots = 6 - abs(7 - number)
        p = Pen(picture)
        for index in range(dots):
            p.disc(0.5 + (index - (dots - 1) / 2) * 0.034, 0.6, 0.011, fill=hot)
    return _cut(picture, hexagon(SIZE))


def die(value: int, colour: Colour) -> Image.Image:
    """A die seen from above at an angle: the value on top, two other faces below it; RGBA."""
    scale = 2
    size = SIZE * scale
    picture = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    p = Pen(picture)
    top = [(0.5, 0.08), (0.9, 0.29), (0.5, 0.5), (0.1, 0.29)]
    left = [(0.1, 0.29), (0.5, 0.5), (0.5, 0.94), (0.1, 0.73)]
    right = [(0.9, 0.29), (0.5, 0.5), (0.5, 0.94), (0.9, 0.73)]
    pip = PAPER if sum(colour) < 480 else INK
    sides = ((value % 6) + 1, ((value + 2) % 6) + 1)
    faces = ((top, lighter(colour, 0.22), value), (left, colour, sides[0]), (right, darker(colour, 0.28), sides[1]))
    for corners, shade, count in faces:
        p.shape(corners, (*shade, 255))
        (x0, y0), (x1, y1), _, (x3, y3) = corners
        for column, row in _PIPS[count]:
            u, v = 0.5 + column * 0.27, 0.5 + row * 0.27
            x, y = x0 + (x1 - x0) * u + (x3 - x0) * v, y0 + (y1 - y0) * u + (y3 - y0) * v
            flat = corners is top
            p.disc(x, y, 0.05 if flat else 0.036, 0.03 if flat else 0.045, (*mix(shade, pip, 0.92), 255))
    for path in ([top[3], top[2], top[1]], [top[2], left[2]]):
        p.line(path, 0.012, (*lighter(colour, 0.4), 255))
    return picture.reduce(scale)


def flat_die(value: int, colour: Colour) -> Image.Image:
    """One face of a die, seen from straight above; RGBA."""
    picture = glow(SIZE, SIZE, lighter(colour, 0.25), darker(colour, 0.2)).copy()
    face = glow(176, 176, lighter(colour, 0.3), lighter(colour, 0.05))
    picture.paste(face, (22, 22), rounded_mask(176, 176, 60))
    p, pip = Pen(picture), PAPER if sum(colour) < 480 else INK
    for column, row in _PIPS[value]:
        p.disc(0.5 + column * 0.22, 0.5 + row * 0.22, 0.075, fill=pip)
    alpha = Image.new("L", (SIZE, SIZE), 0)
    alpha.paste(rounded_mask(196, 196, 34), (12, 12))
    return _cut(picture, alpha)


def spinner(colours: tuple[Colour, ...], turn: float) -> Image.Image:
    """A spinner with coloured sectors and an arrow turned by ``turn`` degrees; RGBA."""
    size = SIZE * 2
    picture = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    box = (16, 16, size - 16, size - 16)
    for index, colour in enumerate(colours):
        share = 360 / len(colours)
        draw.pieslice(box, index * share, (index + 1) * share, fill=(*colour, 255), outline=(*PAPER, 255), width=4)
    draw.ellipse(box, outline=(*INK, 255), width=8)
    p = Pen(picture)
    angle = math.radians(turn)
    tip = (0.5 + 0.4 * math.cos(angle), 0.5 + 0.4 * math.sin(angle))
    side = (0.035 * math.sin(angle), -0.035 * math.cos(angle))
    p.shape([tip, (0.5 + side[0], 0.5 + side[1]), (0.5 - side[0], 0.5 - side[1])], (*INK, 255))
    p.disc(0.5, 0.5, 0.05, fill=(*INK, 255))
    return picture.reduce(2)
