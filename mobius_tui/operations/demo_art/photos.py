"""Box lids, and lookalikes of photographs: pieces on a table, seen at an angle, with grain and soft edges."""

from __future__ import annotations

import random
from functools import lru_cache

from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from mobius_tui.operations.demo_art.brush import (
    INK,
    Colour,
    darker,
    fade,
    grain,
    lighter,
    mix,
    panel,
    roughened,
    rounded_mask,
    shadowed,
    write,
)
from mobius_tui.operations.demo_art.emblems import put
from mobius_tui.operations.demo_art.scenes import scene

WIDTH, HEIGHT = 800, 600
"""Pixels of a photograph."""

TABLES: dict[str, tuple[Colour, tuple[float, float], float]] = {
    "oak": ((166, 116, 70), (160, 3.2), 0.3),
    "walnut": ((92, 62, 44), (200, 4.0), 0.28),
    "felt": ((40, 96, 66), (1.5, 1.5), 0.22),
    "slate": ((86, 92, 100), (7, 7), 0.18),
    "cloth": ((176, 160, 140), (2, 14), 0.16),
}
"""Colour, size of the grain and its strength for each table."""


@lru_cache(maxsize=8)
def _table(kind: str) -> Image.Image:
    colour, cell, strength = TABLES[kind]
    flat = Image.new("RGB", (1000, 800), colour)
    return roughened(flat, grain(1000, 800, f"table {kind}", cell), strength)


def rotated(piece: Image.Image, size: tuple[int, int], turn: float) -> Image.Image:
    """A piece scaled and turned, with a transparent ground; ``turn`` in degrees against the clock."""
    small = piece.resize(size, Image.Resampling.BOX)
    if small.mode != "RGBA":
        corner = max(2, min(size) // 16)
        small.putalpha(rounded_mask(*size, corner))
    return small.rotate(turn, Image.Resampling.BICUBIC, expand=True)


def photo(table: str, pieces: list[tuple[Image.Image, int, tuple[int, int], float]], seed: str) -> Image.Image:
    """A table with pieces on it as a camera would see it.

    Args:
        table: One of ``TABLES``.
        pieces: Picture, its width on the table, the place of its centre on the 1000 x 800 table, its turn in degrees.
        seed: Chooses where the camera stands, the light and the grain of the sensor.

    Returns:
        An RGB picture.
    """
    rng = random.Random(f"photo {seed}")
    flat = _table(table).copy()
    for piece, width, (x, y), turn in pieces:
        laid = rotated(piece, (width, round(width * piece.height / piece.width)), turn)
        shadowed(flat, laid, (x - laid.width // 2, y - laid.height // 2), 5)
    lean, side = rng.uniform(70, 170), rng.uniform(-60, 60)
    corners = (lean + side, 60, 20, 780, 980, 780, 1000 - lean + side, 60)
    view = flat.transform((WIDTH, HEIGHT), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    soft = view.filter(ImageFilter.BoxBlur(3))
    distance = Image.linear_gradient("L").resize(view.size).point([max(0, 210 - value * 2) for value in range(256)])
    view = Image.composite(soft, view, distance)
    light = Image.radial_gradient("L").resize((WIDTH * 2, HEIGHT * 2))
    left, top = rng.randrange(200, 600), rng.randrange(100, 500)
    light = light.crop((left, top, left + WIDTH, top + HEIGHT)).point([255 - value * 2 // 3 for value in range(256)])
    view = ImageChops.multiply(view, Image.merge("RGB", (light, light, light)))
    view = ImageEnhance.Brightness(view).enhance(rng.uniform(1.1, 1.3))
    return roughened(view, grain(WIDTH, HEIGHT, "sensor"), 0.06)


def box_lid(title: str, line: str, kind: str, seed: str, colour: Colour, emblem: str) -> Image.Image:
    """The lid of a game's box, 480 x 480.

    Args:
        title: Name of the game.
        line: Players, minutes, age.
        kind: A scene of ``scenes.scene``.
        seed: Details of the scene.
        colour: Of the title's band.
        emblem: The game's badge.

    Returns:
        An RGB picture.
    """
    lid = scene(kind, 480, 480, seed)
    lid.paste(darker(colour, 0.2), (0, 0, 480, 118))
    lid.paste(lighter(colour, 0.3), (0, 114, 480, 118))
    size = 62 if len(title) < 12 else 46
    write(lid, (243, 61), title, size, darker(colour, 0.7), bold=2)
    write(lid, (240, 57), title, size, (255, 242, 208), bold=1)
    lid.paste(fade(480, 52, darker(colour, 0.35), darker(colour, 0.6)), (0, 428))
    write(lid, (24, 454), line, 18, (255, 242, 208), anchor="lm")
    panel(lid, (388, 378, 464, 454), 38, (255, 242, 208))
    put(lid, emblem, (426, 416), 52, darker(colour, 0.3))
    return lid


def scanned(picture: Image.Image, turn: float, seed: str) -> Image.Image:
    """A picture as a flatbed scanner returns it: slightly turned on a gray lid, a little dust, a little fading."""
    rng = random.Random(f"scan {seed}")
    sheet = Image.new("RGB", (picture.width + 12, picture.height + 12), (214, 214, 210))
    laid = picture.convert("RGB")
    laid.putalpha(255)
    shadowed(sheet, laid, (6, 6), 1)
    sheet = sheet.rotate(turn, Image.Resampling.BICUBIC, fillcolor=(214, 214, 210))
    sheet = Image.blend(sheet, Image.new("RGB", sheet.size, (226, 218, 200)), 0.12)
    for _ in range(24):
        x, y = rng.randrange(sheet.width), rng.randrange(sheet.height)
        sheet.paste(mix(INK, (200, 190, 180), rng.random()), (x, y, x + rng.randrange(1, 3), y + rng.randrange(1, 3)))
    return sheet
