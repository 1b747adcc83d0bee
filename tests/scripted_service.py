"""A service whose every answer is scripted: a real HTTP server on a free port, for tests of the watch.

    with ScriptedService() as service:                      # healthy, plausible metrics, extract that never fails
        service.health = unhealthy()                        # from now on
        service.health = lambda n: reset() if n < 3 else healthy()     # by the number of the request, from 0
        service.metrics = metrics(p95_hash_time_ms=float("nan"))
        service.metrics = MISSING                           # 404, as a service without it
        service.extract = hashing(failure_rate=0.2, milliseconds=(30, 60), seed=1)
        service.extract = MISSING                           # a service without probes
        service.key = "secret"                              # wants X-Internal-API-Key
        collector = Collector(ws, service.url, baseline, 5.0)
        ...
        assert service.counts["/health"] == 3               # requests so far
        service.stop(); service.start()                     # refuses connections meanwhile; the same port afterwards

An answer is a function of the handler that writes to the socket; those here cover what a service can do wrong:
``healthy, degraded, unhealthy, status, html, text, reset, broken_off, hang, drip, slow, body, MISSING``. A script is an
answer, or a function of the request's number (per endpoint) that gives one; for ``extract`` it gets the path as well.
``hang`` and ``drip`` end with the service, so that no test waits for them.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HEALTH, METRICS, EXTRACT = "/health", "/metrics/dhash", "/api/dhash/extract"

FIGURES: dict[str, Any] = {
    "avg_hash_time_ms": 20.0,
    "p95_hash_time_ms": 45.0,
    "processing_rate_per_hour": 1000.0,
    "extraction_failures_rate": 0.0,
    "low_confidence_queue_length": 3,
    "duplicate_rate": 0.1,
    "last_migration_timestamp": "2026-11-20T12:00:00Z",
    "last_backup_timestamp": None,
    "system_health_status": "healthy",
}
"""The nine figures of a service that is well."""


class Answer:
    """What is done with one request."""

    def __init__(self, act: Callable[[_Handler], None]) -> None:
        self.act = act


Script = Answer | Callable[..., Answer]


def body(value: Any, code: int = 200) -> Answer:
    """JSON (NaN and Infinity as Python writes them)."""
    return text(json.dumps(value), code, "application/json")


def text(words: str | bytes, code: int = 200, kind: str = "text/plain", headers: Mapping[str, str] = {}) -> Answer:
    """Any text with its status."""
    data = words if isinstance(words, bytes) else words.encode()

    def act(handler: _Handler) -> None:
        handler.answer(code, data, {"Content-Type": kind, **headers})

    return Answer(act)


def healthy(**more: Any) -> Answer:
    return body({"status": "healthy", **more})


def degraded(**more: Any) -> Answer:
    return body({"status": "degraded", **more})


def unhealthy(code: int = 503) -> Answer:
    return body({"status": "unhealthy", "checks": {"library": {"ok": False, "sentence": "no library"}}}, code)


def status(code: int) -> Answer:
    """A status with an empty JSON object."""
    return body({}, code)


def html(code: int = 200) -> Answer:
    """What a proxy in front of a dead service says."""
    return text("<html><body>It works!</body></html>", code, "text/html")


MISSING = text("404: Not Found", 404)
"""The endpoint is not there."""


def metrics(**changed: Any) -> Answer:
    """The nine figures, some changed; ``totals={...}`` adds them, ``name=...`` (Ellipsis) leaves one out."""
    return body({name: value for name, value in {**FIGURES, **changed}.items() if value is not ...})


def totals(images: int, failed: int, **changed: Any) -> Answer:
    """The figures with running totals."""
    return metrics(totals={"images_total": images, "image_processing_errors": failed}, **changed)


def reset() -> Answer:
    """The connection is reset without an answer."""

    def act(handler: _Handler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    return Answer(act)


def broken_off() -> Answer:
    """More is announced than comes."""

    def act(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"status": "healthy"')

    return Answer(act)


def hang(seconds: float = 3600.0) -> Answer:
    """Nothing for so long, then the connection ends."""

    def act(handler: _Handler) -> None:
        handler.service.over.wait(seconds)
        handler.close_connection = True

    return Answer(act)


def slow(seconds: float, then: Answer) -> Answer:
    """An answer, later."""

    def act(handler: _Handler) -> None:
        handler.service.over.wait(seconds)
        then.act(handler)

    return Answer(act)


def drip(value: Any = None, every_s: float = 0.05) -> Answer:
    """A good answer, a byte at a time."""
    data = json.dumps(value or {"status": "healthy", "filling": "x" * 1000}).encode()

    def act(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        for byte in data:
            handler.wfile.write(bytes([byte]))
            if handler.service.over.wait(every_s):
                return

    return Answer(act)


def hashed(dhash: str = "f0e4c2d9a1b3c5d7", **more: Any) -> Answer:
    """A probe that went well; ``time_ms=...`` says how long."""
    return body({"path": None, "dhash": dhash, "confidence": 0.9, "status": "ok", "neighbours": [], **more})


def not_hashed(**more: Any) -> Answer:
    """A probe whose image could not be decoded."""
    return body({"status": "failed", "error": "broken", **more}, 422)


def hashing(
    failure_rate: float = 0.0,
    milliseconds: tuple[float, float] = (10.0, 30.0),
    *,
    seed: int = 0,
    by_path: bool = False,
) -> Callable[[int, str], Answer]:
    """Extraction that fails at a rate and tells durations between two; drawn anew at each request, or by path."""

    def script(number: int, path: str) -> Answer:
        drawn = random.Random(f"{seed} {path if by_path else number}")
        fails = drawn.random() < failure_rate
        time_ms = round(drawn.uniform(*milliseconds), 2)
        return not_hashed(time_ms=time_ms) if fails else hashed(time_ms=time_ms)

    return script


class ScriptedService:
    """The service; see the module.

    Attributes:
        health: Script of ``/health``; exchange it at any time, as the others.
        metrics: Script of ``/metrics/dhash``.
        extract: Script of ``/api/dhash/extract``.
        key: When set, metrics and extract answer 401 without it.
        counts: Requests by path; of paths without a script too.
        probed: Paths of the probes, in order.
        headers: Headers of the last request by path.
    """

    def __init__(self) -> None:
        self.health: Script = healthy()
        self.metrics: Script = metrics()
        self.extract: Script = hashing()
        self.key = ""
        self.counts: Counter[str] = Counter()
        self.probed: list[str] = []
        self.headers: dict[str, dict[str, str]] = {}
        self.over = threading.Event()
        self._port = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> ScriptedService:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen; after a stop on the same port."""
        self.over.clear()
        deadline = time.monotonic() + 30
        while True:
            try:
                self._server = _Server(("127.0.0.1", self._port), type("Handler", (_Handler,), {"service": self}))
                break
            except OSError:  # the port is still being let go
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on; what hangs ends."""
        self.over.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer_of(self, path: str, sent: bytes, headers: Mapping[str, str]) -> Answer:
        with self._lock:
            number = self.counts[path]
            self.counts[path] += 1
            self.headers[path] = {name.lower(): value for name, value in headers.items()}
        if self.key and path != HEALTH and self.headers[path].get("x-internal-api-key") != self.key:
            return status(401)
        if path == EXTRACT:
            asked = ""
            with contextlib.suppress(ValueError):
                asked = str(json.loads(sent).get("path"))
            with self._lock:
                self.probed.append(asked)
            return self.extract if isinstance(self.extract, Answer) else self.extract(number, asked)
        script = {HEALTH: self.health, METRICS: self.metrics}.get(path, MISSING)
        return script if isinstance(script, Answer) else script(number)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """Who asked may have gone."""


class _Handler(BaseHTTPRequestHandler):
    service: ScriptedService

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.service.answer_of(self.path, self.rfile.read(length), self.headers).act(self)

    do_GET = do_POST = _serve

    def answer(self, code: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
