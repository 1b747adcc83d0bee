"""What holds for any measurements whatever."""

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_tui.guard.model import RULES, Baseline, CatalogueLook, HealthLook, Measurement, Plan
from mobius_tui.guard.report import report_markdown, report_of
from mobius_tui.guard.rules import judge
from mobius_tui.guard.verdict import decide_end, next_line, overall

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([10**400, -1, math.nan, math.inf, -math.inf, b"x", (), [], {}]),
)
LOOKS = st.sampled_from([True, False, None])


@st.composite
def baselines(draw):
    samples = draw(st.integers(0, 2000))
    failures = draw(st.integers(0, max(0, samples // 10)))
    rate = failures / samples if samples else None
    p95 = draw(st.none() | st.floats(0, 60_000))
    return Baseline(
        source="probes", samples=samples, failures=failures, failure_rate=rate, p95_ms=p95,
        queue=draw(st.none() | st.integers(0, 500)),
    )  # fmt: skip


@st.composite
def sane(draw, number=1):
    samples = draw(st.integers(0, 120))
    return Measurement(
        number,
        at=60.0 * number,
        elapsed_s=60.0 * number,
        health=HealthLook(draw(LOOKS)),
        source="probes",
        samples=samples,
        failures=draw(st.integers(0, samples)),
        durations_ms=tuple(draw(st.lists(st.floats(0, 1e5), max_size=60))),
        queue=draw(st.none() | st.integers(0, 1000)),
        catalogue=CatalogueLook(draw(LOOKS)),
        errors=tuple(draw(st.lists(st.sampled_from(["p95: x", "all of it", "queue: y"]), max_size=1))),
    )


SERIES = st.lists(sane(), min_size=1, max_size=8)


@st.composite
def rubbish(draw):
    return Measurement(
        draw(st.integers(1, 60)),
        at=draw(st.floats()),
        elapsed_s=draw(st.floats()),
        health=draw(st.builds(HealthLook, ok=ANYTHING, sentence=ANYTHING) | ANYTHING),
        source=draw(st.sampled_from(["probes", "totals", "rates", "none", "else"])),
        samples=draw(ANYTHING),
        failures=draw(ANYTHING),
        durations_ms=draw(st.lists(ANYTHING, max_size=60).map(tuple) | ANYTHING),
        failure_rate=draw(ANYTHING),
        p95_ms=draw(ANYTHING),
        queue=draw(ANYTHING),
        catalogue=draw(st.builds(CatalogueLook, ok=ANYTHING, sentence=ANYTHING) | ANYTHING),
        errors=draw(st.lists(ANYTHING, max_size=2).map(tuple) | ANYTHING),
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(rubbish(), max_size=6),
    st.builds(
        Baseline,
        **dict.fromkeys(("samples", "failures", "failure_rate", "p95_ms", "queue"), ANYTHING),
        source=st.sampled_from(["probes", "none"]),
    ),
)
def test_nothing_that_a_service_tells_makes_the_rules_raise(series, baseline):
    plan = Plan("w", baseline=baseline)
    rows = judge(plan, series)
    assert [row.rule for row in rows] == list(RULES)
    for row in rows:
        assert row.verdict in {"pass", "fail", "no data", "collector error"}
        assert "\n" not in row.sentence and row.sentence.isprintable() and row.sentence
        for figure in (row.value, row.limit, row.baseline, row.margin):
            assert figure is None or math.isfinite(figure)
    next_line(plan, rows, 60.0)
    decide_end(plan, [rows])
    measured = [each.to_json() for each in series]
    ticks = [{"what": "tick", "measurement": each, "rules": [row.to_json() for row in rows]} for each in measured]

    report_markdown(report_of([{"what": "begin", "plan": {"run": "w"}}, *ticks]))


@settings(deadline=None)
@given(SERIES, baselines())
def test_more_failures_never_make_a_failing_rule_pass(series, baseline):
    plan = Plan("w", baseline=baseline)
    worse = [replace(each, failures=min(each.samples, each.failures + 3)) for each in series]
    slower = [replace(each, durations_ms=tuple(2 * ms for ms in each.durations_ms)) for each in series]
    for rule, others in ((1, worse), (2, slower)):
        if judge(plan, series)[rule].verdict == "fail":
            assert judge(plan, others)[rule].verdict == "fail"


@settings(deadline=None)
@given(SERIES, baselines())
def test_a_bad_look_never_makes_a_failing_rule_pass(series, baseline):
    plan = Plan("w", baseline=baseline)
    bad = [*series, replace(series[-1], health=HealthLook(False), catalogue=CatalogueLook(False))]
    for rule in (0, 4):
        if judge(plan, series)[rule].verdict == "fail":
            assert judge(plan, bad)[rule].verdict == "fail"


@settings(deadline=None)
@given(SERIES, baselines(), st.sampled_from([math.nan, math.inf, -1.0, "12"]))
def test_what_is_no_number_never_passes(series, baseline, nonsense):
    last = replace(series[-1], durations_ms=(nonsense,) * 60, queue=nonsense, failures=nonsense)
    rows = judge(Plan("w", baseline=baseline), [*series, last])
    assert all(row.verdict != "pass" and (row.verdict == "fail" or not row.could_fire) for row in rows[1:4])


@settings(deadline=None)
@given(sane(), baselines(), st.randoms())
def test_the_order_of_the_images_does_not_matter(measurement, baseline, random):
    shuffled = list(measurement.durations_ms)
    random.shuffle(shuffled)
    plan = Plan("w", baseline=baseline)
    assert judge(plan, [measurement]) == judge(plan, [replace(measurement, durations_ms=tuple(shuffled))])


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=5, max_size=5), baselines(), st.permutations(range(5)))
def test_the_order_within_a_run_does_not_matter(failed, baseline, order):
    plan = Plan("w", baseline=baseline)
    run = [
        Measurement(n, 0.0, 0.0, source="probes", samples=20, failures=failures) for n, failures in enumerate(failed)
    ]
    one, other = judge(plan, run)[1], judge(plan, [run[n] for n in order])[1]
    assert replace(one, trend=()) == replace(other, trend=())


@settings(deadline=None)
@given(SERIES, baselines())
def test_what_was_not_measured_is_no_pass(series, baseline):
    empty = Measurement(99, 0.0, 0.0)
    rows = judge(Plan("w", baseline=baseline), [*series, empty])
    assert overall(rows) != "pass"
    assert all(row.verdict != "pass" for row in rows)
    rows = judge(Plan("w", baseline=baseline), [*series, replace(empty, errors=("no network",))])
    assert all(row.verdict in {"fail", "collector error"} for row in rows)
