"""A measurement holds what the service did, and tells the guard's own trouble apart from the service's."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_service import (
    EXTRACT,
    HEALTH,
    METRICS,
    MISSING,
    ScriptedService,
    body,
    degraded,
    drip,
    hang,
    hashed,
    hashing,
    healthy,
    html,
    metrics,
    not_hashed,
    reset,
    slow,
    status,
    totals,
    unhealthy,
)

from mobius_tui.guard import collector as collecting
from mobius_tui.guard.collector import Collector, Limits, take_baseline, with_published
from mobius_tui.guard.model import RULES, Baseline, Measurement
from mobius_tui.launch import questions
from mobius_tui.launch.health import ADDRESS_NAME, Health
from mobius_tui.launch.questions import Answer
from mobius_tui.system.locks import FileLock
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

LIMITS = Limits(health_s=20.0, figures_s=20.0, probe_s=20.0, look_s=30.0)
SHORT = Limits(health_s=0.4, figures_s=0.4, probe_s=0.4, look_s=30.0)
IMAGES = 12


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as started:
        yield started


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return workspace(tmp_path / "ws")


def workspace(root: Path, **settings: object) -> Workspace:
    init_workspace(root)
    images = []
    for number in range(IMAGES):
        (root / "library" / f"p{number}.png").write_bytes(b"image %d" % number)
        images.append({"path": f"p{number}.png", "dhash": f"{number:016x}", "dhash_status": "ok"})
    (root / "library" / "library.json").write_text(json.dumps({"images": images, "dhash_migration": {}}))
    return open_workspace(root, settings, {}, "tester")


Watch = Callable[..., Collector]


@pytest.fixture
def watch(ws: Workspace, service: ScriptedService) -> Watch:
    def start(baseline: Baseline | None = None, limits: Limits = LIMITS, **more: Any) -> Collector:
        known = baseline or Baseline(entries=IMAGES, with_dhash=IMAGES)
        return Collector(ws, service.url, known, more.pop("interval_s", 60.0), limits=limits, **more)

    return start


def rules_of(measured: Measurement) -> set[str]:
    """The rules that the errors concern."""
    return {error.partition(":")[0] for error in measured.errors}


def test_a_healthy_service(watch: Watch, service: ScriptedService) -> None:
    service.metrics = metrics(cpu_percent=7.5)
    measured = watch(now=lambda: 1234.5).measure(3, 180.0, 2)
    assert (measured.number, measured.at, measured.elapsed_s, measured.merged) == (3, 1234.5, 180.0, 2)
    assert measured.health.ok is True and measured.health.status == "healthy" and measured.health.seconds > 0
    assert (measured.source, measured.samples, measured.failures) == ("probes", IMAGES, 0)
    assert len(measured.durations_ms) == IMAGES and all(10 <= each <= 30 for each in measured.durations_ms)
    assert (measured.failure_rate, measured.p95_ms, measured.queue) == (0.0, 45.0, 3)
    assert measured.catalogue.ok is True and measured.catalogue.entries == IMAGES
    assert measured.other["cpu_percent"] == 7.5 and measured.other["probes"] == {"begun": IMAGES}
    assert measured.errors == ()
    json.dumps(measured.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("script", "ok", "told"),
    [
        (healthy(), True, "healthy"),
        (degraded(), True, "degraded"),
        (unhealthy(), False, "unhealthy"),
        (unhealthy(200), False, "unhealthy"),
        (status(500), False, "unreachable"),
        (status(404), False, "unreachable"),
        (status(302), False, "unreachable"),
        (html(), False, "unreachable"),
        (body({"status": "fine"}), False, "unreachable"),
        (reset(), False, "unreachable"),
        (hang(), False, "unreachable"),
        (drip(), False, "unreachable"),
        (slow(10.0, healthy()), False, "unreachable"),
    ],
)
def test_health(watch: Watch, service: ScriptedService, script: Any, ok: bool, told: str) -> None:
    service.health = script
    measured = watch(limits=replace(LIMITS, health_s=5.0)).measure(1, 0.0)
    assert (measured.health.ok, measured.health.status) == (ok, told) and measured.health.sentence
    assert measured.errors == () and measured.source == "probes"


def test_a_dead_service(watch: Watch, service: ScriptedService) -> None:
    service.stop()
    measured = watch().measure(1, 0.0)
    assert measured.health.ok is False and measured.source == "none" and measured.samples == 0
    assert measured.queue is None and measured.errors == () and measured.catalogue.ok is True


def test_a_workspace_without_a_worker(ws: Workspace) -> None:
    measured = Collector(ws, "", Baseline(), 60.0).measure(1, 0.0)
    assert measured.health.ok is False and "no worker" in measured.health.sentence and measured.errors == ()


def test_the_guard_standing_still_asks_once_more(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Health("unreachable", stalled_s=7.0), Health("healthy", {}, "healthy", 0.1)]
    monkeypatch.setattr(collecting, "ask_health", lambda *_: answers.pop(0))
    assert watch().measure(1, 0.0).health.ok is True and not answers
    answers = [Health("unreachable", stalled_s=7.0), Health("unreachable", sentence="down", stalled_s=0.1)]
    assert watch().measure(1, 0.0).health.ok is False
    answers = [Health("unreachable", stalled_s=7.0), Health("unreachable", stalled_s=3.0)]
    measured = watch().measure(1, 0.0)
    assert measured.health.ok is None and rules_of(measured) == {"health"}
    answers = [Health("healthy", {}, "healthy", 0.1, stalled_s=7.0)]
    assert watch().measure(1, 0.0).health.ok is True


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_a_lack_of_the_guard_s_own_is_no_failure(
    watch: Watch, service: ScriptedService, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(questions.socket, "create_connection", fails)
    measured = watch().measure(1, 0.0)
    assert measured.health.ok is None and rules_of(measured) == set(RULES) - {"catalogue"}
    assert measured.source == "none" and service.counts.total() == 0


def test_a_lack_that_shows_as_no_worker(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "shortage", lambda: "the guard cannot open a file: Too many open files")
    measured = Collector(ws, "", Baseline(), 60.0).measure(1, 0.0)
    assert measured.health.ok is None and "health" in rules_of(measured)


@pytest.mark.parametrize("part", ["ask_health", "ask_figures", "run_probes", "look_at"])
def test_a_defect_in_one_part_stops_no_other(watch: Watch, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(collecting, part, lambda *_, **__: 1 / 0)
    measured = watch().measure(1, 0.0)
    concerned = {
        "ask_health": {"health"},
        "ask_figures": {"failures", "p95", "queue"},
        "run_probes": {"failures", "p95"},
        "look_at": {"catalogue"},
    }[part]
    assert rules_of(measured) == concerned and "ZeroDivisionError" in measured.errors[0]
    assert (measured.health.ok is True) == (part != "ask_health")
    assert (measured.source == "probes") == (part != "run_probes")
    assert (measured.queue == 3) == (part != "ask_figures")
    assert (measured.catalogue.ok is True) == (part != "look_at")


def test_nonsense_in_figures_that_are_not_judged_is_a_remark(watch: Watch, service: ScriptedService) -> None:
    service.metrics = metrics(p95_hash_time_ms=math.nan, extraction_failures_rate="0", low_confidence_queue_length=-1)
    measured = watch().measure(1, 0.0)
    assert measured.source == "probes" and rules_of(measured) == {"queue"} and len(measured.other["remarks"]) == 2
    service.extract = MISSING
    assert rules_of(watch().measure(1, 0.0)) == {"failures", "p95", "queue"}


@pytest.mark.parametrize(
    ("script", "concerned"), [(html(), 3), (status(500), 3), (MISSING, 0), (hang(), 0), (reset(), 0)]
)
def test_no_figures(watch: Watch, service: ScriptedService, script: Any, concerned: int) -> None:
    service.metrics, service.extract = script, MISSING
    measured = watch(limits=replace(LIMITS, figures_s=0.5)).measure(1, 0.0)
    assert len(measured.errors) == concerned and measured.source == "none" and measured.queue is None
    assert measured.health.ok is True


def test_probes_with_failures(watch: Watch, service: ScriptedService) -> None:
    service.extract = lambda number, path: not_hashed(time_ms=1) if path in {"p1.png", "p2.png"} else hashed(time_ms=2)
    measured = watch().measure(1, 0.0)
    assert (measured.samples, measured.failures) == (IMAGES, 2) and sorted(measured.durations_ms)[:3] == [1, 1, 2]


def test_the_probes_of_the_baseline_are_sent_even_when_they_left_the_catalogue(
    watch: Watch, service: ScriptedService
) -> None:
    watch(Baseline(probes=("p1.png", "p3.png"))).measure(1, 0.0)
    assert sorted(service.probed) == ["p1.png", "p3.png"]


def test_a_short_interval_takes_turns(watch: Watch, service: ScriptedService) -> None:
    service.extract = lambda number, path: slow(0.06, hashed())
    watching = watch(interval_s=0.5)
    for number in range(100):
        watching.measure(number, 0.0)
        if len(set(service.probed)) == IMAGES:
            break
    assert len(set(service.probed)) == IMAGES and number > 0


def test_busy_is_no_data_and_no_change_of_the_source(watch: Watch, service: ScriptedService) -> None:
    watching = watch()
    service.metrics = totals(100, 50)
    service.extract = status(503)
    for _ in range(2):
        measured = watching.measure(1, 0.0)
        assert (measured.source, measured.samples, measured.errors) == ("none", 0, ())


def test_totals(watch: Watch, service: ScriptedService) -> None:
    service.extract = MISSING
    steps = [(100, 5), (160, 8), (160, 8), (40, 2), (50, 2), (50, 1)]
    service.metrics = lambda number: totals(*steps[number])
    watching = watch()
    measured = [watching.measure(number, 0.0) for number in range(len(steps))]
    assert all(each.source == "totals" and each.errors == () for each in measured)
    counted = [(each.samples, each.failures) for each in measured]
    assert counted == [(0, 0), (60, 3), (0, 0), (40, 2), (10, 0), (50, 1)]
    assert service.counts[EXTRACT] <= 4 + len(steps) - 1, "one probe is enough to ask again"


def test_totals_go_on_over_a_measurement_without_them(watch: Watch, service: ScriptedService) -> None:
    service.extract = MISSING
    answers = [totals(100, 5), reset(), status(500), totals(150, 6)]
    service.metrics = lambda number: answers[number]
    watching = watch()
    measured = [watching.measure(number, 0.0) for number in range(4)]
    assert [each.source for each in measured] == ["totals", "none", "none", "totals"]
    assert (measured[3].samples, measured[3].failures) == (50, 1)


def test_totals_that_cannot_be(watch: Watch, service: ScriptedService) -> None:
    service.extract = MISSING
    answers = [totals(100, 5), totals(101, 20)]
    service.metrics = lambda number: answers[number]
    watching = watch()
    watching.measure(1, 0.0)
    measured = watching.measure(2, 0.0)
    assert (measured.samples, measured.failures) == (0, 0) and rules_of(measured) == {"failures"}


def test_bare_rates(watch: Watch, service: ScriptedService) -> None:
    service.extract, service.metrics = MISSING, metrics(extraction_failures_rate=0.2)
    measured = watch().measure(1, 0.0)
    assert (measured.source, measured.samples, measured.failure_rate) == ("rates", 0, 0.2) and not measured.errors


@pytest.mark.parametrize("script", [html(), status(400), status(415)])
def test_a_service_that_never_understood_a_probe_has_none(watch: Watch, service: ScriptedService, script: Any) -> None:
    service.extract = script
    measured = watch().measure(1, 0.0)
    assert measured.source == "rates" and not measured.errors and measured.other["probes"]["strange"]
    measured = watch(Baseline(source="probes")).measure(1, 0.0)
    assert measured.source == "none" and rules_of(measured) == {"failures", "p95"}
    watching = watch()
    service.extract = hashing()
    watching.measure(1, 0.0)
    service.extract = script
    assert rules_of(watching.measure(2, 0.0)) == {"failures", "p95"}


def test_probes_that_come_and_go(watch: Watch, service: ScriptedService) -> None:
    watching = watch()
    service.extract = MISSING
    assert watching.measure(1, 0.0).source == "rates"
    service.extract = hashing()
    assert watching.measure(2, 0.0).source == "probes"
    service.extract = status(503)
    assert watching.measure(3, 0.0).source == "none"


def test_a_key(tmp_path: Path, service: ScriptedService) -> None:
    service.key = "geheim"
    told = {"internal_api_key": "geheim"}
    known = workspace(tmp_path / "a", base_url=service.url, **told)
    assert Collector(known, "", Baseline(), 60.0).measure(1, 0.0).errors == ()
    assert Collector(known, service.url + "/", Baseline(), 60.0).measure(1, 0.0).queue == 3
    lacking = workspace(tmp_path / "b", base_url=service.url)
    measured = Collector(lacking, "", Baseline(), 60.0).measure(1, 0.0)
    assert rules_of(measured) == {"failures", "p95", "queue"} and "INTERNAL_API_KEY" in measured.errors[0]
    assert measured.source == "none" and "geheim" not in str(measured)
    other = workspace(tmp_path / "c", **told)
    measured = Collector(other, service.url, Baseline(), 60.0).measure(1, 0.0)
    assert "x-internal-api-key" not in service.headers[METRICS] and "x-internal-api-key" not in service.headers[EXTRACT]
    assert rules_of(measured) == {"failures", "p95", "queue"}


def test_the_key_goes_to_the_workspace_s_own_worker(tmp_path: Path, service: ScriptedService) -> None:
    ws = workspace(tmp_path / "ws", internal_api_key="geheim")
    lock = FileLock(ws.worker_lock)
    assert lock.acquire("tester", "worker")
    token = process_token()
    (ws.state / ADDRESS_NAME).write_text(json.dumps({"token": token, "problem": "", "url": service.url}))
    service.key = "geheim"
    service.health = healthy(worker_id=token)
    measured = Collector(ws, "", Baseline(), 60.0).measure(1, 0.0)
    lock.release()
    assert measured.health.ok is True and measured.source == "probes" and measured.errors == ()
    assert "x-internal-api-key" not in service.headers[HEALTH]


def test_a_key_that_cannot_be_read_is_the_guard_s_own_trouble(tmp_path: Path, service: ScriptedService) -> None:
    ws = workspace(tmp_path / "ws", base_url=service.url, internal_api_key_file="gone.key")
    measured = Collector(ws, "", Baseline(), 60.0).measure(1, 0.0)
    assert rules_of(measured) == {"failures", "p95", "queue"} and measured.health.ok is True


def test_the_live_catalogue(watch: Watch, ws: Workspace, tmp_path: Path) -> None:
    watching = watch()
    assert watching.measure(1, 0.0).catalogue.ok is True
    ws.catalogue.unlink()
    measured = watching.measure(2, 60.0)
    assert measured.catalogue.ok is False and measured.errors == () and measured.source == "probes"
    named = tmp_path / "named.json"
    named.write_text('{"images": []}')
    assert watch(Baseline(), live=named).measure(1, 0.0).catalogue.entries == 0


def test_a_file_system_that_hangs_holds_nothing_up(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    real, over = collecting.look_at, threading.Event()
    monkeypatch.setattr(collecting, "look_at", lambda *args, **more: (over.wait(60), real(*args, **more))[1])
    watching = watch(limits=replace(LIMITS, look_s=0.2))
    for number in range(2):
        measured = watching.measure(number, 0.0)
        assert measured.catalogue.ok is None and rules_of(measured) == {"catalogue"}
        assert measured.health.ok is True
    assert sum(thread.name == "catalogue-look" for thread in threading.enumerate()) == 1
    over.set()
    deadline = time.monotonic() + 60
    while measured.catalogue.ok is None and time.monotonic() < deadline:
        measured = watching.measure(3, 0.0)
    assert measured.catalogue.ok is True


def test_a_service_that_hangs_everywhere_takes_no_longer_than_the_interval(
    watch: Watch, service: ScriptedService
) -> None:
    service.health = service.metrics = service.extract = hang()
    began = time.monotonic()
    measured = watch(limits=replace(SHORT, probe_s=60.0), interval_s=4.0).measure(1, 0.0)
    assert time.monotonic() - began < 20.0
    assert measured.health.ok is False and measured.source == "none" and measured.other["probes"]["cut"] == 2


def test_a_baseline(ws: Workspace, service: ScriptedService) -> None:
    service.extract = lambda number, path: not_hashed(time_ms=1) if path == "p1.png" else hashed(time_ms=2)
    found = take_baseline(ws, service.url, images=10, now=lambda: 77.0)
    assert found.at == 77.0 and found.source == "probes" and len(found.probes) == 10
    assert found.samples == 100 and service.counts[EXTRACT] == 100
    assert found.failures == (10 if "p1.png" in found.probes else 0) and found.failure_rate == found.failures / 100
    assert (found.p95_ms, found.queue, found.entries, found.with_dhash) == (2.0, 3, IMAGES, IMAGES)
    assert len(found.published) == 64
    again = Collector(ws, service.url, found, 60.0).measure(1, 0.0)
    assert again.samples == 10 and again.catalogue.ok is True
    changed = with_published(found, entries=20, with_dhash=19, queue=8, sha256="f" * 64)
    assert (changed.entries, changed.with_dhash, changed.queue, changed.published) == (20, 19, 8, "f" * 64)
    assert changed.probes == found.probes and changed.p95_ms == found.p95_ms


def test_a_baseline_of_a_slow_service_keeps_its_time(ws: Workspace, service: ScriptedService) -> None:
    service.extract = lambda number, path: slow(0.2, hashed(time_ms=190))
    began = time.monotonic()
    found = take_baseline(ws, service.url, images=IMAGES, budget_s=1.0)
    assert 0 < found.samples < IMAGES + 1 and time.monotonic() - began < 20.0


@pytest.mark.parametrize(
    ("figures", "source", "samples", "rate"),
    [
        (totals(500, 5, samples=100, failed_samples=2, extraction_failures_rate=0.02), "totals", 100, 0.02),
        (totals(500, 5, samples=1, failed_samples=2), "rates", 0, 0.0),
        (metrics(extraction_failures_rate=0.01), "rates", 0, 0.01),
        (MISSING, "none", 0, None),
        (html(), "none", 0, None),
    ],
)
def test_a_baseline_without_probes(
    ws: Workspace, service: ScriptedService, figures: Any, source: str, samples: int, rate: float | None
) -> None:
    service.extract, service.metrics = MISSING, figures
    found = take_baseline(ws, service.url)
    assert (found.source, found.samples, found.failure_rate) == (source, samples, rate)


def test_a_baseline_of_nothing(tmp_path: Path, service: ScriptedService) -> None:
    init_workspace(tmp_path / "ws")
    ws = open_workspace(tmp_path / "ws", {}, {}, "tester")
    service.stop()
    found = take_baseline(ws, service.url)
    assert found.source == "none" and found.probes == () and found.entries is None
    (ws.root / "library.json").write_text("{}")
    (ws.library / "library.json").write_text("{}")
    assert take_baseline(ws, "").entries is None


def test_no_probes_when_none_are_wanted(tmp_path: Path, service: ScriptedService) -> None:
    ws = workspace(tmp_path / "ws", probe_images=0)
    measured = Collector(ws, service.url, take_baseline(ws, service.url), 60.0).measure(1, 0.0)
    assert measured.source == "rates" and service.counts[EXTRACT] == 0


def test_an_answer_of_the_asker_s_own_trouble_ends_the_baseline_quietly(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "call", lambda *_, **__: Answer(trouble="own", problem="no files"))
    assert take_baseline(ws, "http://127.0.0.1:1").source == "none"


def test_it_needs_the_standard_library_only() -> None:
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); import mobius_tui.guard.collector; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_lost_connection_gives_a_service_no_probes(watch: Watch, service: ScriptedService) -> None:
    watching = watch()
    for service.extract in (MISSING, reset()):
        assert watching.measure(1, 0.0).source == "rates"
