from __future__ import annotations

from pathlib import Path

import pytest
from writing import OLD


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "library.json"
    path.write_bytes(OLD)
    return path
