"""A full disk under the state folder: the worker says so, stays, and goes on once there is room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_worker_jobs import add_migration, wait_for
from worker_process import Worker, draw, make_workspace, until, value

from mobius_tui.workspace import Workspace, open_workspace

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounts need root")


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=2m none '{small}' 2>/dev/null"):
        pytest.skip("this machine does not allow mounts")
    made = make_workspace(tmp_path / "ws", 3)
    (made.root / "mobius.toml").write_text(f'state_dir = "{small}/state"\nscan_seconds = 0.5\nparallel = 1\n')
    yield open_workspace(made.root, {}, {}, "tester")
    os.system(f"umount -l '{small}'")


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"\1" * size)
            except OSError:
                continue
    return path


def test_a_full_disk_is_survived(ws: Workspace, start_worker: Callable[[Workspace], Worker]) -> None:
    worker = start_worker(ws)
    until(lambda: value(ws, "SELECT images FROM worker") == 3, "the first scan")
    ballast = fill(ws.state)
    for number in range(200):  # more rows than the last page has room for
        draw(ws.library / f"{'n' * 180}{number}.png", number, (20, 20))
    until(lambda: "full" in (ws.logs / "service.log").read_text(), "it says so")
    assert worker.process.poll() is None
    ballast.unlink()
    until(lambda: value(ws, "SELECT images FROM worker") == 203, "it goes on")
    for path in ws.library.glob("n*.png"):
        path.unlink()
    assert wait_for(ws, add_migration(ws)).state == "done"
    assert worker.stop() == 0
