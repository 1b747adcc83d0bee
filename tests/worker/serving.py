"""A worker's HTTP in this process, and raw questions to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

from worker_process import until

from mobius_tui.logs import JsonLog
from mobius_tui.system.processes import process_token
from mobius_tui.worker.health import HealthChecks
from mobius_tui.worker.http import HttpServer
from mobius_tui.workspace import Workspace

EXTRACT = "/api/dhash/extract"


@contextlib.contextmanager
def serving(ws: Workspace) -> Iterator[HttpServer]:
    token = process_token()
    server = HttpServer(ws, token, HealthChecks(ws, token), JsonLog(ws.logs / "service.log"))
    server.start()
    try:
        until(lambda: server.url, "the server listens")
        yield server
    finally:
        server.stop()


def port_of(server: HttpServer) -> int:
    return int(server.url.rpartition(":")[2])


def ask(
    server: HttpServer, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """One question: status, JSON body and headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        data = answer.read()
        kind = answer.getheader("Content-Type", "")
        found = json.loads(data) if kind.startswith("application/json") and data else {"text": data.decode()}
        return answer.status, found, {name.lower(): text for name, text in answer.getheaders()}
    finally:
        connection.close()


def extract(server: HttpServer, path: object, **more: object) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"path": path, **more}).encode()
    return ask(server, "POST", EXTRACT, body, Content_Type="application/json")[:2]


def upload(server: HttpServer, data: bytes, kind: str = "image/png", query: str = "") -> tuple[int, dict[str, Any]]:
    return ask(server, "POST", EXTRACT + query, data, Content_Type=kind)[:2]


def form(*fields: tuple[str, bytes], boundary: str = "edge") -> bytes:
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n'
        % (boundary.encode(), name.encode(), data)
        for name, data in fields
    ]
    return b"".join(parts) + b"--" + boundary.encode() + b"--\r\n"


def raw(server: HttpServer, data: bytes, *, more: bytes = b"", size: int = 1 << 20) -> bytes:
    """What comes back for raw bytes, until the end of the connection."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=60) as sock:
        sock.sendall(data)
        if more:
            sock.sendall(more)
        return drained(sock, size)


def drained(sock: socket.socket, size: int = 1 << 20) -> bytes:
    parts = b""
    with contextlib.suppress(ConnectionError):
        while len(parts) < size and (part := sock.recv(65536)):
            parts += part
    return parts
