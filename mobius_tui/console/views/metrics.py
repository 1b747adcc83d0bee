"""Pane 3: figures of the last 15 minutes, each with its limit and a trend line against a fixed scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import BLANK, Line, Span, columns, fit, merge, outside, width_of
from mobius_tui.console.snapshot import Snapshot, raised_alerts
from mobius_tui.console.trends import round_scale, trend_line
from mobius_tui.console.views.view import Detail, View, labelled, long_time, no_note, short_time
from mobius_tui.store.alerts import AlertRow
from mobius_tui.text import counted

AVERAGE_LIMIT_MS = 100.0
"""Limit of the mean time of an image: an alert is raised above it."""

AVERAGE_TARGET_MS = 50.0
"""Where that time should stay below."""

P95_LIMIT_MS = 200.0
"""Limit of its 95th percentile."""

FAILURE_LIMIT = 0.05
"""Limit of the share of failed images."""

FAILURE_TARGET = 0.01
"""Where that share should stay below."""

QUEUE_LIMIT = 100
"""Doubtful pairs and images above which people should be told."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure: its value as text, its limit, its trend, and the target it should meet, if it has one."""

    label: str
    value: float | None
    shown: str
    limit: float | None
    limit_shown: str
    trend: Sequence[float | None]
    scale: float
    target: float | None = None
    target_shown: str = ""


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
        Metric(
            "avg hash",
            f.average_ms,
            _ms(f.average_ms, glyphs),
            AVERAGE_LIMIT_MS,
            "100",
            f.trend_average,
            AVERAGE_LIMIT_MS,
            AVERAGE_TARGET_MS,
            "50",
        ),
        Metric("p95", f.p95_ms, _ms(f.p95_ms, glyphs), P95_LIMIT_MS, "200", f.trend_p95, 200.0),
        Metric(
            "failures",
            f.failure_rate,
            _share(f.failure_rate, glyphs),
            FAILURE_LIMIT,
            "5%",
            f.trend_failed,
            FAILURE_LIMIT,
            FAILURE_TARGET,
            "1%",
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


_LABELS = (("avg hash", "100"), ("p95", "200"), ("failures", "5%"), ("queue", "100"), ("rate", ""))


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
    alerts, whole = len(raised_alerts(snapshot)), height
    height -= min(alerts, max(1, height - len(metrics) - 1)) + 1 if alerts else 0
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
    if alerts and not gaps and len(lines) < whole:
        lines.append(BLANK)
    if gaps and snapshot.store is not None:
        f = snapshot.store.figures
        lines.append(((f"of {counted(f.images)}, {f.failed:,} failed", "muted"),))
        lines.append(((f"{glyphs.levels[-1]} limit  {glyphs.over} over  {glyphs.no_data} no data", "muted"),))
        lines += [BLANK] if alerts else []
    return lines


def _value_line(metric: Metric, width: int, glyphs: Glyphs) -> Line:
    over = metric.limit is not None and metric.value is not None and metric.value > metric.limit
    missed = not over and metric.target is not None and metric.value is not None and metric.value > metric.target
    role = "bad" if over else "warn" if missed else "strong" if metric.value is not None else "muted"
    label = "limit" if metric.limit_shown and metric.label != "rate" else "top" if metric.trend else ""
    right = f"{label} {metric.limit_shown}" if label else ""
    right = f"{glyphs.warn} {right}" if over else f"target {metric.target_shown}" if missed else right
    parts: list[Span] = [(fit(metric.label, 9), ""), (fit(metric.shown, 9, right=True), role), (" ", "")]
    gap = width - width_of(merge(parts)) - len(right)
    if gap < 1:
        return merge(parts)
    return merge([*parts, (" " * gap, ""), (right, "bad" if over else "warn" if missed else "muted")])


def alert_value(row: AlertRow, glyphs: Glyphs) -> str:
    """What was measured, in the alert's own unit; empty where there is no figure."""
    if row.value is None:
        return ""
    shown = {"average": _ms, "p95": _ms, "failures": _share}.get(row.name)
    return shown(row.value, glyphs) if shown is not None else f"{row.value:,.0f}"


_WIDE = 60
"""From this width on an alert's sentence is shown, too."""


def _alert_line(row: AlertRow, width: int, glyphs: Glyphs, snapshot: Snapshot) -> Line:
    """Mark, name and value, since when, and whether somebody has seen it."""
    marks: dict[str, Span] = {"critical": (glyphs.bad, "bad"), "warning": (glyphs.warn, "warn")}
    mark, role = marks.get(row.severity, (glyphs.warn, "accent"))
    right = columns([(f"since {short_time(row.since, snapshot.at)}", "muted"), (_seen(row), "muted")], 1)
    what = f"{mark} {outside(row.name)} {alert_value(row, glyphs)}".rstrip()
    if width >= _WIDE:
        what = f"{what}  {outside(row.sentence)}"
    room = max(1, width - width_of(right) - 1)
    return merge([(fit(what, room, ellipsis=glyphs.middle), role), (" ", ""), *right])


def _seen(row: AlertRow) -> str:
    return "seen" if row.acknowledged_by else ""


def _alert_detail(row: AlertRow, _: Snapshot) -> list[Detail]:
    return [
        labelled("alert", row.name),
        labelled("severity", row.severity),
        labelled("for", row.audience),
        labelled("what", row.sentence),
        labelled("measured", row.value),
        labelled("limit", row.limit_at),
        labelled("since", long_time(row.since)),
        labelled("seen by", row.acknowledged_by),
        labelled("seen", long_time(row.acknowledged_at)),
    ]


METRICS = View(
    number=3,
    name="Metrics",
    note=lambda _: "15 min",
    head=_head,
    items=raised_alerts,
    line=_alert_line,
    words=lambda row: f"{row.name} {row.severity} {row.sentence}",
    key=lambda row: row.name,
    detail=_alert_detail,
    empty=no_note,
    points=True,
)
"""The pane's content."""
