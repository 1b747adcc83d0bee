"""The palette opens and goes in any order of events."""

import pytest
from console_states import console, running

from mobius_tui.console.screens.main import MainScreen


@pytest.mark.parametrize("leaves_by", ["leaving", "closing"])
async def test_a_console_that_ends_while_the_palette_opens_is_no_defect(leaves_by):
    app = console(running())
    async with app.run_test() as pilot:
        app.action_do("palette")
        if leaves_by == "leaving":
            app.leave(130)
        else:
            app.screen.dismiss(None)
        await pilot.pause()
    assert app.defect == ""


async def test_the_field_of_the_palette_has_the_keys():
    app = console(running())
    async with app.run_test() as pilot:
        app.action_do("palette")
        await pilot.pause()
        assert app.focused is not None and app.focused.id == "palette-field"


async def test_a_console_that_ends_before_its_first_screen_is_no_defect(monkeypatch):
    app = console(running())
    monkeypatch.setattr(MainScreen, "compose", lambda _: ())  # as the toolkit does once the console is to end
    async with app.run_test() as pilot:
        app.leave(130)
        await pilot.pause()
    assert app.defect == ""
