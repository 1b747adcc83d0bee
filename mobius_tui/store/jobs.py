"""Jobs: what was asked for, by whom, how far it is, and how it ended."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mobius_tui.errors import BadInput
from mobius_tui.store.database import writing
from mobius_tui.store.values import json_object, moment, number, text, whole
from mobius_tui.system import clock
from mobius_tui.system.processes import is_alive
from mobius_tui.text import visible

ACTIVE = ("queued", "running", "paused")
"""States of a job that is not over."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the table of jobs.

    Attributes:
        state: ``queued``, ``running``, ``paused``, ``done``, ``failed``, ``cancelled``, ``refused`` (somebody else
            held the library, nothing was begun); ``interrupted`` is shown for a running or paused one whose process is
            gone: the next start of the worker, or of the verb, goes on with it.
        wanted: What people last asked for: ``run``, ``pause`` or ``cancel``.
        rate: Images a second, without paused time; None before it is known.
        eta_s: Seconds left; None before it is known.
        summary: The operation's result, once it is over.
    """

    id: int
    kind: str
    state: str
    wanted: str
    wanted_by: str
    options: Mapping[str, Any]
    run_id: str
    requested_by: str
    requested_at: float
    reason: str
    started_at: float | None
    finished_at: float | None
    owner: str
    phase: str
    total: int | None
    done: int
    failed: int
    missing: int
    low: int
    exact: int
    waiting: int
    decoded: int
    rate: float | None
    eta_s: float | None
    exit_code: int | None
    error: str
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether it is not over."""
        return self.state in {*ACTIVE, "interrupted"}


_COLUMNS = ", ".join(name for name in Job.__dataclass_fields__)

_DAMAGED = "its row in the database is damaged, nothing was done"


def add_job(
    connection: sqlite3.Connection,
    kind: str,
    options: Mapping[str, object],
    requested_by: str,
    *,
    reason: str = "",
    owner: str = "",
    alone: Collection[str] = (),
) -> Job:
    """Ask for a job, or note one that this process runs itself.

    Args:
        connection: The database.
        kind: ``migrate`` or ``dry-run``.
        options: Plain data; never a command.
        requested_by: The actor.
        reason: Why, in words.
        owner: Token of the process that runs it at once; empty puts it in the worker's queue.
        alone: Kinds of which none may be under way or waiting.

    Returns:
        The row.

    Raises:
        BadInput: There is a job of such a kind.
    """
    at = clock.now()
    with writing(connection):
        for other in list_jobs(connection, active_only=True) if alone else ():
            if other.kind in alone:
                raise BadInput(
                    f"{other.kind} {other.id} of {visible(other.requested_by)} is {other.state} already",
                    fix=f"`mobius cancel {other.id}` ends it",
                )
        run_id = _free_run_id(connection, kind, at)
        if owner:
            options = {**options, "foreground": True}
        cursor = connection.execute(
            "INSERT INTO jobs(kind, state, options, run_id, requested_by, requested_at, reason, started_at, owner,"
            " heartbeat_at) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                kind,
                "running" if owner else "queued",
                json.dumps(dict(options), sort_keys=True),
                run_id,
                requested_by,
                at,
                reason,
                at if owner else None,
                owner,
                at,
            ),
        )
    return find_job(connection, int(cursor.lastrowid or 0))


def _free_run_id(connection: sqlite3.Connection, kind: str, at: float) -> str:
    name = "migration" if kind == "migrate" else kind
    while True:
        run_id = f"{name}-{clock.stamp(at)}"
        if connection.execute("SELECT 1 FROM jobs WHERE run_id = ?", (run_id,)).fetchone() is None:
            return run_id
        at += 1


def find_job(connection: sqlite3.Connection, job_id: int) -> Job:
    """The job with this number.

    Raises:
        BadInput: There is none.
    """
    known = abs(job_id) < 2**63  # SQLite has no larger numbers
    row = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone() if known else None
    if row is None:
        raise BadInput(f"there is no job {job_id}", fix="`mobius jobs --all` lists them")
    return _job(row)


def find_run(connection: sqlite3.Connection, run_id: str) -> Job | None:
    """The job of a run; None when there is none."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE run_id = ?", (run_id,)).fetchone()
    return None if row is None else _job(row)


def known_runs(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """Number and run id of every job, newest first."""
    rows = connection.execute("SELECT id, run_id FROM jobs ORDER BY id DESC").fetchall()
    return [(int(row["id"]), text(row["run_id"])) for row in rows]


def list_jobs(connection: sqlite3.Connection, *, active_only: bool = False, limit: int = 50) -> list[Job]:
    """Jobs, newest first."""
    where = f"WHERE state IN {ACTIVE}" if active_only else ""
    rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs {where} ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
    return [_job(row) for row in rows]


def recent_jobs(connection: sqlite3.Connection, limit: int) -> list[Job]:
    """The latest jobs and all that are not over, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE state IN {ACTIVE} OR id IN (SELECT id FROM jobs ORDER BY id DESC LIMIT ?)"
        " ORDER BY id DESC",
        (limit,),
    ).fetchall()
    return [_job(row) for row in rows]


def claim_next(connection: sqlite3.Connection, owner: str) -> Job | None:
    """Take the oldest queued job, or one of the worker's whose process died.

    Args:
        connection: The database.
        owner: Token of the worker that will run it.

    Returns:
        The job, now running (or paused when that is wanted); None when there is none.
    """
    if not _claimable(connection):  # a look without the write lock, for it is taken four times a second
        return None
    with writing(connection):
        found = _claimable(connection)
        while found and _is_damaged(connection, found):
            finish_job(connection, found, "failed", 1, _DAMAGED, {})
            found = _claimable(connection)
        if not found:
            return None
        connection.execute(
            "UPDATE jobs SET state = 'running', owner = ?, started_at = coalesce(started_at, ?), heartbeat_at = ?"
            " WHERE id = ?",
            (owner, clock.now(), clock.now(), found),
        )
        return find_job(connection, found)


def _claimable(connection: sqlite3.Connection) -> int:
    """Number of the oldest job that a worker may take; 0 when there is none."""
    rows = connection.execute(
        f"SELECT id, state, owner FROM jobs WHERE state IN {ACTIVE} AND CASE WHEN json_valid(options)"
        " THEN json_extract(options, '$.foreground') IS NULL ELSE 1 END ORDER BY id"
    ).fetchall()
    return next((int(row["id"]) for row in rows if row["state"] == "queued" or not is_alive(text(row["owner"]))), 0)


def _is_damaged(connection: sqlite3.Connection, job_id: int) -> bool:
    """Whether what a job was asked for cannot be read: the defaults would be something else."""
    row = connection.execute("SELECT options FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return json_object(row["options"]) is None


def claim_job(connection: sqlite3.Connection, job_id: int, kind: str, owner: str) -> Job:
    """Take a job that was put down for a process of its own; no worker takes such a one.

    Args:
        connection: The database.
        job_id: Which.
        kind: What it has to be.
        owner: Token of the process that will run it.

    Returns:
        The job, now running.

    Raises:
        BadInput: It is of another kind, meant for a worker, begun already, cancelled meanwhile, or damaged.
    """
    with writing(connection):
        job = find_job(connection, job_id)
        if job.kind != kind or not job.options.get("foreground"):
            raise BadInput(f"job {job_id} is no {kind} that waits for its process")
        if job.state != "queued":
            said = f": {visible(job.error)}" if job.error else ""
            raise BadInput(f"{kind} {job_id} is {job.state} already{said}")
        connection.execute(
            "UPDATE jobs SET state = 'running', owner = ?, started_at = ?, heartbeat_at = ? WHERE id = ?",
            (owner, clock.now(), clock.now(), job_id),
        )
    return find_job(connection, job_id)


def release_job(connection: sqlite3.Connection, job_id: int, owner: str) -> bool:
    """Give a job back, so that it is shown as interrupted and the next claim goes on with it.

    Args:
        connection: The database.
        job_id: Which.
        owner: Token of the process that held it; another's job is left alone.

    Returns:
        Whether it was given back.
    """
    changed = connection.execute(
        "UPDATE jobs SET owner = '', heartbeat_at = ? WHERE id = ? AND owner = ? AND state IN ('running', 'paused')",
        (clock.now(), job_id, owner),
    )
    return changed.rowcount == 1


def is_migrating(connection: sqlite3.Connection) -> bool:
    """Whether a process hashes the library for a job now, paused or not."""
    active = list_jobs(connection, active_only=True)
    return any(job.kind in {"migrate", "dry-run"} and job.state in {"running", "paused"} for job in active)


def ask(connection: sqlite3.Connection, job_id: int, wanted: str, who: str) -> Job:
    """Ask a job to pause, go on or end.

    Args:
        connection: The database.
        job_id: Which.
        wanted: ``pause``, ``run`` or ``cancel``.
        who: The actor.

    Returns:
        The job as it is now; a queued or interrupted one is cancelled at once.

    Raises:
        BadInput: There is no such job, or it is over.
    """
    with writing(connection):
        job = find_job(connection, job_id)
        if not job.active:
            raise BadInput(f"job {job_id} is over ({job.state})", fix="`mobius jobs` lists the running ones")
        connection.execute("UPDATE jobs SET wanted = ?, wanted_by = ? WHERE id = ?", (wanted, who, job_id))
        if wanted == "cancel" and (job.state in {"queued", "interrupted"}):
            connection.execute(
                "UPDATE jobs SET state = 'cancelled', finished_at = ?, exit_code = 130, error = ? WHERE id = ?",
                (clock.now(), f"cancelled by {who}", job_id),
            )
    return find_job(connection, job_id)


def wanted_of(connection: sqlite3.Connection, job_id: int) -> tuple[str, str]:
    """What people last asked of a job, and who."""
    row = connection.execute("SELECT wanted, wanted_by FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return (str(row["wanted"]), str(row["wanted_by"])) if row else ("cancel", "")


_PROGRESS = {
    "state",
    "phase",
    "total",
    "done",
    "failed",
    "missing",
    "low",
    "exact",
    "waiting",
    "decoded",
    "rate",
    "eta_s",
}


def update_job(connection: sqlite3.Connection, job_id: int, **values: object) -> None:
    """Write a job's progress: state, phase, total, done, failed, missing, low, exact, waiting, decoded, rate, eta_s."""
    if not values.keys() <= _PROGRESS:
        raise ValueError(f"no progress columns: {sorted(values.keys() - _PROGRESS)}")
    columns = ", ".join(f"{name} = ?" for name in values)
    connection.execute(
        f"UPDATE jobs SET {columns}, heartbeat_at = ? WHERE id = ?", (*values.values(), clock.now(), job_id)
    )


def finish_job(
    connection: sqlite3.Connection, job_id: int, state: str, exit_code: int, error: str, summary: Mapping[str, object]
) -> None:
    """Note how a job ended: ``done``, ``failed``, ``cancelled`` or ``refused``."""
    connection.execute(
        "UPDATE jobs SET state = ?, exit_code = ?, error = ?, summary = ?, finished_at = ?, eta_s = NULL WHERE id = ?",
        (state, exit_code, error, json.dumps(dict(summary), sort_keys=True), clock.now(), job_id),
    )


def keep_summary(connection: sqlite3.Connection, job_id: int, summary: Mapping[str, object]) -> None:
    """Keep what a running job has to show already, such as the steps of a deploy."""
    connection.execute(
        "UPDATE jobs SET summary = ?, heartbeat_at = ? WHERE id = ?",
        (json.dumps(dict(summary), sort_keys=True), clock.now(), job_id),
    )


def _job(row: sqlite3.Row) -> Job:
    state, owner = text(row["state"]), text(row["owner"])
    if state in {"running", "paused"} and not is_alive(owner):
        state = "interrupted"
    return Job(
        id=row["id"],
        state=state,
        owner=owner,
        options=json_object(row["options"]) or {},
        summary=json_object(row["summary"]) or {},
        requested_at=moment(row["requested_at"]) or 0.0,
        started_at=moment(row["started_at"]),
        finished_at=moment(row["finished_at"]),
        rate=number(row["rate"]),
        eta_s=number(row["eta_s"]),
        total=whole(row["total"]),
        exit_code=whole(row["exit_code"]),
        kind=text(row["kind"]),
        wanted=text(row["wanted"]),
        wanted_by=text(row["wanted_by"]),
        run_id=text(row["run_id"]),
        requested_by=text(row["requested_by"]),
        reason=text(row["reason"]),
        phase=text(row["phase"]),
        error=text(row["error"]),
        done=whole(row["done"]) or 0,
        failed=whole(row["failed"]) or 0,
        missing=whole(row["missing"]) or 0,
        low=whole(row["low"]) or 0,
        exact=whole(row["exact"]) or 0,
        waiting=whole(row["waiting"]) or 0,
        decoded=whole(row["decoded"]) or 0,
    )


def settle_interrupted(connection: sqlite3.Connection, who: str) -> int:
    """Close the rows of verbs whose process died; their next run goes on from the kept batches.

    Args:
        connection: The database.
        who: The actor who starts anew.

    Returns:
        How many were closed.
    """
    closed = 0
    for job in list_jobs(connection, active_only=True):
        if job.state == "interrupted" and job.options.get("foreground"):
            finish_job(connection, job.id, "cancelled", 130, f"its process was killed; continued by {who}", {})
            closed += 1
    return closed
