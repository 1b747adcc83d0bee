"""`mobius watch` with real guards and workers: attached, joined, asked, refused, killed, without a verdict."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_verbs import Mobius
from watched import Watched, ended, watched
from worker_process import until

from mobius_tui.cli.layout import columns_of
from mobius_tui.guard.launch import guard_holder
from mobius_tui.launch.health import ask_health
from mobius_tui.launch.worker import worker_holder
from mobius_tui.notifications.outbox import list_items
from mobius_tui.recovery.history import read_history

TICK = re.compile(r"^\d\d:\d\d:\d\d  \+\S+(?: s|:\d\d)? ")
LONG = ("--duration", "10m", "--interval", "0.5s")
NOWHERE = ("--base-url", "http://127.0.0.1:1", "--duration", "3s", "--interval", "0.5s")

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="processes as of Unix"), pytest.mark.timeout(280)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Watched]:
    with watched(tmp_path / "ws") as made:
        yield made


def acts(place: Watched, act: str) -> list[str]:
    return [str(found["who"]) for found in read_history(place.ws.state) if found["act"] == act]


def test_a_whole_watch_is_followed_shown_and_accepted(tmp_path: Path) -> None:
    with watched(tmp_path / "ws", 40) as place:
        verb = place.begin("--duration", "24s", "--interval", "2s")
        assert ended(verb) == 0, place.said()
        lines = place.said().splitlines()
        ticks = place.whats("tick")
        assert sum(bool(TICK.match(line)) and "queue" in line for line in lines) == len(ticks)
        data = [line for line in lines if " runs in a process " not in line]
        assert max(map(columns_of, data)) <= 80
        run = place.whats("begin")[0]["plan"]["run"]
        assert str(place.ws.logs / f"{run}.report.md") in "".join(place.said().split())  # it is long, and broken
        assert json.loads((place.ws.logs / f"{run}.report.json").read_text())["outcome"] == "accepted"
        after = place.ask("watch", "status")
        assert "ended: accepted" in after.out and "the rules" in after.out
        assert place.ask("watch", "status", "--json").json["watch"]["outcome"] == "accepted"


def test_status_shows_the_rules_the_time_left_and_what_comes_next(place: Watched) -> None:
    place.begin(*LONG, "--as", "ann", "--reason", "new scans")
    shown = place.ask("watch", "status")
    assert shown.code == 0
    for said in ("started by          ann", "running", "left", "off: it pages and asks", "new scans", "\nnext  "):
        assert said in shown.out
    for rule in ("health", "failures", "p95", "queue", "catalogue"):
        assert re.search(rf"^{rule} ", shown.out, re.M)
    assert max(map(columns_of, shown.out.splitlines())) <= 80
    facts = place.ask("watch", "status", "--json").json["watch"]
    assert (facts["state"], facts["guarded"], facts["plan"]["who"]) == ("running", True, "ann")
    assert 0 < facts["left_s"] <= 600
    assert len(facts["rules"]) == 5
    assert re.search(r"^watch +running, .* left, for ann: ", place.ask("status").out, re.M)


def test_a_second_verb_joins_and_both_end_alike(place: Watched) -> None:
    first = place.begin(*LONG, "--as", "ann")
    second = place.attach("--auto-rollback", "--duration", "5s", "--as", "bob")
    until(lambda: "joined the watch" in place.said(1), "it joins")
    assert " of ann, until " in place.said(1)
    assert "--auto-rollback" in place.said(1) and "--duration had no effect" in place.said(1)
    assert not place.open().plan.auto
    answer = place.ask("watch", "accept", "--as", "eve", "--reason", "all well")
    assert (answer.code, answer.out) == (0, "accepted by eve\n")
    assert (ended(first), ended(second)) == (0, 0)
    for number in (0, 1):
        assert re.search(r"^outcome +accepted\nwhy +all well\ndecided by +eve$", place.said(number), re.M)
    assert len(place.whats("begin")) == 1


def test_what_would_publish_is_refused_and_a_rollback_by_hand_ends_it(place: Watched) -> None:
    verb = place.begin(*LONG, "--as", "ann")
    backup = place.ask("backup", "list", "--json").json
    name = backup["backups"][0]["name"] if isinstance(backup, dict) else backup[0]["name"]
    for refused in (("migrate",), ("deploy", "--force"), ("backup", "restore", name, "--live")):
        answer = place.ask(*refused)
        assert answer.code == 3, (refused, answer)
        assert re.search(r"for ann until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(.* left\)", answer.err), answer.err
        assert place.live.read_bytes() == place.new
    assert place.ask("migrate", "--dry-run").code == 0
    assert place.ask("rollback", "--force", "--as", "carol", "--reason", "cards look wrong").code == 0
    assert ended(verb) == 2
    assert re.search(r"^outcome +rolled back$", place.said(), re.M)
    assert re.search(r"^decided by +carol$", place.said(), re.M)
    assert place.live.read_bytes() == place.old
    assert acts(place, "watch rolled back") == ["carol"]


def test_what_is_asked_is_answered_and_noted_with_who(place: Watched) -> None:
    verb = place.begin(*LONG)
    until_at = place.open().until_at
    answer = place.ask("watch", "extend", "90s", "--as", "carl", "--reason", "lunch")
    assert answer.code == 0 and answer.out.startswith("90 s more, ")
    assert place.open().until_at == pytest.approx(until_at + 90.0, abs=2.0)
    assert place.ask("watch", "snapshot", "before lunch", "--as", "dora").code == 0
    assert place.ask("watch", "auto", "on", "--as", "dora").out == "automatic rollback is on\n"
    assert place.open().plan.auto
    assert place.ask("watch", "auto", "off", "--as", "dora", "--json").json["answer"] == "automatic rollback is off"
    assert not place.open().plan.auto
    assert place.ask("watch", "stop", "--as", "eve", "--reason", "seen enough").out == "stopped by eve\n"
    assert ended(verb) == 4
    asked = [(record["who"], record["act"], record["granted"]) for record in place.whats("wish")]
    assert asked == [
        ("carl", "extend", True),
        ("dora", "snapshot", True),
        ("dora", "auto", True),
        ("dora", "auto", True),
        ("eve", "stop", True),
    ]
    assert "before lunch" in [record["name"] for record in place.whats("snapshot")]
    assert "carl: extend (lunch): 90 s more" in place.said()
    assert acts(place, "watch stopped") == ["eve"]
    report = (place.ws.logs / f"{place.whats('begin')[0]['plan']['run']}.report.md").read_text()
    assert "carl" in report and "before lunch" in report


WRONG = [
    ("extend", "30h"),
    ("extend", "0"),
    ("extend", "soon"),
    ("auto", "maybe"),
    ("stop",),
    ("stop", "--reason", " "),
]


def test_wrong_use_changes_nothing(place: Watched, mobius: Mobius) -> None:
    asked = [*WRONG, ("accept",), ("snapshot",), ("auto", "on"), ("stop", "--reason", "x"), ("extend",)]
    for wrong in asked:
        answer = mobius("watch", *wrong, "--workspace", place.root)
        assert answer.code == 1 and answer.err.startswith("mobius: "), wrong
    assert "no watch is on" in answer.err
    verb = place.begin(*LONG)
    for wrong in WRONG:
        assert mobius("watch", *wrong, "--workspace", place.root).code == 1, wrong
    answer = mobius("watch", "--auto-rollback", "accept", "--workspace", place.root)
    assert answer.code == 1 and "--auto-rollback" in answer.err
    assert place.whats("wish") == []
    assert place.open().state == "running"
    assert verb.poll() is None


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("--duration", "0s"), 1, "no duration"),
        (("--duration", "soon"), 1, "no duration"),
        (("--duration", "8d"), 1, "7 days"),
        (("--interval", "0.01s"), 1, "shorter than"),
        (("--interval", "2s", "--duration", "1s"), 1, "longer than the whole watch"),
        (("--interval", "0.1s", "--duration", "1h"), 1, "too many measurements"),
        (("--base-url", "ftp://example.org"), 1, "no address"),
        (("--base-url", "http://"), 1, "no address"),
        (("--base-url", "http://127.0.0.1:99999"), 1, "no address"),
        (("--backup", "library.json.bak.20200101T000000Z"), 2, "missing"),
    ],
)
def test_a_wrong_plan_begins_nothing(
    ws: Path, mobius: Mobius, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.setattr("mobius_tui.operations.watching.ensure_worker", lambda *_, **__: None)
    assert mobius("migrate", "-q", "--workspace", ws).code == 0
    answer = mobius("watch", *given, "--workspace", ws)
    assert answer.code == code and said in answer.err
    assert not list((ws / ".mobius").glob("watch/*.journal"))


def test_a_bad_backup_is_no_way_back(place: Watched, mobius: Mobius) -> None:
    name = next(path.name for path in place.ws.backups.iterdir() if path.suffix == ".sha256").removesuffix(".sha256")
    (place.ws.backups / name).chmod(0o600)
    (place.ws.backups / name).write_bytes(b"{}")
    answer = mobius("watch", "--backup", name, "--workspace", place.root)
    assert answer.code == 2 and name in answer.err
    assert guard_holder(place.ws) is None


def test_without_a_catalogue_there_is_nothing_to_watch(ws: Path, mobius: Mobius) -> None:
    answer = mobius("watch", "--workspace", ws)
    assert answer.code == 1 and "no catalogue" in answer.err
    assert not (ws / ".mobius" / "watch").exists()


def test_a_login_in_the_address_is_refused_and_kept_nowhere(place: Watched) -> None:
    secret = "hunter2hunter2"
    answer = place.ask("watch", "--base-url", f"http://ann:{secret}@127.0.0.1:1/", *NOWHERE[2:])
    assert answer.code == 1 and "login" in answer.err
    assert secret not in answer.out + answer.err
    kept = [path for path in place.root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == []


def test_a_killed_worker_is_rolled_back_and_well_again(place: Watched) -> None:
    verb = place.begin(*LONG, "--auto-rollback", ticks=2)
    holder = worker_holder(place.ws)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    assert ended(verb) == 2
    said = place.said()
    assert "health: " in said and "rolling back" in said and "the catalogue is back" in said
    assert re.search(r"^outcome +rolled back$", said, re.M)
    assert place.live.read_bytes() == place.old
    until(lambda: ask_health(place.ws, 30.0).answers, "the new worker answers")


def test_where_there_is_no_way_back_it_is_told_and_so_is_a_rollback_that_fails(place: Watched) -> None:
    for path in place.ws.backups.iterdir():
        path.unlink()
    verb = place.begin(*LONG, "--auto-rollback", "--base-url", "http://127.0.0.1:1")
    until(lambda: "the guard is in trouble: the rollback failed" in place.said(), "the trouble is told")
    tries = len(place.whats("rollback")) + 2
    until(lambda: len(place.whats("rollback")) >= tries, "it is tried again")
    assert place.said().count("no way back is known") == 1
    assert sum(line.endswith("  rolling back") for line in place.said().splitlines()) == 1
    shown = place.ask("watch", "status").out
    assert "trouble " in shown and re.search(r"^way back +none: nothing can be rolled back$", shown, re.M)
    assert place.live.read_bytes() == place.new
    assert place.ask("watch", "stop", "--reason", "by hand").code == 0
    assert ended(verb) == 4


def test_a_killed_guard_is_started_again_by_who_is_attached(place: Watched) -> None:
    verb = place.begin(*LONG, "--base-url", "http://127.0.0.1:1", ticks=2)  # no worker that would start it
    before, start = place.open(), place.whats("start")
    os.kill(place.guard(), signal.SIGKILL)
    until(lambda: len(place.whats("guard")) == 2, "a new guard has taken it up")
    place.more_ticks()
    assert "the guard of a watch was dead: it is started again" in place.said()
    assert place.whats("start") == start
    assert place.open().until_at == pytest.approx(before.until_at, abs=2.0)
    shown = len(place.said())
    until(lambda: len(place.said()) > shown, "it goes on printing")
    assert verb.poll() is None


def test_no_verdict_asks_and_a_person_ends_it(tmp_path: Path) -> None:
    with watched(tmp_path / "ws", settings='[notify.default]\ncommand = "true"') as place:
        _no_verdict(place)


def _no_verdict(place: Watched) -> None:
    verb = place.attach(*NOWHERE)
    assert ended(verb) == 4
    assert re.search(r"^outcome +undecided$", place.said(), re.M)
    assert re.search(r"^why +health fails ", place.said(), re.M)
    assert "`mobius watch accept`" in place.said()
    until(lambda: any("no verdict" in str(item.body) for item in list_items(place.ws)), "it pages")
    assert place.open().state == "undecided"
    assert "ago" in place.ask("watch", "status").out
    answer = place.ask("watch", "accept", "--as", "zoe")
    assert (answer.code, answer.out) == (0, "accepted by zoe\n")
    until(lambda: guard_holder(place.ws) is None, "the guard has ended")
    assert acts(place, "watch accepted") == ["zoe"]


def test_no_verdict_refuses_no_publication(place: Watched) -> None:
    verb = place.attach(*NOWHERE, "--json")
    assert ended(verb) == 4
    lines = [json.loads(line) for line in place.said().splitlines() if line.startswith("{")]
    assert [line["what"] for line in lines if line.get("what") == "tick"]
    assert (lines[-1]["exit_code"], lines[-1]["outcome"]) == (4, "undecided")
    assert lines[-1]["began_at"].endswith("Z") and lines[-1]["lasted_s"] >= 3.0
    (place.ws.library / "more.png").write_bytes((place.ws.library / "p000.png").read_bytes())
    assert place.ask("migrate", "-q").code == 0
    until(lambda: place.whats("end"), "the publication ends it")
    assert "superseded by migration-" in place.whats("end")[0]["reason"]


def test_the_time_limit_of_the_verb_is_none_of_the_watch(place: Watched) -> None:
    verb = place.attach(*LONG, "--base-url", "http://127.0.0.1:1", "--timeout", "6", "-q", "--env", "production")
    assert ended(verb) == 4
    said = place.said()
    assert "time limit" in said and "goes on" in said and "runs in a process" not in said
    if "detached" in said:  # it got so far on this machine
        pid = place.guard()
        place.more_ticks()
        assert place.guard() == pid
        assert place.open().plan.environment == "production"


@pytest.mark.skipif(not shutil.which("mount"), reason="no mount here")
@pytest.mark.usefixtures("root_only")
def test_on_a_full_state_folder_it_says_so(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    if os.system(f"mount -t tmpfs -o size=3m none '{state}' 2>/dev/null"):
        pytest.skip("this machine does not allow mounts")
    try:
        with watched(tmp_path / "ws", settings=f'state_dir = "{state}"') as place:
            with (state / "ballast").open("wb", buffering=0) as file:
                for size in (65536, 4096, 1):
                    while _writes(file.fileno(), size):
                        pass
            answer = place.ask("watch", "--base-url", "http://127.0.0.1:1", *LONG)
            (state / "ballast").unlink()
            assert answer.code == 5, answer
            assert "space" in answer.err or "full" in answer.err
            assert "Traceback" not in answer.err
    finally:
        os.system(f"umount -l '{state}'")


def _writes(descriptor: int, size: int) -> bool:
    try:
        return os.write(descriptor, b"\1" * size) == size
    except OSError:
        return False


@pytest.mark.skipif(not shutil.which("mount"), reason="no mount here")
@pytest.mark.usefixtures("root_only")
def test_where_the_logs_are_read_only_no_guard_starts_and_it_says_why(place: Watched) -> None:
    if os.system(f"mount -t tmpfs -o size=1m,ro none '{place.ws.logs}' 2>/dev/null"):
        pytest.skip("this machine does not allow mounts")
    try:
        answer = place.ask("watch", "--base-url", "http://127.0.0.1:1", *LONG)
        assert answer.code == 3
        assert "the guard cannot be started" in answer.err and str(place.ws.logs) in answer.err
        assert "Traceback" not in answer.err
    finally:
        os.system(f"umount -l '{place.ws.logs}'")
    assert "started again" in place.ask("watch", "status").err  # it was planned: whoever looks next starts it
    place.more_ticks(1)
