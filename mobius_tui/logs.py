"""JSON-line logs: one service log, one run log an operation. A full disk drops and counts, it never stops the work.

Every record is redacted: no e-mail address, token, key, position or home folder reaches a file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from mobius_tui.redaction import redacted_value, redacted_words

LEVELS = ("debug", "info", "warning", "error")
"""Levels, least first."""

SERVICE_LOG = "service.log"
"""The worker's own log in the folder of the logs."""

LOST = "records_lost"
"""Event of the record that tells how many could not be written before it."""

ROTATE_BYTES = 50_000_000
"""Size at which the service log is rotated."""

KEPT = 10
"""Rotated service logs that are kept."""

_DAY = re.compile(rb'\{"time": "(\d{4}-\d\d-\d\d)T')


def _utc_now() -> datetime:
    return datetime.now(UTC)


class JsonLog:
    """A log file of JSON lines.

    Args:
        path: The file; appended to, its folder made when missing.
        rotate: Whether it is rotated, by size and with the first record of a new UTC day.
        least: Records below this level are left out.
        within: A folder that has to be there: a workspace that was removed is not made anew by its log.
        now: The time in UTC.

    Attributes:
        dropped: Records that could not be written whole.
    """

    def __init__(
        self,
        path: Path,
        *,
        rotate: bool = False,
        least: str = "debug",
        within: Path | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.path = path
        self.dropped = 0
        self._rotate = rotate
        self._within = within
        self._now = now
        self._left_out = LEVELS[: LEVELS.index(least)]
        self._torn = False
        self._untold = 0
        self._begun: tuple[tuple[int, int], str] | None = None
        self._guard = threading.Lock()

    def write(
        self,
        level: str,
        component: str,
        event: str,
        message: str,
        run_id: str = "",
        fields: Mapping[str, object] | None = None,
    ) -> None:
        """Append one record, redacted; on an error it is dropped and counted.

        Args:
            level: One of ``LEVELS``.
            component: Which part of MOBIUS speaks.
            event: What happened, one word.
            message: The same for people.
            run_id: The operation it belongs to.
            fields: Further data; it keeps its JSON types.
        """
        if level in self._left_out:
            return
        try:
            time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            record = {
                "time": time,
                "level": level,
                "component": component,
                "run": redacted_words(run_id),
                "event": event,
                "message": redacted_words(message),
                **({"fields": redacted_value(fields)} if fields else {}),
            }
            line = json.dumps(record).encode("ascii") + b"\n"
            with self._guard:
                self._append(self._loss(time), line, time[:10])
        except (OSError, TypeError, ValueError, RecursionError):
            with self._guard:
                self.dropped += 1
                self._untold += 1

    def _loss(self, time: str) -> bytes:
        """A record of those that were dropped since the last one that could be written; nothing when none were."""
        if not self._untold:
            return b""
        said = f"{self._untold} record{'s were' if self._untold > 1 else ' was'} lost: the log could not be written"
        facts = {"time": time, "level": "warning", "component": "log", "run": "", "event": LOST, "message": said}
        return json.dumps({**facts, "fields": {"lost": self._untold}}).encode("ascii") + b"\n"

    def _append(self, loss: bytes, line: bytes, today: str) -> None:
        if self._within is not None and not self._within.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._within))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = self._open()
        try:
            if self._rotate and self._day_of(descriptor, today) < today:  # a clock that went back rotates nothing
                with contextlib.suppress(OSError):
                    self._shift(descriptor)
                    os.close(descriptor)
                    descriptor = -1
                    descriptor = self._open()
            # One write a record: with O_APPEND several processes do not tear each other's lines.
            lines = (b"\n" if self._torn else b"") + loss + line
            written = os.write(descriptor, lines)
            self._torn = written < len(lines)
            if written >= len(lines) - len(line):
                self._untold = 0
            if self._torn:
                self.dropped += 1
                self._untold += 1
            if self._rotate and os.fstat(descriptor).st_size > ROTATE_BYTES:
                with contextlib.suppress(OSError):  # the record is written; the next one tries again
                    self._shift(descriptor)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe in its place must not make the work wait
        return os.open(self.path, flags, 0o640)

    def _day_of(self, descriptor: int, today: str) -> str:
        """The day on which an open log was begun; today where that cannot be told."""
        found = os.fstat(descriptor)
        file = (found.st_dev, found.st_ino)
        if not stat.S_ISREG(found.st_mode) or not found.st_size or self._begun == (file, today):
            return today
        with self.path.open("rb") as reader:
            if not os.path.samestat(found, os.fstat(reader.fileno())):
                return today  # another process has rotated it meanwhile
            first = _DAY.match(reader.read(64))
        day = datetime.fromtimestamp(found.st_mtime, UTC).date().isoformat() if first is None else first[1].decode()
        self._begun = (file, day)
        return day

    def _shift(self, descriptor: int) -> None:
        """Make room for a new log, unless another process has done so since this one was opened."""
        with _locked(descriptor):
            if not os.path.samestat(os.fstat(descriptor), self.path.stat()):
                return
            for number in range(KEPT - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    self.path.with_name(f"{self.path.name}.{number}").replace(
                        self.path.with_name(f"{self.path.name}.{number + 1}")
                    )
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Hold the lock of an open file, where there is one."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
