"""Who may ask the guarded endpoints, and what else is refused before anything is read."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from serving import EXTRACT, ask, drained, port_of, raw, serving
from worker_process import until

from mobius_tui.worker.connections import CONNECTIONS
from mobius_tui.worker.http import HttpServer
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

KEY = "right-key-0123456789"
GUARDED = ("/metrics", "/metrics/dhash", "/api/dhash/extract", "/api/", "/api/x", "/metrics/x", "/metricsx")


def opened(root: Path, **flags: object) -> Workspace:
    init_workspace(root)
    return open_workspace(root, {"port": 0, **flags}, {}, "tester")


def head(server: HttpServer, path: str, *lines: str, method: str = "GET") -> str:
    """The status line's number for a request of raw header lines."""
    text = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines]) + "\r\n\r\n"
    return raw(server, text.encode("latin-1")).split(b" ")[1].decode()


def test_the_key_guards_all_but_health(tmp_path: Path) -> None:
    with serving(opened(tmp_path, internal_api_key=KEY)) as server:
        for path in GUARDED:
            status, body, headers = ask(server, "GET", path)
            assert status == 401 and list(body) == ["error"] and headers["www-authenticate"].startswith("Bearer")
        assert ask(server, "GET", "/health")[0] in {200, 503}
        assert ask(server, "GET", "/metrics/dhash", X_Internal_API_Key=KEY)[0] == 200
        status, _, headers = ask(server, "GET", "/metrics", Authorization=f"Bearer {KEY}")
        assert status == 200 and headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert ask(server, "GET", "/metrics", Authorization=f"bearer  {KEY}")[0] == 200


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"X-Internal-API-Key: {KEY}"], "200"),
        ([f"x-internal-api-key:{KEY}"], "200"),
        ([f"X-Internal-API-Key: {KEY}x"], "401"),
        ([f"X-Internal-API-Key: {KEY[:-1]}"], "401"),
        ([f"X-Internal-API-Key: {KEY.upper()}"], "401"),
        (["X-Internal-API-Key:"], "401"),
        (["X-Internal-API-Key: \xff\xfe"], "401"),
        ([f"X-Internal-API-Key: Bearer {KEY}"], "401"),
        ([f"Authorization: {KEY}"], "401"),
        ([f"Authorization: Basic {KEY}"], "401"),
        (["Authorization: Bearer"], "401"),
        ([f"X-Internal-API-Key: {KEY}", "Authorization: Basic Zm9vOmJhcg=="], "200"),
        ([f"X-Internal-API-Key: {KEY}", f"Authorization: Bearer {KEY}"], "200"),
        ([f"X-Internal-API-Key: {KEY}", "Authorization: Bearer wrong"], "401"),
        (["X-Internal-API-Key: wrong", f"Authorization: Bearer {KEY}"], "401"),
        ([f"X-Internal-API-Key: {KEY}", f"X-Internal-API-Key: {KEY}"], "400"),
        ([f"Authorization: Bearer {KEY}", "Authorization: Bearer wrong"], "400"),
        (["Cookie: key=" + KEY], "401"),
    ],
)
def test_ways_to_show_a_key(tmp_path: Path, lines: list[str], status: str) -> None:
    with serving(opened(tmp_path, internal_api_key=KEY)) as server:
        assert head(server, "/metrics/dhash", *lines) == status


def test_without_a_key_only_this_machine_is_answered(tmp_path: Path) -> None:
    with serving(opened(tmp_path)) as server:
        assert ask(server, "GET", "/metrics/dhash")[0] == 200
    with serving(opened(tmp_path, host="0.0.0.0")) as server:
        status, body, _ = ask(server, "GET", "/metrics/dhash")
        assert status == 403 and "INTERNAL_API_KEY" in body["error"]
        assert ask(server, "GET", "/health")[0] in {200, 503}
    with serving(opened(tmp_path, host="0.0.0.0", internal_api_key=KEY)) as server:
        assert ask(server, "GET", "/metrics/dhash", X_Internal_API_Key=KEY)[0] == 200


def test_a_key_that_cannot_be_read_closes_what_it_guards(tmp_path: Path) -> None:
    file = tmp_path / "api.key"
    file.write_text(KEY)
    file.chmod(0o644)
    ws = opened(tmp_path, internal_api_key_file=str(file))
    with serving(ws) as server:
        status, body, _ = ask(server, "GET", "/metrics/dhash", X_Internal_API_Key=KEY)
        assert status == 403 and "others can read" in body["error"] and KEY not in body["error"]
        file.chmod(0o600)
        server._endpoints.gate.read_key()
        assert ask(server, "GET", "/metrics/dhash", X_Internal_API_Key=KEY)[0] == 200
        file.write_text("another")
        server._endpoints.gate.read_key()
        assert ask(server, "GET", "/metrics/dhash", X_Internal_API_Key=KEY)[0] == 401
    log = (ws.logs / "service.log").read_text()
    assert log.count("others can read") == 1 and KEY not in log


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ("GET /health HTTP/1.0\r\n\r\n", "ok"),
        ("GET /health HTTP/1.0\r\nHost: evil.example\r\n\r\n", "403"),
        ("GET /health HTTP/1.1\r\n\r\n", "40"),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "40"),
        ("GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", "ok"),
        ("GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", "403"),
        ("GET http://localhost/health HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403"),
        ("GET http://user@localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", "403"),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", "40"),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n", "ok"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "40"),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n", "ok"),
        ("POST /api/dhash/extract HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 1\r\n"
         "Expect: something\r\n\r\nx", "417"),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "ok"),
        ("GET /health?" + "a" * 3000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "ok"),
        ("GET /" + "a" * 5000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "400"),
        ("GET /health%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET /%c0%af/health HTTP/1.1\r\nHost: localhost\r\n\r\n", "404"),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\x00\x01", "400"),
        ("nonsense\r\n\r\n", "400"),
    ],
)  # fmt: skip
def test_odd_requests(tmp_path: Path, data: str, status: str) -> None:
    with serving(opened(tmp_path)) as server:
        answer = raw(server, data.encode("latin-1") + b"\r\n")
        found = answer.split(b" ")[1].decode()
        assert found in {"200", "503"} if status == "ok" else found.startswith(status)
        assert b"\r\nContent-Type: application/json" in answer


def test_what_is_no_http_is_answered_in_json(tmp_path: Path) -> None:
    with serving(opened(tmp_path)) as server:
        answer = raw(server, b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        assert b'{"error": ' in answer and b"bad header" not in answer
        assert server._requests.read().of("other") == 1


def test_one_request_a_connection(tmp_path: Path) -> None:
    with serving(opened(tmp_path)) as server:
        one = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert raw(server, one * 50).count(b"HTTP/1.1 ") == 1


def test_chunks_with_extensions_and_trailers(tmp_path: Path) -> None:
    with serving(opened(tmp_path)) as server:
        start = f"POST {EXTRACT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
        start += b"Transfer-Encoding: chunked\r\n\r\n"
        body = b'4;x="y"\r\n{"pa\r\nb\r\nth": "a.a"}\r\n0\r\nX: y\r\n\r\n'
        assert b" 404 " in raw(server, start + body).split(b"\r\n")[0]
        assert b" 400 " in raw(server, start + b"zz\r\n{}\r\n0\r\n\r\n").split(b"\r\n")[0]
        assert b" 400 " in raw(server, start + b"ffffffffffffffffff\r\n{}\r\n").split(b"\r\n")[0]
        long = raw(server, start + b"2;" + b"x" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n")
        assert not long or b" 4" in long.split(b"\r\n")[0]


def test_idle_connections_never_keep_health_from_who_asks(tmp_path: Path) -> None:
    with serving(opened(tmp_path)) as server:
        idle = [socket.create_connection(("127.0.0.1", port_of(server)), timeout=60) for _ in range(CONNECTIONS * 3)]
        for number, sock in enumerate(idle):
            try:
                sock.sendall(b"GET /health HTTP/1.1\r\n"[: number % 20])
            except OSError:  # it had to make room already
                continue
        for _ in range(20):
            began = time.monotonic()
            assert ask(server, "GET", "/health")[0] in {200, 503}
            assert time.monotonic() - began < 5, "long before the idle ones are cut off"
        assert server.connections() <= CONNECTIONS
        for sock in idle:
            sock.close()
        until(lambda: server.connections() == 0, "they are gone")


def test_who_sends_more_than_a_request_is_cut_off(tmp_path: Path) -> None:
    with serving(opened(tmp_path)) as server:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=60) as sock:
            sent = 0
            try:
                sock.sendall(b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
                while sent < 100_000_000:
                    sent += sock.send(bytes(65536))
            except OSError:
                pass
            assert sent < 50_000_000
            drained(sock)
        assert ask(server, "GET", "/health")[0] in {200, 503}
