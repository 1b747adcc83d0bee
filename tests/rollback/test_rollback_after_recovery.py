"""A rollback whose own start has brought the state before back goes no further."""

from __future__ import annotations

import json

import pytest
from publishing import Published, sha

from mobius_tui.recovery.atomic import Changed
from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, Journal, open_journals
from mobius_tui.recovery.staging import stage, staged_path, swap
from mobius_tui.rollback.emergency import keep_displaced
from mobius_tui.rollback.options import Outcome, RollbackOptions
from mobius_tui.rollback.recover import recover
from mobius_tui.rollback.run import roll_back
from mobius_tui.system.exchange import exchange
from mobius_tui.system.locks import FileLock, catalogue_lock_path
from mobius_tui.workspace import Workspace, open_workspace

RUN = "deploy-20261120T120000Z"


def asked(library: Published, **options: object) -> Outcome:
    ws = workspace(library)
    chosen = RollbackOptions(force=True, **options)  # type: ignore[arg-type]
    return roll_back(ws, chosen, confirm=lambda _: True, say=lambda _: None, environ={})


def workspace(library: Published) -> Workspace:
    return open_workspace(library.root, {}, {}, "ada")


def cut_off_deploy(library: Published, *, swapped: bool = True) -> tuple[bytes, str]:
    """A deploy killed after its swap, over a library that was published before; what was live, and its backup."""
    library.publish()
    library.publish()
    before = library.live.read_bytes()
    ws = workspace(library)
    backup = create_backup(library.live, library.backups, reason=f"before {RUN}", who="t")
    new = json.loads(before)
    new["dhash_migration"]["run"]["id"] = RUN
    journal = Journal.create(ws.state / JOURNALS, RUN, kind="deploy", who="t", live=str(library.live), options={})
    journal.note("round", round=1, before=sha(before), backup=backup.name)
    after = stage(library.live, [json.dumps(new).encode()], staged_path(library.live, RUN))
    journal.note("staged", round=1, before=sha(before), after=after, backup=backup.name)
    if swapped:
        journal.note("step", step="swap", state="running")
        swap(staged_path(library.live, RUN), library.live, sha(before))
    journal.close()
    return before, backup.name


def test_undoing_a_cut_off_deploy_was_the_way_back(library: Published) -> None:
    before, _ = cut_off_deploy(library)
    outcome = asked(library)
    assert library.live.read_bytes() == before
    assert outcome.mode == "recovered" and outcome.changed and outcome.exit_code == 0
    assert any("one publication further back" in warning for warning in outcome.warnings)
    assert open_journals(library.state / JOURNALS) == []
    further = asked(library)
    assert further.mode == "exact" and library.live.read_bytes() != before


def test_a_target_that_was_named_is_taken_all_the_same(library: Published) -> None:
    first = library.publish()
    assert first is not None
    cut_off_deploy(library)
    outcome = asked(library, backup=first.name)
    assert outcome.mode == "exact" and library.live.read_bytes() == first.path.read_bytes()


def test_what_was_undone_without_a_change_is_no_way_back(library: Published) -> None:
    library.publish()
    library.publish()
    before = library.live.read_bytes()
    ws = workspace(library)
    Journal.create(ws.state / JOURNALS, RUN, kind="deploy", who="t", live=str(library.live), options={}).close()
    assert asked(library).mode == "exact" and library.live.read_bytes() != before


def test_finishing_a_cut_off_rollback_was_the_way_back(library: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    library.publish()
    library.publish()

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("mobius_tui.rollback.run._note", killed)
        patch.setattr("mobius_tui.rollback.run.settle_restore", killed)
        with pytest.raises(Killed):
            asked(library)
    back = library.live.read_bytes()
    outcome = asked(library)
    assert outcome.mode == "recovered" and library.live.read_bytes() == back


def test_killed_when_it_was_swapped_back_already_it_is_the_way_back_too(library: Published) -> None:
    before, _ = cut_off_deploy(library)
    exchange(staged_path(library.live, RUN), library.live)  # then a hook ran, until it was killed
    assert library.live.read_bytes() == before
    outcome = asked(library)
    assert outcome.mode == "recovered" and library.live.read_bytes() == before


@pytest.mark.parametrize("swapped", [False, True])
def test_a_deploy_that_is_ended_was_the_way_back_on_either_side_of_its_swap(
    library: Published, monkeypatch: pytest.MonkeyPatch, swapped: bool
) -> None:
    before, _ = cut_off_deploy(library, swapped=swapped)
    held = FileLock(catalogue_lock_path(library.live))
    assert held.acquire("bert", f"deploy {RUN}")

    def undoes_itself(*_: object, **__: object) -> bool:
        held.release()
        recover(workspace(library), lambda _: None)
        return True

    monkeypatch.setattr("mobius_tui.rollback.making_way.stop_operation", undoes_itself)
    outcome = asked(library)
    assert outcome.mode == "recovered" and library.live.read_bytes() == before


def test_what_published_while_it_was_ended_is_gone_back_behind(
    library: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.publish()
    before = library.live.read_bytes()
    held = FileLock(catalogue_lock_path(library.live))
    assert held.acquire("bert", "migration 7")

    def publishes_first(*_: object, **__: object) -> bool:
        library.publish()
        held.release()
        return True

    monkeypatch.setattr("mobius_tui.rollback.making_way.stop_operation", publishes_first)
    outcome = asked(library)
    assert outcome.mode == "exact" and library.live.read_bytes() == before


def test_images_that_were_asked_for_are_not_passed_over_in_silence(library: Published) -> None:
    cut_off_deploy(library)
    outcome = asked(library, with_images=True)
    assert outcome.mode == "recovered" and any("no image was put back" in warning for warning in outcome.warnings)


def test_interrupted_after_its_exchange_it_is_in_the_history(
    library: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.publish()
    library.publish()
    before, moved = library.live.read_bytes(), []

    def interrupted(*given: object, **facts: object) -> object:
        moved.append(1)
        if len(moved) == 1:
            raise KeyboardInterrupt
        return keep_displaced(*given, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr("mobius_tui.rollback.restore.keep_displaced", interrupted)
    with pytest.raises(KeyboardInterrupt):
        asked(library)
    act = read_history(library.state)[-1]
    assert act["act"] == "rollback" and act["before"] == sha(before) and act["after"] == sha(library.live.read_bytes())
    assert library.live.read_bytes() != before


def test_a_publication_while_the_question_is_open_is_not_undone(library: Published) -> None:
    library.publish()
    library.publish()

    def somebody_publishes(_: object) -> bool:
        library.publish()
        return True

    ws = workspace(library)
    with pytest.raises(Changed, match="published while you were asked"):
        roll_back(ws, RollbackOptions(), confirm=somebody_publishes, say=lambda _: None, environ={})
    assert json.loads(library.live.read_bytes())["images"][0]["dhash"].startswith("00000003")


def test_who_asked_and_why_is_kept(library: Published) -> None:
    cut_off_deploy(library)
    asked(library, reason="customers complain")
    acts = [act for act in read_history(library.state) if act["act"] == "rollback asked"]
    assert len(acts) == 1 and (acts[0]["who"], acts[0]["reason"]) == ("ada", "customers complain")
