"""The steps of a deploy: what each does, how it is undone, and how the files tell whether it was done."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.catalogue.document import Document, empty_document, parse
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import MobiusError, ProcessingFailed
from mobius_tui.guard.collector import LONGEST_BASELINE_S
from mobius_tui.operations.backup import backup_now, clean_backups
from mobius_tui.operations.deploy.canary_step import canary_limit, do_canary
from mobius_tui.operations.deploy.course import Again, Course
from mobius_tui.operations.deploy.guarding import do_baseline
from mobius_tui.operations.deploy.holding import bring_back, insist_on_lock, is_canary, looking_at_both
from mobius_tui.operations.deploy.hooking import do_after_hook, do_before_hook
from mobius_tui.operations.deploy.options import DeployOptions, StepState
from mobius_tui.operations.deploy.preflight import preflight, refuse
from mobius_tui.operations.deploy.queue import queue_question, refuse_queue
from mobius_tui.operations.deploy.takeover import read_source, take_over
from mobius_tui.operations.deploy.verify import verify_staged
from mobius_tui.operations.migrate import keep_queue, prepare
from mobius_tui.operations.options import default_options
from mobius_tui.recovery.atomic import ABSENT, Changed, write_atomic
from mobius_tui.recovery.backups import read_backup_catalogue
from mobius_tui.recovery.journal import JOURNALS
from mobius_tui.recovery.reserve import ensure_reserve
from mobius_tui.recovery.staging import stage, swap
from mobius_tui.rollback.recover import PROOF_ENDING
from mobius_tui.rollback.undo import made_by
from mobius_tui.settings import Settings
from mobius_tui.store.pairs import count_pairs
from mobius_tui.store.snapshot import count_low_confidence
from mobius_tui.text import counted, human_bytes, visible

ANSWER_S = 900.0
"""So long an answer is waited for; then nobody is there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the table.

    Attributes:
        name: As people see it.
        do: Takes the step; writes its reason into the row.
        undo: How it is undone, in words; the doing is ``rollback.undo``, which a crash needs too.
        told: Whether the files say that it is done; None when it leaves nothing in them.
        limit: Seconds it may take, by settings and options.
    """

    name: str
    do: Callable[[Course, StepState], None]
    undo: str
    told: Callable[[Course], bool] | None
    limit: Callable[[Settings, DeployOptions], float]


def do_preflight(course: Course, row: StepState) -> None:
    """Look at everything that could stop the deploy later, before anything is written."""
    findings = preflight(course.ws, course.options, ask=course.around.ask)
    for finding in findings:
        level = "info" if finding.ok else "warning"
        course.progress.event(level, "preflight", f"{finding.name}: {finding.sentence}", ok=finding.ok)
    course.journal.note("preflight", findings=[[item.name, item.ok, item.sentence] for item in findings])
    refuse(findings, force=course.options.force)
    bad = [finding.name for finding in findings if finding.ok is False]
    row.reason = f"{len(findings)} checks" + (f"; forced in spite of {', '.join(bad)}" if bad else "")


def do_backup(course: Course, row: StepState) -> None:
    """Back up the live catalogue, and restore the backup once to a scratch file to prove it."""
    ws, run = course.ws, course.journal.run_id
    course.before, course.backup = course.live_hash(), None
    if course.before != ABSENT:
        try:
            backup = backup_now(ws, f"before {run}", run_id=run, reuse=True)
        except Changed as changed:
            raise Again(changed.what) from changed
        if backup.sha256 != course.before:
            raise Again("the catalogue was changed while it was backed up")
        course.backup = backup.name
        content = read_backup_catalogue(ws.backups, backup.name)
        ensure_reserve(ws.catalogue, len(content))
        entries = _prove(course, content)
        row.reason = f"{backup.name}, {human_bytes(len(content))}, {counted(entries)}, restored once"
    else:
        row.state, row.reason = "skipped", "there is no catalogue yet"
    course.journal.note("round", round=course.round, before=course.before, backup=course.backup)


def _prove(course: Course, content: bytes) -> int:
    """Restore a backup to a scratch file and read that back as a catalogue; returns its entries."""
    scratch = course.ws.state / JOURNALS / f"{course.journal.run_id}{PROOF_ENDING}"
    try:
        written = write_atomic(scratch, [content], mode=0o600)
        again = scratch.read_bytes()
        if written != course.before or hashlib.sha256(again).hexdigest() != course.before:
            raise ProcessingFailed("the backup, restored to a scratch file, is not the live catalogue")
        return len(parse(again, origin=str(course.ws.catalogue)).entries)
    finally:
        scratch.unlink(missing_ok=True)


def do_migrate(course: Course, row: StepState) -> None:
    """Make the new content, by a migration or from a file made earlier, and stage it beside the live file."""
    chunks = _taken_over(course, course.options.source, row) if course.options.source else _migrated(course, row)
    course.after = stage(course.ws.catalogue, chunks, course.staged, mode=0o644)
    ensure_reserve(course.ws.catalogue, course.staged.stat().st_size)
    course.journal.note("staged", round=course.round, before=course.before, after=course.after, backup=course.backup)


def _migrated(course: Course, row: StepState) -> Iterable[bytes]:
    queued = count_pairs(course.connection) + count_low_confidence(course.connection)
    prepared = prepare(course.ws, course.connection, default_options(course.ws), course.progress)
    if prepared.findings.library.sha256 != course.before:
        raise Again("the catalogue was changed since it was backed up")
    tally = prepared.findings.tally
    _ask_about_queue(course, len(prepared.waiting) + tally.low, queued)
    course.prepared = prepared
    row.reason = f"{counted(prepared.findings.total)}, {tally.decoded:,} decoded, {tally.failures.total():,} failed"
    return prepared.chunks(course.ws, course.progress)


def _ask_about_queue(course: Course, staged: int, live: int) -> None:
    """A queue that grows by far is asked about; where nobody can be asked, it stops the deploy."""
    question = None if course.options.accept_queue else queue_question(staged, live)
    if question is None:
        return
    answered = False
    if course.options.attended:
        course.show(question)
        answered = course.progress.ask(f"{question}; publish it?", ANSWER_S)
        course.show()
    refuse_queue(staged, live, accepted=answered)


def _taken_over(course: Course, source: str, row: StepState) -> Iterable[bytes]:
    live = _live_document(course)
    if live is None:
        raise ProcessingFailed("there is no live catalogue to deploy over", fix="run `mobius migrate` first")
    file = Path(source).absolute()
    taken = take_over(
        live, read_source(file, course.ws.catalogue).document, name=file.name, run_id=course.journal.run_id
    )
    row.reason = f"taken from {visible(file.name)}"
    if taken.left_out:
        row.reason += f"; {counted(len(taken.left_out), 'image')} gone since left out"
    return taken.content()


def _live_document(course: Course) -> Document | None:
    """The live catalogue, if it is still the one that was backed up."""
    if course.before == ABSENT:
        return None
    loaded = read_catalogue(course.ws.catalogue)
    if loaded.sha256 != course.before:
        raise Again("the catalogue was changed since it was backed up")
    return loaded.document


def do_verify(course: Course, row: StepState) -> None:
    """Check the staged file against the live one: schema, counts, the same images in order, a sample of hashes."""
    live = _live_document(course)
    verified = verify_staged(
        course.ws,
        course.staged,
        live or empty_document(str(course.ws.catalogue)),
        seed=course.journal.run_id,
        since=None if course.options.source else course.began_at,
        heed=course.progress.checkpoint,
    )
    if verified.sha256 != course.after:
        raise ProcessingFailed("the staged file is not what was written to it", fix="check the disk, then deploy again")
    course.entries = verified.entries
    course.with_dhash = (_with_dhash(live), verified.with_dhash)
    row.reason = f"{counted(verified.entries)}, {verified.recomputed} of {verified.sampled} sampled hashes the same"
    if verified.sampled > verified.recomputed:
        row.reason += f", {verified.changed} files changed since, {verified.unread} not readable now"
    course.journal.note("verified", round=course.round, counts=verified.to_json())


def _with_dhash(document: Document | None) -> int:
    return 0 if document is None else sum(entry.dhash is not None for entry in document.entries)


def do_swap(course: Course, row: StepState) -> None:
    """Make the staged file live, if the live one is still the one that was read."""
    insist_on_lock(course)
    expected = course.canary or course.before
    try:
        swap(course.staged, course.ws.catalogue, expected)
    except Changed as changed:
        if is_canary(course):
            bring_back(course)
        raise Again(changed.what) from changed
    course.published, course.displaced = course.after, expected
    row.reason = f"{course.after[:12]} is live" + ("" if course.before == ABSENT else f", {course.before[:12]} was")


def do_hold(course: Course, row: StepState) -> None:
    """Watch what came out of the swap, and what is live: another program may be writing either."""
    course.wait(course.ws.settings.hold_seconds, looking_at_both(course))
    row.reason = "nobody wrote the old file after the swap"


def do_settle(course: Course, row: StepState) -> None:
    """Give the services that read the catalogue time to take it up."""
    course.wait(course.ws.settings.settle_seconds)
    row.reason = "as settle_seconds says"


def do_smoke(course: Course, row: StepState) -> None:
    """Run the smoke tests against the service."""
    report = course.around.smoke(course.ws)
    for check in report.checks:
        level = "info" if check.ok else "error"
        course.progress.event(level, "smoke", f"{check.name}: {check.sentence}", ok=check.ok)
    failed = [f"{check.name}: {check.sentence}" for check in report.checks if not check.ok]
    if failed:
        raise ProcessingFailed(f"{len(failed)} of {report.total} smoke tests failed: {failed[0]}")
    if not _is_ours(course):
        raise ProcessingFailed("another program replaced the published catalogue; nothing of this deploy is live")
    row.reason = f"{report.passed} of {report.total} passed"


def _is_ours(course: Course) -> bool:
    return course.live_hash() == course.after or made_by(course.ws.catalogue) == (course.journal.run_id, False)


def keep_what_was_found(course: Course) -> None:
    """Let the review queue be that of the published catalogue."""
    prepared = course.prepared
    if prepared is not None:
        keep_queue(
            course.ws,
            course.connection,
            prepared.findings,
            prepared.waiting,
            default_options(course.ws),
            course.progress,
        )


def clean_up_backups(course: Course, row: StepState) -> None:
    """Remove the backups that no rule keeps; a failure is told, never the deploy's."""
    try:
        decisions = clean_backups(course.ws, dry_run=False, retention_days=course.options.retention_days)
    except (MobiusError, OSError) as error:
        course.say(f"old backups could not be cleaned: {error}", "warning")
        row.state, row.reason = "warning", f"backups not cleaned: {visible(str(error))}"
        return
    removed = sum(not decision.keep for decision in decisions)
    row.reason = f"{counted(removed, 'backup')} removed, {len(decisions) - removed} kept"


STEPS: tuple[Step, ...] = (
    Step("preflight", do_preflight, "nothing to undo", None, lambda *_: 120.0),
    Step(
        "backup",
        do_backup,
        "the backup stays",
        lambda course: course.live_hash() == course.before,
        lambda settings, _: settings.backup_seconds,
    ),
    Step(
        "migrate",
        do_migrate,
        "the staged file is removed",
        lambda course: course.staged_hash() == course.after,
        lambda settings, _: settings.migrate_seconds,
    ),
    Step("verify", do_verify, "nothing to undo", None, lambda settings, _: settings.verify_seconds),
    Step("baseline", do_baseline, "the planned watch is void", None, lambda *_: LONGEST_BASELINE_S + 120),
    Step(
        "before hook",
        do_before_hook,
        "the hook on_rollback runs",
        None,
        lambda settings, _: settings.hook_seconds + 10,
    ),
    Step(
        "canary",
        do_canary,
        "what came out goes back in one exchange, else the backup",
        lambda course: course.staged_hash() == course.after,
        canary_limit,
    ),
    Step(
        "swap",
        do_swap,
        "what came out goes back in one exchange; after a canary the backup",
        lambda course: course.before == ABSENT or course.staged_hash() != course.after,
        lambda *_: 120.0,
    ),
    Step("hold", do_hold, "as swap", None, lambda settings, _: settings.hold_seconds + 60),
    Step(
        "after hook", do_after_hook, "the hook on_rollback runs", None, lambda settings, _: settings.hook_seconds + 10
    ),
    Step("settle", do_settle, "as swap", None, lambda settings, _: settings.settle_seconds + 60),
    Step("smoke", do_smoke, "as swap", None, lambda settings, _: settings.smoke_seconds),
)
"""The deploy, top to bottom; what is left after it is cleaning up."""
