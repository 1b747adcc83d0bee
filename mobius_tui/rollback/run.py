"""The way back, top to bottom: end what runs, verify the target, ask, restore, restart the worker, say how it went."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mobius_tui.errors import Cancelled, EnvironmentFailed, MobiusError, OutOfResource, ProcessingFailed, exit_code_of
from mobius_tui.recovery.atomic import ABSENT, Changed, hash_or_absent
from mobius_tui.recovery.backup_files import EMERGENCY, list_backups
from mobius_tui.recovery.reserve import ensure_reserve, release_reserve
from mobius_tui.recovery.watches import tell_gone_back
from mobius_tui.rollback.hooks import run_hook
from mobius_tui.rollback.images import restore_images
from mobius_tui.rollback.making_way import Places, gone_back_already, live_hash, make_way
from mobius_tui.rollback.options import Confirm, Outcome, Preview, RollbackOptions, Say
from mobius_tui.rollback.plans import Plan, Present, Wanted, exactly, keeping_others, without_owned
from mobius_tui.rollback.publications import WayBack, read_acts, run_backups, way_back_of
from mobius_tui.rollback.records import Records
from mobius_tui.rollback.recover import note_rollback
from mobius_tui.rollback.restore import Restored, read_present, restore_catalogue, settle_restore
from mobius_tui.rollback.service import Service
from mobius_tui.rollback.stopping import (
    GRACE_S,
    cancel_queued,
)
from mobius_tui.rollback.targets import Target, choose_target, full_of, good_ones, kept_before, named_target
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

PATIENCE_S = 5.0
"""Seconds to wait for a live file that is being written, when what it holds is to be kept."""


def roll_back(
    ws: Workspace,
    options: RollbackOptions,
    *,
    confirm: Confirm,
    say: Say,
    environ: Mapping[str, str],
    env_name: str | None = None,
) -> Outcome:
    """Bring a former catalogue back.

    Args:
        ws: The workspace.
        options: What was asked for.
        confirm: Asks the person; not called with ``force``.
        say: Told what happens.
        environ: The environment that a restarted worker gets.
        env_name: The environment that was chosen by ``--env``.

    Returns:
        How it went; the exit code is in it.

    Raises:
        Held: Something runs, and it was not forced.
        Cancelled: The person said no.
        ProcessingFailed: No backup is good, or the named one is not; the live file is untouched.
        EnvironmentFailed: The system does not allow it; the live file is whole.
        OutOfResource: Something ran out; the live file is whole.
    """
    places = places_of(ws, options)
    service = Service(ws, environ, env_name)
    way = make_way(ws, places, options, say)
    if way.went_back and options.backup is None and not options.remove_dhash:
        tell_gone_back(ws.state, ws.actor, options.reason)
        return gone_back_already(ws, places, way, options, service, say)
    course = _planned(ws, places, options, way.warnings)
    if not options.force and not confirm(course.preview):
        raise Cancelled("nothing was changed")
    # a recovery by the worker or by whoever followed what was ended may hold it for a moment
    with _locked(places.live, ws.actor, GRACE_S if options.force else 0.0):
        if not options.force:
            _insist_on_target(ws, places, options, course)
        records = Records(ws, places.live, options.to_json(), options.reason)
        aim = course.preview.target if course.target is None else f"{visible(course.target.name)}: verified"
        _note_step(records, "target", "done", aim)
        with _brought_to_rest(records, places):
            restored = _restore(ws, places, options, course, records, say)
            if places.own:  # a watch ends with it, before the worker that it judges is restarted
                records.warnings += tell_gone_back(ws.state, ws.actor, options.reason, rollback=records.run_id)
            images, failed = _images(ws, places, course.target, options, records, say)
        if options.force:
            cancel_queued(ws, say)
        if places.own:
            with contextlib.suppress(MobiusError, OSError):  # the next rollback needs room too, where there is any
                ensure_reserve(places.live, len(restored.wanted.content))
    return _finished(ws, options, course, restored, (images, failed), records, service, say)


def _finished(
    ws: Workspace,
    options: RollbackOptions,
    course: _Course,
    restored: Restored,
    images: tuple[Mapping[str, int], tuple[str, int] | None],
    records: Records,
    service: Service,
    say: Say,
) -> Outcome:
    """Restart what reads the catalogue, and bring the records to their end."""
    counts, failed = images
    done = restored.changed or counts.get("restored") or counts.get("added")
    said = _tell_operator(ws, records, restored, course.target, say) if done else ()
    _note_step(records, "worker", "running")
    worker, healthy = service.restart(say)
    _note_step(records, "worker", ("done" if worker else "skipped") if healthy else "failed", worker or "none ran")
    told = (*course.preview.warnings, *records.warnings, *restored.warnings, *said, *_written_late(restored))
    code, sentence = _end_of(failed, worker, healthy=healthy)
    outcome = replace(
        _outcome(records, options, course, restored),
        images=counts,
        worker=worker,
        warnings=told if failed is None else (*told, failed[0]),
        exit_code=code,
    )
    summary = {"before": outcome.before, "after": outcome.after, "target": outcome.target}
    records.end("done", code, sentence, summary, told)
    return outcome


def _end_of(failed: tuple[str, int] | None, worker: str, *, healthy: bool) -> tuple[int, str]:
    """The exit code of a rollback whose catalogue is restored, and how it went in words."""
    if failed is not None:
        return failed[1], f"restored, but {failed[0]}"
    return (0, "restored") if healthy else (ProcessingFailed.exit_code, f"restored, but {worker}")


def _note_step(records: Records, name: str, state: str, reason: str = "") -> None:
    """Note where the rollback is, for whoever looks at it; nothing is judged by it."""
    records.note("step", step=name, state=state, reason=reason)


@dataclass(frozen=True, slots=True)
class _Course:
    """What a rollback is going to do: the live file as it was read, the verified target, and the plan from both."""

    present: Present
    target: Target | None
    plan: Plan
    preview: Preview


def _planned(ws: Workspace, places: Places, options: RollbackOptions, warnings: Sequence[str]) -> _Course:
    present = read_present(places.live, patience_s=PATIENCE_S if options.keep_new else 0.0)
    target, said = find_target(ws, places, present, options)
    plan = _plan(target, options)
    preview = _preview(ws, places, present, target, plan(present), (*warnings, *said))
    return _Course(present, target, plan, preview)


def _restore(
    ws: Workspace, places: Places, options: RollbackOptions, course: _Course, records: Records, say: Say
) -> Restored:
    """Put the target live and note it in the history."""
    restored = restore_catalogue(
        places.live,
        course.plan,
        run_id=records.run_id,
        emergency=places.emergency,
        who=ws.actor,
        reason=options.reason or f"before {records.run_id}",
        note=records.note,
        say=say,
        patience_s=PATIENCE_S if options.keep_new else 0.0,
    )
    _note(records, restored, course.target, options)
    return restored


def _outcome(records: Records, options: RollbackOptions, course: _Course, restored: Restored) -> Outcome:
    return Outcome(
        run=records.run_id,
        live=course.preview.live,
        target="" if course.target is None else course.target.name,
        how=course.preview.how,
        mode=options.mode,
        before=restored.before,
        after=restored.after,
        changed=restored.changed,
        emergency="" if restored.emergency is None else str(restored.emergency),
        **_figures(course.present, restored),
        changes=restored.wanted.changes,
        kept=restored.wanted.kept,
    )


def places_of(ws: Workspace, options: RollbackOptions) -> Places:
    """Which files are meant: the workspace's live catalogue, or the one that was named with its backups beside it."""
    if options.input is None:
        return Places(ws.catalogue, ws.backups, ws.backups / EMERGENCY, own=True)
    live = Path(options.input).expanduser().absolute()
    if os.path.realpath(live) == os.path.realpath(ws.catalogue):
        return Places(live, ws.backups, ws.backups / EMERGENCY, own=True)
    return Places(live, live.parent, live.parent / EMERGENCY, own=False)


def find_target(
    ws: Workspace, places: Places, present: Present, options: RollbackOptions
) -> tuple[Target | None, tuple[str, ...]]:
    """The verified backup that comes back, None with --remove-dhash, and what should be said of the choice.

    Raises:
        ProcessingFailed: None is good, or the named one is not.
    """
    if options.remove_dhash:
        return None, ()
    try:
        way = known_way_back(ws, places, present)
    except EnvironmentFailed:
        if options.backup is None:
            raise
        way = None
    if options.backup is not None:
        target = named_target(options.backup, places.backups, places.live, way)
    elif way is None:
        raise _no_way_back(places, present)
    else:
        target = choose_target(way, places.backups, places.live)
    said = tuple(f"passed over: {problem}" for problem in target.passed_over)
    if options.with_images:
        target = full_of(target, places.backups, places.live)
    return target, said


def known_way_back(ws: Workspace, places: Places, present: Present) -> WayBack | None:
    """The way back from what is live, by everything that is on record.

    Raises:
        EnvironmentFailed: The folder of the backups cannot be read.
    """
    return way_back_of(present, read_acts(ws.state), list_backups(places.backups), run_backups(ws.state))


def _no_way_back(places: Places, present: Present) -> ProcessingFailed:
    good = good_ones(places.backups, places.live)
    named = f"name one with --backup: {', '.join(visible(name) for name in good)}" if good else "there is no good one"
    copy = kept_before(places.emergency, places.live, present.sha256)
    if copy:
        named = f"`mobius rollback --backup {copy}` takes what was live before the last rollback; or {named}"
    locked = [backup.name for backup in list_backups(places.backups) if backup.encrypted]
    if locked:
        named += f"; {len(locked)} encrypted ones are passed over, as a rollback works without keys"
    return ProcessingFailed(
        "no backup is known to be the way back from what is live; the live file is untouched",
        where=visible(str(places.backups)),
        fix=f"{named}; --remove-dhash takes out what MOBIUS owns and needs none",
    )


def _insist_on_target(ws: Workspace, places: Places, options: RollbackOptions, course: _Course) -> None:
    """What the person said yes to must still be what the live file's way back is.

    Raises:
        Changed: Somebody published while the question was open.
    """
    if options.backup is not None or course.target is None or live_hash(places.live) == course.present.sha256:
        return
    target, _ = find_target(ws, places, read_present(places.live, patience_s=0.0), options)
    if target is None or target.name != course.target.name:
        raise Changed(
            "somebody published while you were asked; nothing was changed",
            where=visible(str(places.live)),
            fix="`mobius rollback` again, and look at what it asks",
        )


def _plan(target: Target | None, options: RollbackOptions) -> Plan:
    if target is None:
        return without_owned()
    if options.keep_new:
        return keeping_others(
            target.data, published=target.published, document=target.document, bring_back=options.bring_back
        )
    return exactly(target.data, published=target.published, compare=True, document=target.document)


def _preview(
    ws: Workspace,
    places: Places,
    present: Present,
    target: Target | None,
    wanted: Wanted,
    warnings: tuple[str, ...],
) -> Preview:
    return Preview(
        live=str(places.live),
        environment=ws.settings.environment,
        target="" if target is None else str(target.path),
        how=wanted.sentence if target is None else target.how,
        problem="" if present.figures is not None else present.problem,
        changes=wanted.changes,
        kept=wanted.kept,
        before=present.figures,
        after=wanted.figures,
        warnings=warnings,
    )


@contextlib.contextmanager
def _locked(live: Path, who: str, wait_s: float) -> Iterator[None]:
    """The catalogue's lock; on a disk so full that not even its file can be made, the reserve is given back first."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(catalogue_lock(live, who, "rollback", wait_s=wait_s))
        except EnvironmentFailed as error:
            if exit_code_of(error) != OutOfResource.exit_code or not release_reserve(live):
                raise
            held.enter_context(catalogue_lock(live, who, "rollback", wait_s=wait_s))
        yield


@contextlib.contextmanager
def _brought_to_rest(records: Records, places: Places) -> Iterator[None]:
    """When the restoring fails or is interrupted, finish or undo it at once; else the next start does."""
    try:
        yield
    except BaseException as error:
        try:
            if records.journalled:
                last = records.last_restore()
                said = settle_restore(
                    places.live, records.run_id, last, who=records.ws.actor, emergency=places.emergency
                )
                records.event("info", "settled", said)
                if last.get("state") != "same" and last.get("after") == hash_or_absent(places.live):
                    note_rollback(records.ws, records.run_id, records.begin, last)
        except (MobiusError, OSError):
            records.leave_open()
        else:
            code = exit_code_of(getattr(error, "cause", error))
            records.end("failed", code, visible(str(error)) or type(error).__name__, {})
        raise


def _note(records: Records, restored: Restored, target: Target | None, options: RollbackOptions) -> None:
    records.act(
        None if restored.before == ABSENT else restored.before,
        restored.after,
        {
            "mode": options.mode,
            "target": "" if target is None else target.name,
            "target_sha256": "" if target is None else target.sha256,
            "emergency": "" if restored.emergency is None else restored.emergency.name,
            "live": options.input or "",
        },
    )


def _tell_operator(
    ws: Workspace, records: Records, restored: Restored, target: Target | None, say: Say
) -> tuple[str, ...]:
    """Run the operator's command for a rollback, if one is set; its failure is a warning."""
    facts = {
        "MOBIUS_RUN": records.run_id,
        "MOBIUS_LIVE": restored.after,
        "MOBIUS_BACKUP": "" if target is None else target.name,
        "MOBIUS_OUTCOME": "rolled back",
    }
    result = run_hook(ws, "on_rollback", facts, tell=records.event)
    if result.sentence and result.ok:  # a failure is among the warnings at the end
        say(result.sentence)
    return () if result.ok else (result.sentence,)


def _written_late(restored: Restored) -> tuple[str, ...]:
    """A program that had the old file open writes into the copy that was exchanged out: found by its hash."""
    if restored.emergency is None:
        return ()
    with contextlib.suppress(OSError):
        if hash_or_absent(restored.emergency) != restored.before:
            return (
                "a program that had the replaced file open wrote into it afterwards; that is only in "
                f"{visible(str(restored.emergency))}",
            )
    return ()


def _figures(present: Present, restored: Restored) -> dict[str, Any]:
    """Entries, and those with a dHash, before and after."""
    before = present.figures if restored.before == present.sha256 else None
    both = (before, restored.wanted.figures)
    return {
        "entries": tuple(None if each is None else each.entries for each in both),
        "with_dhash": tuple(None if each is None else each.with_dhash for each in both),
    }


def _images(
    ws: Workspace, places: Places, target: Target | None, options: RollbackOptions, records: Records, say: Say
) -> tuple[Mapping[str, int], tuple[str, int] | None]:
    """Put the images back when that is asked for; a failure in it leaves the catalogue restored, and is said."""
    if not options.with_images or target is None:
        return {}, None
    kept = places.emergency / records.run_id.rpartition("-")[2]
    try:
        done = restore_images(target.path, ws.library, kept, say)
    except (MobiusError, OSError) as error:
        said = str(error) if isinstance(error, MobiusError) else f"{error.strerror} ({visible(str(error.filename))})"
        again = f"`mobius rollback --backup {visible(target.name)} --with-images` goes on"
        return {}, (f"the catalogue is restored, but not every image: {said}. Next: {again}", exit_code_of(error))
    records.event("info", "images", "images put back", **done)
    return done, None
