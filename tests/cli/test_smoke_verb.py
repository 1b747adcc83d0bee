from __future__ import annotations

from pathlib import Path

import pytest
from running_verbs import Mobius, tree

from mobius_tui.cli.verbs.smoke import refuse_failed
from mobius_tui.errors import EnvironmentFailed, ProcessingFailed
from mobius_tui.operations.smoke import Check, SmokeReport


def test_without_a_worker_it_is_unreachable(mobius: Mobius, ws: Path) -> None:
    before = tree(ws)
    answer = mobius("smoke", "--quick", "--workspace", ws)
    assert answer.code == 3 and "`mobius worker start`, then run it again" in " ".join(answer.err.split())
    assert "total 3, passed 2, failed 1, success rate 67 %" in answer.out
    assert "FAILED  health" in answer.out and "passed  sample dHash" in answer.out
    assert tree(ws) == before, "a quick one writes nothing at all"


def test_json_is_the_only_data(mobius: Mobius, ws: Path) -> None:
    answer = mobius("smoke", "--json", "--workspace", ws)
    assert answer.code == 3
    assert {"total", "passed", "failed", "success_rate", "checks", "reachable"} == answer.json.keys()
    assert (answer.json["total"], answer.json["failed"]) == (8, 3), "health and both metrics"
    assert all({"name", "ok", "sentence", "seconds"} == check.keys() for check in answer.json["checks"])


def test_with_a_worker_all_pass_and_status_shows_the_address(mobius: Mobius, ws: Path) -> None:
    assert mobius("worker", "start", "--workspace", ws).code == 0
    try:
        from mobius_tui.launch.health import wait_healthy
        from mobius_tui.workspace import open_workspace

        opened = open_workspace(ws, {}, {}, "tester")
        assert wait_healthy(opened, 60.0).answers
        answer = mobius("smoke", "--workspace", ws)
        assert answer.code == 0, answer.out + answer.err
        assert "total 8, passed 8, failed 0, success rate 100 %" in answer.out
        told = mobius("worker", "status", "--json", "--workspace", ws).json
        assert told["address"].startswith("http://127.0.0.1:") and told["no_address"] is None
        assert told["address"] in mobius("worker", "status", "--workspace", ws).out
        assert mobius("status", "--json", "--workspace", ws).json["address"]["url"] == told["address"]
        assert "http://" in mobius("status", "--workspace", ws).out
        findings = mobius("doctor", "--json", "--workspace", ws).json["findings"]
        assert [finding["state"] for finding in findings if finding["topic"] == "http"] == ["ok"]
    finally:
        mobius("worker", "stop", "--workspace", ws)
    assert not (ws / ".mobius" / "worker.address").exists()
    assert mobius("status", "--json", "--workspace", ws).json["address"] is None


def checks(**ok: bool) -> tuple[Check, ...]:
    return tuple(Check(name, passed, "", 0.0) for name, passed in ok.items())


def test_exit_codes() -> None:
    refuse_failed(SmokeReport(checks(health=True, other=True), reachable=True))
    with pytest.raises(EnvironmentFailed, match="another port, then run it again"):
        refuse_failed(SmokeReport(checks(health=False, other=True), reachable=False, fix="another port"))
    with pytest.raises(ProcessingFailed):
        refuse_failed(SmokeReport(checks(health=False, other=True), reachable=True))
    with pytest.raises(ProcessingFailed):
        refuse_failed(SmokeReport(checks(health=False, other=False), reachable=False))
