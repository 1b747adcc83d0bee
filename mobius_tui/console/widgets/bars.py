"""The one-line widgets around the panes: header, tabs, notice and footer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mobius_tui.console.actions import footer_actions, label_of
from mobius_tui.console.asking import Action
from mobius_tui.console.lines import Line, Span, merge, outside, width_of, wrap
from mobius_tui.console.palette import Look
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.header import header_line, notice_text
from mobius_tui.console.views.view import View
from mobius_tui.console.widgets.painted import Painted

NOTICE_ROWS = 2
"""Lines that a notice takes at most."""

_NOTED: tuple[frozenset[int], ...] = (frozenset({2, 4, 5}), frozenset({2, 5}), frozenset({5}), frozenset())

SAID_ROWS = 4
"""Lines that a sentence in the footer takes at most: why something was refused must be read whole."""


class HeaderBar(Painted):
    """The top line."""

    def __init__(self, look: Look) -> None:
        super().__init__(look, id="header")
        self._state: tuple[Snapshot, float] | None = None

    def show(self, snapshot: Snapshot, now: float) -> None:
        """Show a snapshot at a time."""
        self._state = (snapshot, now)
        self.repaint()

    def picture(self, width: int, height: int) -> list[Line]:
        """One line."""
        if self._state is None:
            return []
        return [header_line(*self._state, width, self.look.glyphs)]


class TabBar(Painted):
    """The names of the panes, for a narrow screen that shows one at a time."""

    def __init__(self, look: Look) -> None:
        super().__init__(look, id="tabs")
        self._views: Sequence[View] = ()
        self._snapshot: Snapshot | None = None
        self._active = 0

    def show(self, views: Sequence[View], active: int, snapshot: Snapshot) -> None:
        """Show the tabs, with the number of the active one marked."""
        self._views, self._active, self._snapshot = views, active, snapshot
        self.repaint()

    def picture(self, width: int, height: int) -> list[Line]:
        """Names with their notes, with the more telling ones, names alone, or numbers: the longest that fits."""
        forms = [*(self._with_notes(numbers) for numbers in _NOTED), self._with_numbers]
        for form in forms:
            line = self._line(form)
            if width_of(line) <= width:
                break
        return [line]

    def _line(self, form: Callable[[View], str]) -> Line:
        spans: list[Span] = []
        for view in self._views:
            active = view.number == self._active
            spans += [(" ", "")] if spans else []
            spans.append((f" {form(view)} ", "tab_active" if active else "muted"))
        return merge(spans)

    def _with_notes(self, numbers: frozenset[int]) -> Callable[[View], str]:
        def form(view: View) -> str:
            note = view.note(self._snapshot) if self._snapshot is not None and view.number in numbers else ""
            return f"{view.number} {view.name} {note.partition(' ')[0]}".rstrip()

        return form

    def _with_numbers(self, view: View) -> str:
        return f"{view.number} {view.name}" if view.number == self._active else f"{view.number}"


class NoticeBar(Painted):
    """What is wrong as a whole; no height while nothing is."""

    def __init__(self, look: Look) -> None:
        super().__init__(look, id="notice")
        self.display = False
        self._text = ""

    def show(self, snapshot: Snapshot) -> None:
        """Show the snapshot's notice, or go."""
        self._text = outside(notice_text(snapshot))
        if self.display != bool(self._text):
            self.display = bool(self._text)
        rows = max(1, len(self._rows(self.app.size.width)))
        if self.styles.height is None or self.styles.height.value != rows:
            self.styles.height = rows
        self.repaint()

    def _rows(self, width: int) -> list[str]:
        return wrap(self._text, max(1, width - 4), NOTICE_ROWS)

    def picture(self, width: int, height: int) -> list[Line]:
        """The sentence after a mark, on two lines when it is long."""
        rows = self._rows(width)
        marks = [f" {self.look.glyphs.warn} ", *["   "] * len(rows)]
        return [((mark + row, "warn"),) for mark, row in zip(marks, rows, strict=False)]


class FooterBar(Painted):
    """The keys that do something now, or what was said last."""

    def __init__(self, look: Look, actions: Sequence[Action]) -> None:
        super().__init__(look, id="footer")
        self._actions = actions
        self._snapshot: Snapshot | None = None
        self._said: Span | None = None
        self._prompting = False

    def show(self, snapshot: Snapshot) -> None:
        """Show the keys for a snapshot."""
        self._snapshot = snapshot
        self.repaint()

    def prompt(self, text: str) -> None:
        """Show what is being typed; nothing else is said until ``hush``."""
        self._prompting = True
        self._put((outside(text), "strong"))

    def say(self, text: str, role: str = "strong") -> None:
        """Show a sentence instead of the keys, until ``hush``."""
        if not self._prompting:
            self._put((outside(text), role))

    def hush(self) -> None:
        """Show the keys again."""
        self._prompting = False
        if self._said is not None:
            self._put(None)

    def _put(self, said: Span | None) -> None:
        """Show a sentence, on as many lines as it takes, or the keys."""
        self._said = said
        rows = len(self._rows(self.app.size.width)) if said is not None else 1
        if (self.styles.height.value if self.styles.height is not None else 1) != rows:
            self.styles.height = rows
        self.repaint()

    def _rows(self, width: int) -> list[str]:
        return wrap(self._said[0], max(1, width - 2), SAID_ROWS) if self._said and self._said[0] else [""]

    def picture(self, width: int, height: int) -> list[Line]:
        """As many keys as fit; help and quit stay."""
        if self._said is not None:
            return [((f" {row}", self._said[1]),) for row in self._rows(width)]
        if self._snapshot is None:
            return []
        actions = footer_actions(self._actions, self._snapshot)
        while actions:
            spans: list[Span] = []
            for action in actions:
                spans += [(f" {action.shown}", "key"), (f" {label_of(action, self._snapshot)} ", "")]
            line = merge(spans)
            if width_of(line) <= width or len(actions) == 1:
                return [line]
            expendable = [a for a in actions if a.name not in {"help", "quit"}]
            actions.remove((expendable or actions)[-1])
        return []
