"""A watch's lines: units, dashes for what was not measured, at most 80 columns."""

from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.cli.layout import columns_of
from mobius_tui.cli.watch_lines import (
    end_lines,
    event_sentence,
    failing_lines,
    figure,
    rule_table,
    tick_line,
    verdict_of,
)
from mobius_tui.guard.model import RULES, CatalogueLook, HealthLook, Measurement, RuleRow

GOOD = Measurement(
    12, 1_763_640_000.0, 720.0, health=HealthLook(True, "healthy"), catalogue=CatalogueLook(True), source="probes",
    samples=100, queue=37,
)  # fmt: skip
ROWS = [
    RuleRow("health", "pass", 0, 3, samples=1).to_json(),
    RuleRow("failures", "pass", 0.003, 0.03, 0.01, 100, 100, could_fire=True, margin=0.9).to_json(),
    RuleRow("p95", "fail", 45_000.0, 30_000.0, None, 100, 50, sentence="45 s of 30 s").to_json(),
    RuleRow("queue", "pass", 37, 137, 37, 1, margin=0.73).to_json(),
    RuleRow("catalogue", "no data").to_json(),
]


def test_each_rule_in_its_own_unit() -> None:
    assert figure("failures", 0.034) == "3.4%"
    assert figure("p95", 31.4) == "31 ms"
    assert figure("p95", 31_400) == "31.4 s"
    assert figure("queue", 1234) == "1,234"
    assert figure("queue", None) == "-"
    assert figure("p95", float("nan")) == "-"
    assert figure("p95", "soon") == "-"


def test_a_measurement_in_a_line_of_80_columns() -> None:
    line = tick_line(GOOD.to_json(), ROWS)
    assert line == "12:00:00  +12:00     FAIL     healthy      failed  0.3%  p95 45.0 s!  queue  37"
    assert len(line) <= 80


def test_a_late_measurement_says_so() -> None:
    late = {**GOOD.to_json(), "merged": 4}
    assert tick_line(late, ROWS).endswith("queue  37  3 late")


def test_the_worst_rule_is_the_verdict() -> None:
    assert verdict_of(ROWS) == "fail"
    assert verdict_of(ROWS[:2]) == "pass"
    assert verdict_of([*ROWS[:2], ROWS[4]]) == "no data"
    assert verdict_of([]) == "-"


def test_why_a_rule_fails_stands_below() -> None:
    assert failing_lines(ROWS, 80) == ["    p95: 45 s of 30 s"]


def test_a_rule_without_data_is_explained_where_it_is_asked_for() -> None:
    assert len(failing_lines(ROWS, 80, also={"failures"})) == 2


def test_what_happens_in_words() -> None:
    trigger = {"what": "trigger", "rule": "health", "who": "rule health", "reason": "health: 3 bad in a row"}
    assert event_sentence(trigger) == "rolling back: health: 3 bad in a row"
    assert event_sentence({**trigger, "rule": "", "who": "ada", "reason": "by hand"}) == (
        "rolling back, decided by ada: by hand"
    )
    assert (
        event_sentence({"what": "gap", "from": 3, "to": 5, "why": "asleep"})
        == "measurements 3 to 5 were missed: asleep"
    )
    asked = {"what": "wish", "who": "eve", "act": "stop", "reason": "enough", "answer": "stopped by eve"}
    assert event_sentence(asked) == "eve: stop (enough): stopped by eve"
    assert event_sentence({"what": "guard"}) == ""


def test_the_table_has_every_rule_whatever_is_there() -> None:
    lines = [line for line, _ in rule_table(ROWS[1:3], 80)]
    assert [line.split()[0] for line in lines[1:]] == list(RULES)
    assert all(columns_of(line) <= 80 for line in lines)
    assert lines[2].split() == ["failures", "0.3%", "3.0%", "1.0%", "100/100", "90%", "pass"]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ROW = st.dictionaries(st.sampled_from(["rule", "verdict", "value", "limit", "margin", "samples", "needed"]), ANYTHING)
MEASURED = st.dictionaries(st.sampled_from(["at", "elapsed_s", "merged", "health", "queue"]), ANYTHING)


@given(MEASURED, st.lists(ROW, max_size=6))
def test_damaged_rows_are_shown_as_far_as_they_go(measured: dict[str, object], rows: list[dict[str, object]]) -> None:
    tick_line(measured, rows)
    failing_lines(rows, 80)
    rule_table(rows, 80)
    end_lines(measured, 80)
    for what in ("trigger", "wish", "gap", "snapshot", "rollback"):
        event_sentence({**measured, "what": what})
