"""What is told to people: one notification, and the JSON that carries it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mobius_tui.redaction import redacted_value
from mobius_tui.system import clock
from mobius_tui.text import visible

Kind = Literal[
    "alert", "clear", "watch start", "snapshot", "trigger", "rollback", "end", "undecided", "failed verb", "test"
]  # fmt: skip
"""What happened."""

Severity = Literal["info", "warning", "critical"]
"""How grave it is."""

Audience = Literal["devops", "qa", "sre", "performance", "infrastructure"]
"""For whom it is."""

AUDIENCE_OF_EXIT: Final[Mapping[int, Audience]] = {
    1: "devops", 2: "qa", 3: "sre", 4: "performance", 5: "infrastructure",
}  # fmt: skip
"""Whose matter an exit code is."""

LONGEST_TEXT: Final = 1000
"""Characters of a notification's text at most, what is said of repeats not counted."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One thing that people should know.

    Attributes:
        kind: What happened.
        severity: How grave it is; a critical one is repeated until somebody acknowledges it, unless it is a ``clear``.
        audience: For whom.
        title: A few words; may hold names from outside.
        sentence: The same in a sentence or two.
        run: The run that it is about; empty when there is none.
        environment: Where it happened; empty means the workspace's.
        at: Seconds since the epoch; 0 means now.
        verdict: The whole verdict behind it, as JSON data.
        key: Two notifications with the same key are one: the second is not sent. Empty: each is its own.
        subject: What it is about, such as an alert's name: a newer ``alert`` takes the place of an older one that is
            still repeated, a ``clear`` marks it as over. Empty: nothing else is about the same.
    """

    kind: Kind
    severity: Severity
    audience: Audience
    title: str
    sentence: str
    run: str = ""
    environment: str = ""
    at: float = 0.0
    verdict: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    subject: str = ""

    @property
    def repeats(self) -> bool:
        """Whether it is sent again and again until somebody acknowledges it."""
        return self.severity == "critical" and self.kind not in {"clear", "test"}


def body_of(notification: Notification, number: str, host: str, workspace: str) -> dict[str, Any]:
    """What a command reads and a webhook gets.

    Args:
        notification: What is told; its environment and time are given.
        number: Its id in the outbox.
        host: Name of this machine.
        workspace: The workspace's folder.

    Returns:
        JSON data, redacted, no number in it infinite or none; only ``text`` is escaped, all else is exact.
    """
    found = _plain(
        redacted_value(
            {
                "id": number,
                "kind": notification.kind,
                "severity": notification.severity,
                "audience": notification.audience,
                "title": notification.title,
                "sentence": notification.sentence,
                "run": notification.run,
                "environment": notification.environment,
                "at": clock.iso(notification.at),
                "host": host,
                "workspace": workspace,
                "repeat": 0,
                "acknowledge": f"mobius alerts ack {number}" if notification.repeats else "",
                "text": "",
                "verdict": notification.verdict,
            }
        )
    )
    assert isinstance(found, dict)
    return {**found, "text": text_of(found)}


def repeated(body: Mapping[str, Any], repeat: int, over_at: float | None) -> dict[str, Any]:
    """The body of a further sending.

    Args:
        body: That of the first.
        repeat: How often it was sent before.
        over_at: When what it is about was over; None when it is not.
    """
    whole = {**body, "repeat": repeat, "over": None if over_at is None else clock.iso(over_at)}
    return {**whole, "text": text_of(whole)}


def text_of(body: Mapping[str, Any]) -> str:
    """A notification in one line for a chat or pager, every control character escaped."""
    place = f"{body['environment']} " if body["environment"] else ""
    said = f"[{str(body['severity']).upper()}] {place}{body['kind']}: {body['title']}"
    if body["sentence"] and body["sentence"] != body["title"]:
        said += f" - {body['sentence']}"
    if body["run"]:
        said += f" ({body['run']})"
    said = shortened(visible(said), LONGEST_TEXT)
    if body["repeat"]:
        over = f", over since {body['over']}" if body["over"] else ""
        said += f" [repeat {body['repeat']} of what was first sent at {body['at']}{over}]"
    return said + (f" [`{body['acknowledge']}` ends the repeats]" if body["acknowledge"] else "")


def _plain(value: object) -> object:
    """The same data without numbers that JSON has not."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def shortened(text: str, most: int) -> str:
    """A text of at most some characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
