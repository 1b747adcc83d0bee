"""The steps of a deploy on a terminal or in a log: a line each as it ends, and a live line for the one under way."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from mobius_tui.cli.layout import columns_of, fitted, padded, wrapped
from mobius_tui.cli.output import flush, is_terminal, screen_width, show, tell, tell_raw
from mobius_tui.operations.deploy.options import StepState
from mobius_tui.operations.run_steps import CUT_OFF, ENDED, steps_of_job
from mobius_tui.store.jobs import ACTIVE, Job
from mobius_tui.system import clock
from mobius_tui.text import human_seconds, visible

STYLES = {
    "done": "good",
    "warning": "warn",
    "failed": "bad",
    "undone": "warn",
    "again": "warn",
    "running": "",
    "skipped": "dim",
    CUT_OFF: "warn",
}
"""How each state is coloured."""

_STATE = 8
_NAME = 11
_TOOK = 7
_HEAD = "  "


def step_lines(step: StepState, width: int) -> list[str]:
    """A step as lines: when, state, name, how long, and why.

    Args:
        step: The step.
        width: Columns; what is longer goes on below the reason's start.

    Returns:
        One line or more.
    """
    at = step.ended if step.state in ENDED and step.ended is not None else step.began
    took = "" if step.began is None or step.ended is None else human_seconds(step.ended - step.began)
    head = _HEAD.join(
        [
            "--:--:--" if at is None else clock.clock_text(at),
            padded(fitted(step.state or "?", 12), _STATE),
            padded(fitted(step.name, 24), _NAME),
            padded(took, _TOOK, right=True),
        ]
    )
    if not step.reason:
        return [head.rstrip()]
    indent = columns_of(head) + len(_HEAD)
    room = width - indent
    if room < 20:
        return [head.rstrip(), *wrapped(step.reason, indent="  ", width=width)]
    first, *rest = wrapped(step.reason, width=room)
    return [f"{head}{_HEAD}{first}", *(" " * indent + line for line in rest)]


def live_line(job: Job, steps: Sequence[StepState], now: float) -> str:
    """What is going on now, in one line; empty when nothing is.

    Args:
        job: The deploy's row.
        steps: Its steps.
        now: Seconds since the epoch.
    """
    number, step = next(
        ((number, step) for number, step in enumerate(steps, 1) if step.state == "running"), (0, StepState(""))
    )
    if not number:
        return visible(job.phase)
    parts = [f"{number}/{len(steps)} {visible(step.name)}"]
    if step.began is not None:
        spent = human_seconds(max(0.0, float(int(now - step.began))))
        parts.append(f"{spent} of {human_seconds(step.limit_s)}" if step.limit_s else spent)
    if job.total and job.done:
        parts.append(f"{job.done:,}/{job.total:,}")
        parts.append("ETA -" if job.eta_s is None else f"ETA {human_seconds(job.eta_s)}")
    if job.wanted == "cancel":
        parts.append(f"{visible(job.wanted_by)} asked to end it")
    if step.reason:
        parts.append(visible(step.reason))
    return "  ".join(parts)


class StepPrinter:
    """Prints what is new of a deploy each time it is looked at.

    Args:
        to_stdout: Whether the lines are the verb's data; else they are talk.
        quiet: Print nothing.
        now: The wall clock.
    """

    def __init__(self, *, to_stdout: bool, quiet: bool, now: Callable[[], float] = clock.now) -> None:
        self._to_stdout = to_stdout
        self._quiet = quiet
        self._now = now
        self._told: dict[str, tuple[str, float | None]] = {}
        self._redraws = is_terminal(sys.stderr) and os.environ.get("TERM", "dumb") != "dumb" and not quiet
        self._drawn = ""

    def look(self, job: Job) -> None:
        """Print the steps that have begun or ended since the last look; what was undone after what led to it."""
        if self._quiet:
            return
        steps = steps_of_job(job)
        for step in sorted(steps, key=lambda step: step.state == "undone"):
            # Where a live line shows what is under way, a line is printed only at a step's end.
            if step.state not in ENDED and (self._redraws or step.state != "running"):
                continue
            now = (step.state, step.ended if step.state in ENDED else step.began)
            if self._told.get(step.name) != now:
                self._told[step.name] = now
                self._print(step)
        if self._redraws:
            self._draw(live_line(job, steps, self._now()) if job.state in ACTIVE else "")

    def clear(self) -> None:
        """Take the live line away."""
        self._draw("")

    def _print(self, step: StepState) -> None:
        self.clear()
        width = screen_width() if is_terminal(sys.stdout if self._to_stdout else sys.stderr) else 10_000
        for line in step_lines(step, width):
            (show if self._to_stdout else tell)(line, STYLES.get(step.state, ""))
        if self._to_stdout:
            flush(sys.stdout)

    def _draw(self, text: str) -> None:
        text = fitted(text, screen_width() - 1) if text else ""
        if text != self._drawn:
            tell_raw(f"\r{text}\x1b[K")
            self._drawn = text
