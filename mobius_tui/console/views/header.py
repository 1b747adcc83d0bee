"""The top line: where one is, what the library holds, who works, what time it is."""

from __future__ import annotations

from datetime import UTC, datetime

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, Span, clip, merge, outside, width_of
from mobius_tui.console.snapshot import Snapshot


def header_line(snapshot: Snapshot, now: float, width: int, glyphs: Glyphs) -> Line:
    """The header in ``width`` cells; what matters least goes first when there is little room.

    Args:
        snapshot: The state.
        now: Seconds since the epoch, for the clock.
        width: Cells.
        glyphs: The characters.

    Returns:
        The line; the environment and ``READ-ONLY`` stay to the last.
    """
    ground = "production" if snapshot.environment == "production" else "header"
    name = outside(snapshot.environment)
    environment = f"{glyphs.warn} PRODUCTION {glyphs.warn}" if ground == "production" else name
    clock = datetime.fromtimestamp(now, UTC).strftime("%H:%M")
    worker = worker_text(snapshot, glyphs)
    library, brief = _library(snapshot, glyphs)
    read_only = "READ-ONLY" if snapshot.read_only else ""
    for left, right in (
        (["MOBIUS", environment, library, worker, read_only], f"{clock} UTC"),
        (["MOBIUS", environment, brief, worker, read_only], f"{clock} UTC"),
        (["MOBIUS", environment, brief, worker, read_only], clock),
        ([environment, brief, worker, read_only], clock),
        ([environment, worker, read_only], clock),
        ([environment, worker.partition(",")[0], read_only], clock),
        ([environment, worker.partition(",")[0], read_only], ""),
        ([environment, read_only], ""),
    ):
        text = " " + "   ".join(part for part in left if part)
        gap = width - width_of(((text, ""),)) - len(right) - 1
        if gap >= (1 if right else 0):
            spans: list[Span] = [(text + " " * gap + right + " ", ground)]
            return clip(merge(spans), width)
    return clip(((f" {environment} ", ground), (" " * width, ground)), width)


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
