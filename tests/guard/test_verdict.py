from dataclasses import replace

import pytest

from mobius_tui.guard.model import RULES, Plan, RuleRow
from mobius_tui.guard.verdict import decide_end, failing, next_line, overall

AUTO = Plan("watch-20261120T120000Z", auto=True, duration_s=600.0, interval_s=60.0)
HAND = replace(AUTO, auto=False)
GOOD = tuple(
    RuleRow(rule, "pass", value=0.0, limit=3.0, could_fire=True, needed=100, sentence=f"{rule} is good")
    for rule in RULES
)


def rows(**changes):
    """Good rows, but for some: ``rows(health={"value": 2.0})``."""
    return tuple(replace(row, **changes.get(row.rule, {})) for row in GOOD)


FAIL = {"verdict": "fail", "sentence": "so it is"}
SILENT = {"verdict": "no data", "could_fire": False, "value": None, "sentence": "nothing"}
BROKEN = {"verdict": "collector error", "could_fire": False, "value": None, "sentence": "no way"}


def test_the_worst_verdict_is_that_of_the_whole():
    assert overall(()) == "no data"
    assert overall(GOOD) == "pass"
    assert overall(rows(p95=SILENT)) == "no data"
    assert overall(rows(p95=SILENT, queue=BROKEN)) == "collector error"
    assert overall(rows(p95=SILENT, queue=BROKEN, health=FAIL)) == "fail"
    assert [row.rule for row in failing(rows(health=FAIL, queue=FAIL))] == ["health", "queue"]


@pytest.mark.parametrize(
    ("plan", "shown", "left_s", "line"),
    [
        (AUTO, (), 600, "waiting for the first measurement"),
        (AUTO, GOOD, 2441, "all rules pass; accepted in 41 min"),
        (AUTO, GOOD, 90, "all rules pass; accepted in 90 s"),
        (AUTO, GOOD, 0, "the time is over: being decided"),
        (AUTO, rows(health={"value": 2.0}), 600, "health failed 2 in a row: one more failure rolls back"),
        (AUTO, rows(queue=FAIL), 600, "queue is over the limit: rolling back"),
        (AUTO, rows(queue=FAIL, p95=FAIL), 600, "p95, queue are over the limit: rolling back"),
        (
            HAND,
            rows(queue=FAIL),
            600,
            "queue is over the limit: would roll back; automatic rollback is off: it pages and asks",
        ),
        (
            HAND,
            rows(catalogue={"value": 1.0}),
            600,
            "the catalogue was bad at the last look: one more bad look would roll back; automatic rollback is off: "
            "it pages and asks",
        ),
        (
            AUTO,
            rows(p95={"value": 4.0}),
            600,
            "p95 is over the limit, but that can be an accident: more of it rolls back",
        ),
        (
            AUTO,
            rows(p95={"value": 4.0, "needed": 3}),
            600,
            "p95 is over the limit as the service tells it: 3 in a row rolls back",
        ),
        (AUTO, rows(p95=SILENT), 600, "p95: no data; accepted in 10 min if all have data by then"),
    ],
)
def test_what_happens_next_is_said(plan, shown, left_s, line):
    assert next_line(plan, shown, left_s) == line


def end(history, plan=AUTO, **more):
    return decide_end(plan, history, **more)


def test_a_watch_with_all_its_data_and_no_failure_is_accepted():
    assert end([GOOD] * 10) == ("accepted", "every rule had data and none failed in 10 of 10 measurements")


def test_a_watch_without_a_sample_is_never_accepted():
    assert end([]) == ("undecided", "nothing was measured")
    assert (
        end([rows(health=SILENT, failures=SILENT, p95=SILENT, queue=SILENT, catalogue=SILENT)] * 10)[0] == "undecided"
    )


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_fails_at_the_end_is_not_accepted(rule):
    outcome, reason = end([GOOD] * 9 + [rows(**{rule: FAIL})], HAND)
    assert outcome == "undecided" and f"{rule} fails" in reason and "nobody has answered" in reason
    assert end([GOOD] * 9 + [rows(**{rule: FAIL})], HAND, answered=10)[0] == "undecided"


@pytest.mark.parametrize("rule", RULES)
def test_a_failure_that_nobody_answered_is_not_forgotten(rule):
    history = [GOOD] * 4 + [rows(**{rule: FAIL})] + [GOOD] * 5
    outcome, reason = end(history, HAND)
    assert outcome == "undecided" and f"{rule} failed (measurement 5: so it is)" in reason
    assert end(history, HAND, answered=5)[0] == "accepted"
    assert end(history, HAND, answered=4)[0] == "undecided"


@pytest.mark.parametrize("rule", ["health", "catalogue"])
def test_health_and_catalogue_must_be_good_at_the_end(rule):
    for change in (SILENT, BROKEN, {"value": 1.0, "sentence": "1 bad in a row"}):
        outcome, reason = end([GOOD] * 9 + [rows(**{rule: change})])
        assert outcome == "undecided" and f"{rule} is not good at the end" in reason


@pytest.mark.parametrize("rule", ["health", "catalogue"])
@pytest.mark.parametrize(("silent", "outcome"), [(5, "accepted"), (6, "undecided")])
def test_health_and_catalogue_need_data_at_half_of_what_fell_due(rule, silent, outcome):
    assert end([rows(**{rule: SILENT})] * silent + [GOOD] * (10 - silent))[0] == outcome


@pytest.mark.parametrize("rule", ["failures", "p95", "queue"])
def test_the_other_rules_must_have_been_able_to_fire_in_the_last_quarter(rule):
    assert end([rows(**{rule: SILENT})] * 9 + [GOOD])[0] == "accepted"
    assert end([GOOD] * 8 + [rows(**{rule: SILENT})] * 2)[0] == "accepted"
    outcome, reason = end([GOOD] * 7 + [rows(**{rule: SILENT})] * 3)
    assert outcome == "undecided" and f"{rule} could not have fired" in reason and "(nothing)" in reason


@pytest.mark.parametrize("rule", ["health", "catalogue"])
@pytest.mark.parametrize(("bad", "outcome"), [(5, "accepted"), (6, "undecided")])
def test_health_and_catalogue_must_have_been_good_at_half_of_what_fell_due(rule, bad, outcome):
    assert end([rows(**{rule: {"value": 1.0}})] * bad + [GOOD] * (10 - bad))[0] == outcome


@pytest.mark.parametrize("rule", ["failures", "p95"])
@pytest.mark.parametrize(("needed", "enough"), [(100, 3), (3, 1)])
def test_a_rate_that_stays_over_its_limit_to_the_end_is_not_accepted_as_an_accident(rule, needed, enough):
    over = rows(**{rule: {"value": 3.1, "margin": -0.03, "needed": needed}})
    assert end([GOOD] * (11 - enough) + [over] * (enough - 1))[0] == "accepted"
    outcome, reason = end([GOOD] * (10 - enough) + [over] * enough)
    assert outcome == "undecided" and f"{rule} was over its limit at the last" in reason
    assert end([over] * 9 + [GOOD])[0] == "accepted"
    silent = rows(**{rule: SILENT})
    assert end([GOOD] * (9 - enough) + [over] * enough + [silent])[0] == "undecided"


def test_measurements_that_were_missed_count_as_due():
    assert end([GOOD] * 5, numbers=[1, 2, 3, 4, 10])[0] == "accepted"
    outcome, reason = end([GOOD] * 4, numbers=[1, 2, 3, 10])
    assert outcome == "undecided" and "health had data at 4 of 10" in reason
    assert end([GOOD] * 10, due=30)[0] == "undecided"


def test_a_guard_that_was_away_at_the_end_has_seen_no_good_end():
    assert end([GOOD] * 8)[0] == "accepted"
    outcome, reason = end([GOOD] * 7)
    assert outcome == "undecided" and "the last 3 measurements were missed" in reason
