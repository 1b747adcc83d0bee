"""The collector against the real worker: probes through its endpoint, and a worker that dies and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_process import Worker, make_workspace, until

from mobius_tui.guard.collector import Collector, Limits, take_baseline
from mobius_tui.launch.health import ask_health
from mobius_tui.workspace import Workspace

IMAGES = 6


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    made = make_workspace(tmp_path / "ws", IMAGES, 'internal_api_key = "geheim"', parallel=1)
    images = ",".join(f'{{"path": "p{number:03}.png"}}' for number in range(IMAGES))
    (made.library / "library.json").write_text(f'{{"images": [{images}]}}')
    return made


@pytest.fixture
def started(ws: Workspace) -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
        worker.process.communicate()


def start(ws: Workspace, started: list[Worker]) -> Worker:
    started.append(Worker(ws))
    started[-1].ready()
    until(lambda: ask_health(ws, 30.0).answers, "the worker answers")
    return started[-1]


def test_the_worker_is_measured_dies_and_comes_back(ws: Workspace, started: list[Worker]) -> None:
    worker = start(ws, started)
    (ws.library / "p001.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    baseline = take_baseline(ws, "", images=IMAGES, budget_s=120.0)
    assert baseline.source == "probes" and len(baseline.probes) == IMAGES and baseline.samples >= 3 * IMAGES
    assert baseline.failures * IMAGES == baseline.samples and baseline.queue is not None and baseline.p95_ms

    limits = Limits(health_s=30.0, figures_s=30.0)
    watching = Collector(ws, "", baseline, 120.0, limits=limits)
    measured = watching.measure(1, 0.0)
    assert measured.health.ok is True and measured.errors == () and measured.queue == baseline.queue
    assert (measured.source, measured.samples, measured.failures) == ("probes", IMAGES, 1)
    assert measured.catalogue.ok is True
    assert measured.other["totals"]["images_total"] == 0, "what probes hash is no work of the library's"

    os.kill(worker.process.pid, signal.SIGSTOP)
    measured = Collector(ws, "", baseline, 2.0, limits=Limits(1.0, 1.0)).measure(2, 0.0)
    assert measured.health.ok is False and measured.source == "none" and measured.errors == ()
    os.kill(worker.process.pid, signal.SIGCONT)

    worker.process.kill()
    worker.process.wait()
    measured = watching.measure(3, 0.0)
    assert measured.health.ok is False and measured.source == "none" and measured.errors == ()

    start(ws, started)
    measured = watching.measure(4, 0.0)
    assert measured.health.ok is True and measured.samples == IMAGES and measured.errors == ()
