"""Running one job in a thread of its own, so that nothing a job does stops the worker."""

from __future__ import annotations

import sqlite3
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable

from mobius_tui.errors import MobiusError, exit_code_of
from mobius_tui.logs import JsonLog
from mobius_tui.notifications.failed import tell_failed
from mobius_tui.operations.progress import Stopping
from mobius_tui.store.database import open_database
from mobius_tui.store.events import add_event
from mobius_tui.store.jobs import Job, finish_job, release_job
from mobius_tui.system.processes import process_token
from mobius_tui.text import visible
from mobius_tui.worker.stopping import StopRequest
from mobius_tui.workspace import Workspace

TRIES = 5
"""How often a job is taken up again after the database failed under it."""

_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


class JobRunner:
    """Runs the claimed job.

    Args:
        ws: The workspace.
        log: The service log.
        stop: The wish to stop: the job is then left resumable.
        on_end: Called in the job's thread after each job with the job that was claimed.
    """

    def __init__(self, ws: Workspace, log: JsonLog, stop: StopRequest, on_end: Callable[[Job], None]) -> None:
        self._ws = ws
        self._log = log
        self._stop = stop
        self._on_end = on_end
        self._token = process_token()
        self._thread: threading.Thread | None = None
        self._troubled: Counter[int] = Counter()

    @property
    def busy(self) -> bool:
        """Whether a job runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, job: Job) -> None:
        """Run a claimed job in the background; only when not busy."""
        self._thread = threading.Thread(target=self._run, args=(job,), name=f"job-{job.id}", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the job's thread; returns whether it has ended."""
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.busy

    def _run(self, job: Job) -> None:
        try:
            self._run_once(job)
        except Stopping:
            self._log.write("info", "worker", "job_left", f"job {job.id} goes on at the next start", job.run_id)
            self._insist(lambda connection: release_job(connection, job.id, self._token))
        except sqlite3.Error as error:
            self._database_failed(job, error)
        except BaseException as error:  # a job never ends the worker, whatever it raises
            self._failed(job, error)
        finally:
            self._on_end(job)

    def _run_once(self, job: Job) -> None:
        from mobius_tui.operations.run import run_job  # brings the decoders: not before there is a job

        connection = open_database(self._ws.database)
        try:
            ended = run_job(self._ws, connection, job, stopping=self._stop.asked, mirror=self._log)
        finally:
            connection.close()
        if ended.state == "failed":
            tell_failed(self._ws, job.kind, ended.exit_code or 0, ended.error, job.run_id)

    def _database_failed(self, job: Job, error: sqlite3.Error) -> None:
        self._troubled[job.id] += 1
        tries = self._troubled[job.id]
        text = f"the database failed under job {job.id}: {visible(str(error))}"
        self._log.write("error", "worker", "database", text, job.run_id, {"try": tries})
        if tries >= TRIES:
            self._failed(job, error)
            return
        self._pause(_PAUSES_S[min(tries, len(_PAUSES_S)) - 1])
        self._insist(lambda connection: release_job(connection, job.id, self._token))

    def _failed(self, job: Job, error: BaseException) -> None:
        told = isinstance(error, MobiusError | OSError | MemoryError | sqlite3.Error)
        said = visible(str(error)) or type(error).__name__
        text = said if told else f"a defect of MOBIUS ended the job: {type(error).__name__}: {said}"
        self._log.write(
            "error", "worker", "job_failed", text, job.run_id, {"traceback": traceback.format_exception(error)}
        )
        code = 5 if isinstance(error, sqlite3.Error) and "full" in str(error) else exit_code_of(error)

        def note(connection: sqlite3.Connection) -> None:
            finish_job(connection, job.id, "failed", code, text, {})
            add_event(connection, "error", "worker", "job_failed", text, run_id=job.run_id)

        self._insist(note)
        tell_failed(self._ws, job.kind, code, text, job.run_id)

    def _insist(self, act: Callable[[sqlite3.Connection], object]) -> None:
        """Write to the database, however long that takes; given up only when the worker ends."""
        number = 0
        while True:
            try:
                connection = open_database(self._ws.database)
                try:
                    act(connection)
                finally:
                    connection.close()
                return
            except (sqlite3.Error, MobiusError, OSError) as error:
                self._log.write("error", "worker", "database", visible(str(error)))
            if self._stop.asked():
                return
            self._pause(_PAUSES_S[min(number, len(_PAUSES_S) - 1)])
            number += 1

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop.asked():
            time.sleep(0.1)
