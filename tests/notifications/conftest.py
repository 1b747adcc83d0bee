from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from receivers import Receiver

from mobius_tui.notifications.outbox import wait_sent


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    started: list[Receiver] = []

    def start(answer: int | None = 204) -> Receiver:
        started.append(Receiver(answer))
        return started[-1]

    yield start
    for each in started:
        each.close()
    assert wait_sent(60)
