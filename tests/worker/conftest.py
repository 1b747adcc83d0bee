from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from worker_process import Worker

from mobius_tui.workspace import Workspace


@pytest.fixture
def start_worker() -> Iterator[Callable[[Workspace], Worker]]:
    started: list[Worker] = []

    def start(ws: Workspace) -> Worker:
        started.append(Worker(ws))
        return started[-1].ready()

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()
        worker.process.communicate()
