"""What a watch is asked for, what it measures and what it concludes, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

RuleName = Literal["health", "failures", "p95", "queue", "catalogue"]
"""The triggers, in the order in which they are shown."""

RULES: Final[tuple[RuleName, ...]] = ("health", "failures", "p95", "queue", "catalogue")
"""Every trigger."""

Verdict = Literal["pass", "fail", "no data", "collector error"]
"""What one rule says at one measurement."""

Source = Literal["probes", "totals", "rates", "none"]
"""Where a measurement's rates come from: own probes, differences of the service's totals, its bare rates, nowhere."""

Outcome = Literal["accepted", "rolled back", "undecided", "stopped", "void"]
"""How a watch ends; ``stopped``: a person ended it without a verdict, ``void``: its deploy never went live."""

SNAPSHOTS: Final = (5 / 60, 15 / 60, 30 / 60, 1.0)
"""When the named snapshots fall due, as shares of the whole: +5, +15, +30 and +60 of 60 minutes."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """How the service was before the swap; None where it was not measured.

    Attributes:
        at: Seconds since the epoch.
        source: Where failure rate and p95 come from.
        samples: Probes, or images that the service counted.
        failures: Those that failed.
        failure_rate: Fraction 0..1.
        p95_ms: 95th percentile of the hash time, milliseconds.
        queue: Length of the low-confidence queue of what is published: what the swap itself brought is in it.
        entries: Entries of the published catalogue.
        with_dhash: Those with a dHash.
        published: SHA-256 of the published catalogue; empty when unknown.
        probes: Paths of the images that are sent, relative to the catalogue's folder; the same all along.
    """

    at: float | None = None
    source: Source = "none"
    samples: int = 0
    failures: int = 0
    failure_rate: float | None = None
    p95_ms: float | None = None
    queue: int | None = None
    entries: int | None = None
    with_dhash: int | None = None
    published: str = ""
    probes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a watch is asked for.

    Attributes:
        run: Its run id, ``watch-<stamp>``.
        deploy: The run id of the deploy that it guards; empty when a person started it.
        who: The actor.
        reason: Why.
        environment: Of the workspace.
        auto: Whether it rolls back by itself.
        duration_s: How long it lasts.
        interval_s: Between two measurements.
        base_url: The service; empty means the workspace's own worker.
        backup: Name of the way back; empty means that of what is live when it is needed.
        live: The live catalogue.
        baseline: How the service was before.
        canary: Whether only a part is published.
    """

    run: str
    deploy: str = ""
    who: str = ""
    reason: str = ""
    environment: str = ""
    auto: bool = False
    duration_s: float = 3600.0
    interval_s: float = 60.0
    base_url: str = ""
    backup: str = ""
    live: str = ""
    baseline: Baseline = field(default_factory=Baseline)
    canary: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class HealthLook:
    """What came of asking ``/health`` once.

    Attributes:
        ok: False for no answer in 5 s, not 200, not the JSON, or ``unhealthy``; None when it could not be asked, which
            is the guard's own trouble and no sign of the service's.
        status: ``healthy``, ``degraded``, ``unhealthy`` or ``unreachable``; empty when not asked.
        sentence: The same in words.
        seconds: How long the answer took.
    """

    ok: bool | None = None
    status: str = ""
    sentence: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CatalogueLook:
    """What came of looking at the live catalogue once.

    Attributes:
        ok: False when it is missing, unparsable, or has fewer entries or hashes than were published with nothing
            to explain it; None when it could not be looked at (permission, I/O).
        sentence: The same in words.
        entries: How many it has; None when unknown.
        with_dhash: How many of them have a dHash.
        sha256: Its content; empty when unknown.
    """

    ok: bool | None = None
    sentence: str = ""
    entries: int | None = None
    with_dhash: int | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that was collected at one measurement; nothing is judged in it.

    Attributes:
        number: From 1; ticks that fell due together share one measurement, so numbers may leave some out.
        at: Seconds since the epoch, for people.
        elapsed_s: Seconds since the watch began, by a clock that never goes back and counts suspended time.
        merged: Ticks that fell due since the last measurement; 1 when it is on time.
        health: What ``/health`` said.
        source: Where the next five come from.
        samples: Probes that gave an answer, or images that the service counted since the last measurement.
        failures: Those that failed.
        durations_ms: Of each probe, as the service told it, else as it was measured; empty without probes.
        failure_rate: As the service tells it (15 minutes); shown, and judged only without probes and totals.
        p95_ms: Likewise, milliseconds.
        queue: Its ``low_confidence_queue_length``.
        catalogue: What the live file is.
        other: Further figures of the service, shown and never judged.
        errors: What the guard itself could not do, in words: its own trouble, or answers that make no sense.
    """

    number: int
    at: float
    elapsed_s: float
    merged: int = 1
    health: HealthLook = field(default_factory=HealthLook)
    source: Source = "none"
    samples: int = 0
    failures: int = 0
    durations_ms: tuple[float, ...] = ()
    failure_rate: float | None = None
    p95_ms: float | None = None
    queue: int | None = None
    catalogue: CatalogueLook = field(default_factory=CatalogueLook)
    other: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What one rule says at one measurement, with all that a person needs to see why.

    Attributes:
        rule: Which.
        verdict: ``pass``, ``fail``, ``no data`` or ``collector error``.
        value: What was measured over the ticks that it looked at, in the rule's unit: failures in a row, fraction
            0..1, milliseconds, queue length, bad looks in a row; None without data.
        limit: From where it fires, in the same unit: the lower of the fixed and the relative one.
        baseline: The figure before the swap; None when there is none, and then only the fixed limit holds.
        samples: What the value rests on.
        needed: How many samples it needs before it can fire at all.
        ticks: How many measurements it looked at.
        could_fire: Whether it could have fired at this measurement.
        margin: Share of the limit that is left, negative when it is passed; None without data.
        trend: The latest values of single measurements, oldest first, None where nothing was measured; at most 60.
        sentence: The same in words, one line.
    """

    rule: RuleName
    verdict: Verdict
    value: float | None = None
    limit: float | None = None
    baseline: float | None = None
    samples: int = 0
    needed: int = 1
    ticks: int = 0
    could_fire: bool = False
    margin: float | None = None
    trend: tuple[float | None, ...] = ()
    sentence: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
