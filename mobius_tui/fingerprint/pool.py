"""The hashing pool: many files over several processes, and a bad file costs itself only."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Final, Self

from mobius_tui.errors import Cancelled, EnvironmentFailed
from mobius_tui.fingerprint.child import NICENESS, TIMED_OUT, fingerprint_chunk, identify_one, start_child
from mobius_tui.fingerprint.model import Limits, Outcome, Profile, Task

CHUNK: Final = 8
"""Files a submission at most: with it, handing over costs about 8 microseconds a file."""

CHUNK_BYTES: Final = 256 * 1024
"""A submission ends with the file that brings it to so many bytes: large images do not wait for each other."""

AHEAD: Final = 3
"""Chunks a worker that are submitted before one is finished."""


MOST_LOST: Final = 8
"""Processes in a row that may end over nothing but reading a file, before the machine is to blame and not the files."""


class HashingPool:
    """Fingerprints files in other processes.

    A process that dies or hangs is replaced; the files that were under way are then tried one at a time, so that
    exactly the guilty one is ``failed`` and the others get their result.

    Args:
        profile: ``exact`` or ``fast``.
        limits: What one image may cost.
        workers: Processes; 0 means one a core.
        executor_factory: Makes another executor, such as ``distributed.Client.get_executor``; called again when one
            breaks. The processes' own limits on memory are then that executor's matter.
        temp_dir: Folder for what decoders write meanwhile; None means the system's.
        awaited: Whether somebody waits for each file: it does not give way to pools that hash many.
    """

    def __init__(
        self,
        profile: Profile = "exact",
        limits: Limits | None = None,
        workers: int = 0,
        executor_factory: Callable[[], Executor] | None = None,
        *,
        temp_dir: str | None = None,
        awaited: bool = False,
    ) -> None:
        self.profile: Profile = profile
        self.limits = limits or Limits()
        self.workers = workers or _cores()
        self._factory = executor_factory
        self._temp_dir = temp_dir
        self._awaited = awaited
        self._executor: Executor | None = None
        self._processes: list[BaseProcess] = []
        self._closed = False
        self._lost = 0
        self._lock = threading.Lock()  # close() may come from another thread than the one that consumes map()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def map(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Fingerprint files as they come, results as they are ready.

        Args:
            tasks: Taken lazily: never more than a bounded number is ahead of the results.

        Yields:
            An outcome a task, in no particular order. Leaving early ends the processes at once.

        Raises:
            Cancelled: The pool was closed.
            EnvironmentFailed: No process lives long enough to read a file.
        """
        under_way: dict[Future[list[Outcome]], list[Task]] = {}
        finished = False
        try:
            source = iter(tasks)
            while self._fill(source, under_way):
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                broken: list[Task] = []
                for future in done:
                    outcomes, chunk = _result_of(future), under_way.pop(future)
                    if outcomes is None:
                        broken += chunk
                    else:
                        yield from outcomes
                if broken:
                    yield from self._recovered(broken, under_way)
            finished = True
        finally:
            if not finished:
                self._stop()

    def one(self, task: Task) -> Outcome:
        """Fingerprint a single file, while no ``map`` runs.

        Args:
            task: The file.

        Returns:
            Its outcome. A lost process is tried once more, for it may have been lost before; a time limit is not.

        Raises:
            Cancelled: The pool was closed.
            EnvironmentFailed: No process lives long enough to read a file.
        """
        started = time.monotonic()
        outcomes = _result_of(self._submit([task]))
        if outcomes is not None:
            return outcomes[0]
        if not self._stop():
            return self._alone(task)
        found = self._identified(task, timed_out=True)
        return replace(found, duration_ms=(time.monotonic() - started) * 1000.0)

    def close(self) -> None:
        """End the processes; what is under way is lost, and a ``map`` still running raises ``Cancelled``.

        Any thread may call it.
        """
        self._closed = True
        self._stop()

    def _fill(self, source: Iterator[Task], under_way: dict[Future[list[Outcome]], list[Task]]) -> bool:
        while len(under_way) < self.workers * AHEAD:
            chunk = _next_chunk(source)
            if not chunk:
                break
            under_way[self._submit(chunk)] = chunk
        return bool(under_way)

    def _submit(self, chunk: list[Task]) -> Future[list[Outcome]]:
        try:
            with self._lock:
                return self._running().submit(fingerprint_chunk, chunk, self.profile, self.limits)
        except (RuntimeError, EOFError, ConnectionError) as error:  # the executor, or what forks for it, was killed
            failed: Future[list[Outcome]] = Future()
            failed.set_exception(error)
            return failed

    def _recovered(self, broken: list[Task], under_way: dict[Future[list[Outcome]], list[Task]]) -> Iterator[Outcome]:
        wait(under_way, timeout=self.limits.seconds)
        for future, chunk in list(under_way.items()):
            outcomes = _result_of(future) if future.done() else None
            if outcomes is None:
                broken += chunk
            else:
                yield from outcomes
        under_way.clear()
        self._stop()
        for task in broken:
            yield self._alone(task)

    def _alone(self, task: Task) -> Outcome:
        started = time.monotonic()
        outcomes = _result_of(self._submit([task]))
        if outcomes is not None:
            return outcomes[0]
        seconds = time.monotonic() - started
        timed_out = self._stop() if self._factory is None else seconds >= self.limits.seconds
        return replace(self._identified(task, timed_out=timed_out), duration_ms=seconds * 1000.0)

    def _identified(self, task: Task, *, timed_out: bool) -> Outcome:
        """The failure of a file that ended its process, with the identity of its bytes so that it can be remembered."""
        if timed_out:
            said, cause = f"it took longer than {self.limits.seconds:g} s", "timeout"
        else:
            said, cause = "the decoder crashed on it", "crash"
        try:
            with self._lock:
                future = self._running().submit(identify_one, task, self.limits)
            found = future.result()
        except Cancelled:
            raise
        except Exception:  # whatever ended the process again: the file cannot even be read
            self._lost = 0 if self._stop() else self._lost + 1
            if self._lost >= MOST_LOST and not self._closed:
                raise EnvironmentFailed(
                    "decoding processes end as soon as they start",
                    fix="see the kernel's log for processes ended for want of memory, and `mobius doctor`",
                ) from None
            return Outcome(task.path, "failed", error=said, cause=cause)
        self._lost = 0
        if found.status != "same":
            return found
        # Not lasting: a busy machine or a killed process may be to blame, and not the bytes.
        return replace(found, status="failed", error=said, cause=cause)

    def _running(self) -> Executor:
        if self._closed:
            raise Cancelled("the hashing pool was closed")
        if self._executor is None:
            self._executor = self._factory() if self._factory else self._processes_executor()
        return self._executor

    def _processes_executor(self) -> Executor:
        # Not fork: a forked child would keep the parent's locks and threads' state.
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            context.set_forkserver_preload([fingerprint_chunk.__module__])
        self._processes = []
        noting = _NotingContext(context, self._processes)
        start = partial(start_child, temp_dir=self._temp_dir, niceness=0 if self._awaited else NICENESS)
        return ProcessPoolExecutor(self.workers, mp_context=noting, initializer=start, initargs=(self.limits,))

    def _stop(self) -> bool:
        """End the executor at once; returns whether a process of it had met its time limit."""
        with self._lock:
            executor, self._executor = self._executor, None
            processes, self._processes = self._processes, []
        if executor is None:
            return False
        for process in processes:
            with contextlib.suppress(ValueError, OSError):
                if process.pid is not None:  # one that could not be started has none
                    process.kill()
        executor.shutdown(wait=self._factory is None, cancel_futures=True)
        # Read only now: the executor's own thread collects them too, and who comes second is told nothing.
        return TIMED_OUT in [process.exitcode for process in processes]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _NotingContext(BaseContext):
    """A start method that notes the processes it makes, so that they can be ended without waiting for them."""

    def __init__(self, real: Any, made: list[BaseProcess]) -> None:
        self._real = real
        self._made = made

    def __getattribute__(self, name: str) -> Any:
        if name in {"Process", "_real", "_made"}:
            return object.__getattribute__(self, name)
        return getattr(self._real, name)

    def Process(self, *args: Any, **named: Any) -> BaseProcess:
        process: BaseProcess = self._real.Process(*args, **named)
        self._made.append(process)
        return process


def _next_chunk(source: Iterator[Task]) -> list[Task]:
    chunk: list[Task] = []
    size = 0
    for task in source:
        chunk.append(task)
        size += task.size
        if len(chunk) >= CHUNK or size >= CHUNK_BYTES:
            break
    return chunk


def _result_of(future: Future[list[Outcome]]) -> list[Outcome] | None:
    """A chunk's outcomes; None when the process was lost on the way."""
    try:
        return future.result()
    except Exception:  # broken pool, killed worker of another executor, a result that cannot be sent: all mean the same
        return None
