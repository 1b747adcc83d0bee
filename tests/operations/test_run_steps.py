"""Steps as people see them: none is under way once nobody can be at it."""

from __future__ import annotations

import pytest

from mobius_tui.operations.deploy.options import StepState
from mobius_tui.operations.run_steps import cut_off, warnings_of
from mobius_tui.operations.run_timeline import RunFacts
from mobius_tui.system.processes import process_token

RUNNING = {"what": "step", "step": "hold", "state": "running", "time": "2026-11-20T12:00:00Z"}


def begin(token: str) -> dict[str, str]:
    return {"what": "begin", "kind": "deploy", "token": token}


@pytest.mark.parametrize(
    ("state", "told"),
    [("running", "running"), ("paused", "running"), ("interrupted", "cut off"), ("failed", "cut off")],
)
def test_a_report_goes_by_the_row(state: str, told: str) -> None:
    facts = RunFacts("deploy-1", job={"state": state}, records=(begin(process_token()), RUNNING))
    assert [step.state for step in facts.steps()] == [told]


def test_without_a_row_a_report_goes_by_the_process() -> None:
    here, gone = begin(process_token()), begin("boot:1:1")
    assert [step.state for step in RunFacts("x", records=(here, RUNNING)).steps()] == ["running"]
    assert [step.state for step in RunFacts("x", records=(gone, RUNNING)).steps()] == ["cut off"]
    ended = RunFacts("x", records=(here, RUNNING, {"what": "end", "state": "undone"}))
    assert [step.state for step in ended.steps()] == ["cut off"]


def test_only_what_ran_is_cut_off() -> None:
    steps = [StepState("a", "done", 1.0, 2.0), StepState("b", "running", 2.0), StepState("c")]
    assert [step.state for step in cut_off(steps)] == ["done", "cut off", "waiting"]
    assert steps[1].state == "running", "what was read is left as it is"


def test_warnings_name_their_step() -> None:
    assert warnings_of([StepState("a", "done"), StepState("b", "warning", reason="why")]) == ["b: why"]
