"""Whole watches of a scripted service: the real loop and the real collector over real sockets, an hour in a second.

A ``Script`` says what the service, the catalogue and the clock do at each minute; ``play`` lets a watch go through it
and tells how it ended. Invented are the clock and, unless asked otherwise, the rollback.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scripted_service import FIGURES, MISSING, Answer, ScriptedService, hashed, healthy, metrics, not_hashed, totals
from watch_world import FakeBack, FakeClock

from mobius_tui.guard import collector as collecting
from mobius_tui.guard import probes as probing
from mobius_tui.guard.collector import Collector, Limits
from mobius_tui.guard.files import journal_path, plan_watch, records_of
from mobius_tui.guard.keeping import Keeper
from mobius_tui.guard.mirror import Mirror
from mobius_tui.guard.model import RULES, Baseline, Measurement, Plan
from mobius_tui.guard.surroundings import Back, Surroundings
from mobius_tui.guard.telling import Telling
from mobius_tui.guard.watch import run_watch
from mobius_tui.notifications.message import Notification
from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import note_act
from mobius_tui.store.database import open_database
from mobius_tui.store.watches import find_watch, list_ticks
from mobius_tui.system import clock
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

RUN = "watch-20261120T120000Z"
PATIENT = Limits(health_s=30.0, figures_s=30.0, probe_s=30.0, look_s=60.0)
"""No test depends on how quick the machine is: what should not be late is not."""

Minute = int
HealthAt = Callable[[Minute], Answer]
FiguresAt = Callable[[Minute], Answer]
ProbeAt = Callable[[Minute, int], Answer]
"""The answer to the n-th probe of a minute, from 0."""


def at(minutes: Mapping[Any, Answer], otherwise: Answer) -> Callable[[Minute], Answer]:
    """Answers by minute: a number, a range or a tuple of minutes each; ``otherwise`` at all others."""

    def script(minute: Minute) -> Answer:
        for when, answer in minutes.items():
            if minute == when if isinstance(when, int) else minute in when:
                return answer
        return otherwise

    return script


def since(minute: Minute) -> range:
    """From a minute on."""
    return range(minute, 10_000)


@dataclass(frozen=True)
class Script:
    """What happens; minutes count from 1.

    Attributes:
        health: Of each minute.
        figures: Of ``/metrics/dhash`` at each minute.
        probe: Of each probe; None means a service without them.
        acts: What is done just before the measurement of a minute.
        naps: Seconds by which the guard wakes late after a minute.
        leaves: Minutes after which the guard is ended and started again.
        images: How many the library has.
        baseline: What differs in the baseline.
        minutes: How long the watch lasts.
        auto: Automatic rollback.
        limits: How long answers may take.
        key: That the service wants.
    """

    health: HealthAt = lambda _: healthy()
    figures: FiguresAt = lambda _: metrics()
    probe: ProbeAt | None = None
    acts: Mapping[Minute, Callable[[Stage], object]] = field(default_factory=dict)
    naps: Mapping[Minute, float] = field(default_factory=dict)
    leaves: tuple[Minute, ...] = ()
    images: int = 4
    baseline: Mapping[str, Any] = field(default_factory=dict)
    minutes: int = 60
    auto: bool = True
    limits: Limits = PATIENT
    key: str = ""


def counted(
    failed: Callable[[Minute], int] = lambda _: 0, images: Callable[[Minute], int] = lambda _: 100, **more: Any
) -> FiguresAt:
    """Figures with totals that grow by so many images and failures at each minute."""

    def script(minute: Minute) -> Answer:
        done = range(1, minute + 1)
        return totals(10_000 + sum(map(images, done)), 50 + sum(map(failed, done)), **more)

    return script


def probed(
    failing: Callable[[Minute], int] = lambda _: 0, ms: Callable[[Minute, int], float] = lambda *_: 20.0
) -> ProbeAt:
    """Probes of which so many fail at a minute, and how long each takes as the service tells it."""

    def script(minute: Minute, number: int) -> Answer:
        took = {"time_ms": ms(minute, number)}
        return not_hashed(**took) if number < failing(minute) else hashed(**took)

    return script


BY_RATES = Script(baseline={"source": "rates", "failure_rate": 0.0})
BY_TOTALS = Script(
    figures=counted(), baseline={"source": "totals", "samples": 1000, "failures": 5, "failure_rate": 0.005}
)
BY_PROBES = Script(
    probe=probed(),
    images=10,
    baseline={"source": "probes", "samples": 200, "failures": 0, "failure_rate": 0.0, "p95_ms": 30.0},
)


@dataclass
class Stage:
    """Everything around one watch, as acts may change it."""

    ws: Workspace
    service: ScriptedService
    clock: FakeClock
    script: Script
    minute: Minute = 0

    @property
    def live(self) -> Path:
        return self.ws.catalogue

    def library(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.live.read_text())
        return found

    def write(self, library: object, act: str = "") -> None:
        """Replace the live catalogue, as an act of the history or as another program."""
        before = sha256_file(self.live)
        words = library if isinstance(library, str) else json.dumps(library)
        fresh = self.live.with_suffix(".fresh")
        fresh.write_text(words)
        fresh.replace(self.live)
        if act:
            note_act(self.ws.state, act, "bob", run_id=f"{act}-1", before=before, after=sha256_file(self.live))


@dataclass(frozen=True)
class Told:
    """How a watch ended.

    Attributes:
        outcome: ``accepted``, ``rolled back`` or ``undecided``.
        rule: Which decided, empty when none did.
        minute: The measurement at which that was.
        failed: The rules that ever failed, with the first measurement at which each did.
        reason: In words.
        keys: Of the notifications, in order.
        rollbacks: How many were made.
        rows: Verdicts by rule, a letter each measurement: pass, fail, no data (-), collector error (e).
        measurements: All.
        whats: Of the journal.
        report: ``.report.json``; empty while there is none.
        page: ``.report.md``.
    """

    outcome: str
    rule: str
    minute: Minute
    failed: dict[str, Minute]
    reason: str
    keys: list[str]
    rollbacks: int
    rows: dict[str, str]
    measurements: list[Measurement]
    whats: list[str]
    report: dict[str, Any]
    page: str


class _Asking:
    """The real collector, with the script set to the minute that is being measured."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._collector = Collector(
            stage.ws, plan.base_url, plan.baseline, 60.0, now=stage.clock.now, limits=stage.script.limits
        )

    def measure(self, number: int, elapsed_s: float, merged: int = 1) -> Measurement:
        stage, script = self._stage, self._stage.script
        service, stage.minute = stage.service, number
        if number in script.acts:
            script.acts[number](stage)
        service.health, service.metrics = script.health(number), script.figures(number)
        first = service.counts["/api/dhash/extract"]
        probe = script.probe
        service.extract = MISSING if probe is None else lambda count, _: probe(number, count - first)
        return self._collector.measure(number, elapsed_s, merged)


def publish(root: Path, images: int) -> tuple[Workspace, str]:
    """A workspace whose catalogue was published over a backup; and that backup's name."""
    init_workspace(root)
    ws = open_workspace(root, {}, {}, "tester")
    open_database(ws.database).close()
    for number in range(images):
        (ws.library / f"p{number}.png").write_bytes(b"image %d" % number)
    entries: list[dict[str, Any]] = [{"path": f"p{number}.png"} for number in range(images)]
    ws.catalogue.write_text(json.dumps({"images": entries}))
    made = create_backup(ws.catalogue, ws.backups, reason="before migration-1", who="ann")
    hashed_ones = [
        entry | {"dhash": f"{number:016x}", "dhash_confidence": 0.9, "dhash_status": "ok"}
        for number, entry in enumerate(entries)
    ]
    run = {"schema_version": 1, "algorithm": "dhash-64", "profile": "exact", "run": {"id": "migration-1"}}
    ws.catalogue.write_text(json.dumps({"images": hashed_ones, "dhash_migration": run, "dhash_duplicates": []}))
    facts: dict[str, Any] = {
        "before": made.catalogue_sha256,
        "after": sha256_file(ws.catalogue),
        "details": {"backup": made.name},
    }
    with pytest.MonkeyPatch.context() as patch:  # an hour before the watch ends, which is a second here
        patch.setattr(clock, "now", lambda: FakeClock.wall)
        note_act(ws.state, "migrate", "ann", run_id="migration-1", **facts)
    return ws, made.name


def plan_of(ws: Workspace, script: Script, url: str) -> Plan:
    """The plan that a deploy would have made."""
    usual = {
        "at": 1_795_000_000.0,
        "p95_ms": FIGURES["p95_hash_time_ms"],
        "queue": 3,
        "entries": script.images,
        "with_dhash": script.images,
        "published": sha256_file(ws.catalogue),
        "probes": tuple(f"p{number}.png" for number in range(script.images)),
    }
    baseline = Baseline(**(usual | dict(script.baseline)))
    live, lasts = str(ws.catalogue), script.minutes * 60.0
    return Plan(RUN, who="ann", auto=script.auto, duration_s=lasts, base_url=url, live=live, baseline=baseline)


def play(
    root: Path,
    script: Script,
    *,
    back: Callable[[Stage], Back] | None = None,
    until_end: Callable[[Stage], object] | None = None,
) -> Told:
    """Let a watch go through a script to its end, or to the first page that says it has no verdict.

    Args:
        root: For the workspace.
        script: What happens.
        back: What rolls back; None means a rollback that is only remembered.
        until_end: Called when there is no verdict; the watch then goes on to its end.
    """
    ws, _ = publish(root, script.images)
    told: list[Notification] = []
    with ScriptedService() as service, pytest.MonkeyPatch.context() as patch:
        for module in (collecting, probing):
            patch.setattr(module, "STALL_S", 1e9)  # a busy machine is none of what is scripted
        service.key = script.key
        stage = Stage(ws, service, FakeClock(), script)
        plan = plan_of(ws, script, service.url)
        path, began = plan_watch(ws, plan), stage.clock.at
        remembered = FakeBack()
        way_back = back(stage) if back else remembered
        outcome, leaves, naps = "", list(script.leaves), dict(script.naps)
        asked: list[str] = []

        while not outcome:
            keeper, mirror = Keeper(path), Mirror(ws)

            def sleep(seconds: float, story: Any = keeper.story) -> None:
                left = 60.0 - (stage.clock.at - began) % 60.0
                stage.clock.go(left + naps.pop(story.last_number, 0.0))

            def leaving(story: Any = keeper.story) -> str:
                if leaves and story.last_number == leaves[0]:
                    return f"ended after {leaves.pop(0)}"
                if any(each.startswith("undecided") for each in story.paged):
                    if until_end is None:
                        return "no verdict"
                    if not asked:
                        asked.append("once")
                        until_end(stage)
                return ""

            around = Surroundings(
                stage.clock, sleep, _Asking(stage, plan), way_back, lambda _, one: told.append(one), str, leaving
            )
            outcome = run_watch(ws, keeper, around, mirror, Telling(ws, RUN, mirror, around.notify))
            story = keeper.story
            keeper.close()
            mirror.close()
            if story.state == "undecided":
                outcome = "undecided"
        rollbacks = len(remembered.runs)
        result = _told(ws, story, outcome, told, rollbacks)
    _consistent(ws, result, told, script)
    return result


_LETTERS = {"pass": "p", "fail": "f", "no data": "-", "collector error": "e"}


def _told(ws: Workspace, story: Any, outcome: str, told: list[Notification], rollbacks: int) -> Told:
    trigger = story.trigger or {}
    failed: dict[str, Minute] = {}
    rows: dict[str, str] = {}
    for measurement, each in zip(story.measurements, story.history, strict=True):
        for row in each:
            rows[row.rule] = rows.get(row.rule, "") + _LETTERS[row.verdict]
            if row.verdict == "fail":
                failed.setdefault(row.rule, measurement.number)
    report, page = {}, ""
    with contextlib.suppress(FileNotFoundError):
        report = json.loads((ws.logs / f"{RUN}.report.json").read_text())
        page = (ws.logs / f"{RUN}.report.md").read_text()
    last = story.end or story.over or {}
    return Told(
        outcome, str(trigger.get("rule") or ""), story.measurements[-1].number if story.measurements else 0, failed,
        str(last.get("reason") or ""), [one.key.partition("/")[2] for one in told], rollbacks, rows,
        story.measurements, [str(record["what"]) for record in records_of(journal_path(ws, RUN))], report, page,
    )  # fmt: skip


def _consistent(ws: Workspace, result: Told, told: list[Notification], script: Script) -> None:
    """What holds of every watch: told once each with the whole verdict; journal, database and report say the same."""
    assert len(set(result.keys)) == len(result.keys), result.keys
    alerts = [one.title for one in told if one.kind == "alert"]  # a rule that cannot be judged is told, once
    assert all(title.endswith("has no data") for title in alerts), "the guard itself was in trouble"
    for one in told:
        assert one.run == RUN and one.severity and one.audience and one.sentence
        assert [row["rule"] for row in one.verdict["rules"]] == ["health", "failures", "p95", "queue", "catalogue"]
        json.dumps(one.verdict, allow_nan=False)
    ended = {"accepted": ["end"], "rolled back": ["trigger", "rolled back", "end"], "undecided": []}
    if result.outcome in ended:
        closing = [key for key in result.keys if key in {"trigger", "rolled back", "end"}]
        assert closing == ended[result.outcome] and result.keys[0] == "start"
    connection = open_database(ws.database)
    try:
        row = find_watch(connection, RUN)
        assert row is not None and row.outcome == result.outcome, (row, result.outcome)
        assert len(list_ticks(connection, RUN, limit=1000)) == len(result.measurements)
    finally:
        connection.close()
    if result.report:
        assert result.report["outcome"] == result.outcome and f"# Watch {RUN}: {result.outcome}" in result.page
        assert [each["number"] for each in result.report["measurements"]] == [m.number for m in result.measurements]
        if result.rule:
            assert result.report["decided_by"] == f"rule {result.rule}" and result.report["exit_code"] == 2


# ------------------------------------------------------------------------------------------- what a person would decide


@dataclass(frozen=True)
class Ends:
    """How a watch should end, as a person would have decided.

    Attributes:
        outcome: ``accepted``, ``rolled back`` or ``undecided``.
        rule: Which rolled back; no other may have failed.
        minute: At which measurement.
        words: Each is in the reason of a watch without a verdict.
        measured: How many measurements there are; None means one each minute.
    """

    outcome: str
    rule: str = ""
    minute: Minute = 0
    words: tuple[str, ...] = ()
    measured: int | None = None


ACCEPTED = Ends("accepted")


def rolled_back(rule: str, minute: Minute) -> Ends:
    return Ends("rolled back", rule, minute)


def undecided(*words: str) -> Ends:
    return Ends("undecided", words=words)


def check(told: Told, ends: Ends, script: Script) -> None:
    """Whether a watch ended so, for that reason, then, and for no other."""
    assert told.outcome == ends.outcome, (told.reason, told.rows)
    snapshots = [key for key in told.keys if key.startswith("snapshot")]
    keys = [key for key in told.keys if not key.startswith("silent ")]  # who cannot judge says so, whatever comes of it
    if ends.outcome == "rolled back":
        assert (told.rule, told.minute, told.failed) == (ends.rule, ends.minute, {ends.rule: ends.minute}), told.rows
        assert keys == ["start", *snapshots, "trigger", "rolled back", "end"]
        assert (told.reason.startswith(f"{ends.rule}: ") and "over" in told.reason) or "bad in a row" in told.reason
        return
    assert (told.failed, told.rollbacks, told.rule) == ({}, 0, ""), told.rows
    assert len(snapshots) == 4
    assert len(told.measurements) == (script.minutes if ends.measured is None else ends.measured)
    if ends.outcome == "accepted":
        assert keys == ["start", *snapshots, "end"]
        assert told.report["decided_by"] == "the rules" and told.report["exit_code"] == 0
    else:
        assert keys == ["start", *snapshots, f"undecided {script.minutes} 0"]
        named = {rule for rule in ("failures", "p95", "queue", "health", "catalogue") if f"{rule} " in told.reason}
        assert all(word in told.reason for word in ends.words), told.reason
        assert named == {word for word in ends.words if word in RULES}, told.reason
