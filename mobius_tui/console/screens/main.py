"""The main screen: all panes when there is room, one and a strip of tabs when there is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widget import Widget

from mobius_tui.console.asking import Action, Question
from mobius_tui.console.palette import Look
from mobius_tui.console.snapshot import Snapshot, shows_publication, watch_shown
from mobius_tui.console.views.backups import BACKUPS
from mobius_tui.console.views.deploy import view_of_publication
from mobius_tui.console.views.jobs import JOBS
from mobius_tui.console.views.logs import logs_view, next_level
from mobius_tui.console.views.metrics import METRICS
from mobius_tui.console.views.migration import MIGRATION
from mobius_tui.console.views.review import REVIEW
from mobius_tui.console.views.watch import RULES_COLUMN, WATCH
from mobius_tui.console.widgets.ask import AskBar
from mobius_tui.console.widgets.bars import FooterBar, HeaderBar, NoticeBar, TabBar
from mobius_tui.console.widgets.pane import Pane

WIDE_COLUMNS = 120
"""From this width on all panes are shown."""

WIDE_ROWS = 24
"""And from this height on."""

_METRICS, _WATCH = 3, 5
_UNDER_WATCH = {1, 2, 4}

MOST_FILTER = 100
"""Characters of a filter."""


class MainScreen(Screen[None], inherit_bindings=False):
    """Lays out the panes, and gives the keys to one of them.

    Args:
        look: Characters and styles.
        actions: What the footer shows.
    """

    AUTO_FOCUS = None

    def __init__(self, look: Look, actions: Sequence[Action]) -> None:
        super().__init__()
        self.level = "info"
        self._header = HeaderBar(look)
        self._tabs = TabBar(look)
        self._notice = NoticeBar(look)
        self._footer = FooterBar(look, actions)
        self._ask = AskBar(look)
        views = (BACKUPS, MIGRATION, METRICS, REVIEW, WATCH, logs_view(self.level), JOBS)
        self._panes = [Pane(view, look) for view in views]
        self._rules = Pane(RULES_COLUMN, look)
        self._active = 1
        self._snapshot: Snapshot | None = None
        self._wide: bool | None = None
        self._typing = False

    def compose(self) -> ComposeResult:
        """Header, tabs, panes, notice, question, footer."""
        backups, migration, metrics, review, watch, logs, jobs = self._panes
        yield self._header
        yield self._tabs
        with Horizontal(id="body"):
            with Vertical(id="left"):
                with Horizontal(id="top"):
                    yield backups
                    yield migration
                yield review
                yield watch
                yield logs
            with Vertical(id="right"):
                yield metrics
                yield self._rules
                yield jobs
        yield self._notice
        yield self._ask
        yield self._footer

    def on_mount(self) -> None:
        """Lay out for the first size."""
        self.lay_out()

    def on_resize(self, event: events.Resize) -> None:
        """Another size may mean another layout."""
        self.lay_out(event.size.width, event.size.height)

    def lay_out(self, width: int | None = None, height: int | None = None) -> None:
        """Show the panes that the size allows."""
        width = self.app.size.width if width is None else width
        height = self.app.size.height if height is None else height
        self._wide = width >= WIDE_COLUMNS and height >= WIDE_ROWS
        self.set_class(not self._wide, "narrow")
        self.set_class(height < 8, "tiny")
        for number, pane in enumerate(self._panes):
            self._display_pane(pane, self._in_sight(pane.view.number) if self._wide else number == self._active)
            pane.set_active(number == self._active)
        self._display_pane(self._rules, self._wide and not self._in_sight(_METRICS))
        for box in self.query("#top, #left, #right").results(Widget):  # none when the console ends before it begins
            _display(box, any(pane.display for pane in self._panes if box in pane.ancestors))
        self._show_tabs()

    def _in_sight(self, number: int) -> bool:
        """Whether a wide screen shows a pane now.

        The watch has the place of backups, migration and review while it has the keys; while another pane has them,
        the rules of a watch that is on have the place of the metrics.
        """
        active = self.active.view.number
        if number == _WATCH:
            return active == _WATCH
        if number == _METRICS:
            return active in {_METRICS, _WATCH} or self._snapshot is None or watch_shown(self._snapshot) is None
        return active != _WATCH or number not in _UNDER_WATCH

    def _display_pane(self, pane: Pane, shown: bool) -> None:
        if shown and not pane.display and self._snapshot is not None:
            pane.show(self._snapshot)
        _display(pane, shown)

    def show(self, snapshot: Snapshot, now: float) -> None:
        """Show a snapshot; each part paints only what changed."""
        changed = snapshot is not self._snapshot
        self._snapshot = snapshot
        self._header.show(snapshot, now)
        if not changed:
            return
        self._notice.show(snapshot)
        publishing = shows_publication(snapshot)
        self._panes[1].replace_view(view_of_publication(snapshot) if publishing else MIGRATION)
        if publishing != self.has_class("publishing"):
            self.set_class(publishing, "publishing")
        if self._wide and self._rules.display == self._in_sight(_METRICS):
            self.lay_out()
        for pane in (*self._panes, self._rules):
            if pane.display:
                pane.show(snapshot)
        self._show_footer()
        self._show_tabs()

    def situated(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what the person looks at: the pane that has the keys, and what is under its cursor."""
        under = {pane.view.number: pane.item.name for pane in (self.active,) if pane.view.points and pane.item}
        chosen, alert = under.get(1, ""), under.get(_METRICS, "")
        return replace(snapshot, pane=self.active.view.name, chosen=chosen, alert=alert)

    def _show_footer(self) -> None:
        if self._snapshot is not None:
            self._footer.show(self.situated(self._snapshot))

    def _show_tabs(self) -> None:
        if self._snapshot is not None and not self._wide:
            self._tabs.show([pane.view for pane in self._panes], self.active.view.number, self._snapshot)

    @property
    def active(self) -> Pane:
        """The pane that has the keys."""
        return self._panes[self._active]

    def activate(self, name: str) -> None:
        """Give the keys to the pane of this name."""
        self._activate(next(n for n, pane in enumerate(self._panes) if pane.id == f"pane-{name}"))

    def step_pane(self, step: int) -> None:
        """Give the keys to the next pane, or the one before."""
        self._activate((self._active + step) % len(self._panes))

    def _activate(self, number: int) -> None:
        self._active = number
        if self._snapshot is not None:
            self.active.show(self._snapshot)
        self.lay_out()
        self._show_footer()

    def move(self, step: int) -> None:
        """Move the cursor of the pane that has the keys."""
        self.active.move(step)
        if self.active.view.points:
            self._show_footer()

    def say(self, text: str, role: str = "strong") -> None:
        """Say a sentence in the footer."""
        self._footer.say(text, role)

    def hush(self) -> None:
        """Show the keys again."""
        self._footer.hush()

    def hush_said(self) -> None:
        """Show the keys again, unless something is being typed or asked."""
        if not self._typing and not self._ask.asking:
            self._footer.hush()

    def ask(self, question: Question, answer: Callable[[bool], None]) -> None:
        """Ask in the bar above the footer."""
        if self._ask.asking:
            return

        def answered(yes: bool) -> None:
            self._footer.hush()
            answer(yes)

        self._footer.prompt("arrows choose, enter does it, esc leaves")
        self._ask.ask(question, answered)

    def next_log_level(self) -> None:
        """Show the logs from the next level on."""
        self.level = next_level(self.level)
        for pane in self._panes:
            if pane.view.number == 6:
                pane.set_view(logs_view(self.level))

    def open_filter(self) -> None:
        """Let the active pane's filter be typed, in the footer."""
        if not self.active.filters:
            self.say("there is no list here to filter", "warn")
            return
        self._typing = True
        self._type(self.active.filter)

    def _type(self, text: str) -> None:
        if text != self.active.filter:
            self.active.refilter(text)
        self._footer.prompt(f"/{text}_   enter keeps it, esc drops it")

    def on_key(self, event: events.Key) -> None:
        """While a filter is typed, no key means an action; nor does the rest of a word typed into a question."""
        if self._ask.swallows(event):
            event.stop()
            event.prevent_default()
            return
        if not self._typing or event.key in {"ctrl+c", "ctrl+q", "ctrl+l"}:
            return
        event.stop()
        event.prevent_default()
        text = self.active.filter
        if event.key in {"escape", "enter"}:
            self._typing = False
            self._footer.hush()
            if event.key == "escape":
                self.active.refilter("")
        elif event.key in {"up", "down"}:
            self.active.move(1 if event.key == "down" else -1)
        elif event.key == "backspace":
            self._type(text[:-1])
        elif event.key == "ctrl+u":
            self._type("")
        elif event.character and event.character.isprintable() and len(text) < MOST_FILTER:
            self._type(text + event.character)

    def on_paste(self, event: events.Paste) -> None:
        """Pasted text goes into a filter that is typed, and nowhere else."""
        if self._typing:
            self._type((self.active.filter + event.text.strip())[:MOST_FILTER])


def _display(widget: Widget, shown: bool) -> None:
    """Show or hide; the same again would cost a new layout."""
    if widget.display != shown:
        widget.display = shown
