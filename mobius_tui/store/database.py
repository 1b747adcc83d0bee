"""Opening the database, its schema, and the rule who may alter it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.system.locks import holder_of
from mobius_tui.system.processes import process_token
from mobius_tui.text import visible

WORKER_LOCK = "worker.lock"
"""Beside the database: who holds it alone may alter the schema."""

SCHEMA_VERSION = 2
"""``PRAGMA user_version`` of the schema below."""

_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE jobs(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  wanted TEXT NOT NULL DEFAULT 'run',
  wanted_by TEXT NOT NULL DEFAULT '',
  options TEXT NOT NULL,
  run_id TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  requested_at REAL NOT NULL,
  reason TEXT NOT NULL DEFAULT '',
  started_at REAL, finished_at REAL, heartbeat_at REAL,
  owner TEXT NOT NULL DEFAULT '',
  phase TEXT NOT NULL DEFAULT '',
  total INTEGER, done INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0, missing INTEGER NOT NULL DEFAULT 0, low INTEGER NOT NULL DEFAULT 0,
  exact INTEGER NOT NULL DEFAULT 0, waiting INTEGER NOT NULL DEFAULT 0, decoded INTEGER NOT NULL DEFAULT 0,
  rate REAL, eta_s REAL,
  exit_code INTEGER, error TEXT NOT NULL DEFAULT '', summary TEXT NOT NULL DEFAULT '{}');
CREATE INDEX jobs_state ON jobs(state);

CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, level TEXT NOT NULL, component TEXT NOT NULL,
  run_id TEXT NOT NULL DEFAULT '', event TEXT NOT NULL, message TEXT NOT NULL, fields TEXT NOT NULL DEFAULT '{}');
CREATE INDEX events_at ON events(at);
CREATE INDEX events_run ON events(run_id);

CREATE TABLE images(
  path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
  sha256 BLOB, error TEXT, cause TEXT, seen_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX images_sha ON images(sha256);
CREATE INDEX images_inode ON images(inode);
CREATE INDEX images_size ON images(size) WHERE sha256 IS NOT NULL;
CREATE INDEX images_pending ON images(path) WHERE (mtime_ns = -1 OR (sha256 IS NULL AND error IS NULL));

CREATE TABLE fingerprints(
  sha256 BLOB NOT NULL, profile TEXT NOT NULL, decoder TEXT NOT NULL, status TEXT NOT NULL,
  dhash BLOB, confidence REAL, reason TEXT, error TEXT, cause TEXT, environment TEXT NOT NULL DEFAULT '',
  width INTEGER NOT NULL, height INTEGER NOT NULL, bytes INTEGER NOT NULL, format TEXT NOT NULL,
  PRIMARY KEY(sha256, profile, decoder)) WITHOUT ROWID;
CREATE INDEX fingerprints_low ON fingerprints(sha256) WHERE status = 'low_confidence';

CREATE TABLE pairs(
  id TEXT PRIMARY KEY, left_sha BLOB NOT NULL, right_sha BLOB NOT NULL,
  left_path TEXT NOT NULL, right_path TEXT NOT NULL,
  distance INTEGER NOT NULL, confidence REAL NOT NULL, status TEXT NOT NULL, evidence TEXT NOT NULL DEFAULT '[]',
  found_at REAL NOT NULL, run_id TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX pairs_queue ON pairs(status, confidence DESC, id);
CREATE INDEX pairs_left ON pairs(left_sha);
CREATE INDEX pairs_right ON pairs(right_sha);

CREATE TABLE batches(
  id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, run_id TEXT NOT NULL, images INTEGER NOT NULL,
  failed INTEGER NOT NULL, low INTEGER NOT NULL, bytes INTEGER NOT NULL, durations BLOB NOT NULL);
CREATE INDEX batches_at ON batches(at);

CREATE TABLE samples(
  at INTEGER PRIMARY KEY, average_ms REAL, p95_ms REAL, failure_rate REAL, rate_per_hour REAL,
  queue INTEGER NOT NULL, images INTEGER NOT NULL, hashed INTEGER NOT NULL);

CREATE TABLE worker(
  id INTEGER PRIMARY KEY CHECK(id = 1), token TEXT NOT NULL, pid INTEGER NOT NULL, version TEXT NOT NULL,
  host TEXT NOT NULL, cores INTEGER NOT NULL, started_at REAL NOT NULL, state TEXT NOT NULL, watching TEXT NOT NULL,
  scanned_at REAL, scan_ms REAL, images INTEGER, unhashed INTEGER, note TEXT NOT NULL DEFAULT '');
"""

_SECOND = """
CREATE TABLE watches(
  run_id TEXT PRIMARY KEY, deploy TEXT NOT NULL DEFAULT '', state TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '',
  who TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', auto INTEGER NOT NULL, plan TEXT NOT NULL,
  began_at REAL NOT NULL, until_at REAL NOT NULL, ended_at REAL, token TEXT NOT NULL DEFAULT '',
  snapshots TEXT NOT NULL DEFAULT '[]', next TEXT NOT NULL DEFAULT '', problem TEXT NOT NULL DEFAULT '',
  decided_by TEXT NOT NULL DEFAULT '', updated_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX watches_began ON watches(began_at);

CREATE TABLE watch_ticks(
  run_id TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, elapsed_s REAL NOT NULL, verdict TEXT NOT NULL,
  measurement TEXT NOT NULL, rules TEXT NOT NULL, PRIMARY KEY(run_id, number)) WITHOUT ROWID;

CREATE TABLE alerts(
  name TEXT PRIMARY KEY, severity TEXT NOT NULL, audience TEXT NOT NULL, raised INTEGER NOT NULL,
  value REAL, limit_at REAL, sentence TEXT NOT NULL, since REAL NOT NULL, cleared_at REAL,
  acknowledged_by TEXT NOT NULL DEFAULT '', acknowledged_at REAL) WITHOUT ROWID;

CREATE TABLE totals(name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;

ALTER TABLE samples ADD COLUMN measured INTEGER;
ALTER TABLE samples ADD COLUMN failed INTEGER;
ALTER TABLE samples ADD COLUMN low INTEGER;
ALTER TABLE samples ADD COLUMN duplicates INTEGER;
ALTER TABLE samples ADD COLUMN memory_bytes INTEGER;
ALTER TABLE samples ADD COLUMN cpu_share REAL;
"""

_STEPS = (_SCHEMA, _SECOND)
"""What makes each version out of the one before; nothing is taken away."""


def open_database(path: Path, *, busy_ms: int = 10_000) -> sqlite3.Connection:
    """A connection to the workspace's database, which is created or upgraded when this process may.

    Args:
        path: The database file.
        busy_ms: How long a write waits for another writer.

    Returns:
        A connection in autocommit mode, rows by name; use ``writing`` for transactions. For one thread.

    Raises:
        EnvironmentFailed: The file cannot be opened, is of a newer version, or of an older one while a worker runs.
    """
    _refuse_irregular(path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _private_files():
            connection = sqlite3.connect(path, timeout=busy_ms / 1000, isolation_level=None)
            connection.row_factory = sqlite3.Row
            _use_wal(connection, busy_ms / 1000)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA temp_store = FILE")
        _ensure_schema(connection, path)
    except sqlite3.Error as error:
        raise database_error(error, path) from error
    except OSError as error:
        raise EnvironmentFailed(
            f"the state folder cannot be used: {error.strerror}",
            where=visible(str(path.parent)),
            fix="check its owner and mode with `mobius doctor`",
        ) from error
    return connection


def _use_wal(connection: sqlite3.Connection, patience_s: float) -> None:
    """Switch the journal to WAL; SQLite answers "locked" to this at once, without its busy timeout."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return


def open_for_reading(path: Path) -> sqlite3.Connection | None:
    """A connection that writes nothing.

    Args:
        path: The database file.

    Returns:
        The connection; None when there is no database of this version.

    Raises:
        EnvironmentFailed: The file is there and cannot be read.
    """
    if not path.exists():
        return None
    _refuse_irregular(path)
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA query_only = 1")
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise database_error(error, path) from error
    if version != SCHEMA_VERSION:
        connection.close()
        return None
    return connection


def _refuse_irregular(path: Path) -> None:
    """Refuse what SQLite would wait for inside the system, deaf to every signal: a pipe instead of a file."""
    for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        try:
            regular = stat.S_ISREG(name.stat().st_mode)
        except OSError:  # missing, or SQLite will say why it cannot be used
            continue
        if not regular:
            raise EnvironmentFailed(
                "the database is not a regular file",
                where=visible(str(name)),
                fix="move it aside; it is built again from the files",
            )


def database_error(error: sqlite3.Error, path: Path) -> EnvironmentFailed:
    """The error a person reads when SQLite refused."""
    text = str(error)
    if "full" in text or (("I/O" in text or "unable to open" in text) and _is_full(path.parent)):
        failed = EnvironmentFailed("the disk of the database is full", where=visible(str(path)), fix="free space")
        failed.exit_code = 5
        return failed
    advice = "move it aside; it is built again from the files"
    if "locked" in text or "busy" in text:
        advice = "try again; `mobius jobs` shows who writes"
    elif "unable to open" in text or "readonly" in text:
        advice = "check its owner and mode"
    return EnvironmentFailed(f"the database cannot be used: {visible(text)}", where=visible(str(path)), fix=advice)


def _is_full(folder: Path) -> bool:
    """Whether a filesystem has no room: SQLite then calls it an I/O error when its shared memory cannot grow."""
    try:
        return shutil.disk_usage(folder).free < 65_536
    except OSError:
        return False


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One write transaction: begun at once (never upgraded from a read), committed, or rolled back on any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _ensure_schema(connection: sqlite3.Connection, path: Path) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == SCHEMA_VERSION:
        return
    if version > SCHEMA_VERSION:
        connection.close()
        raise EnvironmentFailed(
            f"the database has schema {version}, this MOBIUS knows {SCHEMA_VERSION}",
            where=visible(str(path)),
            fix="use the newer MOBIUS that wrote it",
        )
    if version:
        _refuse_beside_worker(version, path)
    with writing(connection):
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])  # another process may have been quicker
        for step in _STEPS[version:]:
            for statement in step.split(";"):
                if statement.strip():
                    connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _refuse_beside_worker(version: int, path: Path) -> None:
    """A worker of an older MOBIUS goes on with the schema that it knows until it is restarted."""
    holder = holder_of(path.parent / WORKER_LOCK)
    if holder is not None and holder.token != process_token():
        raise EnvironmentFailed(
            f"the database has schema {version}, and a worker of an older MOBIUS uses it",
            where=visible(str(path)),
            fix="`mobius worker restart`",
        )


@contextlib.contextmanager
def _private_files() -> Iterator[None]:
    """SQLite creates its files with the process's umask: state is for its owner alone."""
    if os.name != "posix":
        yield
        return
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def read_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """A value kept under a key; None when there is none."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row["value"])


def write_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Keep a value under a key."""
    connection.execute(
        "INSERT INTO meta VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (key, value)
    )


def data_version(connection: sqlite3.Connection) -> int:
    """A number that changes when another connection has committed; costs about 10 us."""
    return int(connection.execute("PRAGMA data_version").fetchone()[0])
