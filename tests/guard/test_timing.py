from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch_world import PLAN, FakeClock

from mobius_tui.guard.timing import Anchor, BootClock, after, due_at, due_number, snapshots_due


@given(st.integers(0, 100_000), st.sampled_from([0.05, 0.1, 0.3, 1.0, 7.7, 60.0, 3600.0]))
def test_a_measurement_is_due_exactly_at_its_time(number: int, interval: float) -> None:
    assert due_number(due_at(number, interval), interval) == number
    assert due_number(due_at(number, interval) + 0.9 * interval, interval) == number


@given(st.lists(st.floats(-1e6, 1e6), max_size=10), st.floats(0.0, 1e5))
def test_within_one_boot_the_wall_clock_counts_for_nothing(jumps: list[float], passed: float) -> None:
    clock = FakeClock()
    anchor = Anchor.here(clock, 5.0)
    for jump in jumps:
        clock.wall += jump
    clock.at += passed
    assert anchor.elapsed(clock) == pytest.approx(5.0 + passed)


@given(st.floats(0.0, 1e5), st.floats(-1e6, 1e6))
def test_after_a_reboot_it_is_never_younger_than_was_known(known: float, passed: float) -> None:
    clock = FakeClock()
    anchor = Anchor.here(clock, 0.0)
    clock.boot, clock.at = "boot-2", 0.0
    clock.wall += passed
    assert anchor.elapsed(clock, known) == pytest.approx(max(known, passed, 0.0), abs=1e-3)


def test_an_anchor_survives_the_journal() -> None:
    anchor = Anchor("boot", 12.5, 1_795_000_000.25, 3.75)
    assert Anchor.of(anchor.to_json()) == anchor
    assert Anchor.of({"boottime": "x"}) == Anchor("", 0.0, 0.0, 0.0)


def test_the_machine_has_a_boot_and_a_clock_that_goes() -> None:
    clock = BootClock()
    before = clock.seconds()
    time.sleep(0.01)
    assert clock.seconds() > before
    assert clock.boot_id() == clock.boot_id()


def test_the_named_snapshots_of_an_hour_and_of_a_scaled_watch() -> None:
    from dataclasses import replace

    hour = replace(PLAN, duration_s=3600.0)
    assert [(s.name, s.due_s) for s in snapshots_due(hour)] == [
        ("+5 min", 300.0), ("+15 min", 900.0), ("+30 min", 1800.0), ("+60 min", 3600.0),
    ]  # fmt: skip
    assert [s.name for s in snapshots_due(replace(PLAN, duration_s=12.0))] == ["+1 s", "+3 s", "+6 s", "+12 s"]
    assert after(90.0) == "+1.5 min"
