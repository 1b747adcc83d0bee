"""The worker's HTTP: a thread with an event loop of its own, bounded in every way; it answers while images are hashed.

A port that is taken costs the address and nothing else: the worker says so and tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from mobius_tui.errors import MobiusError
from mobius_tui.launch.health import ADDRESS_NAME
from mobius_tui.logs import JsonLog
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.system.ports import listener_of
from mobius_tui.text import visible
from mobius_tui.worker.health import Check, HealthChecks, status_of
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, Response, Server

CONNECTIONS: Final = 64
"""Connections at once; one more is closed unanswered."""

CONNECTION_S: Final = 10.0
"""Seconds a connection may live: one question, one answer, and nobody holds a place by being slow."""

CHECKS_S: Final = 4.0
"""Seconds that an answer waits for the checks."""

LINE_BYTES: Final = 4096
"""Bytes of the request line, or of a header, at most."""

HEADERS: Final = 64
"""Headers at most."""

RETRY_S: Final = (10.0, 20.0, 40.0, 60.0)
"""Seconds between two tries to take the port; the last one again and again."""

_LINGER_S = 0.5
_KEEP_S = 10.0
_JOIN_S = 2.0

Handler = Callable[[], Awaitable[tuple[int, Mapping[str, object]]]]


class HttpServer:
    """Answers for the worker until stopped.

    Args:
        ws: The workspace: its host, port and state folder.
        worker_id: The worker's process token.
        checks: What ``/health`` tells.
        log: The service log.
        retry_s: Seconds between two tries to take the port.
    """

    def __init__(
        self,
        ws: Workspace,
        worker_id: str,
        checks: HealthChecks,
        log: JsonLog,
        retry_s: tuple[float, ...] = RETRY_S,
    ) -> None:
        self.url = ""
        self.problem = "it is just starting"
        self._ws = ws
        self._worker_id = worker_id
        self._checks = checks
        self._log = log
        self._retry_s = retry_s
        self._routes: dict[str, Handler] = {"/health": self._health}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = threading.Event()
        self._stopping: asyncio.Event | None = None
        self._said_file = False
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin in the background."""
        self._thread.start()

    def connections(self) -> int:
        """How many connections are open."""
        return len(self._server.connections) if self._server is not None else 0

    def stop(self) -> None:
        """End, and remove the address; harmless when it was never started."""
        self._over.set()
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
        from aiohttp.web import Server  # 180 ms, in this thread only

        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        quiet = logging.getLogger("mobius_tui.worker.http")  # clients' mistakes are no news, and stderr is a terminal
        quiet.propagate = False
        quiet.addHandler(logging.NullHandler())
        server = self._server = Server(
            self._answer,
            logger=quiet,
            access_log=None,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
            keepalive_timeout=CONNECTION_S,
            lingering_time=_LINGER_S,
        )
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
                await self._listen(server, bound)

    async def _listen(self, server: Server, bound: socket.socket) -> None:
        """Answer on a bound socket until the end."""
        assert self._loop is not None

        def connected() -> asyncio.Protocol:
            if len(server.connections) >= CONNECTIONS:
                return _Refusal()
            handler = server()
            # a hard end: a client that does not read keeps a polite one waiting
            asyncio.get_running_loop().call_later(CONNECTION_S, _abort, handler)
            return handler

        listener = await self._loop.create_server(connected, sock=bound, backlog=CONNECTIONS)
        self.url, self.problem = _url_of(bound), ""
        self._log.write("info", "http", "listening", f"answering on {self.url}")
        try:
            while not self._over.is_set():
                self._keep_address()
                await self._wait(_KEEP_S)
        finally:
            listener.close()
            await server.shutdown(0.5)

    async def _wait(self, seconds: float) -> None:
        assert self._stopping is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _answer(self, request: BaseRequest) -> Response:
        """The answer to any request; never an exception, never more than one request a connection."""
        try:
            status, body, headers = await self._routed(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._log.write("error", "http", "defect", f"{type(error).__name__}: {visible(str(error))}")
            status, body, headers = 500, {"error": "a defect of MOBIUS; the log says more"}, {}
        return _json_answer(status, body, headers)

    async def _routed(self, request: BaseRequest) -> tuple[int, Mapping[str, object], Mapping[str, str]]:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not is_own_host(hosts[0], self._ws.settings.host, self._ws.settings.base_url):
            return 403, {"error": "this Host is not served here"}, {}
        if "Origin" in request.headers:
            return 403, {"error": "requests of web pages are refused"}, {}
        handler = self._routes.get(request.path)
        if handler is None:
            return 404, {"error": "there is nothing here; see /health"}, {}
        if request.method not in {"GET", "HEAD"}:
            return 405, {"error": "only GET and HEAD"}, {"Allow": "GET, HEAD"}
        status, body = await handler()
        return status, body, {}

    async def _health(self) -> tuple[int, Mapping[str, object]]:
        asked = asyncio.wrap_future(self._checks.ask())
        done, _ = await asyncio.wait({asked}, timeout=CHECKS_S)
        if done:
            checks = asked.result()
        else:  # a disk or a network filesystem hangs
            late = Check(False, f"the checks have not ended within {CHECKS_S:g} s", grave=True)
            checks = {**self._checks.last(), "checks": late}
        body = self._checks.body(checks)
        return 503 if status_of(checks) == "unhealthy" else 200, body

    def _trouble(self, text: str, by: str = "") -> None:
        """Say once why nothing answers, and who is in the way as far as that can be told."""
        whole = f"{text} ({visible(by)})" if by else text
        if not self.problem.startswith(text):
            self._log.write("warning", "http", "no_address", f"{whole}; the worker goes on without and tries again")
        self.url, self.problem = "", whole

    def _keep_address(self) -> None:
        """Write where this worker answers, or why nowhere, unless it stands there already."""
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
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if json.loads(read_whole(path).data).get("token") == self._worker_id:
                path.unlink()


class _Refusal(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _abort(handler: asyncio.Protocol) -> None:
    transport = getattr(handler, "transport", None)  # None once the connection is over
    if transport is not None:
        transport.abort()


def _json_answer(status: int, body: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    from aiohttp.web import Response

    text = json.dumps(body, default=str) + "\n"
    own = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "MOBIUS", **headers}
    answer = Response(text=text, status=status, content_type="application/json", headers=own)
    answer.force_close()
    return answer


def is_own_host(given: str, host: str, base_url: str) -> bool:
    """Whether a request's ``Host`` names this service: a page elsewhere whose name was pointed here does not.

    Args:
        given: The header.
        host: The setting: what the service is bound to.
        base_url: The setting, whose name a proxy may pass on; may be empty.

    Returns:
        True for loopback, for the bound host and for the base URL's; beyond loopback also for any address as numbers,
        which no page can be named.
    """
    name = _host_name(f"//{given}")
    if name is None:
        return False
    own = {"localhost", "127.0.0.1", "::1", host.lower().strip("[]")} - {"", "0.0.0.0", "::"}
    if name in own or (base_url and name == _host_name(base_url)):
        return True
    return not _is_loopback(host) and _as_address(name) is not None


def _host_name(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return parts.hostname if url.startswith(("http://", "https://")) else None
    return parts.hostname


def _is_loopback(host: str) -> bool:
    address = _as_address(host.strip("[]"))
    return address.is_loopback if address is not None else host.lower() == "localhost"


def _as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


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
        bound.listen(CONNECTIONS)
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
