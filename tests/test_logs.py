"""JSON logs: exact, rotated, and never in the way of the work."""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
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
    lost, good = records(log.path)
    assert good["message"] == "good"
    assert (lost["level"], lost["event"], lost["fields"]) == ("warning", logs.LOST, {"lost": 2})
    assert lost["message"] == "2 records were lost: the log could not be written"


def test_full_disk_costs_the_record_and_not_the_next(tmp_path, monkeypatch):
    log = JsonLog(tmp_path / "run.log")
    real = os.write
    monkeypatch.setattr(logs.os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    log.write("info", "worker", "tick", "cut off")
    monkeypatch.undo()
    log.write("info", "worker", "tick", "whole")
    assert log.dropped == 1
    assert json.loads(log.path.read_bytes().splitlines()[-1])["message"] == "whole"


def test_what_was_lost_is_told_once_it_works_again_and_once_only(tmp_path):
    (tmp_path / "logs").write_text("")  # a file in the place of the folder: nothing can be written
    log = JsonLog(tmp_path / "logs" / "service.log", rotate=True)
    for _ in range(12):
        log.write("info", "worker", "tick", "lost")
    (tmp_path / "logs").unlink()
    for number in range(2):
        log.write("info", "worker", "tick", f"kept {number}")
    assert [record["message"] for record in records(log.path)] == [
        "12 records were lost: the log could not be written", "kept 0", "kept 1",
    ]  # fmt: skip
    assert log.dropped == 12


class Days:
    """A clock that is set by hand."""

    def __init__(self, text: str) -> None:
        self.at = datetime.fromisoformat(text)

    def __call__(self) -> datetime:
        return self.at


def test_rotated_with_the_first_record_of_a_new_day_in_utc(tmp_path):
    now = Days("2026-11-20T23:59:59.999+00:00")
    log = JsonLog(tmp_path / "service.log", rotate=True, now=now)
    log.write("info", "worker", "tick", "friday")
    now.at += timedelta(milliseconds=1)
    log.write("info", "worker", "tick", "saturday")
    log.write("info", "worker", "tick", "saturday too")
    assert [record["message"] for record in records(log.path)] == ["saturday", "saturday too"]
    assert [record["message"] for record in records(tmp_path / "service.log.1")] == ["friday"]
    now.at -= timedelta(days=3)  # a clock that goes back rotates nothing
    log.write("info", "worker", "tick", "wednesday?")
    assert len(records(log.path)) == 3 and not (tmp_path / "service.log.2").exists()


def test_a_run_log_goes_through_midnight_in_one_piece(tmp_path):
    now = Days("2026-11-20T23:59:59+00:00")
    log = JsonLog(tmp_path / "deploy-1.log", now=now)
    log.write("info", "deploy", "tick", "before")
    now.at += timedelta(days=1)
    log.write("info", "deploy", "tick", "after")
    assert len(records(log.path)) == 2


def test_a_log_whose_first_line_is_none_is_as_old_as_its_last_write(tmp_path):
    path = tmp_path / "service.log"
    path.write_text("not of ours\n")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    JsonLog(path, rotate=True).write("info", "worker", "tick", "new")
    assert (tmp_path / "service.log.1").read_text() == "not of ours\n"
    assert [record["message"] for record in records(path)] == ["new"]


def test_processes_that_meet_a_new_day_at_once_rotate_once_and_lose_nothing(tmp_path):
    path = tmp_path / "service.log"
    JsonLog(path, now=Days("2026-11-19T12:00:00+00:00")).write("info", "worker", "tick", "the day before")
    code = (
        "import sys; from pathlib import Path; from mobius_tui.logs import JsonLog\n"
        "log = JsonLog(Path(sys.argv[1]), rotate=True)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for n in range(20): log.write('info', 'worker', 'tick', 'x')\n"
        "sys.exit(log.dropped)"
    )
    several = [
        subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in several:
        assert process.stdout is not None and process.stdout.readline()
    for process in several:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
    assert [process.wait(timeout=60) for process in several] == [0] * 4
    for process in several:
        assert process.stdout is not None
        process.stdout.close()
    kept = [records(place) for place in (path, tmp_path / "service.log.1")]
    assert sum(map(len, kept)) == 81 and kept[1][0]["message"] == "the day before"
    assert not (tmp_path / "service.log.2").exists(), "rotated once"


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
