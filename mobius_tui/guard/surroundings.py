"""What a watch needs of the world: a clock, what measures, what rolls back, who tells people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mobius_tui.guard.going_back import Intent
from mobius_tui.guard.model import Measurement
from mobius_tui.guard.timing import Clock
from mobius_tui.launch.health import Health
from mobius_tui.notifications.message import Notification
from mobius_tui.rollback.options import Outcome as RolledBack
from mobius_tui.workspace import Workspace


class Leaving(BaseException):
    """This process was asked to end while it measured: nothing swallows it."""


class Back(Protocol):
    """What rolls back; ``going_back.GoingBack`` is the one."""

    def way(self) -> str:
        """Name of the way back from what is live."""

    def intent(self, backup: str, who: str, reason: str) -> Intent:
        """What a rollback now would do."""

    def was_done(self, intent: Intent) -> bool:
        """Whether a rollback that was begun before is done."""

    def run(self, intent: Intent) -> RolledBack:
        """Roll back."""

    def revive(self, base_url: str) -> Health:
        """Have the service well afterwards."""


class Measures(Protocol):
    """What collects a measurement."""

    def measure(self, number: int, elapsed_s: float, merged: int = 1) -> Measurement:
        """Collect everything once."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the watch needs of the world.

    Attributes:
        clock: Tells the time.
        sleep: Waits for some seconds.
        collector: Measures.
        back: Rolls back; what it says goes to ``heard``.
        notify: Tells people.
        ping: Calls the dead-man switch; returns why that failed.
        asked_to_end: Why this process should end, in words; empty while it should not.
    """

    clock: Clock
    sleep: Callable[[float], object]
    collector: Measures
    back: Back
    notify: Callable[[Workspace, Notification], object]
    ping: Callable[[], str]
    asked_to_end: Callable[[], str]
