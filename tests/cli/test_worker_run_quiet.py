"""What `worker run` prints: nothing in production but why it ended, and that without secrets."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from running_verbs import finish, start
from worker_process import until

from mobius_tui.system.locks import holder_of

SECRET = "hunter2hunter2"
MISSPELT = {"MOBIUS_LIBRAY": "x"}


def run(ws: Path, **env: str) -> tuple[int, str, str]:
    worker = start("worker", "run", "--workspace", ws, env={**MISSPELT, **env})
    until(lambda: holder_of(ws / ".mobius" / "worker.lock") is not None or worker.poll() is not None, "it runs")
    log = ws / "logs" / "service.log"
    until(lambda: worker.poll() is not None or (log.exists() and "answering on" in log.read_text()), "it listens")
    worker.send_signal(signal.SIGTERM)
    answer = finish(worker)
    return answer.code, answer.out, answer.err


def test_nothing_in_production(ws: Path) -> None:
    assert run(ws, MOBIUS_ENVIRONMENT="production") == (0, "", "")
    records = [json.loads(line) for line in (ws / "logs" / "service.log").read_text().splitlines()]
    assert any("MOBIUS_LIBRAY" in record["message"] for record in records), "the warning is in the log instead"


def test_elsewhere_its_warnings_are_said(ws: Path) -> None:
    assert "MOBIUS_LIBRAY" in run(ws)[2]


def test_why_it_does_not_start_is_said_redacted_in_production_too(ws: Path) -> None:
    state = ws.parent / f"api_key={SECRET}"
    state.write_text("a file where a folder should be")
    env = {"MOBIUS_ENVIRONMENT": "production", "MOBIUS_STATE_DIR": str(state)}
    answer = finish(start("worker", "run", "--workspace", ws, env=env))
    assert answer.code == 3 and answer.out == ""
    assert "the state folder cannot be made" in answer.err and len(answer.err.splitlines()) == 1
    assert SECRET not in answer.err
