"""Asking a worker how it is, over HTTP, with the standard library alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.launch.questions import call, shown_url
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.system.locks import holder_of
from mobius_tui.system.processes import is_alive
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

ADDRESS_NAME: Final = "worker.address"
"""File in the state folder in which the worker says where it answers."""

ANSWER_S: Final = 5.0
"""Seconds an answer may take."""

START_WORKER: Final = "mobius worker start"
"""What to do when no worker runs."""

PORT_ADVICE: Final = (
    "port = another number in mobius.toml, or MOBIUS_PORT (0: any free one), then `mobius worker restart`"
)
"""What to do when the worker's port is taken."""

_HOST_ADVICE = "mend host and port in mobius.toml, then `mobius worker restart`"
_PAUSE_S = 0.25
_STATUSES = {200: ("healthy", "degraded", "unhealthy"), 503: ("unhealthy",)}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the worker answers, as it wrote it.

    Attributes:
        url: Base URL; empty while it answers nowhere.
        token: Its process.
        problem: Why it answers nowhere, in words; empty when it does.
    """

    url: str
    token: str
    problem: str = ""

    @property
    def sentence(self) -> str:
        """What having no address means, for people; empty when there is one."""
        return "" if self.url else f"the worker runs, but it has no address: {visible(self.problem)}"

    @property
    def advice(self) -> str:
        """What to do about it; empty when there is an address."""
        if self.url:
            return ""
        return PORT_ADVICE if self.problem.startswith("port ") else _HOST_ADVICE


@dataclass(frozen=True, slots=True)
class Health:
    """What came of asking.

    Attributes:
        status: ``healthy``, ``degraded``, ``unhealthy``, or ``unreachable`` when nobody answered as the worker would.
        body: The answer; empty when there is none.
        sentence: The same in words.
        seconds: How long it took.
        fix: What to do when nobody could be asked; empty otherwise.
        asked: False when this process itself could not ask: that says nothing of the service.
        stalled_s: So many seconds this process stood still meanwhile: see ``questions.Answer``.
    """

    status: str
    body: dict[str, Any] = field(default_factory=dict)
    sentence: str = ""
    seconds: float = 0.0
    fix: str = ""
    asked: bool = True
    stalled_s: float = 0.0

    @property
    def answers(self) -> bool:
        """Whether the worker can do its work: healthy or degraded."""
        return self.status in {"healthy", "degraded"}


def worker_address(ws: Workspace) -> Address | None:
    """What the running worker says of its address.

    Args:
        ws: The workspace.

    Returns:
        The address; None when no worker runs, or what is there was left by one that has ended.
    """
    try:
        told = json.loads(read_whole(ws.state / ADDRESS_NAME).data)
        holder = holder_of(ws.worker_lock)
    except (OSError, ValueError, RecursionError, EnvironmentFailed):
        return None
    if not isinstance(told, dict) or holder is None:
        return None
    url, token, problem = (told.get(name) for name in ("url", "token", "problem"))
    if not isinstance(url, str) or not isinstance(token, str) or not token:
        return None
    if holder.token != token or not is_alive(token):
        return None
    return Address(url, token, problem if isinstance(problem, str) else "")


def address_of(ws: Workspace) -> str | None:
    """The base URL of the workspace's service.

    Args:
        ws: The workspace.

    Returns:
        The setting ``base_url`` when it is given, else what the running worker wrote; None when nothing answers.
    """
    if ws.settings.base_url:
        return ws.settings.base_url
    address = worker_address(ws)
    return address.url or None if address is not None else None


def ask_health(ws_or_url: Workspace | str, timeout_s: float = ANSWER_S) -> Health:
    """Ask ``/health`` once.

    Args:
        ws_or_url: A workspace, whose own worker must answer unless ``base_url`` is set; or any base URL.
        timeout_s: Seconds until no answer is one, name look-up included.

    Returns:
        The answer; never raises for a service that is down, slow, strange or another workspace's.
    """
    if isinstance(ws_or_url, str):
        return _asked(ws_or_url, timeout_s, "")
    if ws_or_url.settings.base_url:
        return _asked(ws_or_url.settings.base_url, timeout_s, "")
    address = worker_address(ws_or_url)
    if address is None:
        said, fix = _no_address(ws_or_url)
        return Health("unreachable", sentence=said, fix=fix)
    if not address.url:
        return Health("unreachable", sentence=address.sentence, fix=address.advice)
    return _asked(address.url, timeout_s, address.token)


def is_starting(ws: Workspace) -> bool:
    """Whether a worker runs that has not said yet where it answers, or why nowhere."""
    try:
        return not ws.settings.base_url and holder_of(ws.worker_lock) is not None and worker_address(ws) is None
    except MobiusError:
        return False


def wait_healthy(
    ws: Workspace,
    seconds: float,
    *,
    ask: Callable[[Workspace], Health] = ask_health,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Health:
    """Ask until the worker is healthy or degraded, or the time is up.

    Args:
        ws: The workspace.
        seconds: How long to go on.
        ask: Asks once.
        clock: Monotonic seconds.
        sleep: Waits for some seconds.

    Returns:
        The last answer.
    """
    deadline = clock() + seconds
    while True:
        health = ask(ws)
        left = deadline - clock()
        if health.answers or left <= 0:
            return health
        sleep(min(_PAUSE_S, left))


def _no_address(ws: Workspace) -> tuple[str, str]:
    """Why nothing is known of an address, and what to do."""
    try:
        runs = holder_of(ws.worker_lock) is not None
    except MobiusError as error:
        return f"whether a worker runs cannot be told: {visible(error.what)}", error.fix
    if runs:
        return "the worker has not said yet where it answers", "`mobius worker status`"
    return "no worker runs", START_WORKER


class _Unusable(Exception):
    """The answer is not one of a worker; says why."""


def _asked(url: str, timeout_s: float, token: str) -> Health:
    place = f"{shown_url(url)}/health"
    answer = call(url, "GET", "/health", timeout_s=timeout_s)
    if answer.trouble:
        said = f"{place} {answer.problem}" if answer.trouble == "timeout" else f"{place}: {answer.problem}"
        asked = answer.trouble != "own"
        return Health("unreachable", {}, said, answer.seconds, asked=asked, stalled_s=answer.stalled_s)
    try:
        body = _body(answer.status, answer.data, token)
    except _Unusable as error:
        return Health("unreachable", {}, f"{place}: {error}", answer.seconds, stalled_s=answer.stalled_s)
    return Health(body["status"], body, _sentence(body), answer.seconds, stalled_s=answer.stalled_s)


def _body(code: int, data: bytes, token: str) -> dict[str, Any]:
    if code not in _STATUSES:
        raise _Unusable(f"answered {code}, which a worker does not")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _Unusable(f"answered {code} and no JSON") from error
    if not isinstance(body, dict) or body.get("status") not in _STATUSES[code]:
        raise _Unusable(f"answered {code} and JSON without a status that fits")
    if token and body.get("worker_id") != token:
        raise _Unusable("another process answers there, not this workspace's worker")
    return body


def _sentence(body: dict[str, Any]) -> str:
    """The status, and what is wrong when something is."""
    checks = body.get("checks")
    items = checks.values() if isinstance(checks, dict) else ()
    wrong = [str(item.get("sentence", "")) for item in items if isinstance(item, dict) and item.get("ok") is not True]
    return visible(f"{body['status']}: {'; '.join(wrong)}" if wrong else str(body["status"]))
