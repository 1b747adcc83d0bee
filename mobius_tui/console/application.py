"""The console's application: keys to actions, snapshots to the screen, and nothing that must survive."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from textual.app import App
from textual.screen import Screen

from mobius_tui.console.actions import registry
from mobius_tui.console.asking import Act, Action, Plan, Question
from mobius_tui.console.keymap import remapped
from mobius_tui.console.lines import Line, fit, outside
from mobius_tui.console.palette import look_of, textual_theme
from mobius_tui.console.poller import Source
from mobius_tui.console.screens.main import MainScreen
from mobius_tui.console.screens.palette import PaletteScreen
from mobius_tui.console.screens.sheet import SheetScreen
from mobius_tui.console.snapshot import Snapshot, publication_of, running_job
from mobius_tui.console.themes import Theme
from mobius_tui.errors import INTERNAL_ERROR, MobiusError
from mobius_tui.store.database import database_error, open_database
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

TICK_S = 0.5
"""The screen follows the snapshots twice a second: enough for people, little on the wire."""

SLOW_TICK_S = 1.5
"""The same with ``--low-bandwidth``."""

SAID_S = 6.0
"""Seconds a sentence stays in the footer, when no key is pressed."""


class ConsoleApp(App[None], inherit_bindings=False):
    """Shows a source of snapshots and does the actions of the registry.

    Args:
        ws: The workspace that actions write to.
        source: Where the snapshots come from.
        theme: Colours.
        ascii_only: Plain ASCII borders and marks.
        low_bandwidth: Fewer repaints.
        read_only: No action that writes is registered.
        keymap: Other keys, by the name of their action.
        now: The wall clock.
        driver_class: The terminal's driver; None takes the toolkit's.
    """

    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "MOBIUS"

    def __init__(
        self,
        ws: Workspace,
        source: Source,
        theme: Theme,
        *,
        ascii_only: bool = False,
        low_bandwidth: bool = False,
        read_only: bool = False,
        keymap: Mapping[str, str] | None = None,
        now: Callable[[], float] = clock.now,
        driver_class: Any = None,
    ) -> None:
        super().__init__(driver_class=driver_class, ansi_color=True if theme.ansi else None)
        self.animation_level = "none"
        self._ws = ws
        self._source = source
        self._now = now
        self._tick_s = SLOW_TICK_S if low_bandwidth else TICK_S
        self._look = look_of(theme, ascii_only=ascii_only)
        self.register_theme(textual_theme(theme))
        self.theme = theme.name
        self._actions = tuple(a for a in remapped(registry(), keymap or {}) if not (read_only and a.writes))
        self._main = MainScreen(self._look, self._actions)
        self._said_at: float | None = None
        self.defect = ""
        self.farewell = ""
        for action in self._actions:
            self.bind(",".join(action.keys), f"do({action.name!r})", description=action.label, show=False)

    def get_default_screen(self) -> Screen[Any]:
        """The main screen."""
        return self._main

    def on_mount(self) -> None:
        """Show the first snapshot, then follow."""
        self._source.start()
        self.tick()
        self.set_interval(self._tick_s, self.tick)

    def on_unmount(self) -> None:
        """Look no more."""
        self._source.stop()

    def tick(self) -> None:
        """Show the latest snapshot; skipped while the terminal has not taken what was sent before."""
        driver: Any = self._driver
        if driver is not None and hasattr(driver, "backlog"):
            if not driver.terminal_there():
                self.terminal_gone()
                return
            if driver.backlog():
                return
            if driver.take_lost():
                self.action_do("redraw")
        if self._said_at is not None and time.monotonic() - self._said_at >= SAID_S:
            self._said_at = None
            self._main.hush_said()
        self._main.show(self._source.latest, self._now())

    def terminal_gone(self) -> None:
        """Nobody can see this console any more: end it; the worker goes on."""
        self.leave(129)

    def leave(self, code: int) -> None:
        """End with an exit code."""
        self.exit(return_code=code)

    def say(self, text: str, role: str = "strong") -> None:
        """Say a sentence in the footer, for some seconds or until the next key."""
        self._said_at = time.monotonic()
        self._main.say(text, role)

    def _hush(self) -> None:
        self._said_at = None
        self._main.hush()

    def action_do(self, name: str) -> None:
        """Do an action of the registry, or say why it cannot be done."""
        action = next(each for each in self._actions if each.name == name)
        self._hush()
        snapshot = self._main.situated(self._source.latest)
        why = action.able(snapshot)
        if why is not None:
            self.say(f"{action.label}: not now: {why}", "warn")
        elif action.leads is not None and action.leads(snapshot):
            self._main.activate(action.leads(snapshot))
        elif action.plan is not None:
            self._find_out(action, snapshot)
        elif action.question is not None:
            self._ask(action, snapshot, action.question(snapshot))
        elif action.writes:
            self._write(action, snapshot)
        elif name.startswith("pane_"):
            self._main.activate(name.removeprefix("pane_"))
        else:
            getattr(self, f"_do_{name}")()

    def _ask(self, action: Action, snapshot: Snapshot, question: Question, act: Act | None = None) -> None:
        """Ask, and do it when that is wanted; what was under the cursor when the key came stays what is meant."""

        def answered(yes: bool) -> None:
            if not yes:
                self.say(f"{action.label}: left as it was")
                return
            now = replace(self._source.latest, pane=snapshot.pane, chosen=snapshot.chosen, alert=snapshot.alert)
            why = action.able(now)  # much may have happened while the question was open
            if why is not None:
                self.say(f"{action.label}: not now: {why}", "warn")
            else:
                self._write(action, now, act)

        self._main.ask(question, answered)

    def _find_out(self, action: Action, snapshot: Snapshot) -> None:
        """Find out in a thread what an action would do, then show it and ask."""

        def work() -> Callable[[], None]:
            assert action.plan is not None
            plan = action.plan(self._ws, snapshot)
            return lambda: self._planned(action, snapshot, plan)

        self._in_thread(action, work)

    def _planned(self, action: Action, snapshot: Snapshot, plan: Plan) -> None:
        self._hush()
        question = plan.question
        if self.screen is not self._main:
            self.say(f"{action.label}: left as it was, something else was opened meanwhile", "warn")
        elif not plan.lines:
            if question is not None:
                self._ask(action, snapshot, question, plan.act)
        else:
            next_step = question.yes if question is not None else ""

            def closed(goes_on: bool | None) -> None:
                if goes_on and question is not None:
                    self._ask(action, snapshot, question, plan.act)
                else:
                    self.say(f"{action.label}: left as it was")

            self._open(SheetScreen(self._look, plan.title, plan.lines, next_step=next_step), closed)

    def _write(self, action: Action, snapshot: Snapshot, act: Act | None = None) -> None:
        """Do it in a thread of its own, so that a busy database or a slow disk never stops the screen."""
        act = act or action.act

        def work() -> Callable[[], None]:
            if act is not None:
                said = act(self._ws, snapshot)
            else:
                with contextlib.closing(open_database(self._ws.database)) as connection:
                    assert action.call is not None
                    said = action.call(self._ws, connection, snapshot)
            return lambda: self.say(said)

        self._in_thread(action, work)

    def _in_thread(self, action: Action, work: Callable[[], Callable[[], None]]) -> None:
        """Run in a thread, and afterwards what that gave back in the loop; failures are said."""
        self.say(f"{action.label} ...")

        def run() -> None:
            try:
                then = work()
            except MobiusError as error:
                then = self._saying(f"{action.label}: {error}")
            except sqlite3.Error as error:
                then = self._saying(f"{action.label}: {database_error(error, self._ws.database)}")
            except OSError as error:
                then = self._saying(f"{action.label}: {error.strerror or error}")
            except Exception as error:  # a defect of one action is said, it does not end the console
                then = self._saying(f"{action.label}: internal error {visible(repr(error))}")
            self._source.wake()
            loop = self._loop
            if loop is not None:
                with contextlib.suppress(RuntimeError):  # the console has ended meanwhile
                    loop.call_soon_threadsafe(self.call_later, then)  # in the console's own context: it may open a page

        threading.Thread(target=run, name=f"mobius-{action.name}", daemon=True).start()

    def _saying(self, text: str) -> Callable[[], None]:
        return lambda: self.say(text, "bad")

    def _do_next_pane(self) -> None:
        self._main.step_pane(1)

    def _do_previous_pane(self) -> None:
        self._main.step_pane(-1)

    def _do_down(self) -> None:
        self._main.move(1)

    def _do_up(self) -> None:
        self._main.move(-1)

    def _do_page_down(self) -> None:
        self._main.move(self._main.active.page())

    def _do_page_up(self) -> None:
        self._main.move(-self._main.active.page())

    def _do_first(self) -> None:
        self._main.move(-1_000_000)

    def _do_last(self) -> None:
        self._main.move(1_000_000)

    def _do_filter(self) -> None:
        self._main.open_filter()

    def _do_clear(self) -> None:
        self._main.active.refilter("")

    def _do_level(self) -> None:
        self._main.next_log_level()
        self.say(f"logs: {self._main.level} and above")

    def _do_open(self) -> None:
        lines: list[Line] = [((label, "muted"), (text, "")) for label, text in self._main.active.detail()]
        if not lines:
            self.say("there is no line here to open", "warn")
        else:
            self._open(SheetScreen(self._look, self._main.active.view.name, lines))

    def _open(self, screen: Screen[Any], closed: Callable[[Any], None] | None = None) -> None:
        """Put a screen over the main one; never two, however fast the keys come."""
        if self.screen is self._main:
            self.push_screen(screen, closed)

    def _do_help(self) -> None:
        self._open(SheetScreen(self._look, "Keys", list(self._help_lines())))

    def _help_lines(self) -> Iterator[Line]:
        snapshot = self._main.situated(self._source.latest)
        for heading, writes in (("What changes something", True), ("What only looks", False)):
            actions = [action for action in self._actions if action.writes == writes]
            if not actions:
                yield (("This console is read-only: no key changes anything.", "strong"),)
                yield ()
                continue
            yield ((heading, "strong"),)
            for action in actions:
                why = action.able(snapshot)
                yield ((f"{fit(action.shown, 10)} {fit(action.label, 13)}", "key"), (action.description, ""))
                if why:
                    yield ((f"{'':24}", ""), (f"not now: {why}", "warn"))
            yield ()
        g = self._look.glyphs
        yield (("Marks", "strong"),)
        yield ((f"{g.ok} done, verified   {g.bad} failed, error   {g.warn} warning   {g.unknown} not verified", ""),)
        yield (
            (
                f"{g.play} running   {g.paused} paused   {g.queued} queued   {g.running} worker   {g.stopped} none",
                "",
            ),
        )
        yield (
            (f"trend lines: 15 minutes, {g.levels[-1]} is the limit, {g.over} over it, {g.no_data} not measured", ""),
        )

    def _do_palette(self) -> None:
        self._open(PaletteScreen(self._look, self._actions, self._main.situated(self._source.latest)), self._chosen)

    def _chosen(self, name: str | None) -> None:
        if name is not None:
            self.action_do(name)

    def _do_redraw(self) -> None:
        driver = self._driver
        if driver is not None:
            driver.write("\x1b[0m\x1b[2J")
        self.screen.refresh(layout=True)
        for widget in self.screen.query("*"):
            widget.refresh()

    def _do_quit(self) -> None:
        self.farewell = self._last_words()
        self.leave(0)

    def _do_interrupt(self) -> None:
        self.farewell = self._last_words()
        self.leave(130)

    def _last_words(self) -> str:
        snapshot = self._source.latest
        found = publication_of(snapshot)
        if found is not None and found.state == "running":
            return f"The console is closed; {found.kind} {outside(found.run_id)} goes on. `mobius` opens it again."
        if not snapshot.worker_alive:
            return "The console is closed; no worker runs."
        job = running_job(snapshot)
        what = f" with {job.kind} {job.id}" if job is not None and job.state == "running" else ""
        return f"The console is closed; the worker goes on{what}. `mobius` opens it again."

    def _handle_exception(self, error: Exception) -> None:
        """A defect ends the console with a sentence, not with a page of code over the operator's screen."""
        if self.is_headless:
            super()._handle_exception(error)
            return
        if not self.defect:
            self.defect = "".join(traceback.format_exception(error))
            self.farewell = f"The console stopped on a defect of its own: {outside(repr(error))}."
        self._return_code = INTERNAL_ERROR
        self._close_messages_no_wait()
