"""States of a watch and of alerts for the tests of the console."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from console_states import NOW, backup, event, figures, running, store
from publish_states import RUN as DEPLOY
from publish_states import deploy_done, deploy_job, steps

from mobius_tui.console.snapshot import Snapshot
from mobius_tui.store.alerts import AlertRow
from mobius_tui.store.watches import TickRow, WatchRow

RUN = "watch-20261120T114511Z"
BEGAN = NOW - 19 * 60 - 20
TOKEN = "boot:77:77"


def rule(name: str, verdict: str = "pass", **changes: Any) -> dict[str, Any]:
    """What a rule says at a quiet moment, with changes."""
    quiet: dict[str, dict[str, Any]] = {
        "health": {"value": 0.0, "limit": 3.0, "baseline": None, "samples": 1, "needed": 3, "margin": 1.0,
                   "trend": [0.0] * 19, "sentence": "good, fires at more than 2 bad in a row: healthy"},
        "failures": {"value": 0.004, "limit": 0.1, "baseline": 0.005, "samples": 240, "needed": 100, "margin": 0.96,
                     "trend": [0.0, 0.01] * 9 + [0.0], "sentence": "1 of 240 failed (0.4 %), limit 10.0 %"},
        "p95": {"value": 34.0, "limit": 119.0, "baseline": 39.7, "samples": 80, "needed": 50, "margin": 0.714,
                "trend": [30.0, 36.0, 41.0, 28.0] * 4 + [33.0, 35.0, 34.0],
                "sentence": "34 ms (p95 of 80), limit 119 ms"},
        "queue": {"value": 41.0, "limit": 139.0, "baseline": 39.0, "samples": 1, "needed": 1, "margin": 0.705,
                  "trend": [39.0] * 12 + [41.0] * 7, "sentence": "41 waiting, limit 139 (the baseline and 100 more)"},
        "catalogue": {"value": 0.0, "limit": 2.0, "baseline": None, "samples": 1, "needed": 2, "margin": 1.0,
                      "trend": [0.0] * 19, "sentence": "good, fires at more than 1 bad in a row: 12,482 entries"},
    }  # fmt: skip
    return {"rule": name, "verdict": verdict, "ticks": 1, "could_fire": True, **quiet[name], **changes}


def rules(*changed: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """All rules in their order, some of them changed."""
    by_name = {each["rule"]: each for each in changed}
    return tuple(by_name.get(name, rule(name)) for name in ("health", "failures", "p95", "queue", "catalogue"))


def ticks(*changed: dict[str, Any], verdict: str = "pass") -> tuple[TickRow, ...]:
    """The measurements so far; the latest has the changed rules."""
    quiet = tuple(TickRow(n, BEGAN + 60 * n, 60.0 * n, "pass", {}, rules()) for n in range(1, 19))
    return (*quiet, TickRow(19, BEGAN + 19 * 60, 19 * 60.0, verdict, {}, rules(*changed)))


def named_snapshots(taken: int = 2, verdict: str = "pass") -> tuple[dict[str, Any], ...]:
    """The four named snapshots, some of them taken."""
    return tuple(
        {"name": f"+{minutes} min", "due_at": BEGAN + minutes * 60,
         "taken_at": BEGAN + minutes * 60 if place < taken else None, "verdict": verdict if place < taken else ""}
        for place, minutes in enumerate((5, 15, 30, 60))
    )  # fmt: skip


def watch(**changes: Any) -> WatchRow:
    first: dict[str, Any] = {
        "run_id": RUN, "deploy": DEPLOY, "state": "running", "outcome": "", "who": "ada", "reason": "new scans",
        "auto": True, "plan": {"interval_s": 60.0, "duration_s": 3600.0, "baseline": {"at": BEGAN - 60}},
        "began_at": BEGAN, "until_at": BEGAN + 3600, "ended_at": None, "token": TOKEN,
        "snapshots": named_snapshots(), "next": "all rules pass; accepted in 41 min", "problem": "", "decided_by": "",
        "updated_at": NOW - 20,
    }  # fmt: skip
    return WatchRow(**{**first, **changes})


def watch_event(number: int, level: str, message: str, **changes: Any) -> Any:
    return event(number, level, message, **{"component": "guard", "run_id": RUN, **changes})


EVENTS = (
    watch_event(1, "info", "a watch of 1:00:00 begins, automatic rollback is on", at=BEGAN, event="watch_started"),
    watch_event(2, "info", "measurement 1: no data; failures, p95: no data; accepted in 59 min if all have "
                "data by then", at=BEGAN + 60),
    watch_event(3, "info", "snapshot +5 min: pass", at=BEGAN + 300, event="snapshot"),
    watch_event(4, "warning", "measurements 7 to 9 were missed: the guard did not run; they are no data",
                at=BEGAN + 600),
    watch_event(5, "info", "the guard goes on with the watch, 50:00 left", at=BEGAN + 601),
    watch_event(6, "info", "snapshot +15 min: pass", at=BEGAN + 900, event="snapshot"),
)  # fmt: skip


def watching(*, changed: tuple[dict[str, Any], ...] = (), verdict: str = "pass", events: Any = EVENTS,
             alive: bool = True, alerts: Any = (), environment: str = "development",
             **changes: Any) -> Snapshot:  # fmt: skip
    """A watch in its 20th minute after a deploy that went well."""
    (job,) = deploy_done().jobs[:1]
    job = replace(job, started_at=BEGAN - 200, requested_at=BEGAN - 200, finished_at=BEGAN - 2)
    measured = ticks(*changed, verdict=verdict)
    state = store(jobs=(job,), events=events, watch=watch(**changes), ticks=measured, alerts=alerts)
    return running(
        store=state, guard_alive=alive, environment=environment, backups=(backup(0, pinned=True, reason="deploy"),)
    )


FAILING = rule(
    "failures", "fail", value=0.182, margin=-0.82, samples=121, trend=[0.0, 0.01] * 7 + [0.08, 0.19, 0.21, 0.17, 0.2],
    sentence="22 of 121 failed (18.2 %), limit 10.0 % (fixed); the chance of so many at the limit is 0.0003",
)  # fmt: skip


def watch_failing() -> Snapshot:
    """A rule fails, and nothing rolls back by itself."""
    said = "failures is over the limit: would roll back; automatic rollback is off: it pages and asks"
    asks = watch_event(7, "error", f"failures: {FAILING['sentence']}; automatic rollback is off: roll back, accept or "
                       "stop?", at=NOW - 20, event="asks")  # fmt: skip
    return watching(changed=(FAILING,), verdict="fail", auto=False, next=said, events=(*EVENTS, asks),
                    environment="production")  # fmt: skip


def watch_undecided() -> Snapshot:
    """The time is over without a verdict."""
    silent = rule("p95", "no data", value=None, margin=None, samples=12, baseline=None, trend=[None] * 19,
                  sentence="12 of 50 durations that it needs: it could not fire", could_fire=False)  # fmt: skip
    said = watch_event(8, "error", "no verdict: p95 could not have fired in the second half; the way back "
                       "library.json.bak.20261120T114000Z is kept; accept, extend, stop or roll back?",
                       at=NOW - 120)  # fmt: skip
    return watching(
        changed=(silent,), verdict="no data", state="undecided", outcome="undecided", until_at=NOW - 120,
        began_at=NOW - 3720, snapshots=named_snapshots(4, "no data"), updated_at=NOW - 120, events=(*EVENTS[3:], said),
        next="no verdict: waits for accept, extend, stop, rollback or the next publication",
    )  # fmt: skip


def watch_rolled_back() -> Snapshot:
    """The guard has rolled back some minutes ago."""
    end = watch_event(9, "warning", "the watch ended: rolled back, decided by guard: failures: 22 of 121 failed",
                      at=NOW - 240, event="watch_ended",
                      fields={"reason": f"failures: {FAILING['sentence']}", "outcome": "rolled back"})  # fmt: skip
    trigger = watch_event(8, "error", "rolling back, decided by rule failures: 22 of 121 failed (18.2 %)", at=NOW - 250)
    return watching(
        changed=(FAILING,), verdict="fail", state="ended", outcome="rolled back", ended_at=NOW - 240, alive=False,
        next="", decided_by="rule failures", events=(*EVENTS, trigger, end), updated_at=NOW - 240,
    )  # fmt: skip


def guard_killed() -> Snapshot:
    """The guard is gone, and its figures are old."""
    return watching(alive=False, updated_at=NOW - 185)


def watch_canary() -> Snapshot:
    """A deploy watches its canary."""
    table = [
        *steps("swap"),
        {"name": "canary", "limit_s": 660.0, "state": "running", "began": NOW - 100, "ended": None},
    ]
    kept = {"preflight", "backup", "migrate", "verify", "canary"}
    job = deploy_job(phase="canary", summary={"steps": [row for row in table if row["name"] in kept]})
    row = watch(run_id=f"{DEPLOY}-canary", snapshots=(), auto=False, began_at=NOW - 100, until_at=NOW + 500,
                plan={"canary": True, "interval_s": 60.0},
                next="failures: no data; accepted in 9 min if all have data")  # fmt: skip
    few = rule("failures", "no data", value=None, samples=56, margin=None, trend=[None], could_fire=False,
               sentence="56 of 100 samples that it needs")  # fmt: skip
    state = store(jobs=(job,), watch=row, ticks=(TickRow(1, NOW - 40, 60.0, "no data", {}, rules(few)),))
    return running(store=state, guard_alive=True)


def alert(name: str, severity: str, **changes: Any) -> AlertRow:
    said = {"failures": "6.2 % of 1,204 images failed in the last 15 minutes, the limit is 5 %",
            "queue": "606 pairs and low-confidence images wait for a person, the limit is 100"}  # fmt: skip
    first: dict[str, Any] = {
        "name": name, "severity": severity, "audience": "sre", "raised": True, "value": 606.0, "limit_at": 100.0,
        "sentence": said.get(name, "the service is degraded"), "since": NOW - 900,
    }  # fmt: skip
    return AlertRow(**{**first, **changes})


ALERTS = (
    alert("queue", "info", acknowledged_by="bob", acknowledged_at=NOW - 600),
    alert("failures", "critical", value=0.062, limit_at=0.05, since=NOW - 300),
    alert("health", "warning", value=None, limit_at=None, raised=False, cleared_at=NOW - 60),
)


def alerts_raised(**changes: Any) -> Snapshot:
    """A critical alert that nobody has seen, and one that somebody has."""
    return running(
        store=store(alerts=ALERTS, waiting=604, figures=figures(average=61.0, failed=0.062), **changes.pop("of", {})),
        **changes,
    )
