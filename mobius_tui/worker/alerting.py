"""When an alert is raised and cleared: pure rules over one look a minute."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from mobius_tui.audiences import SEVERITIES
from mobius_tui.store.alerts import AlertRow
from mobius_tui.text import counted

Name = Literal["average", "p95", "failures", "queue", "health"]
"""The alerts."""

NAMES: Final[tuple[Name, ...]] = ("average", "p95", "failures", "queue", "health")
"""Every alert, in the order in which they are judged."""

AUDIENCE: Final[dict[Name, str]] = {
    "average": "performance",
    "p95": "performance",
    "failures": "qa",
    "queue": "qa",
    "health": "sre",
}
"""Whose matter each is."""

AVERAGE_MS: Final = 100.0
"""Mean time of an image above which there is a warning."""

P95_MS: Final = 200.0
"""95th percentile above which there is a warning."""

FAILURES: Final = 0.05
"""Fraction of failed images above which it is critical."""

FEWEST_FAILED: Final = 5
"""So many images have to have failed: two of twenty are no rate."""

FEWEST: Final = 20
"""Images that averages and rates need: of fewer, the slowest one is the 95th percentile."""

QUEUE: Final = 100
"""Waiting pairs and low-confidence images above which it is worth knowing."""

CALM_S: Final = 120.0
"""Seconds below its limit, without a break, after which an alert is cleared."""

LOOKS: Final[dict[str, int]] = {"warning": 2}
"""Looks in a row that the health needs to be worth an alert: a catalogue that is just being read is worth none."""

_SLACK_S = 5.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What is judged.

    Attributes:
        images: Measured in the last 15 minutes; None when nothing could be read.
        failed: Those that failed.
        average_ms: Mean time of one; None without any.
        p95_ms: 95th percentile of it.
        queue: Waiting pairs and low-confidence images; None when unknown.
        health: ``healthy``, ``degraded`` or ``unhealthy``; empty when unknown.
        wrong: What is wrong with the health, in words.
    """

    images: int | None = None
    failed: int = 0
    average_ms: float | None = None
    p95_ms: float | None = None
    queue: int | None = None
    health: str = ""
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look says of one alert.

    Attributes:
        severity: How grave it is now; empty when it is within its limit, None when nothing can be said.
        value: What was measured, in the limit's unit.
        limit: The limit; None where there is no figure.
        sentence: In words.
    """

    severity: str | None
    value: float | None
    limit: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How an alert stands.

    Attributes:
        row: The alert while it is raised; None otherwise.
        calm_since: Since when it has been calmer than it was raised, without a break; None when it is not.
        seen: Looks in a row that were graver than what is raised.
    """

    row: AlertRow | None = None
    calm_since: float | None = None
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One alert that was raised or cleared.

    Attributes:
        kind: Which of both.
        row: The alert as it is after.
    """

    kind: Literal["alert", "clear"]
    row: AlertRow


@dataclass(frozen=True, slots=True)
class Judged:
    """An alert after a look, and what changed."""

    standing: Standing
    changes: tuple[Change, ...] = field(default_factory=tuple)


def look_at(figures: Figures) -> dict[Name, Look]:
    """What figures say of each alert."""
    return {
        "average": _duration(figures, figures.average_ms, AVERAGE_MS, "an image takes {:,.0f} ms on average"),
        "p95": _duration(figures, figures.p95_ms, P95_MS, "95 % of the images take up to {:,.0f} ms"),
        "failures": _failures(figures),
        "queue": _queue(figures.queue),
        "health": _health(figures),
    }


def _unmeasured(figures: Figures, limit: float) -> Look | None:
    """Without enough images there is no figure; without any, nothing is over a limit any more."""
    if figures.images is None:
        return Look(None, None, limit, "the figures cannot be read")
    if not figures.images:
        return Look("", None, limit, "nothing was measured in the last 15 minutes; whether it got better is not known")
    if figures.images < FEWEST:
        return Look(None, None, limit, f"only {counted(figures.images)} measured in the last 15 minutes")
    return None


def _duration(figures: Figures, value: float | None, limit: float, words: str) -> Look:
    if (unknown := _unmeasured(figures, limit)) is not None:
        return unknown
    if value is None:
        return Look(None, None, limit, "the figures cannot be read")
    said = f"{words.format(value)}, the limit is {limit:,.0f} ms ({counted(figures.images or 0)} in 15 minutes)"
    return Look("warning" if value > limit else "", value, limit, said)


def _failures(figures: Figures) -> Look:
    if (unknown := _unmeasured(figures, FAILURES)) is not None:
        return unknown
    images = figures.images or 0
    rate = figures.failed / images
    said = f"{figures.failed:,} of {counted(images)} failed in 15 minutes ({rate:.1%}), the limit is {FAILURES:.0%}"
    over = rate > FAILURES and figures.failed >= FEWEST_FAILED
    return Look("critical" if over else "", rate, FAILURES, said)


def _queue(queue: int | None) -> Look:
    if queue is None:
        return Look(None, None, float(QUEUE), "the queue cannot be read")
    said = f"{queue:,} pairs and low-confidence images wait for a person, the limit is {QUEUE:,}"
    return Look("info" if queue > QUEUE else "", float(queue), float(QUEUE), said)


def _health(figures: Figures) -> Look:
    severity = {"healthy": "", "degraded": "warning", "unhealthy": "critical"}.get(figures.health)
    said = f"the service is {figures.health or 'unknown'}"
    return Look(severity, None, None, f"{said}: {figures.wrong}" if figures.wrong and severity else said)


def judge(name: Name, standing: Standing, look: Look, now: float) -> Judged:
    """How an alert stands after a look.

    A look without data changes nothing and breaks a calm. What is graver than what is raised is raised at once (health:
    after ``LOOKS``); what is calmer is cleared after ``CALM_S``, and raised anew at what it has come down to.

    Args:
        name: Which alert.
        standing: How it stood.
        look: What was seen.
        now: Seconds since the epoch; a clock that goes back begins the calm anew.

    Returns:
        How it stands, and what is to be told, in order.
    """
    if look.severity is None:
        return Judged(replace(standing, calm_since=None, seen=0))
    raised = standing.row.severity if standing.row is not None else ""
    if _gravity(look.severity) > _gravity(raised):
        seen = standing.seen + 1
        if name == "health" and seen < LOOKS.get(look.severity, 1):
            return Judged(Standing(standing.row, None, seen))
        row = _raised(name, look, now)
        return Judged(Standing(row), (Change("alert", row),))
    if standing.row is None:
        return Judged(Standing())
    if look.severity == raised:
        row = replace(standing.row, value=look.value, limit_at=look.limit, sentence=look.sentence)
        return Judged(Standing(row))
    since = standing.calm_since
    if since is None or since > now:
        since = now
    if now - since < CALM_S - _SLACK_S:  # looks come a minute apart, or a little less
        return Judged(Standing(standing.row, since))
    ended = replace(standing.row, raised=False, value=look.value, sentence=look.sentence, cleared_at=now)
    if not look.severity:
        return Judged(Standing(), (Change("clear", ended),))
    row = _raised(name, look, now)
    return Judged(Standing(row), (Change("clear", ended), Change("alert", row)))


def _raised(name: Name, look: Look, now: float) -> AlertRow:
    return AlertRow(name, look.severity or "", AUDIENCE[name], True, look.value, look.limit, look.sentence, since=now)


def _gravity(severity: str) -> int:
    return SEVERITIES.index(severity) if severity else -1
