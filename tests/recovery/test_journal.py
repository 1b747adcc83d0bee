"""The journal: a chain of durable records, and what a crash or a broken disk leaves of it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobius_tui.recovery.journal import RESERVED_BYTES, Journal, journals, open_journals, read_journal

RUN = "deploy-20261120T120000Z"


def written(folder: Path, notes: int = 3) -> Path:
    journal = Journal.create(folder, RUN, kind="deploy", who="anna")
    for number in range(notes):
        journal.note("step", step=f"step {number}", state="running")
    journal.close()
    return journal.path


def length_of(path: Path) -> int:
    return read_journal(path).length


def test_what_is_noted_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path)
    reading = read_journal(path)
    assert reading.problem == "" and reading.sound and not reading.ended
    assert [record["what"] for record in reading.records] == ["begin", "step", "step", "step"]
    assert reading.records[0]["who"] == "anna" and reading.records[0]["run"] == RUN
    assert stat.S_IMODE(path.stat().st_mode) & 0o137 == 0
    assert open_journals(tmp_path) == [path]


def test_its_space_is_taken_at_the_start_and_given_back_at_the_end(tmp_path: Path) -> None:
    path = written(tmp_path)
    if hasattr(os, "posix_fallocate"):
        assert path.stat().st_size == RESERVED_BYTES and path.stat().st_blocks * 512 >= RESERVED_BYTES
    journal = Journal.resume(path)
    journal.note("end", state="done")
    journal.close()
    assert path.stat().st_size == length_of(path) < 4096
    assert open_journals(tmp_path) == [] and journals(tmp_path) == [path]


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(FileExistsError):
        Journal.create(tmp_path, RUN, kind="deploy")
    assert len(read_journal(tmp_path / f"{RUN}.journal").records) == 4


def test_resuming_goes_on_with_the_chain(tmp_path: Path) -> None:
    path = written(tmp_path)
    journal = Journal.resume(path)
    journal.note("note", text="again")
    journal.close()
    reading = read_journal(path)
    assert [record["n"] for record in reading.records] == [0, 1, 2, 3, 4] and reading.problem == ""


@given(cut=st.integers(0, 2000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_journal_cut_off_anywhere_keeps_its_whole_records(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = written(tmp_path_factory.mktemp("cut"))
    data = path.read_bytes()
    end = length_of(path)
    cut %= end
    path.write_bytes(data[:cut] + bytes(len(data) - cut))
    reading = read_journal(path)
    assert reading.problem in {"torn", "", "empty"}
    assert len(reading.records) == data[:cut].count(b"\n")
    journal = Journal.resume(path)
    journal.note("note", text="after the crash")
    journal.close()
    again = read_journal(path)
    assert again.problem == "" and again.records[-1]["text"] == "after the crash"


@given(at=st.integers(0, 2000), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_flipped_bit_is_never_believed(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int) -> None:
    path = written(tmp_path_factory.mktemp("flip"))
    before = read_journal(path)
    data = bytearray(path.read_bytes())
    at %= before.length
    data[at] ^= 1 << bit
    path.write_bytes(bytes(data))
    reading = read_journal(path)
    intact = bytes(data[:at]).count(b"\n")
    assert reading.records == before.records[:intact]
    assert reading.problem in {"corrupt", "torn"}
    if intact < len(before.records) - 1:
        assert reading.problem == "corrupt"


def test_records_of_another_journal_do_not_fit_the_chain(tmp_path: Path) -> None:
    one = written(tmp_path / "one")
    journal = Journal.create(tmp_path / "two", RUN, kind="deploy", who="bert")
    journal.close()
    lines = one.read_bytes().split(b"\n")[:4]
    other = journal.path.read_bytes().split(b"\n")[0]
    journal.path.write_bytes(b"\n".join([other, *lines[1:], b""]))
    assert len(read_journal(journal.path).records) == 1


def test_an_empty_one_counts_as_open(tmp_path: Path) -> None:
    path = tmp_path / f"{RUN}.journal"
    path.write_bytes(bytes(1000))
    assert read_journal(path).problem == "empty" and open_journals(tmp_path) == [path]


def test_a_note_that_fails_leaves_the_records_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path)
    journal = Journal.resume(path)

    def refuse(descriptor: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="broken"):
        journal.note("end", state="done")
    monkeypatch.undo()
    assert [record["what"] for record in journal.records] == ["begin", "step", "step", "step"]
    journal.note("end", state="failed")
    journal.close()
    assert read_journal(path).records[-1]["state"] == "failed" and read_journal(path).problem == ""


def test_what_is_left_of_a_failed_note_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.create(tmp_path, "deploy-1", kind="deploy")

    def refused(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refused)
        with pytest.raises(OSError, match="Input/output"):
            journal.note("step", reason="a long one" * 30)
    journal.note("step", reason="short")
    reading = read_journal(journal.path)
    assert reading.problem == "" and [record["what"] for record in reading.records] == ["begin", "step"]
    journal.close()


def test_ended_it_is_at_rest_though_its_space_was_not_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.create(tmp_path, "rollback-1", kind="rollback")
    journal.note("end", state="done")
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", lambda *_: None)  # as when the power is cut before that is on the disk
        journal.close()
    assert journal.path.stat().st_size == RESERVED_BYTES
    assert open_journals(tmp_path) == []


def test_a_symlink_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / f"{RUN}.journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        Journal.create(tmp_path, RUN, kind="deploy")
    assert not (tmp_path / "elsewhere").exists()
