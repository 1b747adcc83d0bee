"""What is told to people: one notification, and the JSON that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mobius_tui.redaction import redacted_value, redacted_words
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

_LONGEST_TEXT = 1000


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

    @property
    def repeats(self) -> bool:
        """Whether it is sent again and again until somebody acknowledges it."""
        return self.severity == "critical" and self.kind not in {"clear", "test"}


def text_of(notification: Notification) -> str:
    """The notification in one line for a chat or pager, redacted and with every control character escaped."""
    place = f"{notification.environment} " if notification.environment else ""
    said = f"[{notification.severity.upper()}] {place}{notification.kind}: {notification.title}"
    if notification.sentence and notification.sentence != notification.title:
        said += f" - {notification.sentence}"
    if notification.run:
        said += f" ({notification.run})"
    return shortened(visible(redacted_words(said)), _LONGEST_TEXT)


def body_of(notification: Notification, number: str, host: str, workspace: str) -> dict[str, Any]:
    """What a command reads and a webhook gets.

    Args:
        notification: What is told; its environment and time are given.
        number: Its id in the outbox.
        host: Name of this machine.
        workspace: The workspace's folder.

    Returns:
        JSON data, redacted; only ``text`` is escaped, all else is exact.
    """
    found = redacted_value(
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
            "text": text_of(notification),
            "verdict": notification.verdict,
        }
    )
    assert isinstance(found, dict)
    return found


def shortened(text: str, most: int) -> str:
    """A text of at most some characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
