"""Themes: readable, and refused with a sentence when they are not what they should be."""

import itertools
import os

import pytest

from mobius_tui.console.themes import COLORS, builtin_folder, load_theme, theme_names
from mobius_tui.errors import BadInput

TEXTS = ("foreground", "strong", "muted", "focus", "accent", "ok", "warn", "bad", "key", "bar")


def luminance(color):
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["mobius-dark", "mobius-light"])
def test_every_text_can_be_read(name):
    colors = load_theme(name).colors
    for text in TEXTS:
        assert contrast(colors[text], colors["background"]) >= 4.5, text
    for ground in ("header", "production", "cursor"):
        assert contrast(colors[f"{ground}_foreground"], colors[f"{ground}_background"]) >= 4.5, ground
    assert contrast(colors["header_background"], colors["production_background"]) >= 1.5


def colorblind(color, kind):
    """Viénot, Brettel and Mollon 1999: what a red-blind or green-blind eye sees, in linear RGB."""
    r, g, b = (int(color[n : n + 2], 16) / 255 for n in (1, 3, 5))
    if kind == "protan":
        return (0.11238 * r + 0.88762 * g, 0.11238 * r + 0.88762 * g, 0.00401 * r - 0.00401 * g + b)
    return (0.29275 * r + 0.70725 * g, 0.29275 * r + 0.70725 * g, -0.02234 * r + 0.02234 * g + b)


@pytest.mark.parametrize("kind", ["protan", "deutan"])
@pytest.mark.parametrize("name", ["mobius-dark", "mobius-light"])
def test_states_differ_for_colour_blind_eyes_too(name, kind):
    colors = load_theme(name).colors
    for one, other in itertools.combinations(("ok", "bad"), 2):
        a, b = colorblind(colors[one], kind), colorblind(colors[other], kind)
        assert sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5 > 0.12, (one, other)


def test_the_three_built_in_themes_have_every_colour():
    assert {"mobius-dark", "mobius-light", "mobius-ansi"} <= set(theme_names(None))
    for name in theme_names(None):
        assert set(load_theme(name).colors) == set(COLORS)
        written = (builtin_folder() / f"{name}.toml").read_text()
        assert all(f"\n{color} = " in written for color in COLORS)


def put(folder, name, text):
    folder.mkdir(exist_ok=True)
    folder.parent.chmod(0o755)
    folder.chmod(0o755)
    path = folder / f"{name}.toml"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_a_workspace_overrides_by_name_and_the_rest_is_taken_over(tmp_path):
    put(tmp_path / "themes", "mobius-dark", '[colors]\nok = "#00ff00"\n')
    theme = load_theme("mobius-dark", tmp_path / "themes")
    assert theme.colors["ok"] == "#00ff00"
    put(tmp_path / "themes", "mine", 'dark = false\n[colors]\nok = "#00ff00"\n')
    mine = load_theme("mine", tmp_path / "themes")
    assert mine.colors["background"] == load_theme("mobius-light").colors["background"]
    assert "mine" in theme_names(tmp_path / "themes")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dark = ", "cannot be read"),
        ("drak = true", "did you mean dark"),
        ('dark = "yes"', "true or false"),
        ('[colors]\nbackgruond = "#000000"', "did you mean background"),
        ('[colors]\nok = "green"', "#rrggbb"),
        ('[colors]\nok = "#12345"', "#rrggbb"),
        ("[colors]\nok = 3", "#rrggbb"),
        ('ansi = true\n[colors]\nok = "#00ff00"', "own colours"),
        ("colors = 3", "must be a table"),
        ('[colors]\n"o\\u001bk" = "#000000"', "\\x1b"),
    ],
)
def test_a_broken_theme_is_one_sentence(tmp_path, text, said):
    put(tmp_path / "themes", "mine", text)
    with pytest.raises(BadInput) as caught:
        load_theme("mine", tmp_path / "themes")
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_theme_that_is_not_utf8(tmp_path):
    put(tmp_path / "themes", "mine", "").write_bytes(b"\xff")
    with pytest.raises(BadInput, match="UTF-8"):
        load_theme("mine", tmp_path / "themes")


def test_an_unknown_theme_names_the_nearest(tmp_path):
    with pytest.raises(BadInput, match="did you mean mobius-dark"):
        load_theme("mobius-drak", tmp_path / "themes")


@pytest.mark.parametrize("name", ["../secret", "", "a/b", ".hidden", "x\n"])
def test_a_name_is_no_path(tmp_path, name):
    with pytest.raises(BadInput):
        load_theme(name, tmp_path / "themes")


@pytest.mark.parametrize("shared", ["root", "folder", "file"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_a_theme_that_others_can_write_is_refused(tmp_path, shared, mode):
    path = put(tmp_path / "themes", "mine", "dark = true\n")
    load_theme("mine", tmp_path / "themes")
    target = {"root": tmp_path, "folder": tmp_path / "themes", "file": path}[shared]
    target.chmod(target.stat().st_mode | mode)
    with pytest.raises(BadInput, match="others can write"):
        load_theme("mine", tmp_path / "themes")


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can give a file away")
def test_a_theme_of_somebody_else_is_refused(tmp_path):
    path = put(tmp_path / "themes", "mine", "dark = true\n")
    os.chown(path, 12345, 12345)
    with pytest.raises(BadInput, match="somebody else"):
        load_theme("mine", tmp_path / "themes")
