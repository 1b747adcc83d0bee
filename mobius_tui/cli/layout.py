"""Text in columns: how wide it shows, cutting it to fit, and tables."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mobius_tui.text import visible

WIDTH = 80
"""Columns that everything fits in when the terminal does not say."""

UNCUT = 10_000
"""Columns of what is no screen: nothing is cut or wrapped for it."""

GAP = "  "
_CUT = "~"


def columns_of(text: str) -> int:
    """How many terminal columns a printable text takes: two for wide East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(_columns_of_one(character) for character in text)


def _columns_of_one(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) == "Me":
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def fitted(text: str, width: int, *, keep_end: bool = False) -> str:
    """Outside text made visible and cut to a width.

    Args:
        text: Anything.
        width: Columns at most, 1 or more.
        keep_end: Cut at the start instead, for paths.

    Returns:
        The text; with ``~`` where something was cut off.
    """
    shown = visible(text)
    if columns_of(shown) <= width:
        return shown
    kept: list[str] = []
    room = width - 1
    for character in reversed(shown) if keep_end else shown:
        room -= _columns_of_one(character)
        if room < 0:
            break
        kept.append(character)
    return _CUT + "".join(reversed(kept)) if keep_end else "".join(kept) + _CUT


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text filled with spaces to a width; ``right`` puts it at the right end."""
    fill = " " * max(0, width - columns_of(text))
    return fill + text if right else text + fill


def table(
    rows: Sequence[Sequence[str]], *, heads: Sequence[str] = (), right: Sequence[int] = (), flexible: int = -1,
    cut_end: bool = False, width: int = WIDTH,
) -> list[str]:  # fmt: skip
    """Rows in aligned columns that fit a width.

    Args:
        rows: Cells, outside text included; each row of the same length.
        heads: Titles of the columns; empty for none.
        right: Numbers of the columns that are set to the right.
        flexible: The column that gives way; its start is cut off, as its end tells paths apart.
        cut_end: Cut off its end instead, for sentences.
        width: Columns of the screen.

    Returns:
        Lines without spaces at the end.
    """
    every = [[visible(cell) for cell in row] for row in ([heads, *rows] if heads else rows)]
    if not every:
        return []
    count = len(every[0])
    flexible %= count
    widths = [max(columns_of(row[column]) for row in every) for column in range(count)]
    others = sum(size for column, size in enumerate(widths) if column != flexible) + len(GAP) * (count - 1)
    widths[flexible] = max(8, min(widths[flexible], width - others))
    lines = []
    for row in every:
        cells = [
            padded(fitted(cell, widths[at], keep_end=not cut_end), widths[at], right=at in right)
            for at, cell in enumerate(row)
        ]
        lines.append(GAP.join(cells).rstrip())
    return lines


def labelled(
    pairs: Sequence[tuple[str, str]], *, width: int = WIDTH, keep_end: Sequence[str] = ()
) -> list[str]:  # fmt: skip
    """Lines of a label and its value, the values in one column; a long value goes on below its start.

    Args:
        pairs: Labels and values.
        width: Columns.
        keep_end: Labels whose long values are cut at the start instead, for paths that only remind.

    Returns:
        A line or more a pair.
    """
    return [line for _, line in with_labels(pairs, width=width, keep_end=keep_end)]


def with_labels(
    pairs: Sequence[tuple[str, str]], *, width: int = WIDTH, keep_end: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """The same lines, each after the label that it belongs to."""
    if not pairs:
        return []
    first = max(columns_of(label) for label, _ in pairs) + len(GAP)
    room = max(8, width - first)
    lines = []
    for label, value in pairs:
        fits = label in keep_end or columns_of(visible(value)) <= room
        parts = [fitted(value, room, keep_end=True)] if fits else wrapped(value, width=room)
        for number, part in enumerate(parts):
            lines.append((label, (padded("" if number else label, first) + part).rstrip()))
    return lines


def hanging(head: str, text: str, *, width: int = WIDTH) -> list[str]:
    """A head and a text whose further lines stand below its start; below the head where there is little room.

    Args:
        head: Shown as it is, with the spaces after it.
        text: Outside text.
        width: Columns.

    Returns:
        Lines.
    """
    indent = columns_of(head)
    if columns_of(visible(text)) <= width - indent:
        return [f"{head}{visible(text)}".rstrip()]
    if width - indent < width // 3:
        return [head.rstrip(), *wrapped(text, indent="    ", width=width)]
    first, *rest = wrapped(text, width=width - indent)
    return [f"{head}{first}", *(" " * indent + line for line in rest)]


def wrapped(text: str, *, indent: str = "", width: int = WIDTH) -> list[str]:
    """Outside text made visible and broken at spaces into lines of a width, each indented as its start is.

    Args:
        text: Anything.
        indent: What every line begins with, besides the text's own spaces.
        width: Columns; a word that is longer is broken, after a slash if it can be.

    Returns:
        Lines; one empty one for an empty text.
    """
    shown = visible(text)
    if shown.strip():
        indent += shown[: min(len(shown) - len(shown.lstrip(" ")), max(0, width // 2 - len(indent)))]
    room = max(1, width - len(indent))
    lines: list[str] = []
    line = ""
    for piece in re.findall(r"\s*\S+", shown):
        if line and columns_of(line) + columns_of(piece) > room:
            lines.append(line)
            line = ""
        line += piece if line else piece.lstrip()
        while columns_of(line) > room:
            start = _first_columns(line, room)
            slash = start.rfind("/") + 1
            start = start[:slash] if slash > len(start) // 2 else start
            lines.append(start)
            line = line[len(start) :]
    return [indent + each for each in ([*lines, line] if line else lines)] or [""]


def _first_columns(text: str, room: int) -> str:
    """As much of a text as so many columns hold, one character at least."""
    taken = 0
    for at, character in enumerate(text):
        taken += _columns_of_one(character)
        if taken > room:
            return text[: max(1, at)]
    return text
