"""A number longer than Python likes to convert keeps nobody from going back."""

from __future__ import annotations

from mobius_tui.rollback.plans import Figures, Present, figures_of, keeping_others


def test_a_number_of_5000_digits_is_carried_along() -> None:
    number = "9" * 5000
    live = f'{{"images": [{{"path": "a.png", "n": {number}}}, {{"path": "b.png"}}]}}'.encode()
    assert figures_of(live) == Figures(2, 0)
    wanted = keeping_others(b'{"images": [{"path": "a.png", "dhash": "f0e4c2d9a1b3c5d7"}]}')(Present.of(live, "x"))
    assert wanted.kept and number.encode() in wanted.content and wanted.figures == Figures(2, 1)


def test_a_dhash_that_is_a_number_is_none() -> None:
    assert figures_of(b'{"images": [{"path": "a.png", "dhash": 12}]}') == Figures(1, 0)
