"""Trend lines: a fixed scale, a limit that shows, gaps that stay gaps."""

from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.console.glyphs import UNICODE
from mobius_tui.console.lines import plain, width_of
from mobius_tui.console.trends import level_of, round_scale, trend_line

POINTS = st.lists(st.one_of(st.none(), st.floats(0, 500)), min_size=1, max_size=30)


def test_flat_noise_is_one_run_of_the_lowest_bar():
    noise = [1.0, 1.4, 0.9, 1.2, 1.1, 1.3] * 5
    assert trend_line(noise, 30, 50.0, UNICODE) == (("▁" * 30, "bar"),)


def test_only_values_over_the_limit_are_marked():
    line = trend_line([49.9, 50.0, 50.1], 3, 50.0, UNICODE)
    assert line == (("▆▆", "bar"), ("█", "bad"))


def test_nothing_measured_is_a_gap_and_no_zero():
    assert trend_line([None, 0.0], 2, 1.0, UNICODE) == (("·", "muted"), ("▁", "bar"))


def test_a_scale_without_a_limit_marks_nothing():
    assert "bad" not in {role for _, role in trend_line([9.0, 99.0], 2, 10.0, UNICODE, judged=False)}


@given(POINTS, st.integers(0, 70))
def test_never_wider_than_its_room_and_the_newest_is_there(points, width):
    line = trend_line(points, width, 100.0, UNICODE)
    assert width_of(line) <= width
    if width:
        last = points[-1]
        bar = "·" if last is None else "█" if last > 100 else level_of(last, 100.0, UNICODE.levels)
        assert plain(line)[-1] == bar


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_larger_value_has_no_lower_bar(one, other):
    small, large = sorted((one, other))
    levels = UNICODE.levels
    assert levels.index(level_of(small, 200.0, levels)) <= levels.index(level_of(large, 200.0, levels))


@given(st.lists(st.floats(0, 1e9), max_size=5))
def test_the_scale_holds_every_value_and_is_a_round_number(values):
    scale = round_scale(values, 10.0)
    assert scale >= max([10.0, *values])
    assert f"{scale:.0f}".strip("0") in {"1", "2", "5"}
