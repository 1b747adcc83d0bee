"""Starting and stopping the worker from outside, and telling whether one runs. Its lock is the truth, never its row."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed, MobiusError, OutOfResource, exit_code_of
from mobius_tui.launch.folder import check_state_folder
from mobius_tui.recovery.history import note_act
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.worker_row import read_worker
from mobius_tui.system.locks import FileLock, Holder, holder_of, send_signal
from mobius_tui.system.processes import is_alive, pid_of, process_token, reap, start_detached
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

START_S = 10.0
"""Seconds a new worker has to take its lock."""

OUTPUT = "worker.out"
"""File in the folder of the logs that takes what a detached worker prints."""

_OUTPUT_BYTES = 1_000_000
_LOOK_S = 0.05
_ROOM = "free space; `mobius doctor` shows how much there is"


def worker_holder(ws: Workspace) -> Holder | None:
    """Who holds the worker's lock now; None when no worker runs."""
    return holder_of(ws.worker_lock)


def ensure_worker(ws: Workspace, environ: Mapping[str, str], env_name: str | None = None, *, reason: str = "") -> bool:
    """Start the worker in the background unless one runs; it outlives this process and its terminal.

    Args:
        ws: The workspace.
        environ: The process environment; the worker gets it without what concerns a terminal.
        env_name: The environment that was chosen by ``--env``.
        reason: Why, for the history.

    Returns:
        True when it was started now, False when one ran already.

    Raises:
        EnvironmentFailed: It does not start; says why, as far as it told.
        OutOfResource: There is no room for it.
    """
    if _stays(ws):
        return False
    check_state_folder(ws)
    one_starter = FileLock(ws.state / "worker-start.lock")
    if not one_starter.acquire(ws.actor, "starting the worker", wait_s=START_S):
        raise EnvironmentFailed("another process has been starting the worker for 10 s", fix="`mobius worker status`")
    try:
        if _stays(ws):
            return False
        _start(ws, environ, env_name)
    finally:
        one_starter.release()
    _note(ws, "worker start", reason)
    return True


def stop_worker(ws: Workspace, timeout_s: float = 10.0, *, reason: str = "") -> str:
    """End the worker: ask it with SIGTERM, kill it when it does not end in time.

    Args:
        ws: The workspace.
        timeout_s: Seconds it has to end by itself.
        reason: Why, for the history.

    Returns:
        What happened, as a sentence.

    Raises:
        EnvironmentFailed: The holder of the lock cannot be told, or it is another user's.
    """
    holder = _known_holder(ws)
    if holder is None:
        return "no worker runs here"
    send_signal(holder, signal.SIGTERM, "the worker")
    if _ended(ws, holder, timeout_s):
        _note(ws, "worker stop", reason)
        return f"the worker (PID {holder.pid}) has ended; a job under way goes on at its next start"
    send_signal(holder, getattr(signal, "SIGKILL", signal.SIGTERM), "the worker")
    if not _ended(ws, holder, 5.0):
        raise EnvironmentFailed(f"the worker (PID {holder.pid}) cannot be ended", fix=f"look at it: ps -p {holder.pid}")
    _note(ws, "worker stop", reason)
    return f"the worker (PID {holder.pid}) did not end within {timeout_s:g} s and was killed; its commits are kept"


def _note(ws: Workspace, act: str, reason: str) -> None:
    with contextlib.suppress(OSError):  # a full disk keeps nobody from stopping the worker
        note_act(ws.state, act, ws.actor, reason=reason)


def worker_command(ws: Workspace, env_name: str | None = None) -> list[str]:
    """The command that is the worker of a workspace, in the foreground."""
    # -P: without it Python would look for modules in the working folder, which is the workspace.
    command = [sys.executable, "-P", "-m", "mobius_tui", "worker", "run", "--workspace", str(ws.root)]
    return [*command, "--env", env_name] if env_name else command


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a detached worker: nothing of the terminal, and the package found where it is now."""
    kept = {name: value for name, value in environ.items() if not name.startswith("TEXTUAL")}
    for name in ("COLUMNS", "LINES", "MOBIUS_WORKSPACE", "PYTHONPATH"):
        kept.pop(name, None)
    # Relative ones would mean the workspace, where the worker runs and others may be able to write.
    places = [os.path.abspath(place) for place in environ.get("PYTHONPATH", "").split(os.pathsep) if place]  # noqa: PTH100
    home = str(Path(__file__).resolve().parents[2])
    if Path(home).name not in {"site-packages", "dist-packages"}:
        places.insert(0, home)
    if places:
        kept["PYTHONPATH"] = os.pathsep.join(places)
    return kept


def _stays(ws: Workspace) -> bool:
    """Whether a worker runs; one that is just ending is waited for."""
    deadline = time.monotonic() + START_S
    while (holder := worker_holder(ws)) is not None:
        if not _is_ending(ws, holder) or time.monotonic() > deadline:
            return True
        time.sleep(_LOOK_S)
    return False


def _is_ending(ws: Workspace, holder: Holder) -> bool:
    try:
        connection = open_for_reading(ws.database)
    except EnvironmentFailed:
        return False
    if connection is None:
        return False
    try:
        row = read_worker(connection)
    except sqlite3.Error:
        return False
    finally:
        connection.close()
    return row is not None and row.state == "stopping" and row.token == holder.token


def _start(ws: Workspace, environ: Mapping[str, str], env_name: str | None) -> None:
    output = ws.logs / OUTPUT
    try:
        ws.logs.mkdir(parents=True, exist_ok=True)
        if output.exists() and output.stat().st_size > _OUTPUT_BYTES:
            output.replace(output.with_name(f"{OUTPUT}.1"))
        said_before = output.stat().st_size if output.exists() else 0
        pid = start_detached(worker_command(ws, env_name), ws.root, worker_environment(environ), output)
    except OSError as error:
        spent = exit_code_of(error) == OutOfResource.exit_code
        failed, fix = (OutOfResource, _ROOM) if spent else (EnvironmentFailed, "check the rights of the logs folder")
        said = f"the worker cannot be started: {error.strerror}"
        raise failed(said, where=visible(str(error.filename or output)), fix=fix) from error
    deadline = time.monotonic() + START_S
    while worker_holder(ws) is None:
        code = reap(pid)
        if (code is not None or not process_token(pid)) and worker_holder(ws) is None:
            raise _stillborn(reap(pid) if code is None else code, output, said_before)
        if time.monotonic() > deadline:
            raise EnvironmentFailed(
                f"the worker (PID {pid}) has not taken its lock within {START_S:g} s",
                where=visible(str(output)),
                fix="`mobius worker status` shows whether it comes up",
            )
        time.sleep(_LOOK_S)


def _stillborn(code: int | None, output: Path, said_before: int) -> MobiusError:
    """Why a new worker ended at once: its own exit code tells a full disk, on which it could leave no words."""
    if code == OutOfResource.exit_code:
        said = last_words(output, said_before) or "the disk is full, or memory or file handles ran out"
        return OutOfResource(f"the worker did not start: {said}", where=visible(str(output)), fix=_ROOM)
    said = last_words(output, said_before) or "it printed nothing"
    return EnvironmentFailed(
        f"the worker did not start: {said}", where=visible(str(output)), fix="`mobius worker run` shows more"
    )


def last_words(output: Path, start: int) -> str:
    """The last line a process printed, made safe to show; empty when there is none."""
    try:
        with output.open("rb") as file:
            file.seek(max(start, output.stat().st_size - 4000))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return visible(lines[-1]) if lines else ""


def _known_holder(ws: Workspace) -> Holder | None:
    """The holder, once its name can be trusted: just after the lock was taken the name is still the last one's."""
    for _ in range(20):
        holder = worker_holder(ws)
        if holder is None:
            return None
        if pid_of(holder.token) == holder.pid and is_alive(holder.token):
            return holder
        time.sleep(_LOOK_S)
    raise EnvironmentFailed(
        "a process holds the worker's lock and has left no name",
        where=visible(str(ws.worker_lock)),
        fix=f"find it with: fuser -v {visible(str(ws.worker_lock))}",
    )


def _ended(ws: Workspace, holder: Holder, timeout_s: float) -> bool:
    """Whether the process is gone and its lock free, or another's, within a time."""
    deadline = time.monotonic() + timeout_s
    while True:
        reap(holder.pid)
        now = worker_holder(ws)
        if not is_alive(holder.token) and (now is None or now.token != holder.token):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_S)
