"""Killing whoever holds a lock, and nobody else."""

import contextlib
import os
import signal

from mobius_tui.system.locks import Holder


def kill_holder(holder: Holder | None, *signals: int) -> None:
    """Send signals, SIGKILL when none is named; who has left no name yet is left alone: PID 0 is this very group."""
    if holder is None or holder.pid <= 0:
        return
    for number in signals or (signal.SIGKILL,):
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.pid, number)
