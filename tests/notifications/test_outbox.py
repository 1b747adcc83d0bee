"""The outbox: kept before it is sent, sent once each, critical ones until acknowledged, bounded, private."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from receivers import Receiver, script, until, workspace_with

from mobius_tui.notifications import items, outbox, sending
from mobius_tui.notifications.items import BACK_OFF_S, GIVE_UP_S, MOST, list_items, outbox_of
from mobius_tui.notifications.message import Notification
from mobius_tui.notifications.outbox import (
    acknowledge,
    notify,
    outbox_state,
    send_test,
    step_outbox,
    wait_sent,
)
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.system import clock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs and rights of Unix")

WAIT_S = 60.0


def told(title="t", **given):
    facts = {"kind": "alert", "severity": "warning", "audience": "sre", "sentence": "s"}
    return Notification(title=title, **{**facts, **given})


def sent(ws, notification):
    number = notify(ws, notification)
    assert wait_sent(WAIT_S)
    return number


def step(ws, now=None):
    due = step_outbox(ws, now, wait_s=WAIT_S)
    assert wait_sent(WAIT_S)
    return due


def served(tmp_path, receiver, more="", answer=204):
    web = receiver(answer)
    return web, workspace_with(tmp_path / "ws", f'[notify.default]\nurl = "{web.url}/T0K3N"\n{more}')


def titles(web: Receiver):
    return [body["title"] for body in web.got]


def test_sent_once_and_kept(tmp_path, receiver):
    web, ws = served(tmp_path, receiver)
    number = sent(ws, told())
    assert titles(web) == ["t"]
    for later in (0, 3600, 86_400 * 2):
        assert step(ws, clock.now() + later) == 0
    assert titles(web) == ["t"]
    (item,) = list_items(ws)
    assert (item.number, item.state, item.sends) == (number, "delivered", 1)
    assert item.body["environment"] == "development"
    assert item.path.name == f"{clock.stamp(item.created)}-{number}.json"


def test_files_are_private(tmp_path, receiver):
    _, ws = served(tmp_path, receiver)
    old = os.umask(0)
    try:
        sent(ws, told())
    finally:
        os.umask(old)
    folder = outbox_of(ws)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.json")} == {0o600}


def test_critical_ones_repeat_until_acknowledged(tmp_path, receiver):
    web, ws = served(tmp_path, receiver, "repeat_minutes = 10\n")
    number = sent(ws, told(severity="critical"))
    now = clock.now()
    assert step(ws, now + 590) == 0
    assert step(ws, now + 610) == 1
    assert step(ws, now + 1205) == 0  # counted from the sending before
    assert step(ws, now + 1225) == 1
    assert [body["repeat"] for body in web.got] == [0, 1, 2]
    assert "repeat 2" in web.got[-1]["text"]
    assert [item.number for item in outbox_state(ws).unacknowledged] == [number]
    assert acknowledge(ws, number, "ann")
    assert not acknowledge(ws, number, "bob")
    assert step(ws, now + 86_400) == 0
    (item,) = list_items(ws)
    assert (item.state, item.acknowledged_by, item.sends) == ("acknowledged", "ann", 3)
    assert outbox_state(ws).unacknowledged == ()


def test_failing_delivery_backs_off_and_is_shown_without_secrets(tmp_path, receiver):
    web, ws = served(tmp_path, receiver, answer=500)
    sent(ws, told())
    now = clock.now()
    for number, pause in enumerate((*BACK_OFF_S, BACK_OFF_S[-1])):
        assert step(ws, now + pause - 5) == 0
        assert len(web.got) == number + 1
        now += pause + 1
        assert step(ws, now) == 1
        assert len(web.got) == number + 2
    state = outbox_state(ws)
    assert (state.pending, state.failing, state.problem) == (1, 1, "answered 500")
    assert "T0K3N" not in (ws.logs / "service.log").read_text()
    assert (ws.logs / "service.log").read_text().count("was not delivered") == 1  # the same problem is said once
    web.answer = 200
    step(ws, now + 1000)
    assert list_items(ws)[0].state == "delivered"


def test_given_up_after_a_day_but_not_a_critical_one(tmp_path, receiver):
    web, ws = served(tmp_path, receiver, answer=500)
    sent(ws, told("minor"))
    sent(ws, told("grave", severity="critical"))
    now = clock.now() + GIVE_UP_S + 10
    step(ws, now)
    assert {item.body["title"]: item.state for item in list_items(ws)} == {"minor": "failed", "grave": "pending"}
    assert outbox_state(ws).failed == 1
    web.answer = 204
    step(ws, now + 1000)
    assert titles(web)[-1] == "grave"


def test_a_dead_route_is_tried_once_a_round_and_others_go_on(tmp_path, receiver):
    dead, alive = receiver(503), receiver()
    ws = workspace_with(tmp_path / "ws", f'[notify.qa]\nurl = "{dead.url}"\n[notify.sre]\nurl = "{alive.url}"\n')
    for number in range(5):
        sent(ws, told(f"q{number}", audience="qa"))
    before = len(dead.got)
    assert step(ws, clock.now() + 70) == 5
    assert len(dead.got) == before + 1
    sent(ws, told("s"))
    assert titles(alive) == ["s"]


def test_nobody_waits_for_a_hanging_receiver(tmp_path, receiver, monkeypatch):
    monkeypatch.setattr(sending, "WEBHOOK_S", 30.0)
    web, ws = served(tmp_path, receiver, answer=None)
    notify(ws, told())
    until(lambda: web.got, "the receiver was asked")
    assert not wait_sent(0.01)
    done = threading.Event()
    threading.Thread(target=lambda: (notify(ws, told("2")), step_outbox(ws), done.set()), daemon=True).start()
    assert done.wait(10)
    assert len(web.got) == 1
    web.let_go.set()  # and closes the connection without an answer
    assert wait_sent(WAIT_S)
    assert outbox_state(ws).failing == 2


def test_severity_below_the_route_is_not_sent_a_clear_is_as_grave_as_its_alert(tmp_path, receiver):
    web, ws = served(tmp_path, receiver, 'at_least = "warning"\n')
    assert sent(ws, told("i", severity="info")) == ""
    sent(ws, told("w", severity="warning"))
    sent(ws, told("c", severity="critical", kind="clear"))
    assert titles(web) == ["w", "c"]
    assert step(ws, clock.now() + 3600) == 0  # a clear is not repeated


def test_without_a_route_it_is_in_the_log_only(tmp_path):
    ws = workspace_with(tmp_path / "ws", "")
    assert sent(ws, told("nobody")) == ""
    assert not outbox_of(ws).exists()
    assert step(ws) == 0
    assert "[WARNING] development alert: nobody" in (ws.logs / "service.log").read_text()


def test_the_same_key_is_sent_once(tmp_path, receiver):
    web, ws = served(tmp_path, receiver)
    assert sent(ws, told("a", key="k")) == sent(ws, told("b", key="k"))
    assert titles(web) == ["a"]


def test_a_clear_marks_its_alert_as_over_and_a_newer_alert_takes_its_place(tmp_path, receiver):
    web, ws = served(tmp_path, receiver)
    first = sent(ws, told("raised", severity="critical", subject="failures"))
    other = sent(ws, told("other", severity="critical", subject="health"))
    sent(ws, told("cleared", severity="critical", kind="clear", subject="failures"))
    now = clock.now() + 1000
    assert step(ws, now) == 2
    assert {body["id"]: bool(body.get("over")) for body in web.got[-2:]} == {first: True, other: False}
    second = sent(ws, told("again", severity="critical", subject="failures"))
    assert {item.number for item in outbox_state(ws).unacknowledged} == {other, second}


def test_order_the_gravest_first(tmp_path, receiver):
    web, ws = served(tmp_path, receiver, answer=500)
    for title, severity in (("1", "info"), ("2", "warning"), ("3", "critical"), ("4", "critical")):
        sent(ws, told(title, severity=severity))
    web.got.clear()
    web.answer = 204
    step(ws, clock.now() + 5000)
    assert titles(web) == ["3", "4", "1", "2"]


def test_bounded_oldest_finished_go_first_then_the_oldest_of_least_severity(tmp_path, monkeypatch):
    monkeypatch.setattr(items, "MOST", 30)
    monkeypatch.setattr(items, "_ROOM", 5)
    ws = workspace_with(tmp_path / "ws", '[notify.default]\nurl = "http://127.0.0.1:9"\n')
    monkeypatch.setattr(outbox, "_send_soon", lambda *_: None)
    for number in range(10):
        notify(ws, told(f"c{number}", severity="critical"))
    first = list_items(ws)[0]
    items.change_item(ws, first, lambda old: replace(old, state="acknowledged"))
    for number in range(40):
        notify(ws, told(f"i{number}", severity="info"))
    kept = [str(item.body["title"]) for item in list_items(ws)]
    assert len(kept) <= 30
    assert kept[:9] == [f"c{number}" for number in range(1, 10)]
    assert kept[9:] == [f"i{number}" for number in range(40 - len(kept) + 9, 40)]
    assert outbox_state(ws).dropped == 49 - len(kept)
    assert MOST == 500


def test_many_are_all_sent(tmp_path, receiver):
    web, ws = served(tmp_path, receiver)
    for number in range(60):
        notify(ws, told(str(number)))
    assert wait_sent(WAIT_S)
    assert sorted(titles(web), key=int) == [str(number) for number in range(60)]


def test_hostile_names_arrive_exactly_and_are_shown_escaped(tmp_path, receiver):
    web, ws = served(tmp_path, receiver)
    name = 'deck[@click=app.quit]\x1b]0;x\x07\u202e"\udcff\n../../etc'
    sent(ws, told(name, run="../../x", key="\0../", audience="sre"))
    assert web.got[0]["title"] == name
    assert "\x1b" not in web.got[0]["text"]
    assert all("/" not in path.name for path in outbox_of(ws).iterdir())


def test_damaged_files_are_no_notifications(tmp_path, receiver):
    web, ws = served(tmp_path, receiver)
    sent(ws, told())
    good = json.loads(list_items(ws)[0].path.read_text())
    for number, text in enumerate(
        ("", "{", "[]", "null", json.dumps({**good, "state": "odd"}), json.dumps({**good, "next_at": "x"}),
         json.dumps({**good, "number": "ffffffff"}), "[" * 10_000, json.dumps({**good, "body": []}))
    ):  # fmt: skip
        (outbox_of(ws) / f"20261120T00000{number}Z-0000000{number}.json").write_text(text)
    os.mkfifo(outbox_of(ws) / "20261120T000000Z-000000aa.json")
    assert len(list_items(ws)) == 1
    assert step(ws, clock.now() + 100) == 0
    assert outbox_state(ws).pending == 0
    assert len(web.got) == 1


@pytest.mark.parametrize(
    "facts",
    [
        {"state": ["pending"]}, {"sends": 10**30}, {"sends": 1, "over_at": "x"}, {"tries": -99}, {"tries": 1.5},
        {"created": 10**400}, {"next_at": float("nan")}, {"body": {"audience": "sre"}}, {"subject": ["x"]},
    ],
)  # fmt: skip
def test_a_damaged_file_keeps_no_other_notification_waiting(tmp_path, receiver, facts):
    web, ws = served(tmp_path, receiver)
    sent(ws, told())
    whole = json.loads(list_items(ws)[0].path.read_text())
    odd = {**whole, "number": "00000000", "state": "pending", "created": 1.0, "next_at": 0.0, **facts}
    (outbox_of(ws) / "20261120T000000Z-00000000.json").write_text(json.dumps(odd))
    sent(ws, told(key="another"))
    assert len(web.got) == 2
    assert outbox_state(ws).pending == 0


def test_a_disk_that_is_full_does_not_keep_it_from_being_sent(tmp_path, receiver, monkeypatch):
    web, ws = served(tmp_path, receiver)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(items, "write_atomic", full)
    assert sent(ws, told()) == ""
    assert titles(web) == ["t"]
    assert list_items(ws) == []


def test_what_cannot_be_noted_is_not_sent_again_by_this_process(tmp_path, receiver, monkeypatch):
    web, ws = served(tmp_path, receiver)
    whole, calls = items.write_atomic, []

    def full_later(*given, **named):
        calls.append(given)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return whole(*given, **named)

    monkeypatch.setattr(items, "write_atomic", full_later)
    number = sent(ws, told(severity="critical"))
    for _ in range(3):
        step(ws)
    assert titles(web) == ["t"]
    monkeypatch.setattr(items, "write_atomic", whole)
    assert acknowledge(ws, number, "ann")
    assert json.loads(list_items(ws)[0].path.read_text())["state"] == "acknowledged"


def test_a_removed_workspace_is_not_made_anew(tmp_path, receiver):
    import shutil

    web, ws = served(tmp_path, receiver)
    shutil.rmtree(ws.root)
    assert sent(ws, told()) == ""
    assert titles(web) == ["t"]
    assert not ws.root.exists()


def test_a_clock_that_went_back_holds_nothing_up(tmp_path, receiver):
    web, ws = served(tmp_path, receiver)
    sent(ws, told(severity="critical"))
    assert step(ws, clock.now() - 10 * 86_400) == 1
    assert len(web.got) == 2


def test_nothing_due_costs_next_to_nothing(tmp_path, receiver, monkeypatch):
    _, ws = served(tmp_path, receiver)
    sent(ws, told(severity="critical"))
    monkeypatch.setattr(outbox, "_SETTLED_S", -1.0)
    step(ws)
    looked = []
    monkeypatch.setattr(outbox, "list_items", lambda ws: looked.append(1) or list_items(ws))
    for _ in range(50):
        step(ws)
    assert not looked
    assert step(ws, clock.now() + 1000) == 1  # it is due all the same
    assert looked


def test_test_notifications_go_past_severity_and_outbox(tmp_path, receiver):
    web, ws = served(tmp_path, receiver, 'at_least = "critical"\n')
    route, problem = send_test(ws, "qa", "ann")
    assert route is not None
    assert problem == ""
    assert web.got[0]["kind"] == "test"
    assert not outbox_of(ws).exists()
    assert send_test(workspace_with(tmp_path / "other", ""), "qa", "ann") == (None, "")


PROGRAM = """
import sys, os
from pathlib import Path
from mobius_tui.workspace import open_workspace
from mobius_tui.notifications.message import Notification
from mobius_tui.notifications.outbox import notify, step_outbox
ws = open_workspace(Path(sys.argv[1]), {}, {}, "tester")
told = Notification("alert", sys.argv[3], "sre", sys.argv[2], "s")
"""


def program(ws, last, *arguments):
    return subprocess.Popen([sys.executable, "-c", PROGRAM + last, str(ws.root), *arguments])


def test_killed_between_sending_and_noting_it_is_sent_at_least_once_and_at_most_twice(tmp_path):
    ws = workspace_with(tmp_path / "ws", '[notify.default]\ncommand = "bin/page"\n')
    # the command kills the process that sends before that can note anything
    script(ws.root, "page", f'cat >> {tmp_path}/got; echo >> {tmp_path}/got; test -e {tmp_path}/again || '
           f'{{ touch {tmp_path}/again; kill -9 "$PPID"; }}')  # fmt: skip
    process = program(ws, "notify(ws, told); import time; time.sleep(60)", "t", "warning")
    assert process.wait(WAIT_S) == -9
    assert [item.state for item in list_items(ws)] == ["pending"]
    step(ws)
    step(ws, clock.now() + 3600)
    got = [json.loads(line) for line in (tmp_path / "got").read_text().splitlines() if line]
    assert [body["title"] for body in got] == ["t", "t"]
    assert len({body["id"] for body in got}) == 1  # the receiver can tell
    assert [item.state for item in list_items(ws)] == ["delivered"]


def test_several_processes_send_each_once(tmp_path, receiver):
    web, ws = served(tmp_path, receiver, answer=500)
    for number in range(8):
        notify(ws, told(f"t{number}"))
    assert wait_sent(WAIT_S)
    web.got.clear()
    web.answer = 204
    later = clock.now() + 5000
    running = [program(ws, f"step_outbox(ws, {later}, wait_s=60)", "x", "info") for _ in range(4)]
    assert [process.wait(WAIT_S) for process in running] == [0, 0, 0, 0]
    assert sorted(titles(web)) == [f"t{number}" for number in range(8)]


def test_the_same_told_twice_at_the_same_moment_is_one(tmp_path, monkeypatch):
    ws = workspace_with(tmp_path / "ws", "")
    writing, goes_on = threading.Event(), threading.Event()

    def slow(*given, **how):
        writing.set()
        goes_on.wait(WAIT_S)
        return write_atomic(*given, **how)

    monkeypatch.setattr(items, "write_atomic", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(items.add_item, ws, items.Item("deadbeef", "pending", {}, created=1e9))
        assert writing.wait(WAIT_S)
        second = pool.submit(items.add_item, ws, items.Item("deadbeef", "pending", {}, created=1e9 + 5))
        time.sleep(0.2)
        goes_on.set()
        assert (first.result(WAIT_S), second.result(WAIT_S)) == (True, False)
    assert len(list(outbox_of(ws).glob("*.json"))) == 1


def test_the_end_of_a_process_waits_a_moment_but_not_for_the_dead(tmp_path, receiver):
    web, ws = served(tmp_path, receiver)
    assert program(ws, "notify(ws, told)", "last words", "info").wait(WAIT_S) == 0
    assert titles(web) == ["last words"]
    web.answer = None
    began = time.monotonic()
    process = program(ws, "notify(ws, told); sys.exit(3)", "unheard", "warning")
    assert process.wait(WAIT_S) == 3
    assert time.monotonic() - began < 20  # LAST_WORDS_S and a slow machine
    assert list_items(ws)[-1].state == "pending"


def test_outbox_needs_the_standard_library_only(tmp_path):
    ws = workspace_with(tmp_path / "ws", f'[notify.default]\ncommand = "tee {tmp_path}/got"\n')
    root = str(Path(items.__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {root!r})\n" + PROGRAM + "notify(ws, told)"
    done = subprocess.run([sys.executable, "-S", "-E", "-c", code, str(ws.root), "t", "info"], check=False)
    assert done.returncode == 0
    assert json.loads((tmp_path / "got").read_text())["title"] == "t"


def test_a_step_never_raises(tmp_path, receiver, monkeypatch):
    _, ws = served(tmp_path, receiver)
    sent(ws, told())

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(outbox, "list_items", broken)
    monkeypatch.setattr(outbox, "_glances", {})
    assert step(ws) == 0
    assert "the outbox cannot be looked at" in (ws.logs / "service.log").read_text()


def test_the_guard_sends_what_is_due_when_no_worker_does(tmp_path, receiver):
    from types import SimpleNamespace

    from mobius_tui.guard.main import pause

    web, ws = served(tmp_path, receiver)
    number = sent(ws, told(severity="critical"))
    (item,) = list_items(ws)
    items.change_item(ws, item, lambda old: replace(old, next_at=clock.now() - 1))
    pause(ws, 0.0, SimpleNamespace(reason=""))
    assert wait_sent(WAIT_S)
    assert [(body["id"], body["repeat"]) for body in web.got] == [(number, 0), (number, 1)]
