"""A question with a word to type: what enter does follows the word, and the word's last letters are no actions."""

import pytest
from console_states import console, empty, running

from mobius_tui.console.widgets import ask


def production(tmp_path):
    return console(running(store=empty().store, environment="production"), tmp_path)


def screen_text(app):
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in lines)


async def shown(pilot, text):
    for _ in range(3000):
        if text in screen_text(pilot.app):
            return
        await pilot.pause(0.01)
    raise AssertionError(f"{text!r} was never shown:\n{screen_text(pilot.app)}")


async def test_the_name_and_enter_do_it(tmp_path):
    app = production(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M")
        await shown(pilot, "[› Cancel ]   [  Start migration ]   enter: Cancel")
        await pilot.press(*"productio")
        await shown(pilot, "[› Cancel ]   [  Start migration ]   enter waits for production")
        await pilot.press("n")
        await shown(pilot, "[  Cancel ]   [› Start migration ]   enter: Start migration")
        await pilot.press("x")
        await shown(pilot, "[› Cancel ]   [  Start migration ]   enter waits for production")
        await pilot.press("backspace", "enter")
        await shown(pilot, "asked for")


async def test_a_wrong_name_and_enter_do_nothing_and_it_still_asks(tmp_path):
    app = production(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M", *"productiom", "enter")
        await shown(pilot, "type production first")
        await pilot.press("backspace", "n", "enter")
        await shown(pilot, "asked for")


@pytest.mark.parametrize("moves", [("left",), ("tab",), ("right", "left")])
async def test_after_the_name_it_can_still_be_left(tmp_path, moves):
    app = production(tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M", *"production", *moves, "enter")
        await shown(pilot, "migrate: left as it was")


async def test_the_rest_of_a_word_is_no_action(tmp_path):
    """Who leaves the question in the middle of the word, or types on after enter, starts nothing by its letters."""
    app = production(tmp_path)
    seconds = [100.0]
    app._main._ask._monotonic = lambda: seconds[0]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M", *"pro", "escape", *"d7q")
        await shown(pilot, "migrate: left as it was")
        assert "┏━ 7 Jobs" not in screen_text(app) and app.is_running
        await pilot.press("tab")
        await shown(pilot, "┏━ 3 Metrics")
        seconds[0] += ask.SWALLOWS_S
        await pilot.press("7")
        await shown(pilot, "┏━ 7 Jobs")


async def test_where_nothing_was_typed_keys_work_at_once(tmp_path):
    app = production(tmp_path)
    app._main._ask._monotonic = lambda: 100.0
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M", "escape", "7")
        await shown(pilot, "┏━ 7 Jobs")


async def test_arrows_point_to_the_choices(tmp_path):
    app = console(running(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("C", "right", "right")
        await shown(pilot, "[  Let it go on ]   [› Cancel the job ]")
        await pilot.press("left")
        await shown(pilot, "[› Let it go on ]   [  Cancel the job ]")
        assert "enter:" not in screen_text(app)
