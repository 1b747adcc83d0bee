"""Probes: which images are sent, and what each answer counts as."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_service import (
    EXTRACT,
    MISSING,
    ScriptedService,
    body,
    drip,
    hang,
    hashed,
    hashing,
    html,
    not_hashed,
    reset,
    slow,
    status,
    text,
)

from mobius_tui.catalogue.document import parse
from mobius_tui.guard import probes
from mobius_tui.guard.probes import PATH, ProbeRun, choose_probes, run_probes
from mobius_tui.launch.questions import Answer, call

NAMES = tuple(f"p{number}.png" for number in range(20))


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as started:
        yield started


def send(service: ScriptedService, names: tuple[str, ...] = NAMES, **given: Any) -> ProbeRun:
    def ask(path: str, seconds: float) -> Answer:
        return call(service.url, "POST", PATH, body=json.dumps({"path": path}).encode(), timeout_s=seconds)

    limits = {"start": 0, "budget_s": 30.0, "whole_s": 40.0, "exists": lambda _: True, **given}
    return run_probes(ask, names, **limits)


def test_each_is_sent_once_and_counted(service: ScriptedService) -> None:
    service.extract = hashing(0.5, (10, 20), seed=3, by_path=True)
    run = send(service, start=7)
    assert sorted(service.probed) == sorted(NAMES) and set(service.probed[:2]) <= set(NAMES[7:10])
    assert run.samples == len(run.durations_ms) == 20 and 3 < run.failures < 17
    assert run.answered and not run.absent and not run.errors and run.p95_ms is not None


def test_two_at_a_time(service: ScriptedService) -> None:
    under_way, most, lock = [0], [0], threading.Lock()

    def watched(number: int, path: str) -> Any:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        answer = slow(0.05, hashed())
        act = answer.act

        def counted(handler: Any) -> None:
            act(handler)
            with lock:
                under_way[0] -= 1

        answer.act = counted
        return answer

    service.extract = watched
    assert send(service).samples == 20 and most[0] == 2


@pytest.mark.parametrize(
    ("script", "samples", "failures", "reason", "errors"),
    [
        (hashed(), 20, 0, "", 0),
        (not_hashed(), 20, 20, "", 0),
        (status(500), 20, 20, "", 0),
        (status(504), 20, 20, "", 0),
        (html(502), 20, 20, "", 0),
        (body({"status": "failed", "dhash": None}), 20, 20, "", 0),
        (status(503), 0, 0, "busy", 0),
        (status(429), 0, 0, "busy", 0),
        (reset(), 0, 0, "lost", 0),
        (html(), 0, 0, "strange", 2),
        (hashed("not a hash"), 0, 0, "strange", 2),
        (hashed(dhash=["f" * 16]), 0, 0, "strange", 2),
        (text(b"[" * 100_000), 0, 0, "strange", 2),
        (text(b"x" * 2_000_000), 0, 0, "strange", 2),
        (status(400), 0, 0, "strange", 2),
        (status(413), 0, 0, "strange", 2),
        (status(401), 0, 0, "", 2),
        (status(403), 0, 0, "", 2),
    ],
)
def test_what_an_answer_counts_as(
    service: ScriptedService,
    monkeypatch: pytest.MonkeyPatch,
    script: Any,
    samples: int,
    failures: int,
    reason: str,
    errors: int,
) -> None:
    monkeypatch.setattr(probes, "_BUSY_PAUSE_S", 0.001)
    service.extract = script
    run = send(service)
    assert (run.samples, run.failures, len(run.errors)) == (samples, failures, errors)
    assert not run.absent and list(run.no_sample) == ([reason] if reason else [])
    assert {error.partition(": ")[0] for error in run.errors} in ({"failures", "p95"}, set())


def test_nobody_listens(service: ScriptedService) -> None:
    service.stop()
    run = send(service)
    assert run.samples == 0 and run.no_sample["lost"] >= 5 and run.begun < 20 and not run.errors and not run.absent


@pytest.mark.parametrize(("was_absent", "asked"), [(False, 3), (True, 1)])
@pytest.mark.parametrize("script", [MISSING, status(405), status(501)])
def test_a_service_without_probes(service: ScriptedService, script: Any, was_absent: bool, asked: int) -> None:
    service.extract = script
    run = send(service, was_absent=was_absent)
    assert run.absent and not run.answered and not run.errors and run.samples == 0
    assert asked <= service.counts[EXTRACT] <= asked + (not was_absent)


def test_one_that_is_not_understood_is_enough_where_there_were_none(service: ScriptedService) -> None:
    service.extract = html()
    run = send(service, was_absent=True)
    assert service.counts[EXTRACT] == 1 and run.no_sample == {"strange": 1} and len(run.errors) == 2


def test_a_service_that_has_probes_by_now(service: ScriptedService) -> None:
    run = send(service, was_absent=True)
    assert run.samples == 20 and run.answered and not run.absent


def test_a_file_that_is_gone_is_no_sample(service: ScriptedService) -> None:
    service.extract = lambda number, path: status(404) if number > 3 else hashed()
    run = send(service)
    assert run.samples == 4 and run.no_sample == {"gone": 16} and not run.absent
    run = send(service, exists=lambda path: False)
    assert run.no_sample == {"gone": 20} and not run.absent and not run.errors


@pytest.mark.parametrize("script", [hang(), drip()])
def test_no_answer_in_its_time_is_a_failure_with_its_duration(service: ScriptedService, script: Any) -> None:
    service.extract = script
    run = send(service, NAMES[:2], limit_s=0.3)
    assert (run.samples, run.failures) == (2, 2) and all(duration >= 300 for duration in run.durations_ms)


def test_one_that_is_cut_off_is_no_sample(service: ScriptedService) -> None:
    service.extract = hang()
    run = send(service, budget_s=0.2, whole_s=0.4)
    assert run.samples == 0 and run.no_sample == {"cut": 2} and run.begun == 2


def test_with_a_short_time_all_get_their_turn(service: ScriptedService) -> None:
    service.extract = lambda number, path: slow(0.05, hashed())
    start, rounds = 0, 0
    while len(set(service.probed)) < len(NAMES) and rounds < 100:
        start, rounds = (start + send(service, start=start, budget_s=0.12).begun) % len(NAMES), rounds + 1
    assert set(service.probed) == set(NAMES) and rounds > 1


@pytest.mark.parametrize("told", [-1, float("nan"), float("inf"), "12", True, None, [], 1e12])
def test_a_duration_that_makes_no_sense_is_measured(service: ScriptedService, told: object) -> None:
    service.extract = slow(0.1, hashed(time_ms=told))
    run = send(service, NAMES[:1])
    assert run.samples == 1 and 100 <= run.durations_ms[0] < 30_000


def test_a_duration_as_the_service_told_it(service: ScriptedService) -> None:
    service.extract = slow(0.05, hashed(time_ms=12.5))
    assert send(service, NAMES[:1]).durations_ms == [12.5]


def answering(answer: Answer) -> Callable[[str, float], Answer]:
    return lambda path, seconds: answer


@pytest.mark.parametrize(
    ("answer", "durations", "reason"),
    [
        (Answer(trouble="timeout", stalled_s=5.0, seconds=40.0), [], "stalled"),
        (Answer(200, data=b'{"dhash": "f0e4c2d9a1b3c5d7"}', stalled_s=5.0, seconds=5.0), [], "stalled"),
        (Answer(200, data=b'{"dhash": "f0e4c2d9a1b3c5d7", "time_ms": 9}', stalled_s=5.0, seconds=5.0), [9.0], ""),
    ],
)
def test_standing_still_is_not_the_service_s_time(answer: Answer, durations: list[float], reason: str) -> None:
    run = run_probes(answering(answer), ("a",), start=0, budget_s=60.0, whole_s=60.0, exists=lambda _: True)
    assert run.durations_ms == durations and list(run.no_sample) == ([reason] if reason else []) and not run.failures


@pytest.mark.parametrize("ask", [answering(Answer(trouble="own", problem="no files")), lambda path, seconds: 1 / 0])
def test_the_guard_s_own_trouble_is_no_failure(ask: Any) -> None:
    run = run_probes(ask, NAMES, start=0, budget_s=60.0, whole_s=60.0, exists=lambda _: True)
    assert run.samples == 0 and [error.partition(":")[0] for error in run.errors][:2] == ["failures", "p95"]


def library(folder: Path, sizes: dict[str, int]) -> Callable[[list[dict[str, Any]]], Any]:
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    return lambda images: parse(json.dumps({"images": images}).encode(), origin=str(folder / "library.json"))


def test_the_choice_is_stable_and_fair(tmp_path: Path) -> None:
    document_of = library(tmp_path, {f"d/p{number}.png": 10 for number in range(50)})
    images = [{"path": f"./d/p{number}.png", "dhash": f"{number:016x}"} for number in range(50)]
    chosen = choose_probes(document_of(images), tmp_path, 10)
    assert chosen == choose_probes(document_of(images[::-1]), tmp_path, 10) and len(set(chosen)) == 10
    kept = choose_probes(document_of([{"path": "new.png", "dhash": "f" * 16}, *images[5:]]), tmp_path, 10)
    assert len(set(kept) & set(chosen)) >= 5 and all(name.startswith("d/") for name in kept)
    assert len(choose_probes(document_of(images), tmp_path, 1000)) == 50


def test_which_files_are_left_out(tmp_path: Path) -> None:
    inside = tmp_path / "library"
    document_of = library(
        inside, {"a.png": 10, "large.png": 20_000_001, "empty.png": 0, "../outside.png": 5, "none.png": 10}
    )
    (inside / "folder.png").mkdir()
    (inside / "out.png").symlink_to(tmp_path / "outside.png")
    names = ["a.png", "large.png", "empty.png", "gone.png", "folder.png", "out.png", "../outside.png"]
    images = [{"path": name, "dhash": "0" * 16} for name in names]
    assert choose_probes(document_of(images), inside, 100) == ("a.png",)
    assert choose_probes(document_of(images[1:]), inside, 100) == ("large.png",)
    (inside / "a.png").unlink()
    assert choose_probes(document_of([{"path": "none.png"}, *images]), inside, 1) == ("none.png",)


def test_those_with_a_dhash_come_first(tmp_path: Path) -> None:
    document_of = library(tmp_path, {f"p{number}.png": 10 for number in range(20)})
    images = [{"path": f"p{number}.png", "dhash": "0" * 16 if number < 5 else None} for number in range(20)]
    chosen = choose_probes(document_of(images), tmp_path, 8)
    assert {f"p{number}.png" for number in range(5)} == set(chosen[:5]) and len(chosen) == 8
