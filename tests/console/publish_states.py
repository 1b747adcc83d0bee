"""States of a deploy and a rollback for the tests of the console."""

from __future__ import annotations

from typing import Any

from console_states import NOW, done, job, running, store

from mobius_tui.console.snapshot import Publication, Snapshot
from mobius_tui.operations.deploy.options import StepState

RUN = "deploy-20261120T120203Z"
BEGAN = NOW - 148

_TABLE = (
    ("preflight", 1.2, 120.0, "14 checks"),
    ("backup", 2.4, 900.0, "library.json.bak.20261120T120204Z, 1.2 MB, 12,482 entries, restored once"),
    ("migrate", 34.0, 21_600.0, "12,482 images, 233 decoded, 8 failed"),
    ("verify", 3.0, 600.0, "12,482 entries, all of the old ones in order, 32 hashes recomputed"),
    ("before hook", 0.0, 70.0, "none is set"),
    ("swap", 0.1, 120.0, "5f0e4c2d9a1b is live, c3d5e7f90a1b was"),
    ("hold", 10.0, 70.0, "nobody wrote the old file after the swap"),
    ("after hook", 12.5, 70.0, "after_swap ended well after 12.5 s"),
    ("settle", 30.0, 90.0, "30 s"),
    ("smoke", 4.1, 300.0, "8 of 8 passed"),
    ("finish", 0.4, 300.0, "1 backup removed, 14 kept"),
)


def steps(upto: str = "finish", state: str = "done", reason: str = "") -> list[dict[str, object]]:
    """The table as it is when the step ``upto`` is in a state; those before it are done, those after it wait."""
    rows: list[dict[str, object]] = []
    at, reached = BEGAN, False
    for name, took, limit, said in _TABLE:
        row: dict[str, object] = {"name": name, "limit_s": limit, "state": "waiting", "began": None, "ended": None}
        if not reached:
            skipped = name == "before hook"
            row |= {"state": "skipped" if skipped else "done", "began": at, "ended": at + took, "reason": said}
            at += took
        if name == upto:
            reached = True
            row["state"] = state
            row["reason"] = said if state == "done" else reason
            if state == "running":
                row["ended"] = None
        rows.append(row)
    return rows


def deploy_job(**changes: Any) -> Any:
    first: dict[str, Any] = {
        "id": 14, "kind": "deploy", "state": "running", "run_id": RUN, "requested_by": "ada", "reason": "new scans",
        "requested_at": BEGAN, "started_at": BEGAN, "phase": "smoke", "total": None, "done": 0, "failed": 8,
        "options": {"foreground": True}, "rate": None, "eta_s": None, "summary": {"steps": steps("smoke", "running")},
    }  # fmt: skip
    return job(**{**first, **changes})


def deploying(**changes: Any) -> Snapshot:
    """A deploy in its smoke tests; before it a migration that is done."""
    (migrated,) = done().jobs
    from dataclasses import replace

    before = replace(migrated, id=11, requested_at=NOW - 4000, started_at=NOW - 4000, finished_at=NOW - 3900)
    return running(store=store(jobs=(deploy_job(**changes), before)))


def deploy_migrating() -> Snapshot:
    return deploying(
        phase="hashing", total=12_482, done=8_861, rate=412.0, eta_s=9.0,
        summary={"steps": steps("migrate", "running")},
    )  # fmt: skip


def deploy_failed() -> Snapshot:
    table = steps("smoke", "failed", "2 of 8 smoke tests failed: health: the service answers unhealthy, no decoder")
    for row in table:
        if row["name"] in {"migrate", "swap", "hold", "after hook", "settle"}:
            row["state"] = "undone"
    error = (
        "2 of 8 smoke tests failed: health: the service answers unhealthy, no decoder; rolled back: what was live "
        "before is live again"
    )
    return deploying(
        state="failed", finished_at=NOW - 20, exit_code=2, error=error, phase="",
        summary={"steps": table, "outcome": "rolled back", "backup": "library.json.bak.20261120T120204Z"},
    )  # fmt: skip


def deploy_done() -> Snapshot:
    return deploying(
        state="done", finished_at=NOW - 20, exit_code=0, phase="",
        summary={"steps": steps(), "outcome": "done", "reason": "5f0e4c2d9a1b is live and proven", "rounds": 1},
    )  # fmt: skip


def rolling_back(**changes: Any) -> Snapshot:
    """A rollback that only its journal tells of: there is no database."""
    first: dict[str, Any] = {
        "run_id": "rollback-20261120T120425Z", "kind": "rollback", "state": "running", "who": "bob",
        "reason": "cards look wrong", "began": NOW - 4, "ended": None, "exit_code": None, "error": "",
        "steps": (
            StepState("target", "done", NOW - 4, NOW - 3.5, "library.json.bak.20261120T120204Z: verified"),
            StepState("stage", "done", NOW - 3.5, NOW - 3.4, "the target is beside the live file"),
            StepState("swap", "done", NOW - 3.4, NOW - 3.4, "the target is live"),
            StepState("keep", "done", NOW - 3.4, NOW - 3, "what was live is kept: library.json.bak.20261120T120425Z"),
            StepState("worker", "running", NOW - 3, None),
        ),
    }  # fmt: skip
    return Snapshot(
        NOW, "production", problem="the database cannot be used: disk I/O error", worker_alive=False,
        backups=running().backups, journal=Publication(**{**first, **changes}),
    )  # fmt: skip
