"""`mobius alerts`, and what unattended verbs tell when they fail."""

import json
import os
import subprocess
import sys
import time
from contextlib import closing

import pytest
from receivers import Receiver, script

from mobius_tui.cli import unattended
from mobius_tui.errors import Held
from mobius_tui.notifications.items import list_items
from mobius_tui.notifications.message import Notification
from mobius_tui.notifications.outbox import notify, wait_sent
from mobius_tui.store.alerts import AlertRow, list_alerts, write_alert
from mobius_tui.store.database import open_database, open_for_reading
from mobius_tui.store.jobs import add_job, finish_job
from mobius_tui.system import clock
from mobius_tui.workspace import open_workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs and rights of Unix")

WAIT_S = 60.0


@pytest.fixture
def web():
    started = Receiver()
    yield started
    started.close()
    assert wait_sent(WAIT_S)


@pytest.fixture
def routed(ws, web):
    (ws / "mobius.toml").write_text(f'[notify.default]\nurl = "{web.url}/T0K3N"\n')
    ws.chmod(0o755)
    return ws


def raised(ws, name="failures", severity="critical", sentence="50 of 100 failed\x1b[31m"):
    at = clock.now()
    with closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        write_alert(connection, AlertRow(name, severity, "qa", True, 0.5, 0.05, sentence, at))


def paged(ws, **given):
    facts = {"kind": "alert", "severity": "critical", "audience": "qa", "title": "images fail", "sentence": "s"}
    number = notify(open_workspace(ws, {}, {}, "tester"), Notification(**{**facts, **given}))
    assert wait_sent(WAIT_S)
    return number


def row(ws, name="failures"):
    with closing(open_for_reading(ws / ".mobius" / "mobius.db")) as connection:
        return next(each for each in list_alerts(connection) if each.name == name)


def test_list_without_anything(mobius, ws):
    answer = mobius("--workspace", ws, "alerts")
    assert answer.code == 0
    assert "no alert was ever raised here" in answer.err
    assert "nobody is notified" in answer.err
    assert mobius("--workspace", ws, "alerts", "--json").json["alerts"] == []


def test_list_shows_alerts_and_what_waits_for_a_person(mobius, routed):
    raised(routed)
    number = paged(routed, subject="failures")
    answer = mobius("--workspace", routed, "alerts")
    assert answer.code == 0
    for word in ("failures", "critical", "raised", "50 of 100 failed\\x1b[31m", number, "once", "images fail"):
        assert word in answer.out
    found = mobius("--workspace", routed, "alerts", "--json").json
    assert found["alerts"][0]["sentence"] == "50 of 100 failed\x1b[31m"
    assert found["unacknowledged"][0]["id"] == number
    assert found["outbox"]["repeating"] == 1


@pytest.mark.parametrize("how", ["failures", "id", "--all"])
def test_ack_by_name_id_or_all_ends_the_repeats_and_is_noted(mobius, routed, how):
    raised(routed)
    number = paged(routed, subject="failures")
    answer = mobius(
        "--workspace", routed, "--as", "ann", "alerts", "ack", number if how == "id" else how, "--reason", "on it"
    )
    assert answer.code == 0, answer.err
    assert "alert failures acknowledged" in answer.out
    assert f"notification {number} acknowledged" in answer.out
    assert row(routed).acknowledged_by == "ann"
    assert row(routed).raised
    (item,) = list_items(open_workspace(routed, {}, {}, "x"))
    assert (item.state, item.acknowledged_by) == ("acknowledged", "ann")
    history = mobius("--workspace", routed, "history").out
    assert f"acknowledge failures, {number}  by ann" in history
    assert "on it" in history
    again = mobius("--workspace", routed, "alerts", "ack", "--all")
    assert (again.code, again.out) == (0, "")


def test_ack_of_what_is_not_there_names_what_is(mobius, routed):
    raised(routed)
    answer = mobius("--workspace", routed, "alerts", "ack", "failure")
    assert answer.code == 1
    assert "there is failures to acknowledge" in answer.err
    assert mobius("--workspace", routed, "alerts", "ack").code == 1
    assert mobius("--workspace", routed, "alerts", "ack", "failures", "--all").code == 1


def test_test_says_what_came_of_it(mobius, routed, web):
    answer = mobius("--workspace", routed, "alerts", "test", "--audience", "sre")
    assert (answer.code, answer.out) == (0, f"sre: delivered ({web.url}/...)\n")
    assert [body["audience"] for body in web.got] == ["sre"]
    web.answer = 404
    answer = mobius("--workspace", routed, "alerts", "test", "--json")
    assert answer.code == 3
    assert {each["problem"] for each in answer.json} == {"answered 404"}
    assert "T0K3N" not in answer.out + answer.err


def test_test_without_a_route(mobius, ws):
    assert mobius("--workspace", ws, "alerts", "test").code == 1
    (ws / "mobius.toml").write_text('[notify.qa]\ncommand = "true"\n')
    answer = mobius("--workspace", ws, "alerts", "test", "--audience", "sre")
    assert answer.code == 1
    assert "no route leads to sre" in answer.err


def test_config_shows_routes_without_secrets(mobius, routed, web):
    answer = mobius("--workspace", routed, "config")
    assert "notify.sre" in answer.out
    assert "T0K3N" not in answer.out
    found = mobius("--workspace", routed, "config", "--json").json["notify"]["sre"]
    assert (found["url"], found["at_least"], found["repeat_minutes"]) == (f"{web.url}/...", "info", 15.0)


def unattended_run(ws, *arguments, **how):
    return subprocess.run(
        [sys.executable, "-m", "mobius_tui", "--workspace", str(ws), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "MOBIUS_PORT": "0"}, **how,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "audience"),
    [
        (("migrate", "--no-such-option"), 1, "devops"),
        (("backup", "verify", "library.json.bak.20200101T000000Z"), None, None),
        (("deploy",), 1, "devops"),  # nobody can be asked
        (("migrate",), 2, "qa"),  # two of the five images fail
        (("migrate", "--timeout", "0.001"), 4, "performance"),
    ],
)
def test_a_failed_unattended_verb_tells_its_audience_once(ws, web, arguments, code, audience):
    (ws / "mobius.toml").write_text(f'max_failure_rate = 0.0\n[notify.default]\nurl = "{web.url}"\n')
    for number in range(6):
        (ws / "library" / f"bad{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([number]))
    done = unattended_run(ws, *arguments)
    assert done.returncode == (code or done.returncode) != 0, done.stderr
    (body,) = web.got
    assert (body["kind"], body["severity"]) == ("failed verb", "warning")
    assert body["audience"] == audience or code is None
    assert body["verdict"]["exit_code"] == done.returncode
    assert (
        body["verdict"]["verb"] == " ".join(word for word in arguments[:2] if word in {"backup", "verify"})
        or arguments[0]
    )
    assert body["verdict"]["error"]


def test_a_failed_rollback_is_critical_and_works_with_nothing_but_the_standard_library(ws, web):
    (ws / "mobius.toml").write_text(f'[notify.default]\nurl = "{web.url}"\nno_such_key = 1\n')
    done = unattended_run(ws, "rollback", "--force", "--backup", "none")
    assert done.returncode in {1, 2, 3}
    assert [(body["severity"], body["verdict"]["verb"]) for body in web.got] == [("critical", "rollback")]


def test_what_is_no_failure_of_an_unattended_verb_tells_nobody(ws, web, tmp_path):
    (ws / "mobius.toml").write_text(f'[notify.default]\nurl = "{web.url}"\n')
    assert unattended_run(ws, "backup", "list").returncode == 0
    assert unattended_run(ws, "check").returncode == 1
    assert unattended_run(ws, "deploy", "--dry-run", "--nonsense").returncode == 1
    assert unattended_run(ws, "jobs", "--nonsense").returncode == 1
    assert unattended_run(tmp_path / "nowhere", "migrate").returncode == 1
    assert web.got == []


def test_refused_attended_and_other_codes_are_not_told(monkeypatch, routed, web):
    told = []
    monkeypatch.setattr(unattended, "_tell", lambda *given: told.append(given))
    arguments = ["--workspace", str(routed), "migrate"]
    for code in (0, 70, 129, 130, 143):
        unattended.tell_if_unattended(arguments, code, None, "s", 0.0)
    unattended.tell_if_unattended(arguments, 3, Held("ann holds it"), "s", 0.0)
    monkeypatch.setattr(unattended, "_attended", lambda: True)
    unattended.tell_if_unattended(arguments, 2, None, "s", 0.0)
    assert told == []
    monkeypatch.setattr(unattended, "_attended", lambda: False)
    unattended.tell_if_unattended(arguments, 2, None, "s", 0.0)
    assert [given[0] for given in told] == ["migrate"]


@pytest.mark.parametrize(("state", "sent"), [("refused", 0), ("cancelled", 0), ("failed", 1)])
def test_a_job_that_was_refused_or_cancelled_is_not_told(routed, web, state, sent):
    began = clock.now()
    with closing(open_database(routed / ".mobius" / "mobius.db")) as connection:
        job = add_job(connection, "migrate", {}, "cron")
        finish_job(connection, job.id, state, 3, "why", {})
    for _ in range(2):  # the verb and the process that did its work: one run, one notification
        unattended._tell("migrate", {"--workspace": str(routed)}, 3, "", began)
    assert wait_sent(WAIT_S)
    assert [(body["run"], body["sentence"]) for body in web.got] == [(job.run_id, "why")] * sent


@pytest.mark.parametrize(
    ("arguments", "verb", "root"),
    [
        (["migrate", "--workspace", "/w"], "migrate", "/w"),
        (["--workspace=/w", "backup", "create", "--full"], "backup create", "/w"),
        (["--env", "production", "--as", "x", "rollback", "--force"], "rollback", None),
        (["watch"], "watch", None),
        (["--theme", "backup", "list"], "list", None),
    ],
)
def test_words_of_a_command_line(arguments, verb, root):
    found, options = unattended._words(arguments)
    assert (found, options.get("--workspace")) == (verb, root)


def test_a_dead_receiver_changes_neither_exit_code_nor_much_time(ws, web):
    web.answer = None
    (ws / "mobius.toml").write_text(f'[notify.default]\nurl = "{web.url}"\n')
    began = time.monotonic()
    done = unattended_run(ws, "migrate", "--nonsense")
    assert done.returncode == 1
    assert time.monotonic() - began < 40
    (item,) = list_items(open_workspace(ws, {}, {}, "x"))
    assert item.state == "pending"


def test_a_command_is_told_too(ws, tmp_path):
    ws.chmod(0o755)
    script(ws, "page", f"cat > {tmp_path}/got")
    (ws / "mobius.toml").write_text('[notify.devops]\ncommand = "bin/page"\n')
    (ws / "mobius.toml").chmod(0o644)
    assert unattended_run(ws, "migrate", "--nonsense").returncode == 1
    assert json.loads((tmp_path / "got").read_text())["verdict"]["exit_code"] == 1
