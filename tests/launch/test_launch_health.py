"""Asking a worker how it is: every way of not answering is an answer."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mobius_tui.launch.health import ADDRESS_NAME, Health, address_of, ask_health, wait_healthy, worker_address
from mobius_tui.system.locks import FileLock
from mobius_tui.system.processes import process_token
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

Serve = Callable[..., str]


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path / "ws")
    return open_workspace(tmp_path / "ws", {}, {}, "tester")


@pytest.fixture
def as_worker(ws: Workspace) -> Iterator[None]:
    """This process holds the worker's lock."""
    lock = FileLock(ws.worker_lock)
    assert lock.acquire("tester", "worker")
    yield
    lock.release()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve one answer to everything: ``serve(code, data)``; returns the base URL."""
    servers: list[ThreadingHTTPServer] = []
    over = threading.Event()

    def start(code: int = 200, data: bytes | dict[str, object] = b"", *, drip: bool = False) -> str:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                paths.append(self.path)
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for byte in body if drip else ():
                    self.wfile.write(bytes([byte]))
                    if over.wait(0.05):
                        return
                if not drip:
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    paths: list[str] = []
    start.paths = paths  # type: ignore[attr-defined]
    yield start
    over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def told(ws: Workspace, **values: object) -> None:
    (ws.state / ADDRESS_NAME).write_text(json.dumps({"token": process_token(), "problem": "", **values}))


@pytest.mark.parametrize(
    ("code", "data", "status"),
    [
        (200, {"status": "healthy"}, "healthy"),
        (200, {"status": "degraded"}, "degraded"),
        (200, {"status": "unhealthy"}, "unhealthy"),
        (503, {"status": "unhealthy", "checks": {"x": {"ok": False, "sentence": "no library"}}}, "unhealthy"),
        (503, {"status": "healthy"}, "unreachable"),
        (503, b"<html>", "unreachable"),
        (200, b"<html>", "unreachable"),
        (200, b"[]", "unreachable"),
        (200, {"status": "fine"}, "unreachable"),
        (200, {"status": ["healthy"]}, "unreachable"),
        (200, b"[" * 100_000, "unreachable"),
        (200, b'{"status": "healthy"}' + b" " * 2_000_000, "unreachable"),
        (404, {"status": "healthy"}, "unreachable"),
        (302, {"status": "healthy"}, "unreachable"),
    ],
)
def test_what_an_answer_means(serve: Serve, code: int, data: object, status: str) -> None:
    health = ask_health(serve(code, data), timeout_s=30.0)
    assert health.status == status and health.sentence and health.seconds > 0
    assert health.answers is (status in {"healthy", "degraded"})
    assert bool(health.body) is (status != "unreachable")
    if code == 503 and status == "unhealthy":
        assert health.sentence == "unhealthy: no library"


def test_the_path_of_the_base_url_is_kept(serve: Serve) -> None:
    url = serve(200, {"status": "healthy"})
    assert ask_health(f"{url}/mobius/", 30.0).status == "healthy"
    assert serve.paths == ["/mobius/health"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://x", "http://", "http://[", "nonsense", "http://a:b"])
def test_nobody_there(url: str) -> None:
    health = ask_health(url, 30.0)
    assert health.status == "unreachable" and health.sentence and health.body == {}


def test_a_login_in_the_address_is_not_told() -> None:
    assert "pa55" not in ask_health("http://anna:pa55@127.0.0.1:1/x", 30.0).sentence


def test_an_answer_that_drips_is_none(serve: Serve) -> None:
    url = serve(200, {"status": "healthy", "x": "y" * 20_000}, drip=True)
    health = ask_health(url, 0.3)
    assert health.status == "unreachable" and health.seconds < 20.0
    assert "within 0.3 s" in health.sentence


def test_without_a_worker(ws: Workspace) -> None:
    assert (address_of(ws), worker_address(ws)) == (None, None)
    assert ask_health(ws) == Health("unreachable", {}, "no worker runs", 0.0, "mobius worker start")
    told(ws, url="http://127.0.0.1:1")
    assert address_of(ws) is None, "left by a worker that has ended"


@pytest.mark.usefixtures("as_worker")
def test_the_workers_own_answer(ws: Workspace, serve: Serve) -> None:
    assert "not said yet" in ask_health(ws).sentence
    told(ws, url=serve(200, {"status": "healthy", "worker_id": process_token()}))
    assert ask_health(ws, 30.0).status == "healthy"
    assert ask_health(ws, 30.0).sentence == "healthy"


@pytest.mark.usefixtures("as_worker")
@pytest.mark.parametrize("answer", [{"status": "healthy", "worker_id": "another"}, {"status": "healthy"}])
def test_another_workspaces_worker_is_not_ours(ws: Workspace, serve: Serve, answer: dict[str, object]) -> None:
    url = serve(200, answer)
    told(ws, url=url)
    assert "another process answers there" in ask_health(ws, 30.0).sentence
    behind = replace(ws, sourced=replace(ws.sourced, values=replace(ws.settings, base_url=url)))
    assert address_of(behind) == url
    assert ask_health(behind, 30.0).status == "healthy", "who sets base_url means what answers there"


@pytest.mark.usefixtures("as_worker")
@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"url": 1, "token": 2}', '{"url": "http://x", "token": ""}', "[" * 100_000, "\0"]
)
def test_a_strange_address_file_is_none(ws: Workspace, content: str) -> None:
    (ws.state / ADDRESS_NAME).write_text(content)
    assert worker_address(ws) is None and ask_health(ws).status == "unreachable"


@pytest.mark.usefixtures("as_worker")
def test_an_address_of_another_process_is_stale(ws: Workspace) -> None:
    told(ws, url="http://127.0.0.1:1", token="boot:1:1")
    assert worker_address(ws) is None


@pytest.mark.usefixtures("as_worker")
def test_a_taken_port_is_told(ws: Workspace) -> None:
    told(ws, url="", problem="port 5001 is taken\x1b[2J")
    assert address_of(ws) is None
    found = ask_health(ws)
    assert found.sentence == "the worker runs, but it has no address: port 5001 is taken\\x1b[2J"
    assert "MOBIUS_PORT" in found.fix and "`mobius worker restart`" in found.fix


def test_waiting_until_it_is_healthy(ws: Workspace) -> None:
    now = [0.0]
    answers = [Health("unreachable"), Health("unhealthy"), Health("degraded"), Health("healthy")]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    found = wait_healthy(ws, 60.0, ask=lambda _: answers.pop(0), clock=lambda: now[0], sleep=sleep)
    assert found.status == "degraded" and len(answers) == 1
    assert 0 < now[0] < 10.0


def test_waiting_ends_with_its_time(ws: Workspace) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    found = wait_healthy(ws, 2.0, ask=lambda _: Health("unhealthy"), clock=lambda: now[0], sleep=sleep)
    assert found.status == "unhealthy" and now[0] == pytest.approx(2.0)


def test_it_needs_the_standard_library_only() -> None:
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path.insert(0, {root!r}); import mobius_tui.launch.health; print('aiohttp' in sys.modules)"
    answer = subprocess.run([sys.executable, "-S", "-E", "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
