"""A deploy with a canary and a watch: no canary stays, and a watch begins only for what is live and proven."""

import os
from dataclasses import replace

import pytest
from cases import CANARY, FAILING_CANARY, WATCHED, from_the_swap
from error_matrix import failing_calls, faults, thinned
from injection import SYNCS
from matrix import differences, drawn_kills, first_kills
from test_faults_kill import report

SEED = int(os.environ.get("FAULT_SEED", "1"))
SECOND_KILLS = 16
EVERY = 8
FAILING_CALLS = 24


def about_the_files(points):
    """The calls that touch the live file, what is staged, what waits aside, and the journals."""
    names = (".staged", "/library/", "/watch/", ".journal")
    return [call for call in points if any(name in call.arguments for name in names)]


def from_the_canary(points):
    """The calls from the canary's staging to shortly after the second exchange, journal writes and syncs included."""
    places = [n for n, call in enumerate(points) if ".staged" in call.arguments]
    aside = next(n for n in places if "-full.staged" in points[n].arguments)
    last = max(n for n in places if points[n].name in {"renameat2", "rename"})
    return points[aside - 3 : last + 12]


@pytest.mark.parametrize("case", [WATCHED, CANARY], ids=lambda case: case.name)
def test_two_runs_make_the_same_calls(bench, case):
    assert differences(bench, case) == []


def test_killed_while_a_canary_is_live(bench):
    """Every eighth call, others with another seed; `make faults` tries all of the whole deploy."""
    figures = first_kills(bench, CANARY, SEED % EVERY, EVERY, chosen=from_the_canary)
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points >= 12
    assert set(figures.states) <= {"old", "new"}


def test_killed_at_each_exchange_of_a_canary(bench):
    def exchanges(points):
        """What comes right before and after a file gets another name."""
        places = [n for n, call in enumerate(points) if ".staged" in call.arguments and call.name not in SYNCS]
        return [call for n, call in enumerate(points) if any(n - place in {0, 1} for place in places)]

    figures = first_kills(bench, CANARY, chosen=exchanges)
    assert not figures.failures, report(figures)
    assert figures.points >= 10


def test_killed_while_a_canary_that_failed_is_undone(bench):
    figures = first_kills(bench, FAILING_CANARY, SEED % EVERY, EVERY, chosen=from_the_swap)
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points >= 10 and set(figures.states) == {"old"}


def test_killed_with_a_watch_planned(bench):
    def planned(points):
        first = next(n for n, call in enumerate(points) if "/watch/" in call.arguments)
        return points[first:]

    figures = first_kills(bench, WATCHED, SEED % (2 * EVERY), 2 * EVERY, chosen=planned)
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points >= 10 and set(figures.states) == {"old", "new"}


def test_killed_again_while_recovering(bench):
    figures = drawn_kills(bench, [CANARY, FAILING_CANARY, WATCHED], SEED, SECOND_KILLS)
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points == SECOND_KILLS


@pytest.mark.parametrize("case", [WATCHED, CANARY], ids=lambda case: case.name)
def test_a_call_fails(bench, case):
    few = thinned(faults(about_the_files(bench.points(case))), SEED)
    step = max(1, len(few) // FAILING_CALLS)
    figures = failing_calls(bench, case, few[SEED % step :: step])
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points >= 10


def after_the_canary(points):
    """From the second exchange on, when everything is live and not proven yet."""
    return [call for call in from_the_canary(points)[-12:] if call.name not in SYNCS]


def while_it_is_live(points):
    """Some calls after the canary's exchange and before the other one."""
    swaps = [n for n, call in enumerate(points) if ".staged" in call.arguments and call.name in {"renameat2", "rename"}]
    return points[swaps[1] + 1 : swaps[2]][::8]


@pytest.mark.parametrize(
    ("variant", "chosen", "said"),
    [("backs the canary up", after_the_canary, "canary"), ("lets a canary stay", while_it_is_live, "canary")],
)
def test_a_canary_that_stays_is_caught(bench, variant, chosen, said):
    """Negative controls: a way back made of the canary, and a recovery that takes it for a publication."""
    assert first_kills(bench, CANARY, chosen=lambda points: chosen(points)[:4]).failures == []
    failures = first_kills(bench, replace(CANARY, variants=(variant,), called=variant), chosen=chosen).failures
    assert any(f"the live file is {said}" in failure for failure in failures), failures
