"""The main job: fingerprint every image, find duplicates, write the catalogue."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobius_tui import __version__
from mobius_tui.catalogue.document import SCHEMA_VERSION, OwnedFields
from mobius_tui.catalogue.render import render
from mobius_tui.catalogue.walk import Problem
from mobius_tui.errors import BadInput, ProcessingFailed
from mobius_tui.fingerprint.dhash import hex_of
from mobius_tui.operations.backup import backup_now
from mobius_tui.operations.hashing import Tally, fingerprint_all, setup_for
from mobius_tui.operations.inventory import Missing, Result, Setup, Unread
from mobius_tui.operations.library import Library, choose, load_library, source_of
from mobius_tui.operations.matches import (
    MOST_PAIRS,
    Duplicate,
    exact_duplicates,
    exact_prints,
    has_dhash,
    waiting_pairs,
)
from mobius_tui.operations.options import MigrateOptions, MigrationSummary, image_limits
from mobius_tui.operations.progress import Counts, Progress
from mobius_tui.operations.report import write_report
from mobius_tui.operations.review_export import export_queue
from mobius_tui.recovery.atomic import Changed, write_atomic
from mobius_tui.recovery.history import note_act
from mobius_tui.store.database import write_meta, writing
from mobius_tui.store.pairs import Pair, count_pairs, drop_other_pairs, keep_pairs
from mobius_tui.system import clock
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

ALGORITHM = "dhash-64"
"""Name of the fingerprint in ``dhash_migration``."""

FIRST_RUN = "first_run"
"""Key in the store's meta table: when the first migration of this library was published."""

LEAST_FAILURES = 5
"""So many failed or missing images stop a publication at the least, however small the library."""

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a run found out before anything is written."""

    library: Library
    chosen: Sequence[int]
    results: Sequence[Result | None]
    tally: Tally
    duplicates: Sequence[Duplicate]
    setup: Setup
    hashing_s: float


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
        Cancelled: Somebody asked for it.
    """
    options.check()
    began = time.monotonic()
    target = target_of(ws, options)
    with contextlib.ExitStack() as held:
        if target is not None:
            held.enter_context(catalogue_lock(target, ws.actor, f"migration {progress.run_id}"))
        held.enter_context(_scratch_in(options.temp_dir))
        for attempt in range(_ATTEMPTS):
            findings = _find_out(ws, connection, options, progress)
            pairs = _pairs(connection, findings, options, ws, progress)
            if target is None:
                return _report(ws, findings, pairs, options, progress, began)
            waiting = _keep_queue(connection, pairs, options, progress)
            _refuse_too_many_failures(ws, findings)
            try:
                return _publish(ws, connection, findings, waiting, target, options, progress, began)
            except Changed:
                if attempt == _ATTEMPTS - 1:
                    raise
                progress.event("warning", "catalogue_changed", "the catalogue was changed meanwhile; reading it again")
    raise AssertionError("the last attempt returns or raises")


def target_of(ws: Workspace, options: MigrateOptions) -> Path | None:
    """The catalogue that will be written; None for a dry run.

    Raises:
        BadInput: The live catalogue would get paths that mean another folder.
    """
    if options.dry_run:
        return None
    source = source_of(ws, options)
    target = Path(options.output).absolute() if options.output else source
    live = os.path.realpath(ws.catalogue)
    if os.path.realpath(target) == live and os.path.dirname(os.path.realpath(source)) != os.path.dirname(live):  # noqa: PTH120
        raise BadInput(
            "this would write paths of another folder into the live catalogue",
            where=visible(str(target)),
            fix="copy the input beside the live catalogue first",
        )
    return target


def _find_out(ws: Workspace, connection: sqlite3.Connection, options: MigrateOptions, progress: Progress) -> Findings:
    progress.phase("reading catalogue and folder")
    library = load_library(ws, options, lambda problem: _tell_problem(progress, problem))
    chosen = choose(library, options)
    limits = image_limits(ws)
    setup = setup_for(options.profile, limits)
    progress.phase("hashing", len(chosen))
    began = time.monotonic()
    found, tally = fingerprint_all(
        connection,
        [library.paths[place] for place in chosen],
        setup,
        limits,
        progress,
        workers=options.workers,
        batch_size=options.batch_size,
        fresh=options.fresh,
        names=[library.names[place] for place in chosen],
    )
    hashing_s = time.monotonic() - began
    results: list[Result | None] = [None] * len(library)
    for place, result in zip(chosen, found, strict=True):
        results[place] = result
    return Findings(library, chosen, results, tally, exact_duplicates(results), setup, hashing_s)


def _tell_problem(progress: Progress, problem: Problem) -> None:
    progress.event("warning", "skipped", f"skipped  {problem.relative}  {problem.what}", path=visible(problem.relative))


def _pairs(
    connection: sqlite3.Connection, findings: Findings, options: MigrateOptions, ws: Workspace, progress: Progress
) -> Iterator[Pair]:
    """Candidate pairs by exact hashes, whatever the profile."""
    results = findings.results
    if options.profile == "fast":
        results = exact_prints(
            connection,
            findings.library.paths,
            results,
            options.threshold,
            image_limits(ws),
            progress,
            workers=options.workers,
            batch_size=options.batch_size,
        )
    progress.phase("matching")
    return waiting_pairs(results, findings.library.names, options.threshold, progress)


def _keep_queue(
    connection: sqlite3.Connection, pairs: Iterator[Pair], options: MigrateOptions, progress: Progress
) -> int:
    """Write the waiting pairs; a whole run replaces the queue. Returns how many wait."""
    kept = 0

    def counted() -> Iterator[Pair]:
        nonlocal kept
        for pair in pairs:
            kept += 1
            if kept <= MOST_PAIRS:
                yield pair

    keep_pairs(connection, counted(), progress.run_id)
    if kept > MOST_PAIRS:
        progress.event("warning", "queue_full", f"{kept:,} candidate pairs, the first {MOST_PAIRS:,} are kept")
    if options.limit is None:
        drop_other_pairs(connection, progress.run_id)
    return count_pairs(connection)


def _refuse_too_many_failures(ws: Workspace, findings: Findings) -> None:
    bad, total = _bad(findings), len(findings.chosen)
    if bad >= LEAST_FAILURES and bad > ws.settings.max_failure_rate * total:
        raise ProcessingFailed(
            f"{bad:,} of {total:,} images failed or are missing, more than {ws.settings.max_failure_rate:.0%};"
            " nothing was published",
            fix="`mobius logs --level warning` names them; mend them, or raise max_failure_rate",
        )


def _bad(findings: Findings) -> int:
    return findings.tally.failures.total() + findings.tally.missing


def _publish(
    ws: Workspace,
    connection: sqlite3.Connection,
    findings: Findings,
    waiting: int,
    target: Path,
    options: MigrateOptions,
    progress: Progress,
    began: float,
) -> MigrationSummary:
    """Back up what is replaced, write the catalogue, note the act."""
    library = findings.library
    progress.phase("publishing")
    progress.checkpoint()
    in_place = os.path.realpath(target) == os.path.realpath(library.source)
    live = os.path.realpath(target) == os.path.realpath(ws.catalogue)
    backup = None
    if options.backup and live and target.exists():
        backup = backup_now(ws, f"before {progress.run_id}", images=library.entries, run_id=progress.run_id).name
        progress.event("info", "backup", f"backup {backup} verified")
    before = library.sha256 if in_place else None
    after = write_atomic(
        target,
        catalogue_bytes(findings, _run_record(ws, findings, progress)),
        mode=0o644,
        expect=before,
    )
    with writing(connection):
        if live and options.limit is None:
            write_meta(connection, FIRST_RUN, clock.iso(clock.now()))
    note_act(
        ws.state,
        "migrate",
        ws.actor,
        run_id=progress.run_id,
        reason=options.reason,
        before=None if before == "absent" else before,
        after=after,
        details={"output": str(target), "backup": backup, "images": len(library)},
    )
    export = None
    if options.export_low_conf:
        export = str(ws.review / "low-confidence-queue.json")
        export_queue(ws, connection, Path(export), library, findings.results)
    summary = _summary(
        "LIVE", findings, waiting, str(target), began, backup=backup, export=export, hashes=(before, after)
    )
    progress.advance(
        Counts(
            findings.tally.done, summary.errors, summary.missing, summary.low_confidence,
            summary.exact_duplicates, waiting, summary.decoded,
        )
    )  # fmt: skip
    return summary


def catalogue_bytes(findings: Findings, run: dict[str, object]) -> Iterator[bytes]:
    """The bytes of the new catalogue; the same findings give the same ones but for ``run``."""
    library = findings.library
    owned = [None if found is None else owned_fields(found) for found in findings.results]
    entries = [_keep_last(library, place, fields) for place, fields in enumerate(owned[: library.entries])]
    appended = [
        (library.names[place], fields)
        for place, fields in enumerate(owned[library.entries :], start=library.entries)
        if fields is not None and fields.status != "missing"
    ]
    return render(
        library.document,
        entries,
        appended=appended,
        migration={
            "schema_version": SCHEMA_VERSION,
            "algorithm": ALGORITHM,
            "profile": findings.setup.profile,
            "decoder": findings.setup.decoder,
            "run": run,
        },
        duplicates=(
            {
                "duplicate": library.names[pair.duplicate],
                "original": library.names[pair.original],
                "hammingDistance": 0,
                "confidence": 1.0,
                "status": "exact",
            }
            for pair in findings.duplicates
        ),
    )


def owned_fields(result: Result) -> OwnedFields:
    """What the catalogue says of an image."""
    if isinstance(result, Missing):
        return OwnedFields(None, None, "missing")
    if isinstance(result, Unread):
        return OwnedFields(None, None, "failed", result.error)
    if result.dhash is None:
        return OwnedFields(None, None, "failed", result.error)
    return OwnedFields(hex_of(result.dhash), result.confidence, result.status)


def _keep_last(library: Library, place: int, fields: OwnedFields | None) -> OwnedFields | None:
    """A missing file keeps its last dHash and confidence."""
    if fields is None or fields.status != "missing":
        return fields
    entry = library.document.entries[place]
    return OwnedFields(entry.dhash, entry.confidence, "missing")


def _run_record(ws: Workspace, findings: Findings, progress: Progress) -> dict[str, object]:
    return {
        "id": progress.run_id,
        "finished": clock.iso(clock.now()),
        "by": ws.actor,
        "environment": ws.settings.environment,
        "mobius": __version__,
        "images": len(findings.library),
        "decoded": findings.tally.decoded,
    }


def _report(
    ws: Workspace, findings: Findings, pairs: Iterator[Pair], options: MigrateOptions, progress: Progress, began: float
) -> MigrationSummary:
    """Write the report of a dry run; too many failures end it as they would end the migration."""
    output = Path(options.output).absolute() if options.output else ws.logs / f"{progress.run_id}.json"
    size = sum(len(chunk) for chunk in catalogue_bytes(findings, _run_record(ws, findings, progress)))
    rate = findings.tally.decoded / findings.hashing_s if findings.tally.decoded else None
    kept = list(_first(pairs, MOST_PAIRS))
    summary = _summary("DRY RUN", findings, len(kept), str(output), began)
    estimate = {
        "seconds": None if rate is None else round(len(findings.library) / rate, 1),
        "bytes": size,
    }
    states = [(name, owned_fields(found)) for name, found in _named(findings)]
    write_report(output, ws, findings.library, states, findings.duplicates, kept, summary, estimate)
    progress.event("info", "report", f"report written to {output}")
    _refuse_too_many_failures(ws, findings)
    return summary


def _named(findings: Findings) -> Iterator[tuple[int, Result]]:
    for place in findings.chosen:
        result = findings.results[place]
        if result is not None:
            yield place, result


def _first(pairs: Iterator[Pair], most: int) -> Iterator[Pair]:
    for number, pair in enumerate(pairs):
        if number >= most:
            return
        yield pair


def _summary(
    mode: str,
    findings: Findings,
    waiting: int,
    output: str,
    began: float,
    *,
    backup: str | None = None,
    export: str | None = None,
    hashes: tuple[str | None, str | None] = (None, None),
) -> MigrationSummary:
    tally = findings.tally
    return MigrationSummary(
        mode=mode,
        total=len(findings.library),
        processed=sum(has_dhash(result) for result in findings.results),
        errors=tally.failures.total(),
        missing=tally.missing,
        duplicates=len(findings.duplicates),
        exact_duplicates=len(findings.duplicates),
        low_confidence=tally.low,
        waiting_pairs=waiting,
        decoded=tally.decoded,
        unnamed=findings.library.unnamed,
        rate=round(tally.decoded / findings.hashing_s, 1) if tally.decoded and findings.hashing_s > 0 else None,
        elapsed_s=round(time.monotonic() - began, 2),
        output=output,
        backup=backup,
        export=export,
        failures=dict(sorted(tally.failures.items())),
        before=None if hashes[0] == "absent" else hashes[0],
        after=hashes[1],
        skipped=findings.library.skipped,
    )


@contextlib.contextmanager
def _scratch_in(folder: str | None) -> Iterator[None]:
    """Let decoders put what they write meanwhile into a folder.

    Raises:
        BadInput: It is none, or cannot be written.
    """
    if folder is None:
        yield
        return
    path = Path(folder).absolute()
    if not path.is_dir() or not os.access(path, os.W_OK):
        raise BadInput(
            "the folder for temporary files cannot be used", where=visible(str(path)), fix="make it, writable"
        )
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"], tempfile.tempdir = str(path), None
    try:
        yield
    finally:
        tempfile.tempdir = None
        if before is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = before
