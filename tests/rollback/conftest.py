from __future__ import annotations

from pathlib import Path

import pytest
from publishing import Published

from mobius_tui.system import clock


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Three images, nothing published yet; the clock goes on with each look at it."""
    made = Published(tmp_path / "ws")
    monkeypatch.setattr(clock, "now", made.tick)
    made.write('{"images": [{"path": "a.png", "price": 1.10}, {"path": "b.png"}, {"path": "c.png"}]}\n')
    return made
