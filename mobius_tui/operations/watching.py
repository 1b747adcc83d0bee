"""The watch as verbs and console use it: starting one, asking something of it, reading where it stands."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError
from mobius_tui.guard.by_hand import end_by_hand
from mobius_tui.guard.collector import baseline_budget, take_baseline
from mobius_tui.guard.ending import EXIT_CODES
from mobius_tui.guard.files import OpenWatch, all_open, journal_path, open_watch, records_of
from mobius_tui.guard.launch import begin_watch, guard_holder, heal_guard
from mobius_tui.guard.model import Plan
from mobius_tui.guard.records import Story, story_of
from mobius_tui.guard.verdict import next_line
from mobius_tui.guard.wishes import answer_to, wait_taken, wish
from mobius_tui.launch.worker import ensure_worker
from mobius_tui.recovery.atomic import explained
from mobius_tui.recovery.journal import journals, run_of
from mobius_tui.recovery.watches import WATCHES
from mobius_tui.rollback.targets import named_target
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.watches import find_watch
from mobius_tui.system import clock
from mobius_tui.system.locks import catalogue_lock_path, holder_of, taken_error
from mobius_tui.text import spoken_seconds, visible
from mobius_tui.workspace import Workspace

ANSWER_S = 15.0
"""Seconds to wait for the guard's answer: one that is just measuring answers afterwards."""

ENDING_ACTS = ("accept", "stop")
"""What a person may ask of a watch without its guard."""

_FREE_NAMES = 100


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What a person asks of a watch that begins; None takes the setting.

    Attributes:
        auto: Whether it rolls back by itself.
        duration_s: How long it lasts.
        interval_s: Between two measurements.
        base_url: The service; empty means that of the settings, else the workspace's own worker.
        backup: Name of the way back; empty means that of what is live when it is needed.
        reason: Why.
    """

    auto: bool = False
    duration_s: float | None = None
    interval_s: float | None = None
    base_url: str = ""
    backup: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WatchView:
    """Where a watch stands, by its own files.

    Attributes:
        run: Its run id.
        path: Its journal.
        story: What the journal tells.
        open: The watch while it is open; None when it has ended.
        guarded: Whether a guard runs.
        records: The journal's records.
    """

    run: str
    path: Path
    story: Story
    open: OpenWatch | None
    guarded: bool
    records: list[dict[str, Any]]


def start_watch(
    ws: Workspace,
    options: WatchOptions,
    environ: Mapping[str, str],
    env_name: str | None = None,
    *,
    say: Callable[[str], object] = lambda _: None,
) -> tuple[OpenWatch, bool]:
    """Start the watch of what is live, or join the one that is on.

    Args:
        ws: The workspace.
        options: What is asked of a new one.
        environ: The process environment; worker and guard get it without what concerns a terminal.
        env_name: The environment that was chosen by ``--env``.
        say: Told what takes a while.

    Returns:
        The watch, and whether it was on before.

    Raises:
        BadInput: An option is wrong, or nothing is live that could be watched.
        Held: A deploy or another operation holds the library.
        MobiusError: The guard or the worker does not start.
    """
    found = open_watch(ws)
    if found is not None and found.ready != "void":
        if found.ready == "start":
            heal_guard(ws, environ, env_name)
        return found, True
    plan = _plan(ws, options)
    lock = catalogue_lock_path(ws.catalogue)
    if holder_of(lock) is not None:  # seen again when the plan is written; until then a baseline takes its time
        raise taken_error(lock)
    if not (options.base_url or ws.settings.base_url):
        ensure_worker(ws, environ, env_name, reason="watch")
        _wait_for_answer(ws)
    say("measuring the baseline, then the watch begins")
    baseline = take_baseline(ws, plan.base_url, budget_s=baseline_budget(plan.duration_s))
    for number in range(_FREE_NAMES):
        run = f"watch-{clock.stamp(clock.now() + number)}"
        try:
            begun = begin_watch(ws, replace(plan, run=run, baseline=baseline), environ, env_name)
        except FileExistsError:
            continue
        return begun, begun.run != run
    raise EnvironmentFailed("no name is free for the journal of a watch", where=visible(str(ws.state / WATCHES)))


def _plan(ws: Workspace, options: WatchOptions) -> Plan:
    if not ws.catalogue.exists():
        raise BadInput("there is no catalogue that a watch could guard", fix="`mobius migrate`, or `mobius deploy`")
    if options.base_url:
        check_address(options.base_url)
    if options.backup:
        named_target(options.backup, ws.backups, ws.catalogue, None)  # a way back that is not good is no way back
    settings = ws.settings
    duration = settings.watch_seconds if options.duration_s is None else options.duration_s
    interval = settings.watch_interval if options.interval_s is None else options.interval_s
    if interval > duration:
        raise BadInput("the interval is longer than the whole watch", fix="give --duration more, or --interval less")
    return Plan(
        run="",
        who=ws.actor,
        reason=options.reason,
        environment=settings.environment,
        auto=options.auto,
        duration_s=duration,
        interval_s=interval,
        base_url=options.base_url,
        backup=options.backup,
        live=os.fspath(ws.catalogue),
    )


def check_address(url: str) -> None:
    """Refuse what is no address of a service; one with a login too, as the journal and the report keep it for good.

    Args:
        url: As given; it is not repeated in what is said.

    Raises:
        BadInput: It is none, or it holds a login.
    """
    fix = "give --base-url as http://host:port"
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError:
        raise BadInput("the base URL is no address", fix=fix) from None
    if "@" in url:
        fix = "set base_url in mobius.toml, or the variable BASE_URL; both are kept secret"
        raise BadInput("a login in --base-url would stay in the journal and the report of the watch", fix=fix)
    if parts.scheme not in ("http", "https") or not named or not url.isprintable() or " " in url:
        raise BadInput("the base URL is no address", fix=fix)


def _wait_for_answer(ws: Workspace) -> None:
    """A worker that was just started needs a moment; whether it then answers is the watch's to judge."""
    from mobius_tui.launch.health import wait_healthy

    wait_healthy(ws, 10.0)


def ask_watch(ws: Workspace, act: str, *, reason: str = "", **facts: object) -> str:
    """Ask something of the watch that is on, and wait for what its guard answers.

    Args:
        ws: The workspace.
        act: One of ``guard.wishes.ACTS``.
        reason: Why.
        **facts: What belongs to it.

    Returns:
        The answer, in words.

    Raises:
        BadInput: No watch is on, or the guard does not grant it.
        EnvironmentFailed: The guard does not answer; it will be granted when it does. Where none comes up, ``accept``
            and ``stop`` end the watch here.
    """
    found = open_watch(ws)
    if found is None or found.ready != "start":
        waits = found is not None and found.ready == "wait"
        said = "the watch has not begun: its deploy is not live yet" if waits else "no watch is on"
        raise BadInput(said, fix="`mobius watch status`" if waits else "`mobius watch` starts one")
    chosen = ws.settings.environment if ws.sourced.sources.get("environment") == "flag" else None
    healed = heal_guard(ws, os.environ, chosen)
    number = wish(ws, found.run, act, ws.actor, reason=reason, **facts)
    if not wait_taken(ws, found.run, number, ANSWER_S) and not (act in ENDING_ACTS and _ended_here(ws, found.run)):
        raise EnvironmentFailed(
            f"the guard has not answered within {ANSWER_S:g} s; it will do it when it can"
            + (f" ({healed})" if healed else ""),
            fix="`mobius watch status`; `mobius watch stop --reason TEXT` ends a watch whose guard does not come up",
        )
    granted, answer = answer_to(ws, found.run, number) or (False, "")
    if not granted:
        raise BadInput(answer or "the guard refuses it", fix="`mobius watch status`")
    return answer


def _ended_here(ws: Workspace, run: str) -> bool:
    """Whether this process ended the watch in place of a guard that does not come up: it must not block for ever."""
    try:
        return guard_holder(ws) is None and end_by_hand(ws, run)
    except OSError as error:
        raise explained(error, visible(str(journal_path(ws, run)))) from error


def read_watch(ws: Workspace, run: str | None = None) -> WatchView | None:
    """Where a watch stands; nothing is written.

    Args:
        ws: The workspace.
        run: Its run id; None means the one that is on, else the one that began last.

    Returns:
        The view; None when there is no such watch.

    Raises:
        MobiusError: Its files cannot be read.
        OSError: Likewise.
    """
    on = {watch.run: watch for watch in all_open(ws)}
    if run is None:
        found = open_watch(ws)
        run = found.run if found is not None else _latest(ws)
    if run is None:
        return None
    path = journal_path(ws, run)
    if not path.exists():
        return None
    records = records_of(path)
    story = story_of(records)
    if story is None:
        return None
    return WatchView(run, path, story, on.get(run), guard_holder(ws) is not None, records)


def _latest(ws: Workspace) -> str | None:
    try:
        paths = journals(ws.state / WATCHES)
    except OSError:
        return None
    return run_of(paths[-1]) if paths else None


def is_guarded(ws: Workspace) -> bool:
    """Whether a guard runs."""
    return guard_holder(ws) is not None


def journal_stamp(ws: Workspace, run: str) -> tuple[int, int]:
    """What changes when the journal of a watch does: its time in nanoseconds since the epoch, and its size."""
    try:
        status = journal_path(ws, run).stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def trouble_of(ws: Workspace, run: str) -> str:
    """The guard's own trouble with a watch, by its row in the database; empty without one, or where nothing is told."""
    try:
        connection = open_for_reading(ws.database)
        if connection is None:
            return ""
        with contextlib.closing(connection):
            row = find_watch(connection, run)
    except (MobiusError, sqlite3.Error, OSError):
        return ""
    return "" if row is None else row.problem


def report_path(ws: Workspace, run: str) -> Path:
    """Where the report of a watch is, or will be, for people."""
    return ws.logs / f"{run}.report.md"


def exit_code_of_watch(outcome: str) -> int:
    """The exit code that a watch's outcome means: 0 accepted, 2 rolled back or void, 4 without a verdict."""
    return EXIT_CODES.get(outcome, EXIT_CODES["undecided"])


def watch_sentence(ws: Workspace) -> str:
    """The watch that is on in a few words: state, time left, what would happen next; empty when none is on.

    Raises:
        MobiusError: Its files cannot be read.
        OSError: Likewise.
    """
    view = read_watch(ws)
    if view is None or view.open is None:
        return ""
    if view.open.ready == "wait":
        return "planned: it begins when its deploy is live"
    said = next_of(view.story, view.open.left_s)
    lost = "" if view.guarded else "; its guard is dead, any verb or the worker starts it again"
    left = f", {spoken_seconds(view.open.left_s)} left" if view.open.left_s > 0 else ""
    return f"{view.story.state}{left}, for {visible(view.story.plan.who)}: {said}{lost}"


def next_of(story: Story, left_s: float) -> str:
    """What would happen next and why, in one line.

    Args:
        story: What the watch's journal tells.
        left_s: Seconds until its time is over.
    """
    if story.state == "undecided":
        return "it holds, pages and asks; `mobius watch accept` or `mobius rollback`"
    if story.state == "rolling back":
        return "rolling back"
    return next_line(story.plan, story.history[-1] if story.history else (), left_s)
