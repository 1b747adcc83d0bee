"""What the guard says: into the watch's own log, the service log, the events and, where it matters, to people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mobius_tui.guard.mirror import Mirror
from mobius_tui.guard.model import Measurement, Plan, RuleRow
from mobius_tui.guard.records import Story
from mobius_tui.guard.verdict import overall
from mobius_tui.logs import LEVELS, SERVICE_LOG, JsonLog
from mobius_tui.notifications.message import Audience, Kind, Notification, Severity
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

_FOR_ALL = {"watch_started", "watch_ended", "guard_started", "guard_leaves"}


class Telling:
    """The voice of one watch.

    Args:
        ws: The workspace.
        run: The watch.
        mirror: Takes the events.
        notify: Tells people; never raises.
    """

    def __init__(
        self, ws: Workspace, run: str, mirror: Mirror, notify: Callable[[Workspace, Notification], object]
    ) -> None:
        self._ws, self._run, self._mirror, self._notify = ws, run, mirror, notify
        self._log = JsonLog(ws.logs / f"{run}.log", within=ws.root)
        self._service = JsonLog(ws.logs / SERVICE_LOG, rotate=True, least=ws.settings.log_level, within=ws.root)

    def say(self, level: str, event: str, message: str, **fields: object) -> None:
        """Write a record; the measurements themselves stay in the watch's own log."""
        message = message.encode("utf-8", "backslashreplace").decode()
        self._log.write(level, "guard", event, message, self._run, fields)
        grave = LEVELS.index(level) >= LEVELS.index("warning")
        if grave or event in _FOR_ALL:
            self._service.write(level, "guard", event, message, self._run, fields)
        if grave or level == "info":
            self._mirror.event(level, event, message, self._run, fields)

    def page(
        self,
        kind: Kind,
        severity: Severity,
        title: str,
        sentence: str,
        verdict: Mapping[str, Any],
        *,
        audience: Audience = "sre",
        key: str,
    ) -> None:
        """Tell people, once for a key: a guard that is started again tells nothing twice."""
        place = self._ws.settings.environment
        told = Notification(
            kind, severity, audience, title, sentence, self._run, place, 0.0, verdict, f"{self._run}/{key}"
        )
        self._notify(self._ws, told)


def whole_verdict(
    story: Story,
    plan: Plan,
    measurement: Measurement | None,
    rows: tuple[RuleRow, ...],
    elapsed_s: float,
    next_: str,
) -> dict[str, Any]:
    """The whole verdict as data: what every notification of a watch carries."""
    return {
        "run": plan.run,
        "deploy": plan.deploy,
        "environment": plan.environment,
        "state": story.state,
        "outcome": story.outcome,
        "auto": plan.auto,
        "elapsed_s": round(elapsed_s, 3),
        "left_s": round(story.deadline_s - elapsed_s, 3),
        "verdict": overall(rows),
        "next": next_,
        "rules": [row.to_json() for row in rows],
        "measurement": None if measurement is None else measurement.to_json(),
        "snapshots": [
            {name: each.get(name) for name in ("name", "number", "elapsed_s", "verdict")} for each in story.snapshots
        ],
        "trigger": None if story.trigger is None else dict(story.trigger),
    }


def names_of(rows: tuple[RuleRow, ...]) -> str:
    """The rules of some rows, and what each says."""
    return "; ".join(f"{row.rule}: {visible(row.sentence)}" for row in rows)
