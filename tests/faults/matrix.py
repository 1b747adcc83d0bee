"""The kill matrix: an operation, killed at each of its mutating calls, recovered, judged, and killed meanwhile."""

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import judging
from injection import Driver, kill_points, order, struck, without_equals
from prepared import copy_tree, prepare

ROOM = 2 << 30
"""Free bytes in memory for the workspaces of a few processes and the disks of a power cut."""

STEP = 100
"""Seconds by the made-up clock between a fault and what follows it."""


@dataclass(frozen=True)
class Case:
    """An operation, what mends it, and how its workspace comes about.

    Attributes:
        recovery: The operation that a user's next start runs.
        setup: Operations run one after another to prepare the workspace.
        prepare: Makes the workspace before ``setup``.
        removes: Whether it answers with the names of backups that it has removed.
        variants: Broken or unlucky variants that operation and recovery run as.
        called: Its name where the operation's does not tell.
        code: Exit code of an undisturbed run.
        always: What strace does to every run beside the fault, such as ``renameat2:error=EINVAL``.
        publishes: The case whose new content is live for a while.
        accept: Says what is wrong with how the recovery ended, from (bench, root, the recovery's end, state of live).
    """

    operation: str
    recovery: str
    setup: tuple[str, ...] = ()
    prepare: Callable[[Path], None] = prepare
    accept: Callable[..., list[str]] = lambda *_: []
    removes: bool = False
    variants: tuple[str, ...] = ()
    called: str = ""
    code: int = 0
    always: str = ""
    publishes: "Case | None" = None

    @property
    def name(self):
        return self.called or self.operation


@dataclass
class Figures:
    """What a part of the matrix came to."""

    points: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)

    def add(self, other):
        self.points += other.points
        self.seconds += other.seconds
        self.failures += other.failures
        for state, count in other.states.items():
            self.states[state] = self.states.get(state, 0) + count


class Bench:
    """A driver and the folders it works in; workspaces are always at the same path, as the database knows paths."""

    def __init__(self, slot: Path):
        self.slot = slot
        self.root = slot / "ws"
        self.driver = Driver(slot)
        self.at = int(time.time()) + 1000
        self._templates: dict[str, Path] = {}
        self._facts: dict[str, judging.Facts] = {}

    def close(self):
        self.driver.close()

    def template(self, case: Case) -> Path:
        """The prepared workspace of a case; every module is imported after this."""
        if case.name not in self._templates:
            self._make(case)
        return self._templates[case.name]

    def facts(self, case: Case) -> judging.Facts:
        """What must hold for a case."""
        self.template(case)
        return self._facts[case.name]

    def _make(self, case):
        shutil.rmtree(self.root, ignore_errors=True)
        case.prepare(self.root)
        for number, operation in enumerate(case.setup):
            ended = self.driver.warm(operation, self.root, self.at - STEP * (len(case.setup) - number))
            assert ended["code"] == 0, ended
        template = self.slot / f"template-{len(self._templates)}"
        copy_tree(self.root, template)
        facts = judging.facts_of(self.root)
        for operation in (case.operation, case.recovery):
            ended = self.driver.warm(operation, self.root, self.at, variants=case.variants)
            assert ended["code"] == (case.code if operation == case.operation else 0), ended
            if isinstance(ended.get("answer"), dict):
                facts.canaries.update(ended["answer"].get("canaries", ()))
            if case.removes:
                facts.let_go(ended["answer"])
            live = judging.live_of(self.root).read_bytes()
            facts.new.add(judging.settled(live))
            facts.foreign.add(judging.foreign(live))
        if case.publishes is not None:
            facts.new |= self.facts(case.publishes).new
            facts.foreign |= self.facts(case.publishes).foreign
            facts.canaries |= self.facts(case.publishes).canaries
        self._facts[case.name] = facts
        self._templates[case.name] = template

    def fresh(self, source: Path):
        copy_tree(source, self.root)

    def run(self, case, operation, at, **more):
        always = ["-e", f"inject={case.always}"] if case.always else []
        return self.driver.run(operation, self.root, at, variants=case.variants, strace=always, **more)

    def points(self, case: Case):
        """The calls of an undisturbed run."""
        self.fresh(self.template(case))
        ended = self.run(case, case.operation, self.at, traced=True)
        assert (ended.status, ended.code) == (0, case.code), ended
        return ended.calls

    def kill(self, case, operation, at, point):
        return self.run(case, operation, at, inject=f"{point.name}:signal=KILL:when={point.nth}")

    def recovered(self, case: Case, at: int, fault: str, facts=None) -> tuple[list[str], str]:
        """Recover and judge; what is wrong, and the state of the live file."""
        facts = facts or self.facts(case)
        wrong = [f"{fault}, at once: {what}" for what in judging.at_once(self.root, facts)]
        ended = self.run(case, case.recovery, at)
        if (ended.status, ended.code) != (0, 0):
            wrong.append(
                f"{fault}: the recovery ended {ended.status}/{ended.code}: {ended.sentence}{ended.defect[-600:]}"
            )
        state = judging.state_of(self.root, facts)
        wrong += [f"{fault}, at rest: {what}" for what in judging.at_rest(self.root, facts)]
        wrong += [f"{fault}: {what}" for what in case.accept(self.root, ended, state, facts)]
        return wrong, state


def first_kills(
    bench: Bench, case: Case, part: int = 0, parts: int = 1, chosen: Callable[[list], list] = list
) -> Figures:
    """Kill at each point of a part of them, recover, judge."""
    began = time.perf_counter()
    figures = Figures()
    for point in chosen(kill_points(bench.points(case)))[part::parts]:
        fault = f"{case.name} killed at {point}"
        bench.fresh(bench.template(case))
        ended = bench.kill(case, case.operation, bench.at, point)
        if not struck(ended, point):
            figures.failures.append(f"{fault}: the fault did not fire ({ended.status}, {ended.trace[-200:]})")
            continue
        wrong, state = bench.recovered(case, bench.at + STEP, fault)
        figures.failures += wrong
        figures.points += 1
        figures.states[state] = figures.states.get(state, 0) + 1
    figures.seconds = time.perf_counter() - began
    return figures


def second_kills(bench: Bench, case: Case, first, chosen: Callable[[list], list]) -> Figures:
    """Kill at one point, then kill the recovery at some of its own, recover, judge."""
    began = time.perf_counter()
    left = bench.slot / "left"
    bench.fresh(bench.template(case))
    ended = bench.kill(case, case.operation, bench.at, first)
    if not struck(ended, first):
        return Figures(failures=[f"{case.name} at {first}: the fault did not fire"])
    copy_tree(bench.root, left)
    figures = kills_of_recovery(bench, case, left, f"{case.name} killed at {first}", chosen)
    figures.seconds = time.perf_counter() - began
    return figures


def kills_of_recovery(
    bench: Bench, case: Case, left: Path, before: str, chosen: Callable[[list], list] = list, facts=None
) -> Figures:
    """Kill the recovery of what was left behind at some of its calls, recover, judge."""
    figures = Figures()
    bench.fresh(left)
    undisturbed = bench.run(case, case.recovery, bench.at + STEP, traced=True)
    for second in chosen(without_equals(kill_points(undisturbed.calls))):
        fault = f"{before}, its recovery killed at {second}"
        bench.fresh(left)
        ended = bench.kill(case, case.recovery, bench.at + STEP, second)
        if not struck(ended, second):
            figures.failures.append(f"{fault}: the fault did not fire ({ended.status}, {ended.trace[-200:]})")
            continue
        wrong, state = bench.recovered(case, bench.at + 2 * STEP, fault, facts)
        figures.failures += wrong
        figures.points += 1
        figures.states[state] = figures.states.get(state, 0) + 1
    return figures


def drawn_kills(bench: Bench, cases: list[Case], seed: int, count: int) -> Figures:
    """Pairs of a first and a second kill, drawn by a seed: an operation, a point, then one of the recovery."""
    draw = random.Random(seed)
    firsts = {}
    figures = Figures()
    for _ in range(3 * count):  # a recovery that finds nothing to do cannot be killed in it
        if figures.points >= count:
            break
        case = draw.choice(cases)
        if case.name not in firsts:
            firsts[case.name] = without_equals(kill_points(bench.points(case)))
        first = draw.choice(firsts[case.name])
        figures.add(second_kills(bench, case, first, lambda points: [draw.choice(points)] if points else []))
    return figures


def differences(bench: Bench, case: Case) -> list[str]:
    """Where two undisturbed runs made other calls."""
    one, two = order(bench.points(case)), order(bench.points(case))
    return [f"{place}: {a} {b}" for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b] + (
        [f"{len(one)} calls, then {len(two)}"] if len(one) != len(two) else []
    )


def scratch() -> Path:
    """A folder for workspaces and traces: in memory where there is such a place, as nothing here is about the disk."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM
    return Path(tempfile.mkdtemp(prefix="mobius-faults-", dir=memory if roomy else None))


def opened() -> Iterator[Bench]:
    """A bench for the time of a test session."""
    slot = scratch()
    bench = Bench(slot)
    try:
        yield bench
    finally:
        bench.close()
        shutil.rmtree(slot, ignore_errors=True)
