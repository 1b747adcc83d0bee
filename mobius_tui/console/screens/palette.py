"""The palette: every action by its name."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from mobius_tui.console.asking import Action
from mobius_tui.console.lines import Line, fit, merge
from mobius_tui.console.palette import Look
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.widgets.painted import Painted

_OWN_KEYS = {"up", "down", "escape", "tab", "shift+tab", "pageup", "pagedown", "ctrl+p"}


class Choices(Painted):
    """The actions that match, one of them chosen."""

    def __init__(self, look: Look, actions: Sequence[Action], snapshot: Snapshot) -> None:
        super().__init__(look, id="choices")
        self._all = actions
        self._snapshot = snapshot
        self._matching = list(actions)
        self._chosen = 0

    def narrow(self, text: str) -> None:
        """Keep the actions that hold every word of the text; those that are called so come first."""
        words = text.casefold().split()
        matching = [a for a in self._all if all(w in _words(a) for w in words)]
        self._matching = sorted(matching, key=lambda a: not all(w in f"{a.label} {a.name}".casefold() for w in words))
        self._chosen = 0
        self.repaint()

    def move(self, step: int) -> None:
        """Choose another one."""
        self._chosen = min(max(0, self._chosen + step), max(0, len(self._matching) - 1))
        self.repaint()

    @property
    def chosen(self) -> Action | None:
        """The action that enter does; None when none matches."""
        return self._matching[self._chosen] if self._matching else None

    def picture(self, width: int, height: int) -> list[Line]:
        """A line an action; what cannot be done says why."""
        if not self._matching:
            return [((" no action is called that", "muted"),)]
        top = max(0, min(self._chosen - height // 2, len(self._matching) - height))
        lines: list[Line] = []
        for index, action in enumerate(self._matching[top : top + height], top):
            why = action.able(self._snapshot)
            mark = self.look.glyphs.cursor if index == self._chosen else " "
            about = f"not now: {why}" if why else action.description
            text = f"{mark} {fit(action.shown, 10)} {fit(action.label, 14)} "
            if index == self._chosen:
                lines.append(((fit(text + about, width), "cursor"),))
            else:
                lines.append(merge([(text, "muted" if why else ""), (about, "muted")]))
        return lines


def _words(action: Action) -> str:
    return f"{action.shown} {action.name} {action.label} {action.description}".casefold().replace("_", " ")


class PaletteScreen(Screen[str | None], inherit_bindings=False):
    """Asks for an action by name; gives back its name, or None."""

    AUTO_FOCUS = "Input"
    """The field has the keys, once it is there: the console may end before."""

    def __init__(self, look: Look, actions: Sequence[Action], snapshot: Snapshot) -> None:
        super().__init__()
        self._choices = Choices(look, actions, snapshot)

    def compose(self) -> ComposeResult:
        """A field and the choices."""
        field = Input(placeholder="name of an action; enter does it, esc leaves", id="palette-field")
        field.cursor_blink = False
        yield field
        yield self._choices

    def on_input_changed(self, event: Input.Changed) -> None:
        """Another text in the field."""
        self._choices.narrow(event.value)

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Do the chosen one."""
        chosen = self._choices.chosen
        if self.is_current:
            self.dismiss(chosen.name if chosen else None)

    def on_key(self, event: events.Key) -> None:
        """Choose with the arrows, or leave; what the field binds itself (enter, backspace) goes on to it."""
        if event.key not in _OWN_KEYS:
            return
        event.stop()
        event.prevent_default()
        if event.key in {"up", "down"}:
            self._choices.move(1 if event.key == "down" else -1)
        elif event.key == "escape" and self.is_current:
            self.dismiss(None)
