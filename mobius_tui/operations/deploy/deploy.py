"""The deploy: preflight, backup, migration into a staged file, verification, canary, swap, hooks, smoke tests, watch.

Any failure undoes it, by the same code that a crash needs. Killed anywhere, the live catalogue is the old one or the
new one, whole, and the next start finishes or undoes the rest.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import replace

from mobius_tui.errors import Cancelled, EnvironmentFailed, MobiusError, ProcessingFailed, Terminated, exit_code_of
from mobius_tui.guard.files import refuse_during_watch
from mobius_tui.operations.deploy.course import Again, Course, Surroundings
from mobius_tui.operations.deploy.guarding import begin_guarding, insist_on_guard, void_plan
from mobius_tui.operations.deploy.options import DeployOptions, DeploySummary, StepState
from mobius_tui.operations.deploy.steps import STEPS, Step, clean_up_backups, keep_what_was_found
from mobius_tui.operations.progress import Progress, Stopping
from mobius_tui.recovery.atomic import ABSENT, hash_or_absent
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.rollback.judging import intent_of
from mobius_tui.rollback.recover import close_run, recover, settle
from mobius_tui.rollback.undo import Settled, aside_path
from mobius_tui.system import clock
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.system.processes import process_token
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

ROUNDS = 3
"""So often a deploy starts over because others wrote the catalogue; then it stops and says so."""

PUBLISHED = "published, and its smoke tests passed"
"""How a deploy that went well ends, in words."""

_LATE = ("finish", "watch")
_BACK = ("rolled back", "undone")
_UNDONE = {"swap", "migrate", "canary", "hold", "after hook", "settle"}
_SETTLE_TRIES = 3


def deploy(
    ws: Workspace,
    connection: sqlite3.Connection,
    options: DeployOptions,
    progress: Progress,
    around: Surroundings | None = None,
) -> DeploySummary:
    """Roll the library's fingerprints out to production.

    Args:
        ws: The workspace.
        connection: The database.
        options: What is asked for.
        progress: Told of everything; asked whether to go on.
        around: Time and the service; None takes the real ones.

    Returns:
        The summary of a deploy that is live and proven.

    Raises:
        Held: Another process holds the library, or a watch is on; nothing was begun.
        MobiusError: A step failed; the message says what was undone. The live catalogue is whole. Or everything went
            well and no guard could be started to watch it, which the message says.
    """
    around = around or Surroundings()
    options.check()
    rows = {name: StepState(name) for name in (*(step.name for step in STEPS), *_LATE)}
    progress.show({"steps": [row.to_json() for row in rows.values()]})
    _wait_for_time(options, progress, around)
    with catalogue_lock(ws.catalogue, ws.actor, f"deploy {progress.run_id}") as lock:
        recover(ws, lambda text: progress.event("warning", "recovery", text), locked=True)
        refuse_during_watch(ws)
        journal = _journal(ws, options, progress)
        course = Course(ws, connection, options, progress, around, journal, rows, time.monotonic(), clock.now())
        course.lost = lambda: lock.lost
        try:
            _take_steps(course)
            settled = _finish(course)
        except BaseException as error:
            told = _undone(course, error)
            if told is error:
                raise  # its cause tells a full disk from other failures
            raise told from error
        finally:
            journal.close()
    watch = begin_guarding(course)
    summary = replace(_summary(course, settled, PUBLISHED), watch=watch)
    progress.show(summary.to_json())
    insist_on_guard(watch)
    return summary


def _wait_for_time(options: DeployOptions, progress: Progress, around: Surroundings) -> None:
    """Wait for the time that was asked for, open to being cancelled; the library is free meanwhile."""
    if options.at is None or options.at <= clock.now():
        return
    progress.phase(f"waiting until {clock.iso(options.at)}")
    while clock.now() < options.at:
        try:
            progress.checkpoint()
        except Cancelled as cancelled:
            cancelled.what = f"{cancelled.what} before it began; nothing was changed"
            raise
        around.sleep(min(1.0, max(0.0, options.at - clock.now())))


def _journal(ws: Workspace, options: DeployOptions, progress: Progress) -> Journal:
    try:
        return Journal.create(
            ws.state / JOURNALS,
            progress.run_id,
            kind="deploy",
            who=ws.actor,
            reason=options.reason,
            live=str(ws.catalogue),
            environment=ws.settings.environment,
            options=options.to_json(),
            token=process_token(),
        )
    except OSError as error:
        raise EnvironmentFailed(
            f"the journal cannot be written: {error.strerror}",
            where=visible(str(ws.state / JOURNALS)),
            fix="free space, or check the state folder's owner and mode",
        ) from error


def _take_steps(course: Course) -> None:
    """Take the steps in order; begin again from the backup when others wrote the catalogue."""
    index = 0
    while index < len(STEPS):
        try:
            _take(course, STEPS[index])
            index += 1
        except Again as again:
            if course.round >= ROUNDS:
                raise EnvironmentFailed(
                    f"the catalogue was written by others in each of {ROUNDS} rounds ({again})",
                    where=visible(str(course.ws.catalogue)),
                    fix="stop the program that writes it, or set hook_before_swap to a maintenance mode",
                ) from again
            index = _start_over(course, again)


def _take(course: Course, step: Step) -> None:
    with course.step(step.name, step.limit(course.ws.settings, course.options)) as row:
        step.do(course, row)
        if step.told is not None and not step.told(course):
            raise (
                Again("the catalogue was changed by somebody else")
                if step.name == "backup"
                else EnvironmentFailed(
                    f"the step {step.name} is not what the files show", fix="deploy again; if it stays, check the disk"
                )
            )


def _start_over(course: Course, again: Again) -> int:
    """Clear away the round that is over; returns the place of the step to go on with."""
    ours = intent_of(course.journal.run_id, course.journal.records, course.ws.catalogue).ours
    for path in (course.staged, aside_path(course.ws.catalogue, course.journal.run_id)):
        if hash_or_absent(path) in ours:
            path.unlink()
    course.round += 1
    course.after, course.canary, course.prepared = "", "", None
    course.say(f"round {course.round}: {again}; its changes are carried over", "warning")
    index = next(place for place, step in enumerate(STEPS) if step.name == "backup")
    for step in STEPS[index:]:
        row = course.rows[step.name]
        if row.state != "waiting":
            row.state, row.reason = "waiting", str(again)
    return index


def _finish(course: Course) -> Settled:
    """Clean up after a publication that is proven; nothing here can undo it."""
    with course.step("finish", 300.0, last=True) as row:
        settled = settle(course.ws, course.journal, say=course.say, reason=course.options.reason)
        if settled.outcome != "done":
            raise ProcessingFailed("another program replaced the published catalogue right after its smoke tests")
        with contextlib.suppress(sqlite3.Error):
            keep_what_was_found(course)
        clean_up_backups(course, row)
    settled = replace(settled, sentence=PUBLISHED)
    close_run(course.ws, course.journal, settled, say=course.say)
    return settled


def _undone(course: Course, error: BaseException) -> BaseException:
    """Bring a failed deploy to rest and say both what failed and what was undone."""
    if isinstance(error, Stopping):
        error = Terminated("the deploy was asked to end")
    reason = visible(str(error.what if isinstance(error, MobiusError) else error) or type(error).__name__)
    failed = next((row.name for row in course.rows.values() if row.state == "failed"), "")
    with contextlib.suppress(OSError):
        course.journal.note("step", step=failed, state="failed", round=course.round, reason=reason)
    for attempt in range(_SETTLE_TRIES):
        try:
            settled = settle(course.ws, course.journal, say=course.say, reason=reason)
            break
        except (MobiusError, OSError) as late:
            said = f"it could not be undone yet: {late}"
            if attempt == _SETTLE_TRIES - 1:
                return _with(error, f"{said}; the next start of MOBIUS tries again, `mobius rollback` does it now")
            course.around.sleep(1.0)
    for row in course.rows.values() if settled.outcome in _BACK else ():
        if row.state in {"done", "warning"} and row.name in _UNDONE:
            row.state = "undone"
            row.reason += "; taken back" if row.name == "swap" else ""  # "... is live" is no longer true
    code = exit_code_of(error)
    with contextlib.suppress(OSError):
        close_run(course.ws, course.journal, settled, say=course.say, code=code or 2)
    watch = {}
    with contextlib.suppress(OSError, sqlite3.Error):
        if settled.outcome == "held":
            watch = begin_guarding(course)
        else:
            void_plan(course)
    with contextlib.suppress(sqlite3.Error):
        summary = replace(_summary(course, settled, reason), watch=watch)
        course.progress.show(summary.to_json())
    return _with(error, f"{settled.outcome}: {settled.sentence}")


def _with(error: BaseException, what_then: str) -> BaseException:
    """The error with what was done about it; one that is no failure of MOBIUS's words stays as it is."""
    if isinstance(error, MobiusError):
        error.what = f"{error.what}; {what_then}"
        return error
    if isinstance(error, OSError):
        kind = EnvironmentFailed(f"{error.strerror or error}; {what_then}", where=visible(str(error.filename or "")))
        kind.__cause__ = error
        return kind
    error.add_note(what_then)
    return error


def _summary(course: Course, settled: Settled, reason: str) -> DeploySummary:
    done = settled.outcome in {"done", "held"}
    before, after = course.with_dhash
    hashes = (
        None if course.before in {"", ABSENT} else course.before,
        None if settled.live == ABSENT else settled.live,
    )
    migration = {}
    if course.prepared is not None:
        migration = course.prepared.summary(course.ws.catalogue, len(course.prepared.waiting), hashes).to_json()
    return DeploySummary(
        outcome=settled.outcome,
        run=course.journal.run_id,
        reason=reason or settled.sentence,
        backup=course.backup,
        before=hashes[0],
        after=hashes[1],
        images=course.entries,
        with_dhash_before=before,
        with_dhash_after=after if done else before,
        rounds=course.round,
        elapsed_s=round(time.monotonic() - course.began, 2),
        steps=[row.to_json() for row in course.rows.values()],
        migration=migration,
        emergency=None if settled.emergency is None else str(settled.emergency),
    )
