from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobius_tui.store.database import open_database


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "mobius.db"


@pytest.fixture
def connection(database: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(database)
    yield opened
    opened.close()
