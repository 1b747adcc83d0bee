"""``mobius worker run``: one worker a workspace, in the foreground."""

from __future__ import annotations

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.launch.folder import check_state_folder
from mobius_tui.system import clock
from mobius_tui.system.locks import FileLock, holder_of
from mobius_tui.system.processes import lower_priority
from mobius_tui.text import visible
from mobius_tui.worker.service import Service
from mobius_tui.worker.stopping import StopRequest
from mobius_tui.workspace import Workspace

LOCK_WAIT_S = 2.0
"""Seconds to wait for a worker that is just ending."""


def run_worker(ws: Workspace) -> int:
    """Be the worker of a workspace until SIGTERM, SIGINT or SIGHUP.

    Args:
        ws: The workspace.

    Returns:
        0: the end was asked for, or the lock file was removed; a job under way is left resumable.

    Raises:
        EnvironmentFailed: Another worker runs, the state lies on a network filesystem, or the database does not
            open.
    """
    check_state_folder(ws)
    lock = FileLock(ws.worker_lock)
    if not lock.acquire(ws.actor, "worker", wait_s=LOCK_WAIT_S):
        raise _taken(ws)
    try:
        lower_priority()
        stop = StopRequest()
        with stop.listening():
            Service(ws, stop, lambda: lock.lost).run()
    finally:
        lock.release()
    return 0


def _taken(ws: Workspace) -> EnvironmentFailed:
    holder = holder_of(ws.worker_lock)
    if holder is None or not holder.since:
        who = "another process is the worker of this workspace"
    else:
        who = f"a worker runs already: started by {visible(holder.who)} at {clock.iso(holder.since)} (PID {holder.pid})"
    return EnvironmentFailed(
        who, where=visible(str(ws.root)), fix="`mobius worker status` shows it, `worker stop` ends it"
    )
