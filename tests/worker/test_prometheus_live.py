"""A real Prometheus scrapes a real worker with the key, and an alert of the shipped rules fires."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from metrics_texts import dashboard_expressions
from worker_process import Worker, make_workspace, until

from mobius_tui.launch.health import worker_address
from mobius_tui.monitoring import RULES, path_of
from mobius_tui.workspace import Workspace

KEY = "k3y-of-the-service-0123456789abcdef"

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus is not installed (package prometheus)",
)

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: mobius
    authorization: {{type: Bearer, credentials_file: key}}
    static_configs: [{{targets: ["{target}"]}}]
  - job_name: stranger
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """A Prometheus process, asked over its API."""

    def __init__(self, folder: Path, target: str) -> None:
        folder.mkdir()
        (folder / "key").write_text(KEY + "\n")
        (folder / "prometheus.yml").write_text(CONFIG.format(target=target))
        # the shipped rules, but for how long a condition has to hold: nobody waits minutes here
        rules = path_of(RULES).read_text()
        for hold in ("for: 1m", "for: 2m", "for: 5m", "for: 15m", "for: 30m"):
            rules = rules.replace(f"{hold}\n", "for: 2s\n")
        (folder / "rules.yml").write_text(rules)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def ask(self, path: str) -> Any:
        """The data of an answer; None while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as answer:
                return json.load(answer)["data"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Label sets and values of an instant query."""
        data = self.ask(f"query?query={quote(expression)}") or {"result": []}
        return [(found["metric"], float(found["value"][1])) for found in data["result"]]

    def value(self, expression: str) -> float | None:
        """The value of a query with one answer."""
        found = self.query(expression)
        return found[0][1] if len(found) == 1 else None

    def shows(self, expression: str, wanted: float) -> None:
        """Wait for a value: on a busy machine a scrape may be late."""
        until(lambda: self.value(expression) == wanted, f"{expression} is {wanted}")


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Callable[[str], Prometheus]]:
    started: list[Prometheus] = []

    def start(url: str) -> Prometheus:
        started.append(Prometheus(tmp_path / f"prometheus{len(started)}", url.removeprefix("http://")))
        return started[-1]

    yield start
    for server in started:
        server.process.kill()
        server.process.wait()


def scraped(url: str, path: str, key: str = KEY) -> str:
    request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def broken_library(root: Path) -> Workspace:
    """30 good images and 10 that cannot be decoded."""
    ws = make_workspace(root, 30)
    for number in range(10):
        (ws.library / f"bad{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([number]) * 50)
    return ws


def test_a_real_prometheus_sees_the_work_and_alerts_fire_also_when_the_worker_dies(
    tmp_path: Path,
    start_worker: Callable[[Workspace], Worker],
    prometheus: Callable[[str], Prometheus],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INTERNAL_API_KEY", KEY)
    monkeypatch.setenv("MOBIUS_PORT", "0")
    ws = broken_library(tmp_path / "ws")
    worker = start_worker(ws)
    until(lambda: (found := worker_address(ws)) is not None and found.url, "the worker answers")
    address = worker_address(ws)
    assert address is not None
    server = prometheus(address.url)
    server.shows('up{job="mobius"}', 1)
    server.shows("mobius_images_processed_total", 0)
    assert server.query('ALERTS{alertname="MobiusFailuresHigh"}') == []

    command = [sys.executable, "-m", "mobius_tui", "migrate", "--workspace", str(ws.root)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 2, done.stderr  # too many failed: refused, and told
    server.shows("mobius_images_processed_total", 40)  # the work of another process
    server.shows("mobius_images_failed_total", 10)
    server.shows("mobius_hash_time_seconds_count", 40)
    server.shows("mobius_extraction_failures_ratio", 0.25)

    firing = 'ALERTS{alertname="MobiusFailuresHigh", alertstate="firing"}'
    until(lambda: server.query(firing), "the alert about failures fires")
    (alert,) = [
        found for found in server.ask("alerts")["alerts"] if found["labels"]["alertname"] == "MobiusFailuresHigh"
    ]
    assert (alert["labels"]["severity"], alert["labels"]["audience"]) == ("critical", "qa")
    assert alert["annotations"]["summary"].startswith("25% of the images fail")
    texts = [text for found in server.ask("alerts")["alerts"] for text in found["annotations"].values()]
    assert not [text for text in texts if "<error" in text or "no value" in text]

    # negative controls: without the key nothing is scraped, and what is well raises nothing
    server.shows('up{job="stranger"}', 0)
    assert server.query('mobius_build_info{job="stranger"}') == []
    for quiet in ("MobiusDown", "MobiusUnhealthy", "MobiusFiguresUnknown", "MobiusWatchRolledBack"):
        assert server.query(f'ALERTS{{alertname="{quiet}", job="mobius", alertstate="firing"}}') == []
    assert server.query('ALERTS{alertname="MobiusHashTimeAverageHigh", alertstate="firing"}') == []

    text = scraped(address.url, "/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert KEY not in text and str(ws.root) not in text
    assert json.loads(scraped(address.url, "/metrics/dhash"))["extraction_failures_rate"] == 0.25

    for expression in dashboard_expressions():
        if not expression.startswith("label_values("):
            plain = expression.replace("$__rate_interval", "30s").replace("$job", "mobius").replace("$instance", ".*")
            assert server.ask(f"query?query={quote(plain)}") is not None, expression
            if "watch" not in plain and "> 0" not in plain:
                until(lambda plain=plain: server.query(plain), plain)

    worker.kill()
    down = 'ALERTS{alertname="MobiusDown", alertstate="firing", job="mobius"}'
    until(lambda: server.query(down), "the alert that nothing answers fires")
