"""The records of a watch's journal, read back: the plan, what was measured, and where the watch stands.

A journal outlives versions: what is missing in a record has its default, what is unknown is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar, get_args

from mobius_tui.guard.model import (
    Baseline,
    CatalogueLook,
    HealthLook,
    Measurement,
    Outcome,
    Plan,
    RuleRow,
)
from mobius_tui.guard.timing import Anchor, is_figure

State = Literal["planned", "running", "rolling back", "undecided", "ended"]
"""Where a watch stands."""

_Row = TypeVar("_Row", Plan, Baseline, Measurement, HealthLook, CatalogueLook, RuleRow)


@dataclass(slots=True)
class Story:
    """What a watch's journal tells.

    Attributes:
        plan: What was asked for, with ``auto`` as it is now.
        planned_at: When the plan was written, as the journal says it.
        token: Of the process that wrote the plan.
        guard: Of the guard that wrote last; empty before one ran.
        start: The first start; None before.
        anchor: The latest moment that is known by every clock; None before the start.
        started_at: Seconds since the epoch of the first start.
        way: Name of the way back as it was at the start; empty when unknown.
        extended_s: Seconds that were added.
        asked_s: Those of them that people asked for; the rest went by without a verdict.
        answered: The measurement up to which a person has answered for what failed.
        unmet: A wish that ends the watch or rolls back, granted and not done yet; None otherwise.
        taken: Wishes that were taken, by their number: whether they were granted, and what was answered.
        measurements: Oldest first.
        history: What the rules said of each.
        last_number: The latest measurement that was made or missed.
        last_elapsed_s: The latest moment that is on record.
        snapshots: Their records.
        paged: Rules that were paged about, ``silent`` ones, and ``undecided``.
        trigger: Why it rolls back; None when it does not.
        rollback: What its rollback was about to do, the latest one; None before.
        failed: Why it could not be done so far.
        over: The record of the time that is over; None before.
        pinned: Whether the way back was pinned.
        ending: The outcome that was decided, being written down; None before.
        end: The end; None before.
    """

    plan: Plan
    planned_at: str = ""
    token: str = ""
    guard: str = ""
    start: Mapping[str, Any] | None = None
    anchor: Anchor | None = None
    started_at: float = 0.0
    way: str = ""
    extended_s: float = 0.0
    asked_s: float = 0.0
    answered: int = 0
    unmet: Mapping[str, Any] | None = None
    taken: dict[int, tuple[bool, str]] = field(default_factory=dict)
    measurements: list[Measurement] = field(default_factory=list)
    history: list[tuple[RuleRow, ...]] = field(default_factory=list)
    last_number: int = 0
    last_elapsed_s: float = 0.0
    snapshots: list[Mapping[str, Any]] = field(default_factory=list)
    paged: set[str] = field(default_factory=set)
    trigger: Mapping[str, Any] | None = None
    rollback: Mapping[str, Any] | None = None
    failed: set[str] = field(default_factory=set)
    over: Mapping[str, Any] | None = None
    pinned: bool = False
    ending: Mapping[str, Any] | None = None
    end: Mapping[str, Any] | None = None

    @property
    def state(self) -> State:
        """Where the watch stands."""
        if self.end is not None:
            return "ended"
        if self.start is None:
            return "planned"
        if self.trigger is not None:
            return "rolling back"
        return "running" if self.over is None else "undecided"

    @property
    def deadline_s(self) -> float:
        """Seconds after its begin at which its time is over."""
        return self.plan.duration_s + self.extended_s

    @property
    def outcome(self) -> str:
        """How it ended, or how it stands since its time is over; empty before."""
        last = self.end or self.ending or self.over
        return "" if last is None else str(last.get("outcome") or "")

    def take(self, record: Mapping[str, Any]) -> None:
        """Let a record count."""
        what = str(record.get("what") or "")
        elapsed = record.get("elapsed_s")
        if is_figure(elapsed):
            self.last_elapsed_s = max(self.last_elapsed_s, float(elapsed))
        if what == "start":
            self.start, self.anchor = record, Anchor.of(record)
            self.started_at, self.way = self.anchor.at, str(record.get("way") or "")
        elif what == "guard":
            self.guard, self.anchor = str(record.get("token") or ""), Anchor.of(record)
        elif what == "tick":
            self._take_tick(record)
        elif what == "gap":
            self.last_number = max(self.last_number, _whole(record.get("to")))
        elif what == "snapshot":
            self.snapshots.append(record)
        elif what == "wish":
            self._take_wish(record)
        elif what == "page":
            self.paged.add(str(record.get("about") or ""))
        elif what == "pin":
            self.pinned = True
        elif what == "rollback":
            self._take_rollback(record)
        elif what in {"trigger", "ending", "end"}:
            setattr(self, what, record)
            self.unmet = None
        elif what == "time over":
            self.over = record

    def _take_tick(self, record: Mapping[str, Any]) -> None:
        measurement = measurement_from(record.get("measurement"))
        rules = record.get("rules")
        self.measurements.append(measurement)
        self.history.append(tuple(rule_from(row) for row in rules) if isinstance(rules, list) else ())
        self.last_number = max(self.last_number, measurement.number)
        self.last_elapsed_s = max(self.last_elapsed_s, measurement.elapsed_s)

    def _take_rollback(self, record: Mapping[str, Any]) -> None:
        if record.get("state") == "begins":
            self.rollback = record
        elif record.get("state") == "failed":
            self.failed.add(str(record.get("reason") or ""))

    def _take_wish(self, record: Mapping[str, Any]) -> None:
        granted = record.get("granted") is True
        self.taken[_whole(record.get("wish"))] = granted, str(record.get("answer") or "")
        facts = record.get("facts")
        facts = facts if isinstance(facts, Mapping) else {}
        if not granted:
            return
        if record.get("act") == "extend":
            self.extended_s += _seconds(facts.get("added_s"))
            self.asked_s += _seconds(facts.get("seconds"))
            self.over, self.answered = None, self.last_number
        elif record.get("act") in {"accept", "stop", "rollback", "gone back"}:
            self.unmet = record
        elif record.get("act") == "auto":
            self.plan = replace(self.plan, auto=facts.get("on") is True)


def story_of(records: Iterable[Mapping[str, Any]]) -> Story | None:
    """What the records of a journal tell; None when they do not begin as those of a watch do."""
    told: Story | None = None
    for record in records:
        if told is not None:
            told.take(record)
        elif record.get("what") == "begin" and isinstance(record.get("plan"), Mapping):
            at, token = str(record.get("time") or ""), str(record.get("token") or "")
            told = Story(plan_from(record["plan"]), planned_at=at, token=token)
        else:
            return None
    return told


def plan_from(data: object) -> Plan:
    """A plan from plain data."""
    plan = _from(Plan(""), data)
    baseline = _from(Baseline(), data.get("baseline") if isinstance(data, Mapping) else None)
    usual = Plan("")
    duration, interval = plan.duration_s, plan.interval_s
    return replace(
        plan,
        baseline=baseline,
        duration_s=duration if duration > 0 else usual.duration_s,
        interval_s=interval if interval > 0 else usual.interval_s,
    )


def measurement_from(data: object) -> Measurement:
    """A measurement from plain data."""
    found: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    plain = _from(Measurement(0, 0.0, 0.0), found)
    health = _from(HealthLook(), found.get("health"))
    return replace(plain, health=health, catalogue=_from(CatalogueLook(), found.get("catalogue")))


def rule_from(data: object) -> RuleRow:
    """What one rule said, from plain data."""
    return _from(RuleRow("health", "no data"), data)


def kept_measurement(measurement: Measurement) -> dict[str, Any]:
    """A measurement as the journal keeps it: durations to a microsecond."""
    return {**measurement.to_json(), "durations_ms": [round(each, 3) for each in measurement.durations_ms]}


def kept_rules(rows: Sequence[RuleRow]) -> list[dict[str, Any]]:
    """Rule rows as the journal keeps them: their trends stand in the measurements before."""
    return [{name: value for name, value in row.to_json().items() if name != "trend"} for row in rows]


def _from(default: _Row, data: object) -> _Row:
    """The default with what plain data has of the same kind."""
    if not isinstance(data, Mapping):
        return default
    given: dict[str, Any] = {}
    for item in fields(default):
        value, usual = data.get(item.name), getattr(default, item.name)
        if item.name not in data or isinstance(usual, Baseline | HealthLook | CatalogueLook):
            continue
        if isinstance(usual, tuple):
            if isinstance(value, list | tuple):
                given[item.name] = tuple(value)
        elif usual is None or (value is None and "None" in str(item.type)):
            given[item.name] = value
        elif isinstance(usual, bool) or isinstance(value, bool):
            if isinstance(value, bool):
                given[item.name] = value
        elif isinstance(usual, float):
            if is_figure(value):
                given[item.name] = float(value)
        elif isinstance(value, type(usual)) or (isinstance(usual, Mapping) and isinstance(value, Mapping)):
            given[item.name] = value
    return replace(default, **given)


def _seconds(value: object) -> float:
    return float(value) if is_figure(value) else 0.0


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


OUTCOMES: tuple[str, ...] = get_args(Outcome)
"""Every outcome."""
