"""The main job: fingerprint every image, find duplicates, write the catalogue."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mobius_tui import __version__
from mobius_tui.catalogue.walk import Problem
from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError, OutOfResource, ProcessingFailed, exit_code_of
from mobius_tui.guard.files import refuse_during_watch
from mobius_tui.operations.backup import backup_beside, backup_now, reusable_backup
from mobius_tui.operations.findings import Effort, Findings, catalogue_bytes, owned_fields
from mobius_tui.operations.hashing import DETAILS, Manner, fingerprint_all, setup_for
from mobius_tui.operations.inventory import Result, Setup, plan_work
from mobius_tui.operations.library import Library, choose, load_library
from mobius_tui.operations.live import FIRST_RUN
from mobius_tui.operations.matches import Waiting, exact_duplicates, exact_prints, has_dhash, waiting_pairs
from mobius_tui.operations.options import MigrateOptions, MigrationSummary, image_limits
from mobius_tui.operations.progress import Counts, Progress
from mobius_tui.operations.report import write_report
from mobius_tui.operations.review_export import export_queue, queued_pairs
from mobius_tui.operations.targets import is_live, target_of
from mobius_tui.recovery.atomic import ABSENT, Changed, write_atomic
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.reserve import ensure_reserve
from mobius_tui.store.database import write_meta, writing
from mobius_tui.store.known import started_at
from mobius_tui.store.pairs import count_pairs, drop_other_pairs, keep_pairs
from mobius_tui.system import clock
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

LEAST_FAILURES = 5
"""So many failed or missing images stop a publication at the least, however small the library."""

EXPORT_NAME = "low-confidence-queue.json"
"""The exported queue in the review folder."""

_ATTEMPTS = 5


def migrate(
    ws: Workspace, connection: sqlite3.Connection, options: MigrateOptions, progress: Progress
) -> MigrationSummary:
    """Fingerprint every image, find duplicates, and write the catalogue or the report of a dry run.

    Args:
        ws: The workspace.
        connection: The database; finished batches are kept there, so that a run cut off goes on.
        options: What is asked for.
        progress: Told of everything; asked whether to go on.

    Returns:
        The summary.

    Raises:
        BadInput: An option or the catalogue is wrong.
        ProcessingFailed: Too many images failed; nothing was published.
        EnvironmentFailed: Something on this machine forbids it, or another process holds the library.
        Held: A watch is on.
        Cancelled: Somebody asked for it.
    """
    options.check()
    effort = Effort(time.monotonic())
    target = target_of(ws, options)
    published = target is not None and is_live(ws, target)
    if published:
        refuse_during_watch(ws)
    existed = False
    with contextlib.ExitStack() as held:
        for attempt in range(_ATTEMPTS):
            library = _read(ws, options, progress)
            existed = existed or library.sha256 != ABSENT
            if existed and library.sha256 == ABSENT:
                raise EnvironmentFailed("the catalogue vanished meanwhile", where=visible(str(library.source)))
            if target is not None and attempt == 0:
                held.enter_context(catalogue_lock(target, ws.actor, f"migration {progress.run_id}"))
                if published:  # a watch begins under this lock
                    refuse_during_watch(ws)
            findings = _find_out(ws, connection, library, options, progress, effort)
            if target is None:
                waiting = _match(ws, connection, findings, options, progress, effort)
                return _report(ws, findings, waiting, options, progress, effort)
            _refuse_too_many_failures(ws, findings)
            waiting = _match(ws, connection, findings, options, progress, effort)
            queued = keep_queue(ws, connection, findings, waiting, options, progress)
            try:
                return _publish(ws, connection, findings, waiting, queued, target, options, progress, effort)
            except Changed:
                if attempt == _ATTEMPTS - 1:
                    raise
                progress.event("warning", "catalogue_changed", "the catalogue was changed meanwhile; reading it again")
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A migration of the live catalogue that is ready to be published by whoever asked for it.

    Attributes:
        findings: What was found out; ``findings.library.sha256`` is the hash of the catalogue that was read.
        waiting: Candidate pairs.
        effort: What it cost.
    """

    findings: Findings
    waiting: Waiting
    effort: Effort

    def chunks(self, ws: Workspace, progress: Progress) -> Iterator[bytes]:
        """The bytes of the new catalogue."""
        return catalogue_bytes(self.findings, _run_record(ws, self.findings, progress, self.effort))

    def summary(self, output: Path, queued: int, hashes: tuple[str | None, str | None]) -> MigrationSummary:
        """The summary, for a catalogue that replaced one hash by another."""
        return _summary("LIVE", self.findings, queued, output, self.effort, hashes=hashes)


def prepare(ws: Workspace, connection: sqlite3.Connection, options: MigrateOptions, progress: Progress) -> Prepared:
    """Do all of a migration in place but its publication; the catalogue's lock is the caller's to hold.

    Args:
        ws: The workspace.
        connection: The database.
        options: What is asked for; neither a dry run nor with an output.
        progress: Told of everything; asked whether to go on.

    Returns:
        What is to be published.

    Raises:
        ProcessingFailed: Too many images failed.
        MobiusError: As ``migrate``.
    """
    options.check()
    effort = Effort(time.monotonic())
    library = _read(ws, options, progress)
    findings = _find_out(ws, connection, library, options, progress, effort)
    _refuse_too_many_failures(ws, findings)
    return Prepared(findings, _match(ws, connection, findings, options, progress, effort), effort)


def _read(ws: Workspace, options: MigrateOptions, progress: Progress) -> Library:
    """Read the catalogue and walk the folder; files that will get no entry are told of."""
    progress.phase("reading catalogue and folder")
    library = load_library(ws, options, lambda problem: _tell_problem(progress, problem))
    if not options.add:
        for name in library.unnamed[:DETAILS]:
            progress.event("info", "unnamed", f"no entry  {name}", path=name)
        if len(library.unnamed) > DETAILS:
            progress.event("info", "details_end", f"{len(library.unnamed) - DETAILS:,} more files without an entry")
    return library


def _find_out(
    ws: Workspace,
    connection: sqlite3.Connection,
    library: Library,
    options: MigrateOptions,
    progress: Progress,
    effort: Effort,
) -> Findings:
    """Fingerprint the images and group the byte-identical ones."""
    chosen = choose(library, options)
    manner = _manner(ws, connection, options, progress, effort)
    if not options.dry_run:
        _refuse_mixing(library, chosen, manner.setup)
    found, tally = fingerprint_all(
        connection,
        [library.paths[place] for place in chosen],
        manner,
        progress,
        names=[library.names[place] for place in chosen],
    )
    effort.add(tally)
    results: list[Result | None] = [None] * len(library)
    for place, result in zip(chosen, found, strict=True):
        results[place] = result
    known, unknown = _with_others(connection, library, results, manner.setup)
    return Findings(library, chosen, results, unknown, tally, exact_duplicates(known), manner.setup)


def _manner(
    ws: Workspace, connection: sqlite3.Connection, options: MigrateOptions, progress: Progress, effort: Effort
) -> Manner:
    limits = image_limits(ws)
    since = 0.0
    if options.fresh:
        # what this very run has decoded, before it was cut off or read the catalogue again, is fresh
        since = started_at(connection, progress.run_id) or clock.now() - (time.monotonic() - effort.began)
    return Manner(
        setup_for(options.profile, limits), limits, options.workers, options.batch_size, options.temp_dir, since
    )


def _tell_problem(progress: Progress, problem: Problem) -> None:
    message = f"skipped  {visible(problem.relative)}  {problem.what}"
    progress.event("warning", "skipped", message, path=problem.relative)


def _refuse_mixing(library: Library, chosen: Sequence[int], setup: Setup) -> None:
    """A limited run leaves the other entries as they are: their hashes must be of the same profile and decoder."""
    old = library.document.migration or {}
    if len(chosen) == len(library) or (old.get("profile"), old.get("decoder")) == (setup.profile, setup.decoder):
        return
    left = set(range(library.entries)).difference(chosen)
    entries = library.document.entries
    if any(entries[place].dhash is not None and entries[place].status != "missing" for place in left):
        raise BadInput(
            f"the catalogue holds hashes of another profile or decoder ({visible(str(old.get('profile')))},"
            f" {visible(str(old.get('decoder')))}) and a limited run would mix them",
            where=visible(str(library.source)),
            fix="run it without --limit, or with --dry-run",
        )


def _with_others(
    connection: sqlite3.Connection, library: Library, results: Sequence[Result | None], setup: Setup
) -> tuple[Sequence[Result | None], int]:
    """Results with what is known of the images that a limited run left out, and how many of those are unknown."""
    others = [place for place, result in enumerate(results) if result is None]
    if not others:
        return results, 0
    known = list(results)
    unknown = 0
    at = iter(others)
    for plan in plan_work(connection, [library.paths[place] for place in others], setup):
        for result in plan.results:
            known[next(at)] = result
        unknown += len(plan.tasks)
    return known, unknown


def _match(
    ws: Workspace,
    connection: sqlite3.Connection,
    findings: Findings,
    options: MigrateOptions,
    progress: Progress,
    effort: Effort,
) -> Waiting:
    """Candidate pairs by exact hashes, whatever the profile."""
    results = findings.results
    if options.profile == "fast":
        limits = image_limits(ws)
        manner = replace(
            _manner(ws, connection, options, progress, effort),
            setup=setup_for("exact", limits),
            phase="exact hashes of candidates",
            tell=False,
        )
        results, tally = exact_prints(
            connection, findings.library.paths, results, options.threshold, manner, progress, findings.tally
        )
        effort.add(tally)
    progress.phase("matching")
    waiting = waiting_pairs(results, findings.library.names, options.threshold, progress)
    if waiting.found > len(waiting):
        text = f"{waiting.found:,} candidate pairs, the nearest {len(waiting):,} are kept"
        progress.event("warning", "queue_full", text)
    return waiting


def keep_queue(
    ws: Workspace,
    connection: sqlite3.Connection,
    findings: Findings,
    waiting: Waiting,
    options: MigrateOptions,
    progress: Progress,
) -> int:
    """Write the waiting pairs of the workspace's own library; a whole run replaces them. Returns how many wait."""
    if not is_live(ws, findings.library.source):
        return len(waiting)
    keep_pairs(connection, waiting, progress.run_id)
    if options.limit is None:
        drop_other_pairs(connection, progress.run_id)
    return count_pairs(connection)


def _refuse_too_many_failures(ws: Workspace, findings: Findings) -> None:
    bad, total = findings.tally.failures.total() + findings.missing, len(findings.chosen)
    allowed = ws.settings.max_failure_rate * total + 1e-9  # 0.29 * 100 is a little less than 29
    if bad >= LEAST_FAILURES and bad > allowed:
        raise ProcessingFailed(
            f"{bad:,} of {total:,} images failed or are missing, more than {ws.settings.max_failure_rate * 100:g} %;"
            " nothing was published",
            fix="`mobius logs --level warning` names them; mend them, or raise max_failure_rate",
        )


def _publish(
    ws: Workspace,
    connection: sqlite3.Connection,
    findings: Findings,
    waiting: Waiting,
    queued: int,
    target: Path,
    options: MigrateOptions,
    progress: Progress,
    effort: Effort,
) -> MigrationSummary:
    """Back up what is replaced, write the catalogue, note the act."""
    library = findings.library
    progress.phase("publishing")
    progress.checkpoint()
    in_place, live = os.path.realpath(target) == os.path.realpath(library.source), is_live(ws, target)
    backup, before = _back_up(ws, library, target, options, progress)
    if in_place:
        before = library.sha256
    after = write_atomic(
        target, catalogue_bytes(findings, _run_record(ws, findings, progress, effort)), mode=0o644, expect=before
    )
    if live:
        _keep_reserve(target, progress)
    with _said_as_published(target):
        _note(ws, connection, findings, options, progress, (before, after), target, backup)
        export = _export(ws, connection, findings, waiting) if options.export_low_conf else None
    summary = _summary("LIVE", findings, queued, target, effort, backup=backup, export=export, hashes=(before, after))
    progress.advance(_end_counts(findings, summary))
    return summary


def _keep_reserve(target: Path, progress: Progress) -> None:
    """Keep the space that a rollback of this publication needs; without room it is told."""
    try:
        ensure_reserve(target, target.stat().st_size)
    except (MobiusError, OSError) as error:
        progress.event("warning", "reserve", f"no space is kept for a rollback on a full disk: {visible(str(error))}")


def _end_counts(findings: Findings, summary: MigrationSummary) -> Counts:
    """What a run came out as, for its row."""
    return Counts(
        findings.tally.done, summary.errors, summary.missing, summary.low_confidence,
        summary.exact_duplicates, summary.waiting_pairs, summary.decoded,
    )  # fmt: skip


def _back_up(
    ws: Workspace, library: Library, target: Path, options: MigrateOptions, progress: Progress
) -> tuple[str | None, str | None]:
    """Back up the catalogue that is about to be replaced; its backup's name and hash, None where none was made.

    The live one goes to the workspace's backups, another that is replaced in place beside itself; a file named with -o
    is the caller's.
    """
    live = is_live(ws, target)
    in_place = os.path.realpath(target) == os.path.realpath(library.source)
    if not options.backup or not (live or in_place) or not target.exists():
        return None, None
    if in_place and sha256_file(target) != library.sha256:
        raise Changed("the catalogue was changed since it was read, nothing was written", fix="run it again")
    reason = f"before {progress.run_id}"
    if live:
        same = reusable_backup(ws)
        made = same or backup_now(ws, reason, images=library.entries, run_id=progress.run_id)
        if same is not None:
            progress.event("info", "backup", f"backup {same.name} holds exactly this catalogue, it was read back anew")
            return same.name, same.sha256
    else:
        made = backup_beside(ws, target, reason, images=library.entries, run_id=progress.run_id)
    progress.event("info", "backup", f"backup {made.name} verified")
    return made.name, made.sha256


def _note(
    ws: Workspace,
    connection: sqlite3.Connection,
    findings: Findings,
    options: MigrateOptions,
    progress: Progress,
    hashes: tuple[str | None, str],
    target: Path,
    backup: str | None,
) -> None:
    """Note a publication in the store and in the history."""
    if is_live(ws, target) and options.limit is None:
        with writing(connection):
            write_meta(connection, FIRST_RUN, clock.iso(clock.now()))
    before, after = hashes
    note_act(
        ws.state,
        "migrate",
        ws.actor,
        run_id=progress.run_id,
        reason=options.reason,
        before=None if before == ABSENT else before,
        after=after,
        details={"output": str(target), "backup": backup, "images": findings.total},
    )


def _export(ws: Workspace, connection: sqlite3.Connection, findings: Findings, waiting: Waiting) -> Path:
    export = ws.review / EXPORT_NAME
    own = is_live(ws, findings.library.source)
    export_queue(ws, export, findings.library, findings.results, queued_pairs(connection) if own else waiting)
    return export


@contextlib.contextmanager
def _said_as_published(target: Path) -> Iterator[None]:
    """What fails after the catalogue was written is said as such: the new one is live."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        full = "full" in str(error) or exit_code_of(error) == OutOfResource.exit_code
        failed = OutOfResource if full else EnvironmentFailed
        said = f"the catalogue was written, but that could not be noted: {getattr(error, 'strerror', None) or error}"
        raise failed(said, where=visible(str(target)), fix="mend that, then run it again") from error


def _run_record(ws: Workspace, findings: Findings, progress: Progress, effort: Effort) -> dict[str, object]:
    return {
        "id": progress.run_id,
        "finished": clock.iso(clock.now()),
        "by": ws.actor,
        "environment": ws.settings.environment,
        "mobius": __version__,
        "images": findings.total,
        "decoded": effort.decoded,
    }


def _report(
    ws: Workspace,
    findings: Findings,
    waiting: Waiting,
    options: MigrateOptions,
    progress: Progress,
    effort: Effort,
) -> MigrationSummary:
    """Write the report of a dry run; too many failures end it as they would end the migration."""
    progress.phase("writing the report")
    output = Path(options.output).absolute() if options.output else ws.logs / f"{progress.run_id}.json"
    size = sum(len(chunk) for chunk in catalogue_bytes(findings, _run_record(ws, findings, progress, effort)))
    summary = _summary("DRY RUN", findings, len(waiting), output, effort)
    rest = time.monotonic() - effort.began - effort.hashing_s
    estimate = {
        "seconds": _seconds(findings.unknown, effort, rest),
        "seconds_fresh": _seconds(len(findings.library), effort, rest),
        "bytes": size,
    }
    states = ((place, owned_fields(found)) for place, found in enumerate(findings.results) if found is not None)
    write_report(output, ws, findings.library, states, findings.duplicates, waiting, summary, estimate)
    progress.event("info", "report", f"report written to {visible(str(output))}")
    progress.advance(_end_counts(findings, summary))
    _refuse_too_many_failures(ws, findings)
    return summary


def _seconds(images: int, effort: Effort, rest: float) -> float | None:
    """How long a run takes that decodes so many images; None when no rate was measured for them."""
    if not images:
        return round(rest, 1)
    return None if effort.rate is None else round(images / effort.rate + rest, 1)


def _summary(
    mode: str,
    findings: Findings,
    waiting: int,
    output: Path,
    effort: Effort,
    *,
    backup: str | None = None,
    export: Path | None = None,
    hashes: tuple[str | None, str | None] = (None, None),
) -> MigrationSummary:
    tally = findings.tally
    return MigrationSummary(
        mode=mode,
        total=findings.total,
        processed=sum(has_dhash(result) for result in findings.results),
        errors=tally.failures.total(),
        missing=findings.missing,
        duplicates=len(findings.duplicates),
        exact_duplicates=len(findings.duplicates),
        low_confidence=tally.low,
        waiting_pairs=waiting,
        decoded=effort.decoded,
        unnamed=len(findings.library.unnamed),
        rate=None if effort.rate is None else round(effort.rate, 1),
        elapsed_s=round(time.monotonic() - effort.began, 2),
        output=str(output),
        backup=backup,
        export=None if export is None else str(export),
        failures=dict(sorted(tally.failures.items())),
        before=None if hashes[0] == ABSENT else hashes[0],
        after=hashes[1],
        skipped=findings.library.skipped,
    )
