"""Locks die with their process, and say who holds them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.system import locks
from mobius_tui.system.locks import FileLock, catalogue_lock, catalogue_lock_path, holder_of, taken_error
from mobius_tui.system.processes import process_token

Hold = Callable[[Path, str], tuple["subprocess.Popen[str]", int]]


@pytest.fixture
def hold() -> Iterator[Hold]:
    processes: list[subprocess.Popen[str]] = []
    children: list[int] = []

    def start(path: Path, method: str = "none") -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("lock_holder.py")), str(path), method],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert process.stdout is not None
        child = int(process.stdout.readline())
        processes.append(process)
        if child:
            children.append(child)
        return process, child

    yield start
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()  # not read to its end: helpers of multiprocessing hold it, too


@pytest.mark.parametrize("method", ["none", "forkserver", "spawn"])
def test_kill_9_frees_the_lock_though_a_child_lives_on(tmp_path: Path, hold: Hold, method: str) -> None:
    path = tmp_path / "lock"
    process, child = hold(path, method)
    assert not FileLock(path).acquire("bob", "x")
    if child:  # stopped, so that it cannot end with its parent
        os.kill(child, signal.SIGSTOP)
    process.kill()
    process.wait()
    if child:
        assert Path(f"/proc/{child}").exists()
    mine = FileLock(path)
    assert mine.acquire("bob", "x")
    mine.release()


def test_a_forked_child_would_keep_it(tmp_path: Path, hold: Hold) -> None:
    """The control: why the pool must not fork."""
    path = tmp_path / "lock"
    process, child = hold(path, "fork")
    os.kill(child, signal.SIGSTOP)
    process.kill()
    process.wait()
    assert not FileLock(path).acquire("bob", "x")


def test_the_holder_is_named_and_its_name_is_shown_escaped(tmp_path: Path, hold: Hold) -> None:
    path = tmp_path / "lock"
    process, _ = hold(path, "none")
    holder = holder_of(path)
    assert holder is not None
    assert (holder.pid, holder.purpose, holder.token) == (process.pid, "a test", process_token(process.pid))
    error = taken_error(path)
    assert "ann [b]\\x1b[31m" in str(error) and f"PID {process.pid}" in str(error) and "since 2" in str(error)
    assert error.exit_code == 3


def test_a_free_lock_has_no_holder(tmp_path: Path) -> None:
    assert holder_of(tmp_path / "none") is None
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire("ann", "x") and lock.held
    assert holder_of(tmp_path / "lock") is not None
    lock.release()
    lock.release()
    assert not lock.held and holder_of(tmp_path / "lock") is None


TIMELESS = [b'{"who": "a", "since": %s, "purpose": "b", "pid": 1}' % since for since in (b"1e30", b"NaN", b"-1e30")]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff\xfe", b'{"who": 1, "since": "x"}', b"null", *TIMELESS])
def test_a_holder_without_a_readable_name(tmp_path: Path, body: bytes) -> None:
    lock = FileLock(tmp_path / "lock")
    lock.acquire("ann", "x")
    lock.path.write_bytes(body)
    holder = holder_of(lock.path)
    assert holder is not None and holder.since == 0.0
    assert "another process" in str(taken_error(lock.path))
    lock.release()


def test_a_look_at_the_holder_does_not_make_a_free_lock_taken(tmp_path: Path) -> None:
    """Whoever looks holds the lock for an instant."""
    path = tmp_path / "lock"
    path.touch()
    looking = os.open(path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.01, os.close, (looking,)).start()
    lock = FileLock(path)
    assert lock.acquire("ann", "x")
    lock.release()


def test_the_file_is_private_and_stays(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    lock.acquire("ann", "x")
    lock.release()
    assert stat.S_IMODE(lock.path.stat().st_mode) & 0o137 == 0
    assert lock.path.read_bytes() == b""


def test_a_lock_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match="cannot be opened"):
        FileLock(tmp_path / "missing" / "lock").acquire("ann", "x")


def test_a_system_without_pread_and_pwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows is; what the lock itself needs there, it has."""
    for name in ("pread", "pwrite"):
        monkeypatch.delattr(os, name, raising=False)
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire("ann", "x")
    holder = holder_of(lock.path)
    assert holder is not None and holder.who == "ann"
    lock.release()


def test_a_filesystem_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_try_lock", refused)
    (tmp_path / "lock").touch()
    before = os.listdir("/dev/fd")
    with pytest.raises(EnvironmentFailed, match="No locks available"):
        FileLock(tmp_path / "lock").acquire("ann", "x")
    assert holder_of(tmp_path / "lock") is None
    assert os.listdir("/dev/fd") == before


def test_the_catalogue_is_locked_beside_its_real_file(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "library.json").touch()
    link = tmp_path / "library.json"
    link.symlink_to("real/library.json")
    assert catalogue_lock_path(link) == tmp_path / "real" / ".library.json.lock"
    other = catalogue_lock(tmp_path / "real" / "library.json", "bob", "two")
    with catalogue_lock(link, "ann", "one"), pytest.raises(EnvironmentFailed, match="ann holds"), other:
        raise AssertionError
    with catalogue_lock(link, "ann", "again"):
        pass
