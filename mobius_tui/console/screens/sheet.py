"""A whole screen of text: help, and everything about one line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.screen import Screen

from mobius_tui.console.lines import Line, merge, outside, wrap
from mobius_tui.console.palette import Look
from mobius_tui.console.widgets.painted import Painted

_DOWN = {"down": 1, "j": 1, "pagedown": 10, "space": 10, "end": 10_000, "G": 10_000}
_UP = {"up": 1, "k": 1, "pageup": 10, "home": 10_000, "g": 10_000}


class Sheet(Painted):
    """Lines that can be scrolled; long ones are wrapped."""

    def __init__(self, look: Look, title: str, lines: Sequence[Line], next_step: str = "") -> None:
        super().__init__(look, id="sheet")
        self._next_step = next_step
        self._title = title
        self._content = lines
        self._top = 0
        self._most = 0

    def scroll_lines(self, step: int) -> None:
        """Move the text."""
        self._top = min(max(0, self._top + step), self._most)
        self.repaint()

    def picture(self, width: int, height: int) -> list[Line]:
        """Title, text, and the way back."""
        rows = [row for line in self._content for row in _wrapped(line, max(1, width - 2))]
        room = max(1, height - 2)
        self._most = max(0, len(rows) - room)
        self._top = min(self._top, self._most)
        more = f"   {self._top + 1}-{min(len(rows), self._top + room)} of {len(rows)}" if self._most else ""
        shown = [merge([(" ", ""), *row]) for row in rows[self._top : self._top + room]]
        shown += [()] * (room - len(shown))
        head: Line = ((f" {outside(self._title)}", "title_active"), (more, "muted"))
        foot: Line = ((" esc", "key"), (" back ", ""), (" up down pgup pgdn", "key"), (" move", ""))
        if self._next_step:
            foot = ((" enter", "key"), (f" {self._next_step}: asks once more ", ""), *foot)
        return [head, *shown, foot] if height >= 3 else shown


def _wrapped(line: Line, width: int) -> list[Line]:
    """The line on as many rows as it takes; what follows a first span hangs under its own start."""
    label, *rest = line or (("", ""),)
    indent = cell_len(label[0])
    if not rest or indent > width // 2:
        return [((row, label[1]),) for row in wrap("".join(text for text, _ in line), width, 50)] or [()]
    rows = wrap("".join(text for text, _ in rest), width - indent, 50) or [""]
    role = rest[0][1]
    return [merge([label, (rows[0], role)]), *(merge([(" " * indent, ""), (row, role)]) for row in rows[1:])]


class SheetScreen(Screen[bool], inherit_bindings=False):
    """Shows a sheet until a key closes it.

    Args:
        look: Characters and styles.
        title: The top line.
        lines: The text.
        next_step: What enter goes on to; empty when it only closes. The screen then gives back whether it was enter.
    """

    def __init__(self, look: Look, title: str, lines: Sequence[Line], next_step: str = "") -> None:
        super().__init__()
        self._sheet = Sheet(look, title, lines, next_step)
        self._goes_on = bool(next_step)

    def compose(self) -> ComposeResult:
        """The sheet alone."""
        yield self._sheet

    def on_key(self, event: events.Key) -> None:
        """Move, or go back; the keys of the panes do nothing here."""
        if event.key in {"ctrl+c", "ctrl+q", "ctrl+l"}:
            return
        event.stop()
        event.prevent_default()
        if event.key in _DOWN:
            self._sheet.scroll_lines(_DOWN[event.key])
        elif event.key in _UP:
            self._sheet.scroll_lines(-_UP[event.key])
        elif event.key in {"escape", "q", "enter", "question_mark"} and self.is_current:
            self.dismiss(event.key == "enter" and self._goes_on)  # a second key may come while it already goes
