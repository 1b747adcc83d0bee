"""Colours, the line of progress, and terminals: through a real pseudo-terminal where it matters."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running_verbs import SOURCE

from mobius_tui.cli import output
from mobius_tui.cli.call import Call
from mobius_tui.cli.progress_line import progress_line, progress_text
from mobius_tui.operations.progress import Counts, Tick


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def call(**how: bool) -> Call:
    return Call(lambda *_: 0, **how)


def tick(done: int, **how: object) -> Tick:
    values = {"phase": "hashing", "total": 200, "counts": Counts(done=done, failed=2, low=1), "rate": 40.0,
              "eta_s": 2.5, "paused_by": ""}  # fmt: skip
    return Tick(**{**values, **how})  # type: ignore[arg-type]


def test_the_line_has_share_rate_and_time_left() -> None:
    assert progress_text(tick(100)) == (
        "hashing [##########          ]  50%  100/200  40/s  ETA 2.5 s  failed 2  low 1"
    )
    assert "-/s  ETA -" in progress_text(tick(0, rate=None, eta_s=None))
    assert progress_text(tick(0, total=None)) == "hashing"
    assert progress_text(tick(5, paused_by="anna")) == "hashing: paused by anna"
    assert "100%" in progress_text(tick(300))


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_on_a_terminal_one_line_is_redrawn_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    with progress_line(call()) as on_tick:
        for done in range(50):
            on_tick(tick(done, phase="\x1b]0;x\x07"))
    written = screen.getvalue()
    assert "\n" not in written and written.endswith("\r\x1b[K")
    drawn = [part for part in written.split("\r") if part.replace("\x1b[K", "")]
    assert len(drawn) == 1  # fifty ticks within a quarter of a second
    assert "\x1b" not in drawn[0].replace("\x1b[K", "") and "\x07" not in drawn[0]
    assert len(drawn[0].replace("\x1b[K", "")) < int(columns)


@pytest.mark.parametrize(("how", "lines"), [({}, 0), ({"verbose": True}, 1), ({"quiet": True}, 0)])
def test_elsewhere_nothing_or_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, how: dict[str, bool], lines: int
) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress_line(call(**how)) as on_tick:
        for done in range(50):
            on_tick(tick(done))
    assert pipe.getvalue().count("\n") == lines
    assert "\x1b" not in pipe.getvalue() and "\r" not in pipe.getvalue()


def test_quiet_holds_on_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with progress_line(call(quiet=True)) as on_tick:
        on_tick(tick(1))
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)],
)
def test_colours_only_where_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], coloured: bool
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    output.show("bad \x1b[5m news", "bad")
    assert screen.getvalue() == ("\x1b[31mbad \\x1b[5m news\x1b[0m\n" if coloured else "bad \\x1b[5m news\n")


def test_a_stream_of_another_encoding_shows_escapes(ws: Path) -> None:
    (ws / "library" / "図.png").write_bytes(b"x")
    (ws / "library" / "library.json").write_text('{"images": []}')
    done = subprocess.run(
        [sys.executable, "-m", "mobius_tui", "check", "--workspace", str(ws)], capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": SOURCE, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0
    assert b"\\u56f3.png" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_what_cannot_be_said_still_has_its_exit_code(ws: Path) -> None:
    command = [sys.executable, "-m", "mobius_tui", "hash", str(ws / "library" / "broken.png")]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stderr=full, check=False, env={**os.environ, "PYTHONPATH": SOURCE})
    assert ended.returncode == 2


def test_the_whole_verb_on_a_real_terminal(ws: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "mobius_tui", "status", "--workspace", str(ws)]
    environ = {**os.environ, "PYTHONPATH": SOURCE, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "60"}
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environ)
    os.close(follower)
    data = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:
            break
        if not part:
            break
        data += part
    os.close(leader)
    assert process.wait(timeout=20) == 0
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", data)
    assert max(len(line) for line in data.decode().splitlines()) <= 60


def test_a_stream_that_was_closed_before_the_start_is_no_terminal() -> None:
    assert not output.is_terminal(None)
