"""What `mobius worker` says of a worker without an address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_verbs import Mobius

from mobius_tui.cli.verbs import worker as verb
from mobius_tui.launch.health import Address
from mobius_tui.system.locks import Holder

TAKEN = Address("", "boot:7:1", "port 5001 on 127.0.0.1 is taken by another program (python3, PID 9)")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Address | None]:
    """A worker that seems to start; what it says of its address, look by look, the last one again and again."""
    says: list[Address | None] = []

    def looks() -> Iterator[Address | None]:
        while True:
            yield says.pop(0) if len(says) > 1 else says[0]

    look = looks()
    monkeypatch.setattr(verb, "ensure_worker", lambda *_, **__: True)
    monkeypatch.setattr(verb, "stop_worker", lambda *_, **__: "the worker has ended")
    monkeypatch.setattr(verb, "worker_holder", lambda _: Holder("ada", 1_763_640_000.0, "worker", 7, "boot:7:1"))
    monkeypatch.setattr(verb, "worker_address", lambda _: next(look))
    monkeypatch.setattr(verb, "_LOOK_S", 0.0)
    return says


@pytest.mark.parametrize("act", ["start", "restart"])
def test_a_taken_port_is_told_with_what_ends_it(
    mobius: Mobius, ws: Path, started: list[Address | None], act: str
) -> None:
    started += [None, None, TAKEN]
    answer = mobius("worker", act, "--workspace", ws)
    said = " ".join(answer.err.split())
    assert answer.code == 0 and answer.out == "the worker started (PID 7)\n"
    assert "the worker runs, but it has no address: port 5001 on 127.0.0.1 is taken" in said
    assert "(python3, PID 9)" in said and "port = another number in mobius.toml, or MOBIUS_PORT" in said
    assert "`mobius worker restart`" in said


def test_an_address_is_no_news(mobius: Mobius, ws: Path, started: list[Address | None]) -> None:
    started += [Address("http://127.0.0.1:5001", "boot:7:1")]
    answer = mobius("worker", "start", "--workspace", ws)
    assert (answer.code, answer.err) == (0, "")


def test_a_worker_that_says_nothing_is_not_waited_for_long(
    mobius: Mobius, ws: Path, started: list[Address | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "ADDRESS_S", 0.0)
    started += [None]
    assert mobius("worker", "start", "--workspace", ws).err == ""


def test_status_and_json_say_it_too(mobius: Mobius, ws: Path, started: list[Address | None]) -> None:
    started += [TAKEN]
    assert "MOBIUS_PORT" in mobius("worker", "status", "--workspace", ws).out
    facts = json.loads(mobius("worker", "start", "--workspace", ws, "--json").out)
    assert facts["address"] is None and facts["no_address"] == TAKEN.problem
