"""Signals and the time limit of a verb, as errors with an exit code of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from mobius_tui.errors import Cancelled, HungUp, MobiusError, Terminated, TimeLimit

GRACE_S = 10.0
"""Seconds an operation has to end by itself, from the signal or time limit on."""


class AskedToEnd(BaseException):
    """A signal or the time limit, raised wherever the main thread is; no ``except Exception`` swallows it.

    Args:
        cause: What it means.
    """

    def __init__(self, cause: MobiusError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class _State:
    """What was asked of this process; signal handlers are of the whole process, so this is too."""

    soft = False
    cause: MobiusError | None = None
    limit_s = 0.0


def install() -> None:
    """Turn SIGINT, SIGTERM and SIGHUP into errors; one that is ignored (nohup) stays ignored."""
    _State.soft, _State.cause, _State.limit_s = False, None, 0.0
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)


def set_time_limit(seconds: float) -> None:
    """End this process's operation after some seconds, with exit code 4."""
    _State.limit_s = seconds
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _on_signal)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return
    timer = threading.Timer(seconds, signal.raise_signal, [signal.SIGTERM])
    timer.daemon = True
    timer.start()


def lift_time_limit() -> None:
    """The work is over: the time limit must not meet the process while it ends."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """While an operation runs that can end by itself: signals only set what this gives.

    A second signal, or ``GRACE_S`` without an end, raises all the same.

    Yields:
        Whether the operation should end.
    """
    _State.soft = True
    try:
        yield lambda: _State.cause is not None
    finally:
        _State.soft = False
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)  # what is left is to say how it went


def cause_of_stop() -> MobiusError | None:
    """The signal or time limit that was met; None when there was none."""
    return _State.cause


def hand_over_to(number: int) -> None:
    """Let a long-lived process handle its own signals; the time limit sends it this one."""
    if _State.limit_s and hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, lambda *_: _pass_on(number))


def _pass_on(number: int) -> None:
    _State.cause = _error_of(getattr(signal, "SIGALRM", 0))
    os.kill(os.getpid(), number)


def _on_signal(number: int, _frame: FrameType | None) -> None:
    if _State.soft and _State.cause is None:
        _State.cause = _error_of(number)
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, _on_signal)
            signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        return
    raise AskedToEnd(_State.cause or _error_of(number))


def _error_of(number: int) -> MobiusError:
    if number == getattr(signal, "SIGALRM", -1) or (_State.limit_s and not hasattr(signal, "setitimer")):
        return TimeLimit(f"the time limit of {_State.limit_s:g} s ran out", fix="give --timeout more, or leave it out")
    if number == signal.SIGTERM:
        return Terminated("asked to end (SIGTERM)")
    if number == getattr(signal, "SIGHUP", -1):
        return HungUp("the terminal went away (SIGHUP)")
    return Cancelled("interrupted")
