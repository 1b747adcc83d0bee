"""Lines: exact widths, nothing lost between what changed and what is sent."""

import itertools
import string
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mobius_tui.console.glyphs import ASCII, UNICODE
from mobius_tui.console.lines import (
    clip,
    columns,
    difference,
    fit,
    fit_middle,
    merge,
    outside,
    plain,
    width_of,
    wrap,
)

TEXT = st.text(st.sampled_from(string.ascii_letters + " /.-_漢é"), max_size=60)
LINE = st.lists(st.tuples(TEXT, st.sampled_from(["", "ok", "bad"])), max_size=6).map(tuple)
WIDTH = st.integers(0, 80)


@given(TEXT, WIDTH)
def test_fit_gives_exactly_the_width(text, width):
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width
    assert cell_len(fit_middle(text, width)) == width


@given(st.text(max_size=50))
def test_outside_has_no_control_and_no_second_line(text):
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not {unicodedata.category(character) for character in outside(text)} & hidden


def test_the_middle_goes_and_folder_and_name_stay():
    assert fit_middle("rulebook/second-printing/scoring/p05.png", 24) == "ruleboo…/scoring/p05.png"


@given(LINE, WIDTH)
def test_clip_gives_exactly_the_width_and_the_beginning(line, width):
    clipped = clip(line, width)
    assert width_of(clipped) == width
    assert plain(clipped).removesuffix("…").rstrip() in plain(line) + " " * width
    assert plain(clipped).endswith("…") == (width > 1 and width_of(line) > width and _is_lost(plain(line), clipped))


def _is_lost(text, clipped):
    """Whether more than spaces of a text is not in its first cells."""
    return text.rstrip() != plain(clipped).rstrip()


def test_clip_says_that_text_was_lost_but_not_that_spaces_were():
    line = (("abc", "ok"), ("def  ", "bad"))
    assert clip(line, 5) == (("abc", "ok"), ("d…", "bad"))
    assert clip(line, 4) == (("abc…", "ok"),)
    assert clip(line, 6) == (("abc", "ok"), ("def", "bad"))
    assert plain(clip(line, 1)) == "a"
    assert plain(clip((("漢漢", ""),), 3)) == "漢…"


@given(LINE)
def test_merged_neighbours_have_different_roles(line):
    merged = merge(line)
    assert plain(merged) == plain(line)
    assert all(a[1] != b[1] for a, b in itertools.pairwise(merged))


@given(LINE, LINE, st.integers(1, 60))
def test_what_lies_outside_of_the_difference_is_equal(before, after, width):
    old, new = clip(before, width), clip(after, width)
    found = difference(old, new)
    if found is None:
        assert old == new
        return
    first, last = found
    assert 0 <= first < last <= width
    cells = [[(c, role) for text, role in line for c in text] for line in (old, new)]
    if all(len(each) == width for each in cells):
        assert cells[0][:first] == cells[1][:first]
        assert cells[0][last:] == cells[1][last:]
        assert cells[0][first] != cells[1][first]
        assert cells[0][last - 1] != cells[1][last - 1]


@given(TEXT, st.integers(1, 40), st.integers(1, 6))
def test_wrapped_rows_keep_to_width_and_number(text, width, most):
    rows = wrap(text, width, most)
    assert len(rows) <= most
    assert all(cell_len(row) <= width for row in rows)


def test_wrap_loses_no_word_when_there_is_room():
    text = "913 of 12,482 images failed or are missing: nothing is published"
    assert " ".join(wrap(text, 20, 10)) == text


def test_wrap_says_that_something_was_cut():
    assert wrap("one two three four", 9, 1) == ["one two …"]


def test_columns_leave_out_what_is_empty():
    assert plain(columns([("a", ""), ("", "ok"), ("b", "")])) == "a  b"


def test_every_ascii_mark_is_one_ascii_character():
    for name in ASCII.__dataclass_fields__:
        assert getattr(ASCII, name).isascii(), name
        assert len(getattr(ASCII, name)) == len(getattr(UNICODE, name)), name
        assert cell_len(getattr(UNICODE, name)) == len(getattr(UNICODE, name)), name
