"""Damaged files are found before live data is touched, and called by their right name."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import judging
import pytest
from cases import CLEAN, DEPLOY, MIGRATE, ROLLBACK
from harm import HARMS
from injection import kill_points

from mobius_tui.recovery.backups import list_backups, verify_backup
from mobius_tui.recovery.journal import open_journals, read_journal


def prepared(bench, case):
    """A fresh workspace of a case, and what holds there."""
    bench.fresh(bench.template(case))
    return bench.root, bench.facts(case)


def untouched(bench, facts):
    """The live file is as it was."""
    assert judging.state_of(bench.root, facts) == "old"


def way_back(root):
    return list_backups(root / "backups")[0].path


@pytest.mark.parametrize("harm", HARMS)
def test_backup(bench, harm):
    root, facts = prepared(bench, ROLLBACK)
    for backup in list_backups(root / "backups"):
        HARMS[harm](backup.path)
        verdict = verify_backup(backup.path.parent, backup.name)
        assert verdict.state == "corrupt", verdict
    ended = bench.run(ROLLBACK, "rollback", bench.at)
    assert ended.code == 2, ended.sentence
    assert "corrupt" in ended.sentence or "hash" in ended.sentence, ended.sentence
    untouched(bench, facts)


def test_backup_is_gone(bench):
    root, facts = prepared(bench, ROLLBACK)
    path = way_back(root)
    path.unlink()
    assert verify_backup(path.parent, path.name).state == "missing"
    ended = bench.run(ROLLBACK, "rollback", bench.at)
    assert ended.code in {0, 2}
    if ended.code:
        untouched(bench, facts)


def test_backup_cannot_be_read(bench):
    """Neither corrupt nor missing: nobody knows."""
    root, facts = prepared(bench, ROLLBACK)
    ended = bench.run(
        ROLLBACK, "verify", bench.at, inject="read,pread64:error=EIO:when=1+", paths=[str(way_back(root))]
    )
    assert ended.answer == ["unreadable"], ended
    untouched(bench, facts)


@pytest.mark.parametrize("side", [".sha256", ".meta.json"])
def test_clean_keeps_what_it_cannot_read(bench, side):
    """A backup whose side file cannot be read may be pinned or needed: nobody knows."""
    root, facts = prepared(bench, CLEAN)
    name = sorted(facts.may_go)[0]
    path = root / "backups" / f"{name}{side}"
    ended = bench.run(CLEAN, "clean", bench.at, inject="openat:error=EIO:when=1+", paths=[str(path)])
    assert "(INJECTED)" in ended.trace
    assert name not in ended.answer, ended.answer
    assert path.with_name(name).exists()


@pytest.mark.parametrize("harm", HARMS)
def test_side_file(bench, harm):
    root, facts = prepared(bench, ROLLBACK)
    for backup in list_backups(root / "backups"):
        side = backup.path.with_name(f"{backup.name}.sha256")
        HARMS[harm](side)
        state = verify_backup(side.parent, backup.name).state
        assert state == ("good" if harm == "appended" else "corrupt")
    ended = bench.run(ROLLBACK, "rollback", bench.at)
    if harm != "appended":
        assert ended.code == 2, ended.sentence
        untouched(bench, facts)


@pytest.mark.parametrize("harm", HARMS)
def test_staged_file(bench, harm):
    """Damaged after it was written, before it is verified."""
    _, facts = prepared(bench, DEPLOY)
    ended = bench.driver.run("deploy", bench.root, bench.at, variants=[f"staged file {harm}"])
    assert ended.code == 3, ended
    assert "the step migrate is not what the files show" in ended.sentence
    assert "nothing of it is live" in ended.sentence
    untouched(bench, facts)
    assert judging.at_rest(bench.root, facts) == []


def killed_after_the_swap(bench):
    """A deploy that was killed right after its exchange; returns its journal."""
    calls = kill_points(bench.points(DEPLOY))
    swap = max(place for place, call in enumerate(calls) if call.name == "renameat2" and ".staged" in call.arguments)
    root, facts = prepared(bench, DEPLOY)
    bench.kill(DEPLOY, "deploy", bench.at, calls[swap + 1])
    assert judging.state_of(root, facts) == "new"
    return open_journals(root / ".mobius/deploy")[0]


@pytest.mark.parametrize(
    ("harm", "problems"),
    [("flipped", {"corrupt"}), ("truncated", {"torn"}), ("emptied", {"empty"}), ("appended", {"corrupt", "torn"})],
)
def test_journal(bench, harm, problems):
    journal = killed_after_the_swap(bench)
    facts = bench.facts(DEPLOY)
    records = journal.read_bytes().rstrip(b"\0")
    journal.write_bytes(records)
    HARMS[harm](journal)
    assert read_journal(journal).problem in problems
    ended = bench.run(DEPLOY, "recover", bench.at + 100)
    assert (ended.status, ended.code) == (0, 0), ended
    assert [said.split(maxsplit=1)[1] for said in ended.answer] == ["rolled back"], ended
    # an entry that the deploy added may stay where the journal no longer tells whose it is
    assert judging.at_rest(bench.root, replace(facts, new={"foreign"})) == []


@pytest.mark.parametrize("operation", ["migrate", "deploy"])
@pytest.mark.parametrize("harm", HARMS)
def test_database(bench, harm, operation):
    case = MIGRATE if operation == "migrate" else DEPLOY
    root, facts = prepared(bench, case)
    assert bench.run(case, "look", bench.at - 50).code == 0  # a database with rows
    database = root / ".mobius/mobius.db"
    HARMS[harm](database)
    ended = bench.run(case, operation, bench.at)
    assert ended.code in {0, 3}, ended.sentence
    assert ended.status == 0
    if ended.code:
        assert "the database cannot be used" in ended.sentence
        untouched(bench, facts)
    else:
        assert judging.state_of(root, facts) == "new"


@pytest.mark.parametrize("value", [b"", b"\x01", b"\0" * 9, None, "text", 7], ids=str)
def test_checkpoint_of_the_wrong_kind(bench, value):
    """A fingerprint that can be none is read as none: its image is decoded again."""
    root, facts = prepared(bench, MIGRATE)
    assert bench.run(MIGRATE, "migrate", bench.at - 50).code == 0
    assert spoil(root, value)
    judging.live_of(root).write_bytes(next((root / "backups").glob("library.json.bak.*Z")).read_bytes())
    ended = bench.run(MIGRATE, "migrate", bench.at)
    assert ended.code == 0, ended.sentence
    assert judging.state_of(root, facts) == "new"


def test_checkpoint_with_another_hash(bench):
    """One that could be one is found by the deploy's verification, which computes hashes anew."""
    root, facts = prepared(bench, DEPLOY)
    assert bench.run(DEPLOY, "look", bench.at - 50).code == 0
    assert spoil(root, b"\x01\x02\x03\x04\x05\x06\x07\x08")
    ended = bench.run(DEPLOY, "deploy", bench.at)
    assert ended.code == 2, ended
    untouched(bench, facts)
    assert judging.at_rest(root, facts) == []


def spoil(root, value):
    """Put a value in place of every dHash; how many rows were changed."""
    with closing(sqlite3.connect(root / ".mobius/mobius.db")) as connection:
        count = connection.execute("UPDATE fingerprints SET dhash = ? WHERE dhash IS NOT NULL", (value,)).rowcount
        connection.commit()
        return count
