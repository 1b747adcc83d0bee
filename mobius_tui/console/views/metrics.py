"""Pane 3: figures of the last 15 minutes, each with its limit and a trend line against a fixed scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import BLANK, Line, Span, fit, merge, width_of
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.trends import round_scale, trend_line
from mobius_tui.console.views.view import View, no_items, no_note
from mobius_tui.text import counted

AVERAGE_LIMIT_MS = 50.0
"""Target for the mean time of an image."""

P95_LIMIT_MS = 200.0
"""Limit of its 95th percentile."""

FAILURE_LIMIT = 0.05
"""Limit of the share of failed images."""

QUEUE_LIMIT = 100
"""Doubtful pairs and images above which people should be told."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its value as text, whether it is over its limit, its limit and its trend."""

    label: str
    value: float | None
    shown: str
    limit: float | None
    limit_shown: str
    trend: Sequence[float | None]
    scale: float


def metrics_of(snapshot: Snapshot, glyphs: Glyphs) -> list[Metric]:
    """The five figures; a dash where nothing was measured."""
    store = snapshot.store
    if store is None:
        return [_unmeasured(label, limit, glyphs) for label, limit in _LABELS]
    f = store.figures
    queue = store.waiting + store.low_confidence
    per_second = None if f.rate_per_hour is None else f.rate_per_hour / 3600
    scale = round_scale([*f.trend_rate, per_second], 10.0)
    return [
        Metric("avg hash", f.average_ms, _ms(f.average_ms, glyphs), AVERAGE_LIMIT_MS, "50", f.trend_average, 50.0),
        Metric("p95", f.p95_ms, _ms(f.p95_ms, glyphs), P95_LIMIT_MS, "200", f.trend_p95, 200.0),
        Metric(
            "failures",
            f.failure_rate,
            _share(f.failure_rate, glyphs),
            FAILURE_LIMIT,
            "5%",
            f.trend_failed,
            FAILURE_LIMIT,
        ),
        Metric("queue", queue, f"{queue:,}", QUEUE_LIMIT, "100", (), QUEUE_LIMIT),
        Metric(
            "rate",
            f.rate_per_hour,
            _per_hour(f.rate_per_hour, glyphs),
            None,
            _per_hour(scale * 3600, glyphs).replace(".0", ""),
            f.trend_rate,
            scale,
        ),
    ]


_LABELS = (("avg hash", "50"), ("p95", "200"), ("failures", "5%"), ("queue", "100"), ("rate", ""))


def _unmeasured(label: str, limit: str, glyphs: Glyphs) -> Metric:
    return Metric(label, None, glyphs.dash, None, limit, (), 1.0)


def _ms(value: float | None, glyphs: Glyphs) -> str:
    if value is None:
        return glyphs.dash
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms" if value < 10_000 else f"{value / 1000:,.0f} s"


def _share(value: float | None, glyphs: Glyphs) -> str:
    return glyphs.dash if value is None else f"{value:.1%}"


def _per_hour(value: float | None, glyphs: Glyphs) -> str:
    if value is None:
        return glyphs.dash
    for limit, divisor, unit in ((1e4, 1, "/h"), (1e6, 1e3, " k/h"), (float("inf"), 1e6, " M/h")):
        if value < limit:
            return f"{value / divisor:,.0f}{unit}" if divisor == 1 else f"{value / divisor:,.1f}{unit}"
    raise AssertionError("every figure is below infinity")


def _head(snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    """Value and trend of each figure; trends give way to values, and gaps to trends, when rows are few."""
    metrics = metrics_of(snapshot, glyphs)
    trends = sum(1 for metric in metrics if metric.trend)
    room = height - len(metrics)
    drawn = max(0, min(trends, room))
    gaps = room - drawn >= len(metrics)
    lines: list[Line] = []
    for metric in metrics:
        lines.append(_value_line(metric, width, glyphs))
        if metric.trend and drawn:
            drawn -= 1
            lines.append(trend_line(metric.trend, width, metric.scale, glyphs, judged=metric.limit is not None))
        if gaps:
            lines.append(BLANK)
    if gaps and snapshot.store is not None:
        f = snapshot.store.figures
        lines.append(((f"of {counted(f.images)}, {f.failed:,} failed", "muted"),))
        lines.append(((f"{glyphs.levels[-1]} limit  {glyphs.over} over  {glyphs.no_data} no data", "muted"),))
    return lines


def _value_line(metric: Metric, width: int, glyphs: Glyphs) -> Line:
    over = metric.limit is not None and metric.value is not None and metric.value > metric.limit
    role = "bad" if over else "strong" if metric.value is not None else "muted"
    label = "limit" if metric.limit_shown and metric.label != "rate" else "top" if metric.trend else ""
    right = f"{label} {metric.limit_shown}" if label else ""
    right = f"{glyphs.warn} {right}" if over else right
    parts: list[Span] = [(fit(metric.label, 9), ""), (fit(metric.shown, 9, right=True), role), (" ", "")]
    gap = width - width_of(merge(parts)) - len(right)
    if gap < 1:
        return merge(parts)
    return merge([*parts, (" " * gap, ""), (right, "bad" if over else "muted")])


def _nothing(_: object) -> str:
    return ""


METRICS = View(
    number=3,
    name="Metrics",
    note=lambda _: "15 min",
    head=_head,
    items=no_items,
    line=lambda *_: BLANK,
    words=_nothing,
    key=lambda item: item,
    detail=lambda *_: [],
    empty=no_note,
)
"""The pane's content."""
