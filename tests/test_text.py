from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.text import duration_of, human_bytes, human_seconds, spoken_seconds, visible

ANYTHING = st.text(st.characters(codec=None), max_size=60)


@given(ANYTHING)
def test_visible_text_steers_no_terminal(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(c) for c in shown} & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "PDI"}
    shown.encode("utf-8")


@given(ANYTHING)
def test_printable_text_is_left_alone_and_twice_is_once(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text


def test_visible_examples() -> None:
    assert visible("a\x1b[31mb\n") == "a\\x1b[31mb\\x0a"
    assert visible("\u202etxt.exe") == "\\u202etxt.exe"
    assert visible("caf\udce9") == "caf\\udce9"
    assert visible("\U000e0041") == "\\U000e0041"
    assert visible("ébauche 図.png") == "ébauche 図.png"


@given(st.floats(0, 1e15))
def test_sizes_are_short(count: float) -> None:
    assert len(human_bytes(count)) <= 10


def test_sizes_and_durations() -> None:
    assert [human_bytes(n) for n in (0, 999, 1000, 1_234_567, 123_456_789, 5e12)] == [
        "0 B", "999 B", "1.0 kB", "1.2 MB", "123 MB", "5.0 TB",
    ]  # fmt: skip
    assert [human_seconds(n) for n in (0.42, 9.96, 42, 185, 3729)] == ["0.4 s", "10.0 s", "42 s", "3:05", "1:02:09"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("60m", 3600), ("1h30m", 5400), ("48h", 172_800), ("7d", 604_800), ("0.5s", 0.5), (" 2H ", 7200)],
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert duration_of(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "m", "1m1h", "-5m", "1.m", "five", "1e3s", "٣s"])
def test_no_durations(text: str) -> None:
    assert duration_of(text) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (0.4, "0 s"), (90, "90 s"), (119.6, "2 min"), (900, "15 min"), (901, "16 min"), (3600, "1 h"),
     (3900.2, "1 h 5 min"), (86_400, "24 h")],
)  # fmt: skip
def test_times_in_sentences(seconds: float, said: str) -> None:
    assert spoken_seconds(seconds) == said
