"""Values of rows, whoever wrote them: one of the wrong kind is read as none, so a damaged row costs only itself."""

from __future__ import annotations

import json
import math
from typing import Any

_LAST_MOMENT = 253_402_300_800.0
_LARGEST = 2**63


def text(value: object) -> str:
    """The value when it is text; bytes are read as UTF-8 as far as they go, anything else is shown as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return "" if value is None else str(value)


def number(value: object) -> float | None:
    """The value when it is a finite number; None otherwise, also for one that is too large for a float."""
    try:
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:
        return None


def whole(value: object) -> int | None:
    """The value when it is a whole number; None otherwise."""
    found = number(value)
    return int(found) if found is not None and -_LARGEST <= found < _LARGEST else None


def stored(value: int) -> int:
    """A time or inode number as SQLite can hold it, wrapped into signed 64 bits: filesystems have larger ones."""
    return (value + _LARGEST) % (2 * _LARGEST) - _LARGEST


def moment(value: object) -> float | None:
    """The value when it is a time that a calendar has, seconds since the epoch; None otherwise."""
    found = number(value)
    return found if found is not None and 0 <= found < _LAST_MOMENT else None


def json_object(value: object) -> dict[str, Any] | None:
    """The JSON object in a text; None when there is none."""
    try:
        found = json.loads(text(value))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def json_texts(value: object) -> tuple[str, ...]:
    """The texts of a JSON array; empty when there is none."""
    try:
        found = json.loads(text(value))
    except (ValueError, RecursionError):
        return ()
    return tuple(item for item in found if isinstance(item, str)) if isinstance(found, list) else ()
