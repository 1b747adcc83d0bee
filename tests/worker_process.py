"""Workspaces with real images, and real worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from mobius_tui.launch.worker import worker_command, worker_environment
from mobius_tui.store.database import open_database
from mobius_tui.system.locks import holder_of
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

PATIENCE_S = 60.0


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition; fails when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.02)


def draw(path: Path, seed: int, size: tuple[int, int] = (300, 200)) -> Path:
    """An image with a clear and distinct dHash, the same for the same seed."""
    small = Image.frombytes(
        "L", (12, 11), bytes((i * i * (seed + 3) * 37 + i * 91 + seed * 59) % 256 for i in range(132))
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    small.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def make_workspace(root: Path, images: int, settings: str = "", *, parallel: int = 2) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    init_workspace(root)
    (root / "mobius.toml").write_text(f"parallel = {parallel}\nscan_seconds = 0.5\n{settings}\n", encoding="utf-8")
    for number in range(images):
        draw(root / "library" / f"p{number:03}.png", number)
    return open_workspace(root, {}, {}, "tester")


def make_slow_workspace(root: Path, images: int, settings: str = "") -> Workspace:
    """Large images, each a content of its own, so that a job takes seconds."""
    ws = make_workspace(root, 0, settings, parallel=1)
    large = draw(root / "large.png", 1, (2000, 1500)).read_bytes()
    for number in range(images):  # what follows the end of a PNG is not decoded
        (ws.library / f"p{number:03}.png").write_bytes(large + number.to_bytes(4, "big"))
    return ws


class Worker:
    """A worker process in the foreground of this test."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.process = subprocess.Popen(
            worker_command(ws),
            cwd=ws.root,
            env=worker_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def ready(self) -> Worker:
        def holds() -> bool:
            holder = holder_of(self.ws.worker_lock)
            return holder is not None and holder.pid == self.process.pid

        until(lambda: holds() or self.process.poll() is not None, "the worker holds its lock")
        assert self.process.poll() is None, self.process.communicate()[0]
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def query(ws: Workspace, text: str) -> list[tuple[object, ...]]:
    connection = open_database(ws.database)
    try:
        return [tuple(row) for row in connection.execute(text)]
    finally:
        connection.close()


def value(ws: Workspace, text: str) -> object:
    rows = query(ws, text)
    return rows[0][0] if rows else None


def events(ws: Workspace) -> list[str]:
    return [str(row[0]) for row in query(ws, "SELECT event || ' ' || message FROM events ORDER BY id")]


def descendants(pid: int) -> list[int]:
    """PIDs of all processes below one."""
    below: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            below.setdefault(parent, []).append(int(folder.name))
    found, queue = [], [pid]
    while queue:
        children = below.get(queue.pop(), [])
        found += children
        queue += children
    return found
