"""The guard's rollback on real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from guarded import Guarded, guarded
from watch_world import FakeClock, Service, ill

from mobius_tui.errors import Cancelled, MobiusError
from mobius_tui.guard.canary import watch_canary
from mobius_tui.guard.files import plan_watch
from mobius_tui.guard.going_back import GoingBack
from mobius_tui.launch.worker import worker_holder
from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import HISTORY_NAME, note_act
from mobius_tui.recovery.journal import JOURNALS


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "ws") as made:
        yield made


@pytest.fixture
def said() -> list[str]:
    return []


def back(place: Guarded, said: list[str]) -> GoingBack:
    return GoingBack(place.ws, {}, None, said.append)


def test_the_way_back_is_that_of_what_is_live(place: Guarded, said: list[str]) -> None:
    assert back(place, said).way() == place.backup


def test_it_is_done_once_and_known_by_what_is_live(place: Guarded, said: list[str]) -> None:
    going = back(place, said)
    intent = going.intent(place.backup, "guard", "watch w: health")
    assert not going.was_done(intent)
    outcome = going.run(intent)
    assert (outcome.target, place.live.read_bytes()) == (place.backup, place.old)
    assert going.was_done(intent)
    assert [act["who"] for act in place.acts("rollback")] == ["guard"]


def test_what_others_added_is_kept(place: Guarded, said: list[str]) -> None:
    library = json.loads(place.live.read_bytes())
    library["images"].append({"path": "late.png", "title": "added during the watch"})
    place.live.write_text(json.dumps(library))
    going = back(place, said)
    going.run(going.intent(place.backup, "guard", "watch w: health"))
    now = json.loads(place.live.read_bytes())
    assert [entry["path"] for entry in now["images"]][-1] == "late.png"
    assert not any("dhash" in entry for entry in now["images"])


def test_a_damaged_live_file_is_replaced(place: Guarded, said: list[str]) -> None:
    place.live.write_text('{"images": [')
    going = back(place, said)
    going.run(going.intent(place.backup, "guard", "watch w: catalogue"))
    assert place.live.read_bytes() == place.old


def test_a_bad_backup_is_passed_over_for_a_good_one(place: Guarded, said: list[str]) -> None:
    old = place.ws.backups / place.backup
    other = create_backup(place.live, place.ws.backups, reason="by hand", who="t")
    old.write_bytes(old.read_bytes().replace(b"p000", b"p009"))
    going = back(place, said)
    with pytest.raises(MobiusError):  # the only older one is bad, and a newer one is no way back
        going.run(going.intent(place.backup, "guard", "watch w: health"))
    assert place.live.read_bytes() == place.new
    assert other.name
    assert any("cannot be taken" in text for text in said)


def test_what_was_published_where_nothing_was_goes_back_to_no_backup_by_guess(place: Guarded, said: list[str]) -> None:
    """The first publication beside a backup of a catalogue of long ago."""
    (place.ws.state / HISTORY_NAME).unlink()
    library = json.loads(place.new)
    library["dhash_migration"]["run"]["id"] = run = "deploy-20261120T170000Z"
    place.live.write_text(json.dumps(library))
    before = place.live.read_bytes()
    note_act(place.ws.state, "deploy", "t", run_id=run, after=sha256_file(place.live), details={"backup": None})
    going = back(place, said)
    assert going.way() == ""
    with pytest.raises(MobiusError, match="by guess"):
        going.run(going.intent("", "guard", "watch w: health"))
    assert place.live.read_bytes() == before


def test_with_nothing_to_go_back_to_a_dead_worker_is_started_and_the_catalogue_stays(
    place: Guarded, said: list[str]
) -> None:
    for backup in place.ws.backups.iterdir():
        backup.unlink()
    (place.ws.state / HISTORY_NAME).unlink()
    going = back(place, said)
    with pytest.raises(MobiusError, match="nothing can be rolled back") as refused:
        going.run(going.intent("", "guard", "watch w: health"))
    assert "`mobius watch stop --reason TEXT`" in str(refused.value) and "`mobius backup create`" in str(refused.value)
    assert (worker_holder(place.ws) is not None, place.live.read_bytes()) == (True, place.new)
    assert said == ["the worker was dead and is started; the catalogue stays"]
    with pytest.raises(MobiusError):
        going.run(going.intent("", "guard", "watch w: health"))
    assert len(said) == 1, "a worker that lives is left alone"


def test_with_nothing_to_go_back_to_no_worker_is_started_beside_another_service(
    place: Guarded, said: list[str]
) -> None:
    (place.ws.state / HISTORY_NAME).unlink()
    (place.ws.backups / place.backup).unlink()
    plan_watch(place.ws, place.plan(base_url="http://127.0.0.1:1"))
    going = back(place, said)
    with pytest.raises(MobiusError, match="nothing can be rolled back"):
        going.run(going.intent("", "guard", "watch w: health"))
    assert (worker_holder(place.ws), said) == (None, [])


def test_a_rollback_that_a_kill_cut_off_is_not_taken_for_done(place: Guarded, said: list[str]) -> None:
    going = back(place, said)
    intent = going.intent(place.backup, "guard", "watch w: health")
    (place.ws.state / JOURNALS).mkdir(parents=True, exist_ok=True)
    (place.ws.state / JOURNALS / "rollback-20261120T120000Z.journal").write_bytes(b"")
    assert not going.was_done(intent)


def canary(place: Guarded, service: Service, clock: FakeClock, checkpoint=lambda: None) -> tuple[str, str, list[str]]:
    notes: list[str] = []
    plan = replace(place.plan(), run="deploy-1-canary", deploy="deploy-1", duration_s=60.0, interval_s=5.0, canary=True)
    outcome, reason = watch_canary(
        place.ws,
        plan,
        lambda what, **facts: notes.append(f"{what} {facts['number']} {facts['verdict']}"),
        checkpoint,
        collector=service,
        clock=clock,
        sleep=clock.go,
    )
    return outcome, reason, notes


def test_a_canary_that_fails_is_over_at_once(place: Guarded) -> None:
    clock = FakeClock()
    outcome, reason, notes = canary(place, Service(clock, ill), clock)
    assert (outcome, reason.startswith("health"), notes[-1]) == ("rolled back", True, "canary 3 fail")


def test_a_good_canary_is_accepted_when_its_time_is_over(place: Guarded) -> None:
    clock = FakeClock()
    outcome, _, notes = canary(place, Service(clock), clock)
    assert (outcome, len(notes), clock.at) == ("accepted", 12, pytest.approx(1060.0, abs=1.0))


def test_a_canary_ends_when_its_deploy_is_cancelled(place: Guarded) -> None:
    clock = FakeClock()

    def checkpoint() -> None:
        if clock.at > 1020.0:
            raise Cancelled("asked to")

    with pytest.raises(Cancelled):
        canary(place, Service(clock), clock, checkpoint)
    assert clock.at < 1025.0
