"""Sending: real HTTP receivers, real commands, hanging and refusing ones, and secrets that stay secret."""

import json
import os
import sys
import time
from dataclasses import replace

import pytest
from receivers import script, workspace_with

from mobius_tui.audiences import Route
from mobius_tui.notifications import sending
from mobius_tui.notifications.message import Notification, body_of
from mobius_tui.notifications.sending import ping, send
from mobius_tui.workspace import open_workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs and rights of Unix")

TOLD = Notification(
    "trigger", "critical", "sre", "p95 of deck[@click=app.quit]\x1b[31m", "a\u202eb leaked bob@example.com",
    run="watch-1", environment="staging", at=1.0, verdict={"p95": 31_000.5, "n": [1, None], "path": "a\x00b"},
)  # fmt: skip


def body():
    return body_of(TOLD, "0123abcd", "host", "/srv/w")


def test_webhook_gets_the_whole_verdict_as_json(tmp_path, receiver):
    web = receiver()
    ws = workspace_with(tmp_path / "ws", "")
    assert send(ws, Route("sre", url=f"{web.url}/hook/T0K3N?x=1"), body()) == ""
    assert web.got == [body()]
    assert web.got[0]["verdict"] == TOLD.verdict  # exact, control characters included
    assert web.paths == ["/hook/T0K3N?x=1"]
    assert web.heads[0]["content-type"] == "application/json"


def test_login_in_the_address_becomes_a_header_and_is_never_told(tmp_path, receiver):
    web = receiver(500)
    url = web.url.replace("http://", "http://user:s3cr%40t@") + "/T0K3N"
    problem = send(workspace_with(tmp_path / "ws", ""), Route("sre", url=url), body())
    assert web.heads[0]["authorization"] == "Basic dXNlcjpzM2NyQHQ="
    assert problem == "answered 500"
    route = Route("sre", url=url)
    assert route.shown == f"{web.url}/..."


@pytest.mark.parametrize("answer", [301, 302, 307, 400, 404, 503])
def test_only_2xx_is_delivered_and_no_redirect_is_followed(tmp_path, receiver, answer):
    web = receiver(answer)
    assert send(workspace_with(tmp_path / "ws", ""), Route("sre", url=web.url), body()) == f"answered {answer}"
    assert web.paths == ["/"]


def test_hanging_and_absent_receivers_are_given_up(tmp_path, receiver, monkeypatch):
    ws = workspace_with(tmp_path / "ws", "")
    web = receiver(None)
    monkeypatch.setattr(sending, "WEBHOOK_S", 0.3)
    assert "did not answer within 0.3 s" in send(ws, Route("sre", url=web.url), body())
    web.close()
    assert send(ws, Route("sre", url=web.url), body()) == "nobody listens there"
    problem = send(ws, Route("sre", url="http://no-such-host.invalid/T0K3N"), body())
    assert problem
    assert "T0K3N" not in problem


def test_command_reads_json_and_is_told_the_gist(tmp_path, monkeypatch):
    ws = workspace_with(tmp_path / "ws", "")
    script(ws.root, "page", f"cat > {tmp_path}/stdin; env > {tmp_path}/env")
    monkeypatch.setenv("INTERNAL_API_KEY", "not for others")
    monkeypatch.setenv("MOBIUS_DEAD_MAN_URL", "https://secret.example/ping")
    assert send(ws, Route("sre", command="bin/page --now"), body()) == ""
    assert json.loads((tmp_path / "stdin").read_text()) == body()
    told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert {name: told[f"MOBIUS_NOTIFY_{name}"] for name in ("KIND", "SEVERITY", "AUDIENCE")} == {
        "KIND": "trigger", "SEVERITY": "critical", "AUDIENCE": "sre",
    }  # fmt: skip
    assert told["MOBIUS_NOTIFY_TITLE"] == "p95 of deck[@click=app.quit]\\x1b[31m"
    assert not {"INTERNAL_API_KEY", "MOBIUS_DEAD_MAN_URL"} & told.keys()


def test_a_title_with_nul_reaches_a_command(tmp_path):
    ws = workspace_with(tmp_path / "ws", "")
    script(ws.root, "page", f'echo "$MOBIUS_NOTIFY_TITLE" > {tmp_path}/title')
    hostile = body_of(replace(TOLD, title="a\0b; $(rm -rf /)\n"), "0123abcd", "host", "/srv/w")
    assert send(ws, Route("sre", command="bin/page"), hostile) == ""
    assert (tmp_path / "title").read_text().replace("\\x0a", "") == "a\\x00b; $(rm -rf /)\n"


def test_command_that_reads_nothing_of_much_is_no_problem(tmp_path):
    ws = workspace_with(tmp_path / "ws", "")
    script(ws.root, "page", "exit 0")
    large = {**body(), "verdict": {"ticks": ["x" * 1000] * 1000}}
    assert send(ws, Route("sre", command="bin/page"), large) == ""


def test_failing_and_hanging_commands(tmp_path, monkeypatch):
    ws = workspace_with(tmp_path / "ws", "")
    script(ws.root, "page", "echo 'password=hunter2 mail for bob@example.com' >&2; exit 7")
    problem = send(ws, Route("sre", command="bin/page"), body())
    assert problem.startswith("the command failed with exit code 7")
    assert "hunter2" not in problem
    assert "bob@" not in problem
    script(ws.root, "hang", f"echo $$ > {tmp_path}/pid; sleep 600 & wait")
    monkeypatch.setattr(sending, "COMMAND_S", 1.0)
    began = time.monotonic()
    assert "took longer than 1 s" in send(ws, Route("sre", command="bin/hang"), body())
    assert time.monotonic() - began < 30
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_command_is_refused_where_others_can_write(tmp_path):
    ws = workspace_with(tmp_path / "ws", "")
    page = script(ws.root, "page", f"touch {tmp_path}/ran")
    for path, mode in ((page, 0o777), (page.parent, 0o777), (ws.root, 0o777), (ws.root / "mobius.toml", 0o666)):
        before = path.stat().st_mode & 0o777
        path.chmod(mode)
        assert "others can write" in send(ws, Route("sre", command="bin/page"), body())
        path.chmod(before)
    assert not (tmp_path / "ran").exists()
    assert send(ws, Route("sre", command="bin/page"), body()) == ""
    assert (tmp_path / "ran").exists()


def test_command_meant_for_a_shell_is_told(tmp_path):
    ws = workspace_with(tmp_path / "ws", "")
    problem = send(ws, Route("sre", command="mail -s $MOBIUS_NOTIFY_TITLE ops | tee log"), body())
    assert "only a shell understands" in problem


def test_ping(receiver):
    web = receiver(302)
    assert ping(f"{web.url}/T0K3N") == ""
    assert web.paths == ["/T0K3N"]
    web.answer = 404
    assert ping(f"{web.url}/T0K3N") == "answered 404"
    web.answer = None
    said = ping(f"{web.url}/T0K3N", 0.3)
    assert "did not answer within 0.3 s" in said
    for url in ("nonsense", "ftp://x/T0K3N", "http://[T0K3N/", "http://h:99999/T0K3N", "http://h/\nT0K3N", ""):
        said = ping(url, 2)
        assert said
        assert "T0K3N" not in said


def test_a_workspace_of_settings_reaches_its_route(tmp_path, receiver):
    web = receiver()
    root = workspace_with(tmp_path / "ws", f'[notify.sre]\nurl = "{web.url}"\n').root
    ws = open_workspace(root, {}, {}, "tester")
    assert send(ws, ws.sourced.routes["sre"], body()) == ""
    assert "qa" not in ws.sourced.routes
