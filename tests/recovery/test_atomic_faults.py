"""Atomic writes under every fault that can be injected here: failing calls, kills, full and read-only disks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from writing import NEW, OLD, PLAIN, ROOT, WRITE, names, run_script, sha

from mobius_tui import errors
from mobius_tui.recovery.atomic import sweep_leftovers, write_atomic


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-o", os.devnull, "true"], check=False).returncode:
        pytest.skip("no strace here, or it may not trace")
    return found


def injected(strace: str, log: Path, call: str, fault: str) -> list[str]:
    return [strace, "-f", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{fault}"]


@pytest.mark.parametrize(
    ("call", "fault", "script", "code", "content"),
    [
        ("fsync", "error=EIO:when=1", WRITE, 3, OLD),
        ("fsync", "error=ENOSPC:when=1", WRITE, 5, OLD),
        ("fsync", "error=EIO:when=2", WRITE, 3, NEW),  # the folder: the swap was made
        ("fsync", "error=EINVAL:when=2", WRITE, 0, NEW),  # a filesystem that syncs no folders
        ("write", "error=EDQUOT:when=1", WRITE, 5, OLD),
        ("write", "error=EIO:when=1", WRITE, 3, OLD),
        ("write", "error=EFBIG:when=1", WRITE, 5, OLD),
        ("fchmod", "error=ENOSPC:when=1", WRITE, 5, OLD),
        ("fchmod", "error=EPERM:when=1", WRITE, 3, OLD),
        ("flock", "error=ENOLCK:when=1", WRITE, 0, NEW),
        ("renameat2", "error=EIO:when=1", WRITE, 3, OLD),
        ("renameat2", "error=EROFS:when=1", WRITE, 3, OLD),
        ("renameat2", "error=ENOSYS:when=1", WRITE, 0, NEW),
        ("rename", "error=EACCES:when=1", PLAIN, 3, OLD),
    ],
)
def test_a_failing_call(
    strace: str, target: Path, tmp_path: Path, call: str, fault: str, script: str, code: int, content: bytes
) -> None:
    log = tmp_path.parent / f"{tmp_path.name}.log"
    done = run_script(target, script, strace=injected(strace, log, call, fault))
    assert "(INJECTED)" in log.read_text(), "the fault never fired"
    assert done.returncode == code, done.stdout + done.stderr
    assert target.read_bytes() == content
    assert names(target.parent) == ["library.json"]


def test_killed_at_each_call_the_file_is_old_or_new(strace: str, target: Path, tmp_path: Path) -> None:
    log = tmp_path.parent / f"{tmp_path.name}.log"
    kills, seen = 0, set()
    for call in ("write", "fsync", "fchmod", "flock", "renameat2", "unlink"):
        for number in range(1, 9):
            target.write_bytes(OLD)
            done = run_script(target, WRITE, strace=injected(strace, log, call, f"signal=KILL:when={number}"))
            if done.returncode == 0:
                break
            assert "killed by SIGKILL" in log.read_text(), done.stderr
            kills += 1
            seen.add(target.read_bytes())
            sweep_leftovers(target.parent, target.name)
            assert names(target.parent) == ["library.json"]
        assert number > 1, f"{call} was never met"
    assert kills >= 7
    assert seen == {OLD, NEW}


def test_interrupted_at_each_call_nothing_is_left(strace: str, target: Path, tmp_path: Path) -> None:
    log = tmp_path.parent / f"{tmp_path.name}.log"
    seen = set()
    for call, most in (("write", 1), ("fsync", 2), ("fchmod", 1), ("flock", 1), ("renameat2", 1), ("unlink", 2)):
        for number in range(1, most + 1):
            target.write_bytes(OLD)
            done = run_script(target, WRITE, strace=injected(strace, log, call, f"signal=INT:when={number}"))
            assert "SIGINT" in log.read_text(), "the fault never fired"
            assert "KeyboardInterrupt" in done.stderr
            seen.add(target.read_bytes())
            assert names(target.parent) == ["library.json"]
    assert seen == {OLD, NEW}


@pytest.fixture
def small_disk(tmp_path: Path):
    """A filesystem of 256 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if not ROOT or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small filesystem")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    target = small_disk / "library.json"
    target.write_bytes(OLD)
    with pytest.raises(errors.OutOfResource) as caught:
        write_atomic(target, [b"x" * 65536] * 8, expect=sha(OLD))
    assert errors.exit_code_of(caught.value) == 5
    assert target.read_bytes() == OLD
    assert names(small_disk) == ["library.json"]
    assert write_atomic(target, [NEW], expect=sha(OLD)) == sha(NEW)


def test_a_read_only_disk(small_disk: Path) -> None:
    target = small_disk / "library.json"
    target.write_bytes(OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(errors.EnvironmentFailed, match="Read-only"):
        write_atomic(target, [NEW])
    assert target.read_bytes() == OLD


def test_works_with_the_standard_library_alone(target: Path) -> None:
    done = run_script(target, WRITE + "print(sorted(m for m in sys.modules if 'site-packages' in m))")
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == NEW
