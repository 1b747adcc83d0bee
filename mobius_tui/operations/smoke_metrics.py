"""The smoke tests of both metrics endpoints: they answer, and what they say has the form that others rely on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime

from mobius_tui.errors import ProcessingFailed
from mobius_tui.operations.ask_service import ask_service
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

Ask = Callable[[Workspace, str], bytes]
"""Asks the service for a path."""

RATES = ("extraction_failures_rate", "duplicate_rate")
"""Fields that are fractions, 0..1 or null."""

AMOUNTS = ("avg_hash_time_ms", "p95_hash_time_ms", "processing_rate_per_hour", "low_confidence_queue_length")
"""Fields that are numbers from 0, or null."""

TIMES = ("last_migration_timestamp", "last_backup_timestamp")
"""Fields that are ISO times, or null."""

HEALTH = "system_health_status"
"""The field that is a word."""

PROMISED = (
    "mobius_build_info", "mobius_health_status", "mobius_hash_time_average_seconds", "mobius_hash_time_p95_seconds",
    "mobius_extraction_failures_ratio", "mobius_low_confidence_queue_length", "mobius_duplicate_ratio",
    "mobius_library_images", "mobius_alert_raised", "mobius_watch_active", "mobius_last_backup_timestamp_seconds",
)  # fmt: skip
"""Metrics that dashboards and alert rules of others may name."""

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE = re.compile(rf"({_NAME})(\{{(?:{_LABEL}(?:,{_LABEL})*,?)?\}})? (\S+)(?: -?[0-9]+)?")
_TOLD = re.compile(rf"# (HELP|TYPE) ({_NAME})(?: (.*))?")
_KINDS = ("counter", "gauge", "histogram", "summary", "untyped")
_PARTS = ("_bucket", "_sum", "_count")


def metrics_endpoint(ws: Workspace, ask: Ask = ask_service) -> str:
    """``/metrics/dhash`` answers with the nine fields, each of a sane type.

    Returns:
        What was found.

    Raises:
        MobiusError: It does not, or nobody answers.
    """
    try:
        body = json.loads(ask(ws, "/metrics/dhash"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ProcessingFailed(f"/metrics/dhash answers no JSON: {visible(str(error))}") from error
    if not isinstance(body, dict):
        raise ProcessingFailed("/metrics/dhash answers no JSON object")
    lacking = [name for name in (*AMOUNTS, *RATES, *TIMES, HEALTH) if name not in body]
    if lacking:
        raise ProcessingFailed(f"/metrics/dhash lacks {', '.join(lacking)}")
    wrong = [name for name in AMOUNTS if not _is_amount(body[name])]
    wrong += [name for name in RATES if not _is_amount(body[name], 1.0)]
    wrong += [name for name in TIMES if not _is_time(body[name])]
    wrong += [HEALTH] if body[HEALTH] not in ("healthy", "degraded", "unhealthy") else []
    if wrong:
        raise ProcessingFailed(f"/metrics/dhash says what cannot be: {visible(wrong[0])} is {_shown(body[wrong[0]])}")
    return f"/metrics/dhash has its nine fields; health is {body[HEALTH]}"


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no JSON number")


def _is_amount(value: object, most: float = float("inf")) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _is_time(value: object) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _shown(value: object) -> str:
    text = visible(json.dumps(value, default=str))
    return text if len(text) <= 40 else f"{text[:37]}..."


def prometheus_endpoint(ws: Workspace, ask: Ask = ask_service) -> str:
    """``/metrics`` answers with text that Prometheus reads, and with the metrics that are promised.

    Returns:
        What was found.

    Raises:
        MobiusError: It does not, or nobody answers.
    """
    try:
        text = ask(ws, "/metrics").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProcessingFailed("/metrics answers what is not UTF-8") from error
    found = read_exposition(text)
    lacking = [name for name in PROMISED if name not in found]
    if lacking:
        raise ProcessingFailed(f"/metrics lacks {', '.join(lacking)}")
    return f"/metrics has {len(found)} metrics with {sum(found.values())} samples"


def read_exposition(text: str) -> dict[str, int]:
    """A small strict reader of Prometheus's text format.

    Args:
        text: What ``/metrics`` answers.

    Returns:
        How many samples each metric has, by the name of its TYPE line.

    Raises:
        ProcessingFailed: A line is none, a sample comes twice or belongs to no metric, a name is declared twice.
    """
    if not text.endswith("\n"):
        raise ProcessingFailed("/metrics does not end with a line end: it was cut off")
    kinds: dict[str, str] = {}
    counts: dict[str, int] = {}
    seen: set[str] = set()
    for number, line in enumerate(text[:-1].split("\n"), start=1):
        if line.startswith("#"):
            told = _TOLD.fullmatch(line)
            if told is not None and told[1] == "TYPE":
                if told[3] not in _KINDS or told[2] in kinds:
                    raise _bad(number, line)
                kinds[told[2]], counts[told[2]] = told[3], 0
            continue
        sample = _SAMPLE.fullmatch(line)
        metric = None if sample is None else _metric_of(sample[1], kinds)
        if sample is None or metric is None or not _is_value(sample[3]) or f"{sample[1]}{sample[2]}" in seen:
            raise _bad(number, line)
        seen.add(f"{sample[1]}{sample[2]}")
        counts[metric] += 1
    return counts


def _metric_of(name: str, kinds: dict[str, str]) -> str | None:
    """The metric that a sample belongs to; None when it was not declared before."""
    if name in kinds:
        return name if kinds[name] != "histogram" else None
    whole = next((name.removesuffix(part) for part in _PARTS if name.endswith(part)), "")
    return whole if kinds.get(whole) in {"histogram", "summary"} else None


def _is_value(text: str) -> bool:
    if "_" in text:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bad(number: int, line: str) -> ProcessingFailed:
    shown = visible(line)
    return ProcessingFailed(f"/metrics, line {number} is none: {shown if len(shown) <= 60 else shown[:57] + '...'}")
