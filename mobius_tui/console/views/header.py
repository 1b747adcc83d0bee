"""The top line: where one is, what the library holds, who works, what time it is."""

from __future__ import annotations

from datetime import UTC, datetime

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, Span, clip, merge, outside, width_of
from mobius_tui.console.snapshot import Snapshot, raised_alerts
from mobius_tui.console.views.metrics import alert_value
from mobius_tui.console.views.watch import guard_text


def header_line(snapshot: Snapshot, now: float, width: int, glyphs: Glyphs) -> Line:
    """The header in ``width`` cells; what matters least goes first when there is little room.

    Args:
        snapshot: The state.
        now: Seconds since the epoch, for the clock.
        width: Cells.
        glyphs: The characters.

    Returns:
        The line; the environment and ``READ-ONLY`` stay to the last, before them the watch and the alerts.
    """
    ground = "production" if snapshot.environment == "production" else "header"
    alarm = "production_alarm" if ground == "production" else "alarm"
    name = outside(snapshot.environment)
    environment = f"{glyphs.warn} PRODUCTION {glyphs.warn}" if ground == "production" else name
    clock = datetime.fromtimestamp(now, UTC).strftime("%H:%M")
    worker = worker_text(snapshot, glyphs)
    works = worker.partition(",")[0]
    guard, calls = guard_text(snapshot, glyphs)
    briefly = guard.partition(",")[0]
    alerts, loud = alerts_text(snapshot, glyphs)
    few = alerts.partition(":")[0] if ":" in alerts else ""  # what is clear need not be said where room is short
    library, brief = _library(snapshot, glyphs)
    read_only = "READ-ONLY" if snapshot.read_only else ""
    for left, watch, said, right in (
        (["MOBIUS", environment, library, worker], guard, alerts, f"{clock} UTC"),
        (["MOBIUS", environment, brief, worker], guard, alerts, f"{clock} UTC"),
        (["MOBIUS", environment, brief, worker], guard, alerts, clock),
        ([environment, brief, worker], guard, alerts, clock),
        ([environment, brief, works], guard, alerts, clock),
        ([environment, works], guard, alerts, clock),
        ([environment, works], guard, few, clock),
        ([environment, works], guard, few, ""),
        ([environment], guard, few, clock),
        ([environment], guard, few, ""),
        ([environment], briefly, few, ""),
        ([environment], briefly, "", ""),
        ([environment], "", "", ""),
    ):
        marked = [(watch, alarm if calls else ground), (said, alarm if loud else ground), (read_only, ground)]
        spans: list[Span] = [(" " + "   ".join(part for part in left if part), ground)]
        for text, role in marked:
            spans += [("   ", ground), (text, role)] if text else []
        gap = width - width_of(tuple(spans)) - len(right) - 1
        if gap >= (1 if right else 0):
            return clip(merge([*spans, (" " * gap + right + " ", ground)]), width)
    return clip(((f" {environment} ", ground), (" " * width, ground)), width)


def alerts_text(snapshot: Snapshot, glyphs: Glyphs) -> tuple[str, bool]:
    """The alerts that hold in a few words, and whether a critical one is among them that nobody has seen.

    Without a worker nobody judges, so that nothing is clear.
    """
    rows = raised_alerts(snapshot)
    if rows:
        many = f"{len(rows)} alert{'s' if len(rows) != 1 else ''}"
        value = alert_value(rows[0], glyphs)
        first = f"{outside(rows[0].name)}{f' {value}' if value else ''}"
        return f"{many}: {first}", any(row.severity == "critical" and not row.acknowledged_by for row in rows)
    judged = snapshot.worker_alive and snapshot.store is not None and not snapshot.problem
    return ("all clear" if judged else ""), False


def worker_text(snapshot: Snapshot, glyphs: Glyphs) -> str:
    """Whether a worker lives, what it does and with how many cores."""
    row = snapshot.store.worker if snapshot.store else None
    if not snapshot.worker_alive:
        return f"worker {glyphs.stopped} stopped"
    if row is None:
        return f"worker {glyphs.running} starting"
    cores = f"{row.cores} core{'s' if row.cores != 1 else ''}"
    return f"worker {glyphs.running} {outside(row.state)}, {cores}"


def _library(snapshot: Snapshot, glyphs: Glyphs) -> tuple[str, str]:
    """How many images there are, with and without how many of them are new."""
    row = snapshot.store.worker if snapshot.store else None
    if row is None or row.images is None:
        return f"library {glyphs.dash}", f"library {glyphs.dash}"
    brief = f"library {row.images:,}"
    return (f"{brief} ({row.unhashed:,} new)" if row.unhashed else brief), brief


def notice_text(snapshot: Snapshot) -> str:
    """What is wrong as a whole, in one sentence; empty when nothing is."""
    if snapshot.problem:
        if snapshot.store is not None and snapshot.stale_since is not None:
            since = datetime.fromtimestamp(snapshot.stale_since, UTC).strftime("%H:%M:%S")
            return f"{snapshot.problem} - what is shown is from {since}"
        return snapshot.problem
    if not snapshot.worker_alive:
        waiting = sum(1 for job in snapshot.jobs if job.active)
        jobs = f", {waiting} job{'s' if waiting != 1 else ''} wait{'s' if waiting == 1 else ''}" if waiting else ""
        if snapshot.worker_note:
            return f"no worker: {snapshot.worker_note}{jobs}"
        return f"no worker runs{jobs}" if jobs else ""
    row = snapshot.store.worker if snapshot.store else None
    return f"worker: {outside(row.note)}" if row is not None and row.note else ""
