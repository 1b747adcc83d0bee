"""What ``/metrics/dhash`` says, taken only where it makes sense."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mobius_tui.launch.questions import Answer
from mobius_tui.text import visible

PATH: Final = "/metrics/dhash"
"""The endpoint."""

RATE_RULES: Final = ("failures", "p95", "queue")
"""The rules whose figures come from the service."""

KEY_ADVICE: Final = (
    "set internal_api_key_file to a file with the key of the service, as a key that is only in the environment"
    " reaches no guard that another process starts, and base_url to its address"
)
"""What to do when the service wants another key."""

_MOST_MS = 86_400_000.0
_MOST_COUNT = 10**15
_SHOWN = (
    "avg_hash_time_ms",
    "p95_hash_time_ms",
    "processing_rate_per_hour",
    "extraction_failures_rate",
    "low_confidence_queue_length",
    "duplicate_rate",
    "duplicate_detection_rate",
    "window_s",
    "samples",
    "failed_samples",
    "review_pairs_waiting",
    "low_confidence_images",
    "cpu_percent",
    "resident_bytes",
    "disk_read_bytes",
    "disk_written_bytes",
)
_SHOWN_WORDS = ("last_migration_timestamp", "last_backup_timestamp", "system_health_status")


@dataclass(frozen=True, slots=True)
class Figures:
    """What the service says of itself; None where it says nothing or nonsense.

    Attributes:
        told: Whether there was an answer that could be read at all.
        failure_rate: Fraction 0..1 of its window.
        p95_ms: Milliseconds.
        queue: Length of the low-confidence queue.
        samples: Images in its window; with ``failed_samples`` what its rate rests on.
        failed_samples: Those that failed.
        images_total: Images since it counts.
        errors_total: Those that failed.
        other: All figures that make sense, by name, to be shown.
        errors: What made no sense, each beginning with the rule that it concerns and a colon.
        remarks: What is worth a word and no error.
    """

    told: bool = False
    failure_rate: float | None = None
    p95_ms: float | None = None
    queue: int | None = None
    samples: int | None = None
    failed_samples: int | None = None
    images_total: int | None = None
    errors_total: int | None = None
    other: Mapping[str, Any] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def read_figures(answer: Answer) -> Figures:
    """The figures in an answer.

    Args:
        answer: What came of asking for ``PATH``.

    Returns:
        The figures. A service that is not there, or has no such endpoint, is no error here: it has no figures, and
        whether it lives is another rule's question.
    """
    if answer.trouble in {"own", "too long", "nonsense"}:
        return Figures(errors=for_rates(f"{PATH}: {answer.problem}"))
    if answer.trouble:
        return Figures(remarks=(f"{PATH}: {answer.problem}",))
    if answer.status in {404, 405, 501}:
        return Figures(remarks=(f"the service has no {PATH}",))
    if answer.status in {401, 403}:
        return Figures(errors=for_rates(refused_key(PATH, answer)))
    if answer.status != 200:
        return Figures(errors=for_rates(f"{PATH} answered {answer.status}{reason_of(answer.data)}"))
    try:
        body = json.loads(answer.data)
    except (ValueError, RecursionError):
        return Figures(errors=for_rates(f"{PATH} answered 200 and no JSON"))
    if not isinstance(body, dict):
        return Figures(errors=for_rates(f"{PATH} answered 200 and JSON that is no object"))
    return _figures(body)


def for_rates(said: str) -> tuple[str, ...]:
    """An error that concerns every rule whose figure comes from the service."""
    return tuple(f"{rule}: {said}" for rule in RATE_RULES)


def refused_key(path: str, answer: Answer) -> str:
    """That the service did not take the key, and what to do."""
    said = f"{path} answered {answer.status}{reason_of(answer.data)}"
    return f"{said}: it wants a key (INTERNAL_API_KEY) that it was not given; {KEY_ADVICE}"


def reason_of(data: bytes) -> str:
    """What a service says of an error in its own words, in brackets; empty when it says nothing."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    said = body.get("error") if isinstance(body, dict) else None
    return f" ({visible(said[:120])})" if isinstance(said, str) and said else ""


def number_of(value: object, most: float) -> float | None:
    """A finite number from 0 to ``most``; None for anything else, booleans and digits in quotes too."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value <= most else None  # no NaN is, and no infinity


def count_of(value: object) -> int | None:
    """A whole number from 0 on, ``5.0`` too; None for anything else."""
    number = number_of(value, _MOST_COUNT)
    return int(number) if number is not None and number.is_integer() else None


def _figures(body: Mapping[str, Any]) -> Figures:
    errors: list[str] = []

    def judged(rule: str, name: str, value: float | None) -> float | None:
        if name not in body:
            errors.append(f"{rule}: {PATH} has no {name}")
        elif value is None and body[name] is not None:  # null: it has nothing to tell
            errors.append(f"{rule}: {PATH} has {name} = {_quoted(body[name])}")
        return value

    rate = judged("failures", "extraction_failures_rate", number_of(body.get("extraction_failures_rate"), 1.0))
    p95 = judged("p95", "p95_hash_time_ms", number_of(body.get("p95_hash_time_ms"), _MOST_MS))
    judged("queue", "low_confidence_queue_length", queue := count_of(body.get("low_confidence_queue_length")))
    totals = body.get("totals")
    totals = totals if isinstance(totals, dict) else {}
    images, failed = count_of(totals.get("images_total")), count_of(totals.get("image_processing_errors"))
    if images is None or failed is None:
        images = failed = None
    shown: dict[str, Any] = {
        name: body[name] for name in _SHOWN if number_of(body.get(name), float(_MOST_COUNT)) is not None
    }
    shown.update({name: visible(body[name][:80]) for name in _SHOWN_WORDS if isinstance(body.get(name), str)})
    kept = {visible(name): value for name, value in totals.items() if count_of(value) is not None}
    if kept:
        shown["totals"] = dict(list(kept.items())[:20])
    samples, failed_samples = count_of(body.get("samples")), count_of(body.get("failed_samples"))
    return Figures(True, rate, p95, queue, samples, failed_samples, images, failed, shown, tuple(errors))


def _quoted(value: object) -> str:
    """A piece of a value, for a message."""
    try:
        words = json.dumps(value)
    except (ValueError, RecursionError):
        words = type(value).__name__
    return visible(words if len(words) <= 40 else f"{words[:40]}...")
