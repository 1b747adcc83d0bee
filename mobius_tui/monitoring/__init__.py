"""Beside the worker's `/metrics`: alert rules for Prometheus, a dashboard for Grafana."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

Name = Literal["mobius-alerts.yml", "mobius-dashboard.json"]
"""The files."""

RULES: Final[Name] = "mobius-alerts.yml"
"""Prometheus alert rules: a file for `rule_files`."""

DASHBOARD: Final[Name] = "mobius-dashboard.json"
"""A Grafana dashboard: to be imported, or provisioned."""


def path_of(name: Name) -> Path:
    """Where a file of this package lies."""
    return Path(__file__).with_name(name)
