"""Pipes, or files beyond all measure, in the place of MOBIUS's own files do not hold anybody up."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.recovery.history import HISTORY_NAME, note_act, read_history
from mobius_tui.recovery.journal import open_journals
from mobius_tui.recovery.reserve import ensure_reserve, reserve_path
from mobius_tui.store.database import open_database, open_for_reading

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in folders")


@pytest.fixture(autouse=True)
def _killed_when_it_hangs() -> Iterator[None]:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # SQLite waits on through a handled signal
    signal.alarm(120)
    yield
    signal.alarm(0)


def test_a_pipe_in_a_journals_place_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "deploy-20261120T120000Z.journal")
    with pytest.raises(OSError, match="regular file"):
        open_journals(tmp_path)


@pytest.mark.parametrize("name", ["mobius.db", "mobius.db-wal", "mobius.db-shm"])
def test_a_pipe_in_the_databases_place_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mobius.db"
    if name != path.name:
        open_database(path).close()
        (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    for opened in (open_for_reading, open_database):
        with pytest.raises(EnvironmentFailed, match="not a regular file"):
            opened(path)


def test_a_history_beyond_all_measure_is_read_from_its_end(tmp_path: Path) -> None:
    with (tmp_path / HISTORY_NAME).open("wb") as file:
        file.truncate(100 * 1024**3)
    with (tmp_path / HISTORY_NAME).open("ab") as file:
        file.write(b"\n")
    note_act(tmp_path, "deploy", "anna", run_id="r")
    assert [act["run"] for act in read_history(tmp_path)] == ["r"]


def test_a_pipe_in_the_reserves_place_is_an_error(tmp_path: Path) -> None:
    live = tmp_path / "library.json"
    os.mkfifo(reserve_path(live))
    with pytest.raises(EnvironmentFailed, match="cannot be kept"):
        ensure_reserve(live, 10)
    ensure_reserve(live, 10)  # what had the name is out of the way
    assert reserve_path(live).is_file()
