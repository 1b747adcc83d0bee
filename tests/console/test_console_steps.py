"""The steps of a deploy in pane 2, and operations in pane 7: what is cut off, what is a warning, where reasons go."""

from __future__ import annotations

import pytest
from console_states import NOW, running, store
from publish_states import deploy_failed, deploy_job, deploying, steps

from mobius_tui.console.glyphs import UNICODE
from mobius_tui.console.lines import plain, width_of
from mobius_tui.console.palette import Look
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.deploy import DEPLOY
from mobius_tui.console.views.jobs import JOBS
from mobius_tui.console.widgets.pane import Pane


def drawn(snapshot: Snapshot) -> str:
    lines = DEPLOY.head(snapshot, 76, 18, UNICODE)
    lines += [DEPLOY.line(item, 76, UNICODE, snapshot) for item in DEPLOY.items(snapshot)]
    return "\n".join(plain(line) for line in lines)


def test_a_step_that_was_cut_off_runs_no_more() -> None:
    summary = {"steps": steps("hold", "running")}
    assert "▶ hold        runs" in drawn(deploying(summary=summary))
    for state in ("interrupted", "failed", "cancelled"):
        text = drawn(deploying(state=state, summary=summary))
        (line,) = [line for line in text.splitlines() if " hold " in line]
        assert "! hold        cut off" in line and "limit" not in line, "nobody knows how long it ran"
    assert drawn(deploying(state="interrupted", summary=summary)).startswith("DEPLOY  ! interrupted  by ada")


def test_what_went_wrong_and_stopped_nothing_is_a_warning() -> None:
    text = drawn(deploying(summary={"steps": steps("after hook", "warning", "after_swap failed with exit code 1")}))
    assert "! after hook  warning" in text and "failed with exit code 1" in text


@pytest.mark.parametrize(("height", "whole"), [(21, ("backup", "smoke")), (17, ("smoke",)), (15, ())])
def test_a_reason_goes_on_below_itself_where_there_is_room(height: int, whole: tuple[str, ...]) -> None:
    snapshot = deploy_failed()
    pane = Pane(DEPLOY, Look(UNICODE, {}))
    pane.show(snapshot)
    rows = [plain(line) for line in pane.picture(80, height + 2)][1:-1]
    assert len(rows) == height and all(width_of(((row, ""),)) == 80 for row in rows)
    text = " ".join(" ".join(row.strip("│ ") for row in rows).split())
    assert ("restored once" in text) == ("backup" in whole), text
    assert (text.count("the service answers unhealthy, no decoder") == 2) == ("smoke" in whole), text
    assert "· finish waits" in text
    starts = {row.index(part) for row in rows for part in ("library.json.bak", "1.2 MB", "14 checks") if part in row}
    assert len(starts) == 1, "what goes on stands below its start"


def test_a_step_says_more_than_when_where_there_is_little_room() -> None:
    step = next(step for step in DEPLOY.items(deploying()) if step.name == "settle")
    assert plain(DEPLOY.line(step, 76, UNICODE, deploying())).startswith("12:0")
    assert plain(DEPLOY.line(step, 48, UNICODE, deploying())).startswith("✓ settle")


def test_jobs_use_the_room_that_they_have() -> None:
    rolled = deploy_job(id=15, kind="rollback", state="done", reason="from the console", finished_at=NOW)
    snapshot = running(store=store(jobs=(rolled, deploy_job(reason="from the console, because cards look wrong"))))
    first, second = (plain(JOBS.line(each, 76, UNICODE, snapshot)) for each in snapshot.jobs)
    assert "✓ rollback  done" in first and "from the console" in first
    assert second[first.index("from the") :].startswith("from the console, b") and width_of(((second, ""),)) == 76
