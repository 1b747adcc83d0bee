"""Exchanging two files and renaming onto a free name, with the system's calls and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from writing import LINUX, NEW, OLD, names, sha

from mobius_tui.recovery.atomic import Changed, write_atomic
from mobius_tui.system import exchange as exchange_module
from mobius_tui.system.exchange import exchange, rename_new


@pytest.mark.skipif(not LINUX, reason="renameat2 is Linux's")
class TestFallbacks:
    @pytest.fixture(autouse=True)
    def without_the_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exchange_module, "_renameat2", lambda *_: False)

    def test_exchange(self, target: Path) -> None:
        staged = target.with_name("staged")
        staged.write_bytes(NEW)
        assert exchange(staged, target) is False
        assert (target.read_bytes(), staged.read_bytes()) == (NEW, OLD)
        assert names(target.parent) == ["library.json", "staged"]

    def test_exchange_that_fails_leaves_both(self, target: Path) -> None:
        with pytest.raises(FileNotFoundError):
            exchange(target.with_name("staged"), target)
        assert target.read_bytes() == OLD
        assert names(target.parent) == ["library.json"]

    @pytest.mark.parametrize("place", [1, 2])
    def test_an_exchange_cut_off_between_its_renames(
        self, target: Path, monkeypatch: pytest.MonkeyPatch, place: int
    ) -> None:
        real, calls = Path.replace, []

        def replace(source: Path, to: Path) -> Path:
            calls.append(1)
            if len(calls) == place:
                raise KeyboardInterrupt
            return real(source, to)

        staged = target.with_name("staged")
        staged.write_bytes(NEW)
        monkeypatch.setattr(Path, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            exchange(staged, target)
        assert (target.read_bytes(), staged.read_bytes()) == (OLD, NEW)
        assert names(target.parent) == ["library.json", "staged"]

    def test_a_second_name_that_a_kill_left_is_in_nobodys_way(self, target: Path) -> None:
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        os.link(target, target.with_name(f".library.json.{gone.pid}.old"))
        assert write_atomic(target, [NEW], expect=sha(OLD)) == sha(NEW)
        assert names(target.parent) == ["library.json"]

    def test_rename_new(self, target: Path) -> None:
        with pytest.raises(FileExistsError):
            rename_new(target, target)
        rename_new(target, target.with_name("b"))
        assert names(target.parent) == ["b"]

    def test_write(self, target: Path) -> None:
        assert write_atomic(target, [NEW], expect=sha(OLD)) == sha(NEW)
        with pytest.raises(Changed):
            write_atomic(target, [NEW], expect="absent")
        assert names(target.parent) == ["library.json"]


def test_exchange_and_rename_new(target: Path) -> None:
    staged = target.with_name("staged")
    staged.write_bytes(NEW)
    exchange(staged, target)
    assert (target.read_bytes(), staged.read_bytes()) == (NEW, OLD)
    with pytest.raises(FileExistsError):
        rename_new(staged, target)
    rename_new(staged, target.with_name("free"))
    assert names(target.parent) == ["free", "library.json"]
