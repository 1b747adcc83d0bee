"""What /metrics/dhash says is taken only where it makes sense."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_service import FIGURES

from mobius_tui.guard.figures import RATE_RULES, count_of, number_of, read_figures
from mobius_tui.launch.questions import Answer

TOTALS = {"images_total": 10, "image_processing_errors": 1}


def told(**changed: Any) -> Answer:
    return Answer(200, data=json.dumps({**FIGURES, **changed}).encode())


def test_a_good_answer() -> None:
    found = read_figures(
        told(extraction_failures_rate=0.02, samples=50, failed_samples=1, totals=TOTALS, cpu_percent=3, strange=[1])
    )
    assert (found.failure_rate, found.p95_ms, found.queue) == (0.02, 45.0, 3)
    assert (found.samples, found.failed_samples, found.images_total, found.errors_total) == (50, 1, 10, 1)
    assert found.told and found.errors == () and found.other["cpu_percent"] == 3 and "strange" not in found.other
    assert found.other["totals"] == TOTALS and found.other["system_health_status"] == "healthy"


NONSENSE = [math.nan, math.inf, -math.inf, -1, -0.001, "0.1", True, False, [0.1], {"a": 1}, 10**400, 1e300]
FIELDS = {
    "failures": ("extraction_failures_rate", "failure_rate"),
    "p95": ("p95_hash_time_ms", "p95_ms"),
    "queue": ("low_confidence_queue_length", "queue"),
}


@pytest.mark.parametrize("rule", FIELDS)
@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: str(value)[:12])
def test_nonsense_is_an_error_of_its_rule_alone(rule: str, value: object) -> None:
    name, attribute = FIELDS[rule]
    found = read_figures(told(**{name: value}))
    assert getattr(found, attribute) is None
    assert len(found.errors) == 1 and found.errors[0].startswith(f"{rule}: ") and name in found.errors[0]
    assert len(found.errors[0]) < 150
    others = [attribute for other, (_, attribute) in FIELDS.items() if other != rule]
    assert all(getattr(found, other) is not None for other in others)


@pytest.mark.parametrize(("field", "value"), [("extraction_failures_rate", 1.01), ("low_confidence_queue_length", 1.5)])
def test_beyond_its_range(field: str, value: float) -> None:
    assert len(read_figures(told(**{field: value})).errors) == 1


def test_null_is_nothing_to_tell_and_missing_is_an_error() -> None:
    found = read_figures(told(p95_hash_time_ms=None, extraction_failures_rate=None, low_confidence_queue_length=None))
    assert found.errors == () and (found.failure_rate, found.p95_ms, found.queue) == (None, None, None)
    found = read_figures(Answer(200, data=b"{}"))
    assert [error.partition(":")[0] for error in found.errors] == list(RATE_RULES)


@pytest.mark.parametrize(
    "totals", [None, [], "x", {}, {"images_total": 5}, {"images_total": True, "image_processing_errors": 0},
               {"images_total": -1, "image_processing_errors": 0}, {"images_total": 1, "image_processing_errors": "0"}],
)  # fmt: skip
def test_totals_count_only_whole(totals: object) -> None:
    found = read_figures(told(totals=totals))
    assert found.images_total is None and found.errors_total is None and found.errors == ()


@pytest.mark.parametrize(
    ("answer", "errors", "says"),
    [
        (Answer(404), 0, "has no /metrics/dhash"),
        (Answer(405), 0, "has no /metrics/dhash"),
        (Answer(401), 3, "INTERNAL_API_KEY"),
        (Answer(403), 3, "INTERNAL_API_KEY"),
        (Answer(500), 3, "answered 500"),
        (Answer(302), 3, "answered 302"),
        (Answer(200, data=b"<html>"), 3, "no JSON"),
        (Answer(200, data=b""), 3, "no JSON"),
        (Answer(200, data=b"[" * 100_000), 3, "no JSON"),
        (Answer(200, data=b'{"p95_hash_time_ms": ' + b"9" * 5000 + b"}"), 3, "no JSON"),
        (Answer(200, data=b"[1]"), 3, "no object"),
        (Answer(trouble="timeout", problem="late"), 0, "late"),
        (Answer(trouble="refused", problem="nobody"), 0, "nobody"),
        (Answer(trouble="own", problem="no descriptors"), 3, "no descriptors"),
        (Answer(200, trouble="too long", problem="too long"), 3, "too long"),
    ],
)
def test_an_answer_without_figures(answer: Answer, errors: int, says: str) -> None:
    found = read_figures(answer)
    assert len(found.errors) == errors and not found.told
    assert all(says in said for said in (*found.errors, *found.remarks)) and (found.errors or found.remarks)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from([*FIGURES, "totals", "samples", "failed_samples"])


@given(st.dictionaries(NAMES, JSON | st.fixed_dictionaries({"images_total": JSON, "image_processing_errors": JSON})))
def test_whatever_is_told_what_is_taken_makes_sense(body: dict[str, Any]) -> None:
    found = read_figures(Answer(200, data=json.dumps(body).encode()))
    assert found.failure_rate is None or 0 <= found.failure_rate <= 1
    assert found.p95_ms is None or (math.isfinite(found.p95_ms) and found.p95_ms >= 0)
    assert all(count is None or (type(count) is int and count >= 0) for count in (found.queue, found.images_total))
    assert all(error.partition(":")[0] in RATE_RULES and error.isprintable() for error in found.errors)
    json.dumps(dict(found.other), allow_nan=False)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    read_figures(Answer(200, data=data))


@given(st.integers() | st.floats() | st.booleans() | st.text())
def test_numbers_and_counts(value: object) -> None:
    number, count = number_of(value, 100.0), count_of(value)
    assert number is None or (not isinstance(value, bool) and 0 <= number <= 100 and number == value)
    assert count is None or (not isinstance(value, bool) and count == value)
