"""What is refused while a watch is on, and what is not."""

import sqlite3
from collections.abc import Callable

import pytest

from mobius_tui.errors import Held
from mobius_tui.guard.files import open_watch, plan_watch
from mobius_tui.guard.model import Plan
from mobius_tui.operations.backup import backup_now
from mobius_tui.operations.backup_restore import restore_backup
from mobius_tui.operations.live import FIRST_RUN
from mobius_tui.recovery.journal import Journal
from mobius_tui.recovery.watches import open_watches
from mobius_tui.store.database import write_meta, writing
from mobius_tui.store.jobs import Job, list_jobs
from mobius_tui.worker.sync import LiveSync
from mobius_tui.workspace import Workspace

Opened = Callable[..., Workspace]

Store = Callable[[Workspace], sqlite3.Connection]
Run = Callable[..., Job]


def begin(ws: Workspace) -> None:
    plan_watch(ws, Plan(run="watch-20261120T120000Z", who="anna", duration_s=3600.0, interval_s=60.0))
    assert open_watch(ws) is not None


def end(ws: Workspace) -> None:
    for path in open_watches(ws.state):
        journal = Journal.resume(path)
        journal.note("end", outcome="stopped", decided_by="anna")
        journal.close()


def test_a_migration_in_place_is_refused_until_it_ends(make_workspace: Opened, run: Run) -> None:
    ws = make_workspace()
    assert run(ws).state == "done"
    before = ws.catalogue.read_bytes()
    begin(ws)
    job = run(ws)
    assert (job.state, job.exit_code) == ("refused", Held.exit_code)
    assert "anna" in job.error
    assert "until 2" in job.error
    assert ws.catalogue.read_bytes() == before
    assert run(ws, kind="dry-run").state == "done"
    assert run(ws, output=str(ws.root / "other.json")).state == "done"
    assert run(ws, input=str(ws.catalogue)).state == "refused"
    assert run(ws, output=str(ws.catalogue)).state == "refused"
    assert ws.catalogue.read_bytes() == before
    end(ws)
    assert run(ws).state == "done"


def test_a_restore_into_place_is_refused(make_workspace: Opened, run: Run) -> None:
    ws = make_workspace()
    run(ws)
    name = backup_now(ws, "by hand").name
    begin(ws)
    with pytest.raises(Held, match="anna"):
        restore_backup(ws, name, live=True, reason="", say=lambda _: None)
    end(ws)


def test_live_sync_waits_for_the_end(make_workspace: Opened, store: Store) -> None:
    ws = make_workspace(sync="live")
    connection = store(ws)
    with writing(connection):
        write_meta(connection, FIRST_RUN, "yes")
    begin(ws)
    sync = LiveSync(ws)
    sync.changed()
    assert not sync.step(connection)
    end(ws)
    assert sync.step(connection)
    assert [job.kind for job in list_jobs(connection)] == ["migrate"]
