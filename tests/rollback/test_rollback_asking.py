"""What a person on a terminal is asked before a rollback, and what the answers do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from publishing import Published

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal is Unix's", allow_module_level=True)

import pty

HOME = Path(__file__).parents[2]


def answered(library: Published, answer: str, *options: str) -> tuple[int, str]:
    """Run it on a terminal of its own and type an answer; its exit code and all that the terminal showed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-S", "-E", "-m", "mobius_tui", "rollback", "--workspace", str(library.root), *options]
    environ = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    process = subprocess.Popen(command, cwd=HOME, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, sent = b"", False
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux says so when the other side has closed
            break
        if not piece:
            break
        shown += piece
        if not sent and (b"[y/N]" in shown or b"to roll back:" in shown):
            os.write(ours, answer.encode())
            sent = True
    os.close(ours)
    assert sent, shown.decode()
    return process.wait(), shown.decode()


@pytest.mark.parametrize(
    ("environment", "answer", "goes"),
    [
        ("development", "y\n", True),
        ("development", "\n", False),
        ("development", "no\n", False),
        ("development", "\x04", False),  # the end of the input
        ("production", "y\n", False),
        ("production", "production\n", True),
    ],
)
def test_only_a_clear_yes_goes_on(library: Published, environment: str, answer: str, goes: bool) -> None:
    library.publish()
    library.edit()
    before = library.live.read_bytes()
    target = next(library.backups.glob("*Z"))
    code, shown = answered(library, answer, "--env", environment)
    assert (code == 0) == goes
    assert library.live.read_bytes() == (target.read_bytes() if goes else before)
    assert environment in shown and target.name in shown
    assert "a.png (title)" in shown and "--keep-new keeps it" in shown
    assert library.emergency.exists() == goes


def test_names_from_files_are_no_terminal_control(library: Published) -> None:
    library.publish()
    library.write('{"images": [{"path": "a\\u001b[2J\\u202e.png", "title": 1}], "x\\u001b]0;y\\u0007": 2}')
    code, shown = answered(library, "n\n")
    assert code != 0
    assert "\x1b" not in shown and "\u202e" not in shown
    assert "\\x1b" in shown
