"""What the worker and its children take of the machine: memory, processor, disk."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import psutil

SPAN_S: Final = 60.0
"""The processor's share is that of so many seconds, or of all since the start when that is less."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """One look; None where the system does not tell.

    Attributes:
        processes: The worker and its living descendants, but for what it started into a session of its own (the guard).
        resident_bytes: Memory that they hold; pages that they share count for each.
        cpu_seconds: Processor time since the start, that of children that have ended included where the system adds it
            to their parents (Linux).
        cpu_share: Share of one core that they took lately.
        disk_read_bytes: Read from disk since the start, what came from the page cache not included.
        disk_written_bytes: Written to disk since the start.
    """

    processes: int = 0
    resident_bytes: int | None = None
    cpu_seconds: float | None = None
    cpu_share: float | None = None
    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None


class FootprintLook:
    """Looks at this process and its descendants; for one thread at a time.

    Args:
        monotonic: Seconds that never go back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._looks: deque[tuple[float, float]] = deque()
        self._most = [0.0, 0.0, 0.0]

    def look(self) -> Footprint:
        """What they take now; what only grows never goes back, though children end."""
        import psutil  # 40 ms, in the worker only

        own = psutil.Process()
        processes, resident, disk_known = 0, 0, False
        sums = [0.0, 0.0, 0.0]
        for process in _family(own):
            with contextlib.suppress(psutil.Error, OSError), process.oneshot():  # it may just have ended
                memory, times = process.memory_info().rss, process.cpu_times()
                processes, resident = processes + 1, resident + memory
                sums[0] += sum(times[:4])  # own and waited-for children's, user and system
                if hasattr(process, "io_counters"):
                    disk = process.io_counters()
                    sums[1], sums[2], disk_known = sums[1] + disk.read_bytes, sums[2] + disk.write_bytes, True
        self._most = [max(before, found) for before, found in zip(self._most, sums, strict=True)]
        return Footprint(
            processes=processes,
            resident_bytes=resident or None,
            cpu_seconds=round(self._most[0], 3),
            cpu_share=self._share(self._most[0], time.time() - own.create_time()),
            disk_read_bytes=int(self._most[1]) if disk_known else None,
            disk_written_bytes=int(self._most[2]) if disk_known else None,
        )

    def _share(self, used: float, age_s: float) -> float | None:
        now = self._monotonic()
        if not self._looks:
            self._looks.append((now - max(0.0, age_s), 0.0))
        while len(self._looks) > 1 and self._looks[1][0] <= now - SPAN_S:
            self._looks.popleft()
        since, before = self._looks[0]
        self._looks.append((now, used))
        return round(max(0.0, used - before) / (now - since), 4) if now > since else None


def _family(own: psutil.Process) -> Iterator[psutil.Process]:
    import psutil

    yield own
    with contextlib.suppress(psutil.Error, OSError):
        for process in own.children(recursive=True):
            if _session(process.pid) == _session(own.pid):
                yield process


def _session(pid: int) -> int:
    """A process's session; 0 where there are none, -1 when it has ended."""
    if not hasattr(os, "getsid"):
        return 0
    try:
        return os.getsid(pid)
    except OSError:
        return -1
