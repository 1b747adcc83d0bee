"""What one measurement of a watch collects: health, the service's figures, probes, the live catalogue.

How long one takes at most, with an interval of I seconds: health 5 s (twice that when the guard itself stood still
meanwhile), figures 5 s, probes 0.75 I and never beyond 0.95 I of the whole (but 0.2 s), the catalogue 30 s and mostly
nothing. With an interval of 60 s and a service that hangs everywhere that is 57 s. Shorter intervals than 50 s leave no
probe the 35 s after which it counts as failed: a hang of the extraction alone is no data then.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import MobiusError
from mobius_tui.guard.catalogue_look import Seen, look_at
from mobius_tui.guard.figures import PATH as FIGURES_PATH
from mobius_tui.guard.figures import RATE_RULES, Figures, read_figures
from mobius_tui.guard.model import Baseline, CatalogueLook, HealthLook, Measurement, Source
from mobius_tui.guard.probes import LIMIT_S, STALL_S, ProbeRun, choose_probes, run_probes
from mobius_tui.guard.probes import PATH as PROBE_PATH
from mobius_tui.launch.api_key import KEY_HEADER, read_api_key
from mobius_tui.launch.health import Health, address_of, ask_health, worker_address
from mobius_tui.launch.questions import Answer, boot_seconds, call, shortage
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

ENOUGH_SAMPLES: Final = 1000
"""A baseline goes on for this many probes where they are quick: on fewer, a fault of 12 % may stay undetected."""

ROUNDS: Final = 10
"""So often the probes are sent for a baseline at most: the same few images again and again tell nothing new."""

LONGEST_BASELINE_S: Final = 60.0
"""Seconds that a baseline may take; a quarter of the watch when that is less."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long each part may take, in seconds.

    Attributes:
        health_s: No answer of ``/health`` within these is a failure.
        figures_s: For ``/metrics/dhash``.
        probe_s: No answer to a probe within these is a failed one.
        look_s: For the look at the catalogue.
    """

    health_s: float = 5.0
    figures_s: float = 5.0
    probe_s: float = LIMIT_S
    look_s: float = 30.0


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
        limits: How long each part may take.
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
        monotonic: Callable[[], float] = boot_seconds,
        now: Callable[[], float] = time.time,
        limits: Limits | None = None,
    ) -> None:
        self._ws, self._base_url, self._baseline, self._interval_s = ws, base_url, baseline, interval_s
        self._live, self._deploy, self._monotonic, self._now = live, deploy, monotonic, now
        self._limits = limits or Limits()
        self._probes = baseline.probes
        self._next_probe = 0
        self._absent = False
        self._has_probes = baseline.source == "probes"
        self._totals: tuple[int, int] | None = None
        self._seen: Seen | None = None
        self._looking: threading.Thread | None = None

    def measure(self, number: int, elapsed_s: float, merged: int = 1) -> Measurement:
        """Collect everything once.

        Args:
            number: Of the measurement, from 1.
            elapsed_s: Seconds since the watch began.
            merged: Ticks that fell due since the last one.

        Returns:
            The measurement; never raises, each part's own trouble is told in its errors.
        """
        at, begun = self._now(), self._monotonic()
        errors: list[str] = []
        health = _sound(self._health, HealthLook(), errors, ("health",))
        figures = _sound(self._figures, Figures(), errors, RATE_RULES)
        left = max(0.2, min(0.75 * self._interval_s, 0.95 * self._interval_s - (self._monotonic() - begun)))
        run = _sound(lambda errors: self._probe(left, errors), ProbeRun(), errors, ("failures", "p95"))
        look = _sound(self._look, CatalogueLook(), errors, ("catalogue",))
        source, samples, failures = self._counted(figures, run, errors)
        remarks = list(figures.remarks)
        for error in figures.errors:  # nonsense in figures that are not judged is worth a word, no more
            rule = error.partition(":")[0]
            needed = source == "rates" or (source == "none" and (self._absent or not self._probes))
            is_judged = rule == "queue" or needed or (source == "totals" and rule == "p95")
            (errors if is_judged else remarks).append(error)
        other = dict(figures.other)
        if run.begun:
            other["probes"] = {"begun": run.begun, **run.no_sample}
        if remarks:
            other["remarks"] = remarks
        return Measurement(
            number, at, elapsed_s, merged, health, source, samples, failures,
            tuple(run.durations_ms) if source == "probes" else (),
            figures.failure_rate, figures.p95_ms, figures.queue, look, other, tuple(dict.fromkeys(errors)),
        )  # fmt: skip

    def _health(self, errors: list[str]) -> HealthLook:
        for _ in range(2):  # the guard standing still is no sign of the service's: it asks once more at once
            health = ask_health(self._base_url or self._ws, self._limits.health_s)
            if health.answers or health.stalled_s <= STALL_S:
                return self._heard(health, errors)
        said = f"the guard itself stood still for {health.stalled_s:.1f} s while it asked, twice"
        errors.append(f"health: {said}")
        return HealthLook(None, "", said, health.seconds)

    def _heard(self, health: Health, errors: list[str]) -> HealthLook:
        lacking = shortage() if health.status == "unreachable" else ""
        if lacking or not health.asked:
            said = lacking or health.sentence
            errors.append(f"health: {said}")
            return HealthLook(None, "", said, health.seconds)
        return HealthLook(health.answers, health.status, health.sentence, health.seconds)

    def _figures(self, errors: list[str]) -> Figures:
        return ask_figures(self._ws, self._base_url, self._limits.figures_s)

    def _probe(self, seconds: float, errors: list[str]) -> ProbeRun:
        if not self._probes:
            self._probes = choose_for(self._ws, self._folder_file(), None)
        if not self._probes:
            return ProbeRun()
        run = send_probes(
            self._ws,
            self._base_url,
            self._folder_file(),
            self._probes,
            start=self._next_probe,
            budget_s=min(40.0, max(0.2, self._interval_s / 3), seconds),
            whole_s=seconds,
            was_absent=self._absent,
            limit_s=self._limits.probe_s,
        )
        self._has_probes = self._has_probes or run.answered
        if not self._has_probes and run.no_sample.get("strange"):  # it never understood one: a service without probes
            run.absent = True
            run.errors.clear()
        self._absent = run.absent or (self._absent and not run.answered)
        self._next_probe = (self._next_probe + run.begun) % len(self._probes)
        errors += run.errors
        return run

    def _look(self, errors: list[str]) -> CatalogueLook:
        """The look, in a thread of its own: a file system that hangs must not hold up the watch."""
        if self._looking is not None and self._looking.is_alive():
            errors.append("catalogue: the last look at it has not come back yet: the file system hangs")
            return CatalogueLook(sentence="the file system hangs")
        found: list[Seen | Exception] = []

        def look() -> None:
            try:
                found.append(
                    look_at(self._folder_file(), self._ws.state, self._baseline, self._seen, deploy=self._deploy)
                )
            except Exception as error:
                found.append(error)

        self._looking = threading.Thread(target=look, name="catalogue-look", daemon=True)
        self._looking.start()
        self._looking.join(self._limits.look_s)
        if not found:
            errors.append(f"catalogue: the look at it did not come back within {self._limits.look_s:g} s")
            return CatalogueLook(sentence="the look did not come back")
        if isinstance(found[0], Exception):
            raise found[0]
        self._seen = found[0]
        errors += self._seen.errors
        return self._seen.look

    def _folder_file(self) -> Path:
        """The live catalogue, whose folder the probes' paths mean."""
        return self._live if self._live is not None else self._ws.catalogue

    def _counted(self, figures: Figures, run: ProbeRun, errors: list[str]) -> tuple[Source, int, int]:
        """Where the rates come from, how many samples are new, and how many of them failed."""
        before, self._totals = self._totals, _totals(figures) or self._totals
        if run.samples:
            return "probes", run.samples, run.failures
        if self._probes and not self._absent:
            return "none", 0, 0
        after = _totals(figures)
        if after is None:
            told = figures.failure_rate is not None or figures.p95_ms is not None
            return "rates" if told else "none", 0, 0
        if before is None:
            return "totals", 0, 0
        restarted = after[0] < before[0] or after[1] < before[1]
        samples, failures = after if restarted else (after[0] - before[0], after[1] - before[1])
        if failures > samples:
            errors.append(f"failures: by its totals {failures:,} of {samples:,} images failed, which cannot be")
            return "totals", 0, 0
        return "totals", samples, failures


def _sound(part: Callable[[list[str]], Any], fallback: Any, errors: list[str], rules: tuple[str, ...]) -> Any:
    """One part of a measurement; what it raises is an error of the rules that need it, and nothing else stops."""
    try:
        return part(errors)
    except MobiusError as error:
        errors += [f"{rule}: {error}" for rule in rules]
    except Exception as error:
        errors += [f"{rule}: {type(error).__name__}: {visible(str(error))}" for rule in rules]
    return fallback


def _totals(figures: Figures) -> tuple[int, int] | None:
    if figures.images_total is None or figures.errors_total is None:
        return None
    return figures.images_total, figures.errors_total


def ask_service(ws: Workspace, base_url: str, method: str, path: str, body: bytes | None, timeout_s: float) -> Answer:
    """Ask the watched service, with the workspace's API key where it may be sent.

    Args:
        ws: The workspace.
        base_url: The service; empty means ``base_url`` of the settings, else the workspace's own worker.
        method: Of HTTP.
        path: Of the endpoint.
        body: JSON to send.
        timeout_s: Seconds for all of it.

    Returns:
        The answer. The key goes to the workspace's own worker and to ``base_url`` of the settings, nowhere else.

    Raises:
        MobiusError: The key cannot be read.
    """
    url = base_url or address_of(ws)
    if not url:
        return Answer(trouble="refused", problem="no worker answers")
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if _is_trusted(ws, url) and (key := read_api_key(ws)):
        headers[KEY_HEADER] = key
    return call(url, method, path, body=body, headers=headers, timeout_s=timeout_s)


def _is_trusted(ws: Workspace, url: str) -> bool:
    if url.rstrip("/") == ws.settings.base_url.rstrip("/"):
        return True
    address = worker_address(ws)
    return address is not None and bool(address.url) and url.rstrip("/") == address.url.rstrip("/")


def ask_figures(ws: Workspace, base_url: str, timeout_s: float) -> Figures:
    """The service's figures now.

    Raises:
        MobiusError: The key cannot be read.
    """
    return read_figures(ask_service(ws, base_url, "GET", FIGURES_PATH, None, timeout_s))


def choose_for(ws: Workspace, live: Path, images: int | None) -> tuple[str, ...]:
    """The probes of a workspace.

    Args:
        ws: The workspace.
        live: The live catalogue.
        images: How many at most; None means the setting ``probe_images``.

    Raises:
        MobiusError: The catalogue cannot be read.
    """
    wanted = ws.settings.probe_images if images is None else images
    return choose_probes(read_catalogue(live, patience_s=1.0).document, ws.library, wanted) if wanted else ()


def send_probes(
    ws: Workspace,
    base_url: str,
    live: Path,
    probes: tuple[str, ...],
    *,
    start: int,
    budget_s: float,
    whole_s: float,
    was_absent: bool = False,
    limit_s: float = LIMIT_S,
) -> ProbeRun:
    """Send probes to the watched service: see ``run_probes``."""

    def ask(path: str, seconds: float) -> Answer:
        body = json.dumps({"path": path, "neighbours": 0, "probe": True}).encode()
        return ask_service(ws, base_url, "POST", PROBE_PATH, body, seconds)

    return run_probes(
        ask,
        probes,
        start=start,
        budget_s=budget_s,
        whole_s=whole_s,
        exists=lambda path: (live.parent / path).is_file(),
        was_absent=was_absent,
        limit_s=limit_s,
    )


def baseline_budget(duration_s: float) -> float:
    """Seconds that the baseline of a watch of this duration may take."""
    return min(LONGEST_BASELINE_S, max(2.0, duration_s / 4))


def take_baseline(
    ws: Workspace,
    base_url: str,
    *,
    images: int | None = None,
    budget_s: float = 60.0,
    now: Callable[[], float] = time.time,
) -> Baseline:
    """How the service and the live catalogue are now, before the swap; never raises.

    Args:
        ws: The workspace.
        base_url: The service; empty means ``base_url`` of the settings, else the workspace's own worker.
        images: How many probes; None means the setting ``probe_images``.
        budget_s: Seconds that all of it may take, about.
        now: Seconds since the epoch.

    Returns:
        The baseline, with the probes chosen; None and empty where nothing could be measured.
    """
    errors: list[str] = []
    end = boot_seconds() + budget_s
    baseline = Baseline(at=now())
    live = _sound(lambda _: ws.catalogue, None, errors, ("catalogue",))
    if live is None:
        return baseline
    seen = _sound(lambda _: look_at(live, ws.state, baseline), None, errors, ("catalogue",))
    if seen is not None:
        look = seen.look
        baseline = replace(baseline, entries=look.entries, with_dhash=look.with_dhash, published=look.sha256)
    figures = _sound(lambda _: ask_figures(ws, base_url, min(5.0, budget_s)), Figures(), errors, RATE_RULES)
    probes = _sound(lambda _: choose_for(ws, live, images), (), errors, ("failures", "p95"))
    run = _sound(lambda _: _rounds(ws, base_url, live, probes, end), ProbeRun(), errors, ("failures", "p95"))
    return replace(baseline, probes=probes, queue=figures.queue, **_rates(run, figures))


def _rounds(ws: Workspace, base_url: str, live: Path, probes: tuple[str, ...], end: float) -> ProbeRun:
    """Round after round while they are quick, until the samples are enough."""
    whole = ProbeRun()
    for _ in range(ROUNDS if probes else 0):
        if (left := end - boot_seconds()) <= 0:
            break
        began = boot_seconds()
        start = whole.begun % len(probes)
        run = send_probes(ws, base_url, live, probes, start=start, budget_s=0.6 * left, whole_s=left)
        whole.add(run)
        took = boot_seconds() - began
        if not run.samples or whole.samples >= ENOUGH_SAMPLES or took > (end - boot_seconds()) / 2:
            break
    return whole


def _rates(run: ProbeRun, figures: Figures) -> dict[str, Any]:
    """Failure rate and p95 of a baseline, and what they rest on."""
    if run.samples:
        rate = run.failures / run.samples
        return {
            "source": "probes",
            "samples": run.samples,
            "failures": run.failures,
            "failure_rate": rate,
            "p95_ms": run.p95_ms,
        }
    if figures.failure_rate is None and figures.p95_ms is None:
        return {}
    told: dict[str, Any] = {"source": "rates", "failure_rate": figures.failure_rate, "p95_ms": figures.p95_ms}
    samples, failures = figures.samples or 0, figures.failed_samples
    if _totals(figures) is not None and failures is not None and failures <= samples > 0:
        told |= {"source": "totals", "samples": samples, "failures": failures}
    return told


def with_published(
    baseline: Baseline, *, entries: int | None, with_dhash: int | None, queue: int | None, sha256: str
) -> Baseline:
    """The baseline with what the swap published in place of what was live before it."""
    return replace(baseline, entries=entries, with_dhash=with_dhash, queue=queue, published=sha256)
