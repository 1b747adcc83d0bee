"""All that the console shows, at one moment, never changed after it is made."""

from __future__ import annotations

from dataclasses import dataclass

from mobius_tui.recovery.backups import Backup
from mobius_tui.store.jobs import Job
from mobius_tui.store.snapshot import StoreSnapshot

HASHING = ("migrate", "dry-run")
"""Kinds of jobs that the migration pane shows."""


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
