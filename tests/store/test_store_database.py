"""Schema versions, privacy of the files, transactions."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from pathlib import Path

import pytest

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.store.database import (
    SCHEMA_VERSION,
    data_version,
    database_error,
    open_database,
    open_for_reading,
    read_meta,
    write_meta,
    writing,
)


def test_newer_schema_is_refused_and_left_as_it_is(database: Path) -> None:
    opened = open_database(database)
    opened.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    opened.close()
    with pytest.raises(EnvironmentFailed, match=f"schema {SCHEMA_VERSION + 1}") as failed:
        open_database(database)
    assert failed.value.exit_code == 3
    assert open_for_reading(database) is None
    raw = sqlite3.connect(database)
    assert raw.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION + 1
    raw.close()


def test_empty_file_becomes_a_database(database: Path) -> None:
    database.parent.mkdir()
    database.touch()
    assert open_for_reading(database) is None
    open_database(database).close()
    reader = open_for_reading(database)
    assert reader is not None
    reader.close()


def test_reader_without_a_database_creates_none(database: Path) -> None:
    assert open_for_reading(database) is None
    assert not database.parent.exists()


def test_a_file_that_is_no_database_is_said_so(database: Path) -> None:
    database.parent.mkdir()
    database.write_bytes(b"this is not SQLite" * 100)
    with pytest.raises(EnvironmentFailed, match="cannot be used") as failed:
        open_database(database)
    assert failed.value.exit_code == 3
    assert database.read_bytes().startswith(b"this is not")


def test_full_disk_is_exit_5(database: Path) -> None:
    assert database_error(sqlite3.OperationalError("database or disk is full"), database).exit_code == 5
    assert database_error(sqlite3.OperationalError("database is locked"), database).exit_code == 3


def test_files_are_private(connection: sqlite3.Connection, database: Path) -> None:
    write_meta(connection, "a", "1")
    for name in ("mobius.db", "mobius.db-wal", "mobius.db-shm"):
        assert stat.S_IMODE((database.parent / name).stat().st_mode) & 0o077 == 0, name
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def test_reader_cannot_write(connection: sqlite3.Connection, database: Path) -> None:
    reader = open_for_reading(database)
    assert reader is not None
    with pytest.raises(sqlite3.OperationalError):
        write_meta(reader, "a", "1")
    reader.close()


def test_a_failed_transaction_leaves_nothing(connection: sqlite3.Connection) -> None:
    with pytest.raises(ZeroDivisionError), writing(connection):
        write_meta(connection, "a", "1")
        raise ZeroDivisionError
    assert read_meta(connection, "a") is None
    with writing(connection):
        write_meta(connection, "a", "2")
    assert read_meta(connection, "a") == "2"


def test_data_version_moves_with_anothers_commit(connection: sqlite3.Connection, database: Path) -> None:
    other = open_database(database)
    before = data_version(connection)
    assert data_version(connection) == before
    write_meta(other, "a", "1")
    assert data_version(connection) != before
    other.close()


def _open_and_count(folder: str, barrier: object, answers: object) -> None:
    for number in range(40):
        barrier.wait()  # type: ignore[attr-defined]
        try:
            opened = open_database(Path(folder) / str(number) / "mobius.db")
            answers.put(opened.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])  # type: ignore[attr-defined]
            opened.close()
        except Exception as error:
            answers.put(str(error))  # type: ignore[attr-defined]


def test_several_processes_may_create_it_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_open_and_count, args=(str(tmp_path), barrier, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    counts = {answers.get(timeout=60) for _ in range(4 * 40)}
    for process in processes:
        process.join()
    assert len(counts) == 1, counts
    assert counts.pop() > 10
