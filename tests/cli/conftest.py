from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from running_verbs import Answer, Mobius, draw

from mobius_tui.__main__ import run
from mobius_tui.workspace import init_workspace


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Signals, time limits and variables of a verb stay in its test."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM]
    before = {number: signal.getsignal(number) for number in numbers}
    for name in [name for name in os.environ if name.startswith("MOBIUS_") or name.endswith("_DIR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MOBIUS_PORT", "0")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def mobius(capsys: pytest.CaptureFixture[str]) -> Mobius:
    """Run a verb in this process."""

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return call


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    """A workspace of five images: a copy, a look-alike, a flat one and one that is no image."""
    root = tmp_path / "ws"
    init_workspace(root)
    library = root / "library"
    draw(library / "cards" / "ace.png", 3)
    (library / "cards" / "copy.png").write_bytes((library / "cards" / "ace.png").read_bytes())
    draw(library / "cards" / "king.png", 9)
    Image.new("RGB", (64, 64), "white").save(library / "flat.png")
    (library / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return root
