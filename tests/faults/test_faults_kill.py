"""Each operation killed at every mutating system call, recovered as a user's next start does it, and judged."""

import os
from dataclasses import replace

import judging
import pytest
from cases import CASES, DEPLOY, FAILING, NO_EXCHANGE, around_exchanges, around_the_swap, from_the_swap
from foreign import FOREIGN_ENTRY, write_entry
from injection import kill_points, struck
from matrix import differences, drawn_kills, first_kills, kills_of_recovery
from prepared import copy_tree

SEED = int(os.environ.get("FAULT_SEED", "1"))
SECOND_KILLS = 200
SHARES = 8
PARTS = {"migrate": 4, "deploy": 6, "rollback": 2, "clean": 2}

FIRST = [(name, part) for name in CASES for part in range(PARTS.get(name, 1))]


@pytest.mark.parametrize("name", CASES)
def test_two_runs_make_the_same_calls(bench, name):
    assert differences(bench, CASES[name]) == []


@pytest.mark.parametrize(("name", "part"), FIRST)
def test_killed_at_every_call(bench, name, part):
    figures = first_kills(bench, CASES[name], part, PARTS.get(name, 1))
    assert not figures.failures, report(figures)
    assert figures.points >= 8


def test_killed_while_it_is_undone(bench):
    """A deploy whose smoke tests fail, from its exchange on; every third call, others with another seed."""
    figures = first_kills(bench, FAILING, SEED % 3, 3, chosen=from_the_swap)
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points >= 30


def test_killed_where_files_cannot_be_exchanged(bench):
    """A filesystem without renameat2's flags: hard links and renames do the same in more steps."""
    figures = first_kills(bench, NO_EXCHANGE, chosen=around_exchanges)
    assert not figures.failures, report(figures)
    assert figures.points >= 15


def test_killed_while_the_way_back_is_restored(bench):
    """A deploy killed after its exchange, then the application writes: its write is kept on top of the way back."""
    points = kill_points(bench.points(DEPLOY))
    after = around_the_swap(points)[8]
    bench.fresh(bench.template(DEPLOY))
    assert struck(bench.kill(DEPLOY, "deploy", bench.at, after), after)
    live = judging.live_of(bench.root)
    facts = bench.facts(DEPLOY)
    assert judging.state_of(bench.root, facts) == "new"
    write_entry(live)
    written = judging.foreign(live.read_bytes())
    left = bench.slot / "left"
    copy_tree(bench.root, left)
    assert bench.run(DEPLOY, "recover", bench.at + 100).answer[0].endswith(" rolled back")
    assert live.read_text().count(FOREIGN_ENTRY["title"]) == 1
    assert "dhash" not in live.read_text()
    allowed = {written, judging.foreign(live.read_bytes())}
    case = replace(DEPLOY, accept=lambda *_: [])
    figures = kills_of_recovery(
        bench, case, left, "written on", facts=replace(facts, old="", new={"foreign"}, foreign=allowed)
    )
    assert not figures.failures, report(figures)
    assert figures.points >= 20


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_again_while_recovering(bench, share):
    figures = drawn_kills(bench, [*CASES.values(), FAILING], SEED * SHARES + share, SECOND_KILLS // SHARES)
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points == SECOND_KILLS // SHARES


def report(figures):
    lines = [f"{len(figures.failures)} failures at {figures.points} points, live file {figures.states}"]
    return "\n".join(lines + figures.failures[:40])
