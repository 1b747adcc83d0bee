"""The console driven by keys: what is asked, written, refused and shown."""

import contextlib
import re

import pytest
from console_states import (
    HOSTILE,
    NOW,
    Frozen,
    console,
    done,
    empty,
    failed,
    hostile,
    job,
    paused,
    running,
    store,
    with_job,
    workspace,
)
from textual import events

from mobius_tui.console.application import ConsoleApp
from mobius_tui.console.poller import Poller
from mobius_tui.console.themes import load_theme
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import list_jobs
from mobius_tui.text import visible

STATES = {
    "running": running, "paused": paused, "failed": failed, "done": done, "empty": empty, "hostile": hostile,
}  # fmt: skip


def screen_text(app):
    """What is painted, line by line."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


@contextlib.contextmanager
def stored(root):
    connection = open_database(root / ".mobius" / "mobius.db")
    try:
        yield connection
    finally:
        connection.close()


def jobs_in(root):
    with stored(root) as connection:
        return list_jobs(connection)


async def until(pilot, condition):
    for _ in range(400):
        if condition():
            return
        await pilot.pause(0.01)
    raise AssertionError("it never happened")


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (120, 24), (40, 10), (20, 5), (1, 1)])
@pytest.mark.parametrize("state", STATES)
async def test_every_state_at_every_size(state, size):
    app = console(STATES[state]())
    async with app.run_test(size=size) as pilot:
        for key in ("1", "2", "3", "4", "6", "7", "down", "end", "enter", "escape", "question_mark", "escape"):
            await pilot.press(key)
        assert app.is_running


async def test_tiny_and_back():
    app = console(running())
    async with app.run_test(size=(160, 48)) as pilot:
        for size in ((20, 5), (1, 1), (80, 24), (160, 48)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert "8,861/12,482" in screen_text(app)
        assert "decks/oak/07.png" in screen_text(app)


async def test_narrow_shows_one_pane_and_number_keys_jump():
    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "8,861/12,482" in screen_text(app)
        assert "decks/oak/07.png" not in screen_text(app)
        await pilot.press("4")
        await pilot.pause()
        assert "decks/oak/07.png" in screen_text(app)
        assert "8,861/12,482" not in screen_text(app)
        await pilot.press("5")
        await pilot.pause()
        assert "there was no watch yet" in screen_text(app)
        await pilot.press("tab", "tab")
        await pilot.pause()
        assert "dry-run" in screen_text(app)


async def test_what_the_numbers_say():
    app = console(running())
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        text = screen_text(app)
    for part in ("LIVE", "70%", "412/s", "ETA 0:09", "failed 8", "low 14", "exact 233", "waiting 37", "all clear",
                 "limit 200", "limit 5%", "limit 100", "12 ms", "31 ms", "0.1%", "1.4 M/h", "37 waiting", " 2 bits",
                 "development", "library 12,482", "worker ● working, 2 cores", "12:04 UTC", "pin",
                 "? 11-19", "✗ 11-19"):  # fmt: skip
        assert part in text, part


async def test_a_number_that_was_not_measured_is_a_dash():
    app = console(empty())
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        text = screen_text(app)
    assert re.search(r"avg hash +– +limit 100", text)
    assert "0.0%" not in text
    assert "no migration has run here yet" in text


async def test_who_paused_is_said():
    app = console(paused())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "paused by bob since 12:03" in screen_text(app)
        assert "p resume" in screen_text(app)


async def test_why_it_failed_is_said():
    app = console(failed())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "913 of 12,482 images (7.3 %) failed or are missing, more than 5 %" in screen_text(app)
        assert "✗ failed" in screen_text(app)


async def test_hostile_texts_are_shown_escaped_in_every_pane():
    app = console(hostile())
    async with app.run_test(size=(200, 60)) as pilot:
        for key in ("1", "2", "3", "4", "6", "7"):
            await pilot.press(key, "down", "enter")
            await pilot.pause()
            text = screen_text(app)
            assert not [c for c in text if c != "\n" and not c.isprintable()], key
            await pilot.press("escape")
        await pilot.press("2")
        await pilot.pause()
        text = screen_text(app)
        for name in HOSTILE[:5]:
            assert visible(name) in text, name
        assert app.is_running


async def test_a_dry_run_is_asked_for_at_once(tmp_path):
    app = console(empty(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: "asked for" in screen_text(app))
    (asked,) = jobs_in(tmp_path)
    assert (asked.kind, asked.state, asked.requested_by) == ("dry-run", "queued", "ada")
    assert app._source.woken == 1


async def test_a_migration_asks_first_and_cancel_is_chosen(tmp_path):
    app = console(empty(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M")
        await pilot.pause()
        assert "[› Cancel ]" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert "left as it was" in screen_text(app)
        assert jobs_in(tmp_path) == []
        await pilot.press("M", "right", "enter")
        await until(pilot, lambda: "asked for" in screen_text(app))
    assert [job.kind for job in jobs_in(tmp_path)] == ["migrate"]


async def test_the_harmless_choice_about_cancelling_is_not_called_cancel(tmp_path):
    app = console(running(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("C")
        await pilot.pause()
        assert "[› Let it go on ]   [  Cancel the job ]" in screen_text(app)


@pytest.mark.parametrize("key", ["d", "b", "p", "q", "C", "M", "y", "space", "1"])
async def test_no_other_key_does_anything_while_it_asks(tmp_path, key):
    app = console(empty(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M", key)
        await pilot.pause()
        assert "[› Cancel ]" in screen_text(app)
        assert app.is_running
    assert jobs_in(tmp_path) == []


@pytest.mark.parametrize("typed", ["", "prod", "Production", "production ", "productio"])
async def test_production_needs_its_name(tmp_path, typed):
    app = console(running(store=empty().store, environment="production"), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M", *("space" if c == " " else c for c in typed), "right", "enter")
        await pilot.pause()
        assert "type production first" in screen_text(app)
    assert jobs_in(tmp_path) == []


async def test_production_goes_on_with_its_name(tmp_path):
    app = console(running(store=empty().store, environment="production"), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M", *"productionx", "backspace", "right", "enter")
        await until(pilot, lambda: "asked for" in screen_text(app))
    assert [job.kind for job in jobs_in(tmp_path)] == ["migrate"]


async def test_production_is_marked_in_the_header_without_colour_too():
    app = console(running(environment="production"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "! PRODUCTION !" in screen_text(app).splitlines()[0]


async def test_an_action_that_cannot_be_done_says_why(tmp_path):
    app = console(running(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        await pilot.pause()
        assert "not now: migrate 12 of ada is running" in screen_text(app)
    assert jobs_in(tmp_path) == []


async def test_it_looks_again_after_the_question(tmp_path):
    app = console(empty(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("M", "right")
        app._source.latest = running()
        await pilot.press("enter")
        await pilot.pause()
        assert "not now" in screen_text(app)
    assert jobs_in(tmp_path) == []


async def test_read_only_writes_nothing(tmp_path):
    app = console(running(read_only=True), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d", "b", "p", "M", "C", "W")
        await pilot.pause()
        assert "READ-ONLY" in screen_text(app)
        await pilot.press("escape", "question_mark")
        await pilot.pause()
        assert "no key changes anything" in screen_text(app)
    assert not (tmp_path / ".mobius").exists()


async def test_filter_by_typing_and_dropping_it():
    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4", "slash", *"OAK")
        await pilot.pause()
        text = screen_text(app)
        assert "decks/oak/07.png" in text
        assert "board.jpg" not in text
        assert "/OAK: 1" in text
        await pilot.press("enter")
        await pilot.pause()
        assert "board.jpg" not in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "board.jpg" in screen_text(app)


async def test_keys_mean_letters_while_a_filter_is_typed(tmp_path):
    app = console(running(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6", "slash", *"dbpqMC7")
        await pilot.pause()
        assert "nothing matches /dbpqMC7" in screen_text(app)
        assert app.is_running
    assert jobs_in(tmp_path) == []


async def test_log_levels():
    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await pilot.pause()
        assert "batch 89" in screen_text(app)
        await pilot.press("l")
        await pilot.pause()
        assert "batch 89" not in screen_text(app)
        assert "low confidence" in screen_text(app)
        await pilot.press("l")
        await pilot.pause()
        assert "low confidence" not in screen_text(app)
        assert "truncated" in screen_text(app)


async def test_the_palette_finds_and_does(tmp_path):
    app = console(empty(), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("colon", *"bakk", "backspace", "backspace", *"ckup", "pagedown", "tab")
        await pilot.pause()
        assert "verified backup" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: jobs_in(tmp_path))
    assert [job.kind for job in jobs_in(tmp_path)] == ["backup"]


async def test_the_palette_says_why_not():
    app = console(running())
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert "not now: migrate 12 of ada is running" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "8,861/12,482" in screen_text(app)


async def test_help_names_every_action_and_why_not():
    app = console(running())
    async with app.run_test(size=(120, 90)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        text = screen_text(app)
        for action in app._actions:
            assert action.description[:40] in text, action.name
        assert "not now: migrate 12 of ada is running" in text


@pytest.mark.parametrize("keys", ["question_mark", "q", "escape", "enter", "colon"])
async def test_keys_that_come_faster_than_screens(keys):
    """Keys queue up on a slow link: screens must neither pile up nor be closed twice."""
    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark" if keys in {"q", "escape", "enter"} else keys)
        screen = app.screen
        for _ in range(4):
            screen.post_message(events.Key("escape" if keys == "colon" else keys, None))
        await pilot.pause()
        for _ in range(5):
            app.simulate_key(keys if keys != "q" else "question_mark")
        await pilot.pause()
        assert len(app.screen_stack) <= 2
        assert app.is_running


async def test_details_of_a_line():
    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("4", "down", "down", "enter")
        await pilot.pause()
        assert "photos/board.jpg" in screen_text(app)
        assert "of 64 bits differ" in screen_text(app)


async def test_the_cursor_stays_on_its_line_when_others_come():
    from console_states import EVENTS, event

    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6", "down", "down")
        before = app._main.active.detail()
        app._source.latest = running(store=store(events=(*EVENTS, event(8, "info", "new"), event(9, "info", "newer"))))
        app.tick()
        await pilot.pause()
        assert "newer" in screen_text(app)
        assert app._main.active.detail() == before


async def test_closing_says_that_the_worker_goes_on():
    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("q")
    assert app.return_code == 0
    assert "the worker goes on with migrate 12" in app.farewell


async def test_what_is_wrong_stands_in_a_line_and_goes():
    app = console(running(problem="the database cannot be used: malformed", stale_since=NOW - 60))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "malformed - what is shown is from 12:03:31" in screen_text(app)
        assert "8,861/12,482" in screen_text(app)
        app._source.latest = running()
        app.tick()
        await pilot.pause()
        assert "malformed" not in screen_text(app)


async def test_a_worker_that_stops_shows_at_the_next_tick():
    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "worker ● working" in screen_text(app)
        app._source.latest = running(worker_alive=False, worker_note="no space left on the disk")
        app.tick()
        await pilot.pause()
        assert "worker ○ stopped" in screen_text(app)
        assert "no worker: no space left on the disk, 1 job waits" in screen_text(app)


async def test_a_job_whose_process_died_says_how_it_goes_on():
    app = console(with_job(state="interrupted"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert "its process is gone; it goes on by itself" in screen_text(app)


async def test_only_changed_cells_are_painted_again():
    app = console(running())
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        painted = []
        for widget in app.screen.query("Painted"):
            widget.refresh = lambda *regions, **_: painted.append(regions)
        app._source.latest = running()
        app.tick()
        assert painted == []
        app._source.latest = running(store=store(jobs=(job(done=8_862),), figures=running().store.figures))
        app.tick()
        cells = sum(region.area for regions in painted for region in regions)
        assert 0 < cells < 160


class Slow:
    """A driver that has unwritten output."""

    def __init__(self, driver):
        self._driver = driver
        self.waiting = 1000

    def backlog(self):
        return self.waiting

    def terminal_there(self):
        return True

    def take_lost(self):
        return False

    def __getattr__(self, name):
        return getattr(self._driver, name)


async def test_a_tick_is_skipped_while_output_waits():
    app = console(running())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        app._driver = slow = Slow(app._driver)
        app._source.latest = empty()
        app.tick()
        await pilot.pause()
        assert "8,861/12,482" in screen_text(app)
        slow.waiting = 0
        app.tick()
        await pilot.pause()
        assert "8,861/12,482" not in screen_text(app)


async def test_ascii_has_no_other_character():
    app = console(running(), ascii_only=True)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.pause()
        assert screen_text(app).isascii()
        await pilot.press("M", "question_mark")
        await pilot.pause()
        assert screen_text(app).isascii()


async def test_a_real_poller_feeds_it(tmp_path):
    from mobius_tui.store.events import add_event

    ws = workspace(tmp_path)
    with stored(tmp_path) as connection:
        app = ConsoleApp(ws, Poller(ws), load_theme("mobius-dark"))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("6")
            add_event(connection, "warning", "test", "x", "something happened")
            app._source.wake()
            await until(pilot, lambda: "something happened" in screen_text(app))


def test_frozen_is_a_source():
    assert Frozen(running()).latest.worker_alive
