"""A published workspace, real guards and workers on it, and the end of all of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ending import kill_holder
from worker_process import make_workspace, until

from mobius_tui.guard.files import journal_path, records_of
from mobius_tui.guard.launch import begin_watch, guard_command, guard_holder
from mobius_tui.guard.model import Baseline, Plan
from mobius_tui.launch.health import ask_health
from mobius_tui.launch.worker import ensure_worker, worker_environment, worker_holder
from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import note_act, read_history
from mobius_tui.system import clock
from mobius_tui.workspace import Workspace

IMAGES = 3


class Guarded:
    """A workspace whose catalogue was published over a backup, and a watch on it."""

    def __init__(self, root: Path, settings: str = "") -> None:
        self.ws: Workspace = make_workspace(root, IMAGES, f"port = 0\n{settings}", parallel=1)
        self.live = self.ws.catalogue
        entries: list[dict[str, Any]] = [{"path": f"p{number:03}.png"} for number in range(IMAGES)]
        self.live.write_text(json.dumps({"images": entries}))
        self.old = self.live.read_bytes()
        run = f"migration-{clock.stamp(clock.now())}"
        made = create_backup(self.live, self.ws.backups, reason=f"before {run}", who="t")
        for number, entry in enumerate(entries):
            entry |= {"dhash": f"{number:016x}", "dhash_confidence": 0.9, "dhash_status": "ok"}
        run_data = {"schema_version": 1, "algorithm": "dhash-64", "profile": "exact", "run": {"id": run}}
        self.live.write_text(json.dumps({"images": entries, "dhash_migration": run_data, "dhash_duplicates": []}))
        self.new = self.live.read_bytes()
        before = made.catalogue_sha256
        details = {"backup": made.name}
        note_act(
            self.ws.state, "migrate", "t", run_id=run, before=before, after=sha256_file(self.live), details=details
        )
        self.backup = made.name
        self.children: list[subprocess.Popen[bytes]] = []
        self.run = ""

    def plan(self, **facts: Any) -> Plan:
        baseline = Baseline(entries=IMAGES, with_dhash=IMAGES, queue=0, published=sha256_file(self.live))
        run = f"watch-{clock.stamp(clock.now())}"
        usual = Plan(run, who="ann", duration_s=600.0, interval_s=0.3, live=str(self.live), baseline=baseline)
        return replace(usual, **facts)

    def begin(self, **facts: Any) -> str:
        found = begin_watch(self.ws, self.plan(**facts), os.environ, wait_s=60.0)
        self.run = found.run
        return found.run

    def worker(self) -> None:
        """A worker that answers."""
        ensure_worker(self.ws, os.environ)
        until(lambda: ask_health(self.ws, 30.0).answers, "the worker answers")

    def foreground(self, prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """A guard that is a child of this test."""
        child = subprocess.Popen(
            [*prefix, *guard_command(self.ws)],
            cwd=self.ws.root,
            env=worker_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.children.append(child)
        return child

    @property
    def records(self) -> list[dict[str, Any]]:
        return records_of(journal_path(self.ws, self.run))

    def whats(self, what: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["what"] == what]

    def guard(self) -> int:
        """PID of the guard."""
        until(lambda: (holder := guard_holder(self.ws)) is not None and holder.pid, "a guard holds its lock")
        holder = guard_holder(self.ws)
        assert holder is not None
        return holder.pid

    def kill(self) -> str:
        """Kill the guard; its token."""
        self.guard()  # it has left its name
        holder = guard_holder(self.ws)
        assert holder is not None
        kill_holder(holder)
        until(lambda: guard_holder(self.ws) is None, "the guard is gone")
        return holder.token

    def ticks(self) -> int:
        return len(self.whats("tick"))

    def until_ticks(self, more: int) -> None:
        wanted = self.ticks() + more
        until(lambda: self.ticks() >= wanted, f"{more} more measurements")

    def ended(self) -> str:
        until(lambda: self.whats("end"), "the watch has ended")
        return str(self.whats("end")[0]["outcome"])

    def acts(self, act: str) -> list[dict[str, object]]:
        return [found for found in read_history(self.ws.state) if found["act"] == act]


@contextlib.contextmanager
def guarded(root: Path, settings: str = "") -> Iterator[Guarded]:
    """A published workspace; whatever was started on it is ended."""
    made = Guarded(root, settings)
    try:
        yield made
    finally:
        deadline = time.monotonic() + 30.0
        while holders := [holder for holder in (guard_holder(made.ws), worker_holder(made.ws)) if holder]:
            for holder in holders:
                kill_holder(holder, signal.SIGCONT, signal.SIGKILL)
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for child in made.children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait(30)
