from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.cli.layout import columns_of, fitted, labelled, padded, table, wrapped
from mobius_tui.text import visible

ANYTHING = st.text(st.characters(codec=None), max_size=40)


@given(ANYTHING, st.integers(1, 40), st.booleans())
def test_fitted_text_fits_and_is_visible(text: str, width: int, keep_end: bool) -> None:
    shown = fitted(text, width, keep_end=keep_end)
    assert columns_of(shown) <= width
    assert shown.isprintable() or shown == visible(shown)
    if columns_of(visible(text)) <= width:
        assert shown == visible(text)
    else:
        assert visible(text).endswith(shown[1:]) if keep_end else visible(text).startswith(shown[:-1])


@given(st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING), max_size=6), st.integers(0, 2), st.booleans())
def test_tables_fit_and_their_columns_stand_under_each_other(
    rows: list[tuple[str, str, str]], flexible: int, cut_end: bool
) -> None:
    short = [tuple(cell[:7] if at != flexible else cell for at, cell in enumerate(row)) for row in rows]
    width = 110
    for line in table(short, heads=("one", "two", "three"), flexible=flexible, cut_end=cut_end, width=width):
        assert columns_of(line) <= width
        assert visible(line) == line


def test_a_table_by_example() -> None:
    rows = [("7", "migrate", "/a/very/long/path/to/a/file.png"), ("12", "dry-run", "図.png")]
    assert table(rows, heads=("id", "kind", "path"), right=[0], width=30) == [
        "id  kind     path",
        " 7  migrate  ~th/to/a/file.png",
        "12  dry-run  図.png",
    ]
    assert table([]) == []


def test_wide_and_combining_characters() -> None:
    assert columns_of("図a") == 3
    assert columns_of("e\u0301") == 1
    assert padded("図", 4) == "図  "
    assert fitted("図図図", 4) == "図~"


@given(st.lists(st.tuples(st.sampled_from(["a", "long label", "図"]), ANYTHING), max_size=5))
def test_labelled_values_start_in_one_column(pairs: list[tuple[str, str]]) -> None:
    for line in labelled(pairs, width=80):
        assert columns_of(line) <= 80


@given(ANYTHING)
def test_wrapped_lines_fit(text: str) -> None:
    for line in wrapped(text, indent="  ", width=40):
        assert len(line) <= 40
        assert visible(line) == line
