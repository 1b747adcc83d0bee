"""`mobius health`: exit codes, what is shown at any width, hostile answers."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_verbs import Mobius, tree
from worker_process import until

from mobius_tui.cli.layout import columns_of
from mobius_tui.cli.verbs.health import MENDS, health_lines
from mobius_tui.text import visible

WELL = {"ok": True, "sentence": "the library is readable", "value": None}
BODY: dict[str, Any] = {
    "timestamp": "2026-11-20T12:00:00Z", "status": "healthy", "version": "0.1.0", "uptime": 4000.5,
    "system": {"platform": "Linux", "release": "6", "python": "3.11", "cores": 2}, "environment": "production",
    "checks": {"library": WELL}, "alerts": [], "rollback_triggers": [], "warnings": [],
}  # fmt: skip


def trigger(rule: str, **given: Any) -> dict[str, Any]:
    return {"rule": rule, "value": None, "limit": None, "baseline": None, "verdict": None, "run": None,
            "sentence": "no watch is on", **given}  # fmt: skip


@pytest.fixture
def service() -> Iterator[Any]:
    """A service whose one answer is set by hand: ``service.say(code, body)``; ``service.url``."""

    class Service:
        code, data = 200, b""

        def say(self, code: int, body: object) -> None:
            self.code, self.data = code, json.dumps(body).encode()

    told = Service()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(told.code)
            self.end_headers()
            self.wfile.write(told.data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"  # type: ignore[attr-defined]
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("code", "status", "exits"), [(200, "healthy", 0), (200, "degraded", 0), (503, "unhealthy", 2), (503, "healthy", 3)]
)
def test_exit_codes(mobius: Mobius, service: Any, code: int, status: str, exits: int) -> None:
    service.say(code, {**BODY, "status": status})
    answer = mobius("health", "--base-url", service.url)
    assert answer.code == exits
    assert (status in answer.out) == (exits != 3)


def test_nobody_answers(mobius: Mobius, ws: Path) -> None:
    before = tree(ws)
    answer = mobius("health", "--workspace", ws)
    assert answer.code == 3 and answer.out == "" and "`mobius worker start`" in answer.err
    told = mobius("health", "--workspace", ws, "--json")
    assert told.code == 3 and told.json["status"] == "unreachable"
    assert mobius("health", "--base-url", "http://127.0.0.1:1").code == 3
    assert mobius("health", "--base-url", "127.0.0.1").code == 1
    assert tree(ws) == before, "it writes nothing"


def test_json_is_the_body(mobius: Mobius, service: Any) -> None:
    body = {**BODY, "status": "unhealthy", "new in a later version": [1, {"a": None}]}
    service.say(503, body)
    answer = mobius("health", "--json", "--base-url", service.url)
    assert (answer.code, answer.json) == (2, body)


def test_what_is_wrong_comes_with_what_mends_it(mobius: Mobius, service: Any) -> None:
    checks = {name: {"ok": False, "sentence": f"{name} is broken"} for name in MENDS}
    checks["library"] = {"ok": None, "sentence": "it is being read"}
    service.say(503, {**BODY, "status": "unhealthy", "checks": checks, "warnings": ["disk is broken", "a note"]})
    answer = mobius("health", "--base-url", service.url)
    assert "BAD  disk       disk is broken\n                -> mobius backup clean" in answer.out
    assert "?    library    it is being read\n" in answer.out
    assert answer.out.count("disk is broken") == 1, "a warning that a check has said is not said again"
    assert "warnings\n  a note" in answer.out
    assert "mobius check" in answer.err, "what mends the first of them"


def test_triggers_and_alerts(mobius: Mobius, service: Any) -> None:
    alerts = [{"name": "p95", "severity": "warning", "sentence": "p95 is 250 ms", "since": "2026-11-20T11:00:00Z"}]
    rules = [trigger("failures", value=0.01634, limit=0.1), trigger("p95", value=39.5, limit=30000.0), trigger("queue")]
    service.say(200, {**BODY, "alerts": alerts, "rollback_triggers": rules})
    out = mobius("health", "--base-url", service.url).out
    assert "warning p95: p95 is 250 ms (since 2026-11-20T11:00:00Z)" in " ".join(out.split())
    assert out.count("no watch is on") == 1 and "1.6 %" in out and "30,000 ms" in out
    rules[0] |= {"run": "watch-1", "verdict": "fail", "sentence": "12 % of 200 failed", "baseline": 0.01}
    rules[1] |= {"run": "watch-1", "verdict": "pass", "sentence": "unseen"}
    rules[2] |= {"run": "watch-1", "verdict": "no data", "sentence": "nobody told"}
    service.say(200, {**BODY, "rollback_triggers": rules})
    out = mobius("health", "--base-url", service.url).out
    assert "12 % of 200 failed" in out and "no watch is on" not in out and "unseen" not in out
    assert "nobody told" in out and "1.0 %" in out


def test_a_real_worker(mobius: Mobius, ws: Path) -> None:
    assert mobius("worker", "start", "--workspace", ws).code == 0
    try:
        until(lambda: mobius("health", "--workspace", ws).code == 0, "it answers")
        answer = mobius("health", "--workspace", ws)
        assert answer.out.startswith("status") and "ok   library" in answer.out
        assert mobius("health", "--json", "--workspace", ws).json["checks"].keys() <= MENDS.keys(), "each has its mend"
    finally:
        mobius("worker", "stop", "--workspace", ws)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "checks": st.dictionaries(st.text(max_size=12), st.fixed_dictionaries({"ok": anything, "sentence": anything}))
        | anything,
        "rollback_triggers": st.lists(st.fixed_dictionaries({"rule": anything, "value": anything, "run": anything}))
        | anything,
        **dict.fromkeys(("status", "uptime", "system", "alerts", "warnings", "version", "timestamp"), anything),
    },
)


@given(bodies, st.sampled_from([60, 80, 160]))
def test_whatever_answers_it_is_shown_within_the_width(body: dict[str, Any], width: int) -> None:
    for line, _ in health_lines(body, width):
        assert visible(line) == line and columns_of(line) <= width
