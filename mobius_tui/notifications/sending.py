"""Sending: a command of the operator's, a webhook, a dead-man ping; each with a hard time limit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from mobius_tui.audiences import Route
from mobius_tui.errors import MobiusError
from mobius_tui.launch.questions import Answer, call
from mobius_tui.redaction import redacted_words
from mobius_tui.settings import TOML_NAME, secret_variables
from mobius_tui.system.commands import prepare_command, run_command
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

COMMAND_S: Final = 20.0
"""Seconds that a command may take."""

WEBHOOK_S: Final = 10.0
"""Seconds that a webhook may take, name look-up included."""

PING_S: Final = 5.0
"""Seconds that a dead-man ping may take."""

_TOLD = {"own", "nonsense"}  # their words may hold the address


def ping(url: str, timeout_s: float = PING_S) -> str:
    """Call an address, as a dead-man switch wants it.

    Args:
        url: http or https; it is a secret and never told.
        timeout_s: Seconds it may take, name look-up included.

    Returns:
        Why it failed, in words without the address; empty when it answered 2xx or 3xx.
    """
    return _problem(_asked("GET", url, None, timeout_s), 400)


def send(ws: Workspace, route: Route, body: Mapping[str, Any]) -> str:
    """Send one notification.

    Args:
        ws: The workspace.
        route: Where to.
        body: What ``message.body_of`` made.

    Returns:
        Why it was not delivered, in words without secrets; empty when it was.
    """
    data = json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")
    if route.url:
        return _problem(_asked("POST", route.url, data, WEBHOOK_S), 300)
    return _commanded(ws, route, body, data)


def _commanded(ws: Workspace, route: Route, body: Mapping[str, Any], data: bytes) -> str:
    hidden = secret_variables()
    told = {name: visible(str(body[name])) for name in ("kind", "severity", "audience", "title")}
    environ = {
        **{name: value for name, value in os.environ.items() if name not in hidden},
        **{f"MOBIUS_NOTIFY_{name.upper()}": value for name, value in told.items()},
    }
    setting = f"the command of [notify.{route.name}]"
    try:
        command = prepare_command(
            ws.root, route.command, setting, environ, config=ws.root / TOML_NAME, source=route.source
        )
    except MobiusError as error:
        return redacted_words(visible(str(error)))
    ended = run_command(command, ws.root, environ, COMMAND_S, data)
    if ended.exit_code == 0:
        return ""
    if ended.timed_out:
        return f"the command took longer than {COMMAND_S:g} s and was ended"
    if ended.problem:
        return f"the command could not be started: {redacted_words(ended.problem)}"
    last = f": {redacted_words(ended.output[-1])}" if ended.output else ""
    return f"the command failed with exit code {ended.exit_code}{last}"


def _asked(method: str, url: str, data: bytes | None, timeout_s: float) -> Answer:
    try:
        parts = urlsplit(url)
        base = f"{parts.scheme}://{parts.netloc}"
    except ValueError:
        return Answer(trouble="own", problem="no address")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": "mobius", **({"Content-Type": "application/json"} if data is not None else {})}
    return call(base, method, path, body=data, headers=headers, timeout_s=timeout_s)


def _problem(answer: Answer, below: int) -> str:
    """Why an answer is none that counts; one that came too long or broke off after its status still counts."""
    if answer.status:
        return "" if 200 <= answer.status < below else f"answered {answer.status}"
    if answer.trouble in _TOLD:
        return "it could not be asked" if answer.trouble == "own" else "answered no HTTP"
    return redacted_words(answer.problem)
