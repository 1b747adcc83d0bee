"""Probes: a fixed set of the library's images, sent through the service at each measurement."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from mobius_tui.catalogue.document import Document, Entry
from mobius_tui.guard.figures import number_of, reason_of, refused_key
from mobius_tui.launch.questions import Answer, boot_seconds

PATH: Final = "/api/dhash/extract"
"""The endpoint."""

LIMIT_S: Final = 35.0
"""Seconds after which a probe without an answer is a failure: beyond the 30 s that the rule looks for."""

LARGEST_BYTES: Final = 20_000_000
"""Larger files are probes only where there are no others."""

AT_ONCE: Final = 2
"""Probes under way at a time: the service has other work as well."""

STALL_S: Final = 0.5
"""A measured time is thrown away when the guard itself stood still for longer than this meanwhile."""

_DHASH = re.compile(r"[0-9a-f]{16}")
_ABSENT = {404, 405, 501}
_TRIES = 3
_LOST_IN_A_ROW = 5
_BUSY_PAUSE_S = 0.2


@dataclass(slots=True)
class ProbeRun:
    """What came of one round.

    Attributes:
        durations_ms: Of each probe that gave an answer or had its full time, in the order of the answers.
        samples: How many those are.
        failures: Those of them that failed.
        begun: Probes that were sent.
        absent: The service has no such endpoint.
        answered: It has one, and answered at least once.
        no_sample: By reason, probes that say nothing: ``busy``, ``gone``, ``lost`` (no connection), ``cut`` (by the end
            of the round), ``stalled`` (the guard stood still), ``strange`` (an answer that makes no sense).
        errors: What the guard itself could not do, each beginning with the rule that it concerns and a colon.
    """

    durations_ms: list[float] = field(default_factory=list)
    samples: int = 0
    failures: int = 0
    begun: int = 0
    absent: bool = False
    answered: bool = False
    no_sample: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    @property
    def p95_ms(self) -> float | None:
        """95th percentile of the durations: one of them, none in between; None without any."""
        ordered = sorted(self.durations_ms)
        return ordered[math.ceil(0.95 * len(ordered)) - 1] if ordered else None

    def add(self, other: ProbeRun) -> None:
        """Take another round into this one."""
        self.durations_ms += other.durations_ms
        self.samples += other.samples
        self.failures += other.failures
        self.begun += other.begun
        for reason, number in other.no_sample.items():
            self.no_sample[reason] = self.no_sample.get(reason, 0) + number
        self.errors += [error for error in other.errors if error not in self.errors]


def choose_probes(document: Document, library: Path, images: int) -> tuple[str, ...]:
    """The images to send: always the same for the same catalogue, drawn by the SHA-256 of their paths.

    Entries with a dHash come first; before the first publication there are none, and others serve.

    Args:
        document: The live catalogue.
        library: Folder of the images; the service reads nothing outside it.
        images: How many at most.

    Returns:
        Paths relative to the catalogue's folder, with ``/``, of files that exist.
    """
    folder = Path(document.origin).absolute().parent
    inside = os.path.join(os.path.realpath(library), "")  # noqa: PTH118
    small: list[str] = []
    large: list[str] = []
    for entry in _drawn(document.entries):
        if len(small) >= images:
            break
        size = _size(folder / entry.key, inside)
        if size is not None:
            (small if size <= LARGEST_BYTES else large).append(entry.key)
    return tuple(small or large[:images])


def _drawn(entries: Iterable[Entry]) -> list[Entry]:
    relative = [entry for entry in entries if not os.path.isabs(entry.key)]  # noqa: PTH117 - a million paths
    return sorted(relative, key=lambda entry: (entry.dhash is None, hashlib.sha256(entry.key.encode()).digest()))


def _size(path: Path, inside: str) -> int | None:
    """The size of a regular file inside a folder; None for everything else."""
    try:
        status = path.stat()
        real = os.path.realpath(path)
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) and status.st_size and real.startswith(inside) else None


def run_probes(
    ask: Callable[[str, float], Answer],
    probes: Sequence[str],
    *,
    start: int,
    budget_s: float,
    whole_s: float,
    exists: Callable[[str], bool],
    was_absent: bool = False,
    limit_s: float = LIMIT_S,
    clock: Callable[[], float] = boot_seconds,
) -> ProbeRun:
    """Send the probes once round, beginning at one of them, ``AT_ONCE`` at a time, as far as the time goes.

    Args:
        ask: Sends one probe by its path, with a time limit in seconds.
        probes: Their paths, in an order that stays.
        start: Number of the first one; begin where the last round ended, so that all get their turn.
        budget_s: Seconds in which new ones are begun.
        whole_s: Seconds after which those under way are cut off; a cut one says nothing.
        exists: Whether a probe's file is still there.
        was_absent: The service had no such endpoint the last time: one probe is enough to ask again.
        limit_s: Seconds after which a probe counts as failed.
        clock: Seconds; see ``boot_seconds``.

    Returns:
        What came of it; never raises.
    """
    round_ = _Round(ask, probes, start, clock() + budget_s, clock() + whole_s, exists, was_absent, limit_s, clock)
    threads = []
    for _ in range(1 if was_absent else min(AT_ONCE, len(probes))):
        thread = threading.Thread(target=round_.work, name="probes", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            round_.fail("no thread can be started to send probes")
            break
        threads.append(thread)
    end = clock() + whole_s + 5.0  # what asks is bounded itself; a folder that hangs is not
    for thread in threads:
        thread.join(max(0.0, end - clock()))
    return round_.finish()


@dataclass(slots=True)
class _Round:
    """The state that the threads of one round share."""

    ask: Callable[[str, float], Answer]
    probes: Sequence[str]
    start: int
    begin_until: float
    end: float
    exists: Callable[[str], bool]
    was_absent: bool
    limit_s: float
    clock: Callable[[], float]
    found: ProbeRun = field(default_factory=ProbeRun)
    _over: bool = False
    _absent: int = 0
    _lost: int = 0
    _strange: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self) -> None:
        try:
            while (path := self._next()) is not None:
                limit = min(self.limit_s, self.end - self.clock())
                answer = self.ask(path, limit)
                with self._lock:
                    if not self._over:
                        self._take(answer, limit >= self.limit_s)
                if answer.status in {429, 503}:
                    time.sleep(_BUSY_PAUSE_S)
        except Exception as error:  # a defect of the guard is not one of the service
            self.fail(f"sending probes: {type(error).__name__}: {error}")

    def fail(self, said: str) -> None:
        """Something that is the guard's own trouble ends the round."""
        with self._lock:
            self._over = True
            self.found.errors += [f"{rule}: {said}" for rule in ("failures", "p95")]

    def finish(self) -> ProbeRun:
        """What came of it; a thread that hangs changes it no more."""
        with self._lock:
            self._over = True
            if self._strange and not self.found.samples and not self.found.errors:
                self.found.errors += [f"{rule}: {self._strange}" for rule in ("failures", "p95")]
            return self.found

    def _next(self) -> str | None:
        while True:
            with self._lock:
                if self._over or self.found.begun >= len(self.probes) or self.clock() >= self.begin_until:
                    return None
                path = self.probes[(self.start + self.found.begun) % len(self.probes)]
                self.found.begun += 1
            if self.exists(path):
                return path
            with self._lock:
                self._skip("gone")

    def _skip(self, reason: str) -> None:
        self.found.no_sample[reason] = self.found.no_sample.get(reason, 0) + 1

    def _take(self, answer: Answer, had_full_time: bool) -> None:
        stalled = answer.stalled_s > STALL_S
        if answer.trouble == "own":
            self._over = True
            self.found.errors += [f"{rule}: a probe: {answer.problem}" for rule in ("failures", "p95")]
        elif answer.trouble == "timeout":
            if had_full_time and not stalled:
                self._count(answer.seconds * 1000, failed=True)
            else:
                self._skip("stalled" if stalled else "cut")
        elif answer.trouble in {"nonsense", "too long"}:
            self._puzzle(f"a probe: {answer.problem}")
        elif answer.trouble:
            self._skip("lost")
            self._lost += 1
            self._over = self._lost >= _LOST_IN_A_ROW
        else:
            self._lost = 0
            self._judge(answer, stalled)

    def _judge(self, answer: Answer, stalled: bool) -> None:
        """Take an answer by its status."""
        status = answer.status
        if status in _ABSENT:
            self._absent += 1
            if not self.found.answered and self._absent >= (1 if self.was_absent else _TRIES):
                self.found.absent = self._over = True
            self._skip("gone")
            return
        if status == 401 or (status == 403 and not self.found.answered):
            self._over = True
            self.found.errors += [f"{rule}: {refused_key(PATH, answer)}" for rule in ("failures", "p95")]
            return
        if status in {429, 503}:
            self.found.answered = True
            self._skip("busy")
            return
        body = _body(answer.data)
        dhash = body.get("dhash")
        good = status == 200 and isinstance(dhash, str) and _DHASH.fullmatch(dhash) is not None
        failed = status == 422 or status >= 500 or (status == 200 and body.get("status") == "failed")
        if not good and not failed:
            said = "200 and no dHash" if status == 200 else f"{status}{reason_of(answer.data)}"
            self._puzzle(f"{PATH} answered a probe with {said}")
            return
        self.found.answered = True
        measured = answer.seconds * 1000
        told = number_of(body.get("time_ms"), measured * 1.1 + 50)
        if told is None and stalled:
            self._skip("stalled")
        else:
            self._count(measured if told is None else told, failed=not good)

    def _count(self, milliseconds: float, *, failed: bool) -> None:
        self.found.answered = True
        self.found.samples += 1
        self.found.failures += failed
        self.found.durations_ms.append(round(milliseconds, 2))

    def _puzzle(self, said: str) -> None:
        self._strange = self._strange or said
        self._over = self._over or (self.was_absent and not self.found.answered)
        self._skip("strange")


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
