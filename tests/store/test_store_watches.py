"""Rows of watches: old ones go, with their measurements; what has not ended stays."""

from pathlib import Path

from mobius_tui.store.database import open_database
from mobius_tui.store.watches import (
    KEPT_S,
    TickRow,
    WatchRow,
    find_watch,
    forget_watches,
    list_ticks,
    write_tick,
    write_watch,
)

NOW = 1_800_000_000.0


def test_the_worker_forgets_watches_that_ended_long_ago(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "mobius.db")
    for run, ended in (("old", NOW - KEPT_S - 1), ("young", NOW - KEPT_S + 1), ("open", None)):
        row = WatchRow(run, "", "ended", "accepted", "ada", "", False, {}, NOW - 2 * KEPT_S, NOW, ended, "")
        write_watch(connection, row)
        write_tick(connection, run, TickRow(1, NOW, 1.0, "pass", {}, []))
    forget_watches(connection, NOW)
    assert [run for run in ("old", "young", "open") if find_watch(connection, run)] == ["young", "open"]
    assert [len(list_ticks(connection, run)) for run in ("old", "young", "open")] == [0, 1, 1]
    connection.close()
