"""A seeded share of `benchmarks/watch_simulation.py`: a healthy service stays, a broken one goes back."""

import pytest

from benchmarks.watch_simulation import FAULTS, simulate

BASELINE = 1000


def test_healthy_services_are_not_rolled_back():
    assert simulate(150, BASELINE, "healthy", "as built", seed=7).early == 0


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "healthy"])
def test_a_fault_is_found_within_minutes(fault):
    result = simulate(100, BASELINE, fault, "as built", seed=7)
    assert result.early == 0
    assert result.found >= 99
    assert result.summary()["median"] <= 3


@pytest.mark.parametrize(("rule", "baseline"), [("failures", 500), ("p95", 1000)])
def test_the_limits_alone_would_roll_back_healthy_services(rule, baseline):
    """The negative control: the simulation is one in which rules can be wrong."""
    result = simulate(40, baseline, "healthy", "plain", seed=7)
    assert result.early >= 4
    assert result.by_rule[rule] >= 1
