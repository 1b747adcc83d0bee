"""What one measurement of a watch collects: health, the service's figures, probes, the live catalogue."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mobius_tui.guard.model import Baseline, Measurement
from mobius_tui.workspace import Workspace


class Collector:
    """Measures a service, again and again; remembers what the next measurement is compared with.

    Args:
        ws: The workspace.
        base_url: The service; empty means ``base_url`` of the settings, else the workspace's own worker.
        baseline: How it was before the swap; without probes in it some are chosen at the first measurement.
        interval_s: Between two measurements; nearly all of it at most is spent on one.
        live: The live catalogue; None means the workspace's.
        deploy: Run id of the deploy that is watched: its own open journal explains nothing.
        monotonic: Seconds by a clock that never goes back, best one that counts suspended time.
        now: Seconds since the epoch.
    """

    def __init__(
        self,
        ws: Workspace,
        base_url: str,
        baseline: Baseline,
        interval_s: float,
        *,
        live: Path | None = None,
        deploy: str = "",
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ws, self._base_url, self._baseline, self._interval_s = ws, base_url, baseline, interval_s
        self._live, self._deploy, self._monotonic, self._now = live, deploy, monotonic, now

    def measure(self, number: int, elapsed_s: float, merged: int = 1) -> Measurement:
        """Collect everything once; never raises."""
        return Measurement(number, self._now(), elapsed_s, merged)


def take_baseline(ws: Workspace, base_url: str, *, images: int | None = None, budget_s: float = 60.0) -> Baseline:
    """How the service and the live catalogue are now, before the swap; never raises.

    Args:
        ws: The workspace.
        base_url: The service; empty means ``base_url`` of the settings, else the workspace's own worker.
        images: How many probes; None means the setting ``probe_images``.
        budget_s: Seconds that all of it may take, about.

    Returns:
        The baseline, with the probes chosen.
    """
    del ws, base_url, images, budget_s
    return Baseline()


def with_published(
    baseline: Baseline, *, entries: int | None, with_dhash: int | None, queue: int | None, sha256: str
) -> Baseline:
    """The baseline with what the swap published in place of what was live before it."""
    return replace(baseline, entries=entries, with_dhash=with_dhash, queue=queue, published=sha256)
