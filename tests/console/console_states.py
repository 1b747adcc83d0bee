"""States of a workspace for the tests of the console: all at one frozen moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mobius_tui.console.application import ConsoleApp
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.themes import load_theme
from mobius_tui.recovery.backups import Backup
from mobius_tui.settings import Settings, Sourced
from mobius_tui.store.events import Event
from mobius_tui.store.jobs import Job
from mobius_tui.store.metrics import TREND_POINTS, Figures
from mobius_tui.store.pairs import Pair
from mobius_tui.store.snapshot import StoreSnapshot
from mobius_tui.store.worker_row import WorkerRow
from mobius_tui.workspace import Workspace

NOW = datetime(2026, 11, 20, 12, 4, 31, tzinfo=UTC).timestamp()

HOSTILE = (
    "deck[@click=app.quit]ace[/].png",
    "bad[/].png",
    "esc\x1b[2J\x1b]0;title\x07.png",
    "rtl\u202egnp.exe\u2066.png",
    "two\nlines\r\x00.png",
    "lone\udcff surrogate.png",
    "wide 漢字 カード.png",
    "c1\x9b31m.png",
)
"""Names that try to be markup, terminal control, another direction or another line."""


class Frozen:
    """A source that always shows the snapshot it was given."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.latest = snapshot
        self.woken = 0

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def wake(self) -> None:
        self.woken += 1


def workspace(root: Path, environment: str = "development") -> Workspace:
    return Workspace(root, Sourced(Settings(environment=environment), {}), "ada")


def console(
    snapshot: Snapshot, root: Path = Path("/nowhere"), *, theme: str = "mobius-dark", **options: Any
) -> ConsoleApp:
    return ConsoleApp(
        workspace(root, snapshot.environment),
        Frozen(snapshot),
        load_theme(theme),
        now=lambda: NOW,
        read_only=snapshot.read_only,
        **options,
    )


def figures(*, measured: bool = True, average: float = 12.0, p95: float = 31.0, failed: float = 0.001) -> Figures:
    if not measured:
        none = (None,) * TREND_POINTS
        return Figures(None, None, None, None, 0, 0, none, none, none, none)
    wave = [(n * 7 % 5) / 5 for n in range(TREND_POINTS)]
    return Figures(
        average_ms=average,
        p95_ms=p95,
        failure_rate=failed,
        rate_per_hour=1_400_000.0,
        images=9_100,
        failed=9,
        trend_average=tuple(average * (0.9 + w / 5) for w in wave),
        trend_p95=(None, None, *(p95 * (0.9 + w / 5) for w in wave[2:])),
        trend_rate=tuple(380.0 + 40 * w for w in wave),
        trend_failed=tuple(failed * w for w in wave),
    )


def job(**changes: Any) -> Job:
    first: dict[str, Any] = {
        "id": 12, "kind": "migrate", "state": "running", "wanted": "run", "wanted_by": "", "options": {"threshold": 10},
        "run_id": "migration-20261120T120300Z", "requested_by": "ada", "requested_at": NOW - 91, "reason": "new scans",
        "started_at": NOW - 90, "finished_at": None, "owner": "boot:1:1", "phase": "hashing", "total": 12_482,
        "done": 8_861, "failed": 8, "missing": 0, "low": 14, "exact": 233, "waiting": 37, "decoded": 8_800,
        "rate": 412.0, "eta_s": 9.0, "exit_code": None, "error": "",
    }  # fmt: skip
    return Job(**{**first, **changes})


def event(number: int, level: str, message: str, **changes: Any) -> Event:
    first: dict[str, Any] = {
        "id": number, "at": NOW - 60 + number, "level": level, "component": "migrate",
        "run_id": "migration-20261120T120300Z", "event": "x", "message": message,
    }  # fmt: skip
    return Event(**{**first, **changes})


def pair(number: int, left: str, right: str, evidence: tuple[str, ...] = ("text differs",)) -> Pair:
    sha = number.to_bytes(32, "big")
    return Pair(f"{number:016x}", sha, sha[::-1], left, right, number % 15 + 1, 0.95 - number / 50, "waiting", evidence)


def backup(number: int, state: str = "verified", *, pinned: bool = False, reason: str = "manual") -> Backup:
    name, images = f"library.json.bak.2026112{number}T120000Z", 12_482
    at = NOW - number * 40_000
    return Backup(
        name, Path("/nowhere/backups") / name, at, 1_204_331, reason, "ada", state, at, images, "0" * 64, pinned
    )


WORKER = WorkerRow(
    "boot:9:9", 99, "0.1.0", "host", 2, NOW - 3600, "working", "inotify and scan", NOW - 4, 12.0, 12_482, 0, ""
)

EVENTS = (
    event(1, "info", "migrate started by ada"),
    event(2, "info", "hashing: 12,482 images"),
    event(3, "info", "batch 88: 100 images"),
    event(4, "error", "failed  scans/p12.jpg  truncated: the JPEG file ends before the picture does"),
    event(5, "warning", "low confidence  cards/back.png  0.31"),
    event(6, "info", "batch 89: 100 images"),
    event(7, "info", "library scanned in 12 ms", component="worker", run_id=""),
)

PAIRS = (
    pair(1, "decks/oak/07.png", "decks/oak/08.png"),
    pair(2, "scans/board-front.jpg", "photos/board.jpg", ("crop",)),
    pair(3, "rulebook/second-printing/scoring/p05.png", "rulebook/first-printing/scoring/p05.png", ("one word",)),
)


def store(**changes: Any) -> StoreSnapshot:
    first: dict[str, Any] = {
        "worker": WORKER, "jobs": (job(), job(id=11, kind="dry-run", state="done", run_id="dry-run-1", phase="",
                                            finished_at=NOW - 600, started_at=NOW - 640, exit_code=0)),
        "events": EVENTS, "pairs": PAIRS, "waiting": 37, "low_confidence": 2, "figures": figures(),
    }  # fmt: skip
    return StoreSnapshot(**{**first, **changes})


def running(**changes: Any) -> Snapshot:
    """A migration under way."""
    first: dict[str, Any] = {
        "at": NOW, "environment": "development", "store": store(), "worker_alive": True,
        "backups": (backup(0, pinned=True, reason="deploy"), backup(1), backup(2, "unverified", reason="nightly"),
                    backup(3, "missing side file")),
    }  # fmt: skip
    return Snapshot(**{**first, **changes})


def with_job(**changes: Any) -> Snapshot:
    """The same with another state of the job."""
    return running(store=store(jobs=(job(**changes),)))


def paused() -> Snapshot:
    state = store(
        jobs=(job(state="paused", wanted="pause", wanted_by="bob", rate=410.0, eta_s=9.0),),
        events=(*EVENTS, event(8, "info", "paused by bob", event="paused")),
    )
    return running(store=state)


def failed() -> Snapshot:
    return with_job(
        state="failed",
        finished_at=NOW - 5,
        exit_code=2,
        error="913 of 12,482 images (7.3 %) failed or are missing, more than 5 %: nothing is published",
        failed=913,
    )


def done() -> Snapshot:
    return with_job(
        state="done", finished_at=NOW - 5, exit_code=0, phase="", total=None, done=12_482, eta_s=None,
        summary={"duplicates": 233, "output": "library/library.json", "backup": "library.json.bak.20261120T120300Z"},
    )  # fmt: skip


def empty() -> Snapshot:
    """A workspace where nothing has happened yet."""
    state = store(
        jobs=(), events=(), pairs=(), waiting=0, low_confidence=0, figures=figures(measured=False),
        worker=replace(WORKER, state="idle", images=0),
    )  # fmt: skip
    return running(store=state, backups=())


def hostile() -> Snapshot:
    """Hostile names and texts wherever a text can come from outside."""
    odd = HOSTILE
    mean = job(
        requested_by=odd[0], reason=odd[2], error=odd[4], phase=odd[3], run_id=odd[1], wanted="pause", wanted_by=odd[5]
    )
    other = job(id=13, kind=odd[0], state=odd[1], requested_by=odd[3], reason=odd[6])
    events = tuple(event(n, "warning", f"failed  {name}  {name}", run_id=odd[1]) for n, name in enumerate(odd, 1))
    pairs = tuple(pair(n, name, odd[-n], (name,)) for n, name in enumerate(odd, 1))
    worker = replace(WORKER, state=odd[0], note=odd[2])
    state = store(jobs=(other, mean), events=events, pairs=pairs, worker=worker)
    backups = tuple(replace(backup(n), reason=name, who=name, name=name) for n, name in enumerate(odd))
    return running(store=state, backups=backups)
