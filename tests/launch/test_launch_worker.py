"""Starting, finding and stopping the detached worker."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_process import make_workspace, until, value

from mobius_tui.errors import EnvironmentFailed, OutOfResource
from mobius_tui.launch import worker as control
from mobius_tui.launch.worker import (
    ensure_worker,
    stop_worker,
    worker_command,
    worker_environment,
    worker_holder,
)
from mobius_tui.store.database import open_database, writing
from mobius_tui.system.locks import FileLock
from mobius_tui.system.processes import is_alive
from mobius_tui.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    made = make_workspace(tmp_path / "ws", 2)
    yield made
    with contextlib.suppress(EnvironmentFailed):
        stop_worker(made)


def test_start_find_stop(ws: Workspace) -> None:
    assert worker_holder(ws) is None
    assert stop_worker(ws) == "no worker runs here"
    assert ensure_worker(ws, os.environ)
    holder = worker_holder(ws)
    assert holder is not None and is_alive(holder.token) and os.getsid(holder.pid) == holder.pid
    assert not ensure_worker(ws, os.environ)
    said = stop_worker(ws)
    assert f"PID {holder.pid}" in said and "has ended" in said
    assert worker_holder(ws) is None and not is_alive(holder.token)
    assert (ws.logs / "worker.out").stat().st_mode & 0o777 == 0o640
    assert (ws.logs / "worker.out").read_text() == ""


@pytest.mark.parametrize("removed", ["workspace", "state"])
def test_a_worker_whose_lock_was_removed_ends_and_makes_nothing_anew(
    ws: Workspace, tmp_path: Path, removed: str
) -> None:
    ensure_worker(ws, os.environ)
    holder = worker_holder(ws)
    assert holder is not None
    folder = ws.root if removed == "workspace" else ws.state
    folder.rename(tmp_path / "removed")  # in one step, unlike a removal
    until(lambda: not is_alive(holder.token), "it ends")
    assert not folder.exists()


def test_one_that_is_just_ending_is_waited_for(ws: Workspace) -> None:
    ensure_worker(ws, os.environ)
    ending = worker_holder(ws)
    assert ending is not None
    until(lambda: value(ws, "SELECT state FROM worker") == "idle", "it is up")
    os.kill(ending.pid, signal.SIGSTOP)
    connection = open_database(ws.database)
    connection.execute("UPDATE worker SET state = 'stopping'")
    connection.close()
    timer = threading.Timer(0.5, os.kill, (ending.pid, signal.SIGKILL))
    timer.start()
    assert ensure_worker(ws, os.environ), "a new one was started"
    timer.join()
    holder = worker_holder(ws)
    assert holder is not None and holder.pid != ending.pid


def _ensure(root: str, barrier: object, answers: object) -> None:
    from mobius_tui.workspace import open_workspace

    ws = open_workspace(Path(root), {}, {}, "tester")
    barrier.wait()  # type: ignore[attr-defined]
    started = ensure_worker(ws, os.environ)
    holder = worker_holder(ws)
    answers.put((started, holder.pid if holder else None))  # type: ignore[attr-defined]


def test_two_consoles_at_once_get_one_worker(ws: Workspace) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(3), context.Queue()
    consoles = [context.Process(target=_ensure, args=(str(ws.root), barrier, answers)) for _ in range(3)]
    for console in consoles:
        console.start()
    got = [answers.get(timeout=60) for _ in consoles]
    for console in consoles:
        console.join()
    assert sorted(started for started, _ in got) == [False, False, True]
    assert len({pid for _, pid in got}) == 1 and None not in {pid for _, pid in got}
    assert (ws.logs / "worker.out").read_text() == "", "no second one was even tried"


def test_the_worker_outlives_its_terminal(ws: Workspace) -> None:
    """A shell on a real terminal starts it; the terminal is closed, so that all on it get SIGHUP."""
    command = [sys.executable, "-P", "-m", "mobius_tui", "worker", "start", "--workspace", str(ws.root)]
    master, terminal = pty.openpty()
    shell = subprocess.Popen(
        ["/bin/sh", "-c", '"$@"; echo started; read _', "sh", *command],
        stdin=terminal, stdout=terminal, stderr=terminal, env=worker_environment(os.environ), start_new_session=True,
        preexec_fn=_take_terminal,
    )  # fmt: skip
    os.close(terminal)
    said = b""
    while b"\nstarted" not in said:
        said += os.read(master, 1000)
    holder = worker_holder(ws)
    assert holder is not None, said
    os.close(master)
    assert shell.wait(60) == -signal.SIGHUP, "the hang-up must have happened"
    assert worker_holder(ws) == holder and is_alive(holder.token)
    links = {str(Path(f"/proc/{holder.pid}/fd/{number}").readlink()) for number in range(3)}
    assert links == {"/dev/null", str(ws.logs / "worker.out")}
    until(lambda: value(ws, "SELECT images FROM worker") == 2, "it still works")


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_worker_that_does_not_answer_is_killed(ws: Workspace) -> None:
    ensure_worker(ws, os.environ)
    holder = worker_holder(ws)
    assert holder is not None
    os.kill(holder.pid, signal.SIGSTOP)
    said = stop_worker(ws, timeout_s=0.5)
    assert "was killed" in said
    assert worker_holder(ws) is None and not is_alive(holder.token)


def test_only_the_holder_of_the_lock_is_ever_signalled(ws: Workspace) -> None:
    """A lock whose holder left no name, or the name of a process that is gone, is not stopped by guessing."""
    ws.state.mkdir(exist_ok=True)
    lock = FileLock(ws.worker_lock)
    assert lock.acquire("ann", "worker")
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        ws.worker_lock.write_text(
            f'{{"who": "ann", "since": 1, "purpose": "worker", "pid": {bystander.pid}, "token": "boot:1:1"}}'
        )
        with pytest.raises(EnvironmentFailed, match="left no name"):
            stop_worker(ws)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
        lock.release()


def test_a_worker_that_cannot_start_says_why(ws: Workspace) -> None:
    ws.database.parent.mkdir(exist_ok=True)
    ws.database.write_bytes(b"not a database, surely not" * 50)
    with pytest.raises(EnvironmentFailed, match=r"did not start.*not a database") as failed:
        ensure_worker(ws, os.environ)
    assert failed.value.exit_code == 3
    ws.database.unlink()
    assert ensure_worker(ws, os.environ)


def test_a_worker_without_room_is_told_as_such(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk it cannot even leave its words: its exit code is all there is."""
    monkeypatch.setattr(control, "worker_command", lambda *_: [sys.executable, "-c", "raise SystemExit(5)"])
    with pytest.raises(OutOfResource, match=r"did not start.*full"):
        ensure_worker(ws, os.environ)
    monkeypatch.setattr(control, "worker_command", lambda *_: [sys.executable, "-c", "raise SystemExit(1)"])
    with pytest.raises(EnvironmentFailed, match="printed nothing"):
        ensure_worker(ws, os.environ)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "worker.out")

    monkeypatch.setattr(control, "start_detached", full)
    with pytest.raises(OutOfResource, match="No space left"):
        ensure_worker(ws, os.environ)


def test_modules_in_the_workspace_are_not_imported(ws: Workspace) -> None:
    (ws.root / "json.py").write_text("raise SystemExit('hijacked')")
    assert ensure_worker(ws, {**os.environ, "PYTHONPATH": f".{os.pathsep}{os.environ.get('PYTHONPATH', '')}"})


def test_what_concerns_a_terminal_is_not_handed_on() -> None:
    environ = {"TEXTUAL_DRIVER": "x", "COLUMNS": "80", "PATH": "/bin", "MOBIUS_PARALLEL": "2", "PYTHONPATH": "/p"}
    kept = worker_environment(environ)
    assert "TEXTUAL_DRIVER" not in kept and "COLUMNS" not in kept
    assert kept["PATH"] == "/bin" and kept["MOBIUS_PARALLEL"] == "2"


def test_the_chosen_environment_is_handed_on(ws: Workspace) -> None:
    assert worker_command(ws, "staging")[-2:] == ["--env", "staging"]
    assert "--env" not in worker_command(ws)


def test_a_failing_database_is_survived(ws: Workspace) -> None:
    """A lock held for longer than the busy timeout: the worker says so and goes on."""
    ensure_worker(ws, os.environ)
    until(lambda: value(ws, "SELECT images FROM worker") == 2, "the first scan")
    connection = open_database(ws.database)
    with writing(connection):
        (ws.library / "p001.png").unlink()
        until(lambda: "database is locked" in (ws.logs / "service.log").read_text(), "it notices")
    connection.close()
    until(lambda: value(ws, "SELECT images FROM worker") == 1, "it goes on")
