"""The history: appended, durable, readable after a crash."""

import errno
import json
import os
import subprocess
import sys

import pytest

from mobius_tui.recovery import history
from mobius_tui.recovery.history import HISTORY_NAME, note_act, read_history


def test_acts_come_back_in_order_with_all_they_say(tmp_path):
    note_act(tmp_path / "state", "migrate", "anna", run_id="r1", reason="why\x1b[2J\n", before=None, after="ab")
    note_act(tmp_path / "state", "backup", "bert", details={"name": "x", "images": 3})
    first, second = read_history(tmp_path / "state")
    assert (first["act"], first["who"], first["run"], first["reason"]) == ("migrate", "anna", "r1", "why\x1b[2J\n")
    assert (first["before"], first["after"], first["details"]) == (None, "ab", {})
    assert second["details"] == {"name": "x", "images": 3}
    assert str(first["time"]).endswith("Z")


def test_no_history_is_an_empty_one(tmp_path):
    assert read_history(tmp_path) == []


def test_only_the_latest(tmp_path):
    for number in range(7):
        note_act(tmp_path, f"act {number}", "anna")
    assert [act["act"] for act in read_history(tmp_path, limit=3)] == ["act 4", "act 5", "act 6"]


@pytest.mark.parametrize("torn", [b'{"act": "half', b"\xff\xfe\n", b"[1]\n", b"\n", b"[" * 100_000])
def test_torn_line_costs_itself_only(tmp_path, torn):
    note_act(tmp_path, "before", "anna")
    with (tmp_path / HISTORY_NAME).open("ab") as file:
        file.write(torn)
    note_act(tmp_path, "after", "anna")
    assert [act["act"] for act in read_history(tmp_path)] == ["before", "after"]


def test_system_without_pread(tmp_path, monkeypatch):
    """As Windows is."""
    monkeypatch.delattr(os, "pread", raising=False)
    (tmp_path / HISTORY_NAME).write_bytes(b'{"act": "half')
    note_act(tmp_path, "whole", "anna")
    assert [act["act"] for act in read_history(tmp_path)] == ["whole"]


def test_full_disk_is_an_error(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(history.os, "write", lambda descriptor, data: real(descriptor, data[:5]))
    with pytest.raises(OSError) as failed:
        note_act(tmp_path, "cut", "anna")
    assert failed.value.errno == errno.ENOSPC
    monkeypatch.undo()
    note_act(tmp_path, "whole", "anna")
    assert [act["act"] for act in read_history(tmp_path)] == ["whole"]


def test_processes_do_not_tear_each_others_lines(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mobius_tui.recovery.history import note_act\n"
        "for n in range(40): note_act(Path(sys.argv[1]), 'act', sys.argv[2], reason='x' * 300)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, tmp_path, who]) for who in ("anna", "bert")]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    lines = (tmp_path / HISTORY_NAME).read_bytes().splitlines()
    assert sorted(json.loads(line)["who"] for line in lines) == ["anna"] * 40 + ["bert"] * 40
