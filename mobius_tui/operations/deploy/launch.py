"""Starting a deploy in a process of its own, which outlives console, worker and terminal, and following it."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import BadInput, EnvironmentFailed, Held, MobiusError, OutOfResource, exit_code_of
from mobius_tui.guard.files import refuse_during_watch
from mobius_tui.launch.folder import check_state_folder
from mobius_tui.launch.worker import last_words, worker_environment
from mobius_tui.operations.deploy.options import DeployOptions
from mobius_tui.operations.run_steps import steps_of_summary
from mobius_tui.rollback.recover import recover
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.jobs import Job, add_job, claim_job, find_job, finish_job, list_jobs, settle_interrupted
from mobius_tui.system import clock
from mobius_tui.system.locks import catalogue_lock_path, holder_of, taken_error
from mobius_tui.system.processes import is_alive, process_token, reap, start_detached
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

KIND = "deploy"
"""How the jobs and the history call it."""

OUTPUT = "deploy.out"
"""File in the folder of the logs that takes what the deploy's process prints."""

START_S = 20.0
"""Seconds the process has to take its job; a row that waits longer has lost its process."""

LOOK_S = 0.25
"""Seconds between two looks at a deploy that is followed."""

_OUTPUT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Started:
    """A verb that was started in a process of its own.

    Attributes:
        pid: The process, a child of this one.
        output: File that takes what it prints.
        said_before: Bytes that were in it before.
    """

    pid: int
    output: Path
    said_before: int

    def ended(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        code = reap(self.pid)
        if code is None and not process_token(self.pid):  # it ended between the two looks
            code = reap(self.pid)
            return 0 if code is None else code
        return code

    def last_words(self) -> str:
        """The last line it printed, safe to show; empty when there is none."""
        return last_words(self.output, self.said_before)


def start_verb(
    ws: Workspace,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    output: str = OUTPUT,
    env_name: str | None = None,
) -> Started:
    """Start a verb of MOBIUS in a session of its own, without a terminal.

    Args:
        ws: The workspace; its actor acts.
        arguments: The verb and its arguments.
        environ: The process environment; the verb gets it without what concerns a terminal.
        output: File in the folder of the logs that takes what it prints.
        env_name: The environment that was chosen by ``--env``.

    Returns:
        The process.

    Raises:
        EnvironmentFailed: It cannot be started.
        OutOfResource: There is no room for it.
    """
    # -P: without it Python would look for modules in the working folder, which is the workspace.
    command = [sys.executable, "-P", "-m", "mobius_tui", *arguments, "--workspace", str(ws.root), "--as", ws.actor]
    command += ["--env", env_name] if env_name else []
    path = ws.logs / output
    try:
        ws.logs.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _OUTPUT_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))
        said_before = path.stat().st_size if path.exists() else 0
        pid = start_detached(command, ws.root, worker_environment(environ), path)
    except OSError as error:
        spent = exit_code_of(error) == OutOfResource.exit_code
        raise (OutOfResource if spent else EnvironmentFailed)(
            f"`mobius {arguments[0]}` cannot be started: {error.strerror}",
            where=visible(str(error.filename or path)),
            fix="free space" if spent else "check the rights of the logs folder",
        ) from error
    return Started(pid, path, said_before)


def start_deploy(
    ws: Workspace,
    connection: sqlite3.Connection,
    options: DeployOptions,
    environ: Mapping[str, str],
    env_name: str | None = None,
) -> Job:
    """Begin a deploy in a process of its own; it goes on whatever becomes of this one.

    Args:
        ws: The workspace.
        connection: The database.
        options: What is asked for.
        environ: The process environment.
        env_name: The environment that was chosen by ``--env``.

    Returns:
        Its row, as soon as the process has taken it.

    Raises:
        Held: Another operation holds the library, a deploy is under way or a watch is on: who, since when, what for.
        EnvironmentFailed: The process does not come up; says its last words.
        OutOfResource: There is no room for it.
    """
    check_state_folder(ws)
    refuse_when_held(ws, connection)
    try:
        # No worker takes a row with "foreground"; without an owner it is "queued" and nobody settles it.
        given = {**options.to_json(), "foreground": True}
        job = add_job(connection, KIND, given, ws.actor, reason=options.reason, alone=(KIND,))
    except BadInput as error:  # somebody was faster
        raise _under_way(connection) or Held(error.what, fix="`mobius deploy --follow` shows it") from error
    try:
        started = start_verb(ws, [KIND, "--job", str(job.id)], environ, env_name=env_name)
        return _taken(ws, connection, job.id, started)
    except BaseException as error:
        with contextlib.suppress(sqlite3.Error, MobiusError):
            if find_job(connection, job.id).state == "queued":
                said = error.what if isinstance(error, MobiusError) else str(error) or type(error).__name__
                finish_job(connection, job.id, "failed", exit_code_of(error), visible(said), {})
        raise


def refuse_when_held(ws: Workspace, connection: sqlite3.Connection | None) -> None:
    """See whether anything keeps a deploy from beginning; rows whose process is gone do not.

    Args:
        ws: The workspace.
        connection: The database; None when there is none yet.

    Raises:
        Held: Another operation holds the library, a deploy is under way, or a watch is on.
        BadInput: There are two catalogues.
    """
    lock = catalogue_lock_path(ws.catalogue)
    if connection is not None:
        recover(ws, lambda _: None)  # gives the row of a deploy that was killed its true end
        settle_interrupted(connection, ws.actor)
        for job in list_jobs(connection, active_only=True):
            if job.kind == KIND and job.state == "queued" and clock.now() - job.requested_at > START_S + 10:
                finish_job(connection, job.id, "failed", EnvironmentFailed.exit_code, "its process never came up", {})
        under_way = _under_way(connection)
        if under_way is not None:
            raise under_way
    if holder_of(lock) is not None:
        raise taken_error(lock)
    refuse_during_watch(ws)


def _under_way(connection: sqlite3.Connection) -> Held | None:
    """Who deploys, since when and how far it is; None when nobody does."""
    for job in list_jobs(connection, active_only=True):
        if job.kind == KIND and job.state != "interrupted":
            step = next((step for step in steps_of_summary(job.summary) if step.state == "running"), None)
            doing = f", now at {visible(step.name)}" if step is not None else ""
            return Held(
                f"{visible(job.requested_by)} deploys since {clock.iso(job.started_at or job.requested_at)}"
                f" (job {job.id}{doing})",
                fix=f"`mobius deploy --follow` shows it, `mobius cancel {job.id}` ends it",
            )
    return None


def _taken(ws: Workspace, connection: sqlite3.Connection, job_id: int, started: Started) -> Job:
    """The row, once the process has taken it.

    Raises:
        MobiusError: It ended before, with its exit code and last words.
    """
    deadline = time.monotonic() + START_S
    while True:
        ended = started.ended()
        job = find_job(connection, job_id)
        if job.state != "queued":
            return job
        if ended is not None:
            raise _stillborn(ended, started)
        if time.monotonic() > deadline:
            raise EnvironmentFailed(
                f"the deploy's process (PID {started.pid}) has not taken its job within {START_S:g} s",
                where=visible(str(started.output)),
                fix=f"look at it: ps -p {started.pid}",
            )
        time.sleep(LOOK_S / 5)


def _stillborn(code: int, started: Started) -> MobiusError:
    """Why the process ended at once, by its last words and exit code."""
    said = (started.last_words() or "it printed nothing").removeprefix("mobius: ")
    place = visible(str(started.output))
    if code == OutOfResource.exit_code:
        return OutOfResource(f"the deploy did not start: {said}", where=place, fix="free space")
    return EnvironmentFailed(f"the deploy did not start: {said}", where=place, fix="`mobius doctor`")


def run_started(ws: Workspace, connection: sqlite3.Connection, job_id: int, stopping: Callable[[], bool]) -> Job:
    """Take a deploy's row and run it to its end: what the process of its own does.

    Args:
        ws: The workspace.
        connection: The database.
        job_id: The row.
        stopping: Says whether this process was asked to end; the deploy then undoes what it did.

    Returns:
        The finished row.

    Raises:
        BadInput: The row is none that waits for this.
    """
    from mobius_tui.operations.progress import Stopping
    from mobius_tui.operations.run import run_job  # brings the decoders

    job = claim_job(connection, job_id, KIND, process_token())
    try:
        return run_job(ws, connection, job, stopping=stopping)
    except Stopping:
        kept = find_job(connection, job.id).summary
        finish_job(connection, job.id, "cancelled", 143, "its process was asked to end (SIGTERM)", kept)
        return find_job(connection, job.id)


def follow_deploy(
    ws: Workspace,
    job_id: int,
    on_look: Callable[[Job], None],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Job:
    """Look at a deploy until it is over.

    Args:
        ws: The workspace.
        job_id: Its row.
        on_look: Called with the row at each look, the last one included.
        sleep: Waits between two looks.

    Returns:
        The row at its end; ``interrupted`` when its process was killed.

    Raises:
        BadInput: There is no such job.
        EnvironmentFailed: The database cannot be read, and the deploy's process is gone.
    """
    last: Job | None = None
    while True:
        job = _look(ws, job_id)
        if job is not None:
            if job.state == "interrupted" and (last is None or last.state != "interrupted"):
                last = job  # its last words may just be on their way into the row: one more look
            else:
                on_look(job)
                if not job.active or job.state == "interrupted":
                    return job
                last = job
        elif last is None or not is_alive(last.owner):
            raise EnvironmentFailed("the database cannot be read and the deploy's process is gone", fix="mobius status")
        sleep(LOOK_S)


def _look(ws: Workspace, job_id: int) -> Job | None:
    """The row now; None when the database does not answer."""
    try:
        connection = open_for_reading(ws.database)
        if connection is None:
            return None
        with contextlib.closing(connection):
            return find_job(connection, job_id)
    except (sqlite3.Error, OSError, EnvironmentFailed):
        return None


def latest_deploy(connection: sqlite3.Connection) -> Job | None:
    """The deploy under way, else the latest one; None when there was none."""
    deploys = [job for job in list_jobs(connection, limit=1000) if job.kind == KIND]
    return next((job for job in deploys if job.active), deploys[0] if deploys else None)


def abandoned_words(ws: Workspace, job: Job) -> str:
    """The last line that a deploy's process printed, safe to show; empty when it printed nothing.

    Args:
        ws: The workspace.
        job: Its row.
    """
    path = ws.logs / OUTPUT
    try:
        if path.stat().st_mtime < job.requested_at:  # what stands there is an earlier one's
            return ""
    except OSError:
        return ""
    return last_words(path, 0)
