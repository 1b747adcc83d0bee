"""Which pictures the demo library holds before anything is copied, re-encoded or broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image

from mobius_tui.operations.demo_art import boards, cards, pages, photos, pieces
from mobius_tui.operations.demo_art.brush import Colour

Piece = tuple[Image.Image, int, tuple[int, int], float]


@dataclass(frozen=True, slots=True)
class Original:
    """A picture of its own.

    Attributes:
        path: Relative to the library, with slashes; the suffix chooses the format.
        draw: Makes it.
    """

    path: str
    draw: Callable[[], Image.Image]


BACKS: dict[str, Colour] = {
    "crimson": (150, 32, 44),
    "navy": (34, 52, 110),
    "forest": (34, 92, 58),
    "plum": (98, 44, 104),
    "amber": (176, 116, 32),
}
"""Colours of the French deck's backs."""

SECOND_EDITION = (7, 8, 17, 23, 31, 40)
"""Oak cards that were printed again on blue stock."""

REPRINTED = {5: ("bell", "horn"), 9: ("left", "right"), 12: ("5 crates", "8 crates"), 16: ("adds 3", "adds 8")}
"""Rulebook pages that were printed again, with the one word or figure that changed."""

_EVENTS = (
    ("Morning Tide", "Every ship at the pier sails one space. Ships that carry nothing sail two.", "sea", "anchor"),
    (
        "Storm Warning",
        "Ships outside a harbour drift towards the nearest rock. Anchored ships stay.",
        "storm",
        "anchor",
    ),
    ("Timber Fair", "Each player may sell up to three logs for two coins apiece.", "land", "log"),
    ("Lantern Night", "Turn the lighthouse to any side. The player it shines on draws a card.", "night", "star"),
    ("Herring Run", "Take a fish for every ship you own, and another if you own none.", "sea", "fish"),
    ("Broken Mast", "The ship with the fullest hold loses a crate of its owner's choice.", "storm", "log"),
    ("Harvest Home", "Fields yield twice this round. Mills do not count.", "land", "wheat"),
    ("Smugglers' Path", "Move any two goods between mats without paying the toll.", "night", "gem"),
    ("Calm Water", "No ship moves. Captains may trade with every neighbour.", "sea", "fish"),
    ("Hail", "Remove one house from the coast. Towers shelter the house beside them.", "storm", "brick"),
    ("Shepherd's Return", "Gain a wool for each pasture next to your houses.", "land", "wool"),
    ("The Old Bell", "Whoever passed first takes the bell and two coins.", "night", "crown"),
    ("Regatta", "Roll for every ship. The fastest earns its owner three points.", "sea", "star"),
    ("Flooded Quay", "Meeples on the quay return home. Cranes keep their load.", "storm", "fish"),
    ("New Road", "Join two of your houses. If they were joined already, draw a card.", "land", "brick"),
    ("Masked Ball", "Swap your hand with any player who agrees, or draw two cards.", "night", "crown"),
    ("Salt Merchant", "Pay a fish to take any other good from the market.", "sea", "fish"),
    ("Lightning", "The tallest tower burns. Its owner takes the insurance of four coins.", "storm", "ore"),
    ("Quarry Shift", "Hills yield ore instead of brick until the next card is turned.", "land", "ore"),
    ("Comet", "Everybody looks at the top three cards and puts one of them below.", "night", "gem"),
    ("Pilot Boat", "Choose a ship. It enters harbour at once, whoever owns it.", "sea", "key"),
    ("Fog Bank", "Ships may not pass each other this round.", "storm", "key"),
    ("Grain Tax", "Pay one wheat for every two houses, or close a market stall.", "land", "wheat"),
    ("Watchfires", "Coast towers are worth one point more at the end of the game.", "night", "star"),
)

_BEASTS = (
    "Mossback",
    "Cinderhorn",
    "Gloomtail",
    "Brookling",
    "Thornwing",
    "Marrowmaw",
    "Puddlejaw",
    "Ashwhisker",
    "Bramblepaw",
    "Duskfang",
    "Fernhide",
    "Gritbelly",
    "Hollowroar",
    "Ivyclaw",
    "Knollgrub",
    "Lanternjack",
    "Mirefoot",
    "Nettlebeak",
    "Oozle",
    "Peatgrin",
    "Quarrel",
    "Rustmane",
    "Soothorn",
    "Tanglewick",
)
_GROUNDS: tuple[Colour, ...] = ((90, 142, 96), (150, 92, 122), (84, 112, 162), (178, 132, 74), (96, 96, 118))
_BODIES: tuple[Colour, ...] = (
    (58, 150, 92),
    (176, 80, 58),
    (108, 80, 166),
    (214, 160, 60),
    (70, 140, 176),
    (166, 70, 120),
    (120, 130, 70),
)


def _decks() -> list[Original]:
    made = [Original(f"decks/oak/{n:02d}.png", partial(cards.oak_card, n)) for n in range(1, 41)]
    made += [Original("decks/oak/back.png", partial(cards.card_back, (62, 92, 52), "leaf"))]
    made += [
        Original(f"decks/oak-second-edition/{n:02d}.png", partial(cards.oak_card, n, (70, 120, 220)))
        for n in SECOND_EDITION
    ]
    made += [
        Original(f"decks/french/{cards.FRENCH_SUITS[suit][1]}-{index}.png", partial(cards.french_card, suit, rank))
        for suit in range(4)
        for rank, index in enumerate(("ace", *(f"{n:02d}" for n in range(2, 11)), "jack", "queen", "king"))
    ]
    made += [Original(f"decks/french/back-{name}.png", partial(cards.card_back, tone)) for name, tone in BACKS.items()]
    made += [
        Original(
            f"decks/harbour/{n + 1:02d}.png", partial(cards.event_card, title, rule, kind, str(n), good, 1 + n % 4)
        )
        for n, (title, rule, kind, good) in enumerate(_EVENTS)
    ]
    made += [
        Original(
            f"decks/beasts/{n + 1:02d}.png",
            partial(cards.beast_card, name, 1 + n * 7 % 9, str(n), _GROUNDS[n % 5], _BODIES[n % 7]),
        )
        for n, name in enumerate(_BEASTS)
    ]
    return made


def _boards() -> list[Original]:
    brown: tuple[Colour, Colour] = ((240, 217, 181), (181, 136, 99))
    green: tuple[Colour, Colour] = ((238, 236, 208), (112, 146, 84))
    drawings: dict[str, Callable[[], Image.Image]] = {
        "island-1": partial(boards.island, "1"),
        "island-2": partial(boards.island, "2"),
        "island-large": partial(boards.island, "3", (4, 5, 6, 5, 4)),
        "chequered": partial(boards.chequered, *brown, men=False),
        "draughts-start": partial(boards.chequered, *green, men=True),
        "draughts-moved": partial(boards.chequered, *green, men=True, moved=True),
        "stones-40": partial(boards.lined, 40, "game"),
        "stones-41": partial(boards.lined, 41, "game"),
        "race-meadow": partial(boards.track, "1", ((160, 206, 150), (84, 146, 92))),
        "race-dusk": partial(boards.track, "2", ((222, 160, 120), (120, 70, 96))),
        "cave-1": partial(boards.cave, "1"),
        "cave-2": partial(boards.cave, "2"),
        "mill": partial(boards.mill, (196, 146, 92)),
        "points": boards.points,
    }
    drawings |= {f"mat-{name}": partial(boards.mat, name, 3) for name in ("red", "blue", "green", "yellow")}
    return [Original(f"boards/{name}.png", draw) for name, draw in drawings.items()]


def _pieces() -> list[Original]:
    red, white = (196, 44, 40), (238, 234, 224)
    drawings: dict[str, Callable[[], Image.Image]] = {}
    drawings |= {f"tokens/coin-{value:02d}": partial(pieces.coin, value) for value in (1, 2, 5, 10, 20)}
    drawings |= {f"tokens/{name}": partial(pieces.good_token, name) for name in pieces.GOODS}
    drawings |= {f"tokens/meeple-{name}": partial(pieces.meeple, name) for name in pieces.PLAYERS}
    drawings |= {f"tokens/meeple-{name}-lying": partial(pieces.meeple, name, lying=True) for name in ("red", "blue")}
    drawings |= {f"tiles/{name}-{n:02d}": partial(pieces.tile, name, n) for name in pieces.TERRAINS for n in (6, 8)}
    drawings |= {f"dice/red-{value}": partial(pieces.die, value, red) for value in range(1, 7)}
    drawings |= {f"dice/white-{value}": partial(pieces.die, value, white) for value in range(1, 7)}
    drawings |= {f"dice/face-{value}": partial(pieces.flat_die, value, (42, 84, 160)) for value in range(1, 7)}
    drawings["tokens/spinner 🎲 für 2–4"] = partial(pieces.spinner, tuple(pieces.PLAYERS.values()), 40)
    return [Original(f"{path}.png", draw) for path, draw in drawings.items()]


def _rulebook() -> list[Original]:
    made = [Original(f"rulebook/p{n:02d}.png", partial(pages.page, n)) for n in range(1, len(pages.CHAPTERS) + 1)]
    return made + [
        Original(f"rulebook/second-printing/p{n:02d}.png", partial(pages.page, n, change))
        for n, change in REPRINTED.items()
    ]


def _hand(numbers: tuple[int, ...], left: int, top: int) -> list[Piece]:
    return [
        (cards.oak_card(n), 190, (left + i * 120, top + abs(i - 1) * 16), 14.0 - i * 13) for i, n in enumerate(numbers)
    ]


def _court(ranks: tuple[tuple[int, int], ...]) -> list[Piece]:
    return [
        (cards.french_card(suit, rank), 180, (210 + i * 190, 420 - i % 2 * 60), 20.0 - i * 17)
        for i, (suit, rank) in enumerate(ranks)
    ]


def _crowd(moved: int = 0) -> list[Piece]:
    spots = [(160, 300), (330, 480), (480, 250), (620, 420), (800, 310), (860, 560)]
    return [
        (pieces.meeple(name), 120, (x + (moved if i == 2 else 0), y), i * 23.0 - 50)
        for i, ((x, y), name) in enumerate(zip(spots, pieces.PLAYERS, strict=True))
    ]


def _coins() -> list[Piece]:
    values = (1, 5, 10, 2, 5, 20, 1, 10, 2)
    return [
        (pieces.coin(v), 120, (180 + i % 5 * 150 + i // 5 * 60, 300 + i // 5 * 190), i * 31.0)
        for i, v in enumerate(values)
    ]


def _dice() -> list[Piece]:
    red, white = (196, 44, 40), (238, 234, 224)
    return [
        (pieces.die(v, red if i % 2 else white), 130, (250 + i * 130, 330 + i * 67 % 230), i * 11.0 - 20)
        for i, v in enumerate((3, 6, 1, 5, 2))
    ]


def _goods() -> list[Piece]:
    return [
        (pieces.good_token(name), 130, (160 + i % 4 * 220, 300 + i // 4 * 220), i * 19.0 - 60)
        for i, name in enumerate(pieces.GOODS)
    ]


def _tiles() -> list[Piece]:
    return [
        (pieces.tile(name, 6 + i % 2 * 2), 210, (240 + i % 3 * 240 + i // 3 * 110, 270 + i // 3 * 220), i * 7.0 - 15)
        for i, name in enumerate(pieces.TERRAINS)
    ]


def _spread() -> list[Piece]:
    return [
        (boards.mat("blue", 4), 560, (480, 340), 4.0),
        (pieces.meeple("blue"), 80, (300, 330), 12.0),
        (pieces.coin(10), 80, (820, 560), 30.0),
        (pieces.coin(5), 80, (740, 600), -8.0),
        (cards.event_card(*_EVENTS[4][:3], "4", "fish", 1), 170, (180, 600), 16.0),
    ]


def _photos() -> list[Original]:
    scenes: dict[str, tuple[str, Callable[[], list[Piece]]]] = {
        "board": ("oak", lambda: [(boards.island("1"), 780, (500, 410), 3.0)]),
        "board-with-meeples": ("oak", lambda: [(boards.island("2"), 780, (500, 410), -5.0), *_crowd()]),
        "hand-of-leaves": ("walnut", lambda: _hand((6, 7, 8, 9), 300, 420)),
        "hand-of-roses": ("walnut", lambda: _hand((32, 35, 38, 39), 300, 420)),
        "court": ("felt", lambda: _court(((1, 12), (0, 11), (2, 10), (3, 12)))),
        "four-aces": ("felt", lambda: _court(((0, 0), (1, 0), (2, 0), (3, 0)))),
        "meeples": ("slate", _crowd),
        "meeples-one-moved": ("slate", lambda: _crowd(90)),
        "coins": ("cloth", _coins),
        "dice": ("felt", _dice),
        "goods": ("oak", _goods),
        "tiles": ("slate", _tiles),
        "player-corner": ("cloth", _spread),
        "draughts": (
            "walnut",
            lambda: [(boards.chequered((238, 236, 208), (112, 146, 84), men=True), 660, (500, 410), 8.0)],
        ),
    }
    # A burst keeps its camera: both photographs of the meeples share a seed.
    return [
        Original(f"photos/{name}.jpg", partial(_taken, table, make, name.removesuffix("-one-moved")))
        for name, (table, make) in scenes.items()
    ]


def _taken(table: str, make: Callable[[], list[Piece]], seed: str) -> Image.Image:
    return photos.photo(table, make(), seed)


def _boxes() -> list[Original]:
    lids: tuple[tuple[str, str, str, Colour, str], ...] = (
        ("Oak Harbour", "2-4 players   60 min   10+", "sea", (150, 50, 40), "anchor"),
        ("Storm Pilots", "3-5 players   45 min   8+", "storm", (50, 70, 110), "ship"),
        ("Nightkeep", "1-2 players   30 min   12+", "night", (66, 56, 122), "tower"),
        ("Meadow Mile", "2-6 players   40 min   8+", "land", (64, 110, 60), "wheat"),
        ("Beasts of the Bog", "2-4 players   20 min   6+", "land", (120, 84, 40), "star"),
        ("Cave and Crown", "1-4 players   90 min   14+", "night", (110, 40, 60), "crown"),
    )
    return [
        Original(
            f"boxes/{title.lower().replace(' ', '-')}.png",
            partial(photos.box_lid, title, line, kind, str(n + 40), colour, emblem),
        )
        for n, (title, line, kind, colour, emblem) in enumerate(lids)
    ]


def originals() -> list[Original]:
    """Every picture of its own, in the order it is drawn."""
    return [*_decks(), *_boards(), *_pieces(), *_rulebook(), *_photos(), *_boxes()]


def plain_name(path: str) -> str:
    """The path without what Windows forbids in a name, on Windows; unchanged elsewhere."""
    return path.translate(str.maketrans('"<>|?*:', "'()!!+;")) if os.name == "nt" else path
