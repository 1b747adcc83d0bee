"""Pane 7: running and recent operations, whoever started them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, columns, fit, outside, width_of
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.migration import percent, state_mark
from mobius_tui.console.views.view import Detail, View, brief_seconds, labelled, long_time, no_head, short_time
from mobius_tui.operations.run_steps import steps_of_job
from mobius_tui.store.jobs import Job


def _note(snapshot: Snapshot) -> str:
    active = sum(1 for job in snapshot.jobs if job.active)
    return f"{active} active" if active else ""


def _items(snapshot: Snapshot) -> Sequence[Job]:
    return snapshot.jobs


def _line(job: Job, width: int, glyphs: Glyphs, snapshot: Snapshot) -> Line:
    mark, role = state_mark(job, glyphs)
    state = outside(job.state)
    if job.state == "running" and percent(job):
        state = f"running {percent(job)}"
    parts = [
        (f"{mark} {fit(outside(job.kind), 8, ellipsis=glyphs.middle)}", role),
        (fit(state, 11, ellipsis=glyphs.middle), role),
        (short_time(job.requested_at, snapshot.at), "muted"),
    ]
    if width < 66:
        room = width - width_of(columns(parts)) - 2
        return columns([*parts, (fit(outside(job.requested_by), room) if room >= 5 else "", "muted")])
    # as wide as what stands in them, so that the reason has the rest
    who = _widest([outside(each.requested_by) for each in snapshot.jobs], 10)
    took = _widest([_took(each, snapshot) for each in snapshot.jobs], 8)
    number = _widest([f"job {each.id}" for each in snapshot.jobs], 10)
    parts += [
        (fit(outside(job.requested_by), who, ellipsis=glyphs.middle), "muted"),
        (fit(_took(job, snapshot), took, right=True), ""),
        (fit(f"job {job.id}", number), "muted"),
    ]
    why, room = outside(job.error or job.reason), width - width_of(columns(parts)) - 2
    tone = "bad" if job.state == "failed" else "muted"
    return columns([*parts, (fit(why, max(0, room), ellipsis=glyphs.middle), tone)])


def _widest(texts: Sequence[str], most: int) -> int:
    """The cells of the widest text, at most ``most``."""
    return min(most, max((cell_len(text) for text in texts), default=0))


def _took(job: Job, snapshot: Snapshot) -> str:
    if job.started_at is None:
        return "–"
    if job.active:
        return ""
    return "–" if job.finished_at is None else brief_seconds(job.finished_at - job.started_at)


def _detail(job: Job, _: Snapshot) -> list[Detail]:
    return [
        labelled("job", f"{job.id} {job.kind}, {job.state}"),
        labelled("run", job.run_id),
        labelled("asked for", f"{long_time(job.requested_at)} by {job.requested_by}"),
        labelled("reason", job.reason),
        labelled("started", long_time(job.started_at)),
        labelled("ended", long_time(job.finished_at)),
        labelled("exit code", job.exit_code),
        labelled("error", job.error),
        labelled("last wish", f"{job.wanted} by {job.wanted_by}" if job.wanted_by else None),
        labelled(
            "images", f"{job.done:,} of {'–' if job.total is None else f'{job.total:,}'}, {job.decoded:,} decoded"
        ),
        labelled("found", f"failed {job.failed:,}, missing {job.missing:,}, low {job.low:,}, exact {job.exact:,}"),
        *(labelled(f"option {name}", value) for name, value in job.options.items()),
        *(labelled(f"step {step.name}", f"{step.state}: {step.reason}") for step in steps_of_job(job)),
        *(labelled(f"result {name}", value) for name, value in job.summary.items() if name != "steps"),
    ]


JOBS = View(
    number=7,
    name="Jobs",
    note=_note,
    head=no_head,
    items=_items,
    line=_line,
    words=lambda job: f"{job.id} {job.kind} {job.state} {job.requested_by} {job.reason} {job.error} {job.run_id}",
    key=lambda job: job.id,
    detail=_detail,
    empty=lambda _: "no operation yet",
)
"""The pane's content."""
