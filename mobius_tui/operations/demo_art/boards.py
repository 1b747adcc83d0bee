"""Boards: islands of hexagons, chequered and lined boards, a race track, a cave, a score mat."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from mobius_tui.operations.demo_art.brush import (
    INK,
    PAPER,
    Colour,
    darker,
    fade,
    glow,
    grain,
    lighter,
    mix,
    panel,
    roughened,
    rounded_mask,
    write,
)
from mobius_tui.operations.demo_art.emblems import put
from mobius_tui.operations.demo_art.pieces import PLAYERS, TERRAINS, hexagon, tile

SIDE = 640
"""Pixels of a square board."""


def _wood(width: int, height: int, colour: Colour, seed: str) -> Image.Image:
    return roughened(Image.new("RGB", (width, height), colour), grain(width, height, seed, (90, 2.2)), 0.13)


def island(seed: str, rows: tuple[int, ...] = (3, 4, 5, 4, 3)) -> Image.Image:
    """An island of numbered hexagons in the sea, 800 x 700; the seed shuffles terrains and numbers."""
    rng = random.Random(f"island {seed}")
    board = glow(800, 700, (120, 186, 214), (34, 92, 142)).copy()
    size = round(min(600 / (0.755 * (len(rows) - 1) + 1), 690 / (0.87 * max(rows))))
    places = [
        (400 + (column - (count - 1) / 2) * size * 0.87, 350 + (row - (len(rows) - 1) / 2) * size * 0.755)
        for row, count in enumerate(rows)
        for column in range(count)
    ]
    lands = [name for name in TERRAINS if name != "sea"]
    terrains = [lands[index % len(lands)] for index in range(len(places))]
    numbers = [(2, 3, 4, 5, 6, 8, 9, 10, 11, 12)[index % 10] for index in range(len(places))]
    rng.shuffle(terrains)
    rng.shuffle(numbers)
    shore = hexagon(size + 26)
    for x, y in places:
        board.paste((232, 214, 164), (round(x - shore.width / 2), round(y - shore.height / 2)), shore)
    for (x, y), terrain, number in zip(places, terrains, numbers, strict=True):
        piece = tile(terrain, number).resize((size, size), Image.Resampling.BOX)
        board.paste(piece.convert("RGB"), (round(x - size / 2), round(y - size / 2)), piece.getchannel("A"))
    for x, y in ((60, 60), (740, 70), (60, 640), (738, 632), (150, 110), (655, 600), (52, 200), (752, 490)):
        put(board, rng.choice(("ship", "anchor", "fish")), (x, y), 42, (226, 240, 246))
    return board


def chequered(light: Colour, dark: Colour, *, men: bool, moved: bool = False) -> Image.Image:
    """An 8 x 8 board with coordinates, with draughtsmen when asked; ``moved`` puts one man a row further."""
    board = _wood(SIDE, SIDE, darker(dark, 0.35), "chequered rim")
    cell, rim = 70, 40
    for row in range(8):
        for column in range(8):
            box = (rim + column * cell, rim + row * cell, rim + (column + 1) * cell, rim + (row + 1) * cell)
            board.paste(light if (row + column) % 2 == 0 else dark, box)
    for index in range(8):
        middle = rim + index * cell + cell / 2
        for edge in (rim / 2, SIDE - rim / 2):
            write(board, (middle, edge), "abcdefgh"[index], 20, light)
            write(board, (edge, middle), str(8 - index), 20, light)
    if not men:
        return board
    places = [(row, column) for row in (0, 1, 2, 5, 6, 7) for column in range(8) if (row + column) % 2]
    if moved:
        places[places.index((2, 3))] = (3, 4)
    for row, column in places:
        colour: Colour = (52, 44, 44) if row < 4 else (206, 60, 48)
        left, top = rim + column * cell + 8, rim + row * cell + 8
        board.paste(darker(colour, 0.5), (left + 2, top + 4), rounded_mask(54, 54, 27))
        board.paste(glow(54, 54, lighter(colour, 0.35), colour), (left, top), rounded_mask(54, 54, 27))
        board.paste(darker(colour, 0.2), (left + 9, top + 9), rounded_mask(36, 36, 18))
        board.paste(lighter(colour, 0.12), (left + 12, top + 12), rounded_mask(30, 30, 15))
    return board


def lined(stones: int, seed: str) -> Image.Image:
    """A 13 x 13 board with black and white stones; one stone more is a look-alike of the board before."""
    board = _wood(SIDE, SIDE, (214, 168, 98), "lined")
    draw, gap, rim = ImageDraw.Draw(board), 46, 44
    for index in range(13):
        at = rim + index * gap
        draw.line((rim, at, SIDE - rim, at), fill=INK, width=2)
        draw.line((at, rim, at, SIDE - rim), fill=INK, width=2)
    for row in (3, 6, 9):
        for column in (3, 6, 9):
            board.paste(INK, (rim + column * gap - 5, rim + row * gap - 5), rounded_mask(11, 11, 5))
    rng = random.Random(f"stones {seed}")
    places = rng.sample([(row, column) for row in range(13) for column in range(13)], 80)
    for turn, (row, column) in enumerate(places[:stones]):
        colour: Colour = (38, 38, 42) if turn % 2 == 0 else (232, 230, 222)
        left, top = rim + column * gap - 21, rim + row * gap - 21
        board.paste(darker((214, 168, 98), 0.5), (left + 2, top + 4), rounded_mask(42, 42, 21))
        board.paste(glow(42, 42, lighter(colour, 0.4), colour), (left, top), rounded_mask(42, 42, 21))
    return board


def track(seed: str, ground: tuple[Colour, Colour]) -> Image.Image:
    """A race of 64 numbered spaces along a spiral, 800 x 600."""
    rng = random.Random(f"track {seed}")
    board = fade(800, 600, *ground).copy()
    for _ in range(26):
        put(
            board,
            rng.choice(("tree", "tree", "tower")),
            (rng.random() * 800, rng.random() * 600),
            44,
            darker(ground[1], 0.3),
        )
    shades = [lighter(colour, 0.35) for colour in list(PLAYERS.values())[:4]]
    for index in range(64):
        share = (index / 63) ** 0.62
        angle = share * 5.4 * math.pi - math.pi / 2
        reach = 0.17 + 0.83 * share
        x, y = 400 + 350 * reach * math.cos(angle), 300 + 255 * reach * math.sin(angle)
        size = round(34 + 16 * share)
        board.paste(
            darker(ground[1], 0.6),
            (round(x - size / 2) - 2, round(y - size / 2) - 1),
            rounded_mask(size + 4, size + 4, 14),
        )
        fill = PAPER if index % 5 else shades[(index // 5) % 4]
        board.paste(fill, (round(x - size / 2), round(y - size / 2)), rounded_mask(size, size, 12))
        write(board, (x, y), str(64 - index), size // 2 - 2)
    put(board, "crown", (400, 300), 86, (236, 190, 60))
    return board


def cave(seed: str) -> Image.Image:
    """A map of rooms and passages on a grid, 800 x 600."""
    rng = random.Random(f"cave {seed}")
    board = roughened(Image.new("RGB", (800, 600), (58, 50, 48)), grain(800, 600, "rock", (6, 6)), 0.2)
    draw, cell = ImageDraw.Draw(board), 25
    rooms = [
        (column * 8 + rng.randrange(1, 4), row * 6 + rng.randrange(0, 3), rng.randrange(4, 6), rng.randrange(3, 5))
        for row in range(4)
        for column in range(4)
    ]
    middles = [(x + wide // 2, y + tall // 2) for x, y, wide, tall in rooms]
    floor: Colour = (206, 192, 160)
    links = [(i, i + 1) for i in range(15) if i % 4 != 3] + [(i, i + 4) for i in range(12) if rng.random() < 0.6]
    for one, other in links:
        (x0, y0), (x1, y1) = middles[one], middles[other]
        (left, right), (low, high) = sorted((x0, x1)), sorted((y0, y1))
        draw.rectangle((left * cell, y0 * cell, right * cell + cell - 1, y0 * cell + cell - 1), fill=floor)
        draw.rectangle((x1 * cell, low * cell, x1 * cell + cell - 1, high * cell + cell - 1), fill=floor)
    for x, y, wide, tall in rooms:
        draw.rectangle((x * cell - 3, y * cell - 3, (x + wide) * cell + 2, (y + tall) * cell + 2), fill=(30, 26, 26))
        draw.rectangle(
            (x * cell, y * cell, (x + wide) * cell - 1, (y + tall) * cell - 1), fill=mix(floor, PAPER, rng.random() / 2)
        )
    for step in range(0, 800, cell):
        draw.line((step, 0, step, 600), fill=(120, 108, 96), width=1)
        draw.line((0, step, 800, step), fill=(120, 108, 96), width=1)
    for index, (x, y) in enumerate(middles):
        mark = rng.choice(("key", "gem", "star", "meeple", "", ""))
        if mark:
            put(board, mark, ((x + 0.5) * cell, (y + 0.5) * cell), 34, (150, 44, 40))
        write(board, (rooms[index][0] * cell + 12, rooms[index][1] * cell + 12), str(index + 1), 15, (110, 90, 70))
    return board


def mill(ground: Colour) -> Image.Image:
    """Three squares within each other, joined at their middles."""
    board = _wood(SIDE, SIDE, ground, "mill")
    draw, line = ImageDraw.Draw(board), darker(ground, 0.65)
    for rim in (70, 150, 230):
        draw.rectangle((rim, rim, SIDE - rim, SIDE - rim), outline=line, width=5)
        for x in (rim, SIDE // 2, SIDE - rim):
            for y in (rim, SIDE // 2, SIDE - rim):
                if (x, y) != (SIDE // 2, SIDE // 2):
                    board.paste(line, (x - 13, y - 13), rounded_mask(26, 26, 13))
    for a, b in (((320, 70), (320, 230)), ((320, 410), (320, 570)), ((70, 320), (230, 320)), ((410, 320), (570, 320))):
        draw.line((a, b), fill=line, width=5)
    return board


def points() -> Image.Image:
    """Twenty-four narrow triangles in two tables, with men, 800 x 600."""
    board = _wood(800, 600, (96, 58, 40), "points rim")
    felt: Colour = (44, 92, 74)
    board.paste(felt, (36, 36, 380, 564))
    board.paste(felt, (420, 36, 764, 564))
    large = board.resize((1600, 1200))
    draw = ImageDraw.Draw(large)
    for table in (72, 840):
        for index in range(6):
            left = table + index * 114 + 4
            one, other = ((222, 196, 150), (150, 52, 44)) if index % 2 else ((150, 52, 44), (222, 196, 150))
            draw.polygon(((left, 76), (left + 106, 76), (left + 53, 520)), fill=one)
            draw.polygon(((left, 1124), (left + 106, 1124), (left + 53, 680)), fill=other)
    board = large.reduce(2)
    for table, index, count, down, white in (
        (36, 0, 5, 0, 1),
        (36, 4, 3, 0, 0),
        (420, 0, 5, 0, 0),
        (420, 5, 2, 0, 1),
        (36, 0, 5, 1, 0),
        (36, 4, 3, 1, 1),
        (420, 0, 5, 1, 1),
        (420, 5, 2, 1, 0),
    ):
        colour: Colour = (234, 226, 208) if white else (50, 42, 42)
        for man in range(count):
            left, top = table + index * 57 + 5, 40 + man * 46 if not down else 514 - man * 46
            board.paste(darker(colour, 0.4), (left, top + 2), rounded_mask(46, 46, 23))
            board.paste(glow(46, 46, lighter(colour, 0.4), colour), (left, top), rounded_mask(46, 46, 23))
    return board


def mat(player: str, level: int) -> Image.Image:
    """A player's mat with a score track round it, 760 x 520; mats of other players differ by colour."""
    colour = PLAYERS[player]
    board = Image.new("RGB", (760, 520), mix(PAPER, colour, 0.22))
    for index in range(40):
        if index < 14:
            x, y = 18 + index * 52, 14
        elif index < 20:
            x, y = 18 + 13 * 52, 14 + (index - 13) * 62
        elif index < 34:
            x, y = 18 + (33 - index) * 52, 14 + 7 * 62
        else:
            x, y = 18, 14 + (40 - index) * 62
        panel(board, (x, y, x + 46, y + 46), 8, colour if index % 5 == 0 else lighter(colour, 0.55))
        write(board, (x + 23, y + 23), str(index), 18, INK if index % 5 or player == "yellow" else PAPER)
    panel(board, (90, 84, 670, 430), 18, mix(PAPER, colour, 0.08))
    write(board, (380, 118), f"Harbour of the {player.title()} Guild", 28, darker(colour, 0.5), bold=0.4)
    for index, name in enumerate(("fish", "log", "brick", "wheat", "ore", "wool")):
        left = 116 + index * 90
        panel(board, (left, 156, left + 78, 250), 10, lighter(colour, 0.5))
        put(board, name, (left + 39, 203), 56, darker(colour, 0.35))
    for row in range(3):
        write(board, (116, 290 + row * 46), ("Ships", "Cranes", "Houses")[row], 22, INK, anchor="lm")
        for index in range(8):
            left = 240 + index * 50
            panel(
                board,
                (left, 272 + row * 46, left + 38, 308 + row * 46),
                6,
                colour if index < level + row else lighter(colour, 0.7),
            )
    return board
