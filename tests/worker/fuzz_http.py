"""Malformed requests and images against a real worker: it never fails, never hangs, never grows.

    python tests/worker/fuzz_http.py --count 10000 --seed 7

Every request is answered with a status that is documented, or its connection is closed, within the limits; a control
request is answered correctly all the time; memory, descriptors, threads and children come back to what they were after
the warm-up. The same seed makes the same requests.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import select
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from fuzz_cases import EXTRACT, KEY, Case, cases
from worker_process import Worker, draw, make_workspace, until

from mobius_tui.launch.health import worker_address
from mobius_tui.workspace import Workspace, open_workspace

PATIENCE_S = 90.0
"""Nothing may take longer: silence is cut off after 10 s, an image that waits and is hashed after 70 s."""
ASKED_S = 1.0
"""A client that does not send it all waits so long for an answer."""
SETTLE_S = 45.0
ALLOWED = {100, 200, 400, 401, 403, 404, 405, 408, 413, 415, 417, 422, 429, 431, 503, 504}


@dataclass(slots=True)
class Result:
    """What came of the whole."""

    count: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    controls: int = 0
    problems: list[str] = field(default_factory=list)
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """The figures for people."""
        told = ", ".join(f"{status} {count:,}" for status, count in sorted(self.statuses.items()))
        return [
            f"{self.count:,} requests in {self.seconds:.0f} s: {told}",
            f"slowest {self.slowest_s:.1f} s, {self.controls:,} control requests right, {len(self.problems)} problems",
            *(f"{name}: {self.before[name]:,} before, {self.after[name]:,} after" for name in self.before),
            *self.problems[:20],
        ]


def exchange(port: int, case: Case) -> tuple[str, float]:
    """The status, ``closed`` when there was none, ``hung`` when nothing happened in time; and how long it took."""
    began = time.monotonic()
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
            try:
                for piece in case.pieces:
                    sock.sendall(piece)
                if case.after == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return "left", time.monotonic() - began
                if not select.select([sock], [], [], PATIENCE_S if case.after == "wait" else ASKED_S)[0]:
                    sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before it was all sent; the answer may be there
            while len(answer) < 1 << 20 and (part := sock.recv(65536)):
                answer += part
    except TimeoutError:
        return "hung", time.monotonic() - began
    except OSError:
        pass
    seconds = time.monotonic() - began
    if not answer:
        return "closed", seconds
    first = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    words = first.split(b" ", 2)
    return words[1].decode() if len(words) > 2 and words[1].isdigit() else f"garbage {first[:40]!r}", seconds


def make_library(root: Path) -> Workspace:
    """A small library with traps beside the images."""
    settings = "image_seconds = 20\nmax_pixels = 60000000\nupload_bytes = 1000000\nport = 0"
    ws = make_workspace(root, 12, settings, parallel=1)
    secret = draw(root.parent / "outside" / "secret.png", 99)
    draw(ws.library / "deep" / "p1.png", 77)
    (ws.library / "link.png").symlink_to(secret)
    (ws.library / "out").symlink_to(secret.parent)
    os.mkfifo(ws.library / "pipe.png")
    return open_workspace(root, {}, {}, "tester")


class Controls(threading.Thread):
    """Asks what must always be answered rightly, while all else goes on."""

    def __init__(self, port: int, result: Result) -> None:
        super().__init__(name="controls", daemon=True)
        self.over = threading.Event()
        self._port = port
        self._result = result
        self._dhash = ""

    def run(self) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            try:
                problem = self.ask()
            except (OSError, ValueError, http.client.HTTPException) as error:
                problem = f"{type(error).__name__}: {error}"
            if problem:
                self._result.problems.append(f"control after {time.monotonic() - began:.1f} s: {problem}")
            else:
                self._result.controls += 1
            self.over.wait(0.1)

    def ask(self) -> str:
        """What is wrong with the answers; empty when nothing is."""
        status, body = self._answer("GET", "/health", None)
        if status not in {200, 503} or "checks" not in body:
            return f"health {status} {body}"
        status, body = self._answer("POST", EXTRACT.decode(), json.dumps({"path": "p001.png"}))
        self._dhash = self._dhash or str(body.get("dhash"))
        if status == 429:  # allowed, and all others were served meanwhile
            return ""
        return "" if status == 200 and body.get("dhash") == self._dhash else f"extract {status} {body}"

    def _answer(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, object]]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"X-Internal-API-Key": KEY, "Content-Type": "application/json"})
            answer = connection.getresponse()
            found = json.loads(answer.read())
            return answer.status, found if isinstance(found, dict) else {}
        finally:
            connection.close()


def levels(process: psutil.Process) -> dict[str, int]:
    """What must not grow."""
    return {
        "resident KB": process.memory_info().rss // 1024,
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
    }


def fired(port: int, made: Iterator[Case], result: Result, clients: int) -> None:
    """Send them all, several at once."""

    def one(case: Case) -> tuple[Case, str, float]:
        return (case, *exchange(port, case))

    with ThreadPoolExecutor(clients) as pool:
        for part in iter(lambda: list(itertools.islice(made, 200)), []):
            for case, status, seconds in pool.map(one, part):
                result.count += 1
                result.statuses[status] += 1
                result.slowest_s = max(result.slowest_s, seconds)
                if not (status in {"closed", "left"} or (status.isdigit() and int(status) in ALLOWED)):
                    result.problems.append(f"{case.name}: {status} after {seconds:.1f} s, {case.pieces[0][:300]!r}")


def fuzz(count: int, seed: int, root: Path, clients: int = 8) -> Result:
    """Fuzz a worker of its own.

    Args:
        count: Requests, the warm-up not counted.
        seed: The same one makes the same requests.
        root: A folder to work in.
        clients: Requests at once.

    Returns:
        What came of it; ``problems`` is empty when all was well.
    """
    ws = make_library(root / "ws")
    os.environ["INTERNAL_API_KEY"] = KEY
    worker = Worker(ws).ready()
    result = Result()
    try:
        until(lambda: (found := worker_address(ws)) is not None and found.url, "the worker answers")
        address = worker_address(ws)
        assert address is not None
        port = int(address.url.rpartition(":")[2])
        process = psutil.Process(worker.process.pid)
        fired(port, cases(min(count // 2, 300), seed + 1), Result(), clients)
        result.before = settled(process, {})
        began = time.monotonic()
        controls = Controls(port, result)
        controls.start()
        fired(port, cases(count, seed), result, clients)
        controls.over.set()
        controls.join(PATIENCE_S * 2)
        result.seconds = time.monotonic() - began
        result.after = settled(process, result.before)
        result.problems += [
            f"{name} grew from {result.before[name]:,} to {found:,}"
            for name, found in result.after.items()
            if found > allowed(name, result.before[name])
        ]
        log = (ws.logs / "service.log").read_text(encoding="utf-8")
        bad = [line for line in log.splitlines() if '"defect"' in line or '"level": "error"' in line]
        result.problems += [line for line in bad if '"component": "alert"' not in line]  # so many failures are told
        if worker.stop() != 0:
            result.problems.append("the worker did not end as it should")
        said = worker.process.communicate()[0]
        if said.strip():
            result.problems.append(f"the worker printed {said[:500]!r}")
    finally:
        del os.environ["INTERNAL_API_KEY"]
        if worker.process.poll() is None:
            worker.kill()
    return result


def allowed(name: str, before: int) -> float:
    """What a level may be afterwards: a little memory, and descriptors that SQLite keeps for its next opening."""
    return {"resident KB": before * 1.25 + 32_768, "descriptors": before + 4}.get(name, before)


def settled(process: psutil.Process, before: dict[str, int]) -> dict[str, int]:
    """The levels once all is answered; as soon as they are as they were before."""
    deadline = time.monotonic() + (SETTLE_S if before else 3)
    while True:
        time.sleep(0.5)
        found = levels(process)
        if (
            before and all(found[name] <= allowed(name, before[name]) for name in before)
        ) or time.monotonic() > deadline:
            return found


def main() -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--clients", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mobius-fuzz-") as folder:
        result = fuzz(given.count, given.seed, Path(folder), given.clients)
    print("\n".join(result.lines()))
    return 1 if result.problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
