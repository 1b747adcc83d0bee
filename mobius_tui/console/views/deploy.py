"""Pane 2 while a deploy or rollback runs, or has just ended: its steps, each with time, state and reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import BLANK, Line, Span, columns, fit, outside, width_of, wrap
from mobius_tui.console.snapshot import Publication, Snapshot, publication_of
from mobius_tui.console.views.migration import progress_bar, share_of
from mobius_tui.console.views.view import Detail, View, brief_seconds, labelled, long_time, short_time
from mobius_tui.operations.deploy.options import StepState
from mobius_tui.operations.run_steps import CUT_OFF
from mobius_tui.system.clock import clock_text

_NAME = 11
_LEAST_BAR = 8
_LEAST_REASON = 24
_WITH_TIME = 56

_WORDS = {
    "waiting": "waits",
    "running": "runs",
}

_LOUD = ("failed", "warning", CUT_OFF, "undone", "again", "running")
"""States whose reason is told whole before that of others, the first first."""

_MOST_ROWS = 3
"""Rows of one step's reason."""


def _note(snapshot: Snapshot) -> str:
    found = publication_of(snapshot)
    if found is None:
        return ""
    done, steps = sum(step.state in {"done", "warning", "skipped"} for step in found.steps), len(found.steps)
    return f"{done}/{steps}" if found.active and steps else outside(found.state)


def _head(snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    found = publication_of(snapshot)
    if found is None:
        return []
    lines = [_state_line(found, snapshot, width, glyphs)]
    lines += _progress(found, width, glyphs)
    lines += _story(found, snapshot, width, height, glyphs)
    room = height - len(lines) - len(found.steps)
    return [*lines, BLANK] if room > 0 else lines


def _mark(found: Publication, glyphs: Glyphs) -> Span:
    marks: dict[str, Span] = {
        "queued": (glyphs.queued, "muted"),
        "running": (glyphs.play, "accent"),
        "interrupted": (glyphs.warn, "warn"),
        "done": (glyphs.ok, "ok"),
        "cancelled": (glyphs.bad, "muted"),
        "held": (glyphs.warn, "warn"),
    }
    return marks.get(found.state, (glyphs.bad, "bad"))


def _state_line(found: Publication, snapshot: Snapshot, width: int, glyphs: Glyphs) -> Line:
    mark, role = _mark(found, glyphs)
    outcome = found.job.summary.get("outcome") if found.job is not None and not found.active else None
    state = outside(outcome or found.state)
    name: Span = (outside(found.kind).upper(), "live")
    took = brief_seconds((found.ended or snapshot.at) - found.began) if found.began else glyphs.dash
    took = "" if found.state == "interrupted" else took  # nobody knows when its process ended
    by = (
        f"by {outside(found.who)} {short_time(found.began, snapshot.at)}" if found.began else f"by {outside(found.who)}"
    )
    parts: list[Span] = [name, (f"{mark} {state}", role), (took, "strong"), (by, "muted")]
    rest = [(outside(found.reason), "muted"), (outside(found.run_id), "muted")]
    for part in rest:
        if part[0] and width_of(columns([*parts, part])) <= width:
            parts.append(part)
    return columns(parts)


def _progress(found: Publication, width: int, glyphs: Glyphs) -> list[Line]:
    """The bar of the step that counts images."""
    job = found.job
    if job is None or found.state != "running" or not job.total or not job.done:
        return []
    share = share_of(job)
    if share is None or share >= 1.0:
        return []
    eta = glyphs.dash if job.eta_s is None else brief_seconds(job.eta_s)
    tail = columns([(f"{int(share * 100)}%", "strong"), (f"{job.done:,}/{job.total:,}", ""), (f"ETA {eta}", "strong")])
    bar = width - width_of(tail) - 2
    return [(*progress_bar(share, bar, glyphs), ("  ", ""), *tail) if bar >= _LEAST_BAR else tail]


def _story(found: Publication, snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """What is up with it, in a sentence or two."""
    job = found.job
    room = 3 if height >= 16 else 2
    if found.state == "interrupted":
        said = f"{glyphs.warn} its process is gone; the next deploy or rollback finishes or undoes it, and says which"
        return _said(said, "warn", width, room)
    if job is not None and job.state == "paused" and job.summary.get("question"):
        asks = f"{glyphs.paused} {outside(job.summary['question'])}: A answers, C ends it"
        return _said(asks, "warn", width, room)
    if job is not None and job.active and job.wanted == "cancel":
        said = f"{glyphs.warn} {outside(job.wanted_by)} asked to end it; what it did is undone"
        return _said(said, "warn", width, room)
    if found.state == "queued" or (found.active and not any(s.state != "waiting" for s in found.steps)):
        return _said(f"{glyphs.queued} {outside(job.phase) if job and job.phase else 'it begins'}", "muted", width, 1)
    if found.error:
        return _said(
            f"{glyphs.bad} {outside(found.error)}", "bad" if found.state != "cancelled" else "warn", width, room
        )
    return _said(outside(found.said), "", width, room) if found.said else []


def _said(text: str, role: str, width: int, most: int) -> list[Line]:
    return [((row, role),) for row in wrap(text, width, most)]


def _items(snapshot: Snapshot) -> Sequence[StepState]:
    found = publication_of(snapshot)
    return found.steps if found is not None else ()


def step_mark(step: StepState, glyphs: Glyphs) -> Span:
    """Mark and role of a step's state: a state never shows by colour alone."""
    marks: dict[str, Span] = {
        "waiting": (glyphs.dot, "muted"),
        "running": (glyphs.play, "accent"),
        "done": (glyphs.ok, "ok"),
        "failed": (glyphs.bad, "bad"),
        "warning": (glyphs.warn, "warn"),
        CUT_OFF: (glyphs.warn, "warn"),
        "undone": (glyphs.warn, "warn"),
        "again": (glyphs.warn, "warn"),
        "skipped": (glyphs.dash, "muted"),
    }
    return marks.get(step.state, (glyphs.unknown, "warn"))


def _line(step: StepState, width: int, glyphs: Glyphs, snapshot: Snapshot) -> Line:
    parts = _parts(step, width, glyphs, snapshot)
    room = width - width_of(columns(parts, 1)) - 2
    reason = fit(_reason(step), room, ellipsis=glyphs.middle).rstrip() if room > 3 else ""
    return columns([*parts, (f" {reason}" if reason else "", _tone(step, glyphs))], 1)


def _spread(
    steps: Sequence[StepState], width: int, spare: int, glyphs: Glyphs, snapshot: Snapshot
) -> Mapping[int, list[Line]]:
    """The steps whose reason goes on below itself, as far as ``spare`` rows allow: what went wrong before the rest."""
    lines: dict[int, list[Line]] = {}
    for place in sorted(range(len(steps)), key=lambda place: (_rank(steps[place]), place)):
        step = steps[place]
        parts = _parts(step, width, glyphs, snapshot)
        start, most = width_of(columns(parts, 1)) + 2, min(_MOST_ROWS, 1 + spare)
        room = width - start
        rows = wrap(_reason(step), room, most, ellipsis=glyphs.middle) if room >= _LEAST_REASON else []
        if len(rows) > 1:
            spare -= len(rows) - 1
            tone = _tone(step, glyphs)
            head = columns([*parts, (f" {rows[0]}", tone)], 1)
            lines[place] = [head, *(((" " * start, ""), (row, tone)) for row in rows[1:])]
    return lines


def _rank(step: StepState) -> int:
    return _LOUD.index(step.state) if step.state in _LOUD else len(_LOUD)


def _reason(step: StepState) -> str:
    reason = outside(step.reason)
    if step.state == "running" and not reason and step.limit_s:
        return f"limit {brief_seconds(step.limit_s)}"
    return reason


def _tone(step: StepState, glyphs: Glyphs) -> str:
    return step_mark(step, glyphs)[1] if step.state in _LOUD[:-1] else "muted"


def _parts(step: StepState, width: int, glyphs: Glyphs, snapshot: Snapshot) -> list[Span]:
    """All of a step but its reason; where that would have no room, without the time."""
    mark, role = step_mark(step, glyphs)
    at = step.began if step.ended is None else step.ended
    state = _WORDS.get(step.state, outside(step.state))
    time: list[Span] = [(clock_text(at) if at is not None else " " * 8, "muted")]
    return [
        *(time if width >= _WITH_TIME else []),
        (f"{mark} {fit(outside(step.name), _NAME, ellipsis=glyphs.middle)}", role),
        (fit(state, 7, ellipsis=glyphs.middle), role),
        (fit(_took(step, snapshot), 7, right=True), ""),
    ]


def _took(step: StepState, snapshot: Snapshot) -> str:
    if step.began is None or step.state == "waiting":
        return ""
    if step.ended is None:
        return brief_seconds(max(0.0, snapshot.at - step.began)) if step.state == "running" else ""
    spent = max(0.0, step.ended - step.began)
    return f"{spent:.1f} s" if spent < 10 else brief_seconds(spent)


def _detail(step: StepState, snapshot: Snapshot) -> list[Detail]:
    found = publication_of(snapshot)
    lines = [
        labelled("step", step.name),
        labelled("state", step.state),
        labelled("began", long_time(step.began)),
        labelled("ended", long_time(step.ended)),
        labelled("limit", None if step.limit_s is None else brief_seconds(step.limit_s)),
        labelled("reason", step.reason),
    ]
    if found is not None:
        lines += [
            labelled("run", found.run_id),
            labelled("by", found.who),
            labelled("why", found.reason),
            labelled("exit code", found.exit_code),
            labelled("ended with", found.error),
        ]
        summary = found.job.summary if found.job is not None else {}
        for name in ("outcome", "backup", "emergency", "before", "after", "images", "with_dhash_before",
                     "with_dhash_after", "rounds"):  # fmt: skip
            if name in summary:
                lines.append(labelled(name, summary[name]))
    return lines


def _now(steps: Sequence[StepState]) -> int:
    """The last step that has begun."""
    return max((place for place, step in enumerate(steps) if step.state != "waiting"), default=0)


DEPLOY = View(
    number=2,
    name="Deploy",
    note=_note,
    head=_head,
    items=_items,
    line=_line,
    words=lambda step: f"{step.name} {step.state} {step.reason}",
    key=lambda step: step.name,
    detail=_detail,
    empty=lambda _: "its steps are not known yet",
    now=_now,
    spread=_spread,
)
"""The pane's content for a deploy."""

ROLLBACK = replace(DEPLOY, name="Rollback")
"""The pane's content for a rollback."""


def view_of_publication(snapshot: Snapshot) -> View:
    """The view that belongs to what is shown."""
    found = publication_of(snapshot)
    return ROLLBACK if found is not None and found.kind == "rollback" else DEPLOY
