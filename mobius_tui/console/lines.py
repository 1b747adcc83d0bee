"""Lines of styled text: what a pane paints, without a terminal toolkit.

Every text that comes from a file, a name or a row enters through ``outside``; nothing here is ever markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from mobius_tui.text import visible

Span = tuple[str, str]
"""A text and its role: what it means, such as ``ok``, ``warn``, ``muted``; empty for plain text."""

Line = tuple[Span, ...]
"""Spans from left to right."""

BLANK: Line = ()
"""An empty line."""

MIDDLE = "…"
"""Stands for what was left out."""


def outside(text: object) -> str:
    """A text that comes from outside, on one line and without control or bidirectional characters."""
    return visible(str(text))


def width_of(line: Line) -> int:
    """Cells the line takes on a terminal."""
    return sum(cell_len(text) for text, _ in line)


def fit(text: str, width: int, *, right: bool = False, ellipsis: str = MIDDLE) -> str:
    """The text in exactly ``width`` cells, cut at the end with an ellipsis, or filled with spaces."""
    if width <= 0:
        return ""
    used = cell_len(text)
    if used > width:
        mark = ellipsis if cell_len(ellipsis) < width else ""
        return set_cell_size(text, width - cell_len(mark)) + mark
    filling = " " * (width - used)
    return filling + text if right else text + filling


def fit_middle(text: str, width: int, *, ellipsis: str = MIDDLE) -> str:
    """The text in exactly ``width`` cells; the middle is left out, so that folder and file name stay readable.

    Two thirds of the room go to the end, for the names of a library differ there.
    """
    if cell_len(text) <= width:
        return fit(text, width)
    room = width - cell_len(ellipsis)
    if room < 2:
        return fit(text, width, ellipsis=ellipsis)
    head = room // 3
    return fit(_head(text, head) + ellipsis + _tail(text, room - head), width)


def _head(text: str, width: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:index]
    return text


def _tail(text: str, width: int) -> str:
    used = 0
    for index in range(len(text) - 1, -1, -1):
        used += cell_len(text[index])
        if used > width:
            return text[index + 1 :]
    return text


def clip(line: Line, width: int) -> Line:
    """The line in exactly ``width`` cells: filled with spaces, or cut, with an ellipsis where text is lost."""
    kept, lost = _first_cells(line, width)
    if not lost.strip() or width < 2:
        return kept
    shorter, _ = _first_cells(line, width - 1)
    return merge([*shorter, (MIDDLE, shorter[-1][1])])


def _first_cells(line: Line, width: int) -> tuple[Line, str]:
    """Exactly ``width`` cells from the line's beginning, and the text that is not in them."""
    kept: list[Span] = []
    left = width
    for place, (text, role) in enumerate(line):
        used = cell_len(text)
        if used > left:
            head = _head(text, left)
            kept.append((set_cell_size(head, left), role))
            return merge(kept), text[len(head) :] + plain(line[place + 1 :])
        kept.append((text, role))
        left -= used
    return merge([*kept, (" " * left, "")]), ""


def merge(spans: Sequence[Span]) -> Line:
    """The spans with neighbours of the same role joined: one colour sequence a run on the wire."""
    joined: list[Span] = []
    for text, role in spans:
        if not text:
            continue
        if joined and joined[-1][1] == role:
            joined[-1] = (joined[-1][0] + text, role)
        else:
            joined.append((text, role))
    return tuple(joined)


def columns(parts: Sequence[Span], gap: int = 2) -> Line:
    """Spans with a gap between them; empty ones take no room."""
    spans: list[Span] = []
    for text, role in parts:
        if not text:
            continue
        if spans:
            spans.append((" " * gap, ""))
        spans.append((text, role))
    return merge(spans)


def plain(line: Line) -> str:
    """The line's text."""
    return "".join(text for text, _ in line)


def wrap(text: str, width: int, most: int, *, ellipsis: str = MIDDLE) -> list[str]:
    """The text on at most ``most`` lines of ``width`` cells, broken at spaces; the last is cut when it does not fit."""
    if width <= 0 or most <= 0:
        return []
    rows: list[str] = []
    current = ""
    words = text.split(" ")
    for index, word in enumerate(words):
        candidate = f"{current} {word}" if current else word
        if cell_len(candidate) <= width:
            current = candidate
        elif len(rows) + 1 >= most:
            rows.append(fit(" ".join([current, *words[index:]]).strip(), width, ellipsis=ellipsis).rstrip())
            return rows
        elif not current or cell_len(word) > width:
            head = _head(candidate, width)
            rows.append(head)
            rest = candidate[max(1, len(head)) :]  # a character too wide for a row of its own is left out
            while cell_len(rest) > width and len(rows) + 1 < most:
                head = _head(rest, width)
                rows.append(head)
                rest = rest[max(1, len(head)) :]
            current = rest.lstrip()
        else:
            rows.append(current)
            current = word
    if current:
        rows.append(fit(current, width, ellipsis=ellipsis).rstrip())
    return rows


def difference(before: Line, after: Line) -> tuple[int, int] | None:
    """The cells from first to last (exclusive) in which lines of one width differ; None when equal."""
    if before == after:
        return None
    old, new = _cells(before), _cells(after)
    if old is None or new is None or len(old) != len(new):
        return 0, max(width_of(before), width_of(after))
    first = next((n for n, (a, b) in enumerate(zip(old, new, strict=True)) if a != b), None)
    if first is None:
        return None
    last = next(n for n in range(len(new) - 1, -1, -1) if old[n] != new[n])
    return first, last + 1


def _cells(line: Line) -> list[Span] | None:
    """One entry a cell; None when a character is not one cell wide."""
    cells: list[Span] = []
    for text, role in line:
        if not text.isascii() and cell_len(text) != len(text):
            return None
        cells.extend((character, role) for character in text)
    return cells
