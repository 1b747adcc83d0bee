"""Each rule just under, at and just over its limit."""

import math
import time
from dataclasses import replace

import pytest

from mobius_tui.guard.binomial import chance_of, chance_unchanged
from mobius_tui.guard.limits import CHANCE, CHANCE_UNCHANGED
from mobius_tui.guard.model import RULES, Baseline, CatalogueLook, HealthLook, Measurement, Plan
from mobius_tui.guard.rules import judge, nearest_rank, troubles

KNOWN = Baseline(
    at=0.0, source="probes", samples=1000, failures=10, failure_rate=0.01, p95_ms=40.0, queue=30, entries=100
)
PLAN = Plan("watch-20261120T120000Z", baseline=KNOWN)
BARE = Plan("watch-20261120T120000Z")


def plan(**baseline):
    return Plan("watch-20261120T120000Z", baseline=replace(KNOWN, **baseline))


def one(number=1, failures=0, samples=100, durations=(20.0,) * 100, ok=True, look=True, queue=30, **more):
    return Measurement(
        number,
        at=60.0 * number,
        elapsed_s=60.0 * number,
        health=HealthLook(ok, sentence="said"),
        source=more.pop("source", "probes"),
        samples=samples,
        failures=failures,
        durations_ms=tuple(durations),
        queue=queue,
        catalogue=CatalogueLook(look, "looked"),
        **more,
    )


def row(rule, measurements, of=PLAN):
    return dict(zip(RULES, judge(of, measurements), strict=True))[rule]


def verdicts(rule, series, of=PLAN):
    """The verdict after each of a series of measurements."""
    return [row(rule, series[: end + 1], of).verdict for end in range(len(series))]


def test_rows_come_in_the_order_of_the_rules():
    assert [each.rule for each in judge(PLAN, [one()])] == list(RULES)
    assert [each.verdict for each in judge(PLAN, [one()])] == ["pass"] * 5
    assert [each.verdict for each in judge(PLAN, [])] == ["no data"] * 5


# ---------------------------------------------------------------------------------------------- health, catalogue


@pytest.mark.parametrize(
    ("looks", "verdict", "value"),
    [
        ([True], "pass", 0),
        ([False, False], "pass", 2),
        ([False, False, False], "fail", 3),
        ([False, False, True, False], "pass", 1),
        ([False, None, False, None, False], "fail", 3),
        ([False, False, None], "no data", 2),
        ([False, False, False, None], "fail", 3),
        ([None], "no data", None),
        ([None, True], "pass", 0),
    ],
)
def test_health_fires_at_the_third_failure_in_a_row(looks, verdict, value):
    found = row("health", [one(number, ok=ok) for number, ok in enumerate(looks, 1)])
    assert (found.verdict, found.value, found.limit) == (verdict, value, 3)


def test_late_ticks_that_were_merged_are_one_failure():
    assert row("health", [one(1), one(20, ok=False, merged=19)]).value == 1


def test_degraded_is_no_failure():
    series = [replace(one(n), health=HealthLook(True, "degraded", "queue is long")) for n in (1, 2, 3, 4)]
    assert row("health", series).verdict == "pass"


def test_health_that_could_not_be_asked_is_the_guards_own_trouble():
    found = row("health", [one(ok=None, errors=("health: no sockets left",))])
    assert found.verdict == "collector error"
    assert found.value is None and not found.could_fire and "could not be asked" in found.sentence
    assert row("health", [one(ok=None, errors=("p95: NaN",))]).verdict == "no data"


@pytest.mark.parametrize(
    ("looks", "verdict"),
    [
        ([True], "pass"),
        ([False], "pass"),
        ([False, False], "fail"),
        ([False, True, False], "pass"),
        ([False, None], "no data"),
        ([False, None, False], "fail"),
    ],
)
def test_catalogue_fires_at_the_second_bad_look_in_a_row(looks, verdict):
    assert row("catalogue", [one(number, look=ok) for number, ok in enumerate(looks, 1)]).verdict == verdict


def test_a_rule_over_looks_says_from_when_it_could_fire():
    assert [row("health", [one(n + 1) for n in range(count)]).could_fire for count in (1, 2, 3)] == [False, False, True]
    assert [row("catalogue", [one(n + 1) for n in range(count)]).could_fire for count in (1, 2)] == [False, True]


# ------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("failures", "samples", "verdict"),
    [
        (0, 99, "no data"),  # one sample too few to be judged
        (99, 99, "no data"),
        (0, 100, "pass"),
        (10, 100, "pass"),  # at the limit
        (11, 100, "pass"),  # over it, but so many come by chance
        (20, 100, "pass"),  # 0.2 % at exactly the limit
        (21, 100, "fail"),  # 0.08 %
    ],
)
def test_the_fixed_limit_holds_where_there_is_no_baseline(failures, samples, verdict):
    for of in (BARE, plan(failures=0, failure_rate=0.0), plan(failures=300, failure_rate=0.3)):
        found = row("failures", [one(failures=failures, samples=samples)], of)
        assert (found.verdict, found.limit) == (verdict, 0.10)
        assert found.could_fire == (samples == 100)


def test_which_limit_holds_is_said():
    assert "fixed: no baseline" in row("failures", [one()], BARE).sentence
    assert "fixed: nothing failed before" in row("failures", [one()], plan(failures=0, failure_rate=0.0)).sentence
    found = row("failures", [one(failures=2)])
    assert found.sentence == "2 of 100 failed (2.0 %), limit 3.0 % (3x baseline 1.0 %), could fire"
    assert found.margin == pytest.approx(1 / 3)


@pytest.mark.parametrize(("failures", "verdict"), [(3, "pass"), (4, "pass"), (9, "pass"), (10, "fail"), (12, "fail")])
def test_three_times_the_baseline(failures, verdict):
    found = row("failures", [one(failures=failures)])
    assert (found.verdict, found.limit, found.baseline) == (verdict, pytest.approx(0.03), 0.01)


def test_a_rise_that_the_baselines_own_chance_explains_is_none():
    """Six of 100 are an accident of 1 in 3,700 at 0.6 %, and no wonder where two of 1,000 were seen before."""
    tiny = plan(failures=2, failure_rate=0.002)
    assert row("failures", [one(failures=6)], tiny).verdict == "pass"
    assert "can be an accident" in row("failures", [one(failures=6)], tiny).sentence
    assert row("failures", [one(failures=9)], tiny).verdict == "fail"
    told = replace(tiny.baseline, samples=0)
    assert row("failures", [one(failures=6)], Plan("w", baseline=told)).verdict == "fail"
    assert CHANCE_UNCHANGED * 60 <= 0.001


def test_a_small_baseline_is_not_compared_as_a_sample():
    """2 of 100 before and 14 of 100 now may still be the same service; the contract's own condition holds alone."""
    small = plan(samples=100, failures=2, failure_rate=0.02)
    fewest = next(n for n in range(101) if chance_of(n, 100, 0.06) < CHANCE)
    assert row("failures", [one(failures=fewest - 1)], small).verdict == "pass"
    assert row("failures", [one(failures=fewest)], small).verdict == "fail"


def test_a_baseline_of_500_is_compared_as_a_sample():
    before = {"failures": 10, "failure_rate": 10 / 499}
    fewest = next(n for n in range(101) if chance_of(n, 100, 30 / 499) < CHANCE)
    assert row("failures", [one(failures=fewest)], plan(samples=499, **before)).verdict == "fail"
    before = {"failures": 1, "failure_rate": 1 / 500}
    fewest = next(n for n in range(101) if chance_of(n, 100, 3 / 500) < CHANCE)
    assert chance_unchanged(max(5, fewest), 100, 1, 500) > CHANCE_UNCHANGED
    assert row("failures", [one(failures=max(5, fewest))], plan(samples=500, **before)).verdict == "pass"


def test_fewer_than_five_failures_never_fire():
    tiny = plan(samples=10**6, failures=10, failure_rate=1e-5)
    assert row("failures", [one(failures=4)], tiny).verdict == "pass"
    assert row("failures", [one(failures=5)], tiny).verdict == "fail"


def test_only_the_shortest_run_of_latest_measurements_counts():
    series = [one(1, failures=40, samples=40), *[one(n, samples=40) for n in (2, 3, 4)]]
    found = row("failures", series)
    assert (found.verdict, found.samples, found.ticks, found.value) == ("pass", 120, 3, 0)
    assert row("failures", series[:3]).value == pytest.approx(40 / 120)


def test_measurements_without_samples_are_not_there():
    series = [one(1, failures=30), one(2, samples=0, durations=(), source="none", errors=("probes hang",))]
    assert row("failures", series).verdict == "fail"
    calm = [one(1), series[1]]
    assert (row("failures", calm).verdict, row("failures", calm).could_fire) == ("collector error", False)
    assert row("failures", [one(1), replace(series[1], errors=())]).verdict == "no data"


def test_totals_are_judged_like_probes_but_not_by_the_probes_baseline():
    found = row("failures", [one(failures=10, source="totals", durations=())])
    assert (found.verdict, found.limit) == ("pass", 0.10) and "another way" in found.sentence
    alike = plan(source="totals")
    assert row("failures", [one(failures=10, source="totals", durations=())], alike).verdict == "fail"


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ([0.04], "pass"),
        ([0.04, 0.04], "pass"),
        ([0.04, 0.04, 0.04], "fail"),
        ([0.03, 0.03, 0.03], "pass"),
        ([0.04, 0.03, 0.04, 0.04], "pass"),
        ([0.04, 0.04, None], "no data"),
        ([math.nan], "no data"),
        ([0.04, 0.04, math.nan, 0.04], "fail"),
        ([1.5, 1.5, 1.5], "no data"),
    ],
)
def test_bare_rates_need_three_measurements_in_a_row(rates, verdict):
    series = [one(n, samples=0, source="rates", durations=(), failure_rate=rate) for n, rate in enumerate(rates, 1)]
    assert row("failures", series, plan(source="rates", samples=0, failures=0)).verdict == verdict


# ------------------------------------------------------------------------------------------------------------ p95


def slow(count, of=100, value=121.0):
    return (value,) * count + (20.0,) * (of - count)


@pytest.mark.parametrize(
    ("durations", "verdict"),
    [
        (slow(49, of=49), "no data"),
        (slow(0, of=50), "pass"),
        (slow(3, of=50), "pass"),  # three slow images of fifty: the p95 itself is over the limit
        (slow(8, of=50), "pass"),  # 0.3 %
        (slow(9, of=50), "fail"),  # 0.08 %
        (slow(100), "fail"),
        ((120.0,) * 100, "pass"),  # at the limit
        ((120.1,) * 100, "fail"),
    ],
)
def test_p95_over_three_times_the_baseline(durations, verdict):
    found = row("p95", [one(durations=durations)])
    assert (found.verdict, found.limit, found.baseline) == (verdict, 120.0, 40.0)


@pytest.mark.parametrize(("value", "verdict"), [(30_000.0, "pass"), (30_001.0, "fail")])
def test_p95_over_thirty_seconds_without_a_baseline_or_with_a_slow_one(value, verdict):
    for of in (BARE, plan(p95_ms=0.0), plan(p95_ms=20_000.0)):
        found = row("p95", [one(durations=(value,) * 50)], of)
        assert (found.verdict, found.limit) == (verdict, 30_000.0)


def test_a_p95_just_over_its_limit_is_believed_when_it_lasts():
    tick = one(durations=slow(9))
    assert row("p95", [tick]).verdict == "pass"
    assert verdicts("p95", [replace(tick, number=n) for n in range(1, 8)])[-1] == "fail"
    assert row("p95", [*[replace(tick, number=n) for n in range(1, 8)], one(8)]).verdict == "pass"


def test_p95_without_durations_goes_by_what_the_service_tells():
    for source in ("totals", "rates"):
        of = plan(source=source)
        series = [one(n, source=source, durations=(), p95_ms=121.0) for n in (1, 2, 3)]
        assert verdicts("p95", series, of) == ["pass", "pass", "fail"]
        assert row("p95", [replace(series[0], p95_ms=None, errors=("p95: NaN",))], of).verdict == "collector error"


def test_nonsense_among_the_durations_is_no_data():
    rubbish = (math.nan, math.inf, -1.0, "9", None, True, 10**400)
    assert row("p95", [one(durations=rubbish * 20)]).verdict == "no data"
    assert row("p95", [one(durations=rubbish + (20.0,) * 50)]).samples == 50


def test_the_percentile_is_by_nearest_rank():
    assert nearest_rank([], 0.95) is None
    assert nearest_rank(list(range(1, 101)), 0.95) == 95
    assert nearest_rank(list(range(1, 21)), 0.95) == 19
    assert nearest_rank([7.0], 0.95) == 7.0


# ---------------------------------------------------------------------------------------------------------- queue


@pytest.mark.parametrize(
    ("before", "limit"), [(0, 100), (1, 100), (10, 100), (20, 100), (25, 125), (26, 126), (500, 600)]
)
def test_the_lower_limit_of_the_queue_is_the_one_shown(before, limit):
    of = plan(queue=before)
    assert row("queue", [one(queue=limit)], of).verdict == "pass"
    found = row("queue", [one(queue=limit + 1)], of)
    assert (found.verdict, found.limit, found.baseline) == ("fail", limit, before)


def test_without_a_baseline_the_queue_is_measured_against_its_first_look():
    series = [one(1, queue=700), one(2, queue=800), one(3, queue=801)]
    assert verdicts("queue", series, BARE) == ["no data", "pass", "fail"]
    found = row("queue", series, BARE)
    assert (found.limit, found.baseline) == (800, None) and "when the watch began" in found.sentence


@pytest.mark.parametrize("queue", [None, -1, math.nan, 5.0, "5", True])
def test_a_queue_that_is_no_number_is_no_data(queue):
    assert row("queue", [one(queue=queue)]).verdict == "no data"
    assert row("queue", [one(1), one(2, queue=queue, errors=("queue: x",))]).verdict == "collector error"


# ------------------------------------------------------------------------------------------------- what all share


def test_an_error_concerns_its_rule_and_all_where_it_names_none():
    broken = one(errors=("p95: NaN", "no network", "http: odd"))
    assert troubles(broken, "p95") == ("NaN", "no network", "http: odd")
    assert troubles(broken, "queue") == ("no network", "http: odd")


def test_text_from_outside_is_shown_as_text():
    found = row("health", [replace(one(), health=HealthLook(False, sentence="\x1b[31m\u202e"))])
    assert "\x1b" not in found.sentence and "\u202e" not in found.sentence


def test_the_trend_is_of_single_measurements_and_at_most_sixty():
    series = [one(n, failures=n % 3) for n in range(1, 80)]
    for each in judge(PLAN, series):
        assert len(each.trend) == 60
    assert row("failures", series).trend[-3:] == (0.02, 0.0, 0.01)
    assert row("queue", [one(1), one(2, queue=None)]).trend == (30.0, None)


def test_judging_a_long_watch_is_cheap():
    series = [one(n, durations=tuple(float(d) for d in range(100))) for n in range(1, 1001)]
    judge(PLAN, series)
    times = []
    for _ in range(10):
        began = time.process_time()
        judge(PLAN, series)
        times.append(time.process_time() - began)
    assert min(times) < 0.05  # 2 ms on a quiet machine; what grows with the square would take seconds
