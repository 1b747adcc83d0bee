"""The canary: what it publishes, how it makes way, and that it never stays."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from deploying import RUN, Stage, failing, titles, with_dhash
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.catalogue.document import parse
from mobius_tui.errors import BadInput, Cancelled, MobiusError, ProcessingFailed, TimeLimit
from mobius_tui.operations.backup import backup_now
from mobius_tui.operations.canary_view import CanaryView, read_canary
from mobius_tui.operations.deploy.canary import canary_of, chosen_of
from mobius_tui.operations.deploy.options import DeployOptions
from mobius_tui.operations.deploy.verify import verify_canary
from mobius_tui.operations.status import LiveCatalogue, live_catalogue
from mobius_tui.recovery.atomic import hash_or_absent
from mobius_tui.recovery.backups import list_backups
from mobius_tui.recovery.history import read_history
from mobius_tui.rollback.hooks import MOMENTS
from mobius_tui.rollback.publications import way_back
from mobius_tui.rollback.targets import choose_target
from mobius_tui.settings import Sourced

FACTS = {"schema_version": 1, "algorithm": "dhash-64", "profile": "exact", "decoder": "d"}


def entry(path: str, dhash: str | None, **more: Any) -> dict[str, Any]:
    owned = {} if dhash is None else {"dhash": dhash, "dhash_confidence": 0.9, "dhash_status": "ok"}
    return {"path": path, "title": f"title of {path}", **more, **owned}


def catalogue(entries: list[dict[str, Any]], pairs: list[tuple[str, str, int]], run: str) -> Any:
    duplicates = [
        {"duplicate": a, "original": b, "hammingDistance": n, "confidence": 1.0, "status": "auto"} for a, b, n in pairs
    ]
    document = {"images": entries, "dhash_migration": {**FACTS, "run": {"id": run}}, "dhash_duplicates": duplicates}
    return parse(json.dumps(document).encode(), origin="/nowhere/library.json")


@given(
    paths=st.sets(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), max_size=60),
    shares=st.tuples(st.floats(0.01, 99.9), st.floats(0.01, 99.9)),
)
def test_a_smaller_share_is_part_of_a_larger_one(paths: set[str], shares: tuple[float, float]) -> None:
    less, more = sorted(shares)
    assert chosen_of(paths, less) <= chosen_of(paths, more) <= paths
    assert bool(chosen_of(paths, less)) == bool(paths)


@given(paths=st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=30), other=st.text(min_size=1))
def test_who_is_in_it_depends_on_the_path_alone(paths: set[str], other: str) -> None:
    before, after = chosen_of(paths, 50), chosen_of(paths | {other}, 50)
    if len(before) > 1:
        assert after - {other} == before - {other}


def test_the_share_is_about_right() -> None:
    names = [f"deck/{number:05d}.png" for number in range(20_000)]
    assert 900 < len(chosen_of(names, 5)) < 1100
    assert 1900 < len(chosen_of(names, 10)) < 2100


@given(data=st.data())
def test_old_and_new_fingerprints_make_a_catalogue_that_is_whole(tmp_path_factory: Any, data: st.DataObject) -> None:
    """Whatever is chosen and whatever was live: the pairs fit the hashes, and what was not chosen is as it was."""
    hashes = [f"{number:016x}" for number in (0, 1, 3, 7)]
    count = data.draw(st.integers(1, 12))
    known = data.draw(st.integers(0, count))
    names = [f"{number}.png" for number in range(count)]
    old = [entry(name, data.draw(st.sampled_from([*hashes, None])), price=1.5) for name in names[:known]]
    new = [{**{k: v for k, v in each.items() if not k.startswith("dhash")}} for each in old]
    new += [{"path": name} for name in names[known:]]
    for each in new:
        each |= {"dhash": data.draw(st.sampled_from(hashes)), "dhash_confidence": 0.5, "dhash_status": "ok"}

    def pairs_of(entries: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
        keeper = data.draw(st.sampled_from([None, *entries]))
        able = [each for each in entries if each.get("dhash") and keeper and keeper.get("dhash") and each is not keeper]
        return [
            (each["path"], keeper["path"], bin(int(each["dhash"], 16) ^ int(keeper["dhash"], 16)).count("1"))
            for each in able
            if keeper and data.draw(st.booleans())
        ]

    live, full = catalogue(old, pairs_of(old), "before"), catalogue(new, pairs_of(new), "now")
    percent = data.draw(st.floats(1, 99))
    canary = canary_of(live, full, percent)
    staged = Path(tmp_path_factory.getbasetemp()) / f"canary-{count}.json"
    staged.write_bytes(b"".join(canary.content()))
    entries, _ = verify_canary(staged, live, canary.chosen)
    assert entries == known + len(canary.chosen - set(names[:known]))
    written = json.loads(staged.read_bytes())
    assert written["dhash_migration"]["run"] == {"id": "now", "canary": percent}
    for each in written["images"]:
        assert each in (new if each["path"] in canary.chosen else old)


def test_what_is_in_both_lists_stays_and_what_fits_no_more_goes() -> None:
    live = catalogue(
        [entry("a", "0" * 16), entry("b", "0" * 16), entry("c", "0" * 16)], [("b", "a", 0), ("c", "a", 0)], "x"
    )
    new = [entry("a", "0" * 16), entry("b", "0" * 16), entry("c", "0" * 15 + "1")]
    full = catalogue(new, [("b", "a", 0)], "now")
    for percent in (1, 30, 60, 99):
        canary = canary_of(live, full, percent)
        pairs = {(pair["duplicate"], pair["original"]) for pair in canary.duplicates}
        assert ("b", "a") in pairs
        assert (("c", "a") in pairs) == (not canary.chosen & {"a", "c"})


def test_fingerprints_of_another_decoder_are_not_mixed() -> None:
    live = catalogue([entry("a", "0" * 16)], [], "x")
    other = json.loads(live.text)
    other["dhash_migration"]["decoder"] = "another"
    full = parse(json.dumps(other).encode(), origin=live.origin)
    with pytest.raises(BadInput, match="mix"):
        canary_of(live, full, 50)
    assert canary_of(catalogue([entry("a", None)], [], "x"), full, 50).chosen == {"a"}


@pytest.mark.parametrize("bad", [{"canary": 0.0}, {"canary": 100.0}, {"canary": -1.0}, {"canary_seconds": 0.0}])
def test_a_share_that_is_none_is_refused(stage: Stage, bad: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        stage.deploy(**bad)
    assert stage.live == stage.old and not stage.heard.phases


def test_options_come_back_from_a_row() -> None:
    options = DeployOptions(canary=5.0, canary_seconds=60.0, watch=True)
    assert DeployOptions.from_json(options.to_json()) == options
    with pytest.raises(BadInput):
        DeployOptions.from_json({"canary": "5"})


def canary_run(data: bytes) -> dict[str, Any]:
    run = json.loads(data)["dhash_migration"]["run"]
    assert isinstance(run, dict)
    return run


def test_status_calls_it_a_canary(stage: Stage) -> None:
    found: list[LiveCatalogue] = []
    stage.service.during = lambda: found.append(live_catalogue(stage.ws))
    stage.deploy(canary=50.0)
    assert found[0].act.startswith("canary of a deploy") and found[0].since
    assert (found[0].by, found[0].run_id) == ("anna", RUN)
    assert live_catalogue(stage.ws).act == "deploy"


def test_it_is_known_to_be_judged_only_while_it_is(stage: Stage) -> None:
    found: list[CanaryView | None] = []
    stage.service.during = lambda: found.append(read_canary(stage.ws))
    stage.heard.at["verify"] = stage.heard.at["swap"] = stage.service.during
    stage.deploy(canary=50.0)
    assert [None if each is None else each.deploy for each in found] == [None, RUN, None]


def test_an_accepted_canary_makes_way_for_everything(stage: Stage) -> None:
    summary = stage.deploy(canary=40.0, canary_seconds=30.0)
    assert summary.outcome == "done" and with_dhash(stage.live) == 6 and titles(stage.live) == titles(stage.old)
    (canary,), (plan,) = stage.service.canaries, stage.service.plans
    chosen = chosen_of((f"deck/{number:02d}.png" for number in range(6)), 40.0)
    assert 0 < with_dhash(canary) == len(chosen) < 6 and titles(canary) == titles(stage.old)
    assert canary_run(canary) == {**canary_run(stage.live), "canary": 40.0} or canary_run(canary)["canary"] == 40.0
    assert "canary" not in canary_run(stage.live)
    assert (plan.canary, plan.auto, plan.duration_s, plan.deploy) == (True, True, 30.0, RUN)
    assert plan.baseline.with_dhash == len(chosen) and plan.baseline.entries == 6 and plan.baseline.samples == 20
    assert plan.backup == summary.backup and plan.interval_s <= 3.0
    stage.at_rest()
    backups = list_backups(stage.ws.backups)
    assert [backup.path.read_bytes() for backup in backups] == [stage.old], "the only way back is the original one"
    acts = [act for act in read_history(stage.ws.state) if act["act"] == "deploy"]
    assert [(act["before"], act["after"]) for act in acts] == [(summary.before, hash_or_absent(stage.ws.catalogue))]
    back = way_back(stage.ws.state, stage.ws.backups, stage.ws.catalogue)
    assert back is not None and back.backup.name == summary.backup and back.certain


def test_the_step_of_a_canary_tells_how_far_it_is(stage: Stage) -> None:
    stage.deploy(canary=40.0, canary_seconds=30.0)
    told = [row["reason"] for shown in stage.heard.shown for row in shown["steps"] if row["name"] == "canary"]
    live = [
        reason.partition(" live, ")[2].partition(" for ")[0] for reason in dict.fromkeys(told) if " live, " in reason
    ]
    assert live == ["held", "settling", "0 of 10 measurements", "1 of 10 measurements"]
    assert told[-1].endswith(", accepted: all rules pass") and " live, " not in told[-1]


@pytest.mark.parametrize(
    ("verdict", "kind"), [("rolled back", ProcessingFailed), ("undecided", TimeLimit), ("stopped", TimeLimit)]
)
@pytest.mark.parametrize("automatic", [True, False])
def test_a_canary_that_is_not_accepted_goes_back(
    stage: Stage, verdict: Any, kind: type[MobiusError], automatic: bool
) -> None:
    stage.service.verdict = (verdict, "p95 is 40 s")
    with pytest.raises(kind, match=r"canary.*p95 is 40 s.*rolled back"):
        stage.deploy(canary=50.0, auto_rollback=automatic, watch=True)
    assert stage.live == stage.old and len(stage.service.canaries) == 1
    stage.at_rest()
    assert stage.heard.states()["canary"] == "failed" and stage.heard.states()["swap"] == "waiting"
    assert stage.end()["state"] == "rolled back" and not stage.service.guarded


def test_failing_smoke_tests_after_a_canary_bring_the_original_back(stage: Stage) -> None:
    with pytest.raises(ProcessingFailed, match="rolled back"):
        stage.deploy(failing, canary=50.0)
    assert stage.live == stage.old
    stage.at_rest()
    assert stage.heard.states()["canary"] == "undone"
    assert [backup.path.read_bytes() for backup in list_backups(stage.ws.backups)] == [stage.old]


def test_cancelled_while_the_canary_is_live(stage: Stage) -> None:
    def cancel() -> None:
        raise Cancelled("by bert")

    stage.service.during = cancel
    with pytest.raises(Cancelled, match="rolled back"):
        stage.deploy(canary=50.0)
    assert stage.live == stage.old
    stage.at_rest()


def add(data: bytes, title: str) -> bytes:
    document = json.loads(data)
    document["images"].append({"path": f"{title}.png", "title": title})
    return json.dumps(document).encode()


def test_others_write_on_top_of_the_canary(stage: Stage) -> None:
    """Their change is kept, the canary is not run again, and no backup holds a canary."""
    stage.service.during = lambda: stage.ws.catalogue.write_bytes(add(stage.live, "theirs"))
    summary = stage.deploy(canary=50.0, watch=True)
    assert summary.rounds == 2 and len(stage.service.canaries) == 1
    assert "theirs" in titles(stage.live) and with_dhash(stage.live) == 6
    stage.at_rest()
    for backup in list_backups(stage.ws.backups):
        assert "canary" not in backup.path.read_text() and with_dhash(backup.path.read_bytes()) == 0
    assert len(stage.service.guarded) == 1, "one plan is left of two rounds"
    back = way_back(stage.ws.state, stage.ws.backups, stage.ws.catalogue)
    assert back is not None and titles(back.backup.path.read_bytes())[-1] == "theirs"


def test_others_write_on_top_in_the_last_moment(stage: Stage) -> None:
    """After the canary has passed and before the swap: the compare-and-swap sees it."""
    written = iter(["theirs"])

    def write() -> None:
        for title in written:
            stage.ws.catalogue.write_bytes(add(stage.live, title))

    stage.heard.at["swap"] = write
    summary = stage.deploy(canary=50.0)
    assert summary.rounds == 2 and len(stage.service.canaries) == 1
    assert "theirs" in titles(stage.live) and with_dhash(stage.live) == 6
    stage.at_rest()
    assert all(with_dhash(backup.path.read_bytes()) == 0 for backup in list_backups(stage.ws.backups))


def test_a_canary_that_takes_too_long_goes_back(stage: Stage) -> None:
    def slow() -> None:
        stage.clock.now += 10_000

    stage.service.during = slow
    with pytest.raises(TimeLimit, match="canary took longer") as failed:
        stage.deploy(canary=50.0)
    assert "canary_seconds" in failed.value.fix and stage.live == stage.old
    stage.at_rest()


def test_others_put_the_old_one_back_over_the_canary(stage: Stage) -> None:
    """Then it was not live: it is watched again, from what they wrote."""
    written = iter([add(stage.old, "theirs")])

    def replace() -> None:
        for data in written:
            stage.ws.catalogue.write_bytes(data)

    stage.service.during = replace
    summary = stage.deploy(canary=50.0)
    assert summary.rounds == 2 and len(stage.service.canaries) == 2
    assert "theirs" in titles(stage.live) and with_dhash(stage.live) == 6
    stage.at_rest()


def test_others_write_the_displaced_original(stage: Stage) -> None:
    """A program that had the old file open writes it while the canary is live."""
    done: list[int] = []

    def write() -> None:
        if not done:
            done.append(1)
            (displaced,) = stage.ws.catalogue.parent.glob(f".library.json.{RUN}.staged")
            displaced.write_bytes(add(displaced.read_bytes(), "theirs"))

    stage.service.during = write
    summary = stage.deploy(canary=50.0)
    assert summary.rounds == 2 and "theirs" in titles(stage.live) and with_dhash(stage.live) == 6
    stage.at_rest()


@pytest.mark.parametrize("where", ["displaced", "live"])
def test_a_program_that_still_has_the_canary_writes_it_after_the_swap(stage: Stage, where: str) -> None:
    """Its change comes along; the canary itself does not come back, nor become a way back."""
    done: list[int] = []

    def write(now: float) -> None:
        if stage.heard.phases[-1] == "hold" and not done:
            done.append(1)
            data = add(stage.service.canaries[0], "theirs")
            if where == "live":
                stage.ws.catalogue.write_bytes(data)
            else:
                (displaced,) = stage.ws.catalogue.parent.glob(f".library.json.{RUN}.staged")
                assert canary_run(displaced.read_bytes())["canary"] == 50.0
                displaced.write_bytes(data)

    stage.clock.at_sleep = write
    summary = stage.deploy(canary=50.0)
    assert done and summary.rounds == 2 and len(stage.service.canaries) == 1
    assert "theirs" in titles(stage.live) and with_dhash(stage.live) == 6 and "canary" not in canary_run(stage.live)
    stage.at_rest()
    assert all(with_dhash(backup.path.read_bytes()) == 0 for backup in list_backups(stage.ws.backups))


def test_a_canary_put_back_before_the_end_is_not_called_published(stage: Stage) -> None:
    def put_back() -> None:
        stage.ws.catalogue.write_bytes(stage.service.canaries[0])

    stage.heard.at["smoke"] = put_back
    with pytest.raises(ProcessingFailed, match="replaced the published catalogue"):
        stage.deploy(canary=50.0)
    assert stage.live == stage.old
    stage.at_rest()


def test_the_first_publication_goes_through_a_canary_too(stage: Stage) -> None:
    stage.ws.catalogue.unlink()
    summary = stage.deploy(canary=50.0)
    assert summary.before is None and with_dhash(stage.live) == 6
    assert 0 < len(json.loads(stage.service.canaries[0])["images"]) < 6
    stage.at_rest()


@pytest.mark.parametrize("smoke", [True, False])
def test_the_first_publication_is_withdrawn(stage: Stage, smoke: bool) -> None:
    stage.ws.catalogue.unlink()
    if not smoke:
        stage.service.verdict = ("rolled back", "it failed")
    with pytest.raises(ProcessingFailed):
        stage.deploy(failing, canary=50.0)
    assert not stage.ws.catalogue.exists()
    stage.at_rest()


def test_the_file_that_vanishes_under_a_canary_comes_back_as_it_was(stage: Stage) -> None:
    stage.service.during = stage.ws.catalogue.unlink
    with contextlib.suppress(MobiusError):
        stage.deploy(canary=50.0)
    assert stage.live == stage.old
    stage.at_rest()


@pytest.mark.skipif(sys.platform == "win32", reason="programs and rights of Unix")
def test_hooks_see_whether_a_canary_is_meant(stage: Stage) -> None:
    folder = stage.ws.root / "hooks"
    folder.mkdir()
    (folder / "note").write_text('#!/bin/sh\necho "$MOBIUS_MOMENT $MOBIUS_CANARY" >> hooks/heard\n')
    for path in (stage.ws.root, folder, folder / "note"):
        path.chmod(0o755)
    hooks = {f"hook_{moment}": "hooks/note" for moment in MOMENTS}
    stage.ws = replace(stage.ws, sourced=Sourced(replace(stage.ws.settings, **hooks), {}))
    stage.deploy(canary=50.0)
    heard = (folder / "heard").read_text().splitlines()
    assert heard == ["before_swap 50", "after_swap 50", "after_swap ", "on_completion "]


def test_a_backup_of_a_canary_is_no_way_back(stage: Stage) -> None:
    """Somebody backs up what is live while the canary is; the true way back is damaged later."""
    made: list[str] = []
    stage.deploy()
    stage.heard.run_id = f"{RUN[:-1]}1Z"
    stage.service.during = lambda: made.append(backup_now(stage.ws, "by schedule").name)
    summary = stage.deploy(canary=50.0)
    (canary,) = made
    path = stage.ws.backups / str(summary.backup)
    path.chmod(0o600)
    path.write_bytes(b"{}")
    way = way_back(stage.ws.state, stage.ws.backups, stage.ws.catalogue)
    assert way is not None
    kept = {backup.name: backup for backup in list_backups(stage.ws.backups)}
    (older,) = [backup for name, backup in kept.items() if name not in {canary, summary.backup}]
    way = replace(way, others=(kept[canary], older))  # by their times that depends on the second
    target = choose_target(way, stage.ws.backups, stage.ws.catalogue)
    assert target.data == stage.old and any("canary" in sentence for sentence in target.passed_over)
