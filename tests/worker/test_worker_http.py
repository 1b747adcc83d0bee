"""The worker's HTTP: bounded, for this host alone, and never in the worker's way."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from worker_process import until

from mobius_tui.launch.health import ADDRESS_NAME, ask_health, worker_address
from mobius_tui.logs import JsonLog
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.system.locks import FileLock
from mobius_tui.system.processes import process_token
from mobius_tui.worker import connections, endpoints
from mobius_tui.worker import http as worker_http
from mobius_tui.worker.answers import Refused
from mobius_tui.worker.endpoints import is_own_host
from mobius_tui.worker.health import Check, HealthChecks
from mobius_tui.worker.http import HttpServer
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

Serve = Callable[..., HttpServer]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path / "ws")
    return open_workspace(tmp_path / "ws", {"port": 0}, {}, "tester")


@pytest.fixture
def serve(ws: Workspace) -> Iterator[Serve]:
    started: list[HttpServer] = []

    def start(checks: HealthChecks | None = None, at: Workspace = ws, **how: object) -> HttpServer:
        token = process_token()
        log = JsonLog(at.logs / "service.log")
        started.append(HttpServer(at, token, checks or HealthChecks(at, token), log, **how))  # type: ignore[arg-type]
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()


def port_of(server: HttpServer) -> int:
    until(lambda: server.url, "the server listens")
    return int(server.url.rpartition(":")[2])


def ask(server: HttpServer, method: str = "GET", path: str = "/health", **headers: str) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data, answer.getheader("Content-Type", "")


def test_health_says_who_and_how(serve: Serve, ws: Workspace) -> None:
    server = serve()
    status, data, kind = ask(server)
    body = json.loads(data)
    assert status in {200, 503} and kind.startswith("application/json")
    assert {"timestamp", "status", "version", "system", "uptime", "environment", "library_id", "worker_id", "checks",
            "warnings"} <= body.keys()  # fmt: skip
    assert body["worker_id"] == process_token() and body["timestamp"].endswith("Z") and body["uptime"] >= 0
    assert set(body["checks"]) == {"library", "catalogue", "database", "worker", "pool", "disk", "backup"}
    assert ask(server, "HEAD")[:2] == (status, b"")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 404),
        ("GET", "/health/", {}, 404),
        ("GET", "/metrics/", {}, 404),
        ("GET", "/%68ealth", {}, 404),
        ("GET", "/metrics/../health", {}, 404),
        ("POST", "/metrics", {}, 405),
        ("GET", "/api/dhash/extract", {}, 405),
        ("OPTIONS", "/health", {}, 405),
        ("TRACE", "/health", {}, 405),
        ("GET", "//health", {}, 404),
        ("POST", "/health", {}, 405),
        ("DELETE", "/health", {}, 405),
        ("GET", "/health", {"Host": "evil.example"}, 403),
        ("GET", "/health", {"Host": "localhost.evil.example:5001"}, 403),
        ("GET", "/health", {"Host": "192.0.2.1"}, 403),
        ("GET", "/health", {"Origin": "http://localhost"}, 403),
        ("GET", "/health", {"Origin": "null"}, 403),
        ("POST", "/nothing", {"Host": "evil.example"}, 403),
    ],
)
def test_all_else_is_refused_as_small_json(
    serve: Serve, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    found, data, kind = ask(serve(), method, path, **headers)
    assert found == status and kind.startswith("application/json")
    assert list(json.loads(data)) == ["error"] and len(data) < 200


def test_the_port_of_a_tunnel_is_no_foreign_host(serve: Serve) -> None:
    server = serve()
    for host in ("localhost:9999", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert ask(server, Host=host)[0] in {200, 503}


@pytest.mark.parametrize(
    ("given", "host", "base_url", "own"),
    [
        ("mobius.lan:80", "127.0.0.1", "https://mobius.lan/x", True),
        ("other.lan", "127.0.0.1", "https://mobius.lan", False),
        ("10.0.0.5:5001", "127.0.0.1", "", False),
        ("10.0.0.5:5001", "0.0.0.0", "", True),
        ("evil.example", "0.0.0.0", "", False),
        ("host.lan", "host.lan", "", True),
        ("user@localhost", "127.0.0.1", "", False),
        ("localhost/x", "127.0.0.1", "", False),
        ("localhost:x", "127.0.0.1", "", False),
        ("", "0.0.0.0", "", False),
        ("0.0.0.0", "127.0.0.1", "", False),
    ],
)
def test_which_hosts_are_ours(given: str, host: str, base_url: str, own: bool) -> None:
    assert is_own_host(given, host, base_url) is own


def test_headers_are_bounded(serve: Serve) -> None:
    server = serve()
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
        assert b" 400 " in raw.recv(65_536).split(b"\r\n")[0]
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 500 + b"\r\n")
        assert b" 400 " in raw.recv(65_536).split(b"\r\n")[0]
    assert ask(server)[0] in {200, 503}


def test_a_slow_client_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTION_S", 0.2)
    server = serve()
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as raw:
        raw.sendall(b"GET /health HT")
        with pytest.raises(ConnectionResetError):
            while raw.recv(1):
                pass
            raise ConnectionResetError  # a plain end is as good


def test_no_connection_lives_longer_than_its_time(serve: Serve, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTION_S", 0.2)
    monkeypatch.setattr(endpoints, "CHECKS_S", 3600.0)
    server = serve(Hanging(ws, process_token()))
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        ask(server)


def test_a_body_of_any_size_is_not_waited_for(serve: Serve) -> None:
    with socket.create_connection(("127.0.0.1", port_of(serve())), timeout=30) as raw:
        raw.sendall(b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nx")
        assert b" 405 " in raw.recv(65_536).split(b"\r\n")[0]


def test_who_asks_nothing_makes_room_for_who_does(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 3)
    server = serve()
    port = port_of(server)
    held = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(3)]
    for raw in held:  # all three are known to the server before the fourth comes
        raw.sendall(b"GET /hea")
    until(lambda: server.connections() == 3, "three connections")
    assert ask(server)[0] in {200, 503}
    assert ended(held[0]), "the oldest had to go"
    held[2].sendall(b"lth HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert held[2].recv(100).startswith(b"HTTP/1.1 "), "the youngest had not"
    for raw in held:
        raw.close()
    until(lambda: server.connections() == 0, "they are gone")
    assert ask(server)[0] in {200, 503}


def test_who_sends_json_slowly_makes_room_too(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTION_S", 3600.0)
    monkeypatch.setattr(connections, "CONNECTIONS", 3)
    server = serve()
    port = port_of(server)
    held = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(3)]
    for raw in held:
        raw.sendall(b"POST /api/dhash/extract HTTP/1.1\r\nHost: localhost\r\n")
        raw.sendall(b"Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{")
    until(lambda: server.connections() == 3, "three connections")
    assert ask(server)[0] in {200, 503}
    assert ended(held[0]), "the oldest had to go, and was not waited for"
    for raw in held:
        raw.close()
    until(lambda: server.connections() == 0, "they are gone")


def ended(raw: socket.socket) -> bool:
    try:
        return raw.recv(100) == b""
    except ConnectionResetError:
        return True


def test_one_connection_too_many_waits_for_a_place(
    serve: Serve, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS", 3)
    monkeypatch.setattr(endpoints, "CHECKS_S", 3600.0)
    server = serve(Hanging(ws, process_token()))
    port = port_of(server)
    held = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(3)]
    for raw in held:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    until(lambda: working(server) == 3, "three that are being answered")
    with socket.create_connection(("127.0.0.1", port), timeout=30) as fourth:
        fourth.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        held[0].close()
        assert fourth.recv(100).startswith(b"HTTP/1.1 404 ")
    assert working(server) == 2
    for raw in held:
        raw.close()
    until(lambda: server.connections() == 0, "they are gone")


def working(server: HttpServer) -> int:
    assert server._doors is not None
    return sum(connection.stage == "working" for connection in list(server._doors._open))


class Hanging(HealthChecks):
    """Checks that never end, as on a network filesystem that is gone."""

    def ask(self) -> Future[dict[str, Check]]:
        return Future()


def test_checks_that_hang_are_unhealthy_and_hold_nobody_up(
    serve: Serve, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "CHECKS_S", 0.05)
    status, data, _ = ask(serve(Hanging(ws, process_token())))
    assert status == 503 and "have not ended" in json.loads(data)["warnings"][0]


class Broken(HealthChecks):
    """Checks with a defect."""

    def ask(self) -> Future[dict[str, Check]]:
        raise RuntimeError("secret detail")


def test_a_defect_is_an_answer_and_a_log_record(serve: Serve, ws: Workspace) -> None:
    status, data, _ = ask(serve(Broken(ws, process_token())))
    assert status == 500 and b"secret" not in data
    assert "secret detail" in (ws.logs / "service.log").read_text()


def test_the_address_is_kept_and_removed(serve: Serve, ws: Workspace) -> None:
    server = serve()
    path = ws.state / ADDRESS_NAME
    until(path.exists, "the address")
    port = port_of(server)
    until(lambda: json.loads(path.read_bytes())["url"] == f"http://127.0.0.1:{port}", "its address")
    assert path.stat().st_mode & 0o137 == 0
    lock = FileLock(ws.worker_lock)
    assert worker_address(ws) is None, "whoever wrote it does not hold the worker's lock"
    assert lock.acquire("tester", "worker")
    try:
        address = worker_address(ws)
        assert address is not None and address.url == server.url
        assert ask_health(ws).body["worker_id"] == process_token()
    finally:
        lock.release()
    server.stop()
    assert not path.exists()


def test_a_disk_that_hangs_keeps_nobody_from_being_answered(
    serve: Serve, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_http, "_KEEP_S", 0.05)
    server = serve()
    port_of(server)
    hung, goes_on = threading.Event(), threading.Event()

    def hang(path: Path) -> object:
        hung.set()
        goes_on.wait(60)
        return read_whole(path)

    monkeypatch.setattr(worker_http, "read_whole", hang)
    try:
        assert hung.wait(30), "the address is looked after"
        assert ask(server)[0] in {200, 503}
        assert not goes_on.is_set()
    finally:
        goes_on.set()
    monkeypatch.setattr(worker_http, "read_whole", read_whole)
    server.stop()
    assert not (ws.state / ADDRESS_NAME).exists()


def test_figures_are_read_again_after_no_thread_could_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = endpoints.Shared(lambda: 7)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", refuse)
        found, problem = shared.ask().result(0)
        assert not found and isinstance(problem, Refused) and problem.answer.status == 503
    assert shared.ask().result(30) == ([7], None)


def test_the_address_of_another_worker_is_left_alone(serve: Serve, ws: Workspace) -> None:
    server = serve()
    port_of(server)
    path = ws.state / ADDRESS_NAME
    until(path.exists, "the address")
    others = json.dumps({"url": "http://127.0.0.1:1", "token": "another", "problem": ""})
    path.write_text(others)
    server.stop()
    assert path.read_text() == others


def test_a_taken_port_is_told_and_taken_when_it_is_free(
    serve: Serve, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []
    real = worker_http._bound
    monkeypatch.setattr(worker_http, "_bound", lambda host, port: (tries.append(port), real(host, port))[1])
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        elsewhere = replace(ws, sourced=replace(ws.sourced, values=replace(ws.settings, port=port)))
        server = serve(at=elsewhere, retry_s=(0.02,))
        until(lambda: (ws.state / ADDRESS_NAME).exists(), "the address file")
        told = json.loads((ws.state / ADDRESS_NAME).read_bytes())
        assert told["url"] == "" and told["problem"].startswith(f"port {port} on 127.0.0.1 is taken by another program")
        until(lambda: len(tries) > 3, "several tries")
    until(lambda: server.url, "the port is taken over")
    assert port_of(server) == port
    until(lambda: json.loads((ws.state / ADDRESS_NAME).read_bytes())["url"] == server.url, "the address is kept")
    log = (ws.logs / "service.log").read_text()
    assert log.count("no_address") == 1, "told once, however often it was tried"


@pytest.mark.parametrize("host", ["192.0.2.77", "no.such.host.invalid"])
def test_a_host_that_cannot_be_bound_is_told(serve: Serve, ws: Workspace, host: str) -> None:
    elsewhere = replace(ws, sourced=replace(ws.sourced, values=replace(ws.settings, host=host)))
    server = serve(at=elsewhere, retry_s=(0.02,))
    until(lambda: host in server.problem, "it is told")
    assert not server.url


def test_it_ends_at_once_also_while_it_waits_for_the_port(serve: Serve, ws: Workspace) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        elsewhere = replace(ws, sourced=replace(ws.sourced, values=replace(ws.settings, port=port)))
        server = serve(at=elsewhere, retry_s=(3600.0,))
        until(lambda: "taken" in server.problem, "it is told")
        before = {thread.name for thread in threading.enumerate()}
        assert "http" in before
        server.stop()
        assert "http" not in {thread.name for thread in threading.enumerate()}
        assert not (ws.state / ADDRESS_NAME).exists()
