"""JSON logs: exact, rotated, and never in the way of the work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobius_tui import logs
from mobius_tui.logs import KEPT, LEVELS, JsonLog

HOSTILE = "deck[@click=app.quit]\x1b[2J\u202e\n\udcff.png"


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_records_are_exact_json_on_one_line(tmp_path):
    log = JsonLog(tmp_path / "deep" / "run.log")
    log.write("info", "migrate", "start", HOSTILE, "run-1", {"path": HOSTILE, "n": 3, "at": Path("/x")})
    log.write("error", "migrate", "end", "")
    first, second = records(log.path)
    assert (first["level"], first["component"], first["event"], first["run"]) == ("info", "migrate", "start", "run-1")
    assert first["message"] == HOSTILE
    assert first["fields"] == {"path": HOSTILE, "n": 3, "at": "/x"}
    assert first["time"].endswith("Z")
    assert "fields" not in second
    assert log.path.read_bytes().isascii()
    assert log.path.stat().st_mode & 0o137 == 0


def test_rotated_by_size_and_only_so_many_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "ROTATE_BYTES", 300)
    log = JsonLog(tmp_path / "service.log", rotate=True)
    for number in range(60):
        log.write("info", "worker", "tick", f"{number:04d} " + "x" * 80)
    assert log.dropped == 0
    kept = [log.path.with_name(f"service.log.{number}") for number in range(KEPT, 0, -1)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [path.name for path in kept] + ([log.path.name] if log.path.exists() else [])
    )
    told = [int(record["message"][:4]) for path in [*kept, log.path] if path.exists() for record in records(path)]
    assert told == list(range(60 - len(told), 60)), "the oldest go, in order"


def test_run_logs_are_not_rotated(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "ROTATE_BYTES", 10)
    log = JsonLog(tmp_path / "run.log")
    for _ in range(5):
        log.write("info", "migrate", "tick", "x")
    assert len(records(log.path)) == 5


def test_rotation_of_another_process_is_not_done_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "ROTATE_BYTES", 100)
    log = JsonLog(tmp_path / "service.log", rotate=True)
    real = os.fstat

    def fstat(descriptor):
        if log.path.exists():
            log.path.replace(log.path.with_name("service.log.1"))  # while this one was writing its record
        return real(descriptor)

    monkeypatch.setattr(logs.os, "fstat", fstat)
    log.write("info", "worker", "tick", "x" * 200)
    assert [path.name for path in tmp_path.iterdir()] == ["service.log.1"]
    assert log.dropped == 0


def test_what_cannot_be_written_is_dropped_and_counted(tmp_path):
    (tmp_path / "file").write_text("")
    log = JsonLog(tmp_path / "file" / "service.log")
    log.write("info", "worker", "tick", "x")
    log.write("info", "worker", "tick", "x")
    assert log.dropped == 2


def test_what_is_no_json_is_dropped_and_counted(tmp_path):
    log = JsonLog(tmp_path / "run.log")
    loop: list[object] = []
    loop.append(loop)
    log.write("info", "worker", "tick", "x", fields={"loop": loop})
    log.write("info", "worker", "tick", "x", fields={"keys": {(1, 2): 3}})
    log.write("info", "worker", "tick", "good")
    assert log.dropped == 2
    assert [record["message"] for record in records(log.path)] == ["good"]


def test_full_disk_costs_the_record_and_not_the_next(tmp_path, monkeypatch):
    log = JsonLog(tmp_path / "run.log")
    real = os.write
    monkeypatch.setattr(logs.os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    log.write("info", "worker", "tick", "cut off")
    monkeypatch.undo()
    log.write("info", "worker", "tick", "whole")
    assert log.dropped == 1
    assert json.loads(log.path.read_bytes().splitlines()[-1])["message"] == "whole"


@pytest.mark.parametrize("size", [50, 20_000])
def test_processes_do_not_tear_each_others_lines(tmp_path, size):
    code = (
        "import sys; from pathlib import Path; from mobius_tui.logs import JsonLog\n"
        "log = JsonLog(Path(sys.argv[1]))\n"
        "for n in range(200): log.write('info', sys.argv[2], 'tick', sys.argv[2] * int(sys.argv[3]))\n"
        "sys.exit(log.dropped)"
    )
    path = tmp_path / "service.log"
    both = [subprocess.Popen([sys.executable, "-c", code, path, who, str(size)]) for who in "ab"]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    found = records(path)
    assert len(found) == 400
    assert all(record["message"] == record["component"] * size for record in found)


def test_records_below_the_least_level_are_left_out(tmp_path: Path) -> None:
    log = JsonLog(tmp_path / "run.log", least="warning")
    for level in LEVELS:
        log.write(level, "t", "e", "m")
    assert [json.loads(line)["level"] for line in log.path.read_text().splitlines()] == ["warning", "error"]
    assert log.dropped == 0
