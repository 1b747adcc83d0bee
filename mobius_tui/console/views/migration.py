"""Pane 2: the migration or dry run under way, or the last one, and what happened in it."""

from __future__ import annotations

from collections.abc import Sequence

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import BLANK, Line, Span, columns, fit_middle, outside, width_of, wrap
from mobius_tui.console.snapshot import Snapshot, migration_of, pausing
from mobius_tui.console.views.events import event_detail, event_line, event_words
from mobius_tui.console.views.view import View, brief_seconds, short_time
from mobius_tui.store.events import Event
from mobius_tui.store.jobs import Job
from mobius_tui.text import counted

_LEAST_BAR = 6


def share_of(job: Job) -> float | None:
    """How much of the phase is done, 0..1; None before that is known."""
    if job.state == "done":
        return 1.0
    if not job.total:
        return None
    return min(1.0, job.done / job.total)


def percent(job: Job) -> str:
    """The share in whole percent, rounded down: 100 % means done."""
    share = share_of(job)
    return "" if share is None else f"{int(share * 100)}%"


def progress_bar(share: float, width: int, glyphs: Glyphs) -> list[Span]:
    """A bar of ``width`` cells."""
    full = min(width, int(share * width))
    return [(glyphs.full * full, "bar"), (glyphs.empty * (width - full), "rest")]


def _note(snapshot: Snapshot) -> str:
    job = migration_of(snapshot)
    if job is None or not job.active:
        return ""
    return "paused" if job.state == "paused" else percent(job) or job.state


def mode_of(job: Job) -> str:
    """What the run may change: ``LIVE`` writes the catalogue, ``DRY RUN`` only a report."""
    return "LIVE" if job.kind == "migrate" else "DRY RUN"


def state_mark(job: Job, glyphs: Glyphs) -> Span:
    """Mark and role of a job's state."""
    marks: dict[str, Span] = {
        "queued": (glyphs.queued, "muted"),
        "running": (glyphs.play, "accent"),
        "paused": (glyphs.paused, "warn"),
        "interrupted": (glyphs.warn, "warn"),
        "done": (glyphs.ok, "ok"),
        "failed": (glyphs.bad, "bad"),
        "cancelled": (glyphs.bad, "muted"),
        "refused": (glyphs.bad, "muted"),
    }
    return marks.get(job.state, (glyphs.unknown, "warn"))


def _head(snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    job = migration_of(snapshot)
    if job is None:
        return []
    lines = [_progress(job, width, glyphs), *_counts(job, width)]
    lines += _story(job, snapshot, width, glyphs)
    return lines[: max(1, height)] if height < 12 else [*lines, BLANK]


def _progress(job: Job, width: int, glyphs: Glyphs) -> Line:
    mark, role = state_mark(job, glyphs)
    mode: Span = (mode_of(job), "live" if job.kind == "migrate" else "accent")
    right: list[Span] = [(percent(job), "strong")]
    if job.state == "running":
        right += [(_rate(job, glyphs), ""), (f"ETA {_eta(job, glyphs)}", "strong")]
    else:
        right.append((f"{mark} {job.state}", role))
    tail = columns(right)
    bar = width - width_of(columns([mode, ("", "")])) - width_of(tail) - 4
    share = share_of(job)
    if bar < _LEAST_BAR:
        return columns([mode, *right])
    filled = progress_bar(share, bar, glyphs) if share is not None else [(glyphs.empty * bar, "rest")]
    return (mode, ("  ", ""), *filled, ("  ", ""), *tail)


def _rate(job: Job, glyphs: Glyphs) -> str:
    return f"{glyphs.dash}/s" if job.rate is None else f"{job.rate:,.0f}/s" if job.rate >= 10 else f"{job.rate:.1f}/s"


def _eta(job: Job, glyphs: Glyphs) -> str:
    return glyphs.dash if job.eta_s is None else brief_seconds(job.eta_s)


def _counts(job: Job, width: int) -> list[Line]:
    parts: list[Span] = [
        (counted(job.done) if job.state == "done" or job.total is None else f"{job.done:,}/{job.total:,}", ""),
        (f"failed {job.failed:,}", "bad" if job.failed else ""),
        (f"missing {job.missing:,}" if job.missing else "", "warn"),
        (f"low {job.low:,}", ""),
        (f"exact {job.exact:,}", ""),
        (f"waiting {job.waiting:,}", ""),
        (f"decoded {job.decoded:,}", "muted"),
    ]
    first: list[Span] = []
    rest: list[Span] = []
    for part in parts:
        (rest if rest or width_of(columns([*first, part])) > width else first).append(part)
    return [columns(first), *([columns(rest)] if rest else [])]


def _story(job: Job, snapshot: Snapshot, width: int, glyphs: Glyphs) -> list[Line]:
    """Who, since when and why: the lines that say what is up with the run."""
    who = outside(job.requested_by)
    lines: list[Line] = []
    if job.state == "interrupted":
        goes_on = "it goes on by itself" if snapshot.worker_alive else "it goes on when a worker runs (W)"
        if job.options.get("foreground"):
            goes_on = "start the command again to go on"
        lines += _said(f"{glyphs.warn} its process is gone; {goes_on}", "warn", width)
    elif job.active and job.wanted == "cancel":
        lines += _said(f"{glyphs.warn} {outside(job.wanted_by)} asked to cancel, it ends soon", "warn", width)
    elif pausing(job):
        lines += _said(f"{glyphs.paused} {_paused(job, snapshot)}", "warn", width)
    elif job.state == "queued":
        waits = "waits for the worker" if snapshot.worker_alive else "waits: no worker runs (W starts one)"
        lines += _said(f"{glyphs.queued} {waits}", "muted" if snapshot.worker_alive else "warn", width)
    if job.error:
        lines += _said(f"{glyphs.bad} {outside(job.error)}", "bad" if job.state == "failed" else "warn", width, 2)
    lines += _result(job, width, glyphs)
    by = columns(
        [
            (outside(job.phase) if job.active else f"took {_took(job, glyphs)}", ""),
            (f"by {who} {short_time(job.requested_at, snapshot.at)}", "muted"),
            (outside(job.reason), "muted"),
            (outside(job.run_id), "muted"),
        ]
    )
    return [*lines, by]


def _result(job: Job, width: int, glyphs: Glyphs) -> list[Line]:
    """What a finished run found and wrote."""
    if job.state != "done" or not job.summary:
        return []
    parts: list[Span] = []
    if "duplicates" in job.summary:
        found = job.summary["duplicates"]
        parts.append((f"{glyphs.ok} {outside(found)} {'duplicate' if found == 1 else 'duplicates'}", "ok"))
    if job.summary.get("output"):
        room = max(10, width - 38)
        parts.append((f"wrote {fit_middle(outside(job.summary['output']), room).rstrip()}", ""))
    if job.summary.get("backup"):
        name = f"backup {outside(job.summary['backup'])}"
        fits = width_of(columns([*parts, (name, "")])) <= width
        parts.append((name if fits else "backed up", "muted"))
    return [columns(parts)] if parts else []


def _paused(job: Job, snapshot: Snapshot) -> str:
    since = next(
        (e.at for e in reversed(snapshot.store.events if snapshot.store else ()) if _is_pause(e, job)),
        None,
    )
    moment = f" since {short_time(since, snapshot.at)}" if since is not None and job.state == "paused" else ""
    what = "paused" if job.state == "paused" else "pause asked"
    return f"{what} by {outside(job.wanted_by) or '–'}{moment}; p resumes, this time is not in the ETA"


def _is_pause(event: Event, job: Job) -> bool:
    return event.event == "paused" and event.run_id == job.run_id


def _took(job: Job, glyphs: Glyphs) -> str:
    if job.started_at is None or job.finished_at is None:
        return glyphs.dash
    return brief_seconds(job.finished_at - job.started_at)


def _said(text: str, role: str, width: int, most: int = 1) -> list[Line]:
    return [((row, role),) for row in wrap(text, width, most)]


def _items(snapshot: Snapshot) -> Sequence[Event]:
    job = migration_of(snapshot)
    if job is None or snapshot.store is None:
        return ()
    return [event for event in reversed(snapshot.store.events) if event.run_id == job.run_id]


def _empty(snapshot: Snapshot) -> str:
    if migration_of(snapshot) is not None:
        return "its events are no longer among the latest; `mobius logs --run` has them"
    if snapshot.read_only:
        return "no migration has run here yet"
    return "no migration has run here yet: d starts a dry run (writes only a report), M a migration"


MIGRATION = View(
    number=2,
    name="Migration",
    note=_note,
    head=_head,
    items=_items,
    line=event_line,
    words=event_words,
    key=lambda event: event.id,
    detail=event_detail,
    empty=_empty,
)
"""The pane's content."""
