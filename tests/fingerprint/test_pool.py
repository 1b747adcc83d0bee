import errno
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile_child
import pytest
from noise import noise

from mobius_tui.errors import Cancelled, EnvironmentFailed
from mobius_tui.fingerprint import pool as pool_module
from mobius_tui.fingerprint.child import NICENESS
from mobius_tui.fingerprint.file import fingerprint_file
from mobius_tui.fingerprint.model import Limits, Task
from mobius_tui.fingerprint.pool import AHEAD, CHUNK, CHUNK_BYTES, HashingPool

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes of Unix")


@pytest.fixture
def pictures(tmp_path):
    paths = []
    for number in range(40):
        path = tmp_path / f"{number:02}.png"
        noise((40, 30), 60 + number).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def hostile(monkeypatch):
    monkeypatch.setattr(pool_module, "start_child", hostile_child.start)


def _bad(tmp_path, content, name="bad"):
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def _run(paths, limits=None, workers=2):
    with HashingPool("exact", limits or Limits(), workers) as running:
        outcomes = list(running.map(Task(path) for path in paths))
    assert sorted(outcome.path for outcome in outcomes) == sorted(paths)
    return {outcome.path: outcome for outcome in outcomes}


def test_every_file_gets_the_same_outcome_as_alone(pictures):
    outcomes = _run(pictures)
    for path in pictures:
        alone = fingerprint_file(Task(path), "exact", Limits())
        assert outcomes[path].dhash == alone.dhash
        assert outcomes[path].sha256 == alone.sha256
        assert outcomes[path].status == "ok"


@pytest.mark.parametrize(("content", "cause"), [(b"CRASH", "crash"), (b"EXIT", "crash"), (b"HANG", "timeout")])
def test_only_the_guilty_file_fails(hostile, pictures, tmp_path, content, cause):
    bad = [_bad(tmp_path, content, "one"), _bad(tmp_path, content, "two")]
    outcomes = _run(
        [*pictures[:11], bad[0], *pictures[11:30], bad[1], *pictures[30:]],
        Limits(seconds=3.0 if content == b"HANG" else 60.0),
    )
    for path in bad:
        assert (outcomes[path].status, outcomes[path].cause, outcomes[path].lasting) == ("failed", cause, False)
        assert outcomes[path].sha256 is not None
        assert outcomes[path].size == len(Path(path).read_bytes())
        assert "0x" not in outcomes[path].error
    assert {outcomes[path].status for path in pictures} == {"ok"}


def test_a_greedy_file_fails_by_memory_and_the_process_goes_on(hostile, pictures, tmp_path):
    bad = _bad(tmp_path, b"GREEDY")
    outcomes = _run([*pictures[:3], bad, *pictures[3:6]], Limits(memory=400 << 20), workers=1)
    assert (outcomes[bad].status, outcomes[bad].cause) == ("failed", "memory")
    assert {outcomes[path].status for path in pictures[:6]} == {"ok"}


def test_the_pool_runs_again_after_a_crash(hostile, pictures, tmp_path):
    bad = _bad(tmp_path, b"CRASH")
    with HashingPool("exact", Limits(), 2) as running:
        assert next(iter(running.map([Task(bad)]))).cause == "crash"
        assert next(iter(running.map([Task(pictures[0])]))).status == "ok"


class Noting(ThreadPoolExecutor):
    """Runs in threads and keeps the lengths of the chunks it is given."""

    def __init__(self):
        super().__init__(1)
        self.lengths = []

    def submit(self, work, chunk, *rest):
        self.lengths.append(len(chunk))
        return super().submit(work, chunk, *rest)


@pytest.mark.parametrize(
    ("size", "lengths"), [(0, [CHUNK, CHUNK, 1]), (CHUNK_BYTES, [1] * 17), (CHUNK_BYTES // 3, [4, 4, 4, 4, 1])]
)
def test_large_files_are_handed_over_alone(pictures, size, lengths):
    executor = Noting()
    with HashingPool("exact", Limits(), 2, lambda: executor) as running:
        outcomes = list(running.map([Task(pictures[0], size=size)] * 17))
    assert executor.lengths == lengths
    assert len(outcomes) == 17


def test_tasks_are_taken_lazily(pictures):
    taken = 0

    def tasks():
        nonlocal taken
        for number in range(100_000):
            taken = number + 1
            yield Task(pictures[number % len(pictures)])

    with HashingPool("exact", Limits(), 2) as running:
        results = running.map(tasks())
        for _ in range(3):
            next(results)
        # What is ahead, and one refill.
        assert taken <= 2 * CHUNK * AHEAD * 2
        results.close()


def test_leaving_early_ends_the_processes(hostile, tmp_path):
    bad = _bad(tmp_path, b"HANG")
    running = HashingPool("exact", Limits(seconds=300.0), 2)
    results = running.map([Task(bad)] * 20)
    started = threading.Event()
    made = running._processes_executor

    def noting():
        executor = made()
        started.set()
        return executor

    running._processes_executor = noting
    ended = threading.Event()

    def consume():
        with pytest.raises(Cancelled):
            list(results)
        ended.set()

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    assert started.wait(30)
    while not running._processes:
        thread.join(0.01)
    processes = list(running._processes)
    running.close()
    for process in processes:
        process.join(10)
        assert process.exitcode == -signal.SIGKILL
    assert ended.wait(10)


def test_a_killed_owner_leaves_no_orphans(tmp_path):
    # The processes are inside C code that holds the GIL: the time limit is what ends the last of them.
    marker = tmp_path / "hanging"
    _owner_killed(_bad(tmp_path, b"HANG" + os.fsencode(marker)), 3.0, marker)


def test_a_killed_owner_leaves_no_idle_processes(tmp_path, pictures):
    _owner_killed(pictures[0], 600.0, tmp_path)


def test_ctrl_c_ends_a_hanging_run_at_once(tmp_path):
    marker = tmp_path / "hanging"
    _owner_killed(_bad(tmp_path, b"HANG" + os.fsencode(marker)), 600.0, marker, signal.SIGINT)


def _owner_killed(path, seconds, marker, how=signal.SIGKILL):
    script = Path(__file__).with_name("owner.py")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{script.parent}"}
    command = [sys.executable, str(script), path, str(seconds), str(marker)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as owner:
        children = [int(word) for word in owner.stdout.readline().split()]
        assert len(children) == 2
        watched = [os.pidfd_open(child) for child in children]
        owner.send_signal(how)
    for descriptor in watched:
        ready, _, _ = select.select([descriptor], [], [], 30)
        assert ready, "a decoding process outlived its owner"
        os.close(descriptor)


def test_processes_that_end_at_once_are_the_machines_fault_and_not_each_files(pictures, monkeypatch):
    monkeypatch.setattr(pool_module, "start_child", hostile_child.end_at_once)
    outcomes = []
    with HashingPool("exact", Limits(), 2) as running, pytest.raises(EnvironmentFailed, match="as soon as they start"):
        outcomes.extend(running.map(Task(path) for path in pictures))
    assert len(outcomes) < len(pictures) // 2


def test_processes_that_cannot_be_started_are_the_error_and_no_other(pictures, monkeypatch):
    def refused(_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refused)
    with HashingPool("exact", Limits(), 1) as running, pytest.raises(OSError, match="Too many open files"):
        list(running.map([Task(pictures[0])]))


def test_another_executor_can_do_the_work(pictures):
    with HashingPool("exact", Limits(), 2, executor_factory=lambda: ThreadPoolExecutor(2)) as running:
        assert {outcome.status for outcome in running.map(Task(path) for path in pictures)} == {"ok"}


@pytest.mark.parametrize("error", [EOFError("unexpected EOF"), ConnectionResetError(errno.ECONNRESET, "reset")])
def test_a_killed_fork_server_costs_nothing(pictures, error):
    raised = []

    class Killed(ThreadPoolExecutor):
        def submit(self, *args, **facts):
            if not raised:
                raised.append(error)
                raise error
            return super().submit(*args, **facts)

    with HashingPool(workers=2, executor_factory=lambda: Killed(2)) as pool:
        outcomes = list(pool.map(Task(str(path)) for path in pictures))
    assert raised
    assert sorted(o.path for o in outcomes) == sorted(str(path) for path in pictures)
    assert {o.status for o in outcomes} <= {"ok", "low_confidence"}


def test_a_closed_pool_refuses_work(pictures):
    running = HashingPool("exact", Limits(), 1)
    running.close()
    with pytest.raises(Cancelled, match="closed"):
        list(running.map([Task(pictures[0])]))


def test_names_that_are_not_utf8_go_through(pictures, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[31m.png")
    Path(pictures[0]).rename(odd)
    assert _run([odd, pictures[1]])[odd].status == "ok"


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="no niceness here")
def test_who_is_waited_for_goes_first(tmp_path):
    """A migration on all cores must not make the extraction slow that somebody, or a watch, waits for."""
    image = tmp_path / "a.png"
    noise((20, 20), 1).save(image)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    for awaited, more in ((True, 0), (False, NICENESS)):
        with HashingPool(workers=1, awaited=awaited) as pool:
            pool.one(Task(str(image)))
            (process,) = pool._processes
            assert os.getpriority(os.PRIO_PROCESS, process.pid or 0) == min(19, own + more)
