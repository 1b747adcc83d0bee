"""`mobius health`: what `/health` says, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import GAP, columns_of, fitted, hanging, padded, table, with_labels
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.errors import BadInput, EnvironmentFailed, ProcessingFailed
from mobius_tui.launch.health import Health, ask_health
from mobius_tui.launch.questions import shown_url
from mobius_tui.text import human_seconds, visible

MENDS: Mapping[str, str] = {
    "library": "mobius doctor",
    "catalogue": "mobius check",
    "database": "mobius doctor",
    "worker": "mobius logs --level warning, then mobius worker restart",
    "pool": "mobius doctor, then mobius worker restart",
    "disk": "mobius backup clean, or free space: mobius doctor shows where",
    "backup": "mobius backup create",
    "checks": "mobius doctor",
}
"""What mends a check that is not ok, by its name."""

_STYLES = {"healthy": "good", "degraded": "warn", "unhealthy": "bad"}
_MOST = 20
_NAME = 16
_LARGEST = 1e12


@click.command("health")
@takes_common_options
@click.option("--base-url", metavar="URL", help="Another service than this workspace's, such as http://host:5001.")
@click.pass_obj
def health(call: Call, base_url: str | None) -> int:
    """What /health says, for people: each check, and the command that mends it.

    Exit 0 when healthy or degraded, 2 when unhealthy, 3 when nobody answers. --json prints the answer's body.
    """
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise BadInput(f"{visible(base_url)!r} is no address", fix="begin it with http:// or https://")
    found = ask_health(base_url if base_url else call.open(lenient=True))
    if call.json:
        show_json(found.body or {"status": found.status, "sentence": found.sentence, "fix": found.fix})
    elif found.body:
        for line, style in health_lines(found.body, data_width()):
            show(line, style)
    if found.status == "unreachable":
        advice = f"`{found.fix}`" if found.fix.startswith("mobius ") else found.fix
        fix = advice or "`mobius worker status` and `mobius logs` say more"
        raise EnvironmentFailed(f"nobody answers as the worker would: {found.sentence}", fix=fix)
    if found.status == "unhealthy":
        where = shown_url(base_url) if base_url else ""
        raise ProcessingFailed(_wrong(found), where=where, fix=_mend(found.body))
    return 0


def health_lines(body: Mapping[str, Any], width: int) -> list[tuple[str, str]]:
    """The answer of ``/health`` for people.

    Args:
        body: JSON data from outside; what is not as a worker writes it is shown as far as it makes sense.
        width: Columns.

    Returns:
        Lines and their style.
    """
    status = str(body.get("status", "unknown"))
    facts = [("status", status), ("asked at", str(body.get("timestamp", "-"))), ("uptime", _uptime(body.get("uptime")))]
    facts += [(name, str(body[name])) for name in ("environment", "version") if body.get(name) is not None]
    facts += [("system", _system(body.get("system")))] if isinstance(body.get("system"), Mapping) else []
    styles = {"status": _STYLES.get(status, "warn")}
    lines = [(line, styles.get(label, "")) for label, line in with_labels(facts, width=width)]
    checks = body.get("checks")
    found = {str(name): item for name, item in checks.items()} if isinstance(checks, Mapping) else {}
    lines += _checks({name: item for name, item in found.items() if isinstance(item, Mapping)}, width)
    told = {str(item.get("sentence")) for item in found.values() if isinstance(item, Mapping)}
    lines += _told("alerts", _sentences(body.get("alerts")), width)
    lines += _triggers(body.get("rollback_triggers"), width)
    return lines + _told("warnings", [said for said in _sentences(body.get("warnings")) if said not in told], width)


def _triggers(value: object, width: int) -> list[tuple[str, str]]:
    """What makes a watch roll back: value and limit of each rule, and its verdict while a watch is on."""
    rows = [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
    if not rows:
        return []
    watched = any(item.get("run") for item in rows)
    cells = [
        [
            f"{GAP}{fitted(str(item.get('rule', '-')), _NAME)}",
            *_figures(item),
            fitted(str(item.get("verdict") or "-"), _NAME),
        ]
        for item in rows
    ]
    heads = ["rollback triggers", "value", "limit", "baseline", "verdict"]
    if not watched:
        cells, heads = [row[:3] for row in cells], heads[:3]
    head, *lines = table(cells, heads=heads, right=(1, 2, 3), flexible=0, cut_end=True, width=width)
    shown = [(head if watched else f"{head}{GAP}{GAP}no watch is on", "title")]
    for item, line in zip(rows, lines, strict=True):
        shown.append((line, "bad" if item.get("verdict") == "fail" else ""))
        if watched and item.get("verdict") != "pass":
            shown += [(each, "warn") for each in hanging(GAP * 3, str(item.get("sentence", "-")), width=width)]
    return shown


def _figures(item: Mapping[str, Any]) -> list[str]:
    return [_figure(str(item.get("rule")), item.get(name)) for name in ("value", "limit", "baseline")]


def _figure(rule: str, value: object) -> str:
    """A rule's figure with its unit; a dash for what was not measured."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        return "-"
    if rule == "failures":
        return f"{value * 100:.1f} %"
    if rule == "p95":
        return f"{value:,.0f} ms"
    return f"{value:,.0f}"


def _checks(checks: Mapping[str, Mapping[str, Any]], width: int) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    names = {name: fitted(name, _NAME) for name in checks}
    column = max((columns_of(name) for name in names.values()), default=0)
    for name, item in checks.items():
        ok = item.get("ok")
        mark, style = ("ok", "") if ok is True else ("?", "warn") if ok is None else ("BAD", "bad")
        head = f"{mark:<3}{GAP}{padded(names[name], column)}{GAP}"
        lines += [(line, style) for line in hanging(head, str(item.get("sentence", "-")), width=width)]
        if item.get("ok") is False and name in MENDS:
            lines += [(line, style) for line in hanging(f"{' ' * columns_of(head)}-> ", MENDS[name], width=width)]
    return lines


def _told(title: str, sentences: list[str], width: int) -> list[tuple[str, str]]:
    lines = [(title, "title")] if sentences else []
    for sentence in sentences[:_MOST]:
        lines += [(line, "warn") for line in hanging(GAP, sentence, width=width)]
    if len(sentences) > _MOST:
        lines.append((f"{GAP}and {len(sentences) - _MOST} more: mobius health --json", "warn"))
    return lines


def _sentences(value: object) -> list[str]:
    """What a list of texts or objects, or an object of such, says."""
    if isinstance(value, Mapping):
        return [f"{name}: {said}" for name, item in value.items() for said in _sentences([item])]
    if not isinstance(value, list):
        return [] if value in (None, "", False) else [str(value)]
    return [_sentence(item) if isinstance(item, Mapping) else str(item) for item in value if item not in (None, "")]


def _sentence(item: Mapping[str, Any]) -> str:
    kind = " ".join(str(item[name]) for name in ("severity", "name") if item.get(name))
    said = str(item.get("sentence") or item.get("message") or ", ".join(f"{key} {each}" for key, each in item.items()))
    since = f" (since {item['since']})" if item.get("since") else ""
    return f"{kind}: {said}{since}" if kind and kind not in said else f"{said}{since}"


def _uptime(value: object) -> str:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST
    return human_seconds(value) if known else "-"  # type: ignore[arg-type]


def _system(value: object) -> str:
    assert isinstance(value, Mapping)
    cores = value.get("cores")
    words = [str(value.get(name, "")) for name in ("platform", "release")]
    return ", ".join([" ".join(words), f"Python {value.get('python', '-')}", f"{cores} cores"])


def _wrong(found: Health) -> str:
    return f"the service is {found.sentence}" if ":" in found.sentence else "the service is unhealthy"


def _mend(body: Mapping[str, Any]) -> str:
    """What mends the first check that is not ok."""
    checks = body.get("checks")
    for name, item in checks.items() if isinstance(checks, Mapping) else ():
        if isinstance(item, Mapping) and item.get("ok") is False and name in MENDS:
            return MENDS[name]
    return "`mobius doctor`"
