"""A database that cannot grow is a resource that ran out, wherever SQLite says so."""

from __future__ import annotations

import sqlite3

import pytest

from mobius_tui.__main__ import _as_common
from mobius_tui.cli.interrupts import AskedToEnd
from mobius_tui.errors import TimeLimit, exit_code_of


@pytest.mark.parametrize(("said", "code"), [("database or disk is full", 5), ("database is locked", 3)])
def test_a_full_one_ends_with_5(said: str, code: int) -> None:
    assert exit_code_of(_as_common(sqlite3.OperationalError(said))) == code


def test_what_ends_a_process_in_the_middle_of_a_start_has_its_own_code() -> None:
    assert exit_code_of(AskedToEnd(TimeLimit("the time limit of 1 s ran out"))) == 4
