"""The worker's alerts: kept, told once each through restarts and crashes, in /health, and also without a database."""

import json
import sqlite3
import sys
import urllib.error
import urllib.request
from contextlib import closing

import pytest
from receivers import Receiver
from worker_process import events, make_workspace, query, until, value

from mobius_tui.launch.health import ask_health, worker_address
from mobius_tui.logs import JsonLog
from mobius_tui.notifications.items import list_items
from mobius_tui.notifications.outbox import outbox_state, wait_sent
from mobius_tui.operations.options import default_options
from mobius_tui.store.alerts import AlertRow, acknowledge_alert, list_alerts, write_alert
from mobius_tui.store.database import open_database, writing
from mobius_tui.store.jobs import add_job
from mobius_tui.store.metrics import keep_batch, keep_sample, read_figures
from mobius_tui.store.watches import TickRow, WatchRow, write_tick, write_watch
from mobius_tui.system import clock
from mobius_tui.worker import alerts as module
from mobius_tui.worker.alerting import Figures
from mobius_tui.worker.alerts import Alerts
from mobius_tui.worker.triggers import read_triggers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs and rights of Unix")

GOOD = Figures(images=100, failed=0, average_ms=10.0, p95_ms=20.0, queue=0, health="healthy")
BAD = Figures(images=100, failed=50, average_ms=10.0, p95_ms=20.0, queue=0, health="healthy")
WAIT_S = 60.0


@pytest.fixture
def receiver():
    started = []

    def start(answer=204):
        started.append(Receiver(answer))
        return started[-1]

    yield start
    for each in started:
        each.close()
    assert wait_sent(WAIT_S)


@pytest.fixture
def noted(tmp_path, receiver):
    """A workspace whose notifications arrive at a receiver, and its alerts: ``noted(now) -> ws, web, judge``."""
    web = receiver()
    ws = make_workspace(tmp_path / "ws", 0, f'[notify.default]\nurl = "{web.url}"')
    open_database(ws.database).close()
    times = [clock.now()]

    def worker():
        shown = []
        alerts = Alerts(ws, lambda: shown[-1], JsonLog(ws.logs / "service.log"), now=lambda: times[-1])

        def judge(figures, minutes=1):
            for _ in range(minutes):
                times.append(times[-1] + 60)
                shown.append(figures)
                alerts.judge_now()
            assert wait_sent(WAIT_S)
            return alerts

        return judge

    return ws, web, worker


def kinds(web):
    return [(body["kind"], body["verdict"]["alert"], body["severity"]) for body in web.got]


def rows(ws):
    with closing(open_database(ws.database)) as connection:
        return {row.name: row for row in list_alerts(connection)}


def test_raised_and_cleared_once_each_in_row_event_log_and_notification(noted):
    ws, web, worker = noted
    judge = worker()
    judge(GOOD)
    alerts = judge(BAD, 3)
    assert kinds(web) == [("alert", "failures", "critical")]
    assert web.got[0]["audience"] == "qa"
    assert web.got[0]["verdict"]["value"] == 0.5
    assert "50 of 100 images failed" in web.got[0]["sentence"]
    assert [row.name for row in alerts.raised()] == ["failures"]
    assert rows(ws)["failures"].raised
    judge(GOOD, 5)
    assert kinds(web) == [("alert", "failures", "critical"), ("clear", "failures", "critical")]
    assert alerts.raised() == []
    row = rows(ws)["failures"]
    assert not row.raised
    assert row.cleared_at is not None
    told = [text for text in events(ws) if "failures" in text]
    assert [text.split()[0] for text in told] == ["alert", "clear"]
    assert value(ws, "SELECT count(*) FROM events WHERE component = 'alert'") == 2
    log = (ws.logs / "service.log").read_text()
    assert log.count("failures raised (critical)") == 1
    assert log.count("failures cleared (critical)") == 1


def test_a_restart_sends_nothing_again_and_clears_what_was_raised_before(noted):
    ws, web, worker = noted
    worker()(BAD)
    again = worker()
    alerts = again(BAD, 2)
    assert kinds(web) == [("alert", "failures", "critical")]
    assert [row.since for row in alerts.raised()] == [rows(ws)["failures"].since]
    worker()(GOOD, 4)
    assert kinds(web)[1:] == [("clear", "failures", "critical")]
    worker()(GOOD, 4)
    assert len(web.got) == 2


def test_killed_between_keeping_and_telling_it_is_told_at_the_next_start(noted, monkeypatch):
    ws, web, worker = noted

    def killed(*_):
        raise SystemExit

    monkeypatch.setattr(module, "notify", killed)
    with pytest.raises(SystemExit):
        worker()(BAD)
    assert rows(ws)["failures"].raised
    assert web.got == []
    monkeypatch.undo()
    worker()(BAD, 3)
    assert kinds(web) == [("alert", "failures", "critical")]


def test_health_is_told_without_a_database_and_kept_when_that_is_back(noted, monkeypatch):
    ws, web, worker = noted
    judge = worker()
    judge(GOOD)

    def locked(*_, **__):
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as broken:
        broken.setattr(module, "open_database", locked)
        alerts = judge(Figures(health="unhealthy", wrong="the database cannot be used"), 2)
        assert [row.name for row in alerts.raised()] == ["health"]
        assert rows(ws) == {}
    assert kinds(web) == [("alert", "health", "critical")]
    judge(Figures(health="unhealthy", wrong="the database cannot be used"))
    assert rows(ws)["health"].severity == "critical"
    assert len([text for text in events(ws) if text.startswith("alert health")]) == 1
    assert len(web.got) == 1


def test_an_acknowledgement_stays_while_the_alert_goes_on(noted):
    ws, _, worker = noted
    judge = worker()
    judge(BAD)
    with closing(open_database(ws.database)) as connection:
        assert acknowledge_alert(connection, "failures", "ann", 5.0)
    judge(Figures(images=100, failed=60, average_ms=1.0, p95_ms=1.0, queue=0, health="healthy"), 2)
    row = rows(ws)["failures"]
    assert row.acknowledged_by == "ann"
    assert "60 of 100" in row.sentence
    judge(GOOD, 4)
    judge(BAD)
    assert rows(ws)["failures"].acknowledged_by == ""  # raised anew, nobody has seen that


def test_a_clear_marks_the_repeated_notification_as_over(noted):
    ws, _, worker = noted
    judge = worker()
    judge(BAD)
    judge(GOOD, 4)
    (item,) = outbox_state(ws).unacknowledged
    assert item.subject == "failures"
    assert item.over_at is not None
    judge(BAD)
    (item,) = outbox_state(ws).unacknowledged  # the newer one has taken its place
    assert item.over_at is None
    assert len([item for item in list_items(ws) if item.subject == "failures"]) == 3


def test_trouble_ends_nothing(noted):
    ws, _, _ = noted

    def broken():
        raise RuntimeError("no figures")

    alerts = Alerts(ws, broken, JsonLog(ws.logs / "service.log"))
    alerts.step()
    until(lambda: (ws.logs / "service.log").exists() and "no figures" in (ws.logs / "service.log").read_text(), "log")
    alerts.step()


def failing(ws, at=None):
    with closing(open_database(ws.database)) as connection:
        keep_batch(connection, "api", [10.0] * 50, failed=20, low=0, size=1, at=at)


def answer_of(ws):
    address = worker_address(ws)
    try:
        with urllib.request.urlopen(f"{address.url}/health", timeout=30) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return json.loads(error.read())


def test_a_real_worker_tells_once_through_a_kill_and_shows_it_in_health(tmp_path, receiver, start_worker):
    web = receiver()
    ws = make_workspace(tmp_path / "ws", 2, f'[notify.qa]\nurl = "{web.url}"')
    failing(ws)
    worker = start_worker(ws)
    until(lambda: web.got, "the alert arrives")
    assert kinds(web) == [("alert", "failures", "critical")]
    until(lambda: ask_health(ws).answers, "the worker answers")
    until(lambda: answer_of(ws)["alerts"], "the alert is in /health")
    (shown,) = answer_of(ws)["alerts"]
    assert (shown["name"], shown["severity"]) == ("failures", "critical")
    assert set(shown) == {"name", "severity", "since", "sentence"}
    worker.kill()
    started = value(ws, "SELECT count(*) FROM events WHERE event = 'worker_started'")
    second = start_worker(ws)
    until(
        lambda: (
            value(ws, "SELECT count(*) FROM events WHERE event = 'worker_started'") > started
            and worker_address(ws) is not None
            and worker_address(ws).url
            and answer_of(ws)["alerts"]
        ),
        "the second worker has judged",
    )
    assert kinds(web) == [("alert", "failures", "critical")]
    assert value(ws, "SELECT count(*) FROM events WHERE event = 'alert'") == 1
    assert second.stop() == 0


def test_triggers_without_a_watch_are_the_fixed_limits_with_the_latest_figures(tmp_path):
    ws = make_workspace(tmp_path / "ws", 0)
    assert [each["rule"] for each in read_triggers(ws.database, 1.0)] == [
        "health", "failures", "p95", "queue", "catalogue",
    ]  # fmt: skip
    now = clock.now()
    failing(ws, now - 1)
    with closing(open_database(ws.database)) as connection:
        keep_sample(connection, read_figures(connection, now), 30, 5, 5, now)
    found = {each["rule"]: each for each in read_triggers(ws.database, now)}
    assert {each["verdict"] for each in found.values()} == {None}
    assert (found["failures"]["limit"], found["failures"]["value"]) == (0.10, 0.4)
    assert (found["p95"]["limit"], found["p95"]["value"]) == (30_000.0, 10.0)
    assert (found["queue"]["limit"], found["queue"]["value"]) == (130, 30.0)
    assert (found["health"]["limit"], found["catalogue"]["limit"]) == (3, 2)
    assert read_triggers(tmp_path / "none.db", now)[1]["value"] is None


def test_triggers_of_a_watch_are_its_rules(tmp_path):
    ws = make_workspace(tmp_path / "ws", 0)
    watch = WatchRow("watch-1", "", "running", "", "ann", "", True, {}, 1.0, 3601.0, None, "t")
    rule = {"rule": "p95", "verdict": "fail", "value": 31_000.0, "limit": 30_000.0, "baseline": None, "samples": 80,
            "sentence": "too slow", "trend": [1.0] * 60}  # fmt: skip
    with closing(open_database(ws.database)) as connection, writing(connection):
        write_watch(connection, watch)
        write_tick(connection, "watch-1", TickRow(1, 2.0, 1.0, "fail", {}, [rule]))
    (found,) = read_triggers(ws.database, 3.0)
    assert found == {**{key: value for key, value in rule.items() if key != "trend"}, "run": "watch-1"}


def test_health_never_fails_for_a_missing_or_broken_database(tmp_path):
    from mobius_tui.worker.health import HealthChecks

    ws = make_workspace(tmp_path / "ws", 0)
    row = AlertRow("queue", "info", "qa", True, 101.0, 100.0, "long", 5.0)
    checks = HealthChecks(ws, "t", alerts=lambda: [row])
    for content in (None, b"no database at all" * 1000, b""):
        if content is not None:
            ws.database.write_bytes(content)
        body = checks.body(checks.examine())
        assert len(body["rollback_triggers"]) == 5
        assert body["alerts"] == [
            {"name": "queue", "severity": "info", "since": "1970-01-01T00:00:05Z", "sentence": "long"}
        ]


def test_rows_of_other_versions_are_left_alone(noted):
    ws, web, worker = noted
    with closing(open_database(ws.database)) as connection:
        write_alert(connection, AlertRow("odd", "purple", "nobody", True, None, None, "s", 1.0))
    alerts = worker()(GOOD)
    assert alerts.raised() == []
    assert query(ws, "SELECT raised FROM alerts WHERE name = 'odd'") == [(1,)]
    assert web.got == []


def test_a_failed_job_of_the_worker_is_told_once(tmp_path, receiver, start_worker):
    web = receiver()
    ws = make_workspace(tmp_path / "ws", 3, f'[notify.devops]\nurl = "{web.url}"')
    ws.catalogue.write_text("[]")
    with closing(open_database(ws.database)) as connection:
        job = add_job(connection, "migrate", default_options(ws).to_json(), "ann")
    start_worker(ws)

    def failed():  # beside `health` for sre, which is critical and has no route of its own
        return [body for body in web.got if body["kind"] == "failed verb"]

    until(failed, "the failure is told")
    (body,) = failed()
    assert (body["audience"], body["run"]) == ("devops", job.run_id)
    assert body["verdict"]["exit_code"] == 1
    assert body["sentence"]
