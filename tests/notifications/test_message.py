"""What a notification says: redacted everywhere, escaped in its text, exact in its JSON."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.notifications.message import LONGEST_TEXT, Notification, body_of, repeated
from mobius_tui.text import visible


def told(**given):
    facts = {"kind": "alert", "severity": "critical", "audience": "qa", "title": "t", "sentence": "s", "at": 1.0}
    return Notification(**{**facts, **given})


def test_text_names_what_matters_and_how_to_end_the_repeats():
    body = body_of(told(environment="production", run="watch-1"), "0123abcd", "host", "/srv/w")
    assert body["text"] == (
        "[CRITICAL] production alert: t - s (watch-1) [`mobius alerts ack 0123abcd` ends the repeats]"
    )
    assert body["at"] == "1970-01-01T00:00:01Z"


def test_only_critical_ones_repeat_and_never_a_clear():
    assert told().repeats
    assert not told(kind="clear").repeats
    assert not told(kind="test").repeats
    assert not told(severity="warning").repeats


def test_a_repeat_says_so():
    body = repeated(body_of(told(), "0123abcd", "h", "/w"), 2, 61.0)
    assert "[repeat 2 of what was first sent at 1970-01-01T00:00:01Z, over since 1970-01-01T00:01:01Z]" in body["text"]
    assert body["repeat"] == 2


def test_secrets_and_personal_data_are_taken_out():
    body = body_of(
        told(title="for bob@example.com", sentence="token=abcdef123456", verdict={"api_key": "k", "at": "/home/bob/x"}),
        "0123abcd", "host", "/home/bob/library",
    )  # fmt: skip
    whole = json.dumps(body)
    assert "bob" not in whole
    assert "abcdef123456" not in whole
    assert body["verdict"]["api_key"] == "[hidden]"


def test_numbers_that_json_has_not_become_null():
    body = body_of(told(verdict={"p95": math.nan, "rows": [math.inf, 1.5]}), "0123abcd", "h", "/w")
    assert body["verdict"] == {"p95": None, "rows": [None, 1.5]}
    json.dumps(body, allow_nan=False)


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_text_is_one_printable_bounded_line(title, sentence):
    body = body_of(told(title=title, sentence=sentence), "0123abcd", "h", "/w")
    assert visible(body["text"]) == body["text"]
    assert len(body["text"]) < LONGEST_TEXT + 100
    assert json.loads(json.dumps(body)) == body
