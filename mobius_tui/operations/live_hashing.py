"""Fingerprints and candidate pairs of images that came or changed after the library's first run."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.catalogue.document import file_key
from mobius_tui.fingerprint.model import Outcome, Profile, Task
from mobius_tui.fingerprint.pool import HashingPool
from mobius_tui.operations.hashing import setup_for
from mobius_tui.operations.inventory import (
    Missing,
    Result,
    Setup,
    Unread,
    in_batches,
    keep_outcomes,
    plan_work,
)
from mobius_tui.operations.live import FIRST_RUN, TOLD_ONE_BY_ONE, catalogue_folder, contents_left
from mobius_tui.operations.live_pairs import RUN_ID, LivePairs
from mobius_tui.operations.options import image_limits
from mobius_tui.store.database import read_meta, writing
from mobius_tui.store.events import add_event
from mobius_tui.store.images import Fingerprint, KnownFile, forget_files, has_fingerprints
from mobius_tui.store.jobs import is_migrating
from mobius_tui.store.scan import pending_files
from mobius_tui.workspace import Workspace

SETTLE_S = 0.5
"""A file that was written to within this time is left alone until it rests."""

IDLE_S = 20.0
"""The processes end when they had nothing to do for this long."""

_PAGE = 400


@dataclass(frozen=True, slots=True)
class Hashed:
    """What a round of live hashing did.

    Attributes:
        images: Images that were read.
        pairs: New waiting pairs.
        again: Whether something is left that can be done soon.
        note: Why images wait for a person to act; empty otherwise.
    """

    images: int = 0
    pairs: int = 0
    again: bool = False
    note: str = ""


class LiveHasher:
    """Fingerprints pending files at once, and compares each with all others.

    Args:
        ws: The workspace; its profile is the live one, too.
    """

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._limits = image_limits(ws)
        self._profile: Profile = "fast" if ws.settings.profile == "fast" else "exact"
        self._pool: HashingPool | None = None
        self._used = 0.0
        self._settled: Setup | None = None
        self._pairs = LivePairs(ws, self._exact_outcomes)

    def forget(self) -> None:
        """A run has changed what the store knows: look at it anew."""
        self._settled = None
        self._pairs.forget()

    def rest(self) -> None:
        """End the processes when they have been idle for a while."""
        if self._pool is not None and time.monotonic() - self._used > IDLE_S:
            self.close()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def hash_pending(self, connection: sqlite3.Connection, go_on: Callable[[], bool]) -> Hashed:
        """Read the files that wait for it, unless a first run or a running migration does that.

        Args:
            connection: The database.
            go_on: Asked between batches; a running migration comes first.

        Returns:
            What was done.
        """
        if read_meta(connection, FIRST_RUN) is None:
            return Hashed()
        if not pending_files(connection, limit=1):
            return Hashed()
        if is_migrating(connection):
            return Hashed(again=True)
        setup = setup_for(self._profile, self._limits)
        if setup != self._settled and not has_fingerprints(connection, setup.profile, setup.decoder):
            return Hashed(
                note="new images wait: profile or decoder are not those of the last run; run `mobius migrate` to hash"
                " the library with these"
            )
        self._settled = setup
        return self._hash(connection, setup, go_on)

    def _hash(self, connection: sqlite3.Connection, setup: Setup, go_on: Callable[[], bool]) -> Hashed:
        images = pairs = 0
        again = False
        last = ""
        told = _Told()
        while files := pending_files(connection, last, _PAGE):
            last = files[-1].path
            ready = [file for file in files if _rests(file.path)]
            again = again or len(ready) < len(files)
            former = {file.path: file for file in ready}
            for results in self._results(connection, ready, setup, go_on):
                images += len(results)
                pairs += self._settle(connection, results, former, told)
                if not go_on() or is_migrating(connection):  # by a verb: both would decode the same images
                    told.close(connection)
                    return Hashed(images, pairs, again=True)
        told.close(connection)
        return Hashed(images, pairs, again=again)

    def _results(
        self, connection: sqlite3.Connection, files: Sequence[KnownFile], setup: Setup, go_on: Callable[[], bool]
    ) -> Iterator[dict[str, Result]]:
        """Results of files by path, each batch committed."""
        tasks: list[Task] = []
        paths = [file.path for file in files]
        place = 0
        known: dict[str, Result] = {}
        for plan in plan_work(connection, paths, setup):
            for result in plan.results:
                if result is not None:
                    known[paths[place]] = result
                place += 1
            tasks += plan.tasks
        if known:
            yield known
        if tasks and go_on():
            with closing(self._outcomes(self._running(), tasks)) as outcomes:
                for batch in in_batches(outcomes, self._ws.settings.batch_size):
                    yield keep_outcomes(connection, batch, setup, RUN_ID)

    def _settle(
        self, connection: sqlite3.Connection, results: dict[str, Result], former: dict[str, KnownFile], told: _Told
    ) -> int:
        """Mend the pairs of what is no more, tell what is bad, find the pairs of what is new."""
        folder = catalogue_folder(self._ws)
        left: list[tuple[bytes, str]] = []
        for path, result in results.items():
            before = former[path].sha256
            if before is not None and not (isinstance(result, Fingerprint) and result.sha256 == before):
                left.append((before, path))
        gone = [path for path, result in results.items() if isinstance(result, Missing)]
        with writing(connection):
            forget_files(connection, gone)
            if contents_left(connection, left, folder):
                self._pairs.forget()
        for path, result in results.items():
            if not (isinstance(result, Unread) and result.error == former[path].error):  # as before: told already
                told.tell(connection, file_key(path, folder), result)
        prints = [result for result in results.values() if isinstance(result, Fingerprint)]
        return self._pairs.add(connection, [found for found in prints if found.dhash is not None])

    def _running(self) -> HashingPool:
        if self._pool is None:
            self._pool = HashingPool(self._profile, self._limits, self._ws.settings.parallel)
        return self._pool

    def _outcomes(self, pool: HashingPool, tasks: Sequence[Task]) -> Generator[Outcome, None, None]:
        """The pool's outcomes as a generator, so that leaving early closes it."""
        self._used = time.monotonic()
        yield from pool.map(tasks)
        self._used = time.monotonic()

    def _exact_outcomes(self, connection: sqlite3.Connection, paths: Sequence[str]) -> None:
        """Fingerprint files in the exact profile and keep that."""
        setup = setup_for("exact", self._limits)
        with HashingPool("exact", self._limits, self._ws.settings.parallel) as pool:
            for batch in in_batches(pool.map([Task(path) for path in paths]), self._ws.settings.batch_size):
                keep_outcomes(connection, batch, setup, RUN_ID)


def _rests(path: str) -> bool:
    """Whether nobody wrote to a file just now; a file with a time in the future rests."""
    try:
        age = time.time() - Path(path).stat().st_mtime
    except (OSError, ValueError):
        return True  # the pool, or the plan, says what is wrong with it
    return not 0 <= age < SETTLE_S


class _Told:
    """Events of single images, as many as a person reads; the rest is counted."""

    def __init__(self) -> None:
        self._failed = 0
        self._low = 0

    def tell(self, connection: sqlite3.Connection, name: str, result: Result) -> None:
        """Note an image that failed or says little."""
        if isinstance(result, Unread) or (isinstance(result, Fingerprint) and result.status == "failed"):
            self._failed += 1
            if self._failed <= TOLD_ONE_BY_ONE:
                _event(connection, "warning", "image_failed", f"failed  {name}  {result.error}", name)
        elif isinstance(result, Fingerprint) and result.status == "low_confidence":
            self._low += 1
            if self._low <= TOLD_ONE_BY_ONE:
                text = f"low confidence  {name}  {result.confidence or 0.0:.2f}  {result.reason or ''}".rstrip()
                _event(connection, "info", "low_confidence", text, name)

    def close(self, connection: sqlite3.Connection) -> None:
        """Note how many were not told one by one."""
        more = max(0, self._failed - TOLD_ONE_BY_ONE), max(0, self._low - TOLD_ONE_BY_ONE)
        if more[0]:
            _event(connection, "warning", "image_failed", f"{more[0]:,} more images failed", "")
        if more[1]:
            _event(connection, "info", "low_confidence", f"{more[1]:,} more images of low confidence", "")


def _event(connection: sqlite3.Connection, level: str, event: str, message: str, name: str) -> None:
    fields = {"path": name} if name else {}
    add_event(connection, level, "library", event, message, run_id=RUN_ID, fields=fields)
