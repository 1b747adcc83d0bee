"""What goes wrong in a deploy and stops nothing is a warning of its step; one that only waited changed nothing."""

from __future__ import annotations

from pathlib import Path
from types import MethodType

import pytest
from deploying import Heard, Stage, failing

from mobius_tui.errors import Cancelled, EnvironmentFailed, ProcessingFailed
from mobius_tui.operations.deploy import steps
from mobius_tui.operations.run_steps import steps_of_summary, warnings_of
from mobius_tui.recovery.journal import JOURNALS
from mobius_tui.settings import Settings, Sourced
from mobius_tui.system import clock
from mobius_tui.workspace import Workspace


def hooked(stage: Stage, body: str) -> None:
    """Set a hook after the swap; ``body`` is its script, empty for one that is not there."""
    script = stage.ws.root / "hook.sh"
    if body:
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
    settings = Settings(settle_seconds=0, hold_seconds=0, parallel=1, hook_after_swap=str(script))
    stage.ws = Workspace(stage.ws.root, Sourced(settings, {}), "anna")


@pytest.mark.parametrize(("body", "says"), [("exit 1", "exit code 1"), ("", "was not run")])
def test_a_hook_that_fails_and_stops_nothing_is_a_warning(stage: Stage, body: str, says: str) -> None:
    hooked(stage, body)
    summary = stage.deploy(force=not body)  # the preflight tells of one that is not there
    assert summary.outcome == "done" and stage.live != stage.old
    (warning,) = warnings_of(steps_of_summary(summary.to_json()))
    assert warning.startswith("after hook: ") and says in warning


def test_a_hook_that_ends_well_or_is_not_set_is_none(stage: Stage) -> None:
    assert warnings_of(steps_of_summary(stage.deploy().to_json())) == []
    hooked(stage, "exit 0")
    stage.heard = Heard("deploy-20261120T130000Z")
    assert warnings_of(steps_of_summary(stage.deploy().to_json())) == []


def test_after_a_rollback_it_is_undone_like_the_rest(stage: Stage) -> None:
    hooked(stage, "exit 1")
    with pytest.raises(ProcessingFailed):
        stage.deploy(failing)
    assert stage.heard.states()["after hook"] == "undone" and stage.live == stage.old


def test_backups_that_cannot_be_cleaned_are_a_warning(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise EnvironmentFailed("the folder cannot be written")

    monkeypatch.setattr(steps, "clean_backups", refuse)
    summary = stage.deploy()
    assert warnings_of(steps_of_summary(summary.to_json())) == [
        "finish: backups not cleaned: the folder cannot be written"
    ]


def test_cancelled_while_it_waits_it_says_that_nothing_was_changed(stage: Stage) -> None:
    def cancel(_: Heard) -> None:
        raise Cancelled("cancelled by bob", fix="`mobius deploy` starts another one")

    stage.heard.checkpoint = MethodType(cancel, stage.heard)  # type: ignore[method-assign]
    with pytest.raises(Cancelled) as caught:
        stage.deploy(at=clock.now() + 3600)
    assert caught.value.what == "cancelled by bob before it began; nothing was changed"
    assert not list(Path(stage.ws.state / JOURNALS).glob("*")) and stage.live == stage.old
