"""A watch in a world that a test makes: its clock, its service, its rollback, its notifications."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.guard.files import plan_watch
from mobius_tui.guard.going_back import Intent
from mobius_tui.guard.keeping import Keeper
from mobius_tui.guard.mirror import Mirror
from mobius_tui.guard.model import Baseline, CatalogueLook, HealthLook, Measurement, Plan
from mobius_tui.guard.surroundings import Surroundings
from mobius_tui.guard.telling import Telling
from mobius_tui.guard.watch import Watch
from mobius_tui.launch.health import Health
from mobius_tui.notifications.message import Notification
from mobius_tui.rollback.merge import Changes
from mobius_tui.rollback.options import Outcome as RolledBack
from mobius_tui.workspace import Workspace

RUN = "watch-20261120T120000Z"
PLAN = Plan(
    RUN,
    who="ann",
    auto=True,
    duration_s=600.0,
    interval_s=10.0,
    baseline=Baseline(queue=5, source="probes", samples=100),
)


@dataclass
class FakeClock:
    """Boot-time and wall clock, each moved as a test wants."""

    boot: str = "boot-1"
    at: float = 1000.0
    wall: float = 1_795_000_000.0

    def boot_id(self) -> str:
        return self.boot

    def seconds(self) -> float:
        return self.at

    def now(self) -> float:
        return self.wall

    def go(self, seconds: float) -> None:
        self.at += seconds
        self.wall += seconds


@dataclass
class Service:
    """What the guard measures; ``look`` may change a good measurement."""

    clock: FakeClock
    look: Callable[[Measurement], Measurement] = lambda measurement: measurement
    takes_s: float = 0.0
    asked: list[tuple[int, int]] = field(default_factory=list)

    def measure(self, number: int, elapsed_s: float, merged: int = 1) -> Measurement:
        self.asked.append((number, merged))
        self.clock.go(self.takes_s)
        return self.look(good(number, elapsed_s, merged, self.clock.wall))


def good(number: int, elapsed_s: float, merged: int = 1, at: float = 0.0) -> Measurement:
    return Measurement(
        number,
        at,
        elapsed_s,
        merged,
        health=HealthLook(True, "healthy", "healthy", 0.01),
        source="probes",
        samples=100,
        failures=0,
        durations_ms=(10.0,) * 100,
        queue=5,
        catalogue=CatalogueLook(True, "as published", 4, 4, "ab" * 32),
    )


def ill(measurement: Measurement) -> Measurement:
    return replace(measurement, health=HealthLook(False, "unhealthy", "unhealthy: disk", 0.01))


@dataclass
class FakeBack:
    """A rollback that remembers what it was asked; ``live`` stands for the catalogue's content."""

    live: str = "new"
    fails: int = 0
    says: str = "the disk does not answer"
    runs: list[Intent] = field(default_factory=list)
    health: str = "healthy"

    def way(self) -> str:
        return "library.json.bak.20261120T115959Z"

    def intent(self, backup: str, who: str, reason: str) -> Intent:
        return Intent(backup, self.live, "", who, reason)

    def was_done(self, intent: Intent) -> bool:
        return self.live != intent.before

    def run(self, intent: Intent) -> RolledBack:
        self.runs.append(intent)
        if self.fails:
            self.fails -= 1
            raise EnvironmentFailed(self.says)
        before, self.live = self.live, "old"
        both = (4, 4)
        return RolledBack(
            "rollback-1", "", intent.backup, "", "exact", before, "old", True, "", both, both, Changes(), True
        )

    def revive(self, base_url: str) -> Health:
        return Health(self.health, sentence=self.health)


class World:
    """One watch and everything around it."""

    def __init__(self, ws: Workspace, plan: Plan = PLAN) -> None:
        self.ws, self.clock, self.back = ws, FakeClock(), FakeBack()
        self.service = Service(self.clock)
        self.told: list[Notification] = []
        self.path: Path = plan_watch(ws, plan)
        self.watch: Watch
        self.start()

    def start(self) -> None:
        """A new guard takes the watch up."""
        self.keeper, self.mirror = Keeper(self.path), Mirror(self.ws)
        around = Surroundings(
            self.clock, self.clock.go, self.service, self.back, lambda _, told: self.told.append(told), str, str
        )
        telling = Telling(self.ws, self.keeper.story.plan.run, self.mirror, around.notify)
        self.watch = Watch(self.ws, self.keeper, around, self.mirror, telling)

    def die(self) -> None:
        """The guard is killed: what is not on the disk is gone."""
        self.keeper.close()
        self.mirror.close()

    def go(self, seconds: float) -> None:
        """Let the guard work for some seconds of its own clock."""
        until = self.clock.at + seconds
        while self.clock.at < until and not self.watch.over:
            pause = self.watch.attempt()
            self.clock.go(max(0.0, min(pause, until - self.clock.at)))
        self.watch.attempt()

    def kinds(self) -> list[str]:
        return [told.kind for told in self.told]

    def told_keys(self) -> list[str]:
        return [told.key.partition("/")[2] for told in self.told]

    def whats(self) -> list[str]:
        return [str(record["what"]) for record in self.keeper.records]
