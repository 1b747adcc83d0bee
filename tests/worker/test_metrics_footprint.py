"""What the worker takes of the machine: its children count, and what only grows never goes back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from worker_process import until

from mobius_tui.worker import footprint
from mobius_tui.worker.footprint import FootprintLook

HUNGRY = (
    "import sys, time; held = bytearray(120_000_000); began = time.process_time()\n"
    "while time.process_time() - began < 0.3: pass\n"
    "print('ready', flush=True); sys.stdin.read()"
)


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def child(*, own_session: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A child that holds 120 MB and has used 0.3 s."""
    with subprocess.Popen(
        [sys.executable, "-c", HUNGRY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=own_session,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not add what children took to their parents")
def test_children_count_and_what_they_took_stays() -> None:
    look = FootprintLook()
    before = look.look()
    with child():
        during = look.look()
    until(lambda: look.look().processes == before.processes, "the child is gone")
    after = look.look()
    assert during.processes == before.processes + 1
    assert during.resident_bytes and before.resident_bytes and after.resident_bytes
    assert during.resident_bytes - before.resident_bytes > 110_000_000
    assert during.resident_bytes - after.resident_bytes > 90_000_000
    for earlier, later in ((before, during), (during, after)):
        assert later.cpu_seconds is not None and later.cpu_seconds >= (earlier.cpu_seconds or 0)
        assert later.disk_read_bytes is not None and later.disk_read_bytes >= (earlier.disk_read_bytes or 0)
        assert later.disk_written_bytes is not None and later.disk_written_bytes >= (earlier.disk_written_bytes or 0)
    assert (after.cpu_seconds or 0) - (before.cpu_seconds or 0) >= 0.29


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not add what children took to their parents")
def test_a_child_that_came_and_went_between_two_looks_counts() -> None:
    look = FootprintLook()
    before = look.look()
    with child():
        pass
    assert (look.look().cpu_seconds or 0) - (before.cpu_seconds or 0) >= 0.29


def test_totals_never_go_back_when_processes_cannot_be_seen_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    look = FootprintLook()
    before = look.look()
    monkeypatch.setattr(footprint, "_family", lambda own: iter(()))
    after = look.look()
    assert before.cpu_seconds and after.cpu_seconds == before.cpu_seconds
    assert after.resident_bytes is None and after.processes == 0


@pytest.mark.skipif(os.name != "posix", reason="sessions are POSIX's")
def test_what_was_started_into_its_own_session_is_not_the_workers() -> None:
    look = FootprintLook()
    before = look.look()
    with child(own_session=True):
        assert look.look().processes == before.processes


def test_the_processors_share_is_that_of_the_last_minute() -> None:
    ticks = Ticks()
    look = FootprintLook(ticks)
    shares = []
    for second, used in ((0, 0.0), (30, 15.0), (60, 30.0), (90, 30.0), (120, 30.0), (150, 30.0)):
        ticks.now = float(second)
        shares.append(look._share(used, 0.0))
    # nothing yet, then half a core, then half of the minute idle, then all of it
    assert shares == [None, 0.5, 0.5, 0.25, 0.0, 0.0]


def test_the_first_share_is_that_since_the_start() -> None:
    ticks = Ticks()
    assert FootprintLook(ticks)._share(2.0, 8.0) == 0.25
