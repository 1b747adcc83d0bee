"""What is live, what runs, what failed last and what to do next: files first, for database and worker may be gone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from mobius_tui.catalogue.document import Document
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import MobiusError
from mobius_tui.launch.health import Address, worker_address
from mobius_tui.notifications.outbox import outbox_state
from mobius_tui.operations.canary_view import read_canary
from mobius_tui.operations.past_watch import last_watch
from mobius_tui.operations.watching import watch_sentence
from mobius_tui.recovery.backups import Backup, list_backups, newest
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, begin_of, open_journals, read_journal, run_of
from mobius_tui.rollback.recover import explain_open
from mobius_tui.rollback.undo import live_since
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.jobs import Job, recent_jobs
from mobius_tui.store.pairs import count_pairs
from mobius_tui.store.snapshot import count_low_confidence
from mobius_tui.store.worker_row import WorkerRow, read_worker
from mobius_tui.system import clock
from mobius_tui.system.locks import Holder, catalogue_lock_path, holder_of
from mobius_tui.text import counted, visible
from mobius_tui.workspace import Workspace

COUNTED_BYTES = 64_000_000
"""A catalogue up to this size is parsed for its counts; for a larger one those of the run that wrote it are taken."""

NO_STATUS = "not hashed"
"""How an entry without ``dhash_status`` is counted."""


@dataclass(frozen=True, slots=True)
class LiveCatalogue:
    """The catalogue that is live.

    Attributes:
        path: Where it is, or will be.
        exists: Whether there is a file.
        sha256: Of its bytes, hex; None when it could not be read.
        size: Bytes.
        changed_at: Its modification time, seconds since the epoch.
        images: Entries; None when they could not be counted.
        by_status: Entries by ``dhash_status``.
        duplicates: Entries of ``dhash_duplicates``; None when they could not be counted.
        error: Why it is not valid or not readable, in one sentence; empty when it is well.
        since: When it was published, by the history; None when no act of MOBIUS made these bytes.
        by: Who did that.
        act: What was done; of an operation that is not over, also that.
        run_id: The run.
    """

    path: str
    exists: bool
    sha256: str | None = None
    size: int = 0
    changed_at: float | None = None
    images: int | None = None
    by_status: Mapping[str, int] = field(default_factory=dict)
    duplicates: int | None = None
    error: str = ""
    since: str | None = None
    by: str = ""
    act: str = ""
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """One screen of a workspace.

    Attributes:
        state_readable: Whether worker and history can be told at all.
        jobs_known: Whether the database could be read, or there is none yet.
        worker: Who holds the worker's lock; None when no worker lives.
        worker_row: What the worker last said of itself.
        address: Where the worker answers over HTTP, or why nowhere; None when it has not said so.
        active: Jobs that are not over, newest first.
        last_failure: The latest failed job, unless a later one of its kind went well.
        waiting: Pairs that wait for a person; None without a database.
        low_confidence: Contents whose hash says little; None without a database.
        unhashed: Images that the worker's last scan found without a fingerprint; None when unknown.
        watch: The watch that is on, or the canary that its deploy judges, in words; empty when none is.
        last_watch: How the last watch ended, when it was not accepted and nothing was published since; empty else.
        backup: The newest one.
        backups: How many there are.
        warnings: What a person should know: settings, an unreadable database.
        next_steps: What to type next, each with why.
    """

    root: str
    environment: str
    actor: str
    catalogue: LiveCatalogue
    state_readable: bool
    jobs_known: bool
    worker: Holder | None
    worker_row: WorkerRow | None
    address: Address | None
    active: tuple[Job, ...]
    last_failure: Job | None
    waiting: int | None
    low_confidence: int | None
    unhashed: int | None
    watch: str
    last_watch: str
    backup: Backup | None
    backups: int
    warnings: tuple[str, ...]
    next_steps: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, object]:
        """The status as a JSON object; paths exact, times ISO 8601."""
        values = asdict(self)
        values["catalogue"]["changed_at"] = _iso(self.catalogue.changed_at)
        for name in ("started_at", "scanned_at") if self.worker_row is not None else ():
            values["worker_row"][name] = _iso(getattr(self.worker_row, name))
        values["worker"] = None if self.worker is None else {**asdict(self.worker), "since": _iso(self.worker.since)}
        values["backup"] = None if self.backup is None else {"name": self.backup.name, "at": _iso(self.backup.at)}
        values["active"] = [job_facts(job) for job in self.active]
        values["last_failure"] = None if self.last_failure is None else job_facts(self.last_failure)
        values["next_steps"] = [{"type": command, "why": why} for command, why in self.next_steps]
        return values


def _cut_off(ws: Workspace) -> list[str]:
    """Operations that a crash cut off, unless somebody holds the catalogue and may just be at it."""
    with contextlib.suppress(MobiusError):
        if holder_of(catalogue_lock_path(ws.catalogue)) is None:
            return [f"{said}; the next writing start finishes or undoes it" for said in explain_open(ws)]
    return []


def _untold(ws: Workspace) -> list[str]:
    """What people were to be told and have not heard, or have not acknowledged."""
    try:
        state = outbox_state(ws)
    except (MobiusError, OSError) as error:
        return [f"the notifications cannot be read: {error}"]
    said = []
    if state.failing or state.failed:
        why = f": {visible(state.problem)}" if state.problem else ""
        said.append(f"{counted(state.failing + state.failed, 'notification')} not delivered{why}; see `mobius alerts`")
    if state.unacknowledged:
        many = counted(len(state.unacknowledged), "critical notification")
        said.append(f"{many} that nobody has acknowledged: `mobius alerts ack --all`")
    return said


def job_facts(job: Job) -> dict[str, object]:
    """A job as a JSON object: times ISO 8601, ``failure_rate`` left to the reader."""
    facts = asdict(job)
    for name in ("requested_at", "started_at", "finished_at"):
        facts[name] = _iso(facts[name])
    return facts


def read_status(ws: Workspace) -> Status:
    """The status of a workspace; nothing is written, and nothing but the workspace itself need be there.

    Args:
        ws: The workspace, opened leniently.

    Returns:
        What could be found out; what could not is in ``warnings``.
    """
    warnings = list(ws.sourced.warnings)
    known, jobs, row, waiting, low = _from_database(ws, warnings)
    catalogue = live_catalogue(ws, jobs)
    warnings += _cut_off(ws)
    backups: list[Backup] = []
    try:
        backups = list_backups(ws.backups)
    except MobiusError as error:
        warnings.append(str(error))
    watch, past, joinable = _watches(ws, warnings)
    warnings += _untold(ws)
    worker = holder_of(ws.worker_lock)
    readable = not os.path.lexists(ws.state) or os.access(ws.state, os.R_OK | os.X_OK)
    active = tuple(job for job in jobs if job.active)
    unhashed = row.unhashed if row is not None and worker is not None else None
    failure = last_failure(jobs)
    return Status(
        root=str(ws.root),
        environment=ws.settings.environment,
        actor=ws.actor,
        catalogue=catalogue,
        state_readable=readable,
        jobs_known=known,
        worker=worker,
        worker_row=row,
        address=None if worker is None else worker_address(ws),
        active=active,
        last_failure=failure,
        waiting=waiting,
        low_confidence=low,
        unhashed=unhashed,
        watch=watch,
        last_watch=past,
        backup=newest(backups, clock.now()),
        backups=len(backups),
        warnings=tuple(warnings),
        next_steps=tuple(
            _next_steps(catalogue, worker, active, failure, unhashed, bool(backups), waiting, joinable, past)
        ),
    )


def _from_database(
    ws: Workspace, warnings: list[str]
) -> tuple[bool, list[Job], WorkerRow | None, int | None, int | None]:
    """Whether the database could be read or there is none, its jobs and worker, and how long the queue is."""
    jobs: list[Job] = []
    row: WorkerRow | None = None
    waiting = low = None
    known = False
    try:
        connection = open_for_reading(ws.database)
        if connection is not None:
            with contextlib.closing(connection):
                jobs, row = recent_jobs(connection, 100), read_worker(connection)
                waiting, low = count_pairs(connection), count_low_confidence(connection)
        known = True
    except MobiusError as error:
        warnings.append(str(error))
    except OSError as error:
        warnings.append(f"the database cannot be read: {error.strerror}")
    except (sqlite3.Error, ValueError) as error:
        warnings.append(f"the database cannot be used: {error}")
    return known, jobs, row, waiting, low


def _watches(ws: Workspace, warnings: list[str]) -> tuple[str, str, bool]:
    """What watches, how the last watch ended, each in words, and whether `mobius watch` joins something."""
    canary = read_canary(ws)
    if canary is not None:
        return canary.sentence, "", False
    try:
        watch = watch_sentence(ws)
    except (MobiusError, OSError) as error:
        warnings.append(f"the watch cannot be read: {error}")
        watch = ""
    return watch, "" if watch else last_watch(ws), bool(watch)


def live_catalogue(ws: Workspace, jobs: Iterable[Job] = ()) -> LiveCatalogue:
    """What is live, by the file and the history.

    Args:
        ws: The workspace.
        jobs: Known jobs, whose summaries give the counts of a catalogue too large to parse.

    Returns:
        The facts; an unreadable or invalid file is told in ``error``.
    """
    try:
        path = ws.catalogue
    except MobiusError as error:
        return LiveCatalogue("", False, error=str(error))
    facts: dict[str, object] = {}
    try:
        found = path.stat()
        facts = {"size": found.st_size, "changed_at": found.st_mtime, "sha256": sha256_file(path)}
        if found.st_size <= COUNTED_BYTES:
            loaded = read_catalogue(path, patience_s=1.0)
            facts |= {"sha256": loaded.sha256, **_counted(loaded.document)}
    except FileNotFoundError:
        return LiveCatalogue(str(path), False)
    except OSError as error:
        facts["error"] = f"the catalogue cannot be read: {error.strerror}"
    except MobiusError as error:
        facts["error"] = str(error)
    digest = facts.get("sha256")
    if isinstance(digest, str):
        facts |= _published(ws, digest) or _by_open_run(ws, digest)
        if "images" not in facts and "error" not in facts:
            facts |= _from_summary(jobs, digest)
    return LiveCatalogue(str(path), True, **facts)  # type: ignore[arg-type]


def status_counts(document: Document) -> dict[str, int]:
    """Entries of a catalogue by ``dhash_status``, in order of the name; absent ones count as not hashed."""
    return dict(sorted(Counter(entry.status or NO_STATUS for entry in document.entries).items()))


def _counted(document: Document) -> dict[str, object]:
    return {
        "images": len(document.entries),
        "by_status": status_counts(document),
        "duplicates": len(document.duplicates),
    }


def _published(ws: Workspace, digest: str) -> dict[str, object]:
    """The latest act that made these bytes the live ones."""
    try:
        acts = read_history(ws.state, limit=5000)
    except OSError:
        return {}
    for act in reversed(acts):
        if act.get("after") == digest and act.get("before") != digest:
            details = act.get("details")  # a deploy's act is noted at its end, its swap was before
            swapped = details.get("live_since") if isinstance(details, Mapping) else None
            return {
                "since": str(swapped or act.get("time", "")),
                "by": str(act.get("who", "")),
                "act": str(act.get("act", "")),
                "run_id": str(act.get("run", "")),
            }
    return {}


def _by_open_run(ws: Workspace, digest: str) -> dict[str, object]:
    """The operation, under way or cut off, that made these bytes the live ones; its act is noted at its end."""
    with contextlib.suppress(OSError, MobiusError):
        for path in open_journals(ws.state / JOURNALS):
            reading = read_journal(path)
            begin = begin_of(reading)
            swaps = [str(each.get("time", "")) for each in reading.records if each.get("state") == "swapped"]
            swaps += [live_since(reading.records)]
            of = [each for each in reading.records if each.get("after") == digest and each.get("canary")]
            if of:
                told = {"since": str(of[-1].get("time", "")), "act": "canary of a deploy that has not come to its end,"}
                return {**told, "by": str(begin.get("who", "")), "run_id": run_of(path)}
            if swaps[0] and any(each.get("after") == digest for each in reading.records):
                return {
                    "since": swaps[0],
                    "by": str(begin.get("who", "")),
                    "act": f"{begin.get('kind', 'deploy')} that has not come to its end,",
                    "run_id": run_of(path),
                }
    return {}


def _from_summary(jobs: Iterable[Job], digest: str) -> dict[str, object]:
    for job in jobs:
        if job.summary.get("after") == digest:
            summary = job.summary
            low = int(summary["low_confidence"])
            counts = {
                "failed": int(summary["errors"]),
                "low_confidence": low,
                "missing": int(summary["missing"]),
                "ok": int(summary["processed"]) - low,
            }
            return {
                "images": int(summary["total"]),
                "by_status": {name: count for name, count in counts.items() if count},
                "duplicates": int(summary["duplicates"]),
            }
    return {}


def last_failure(jobs: Iterable[Job]) -> Job | None:
    """The latest failed job, unless a later one of the same kind went well.

    Args:
        jobs: Newest first.
    """
    mended: set[str] = set()
    for job in jobs:
        if job.state == "failed" and job.kind not in mended:
            return job
        if job.state == "done":
            mended.add(job.kind)
    return None


def _next_steps(
    catalogue: LiveCatalogue,
    worker: Holder | None,
    active: tuple[Job, ...],
    failure: Job | None,
    unhashed: int | None,
    has_backup: bool,
    waiting: int | None,
    joinable: bool,
    past: str,
) -> Iterable[tuple[str, str]]:
    """At most a handful of commands, the most urgent first."""
    if joinable:
        yield "mobius watch", "joins the watch; `mobius watch status` shows it once"
    if catalogue.error:
        yield "mobius check", "the catalogue is not valid"
    if past:
        yield "mobius watch status", "why the last watch ended so, and its report"
    for job in active[:1]:
        if job.state == "interrupted" and job.kind == "deploy":
            start = "mobius worker start" if worker is None else "mobius deploy --follow"
            yield start, "finishes or undoes the deploy that was cut off, and says which"
        elif job.kind == "deploy":
            yield "mobius deploy --follow", f"the steps of deploy {job.id}"
        elif job.state == "interrupted" and job.options.get("foreground"):
            yield "mobius migrate", f"{job.kind} was cut off; finished images are not decoded again"
        elif job.state in {"interrupted", "queued"} and worker is None:
            yield "mobius worker start", f"{job.kind} {job.id} waits for a worker"
        elif job.state == "paused":
            yield f"mobius resume {job.id}", f"{job.kind} is paused"
        else:
            yield "mobius", f"watch {job.kind} {job.id} in the console"
    if failure is not None:
        yield f"mobius logs --run {failure.run_id}", "why it failed"
    hashed = sum(count for name, count in catalogue.by_status.items() if name != NO_STATUS)
    if not active and not catalogue.error:
        if catalogue.exists and catalogue.images is None:
            yield "mobius check", "count its entries; it is too large to count here"
        elif not hashed:
            yield "mobius migrate --dry-run", "what a migration would do"
            yield "mobius migrate", "fingerprint the library"
        elif unhashed or catalogue.by_status.get(NO_STATUS):
            yield "mobius migrate", "images without a fingerprint"
    if catalogue.exists and (hashed or catalogue.images is None) and not has_backup and not catalogue.error:
        yield "mobius backup create", "there is no backup yet"
    if waiting and not active:
        yield "mobius", f"{waiting:,} pairs wait for a person"


def _iso(seconds: float | None) -> str | None:
    return clock.iso(seconds) if seconds else None
