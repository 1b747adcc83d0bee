"""The alerts' rules: limits, how much evidence they need, and that nothing flaps, is sent twice or cleared unraised."""

from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.audiences import SEVERITIES
from mobius_tui.worker.alerting import CALM_S, NAMES, Figures, Look, Standing, judge, look_at

MINUTE = 60.0


def looks(**given):
    facts = {"images": 100, "failed": 0, "average_ms": 20.0, "p95_ms": 50.0, "queue": 0, "health": "healthy"}
    return look_at(Figures(**{**facts, **given}))


def said(name, **given):
    return looks(**given)[name].severity


def test_limits_are_those_of_the_contract():
    assert {name: look.severity for name, look in looks().items()} == dict.fromkeys(NAMES, "")
    assert (said("average", average_ms=100.0), said("average", average_ms=100.1)) == ("", "warning")
    assert (said("p95", p95_ms=200.0), said("p95", p95_ms=200.1)) == ("", "warning")
    assert (said("failures", failed=5), said("failures", failed=6)) == ("", "critical")
    assert (said("queue", queue=100), said("queue", queue=101)) == ("", "info")
    assert (said("health", health="degraded"), said("health", health="unhealthy")) == ("warning", "critical")


def test_few_images_say_nothing_and_few_failures_are_no_rate():
    few = looks(images=19, failed=19, average_ms=900.0, p95_ms=900.0)
    assert {few[name].severity for name in ("average", "p95", "failures")} == {None}
    assert said("failures", images=20, failed=4) == ""
    assert said("failures", images=20, failed=5) == "critical"


def test_an_empty_window_holds_nothing_up_and_says_so():
    empty = looks(images=0, average_ms=None, p95_ms=None)
    for name in ("average", "p95", "failures"):
        assert empty[name].severity == ""
        assert "not known" in empty[name].sentence
    unreadable = look_at(Figures(health="unhealthy", wrong="the database cannot be used"))
    assert {unreadable[name].severity for name in NAMES if name != "health"} == {None}
    assert "the database cannot be used" in unreadable["health"].sentence


def run(name, severities, every=MINUTE):
    """Judge one look a minute; what was told, and how it stands."""
    standing, told = Standing(), []
    for number, severity in enumerate(severities):
        judged = judge(name, standing, Look(severity, 1.0, 2.0, "s"), 1000.0 + number * every)
        standing = judged.standing
        told += [(number, change.kind, change.row.severity) for change in judged.changes]
    return told, standing


def test_raised_at_once_and_cleared_after_two_calm_minutes():
    told, standing = run("failures", ["", "critical", "critical", "", "", "", ""])
    assert told == [(1, "alert", "critical"), (5, "clear", "critical")]
    assert standing == Standing()


def test_it_does_not_flap_at_its_limit():
    told, standing = run("p95", ["warning", "", "warning", "", "", "warning", ""] * 20)
    assert told == [(0, "alert", "warning")]
    assert standing.row is not None


def test_no_data_neither_raises_nor_clears():
    told, standing = run("failures", [None, "critical", None, None, None, "", None, "", None, "", None])
    assert told == [(1, "alert", "critical")]
    assert standing.row is not None


def test_health_is_degraded_at_the_second_look_and_unhealthy_at_the_first():
    assert run("health", ["warning", "", "warning", ""])[0] == []
    assert run("health", ["warning", "warning"])[0] == [(1, "alert", "warning")]
    assert run("health", ["critical"])[0] == [(0, "alert", "critical")]


def test_health_grows_worse_at_once_and_better_in_two_minutes():
    told, standing = run("health", ["warning", "warning", "critical", "warning", "warning", "warning", "warning"])
    assert told == [
        (1, "alert", "warning"),
        (2, "alert", "critical"),
        (5, "clear", "critical"),
        (5, "alert", "warning"),
    ]
    assert standing.row is not None
    assert standing.row.severity == "warning"


def test_looks_a_little_less_than_a_minute_apart_still_clear():
    assert run("queue", ["info", "", "", ""], every=59.6)[0] == [(0, "alert", "info"), (3, "clear", "info")]


def test_a_clock_that_goes_back_begins_the_calm_anew():
    row = judge("queue", Standing(), Look("info", 101.0, 100.0, "s"), 5000.0).standing
    calm = judge("queue", row, Look("", 1.0, 100.0, "s"), 5000.0).standing
    back = judge("queue", calm, Look("", 1.0, 100.0, "s"), 100.0)
    assert back.changes == ()
    assert judge("queue", back.standing, Look("", 1.0, 100.0, "s"), 100.0 + CALM_S).changes[0].kind == "clear"


@given(
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.sampled_from([None, "", *SEVERITIES]), st.floats(1, 200)), max_size=60),
)
def test_each_raise_is_told_once_and_only_what_was_raised_is_cleared(name, steps):
    standing, now, raised = Standing(), 1000.0, ""
    calm_from = None
    for severity, pause in steps:
        now += pause
        judged = judge(name, standing, Look(severity, 1.0, 2.0, "s"), now)
        for change in judged.changes:
            if change.kind == "alert":
                assert change.row.raised
                assert change.row.since == now
                assert SEVERITIES.index(change.row.severity) > (SEVERITIES.index(raised) if raised else -1)
                raised = change.row.severity
            else:
                assert raised == change.row.severity
                assert not change.row.raised
                assert change.row.cleared_at == now
                assert calm_from is not None
                assert now - calm_from >= CALM_S - 5
                raised = ""
        if severity is None:
            assert judged.changes == ()
            calm_from = None
        elif raised and severity and SEVERITIES.index(severity) >= SEVERITIES.index(raised):
            calm_from = None
        elif calm_from is None or not raised:
            calm_from = now
        assert (judged.standing.row.severity if judged.standing.row else "") == raised
        standing = judged.standing
