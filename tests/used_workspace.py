"""A workspace that nearly every verb was used on, with real processes, and all that they said."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from serving_client import asked
from worker_process import draw

SECRET = "S3cr3t"
"""Begins every secret of these tests, and stands nowhere else."""

KEY = f"{SECRET}Key0f7h3T3st5"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Used:
    """What was done and said.

    Attributes:
        root: The workspace.
        said: Command line, exit code and output of each verb.
        answers: What the worker's HTTP said.
        seen: Command lines of all processes while it went on.
    """

    root: Path
    said: list[tuple[str, int, str]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    environ: dict[str, str] = field(default_factory=dict)
    umask: int = 0o022

    def run(self, *words: str, **environ: str) -> int:
        """One verb in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "mobius_tui", *words, "--workspace", str(self.root)],
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            umask=self.umask,
            cwd=self.root,
            timeout=240,
            check=False,
        )
        self.said.append((" ".join(words), done.returncode, done.stdout.decode("utf-8", "replace")))
        return done.returncode

    def run_all(self, verbs: Sequence[Sequence[str]], *environs: Mapping[str, str]) -> None:
        """Several verbs, two at once, each with its variables."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda words, environ: self.run(*words, **environ), verbs, environs or [{}] * len(verbs)))

    def told(self) -> str:
        return "\n".join(f"{words}: exit {code}\n{out}" for words, code, out in self.said)


def use(
    root: Path,
    settings: Mapping[str, str],
    environ: Mapping[str, str],
    umask: int,
    *,
    key: str = "",
    verbs: Sequence[Sequence[str]] | None = None,
    more: Callable[[Used], None] | None = None,
) -> Used:
    """Make a workspace and use it.

    Args:
        root: Where.
        settings: Lines of mobius.toml beside those that make it quick; a table comes last.
        environ: Variables beside this process's.
        umask: Of every process.
        key: Of the worker's HTTP.
        verbs: Beside starting the worker and migrating; None means ``ACTS`` and ``LOOKS``.
        more: What else to do with it.
    """
    own = {name: text for name, text in os.environ.items() if not name.startswith("MOBIUS_")}
    used = Used(root, environ={**own, **environ, "COLUMNS": "200"}, umask=umask)
    root.mkdir(parents=True)
    used.run("init")
    port = free_port()
    quick = {
        "port": str(port), "parallel": "1", "scan_seconds": "0.5", "settle_seconds": "0.1", "hold_seconds": "0.1",
        "watch_seconds": "3", "watch_interval": "0.5", "probe_images": "2", "canary_seconds": "1",
    }  # fmt: skip
    lines = [f"{name} = {text.replace('PORT', str(port))}" for name, text in {**quick, **settings}.items()]
    (root / "mobius.toml").write_text("\n".join(lines) + "\n")
    for number in range(5):
        draw(root / "library" / f"p{number}.png", number)
    (root / "library" / "copy.png").write_bytes((root / "library" / "p1.png").read_bytes())
    over = threading.Event()
    watching = threading.Thread(target=_watch_processes, args=(used.seen, over), daemon=True)
    watching.start()
    try:
        _use(used, port, key, ACTS if verbs is None else verbs)
        if verbs is None:
            used.run_all(LOOKS)
        if more is not None:
            more(used)
    finally:
        used.run("worker", "stop")
        over.set()
        watching.join()
    return used


def _use(used: Used, port: int, key: str, verbs: Sequence[Sequence[str]]) -> None:
    used.run("worker", "start")
    used.run("migrate")
    (used.root / "library" / "library.json").chmod(0o664)
    for shown in ({}, {"X-Internal-API-Key": "wrong"}, {"X-Internal-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        for method, path, body in (
            ("GET", "/metrics/dhash", None),
            ("GET", "/metrics", None),
            ("GET", "/health", None),
            ("POST", "/api/dhash/extract", json.dumps({"path": "p0.png"})),
            ("POST", "/api/dhash/extract", "{"),
        ):
            used.answers.append(asked(port, method, path, body, shown))
    for words in verbs:
        used.run(*words)


ACTS: Sequence[Sequence[str]] = (
    ("migrate", "--dry-run"),
    ("backup", "create"),
    ("backup", "create", "--full"),
    ("deploy", "--force", "--no-watch", "--reason", "to be seen"),
    ("rollback", "--force"),
)
"""What writes, one after the other."""

LOOKS: Sequence[Sequence[str]] = (
    ("backup", "verify", "--all"),
    ("deploy", "--dry-run"),
    ("smoke",),
    ("doctor", "--bundle"),
    ("status",),
    ("check",),
    ("health",),
    ("metrics",),
    ("doctor",),
    ("logs", "--level", "debug"),
    ("history",),
    ("jobs",),
    ("alerts",),
)
"""What stands in nobody's way, two at once."""


def _watch_processes(seen: set[str], over: threading.Event) -> None:
    while not over.wait(0.05):
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    seen.add((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
                except OSError:
                    continue
