"""Jobs: claims, wishes, ownership."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from mobius_tui.errors import BadInput
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import (
    add_job,
    ask,
    claim_next,
    find_job,
    finish_job,
    is_migrating,
    list_jobs,
    release_job,
    update_job,
    wanted_of,
)
from mobius_tui.system.processes import process_token

DEAD = "boot:1:1"


def test_one_of_a_kind_is_asked_for_at_a_time(connection: sqlite3.Connection) -> None:
    """Two consoles may press the key at once: the look and the row are one transaction."""
    first = add_job(connection, "migrate", {}, "ann", alone=("migrate", "dry-run"))
    with pytest.raises(BadInput, match="migrate 1 of ann is queued already"):
        add_job(connection, "dry-run", {}, "bob", alone=("migrate", "dry-run"))
    assert add_job(connection, "backup", {}, "bob", alone=("backup",)).state == "queued"
    finish_job(connection, first.id, "done", 0, "", {})
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    add_job(connection, "dry-run", {}, "bob", alone=("migrate", "dry-run"))
    connection.set_trace_callback(None)
    assert asked[0] == "BEGIN IMMEDIATE" and [text[:6] for text in asked].count("COMMIT") == 1


def test_a_job_is_claimed_once_in_order(connection: sqlite3.Connection) -> None:
    first = add_job(connection, "migrate", {"a": 1}, "ann")
    second = add_job(connection, "dry-run", {}, "bob")
    me = process_token()
    claimed = claim_next(connection, me)
    assert claimed is not None and (claimed.id, claimed.state, claimed.options) == (first.id, "running", {"a": 1})
    claimed = claim_next(connection, me)
    assert claimed is not None and claimed.id == second.id
    assert claim_next(connection, me) is None


def test_run_ids_are_unique_within_a_second(connection: sqlite3.Connection) -> None:
    names = {add_job(connection, "migrate", {}, "ann").run_id for _ in range(5)}
    assert len(names) == 5 and all(name.startswith("migration-") for name in names)


def test_a_job_of_a_dead_process_is_interrupted_and_claimed_again(connection: sqlite3.Connection) -> None:
    job = add_job(connection, "migrate", {}, "ann")
    connection.execute("UPDATE jobs SET state = 'paused', owner = ?", (DEAD,))
    assert find_job(connection, job.id).state == "interrupted"
    assert find_job(connection, job.id).active
    claimed = claim_next(connection, process_token())
    assert claimed is not None and claimed.id == job.id and claimed.state == "running"


def test_a_job_of_a_verb_is_never_claimed(connection: sqlite3.Connection) -> None:
    add_job(connection, "migrate", {}, "ann", owner=DEAD)
    assert claim_next(connection, process_token()) is None


def test_a_job_given_back_is_claimed_again_but_only_by_its_owner(connection: sqlite3.Connection) -> None:
    job = add_job(connection, "migrate", {}, "ann")
    me = process_token()
    claim_next(connection, me)
    assert not release_job(connection, job.id, DEAD)
    assert claim_next(connection, me) is None
    assert release_job(connection, job.id, me)
    assert find_job(connection, job.id).state == "interrupted"
    again = claim_next(connection, me)
    assert again is not None and again.id == job.id
    finish_job(connection, job.id, "done", 0, "", {})
    assert not release_job(connection, job.id, me)


def test_wishes(connection: sqlite3.Connection) -> None:
    job = add_job(connection, "migrate", {}, "ann")
    claim_next(connection, process_token())
    ask(connection, job.id, "pause", "bob")
    assert wanted_of(connection, job.id) == ("pause", "bob")
    assert ask(connection, job.id, "cancel", "bob").state == "running"  # it ends at its next checkpoint
    waiting = add_job(connection, "migrate", {}, "ann")
    over = ask(connection, waiting.id, "cancel", "cy")
    assert (over.state, over.exit_code, over.error) == ("cancelled", 130, "cancelled by cy")
    with pytest.raises(BadInput, match="is over"):
        ask(connection, waiting.id, "pause", "bob")
    with pytest.raises(BadInput, match="no job 99"):
        ask(connection, 99, "pause", "bob")


def test_a_deleted_row_counts_as_cancelled(connection: sqlite3.Connection) -> None:
    assert wanted_of(connection, 5) == ("cancel", "")


def test_a_cancelled_interrupted_job_is_not_taken_up_again(connection: sqlite3.Connection) -> None:
    job = add_job(connection, "migrate", {}, "ann")
    connection.execute("UPDATE jobs SET state = 'running', owner = ?", (DEAD,))
    assert ask(connection, job.id, "cancel", "bob").state == "cancelled"
    assert claim_next(connection, process_token()) is None


def test_progress_columns_are_checked(connection: sqlite3.Connection) -> None:
    job = add_job(connection, "migrate", {}, "ann")
    update_job(connection, job.id, done=5, total=10, rate=2.5)
    assert (find_job(connection, job.id).done, find_job(connection, job.id).rate) == (5, 2.5)
    with pytest.raises(ValueError, match="exit_code"):
        update_job(connection, job.id, exit_code=1)


def test_migrating_is_running_or_paused_by_a_live_process(connection: sqlite3.Connection) -> None:
    job = add_job(connection, "migrate", {}, "ann")
    assert not is_migrating(connection)  # waits in the queue
    claim_next(connection, process_token())
    assert is_migrating(connection)
    update_job(connection, job.id, state="paused")
    assert is_migrating(connection)
    connection.execute("UPDATE jobs SET owner = ?", (DEAD,))
    assert not is_migrating(connection)


def test_the_list_is_newest_first_and_active_only_when_asked(connection: sqlite3.Connection) -> None:
    ids = [add_job(connection, "migrate", {}, "ann").id for _ in range(3)]
    finish_job(connection, ids[1], "done", 0, "", {"total": 3})
    assert [job.id for job in list_jobs(connection)] == ids[::-1]
    assert [job.id for job in list_jobs(connection, active_only=True)] == [ids[2], ids[0]]
    assert find_job(connection, ids[1]).summary == {"total": 3}


def _claim_all(path: str, barrier: object, answers: object) -> None:
    connection = open_database(Path(path))
    me = process_token()
    barrier.wait()  # type: ignore[attr-defined]
    won = []
    while (job := claim_next(connection, me)) is not None:
        won.append(job.id)
    connection.close()
    answers.put(won)  # type: ignore[attr-defined]
    barrier.wait()  # type: ignore[attr-defined]  # a process that is gone would give its jobs back


def test_two_processes_never_get_the_same_job(connection: sqlite3.Connection, database: Path) -> None:
    ids = [add_job(connection, "migrate", {}, "ann").id for _ in range(30)]
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_claim_all, args=(str(database), barrier, answers)) for _ in range(3)]
    for process in processes:
        process.start()
    won = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(job for some in won for job in some) == ids
