"""The metrics as Prometheus text: base units, no path and no id in a label, every label set there from the start."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from mobius_tui import __version__
from mobius_tui.guard.model import RULES
from mobius_tui.store.counts import IMAGE_STATUSES, PAIR_STATUSES
from mobius_tui.store.totals import BUCKETS_S, Totals
from mobius_tui.store.values import number
from mobius_tui.worker.alerting import AUDIENCE, Name
from mobius_tui.worker.metrics import Reading
from mobius_tui.worker.requests import OTHER

HEALTH: Final = ("healthy", "degraded", "unhealthy")
"""What the worker's health may be."""

CHECKS: Final = ("library", "catalogue", "database", "worker", "pool", "disk", "backup")
"""The checks of the worker's health that are always made."""

BACKUP_STATES: Final = ("verified", "unverified", "corrupt", "unreadable", "missing side file")
"""What a backup may be."""

JOB_KINDS: Final = ("migrate", "dry-run", "deploy", "rollback", "backup")
"""Kinds of jobs; any other counts as ``OTHER``."""

JOB_STATES: Final = ("queued", "running", "paused", "done", "failed", "cancelled", "refused")
"""States of a job's row."""

WATCH_STATES: Final = ("planned", "running", "rolling back", "undecided", "ended")
"""States of a watch's row."""

OUTCOMES: Final = ("accepted", "rolled back", "undecided", "stopped", "void")
"""How a watch may have ended."""

SEVERITIES: Final[Mapping[Name, tuple[str, ...]]] = {
    "average": ("warning",),
    "p95": ("warning",),
    "failures": ("critical",),
    "queue": ("info",),
    "health": ("warning", "critical"),
}
"""How grave each of the worker's alerts may be."""


def exposition(reading: Reading) -> str:
    """A reading in Prometheus's text format 0.0.4.

    Args:
        reading: What was found; a gauge that was not measured is NaN, a total that was never known is left out.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families(reading)))
    return generate_latest(registry).decode()


class _Families:
    """What a registry asks."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = list(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


def families(reading: Reading) -> Iterator[Metric]:
    """Every metric of a reading."""
    yield from _service(reading)
    yield from _work(reading)
    yield from _totals(reading.totals)
    yield from _library(reading)
    yield from _backups(reading)
    yield from _alerts(reading)
    yield from _watch(reading)
    yield from _machine(reading)


def _gauge(name: str, says: str, value: float | None) -> Metric:
    return GaugeMetricFamily(f"mobius_{name}", says, value=math.nan if value is None else value)


def _counter(name: str, says: str, value: float | None) -> Metric:
    return CounterMetricFamily(f"mobius_{name}", says, value=value)


def _one_of(name: str, says: str, label: str, choices: Iterable[str], chosen: Iterable[str] | None) -> Metric:
    """A 0/1 gauge with a sample for each choice; NaN where it is not known what was chosen."""
    held = None if chosen is None else set(chosen)
    return _each(name, says, label, {choice: None if held is None else float(choice in held) for choice in choices})


def _each(name: str, says: str, label: str, values: Mapping[str, float | None]) -> Metric:
    family = GaugeMetricFamily(f"mobius_{name}", says, labels=[label])
    for choice, value in values.items():
        family.add_metric([choice], math.nan if value is None else value)
    return family


def _service(reading: Reading) -> Iterator[Metric]:
    info = GaugeMetricFamily("mobius_build_info", "Version of MOBIUS and of Python, 1.", labels=["version", "python"])
    info.add_metric([__version__, platform.python_version()], 1)
    yield info
    yield _gauge("worker_uptime_seconds", "Time since the worker began.", reading.uptime_s)
    yield _one_of("health_status", "1 for the status of /health.", "status", HEALTH, [reading.status])
    oks = {**dict.fromkeys(CHECKS, 0.0), **{name: float(check.ok is True) for name, check in reading.checks.items()}}
    yield _each("health_check_ok", "1 for a check that is ok, 0 for one that is not, or not known.", "check", oks)
    known = float(reading.stored is not None)
    yield _gauge("database_readable", "1 when the figures below could be read from the database.", known)
    answers = CounterMetricFamily(
        "mobius_http_requests", "Requests that the worker has answered.", labels=["endpoint", "class"]
    )
    for (endpoint, kind), count in reading.answered.by_class.items():
        answers.add_metric([endpoint, kind], count)
    yield answers
    took = SummaryMetricFamily("mobius_http_request_seconds", "Time that the answers took.", labels=["endpoint"])
    for endpoint, seconds in reading.answered.seconds.items():
        took.add_metric([endpoint], reading.answered.of(endpoint), seconds)
    yield took


def _work(reading: Reading) -> Iterator[Metric]:
    figures = reading.stored.figures if reading.stored else None
    average, p95, rate = (
        (None, None, None) if figures is None else (figures.average_ms, figures.p95_ms, figures.rate_per_hour)
    )
    yield _gauge("hash_time_average_seconds", "Mean time of an image, last 15 minutes.", _thousandth(average))
    yield _gauge("hash_time_p95_seconds", "95th percentile of it, from raw durations.", _thousandth(p95))
    failed = None if figures is None else figures.failure_rate
    yield _gauge("extraction_failures_ratio", "Share of images that failed, last 15 minutes.", failed)
    yield _gauge("window_images", "Images in the last 15 minutes.", None if figures is None else figures.images)
    yield _gauge("window_failed_images", "Those that failed.", None if figures is None else figures.failed)
    yield _gauge(
        "processing_images_per_second", "Rate over the last 15 minutes.", None if rate is None else rate / 3600
    )


def _thousandth(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1000


def _totals(totals: Totals | None) -> Iterator[Metric]:
    def known(name: str) -> float | None:
        return None if totals is None else getattr(totals, name)

    yield _counter("images_processed", "Images decoded or tried, by any process.", known("images"))
    yield _counter("images_failed", "Images that gave no dHash.", known("failed"))
    yield _counter("images_low_confidence", "Images whose hash says little.", known("low"))
    yield _counter("image_bytes", "Bytes of the images processed.", known("bytes"))
    histogram = HistogramMetricFamily("mobius_hash_time_seconds", "Time of one image.")
    if totals is not None:
        bounds = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
        buckets = [(bound, float(count)) for bound, count in zip(bounds, totals.buckets, strict=True)]
        histogram.add_metric([], buckets, totals.seconds)
    yield histogram


def _library(reading: Reading) -> Iterator[Metric]:
    found = reading.stored
    by_status: Mapping[str, float | None] = dict.fromkeys(IMAGE_STATUSES) if found is None else found.counts.images
    yield _each("library_images", "Known files of the library.", "status", by_status)
    pairs = {status: None if found is None else found.counts.pairs[status] for status in PAIR_STATUSES}
    yield _each("review_pairs", "Candidate pairs.", "status", pairs)
    low, queue = (None, None) if found is None else (found.low, found.queue)
    yield _gauge("low_confidence_images", "Contents whose hash says little, unsettled.", low)
    yield _gauge("low_confidence_queue_length", "Waiting pairs and low-confidence images.", queue)
    yield _gauge("duplicate_images", "Files that copy another.", None if found is None else found.counts.duplicates)
    yield _gauge("duplicate_ratio", "Share of those.", None if found is None else found.duplicate_rate)
    detected = None if found is None else found.detection_rate
    yield _gauge("duplicate_detection_ratio", "Share of the last run's images that it found duplicates.", detected)
    jobs = GaugeMetricFamily("mobius_jobs", "Rows of jobs.", labels=["kind", "state"])
    counts: Counter[tuple[str, str]] = Counter()
    for (kind, state), count in ({} if found is None else found.counts.jobs).items():
        counts[kind if kind in JOB_KINDS else OTHER, state] += count
    for kind in (*JOB_KINDS, OTHER):
        for state in JOB_STATES:
            jobs.add_metric([kind, state], math.nan if found is None else counts[kind, state])
    yield jobs


def _backups(reading: Reading) -> Iterator[Metric]:
    known = reading.backups
    states: dict[str, float | None] = {**dict.fromkeys(BACKUP_STATES, None if known is None else 0), **(known or {})}
    yield _each("backups", "Backups by state.", "state", states)
    made, migrated = reading.backup_at, reading.migrated_at
    yield _gauge("last_backup_timestamp_seconds", "When the newest verified backup was made.", made)
    age = None if made is None else max(0.0, reading.at - made)
    yield _gauge("last_backup_age_seconds", "Age of the newest verified backup.", age)
    yield _gauge("last_migration_timestamp_seconds", "When a migration or deploy published last.", migrated)


def _alerts(reading: Reading) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "mobius_alert_raised", "1 while the worker's alert holds.", labels=["alert", "severity", "audience"]
    )
    start = None if reading.stored is None else 0.0
    raised: dict[tuple[str, str, str], float | None] = {
        (name, severity, AUDIENCE[name]): start for name, kinds in SEVERITIES.items() for severity in kinds
    }
    for row in reading.stored.alerts if reading.stored else ():
        if (row.name, row.severity, row.audience) in raised:
            raised[row.name, row.severity, row.audience] = float(row.raised)
    for key, value in raised.items():
        family.add_metric(list(key), math.nan if value is None else value)
    yield family


def _watch(reading: Reading) -> Iterator[Metric]:
    watch = reading.stored.watch if reading.stored else None
    tick = reading.stored.tick if reading.stored else None
    active = watch is not None and watch.active
    unknown = reading.stored is None
    yield _gauge("watch_active", "1 while a watch is not at its end.", None if unknown else float(active))
    left = max(0.0, watch.until_at - reading.at) if watch is not None and active else 0.0
    yield _gauge("watch_remaining_seconds", "Time until the watch is over, 0 without one.", None if unknown else left)
    states = [watch.state] if watch else []
    yield _one_of("watch_state", "1 for the latest watch's.", "state", WATCH_STATES, None if unknown else states)
    outcome = None if unknown else [watch.outcome] if watch else []
    yield _one_of("watch_outcome", "1 for how the latest watch stands or ended.", "outcome", OUTCOMES, outcome)
    verdicts = {str(rule.get("rule")): str(rule.get("verdict")) for rule in (tick.rules if active and tick else ())}
    failing = None if unknown else [rule for rule, verdict in verdicts.items() if verdict == "fail"]
    yield _one_of("watch_rule_failing", "1 for a rule that fails at the latest measurement.", "rule", RULES, failing)
    blind = (
        None if unknown else [rule for rule, verdict in verdicts.items() if verdict in {"no data", "collector error"}]
    )
    yield _one_of("watch_rule_blind", "1 for a rule without data at the latest measurement.", "rule", RULES, blind)
    measured = tick.at if tick else watch.began_at if watch else None
    yield _gauge("watch_last_measurement_timestamp_seconds", "Of the latest watch; its begin before any.", measured)
    every = number(watch.plan.get("interval_s")) if watch else None
    yield _gauge("watch_interval_seconds", "Time between two measurements of the latest watch.", every)
    ended = watch.ended_at if watch else None
    yield _gauge("watch_ended_timestamp_seconds", "When the latest watch came to its end.", ended)


def _machine(reading: Reading) -> Iterator[Metric]:
    taken = reading.footprint
    yield _gauge("processes", "The worker's processes.", taken.processes)
    yield _gauge("process_resident_memory_bytes", "Memory of the worker and its children.", taken.resident_bytes)
    yield _counter("process_cpu_seconds", "Processor time of the worker and its children.", taken.cpu_seconds)
    yield _counter("process_disk_read_bytes", "Bytes that they read from disk.", taken.disk_read_bytes)
    yield _counter("process_disk_written_bytes", "Bytes that they wrote to disk.", taken.disk_written_bytes)
