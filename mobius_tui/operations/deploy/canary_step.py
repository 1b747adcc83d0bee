"""The step of the canary: a share of the fingerprints goes live, is watched, and makes way or takes everything back."""

from __future__ import annotations

import contextlib
import sqlite3

from mobius_tui.catalogue.document import Document, empty_document, parse
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import EnvironmentFailed, ProcessingFailed, TimeLimit
from mobius_tui.guard.timing import due_number
from mobius_tui.operations.deploy.canary import canary_of
from mobius_tui.operations.deploy.course import Again, Course
from mobius_tui.operations.deploy.guarding import canary_plan, seconds_of
from mobius_tui.operations.deploy.holding import bring_back, insist_on_lock, looking_at_both
from mobius_tui.operations.deploy.hooking import run_moment
from mobius_tui.operations.deploy.options import DeployOptions, StepState
from mobius_tui.operations.deploy.verify import verify_canary
from mobius_tui.recovery.atomic import ABSENT, Changed
from mobius_tui.recovery.staging import stage, swap
from mobius_tui.rollback.undo import aside_path
from mobius_tui.settings import Settings
from mobius_tui.text import counted, human_seconds, visible

SLACK_S = 120.0
"""Seconds that a canary may take beside its waits and its hook."""


def canary_limit(settings: Settings, options: DeployOptions) -> float:
    """Seconds that the step may take."""
    if options.canary is None:
        return SLACK_S
    waits = settings.hold_seconds + settings.settle_seconds + settings.hook_seconds
    return waits + seconds_of(settings, options) + SLACK_S


def do_canary(course: Course, row: StepState) -> None:
    """Publish the fingerprints of a share of the images, and watch the service with them."""
    percent = course.options.canary
    if percent is None or course.canary_passed:
        row.state, row.reason = "skipped", "none was asked for" if percent is None else "it has passed"
        return
    entries, with_dhash = _stage_canary(course, percent, row)
    insist_on_lock(course)
    try:
        swap(course.staged, course.ws.catalogue, course.before)
    except Changed as changed:
        raise Again(changed.what) from changed
    course.published, course.displaced = course.canary, course.before
    look, settings, images = looking_at_both(course), course.ws.settings, row.reason
    _tell(course, row, f"{images} live, held for {human_seconds(settings.hold_seconds)}")
    course.wait(settings.hold_seconds, look)
    hook = run_moment(course, "after_swap")
    _tell(course, row, f"{images} live, settling for {human_seconds(settings.settle_seconds)}")
    course.wait(settings.settle_seconds, look)
    row.reason = images
    _watch(course, row, entries, with_dhash)
    if not hook.ok:
        row.state, row.reason = "warning", f"{row.reason}; {hook.sentence}"
    _go_on(course)


def _tell(course: Course, row: StepState, said: str) -> None:
    row.reason = said
    with contextlib.suppress(sqlite3.Error):  # what is shown ends no canary
        course.show()


def _stage_canary(course: Course, percent: float, row: StepState) -> tuple[int, int]:
    """Set the whole new content aside and stage the canary in its place; returns entries and those with a dHash."""
    live = _live_document(course)
    canary = canary_of(live, _staged_document(course), percent)
    course.journal.note("staging", round=course.round, percent=percent)
    course.staged.rename(aside_path(course.ws.catalogue, course.journal.run_id))
    course.canary = stage(course.ws.catalogue, canary.content(), course.staged, mode=0o644)
    _note_staged(course, course.canary, canary=True)
    row.reason = counted(len(canary.chosen))
    return verify_canary(course.staged, live, canary.chosen, heed=course.progress.checkpoint)


def _note_staged(course: Course, after: str, *, canary: bool) -> None:
    facts = {"canary": True} if canary else {}
    course.journal.note("staged", round=course.round, before=course.before, after=after, backup=course.backup, **facts)


def _live_document(course: Course) -> Document:
    if course.before == ABSENT:
        return empty_document(str(course.ws.catalogue))
    loaded = read_catalogue(course.ws.catalogue)
    if loaded.sha256 != course.before:
        raise Again("the catalogue was changed since it was backed up")
    return loaded.document


def _staged_document(course: Course) -> Document:
    try:
        data = course.staged.read_bytes()
    except OSError as error:
        raise EnvironmentFailed(
            f"the staged catalogue cannot be read: {error.strerror}", where=visible(str(course.staged))
        ) from error
    return parse(data, origin=str(course.ws.catalogue))


def _watch(course: Course, row: StepState, entries: int, with_dhash: int) -> None:
    """Measure and judge until the canary's time is over.

    Raises:
        ProcessingFailed: A rule fired; the canary is taken back.
        TimeLimit: There was nothing to judge it by; it is taken back.
    """
    plan = canary_plan(course, entries, with_dhash)
    look, images = looking_at_both(course), row.reason
    planned = due_number(plan.duration_s, plan.interval_s)
    _tell(course, row, f"{images} live, 0 of {planned:,} measurements")

    def note(what: str, **facts: object) -> None:
        course.journal.note(what, **facts)
        if what == "canary":
            _tell(course, row, f"{images} live, {facts.get('number')} of {planned:,} measurements")

    def checkpoint() -> None:
        course.progress.checkpoint()
        look()

    outcome, sentence = course.around.watch_canary(course.ws, plan, note, checkpoint)
    if outcome == "rolled back":
        raise ProcessingFailed(f"the canary failed: {sentence}", fix=f"`mobius logs --run {course.journal.run_id}`")
    if outcome != "accepted":
        raise TimeLimit(
            f"the canary could not be judged: {sentence}",
            fix="see that the service answers, then deploy again; without --canary nothing is judged before the swap",
        )
    row.reason = f"{images}, accepted: {sentence}"


def _go_on(course: Course) -> None:
    """Make ready for the swap of everything: what the canary displaced is in the backup, and makes way."""
    course.canary_passed = True
    looking_at_both(course)()
    if course.live_hash() != course.canary:
        bring_back(course)
        raise Again("another program wrote on top of the canary")
    aside_path(course.ws.catalogue, course.journal.run_id).replace(course.staged)
    _note_staged(course, course.after, canary=False)
