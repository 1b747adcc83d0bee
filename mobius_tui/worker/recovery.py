"""Bringing to rest what a crash cut off, beside the worker's loop: the operator's hooks of an end may take minutes."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from mobius_tui.errors import MobiusError
from mobius_tui.guard.launch import heal_guard
from mobius_tui.logs import JsonLog
from mobius_tui.recovery.journal import JOURNALS, begin_of, open_journals, read_journal
from mobius_tui.rollback.recover import recover
from mobius_tui.system.processes import is_alive
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


class Recovery:
    """Finishes or undoes cut-off operations, one look at a time, each in a thread of its own.

    Args:
        ws: The workspace.
        log: The service log: what was done, and why something could not be.
    """

    def __init__(self, ws: Workspace, log: JsonLog) -> None:
        self._ws = ws
        self._log = log
        self._thread: threading.Thread | None = None
        self._listed = -1
        self._open: dict[Path, str] = {}
        self._left: frozenset[Path] = frozenset()
        self._told: frozenset[str] = frozenset()
        self._healed = ""

    @property
    def busy(self) -> bool:
        """Whether a look is under way: no job should begin meanwhile."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> None:
        """Look now, unless it is just being done."""
        if not self.busy:
            self._thread = threading.Thread(target=self._look, name="recovery", daemon=True)
            self._thread.start()

    def glance(self) -> None:
        """Look now if an operation was cut off since the last look.

        Costs a stat while no operation begins or is under way, and else a look at each open one's process. What the
        last look had to leave is left to the next ``begin``.
        """
        if self.busy:
            return
        with contextlib.suppress(OSError, MobiusError):  # a look tells of that
            changed = (self._ws.state / JOURNALS).stat().st_mtime_ns
            if changed != self._listed or self._cut_off():
                self._open = self._read_open()  # an operation that has ended changes its journal, not the folder
                self._listed = changed
            if self._cut_off():
                self.begin()

    def glance_at_guard(self) -> None:
        """Start the guard again that died under its watch; a look at one lock and one folder when there is none."""
        asked_for = self._ws.sourced.sources.get("environment") == "flag"
        env_name = self._ws.settings.environment if asked_for else None
        said = heal_guard(self._ws, os.environ, env_name)
        if said and said != self._healed:
            self._log.write("warning", "worker", "guard", said)
        self._healed = said

    def join(self, timeout_s: float) -> bool:
        """Wait for the look that is under way; returns whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.busy

    def _cut_off(self) -> frozenset[Path]:
        """The journals known to be open whose process is gone, but for those that the last look had to leave."""
        return frozenset(path for path, token in self._open.items() if path not in self._left and not is_alive(token))

    def _read_open(self) -> dict[Path, str]:
        """The open journals of the folder and the process that each belongs to."""
        found = {}
        for path in open_journals(self._ws.state / JOURNALS):
            with contextlib.suppress(FileNotFoundError):
                found[path] = str(begin_of(read_journal(path)).get("token") or "")
        return found

    def _look(self) -> None:
        """One look; what cannot be brought to rest is told once, and tried again by the next look or writing verb."""
        told: set[str] = set()
        try:
            recover(self._ws, lambda text: self._tell("warning", text, told))
        except Exception as error:  # in a thread nobody else would hear of it
            said = str(error) if isinstance(error, MobiusError | OSError) else f"{type(error).__name__}: {error}"
            self._tell("error", visible(said), told)
        self._told = frozenset(told)
        self._left = frozenset()
        with contextlib.suppress(OSError, MobiusError):
            self._open = self._read_open()
            self._left = self._cut_off()

    def _tell(self, level: str, text: str, told: set[str]) -> None:
        """Log what the last look has not said already."""
        told.add(text)
        if text not in self._told:
            self._log.write(level, "worker", "recovery", text)
