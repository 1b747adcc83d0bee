"""Decks: oak cards that differ by a numeral, French cards, event cards with scenes, beasts, and card backs."""

from __future__ import annotations

import random
from functools import lru_cache

from PIL import Image, ImageDraw

from mobius_tui.operations.demo_art.brush import (
    INK,
    PAPER,
    Colour,
    Pen,
    darker,
    fade,
    frame,
    glow,
    lighter,
    mix,
    panel,
    paragraph,
    ring_points,
    rounded_mask,
    write,
)
from mobius_tui.operations.demo_art.emblems import put
from mobius_tui.operations.demo_art.scenes import scene

WIDTH, HEIGHT = 360, 504
"""Pixels of a card, the 5 : 7 of printed ones."""

OAK_SUITS: tuple[tuple[str, str, Colour], ...] = (
    ("leaf", "Leaves", (62, 120, 58)),
    ("acorn", "Acorns", (140, 88, 40)),
    ("bell", "Bells", (196, 146, 30)),
    ("rose", "Roses", (176, 48, 56)),
)
"""Emblem, name and colour of the oak deck's suits."""

NUMBER_WORDS = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
"""What stands on the banner of an oak card."""

FRENCH_SUITS: tuple[tuple[str, str, Colour], ...] = (
    ("spade", "spades", (34, 34, 40)),
    ("heart", "hearts", (188, 34, 44)),
    ("diamond", "diamonds", (188, 34, 44)),
    ("club", "clubs", (34, 34, 40)),
)
"""Emblem, name and colour of the French suits."""

FRENCH_RANKS = ("A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K")
"""Corner indices of a French suit, in order."""

_LEFT, _MIDDLE, _RIGHT = 0.3, 0.5, 0.7
_PIPS: dict[int, list[tuple[float, float]]] = {
    1: [(_MIDDLE, 0.5)],
    2: [(_MIDDLE, 0.18), (_MIDDLE, 0.82)],
    3: [(_MIDDLE, 0.18), (_MIDDLE, 0.5), (_MIDDLE, 0.82)],
    4: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.18, 0.82)],
    5: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.18, 0.82)] + [(_MIDDLE, 0.5)],
    6: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.18, 0.5, 0.82)],
    7: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.18, 0.5, 0.82)] + [(_MIDDLE, 0.34)],
    8: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.18, 0.5, 0.82)] + [(_MIDDLE, 0.34), (_MIDDLE, 0.66)],
    9: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.18, 0.393, 0.607, 0.82)] + [(_MIDDLE, 0.5)],
    10: [(x, y) for x in (_LEFT, _RIGHT) for y in (0.18, 0.393, 0.607, 0.82)] + [(_MIDDLE, 0.285), (_MIDDLE, 0.715)],
}


@lru_cache(maxsize=16)
def _oak_suit(suit: int) -> Image.Image:
    emblem, _, colour = OAK_SUITS[suit]
    card = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    frame(card, (0, 0, WIDTH, HEIGHT), 20, 3, (darker(colour, 0.5), PAPER))
    frame(card, (14, 14, WIDTH - 14, HEIGHT - 14), 12, 2, (colour, mix(PAPER, colour, 0.08)))
    for index, (x, y) in enumerate(ring_points(WIDTH / 2, 232, 128, 22, -90)):
        put(card, "leaf", (x, y), 50, mix((86, 120, 52), (150, 112, 44), (index % 4) / 5))
    for x, y in ring_points(WIDTH / 2, 232, 128, 11, -82):
        put(card, "acorn", (x, y), 30, (122, 78, 36))
    disc = glow(196, 196, lighter(colour, 0.86), lighter(colour, 0.45))
    card.paste(disc, (WIDTH // 2 - 98, 134), rounded_mask(196, 196, 98))
    put(card, emblem, (WIDTH / 2 + 3, 236), 132, lighter(colour, 0.25))
    put(card, emblem, (WIDTH / 2, 232), 132, colour)
    return card


def oak_card(number: int, tint: Colour | None = None) -> Image.Image:
    """A card of the oak deck; cards of a suit differ by their numeral and its name alone.

    Args:
        number: 1..40, ten to a suit.
        tint: Another colour of the card stock, as of a second edition.

    Returns:
        An RGB picture.
    """
    suit, rank = divmod(number - 1, 10)
    emblem, name, colour = OAK_SUITS[suit]
    card = _oak_suit(suit).copy()
    if tint:
        card = Image.blend(card, Image.new("RGB", card.size, tint), 0.16)
    for x, y in ((44, 48), (WIDTH - 44, 48)):
        write(card, (x, y), str(rank + 1), 44, colour, bold=1)
        put(card, emblem, (x, y + 40), 28, colour)
    panel(card, (62, 400, WIDTH - 62, 452), 10, colour)
    write(card, (WIDTH / 2, 426), f"{NUMBER_WORDS[rank]} of {name}", 25, PAPER)
    return card


def _court(rank: str, suit: int, colour: Colour) -> Image.Image:
    robe = {"J": (40, 84, 140), "Q": (150, 50, 90), "K": (120, 40, 36)}[rank]
    trim = (222, 180, 62)
    half = Image.new("RGB", (480, 360), (250, 244, 226))
    p = Pen(half)
    p.shape([(0.1, 0.75), (0.2, 0.5), (0.38, 0.42), (0.62, 0.42), (0.8, 0.5), (0.9, 0.75)], robe)
    p.shape([(0.4, 0.42), (0.6, 0.42), (0.66, 0.75), (0.34, 0.75)], trim)
    for step in range(5):
        y = 0.47 + step * 0.06
        p.shape([(0.5, y), (0.55, y + 0.03), (0.5, y + 0.06), (0.45, y + 0.03)], colour if step % 2 else robe)
    for x in (0.22, 0.3, 0.7, 0.78):
        p.line([(x, 0.52 + abs(x - 0.5) * 0.1), (x + (x - 0.5) * 0.15, 0.75)], 0.014, trim)
    hair = {"J": (176, 120, 50), "Q": (92, 54, 30), "K": (120, 112, 104)}[rank]
    p.disc(0.5, 0.27, 0.15, 0.17, hair)
    if rank == "Q":
        p.box(0.36, 0.26, 0.64, 0.45, 0.06, hair)
    p.disc(0.5, 0.28, 0.1, 0.13, (244, 212, 180))
    if rank == "K":
        p.shape([(0.4, 0.3), (0.6, 0.3), (0.57, 0.45), (0.5, 0.5), (0.43, 0.45)], hair)
    for x in (0.46, 0.54):
        p.disc(x, 0.26, 0.012, fill=INK)
    p.line([(0.5, 0.27), (0.49, 0.31), (0.51, 0.31)], 0.007, darker((244, 212, 180)))
    p.line([(0.47, 0.35), (0.53, 0.35)], 0.01, (170, 50, 50))
    if rank == "J":
        p.shape([(0.32, 0.2), (0.36, 0.08), (0.66, 0.06), (0.7, 0.19)], robe)
        p.line([(0.64, 0.12), (0.78, 0.02)], 0.02, trim)
    else:
        p.shape([(0.35, 0.2), (0.33, 0.05), (0.42, 0.12), (0.5, 0.02), (0.58, 0.12), (0.67, 0.05), (0.65, 0.2)], trim)
        for x in (0.4, 0.5, 0.6):
            p.disc(x, 0.16, 0.016, fill=colour)
    put(half, FRENCH_SUITS[suit][0], (90, 90), 84, colour)
    half = half.reduce(2)
    whole = Image.new("RGB", (half.width, half.height * 2))
    whole.paste(half, (0, 0))
    whole.paste(half.transpose(Image.Transpose.ROTATE_180), (0, half.height))
    return whole


def french_card(suit: int, rank: int) -> Image.Image:
    """A playing card.

    Args:
        suit: 0..3, an index of ``FRENCH_SUITS``.
        rank: 0..12, an index of ``FRENCH_RANKS``.

    Returns:
        An RGB picture.
    """
    emblem, _, colour = FRENCH_SUITS[suit]
    index = FRENCH_RANKS[rank]
    card = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    frame(card, (0, 0, WIDTH, HEIGHT), 22, 2, ((150, 146, 140), (255, 254, 250)))
    corner = Image.new("RGB", (46, 92), (255, 254, 250))
    write(corner, (23, 26), index, 42 if index != "10" else 36, colour, bold=0.6)
    put(corner, emblem, (23, 68), 34, colour)
    card.paste(corner, (10, 14))
    card.paste(corner.transpose(Image.Transpose.ROTATE_180), (WIDTH - 56, HEIGHT - 106))
    if rank >= 10:
        court = _court(index, suit, colour)
        ImageDraw.Draw(card).rectangle((58, 70, WIDTH - 59, HEIGHT - 71), fill=darker(colour, 0.1))
        card.paste(court, (60, 72))
        return card
    size = 150 if rank == 0 else 66
    for x, y in _PIPS[rank + 1]:
        put(card, emblem, (x * WIDTH, y * HEIGHT), size, colour, down=y > 0.51)
    return card


def event_card(title: str, rule: str, kind: str, seed: str, good: str, cost: int) -> Image.Image:
    """An event card of the harbour game: title, picture, rule and cost.

    Args:
        title: A few words.
        rule: A sentence or two.
        kind: A scene of ``scenes.scene``.
        seed: Chooses the details of the scene.
        good: Emblem of what it is paid with.
        cost: How many, 1..4.

    Returns:
        An RGB picture.
    """
    base = {"sea": (34, 74, 104), "storm": (58, 60, 84), "land": (70, 92, 52), "night": (38, 40, 78)}[kind]
    card = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    card.paste(fade(WIDTH, HEIGHT, base, darker(base, 0.45)), (0, 0), rounded_mask(WIDTH, HEIGHT, 20))
    frame(card, (16, 16, WIDTH - 16, 64), 12, 2, ((214, 178, 96), PAPER))
    write(card, (30, 40), title, 23, INK, anchor="lm")
    card.paste((214, 178, 96), (22, 74), rounded_mask(316, 226, 8))
    card.paste(scene(kind, 312, 222, seed), (24, 76), rounded_mask(312, 222, 6))
    frame(card, (22, 312, WIDTH - 22, HEIGHT - 22), 12, 2, ((214, 178, 96), PAPER))
    paragraph(card, (38, 324, WIDTH - 76), rule, 19)
    for index in range(cost):
        x = WIDTH - 52 - index * 36
        panel(card, (x - 17, HEIGHT - 67, x + 17, HEIGHT - 33), 17, base)
        put(card, good, (x, HEIGHT - 50), 24, (255, 240, 210))
    write(card, (40, HEIGHT - 38), f"No. {int(seed) + 1:02d}", 13, (120, 108, 96), anchor="ls")
    return card


def _creature(seed: str, body: Colour) -> Image.Image:
    rng = random.Random(f"beast {seed}")
    mask = Image.new("RGBA", (800, 800), (0, 0, 0, 0))
    p = Pen(mask)
    wide, tall = rng.uniform(0.2, 0.31), rng.uniform(0.2, 0.3)
    dark, belly = (*darker(body, 0.4), 255), (*lighter(body, 0.45), 255)
    skin = (*body, 255)
    if rng.random() < 0.5:
        span = rng.uniform(0.4, 0.47)
        for side in (-1, 1):
            tips = [(0.5, 0.5), (0.5 + side * span, 0.24), (0.5 + side * span * 0.9, 0.44), (0.5 + side * span, 0.56)]
            p.shape([*tips, (0.5 + side * span * 0.7, 0.6), (0.5 + side * 0.1, 0.68)], dark)
    horns = rng.choice((1, 2, 2, 3))
    for index in range(horns):
        for side in (-1, 1):
            x = 0.5 + side * wide * (0.25 + 0.28 * index)
            p.shape([(x - 0.04, 0.42), (x + side * 0.06, 0.16 + 0.05 * index), (x + 0.04, 0.42)], dark)
    legs, hand = rng.choice((1, 1, 2)), rng.choice((0.46, 0.6, 0.74))
    for side in (-1, 1):
        for index in range(legs):
            x = 0.5 + side * wide * (0.5 + 0.45 * index)
            p.box(x - 0.05, 0.62, x + 0.05, 0.9, 0.04, dark)
        p.line([(0.5 + side * wide * 0.8, 0.6), (0.5 + side * (wide + 0.1), hand)], 0.07, dark)
    p.disc(0.5, 0.58, wide, tall, skin)
    p.disc(0.5, 0.68, wide * 0.62, tall * 0.55, belly)
    eyes, size = rng.choice((1, 2, 2, 3)), rng.uniform(0.055, 0.075)
    for index in range(eyes):
        x = 0.5 + (index - (eyes - 1) / 2) * 0.15
        p.disc(x, 0.47, size, fill=(255, 252, 240, 255))
        p.disc(x, 0.475, size * 0.5, fill=(*INK, 255))
    width = rng.uniform(0.08, 0.15)
    p.box(0.5 - width, 0.6, 0.5 + width, 0.67, 0.03, (70, 20, 26, 255))
    for index in range(4):
        x = 0.5 - width + (index + 0.5) * width / 2
        p.shape([(x - 0.02, 0.6), (x, 0.64), (x + 0.02, 0.6)], (255, 252, 240, 255))
    for _ in range(rng.randrange(3, 9)):
        x, y = rng.uniform(-0.7, 0.7) * wide, rng.uniform(0.1, 0.5) * tall
        p.disc(0.5 + x, 0.58 + y, 0.016, fill=dark)
    return mask.reduce(4)


def beast_card(name: str, power: int, seed: str, ground: Colour, body: Colour) -> Image.Image:
    """A card of the beast game: a creature, its name and its power.

    Args:
        name: One or two words.
        power: A number in the corner.
        seed: Chooses horns, wings, eyes and so on.
        ground: Colour behind the creature.
        body: Colour of the creature.

    Returns:
        An RGB picture.
    """
    card = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    card.paste(darker(ground, 0.62), (0, 0), rounded_mask(WIDTH, HEIGHT, 20))
    card.paste(glow(328, 360, lighter(ground, 0.5), darker(ground, 0.2)), (16, 16), rounded_mask(328, 360, 14))
    creature = _creature(seed, body).resize((300, 300), Image.Resampling.BILINEAR)
    card.paste((0, 0, 0), (104, 302), rounded_mask(152, 26, 13).point([value // 4 for value in range(256)]))
    card.paste(creature.convert("RGB"), (30, 46), creature.getchannel("A"))
    panel(card, (16, 390, WIDTH - 16, HEIGHT - 16), 14, PAPER)
    write(card, (WIDTH / 2, 418), name, 29, INK, bold=0.4)
    rng = random.Random(f"traits {seed}")
    traits = rng.sample(("star", "key", "gem", "crown", "fish"), rng.randrange(1, 5))
    for index, trait in enumerate(traits):
        put(card, trait, (WIDTH / 2 + (index - (len(traits) - 1) / 2) * 46, 462), 30, mix(ground, INK, 0.3))
    panel(card, (24, 24, 84, 84), 30, (214, 62, 48))
    write(card, (54, 54), str(power), 36, (255, 255, 255), bold=0.8)
    return card


def card_back(colour: Colour, emblem: str = "crown") -> Image.Image:
    """The back of a deck: a lattice about an emblem; backs of other colours have the same lines."""
    card = Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255))
    frame(card, (0, 0, WIDTH, HEIGHT), 20, 2, ((150, 146, 140), (255, 254, 250)))
    panel(card, (16, 16, WIDTH - 16, HEIGHT - 16), 12, colour)
    field = Image.new("RGB", (616, 904), colour)
    draw = ImageDraw.Draw(field)
    for offset in range(-904, 616, 44):
        draw.line((offset, 0, offset + 904, 904), fill=lighter(colour, 0.45), width=5)
        draw.line((offset, 904, offset + 904, 0), fill=lighter(colour, 0.45), width=5)
    card.paste(field.reduce(2), (26, 26), rounded_mask(308, 452, 8))
    card.paste(glow(190, 190, lighter(colour, 0.25), darker(colour, 0.25)), (85, 157), rounded_mask(190, 190, 95))
    put(card, emblem, (WIDTH / 2, HEIGHT / 2), 118, (246, 226, 160))
    return card
