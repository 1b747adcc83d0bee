"""Time as MOBIUS writes and shows it: UTC, ISO 8601, stamps for file names."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds since the epoch, UTC."""
    return time.time()


def iso(seconds: float) -> str:
    """UTC ISO 8601 with whole seconds, like ``2026-11-20T12:04:31Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp(seconds: float) -> str:
    """A stamp for file names, like ``20261120T120431Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def from_stamp(text: str) -> float | None:
    """Seconds since the epoch of a stamp; None when the text is none."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def clock_text(seconds: float) -> str:
    """Hours, minutes and seconds in UTC, like ``12:04:31``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")
