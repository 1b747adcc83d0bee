"""Watching a canary: the same measurements and rules, in the process of the deploy, which undoes it itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mobius_tui.guard.collector import Collector
from mobius_tui.guard.mirror import Mirror
from mobius_tui.guard.model import Measurement, Outcome, Plan, RuleRow
from mobius_tui.guard.rows import tick_row
from mobius_tui.guard.rules import judge
from mobius_tui.guard.surroundings import Measures
from mobius_tui.guard.telling import names_of
from mobius_tui.guard.timing import Anchor, BootClock, Clock, due_at, due_number
from mobius_tui.guard.verdict import decide_end, failing, next_line, overall
from mobius_tui.store.watches import WatchRow
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace

LOOK_S = 0.25
"""Seconds between two looks at whether the deploy should end."""


class _Row:
    """The canary's row and its measurements in the database."""

    def __init__(self, ws: Workspace, plan: Plan, clock: Clock) -> None:
        self._mirror, self._plan, self._clock = Mirror(ws), plan, clock
        self._began = clock.now()
        self._token = process_token()

    def tick(self, measurement: Measurement, rows: tuple[RuleRow, ...]) -> None:
        self._mirror.tick(self._plan.run, tick_row(measurement, rows))

    def show(self, next_: str, left_s: float, outcome: str = "") -> None:
        plan, now = self._plan, self._clock.now()
        row = WatchRow(
            plan.run, plan.deploy, "ended" if outcome else "running", outcome, plan.who, plan.reason, plan.auto,
            plan.to_json(), self._began, now + left_s, now if outcome else None, self._token, (), next_, "",
            "the rules" if outcome else "", now,
        )  # fmt: skip
        self._mirror.watch(row)
        self._mirror.flush()

    def close(self) -> None:
        self._mirror.close()


def watch_canary(
    ws: Workspace,
    plan: Plan,
    note: Callable[..., object],
    checkpoint: Callable[[], object],
    *,
    collector: Measures | None = None,
    clock: Clock | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[Outcome, str]:
    """Watch a canary to its verdict.

    Args:
        ws: The workspace.
        plan: What is asked for, with the run id ``<deploy run>-canary``.
        note: Called as ``note("canary", number=..., verdict=..., sentence=...)`` after each measurement.
        checkpoint: Called a few times a second; raises when the deploy should end, which ends the watch.
        collector: Measures; None means the real one.
        clock: Tells the time; None means the machine's.
        sleep: Waits for some seconds.

    Returns:
        ``rolled back`` as soon as a rule fails, else ``accepted`` or ``undecided`` when the time is over; and why.
    """
    clock = clock or BootClock()
    live = Path(plan.live) if plan.live else None
    collector = collector or Collector(
        ws, plan.base_url, plan.baseline, plan.interval_s, live=live, deploy=plan.deploy, monotonic=clock.seconds
    )
    row = _Row(ws, plan, clock)
    try:
        return _watched(plan, collector, row, note, checkpoint, clock, sleep)
    except BaseException as error:
        row.show("", 0.0, "stopped" if not isinstance(error, Exception) else "void")
        raise
    finally:
        row.close()


def _watched(
    plan: Plan,
    collector: Measures,
    row: _Row,
    note: Callable[..., object],
    checkpoint: Callable[[], object],
    clock: Clock,
    sleep: Callable[[float], object],
) -> tuple[Outcome, str]:
    begin = Anchor.here(clock, 0.0)
    measurements: list[Measurement] = []
    history: list[tuple[RuleRow, ...]] = []
    last = 0
    row.show(next_line(plan, (), plan.duration_s), plan.duration_s)
    while True:
        checkpoint()
        elapsed = begin.elapsed(clock)
        number = due_number(min(elapsed, plan.duration_s), plan.interval_s)
        if number > last:
            measurements.append(collector.measure(number, elapsed, number - last))
            history.append(judge(plan, measurements))
            last, rows = number, history[-1]
            row.tick(measurements[-1], rows)
            left = plan.duration_s - elapsed
            row.show(next_line(plan, rows, left), left)
            note("canary", number=number, verdict=overall(rows), sentence=names_of(failing(rows)))
            if failing(rows):
                row.show(names_of(failing(rows)), left, "rolled back")
                return "rolled back", names_of(failing(rows))
        if elapsed >= plan.duration_s:
            outcome, reason = decide_end(plan, history, numbers=[each.number for each in measurements])
            row.show(reason, 0.0, outcome)
            return outcome, reason
        sleep(
            max(0.0, min(LOOK_S, due_at(last + 1, plan.interval_s) - begin.elapsed(clock), plan.duration_s - elapsed))
        )
