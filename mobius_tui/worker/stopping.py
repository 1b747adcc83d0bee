"""How the worker hears that it should end, and that it does end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

STOP_S = 8.0
"""Seconds between the wish to stop and the hard exit; shorter than what ``worker stop`` waits before it kills."""

_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")
_AGAIN_S = 0.5


class StopRequest:
    """A wish to stop, made by a signal or by a caller.

    A handler only notes it: locks taken in a handler may be held by the very code it interrupted.

    Args:
        deadline_s: Seconds the worker has for an orderly end.
        leave: Ends the process at once; replaced in tests.
    """

    def __init__(self, deadline_s: float = STOP_S, leave: Callable[[], None] | None = None) -> None:
        self.reason = ""
        self._since: float | None = None
        self._deadline_s = deadline_s
        self._leave = leave or leave_at_once
        self._over = threading.Event()

    def asked(self) -> bool:
        """Whether the worker should end."""
        return self._since is not None

    def ask(self, reason: str) -> None:
        """Wish the end; the first reason counts."""
        if self._since is None:
            self.reason = reason
            self._since = time.monotonic()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGTERM, SIGINT and SIGHUP as the wish to stop, and end the process hard when it takes too long."""
        before = {}
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and not _is_hushed(number):
                before[number] = signal.signal(number, self._heard)
        guard = threading.Thread(target=self._guard, name="stop-guard", daemon=True)
        guard.start()
        try:
            yield
        finally:
            self._over.set()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        late = self._since is not None and time.monotonic() - self._since > _AGAIN_S
        if number == signal.SIGINT and late:  # Ctrl-C again: somebody is in a hurry
            self._leave()
        self.ask(signal.Signals(number).name)

    def _guard(self) -> None:
        while not self._over.wait(0.5):
            since = self._since
            if since is not None and time.monotonic() - since > self._deadline_s:
                self._leave()
                return


def _is_hushed(number: int) -> bool:
    """Whether whoever started this process shields it from hang-ups, as nohup does."""
    return number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) == signal.SIG_IGN


def leave_at_once() -> None:
    """End this process and its pool, now; every commit is on disk and the job goes on at the next start."""
    for child in multiprocessing.active_children():
        with contextlib.suppress(OSError, ValueError):
            child.kill()
    os._exit(0)
