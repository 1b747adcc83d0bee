"""Asking a job to pause, go on or end, on record."""

from __future__ import annotations

import contextlib
import sqlite3

from mobius_tui.errors import BadInput
from mobius_tui.recovery.history import note_act
from mobius_tui.store.jobs import Job, ask, find_job
from mobius_tui.workspace import Workspace

UNSTOPPED = ("deploy", "rollback")
"""Kinds of jobs that go on or are undone, but never wait: what they put live is not proven before their end."""

ACTS = {"pause": "pause", "run": "resume", "cancel": "cancel"}
"""How the history names each wish."""


def ask_job(ws: Workspace, connection: sqlite3.Connection, job_id: int, wanted: str, *, reason: str = "") -> Job:
    """Ask a job to pause, go on or end, and note that in the history.

    Args:
        ws: The workspace; its actor asks.
        connection: The database.
        job_id: Which job.
        wanted: ``pause``, ``run`` or ``cancel``.
        reason: Why, for the history.

    Returns:
        The job as it is now.

    Raises:
        BadInput: There is no such job, it is over, or it is of a kind that never waits.
    """
    if wanted == "pause" and (kind := find_job(connection, job_id).kind) in UNSTOPPED:
        raise BadInput(f"a {kind} cannot be paused", fix=f"`mobius cancel {job_id}` ends it and undoes what it did")
    job = ask(connection, job_id, wanted, ws.actor)
    with contextlib.suppress(OSError):  # a full disk keeps nobody from cancelling
        note_act(ws.state, ACTS[wanted], ws.actor, run_id=job.run_id, reason=reason, details={"job": job.id})
    return job
