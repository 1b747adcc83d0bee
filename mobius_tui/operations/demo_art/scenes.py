"""Small landscapes: seas, storms, coasts and nights, for event cards and box lids."""

from __future__ import annotations

import math
import random

from PIL import Image

from mobius_tui.operations.demo_art.brush import Colour, Pen, darker, fade, lighter, mix
from mobius_tui.operations.demo_art.emblems import put

_SKIES: dict[str, list[tuple[Colour, Colour]]] = {
    "sea": [((96, 170, 214), (236, 232, 206)), ((240, 150, 96), (252, 222, 160)), ((120, 190, 200), (240, 244, 230))],
    "storm": [((52, 58, 78), (124, 130, 142)), ((44, 48, 60), (140, 120, 130))],
    "land": [
        ((124, 190, 226), (246, 238, 210)),
        ((232, 170, 110), (250, 230, 180)),
        ((150, 200, 190), (250, 244, 220)),
    ],
    "night": [((14, 20, 52), (64, 66, 118)), ((22, 16, 44), (104, 60, 104))],
}

KINDS = tuple(_SKIES)
"""The kinds of scene."""


def _ridge(rng: random.Random, base: float, rise: float, foot: float) -> list[tuple[float, float]]:
    phases = [rng.uniform(0, 6.3) for _ in range(3)]
    points = []
    for step in range(41):
        x = step / 40
        lift = sum(math.sin(x * pace + phase) / pace for pace, phase in zip((5, 11, 23), phases, strict=True))
        points.append((x, base - rise * (0.5 + 2 * lift)))
    return [(0.0, foot), *points, (1.0, foot)]


def _waves(p: Pen, rng: random.Random, top: float, foot: float, colour: Colour) -> None:
    for row in range(7):
        y = top + (foot - top) * (row / 7) ** 1.3
        shade = mix(colour, darker(colour, 0.55), row / 7)
        shift, pace = rng.uniform(0, 6), 26 - row * 2.2
        crest = [(x / 60, y + 0.008 * (1 + row * 0.3) * math.sin(x / 60 * pace + shift)) for x in range(61)]
        p.shape([(0, foot), *crest, (1, foot)], shade)
        p.line(crest, 0.002, lighter(shade, 0.2))


def _water(picture: Image.Image, rng: random.Random, kind: str, foot: float) -> None:
    p = Pen(picture)
    horizon = foot * rng.uniform(0.5, 0.62)
    if rng.random() < 0.6:
        p.shape(_ridge(rng, horizon, foot * 0.2, foot), (96, 112, 116) if kind == "sea" else (60, 66, 76))
    _waves(p, rng, horizon, foot, (52, 124, 150) if kind == "sea" else (66, 84, 100))
    boats = rng.randrange(1, 4)
    for index in range(boats):
        size = round(picture.width * rng.uniform(0.16, 0.4) / math.sqrt(boats))
        x = picture.width * (index + rng.uniform(0.35, 0.7)) / boats
        put(picture, "ship", (x, (horizon + 0.04) * picture.width - size * 0.25), size, rng.choice(_HULLS))
    if kind == "storm":
        for _ in range(90):
            x, y = rng.random(), rng.random() * foot
            p.line([(x, y), (x - 0.02, y + 0.06)], 0.003, (176, 184, 198))
        bolt = rng.uniform(0.2, 0.8)
        zigzag = ((0, 0), (-0.08, 0.3), (-0.02, 0.3), (-0.09, 0.55), (0.06, 0.24), (0, 0.24), (0.05, 0))
        p.shape([(bolt + x, foot * y) for x, y in zigzag], (255, 244, 170))


_HULLS: tuple[Colour, ...] = ((88, 50, 34), (60, 44, 52), (120, 64, 36), (44, 52, 62))


def _land(picture: Image.Image, rng: random.Random, kind: str, foot: float) -> None:
    p = Pen(picture)
    hills: Colour = (112, 150, 84) if kind == "land" else (40, 46, 80)
    for row in range(3):
        base = foot * (0.55 + row * 0.17)
        shade = mix(lighter(hills, 0.35), darker(hills, 0.3), row / 2)
        p.shape(_ridge(rng, base, foot * 0.16, foot), shade)
        for _ in range(rng.randrange(1, 6) if row else 0):
            size = round(picture.width * (0.07 + row * 0.06))
            place = (rng.random() * picture.width, base * picture.width - size * 0.15)
            put(picture, "tree", place, size, darker(shade, 0.35))
    size = round(picture.width * rng.uniform(0.22, 0.42))
    figure = rng.choice(("tower", "tower", "tree", "meeple"))
    place = (picture.width * rng.uniform(0.25, 0.75), foot * picture.width * 0.9 - size / 2)
    put(picture, figure, place, size, (74, 58, 54) if kind == "land" else (20, 20, 38))


def scene(kind: str, width: int, height: int, seed: str) -> Image.Image:
    """A landscape.

    Args:
        kind: One of ``KINDS``.
        width: Pixels.
        height: Pixels.
        seed: Chooses sky, hills, ships, trees and towers.

    Returns:
        An RGB picture.
    """
    rng = random.Random(f"scene {kind} {seed}")
    top, low = rng.choice(_SKIES[kind])
    picture = fade(width * 2, height * 2, top, low).copy()
    foot = height / width
    p = Pen(picture)
    sun = (rng.uniform(0.15, 0.85), foot * rng.uniform(0.14, 0.36))
    if kind == "night":
        for _ in range(60):
            p.disc(rng.random(), rng.random() * foot * 0.7, rng.uniform(0.001, 0.004), fill=(236, 236, 250))
        p.disc(*sun, 0.075, fill=(244, 240, 214))
        p.disc(sun[0] + 0.035, sun[1] - 0.015, 0.065, fill=mix(top, low, 0.2))
    elif kind != "storm":
        p.disc(*sun, 0.1, fill=mix(low, (255, 236, 150), 0.5))
        p.disc(*sun, 0.07, fill=(255, 240, 180))
    for _ in range(rng.randrange(0, 4) if kind != "night" else 0):
        x, y = rng.random(), rng.uniform(0.08, 0.3) * foot
        cloud = lighter(low, 0.6) if kind != "storm" else (92, 96, 112)
        for part in range(4):
            p.disc(x + part * 0.04, y + 0.012 * (part % 2), 0.05, 0.022, fill=cloud)
    (_water if kind in {"sea", "storm"} else _land)(picture, rng, kind, foot)
    return picture.reduce(2)
