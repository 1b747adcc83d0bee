"""Which backups are kept: each rule by itself, and what must hold whatever there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.recovery.backup_files import Backup
from mobius_tui.recovery.retention import LAST, Decision, decide
from mobius_tui.system import clock

DAY = 86_400.0
NOW = 1_790_000_000.0
STATES = ("verified", "unverified", "corrupt", "missing side file", "missing")


def backup(age_days: float, **how: Any) -> Backup:
    at = NOW - age_days * DAY
    values = {"state": "verified", "kind": "catalogue", **how}
    name = how.pop("name", None) or f"library.json.bak.{clock.stamp(at)}"
    values = {"state": "verified", **how}
    return Backup(name, Path(name), at, 10, "r", "w", values.pop("state"), at, 1, "0" * 64, **values)


def judged(backups: list[Backup], **how: Any) -> list[Decision]:
    return decide(backups, NOW, **{"retention_days": 30, "needed": {}, **how})


def kept(backups: list[Backup], **how: Any) -> set[float]:
    return {(NOW - each.backup.at) / DAY for each in judged(backups, **how) if each.keep}


def old(count: int, start: float = 40, apart: float = 0.001, **how: Any) -> list[Backup]:
    """Old backups, a minute or so apart: all of one day."""
    return [backup(start + number * apart, **how) for number in range(count)]


def test_nothing_to_judge() -> None:
    assert judged([]) == []


def test_younger_than_the_retention_is_kept_with_its_end() -> None:
    [one] = judged([*old(1, 3)], retention_days=30)
    assert one.keep and "younger than 30 days" in one.reason
    for each in judged([*old(7, 0.1), *old(3, 29.5)])[8:]:
        assert each.keep and each.until == pytest.approx(each.backup.at + 30 * DAY)
        assert each.reason == f"younger than 30 days, at least until {clock.iso(each.until)[:10]}"
    assert [each.keep for each in judged([*old(7, 0.1), *old(3, 30.1)])[8:]] == [False, False]


def test_last_five_newest_of_seven_days_and_the_rest_goes() -> None:
    one_day = old(9)
    assert len([each for each in judged(one_day) if each.keep]) == LAST
    days = [backup(40 + number) for number in range(20)]
    assert kept(days) == {float(40 + number) for number in range(7)}
    twice = [backup(40 + number + part) for number in range(9) for part in (0.0, 0.01)]
    assert {float(40 + number) for number in range(7)} <= kept(twice)


def test_newest_verified_is_kept_however_old() -> None:
    unverified = [backup(40 + number, state="unverified") for number in range(20)]
    assert 300.0 in kept([*unverified, backup(300), backup(301)])
    reasons = {(NOW - each.backup.at) / DAY: each.reason for each in judged([*unverified, backup(300)])}
    assert "the newest verified one" in reasons[300.0]


def test_pinned_and_needed_are_kept_with_their_reason() -> None:
    crowd = old(20)
    pinned, needed = backup(400, pinned=True), backup(500)
    decisions = {
        each.backup.name: each for each in judged([*crowd, pinned, needed], needed={needed.name: "the way back"})
    }
    assert (decisions[pinned.name].keep, decisions[pinned.name].reason.split(",")[0]) == (True, "pinned")
    assert (decisions[needed.name].keep, decisions[needed.name].reason.split(",")[0]) == (True, "the way back")


def test_older_than_takes_the_place_of_the_setting() -> None:
    many = old(9, 3)
    assert len(kept(many)) == 9
    assert len(kept(many, older_than_days=2)) == LAST
    assert len(kept(many, older_than_days=3.5)) == 9


def test_dated_in_the_future_is_kept_and_pushes_no_real_one_out() -> None:
    real = old(9)
    ahead = [backup(-400 - number) for number in range(9)]
    assert kept([*real, *ahead]) == kept(real) | kept(ahead)
    assert all("dated in the future" in each.reason for each in judged(ahead))


def test_many_small_ones_push_no_full_one_out_nor_encrypted_ones_a_plain_one() -> None:
    crowd = [backup(40 + number) for number in range(30)]
    full = old(3, 300, kind="full", name="")
    full = [backup(300 + number, kind="full", name=f"dhash_{number}.zip") for number in range(3)]
    assert {300.0, 301.0, 302.0} <= kept([*crowd, *full])
    sealed = [backup(40 + number, encrypted=True, name=f"{number}.age") for number in range(30)]
    assert 300.0 in kept([*sealed, backup(300)])


def test_corrupt_ones_take_no_place() -> None:
    bad = old(9, 40, state="corrupt")
    good = old(5, 60)
    assert kept([*bad, *good]) == {(NOW - each.at) / DAY for each in good}
    assert all("corrupt" in each.reason for each in judged([*bad, *good]) if not each.keep)


def test_emergency_copies_go_by_age_and_take_no_place() -> None:
    copies = [backup(35 + number * 0.001, emergency=True, state="unverified") for number in range(9)]
    real = old(5, 40)
    assert kept([*copies, *real]) == {(NOW - each.at) / DAY for each in real}
    assert len(kept(old(9, 3, emergency=True))) == 9


backups = st.lists(
    st.builds(
        lambda age, state, pinned, kind, encrypted, emergency: backup(
            age, state=state, pinned=pinned, kind=kind, encrypted=encrypted, emergency=emergency
        ),
        st.floats(-100, 400),
        st.sampled_from(STATES),
        st.booleans(),
        st.sampled_from(["catalogue", "full"]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=40,
    unique_by=lambda one: (one.name, one.emergency),
)


def group_of(one: Backup) -> tuple[str, bool]:
    return one.kind, one.encrypted


@given(backups, st.integers(0, 60), st.randoms())
def test_what_holds_whatever_there_is(many: list[Backup], days: int, random: Any) -> None:
    needed = {one.name: "needed" for one in many[::7]}
    decisions = judged(many, retention_days=days, needed=needed)
    stays = [each.backup for each in decisions if each.keep]
    assert sorted(each.backup.name for each in decisions) == sorted(one.name for one in many)
    assert all(each.reason for each in decisions)
    for one in many:
        if one.pinned or one.name in needed or one.at > NOW + 200 or one.at + days * DAY > NOW:
            assert one in stays
    past = [one for one in many if one.at <= NOW and not one.emergency]
    for group in {group_of(one) for one in past}:
        verified = sorted(
            (one for one in past if group_of(one) == group and one.state == "verified"), key=lambda o: -o.at
        )
        assert all(one in stays for one in verified[:LAST])
        for day in sorted({clock.iso(one.at)[:10] for one in verified}, reverse=True)[:7]:
            assert next(one for one in verified if clock.iso(one.at)[:10] == day) in stays
    shuffled = list(many)
    random.shuffle(shuffled)
    assert judged(shuffled, retention_days=days, needed=needed) == decisions


@given(backups, st.floats(-100, 400), st.sampled_from(STATES))
def test_one_more_backup_that_is_not_newer_and_good_pushes_none_out(many: list[Backup], age: float, state: str) -> None:
    """Future-dated, corrupt, missing and emergency ones never cost another its place."""
    before = {each.backup.name for each in judged(many) if each.keep}
    for more in (
        backup(-abs(age) - 1, name="library.json.bak.future"),
        backup(age, name="library.json.bak.bad", state="corrupt"),
        backup(age, name="library.json.bak.copy", state=state, emergency=True),
    ):
        assert before <= {each.backup.name for each in judged([*many, more]) if each.keep}


@given(backups)
def test_longer_retention_keeps_no_fewer(many: list[Backup]) -> None:
    short = {each.backup.name for each in judged(many, retention_days=10) if each.keep}
    assert short <= {each.backup.name for each in judged(many, retention_days=20) if each.keep}


@given(backups)
def test_cleaning_twice_removes_nothing_more(many: list[Backup]) -> None:
    stays = [each.backup for each in judged(many) if each.keep]
    assert all(each.keep for each in judged(stays))
