"""A question in a bar of its own: opaque, with the keys to itself, and the choice that changes nothing first."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import events

from mobius_tui.console.asking import Question
from mobius_tui.console.lines import Line, Span, merge
from mobius_tui.console.palette import Look
from mobius_tui.console.widgets.painted import Painted

SWALLOWS_S = 1.0
"""After a question into which something was typed, letters mean no action so long: they are the rest of a word."""

_MOVES = {"left", "right", "tab", "shift+tab", "up", "down"}


class AskBar(Painted, can_focus=True):
    """Asks before something is done; hidden while nothing is asked.

    Args:
        look: Characters and styles.
        monotonic: Seconds that never go back.
    """

    def __init__(self, look: Look, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(look, id="ask")
        self.display = False
        self._question: Question | None = None
        self._answer: Callable[[bool], None] = lambda _: None
        self._yes = False
        self._typed = ""
        self._hint = ""
        self._monotonic = monotonic
        self._typed_until: float | None = None

    def ask(self, question: Question, answer: Callable[[bool], None]) -> None:
        """Ask; the answer comes with True only when the choice was made and the word typed.

        Args:
            question: What to ask.
            answer: Called once.
        """
        self._question, self._answer = question, answer
        self._yes, self._typed, self._hint = False, "", ""
        self.styles.height = len(question.lines) + (4 if question.typed else 3)
        self.display = True
        self.focus()
        self.repaint()

    @property
    def asking(self) -> bool:
        """Whether a question is open."""
        return self._question is not None

    def swallows(self, event: events.Key) -> bool:
        """Whether a key that comes after a question belongs to the word that was typed into it."""
        if self._typed_until is None or self._monotonic() >= self._typed_until:
            self._typed_until = None
            return False
        return bool(event.character and event.character.isprintable())

    def on_key(self, event: events.Key) -> None:
        """Every key belongs to the question while it is open."""
        if self._question is None:
            return
        event.stop()
        event.prevent_default()
        key = event.key
        if key in {"escape", "ctrl+c", "ctrl+q"}:
            self._close(False)
        elif key in _MOVES:
            self._yes = {"left": False, "right": True}.get(key, not self._yes)
            self.repaint()
        elif key == "enter":
            self._enter()
        elif self._question.typed:
            self._type(event)

    def on_paste(self, event: events.Paste) -> None:
        """A pasted word is no typed one."""
        event.stop()

    def _enter(self) -> None:
        assert self._question is not None
        if self._lacks(self._question) and (self._yes or self._typed):
            self._hint = f"type {self._question.typed} first"
            self.repaint()
        else:
            self._close(self._yes)

    def _lacks(self, question: Question) -> bool:
        """Whether the word that has to be typed is not there."""
        return bool(question.typed) and self._typed != question.typed

    def _type(self, event: events.Key) -> None:
        if event.key == "backspace":
            self._typed = self._typed[:-1]
        elif event.character and event.character.isprintable() and len(self._typed) < 40:
            self._typed += event.character
        # what enter does follows what was typed, as it does where a word is typed without choices
        self._yes = self._question is not None and not self._lacks(self._question)
        self._hint = ""
        self.repaint()

    def _close(self, yes: bool) -> None:
        self._question = None
        self._typed_until = self._monotonic() + SWALLOWS_S if self._typed else None
        self.display = False
        self.screen.set_focus(None)
        self._answer(yes)

    def picture(self, width: int, height: int) -> list[Line]:
        """The question, what it means, the word to type, and the choices."""
        question = self._question
        if question is None:
            return []
        edge = self.look.glyphs.border_active[4]
        lines: list[Line] = [((edge * width, "border_active"),), ((f" {question.title}", "strong"),)]
        lines += [((f" {line}", ""),) for line in question.lines]
        if question.typed:
            prompt: list[Span] = [(f" Type {question.typed} to go on: ", "warn"), (f"{self._typed}_", "strong")]
            lines.append(merge(prompt))
        lines.append(self._choices(question))
        # The choices must be seen on any screen: what a small one cannot hold goes from the middle.
        while len(lines) > height and len(lines) > 2:
            lines.pop(0 if lines[0][0][0].startswith(edge) else 1)
        return lines

    def _choices(self, question: Question) -> Line:
        mark = self.look.glyphs.cursor
        said, role = (self._hint, "bad") if self._hint else (self._enter_does(question), "muted")
        chosen, other = "choice_active", ""
        return merge(
            [
                (" ", ""),
                (f"[{' ' if self._yes else mark} {question.no} ]", other if self._yes else chosen),
                ("   ", ""),
                (f"[{mark if self._yes else ' '} {question.yes} ]", chosen if self._yes else other),
                (f"   {said}", role),
            ]
        )

    def _enter_does(self, question: Question) -> str:
        """What enter does now, where that depends on a word."""
        if not question.typed:
            return ""
        if self._lacks(question) and (self._yes or self._typed):
            return f"enter waits for {question.typed}"
        return f"enter: {question.yes if self._yes else question.no}"
