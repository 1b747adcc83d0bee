"""A published workspace, attached `mobius watch` verbs on it, and the end of all that they started."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ending import kill_holder
from running_verbs import Answer, start
from worker_process import make_workspace, until

from mobius_tui.guard.files import OpenWatch, open_watch, records_of
from mobius_tui.guard.launch import guard_holder
from mobius_tui.launch.worker import worker_holder
from mobius_tui.recovery.watches import WATCHES

PATIENCE_S = 200.0


class Watched:
    """A workspace whose catalogue was published over a backup."""

    def __init__(self, root: Path, images: int, settings: str) -> None:
        self.root, self.output = root, root.parent / f"{root.name}-output"
        self.output.mkdir()
        self.ws = make_workspace(root, images, f"port = 0\n{settings}", parallel=1)
        self.live = self.ws.catalogue
        self.live.write_text(json.dumps({"images": [{"path": f"p{number:03}.png"} for number in range(images)]}))
        self.old = self.live.read_bytes()
        answer = self.ask("migrate", "-q")
        assert answer.code == 0, answer.err
        self.new = self.live.read_bytes()
        self.verbs: list[subprocess.Popen[bytes]] = []

    def ask(self, *arguments: object, **environ: str) -> Answer:
        """Run a verb to its end in a process of its own."""
        process = start(*arguments, "--workspace", self.root, env={"COLUMNS": "80", **environ})
        out, err = process.communicate(timeout=PATIENCE_S)
        return Answer(process.returncode, out.decode(), err.decode())

    def attach(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start `mobius watch`; what it says goes to a file."""
        path = self.output / f"{len(self.verbs)}"
        with path.open("wb") as out:
            process = start(
                "watch", "--workspace", self.root, *arguments, stdout=out, stderr=out, env={"COLUMNS": "80"}
            )
        self.verbs.append(process)
        return process

    def said(self, number: int = 0) -> str:
        """What an attached verb has said until now."""
        return (self.output / f"{number}").read_text()

    def begin(self, *arguments: object, ticks: int = 1) -> subprocess.Popen[bytes]:
        """Attach, and wait for measurements."""
        process = self.attach(*arguments)
        until(lambda: len(self.whats("tick")) >= ticks or process.poll() is not None, "measurements")
        assert process.poll() is None, self.said(len(self.verbs) - 1)
        return process

    def open(self) -> OpenWatch:
        """The watch that is on."""
        found = open_watch(self.ws)
        assert found is not None
        return found

    def whats(self, what: str) -> list[dict[str, Any]]:
        """The records of the latest watch's journal that tell of something."""
        paths = sorted((self.ws.state / WATCHES).glob("*.journal"))
        return [record for record in records_of(paths[-1]) if record["what"] == what] if paths else []

    def more_ticks(self, more: int = 2) -> None:
        """Wait for further measurements."""
        wanted = len(self.whats("tick")) + more
        until(lambda: len(self.whats("tick")) >= wanted, f"{more} more measurements")

    def guard(self) -> int:
        """PID of the guard."""
        until(lambda: (holder := guard_holder(self.ws)) is not None and holder.pid, "a guard")
        holder = guard_holder(self.ws)
        assert holder is not None
        return holder.pid

    def end(self) -> None:
        """End everything that was started."""
        for process in self.verbs:
            process.kill()
            process.wait()
        if open_watch(self.ws) is not None:
            self.ask("watch", "stop", "--reason", "x")
        with contextlib.suppress(AssertionError):
            until(lambda: guard_holder(self.ws) is None, "the guard has ended")
        for holder in (guard_holder(self.ws), worker_holder(self.ws)):
            kill_holder(holder)
        until(lambda: worker_holder(self.ws) is None, "the worker has ended")


@contextlib.contextmanager
def watched(root: Path, images: int = 6, settings: str = "") -> Iterator[Watched]:
    """A published workspace; whatever was started on it is ended."""
    made = Watched(root, images, settings)
    try:
        yield made
    finally:
        made.end()


def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a verb's end; its exit code."""
    return process.wait(PATIENCE_S)
