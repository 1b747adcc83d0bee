"""A deploy that was cut off, at every state its files can be in: finished or undone, nothing of others lost."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mobius_tui.recovery.atomic import ABSENT
from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, Journal, open_journals, read_journal
from mobius_tui.recovery.staging import stage, staged_path, swap
from mobius_tui.rollback.judging import intent_of, judge
from mobius_tui.rollback.recover import recover
from mobius_tui.settings import Settings, Sourced
from mobius_tui.workspace import Workspace, init_workspace

RUN = "deploy-20261120T120000Z"


def catalogue(run: str = "", **fields: object) -> bytes:
    entry: dict[str, object] = {"path": "a.png", **fields}
    document: dict[str, object] = {"images": [entry]}
    if run:
        entry |= {"dhash": "f0e4c2d9a1b3c5d7", "dhash_confidence": 0.9, "dhash_status": "ok"}
        document |= {
            "dhash_migration": {"schema_version": 1, "algorithm": "dhash-64", "profile": "exact", "run": {"id": run}},
            "dhash_duplicates": [],
        }
    return json.dumps(document).encode()


OLD = catalogue(note="old")
NEW = catalogue(RUN, note="old")
FOREIGN_OLD = catalogue(note="changed by the application")
FOREIGN_NEW = catalogue(RUN, note="changed by the application")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    made = Workspace(tmp_path, Sourced(Settings(), {}), "anna")
    made.catalogue.write_bytes(OLD)
    return made


def begun(ws: Workspace, *, upto: str, automatic: bool = True, token: str = "") -> Journal:
    """A deploy as its files are after a step: ``backup``, ``stage``, ``staged``, ``swap`` or ``smoke``."""
    journal = Journal.create(
        ws.state / JOURNALS,
        RUN,
        kind="deploy",
        who="anna",
        reason="release",
        live=str(ws.catalogue),
        options={"auto_rollback": automatic},
        token=token,
    )
    backup = create_backup(ws.catalogue, ws.backups, reason=f"before {RUN}", who="anna").name
    journal.note("round", round=1, before=sha(OLD), backup=backup)
    if upto == "backup":
        return journal
    stage(ws.catalogue, [NEW], staged_path(ws.catalogue, RUN))
    if upto == "stage":
        return journal
    journal.note("staged", round=1, before=sha(OLD), after=sha(NEW), backup=backup)
    if upto == "staged":
        return journal
    swap(staged_path(ws.catalogue, RUN), ws.catalogue, sha(OLD))
    if upto == "swap":
        return journal
    journal.note("step", step="smoke", state="done", round=1)
    return journal


def brought_to_rest(ws: Workspace) -> tuple[str, list[str]]:
    """The outcome of a recovery, and what it said; at rest, and a second one finds nothing."""
    said: list[str] = []
    settled = recover(ws, said.append)
    assert len(settled) == 1
    assert open_journals(ws.state / JOURNALS) == []
    assert recover(ws, said.append) == []
    names = {path.name for path in ws.library.iterdir()}
    assert not [name for name in names if name.endswith((".staged", ".tmp", ".swap", ".proof"))]
    return settled[0].outcome, said


def emergencies(ws: Workspace) -> list[bytes]:
    folder = ws.backups / "emergency"
    sides = (".sha256", ".meta.json")
    files = sorted(folder.iterdir()) if folder.exists() else []
    return [path.read_bytes() for path in files if not path.name.endswith(sides)]


@pytest.mark.parametrize("upto", ["backup", "stage", "staged"])
def test_before_the_swap_nothing_of_it_stays(ws: Workspace, upto: str) -> None:
    begun(ws, upto=upto).close()
    outcome, said = brought_to_rest(ws)
    assert outcome == "undone" and ws.catalogue.read_bytes() == OLD
    assert any("nothing of it is live" in line for line in said)


def test_a_torn_staged_file_goes(ws: Workspace) -> None:
    begun(ws, upto="stage").close()
    staged_path(ws.catalogue, RUN).write_bytes(NEW[:20])
    assert brought_to_rest(ws)[0] == "undone" and ws.catalogue.read_bytes() == OLD and emergencies(ws) == []


def test_after_the_swap_the_old_one_is_live_again(ws: Workspace) -> None:
    begun(ws, upto="swap").close()
    outcome, _ = brought_to_rest(ws)
    assert outcome == "rolled back" and ws.catalogue.read_bytes() == OLD
    assert emergencies(ws) == [NEW]
    acts = [act for act in read_history(ws.state) if act["act"] == "deploy rolled back"]
    assert len(acts) == 1 and acts[0]["before"] == sha(NEW) and acts[0]["after"] == sha(OLD)


def test_proven_it_is_finished(ws: Workspace) -> None:
    begun(ws, upto="smoke").close()
    outcome, _ = brought_to_rest(ws)
    assert outcome == "done" and ws.catalogue.read_bytes() == NEW
    acts = [act for act in read_history(ws.state) if act["act"] == "deploy"]
    assert len(acts) == 1 and acts[0]["after"] == sha(NEW) and acts[0]["reason"]


def test_without_automatic_rollback_it_is_held(ws: Workspace) -> None:
    begun(ws, upto="swap", automatic=False).close()
    outcome, said = brought_to_rest(ws)
    assert outcome == "held" and ws.catalogue.read_bytes() == NEW
    assert any("mobius rollback" in line for line in said)


def test_a_write_on_top_of_ours_is_kept_by_the_rollback(ws: Workspace) -> None:
    begun(ws, upto="swap").close()
    ws.catalogue.write_bytes(FOREIGN_NEW)
    assert brought_to_rest(ws)[0] == "rolled back"
    live = json.loads(ws.catalogue.read_bytes())
    assert live["images"] == [{"path": "a.png", "note": "changed by the application"}]
    assert "dhash_migration" not in live and FOREIGN_NEW in emergencies(ws)


def test_a_write_into_the_displaced_file_comes_back(ws: Workspace) -> None:
    begun(ws, upto="swap").close()
    staged_path(ws.catalogue, RUN).write_bytes(FOREIGN_OLD)
    assert brought_to_rest(ws)[0] == "rolled back" and ws.catalogue.read_bytes() == FOREIGN_OLD


def test_garbage_in_the_displaced_file_does_not_become_live(ws: Workspace) -> None:
    begun(ws, upto="swap").close()
    displaced = staged_path(ws.catalogue, RUN)
    displaced.write_bytes(FOREIGN_OLD[:30])
    os.utime(displaced, (1, 1))
    assert brought_to_rest(ws)[0] == "rolled back" and ws.catalogue.read_bytes() == OLD
    assert FOREIGN_OLD[:30] in emergencies(ws)


@pytest.mark.parametrize("upto", ["swap", "smoke"])
@pytest.mark.parametrize("broken", [b"", b"{}", FOREIGN_OLD[:30], b"\x00" * 100])
def test_what_is_no_catalogue_does_not_stay_live(ws: Workspace, upto: str, broken: bytes) -> None:
    begun(ws, upto=upto).close()
    ws.catalogue.write_bytes(broken)
    os.utime(ws.catalogue, (1, 1))
    outcome, said = brought_to_rest(ws)
    assert outcome == "rolled back" and ws.catalogue.read_bytes() == OLD and broken in emergencies(ws)
    assert any("broke the live file" in line for line in said)


def test_a_live_file_broken_before_the_swap_is_told(ws: Workspace) -> None:
    begun(ws, upto="staged").close()
    ws.catalogue.write_bytes(b"{}")
    os.utime(ws.catalogue, (1, 1))
    outcome, said = brought_to_rest(ws)
    assert outcome == "undone" and ws.catalogue.read_bytes() == b"{}"
    assert any("`mobius rollback`" in line for line in said)


def test_a_number_of_thousands_of_digits_does_not_hide_whose_it_is(ws: Workspace) -> None:
    begun(ws, upto="swap").close()
    ws.catalogue.write_bytes(FOREIGN_NEW.replace(b'"note"', b'"n": ' + b"1" * 5000 + b', "note"'))
    assert brought_to_rest(ws)[0] == "rolled back"
    assert b"dhash_migration" not in ws.catalogue.read_bytes() and b"1" * 5000 in ws.catalogue.read_bytes()


def test_a_write_before_the_swap_stays_live(ws: Workspace) -> None:
    begun(ws, upto="staged").close()
    ws.catalogue.write_bytes(FOREIGN_OLD)
    assert brought_to_rest(ws)[0] == "undone" and ws.catalogue.read_bytes() == FOREIGN_OLD


def test_ours_replaced_by_an_older_version_leaves_that_live(ws: Workspace) -> None:
    begun(ws, upto="swap").close()
    ws.catalogue.unlink()
    ws.catalogue.write_bytes(FOREIGN_OLD)
    assert brought_to_rest(ws)[0] == "undone" and ws.catalogue.read_bytes() == FOREIGN_OLD


@pytest.mark.parametrize("upto", ["staged", "swap"])
def test_a_live_file_that_is_gone_comes_back(ws: Workspace, upto: str) -> None:
    begun(ws, upto=upto).close()
    ws.catalogue.unlink()
    assert brought_to_rest(ws)[0] == "rolled back" and ws.catalogue.read_bytes() == OLD


def test_with_the_displaced_file_gone_the_backup_serves(ws: Workspace) -> None:
    begun(ws, upto="swap").close()
    staged_path(ws.catalogue, RUN).unlink()
    assert brought_to_rest(ws)[0] == "rolled back" and ws.catalogue.read_bytes() == OLD


def test_a_corrupt_journal_is_named_and_the_hashes_decide(ws: Workspace) -> None:
    journal = begun(ws, upto="swap")
    journal.close()
    data = bytearray(journal.path.read_bytes())
    at = data.index(b"\n") + 40  # in the second record: the backup's name is lost
    data[at] ^= 1
    journal.path.write_bytes(bytes(data))
    assert read_journal(journal.path).problem == "corrupt"
    outcome, said = brought_to_rest(ws)
    assert outcome == "rolled back" and any("is corrupt" in line for line in said)
    assert json.loads(ws.catalogue.read_bytes())["images"] == [{"path": "a.png", "note": "old"}]
    assert journal.path.with_name(f"{journal.path.name}.corrupt").exists()


def test_an_empty_journal_was_never_begun(ws: Workspace) -> None:
    journal = begun(ws, upto="backup")
    journal.close()
    journal.path.write_bytes(bytes(4096))
    said: list[str] = []
    assert recover(ws, said.append) == [] and not journal.path.exists()
    assert "before it began" in said[0] and ws.catalogue.read_bytes() == OLD


def test_an_orphaned_staged_file_that_nobody_knows_is_kept(ws: Workspace) -> None:
    orphan = staged_path(ws.catalogue, "deploy-20261119T120000Z")
    orphan.write_bytes(b"unknown")
    recover(ws, lambda _: None)
    assert not orphan.exists() and emergencies(ws) == [b"unknown"] and ws.catalogue.read_bytes() == OLD


def test_where_no_catalogue_was_it_is_withdrawn(ws: Workspace) -> None:
    ws.catalogue.unlink()
    journal = Journal.create(ws.state / JOURNALS, RUN, kind="deploy", who="anna", live=str(ws.catalogue))
    journal.note("round", round=1, before=ABSENT, backup=None)
    stage(ws.catalogue, [NEW], staged_path(ws.catalogue, RUN))
    journal.note("staged", round=1, before=ABSENT, after=sha(NEW))
    swap(staged_path(ws.catalogue, RUN), ws.catalogue, ABSENT)
    journal.close()
    assert brought_to_rest(ws)[0] == "rolled back"
    assert not ws.catalogue.exists() and emergencies(ws) == [NEW]


def test_what_others_wrote_on_a_first_publication_stays(ws: Workspace) -> None:
    ws.catalogue.unlink()
    journal = Journal.create(ws.state / JOURNALS, RUN, kind="deploy", who="anna", live=str(ws.catalogue))
    journal.note("round", round=1, before=ABSENT, backup=None)
    stage(ws.catalogue, [NEW], staged_path(ws.catalogue, RUN))
    journal.note("staged", round=1, before=ABSENT, after=sha(NEW))
    swap(staged_path(ws.catalogue, RUN), ws.catalogue, ABSENT)
    journal.close()
    ws.catalogue.write_bytes(FOREIGN_NEW)
    assert brought_to_rest(ws)[0] == "rolled back"
    live = json.loads(ws.catalogue.read_bytes())
    assert live == {"images": [{"path": "a.png", "note": "changed by the application"}]}


@pytest.mark.parametrize("came_out", [OLD, FOREIGN_OLD])
def test_an_exchange_in_steps_that_was_cut_off_loses_nothing(ws: Workspace, came_out: bytes) -> None:
    """Between its two renames what was live has no name but the temporary of the dead process."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    begun(ws, upto="staged", token=f"boot:{gone.pid}:1").close()
    staged_path(ws.catalogue, RUN).replace(ws.catalogue)
    ws.catalogue.with_name(f".{ws.catalogue.name}.{gone.pid}.old").write_bytes(came_out)
    assert brought_to_rest(ws)[0] == "rolled back" and ws.catalogue.read_bytes() == came_out


def test_the_journal_alone_is_never_believed() -> None:
    """Whatever it says was done: a live file that is not this run's is left as it is."""
    records = [
        {"what": "begin", "live": "/x/library.json", "options": {}},
        {"what": "round", "round": 1, "before": "a", "backup": "b"},
        {"what": "staged", "before": "a", "after": "n", "backup": "b"},
        {"what": "step", "step": "swap", "state": "done"},
        {"what": "step", "step": "smoke", "state": "done"},
    ]
    for length, live, staged in itertools.product(range(1, 6), ("a", "f"), ("a", "n", "f", ABSENT)):
        intent = intent_of(RUN, records[:length], Path("/x/library.json"))
        assert judge(intent, live, staged, carries_run=False) == "discard"
    proven = intent_of(RUN, records, Path("/x"))
    unproven = intent_of(RUN, records[:4], Path("/x"))
    assert judge(proven, "n", "a", carries_run=False) == "finish"
    assert judge(unproven, "n", "a", carries_run=False) == "swap back"
    assert judge(unproven, "n", ABSENT, carries_run=False) == "restore"
    assert judge(unproven, "f", "a", carries_run=True) == "restore"
    assert judge(unproven, ABSENT, "a", carries_run=False) == "put back"


def test_a_new_round_forgets_that_the_last_one_was_proven() -> None:
    records = [
        {"what": "begin"},
        {"what": "round", "before": "a", "backup": "b"},
        {"what": "staged", "before": "a", "after": "n"},
        {"what": "step", "step": "smoke", "state": "done"},
        {"what": "round", "before": "c", "backup": "d"},
    ]
    intent = intent_of(RUN, records, Path("/x"))
    assert not intent.proven and intent.before == "c" and intent.after == "" and intent.ours == {"n"}


def replaced_by_the_application(ws: Workspace, data: bytes) -> None:
    other = ws.library / "application.tmp"
    other.write_bytes(data)
    other.replace(ws.catalogue)


def test_a_write_between_judging_and_swapping_back_stays(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(ws, upto="swap").close()
    written = []

    def judged(*given: object, **facts: object) -> str:
        verdict = judge(*given, **facts)  # type: ignore[arg-type]
        if not written:
            written.append(verdict)
            replaced_by_the_application(ws, FOREIGN_NEW)
        return verdict

    monkeypatch.setattr("mobius_tui.rollback.undo.judge", judged)
    outcome, said = brought_to_rest(ws)
    assert written == ["swap back"] and outcome == "rolled back"
    live = json.loads(ws.catalogue.read_bytes())
    assert live["images"] == [{"path": "a.png", "note": "changed by the application"}]
    assert any("changed meanwhile" in line for line in said)


@pytest.mark.parametrize("displaced", [True, False])
def test_a_bad_way_back_is_not_the_end_of_it(ws: Workspace, displaced: bool) -> None:
    """The displaced file is as good as its backup; without it an older backup takes the bad one's place."""
    older = create_backup(ws.catalogue, ws.backups, reason="older", who="anna").name
    journal = begun(ws, upto="swap")
    journal.close()
    bad = next(str(record["backup"]) for record in journal.records if record.get("backup"))
    (ws.backups / bad).write_bytes(OLD[:-1])
    replaced_by_the_application(ws, FOREIGN_NEW)
    if not displaced:
        staged_path(ws.catalogue, RUN).unlink()
    outcome, said = brought_to_rest(ws)
    assert outcome == "rolled back"
    assert json.loads(ws.catalogue.read_bytes()) == json.loads(FOREIGN_OLD)
    assert any(older in line for line in said) is not displaced


def test_killed_after_the_way_back_was_restored_it_is_told_as_that(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    begun(ws, upto="swap").close()
    replaced_by_the_application(ws, FOREIGN_NEW)
    with monkeypatch.context() as patch:
        patch.setattr("mobius_tui.rollback.undo._note_once", killed)
        with pytest.raises(Killed):
            recover(ws, lambda _: None)
    assert brought_to_rest(ws)[0] == "rolled back"
    assert [act["act"] for act in read_history(ws.state)] == ["deploy rolled back"]
    assert json.loads(ws.catalogue.read_bytes()) == json.loads(FOREIGN_OLD)


def test_a_displaced_file_without_a_journal_is_kept_though_another_run_had_staged_it(ws: Workspace) -> None:
    begun(ws, upto="smoke").close()
    assert brought_to_rest(ws)[0] == "done"
    left = staged_path(ws.catalogue, "rollback-20261120T130000Z")  # it could make no journal, and was killed
    stage(ws.catalogue, [OLD], left)
    swap(left, ws.catalogue, sha(NEW))
    assert recover(ws, lambda _: None) == []
    assert not left.exists() and emergencies(ws) == [NEW]
