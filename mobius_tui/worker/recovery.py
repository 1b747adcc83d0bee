"""Bringing to rest what a crash cut off, beside the worker's loop: the operator's hooks of an end may take minutes."""

from __future__ import annotations

import threading

from mobius_tui.errors import MobiusError
from mobius_tui.logs import JsonLog
from mobius_tui.rollback.recover import recover
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

    @property
    def busy(self) -> bool:
        """Whether a look is under way: no job should begin meanwhile."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> None:
        """Look now, unless it is just being done."""
        if not self.busy:
            self._thread = threading.Thread(target=self._look, name="recovery", daemon=True)
            self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the look that is under way; returns whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.busy

    def _look(self) -> None:
        """One look; what cannot be brought to rest is told, and tried again by the next look or writing verb."""
        try:
            recover(self._ws, lambda text: self._log.write("warning", "worker", "recovery", text))
        except Exception as error:  # in a thread nobody else would hear of it
            said = str(error) if isinstance(error, MobiusError | OSError) else f"{type(error).__name__}: {error}"
            self._log.write("error", "worker", "recovery", visible(said))
