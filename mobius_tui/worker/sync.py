"""The setting `sync = "live"`: what changed in the library reaches a published catalogue by itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace

from mobius_tui.errors import MobiusError
from mobius_tui.guard.files import open_watch
from mobius_tui.operations.live import FIRST_RUN
from mobius_tui.store.database import read_meta
from mobius_tui.store.jobs import add_job, list_jobs, recent_jobs
from mobius_tui.store.scan import count_pending
from mobius_tui.workspace import Workspace

REASON = 'sync = "live"'
"""Why such a migration runs, as job and history say."""

_SPACING_S = 5.0
_SHARE = 10


class LiveSync:
    """Asks for a migration in place once the changes of the library are fingerprinted.

    Args:
        ws: The workspace.
        clock: Seconds that never go back.
    """

    def __init__(self, ws: Workspace, clock: Callable[[], float] = time.monotonic) -> None:
        self._ws = ws
        self._clock = clock
        self._changed = False
        self._asked_at: float | None = None
        self._job = 0
        self._due = 0.0

    def changed(self) -> None:
        """The library is not as the catalogue says."""
        self._changed = True

    def step(self, connection: sqlite3.Connection) -> bool:
        """Ask for the migration if it is time.

        It waits until nothing is left to be hashed, until no other migration is under way, and ten times as long as the
        last one took.

        Args:
            connection: The database.

        Returns:
            Whether a job was added to the worker's own queue.
        """
        if self._ws.settings.sync != "live":
            return False
        under_way = _is_under_way(connection)
        if self._asked_at is not None and not under_way:
            self._due = self._clock() + max(_SPACING_S, _SHARE * (self._clock() - self._asked_at))
            self._asked_at = None
            self._changed = self._changed or _was_refused(connection, self._job)
        if not self._changed or self._clock() < self._due or self._is_guarded():
            return False
        if under_way or read_meta(connection, FIRST_RUN) is None or count_pending(connection):
            return False
        from mobius_tui.operations.options import default_options  # brings the decoders' model

        # The file that is replaced was itself written by a migration, and its content follows from library and store.
        options = replace(default_options(self._ws), backup=False, reason=REASON)
        self._job = add_job(connection, "migrate", options.to_json(), "worker", reason=REASON).id
        self._changed, self._asked_at = False, self._clock()
        return True

    def _is_guarded(self) -> bool:
        """Whether a watch is on: what it guards stays as it is until it has ended."""
        try:
            return open_watch(self._ws) is not None
        except MobiusError:
            return True


def _was_refused(connection: sqlite3.Connection, job: int) -> bool:
    """Whether a job found the library held by somebody else: it is asked for again."""
    return any(each.id == job and each.state == "refused" for each in recent_jobs(connection, 20))


def _is_under_way(connection: sqlite3.Connection) -> bool:
    """Whether a migration runs or is waiting for the worker."""
    jobs = list_jobs(connection, active_only=True)
    return any(job.kind in {"migrate", "dry-run"} and job.state in {"queued", "running", "paused"} for job in jobs)
