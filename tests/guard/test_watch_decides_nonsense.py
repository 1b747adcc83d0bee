"""The watch ends as a person would have decided: figures that make no sense, and what is not there.

What nobody can judge is no failure of the service and no success either: without data where it matters there is no
verdict. Whole watches, see ``watch_script``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_service import (
    FIGURES,
    MISSING,
    Answer,
    body,
    hang,
    hashed,
    html,
    metrics,
    not_hashed,
    reset,
    status,
    text,
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
    counted,
    play,
    rolled_back,
    since,
    undecided,
)  # fmt: skip

RATE, P95, QUEUE = "extraction_failures_rate", "p95_hash_time_ms", "low_confidence_queue_length"
RULE_OF = {RATE: "failures", P95: "p95", QUEUE: "queue"}
SHORT = 8
"""Minutes of a watch whose every minute is alike."""

NONSENSE: dict[str, Any] = {
    "NaN": float("nan"),
    "infinite": float("inf"),
    "minus infinite": float("-inf"),
    "null": None,
    "a text": "0.0",
    "true": True,
    "false": False,
    "negative": -1,
    "too large": 1e300,
    "a list": [0],
    "an object": {"value": 0},
    "missing": ...,
}
"""What a figure may be; the largest is beyond the range of each."""


@pytest.mark.parametrize("what", NONSENSE)
@pytest.mark.parametrize("name", RULE_OF)
def test_a_figure_that_makes_no_sense_is_no_data(tmp_path: Path, name: str, what: str) -> None:
    script = replace(BY_RATES, figures=lambda _: metrics(**{name: NONSENSE[what]}), minutes=SHORT)
    rule = RULE_OF[name]
    check(told := play(tmp_path / "ws", script), undecided(rule, "could not have fired"), script)
    assert told.rows[rule] == ("-" if what == "null" else "e") * SHORT
    assert told.outcome == "undecided" and (what == "null" or name in told.reason)


@pytest.mark.parametrize("name", sorted(set(FIGURES) - set(RULE_OF)))
def test_nonsense_in_a_figure_that_is_not_judged_changes_nothing(tmp_path: Path, name: str) -> None:
    values = list(NONSENSE.values())
    script = replace(BY_RATES, figures=lambda minute: metrics(**{name: values[minute - 1]}), minutes=len(values))
    check(play(tmp_path / "ws", script), ACCEPTED, script)


@pytest.mark.parametrize("name", [RATE, P95])
def test_nonsense_in_a_rate_changes_nothing_where_probes_are_judged(tmp_path: Path, name: str) -> None:
    values = list(NONSENSE.values())
    script = replace(BY_PROBES, figures=lambda minute: metrics(**{name: values[minute - 1]}), minutes=len(values))
    check(told := play(tmp_path / "ws", script), ACCEPTED, script)
    assert told.report["collector_errors"] == []


def over(*minutes: int, nan: int = 0) -> Callable[[int], Answer]:
    """A failure rate of 50 % at some minutes, none that makes sense at one."""
    return at({minutes: metrics(**{RATE: 0.5}), nan: metrics(**{RATE: float("nan")})}, metrics())


def junk(minute: int) -> Answer:
    return metrics(**{RATE: float("nan"), P95: "slow", QUEUE: -1}) if 20 <= minute < 40 else metrics()


FIGURES_GO: dict[str, tuple[Script, Ends]] = {
    "nonsense for twenty minutes": (replace(BY_RATES, figures=junk), ACCEPTED),
    "no answer for twenty minutes": (replace(BY_RATES, figures=at({range(20, 40): reset()}, metrics())), ACCEPTED),
    "nonsense does not hide what is over the limit": (
        replace(BY_RATES, figures=over(20, 22, 23, nan=21)),
        rolled_back("failures", 23),
    ),
    "nonsense is not over the limit": (replace(BY_RATES, figures=over(20, 22, nan=21)), ACCEPTED),
    "a rate of just over 1": (
        replace(BY_RATES, figures=lambda _: metrics(**{RATE: 1.0000001}), minutes=SHORT),
        undecided("failures"),
    ),
    "a huge queue that makes sense": (
        replace(BY_RATES, figures=at({5: metrics(**{QUEUE: 10**12})}, metrics())),
        rolled_back("queue", 5),
    ),
    "half an image waits": (
        replace(BY_RATES, figures=lambda _: metrics(**{QUEUE: 2.5}), minutes=SHORT),
        undecided("queue"),
    ),
    "a p95 of three hours": (
        replace(BY_RATES, figures=at({since(5): metrics(**{P95: 1.08e7})}, metrics())),
        rolled_back("p95", 7),
    ),
    "totals by which more failed than there were": (
        replace(BY_TOTALS, figures=counted(lambda _: 200), minutes=SHORT),
        undecided("failures", "cannot be"),
    ),
    "totals that are no numbers: its rates are taken": (
        replace(BY_TOTALS, figures=lambda _: metrics(totals={"images_total": "many", "image_processing_errors": 0})),
        ACCEPTED,
    ),
    "totals that stand still: nothing is judged": (
        replace(BY_TOTALS, figures=counted(images=lambda _: 0), minutes=SHORT),
        undecided("failures"),
    ),
    "no figures in the last third": (
        replace(BY_RATES, figures=at({since(41): MISSING}, metrics())),
        undecided("failures", "p95", "queue"),
    ),
    "no figures from minute 46 on": (
        replace(BY_RATES, figures=at({since(46): MISSING}, metrics())),
        undecided("failures", "p95", "queue"),
    ),
    "no figures from minute 47 on": (replace(BY_RATES, figures=at({since(47): MISSING}, metrics())), ACCEPTED),
}


@pytest.mark.parametrize("name", FIGURES_GO)
def test_figures(tmp_path: Path, name: str) -> None:
    script, ends = FIGURES_GO[name]
    check(play(tmp_path / "ws", script), ends, script)


SILENT = undecided("failures", "p95", "queue")
NO_QUEUE = undecided("queue")
IMPATIENT = replace(PATIENT, figures_s=0.05)
NO_FIGURES = {
    "404": MISSING,
    "401": status(401),
    "403": status(403),
    "500": status(500),
    "503": status(503),
    "a redirect": text("", 302, headers={"Location": "/health"}),
    "200 with HTML": html(),
    "200 with a list": body([1, 2]),
    "200 with an empty object": body({}),
    "reset": reset(),
    "hangs": hang(),
}
THE_SERVICES = {"404", "reset", "hangs"}
"""Those that say nothing of the figures; the others are told as what the guard could not make sense of."""


@pytest.mark.parametrize("how", NO_FIGURES)
@pytest.mark.parametrize("probes", [False, True], ids=["without probes", "with probes"])
def test_a_service_without_figures(tmp_path: Path, probes: bool, how: str) -> None:
    """By probes two rules have data all the same; health is well, so nothing rolls back."""
    base, ends = (BY_PROBES, NO_QUEUE) if probes else (BY_RATES, SILENT)
    limits = IMPATIENT if how == "hangs" else PATIENT
    minutes = 12 if probes else SHORT
    script = replace(base, figures=lambda _: NO_FIGURES[how], limits=limits, minutes=minutes)
    check(told := play(tmp_path / "ws", script), ends, script)
    assert told.rows["queue"] == ("-" if how in THE_SERVICES else "e") * minutes
    assert how not in {"401", "403"} or "INTERNAL_API_KEY" in told.reason


def always(answer: Answer) -> Callable[[int, int], Answer]:
    return lambda *_: answer


BLIND = undecided("failures", "p95")
PROBES: dict[str, tuple[Script, Ends]] = {
    "404": (replace(BY_PROBES, probe=None, baseline=BY_RATES.baseline, minutes=SHORT), ACCEPTED),
    "404 where there were probes before the swap, totals": (
        replace(BY_PROBES, probe=None, figures=counted(), minutes=SHORT),
        ACCEPTED,
    ),
    "405": (replace(BY_PROBES, probe=always(status(405)), minutes=SHORT), ACCEPTED),
    "429": (replace(BY_PROBES, probe=always(status(429)), images=2, minutes=4), BLIND),
    "503": (replace(BY_PROBES, probe=always(status(503)), images=2, minutes=4), BLIND),
    "422": (replace(BY_PROBES, probe=always(not_hashed(time_ms=20.0))), rolled_back("failures", 10)),
    "500": (replace(BY_PROBES, probe=always(status(500)), baseline={**BY_PROBES.baseline, "p95_ms": None}),
            rolled_back("failures", 10)),
    "200 that says failed": (
        replace(BY_PROBES, probe=always(body({"status": "failed", "dhash": None, "time_ms": 20.0}))),
        rolled_back("failures", 10),
    ),
    "200 with HTML": (replace(BY_PROBES, probe=always(html()), minutes=SHORT), BLIND),
    "200 without a dHash": (replace(BY_PROBES, probe=always(body({"status": "ok"})), minutes=SHORT), BLIND),
    "200 with a dHash that is none": (replace(BY_PROBES, probe=always(hashed("xyz")), minutes=SHORT), BLIND),
    "401": (replace(BY_PROBES, probe=always(status(401)), minutes=SHORT), BLIND),
    "reset": (replace(BY_PROBES, probe=always(reset()), minutes=SHORT), BLIND),
    "hangs": (
        replace(
            BY_PROBES,
            probe=lambda minute, _: hang() if minute > 1 else hashed(time_ms=20.0),
            images=100,
            limits=replace(PATIENT, probe_s=0.05),
            baseline={**BY_PROBES.baseline, "p95_ms": None},
        ),
        rolled_back("failures", 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", PROBES)
def test_probes_that_the_service_does_not_answer_well(tmp_path: Path, how: str) -> None:
    script, ends = PROBES[how]
    check(play(tmp_path / "ws", script), ends, script)


def test_a_service_that_wants_a_key_that_the_guard_has_not(tmp_path: Path) -> None:
    script = replace(BY_PROBES, key="geheim", minutes=SHORT)
    check(told := play(tmp_path / "ws", script), SILENT, script)
    assert "INTERNAL_API_KEY" in told.reason and "geheim" not in told.reason


def test_a_service_with_health_and_nothing_else(tmp_path: Path) -> None:
    script = replace(BY_RATES, figures=lambda _: MISSING, baseline={"source": "none", "p95_ms": None, "queue": None})
    check(told := play(tmp_path / "ws", script), SILENT, script)
    assert set(told.rows["failures"] + told.rows["p95"] + told.rows["queue"]) == {"-"}


def test_an_empty_library(tmp_path: Path) -> None:
    """Nothing is hashed, so nothing is known of failures and times."""
    script = replace(BY_RATES, images=0, figures=lambda _: metrics(**{RATE: None, P95: None, QUEUE: 0}), minutes=SHORT)
    check(play(tmp_path / "ws", script), BLIND, script)


def unlink(*numbers: int) -> Callable[[Stage], None]:
    def act(stage: Stage) -> None:
        for number in numbers:
            (stage.ws.library / f"p{number}.png").unlink()

    return act


VANISH: dict[str, tuple[Script, Ends]] = {
    "half of them": (replace(BY_PROBES, acts={5: unlink(*range(5))}), ACCEPTED),
    "all of them": (replace(BY_PROBES, acts={5: unlink(*range(10))}), BLIND),
    "all of them, near the end": (replace(BY_PROBES, acts={47: unlink(*range(10))}), ACCEPTED),
}


@pytest.mark.parametrize("which", VANISH)
def test_images_of_the_probes_that_vanish_are_no_failures(tmp_path: Path, which: str) -> None:
    script, ends = VANISH[which]
    check(play(tmp_path / "ws", script), ends, script)
