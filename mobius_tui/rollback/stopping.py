"""What runs on the catalogue, and ending it when a rollback is forced: asked first, killed after a while."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.launch.worker import stop_worker, worker_holder
from mobius_tui.recovery.journal import JOURNALS, open_journals, read_journal, run_of
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import ask, list_jobs
from mobius_tui.system.locks import Holder, catalogue_lock_path, holder_of, send_signal
from mobius_tui.system.processes import is_alive, pid_of, reap
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

GRACE_S = 10.0
"""Seconds an operation has to end by itself before it is killed."""

PUBLISHING = frozenset({"migrate", "deploy"})
"""Kinds of jobs that write the catalogue."""

_LOOK_S = 0.05
_NAME_S = 1.0
_DEAD_S = 5.0


def running_operation(live: Path) -> Holder | None:
    """Who holds the catalogue's lock now; None when it is free."""
    return holder_of(catalogue_lock_path(live))


def stop_operation(
    ws: Workspace,
    live: Path,
    say: Callable[[str], None],
    *,
    grace_s: float = GRACE_S,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """End what holds the catalogue's lock: SIGTERM, and SIGKILL when it has not ended in time.

    A worker is ended as a whole; what it was doing is cancelled, so that it is not taken up again.

    Args:
        ws: The workspace.
        live: The live catalogue.
        say: Told what is done.
        grace_s: Seconds it has.
        clock: Monotonic seconds.
        sleep: Waits for some seconds.

    Returns:
        Whether anything ran.

    Raises:
        EnvironmentFailed: Who holds the lock cannot be told, is another user's, or cannot be ended.
    """
    wait = _Waiting(clock, sleep)
    holder = _named(live, wait)
    if holder is None:
        return False
    say(f"ending what {visible(holder.who)} runs: {visible(holder.purpose)} (PID {holder.pid})")
    jobs = _jobs_of(ws, holder.token)
    worker = worker_holder(ws)
    if worker is not None and worker.token == holder.token:
        say(stop_worker(ws, grace_s, reason="a forced rollback"))
    else:
        _end(holder, live, grace_s, wait, say)
    for job in jobs:
        _cancel(ws, job, say)
    return True


def cancel_queued(ws: Workspace, say: Callable[[str], None]) -> None:
    """Cancel jobs that wait for the worker and would publish over what is restored; best effort."""
    for job in _jobs_of(ws, ""):
        _cancel(ws, job, say)


def open_runs(ws: Workspace) -> list[Path]:
    """The journals of what runs or was cut off; none where they cannot be read."""
    with contextlib.suppress(OSError, MobiusError):
        return open_journals(ws.state / JOURNALS)
    return []


def has_gone_back(before: Sequence[Path], stopped: str) -> bool:
    """Whether what ran or was cut off has been taken back since, by itself, by a recovery, or by being ended.

    Then the state before it is live. A deploy that was ended counts on either side of its swap: which side that was
    is a matter of seconds. One that was cut off before its swap counts for nothing: it had never been live.

    Args:
        before: From ``open_runs``, before anything was ended or recovered.
        stopped: What the holder of the lock that was ended did, as it had written; empty when nothing was ended.

    Returns:
        The answer; no for a journal that cannot be read, or that has not come to its end.
    """
    for path in before:
        with contextlib.suppress(OSError, MobiusError):
            records = read_journal(path).records
            end = records[-1] if records and records[-1].get("what") == "end" else {}
            if records and records[0].get("kind") == "rollback":
                if end.get("state") == "done":
                    return True
                continue
            swapped = any(record.get("what") == "step" and record.get("step") == "swap" for record in records)
            taken_back = end.get("state") in {"rolled back", "undone"}
            if end.get("state") == "rolled back" or (taken_back and (swapped or stopped == f"deploy {run_of(path)}")):
                return True
    return False


class _Waiting:
    """Looking again and again until something holds or the time is up."""

    def __init__(self, clock: Callable[[], float], sleep: Callable[[float], object]) -> None:
        self._clock = clock
        self._sleep = sleep

    def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        deadline = self._clock() + seconds
        while not holds():
            if self._clock() >= deadline:
                return False
            self._sleep(_LOOK_S)
        return True


def _named(live: Path, wait: _Waiting) -> Holder | None:
    """The holder, once its name can be trusted: just after the lock was taken the name may be the last one's."""
    found: list[Holder | None] = []

    def known() -> bool:
        holder = running_operation(live)
        found[:] = [holder]
        return holder is None or (pid_of(holder.token) == holder.pid and is_alive(holder.token))

    if wait.until(known, _NAME_S):
        return found[0]
    place = visible(str(catalogue_lock_path(live)))
    raise EnvironmentFailed(
        "a process holds the library and has left no name", where=place, fix=f"find it with: fuser -v {place}"
    )


def _end(holder: Holder, live: Path, grace_s: float, wait: _Waiting, say: Callable[[str], None]) -> None:
    def gone() -> bool:
        reap(holder.pid)
        if is_alive(holder.token):
            return False
        now = running_operation(live)
        return now is None or now.token != holder.token

    send_signal(holder, signal.SIGTERM, "what holds the library")
    if wait.until(gone, grace_s):
        say(f"it has ended (PID {holder.pid})")
        return
    send_signal(holder, getattr(signal, "SIGKILL", signal.SIGTERM), "what holds the library")
    if not wait.until(gone, _DEAD_S):
        raise EnvironmentFailed(
            f"PID {holder.pid}, which holds the library, cannot be ended", fix=f"look at it: ps -p {holder.pid}"
        )
    say(f"it did not end within {grace_s:g} s and was killed (PID {holder.pid})")


def _jobs_of(ws: Workspace, token: str) -> list[int]:
    """Numbers of the active publishing jobs that a process runs; with no token those that wait for the worker."""
    found: list[int] = []
    with _database(ws) as connection:
        if connection is not None:
            for job in list_jobs(connection, active_only=True):
                mine = job.owner == token if token else job.state == "queued" and not job.options.get("foreground")
                if job.kind in PUBLISHING and mine:
                    found.append(job.id)
    return found


def _cancel(ws: Workspace, number: int, say: Callable[[str], None]) -> None:
    with _database(ws) as connection:
        if connection is not None:
            with contextlib.suppress(MobiusError, sqlite3.Error):
                ask(connection, number, "cancel", ws.actor)
                say(f"job {number} is cancelled, so that it does not publish again")


@contextlib.contextmanager
def _database(ws: Workspace) -> Iterator[sqlite3.Connection | None]:
    """The database if there is one and it answers soon; None when it is missing, locked or broken."""
    connection = None
    with contextlib.suppress(MobiusError, sqlite3.Error, OSError):
        if ws.database.exists():
            connection = open_database(ws.database, busy_ms=500)
    try:
        with contextlib.suppress(sqlite3.Error):
            yield connection
    finally:
        if connection is not None:
            connection.close()
