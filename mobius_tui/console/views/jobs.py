"""Pane 7: running and recent operations, whoever started them."""

from __future__ import annotations

from collections.abc import Sequence

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, columns, fit, outside
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.migration import percent, state_mark
from mobius_tui.console.views.view import Detail, View, brief_seconds, labelled, long_time, no_head, short_time
from mobius_tui.operations.run_steps import steps_of_summary
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
        (f"{mark} {fit(outside(job.kind), 7)}", role),
        (fit(state, 11), role),
        (short_time(job.requested_at, snapshot.at), "muted"),
    ]
    if width < 66:
        room = width - 31
        return columns([*parts, (fit(outside(job.requested_by), room) if room >= 5 else "", "muted")])
    took = _took(job, snapshot)
    why = outside(job.error or job.reason)
    parts += [
        (fit(outside(job.requested_by), 10, ellipsis=glyphs.middle), "muted"),
        (fit(took, 8, right=True), ""),
        (fit(f"job {job.id}", 8), "muted"),
        (fit(why, max(0, width - 65), ellipsis=glyphs.middle), "bad" if job.state == "failed" else "muted"),
    ]
    return columns(parts)


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
        *(labelled(f"step {step.name}", f"{step.state}: {step.reason}") for step in steps_of_summary(job.summary)),
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
