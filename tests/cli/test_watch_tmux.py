"""A watch outlives its terminal: Ctrl-C, a closed one, and a tmux server that is killed."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_verbs import SOURCE
from watched import Watched, watched
from worker_process import until

LONG = ("--duration", "10m", "--interval", "0.5s", "--base-url", "http://127.0.0.1:1")

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="terminals of Unix"), pytest.mark.timeout(280)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path / "ws") as made:
        yield made


class Terminal:
    """A real terminal with `mobius watch` on it."""

    def __init__(self, place: Watched, *arguments: str) -> None:
        command = [sys.executable, "-m", "mobius_tui", "watch", "--workspace", str(place.root), *arguments]
        environ = {**os.environ, "PYTHONPATH": SOURCE, "TERM": "xterm-256color", "COLUMNS": "80"}
        self.pid, self.master = pty.fork()
        if not self.pid:
            os.execve(sys.executable, command, environ)
        self.output = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self.master, 65536):
                self.output += data

    def code(self) -> int:
        found: list[int] = []

        def is_over() -> bool:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                found.append(os.waitstatus_to_exitcode(status))
            return bool(pid)

        until(is_over, "the verb has ended")
        return found[0]


def test_ctrl_c_only_detaches(place: Watched) -> None:
    terminal = Terminal(place, *LONG)
    until(lambda: terminal.output.count(b"queue") >= 2, "measurements")
    pid, until_at = place.guard(), place.open().until_at
    assert os.getsid(pid) == pid
    os.write(terminal.master, b"\x03")
    assert terminal.code() == 130
    until(lambda: b"detached" in terminal.output, "it says so")
    assert b"joins it again" in terminal.output
    place.more_ticks()
    assert place.guard() == pid
    assert place.open().until_at == pytest.approx(until_at, abs=2.0)
    assert not place.whats("wish")
    os.close(terminal.master)


def test_a_terminal_that_goes_away_is_nothing_to_it(place: Watched) -> None:
    terminal = Terminal(place, *LONG)
    until(lambda: terminal.output.count(b"queue") >= 2, "measurements")
    pid = place.guard()
    os.kill(terminal.pid, signal.SIGHUP)
    os.kill(pid, signal.SIGHUP)
    assert terminal.code() == 129
    os.close(terminal.master)
    place.more_ticks()
    assert place.guard() == pid


@pytest.mark.skipif(not shutil.which("tmux"), reason="no tmux here")
def test_a_killed_tmux_server_is_nothing_to_it(tmp_path: Path) -> None:
    with watched(tmp_path / "ws", 40) as place:
        tmux = ["tmux", "-L", f"mobius-{os.getpid()}", "-f", os.devnull]
        environ = {name: value for name, value in os.environ.items() if name != "TMUX"}
        environ |= {"PYTHONPATH": SOURCE, "TMUX_TMPDIR": str(tmp_path)}
        verb = f"{sys.executable} -m mobius_tui watch --workspace {place.root} --duration 20s --interval 1s --as ann"
        subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", verb], env=environ, check=True)
        try:
            until(lambda: len(place.whats("tick")) >= 2, "measurements")
            screen = subprocess.run([*tmux, "capture-pane", "-p"], env=environ, capture_output=True, text=True).stdout
            pid, before = place.guard(), place.open()
        finally:
            subprocess.run([*tmux, "kill-server"], env=environ, check=True)
        assert "queue" in screen
        place.more_ticks(1)
        after = place.open()
        assert (after.run, place.guard()) == (before.run, pid)
        assert after.until_at == pytest.approx(before.until_at, abs=2.0)
        until(lambda: place.whats("end"), "it comes to its end")
        assert place.whats("end")[0]["outcome"] == "accepted", place.whats("end")
        assert len(place.whats("guard")) == 1
