"""Trend lines: one row of bars against a fixed scale, so that flat noise does not look like an incident."""

from __future__ import annotations

from collections.abc import Sequence

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, Span, merge


def trend_line(
    points: Sequence[float | None], width: int, limit: float, glyphs: Glyphs, *, judged: bool = True
) -> Line:
    """Bars of the points, newest at the right.

    Args:
        points: Values, oldest first; None where nothing was measured.
        width: Cells; each point takes as many as fit evenly, and the oldest are left out when there are too few.
        limit: Top of the scale: the highest level stands for it, whatever the values are.
        glyphs: The characters.
        judged: Whether a value above the limit is marked; without it the limit is only the scale.

    Returns:
        The line, with neighbours of the same role in one span.
    """
    if width <= 0 or not points:
        return ()
    wide = max(1, width // len(points))
    spans: list[Span] = []
    for value in points[-(width // wide) :]:
        if value is None:
            spans.append((glyphs.no_data * wide, "muted"))
        elif judged and value > limit:
            spans.append((glyphs.over * wide, "bad"))
        else:
            spans.append((level_of(value, limit, glyphs.levels) * wide, "bar"))
    return merge(spans)


def level_of(value: float, limit: float, levels: str) -> str:
    """The bar of a value: the first for zero and a little, the last from just below the limit on."""
    if limit <= 0:
        return levels[0]
    return levels[min(len(levels) - 1, max(0, int(value / limit * len(levels))))]


def round_scale(values: Sequence[float | None], least: float) -> float:
    """A scale for figures without a limit: the next of 1, 2, 5 times a power of ten, and never below ``least``."""
    top = max((value for value in values if value is not None), default=0.0)
    scale = least
    steps = (2.0, 2.5, 2.0)  # 1 -> 2 -> 5 -> 10
    index = 0
    while scale < top:
        scale *= steps[index % 3]
        index += 1
    return scale
