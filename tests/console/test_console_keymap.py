"""Keymaps: other keys, and sentences for what cannot be."""

import pytest
from console_states import console, running

from mobius_tui.console.actions import registry
from mobius_tui.console.app import read_keymap
from mobius_tui.console.keymap import load_keymap, remapped
from mobius_tui.errors import BadInput


def put(tmp_path, text):
    path = tmp_path / "keys.toml"
    path.write_text(text)
    return path


def test_without_a_file_nothing_changes():
    assert read_keymap(None) == {}
    assert remapped(registry(), {}) == registry()


def test_a_key_moves_and_its_old_one_is_free(tmp_path):
    keys = read_keymap(put(tmp_path, '[keys]\nhelp = "f1"\npause = "?"\nmigrate = "Z"\n'))
    actions = {action.name: action for action in remapped(registry(), keys)}
    assert actions["help"].keys == ("f1",)
    assert actions["pause"].keys == ("question_mark",)
    assert actions["migrate"].shown == "Z"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys = 3", "one table"),
        ("[key]\n", "one table"),
        ("[keys", "cannot be read"),
        ('[keys]\nhlep = "f1"', "did you mean help"),
        ('[keys]\nhelp = ""', "cannot have the key"),
        ('[keys]\nhelp = "hyper+x"', "cannot have the key"),
        ("[keys]\nhelp = 1", "cannot have the key"),
        ('[keys]\nhelp = "\\u001b"', "\\x1b"),
        ('[keys]\nhelp = "q"', "both"),
        ('[keys]\nmigrate = "m"', "capital"),
        ('[keys]\ncancel = "f5"', "capital"),
    ],
)
def test_what_cannot_be_is_a_sentence(tmp_path, text, said):
    with pytest.raises(BadInput) as caught:
        read_keymap(put(tmp_path, text))
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(BadInput):
        load_keymap(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(BadInput, match="UTF-8"):
        load_keymap(tmp_path / "bytes.toml")


async def test_the_console_obeys_it():
    app = console(running(), keymap={"pane_review": "r", "filter": "f"})
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        assert app._main.active.view.name == "Migration"
        await pilot.press("r")
        assert app._main.active.view.name == "Review"
        await pilot.press("f", *"oak", "enter")
        assert app._main.active.filter == "oak"


async def test_a_read_only_console_takes_a_keymap_that_names_what_writes():
    app = console(running(read_only=True), keymap={"migrate": "Z"})
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("Z")
        assert "migrate" not in {action.name for action in app._actions}
