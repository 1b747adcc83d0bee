"""Rulebook pages: headings, paragraphs, tables and figures of an invented harbour game."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from mobius_tui.operations.demo_art.brush import (
    INK,
    PAPER,
    Colour,
    Pen,
    lighter,
    mix,
    panel,
    paragraph,
    ring_points,
    write,
)
from mobius_tui.operations.demo_art.cards import oak_card
from mobius_tui.operations.demo_art.emblems import put
from mobius_tui.operations.demo_art.pieces import GOODS, PLAYERS, meeple, tile

WIDTH, HEIGHT = 620, 876
"""Pixels of a page at 75 dots an inch."""

ACCENT: Colour = (122, 44, 40)
"""Headings."""

CHAPTERS = (
    "Before the First Tide",
    "What Is in the Box",
    "Setting Up the Harbour",
    "A Round at a Glance",
    "The Morning Auction",
    "Loading the Ships",
    "Sailing and Wind",
    "Storms",
    "Trading with the Guilds",
    "Building Cranes",
    "The Lighthouse",
    "Playing a Card",
    "Scoring",
    "Ending the Game",
    "The Two-Player Game",
    "Playing Alone",
    "Frequent Questions",
    "Index of Cards",
)
"""One title a page."""

_SUBJECTS = (
    "The player to the left",
    "Each captain",
    "The harbour master",
    "Whoever holds the bell",
    "A guild with an empty mat",
    "The last player",
    "Every ship at anchor",
    "The owner of the lighthouse",
)
_ACTIONS = (
    "draws {n} cards and keeps one of them",
    "moves a meeple up to {n} spaces along the quay",
    "pays {n} coins to the bank",
    "turns the top tile and places it next to the sea",
    "may trade {n} goods of one kind for a gem",
    "rolls both dice and adds {n}",
    "returns {n} crates to the supply",
    "loads {n} crates into the smallest hold",
)
_LIMITS = (
    "unless a storm is shown",
    "before anybody else may act",
    "but never more than twice in a round",
    "if the tide marker has passed the pier",
    "as long as a berth is free",
    "and then passes the bell to the right",
    "even when the market is closed",
    "starting with the oldest ship",
)


def _prose(rng: random.Random, sentences: int) -> str:
    made = []
    for _ in range(sentences):
        action = rng.choice(_ACTIONS).format(n=rng.randrange(2, 6))
        made.append(f"{rng.choice(_SUBJECTS)} {action} {rng.choice(_LIMITS)}.")
    return " ".join(made)


def _tiles_figure(page: Image.Image, top: int, rng: random.Random) -> None:
    for index in range(5):
        piece = tile(rng.choice(("forest", "field", "hill", "mountain", "sea")), rng.choice((3, 4, 5, 6, 8, 9))).resize(
            (96, 96)
        )
        x = 72 + index * 84
        page.paste(piece.convert("RGB"), (x + 28, top + 10 + (index % 2) * 72), piece.getchannel("A"))
    write(page, (WIDTH / 2, top + 196), "Figure: tiles touch along a whole edge.", 13, (110, 100, 92))


def _cards_figure(page: Image.Image, top: int, rng: random.Random) -> None:
    for index, number in enumerate(rng.sample(range(1, 41), 4)):
        card = oak_card(number).resize((118, 165), Image.Resampling.BOX)
        page.paste(card, (62 + index * 128, top + 8))
    write(page, (WIDTH / 2, top + 190), "Figure: a hand that takes the trick.", 13, (110, 100, 92))


def _table_figure(page: Image.Image, top: int, rng: random.Random) -> None:
    draw = ImageDraw.Draw(page)
    for row, name in enumerate(("", *rng.sample(sorted(GOODS), 5))):
        y = top + 8 + row * 30
        page.paste(lighter(ACCENT, 0.8) if row % 2 else PAPER, (70, y, 550, y + 30))
        if not name:
            for column, head in enumerate(("Good", "Price", "Hold", "Points")):
                write(page, (90 + column * 120, y + 15), head, 15, ACCENT, anchor="lm", bold=0.4)
            continue
        put(page, name, (102, y + 15), 24, GOODS[name])
        write(page, (126, y + 15), name.title(), 15, INK, anchor="lm")
        for column in range(1, 4):
            write(page, (90 + column * 120, y + 15), str(rng.randrange(1, 13)), 15, INK, anchor="lm")
    draw.rectangle((70, top + 8, 550, top + 188), outline=(150, 130, 116), width=1)


def _quay_figure(page: Image.Image, top: int, rng: random.Random) -> None:
    panel(page, (64, top + 10, 556, top + 180), 14, (196, 220, 230))
    for index in range(6):
        x = 104 + index * 82
        panel(page, (x - 30, top + 28, x + 30, top + 88), 8, mix(PAPER, (150, 110, 70), 0.35))
        piece = meeple(rng.choice(list(PLAYERS)[:4])).resize((52, 52))
        page.paste(piece.convert("RGB"), (x - 26, top + 31), piece.getchannel("A"))
        if rng.random() < 0.7:
            put(page, "ship", (x, top + 132), 58, (96, 62, 44))
    p = Pen(page)
    y = (top + 104) / WIDTH
    p.line([(0.14, y), (0.84, y)], 0.006, ACCENT)
    p.shape([(0.87, y), (0.83, y - 0.018), (0.83, y + 0.018)], ACCENT)
    write(page, (WIDTH / 2, top + 196), "Figure: meeples walk the quay with the tide.", 13, (110, 100, 92))


def _wheel_figure(page: Image.Image, top: int, rng: random.Random) -> None:
    steps = ("Auction", "Load", "Sail", "Trade", "Build", "Rest")
    for index, (x, y) in enumerate(ring_points(WIDTH / 2, top + 98, 74, 6, -90 + rng.randrange(6) * 60)):
        x = WIDTH / 2 + (x - WIDTH / 2) * 2.4
        panel(page, (round(x) - 48, round(y) - 17, round(x) + 48, round(y) + 17), 17, lighter(ACCENT, 0.75))
        write(page, (x, y), f"{index + 1} {steps[index]}", 16, ACCENT)


_FIGURES: tuple[Callable[[Image.Image, int, random.Random], None], ...] = (
    _tiles_figure,
    _cards_figure,
    _table_figure,
    _quay_figure,
    _wheel_figure,
)


def page(number: int, change: tuple[str, str] | None = None) -> Image.Image:
    """A page of the rulebook.

    Args:
        number: 1 .. ``len(CHAPTERS)``; chooses text and figure.
        change: A word and what stands in its place in another printing; the first occurrence only.

    Returns:
        An RGB picture.

    Raises:
        ValueError: The page does not hold the word.
    """
    rng = random.Random(f"page {number}")
    sheet = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    title = CHAPTERS[number - 1]
    write(sheet, (56, 74), title, 33, ACCENT, anchor="lm", bold=0.5)
    sheet.paste(ACCENT, (56, 100, WIDTH - 56, 103))
    lead, before, after, hint = (_prose(rng, count) for count in (2, 4, 4, 1))
    if change:
        word, other = change
        if word not in before:
            raise ValueError(f"page {number} does not say {word!r}")
        before = before.replace(word, other, 1)
    y = paragraph(sheet, (56, 122, WIDTH - 112), lead, 18, mix(INK, ACCENT, 0.4)) + 12
    split = number % 3 == 0
    if split:
        low = paragraph(sheet, (56, y, 242), before, 15)
        y = max(low, paragraph(sheet, (322, y, 242), after, 15)) + 14
    else:
        y = paragraph(sheet, (56, y, WIDTH - 112), before, 16) + 14
    figure_top = min(y, 480)
    _FIGURES[number % len(_FIGURES)](sheet, figure_top, rng)
    y = figure_top + 226
    if not split:
        y = paragraph(sheet, (56, y, WIDTH - 112), after, 16) + 12
    if y < HEIGHT - 120:
        panel(sheet, (56, y, WIDTH - 56, y + 64), 10, lighter(ACCENT, 0.86))
        paragraph(sheet, (76, y + 12, WIDTH - 152), hint, 15, ACCENT)
    write(sheet, (WIDTH / 2, HEIGHT - 34), str(number), 16, (110, 100, 92))
    write(sheet, (56, HEIGHT - 34), "Oak Harbour", 13, (150, 138, 126), anchor="lm")
    return sheet
