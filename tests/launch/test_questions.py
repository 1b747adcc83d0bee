"""One question over HTTP: whatever the service does, the answer comes in time and says whose fault it is."""

from __future__ import annotations

import base64
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripted_service import (
    HEALTH,
    ScriptedService,
    body,
    broken_off,
    drip,
    hang,
    healthy,
    html,
    reset,
    slow,
    status,
    text,
)

from mobius_tui.launch import questions
from mobius_tui.launch.questions import MOST_BYTES, Answer, call, shortage, shown_url

ROOMY_S = 30.0


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    with ScriptedService() as started:
        yield started


def ask(url: str, timeout_s: float = ROOMY_S, **more: object) -> Answer:
    return call(url, "GET", HEALTH, timeout_s=timeout_s, **more)


def test_an_answer_is_told_whole(service: ScriptedService) -> None:
    service.health = text(b'{"a": 1}', 503, headers={"Retry-After": "7"})
    answer = ask(service.url)
    assert (answer.status, answer.data, answer.trouble, answer.problem) == (503, b'{"a": 1}', "", "")
    assert answer.headers["retry-after"] == "7" and answer.seconds > 0 and answer.stalled_s == 0


def test_what_is_sent(service: ScriptedService) -> None:
    url = service.url.replace("http://", "http://anna:s%40crèt@") + "/base/"
    call(url, "POST", "/x", body=b"{}", headers={"X-Internal-API-Key": "k"}, timeout_s=ROOMY_S)
    sent = service.headers["/base/x"]
    assert base64.b64decode(sent["authorization"].split()[1]).decode() == "anna:s@crèt"
    assert sent["x-internal-api-key"] == "k" and sent["content-length"] == "2" and "@" not in sent["host"]


def test_no_redirect_is_followed_and_no_proxy_asked(service: ScriptedService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    service.health = text("", 302, headers={"Location": f"{service.url}/elsewhere"})
    assert ask(service.url).status == 302 and service.counts["/elsewhere"] == 0


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        (reset(), "reset"),
        (broken_off(), "reset"),
        (text(b"x" * (MOST_BYTES + 1)), "too long"),
        (status(204), ""),
        (html(), ""),
    ],
)
def test_what_can_go_wrong_with_an_answer(service: ScriptedService, script: object, trouble: str) -> None:
    service.health = script
    answer = ask(service.url)
    assert answer.trouble == trouble and bool(answer.problem) is bool(trouble)
    assert not (trouble and answer.data)


@pytest.mark.parametrize("script", [hang(), drip(), slow(3600.0, healthy())])
def test_the_time_limit_holds_for_everything(service: ScriptedService, script: object) -> None:
    service.health = script
    answer = ask(service.url, 0.4)
    assert answer.trouble == "timeout" and 0.4 <= answer.seconds < 10
    assert answer.problem == "did not answer within 0.4 s"


def test_nobody_listens(service: ScriptedService) -> None:
    service.stop()
    assert ask(service.url).trouble == "refused"
    service.start()
    assert ask(service.url).status == 200


def test_no_http_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"220 mail ready\r\n")
            connection.close()

        threading.Thread(target=babble, daemon=True).start()
        assert ask(f"http://127.0.0.1:{server.getsockname()[1]}").trouble == "nonsense"


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "unknown"), socket.gaierror(socket.EAI_AGAIN, "")]
)
def test_a_name_that_is_not_found_is_no_answer(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    assert ask("http://service.invalid").trouble == "name"


def test_a_name_look_up_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60) or [])
    answer = ask("http://service.invalid", 0.3)
    over.set()
    assert answer.trouble == "timeout" and answer.seconds < 10


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://[::1", "http://host:99999", "http://a b/", "nonsense"])
def test_an_address_that_is_none_is_the_asker_s_fault(url: str) -> None:
    answer = ask(url)
    assert answer.trouble == "own" and answer.problem


def test_a_lack_of_descriptors_is_the_asker_s_fault(service: ScriptedService) -> None:
    code = (
        "import resource, os, socket, sys\n"
        "from mobius_tui.launch.questions import call, shortage\n"
        "import encodings.idna\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))\n"
        "kept = []\n"
        "try:\n"
        "    while True: kept.append(os.open('/dev/null', os.O_RDONLY))\n"
        "except OSError: pass\n"
        "for spare in (0, 1, 2):\n"
        "    for url in sys.argv[1:]: print(call(url, 'GET', '/health', timeout_s=20.0).trouble or 'answered')\n"
        "    os.close(kept.pop())\n"
        "print(bool(shortage()))\n"
    )
    named = "http://some.name.invalid"
    done = subprocess.run([sys.executable, "-c", code, service.url, named], capture_output=True, text=True, check=True)
    told = done.stdout.split()
    assert told[:2] == ["own", "own"] and told[3] == "own" and told[5] == "own" and told[-1] == "True", told
    assert shortage() == ""


def test_no_thread_to_ask_with_is_the_asker_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fails)
    assert ask("http://127.0.0.1:1").trouble == "own"


def test_a_defect_in_asking_is_the_asker_s_fault(monkeypatch: pytest.MonkeyPatch, service: ScriptedService) -> None:
    monkeypatch.setattr(questions, "_login", lambda _: 1 / 0)
    assert ask(service.url).trouble == "own"


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_standing_still_is_told(service: ScriptedService) -> None:
    """The process is stopped in the middle of a question, for longer than the limit."""
    service.health = hang()
    code = (
        "import sys; from mobius_tui.launch.questions import call\n"
        "print('asking', flush=True)\n"
        "a = call(sys.argv[1], 'GET', '/health', timeout_s=2.0); print(a.trouble, a.stalled_s, a.seconds)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, service.url], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "asking\n"
    while not service.counts[HEALTH]:
        time.sleep(0.01)
    child.send_signal(signal.SIGSTOP)
    time.sleep(3.5)
    child.send_signal(signal.SIGCONT)
    trouble, stalled, seconds = child.communicate(timeout=60)[0].split()
    assert trouble == "timeout" and float(stalled) > 0.5 and float(seconds) >= 3.0


def test_suspended_time_counts_and_is_told(service: ScriptedService) -> None:
    """The clock jumps, as it does when the machine has slept."""
    service.health = slow(0.6, healthy())
    jumps = iter([0.0, 0.1])
    answer = ask(service.url, 5.0, clock=lambda: next(jumps, 1000.0))
    assert answer.trouble == "timeout" and answer.stalled_s > 900


def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is trusted answers; one that is not is no answer; a handshake that hangs ends in time."""
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl")
    with ScriptedService() as service:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
        assert service._server is not None
        service._server.socket = context.wrap_socket(
            service._server.socket, server_side=True, do_handshake_on_connect=False
        )
        url = service.url.replace("http", "https")
        questions._context.cache_clear()
        assert ask(url).trouble == "unreachable"
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        questions._context.cache_clear()
        assert json.loads(ask(url).data) == {"status": "healthy"}
        with socket.create_server(("127.0.0.1", 0)) as silent:
            answer = ask(f"https://127.0.0.1:{silent.getsockname()[1]}", 0.4)
            assert answer.trouble == "timeout" and answer.seconds < 10
    questions._context.cache_clear()


def test_nothing_is_left_behind(service: ScriptedService) -> None:
    """Threads and descriptors of questions that were given up end with them."""
    service.health = lambda number: [hang(), drip(), reset(), body({})][number % 4]
    for _ in range(4):
        ask(service.url, 0.2)
    deadline = time.monotonic() + ROOMY_S
    while any(thread.name == "question" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(thread.name == "question" for thread in threading.enumerate())


def test_an_address_is_shown_without_its_login() -> None:
    assert shown_url("https://anna:secret@host:1/x/") == "https://host:1/x"
    assert shown_url("http://[") == "the base URL"
