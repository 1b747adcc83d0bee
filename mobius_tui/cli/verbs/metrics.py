"""`mobius metrics`: what `/metrics/dhash` says, for people; the kept samples; what Prometheus and Grafana need."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import click

from mobius_tui import monitoring
from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import labelled, table, wrapped
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError
from mobius_tui.operations.ask_service import NoService, ask_service
from mobius_tui.operations.metrics_table import FIGURES, cells_of, csv_of, spans_of
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.metrics import list_samples
from mobius_tui.system import clock
from mobius_tui.text import counted, duration_of, human_bytes, human_seconds, visible
from mobius_tui.workspace import Workspace

KEPT_S = 60 * 86_400.0
"""Seconds that samples are kept."""

_LARGEST = 1e15


@click.command("metrics")
@takes_common_options
@click.option("--since", metavar="AGE", help="Kept one-minute samples from so long ago: 90m, 48h, 7d, up to 60d.")
@click.option("--csv", "as_csv", is_flag=True, help="With --since: every sample as CSV.")
@click.option("--prometheus", is_flag=True, help="Print the text of /metrics.")
@click.option("--rules", is_flag=True, help="Print alert rules for Prometheus.")
@click.option("--dashboard", is_flag=True, help="Print a dashboard for Grafana.")
@click.pass_obj
def metrics(call: Call, since: str | None, as_csv: bool, prometheus: bool, rules: bool, dashboard: bool) -> int:
    """Each figure with its unit, limit and target, over the last 15 minutes.

    Without a worker it reads the database and says so.
    """
    if sum((since is not None, prometheus, rules, dashboard)) > 1:
        raise BadInput("--since, --prometheus, --rules and --dashboard do not go together", fix="give one of them")
    if as_csv and since is None:
        raise BadInput("--csv needs --since", fix="such as --since 48h")
    if as_csv and call.json:
        raise BadInput("--csv and --json do not go together", fix="give one of them")
    if rules or dashboard:
        _print(monitoring.path_of(monitoring.RULES if rules else monitoring.DASHBOARD).read_text(encoding="utf-8"))
        return 0
    ws = call.open(lenient=True)
    if since is not None:
        _show_samples(call, ws, since, as_csv=as_csv)
    elif prometheus:
        _print(ask_service(ws, "/metrics").decode("utf-8", "replace"))
    else:
        _show_now(call, ws)
    return 0


def _print(text: str) -> None:
    for line in text.splitlines():
        show(line)


def _show_now(call: Call, ws: Workspace) -> None:
    try:
        body = _asked(ws)
    except NoService as error:
        if ws.settings.base_url:
            raise
        body = _from_database(ws)
        call.say(f"read from the database: {error}", "warn")
    if call.json:
        show_json(body)
        return
    for line, style in now_lines(body, data_width()):
        show(line, style)


def _asked(ws: Workspace) -> dict[str, Any]:
    try:
        body = json.loads(ask_service(ws, "/metrics/dhash"))
    except (ValueError, RecursionError) as error:
        raise EnvironmentFailed(
            "/metrics/dhash answers no JSON", fix="`mobius worker status` says who answers"
        ) from error
    if not isinstance(body, dict):
        raise EnvironmentFailed("/metrics/dhash answers no JSON object", fix="`mobius worker status` says who answers")
    return body


def _from_database(ws: Workspace) -> dict[str, Any]:
    """The same figures without a worker, as far as files and database know them."""
    from mobius_tui.recovery.backups import list_backups
    from mobius_tui.worker.footprint import Footprint
    from mobius_tui.worker.metrics import Reading, body, last_publication, read_stored
    from mobius_tui.worker.requests import Answered

    now, stored, migrated, made = clock.now(), None, None, None
    with contextlib.suppress(sqlite3.Error, OSError, MobiusError):
        connection = open_for_reading(ws.database)
        if connection is not None:
            with contextlib.closing(connection):
                stored = read_stored(connection, now)
    with contextlib.suppress(OSError, MobiusError):
        migrated = last_publication(ws)
    with contextlib.suppress(OSError, MobiusError):
        good = [backup.at for backup in list_backups(ws.backups) if backup.state == "verified" and backup.at <= now]
        made = max(good, default=None)
    totals = None if stored is None else stored.totals
    found = body(Reading(now, 0.0, stored, totals, {}, migrated, made, {}, Footprint(), Answered({}, {})))
    known = found["totals"]
    assert isinstance(known, dict)
    return {
        **found,
        "totals": {**known, "requests_total": None, "errors_total": None},
        "system_health_status": None,
        "source": "database",
    }


def now_lines(body: Mapping[str, Any], width: int) -> list[tuple[str, str]]:
    """The figures for people.

    Args:
        body: JSON data from outside, as ``/metrics/dhash`` has it.
        width: Columns.

    Returns:
        Lines and their style.
    """
    from mobius_tui.worker import alerting

    def ms(name: str) -> str:
        value = _number(body.get(name))
        return "-" if value is None else f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"

    failed, samples = _number(body.get("failed_samples")), _number(body.get("samples"))
    some = f" ({failed:,.0f} of {samples:,.0f})" if failed is not None and samples else ""

    def percent(name: str) -> str:
        return _percent(body.get(name))

    limits = {
        "avg_hash_time_ms": alerting.AVERAGE_MS, "p95_hash_time_ms": alerting.P95_MS,
        "extraction_failures_rate": alerting.FAILURES, "low_confidence_queue_length": alerting.QUEUE,
    }  # fmt: skip
    rows = [
        ("avg_hash_time_ms", "average time of an image", ms("avg_hash_time_ms"), "100 ms", "< 50 ms"),
        ("p95_hash_time_ms", "95th percentile", ms("p95_hash_time_ms"), "200 ms", ""),
        ("extraction_failures_rate", "failures", percent("extraction_failures_rate") + some, "5 %", "< 1 %"),
        ("low_confidence_queue_length", "review queue", _count(body.get("low_confidence_queue_length")), "100", ""),
        ("", "images an hour", _count(body.get("processing_rate_per_hour")), "", ""),
        ("", "duplicates", percent("duplicate_rate"), "", ""),
    ]
    over = [bool(name) and _over(body.get(name), limits[name]) for name, *_ in rows]
    cells = [[*row[1:], "over" if above else ""] for row, above in zip(rows, over, strict=True)]
    heads = [f"last {_window(body.get('window_s'))}", "now", "limit", "target", ""]
    head, *lines = table(cells, heads=heads, right=(1, 2, 3), flexible=0, cut_end=True, width=width)
    shown = [(head, "title"), *((line, "warn" if above else "") for line, above in zip(lines, over, strict=True))]
    return [*shown, *_facts(body, width)]


def _facts(body: Mapping[str, Any], width: int) -> list[tuple[str, str]]:
    given = body.get("totals")
    totals = given if isinstance(given, Mapping) else {}
    health = str(body.get("system_health_status") or "-")
    rows = [
        ("health", health),
        ("library", f"{_count(body.get('images'))} images"),
        ("queue", f"{_count(body.get('review_pairs_waiting'))} pairs wait, "
                  f"{_count(body.get('low_confidence_images'))} images of low confidence"),
        ("last migration", str(body.get("last_migration_timestamp") or "never")),
        ("last backup", str(body.get("last_backup_timestamp") or "none that is verified")),
        ("since ever", f"{_count(totals.get('images_total'))} images hashed, "
                       f"{_count(totals.get('image_processing_errors'))} failed"),
        ("HTTP", f"{_count(totals.get('requests_total'))} requests, {_count(totals.get('errors_total'))} errors"),
        ("worker", f"{_bytes(body.get('resident_bytes'))} memory, CPU {_of(body.get('cpu_percent'), ' %')}, "
                   f"{_bytes(body.get('disk_read_bytes'))} read, {_bytes(body.get('disk_written_bytes'))} written"),
    ]  # fmt: skip
    styles = {"degraded": "warn", "unhealthy": "bad"}
    return [(line, styles.get(health, "") if line.startswith("health") else "") for line in labelled(rows, width=width)]


def _show_samples(call: Call, ws: Workspace, since: str, *, as_csv: bool) -> None:
    seconds = duration_of(since)
    if seconds is None or seconds <= 0:
        raise BadInput(f"{visible(since)!r} is no duration", fix="write it like 90m, 48h or 7d")
    until = clock.now()
    start = until - min(seconds, KEPT_S)
    samples = _samples(ws, start, until)
    if as_csv:
        _print(csv_of(samples))
    elif call.json:
        rows = [{"time": None if row["at"] is None else clock.iso(row["at"]), **row} for row in samples]
        show_json({"since": clock.iso(start), "until": clock.iso(until), "samples": rows})
    else:
        for line in sample_lines(samples, start, until, data_width()):
            show(line)
    if seconds > KEPT_S:
        call.say("samples are kept for 60 days")
    if not samples:
        call.say("no sample was kept in this time; the worker keeps one a minute", "warn")


def _samples(ws: Workspace, since: float, until: float) -> list[dict[str, float | None]]:
    try:
        connection = open_for_reading(ws.database)
        if connection is None:
            return []
        with contextlib.closing(connection):
            return list_samples(connection, since, until)
    except sqlite3.Error as error:
        raise EnvironmentFailed(f"the samples cannot be read: {visible(str(error))}", fix="`mobius doctor`") from error


def sample_lines(samples: list[dict[str, float | None]], since: float, until: float, width: int) -> list[str]:
    """A table of the kept samples.

    Args:
        samples: Oldest first.
        since: Seconds since the epoch.
        until: Likewise.
        width: Columns.
    """
    spans = spans_of(samples, since, until)
    if not spans:
        return []
    manner, rows = cells_of(spans, width)
    heads = ["time (UTC)", *(title for _, title, _ in FIGURES)]
    minutes = round((spans[1].at - spans[0].at) / 60) if len(spans) > 1 else 0
    each = f"{counted(len(samples), 'sample')}" + (f", a row each {_minutes(minutes)}" if minutes else "")
    lines = table(rows, heads=heads, right=range(1, len(heads)), flexible=0, width=width)
    return [*lines, *wrapped(f"{each}; {manner}; each sample covers the 15 minutes before it", width=width)]


def _minutes(minutes: int) -> str:
    if minutes < 60:
        return counted(minutes, "minute") if minutes > 1 else "minute"
    return counted(minutes // 60, "hour") if minutes < 1440 else counted(minutes // 1440, "day")


def _number(value: object) -> float | None:
    """A figure; None for what is none, from whoever answers."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    return float(value) if known else None  # type: ignore[arg-type]


def _over(value: object, limit: float) -> bool:
    number = _number(value)
    return number is not None and number > limit


def _count(value: object) -> str:
    return "-" if (number := _number(value)) is None else f"{number:,.0f}"


def _percent(value: object) -> str:
    return "-" if (number := _number(value)) is None else f"{number * 100:.1f} %"


def _of(value: object, unit: str) -> str:
    return "-" if (number := _number(value)) is None else f"{number:,.1f}{unit}"


def _bytes(value: object) -> str:
    return "-" if (number := _number(value)) is None else human_bytes(number)


def _window(value: object) -> str:
    number = _number(value)
    if number is None:
        return "15 minutes"
    return f"{number / 60:.0f} minutes" if number >= 120 else human_seconds(number)
