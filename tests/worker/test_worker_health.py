"""What /health looks at, and what it makes of it."""

from __future__ import annotations

import os
import shutil
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.recovery.backups import Backup, create_backup
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import note_act
from mobius_tui.store.database import open_database
from mobius_tui.worker import health
from mobius_tui.worker.health import (
    BACKUP_AGE_S,
    FRESH_S,
    STEP_S,
    CatalogueCheck,
    Check,
    HealthChecks,
    Pulse,
    judge_backups,
    library_id,
    status_of,
)
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

VALID = b'{"images": [{"path": "a.png"}]}'


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path / "ws")
    ws = open_workspace(tmp_path / "ws", {}, {}, "tester")
    open_database(ws.database).close()
    return ws


def publish(ws: Workspace, content: bytes = VALID) -> None:
    ws.catalogue.write_bytes(content)
    note_act(ws.state, "migrate", "tester", before=None, after=sha256_file(ws.catalogue))


def examined(ws: Workspace, pulse: Pulse | None = None) -> dict[str, Check]:
    return HealthChecks(ws, "token", lambda: pulse or Pulse()).examine()


def wrong(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if check.ok is not True]


def test_an_empty_workspace_is_healthy(ws: Workspace) -> None:
    checks = examined(ws)
    assert wrong({name: check for name, check in checks.items() if name != "disk"}) == []
    assert status_of({**checks, "disk": Check(True, "")}) == "healthy"


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (lambda ws: ws.library.rmdir(), "library"),
        (lambda ws: (ws.library.rmdir(), ws.library.write_text("")), "library"),
        (lambda ws: (ws.catalogue.write_bytes(b'{"images": ['), os.utime(ws.catalogue, (1, 1))), "catalogue"),
        (lambda ws: ws.catalogue.mkdir(), "catalogue"),
        (lambda ws: (publish(ws), ws.catalogue.unlink()), "catalogue"),
        (lambda ws: (ws.catalogue.write_bytes(VALID), (ws.root / "library.json").write_bytes(VALID)), "catalogue"),
        (lambda ws: ws.database.unlink(), "database"),
        (lambda ws: ws.database.write_bytes(b"SQLite format 3\0" + b"x" * 5000), "database"),
    ],
)
def test_what_makes_it_unhealthy(ws: Workspace, harm: object, name: str) -> None:
    harm(ws)  # type: ignore[operator]
    checks = examined(ws)
    assert checks[name].ok is False and status_of(checks) == "unhealthy", checks[name]
    assert str(ws.root) not in str(checks), "no path of this machine is told"


@pytest.mark.parametrize(
    ("pulse", "name", "status"),
    [
        (Pulse(step_s=STEP_S + 1), "worker", "unhealthy"),
        (Pulse(step_s=STEP_S + 1, trouble="disk"), "worker", "unhealthy"),
        (Pulse(step_s=1.0, trouble="disk"), "worker", "degraded"),
        (Pulse(pool_trouble="no process lives"), "pool", "unhealthy"),
    ],
)
def test_the_worker_itself(ws: Workspace, pulse: Pulse, name: str, status: str) -> None:
    checks = examined(ws, pulse)
    assert name in wrong(checks)
    assert status_of({**checks, "disk": Check(True, "")}) == status


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(
    ("free", "status"),
    [
        (health.WORKS_WITH + 3 * len(VALID) - 1, "unhealthy"),
        (health.WORKS_WITH + 3 * len(VALID), "degraded"),
        (health.COMFORT - 1, "degraded"),
        (health.COMFORT, "healthy"),
    ],
)
def test_free_space(ws: Workspace, free: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(ws)
    create_backup(ws.catalogue, ws.backups, reason="x", who="tester")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    checks = examined(ws)
    assert checks["disk"].value == free and status_of(checks) == status


def test_a_catalogue_without_a_verified_backup_is_degraded(ws: Workspace) -> None:
    publish(ws)
    checks = {**examined(ws), "disk": Check(True, "")}
    assert wrong(checks) == ["backup"] and status_of(checks) == "degraded"
    looking = HealthChecks(ws, "token")
    assert looking.examine()["backup"].ok is False
    create_backup(ws.catalogue, ws.backups, reason="x", who="tester")
    assert looking.examine()["backup"].ok is True, "a new backup is seen at once"


def backup(age: float, state: str = "verified") -> Backup:
    at = 1e9 - age
    return Backup("n", Path("n"), at, 1, "", "", state, at if state == "verified" else None, 1, "00")


@given(st.lists(st.tuples(st.floats(-1e6, 2e6), st.sampled_from(["verified", "corrupt", "unverified"])), max_size=5))
def test_only_verified_backups_of_the_past_count(made: list[tuple[float, str]]) -> None:
    check = judge_backups([backup(age, state) for age, state in made], 1e9, has_catalogue=True)
    good = [age for age, state in made if state == "verified" and 1e9 - age <= 1e9]
    assert check.ok is (bool(good) and round(min(good), 3) <= BACKUP_AGE_S)
    assert not check.grave
    assert check.value == (pytest.approx(min(good), abs=0.01) if good else None)


def test_a_published_catalogue_is_not_parsed_and_none_is_twice(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Path] = []
    hashed: list[Path] = []
    parse, digest = health.read_catalogue, health.sha256_file
    monkeypatch.setattr(health, "read_catalogue", lambda path, **how: (parsed.append(path), parse(path, **how))[1])
    monkeypatch.setattr(health, "sha256_file", lambda path: (hashed.append(path), digest(path))[1])
    check = CatalogueCheck(ws, wait_s=60.0)
    publish(ws)
    for _ in range(3):
        assert check.look().ok is True
    assert (len(parsed), len(hashed)) == (0, 1)
    ws.catalogue.write_bytes(VALID + b"\n")  # another program's doing
    for _ in range(3):
        assert check.look().ok is True
    assert (len(parsed), len(hashed)) == (1, 2)
    ws.catalogue.write_bytes(b"[1]")
    os.utime(ws.catalogue, (1, 1))  # one written just now is read again for a while
    assert "not valid" in check.look().sentence
    ws.catalogue.unlink()
    assert check.look().ok is False, "it was there before"


def test_a_long_reading_holds_nobody_up(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    real = health.sha256_file
    monkeypatch.setattr(health, "sha256_file", lambda path: (go_on.wait(60), real(path))[1])
    publish(ws)
    check = CatalogueCheck(ws, wait_s=0.01)
    first = check.look()
    assert first.ok is None and "being read" in first.sentence
    assert status_of({"catalogue": first}) == "degraded", "what is not known is no pass"
    assert check.look().ok is None
    go_on.set()
    check._wait_s = 60.0
    assert check.look().ok is True


def test_answers_are_remembered_for_a_moment(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    checks = HealthChecks(ws, "token", monotonic=lambda: now[0])
    made: list[int] = []
    real = checks.examine
    monkeypatch.setattr(checks, "examine", lambda: (made.append(1), real())[1])
    for _ in range(3):
        checks.ask().result(60)
    assert len(made) == 1
    now[0] += FRESH_S + 0.1
    checks.ask().result(60)
    assert len(made) == 2 and checks.last()["library"].ok


def test_an_examination_under_way_serves_all(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    checks = HealthChecks(ws, "token")
    made: list[int] = []
    monkeypatch.setattr(checks, "examine", lambda: (made.append(1), go_on.wait(60), {})[2])
    asked = [checks.ask() for _ in range(5)]
    go_on.set()
    assert [future.result(60) for future in asked] == [{}] * 5 and len(made) == 1


def test_where_no_thread_can_be_started_the_next_who_asks_is_answered(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spent(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    checks = HealthChecks(ws, "token")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", spent)
        found = checks.ask().result(0)
    assert status_of(found) == "unhealthy" and "no thread" in found["checks"].sentence
    assert "library" in checks.ask().result(60)


def test_a_check_with_a_defect_is_unhealthy(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = HealthChecks(ws, "token")
    monkeypatch.setattr(checks, "examine", lambda: 1 / 0)
    assert status_of(checks.ask().result(60)) == "unhealthy"


def test_the_body_holds_no_personal_data(ws: Workspace) -> None:
    ws = replace(ws, sourced=replace(ws.sourced, warnings=("mail anna@example.org",)))
    checks = HealthChecks(ws, "token", lambda: Pulse(note="see /home/anna/x"))
    body = checks.body({"pool": Check(False, "token=abcdef", 3)})
    assert "anna" not in str(body) and "abcdef" not in str(body)
    assert body["status"] == "degraded" and body["worker_id"] == "token" and len(body["warnings"]) == 3  # type: ignore[arg-type]


def test_the_library_keeps_its_id(ws: Workspace) -> None:
    first = library_id(ws.state)
    assert library_id(ws.state) == first and len(first) == 32
    assert HealthChecks(ws, "token").body({})["library_id"] == first
    (ws.state / health.ID_NAME).write_text("nonsense")
    with pytest.raises(ValueError, match="badly formed"):
        library_id(ws.state)
    assert HealthChecks(ws, "token").body({})["library_id"] is None


def test_backups_that_cannot_be_listed_are_told(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> list[Backup]:
        raise EnvironmentFailed("the backups may not be read")

    monkeypatch.setattr(health, "list_backups", refuse)
    assert "may not be read" in examined(ws)["backup"].sentence


def test_records_that_the_log_lost_are_a_warning(ws: Workspace) -> None:
    checks = HealthChecks(ws, "token", lambda: Pulse(note="a note", lost=12))
    warnings = checks.body({})["warnings"]
    assert isinstance(warnings, list)
    assert warnings[-2:] == ["a note", "12 records of the log lost since the worker's start"]
