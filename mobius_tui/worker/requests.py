"""How many requests the worker answered, by endpoint and outcome."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ENDPOINTS: Final = ("/health", "/metrics", "/metrics/dhash", "/api/dhash/extract")
"""Paths that are counted on their own; all else is ``OTHER``, so that nobody can make labels by asking."""

OTHER: Final = "other"
"""Where requests to any other path are counted."""

CLASSES: Final = ("2xx", "4xx", "5xx")
"""Classes of answers."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What was answered since the worker's start.

    Attributes:
        by_class: Answers by endpoint and class, all of them, zeros included.
        seconds: Time that the answers took, by endpoint.
    """

    by_class: Mapping[tuple[str, str], int]
    seconds: Mapping[str, float]

    @property
    def total(self) -> int:
        """All answers."""
        return sum(self.by_class.values())

    @property
    def errors(self) -> int:
        """Answers that were the service's own failure: 500 and above."""
        return sum(count for (_, kind), count in self.by_class.items() if kind == "5xx")

    def of(self, endpoint: str) -> int:
        """Answers of one endpoint."""
        return sum(count for (name, _), count in self.by_class.items() if name == endpoint)


class RequestCounts:
    """Counts answers; any thread may count and read."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._counts = {(endpoint, kind): 0 for endpoint in (*ENDPOINTS, OTHER) for kind in CLASSES}
        self._seconds = dict.fromkeys((*ENDPOINTS, OTHER), 0.0)

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answer.

        Args:
            endpoint: The path that was asked.
            status: Of the answer.
            seconds: From the request's head to the answer's.
        """
        name = endpoint if endpoint in ENDPOINTS else OTHER
        kind = "2xx" if status < 400 else "4xx" if status < 500 else "5xx"
        with self._guard:
            self._counts[name, kind] += 1
            self._seconds[name] += max(0.0, seconds)

    def read(self) -> Answered:
        """What was counted so far."""
        with self._guard:
            return Answered(dict(self._counts), dict(self._seconds))
