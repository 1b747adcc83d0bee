"""The connections of the worker's HTTP: how many, for how long, and who makes room.

A connection that has asked nothing yet gives its place to one that comes: slow and silent clients never keep others
from being answered.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from aiohttp.web import BaseRequest, RequestHandler, Response, Server, StreamResponse

CONNECTIONS: Final = 64
"""Connections at once."""

CONNECTION_S: Final = 10.0
"""Seconds a connection may live, beside the time that an image is received and hashed in."""

REQUEST_BYTES: Final = 512 * 1024
"""Bytes that a connection may send, beside an upload."""

LINE_BYTES: Final = 4096
"""Bytes of the request line, or of a header, at most."""

HEADERS: Final = 64
"""Headers at most."""

GRACE_S: Final = 0.05
"""Seconds that each has to ask, or to read its answer, before it may have to make room."""

_LINGER_S = 0.5
_PAUSE_S = 0.01

Stage = Literal["waiting", "working", "answered"]
Handler = Callable[[BaseRequest], Awaitable[StreamResponse]]


class Connection(RequestHandler):
    """One connection: one request, one answer.

    Attributes:
        stage: ``waiting`` for the headers, ``working`` on the answer, or ``answered``.
        since: When it came, or got its answer, by the loop's clock.
    """

    def __init__(self, doors: Doors, loop: asyncio.AbstractEventLoop, **limits: Any) -> None:
        super().__init__(doors, loop=loop, **limits)
        self.stage: Stage = "waiting"
        self.since = loop.time()
        self._doors = doors
        self._most = REQUEST_BYTES
        self._received = 0
        self._ended = False
        self._timer: asyncio.TimerHandle | None = loop.call_later(doors.connection_s, self.abort)

    def hold(self, more: int = 0) -> None:
        """Stay open until the answer is there: its handler has limits of its own.

        Args:
            more: Bytes that may be sent beside the headers.
        """
        self._most += more
        self._stop_timer()

    def answered(self) -> None:
        """Begin the time in which the answer must have been read."""
        self.stage, self.since = "answered", self._doors.loop.time()
        self._stop_timer()
        if not self._ended:
            self._timer = self._doors.loop.call_later(self._doors.connection_s, self.abort)

    def abort(self) -> None:
        """End at once; a client that does not read would keep a polite end waiting."""
        self._end()
        transport = self.transport  # None before it is there, and once it is over
        if transport is not None:
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called by asyncio."""
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._received += len(data)
        if self._received > self._most:
            self.abort()
        else:
            super().data_received(data)

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> StreamResponse:
        """What is answered to what is no HTTP; called by aiohttp."""
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer was sent already")
        self._doors.on_malformed(status)
        self.answered()
        return response(status, {"error": "that is no HTTP request as it should be, or one of its lines is too long"})

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self._ended = True
        self._stop_timer()
        self._doors.left(self)


class Doors(Server):
    """All connections.

    Args:
        answer: Answers a request.
        on_malformed: Told the status that something was answered which was no request.
        quiet: A logger that says nothing: clients' mistakes are no news, and stderr is a terminal.
    """

    def __init__(self, answer: Handler, on_malformed: Callable[[int], None], quiet: Any) -> None:
        # handler_cancellation: for a client that has gone nothing is hashed
        super().__init__(answer, handler_cancellation=True)
        self.loop = asyncio.get_running_loop()
        self.on_malformed = on_malformed
        self.connection_s = CONNECTION_S
        self._most = CONNECTIONS
        self._quiet = quiet
        self._open: dict[Connection, None] = {}  # in order of their coming

    def __len__(self) -> int:
        return len(self._open)

    def __call__(self) -> RequestHandler:
        """The protocol of a connection that has come; called by asyncio."""
        came = Connection(
            self,
            self.loop,
            logger=self._quiet,
            access_log=None,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS,
            keepalive_timeout=self.connection_s,
            lingering_time=_LINGER_S,
            auto_decompress=False,
        )
        self._open[came] = None
        return came

    async def admit(self, bound: socket.socket) -> None:
        """Take connections as they come and as there is room, until cancelled; the system holds the others."""
        while True:
            while len(self._open) >= self._most and not self._make_room():
                await asyncio.sleep(_PAUSE_S)
            try:
                came, _ = await self.loop.sock_accept(bound)
                await self.loop.connect_accepted_socket(self, came)
            except OSError:  # no descriptor is left, or it has gone already
                await asyncio.sleep(_PAUSE_S)

    def left(self, connection: Connection) -> None:
        """A connection is over."""
        self._open.pop(connection, None)

    def _make_room(self) -> bool:
        """End the oldest that has not asked yet, or else the oldest that has its answer; whether there was one."""
        now = self.loop.time()
        for stage in ("waiting", "answered"):
            for connection in self._open:
                if connection.stage == stage and now - connection.since > GRACE_S:
                    connection.abort()
                    return True
        return False


def response(status: int, body: object, kind: str = "", headers: dict[str, str] | None = None) -> Response:
    """An answer that ends its connection.

    Args:
        status: HTTP status.
        body: Text, or data for JSON.
        kind: Content type; empty means JSON.
        headers: Further headers.
    """
    text = body if isinstance(body, str) else json.dumps(body, default=str) + "\n"
    own = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "MOBIUS", **(headers or {})}
    own["Content-Type"] = kind or "application/json; charset=utf-8"
    answer = Response(body=text.encode("utf-8", "backslashreplace"), status=status, headers=own)
    answer.force_close()
    return answer
