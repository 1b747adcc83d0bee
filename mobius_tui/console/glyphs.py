"""Marks and borders, in Unicode and in plain ASCII for poor fonts. A state never shows by colour alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters of the console.

    Attributes:
        border: Corners and edges of a pane: top left, top right, bottom left, bottom right, horizontal, vertical.
        border_active: The same for the pane that has the keys.
        levels: Bars of a trend line up to its limit, lowest first.
        over: Bar of a value above the limit.
    """

    border: str = "┌┐└┘─│"
    border_active: str = "┏┓┗┛━┃"
    levels: str = "▁▂▃▄▅▆"
    over: str = "█"
    no_data: str = "·"
    full: str = "█"
    empty: str = "░"
    running: str = "●"
    stopped: str = "○"
    ok: str = "✓"
    bad: str = "✗"
    warn: str = "!"
    unknown: str = "?"
    paused: str = "‖"
    queued: str = "…"
    play: str = "▶"
    cursor: str = "›"
    dash: str = "–"
    middle: str = "…"
    dot: str = "·"


UNICODE = Glyphs()
"""For terminals with a good font."""

ASCII = Glyphs(
    border="++++-|",
    border_active="++++=|",
    levels="_.-~+*",
    over="#",
    no_data=" ",
    full="#",
    empty=".",
    running="*",
    stopped="o",
    ok="v",
    bad="x",
    warn="!",
    unknown="?",
    paused="=",
    queued="~",
    play=">",
    cursor=">",
    dash="-",
    middle="~",
    dot="-",
)
"""For ``--ascii``: every mark is one ASCII character."""
