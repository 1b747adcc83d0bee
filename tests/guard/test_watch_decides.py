"""The watch ends as a person would have decided: health, the live catalogue, the clock, the guard itself.

Each case is a whole watch of an hour (see ``watch_script``): what happens, and how it must end. Rates and the queue:
``test_watch_decides_rates``; nonsense and what is not there: ``test_watch_decides_nonsense``.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_service import (
    body,
    broken_off,
    degraded,
    drip,
    hang,
    healthy,
    html,
    reset,
    slow,
    status,
    text,
    unhealthy,
)  # fmt: skip
from watch_script import (
    ACCEPTED,
    BY_PROBES,
    BY_RATES,
    BY_TOTALS,
    PATIENT,
    Ends,
    Script,
    Stage,
    at,
    check,
    play,
    rolled_back,
    since,
    undecided,
)  # fmt: skip

from mobius_tui.guard import collector as collecting
from mobius_tui.guard.collector import Limits
from mobius_tui.guard.going_back import GoingBack, Intent
from mobius_tui.guard.wishes import wish
from mobius_tui.launch.health import Health
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import read_history
from mobius_tui.rollback.options import Outcome as RolledBack

HASTY = Limits(health_s=0.3, figures_s=30.0, probe_s=30.0, look_s=60.0)
BAD = unhealthy()


def sick(*minutes: Any, how: Any = BAD, **more: Any) -> Script:
    """A service whose health is bad at some minutes; all else is well."""
    return replace(BY_RATES, health=at({minutes: how}, healthy()), **more)


def sick_since(minute: int, **more: Any) -> Script:
    return replace(BY_RATES, health=at({since(minute): BAD}, healthy()), **more)


HEALTH: dict[str, tuple[Script, Ends]] = {
    "all is well, bare rates": (BY_RATES, ACCEPTED),
    "all is well, totals": (BY_TOTALS, ACCEPTED),
    "all is well, probes": (BY_PROBES, ACCEPTED),
    "degraded all the time": (replace(BY_RATES, health=lambda _: degraded()), ACCEPTED),
    "one failure": (sick(20), ACCEPTED),
    "two in a row": (sick(20, 21), ACCEPTED),
    "two, one good, two": (sick(20, 21, 23, 24), ACCEPTED),
    "two, one degraded, two": (
        replace(BY_RATES, health=at({(20, 21, 23, 24): BAD, 22: degraded()}, healthy())),
        ACCEPTED,
    ),
    "three in a row": (sick(20, 21, 22), rolled_back("health", 22)),
    "three in a row, totals": (replace(BY_TOTALS, health=at({since(20): BAD}, healthy())), rolled_back("health", 22)),
    "three in a row, probes": (replace(BY_PROBES, health=at({since(5): BAD}, healthy())), rolled_back("health", 7)),
    "from the first minute on": (sick_since(1), rolled_back("health", 3)),
    "only the first two": (sick(1, 2), ACCEPTED),
    "each in another way": (
        replace(BY_RATES, health=at({20: BAD, 21: html(), 22: reset()}, healthy())),
        rolled_back("health", 22),
    ),
    "the last one": (sick(60), undecided("health", "1 bad in a row")),
    "the last two": (sick(59, 60), undecided("health", "2 bad in a row")),
    "the last three": (sick(58, 59, 60), rolled_back("health", 60)),
    "the last two but one": (sick(58, 59), ACCEPTED),
    "two of three, all the time": (
        replace(BY_RATES, health=lambda minute: BAD if minute % 3 else healthy()),
        undecided("health", "good at 20 of 60"),
    ),
    "every second one": (replace(BY_RATES, health=lambda minute: BAD if minute % 2 else healthy()), ACCEPTED),
    "late, but within the limit": (replace(BY_RATES, health=at({20: slow(0.2, healthy())}, healthy())), ACCEPTED),
    "refuses connections for two minutes": (
        replace(BY_RATES, acts={20: lambda stage: stage.service.stop(), 22: lambda stage: stage.service.start()}),
        ACCEPTED,
    ),
    "refuses connections": (
        replace(BY_RATES, acts={20: lambda stage: stage.service.stop()}),
        rolled_back("health", 22),
    ),
}

WAYS = {
    "503 unhealthy": (unhealthy(), True),
    "200 unhealthy": (unhealthy(200), True),
    "healthy, with 500": (body({"status": "healthy"}, 500), True),
    "healthy, with 503": (body({"status": "healthy"}, 503), True),
    "healthy, with 201": (body({"status": "healthy"}, 201), True),
    "200 with HTML": (html(), True),
    "200 and nothing": (text(""), True),
    "200 with JSON without status": (body({"version": "1"}), True),
    "a status that nobody knows": (body({"status": "fine"}), True),
    "a status in capitals": (body({"status": "HEALTHY"}), True),
    "a list": (body(["healthy"]), True),
    "404": (status(404), True),
    "a redirect to where it is healthy": (text("", 302, headers={"Location": "/health"}), True),
    "reset": (reset(), True),
    "breaks off": (broken_off(), True),
    "hangs": (hang(), True),
    "drips": (drip(), True),
    "degraded": (degraded(), False),
    "healthy, with much more": (healthy(checks={"x": [1] * 1000}, uptime=float("nan")), False),
}
"""An answer of ``/health``, and whether it is a failure."""

MINUTE_LATE, THREE_AT_ONCE, TWENTY_MINUTES = 60.0, 120.0, 1200.0


def clock_goes(seconds: float) -> Any:
    """The guard is held up within a measurement."""
    return lambda stage: stage.clock.go(seconds)


def wall_clock_goes(seconds: float) -> Any:
    """Somebody sets the clock on the wall."""

    def act(stage: Stage) -> None:
        stage.clock.wall += seconds

    return act


HOUR = 3600.0
CLOCK: dict[str, tuple[Script, Ends]] = {
    "the wall clock is set back and forth": (
        replace(
            BY_RATES,
            acts={
                10: wall_clock_goes(-3 * HOUR),
                20: wall_clock_goes(3 * HOUR),
                30: wall_clock_goes(HOUR),  # a machine that keeps local time, at the change to summer time
                40: wall_clock_goes(-HOUR),
                50: wall_clock_goes(-400 * 24 * HOUR),
            },
        ),
        ACCEPTED,
    ),
    "the wall clock is set in the middle of a failure": (
        sick_since(20, acts={21: wall_clock_goes(3 * HOUR), 22: wall_clock_goes(-6 * HOUR)}),
        rolled_back("health", 22),
    ),
    "a tick a minute late": (replace(BY_RATES, naps={20: MINUTE_LATE}), replace(ACCEPTED, measured=59)),
    "three ticks at once, of a bad moment": (
        sick(23, naps={20: THREE_AT_ONCE}),
        replace(ACCEPTED, measured=58),
    ),
    "two late ticks of a bad service are one failure": (
        sick_since(20, naps={20: MINUTE_LATE}),
        rolled_back("health", 23),
    ),
    "the guard is held up within a measurement": (
        sick(20, acts={20: clock_goes(150.0)}),
        replace(ACCEPTED, measured=58),
    ),
    "suspended for 20 minutes": (replace(BY_PROBES, naps={20: TWENTY_MINUTES}), replace(ACCEPTED, measured=40)),
    "suspended for 20 minutes after two failures": (
        sick(20, 21, naps={21: TWENTY_MINUTES}),
        replace(ACCEPTED, measured=40),
    ),
    "suspended for 20 minutes, broken before and after": (
        sick_since(20, naps={21: TWENTY_MINUTES}),
        rolled_back("health", 42),
    ),
    "suspended over the end": (replace(BY_RATES, naps={50: TWENTY_MINUTES}), replace(ACCEPTED, measured=51)),
    "suspended for the half": (replace(BY_RATES, naps={20: 30 * 60.0}), replace(ACCEPTED, measured=30)),
    "suspended for more than the half": (
        replace(BY_RATES, naps={20: 31 * 60.0}),
        replace(undecided("health", "catalogue", "29 of 60"), measured=29),
    ),
    "the guard is started again": (replace(BY_PROBES, leaves=(7, 20, 41)), ACCEPTED),
    "the guard is started again, totals": (replace(BY_TOTALS, leaves=(7, 20, 41)), ACCEPTED),
    "the guard is started again between failures": (sick_since(20, leaves=(20, 21)), rolled_back("health", 22)),
    "the guard is started again after two failures": (sick(20, 21, leaves=(21,)), ACCEPTED),
}


def gone(stage: Stage) -> None:
    stage.live.rename(stage.live.with_suffix(".away"))


def back_again(stage: Stage) -> None:
    stage.live.with_suffix(".away").rename(stage.live)


def torn(stage: Stage) -> None:
    """The first half of it, as a copy that was cut off leaves it."""
    stage.live.with_suffix(".away").hardlink_to(stage.live)
    stage.write(stage.live.read_text()[: stage.live.stat().st_size // 2])


def mended(stage: Stage) -> None:
    stage.live.with_suffix(".away").replace(stage.live)


def a_folder(stage: Stage) -> None:
    gone(stage)
    stage.live.mkdir()


def changed(act: str = "", *, entries: int | None = None, strip: int = 0, migration: bool = True) -> Any:
    """Another catalogue: the first so many entries, dHashes of some stripped; noted as an act, or not."""

    def write(stage: Stage) -> None:
        library = stage.library()
        library["images"] = library["images"][:entries]
        for entry in library["images"][:strip]:
            del entry["dhash"]
        if not migration:
            del library["dhash_migration"]
        stage.write(library, act)

    return write


def grown(stage: Stage) -> None:
    library = stage.library()
    stage.write(library | {"images": [*library["images"], {"path": "new.png"}]})


def acts(**given: Any) -> dict[int, Any]:
    """``at20=gone``: what is done before the measurement of minute 20."""
    return {int(name.removeprefix("at")): act for name, act in given.items()}


CATALOGUE: dict[str, tuple[dict[int, Any], Ends]] = {
    "missing once": (acts(at20=gone, at21=back_again), ACCEPTED),
    "missing twice": (acts(at20=gone), rolled_back("catalogue", 21)),
    "missing once, three times": (
        acts(at20=gone, at21=back_again, at22=gone, at23=back_again, at24=gone, at25=back_again),
        ACCEPTED,
    ),
    "unparsable once": (acts(at20=torn, at21=mended), ACCEPTED),
    "unparsable twice": (acts(at20=torn), rolled_back("catalogue", 21)),
    "missing, then unparsable": (
        acts(at20=gone, at21=lambda stage: stage.live.write_text("{")),
        rolled_back("catalogue", 21),
    ),
    "empty file": (acts(at20=lambda stage: stage.write("")), rolled_back("catalogue", 21)),
    "a folder in its place": (acts(at20=a_folder), rolled_back("catalogue", 21)),
    "no images in it": (acts(at20=changed(entries=0)), rolled_back("catalogue", 21)),
    "a dHash lost": (acts(at20=changed(strip=1)), rolled_back("catalogue", 21)),
    "a dHash lost once": (
        acts(
            at20=lambda stage: (stage.live.with_suffix(".away").hardlink_to(stage.live), changed(strip=1)(stage)),
            at21=mended,
        ),
        ACCEPTED,
    ),
    "entries lost and the mark of the publication with them": (
        acts(at20=changed(entries=2, migration=False)),
        rolled_back("catalogue", 21),
    ),
    "entries removed by a valid write": (acts(at20=changed(entries=2)), ACCEPTED),
    "dHashes removed by an act of the history": (acts(at20=changed("restore", strip=4, migration=False)), ACCEPTED),
    "all removed by an act of the history": (acts(at20=changed("restore", entries=0)), ACCEPTED),
    "an act, and then a loss that nobody noted": (
        acts(at20=changed("restore", entries=3), at30=changed(strip=3)),
        rolled_back("catalogue", 31),
    ),
    "more entries than published": (acts(at20=grown), ACCEPTED),
    "missing at the last minute": (acts(at60=gone), undecided("catalogue", "1 bad in a row")),
    "missing at the last two": (acts(at59=gone), rolled_back("catalogue", 60)),
    "missing from the first minute on": (acts(at1=gone), rolled_back("catalogue", 2)),
}


class _Recovering(GoingBack):
    """The real rollback; the service is well once it is done, as one whose new catalogue was the trouble."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.ws, os.environ, None, lambda _: None)
        self._stage = stage

    def run(self, intent: Intent) -> RolledBack:
        done = super().run(intent)
        self._stage.service.health = healthy()
        return done


@pytest.mark.parametrize("name", HEALTH)
def test_health(tmp_path: Path, name: str) -> None:
    script, ends = HEALTH[name]
    check(play(tmp_path / "ws", script), ends, script)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_being_ill_counts_and_only_those(tmp_path: Path, way: str) -> None:
    answer, fails = WAYS[way]
    limits = HASTY if way in {"hangs", "drips"} else PATIENT
    script = replace(BY_RATES, health=lambda _: answer, limits=limits, minutes=12)
    check(play(tmp_path / "ws", script), rolled_back("health", 3) if fails else ACCEPTED, script)


@pytest.mark.parametrize("name", CLOCK)
def test_clock_and_guard(tmp_path: Path, name: str) -> None:
    script, ends = CLOCK[name]
    check(told := play(tmp_path / "ws", script), ends, script)
    assert told.whats.count("start") == 1 and told.whats.count("guard") == 1 + len(script.leaves)
    assert ("gap" in told.whats) == ("suspended" in name)


def test_a_guard_that_stands_still_while_it_asks_finds_no_failure(tmp_path: Path) -> None:
    """Five minutes in which the guard itself did not run: no data, and no failure of a service that is well."""
    still = Health("unreachable", sentence="did not answer", stalled_s=2e9)
    with pytest.MonkeyPatch.context() as patch:
        script = replace(
            BY_RATES,
            acts={20: lambda _: patch.setattr(collecting, "ask_health", lambda *_: still), 25: lambda _: patch.undo()},
        )
        told = play(tmp_path / "ws", script)
    check(told, ACCEPTED, script)
    assert told.rows["health"] == "p" * 19 + "e" * 5 + "p" * 36
    assert len(told.report["collector_errors"]) == 5


@pytest.mark.parametrize("name", CATALOGUE)
def test_catalogue(tmp_path: Path, name: str) -> None:
    done, ends = CATALOGUE[name]
    script = replace(BY_RATES, acts=done)
    check(play(tmp_path / "ws", script), ends, script)


def test_a_valid_write_stays_one_for_a_guard_that_is_started_again(tmp_path: Path) -> None:
    script = replace(BY_RATES, acts={20: changed(entries=2)}, leaves=(25,))
    check(play(tmp_path / "ws", script), ACCEPTED, script)


def test_a_catalogue_that_is_bad_before_and_after_a_new_start_of_the_guard_rolls_back(tmp_path: Path) -> None:
    script = replace(BY_RATES, acts={20: gone}, leaves=(20,))
    check(play(tmp_path / "ws", script), rolled_back("catalogue", 21), script)


def test_what_was_lost_comes_back_and_what_others_added_stays(tmp_path: Path) -> None:
    def lose(stage: Stage) -> None:
        library = stage.library()
        stage.write(
            {"images": [library["images"][1] | {"name": "ace"}, {"path": "new.png", "name": "two"}], "by": "bob"}
        )

    script = replace(BY_RATES, acts={5: lose})
    check(play(tmp_path / "ws", script, back=_Recovering), rolled_back("catalogue", 6), script)
    assert json.loads((tmp_path / "ws" / "library" / "library.json").read_text()) == {
        "images": [
            {"path": "p1.png", "name": "ace"},
            {"path": "new.png", "name": "two"},
            {"path": "p0.png"},
            {"path": "p2.png"},
            {"path": "p3.png"},
        ],
        "by": "bob",
    }


def test_what_a_program_removed_stays_removed_where_another_rule_decides(tmp_path: Path) -> None:
    script = sick_since(5, acts={3: changed(entries=2)})
    check(play(tmp_path / "ws", script, back=_Recovering), rolled_back("health", 7), script)
    assert json.loads((tmp_path / "ws" / "library" / "library.json").read_text()) == {
        "images": [{"path": "p0.png"}, {"path": "p1.png"}]
    }


def test_a_person_answers_for_a_watch_without_a_verdict(tmp_path: Path) -> None:
    script = sick(59, 60)

    def accept(stage: Stage) -> None:
        wish(stage.ws, "watch-20261120T120000Z", "accept", "ann", reason="the proxy was restarted")

    told = play(tmp_path / "ws", script, until_end=accept)
    assert (told.outcome, told.rollbacks, told.keys[-2:]) == ("accepted", 0, ["undecided 60 0", "end"])
    assert (told.report["decided_by"], told.report["reason"]) == ("ann", "the proxy was restarted")
    assert "health is not good at the end" in told.page


@pytest.mark.parametrize(
    ("script", "ends"),
    [
        (sick_since(5), rolled_back("health", 7)),
        (replace(BY_RATES, acts={5: gone}), rolled_back("catalogue", 6)),
        (replace(BY_RATES, acts={5: torn}), rolled_back("catalogue", 6)),
        (replace(BY_RATES, acts={5: changed(entries=0)}), rolled_back("catalogue", 6)),
    ],
    ids=["ill", "missing", "unparsable", "empty"],
)
def test_the_real_rollback_brings_back_what_was_there(tmp_path: Path, script: Script, ends: Ends) -> None:
    check(told := play(tmp_path / "ws", script, back=_Recovering), ends, script)
    live = tmp_path / "ws" / "library" / "library.json"
    assert json.loads(live.read_text()) == {"images": [{"path": f"p{number}.png"} for number in range(4)]}
    acts_ = [act for act in read_history(tmp_path / "ws" / ".mobius") if act["act"] == "rollback"]
    assert [(act["who"], act["after"]) for act in acts_] == [("guard", sha256_file(live))]
    assert told.report["watch"]["backup"].startswith("library.json.bak.")


OFF: dict[str, tuple[Script, str]] = {
    "health": (sick(20, 21, 22), "health failed (measurement 22"),
    "catalogue": (replace(BY_RATES, acts={20: gone, 22: back_again}), "catalogue failed (measurement 21"),
    "still": (sick_since(20), "health fails (measurement 60"),
}


@pytest.mark.parametrize("name", OFF)
def test_with_automatic_rollback_off_it_asks_once_and_has_no_verdict(tmp_path: Path, name: str) -> None:
    script, words = OFF[name]
    told = play(tmp_path / "ws", replace(script, auto=False))
    rule = words.partition(" ")[0]
    assert (told.outcome, told.rollbacks, list(told.failed)) == ("undecided", 0, [rule])
    assert words in told.reason and "nobody has answered" in told.reason
    assert [key for key in told.keys if not key.startswith("snapshot")] == ["start", f"ask {rule}", "undecided 60 0"]
