from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.guard.binomial import chance_of, chance_unchanged


def exact(failures, samples, rate):
    rate = Fraction(rate)
    terms = (comb(samples, k) * rate**k * (1 - rate) ** (samples - k) for k in range(max(0, failures), samples + 1))
    return float(sum(terms, Fraction(0)))


def exact_unchanged(failures, samples, before, samples_before):
    failed = failures + before
    terms = (comb(samples, k) * comb(samples_before, failed - k) for k in range(failures, min(samples, failed) + 1))
    return sum(terms) / comb(samples + samples_before, failed)


@given(st.integers(0, 150), st.integers(0, 150), st.sampled_from([0.001, 0.01, 0.03, 0.1, 0.3, 0.9]))
def test_the_chance_is_that_of_exact_fractions(failures, samples, rate):
    assert chance_of(failures, samples, rate) == pytest.approx(exact(failures, samples, rate), rel=1e-9, abs=1e-13)


@given(st.integers(0, 80), st.integers(1, 80), st.integers(0, 80), st.integers(1, 80))
def test_fishers_chance_is_that_of_exact_counts(failures, samples, before, samples_before):
    failures, before = min(failures, samples), min(before, samples_before)
    expected = exact_unchanged(failures, samples, before, samples_before)
    found = chance_unchanged(failures, samples, before, samples_before)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_contracts_own_figures():
    assert chance_of(20, 100, 0.1) == pytest.approx(0.00198, abs=1e-5)
    assert chance_of(21, 100, 0.1) == pytest.approx(0.00081, abs=1e-5)


@pytest.mark.parametrize(
    ("failures", "samples", "rate", "chance"),
    [(0, 0, 0.1, 1.0), (1, 0, 0.1, 0.0), (3, 2, 0.5, 0.0), (1, 5, 0.0, 0.0), (5, 5, 1.0, 1.0), (-1, 5, 0.5, 1.0)],
)
def test_the_edges(failures, samples, rate, chance):
    assert chance_of(failures, samples, rate) == chance


def test_totals_of_a_great_service_are_no_trouble():
    assert chance_of(1_000_000, 10_000_000, 0.1) == pytest.approx(0.5, abs=0.001)
    assert chance_of(1_005_000, 10_000_000, 0.1) < 1e-6
    assert chance_unchanged(60_000, 1_000_000, 50_000, 1_000_000) < 1e-12
    assert chance_unchanged(1_000, 1_000_000, 50_000, 1_000_000) == pytest.approx(1.0)


@given(st.integers(1, 200), st.integers(1, 60), st.floats(0.005, 0.5))
def test_more_failures_are_never_more_likely(samples, failures, rate):
    assert chance_of(failures + 1, samples, rate) <= chance_of(failures, samples, rate) + 1e-12
