"""A machine that does not allow a migration: full disks, read-only ones, databases that fail."""

import json
import os
import sqlite3
import subprocess

import pytest
from catalogue_of import entries
from pictures import picture, put

from mobius_tui.errors import MobiusError
from mobius_tui.workspace import open_workspace


def listed(ws, *names, **fields):
    ws.catalogue.write_text(json.dumps({"images": [{"path": name, **fields} for name in names]}))


@pytest.fixture
def small_disk(tmp_path, root_only):
    """A filesystem of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no filesystem can be mounted here: {error}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk_of_the_library_leaves_the_old_catalogue_whole(make_workspace, run, small_disk):
    ws = open_workspace(make_workspace({}).root, {"parallel": 1, "library": str(small_disk)}, {}, "tester")
    put(small_disk, {"a.png": picture(1), "b.png": picture(2)})
    listed(ws, "a.png", "b.png", padding="x" * 100_000)
    before = ws.catalogue.read_bytes()
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(filler, bytes(4096))
    os.close(filler)
    job = run(ws)
    assert (job.state, job.exit_code) == ("failed", 5)
    assert ws.catalogue.read_bytes() == before
    assert list(small_disk.glob(".library.json*tmp")) == []


def test_full_disk_of_the_database(make_workspace, run, small_disk):
    root = make_workspace(2).root
    ws = open_workspace(root, {"parallel": 1, "state_dir": str(small_disk), "batch_size": 5}, {}, "tester")
    run(ws)
    before = ws.catalogue.read_bytes()
    put(ws.library, {f"new/{n}.png": picture(n + 100) for n in range(20)})
    filler = os.open(small_disk / "filler", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(filler, bytes(4096))
    os.close(filler)
    try:
        code = run(ws).exit_code
    except MobiusError as error:
        code = error.exit_code
    assert code == 5
    assert ws.catalogue.read_bytes() == before
    (small_disk / "filler").unlink()
    assert run(ws).state == "done"
    assert len(entries(ws)) == 22


def test_full_disk_of_the_backups_stops_before_anything_is_replaced(make_workspace, run, small_disk):
    ws = open_workspace(make_workspace(2).root, {"parallel": 1, "backups": str(small_disk / "b")}, {}, "tester")
    listed(ws, "deck/00.png", padding="x" * 1_200_000)
    before = ws.catalogue.read_bytes()
    job = run(ws)
    assert (job.state, job.exit_code) == ("failed", 5)
    assert ws.catalogue.read_bytes() == before
    assert [path.name for path in (small_disk / "b").iterdir()] == []


def test_library_that_may_not_be_written(make_workspace, run, small_disk):
    ws = open_workspace(make_workspace({}).root, {"parallel": 1, "library": str(small_disk)}, {}, "tester")
    put(small_disk, {"a.png": picture(1)})
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    job = run(ws)
    assert (job.state, job.exit_code) == ("failed", 3)
    assert job.summary == {}
    assert run(ws, "dry-run").state == "done"


def test_database_that_is_locked(make_workspace, run, store, monkeypatch):
    ws = make_workspace(2)
    store(ws)
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **named: real(path, **(named | {"timeout": 0.1})))
    other = real(ws.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Exception, match="database") as failed:
        run(ws)
    assert failed.value.exit_code == 3
    other.execute("ROLLBACK")
    other.close()
    assert run(ws).state == "done"


def test_database_that_is_corrupt(make_workspace, run):
    ws = make_workspace(2)
    ws.state.mkdir(exist_ok=True)
    ws.database.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(Exception, match="database") as failed:
        run(ws)
    assert failed.value.exit_code == 3
    assert "built again" in str(failed.value)


def test_database_that_breaks_in_the_middle(make_workspace, run, store):
    ws = make_workspace(4)

    def spoil(tick):
        if tick.phase == "hashing":
            store(ws).execute("DROP TABLE IF EXISTS fingerprints")

    job = run(ws, on_tick=spoil)
    assert (job.state, job.exit_code) == ("failed", 3)
    assert "database" in job.error
    assert not ws.catalogue.exists()
