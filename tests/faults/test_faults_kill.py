"""Each operation killed at every mutating system call, recovered as a user's next start does it, and judged."""

import os

import pytest
from cases import CASES, FAILING, NO_EXCHANGE, around_the_swap, from_the_swap
from matrix import differences, drawn_kills, first_kills

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


@pytest.mark.parametrize("part", range(2))
def test_killed_while_it_is_undone(bench, part):
    """A deploy whose smoke tests fail, from its exchange on."""
    figures = first_kills(bench, FAILING, part, 2, chosen=from_the_swap)
    assert not figures.failures, report(figures)
    assert figures.points >= 50


def test_killed_where_files_cannot_be_exchanged(bench):
    """A filesystem without renameat2's flags: hard links and renames do the same in more steps."""
    figures = first_kills(bench, NO_EXCHANGE, chosen=around_the_swap)
    assert not figures.failures, report(figures)
    assert figures.points >= 30


@pytest.mark.parametrize("share", range(SHARES))
def test_killed_again_while_recovering(bench, share):
    figures = drawn_kills(bench, [*CASES.values(), FAILING], SEED * SHARES + share, SECOND_KILLS // SHARES)
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points == SECOND_KILLS // SHARES


def report(figures):
    lines = [f"{len(figures.failures)} failures at {figures.points} points, live file {figures.states}"]
    return "\n".join(lines + figures.failures[:40])
