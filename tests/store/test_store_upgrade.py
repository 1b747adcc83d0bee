"""A database of an older MOBIUS is upgraded by who may, and keeps what it holds."""

import sqlite3
from pathlib import Path

import pytest

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.store import database
from mobius_tui.store.database import SCHEMA_VERSION, open_database
from mobius_tui.store.metrics import keep_sample, list_samples, read_figures
from mobius_tui.system.locks import FileLock


def old_database(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(database._SCHEMA)
    connection.execute("INSERT INTO meta VALUES('kept', 'yes')")
    connection.execute("INSERT INTO samples VALUES(60, 1.0, 2.0, 0.0, 3.0, 4, 5, 6)")
    connection.execute("PRAGMA user_version = 1")
    connection.close()


def test_upgraded_with_all_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "mobius.db"
    old_database(path)
    connection = open_database(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    assert database.read_meta(connection, "kept") == "yes"
    assert connection.execute("SELECT count(*) FROM watches").fetchone()[0] == 0
    keep_sample(connection, read_figures(connection, 120.0), 7, 8, 9, 120.0)
    assert [row["queue"] for row in list_samples(connection, 0, 1000)] == [4, 7]
    connection.close()


def test_left_alone_while_an_older_worker_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mobius.db"
    old_database(path)
    lock = FileLock(tmp_path / "worker.lock")
    assert lock.acquire("somebody", "worker")
    monkeypatch.setattr(database, "process_token", lambda: "another process")
    with pytest.raises(EnvironmentFailed, match="older MOBIUS") as refused:
        open_database(path)
    assert "worker restart" in str(refused.value)
    lock.release()
    open_database(path).close()
