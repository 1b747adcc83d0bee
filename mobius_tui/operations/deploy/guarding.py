"""How the service is before a publication, the plan of the watch that guards it, and the guard that takes that up."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.guard.collector import with_published
from mobius_tui.guard.files import all_open, plan_watch
from mobius_tui.guard.launch import START_S, close_void
from mobius_tui.guard.model import Baseline, Plan
from mobius_tui.notifications.message import Notification
from mobius_tui.notifications.outbox import notify
from mobius_tui.operations.deploy.course import Course
from mobius_tui.operations.deploy.options import DeployOptions, StepState
from mobius_tui.settings import Settings
from mobius_tui.store.pairs import count_pairs
from mobius_tui.store.snapshot import count_low_confidence
from mobius_tui.system import clock
from mobius_tui.text import visible

TICKS = 10
"""A canary is measured so often at least, however short it is."""


def do_baseline(course: Course, row: StepState) -> None:
    """Measure how the service is before anything goes live, and write the plan of the watch."""
    if course.options.canary is None and not course.options.watch:
        row.state, row.reason = "skipped", "nothing will be watched"
        return
    if course.baseline is None:
        course.baseline = course.around.baseline(course.ws)
    baseline = course.baseline
    row.reason = _told(baseline)
    if baseline.source == "none":
        row.state = "warning"
    course.journal.note("baseline", round=course.round, baseline=baseline.to_json())
    if course.options.watch:
        _plan(course, baseline)


def _told(baseline: Baseline) -> str:
    if baseline.source == "none":
        return "the service could not be measured: only the fixed limits will hold"
    figures = [f"{baseline.samples:,} measured, {baseline.failures:,} failed" if baseline.samples else "rates"]
    figures += [f"p95 {baseline.p95_ms:.0f} ms"] if baseline.p95_ms is not None else []
    figures += [f"queue {baseline.queue:,}"] if baseline.queue is not None else []
    return ", ".join(figures)


def _plan(course: Course, baseline: Baseline) -> None:
    """Write the watch's plan before anything is live, so that a crash right after the swap leaves it guarded."""
    _drop_plan(course)
    settings = course.ws.settings
    plan = replace(
        _plan_of(course),
        auto=course.options.auto_rollback,
        duration_s=settings.watch_seconds,
        interval_s=settings.watch_interval,
        baseline=with_published(
            baseline,
            entries=course.entries,
            with_dhash=course.with_dhash[1],
            queue=_queue_after(course),
            sha256=course.after,
        ),
    )
    at = clock.now()
    while True:
        try:
            course.planned = plan_watch(course.ws, replace(plan, run=f"watch-{clock.stamp(at)}"))
            return
        except FileExistsError:
            at += 1


def _drop_plan(course: Course) -> None:
    """Take the plan of a round away that is over."""
    if course.planned is not None:
        course.planned.unlink(missing_ok=True)
        course.planned = None


def void_plan(course: Course) -> None:
    """Bring the planned watch of a deploy that was undone to its end; a later start does it where this cannot."""
    if course.planned is None:
        return
    with contextlib.suppress(MobiusError):
        for watch in all_open(course.ws):
            if watch.path == course.planned and watch.ready == "void":
                close_void(watch)


def _plan_of(course: Course) -> Plan:
    return Plan(
        run=course.journal.run_id,
        deploy=course.journal.run_id,
        who=course.ws.actor,
        reason=course.options.reason,
        environment=course.ws.settings.environment,
        backup=course.backup or "",
        live=str(course.ws.catalogue),
    )


def _queue_after(course: Course) -> int:
    """What waits for a person once this is published: what it brings itself is no growth."""
    low = count_low_confidence(course.connection)
    if course.prepared is not None:
        return len(course.prepared.waiting) + low
    return count_pairs(course.connection) + low


def canary_plan(course: Course, entries: int, with_dhash: int) -> Plan:
    """What the canary is watched by.

    Args:
        course: The deploy; its canary is live.
        entries: Entries of the canary.
        with_dhash: Those with a dHash.

    Returns:
        The plan; the queue's baseline is as it is now, as a canary brings nothing into it.
    """
    settings = course.ws.settings
    seconds = seconds_of(settings, course.options)
    return replace(
        _plan_of(course),
        run=f"{course.journal.run_id}-canary",
        auto=True,
        canary=True,
        duration_s=seconds,
        interval_s=min(settings.watch_interval, seconds / TICKS),
        baseline=with_published(
            course.baseline or Baseline(),
            entries=entries,
            with_dhash=with_dhash,
            queue=count_pairs(course.connection) + count_low_confidence(course.connection),
            sha256=course.canary,
        ),
    )


def seconds_of(settings: Settings, options: DeployOptions) -> float:
    """How long a canary is watched."""
    return options.canary_seconds or settings.canary_seconds


def begin_guarding(course: Course) -> dict[str, Any]:
    """Have the guard take up the watch of a publication that is live; the deploy's journal has ended.

    Args:
        course: The deploy.

    Returns:
        The watch, for the summary: run, until, auto; ``problem`` in words when no guard runs. Empty when none was asked
        for.
    """
    row = course.rows["watch"]
    row.began, row.limit_s = clock.now(), START_S
    if course.planned is None:
        row.state, row.reason, row.ended = "skipped", "none was asked for", row.began
        course.show()
        return {}
    row.state = "running"
    course.show()
    course.progress.phase("watch")
    try:
        watch = course.around.start_guard(course.ws, course.planned)
    except (MobiusError, OSError) as error:
        return _unguarded(course, row, error)
    row.ended, row.state = clock.now(), "done"
    row.reason = f"until {clock.iso(watch.until_at)}, automatic rollback {'on' if watch.plan.auto else 'off'}"
    course.show()
    course.say(f"a watch guards it {row.reason} ({watch.run})")
    return {"run": watch.run, "until": clock.iso(watch.until_at), "auto": watch.plan.auto}


def _unguarded(course: Course, row: StepState, error: MobiusError | OSError) -> dict[str, Any]:
    """Nobody watches what is live: that is told whoever can do something about it."""
    said = visible(error.what if isinstance(error, MobiusError) else str(error))
    row.ended, row.state, row.reason = clock.now(), "failed", said
    course.show()
    sentence = f"{course.journal.run_id} is live and no guard watches it: {said}"
    course.say(sentence, "error")
    notify(
        course.ws,
        Notification(
            kind="watch start",
            severity="critical",
            audience="sre",
            title="no guard watches the deploy",
            sentence=sentence,
            run=course.journal.run_id,
            environment=course.ws.settings.environment,
        ),
    )
    run = course.planned.name.removesuffix(".journal") if course.planned is not None else ""
    return {"run": run, "until": None, "problem": said}


def insist_on_guard(watch: dict[str, Any]) -> None:
    """Tell a publication that nobody guards, although it was asked for, apart from one that went well.

    Raises:
        EnvironmentFailed: No guard runs.
    """
    if watch.get("problem"):
        raise EnvironmentFailed(
            f"it is published and its smoke tests passed, but no guard watches it: {watch['problem']}",
            fix="`mobius watch` starts the guard; every verb and the worker try again",
        )
