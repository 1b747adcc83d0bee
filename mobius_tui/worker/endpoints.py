"""The endpoints of the worker's HTTP, and who may ask which."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from urllib.parse import urlsplit

from mobius_tui.errors import MobiusError
from mobius_tui.launch.api_key import KEY_HEADER, read_api_key
from mobius_tui.logs import JsonLog
from mobius_tui.text import visible
from mobius_tui.worker.answers import Answer, Refused
from mobius_tui.worker.extract import Extractor
from mobius_tui.worker.health import Check, HealthChecks, status_of
from mobius_tui.worker.metrics import Metrics
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

    from mobius_tui.worker.connections import Connection

CHECKS_S: Final = 4.0
"""Seconds that an answer waits for the checks, or for the figures."""

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of ``/metrics``."""

_READING = ("GET", "HEAD")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is answered under one path.

    Attributes:
        path: Exactly.
        methods: That it understands.
        handler: Answers a request on its connection.
        guarded: Whether the key is asked for.
    """

    path: str
    methods: tuple[str, ...]
    handler: Callable[[BaseRequest, Connection], Awaitable[Answer]]
    guarded: bool = True


class Endpoints:
    """All that the worker answers.

    Args:
        ws: The workspace.
        checks: What ``/health`` tells.
        metrics: What ``/metrics`` tells.
        extractor: Hashes images.
        log: The service log.
    """

    def __init__(
        self, ws: Workspace, checks: HealthChecks, metrics: Metrics, extractor: Extractor, log: JsonLog
    ) -> None:
        self.gate = Gate(ws, log)
        self._checks = checks
        self._json, self._text = Shared(metrics.json), Shared(metrics.text)
        table = (
            Endpoint("/health", _READING, self._health, guarded=False),
            Endpoint("/metrics", _READING, self._prometheus),
            Endpoint("/metrics/dhash", _READING, self._figures),
            Endpoint("/api/dhash/extract", ("POST",), extractor.handle),
        )
        self._table = {endpoint.path: endpoint for endpoint in table}

    async def answer(self, request: BaseRequest, connection: Connection) -> Answer:
        """Answer a request.

        Raises:
            Refused: It gets a sentence only.
        """
        host, path = target_of(request.raw_path)
        self.gate.check_host(request, host)
        endpoint = self._table.get(path)
        if endpoint.guarded if endpoint is not None else path.startswith(("/metrics", "/api/")):
            self.gate.check_key(request)
        if endpoint is None:
            raise Refused(404, "there is nothing here; see /health")
        if request.method not in endpoint.methods:
            allowed = ", ".join(endpoint.methods)
            raise Refused(405, f"only {' and '.join(endpoint.methods)}", headers={"Allow": allowed})
        return await endpoint.handler(request, connection)

    async def _health(self, _: BaseRequest, __: Connection) -> Answer:
        asked = asyncio.wrap_future(self._checks.ask())
        done, _pending = await asyncio.wait({asked}, timeout=CHECKS_S)
        if done:
            checks = asked.result()
        else:  # a disk or a network filesystem hangs
            late = Check(False, f"the checks have not ended within {CHECKS_S:g} s", grave=True)
            checks = {**self._checks.last(), "checks": late}
        body = self._checks.body(checks)
        return Answer(503 if status_of(checks) == "unhealthy" else 200, body)

    async def _prometheus(self, _: BaseRequest, __: Connection) -> Answer:
        text = await self._read(self._text)
        return Answer(200, text, PROMETHEUS)

    async def _figures(self, _: BaseRequest, __: Connection) -> Answer:
        figures = await self._read(self._json)
        return Answer(200, figures)

    async def _read(self, shared: Shared[_T]) -> _T:
        asked = asyncio.wrap_future(shared.ask())
        done, _ = await asyncio.wait({asked}, timeout=CHECKS_S)
        if not done:
            raise Refused(503, f"the figures are not there within {CHECKS_S:g} s", retry_s=10)
        found, problem = asked.result()
        if problem is not None:
            raise problem
        return found[0]


class Shared(Generic[_T]):
    """A reading in a thread of its own, the same one for all who ask meanwhile."""

    def __init__(self, read: Callable[[], _T]) -> None:
        self._read = read
        self._guard = threading.Lock()
        self._under_way: Future[tuple[list[_T], Exception | None]] | None = None

    def ask(self) -> Future[tuple[list[_T], Exception | None]]:
        """What is read, or why not."""
        with self._guard:
            if self._under_way is not None:
                return self._under_way
            coming: Future[tuple[list[_T], Exception | None]] = Future()
            self._under_way = coming
        try:
            threading.Thread(target=self._run, args=(coming,), name="figures", daemon=True).start()
        except (RuntimeError, MemoryError):  # the next who asks tries again
            self._end(coming, ([], Refused(503, "no thread can be started to look", retry_s=10)))
        return coming

    def _run(self, coming: Future[tuple[list[_T], Exception | None]]) -> None:
        try:
            found: tuple[list[_T], Exception | None] = ([self._read()], None)
        except Exception as error:  # told to all who ask, as a defect
            found = ([], error)
        self._end(coming, found)

    def _end(self, coming: Future[tuple[list[_T], Exception | None]], found: tuple[list[_T], Exception | None]) -> None:
        with self._guard:
            self._under_way = None
        coming.set_result(found)


class Gate:
    """Who may ask: programs on this machine or with the key, never a page of the web.

    Args:
        ws: The workspace: its host, base URL and key.
        log: The service log.

    Attributes:
        loopback: Whether only this machine reaches the worker.
    """

    def __init__(self, ws: Workspace, log: JsonLog) -> None:
        self.loopback = False
        self._ws = ws
        self._log = log
        self._digest: bytes | None = None
        self._problem = "the key has not been read yet"

    def read_key(self) -> None:
        """Read the key, which may have been changed; one that cannot be used closes what it guards."""
        try:
            key = read_api_key(self._ws)
        except MobiusError as error:
            if error.what != self._problem:
                self._log.write("error", "http", "api_key", visible(str(error)))
            self._digest, self._problem = None, error.what
            return
        self._digest, self._problem = (_digest(key) if key else None), ""

    def check_host(self, request: BaseRequest, target_host: str | None) -> None:
        """Refuse what a page of the web could send.

        Args:
            request: The request.
            target_host: The host in its first line; None when it has none, as nearly always.

        Raises:
            Refused: The Host is not this service's, or there is an Origin.
        """
        hosts = request.headers.getall("Host", [])
        old = not hosts and tuple(request.version) < (1, 1)  # HTTP/1.0 knows no Host, and no browser speaks it
        if target_host is not None:
            hosts = [*hosts, target_host] if len(hosts) < 2 else hosts
        elif len(hosts) != 1 and not old:
            raise Refused(403, "this Host is not served here")
        settings = self._ws.settings
        if len(hosts) > 2 or not all(is_own_host(host, settings.host, settings.base_url) for host in hosts):
            raise Refused(403, "this Host is not served here")
        if "Origin" in request.headers:
            raise Refused(403, "requests of web pages are refused")

    def check_key(self, request: BaseRequest) -> None:
        """Refuse who has not the key.

        Raises:
            Refused: 401, or 403 when there is no key that could be asked for.
        """
        if self._problem:
            raise Refused(403, f"the API key cannot be used: {self._problem}")
        if self._digest is None:
            if not self.loopback:
                raise Refused(
                    403, "no API key is set, and the worker listens beyond this machine: set INTERNAL_API_KEY"
                )
            return
        shown, bearers = request.headers.getall(KEY_HEADER, []), request.headers.getall("Authorization", [])
        if len(shown) > 1 or len(bearers) > 1:
            raise Refused(400, "the key was given twice")
        for header in bearers:
            scheme, _, token = header.partition(" ")
            if scheme.lower() == "bearer":
                shown.append(token.strip())
        # each is compared, whichever way it was sent and whatever the others were
        right = [hmac.compare_digest(_digest(key), self._digest) for key in shown]
        if not right or not all(right):
            said = (
                "the API key is wrong" if right else "the API key is missing: send X-Internal-API-Key or a Bearer token"
            )
            raise Refused(401, said, headers={"WWW-Authenticate": 'Bearer realm="MOBIUS"'})


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def target_of(raw: str) -> tuple[str | None, str]:
    """The target of a request's first line.

    Args:
        raw: As it was sent: ``/path?query`` or ``http://host/path``.

    Returns:
        The host when it names one, and the path as it was written, nothing decoded.
    """
    if raw.startswith("/"):
        return None, raw.partition("?")[0]
    scheme, found, rest = raw.partition("://")
    if not found or scheme.lower() not in {"http", "https"}:
        return None, raw
    host, slash, path = rest.partition("?")[0].partition("/")
    return host, slash + path


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
    return not is_loopback(host) and _as_address(name) is not None


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's alone."""
    address = _as_address(host.strip("[]"))
    return address.is_loopback if address is not None else host.lower() == "localhost"


def _host_name(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return parts.hostname if url.startswith(("http://", "https://")) else None
    return parts.hostname


def _as_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
