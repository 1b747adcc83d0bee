"""When a measurement falls due: by a clock that counts suspended time and that nobody sets."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from mobius_tui.guard.model import SNAPSHOTS, Plan
from mobius_tui.system import clock as wall

GAP_INTERVALS = 2
"""So many intervals without the guard are a gap: their measurements are no data."""

_BIT = 1e-6
_LARGEST = 1e10


def is_figure(value: object) -> TypeGuard[int | float]:
    """Whether a value of a journal is a number that can be counted with: no NaN, and below 300 years of seconds."""
    return isinstance(value, int | float) and -_LARGEST < value < _LARGEST


class Clock(Protocol):
    """What the guard knows of time."""

    def boot_id(self) -> str:
        """Which start of the machine this is."""

    def seconds(self) -> float:
        """Seconds since that start, suspended ones included."""

    def now(self) -> float:
        """Seconds since the epoch: for people, and after a reboot."""


class BootClock:
    """The machine's own clock."""

    def boot_id(self) -> str:
        """The kernel's boot id; empty where there is none."""
        try:
            return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def seconds(self) -> float:
        """Seconds since the start of the machine; where the system has no such clock, without suspended ones."""
        number = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if number is None else time.clock_gettime(number)

    def now(self) -> float:
        """Seconds since the epoch."""
        return wall.now()


@dataclass(frozen=True, slots=True)
class Anchor:
    """A moment of a watch by every clock.

    Attributes:
        boot_id: Of the machine then.
        boottime: Seconds since that start.
        at: Seconds since the epoch.
        elapsed_s: Seconds since the watch began.
    """

    boot_id: str
    boottime: float
    at: float
    elapsed_s: float = 0.0

    @classmethod
    def here(cls, clock: Clock, elapsed_s: float) -> Anchor:
        """This moment."""
        return cls(clock.boot_id(), clock.seconds(), clock.now(), elapsed_s)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Anchor:
        """From a record of the journal; what is missing in it is 0."""
        figures = [record.get(name) for name in ("boottime", "at", "elapsed_s")]
        boottime, at, elapsed = (float(each) if is_figure(each) and each >= 0 else 0.0 for each in figures)
        return cls(str(record.get("boot_id") or ""), boottime, at, elapsed)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"boot_id": self.boot_id, "boottime": self.boottime, "at": self.at, "elapsed_s": self.elapsed_s}

    def elapsed(self, clock: Clock, least: float = 0.0) -> float:
        """Seconds since the watch began.

        Args:
            clock: The clock now.
            least: What was known last: after a reboot a wall clock that went back makes it no younger.
        """
        if clock.boot_id() == self.boot_id:
            return max(least, self.elapsed_s + clock.seconds() - self.boottime)
        return max(least, self.elapsed_s + max(0.0, clock.now() - self.at))


def due_number(elapsed_s: float, interval_s: float) -> int:
    """The number of the latest measurement that has fallen due; 0 before the first."""
    return max(0, math.floor(elapsed_s / interval_s + _BIT))


def due_at(number: int, interval_s: float) -> float:
    """Seconds after the watch's begin at which a measurement falls due."""
    return number * interval_s


@dataclass(frozen=True, slots=True)
class SnapshotDue:
    """A named snapshot and when it falls due.

    Attributes:
        name: Like ``+5 min``.
        due_s: Seconds after the watch's begin.
    """

    name: str
    due_s: float


def snapshots_due(plan: Plan) -> tuple[SnapshotDue, ...]:
    """The four named snapshots of a watch, as shares of what was planned at its begin."""
    return tuple(SnapshotDue(after(share * plan.duration_s), share * plan.duration_s) for share in SNAPSHOTS)


def after(seconds: float) -> str:
    """A span for names: ``+5 min``, ``+45 s``."""
    return f"+{round(seconds / 60, 1):g} min" if seconds >= 60 else f"+{round(seconds, 1):g} s"
