"""A deploy's steps and its end on a terminal: what was undone comes last, a warning is listed, one thing is next."""

from __future__ import annotations

from typing import Any

import pytest

from mobius_tui.cli.step_lines import StepPrinter, live_line
from mobius_tui.cli.verbs.deploy import DeployFailed, end_lines
from mobius_tui.operations.deploy.options import StepState
from mobius_tui.operations.run_steps import steps_of_job
from mobius_tui.store.jobs import Job


def row(*steps: StepState, **changes: Any) -> Job:
    first: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__, "")
    first |= {"id": 1, "state": "running", "total": None, "done": 0, "eta_s": None, "wanted": "run", "exit_code": None}
    first |= {"run_id": "deploy-1", "summary": {"steps": [step.to_json() for step in steps]}}
    return Job(**{**first, **changes})


def printed(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split()[1:3] for line in capsys.readouterr().out.splitlines()]


def test_what_was_undone_comes_after_what_led_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    printer = StepPrinter(to_stdout=True, quiet=False, now=lambda: 10.0)
    printer.look(row(StepState("migrate", "done", 1.0, 2.0), StepState("verify", "running", 2.0)))
    assert printed(capsys) == [["done", "migrate"], ["running", "verify"]]
    end = row(
        StepState("migrate", "undone", 1.0, 2.0),
        StepState("verify", "done", 2.0, 3.0),
        StepState("swap", "undone", 3.0, 4.0),
        StepState("smoke", "failed", 4.0, 5.0),
        state="failed",
    )
    printer.look(end)
    assert printed(capsys) == [["done", "verify"], ["failed", "smoke"], ["undone", "migrate"], ["undone", "swap"]]
    printer.look(end)
    assert printed(capsys) == []


@pytest.mark.parametrize("state", ["interrupted", "failed", "cancelled"])
def test_a_step_of_a_killed_deploy_was_cut_off(capsys: pytest.CaptureFixture[str], state: str) -> None:
    job = row(StepState("swap", "done", 0.0, 1.0), StepState("hold", "running", 1.0, limit_s=63.0), state=state)
    StepPrinter(to_stdout=True, quiet=False).look(job)
    told = capsys.readouterr().out.splitlines()
    assert told[1].split() == ["00:00:01", "cut", "off", "hold"], told
    assert live_line(job, steps_of_job(job), 100.0) == "", "nothing goes on"


def test_warnings_are_listed_at_the_end() -> None:
    steps = [
        StepState("swap", "done"),
        StepState("after hook", "warning", reason="failed with exit code 1: " + "a " * 40),
    ]
    summary = {"outcome": "done", "steps": [step.to_json() for step in steps]}
    lines = end_lines(summary, 80)
    (first,) = [line for line in lines if line.startswith("warning")]
    assert "after hook: failed with exit code 1" in first and max(map(len, lines)) <= 80
    assert not [line for line in end_lines({**summary, "steps": []}, 80) if line.startswith("warning")]


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        ("cancelled", "cancelled by bob. Next: start another", "cancelled by bob. Next: start another"),
        ("cancelled", "cancelled by bob", "cancelled by bob. Next: `mobius deploy` starts another one"),
        ("failed", "it broke", "it broke. Next: `mobius report deploy-1` collects the facts"),
        ("failed", "no room. Next: free space",
         "no room. Next: free space; `mobius report deploy-1` collects the facts"),
    ],
)  # fmt: skip
def test_one_thing_is_next(state: str, error: str, says: str) -> None:
    failed = DeployFailed(row(state=state, error=error, exit_code=130))
    assert str(failed) == says and failed.exit_code == 130
