"""The metrics tell what was really done, whoever did it, and say nothing where nothing is known."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest
from metrics_texts import samples, value
from worker_process import Worker, draw, make_workspace, until
from worker_process import value as one

from mobius_tui.operations.backup import backup_now
from mobius_tui.recovery.history import note_act
from mobius_tui.store.alerts import AlertRow, write_alert
from mobius_tui.store.database import open_database
from mobius_tui.store.images import KnownFile, keep_files
from mobius_tui.store.jobs import add_job
from mobius_tui.store.metrics import keep_batch, list_samples
from mobius_tui.store.pairs import Pair, keep_pairs
from mobius_tui.store.watches import TickRow, WatchRow, write_tick, write_watch
from mobius_tui.system import clock
from mobius_tui.worker import metrics as worker_metrics
from mobius_tui.worker.health import Check, HealthChecks
from mobius_tui.worker.metrics import Metrics
from mobius_tui.worker.requests import RequestCounts
from mobius_tui.workspace import Workspace

FIRST = (
    "avg_hash_time_ms", "p95_hash_time_ms", "processing_rate_per_hour", "extraction_failures_rate",
    "low_confidence_queue_length", "duplicate_rate", "last_migration_timestamp", "last_backup_timestamp",
    "system_health_status",
)  # fmt: skip
FROM_DATABASE = (*FIRST[:6], "samples", "failed_samples", "duplicate_detection_rate", "review_pairs_waiting", "images")


class Ticks:
    """A clock that goes on when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def metrics_of(ws: Workspace, ticks: Ticks | None = None, checks: HealthChecks | None = None) -> Metrics:
    ticks = ticks or Ticks()
    return Metrics(ws, RequestCounts(), checks or HealthChecks(ws, "w", monotonic=ticks), ticks)


def migrate(ws: Workspace, *options: str) -> None:
    command = [sys.executable, "-m", "mobius_tui", "migrate", "--workspace", str(ws.root), *options]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "ws", 0)


def test_the_first_fields_are_those_of_the_contract(ws: Workspace) -> None:
    found = metrics_of(ws).json()
    assert tuple(found)[:9] == FIRST
    assert tuple(found)[9:13] == ("window_s", "samples", "failed_samples", "totals")


def test_a_workspace_where_nothing_was_done_says_so(ws: Workspace) -> None:
    connection = open_database(ws.database)
    keep_files(connection, [KnownFile("/waits.png", 9, -1, 1, None)])  # known, not yet read
    connection.close()
    found = metrics_of(ws).json()
    unmeasured = (*FIRST[:4], "duplicate_rate", "last_migration_timestamp", "last_backup_timestamp")
    assert {name: found[name] for name in (*unmeasured, "duplicate_detection_rate")} == dict.fromkeys(
        (*unmeasured, "duplicate_detection_rate")
    )
    assert (found["low_confidence_queue_length"], found["samples"], found["images"]) == (0, 0, 1)
    assert found["totals"] == {
        "requests_total": 0, "errors_total": 0, "images_total": 0, "image_processing_errors": 0,
    }  # fmt: skip


def test_a_migration_in_the_foreground_of_another_process_is_told(ws: Workspace) -> None:
    for number in range(8):
        draw(ws.library / f"p{number}.png", number)
    (ws.library / "copy.png").write_bytes((ws.library / "p0.png").read_bytes())
    (ws.library / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    ticks = Ticks()
    metrics = metrics_of(ws, ticks)
    assert metrics.json()["samples"] is None  # no database yet
    began = clock.now()
    migrate(ws)
    ticks.now += 60
    found = metrics.json()
    assert found["samples"] in {9, 10}  # a copy need not be decoded a second time
    assert (found["failed_samples"], found["images"]) == (1, 10)
    assert found["totals"]["images_total"] == found["samples"]  # type: ignore[index]
    assert found["totals"]["image_processing_errors"] == 1  # type: ignore[index]
    assert found["extraction_failures_rate"] == pytest.approx(1 / found["samples"], abs=1e-6)  # type: ignore[operator]
    assert found["processing_rate_per_hour"] == found["samples"] * 4  # type: ignore[operator]
    assert 0 < found["avg_hash_time_ms"] <= found["p95_hash_time_ms"]  # type: ignore[operator]
    assert found["duplicate_rate"] == pytest.approx(1 / 10)
    assert found["duplicate_detection_rate"] == pytest.approx(1 / 9, abs=1e-6)
    waiting = one(ws, "SELECT count(*) FROM pairs WHERE status = 'waiting'")
    assert found["review_pairs_waiting"] == waiting
    assert found["low_confidence_queue_length"] == waiting + found["low_confidence_images"]  # type: ignore[operator]
    assert str(found["last_migration_timestamp"]) >= clock.iso(began)
    assert found["last_backup_timestamp"] is None
    made = backup_now(ws, "test", images=None)
    ticks.now += 60
    assert metrics.json()["last_backup_timestamp"] == clock.iso(made.at)


def test_a_migration_to_another_file_and_other_acts_published_nothing(ws: Workspace, tmp_path: Path) -> None:
    draw(ws.library / "p.png", 1)
    migrate(ws, "-o", str(tmp_path / "other.json"))
    note_act(ws.state, "rollback", "ann", before="1", after="2")
    ticks = Ticks()
    metrics = metrics_of(ws, ticks)
    assert metrics.json()["last_migration_timestamp"] is None
    note_act(ws.state, "deploy", "ann", before="2", after="3")
    ticks.now += 60
    assert metrics.json()["last_migration_timestamp"] is not None


def test_the_history_is_read_again_only_when_it_has_grown(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    note_act(ws.state, "deploy", "ann", after="3")
    reads: list[int] = []
    real = worker_metrics.read_history
    monkeypatch.setattr(worker_metrics, "read_history", lambda *a, **k: reads.append(1) or real(*a, **k))
    ticks = Ticks()
    metrics = metrics_of(ws, ticks)
    for _ in range(3):
        metrics.json()
        ticks.now += 60
    assert len(reads) == 1
    note_act(ws.state, "worker stop", "ann")
    assert metrics.json()["last_migration_timestamp"] is not None
    assert len(reads) == 2


def test_a_damaged_database_costs_the_figures_and_keeps_the_totals(ws: Workspace) -> None:
    connection = open_database(ws.database)
    keep_batch(connection, "r", [10.0, 30.0], failed=1, low=0, size=5)
    ticks = Ticks()
    metrics = metrics_of(ws, ticks)
    assert metrics.json()["avg_hash_time_ms"] == 20.0
    connection.close()
    ws.database.write_bytes(b"not a database at all" * 100)
    ticks.now += 60
    found = metrics.json()
    assert {name: found[name] for name in FROM_DATABASE} == dict.fromkeys(FROM_DATABASE)
    assert found["totals"]["images_total"] == 2  # type: ignore[index]
    assert found["system_health_status"] == "unhealthy"
    text = metrics.text()
    assert value(text, "database_readable") == 0
    assert value(text, "images_processed_total") == 2
    assert value(text, "hash_time_p95_seconds") != value(text, "hash_time_p95_seconds")  # NaN


def test_a_locked_database_has_no_figures(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(worker_metrics, "open_for_reading", locked)
    assert metrics_of(ws).json()["samples"] is None


def test_before_any_totals_are_known_none_are_told(ws: Workspace) -> None:
    metrics = metrics_of(ws)
    assert metrics.json()["totals"]["images_total"] is None  # type: ignore[index]
    text = metrics.text()
    assert not [name for name, _ in samples(text) if name.startswith(("mobius_images_", "mobius_hash_time_seconds"))]
    assert "# TYPE mobius_images_processed_total counter" in text


def test_a_reading_is_shared_while_it_is_fresh(ws: Workspace) -> None:
    connection = open_database(ws.database)
    ticks = Ticks()
    metrics = metrics_of(ws, ticks)
    keep_batch(connection, "r", [10.0], failed=0, low=0, size=5)
    assert metrics.json()["samples"] == 1
    keep_batch(connection, "r", [10.0], failed=0, low=0, size=5)
    assert metrics.json()["samples"] == 1
    ticks.now += worker_metrics.FRESH_S + 0.1
    assert metrics.json()["samples"] == 2
    connection.close()


def test_a_costly_database_is_asked_seldom(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = open_database(ws.database)
    ticks = Ticks()
    metrics = metrics_of(ws, ticks)
    real, reads = worker_metrics.read_stored, []

    def slow(*given: object) -> object:
        ticks.now += 0.5
        reads.append(1)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(worker_metrics, "read_stored", slow)
    metrics.json()
    ticks.now += 9.9
    metrics.json()
    assert len(reads) == 1
    ticks.now += 0.2 + worker_metrics.FRESH_S
    metrics.json()
    assert len(reads) == 2
    connection.close()


class _Stuck(HealthChecks):
    def ask(self) -> Future[dict[str, Check]]:
        return Future()


def test_checks_that_hang_are_unhealthy(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_metrics, "CHECKS_S", 0.01)
    metrics = metrics_of(ws, checks=_Stuck(ws, "w"))
    assert metrics.json()["system_health_status"] == "unhealthy"
    assert value(metrics.text(), "health_check_ok", check="checks") == 0


def test_requests_are_counted_from_many_threads() -> None:
    counts = RequestCounts()

    def ask() -> None:
        for _ in range(500):
            counts.count("/health", 200, 0.001)
            counts.count("/api/dhash/extract", 422, 0.001)
            counts.count("/no/such/../path", 404, 0.001)
            counts.count("/metrics", 503, -1.0)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = counts.read()
    assert (found.total, found.errors) == (16_000, 4000)
    assert found.by_class["other", "4xx"] == found.by_class["/api/dhash/extract", "4xx"] == 4000
    assert found.seconds["/health"] == pytest.approx(4.0)
    assert found.seconds["/metrics"] == 0.0


def test_json_is_json(ws: Workspace) -> None:
    connection = open_database(ws.database)
    keep_batch(connection, "r", [10.0], failed=0, low=0, size=5)
    connection.close()
    json.dumps(metrics_of(ws).json(), allow_nan=False)


def test_a_worker_keeps_samples_of_its_work_and_of_itself(
    tmp_path: Path, start_worker: Callable[[Workspace], Worker]
) -> None:
    ws = make_workspace(tmp_path / "ws", 6)
    migrate(ws)
    start_worker(ws)
    until(lambda: one(ws, "SELECT count(*) FROM samples"), "a sample is kept")
    connection = open_database(ws.database)
    (kept,) = list_samples(connection, 0, clock.now())
    connection.close()
    assert (kept["measured"], kept["failed"], kept["images"], kept["duplicates"]) == (6, 0, 6, 0)
    assert (kept["memory_bytes"] or 0) > 10_000_000
    assert kept["cpu_share"] is not None and kept["cpu_share"] >= 0


TABLES = ("jobs", "images", "fingerprints", "pairs", "batches", "watches", "watch_ticks", "alerts", "totals")
ODD = ("'text'", "x'ff00'", "NULL", "-1", "9e999")


@pytest.mark.parametrize("table", TABLES)
def test_whatever_stands_in_a_row_is_told_or_left_out(ws: Workspace, table: str) -> None:
    fill(ws)
    connection = open_database(ws.database)
    ticks = Ticks()
    metrics = metrics_of(ws, ticks, HealthChecks(ws, "w", monotonic=Ticks()))  # looked at once
    columns = [row["name"] for row in connection.execute(f"PRAGMA table_info({table})")]
    rows = connection.execute(f"SELECT * FROM {table}").fetchall()
    assert rows
    for column in columns:
        for odd in ODD:
            try:
                connection.execute(f"UPDATE {table} SET {column} = {odd}")
            except sqlite3.Error:
                continue
            ticks.now += 60
            json.dumps(metrics.json(), allow_nan=False)
            assert samples(metrics.text())
            connection.execute(f"DELETE FROM {table}")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"INSERT INTO {table} VALUES({marks})", [tuple(row) for row in rows])
    ticks.now += 60
    assert metrics.json()["samples"] == 1
    connection.close()


def fill(ws: Workspace) -> None:
    """A row in each table."""
    now = clock.now()
    connection = open_database(ws.database)
    keep_batch(connection, "r", [1.0], failed=0, low=0, size=1)
    keep_files(connection, [KnownFile("/a.png", 9, 5, 1, b"a" * 32)])
    add_job(connection, "migrate", {}, "ann")
    connection.execute("UPDATE jobs SET state = 'done', finished_at = 5, total = 3")
    keep_pairs(connection, [Pair("1", b"a" * 32, b"b" * 32, "a", "b", 3, 0.5, "auto")], "r")
    connection.execute(
        "INSERT INTO fingerprints VALUES(?, 'exact', 'd', 'ok', x'00', 0.5, NULL, NULL, NULL, '', 8, 8, 9, 'PNG')",
        (b"a" * 32,),
    )
    write_alert(connection, AlertRow("queue", "info", "qa", True, 1.0, 2.0, "s", now))
    write_watch(
        connection, WatchRow("w", "", "running", "", "a", "", True, {"interval_s": 60}, now, now + 60, None, "")
    )
    write_tick(connection, "w", TickRow(1, now, 1.0, "pass", {}, [{"rule": "p95", "verdict": "pass"}]))
    connection.close()


def test_only_the_worker_pays_for_the_libraries_behind_it() -> None:
    code = (
        "import sys, mobius_tui.cli.app, mobius_tui.cli.verbs.status, mobius_tui.operations.migrate;"
        "import mobius_tui.console.app;"
        "sys.exit(bool({'prometheus_client', 'psutil'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
