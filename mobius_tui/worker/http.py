"""The worker's HTTP: a thread with an event loop of its own, bounded in every way; it answers while images are hashed.

A port that is taken costs the address and nothing else: the worker says so and tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from mobius_tui.errors import MobiusError
from mobius_tui.launch.health import ADDRESS_NAME
from mobius_tui.logs import JsonLog
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.system.ports import listener_of
from mobius_tui.text import visible
from mobius_tui.uncaught import loop_handler
from mobius_tui.worker.answers import Answer, Refused
from mobius_tui.worker.endpoints import Endpoints, Shared, is_loopback, target_of
from mobius_tui.worker.extract import Extractor
from mobius_tui.worker.health import HealthChecks
from mobius_tui.worker.metrics import Metrics
from mobius_tui.worker.requests import OTHER, RequestCounts
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

    from mobius_tui.worker.connections import Doors

BACKLOG: Final = 512
"""Connections that the system holds until they are looked at."""

RETRY_S: Final = (10.0, 20.0, 40.0, 60.0)
"""Seconds between two tries to take the port; the last one again and again."""

_KEEP_S = 10.0
_JOIN_S = 2.0


class HttpServer:
    """Answers for the worker until stopped.

    Args:
        ws: The workspace: its host, port and state folder.
        worker_id: The worker's process token.
        checks: What ``/health`` tells.
        log: The service log.
        retry_s: Seconds between two tries to take the port.
        requests: Counts what is answered; None means its own.
        metrics: What ``/metrics`` tells; None means its own.
    """

    def __init__(
        self,
        ws: Workspace,
        worker_id: str,
        checks: HealthChecks,
        log: JsonLog,
        retry_s: tuple[float, ...] = RETRY_S,
        *,
        requests: RequestCounts | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.url = ""
        self.problem = "it is just starting"
        self._ws = ws
        self._worker_id = worker_id
        self._log = log
        self._retry_s = retry_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = threading.Event()
        self._stopping: asyncio.Event | None = None
        self._said_file = False
        self._address_guard = threading.Lock()
        self._keeping = Shared(self._keep_up)
        self._doors: Doors | None = None
        self._requests = requests or RequestCounts()
        self._extractor = Extractor(ws, log)
        figures = metrics or Metrics(ws, self._requests, checks)
        self._endpoints = Endpoints(ws, checks, figures, self._extractor, log)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def connections(self) -> int:
        """How many connections are open."""
        return len(self._doors) if self._doors is not None else 0

    def stop(self) -> None:
        """End, and remove the address; harmless when it was never started."""
        self._over.set()
        self._extractor.close()
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(stopping.set)
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        self._forget_address()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # whatever it is, the worker goes on without
            self._trouble(f"the worker's HTTP ended: {type(error).__name__}: {visible(str(error))}")
            self._keep_address()

    async def _serve(self) -> None:
        from mobius_tui.worker.connections import Doors  # aiohttp, 180 ms: in this thread only

        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(loop_handler(self._log, "http"))
        quiet = logging.getLogger("mobius_tui.worker.http")  # clients' mistakes are no news, and stderr is a terminal
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
        doors = self._doors = Doors(self._answer, self._malformed, quiet)
        number = 0
        while not self._over.is_set():
            try:
                bound = _bound(self._ws.settings.host, self._ws.settings.port)
            except OSError as error:
                by = listener_of(self._ws.settings.port) if error.errno == errno.EADDRINUSE else ""
                self._trouble(_why_not(self._ws.settings.host, self._ws.settings.port, error), by)
                self._keep_address()
                await self._wait(self._retry_s[min(number, len(self._retry_s) - 1)])
                number += 1
                continue
            with bound:
                await self._listen(doors, bound)

    async def _listen(self, doors: Doors, bound: socket.socket) -> None:
        """Answer on a bound socket until the end."""
        assert self._loop is not None
        gate = self._endpoints.gate
        gate.loopback = is_loopback(bound.getsockname()[0])
        gate.read_key()
        admitting = asyncio.create_task(doors.admit(bound))
        self.url, self.problem = _url_of(bound), ""
        self._log.write("info", "http", "listening", f"answering on {self.url}")
        self._keep_address()
        try:
            while not self._over.is_set():
                await self._wait(_KEEP_S)
                self._keeping.ask()  # nobody waits for it: a disk that hangs must not keep this loop from saying so
                self._extractor.rest()
        finally:
            admitting.cancel()
            await doors.shutdown(0.5)

    def _keep_up(self) -> None:
        """Look after the address and the key, which may have been changed; in a thread."""
        self._keep_address()
        self._endpoints.gate.read_key()

    async def _wait(self, seconds: float) -> None:
        assert self._stopping is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        """The answer to any request; never an exception, never more than one request a connection."""
        from mobius_tui.worker.connections import Connection, response

        began = time.monotonic()
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.stage = "working"
        try:
            answer = await self._endpoints.answer(request, connection)
        except asyncio.CancelledError:
            raise
        except Refused as refused:
            answer = refused.answer
        except Exception as error:
            self._log.write("error", "http", "defect", f"{type(error).__name__}: {visible(str(error))}")
            answer = Answer(500, {"error": "a defect of MOBIUS; the log says more"})
        connection.answered()
        self._requests.count(target_of(request.raw_path)[1], answer.status, time.monotonic() - began)
        return response(answer.status, answer.body, answer.kind, dict(answer.headers))

    def _malformed(self, status: int) -> None:
        self._requests.count(OTHER, status, 0.0)

    def _trouble(self, text: str, by: str = "") -> None:
        """Say once why nothing answers, and who is in the way as far as that can be told."""
        whole = f"{text} ({visible(by)})" if by else text
        if not self.problem.startswith(text):
            self._log.write("warning", "http", "no_address", f"{whole}; the worker goes on without and tries again")
        self.url, self.problem = "", whole

    def _keep_address(self) -> None:
        """Write where this worker answers, or why nowhere, unless it stands there already or all is over."""
        with self._address_guard:
            if not self._over.is_set():
                self._write_address()

    def _write_address(self) -> None:
        told = {"url": self.url, "token": self._worker_id, "problem": self.problem}
        path = self._ws.state / ADDRESS_NAME
        try:
            with contextlib.suppress(OSError, ValueError):
                if json.loads(read_whole(path).data) == told:
                    return
            write_atomic(path, [json.dumps(told).encode() + b"\n"], mode=0o640)
        except (OSError, MobiusError) as error:
            if not self._said_file:
                self._log.write("warning", "http", "address", f"the address cannot be kept: {visible(str(error))}")
            self._said_file = True
        else:
            self._said_file = False

    def _forget_address(self) -> None:
        """Remove the address, unless it is another worker's by now."""
        path = self._ws.state / ADDRESS_NAME
        with self._address_guard, contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(read_whole(path).data).get("token") == self._worker_id:
                path.unlink()


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket on the first address that a host has."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows: its SO_REUSEADDR would share a port in use
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except BaseException:
        bound.close()
        raise
    return bound


def _url_of(bound: socket.socket) -> str:
    """Where this machine's programs reach a bound socket."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _why_not(host: str, port: int, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"port {port} on {visible(host)} may not be taken: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {visible(host)} is taken by another program"
    return f"{visible(host)} port {port} cannot be listened on: {error.strerror or visible(str(error))}"
