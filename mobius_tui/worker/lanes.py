"""Hashing for clients: processes apart from those of the library's own work, begun late, ended when idle."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Final

from mobius_tui.errors import Cancelled
from mobius_tui.fingerprint.model import Limits, Outcome, Profile, Task
from mobius_tui.fingerprint.pool import HashingPool

LANES: Final = 2
"""Images of the library at once, a process each: one that takes its whole time does not keep the next waiting."""

UPLOAD_LANES: Final = 1
"""Uploaded images at once: a client that sends bombs keeps no probe of a watch waiting."""

IDLE_S: Final = 20.0
"""A process that had nothing to do for so long ends."""


class HashingLanes:
    """Fingerprints open files, a few at once.

    Args:
        profile: ``exact`` or ``fast``.
        limits: What one image may cost.
        folder: Where a copy is kept for the moment, on systems where a process cannot open another one's file.
    """

    def __init__(self, profile: Profile, limits: Limits, folder: Path) -> None:
        self._profile: Profile = profile
        self._limits = limits
        self._folder = folder
        self._threads = ThreadPoolExecutor(LANES, thread_name_prefix="extract")
        self._uploads = ThreadPoolExecutor(UPLOAD_LANES, thread_name_prefix="upload")
        self._guard = threading.Lock()
        self._idle: list[tuple[HashingPool, float]] = []
        self._busy: list[HashingPool] = []
        self._closed = False

    def submit(self, file: IO[bytes], size: int, *, uploaded: bool = False) -> Future[Outcome]:
        """Fingerprint what an open file holds.

        Args:
            file: Opened to be read; closed when this is over, whichever way.
            size: Its bytes.
            uploaded: Whether a client sent it.

        Returns:
            The outcome to come; cancelling it works until it is begun.

        Raises:
            Cancelled: The lanes were closed.
        """
        try:
            future = (self._uploads if uploaded else self._threads).submit(self._hash, file, size)
        except RuntimeError:
            file.close()
            raise Cancelled("the worker is ending") from None
        # not by who asked: the process reads it also when nobody waits for that any more
        future.add_done_callback(lambda _: file.close())
        return future

    def rest(self) -> None:
        """End processes that have been idle for a while."""
        now = time.monotonic()
        with self._guard:
            old = [pool for pool, since in self._idle if now - since > IDLE_S]
            self._idle = [(pool, since) for pool, since in self._idle if pool not in old]
        for pool in old:
            pool.close()

    def close(self) -> None:
        """End all; what is under way raises ``Cancelled``."""
        with self._guard:
            self._closed = True
            pools = [*(pool for pool, _ in self._idle), *self._busy]
            self._idle = []
        for threads in (self._threads, self._uploads):
            threads.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.close()

    def _hash(self, file: IO[bytes], size: int) -> Outcome:
        pool = self._taken()
        try:
            with _reachable(file, self._folder) as path:
                return pool.one(Task(path, size=size))
        finally:
            with self._guard:
                self._busy.remove(pool)
                if not self._closed:
                    self._idle.append((pool, time.monotonic()))

    def _new(self) -> HashingPool:
        return HashingPool(self._profile, self._limits, workers=1, awaited=True)

    def _taken(self) -> HashingPool:
        with self._guard:
            if self._closed:
                raise Cancelled("the worker is ending")
            pool = self._idle.pop()[0] if self._idle else self._new()
            self._busy.append(pool)
            return pool


@contextlib.contextmanager
def _reachable(file: IO[bytes], folder: Path) -> Iterator[str]:
    """A path by which another process of this user opens that very file, whatever its name leads to by now."""
    if Path("/proc/self/fd").is_dir():
        yield f"/proc/{os.getpid()}/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="extract-") as private:
        copy = Path(private, "image")
        with copy.open("wb") as target:
            file.seek(0)
            shutil.copyfileobj(file, target, 1 << 20)
        yield str(copy)
