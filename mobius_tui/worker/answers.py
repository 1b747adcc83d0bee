"""What the worker's HTTP answers, and how a request is refused on the way there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

JSON: Final = "application/json; charset=utf-8"
"""The kind of nearly every answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        status: HTTP status.
        body: A JSON object, or text of another kind.
        kind: Content type.
        headers: Further headers.
    """

    status: int
    body: Mapping[str, object] | str
    kind: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that gets no more than a sentence.

    Args:
        status: HTTP status.
        sentence: Why, in words that tell nothing but what the client knows.
        retry_s: Seconds after which it may be tried again; 0 when that would not help.
        headers: Further headers.
    """

    def __init__(
        self, status: int, sentence: str, *, retry_s: int = 0, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        more = {"Retry-After": str(retry_s)} if retry_s else {}
        self.answer = Answer(status, {"error": sentence}, headers={**(headers or {}), **more})
