"""Real receivers of notifications: an HTTP server, and commands."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mobius_tui.workspace import Workspace, init_workspace, open_workspace

PATIENCE_S = 60.0


def until(condition: Callable[[], object], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.02)


class Receiver:
    """Answers each POST and GET as told, and keeps what it got.

    Attributes:
        got: The JSON bodies, in order.
        heads: Their headers.
        answer: Status to answer with; None hangs until ``close``.
    """

    def __init__(self, answer: int | None = 204) -> None:
        self.got: list[dict[str, Any]] = []
        self.heads: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.answer = answer
        self.let_go = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.heads.append({name.lower(): value for name, value in self.headers.items()})
                receiver.paths.append(self.path)
                receiver.got.append(body)
                self._reply()

            def do_GET(self) -> None:
                receiver.paths.append(self.path)
                self._reply()

            def _reply(self) -> None:
                if receiver.answer is None:
                    receiver.let_go.wait(PATIENCE_S)
                    return
                self.send_response(receiver.answer)
                if receiver.answer in {301, 302, 307}:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


def workspace_with(root: Path, settings: str) -> Workspace:
    """A workspace that only its owner can write, with these settings."""
    init_workspace(root)
    root.chmod(0o755)
    (root / "mobius.toml").write_text(settings, encoding="utf-8")
    (root / "mobius.toml").chmod(0o644)
    return open_workspace(root, {}, {}, "tester")


def script(root: Path, name: str, text: str) -> Path:
    folder = root / "bin"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path
