"""How far a job is, in the words of `mobius status` and `mobius jobs`."""

from __future__ import annotations

import pytest

from mobius_tui.cli.verbs.status import job_sentence
from mobius_tui.store.jobs import Job

ROW = {
    "id": 3, "kind": "migrate", "state": "running", "wanted": "run", "wanted_by": "", "options": {}, "run_id": "r",
    "requested_by": "ada", "requested_at": 1.0, "reason": "", "started_at": 2.0, "finished_at": None, "owner": "",
    "phase": "hashing", "total": 360, "done": 90, "failed": 0, "missing": 0, "low": 0, "exact": 0, "waiting": 0,
    "decoded": 90, "rate": 12.4, "eta_s": 22.0, "exit_code": None, "error": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "running, hashing, 90/360 25%, 12/s, 22 s left, for ada"),
        ({"rate": 0.31}, "running, hashing, 90/360 25%, 0.3/s, 22 s left, for ada"),
        ({"rate": None, "eta_s": None}, "running, hashing, 90/360 25%, for ada"),
        ({"wanted": "pause", "wanted_by": "bert"}, "running, bert asked to pause, hashing"),
        ({"wanted": "cancel", "wanted_by": "bert"}, "running, bert asked to cancel, hashing"),
        ({"state": "paused", "wanted": "pause", "wanted_by": "bert"}, "paused by bert, hashing, 90/360 25%, for ada"),
        ({"state": "queued", "wanted_by": "bert", "phase": "", "total": None}, "queued, for ada"),
    ],
)
def test_state_who_share_rate_and_time_left(changes: dict[str, object], said: str) -> None:
    assert job_sentence(Job(**{**ROW, **changes})).startswith(said)  # type: ignore[arg-type]
