"""All that the console shows, at one moment, never changed after it is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mobius_tui.operations.deploy.options import StepState
from mobius_tui.operations.run_steps import steps_of_job
from mobius_tui.recovery.backups import Backup
from mobius_tui.store.alerts import AlertRow
from mobius_tui.store.jobs import Job
from mobius_tui.store.snapshot import StoreSnapshot
from mobius_tui.store.watches import WatchRow
from mobius_tui.system.clock import clock_text
from mobius_tui.text import visible

HASHING = ("migrate", "dry-run")
"""Kinds of jobs that the migration pane shows."""

PUBLISHING = ("deploy", "rollback")
"""Kinds of runs whose steps the deploy view shows."""

JUST_S = 3600.0
"""Seconds after its end that a deploy or rollback stays in the place of the migration, and a watch in its pane."""

GRAVEST = ("critical", "warning", "info")
"""Severities of alerts, the gravest first."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A deploy or rollback, by its journal and its job's row.

    Attributes:
        state: ``queued``, ``running``, ``interrupted``, or how it ended.
        began: Seconds since the epoch.
        ended: Likewise; None while it is not over.
        error: Why it ended like that; empty when it went well or is not over.
        said: What it said of its end when it went well.
        steps: In the order of its table.
        job: Its row; None when the database has none.
    """

    run_id: str
    kind: str
    state: str
    who: str
    reason: str
    began: float
    ended: float | None
    exit_code: int | None
    error: str
    steps: tuple[StepState, ...]
    job: Job | None = None
    said: str = ""

    @property
    def active(self) -> bool:
        """Whether it is not over."""
        return self.state in {"queued", "running", "interrupted"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a workspace.

    Attributes:
        at: When it was read, seconds since the epoch.
        environment: The workspace's environment.
        store: What the database said last; None before it could be read.
        stale_since: When the database stopped answering; None while it does.
        problem: Why, in one sentence; empty while it answers.
        backups: Newest first.
        backups_problem: Why the backups could not be listed; empty when they could.
        worker_alive: Whether a worker holds its lock.
        worker_note: Why no worker could be started; empty otherwise.
        read_only: Whether this console writes nothing.
        journal: What the latest journal of a deploy or rollback tells; None when there is none.
        guard_alive: Whether the process lives that the latest watch's row names as its guard.
        pane: Name of the pane that has the keys; empty when the screen does not say.
        chosen: Name of the backup under the cursor of pane 1; empty when there is none.
        alert: Name of the alert under the cursor of pane 3; empty when there is none.
    """

    at: float
    environment: str
    store: StoreSnapshot | None = None
    stale_since: float | None = None
    problem: str = ""
    backups: tuple[Backup, ...] = ()
    backups_problem: str = ""
    worker_alive: bool = False
    worker_note: str = ""
    read_only: bool = False
    journal: Publication | None = None
    guard_alive: bool = False
    pane: str = ""
    chosen: str = ""
    alert: str = ""

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The latest jobs, newest first."""
        return self.store.jobs if self.store else ()


def migration_of(snapshot: Snapshot) -> Job | None:
    """The migration or dry run to show: the one under way, else the latest that was begun; None when there is none."""
    hashing = [job for job in snapshot.jobs if job.kind in HASHING and job.state != "refused"]
    under_way = [job for job in hashing if job.state in {"running", "paused", "interrupted"}]
    queued = [job for job in hashing if job.state == "queued"]
    for group in (under_way, queued, hashing):
        if group:
            return group[0]
    return None


def running_job(snapshot: Snapshot) -> Job | None:
    """The job that pause, resume and cancel mean: one under way before one that waits, the oldest first."""
    under_way = [job for job in snapshot.jobs if job.state in {"running", "paused", "interrupted"}]
    queued = [job for job in snapshot.jobs if job.state == "queued"]
    if under_way:
        return under_way[-1]
    return queued[-1] if queued else None


def pausing(job: Job) -> bool:
    """Whether a job is paused or was asked to."""
    return job.active and (job.state == "paused" or job.wanted == "pause")


def publication_of(snapshot: Snapshot) -> Publication | None:
    """The deploy or rollback to show: one under way, else the latest; None when there was none."""
    found = [_of_job(job, snapshot.journal) for job in snapshot.jobs if job.kind in PUBLISHING]
    found = [each for each in found if each.state != "refused"]
    journal = snapshot.journal
    if journal is not None and journal.run_id not in {each.run_id for each in found}:
        found.append(journal)
    return max(found, key=lambda each: (each.active, each.began), default=None)


def _of_job(job: Job, journal: Publication | None) -> Publication:
    """A row, with the journal's steps where the row has none and its own end where a crash kept that from the row."""
    mine = Publication(
        run_id=job.run_id,
        kind=job.kind,
        state="running" if job.state == "paused" else job.state,
        who=job.requested_by,
        reason=job.reason,
        began=job.started_at or job.requested_at,
        ended=job.finished_at,
        exit_code=job.exit_code,
        error=job.error,
        steps=steps_of_job(job),
        job=job,
        said=str(job.summary.get("reason") or "") if not job.active else "",
    )
    if journal is None or journal.run_id != job.run_id:
        return mine
    if not mine.active and not mine.said:
        mine = replace(mine, said=journal.said)
    if mine.state == "interrupted" and not journal.active:
        return replace(journal, job=job)
    return mine if mine.steps else replace(mine, steps=journal.steps)


def shows_publication(snapshot: Snapshot) -> bool:
    """Whether a deploy or rollback stands in the place of the migration: while it runs, and when it has just ended."""
    publication = publication_of(snapshot)
    if publication is None:
        return False
    migration = migration_of(snapshot)
    if publication.active or migration is None:
        return True
    if migration.active or migration.requested_at > publication.began:
        return False
    return snapshot.at - (publication.ended or publication.began) < JUST_S


def way_is_free(snapshot: Snapshot) -> str | None:
    """Why nothing that publishes can begin now; None when it can."""
    publication = publication_of(snapshot)
    if publication is not None and publication.state in {"queued", "running"}:
        return f"{publication.kind} of {visible(publication.who)} is {publication.state}"
    watch = watch_on(snapshot)
    if watch is not None and not is_canary(watch) and watch.state in {"running", "rolling back"}:
        if watch.state == "rolling back":
            return "the watch is rolling back"
        if watch.until_at > snapshot.at:
            return f"a watch of {visible(watch.who)} is on until {clock_text(watch.until_at)[:5]} UTC"
    return None


def watch_on(snapshot: Snapshot) -> WatchRow | None:
    """The watch that has not come to its end; None when there is none."""
    watch = snapshot.store.watch if snapshot.store else None
    return watch if watch is not None and watch.active else None


def watch_shown(snapshot: Snapshot) -> WatchRow | None:
    """The watch that is on, or that ended within the last hour; None when there is none."""
    watch = snapshot.store.watch if snapshot.store else None
    if watch is None or watch.active:
        return watch
    return watch if snapshot.at - (watch.ended_at or watch.updated_at) < JUST_S else None


def is_canary(watch: WatchRow) -> bool:
    """Whether it watches a part that a deploy has published, in the deploy's own process."""
    return watch.plan.get("canary") is True


def guard_dead(snapshot: Snapshot) -> bool:
    """Whether the watch that is on should have a guard and has none."""
    watch = watch_on(snapshot)
    return watch is not None and watch.state != "planned" and not snapshot.guard_alive


def raised_alerts(snapshot: Snapshot) -> list[AlertRow]:
    """The alerts that hold now, the gravest first, those that nobody has seen before the others."""
    rows = [row for row in (snapshot.store.alerts if snapshot.store else ()) if row.raised]
    return sorted(rows, key=lambda row: (_gravity(row), bool(row.acknowledged_by)))


def _gravity(row: AlertRow) -> int:
    return GRAVEST.index(row.severity) if row.severity in GRAVEST else len(GRAVEST)
