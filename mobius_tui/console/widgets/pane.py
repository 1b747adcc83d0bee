"""A numbered pane: a border with a title, lines at the top, and a list with a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mobius_tui.console.lines import Line, Span, clip, fit, merge, outside, width_of, wrap
from mobius_tui.console.palette import Look
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.view import Detail, View
from mobius_tui.console.widgets.painted import Painted


class Pane(Painted):
    """Shows one view of the snapshot.

    Args:
        view: What it shows.
        look: Characters and styles.
    """

    def __init__(self, view: View, look: Look) -> None:
        super().__init__(look, id=f"pane-{view.name.lower()}")
        self.view = view
        self.filter = ""
        self._snapshot: Snapshot | None = None
        self._items: Sequence[Any] = ()
        self._active = False
        self._pointing = False
        self._cursor = 0
        self._cursor_key: object = None
        self._top = 0
        self._rows = 1

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot; what has not changed is not painted again."""
        self._snapshot = snapshot
        self._items = self._matching(self.view.items(snapshot))
        self._keep_cursor()
        self.repaint()

    def set_view(self, view: View) -> None:
        """Show other content, such as another level of the logs."""
        self.view = view
        self.refilter(self.filter)

    def replace_view(self, view: View) -> None:
        """Show something else in this place; cursor and filter begin anew."""
        if view is not self.view:
            self.view = view
            self.filter, self._pointing = "", False
            self._cursor, self._cursor_key, self._top = 0, None, 0

    def set_active(self, active: bool) -> None:
        """Whether this pane has the keys."""
        if active != self._active:
            self._active = active
            self.repaint()

    def refilter(self, text: str) -> None:
        """Keep the items whose words hold the text, whatever its case."""
        self.filter = text
        self._pointing = bool(text)
        self._cursor, self._cursor_key, self._top = 0, None, 0
        if self._snapshot is not None:
            self.show(self._snapshot)

    @property
    def filters(self) -> bool:
        """Whether the pane has a list that can be filtered."""
        return bool(self._items) or bool(self.filter)

    def move(self, step: int) -> None:
        """Move the cursor by items; far steps end at the first or last."""
        if not self._items:
            return
        if self._pointing or self.view.points:
            self._cursor = min(max(0, self._cursor + step), len(self._items) - 1)
        elif abs(step) > 1:
            self._cursor = len(self._items) - 1 if step > 1_000 else 0 if step < -1_000 else self._cursor
        self._pointing = True
        # On the first item no key is kept, so that the cursor stays on the newest.
        self._cursor_key = self.view.key(self._items[self._cursor]) if self._cursor else None
        self.repaint()

    @property
    def item(self) -> Any:
        """What is under the cursor; None when the list is empty."""
        return self._items[self._cursor] if self._items else None

    def page(self) -> int:
        """Items that one screenful holds."""
        return max(1, self._rows - 1)

    def detail(self) -> list[Detail]:
        """Everything about the item under the cursor; nothing when the list is empty."""
        if not self._items or self._snapshot is None:
            return []
        return self.view.detail(self._items[self._cursor], self._snapshot)

    def _matching(self, items: Sequence[Any]) -> Sequence[Any]:
        if not self.filter:
            return items
        wanted = self.filter.casefold()
        return [item for item in items if wanted in outside(self.view.words(item)).casefold()]

    def _keep_cursor(self) -> None:
        """The cursor stays on its item when others come before it."""
        if self._cursor_key is not None:
            for index, item in enumerate(self._items):
                if self.view.key(item) == self._cursor_key:
                    self._top += index - self._cursor
                    self._cursor = index
                    return
        self._cursor = min(self._cursor, max(0, len(self._items) - 1))

    def picture(self, width: int, height: int) -> list[Line]:
        """Border, head and the visible part of the list."""
        if width < 4 or height < 3:
            return self._body(width, height)
        edges = self.look.glyphs.border_active if self._active else self.look.glyphs.border
        role = "border_active" if self._active else "border"
        body = self._body(width - 4, height - 2)
        body += [()] * (height - 2 - len(body))
        lines: list[Line] = [self._title(width, edges, role)]
        lines += [self._framed(line, width, edges[5], role) for line in body]
        lines.append(((edges[2] + edges[4] * (width - 2) + edges[3], role),))
        return lines

    def _framed(self, line: Line, width: int, edge: str, role: str) -> Line:
        ground = line[0][1] if line and line[0][1] == "cursor" else ""
        inner = clip(line, width - 4)
        return merge([(edge, role), (" ", ground), *inner, (" ", ground), (edge, role)])

    def _title(self, width: int, edges: str, role: str) -> Line:
        note = self.view.note(self._snapshot) if self._snapshot else ""
        spans: list[Span] = [(f" {self.view.number} {self.view.name} ", "title_active" if self._active else "title")]
        if note:
            spans.append((f"{note} ", "muted"))
        if self.filter:
            spans.append((f"/{outside(self.filter)}: {len(self._items):,} ", "warn"))
        title = merge(spans)
        if width_of(title) > width - 4:
            title = clip(title, width - 4)
        rest = width - 3 - width_of(title)
        return merge([(edges[0] + edges[4], role), *title, (edges[4] * rest + edges[1], role)])

    def _body(self, width: int, height: int) -> list[Line]:
        snapshot = self._snapshot
        if snapshot is None or width <= 0 or height <= 0:
            return []
        glyphs = self.look.glyphs
        lines = self.view.head(snapshot, width, height, glyphs)[:height]
        self._rows = rows = height - len(lines)
        if rows <= 0:
            return lines
        if not self._items:
            said = f"nothing matches /{outside(self.filter)}" if self.filter else self.view.empty(snapshot)
            return lines + [((row, "muted"),) for row in wrap(outside(said), width, rows)]
        self._scroll(rows)
        spare = rows - len(self._items)
        spread = self.view.spread(self._items, width, spare, glyphs, snapshot) if spare > 0 else {}
        for index in range(self._top, min(len(self._items), self._top + rows)):
            line, *below = spread.get(index) or [self.view.line(self._items[index], width, glyphs, snapshot)]
            if self._active and (self._pointing or self.view.points) and index == self._cursor:
                text = "".join(part for part, _ in line)
                line = ((fit(text, width), "cursor"),)
            lines += [line, *below]
        return lines

    def _scroll(self, rows: int) -> None:
        """Keep the cursor in sight, and no empty rows below while there are items above."""
        seen = self._cursor if self._pointing or self.view.points else self.view.now(self._items)
        self._top = min(self._top, seen)
        self._top = max(self._top, seen - rows + 1, 0)
        self._top = min(self._top, max(0, len(self._items) - rows))
