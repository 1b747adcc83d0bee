"""Real workers and their answers: alive, killed, and two that want one port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from worker_process import Worker, make_workspace, until

from mobius_tui.launch.health import ADDRESS_NAME, ask_health, wait_healthy, worker_address
from mobius_tui.system.locks import holder_of
from mobius_tui.workspace import Workspace

Start = Callable[[Workspace], Worker]


def test_a_worker_answers_until_it_ends(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 2)
    worker = start_worker(ws)
    health = wait_healthy(ws, 60.0)
    holder = holder_of(ws.worker_lock)
    assert health.answers and holder is not None and health.body["worker_id"] == holder.token
    assert worker.stop() == 0
    assert not (ws.state / ADDRESS_NAME).exists()
    assert ask_health(ws).sentence == "no worker runs"


def test_the_address_of_a_killed_worker_is_stale(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 1)
    worker = start_worker(ws)
    first = wait_healthy(ws, 60.0)
    worker.kill()
    assert (ws.state / ADDRESS_NAME).exists() and worker_address(ws) is None
    assert ask_health(ws).status == "unreachable"
    start_worker(ws)
    second = wait_healthy(ws, 60.0)
    assert second.answers and second.body["worker_id"] != first.body["worker_id"]
    assert second.body["library_id"] == first.body["library_id"], "the library is the same one"


def test_the_second_on_a_port_works_without_and_is_not_taken_for_the_first(
    tmp_path: Path, start_worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = make_workspace(tmp_path / "one", 1), make_workspace(tmp_path / "two", 1)
    start_worker(one)
    assert wait_healthy(one, 60.0).answers
    address = worker_address(one)
    assert address is not None
    monkeypatch.setenv("MOBIUS_PORT", address.url.rpartition(":")[2])
    worker = start_worker(two)
    until(lambda: (found := worker_address(two)) is not None and "is taken" in found.problem, "it says so")
    health = ask_health(two)
    assert health.status == "unreachable" and "taken by another program" in health.sentence
    assert worker.process.poll() is None, "it goes on without"
    assert "no_address" in (two.logs / "service.log").read_text()
    assert worker.stop() == 0
