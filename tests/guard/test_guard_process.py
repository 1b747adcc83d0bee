"""The guard as real processes: killed, stopped, orphaned, hung up, beside locks and full disks, and raced."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ending import kill_holder
from guarded import Guarded, guarded
from worker_process import until

from mobius_tui.guard.files import open_watch
from mobius_tui.guard.launch import begin_watch, guard_command, guard_holder, heal_guard, start_guard
from mobius_tui.guard.wishes import wait_taken, wish
from mobius_tui.launch.health import ask_health
from mobius_tui.launch.worker import stop_worker, worker_environment, worker_holder
from mobius_tui.recovery.atomic import hash_or_absent
from mobius_tui.recovery.journal import read_journal
from mobius_tui.recovery.watches import wishes_path
from mobius_tui.store.database import open_database
from mobius_tui.store.watches import find_watch, list_ticks
from mobius_tui.system.processes import is_alive

HOME = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="processes as of Unix"),
    pytest.mark.timeout(280),
]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Guarded]:
    with guarded(tmp_path / "ws", "probe_images = 0") as made:
        yield made


def test_a_killed_worker_is_three_failures_a_rollback_and_a_new_worker(place: Guarded) -> None:
    place.worker()
    place.begin(auto=True, interval_s=0.5)
    place.until_ticks(2)
    assert not place.whats("trigger")
    holder = worker_holder(place.ws)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    assert place.ended() == "rolled back"
    assert place.live.read_bytes() == place.old
    bad = [record["measurement"]["health"]["ok"] for record in place.whats("tick")]
    assert bad[-3:] == [False, False, False]
    assert place.whats("trigger")[0]["rule"] == "health"
    assert len(place.acts("rollback")) == 1
    fresh = worker_holder(place.ws)
    assert fresh is not None
    assert fresh.pid != holder.pid
    assert ask_health(place.ws, 30.0).answers
    until(lambda: guard_holder(place.ws) is None, "the guard has ended")


def test_a_killed_guard_goes_on_with_the_same_deadlines_and_the_gap_is_no_data(place: Guarded) -> None:
    place.begin()
    place.until_ticks(2)
    start = place.whats("start")
    first = place.kill()
    assert not is_alive(first)
    time.sleep(1.5)  # five intervals
    assert "started again" in heal_guard(place.ws, os.environ)
    until(lambda: len(place.whats("guard")) == 2, "the guard has taken it up")
    place.until_ticks(2)
    assert place.whats("start") == start
    gap = place.whats("gap")[0]
    numbers = [record["measurement"]["number"] for record in place.whats("tick")]
    assert not set(range(gap["from"], gap["to"] + 1)) & set(numbers)
    anchors = place.whats("guard")
    passed = anchors[1]["elapsed_s"] - anchors[0]["elapsed_s"]
    assert passed == pytest.approx(anchors[1]["boottime"] - anchors[0]["boottime"], abs=0.01)
    place.kill()


def test_the_worker_finds_a_dead_guard_and_starts_it_again(place: Guarded) -> None:
    place.worker()
    place.begin()
    token = place.kill()
    until(lambda: (holder := guard_holder(place.ws)) is not None and holder.token not in {"", token}, "a new guard")
    place.until_ticks(2)
    assert stop_worker(place.ws)
    place.until_ticks(2)  # it is no part of the worker that started it


def test_a_stopped_guard_makes_no_false_verdict(place: Guarded) -> None:
    place.worker()
    place.begin(auto=True, interval_s=0.5)
    place.until_ticks(2)
    pid = place.guard()
    for _ in range(3):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(5.0)  # ten intervals
        os.kill(pid, signal.SIGCONT)
        place.until_ticks(2)
    assert not place.whats("trigger")
    assert place.live.read_bytes() == place.new
    merged = [record["measurement"]["merged"] for record in place.whats("tick")]
    assert place.whats("gap") or max(merged) > 5


def test_a_hang_up_and_the_death_of_its_starter_are_nothing_to_it(place: Guarded) -> None:
    code = (
        "import os, sys, time; sys.path.insert(0, sys.argv[2]); from pathlib import Path\n"
        "from mobius_tui.guard.launch import begin_watch; from mobius_tui.guard.model import Plan\n"
        "from mobius_tui.workspace import open_workspace\n"
        "ws = open_workspace(Path(sys.argv[1]), {}, {}, 'ann')\n"
        "begin_watch(ws, Plan('watch-20261120T120000Z', who='ann', duration_s=600.0, interval_s=0.3), os.environ)\n"
        "time.sleep(600)\n"
    )
    child, master = pty.fork()
    if not child:
        os.execv(sys.executable, [sys.executable, "-c", code, str(place.ws.root), str(HOME)])
    place.run = "watch-20261120T120000Z"
    until(lambda: guard_holder(place.ws) is not None and open_watch(place.ws), "the guard runs")
    pid = place.guard()
    assert os.getsid(pid) == pid
    os.close(master)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.kill(pid, signal.SIGHUP)
    place.until_ticks(3)
    assert place.guard() == pid


def test_sigterm_ends_the_guard_and_not_the_watch(place: Guarded) -> None:
    place.begin()
    place.until_ticks(1)
    os.kill(place.guard(), signal.SIGTERM)
    until(lambda: guard_holder(place.ws) is None, "the guard has ended")
    watch = open_watch(place.ws)
    assert watch is not None
    assert watch.state == "running"
    assert "guard_leaves" in (place.ws.logs / f"{place.run}.log").read_text()
    again = start_guard(place.ws, os.environ, wait_s=60.0)
    assert again.run == place.run
    place.until_ticks(1)


def test_sigterm_is_heard_while_a_service_keeps_it_waiting(place: Guarded) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place.begin(base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", interval_s=4.0)
        silent.settimeout(60.0)
        asked, _ = silent.accept()
        os.kill(place.guard(), signal.SIGTERM)
        until(lambda: guard_holder(place.ws) is None, "the guard has ended")
        asked.close()
    assert place.ticks() == 0


def test_with_the_database_locked_it_goes_on_and_catches_up(place: Guarded) -> None:
    open_database(place.ws.database).close()
    place.begin()
    with contextlib.closing(sqlite3.connect(place.ws.database, isolation_level=None, timeout=30.0)) as other:
        other.execute("BEGIN EXCLUSIVE")
        place.until_ticks(3)
        other.execute("ROLLBACK")
    numbers = [record["measurement"]["number"] for record in place.whats("tick")]

    def caught_up() -> bool:
        with contextlib.closing(open_database(place.ws.database)) as connection:
            return set(numbers) <= {tick.number for tick in list_ticks(connection, place.run, limit=10_000)}

    until(caught_up, "every measurement has its row")
    with contextlib.closing(open_database(place.ws.database)) as connection:
        row = find_watch(connection, place.run)
    assert row is not None
    assert row.state == "running"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"), reason="mounts need root")
def test_on_a_full_disk_it_goes_on_and_still_rolls_back(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    if os.system(f"mount -t tmpfs -o size=2m none '{state}' 2>/dev/null"):
        pytest.skip("this machine does not allow mounts")
    try:
        with guarded(tmp_path / "ws", f'probe_images = 0\nstate_dir = "{state}"') as place:
            place.begin(auto=True, interval_s=2.0)  # no worker runs: the third measurement rolls back
            place.until_ticks(1)
            _fill(state)
            until(lambda: place.live.read_bytes() == place.old, "the catalogue is back")
            assert place.whats("trigger")
            (state / "ballast").unlink()
            assert place.ended() == "rolled back"
            until(lambda: guard_holder(place.ws) is None, "the guard has ended")
            assert len(place.whats("guard")) == 1
    finally:
        os.system(f"umount -l '{state}'")


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\1" * size)


def test_two_starts_at_once_are_one_watch(place: Guarded) -> None:
    found: list[str] = []
    plans = [place.plan(run=f"watch-20261120T12000{number}Z") for number in range(4)]
    threads = [
        threading.Thread(
            target=lambda plan=plan: found.append(begin_watch(place.ws, plan, os.environ, wait_s=60.0).run)
        )
        for plan in plans
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    place.run = found[0]
    place.until_ticks(1)
    assert len(place.whats("guard")) == 1


def test_a_forced_rollback_by_hand_ends_the_watch_and_kills_no_guard(place: Guarded) -> None:
    place.worker()
    place.begin(interval_s=0.5)
    place.until_ticks(1)
    command = [sys.executable, "-m", "mobius_tui", "rollback", "--force", "--as", "carol", "--reason", "by hand"]
    done = subprocess.run(
        [*command, "--workspace", str(place.ws.root)],
        env=worker_environment(os.environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert place.ended() == "rolled back"
    end = place.whats("end")[0]
    assert (end["decided_by"], end["exit_code"]) == ("carol", 2)
    assert place.live.read_bytes() == place.old
    assert len(place.whats("guard")) == 1


def test_a_person_accepts_a_watch_and_its_report_stays(place: Guarded) -> None:
    place.begin()
    place.until_ticks(1)
    number = wish(place.ws, place.run, "accept", "bob", reason="looks good")
    assert wait_taken(place.ws, place.run, number, 60.0)
    assert place.ended() == "accepted"
    until(lambda: guard_holder(place.ws) is None, "the guard has ended")
    report = json.loads((place.ws.logs / f"{place.run}.report.json").read_text())
    assert report["outcome"] == "accepted"
    assert wishes_path(place.ws.state / "watch" / f"{place.run}.journal").exists()


def test_it_needs_no_package(place: Guarded) -> None:
    place.begin()
    place.kill()
    command = guard_command(place.ws)
    at = command.index("-P")
    child = subprocess.Popen(
        [command[0], "-S", "-E", *command[at + 1 :]],
        cwd=HOME,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    place.children.append(child)
    place.until_ticks(2)
    wish(place.ws, place.run, "stop", "bob", reason="seen enough")
    _, said = child.communicate(timeout=60)
    assert (child.returncode, said.decode()) == (0, "")
    assert place.ended() == "stopped"


def test_without_a_watch_it_ends_at_once(place: Guarded) -> None:
    assert place.foreground().wait(60) == 0


def _one_outcome(place: Guarded) -> None:
    """What must hold after any number of kills: rolled back once, by one decision, and nothing in between."""
    assert place.ended() == "rolled back"
    reading = read_journal(place.ws.state / "watch" / f"{place.run}.journal")
    assert reading.problem == ""
    assert [record["what"] for record in reading.records].count("end") == 1
    assert [record["what"] for record in reading.records].count("ending") == 1
    assert len(place.whats("trigger")) == 1
    assert len(place.whats("start")) == 1
    assert place.live.read_bytes() == place.old
    assert len(place.acts("rollback")) == 1
    assert len(place.acts("watch rolled back")) == 1
    assert (place.ws.logs / f"{place.run}.report.json").exists()
    leftovers = [path.name for path in place.live.parent.iterdir() if ".staged" in path.name]
    assert leftovers == []


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_it_always_ends_in_one_outcome(place: Guarded, seed: int) -> None:
    chance = random.Random(f"{os.environ['FAULT_SEED']} {seed}")
    place.begin(auto=True, interval_s=0.2)  # no worker runs: the third measurement rolls back
    for _ in range(8):
        time.sleep(chance.uniform(0.0, 0.9))
        assert place.live.read_bytes() in {place.old, place.new}
        holder = guard_holder(place.ws)
        if holder is not None and holder.pid:
            kill_holder(holder)
            until(lambda token=holder.token: not is_alive(token), "it is dead")
        if place.whats("end"):
            break
        place.foreground()
    _one_outcome(place)


CALLS = {"fsync": 24, "pwrite64": 24, "write": 40, "lseek": 560, "openat": 430, "close": 390, "flock": 16}
CALLS |= {"mkdir": 15, "ftruncate": 6, "unlink": 5, "rename": 3, "renameat2": 1, "fchown": 2, "getdents64": 60}
"""Calls of a guard that takes the watch up, rolls back and ends it, and about how many of each there are."""


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace here")
@pytest.mark.parametrize("part", range(3))
def test_killed_at_system_calls_it_always_ends_in_one_outcome(tmp_path: Path, part: int) -> None:
    chance = random.Random(f"{os.environ['FAULT_SEED']} {part}")
    for number in range(int(os.environ.get("GUARD_KILLS", "3"))):
        with guarded(tmp_path / f"{number}", "probe_images = 0") as place:
            place.begin(auto=True, interval_s=0.2, duration_s=600.0)
            place.kill()
            call = chance.choice(list(CALLS))
            nth = chance.randint(1, CALLS[call])
            prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
            prefix += ["-e", f"inject={call}:signal=KILL:when={nth}"]
            child = place.foreground(prefix)
            until(lambda child=child: child.poll() is not None or place.whats("end"), f"{call} {nth}")
            if not place.whats("end"):
                until(lambda: guard_holder(place.ws) is None, "it is dead")
                assert hash_or_absent(place.live) != "absent", (call, nth)
                assert place.live.read_bytes() in {place.old, place.new}, (call, nth)
                place.foreground()
            _one_outcome(place)
