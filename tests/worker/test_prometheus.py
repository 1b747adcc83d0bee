"""The Prometheus text, judged by promtool; rules and dashboard against it."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from metrics_texts import dashboard_expressions, rule_expressions, samples, unknown_selectors, value
from worker_process import make_workspace

from mobius_tui.guard.model import RULES as WATCH_RULES
from mobius_tui.monitoring import DASHBOARD, RULES, path_of
from mobius_tui.store.alerts import AlertRow, write_alert
from mobius_tui.store.database import open_database
from mobius_tui.store.metrics import keep_batch
from mobius_tui.store.watches import TickRow, WatchRow, write_tick, write_watch
from mobius_tui.system import clock
from mobius_tui.worker import health
from mobius_tui.worker.alerting import AUDIENCE, NAMES, Figures, look_at
from mobius_tui.worker.health import HealthChecks
from mobius_tui.worker.metrics import Metrics
from mobius_tui.worker.prometheus import CHECKS, HEALTH, JOB_KINDS, SEVERITIES
from mobius_tui.worker.requests import CLASSES, ENDPOINTS, OTHER, RequestCounts
from mobius_tui.workspace import Workspace

TESTS = Path(__file__).with_name("mobius-alerts-test.yml")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)"
)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    made = make_workspace(tmp_path / "ws", 0)
    open_database(made.database).close()
    return made


def text_of(ws: Workspace, requests: RequestCounts | None = None) -> str:
    return Metrics(ws, requests or RequestCounts(), HealthChecks(ws, "w")).text()


def promtool(*arguments: str, text: str | None = None) -> tuple[int, str]:
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def keep_work(ws: Workspace) -> None:
    """A watch with a failing rule, a raised alert, images with durations on and between the limits."""
    connection = open_database(ws.database)
    now = clock.now()
    keep_batch(connection, "r", [4.0, 50.0, 100.0, 200.0, 31_000.0], failed=2, low=1, size=1234)
    write_watch(
        connection,
        WatchRow(
            "watch-1", "deploy-1", "running", "", "ann", "", True, {"interval_s": 60.0}, now - 600, now + 3000, None, ""
        ),
    )
    rules = [{"rule": "health", "verdict": "fail"}, {"rule": "p95", "verdict": "no data"}]
    write_tick(connection, "watch-1", TickRow(9, now - 30, 570.0, "fail", {}, rules))
    write_alert(connection, AlertRow("failures", "critical", "qa", True, 0.4, 0.05, "2 of 5", now))
    connection.close()


@needs_promtool
@pytest.mark.parametrize("worked", [False, True])
def test_promtool_has_no_remark(ws: Workspace, worked: bool) -> None:
    if worked:
        keep_work(ws)
    text = text_of(ws)
    assert promtool("check", "metrics", text=text) == (0, "")
    broken = text.replace("mobius_processes", "mobius_process_count")  # promtool can tell
    assert promtool("check", "metrics", text=broken)[0] == 3


@needs_promtool
def test_promtool_has_no_remark_without_a_database(tmp_path: Path) -> None:
    text = text_of(make_workspace(tmp_path / "bare", 0))
    assert promtool("check", "metrics", text=text) == (0, "")
    assert value(text, "database_readable") == 0


def test_every_label_set_is_there_from_the_start(ws: Workspace) -> None:
    before = set(samples(text_of(ws)))
    keep_work(ws)
    requests = RequestCounts()
    requests.count("/health", 200, 0.1)
    requests.count("/anything", 404, 0.1)
    assert set(samples(text_of(ws, requests))) == before
    labels = {name: {dict(keys).get(label) for found, keys in before if found == name} for name, label in LABELS}
    assert labels["mobius_http_requests_total"] == {*ENDPOINTS, OTHER}
    assert labels["mobius_health_status"] == set(HEALTH)
    assert labels["mobius_health_check_ok"] == set(CHECKS)
    assert labels["mobius_watch_rule_failing"] == set(WATCH_RULES)
    assert labels["mobius_jobs"] == {*JOB_KINDS, OTHER}
    assert labels["mobius_alert_raised"] == set(NAMES)
    assert len([1 for name, _ in before if name == "mobius_http_requests_total"]) == (len(ENDPOINTS) + 1) * len(CLASSES)


LABELS = [
    ("mobius_http_requests_total", "endpoint"),
    ("mobius_health_status", "status"),
    ("mobius_health_check_ok", "check"),
    ("mobius_watch_rule_failing", "rule"),
    ("mobius_jobs", "kind"),
    ("mobius_alert_raised", "alert"),
]


def test_the_checks_are_those_that_health_makes(ws: Workspace) -> None:
    assert set(HealthChecks(ws, "w").examine()) == set(CHECKS)


def test_the_severities_are_those_that_the_alerts_have() -> None:
    figures = Figures(images=100, failed=50, average_ms=1e4, p95_ms=1e4, queue=10**4, health="unhealthy")
    for name, look in look_at(figures).items():
        assert look.severity in SEVERITIES[name]
    assert set(SEVERITIES) == set(AUDIENCE)


def test_names_have_the_prefix_and_base_units(ws: Workspace) -> None:
    keep_work(ws)
    for name, labels in samples(text_of(ws)):
        assert name.startswith("mobius_")
        assert not re.search(r"_(ms|milliseconds|minutes|hours|mb|percent)(_|$)", name), name
        for _, held in labels:
            assert str(ws.root) not in held and "watch-1" not in held and held != "ann"


def test_no_row_of_the_database_makes_a_label(ws: Workspace) -> None:
    before = set(samples(text_of(ws)))
    connection = open_database(ws.database)
    bad = 'x"} 1\nevil{a="b'
    connection.execute(
        "INSERT INTO jobs(kind, state, options, run_id, requested_by, requested_at) VALUES(?, ?, '{}', ?, 'ann', 1)",
        (bad, bad, bad),
    )
    connection.execute("INSERT INTO pairs VALUES('1', x'00', x'01', 'a', 'b', 3, 0.5, ?, '[]', 1, 'r')", (bad,))
    write_alert(connection, AlertRow(bad, bad, bad, True, None, None, bad, 1.0))
    now = clock.now()
    write_watch(connection, WatchRow("w", "", bad, bad, bad, "", True, {"interval_s": bad}, now, now, None, ""))
    write_tick(connection, "w", TickRow(1, now, 1.0, bad, {}, [{"rule": bad, "verdict": bad}]))
    connection.close()
    text = text_of(ws)
    assert set(samples(text)) == before
    assert "evil" not in text


def test_values_are_what_was_done(ws: Workspace) -> None:
    keep_work(ws)
    text = text_of(ws)
    assert value(text, "images_processed_total") == 5
    assert value(text, "images_failed_total") == 2
    assert value(text, "images_low_confidence_total") == 1
    assert value(text, "image_bytes_total") == 1234
    buckets = {
        bound: value(text, "hash_time_seconds_bucket", le=bound) for bound in ("0.05", "0.1", "0.2", "30", "+Inf")
    }
    assert buckets == {"0.05": 2, "0.1": 3, "0.2": 4, "30": 4, "+Inf": 5}
    assert value(text, "hash_time_seconds_sum") == pytest.approx(31.354)
    assert value(text, "hash_time_p95_seconds") == 31.0
    assert value(text, "extraction_failures_ratio") == 0.4
    assert value(text, "watch_active") == 1
    assert 2900 < value(text, "watch_remaining_seconds") <= 3000
    assert value(text, "watch_rule_failing", rule="health") == 1
    assert value(text, "watch_rule_failing", rule="p95") == 0
    assert value(text, "watch_rule_blind", rule="p95") == 1
    assert value(text, "watch_state", state="running") == 1
    assert value(text, "alert_raised", alert="failures", severity="critical", audience="qa") == 1
    assert value(text, "alert_raised", alert="queue", severity="info", audience="qa") == 0


def test_what_was_not_measured_is_no_number_and_never_zero(ws: Workspace) -> None:
    text = text_of(ws)
    for name in ("hash_time_average_seconds", "hash_time_p95_seconds", "extraction_failures_ratio", "duplicate_ratio"):
        assert math.isnan(value(text, name)), name
    for name in ("last_migration_timestamp_seconds", "last_backup_age_seconds", "watch_interval_seconds"):
        assert math.isnan(value(text, name)), name


def test_backups_that_cannot_be_looked_at_are_not_none(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> list[object]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(health, "list_backups", refuse)
    text = text_of(ws)
    assert math.isnan(value(text, "backups", state="verified"))
    assert value(text, "health_check_ok", check="backup") == 0


def test_without_a_database_nothing_that_comes_from_it_is_zero(tmp_path: Path) -> None:
    text = text_of(make_workspace(tmp_path / "none", 0))
    assert value(text, "database_readable") == 0
    for name, label, each in (
        ("watch_state", "state", "running"), ("watch_outcome", "outcome", "rolled back"),
        ("watch_rule_failing", "rule", "p95"), ("watch_rule_blind", "rule", "p95"),
    ):  # fmt: skip
        assert math.isnan(value(text, name, **{label: each})), name


def test_every_expression_of_rules_and_dashboard_names_samples_of_a_fresh_worker(ws: Workspace) -> None:
    text = text_of(ws)
    assert len(rule_expressions()) >= 12 and len(dashboard_expressions()) >= 30
    for expression in [*rule_expressions(), *dashboard_expressions()]:
        assert unknown_selectors(expression, text) == [], expression
    assert unknown_selectors("mobius_queue > 1", text) and unknown_selectors('mobius_backups{state="bad"}', text)


def test_every_limit_of_the_contract_has_a_rule() -> None:
    whole = "\n".join(rule_expressions())
    for part in ("average_seconds > 0.1", "p95_seconds > 0.2", "ratio > 0.05", "queue_length > 100", "7 * 86400"):
        assert part in whole


def test_every_rule_names_severity_audience_summary_and_description() -> None:
    rules = path_of(RULES).read_text().split("- alert: ")[1:]
    for rule in rules:
        severity = re.search(r"labels: \{severity: (\w+), audience: (\w+)\}", rule)
        assert severity and severity[1] in {"info", "warning", "critical"}, rule
        assert severity[2] in {"devops", "qa", "sre", "performance", "infrastructure"}, rule
        assert "summary: " in rule and "description: " in rule, rule


@needs_promtool
def test_promtool_accepts_the_rules_and_each_is_tested_at_its_limit_and_beyond() -> None:
    status, said = promtool("check", "rules", str(path_of(RULES)))
    assert status == 0 and "SUCCESS" in said, said
    status, said = promtool("test", "rules", str(TESTS))
    assert status == 0, said
    for name in re.findall(r"- alert: (\w+)", path_of(RULES).read_text()):
        cases = re.findall(rf'alertname="{name}".*\n.*\n        exp_samples:(.*)', TESTS.read_text())
        assert " []" in cases and "" in cases, f"{name} is not shown silent and firing"


@needs_promtool
def test_promtool_tells_a_rule_with_another_limit(tmp_path: Path) -> None:
    rules = tmp_path / "mobius_tui/monitoring/mobius-alerts.yml"
    tests = tmp_path / "tests/worker/mobius-alerts-test.yml"
    for path in (rules, tests):
        path.parent.mkdir(parents=True)
    tests.write_text(TESTS.read_text())
    rules.write_text(path_of(RULES).read_text().replace("ratio > 0.05", "ratio >= 0.05"))
    assert promtool("test", "rules", str(tests))[0] != 0


@needs_promtool
def test_promtool_can_read_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    groups = ["groups:", "- name: dashboard", "  rules:"]
    for number, expression in enumerate(dashboard_expressions()):
        if expression.startswith("label_values("):
            continue
        plain = expression.replace("$__rate_interval", "1m").replace("$job", "mobius").replace("$instance", ".*")
        groups += [f"  - record: dashboard:{number}", f"    expr: {json.dumps(plain)}"]
    rules = tmp_path / "dashboard.yml"
    rules.write_text("\n".join(groups))
    status, said = promtool("check", "rules", str(rules))
    assert status == 0, said


def test_the_dashboard_can_be_imported_anywhere() -> None:
    dashboard = json.loads(path_of(DASHBOARD).read_text())
    assert dashboard["uid"] == "mobius-operations" and "id" not in dashboard
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "job", "instance"]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}
    assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {"${datasource}"}
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        assert panel["fieldConfig"]["defaults"]["unit"] and panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        cells = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert grid["x"] + grid["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_the_documentation_names_every_metric_and_alert(ws: Workspace) -> None:
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    told = set(re.findall(r"`(mobius_[a-z0-9_]+)`", page))
    families = re.findall(r"^# TYPE (\w+) \w+$", text_of(ws), re.MULTILINE)
    assert told == set(families)
    alerts = re.findall(r"- alert: (\w+)", path_of(RULES).read_text())
    assert set(re.findall(r"`(Mobius\w+)`", page)) == set(alerts)
