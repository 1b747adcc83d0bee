"""What would roll a publication back, for ``/health``: the rules of the watch that is on, or the fixed limits."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobius_tui.errors import MobiusError
from mobius_tui.guard.limits import CATALOGUE_LIMIT, FAILURES_LIMIT, HEALTH_LIMIT, P95_LIMIT_MS, queue_limit
from mobius_tui.guard.model import RULES
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.metrics import list_samples
from mobius_tui.store.watches import TickRow, WatchRow, latest_watch, list_ticks

_RECENT_S = 180.0


def read_triggers(database: Path, now: float) -> list[dict[str, Any]]:
    """What would roll back, each rule with limit, value and verdict; no look costs more than a millisecond.

    Args:
        database: The database; without it only the limits are known.
        now: Seconds since the epoch.

    Returns:
        By rule, in the order of ``RULES``; ``verdict`` is null while no watch is on or has measured.
    """
    with contextlib.suppress(sqlite3.Error, OSError, MobiusError):
        connection = open_for_reading(database)
        if connection is not None:
            with contextlib.closing(connection):
                watch = latest_watch(connection)
                if watch is not None and watch.active:
                    ticks = list_ticks(connection, watch.run_id, limit=1)
                    if ticks and ticks[-1].rules:
                        return of_watch(watch, ticks[-1])
                samples = list_samples(connection, now - _RECENT_S, now)
                return fixed(samples[-1] if samples else {})
    return fixed({})


def of_watch(watch: WatchRow, tick: TickRow) -> list[dict[str, Any]]:
    """What the guard's latest row says."""
    keys = ("rule", "limit", "value", "verdict", "baseline", "samples", "sentence")
    return [{**{key: rule.get(key) for key in keys}, "run": watch.run_id} for rule in tick.rules]


def fixed(sample: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """The fixed limits with the figures of the last minute; nothing is judged."""
    queue = sample.get("queue")
    limits: dict[str, tuple[float | None, float | None]] = {
        "health": (HEALTH_LIMIT, None),
        "failures": (FAILURES_LIMIT, sample.get("failure_rate")),
        "p95": (P95_LIMIT_MS, sample.get("p95_ms")),
        "queue": (None if queue is None else queue_limit(int(queue))[0], queue),
        "catalogue": (CATALOGUE_LIMIT, None),
    }
    return [
        {
            "rule": rule,
            "limit": limits[rule][0],
            "value": limits[rule][1],
            "verdict": None,
            "baseline": None,
            "samples": None,
            "sentence": "no watch is on",
            "run": None,
        }
        for rule in RULES
    ]
