"""Critical notifications for an audience that no route leads to: every route gets them, once each."""

import json
import sys

import pytest
from receivers import until, workspace_with

from mobius_tui.notifications.items import list_items, outbox_of
from mobius_tui.notifications.message import Notification
from mobius_tui.notifications.outbox import acknowledge, notify, outbox_state, routes_to, step_outbox, wait_sent
from mobius_tui.operations.service_findings import examine_service
from mobius_tui.system import clock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs and rights of Unix")

WAIT_S = 60.0


def told(**given):
    facts = {"kind": "end", "severity": "critical", "audience": "qa", "title": "watch rolled back", "sentence": "s"}
    return Notification(**{**facts, **given})


def sent(ws, notification):
    number = notify(ws, notification)
    assert wait_sent(WAIT_S)
    return number


def test_only_sre_has_a_route_and_the_rollback_for_qa_arrives(tmp_path, receiver):
    web = receiver()
    ws = workspace_with(tmp_path / "ws", f'[notify.sre]\nurl = "{web.url}"\n')
    number = sent(ws, told(key="watch-1/end"))
    assert [(body["id"], body["audience"], body["title"]) for body in web.got] == [(number, "qa", "watch rolled back")]
    assert sent(ws, told(key="watch-1/end")) == number
    assert len(web.got) == 1  # the same again is the same
    sent(ws, told(severity="warning"))
    assert len(web.got) == 1  # what is not critical waits for nobody
    assert '"no_route"' in (ws.logs / "service.log").read_text()


def test_every_route_once_and_one_acknowledgement_ends_all(tmp_path, receiver):
    one, other = receiver(), receiver()
    ws = workspace_with(
        tmp_path / "ws",
        f'[notify.devops]\nurl = "{one.url}"\n[notify.sre]\nurl = "{other.url}"\n'
        f'[notify.performance]\nurl = "{other.url}"\nrepeat_minutes = 5\n',
    )
    number = sent(ws, told())
    assert [len(web.got) for web in (one, other)] == [1, 1]
    assert {item.number for item in list_items(ws)} == {number}
    assert [item.number for item in outbox_state(ws).unacknowledged] == [number]
    step_outbox(ws, clock.now() + 901, wait_s=WAIT_S)
    assert wait_sent(WAIT_S)
    assert [[body["repeat"] for body in web.got] for web in (one, other)] == [[0, 1], [0, 1]]
    assert acknowledge(ws, number, "ada") and not acknowledge(ws, number, "ada")
    assert outbox_state(ws).unacknowledged == ()
    assert step_outbox(ws, clock.now() + 3000, wait_s=WAIT_S) == 0
    assert [len(web.got) for web in (one, other)] == [2, 2]


def test_one_that_fails_holds_no_other_up(tmp_path, receiver):
    bad, good = receiver(500), receiver()
    ws = workspace_with(tmp_path / "ws", f'[notify.devops]\nurl = "{bad.url}"\n[notify.sre]\nurl = "{good.url}"\n')
    sent(ws, told())
    assert (len(bad.got), len(good.got)) == (1, 1)
    assert sorted(item.state for item in list_items(ws)) == ["pending", "repeating"]
    bad.answer = 204
    step_outbox(ws, clock.now() + 61, wait_s=WAIT_S)
    until(lambda: len(bad.got) == 2, "the failed one is sent again")
    assert wait_sent(WAIT_S) and len(good.got) == 1


def test_a_full_disk_keeps_nobody_from_hearing_it(tmp_path, receiver, monkeypatch):
    one, other = receiver(), receiver()
    ws = workspace_with(tmp_path / "ws", f'[notify.devops]\nurl = "{one.url}"\n[notify.sre]\nurl = "{other.url}"\n')
    outbox_of(ws).parent.mkdir(exist_ok=True)
    outbox_of(ws).write_text("no folder can be made here")
    assert sent(ws, told()) == ""
    assert [len(web.got) for web in (one, other)] == [1, 1]


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ('[notify.sre]\ncommand = "a"\n', ["sre"]),
        ('[notify.sre]\ncommand = "a"\n[notify.qa]\nrepeat_minutes = 5\n', ["sre"]),
        ('[notify.sre]\ncommand = "a"\n[notify.qa]\ncommand = ""\n', []),
        ('[notify.sre]\ncommand = "a"\n[notify.default]\nurl = ""\n', []),
        ('[notify.sre]\ncommand = "a"\n[notify.default]\ncommand = "b"\n', ["default"]),
        ('[notify.sre]\ncommand = "a"\n[notify.devops]\ncommand = "a"\n', ["devops"]),
        ("", []),
    ],
)
def test_who_hears_what_is_critical_for_qa(tmp_path, text, heard):
    ws = workspace_with(tmp_path / "ws", text)
    assert [route.name for route in routes_to(ws, told())] == heard


def test_clear_goes_where_its_alert_went_and_a_test_nowhere(tmp_path):
    ws = workspace_with(tmp_path / "ws", '[notify.sre]\ncommand = "a"\nat_least = "critical"\n')
    assert [route.name for route in routes_to(ws, told(kind="clear"))] == ["sre"]
    assert routes_to(ws, told(severity="warning", audience="sre")) == ()


def test_a_file_of_no_sense_is_none(tmp_path, receiver):
    ws = workspace_with(tmp_path / "ws", f'[notify.sre]\nurl = "{receiver().url}"\n')
    sent(ws, told())
    (item,) = list_items(ws)
    assert item.path.name.endswith(f"-{item.number}-sre.json")
    item.path.write_text(json.dumps({**json.loads(item.path.read_text()), "route": 7}))
    assert list_items(ws) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nobody is notified"),
        ('[notify.sre]\ncommand = "a"\n', "no route leads to devops, qa, performance, infrastructure"),
        ('[notify.default]\ncommand = "a"\n', ""),
        ('[notify.default]\ncommand = ""\n', ""),
    ],
)
def test_doctor_names_the_audiences_without_a_route(tmp_path, text, said):
    ws = workspace_with(tmp_path / "ws", text)
    found = [finding for finding in examine_service(ws) if finding.topic == "routes"]
    assert [(each.state, said in each.said) for each in found] == ([("note", True)] if said else [])
