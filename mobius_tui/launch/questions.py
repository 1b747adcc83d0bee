"""One question to a service over HTTP, with the standard library alone: bounded in time and length, never raising."""

from __future__ import annotations

import base64
import contextlib
import errno
import functools
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from mobius_tui.text import visible

Trouble = Literal["", "name", "refused", "reset", "unreachable", "timeout", "nonsense", "too long", "own"]
"""Why there is no answer; empty when there is one. ``own``: the asker's fault, which says nothing of the service."""

MOST_BYTES: Final = 1_000_000
"""The longest answer that is taken."""

_SLICE_S = 0.25
_LATE_S = 0.5
_SPARE_DESCRIPTORS = 4
_SPENT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL}
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question.

    Attributes:
        status: The HTTP status; 0 without an answer.
        headers: By name in lower case.
        data: The body, whole.
        seconds: How long it took.
        trouble: Why there is no answer; empty when there is one.
        problem: The same in words.
        stalled_s: So many of the seconds this process did not run: it was stopped, starved, or the machine slept.
            An answer that is missing then may have been there in time.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes = field(default=b"", repr=False)
    seconds: float = 0.0
    trouble: Trouble = ""
    problem: str = ""
    stalled_s: float = 0.0


def boot_seconds() -> float:
    """Seconds by a clock that never goes back and, where there is one, counts the time that the machine slept."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def call(
    base_url: str,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] = _NOTHING,
    timeout_s: float,
    clock: Callable[[], float] = boot_seconds,
) -> Answer:
    """Ask once, in a thread of its own: no look-up of a name and no dripping answer holds this process up.

    Nothing is followed, no proxy is asked, a login in the address is sent as basic authorization.

    Args:
        base_url: ``http://`` or ``https://``, maybe with a login and a path.
        method: Of HTTP.
        path: Of the endpoint, from a slash.
        body: What is sent.
        headers: Sent besides the usual ones.
        timeout_s: Seconds for all of it, name look-up and last byte included.
        clock: Seconds; see ``boot_seconds``.

    Returns:
        The answer; never raises.
    """
    began = clock()
    question = _Question(base_url, method, path, body, headers, timeout_s)
    thread = threading.Thread(target=question.ask, name="question", daemon=True)
    try:
        thread.start()
    except (RuntimeError, MemoryError):
        return Answer(trouble="own", problem="no thread can be started to ask", seconds=clock() - began)
    seen, stalled_s = began, 0.0
    while thread.is_alive() and (left := began + timeout_s - seen) > 0:
        pause = min(_SLICE_S, left)
        thread.join(pause)
        late = (now := clock()) - seen - pause
        stalled_s += late if late > _LATE_S else 0.0
        seen = now
    seconds = clock() - began
    status, sent, data, trouble, problem = question.outcome or (0, {}, b"", "timeout", _late(timeout_s))
    if question.outcome is None:
        question.give_up()
    return Answer(status, sent, data, seconds, trouble, problem, stalled_s)


def shortage() -> str:
    """What this process lacks to ask anything, in words; empty when it lacks nothing."""
    opened: list[int] = []
    try:
        for _ in range(_SPARE_DESCRIPTORS):
            opened.append(os.open(os.devnull, os.O_RDONLY))  # noqa: PERF401 - those opened before a failure are closed
    except OSError as error:
        return f"the guard cannot open a file: {error.strerror}"
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return ""


def shown_url(url: str) -> str:
    """An address for people: without the login it may hold, and without a slash at its end."""
    try:
        parts = urlsplit(url)
        return visible(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/"))
    except ValueError:
        return "the base URL"


_Outcome = tuple[int, Mapping[str, str], bytes, Trouble, str]


class _Question:
    """One request; ``outcome`` is set once, when it has ended by itself."""

    def __init__(
        self, url: str, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float
    ) -> None:
        self.outcome: _Outcome | None = None
        self._url, self._method, self._path, self._body = url, method, path, body
        self._headers, self._timeout_s = headers, timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._socket: socket.socket | None = None  # the connection forgets its own when the answer begins
        self._given_up = False

    def ask(self) -> None:
        try:
            self.outcome = self._asked()
        except Exception as error:  # whatever it is, the one who waits is told
            trouble, problem = _trouble_of(error, self._timeout_s)
            self.outcome = 0, {}, b"", trouble, problem
        finally:
            self._close()

    def _asked(self) -> _Outcome:
        parts = urlsplit(self._url)
        self._connection = connection = _connection(parts, self._timeout_s)
        self._connect(connection, parts.scheme)
        if self._given_up:
            return 0, {}, b"", "timeout", _late(self._timeout_s)
        headers = {"Accept": "application/json", "Connection": "close", **_login(parts), **self._headers}
        connection.request(self._method, parts.path.rstrip("/") + self._path, body=self._body, headers=headers)
        answer = connection.getresponse()
        data = answer.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            return answer.status, {}, b"", "too long", "the answer is too long"
        if answer.length:
            return answer.status, {}, b"", "reset", "the answer broke off"
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data, "", ""

    def _connect(self, connection: http.client.HTTPConnection, scheme: str) -> None:
        """Connect so that ``give_up`` reaches the socket at any time, in the middle of a TLS handshake too."""
        connection.sock = self._socket = socket.create_connection(
            (connection.host, connection.port), connection.timeout
        )
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if scheme == "https":
            secured = _context().wrap_socket(
                connection.sock, server_hostname=connection.host, do_handshake_on_connect=False
            )
            connection.sock = self._socket = secured
            secured.do_handshake()

    def give_up(self) -> None:
        """End the connection under the thread that still reads from it."""
        self._given_up = True
        if self._socket is not None:
            with contextlib.suppress(OSError, ValueError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("that is no http:// or https:// address")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname, parts.port or 443, timeout=timeout_s, context=_context())
    return http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout_s)


@functools.cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _login(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def _late(timeout_s: float) -> str:
    return f"did not answer within {timeout_s:g} s"


def _trouble_of(error: Exception, timeout_s: float) -> tuple[Trouble, str]:
    """Whose fault an error is, and what it says."""
    if isinstance(error, OSError):
        if error.errno in _SPENT and not isinstance(error, socket.gaierror):
            return "own", f"the guard could not ask: {visible(error.strerror or str(error))}"
        if lacking := shortage():  # name look-up and TLS tell a lack of descriptors in other words
            return "own", lacking
    if isinstance(error, TimeoutError):
        return "timeout", _late(timeout_s)
    if isinstance(error, ConnectionRefusedError):
        return "refused", "nobody listens there"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    words = visible(reason) or type(error).__name__
    if isinstance(error, socket.gaierror):
        return ("own", f"out of memory at the name look-up: {words}") if error.errno == socket.EAI_MEMORY else (
            "name", f"its name is not found: {words}"
        )  # fmt: skip
    if isinstance(error, (ConnectionError, http.client.IncompleteRead)):
        return "reset", f"the connection broke off: {words}"
    if isinstance(error, OSError):
        return "unreachable", words
    if isinstance(error, http.client.InvalidURL) or not isinstance(error, http.client.HTTPException):
        return "own", words
    return "nonsense", f"no HTTP: {words}"
