"""When a deploy may begin, and the times people type."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.operations.deploy.window import (
    FURTHEST_DAYS,
    WEEKDAYS,
    closed_sentence,
    is_open,
    next_open,
    parse_time,
    parse_window,
    refuse_closed,
)
from mobius_tui.system import clock

DAY = 86_400
TIMES = st.floats(0, 4_000_000_000, allow_nan=False)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# 2026-11-20 is a Friday
@pytest.mark.parametrize(
    ("window", "time", "is_so"),
    [
        ("23:00-00:00 UTC", "2026-11-20T23:00:00", True),
        ("23:00-00:00 UTC", "2026-11-20T23:59:59", True),
        ("23:00-00:00 UTC", "2026-11-21T00:00:00", False),
        ("23:00-00:00 UTC", "2026-11-20T22:59:59", False),
        ("22:00-02:00 UTC", "2026-11-21T01:59:59", True),
        ("22:00-02:00 utc", "2026-11-21T02:00:00", False),
        ("Mon-Fri 22:00-02:00 UTC", "2026-11-21T01:00:00", True),  # Saturday, begun on Friday
        ("Mon-Fri 22:00-02:00 UTC", "2026-11-21T22:00:00", False),
        ("Mon-Fri 22:00-02:00 UTC", "2026-11-23T01:00:00", False),  # Monday, Sunday's stretch is none
        ("Sat-Sun 00:00-24:00 UTC", "2026-11-22T23:59:59", True),
        ("Fri-Mon 10:00-11:00 UTC", "2026-11-23T10:30:00", True),
        ("Fri-Mon 10:00-11:00 UTC", "2026-11-24T10:30:00", False),
        ("Wed 10:00-11:00 UTC, fri 12:00 - 13:00 UTC", "2026-11-20T12:30:00", True),
        ("24:00-01:00 UTC", None, None),
        ("9:00-10:00 UTC", "2026-11-20T09:30:00", True),
        ("", "2026-11-20T09:30:00", True),
    ],
)
def test_open_and_closed(window, time, is_so):
    if time is None:
        with pytest.raises(BadInput):
            parse_window(window)
    else:
        assert is_open(parse_window(window), at(time)) is is_so


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("23:00-00:00", "says no time zone"),
        ("23:00-00:00 CET", "CET"),
        ("23:00-00:00 Europe/Berlin", "Europe/Berlin"),
        ("23:00-00:00 UTC+1", "UTC+1"),
        ("23:00-23:00 UTC", "no length"),
        ("23:60-23:00 UTC", "no time 23:60"),
        ("23:00-24:01 UTC", "no time 24:01"),
        ("Montag 23:00-23:30 UTC", "'Montag'"),
        ("23:00 UTC", "cannot be"),
        ("23:00-00:00 UTC,", "cannot be"),
        ("always", "cannot be"),
    ],
)
def test_what_cannot_be_meant_is_said(text, said):
    with pytest.raises(BadInput) as caught:
        parse_window(text, where="mobius.toml")
    assert said in caught.value.what
    assert (caught.value.where, bool(caught.value.fix)) == ("mobius.toml", True)


@given(st.text(max_size=40))
def test_any_text_is_a_window_or_a_sentence(text):
    try:
        window = parse_window(text)
    except BadInput as error:
        assert str(error).isprintable()
    else:
        assert is_open(window, next_open(window, 0.0))


@st.composite
def spans(draw):
    begin = draw(st.integers(0, 24 * 60 - 1))
    end = draw(st.integers(0, 24 * 60 - 1).filter(lambda end: end != begin))
    days = draw(st.none() | st.tuples(st.integers(0, 6), st.none() | st.integers(0, 6)))
    text = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02} UTC"
    if days is not None:
        first, last = days
        text = f"{WEEKDAYS[first]}{'' if last is None else '-' + WEEKDAYS[last]} {text}"
    return text, begin, end, days


def by_the_calendar(span, time: float) -> bool:
    """The same rule, told with a calendar, minute by minute of the day."""
    _, begin, end, days = span
    moment = datetime.fromtimestamp(time, UTC)
    minute = moment.hour * 60 + moment.minute
    if begin < end:
        started, inside = moment, begin <= minute < end
    else:
        started = moment if minute >= begin else moment - timedelta(days=1)
        inside = minute >= begin or minute < end
    if days is None:
        return inside
    first, last = days
    allowed, day = {first}, first
    while last is not None and day != last:
        day = (day + 1) % 7
        allowed.add(day)
    return inside and started.weekday() in allowed


@given(st.lists(spans(), min_size=1, max_size=3), st.integers(10 * DAY, 4_000_000_000))
def test_a_window_is_what_the_calendar_says(given_spans, time):
    window = parse_window(", ".join(span[0] for span in given_spans))
    assert is_open(window, time) == any(by_the_calendar(span, time) for span in given_spans)


@given(st.lists(spans(), min_size=1, max_size=3), TIMES)
def test_the_next_opening_is_open_and_nothing_before_it(given_spans, time):
    window = parse_window(", ".join(span[0] for span in given_spans))
    opens = next_open(window, time)
    assert time <= opens <= time + 8 * DAY
    assert is_open(window, opens)
    if opens > time:
        assert not is_open(window, opens - 0.5) or opens - 0.5 < time
        minute = int(time) // 60 * 60 + 60
        while minute < opens:
            assert not is_open(window, minute)
            minute += max(60, int(opens - minute) // 7 // 60 * 60)
        assert f"opens at {clock.iso(opens)}" in closed_sentence(window, time)
        with pytest.raises(EnvironmentFailed, match="is closed"):
            refuse_closed(window, time, force=False)
        refuse_closed(window, time, force=True)


NOW = at("2026-11-20T12:00:30")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("23:15", "2026-11-20T23:15:00"),
        ("12:00", "2026-11-21T12:00:00"),
        ("9:05", "2026-11-21T09:05:00"),
        ("24:00", "2026-11-21T00:00:00"),
        ("2026-11-20T23:15Z", "2026-11-20T23:15:00"),
        ("2026-11-20 23:15:30Z", "2026-11-20T23:15:30"),
        ("2026-11-20T23:15+02:00", "2026-11-20T21:15:00"),
        ("+10m", "2026-11-20T12:10:30"),
        ("+1h30m", "2026-11-20T13:30:30"),
        ("+45s", "2026-11-20T12:01:15"),
    ],
)
def test_typed_times(text, expected):
    assert parse_time(text, NOW) == at(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-20T23:15", "no time zone"),
        ("2026-11-20", "no time zone"),
        ("2026-11-20T12:00Z", "is past"),
        ("2027-11-20T12:00Z", "more than 31 days"),
        ("+9999h", "more than 31 days"),
        ("25:00", "no time 25:00"),
        ("+", "is no time"),
        ("+10", "is no time"),
        ("tomorrow", "is no time"),
        ("", "is no time"),
        ("0001-01-01T00:00+23:59", "calendar"),
    ],
)
def test_typed_times_that_are_none(text, said):
    with pytest.raises(BadInput, match=said):
        parse_time(text, NOW)


@given(st.text(max_size=30), TIMES)
def test_any_typed_text_is_a_time_or_a_sentence(text, now):
    try:
        found = parse_time(text, now)
    except BadInput as error:
        assert str(error).isprintable()
    else:
        assert now <= found <= now + FURTHEST_DAYS * DAY


@given(st.integers(0, 23), st.integers(0, 59), TIMES)
def test_a_clock_time_is_the_next_one(hours, minutes, now):
    found = parse_time(f"{hours}:{minutes:02}", now)
    assert now <= found <= now + DAY
    moment = datetime.fromtimestamp(found, UTC)
    assert (moment.hour, moment.minute, moment.second) == (hours, minutes, 0)
