"""Reading Prometheus text, rules and dashboards in tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from mobius_tui.monitoring import DASHBOARD, RULES, path_of

_SELECTOR = re.compile(r"\b(mobius_[a-z0-9_]+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r'(\w+)(=~|=)"([^"]*)"')
_SAMPLE = re.compile(r"(mobius_[a-z0-9_]+)(?:\{(.*)\})? (\S+)")


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample: name and labels, and its value."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            labels = frozenset((name, value) for name, _, value in _LABEL.findall(match[2] or ""))
            assert (match[1], labels) not in found, line
            found[match[1], labels] = float(match[3])
    return found


def value(text: str, name: str, **labels: str) -> float:
    """One sample's value; the name without its prefix."""
    return samples(text)[f"mobius_{name}", frozenset(labels.items())]


def rule_expressions() -> list[str]:
    """The expression of every alert rule."""
    return re.findall(r"^ +expr: (.*)$", path_of(RULES).read_text(), re.MULTILINE)


def dashboard_expressions() -> list[str]:
    """Every expression of the dashboard, queries of its variables included."""
    return list(_expressions(json.loads(path_of(DASHBOARD).read_text())))


def _expressions(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, inner in part.items():
            if name in {"expr", "query"} and isinstance(inner, str) and inner != "prometheus":
                yield inner
            else:
                yield from _expressions(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _expressions(inner)


def unknown_selectors(expression: str, text: str) -> list[str]:
    """Selectors of an expression that no sample of a text answers."""
    known = samples(text)
    return [
        match[0]
        for match in _SELECTOR.finditer(expression)
        if not any(name == match[1] and _fits(dict(labels), match[2] or "") for name, labels in known)
    ]


def _fits(labels: dict[str, str], wanted: str) -> bool:
    for name, how, value in _LABEL.findall(wanted):
        if name in {"job", "instance"}:  # Prometheus adds them
            continue
        if name not in labels or (labels[name] != value if how == "=" else not re.fullmatch(value, labels[name])):
            return False
    return True
