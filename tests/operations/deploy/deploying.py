"""A deploy in a small workspace, with a made-up clock, service and listener."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobius_tui.guard.files import OpenWatch, all_open
from mobius_tui.guard.model import Baseline, Outcome, Plan
from mobius_tui.launch.health import Health
from mobius_tui.operations.deploy.course import Surroundings
from mobius_tui.operations.deploy.deploy import deploy
from mobius_tui.operations.deploy.options import DeployOptions, DeploySummary
from mobius_tui.operations.progress import Counts
from mobius_tui.operations.smoke import Check, SmokeReport
from mobius_tui.recovery.journal import JOURNALS, journals, open_journals, read_journal
from mobius_tui.recovery.staging import staged_files
from mobius_tui.system.locks import catalogue_lock_path, holder_of
from mobius_tui.workspace import Workspace

RUN = "deploy-20261120T120000Z"


@dataclass
class Heard:
    """A progress that keeps what it is told and does something at a step."""

    run_id: str = RUN
    at: dict[str, Callable[[], object]] = field(default_factory=dict)
    phases: list[str] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answer: bool = False

    def phase(self, name: str, total: int | None = None, done: int = 0) -> None:
        self.phases.append(name)
        act = self.at.get(name)
        if act is not None:
            act()

    def advance(self, counts: Counts) -> None:
        pass

    def event(self, level: str, event: str, message: str, **fields: object) -> None:
        self.events.append((level, message))

    def show(self, summary: Any) -> None:
        self.shown.append(dict(summary))

    def checkpoint(self) -> None:
        pass

    def ask(self, question: str, patience_s: float) -> bool:
        self.asked.append(question)
        return self.answer

    def states(self) -> dict[str, str]:
        return {row["name"]: row["state"] for row in self.shown[-1]["steps"]}


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.at_sleep: Callable[[float], object] = lambda _: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at_sleep(self.now)

    def monotonic(self) -> float:
        return self.now


def healthy(*_: object) -> Health:
    return Health("healthy", {"status": "healthy"}, "healthy", 0.01)


def passed(*_: object) -> SmokeReport:
    return SmokeReport((Check("health", True, "healthy", 0.0),), True)


def failing(*_: object) -> SmokeReport:
    return SmokeReport((Check("health", False, "no answer", 0.0),), False)


@dataclass
class Service:
    """The service that is measured and watched, and the guard, as a test wants them.

    Attributes:
        verdict: What the watch of the canary comes to.
        during: Done while the canary is live, before the verdict.
        baseline: How the service was.
        guard: Fails when the guard cannot be started.
        plans: The canaries' plans.
        canaries: What was live at each watch.
        guarded: The watches that were taken up.
    """

    verdict: tuple[Outcome, str] = ("accepted", "all rules pass")
    during: Callable[[], object] = lambda: None
    baseline: Baseline = field(default_factory=lambda: Baseline(source="probes", samples=20, p95_ms=12.0, queue=0))
    guard: Exception | None = None
    plans: list[Plan] = field(default_factory=list)
    canaries: list[bytes] = field(default_factory=list)
    guarded: list[OpenWatch] = field(default_factory=list)

    def watch(
        self, ws: Workspace, plan: Plan, note: Callable[..., object], checkpoint: Callable[[], object]
    ) -> tuple[Outcome, str]:
        self.plans.append(plan)
        self.canaries.append(ws.catalogue.read_bytes())
        checkpoint()
        note("canary", number=1, verdict="pass", sentence="")
        self.during()
        checkpoint()
        return self.verdict

    def start(self, ws: Workspace, planned: Path) -> OpenWatch:
        if self.guard is not None:
            raise self.guard
        (found,) = [watch for watch in all_open(ws) if watch.ready == "start" and watch.path == planned]
        self.guarded.append(found)
        return found


@dataclass
class Stage:
    """A workspace with a published catalogue, and what is needed to deploy over it."""

    ws: Workspace
    connection: sqlite3.Connection
    heard: Heard
    clock: Clock
    old: bytes
    service: Service = field(default_factory=Service)

    def around(self, smoke: Callable[..., SmokeReport] = passed) -> Surroundings:
        return Surroundings(
            self.clock.sleep,
            self.clock.monotonic,
            healthy,
            smoke,
            baseline=lambda _: self.service.baseline,
            watch_canary=self.service.watch,
            start_guard=self.service.start,
        )

    def deploy(self, smoke: Callable[..., SmokeReport] = passed, **options: Any) -> DeploySummary:
        around = self.around(smoke)
        return deploy(self.ws, self.connection, DeployOptions(**options), self.heard, around)

    @property
    def live(self) -> bytes:
        return self.ws.catalogue.read_bytes()

    def at_rest(self) -> None:
        """Nothing is left over, whatever happened."""
        assert open_journals(self.ws.state / JOURNALS) == []
        assert staged_files(self.ws.catalogue) == {}
        assert holder_of(catalogue_lock_path(self.ws.catalogue)) is None
        names = [path.name for path in self.ws.catalogue.parent.iterdir()]
        assert not [name for name in names if name.endswith((".tmp", ".swap", ".old", ".proof"))]

    def end(self) -> dict[str, Any]:
        return read_journal(journals(self.ws.state / JOURNALS)[-1]).records[-1]


def titles(data: bytes) -> list[Any]:
    return [entry.get("title") for entry in json.loads(data)["images"]]


def with_dhash(data: bytes) -> int:
    return sum(1 for entry in json.loads(data)["images"] if entry.get("dhash"))
