"""Run a job: its row, its log, its end. The worker and the verbs use the same."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace

from mobius_tui.errors import BadInput, Cancelled, Held, MobiusError, Terminated, exit_code_of
from mobius_tui.logs import JsonLog
from mobius_tui.operations.backup import backup_now
from mobius_tui.operations.migrate import migrate
from mobius_tui.operations.options import MigrateOptions
from mobius_tui.operations.progress import Stopping, StoreProgress, Tick
from mobius_tui.rollback.recover import recover
from mobius_tui.store.database import database_error
from mobius_tui.store.jobs import Job, add_job, find_job, finish_job, settle_interrupted, update_job
from mobius_tui.system.processes import process_token
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def run_in_foreground(
    ws: Workspace,
    connection: sqlite3.Connection,
    kind: str,
    options: Mapping[str, object],
    *,
    reason: str = "",
    stopping: Callable[[], bool] = lambda: False,
    why_stopped: Callable[[], MobiusError | None] = lambda: None,
    on_tick: Callable[[Tick], None] = lambda _: None,
) -> Job:
    """Run an operation in this process, with a row that every console shows.

    Args:
        ws: The workspace.
        connection: The database.
        kind: ``migrate``, ``dry-run`` or ``backup``.
        options: Plain data.
        reason: Why, for the history.
        stopping: Says whether this process should end.
        why_stopped: Why it does: Ctrl-C, a signal, a time limit; None when nothing is known.
        on_tick: Called with each step of progress.

    Returns:
        The finished job; ``exit_code`` and ``error`` say how it ended.

    Raises:
        EnvironmentFailed: The database cannot be used.
    """
    try:
        settle_interrupted(connection, ws.actor)
        job = add_job(connection, kind, options, ws.actor, reason=reason, owner=process_token())
        try:
            return run_job(ws, connection, job, stopping=stopping, on_tick=on_tick)
        except Stopping:
            cause = why_stopped() or Cancelled("stopped")
            said = f"{visible(cause.what)}; start it again, finished images are kept"
            finish_job(connection, job.id, "cancelled", exit_code_of(cause), said, {})
            return find_job(connection, job.id)
    except sqlite3.Error as error:
        raise database_error(error, ws.database) from error


def run_job(
    ws: Workspace,
    connection: sqlite3.Connection,
    job: Job,
    *,
    stopping: Callable[[], bool] = lambda: False,
    on_tick: Callable[[Tick], None] = lambda _: None,
    mirror: JsonLog | None = None,
) -> Job:
    """Run a claimed job to its end and write the end into its row.

    Args:
        ws: The workspace.
        connection: The database.
        job: The row, owned by this process.
        stopping: Says whether this process should end; the job then stays resumable.
        on_tick: Called with each step of progress.
        mirror: A second log.

    Returns:
        The finished job.

    Raises:
        Stopping: The process is to end; the job is as it was.
        EnvironmentFailed: Not even the job's end could be written to the database.
    """
    # a row's name for its run is text from outside: it never leads out of the folder of the logs
    name = job.run_id if _PLAIN_NAME.fullmatch(job.run_id) else f"job-{job.id}"
    log = JsonLog(ws.logs / f"{name}.log", least=ws.settings.log_level, within=ws.root)
    progress = StoreProgress(connection, job, log, stopping=stopping, on_tick=on_tick, mirror=mirror)
    try:
        progress.event("info", "start", f"{job.kind} started by {job.requested_by}", options=dict(job.options))
        if job.kind != "deploy":  # which does it under its own lock
            recover(ws, lambda text: progress.event("warning", "recovery", text))
        summary = _dispatch(ws, connection, job, progress)
        _note_end(ws, connection, job, progress, summary)
    except Stopping:
        goes_on = "start it again to go on" if job.options.get("foreground") else "the job goes on at the next start"
        progress.event("info", "stopping", f"the process ends; {goes_on}")
        update_job(connection, job.id, state="running")
        raise
    except Exception as error:
        _note_failure(ws, connection, job, progress, error)
    return find_job(connection, job.id)


def _dispatch(ws: Workspace, connection: sqlite3.Connection, job: Job, progress: StoreProgress) -> Mapping[str, object]:
    if job.kind == "backup":
        return {"backup": backup_now(ws, job.reason or "by hand", run_id=job.run_id).name}
    if job.kind == "deploy":
        return _deploy(ws, connection, job, progress)
    if job.kind not in {"migrate", "dry-run"}:
        raise BadInput(f"this MOBIUS knows no operation '{visible(job.kind)}'", fix="use the one that asked for it")
    options = MigrateOptions.from_json({**job.options, "dry_run": job.kind == "dry-run"})
    if not job.options.get("foreground") and (options.input or options.output or options.temp_dir):
        raise BadInput("a queued operation takes no paths from its row", fix="run it with `mobius migrate` instead")
    options = replace(options, reason=options.reason or job.reason)
    return migrate(ws, connection, options, progress).to_json()


def _deploy(ws: Workspace, connection: sqlite3.Connection, job: Job, progress: StoreProgress) -> Mapping[str, object]:
    from mobius_tui.operations.deploy.deploy import deploy
    from mobius_tui.operations.deploy.options import DeployOptions

    if not job.options.get("foreground"):
        raise BadInput(
            "a deploy runs in a process of its own, no worker takes one", fix="start it with `mobius deploy`"
        )
    return deploy(ws, connection, DeployOptions.from_json(job.options), progress).to_json()


def _note_end(
    ws: Workspace, connection: sqlite3.Connection, job: Job, progress: StoreProgress, summary: Mapping[str, object]
) -> None:
    """Write that a job is done; a database that refuses does not make the work undone."""
    try:
        progress.flush()
        if "total" in summary:  # the last phases count nothing
            update_job(connection, job.id, total=summary["total"])
        finish_job(connection, job.id, "done", 0, "", summary)
        progress.event("info", "end", f"{job.kind} done", **summary)
    except sqlite3.Error as error:
        failed = database_error(error, ws.database)
        written = f", {visible(str(summary['output']))} is written" if "output" in summary else ""
        failed.what = f"the {job.kind} is done{written}, but that could not be noted: {failed.what}"
        raise failed from error


def _note_failure(
    ws: Workspace, connection: sqlite3.Connection, job: Job, progress: StoreProgress, error: Exception
) -> None:
    """Write how a job failed; a defect keeps its traceback in the run log."""
    if isinstance(error, sqlite3.Error):
        error = database_error(error, ws.database)
    code = exit_code_of(error)
    state, level = _end_of(error)
    sentence = str(error) if isinstance(error, MobiusError) else _defect(error)
    with contextlib.suppress(sqlite3.Error):
        progress.event(level, state, visible(sentence), **_trace(error))
        progress.flush()
    try:
        shown = find_job(connection, job.id).summary  # such as the steps up to the one that failed
        finish_job(connection, job.id, state, code, visible(sentence), shown)
    except sqlite3.Error as failed:
        raise database_error(failed, ws.database) from error


def _end_of(error: Exception) -> tuple[str, str]:
    """The state that a job ends in, and the level of the event that says so."""
    if isinstance(error, Cancelled | Terminated):
        return "cancelled", "info"
    return ("refused", "warning") if isinstance(error, Held) else ("failed", "error")


def _defect(error: Exception) -> str:
    if isinstance(error, OSError):
        place = f" ({visible(str(error.filename))})" if error.filename else ""
        return f"{error.strerror or error}{place}"
    if isinstance(error, MemoryError):
        return "not enough memory. Next: use --parallel 1, or close other programs"
    return f"a defect of MOBIUS: {type(error).__name__}: {error}"


def _trace(error: Exception) -> dict[str, object]:
    if isinstance(error, MobiusError):
        return {}
    import traceback

    return {"traceback": traceback.format_exception(error)}
