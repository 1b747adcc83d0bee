"""Process tokens, detached starts, priorities; mounts, clock and identity."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.system import clock
from mobius_tui.system.identity import login_name
from mobius_tui.system.mounts import filesystem_of, network_filesystem
from mobius_tui.system.processes import is_alive, lower_priority, pid_of, process_token, reap, start_detached


def test_a_token_lives_as_long_as_its_process() -> None:
    child = subprocess.Popen(["sleep", "60"])
    token = process_token(child.pid)
    assert is_alive(token) and pid_of(token) == child.pid
    child.send_signal(signal.SIGSTOP)
    assert is_alive(token)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(token), "a zombie is dead"
    child.wait()
    assert not is_alive(token)


def test_a_later_process_with_the_same_pid_is_another() -> None:
    boot, pid, started = process_token().split(":")
    assert not is_alive(f"{boot}:{pid}:{int(started) + 1}")
    assert not is_alive(f"another-boot:{pid}:{started}")
    assert is_alive(process_token())


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a:b",
        "a:b:c",
        "a:1",
        "::",
        "a:-1:2",
        "a:1:2:3",
        "a:²:3",
        pytest.param("a:" + "9" * 5000 + ":1", id="long"),
    ],
)
def test_what_is_no_token_is_not_alive(token: str) -> None:
    assert not is_alive(token)


def test_a_process_whose_name_is_not_utf8_has_a_token(tmp_path: Path) -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("only /proc shows names")
    program = Path(os.fsdecode(os.fsencode(tmp_path) + b"/) \xff\xc3"))
    shutil.copy("/bin/sleep", program)
    child = subprocess.Popen([program, "60"])
    try:
        token = process_token(child.pid)
        assert is_alive(token) and pid_of(token) == child.pid
    finally:
        child.kill()
        child.wait()


def test_a_detached_process_has_its_own_session_and_appends_its_output(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("before\n")
    script = "import os, sys; print(os.getsid(0) == os.getpid(), os.getcwd(), os.environ['A'], sys.stdin.read() == '')"
    pid = start_detached([sys.executable, "-c", script], tmp_path, {"A": "1"}, output)
    deadline = time.monotonic() + 60
    code = None
    while code is None and time.monotonic() < deadline:
        code = reap(pid)
    assert code == 0
    assert output.read_text() == f"before\nTrue {tmp_path} 1 True\n"
    assert reap(pid) is None


def test_its_output_is_made_private(tmp_path: Path) -> None:
    pid = start_detached(["true"], tmp_path, dict(os.environ), tmp_path / "out")
    os.waitpid(pid, 0)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) & 0o137 == 0


def test_priority_is_lowered_and_never_raised() -> None:
    now = os.nice(0)  # the tests themselves may run with a lowered priority
    script = (
        "import os; from mobius_tui.system.processes import lower_priority\n"
        f"lower_priority({now + 7}); a = os.nice(0); lower_priority({now + 3}); print(a, os.nice(0))"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environ, check=True
    ).stdout
    assert said == f"{now + 7} {now + 7}\n"
    assert callable(lower_priority)


MOUNTS = r"""22 1 254:0 / / rw - ext4 /dev/root rw
23 22 0:5 / /dev rw - devtmpfs none rw
30 22 0:40 / /home rw,relatime shared:1 - nfs4 host:/home rw
31 30 8:1 / /home/ann/local\040disk rw - xfs /dev/sdb rw
32 22 0:41 / /mnt/a rw - ext4 /dev/sdc rw
33 32 0:42 / /mnt/a rw - fuse.sshfs host:/a rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/srv/x", "ext4", None),
        ("/home/bob", "nfs4", "nfs4"),
        ("/homeless", "ext4", None),
        ("/home/ann/local disk/ws/.mobius", "xfs", None),
        ("/mnt/a/b/c", "fuse.sshfs", "fuse.sshfs"),
    ],
)
def test_the_innermost_and_latest_mount_counts(tmp_path: Path, path: str, kind: str, network: str | None) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    assert filesystem_of(Path(path), table) == kind
    assert network_filesystem(Path(path), table) == network


def test_where_the_system_does_not_tell_nothing_is_refused(tmp_path: Path) -> None:
    assert filesystem_of(tmp_path, tmp_path / "none") == ""
    assert network_filesystem(tmp_path, tmp_path / "none") is None
    if sys.platform == "linux":
        assert filesystem_of(tmp_path)


@given(st.integers(0, 4_000_000_000))
def test_stamps_round_trip(seconds: int) -> None:
    assert clock.from_stamp(clock.stamp(seconds)) == seconds
    assert clock.iso(seconds).replace("-", "").replace(":", "") == clock.stamp(seconds)


@given(st.text(max_size=20))
def test_no_text_breaks_the_stamp_reader(text: str) -> None:
    found = clock.from_stamp(text)
    assert found is None or isinstance(found, float)


def test_sudo_does_not_hide_who_acts() -> None:
    assert login_name({"SUDO_USER": "ann"}) == "ann"
    assert login_name({})
