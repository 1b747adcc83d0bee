"""A widget that paints lines and sends only the cells that changed."""

from __future__ import annotations

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from mobius_tui.console.lines import Line, clip, difference
from mobius_tui.console.palette import Look

_PLAIN = str.maketrans({"…": "~", "–": "-"})


class Painted(Widget, can_focus=False):
    """A still picture of lines.

    Args:
        look: Characters and styles.
        id: The widget's name in the style sheet.
    """

    def __init__(self, look: Look, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.look = look
        self._lines: list[Line] = []
        self._painted_width = 0

    def picture(self, width: int, height: int) -> list[Line]:
        """The lines to show now; fewer than ``height`` are filled with empty ones."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Draw the picture anew, and ask for the cells that differ from what is on the screen."""
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        lines = [self._spelled(clip(line, width)) for line in self.picture(width, height)[:height]]
        lines += [clip((), width)] * (height - len(lines))
        before, self._lines = self._lines, lines
        if self._painted_width != width or len(before) != len(lines):
            self._painted_width = width
            self.refresh()
            return
        regions: list[Region] = []
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            changed = difference(old, new)
            if changed is not None:
                regions.append(Region(changed[0], y, changed[1] - changed[0], 1))
        if regions:
            self.refresh(*regions)

    def _spelled(self, line: Line) -> Line:
        """The line with the console's own typographic signs in ASCII, where that was asked for."""
        if not self.look.glyphs.border.isascii():
            return line
        return tuple((text.translate(_PLAIN), role) for text, role in line)

    def on_resize(self) -> None:
        """The widget has another size."""
        self.repaint()

    def render_line(self, y: int) -> Strip:
        """One line for the screen."""
        width = self.size.width
        if y >= len(self._lines):
            return Strip([Segment(" " * width, self.look.style(""))], width)
        style = self.look.style
        return Strip([Segment(text, style(role)) for text, role in self._lines[y]], width)
