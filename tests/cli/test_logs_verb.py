"""`mobius logs --run`: from the database, and from the run's own log where that knows more."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from running_verbs import Mobius

from mobius_tui.logs import JsonLog
from mobius_tui.store.database import open_database
from mobius_tui.store.events import add_event
from mobius_tui.system import clock

RUN = "deploy-20261120T120000Z"


def messages(mobius: Mobius, ws: Path, *more: object) -> list[str]:
    return [record["message"] for record in mobius("logs", "--run", RUN, "--workspace", ws, "--json", *more).json]


@pytest.fixture
def log(ws: Path) -> JsonLog:
    return JsonLog(ws / "logs" / f"{RUN}.log")


def test_the_end_that_only_the_run_log_has_is_shown(mobius: Mobius, ws: Path, log: JsonLog) -> None:
    connection = open_database(ws / ".mobius" / "mobius.db")
    log.write("info", "deploy", "start", "of the file", RUN)
    add_event(connection, "info", "deploy", "start", "of the database", run_id=RUN)
    assert messages(mobius, ws) == ["of the database"]
    log.write("warning", "recovery", "recovery", "was cut off: undone", RUN)
    assert messages(mobius, ws) == ["of the file", "was cut off: undone"]
    assert messages(mobius, ws, "--level", "warning") == ["was cut off: undone"]
    for path in (ws / "logs").glob("*.log"):
        path.unlink()
    assert messages(mobius, ws) == ["of the database"]
    connection.close()


def test_of_as_many_the_later_ones_are_shown(mobius: Mobius, ws: Path, log: JsonLog) -> None:
    connection = open_database(ws / ".mobius" / "mobius.db")
    add_event(connection, "info", "deploy", "start", "of the database", run_id=RUN, at=clock.now() - 60)
    log.write("info", "deploy", "start", "of the file", RUN)
    log.write("warning", "recovery", "recovery", "was cut off: undone", RUN)
    assert messages(mobius, ws, "-n", "1") == ["was cut off: undone"]
    connection.close()


def test_of_one_component_and_since_a_while(mobius: Mobius, ws: Path) -> None:
    with closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        for age, component in ((7200, "worker"), (60, "worker"), (60, "http")):
            add_event(connection, "info", component, "tick", f"{component} {age}", at=clock.now() - age)

    def told(*given: str) -> list[str]:
        return [event["message"] for event in mobius("logs", "--json", *given, "--workspace", ws).json]

    assert told("--component", "http") == ["http 60"]
    assert told("--since", "90m") == ["worker 60", "http 60"]
    assert told("--since", "90m", "--component", "worker") == ["worker 60"]
    assert mobius("logs", "--since", "soon", "--workspace", ws).code == 1
    (ws / ".mobius" / "mobius.db").unlink()
    log = JsonLog(ws / "logs" / "service.log.1")
    log.write("info", "worker", "tick", "of the rotated log")
    JsonLog(ws / "logs" / "service.log").write("info", "http", "tick", "of the log")
    assert told() == ["of the rotated log", "of the log"]
    assert told("--component", "worker") == ["of the rotated log"]


def test_of_a_component_that_only_the_service_log_knows(mobius: Mobius, ws: Path) -> None:
    with closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        add_event(connection, "info", "worker", "tick", "of the database")
    service = JsonLog(ws / "logs" / "service.log", rotate=True)
    service.write("info", "notify", "no_route", "watch rolled back", RUN)
    service.write("warning", "notify", "not_delivered", "was not delivered")
    service.write("info", "worker", "start", "only in the file")

    def told(*given: str) -> list[str]:
        return [event["message"] for event in mobius("logs", "--json", *given, "--workspace", ws).json]

    assert told("--component", "notify") == ["watch rolled back", "was not delivered"]
    assert told("--component", "notify", "--level", "warning") == ["was not delivered"]
    assert told("--component", "notify", "-n", "1") == ["was not delivered"]
    assert told("--component", "worker") == ["of the database"]
    assert told() == ["of the database"]
    assert told("--component", "odd") == []
