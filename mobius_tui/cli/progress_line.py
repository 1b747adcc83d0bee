"""The line of progress: on a terminal redrawn in place, elsewhere a line now and then when more talk is wanted."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mobius_tui.cli.call import Call
from mobius_tui.cli.layout import fitted
from mobius_tui.cli.output import is_terminal, screen_width, tell, tell_raw
from mobius_tui.operations.progress import Tick
from mobius_tui.text import human_seconds

REDRAW_S = 0.25
"""Seconds between two redraws at the least."""

LINE_S = 10.0
"""Seconds between two lines where nothing can be redrawn."""

_BAR = 20


def progress_text(tick: Tick) -> str:
    """Progress in one line: phase, bar, share, count, rate, time left, what went wrong."""
    if tick.paused_by:
        return f"{tick.phase}: paused by {tick.paused_by}"
    if not tick.total:
        return tick.phase
    counts = tick.counts
    share = min(1.0, counts.done / tick.total)
    parts = [f"{tick.phase} [{'#' * int(share * _BAR):<{_BAR}}] {share:4.0%}", f"{counts.done:,}/{tick.total:,}"]
    parts.append("-/s" if tick.rate is None else f"{tick.rate:.0f}/s" if tick.rate >= 10 else f"{tick.rate:.1f}/s")
    parts.append("ETA " + ("-" if tick.eta_s is None else human_seconds(tick.eta_s)))
    if counts.failed or counts.missing:
        parts.append(f"failed {counts.failed:,}" + (f" missing {counts.missing:,}" if counts.missing else ""))
    if counts.low:
        parts.append(f"low {counts.low:,}")
    return "  ".join(parts)


@contextmanager
def progress_line(call: Call) -> Iterator[Callable[[Tick], None]]:
    """Show the progress of an operation on stderr, and leave no trace of it at the end.

    Args:
        call: Says how much talk is wanted.

    Yields:
        What to call with each tick.
    """
    redraws = is_terminal(sys.stderr) and os.environ.get("TERM", "dumb") != "dumb" and not call.quiet
    line = _Line(redraws=redraws, every_s=REDRAW_S if redraws else LINE_S, silent=not redraws and not call.verbose)
    try:
        yield line.update
    finally:
        line.clear()


class _Line:
    """What was drawn last, and when."""

    def __init__(self, *, redraws: bool, every_s: float, silent: bool) -> None:
        self._redraws = redraws
        self._every_s = every_s
        self._silent = silent
        self._drawn_at = -every_s
        self._drawn = False

    def update(self, tick: Tick) -> None:
        now = time.monotonic()
        if self._silent or now - self._drawn_at < self._every_s:
            return
        self._drawn_at = now
        text = progress_text(tick)
        if self._redraws:
            tell_raw(f"\r{fitted(text, screen_width() - 1)}\x1b[K")
            self._drawn = True
        else:
            tell(text)

    def clear(self) -> None:
        if self._drawn:
            tell_raw("\r\x1b[K")
            self._drawn = False
