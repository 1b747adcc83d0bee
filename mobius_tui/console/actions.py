"""Every key of the console: one registry feeds footer, help, palette and the keys themselves.

An action that writes is a store call, made in a thread; the others are done by the screen. Each says whether it can be
done now, and if not, why not.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from mobius_tui.console import alert_actions, backup_actions, publish_actions, watch_actions
from mobius_tui.console.asking import Action, Question, StoreCall, typed_in_production
from mobius_tui.console.lines import outside
from mobius_tui.console.snapshot import HASHING, Snapshot, pausing, running_job, way_is_free
from mobius_tui.errors import BadInput
from mobius_tui.operations.asking import UNSTOPPED, ask_job
from mobius_tui.store.jobs import Job, add_job, list_jobs
from mobius_tui.text import counted
from mobius_tui.workspace import Workspace

OF_BACKUPS = (*(action.name for action in backup_actions.ACTIONS), "backup", "rollback")
"""Actions that come first in the footer while pane 1 has the keys."""

OF_WATCH = ("rollback", *(action.name for action in watch_actions.ACTIONS))
"""Likewise for pane 5."""

OF_ALERTS = tuple(action.name for action in alert_actions.ACTIONS)
"""Likewise for pane 3."""

_FIRST = {"Backups": OF_BACKUPS, "Watch": OF_WATCH, "Metrics": OF_ALERTS}


def able_to_hash(snapshot: Snapshot) -> str | None:
    """Whether a dry run or migration can be asked for: only one at a time."""
    if snapshot.problem:
        return snapshot.problem
    for job in snapshot.jobs:
        if job.active and job.kind in HASHING:
            return f"{job.kind} {job.id} of {outside(job.requested_by)} is {job.state}; C cancels it"
    return None


def able_to_migrate(snapshot: Snapshot) -> str | None:
    """Whether a migration in place can be asked for: nothing else may be publishing."""
    return able_to_hash(snapshot) or way_is_free(snapshot)


def able_to_write(snapshot: Snapshot) -> str | None:
    """Whether the database answers."""
    return snapshot.problem or None


def able_to_pause(snapshot: Snapshot) -> str | None:
    """Whether there is something to pause or resume."""
    job = running_job(snapshot)
    if job is None:
        return "nothing runs that could be paused"
    if job.kind in UNSTOPPED:
        return f"a {job.kind} cannot be paused; C ends it"
    if job.wanted == "cancel":
        return f"job {job.id} is being cancelled by {outside(job.wanted_by)}"
    return snapshot.problem or None


def able_to_cancel(snapshot: Snapshot) -> str | None:
    """Whether there is something to cancel."""
    job = running_job(snapshot)
    if job is None:
        return "nothing runs that could be cancelled"
    if job.wanted == "cancel" and job.state != "interrupted":
        return f"{outside(job.wanted_by)} has already asked job {job.id} to end"
    return snapshot.problem or None


def able_to_start_worker(snapshot: Snapshot) -> str | None:
    """Whether a worker is missing."""
    return "a worker runs already" if snapshot.worker_alive else None


def _ask_migration(snapshot: Snapshot) -> Question:
    images = snapshot.store.worker.images if snapshot.store and snapshot.store.worker else None
    many = "all images" if images is None else counted(images)
    return Question(
        f"Migrate {many} of {snapshot.environment}?",
        (
            "Writes library.json in place, after a verified backup; d only writes a report.",
            "It can be paused and cancelled; finished images are not decoded again.",
        ),
        "Start migration",
        typed_in_production(snapshot),
    )


def _ask_cancel(snapshot: Snapshot) -> Question:
    job = running_job(snapshot)
    what = f"{job.kind} {job.id} of {outside(job.requested_by)}" if job else "the job"
    far = f", {job.done:,} of {job.total:,} done" if job and job.total else ""
    means = "Nothing is published; finished images stay known and are not decoded again."
    if job and job.kind in UNSTOPPED:
        means = "It undoes what it did: the library.json that was live before it is live again."
    return Question(
        f"Cancel {what}{far}?",
        (means,),
        "Cancel the job",
        no="Let it go on",
    )


def _start(kind: str) -> StoreCall:
    def call(ws: Workspace, connection: sqlite3.Connection, _: Snapshot) -> str:
        from mobius_tui.operations.options import default_options

        options = replace(default_options(ws), dry_run=kind == "dry-run").to_json()
        return _said(add_job(connection, kind, options, ws.actor, alone=HASHING))

    return call


def _backup(ws: Workspace, connection: sqlite3.Connection, _: Snapshot) -> str:
    for job in list_jobs(connection, active_only=True):
        if job.kind == "backup" and job.state == "queued":
            raise BadInput(f"backup {job.id} of {outside(job.requested_by)} waits already")
    return _said(add_job(connection, "backup", {"reason": "by hand"}, ws.actor, reason="by hand"))


def _said(job: Job) -> str:
    return f"{job.kind} {job.id} asked for"


def _pause(ws: Workspace, connection: sqlite3.Connection, snapshot: Snapshot) -> str:
    job = _the_job(snapshot)
    wanted = "run" if pausing(job) else "pause"
    ask_job(ws, connection, job.id, wanted)
    return f"{job.kind} {job.id} {'goes on' if wanted == 'run' else 'is asked to pause'}"


def _cancel(ws: Workspace, connection: sqlite3.Connection, snapshot: Snapshot) -> str:
    job = _the_job(snapshot)
    state = ask_job(ws, connection, job.id, "cancel").state
    return f"{job.kind} {job.id} is {'cancelled' if state == 'cancelled' else 'asked to end'}"


def _the_job(snapshot: Snapshot) -> Job:
    job = running_job(snapshot)
    if job is None:
        raise BadInput("nothing runs")
    return job


def _start_worker(ws: Workspace, _: sqlite3.Connection, __: Snapshot) -> str:
    from mobius_tui.launch.worker import ensure_worker

    flagged = ws.sourced.sources.get("environment") == "flag"
    started = ensure_worker(ws, os.environ, ws.settings.environment if flagged else None)
    return "the worker was started" if started else "a worker runs already"


PANE_KEYS = {
    "1": "backups", "2": "migration", "3": "metrics", "4": "review", "5": "watch", "6": "logs", "7": "jobs",
}  # fmt: skip
"""The key that jumps to each pane."""

_READING = (
    Action(("slash",), "/", "filter", "filter", "Show only the lines of this pane that hold a text.", rank=30),
    Action(
        ("colon", "ctrl+p"), ":", "palette", "palette", "Find an action by its name and do it (also ctrl+p).", rank=31
    ),
    Action(("question_mark",), "?", "help", "help", "What each key does, and why some do nothing now.", rank=32),
    Action(
        ("q",), "q", "quit", "quit", "Close this console; the worker and what it runs go on without it.", rank=40
    ),
    Action(("enter",), "enter", "open", "details", "Everything about the line under the cursor."),
    Action(("l",), "l", "level", "log level", "Show the logs from the next level on: debug, info, warning, error."),
    Action(("tab", "right"), "tab", "next_pane", "next pane", "Give the keys to the next pane (also arrow right)."),
    Action(
        ("shift+tab", "left"), "shift+tab", "previous_pane", "pane before",
        "Give the keys to the pane before (also arrow left).",
    ),
    Action(("down", "j"), "down", "down", "down", "One line down (also j)."),
    Action(("up", "k"), "up", "up", "up", "One line up (also k)."),
    Action(("pagedown", "space"), "pgdn", "page_down", "page down", "One page down (also space)."),
    Action(("pageup",), "pgup", "page_up", "page up", "One page up."),
    Action(("home", "g"), "home", "first", "first", "To the first line (also g)."),
    Action(("end", "G"), "end", "last", "last", "To the last line (also G)."),
    Action(("escape",), "esc", "clear", "clear", "Drop the filter of this pane."),
    Action(("ctrl+l",), "ctrl+l", "redraw", "repaint", "Paint the whole screen anew."),
    Action(("ctrl+c", "ctrl+q"), "ctrl+c", "interrupt", "quit", "Close this console, like q."),
)  # fmt: skip

_WRITING = (
    Action(
        ("d",), "d", "dry_run", "dry run", "Start a dry run: hash everything, write only a report.",
        able_to_hash, True, _start("dry-run"), rank=2,
    ),
    Action(
        ("M",), "M", "migrate", "migrate", "Start a migration: library.json after a verified backup. Asks first.",
        able_to_migrate, True, _start("migrate"), _ask_migration, rank=8,
    ),
    Action(
        ("p",), "p", "pause", "pause", "Pause the running job, or let it go on.",
        able_to_pause, True, _pause, rank=3,
    ),
    Action(
        ("C",), "C", "cancel", "cancel", "Cancel the running job; its finished work is kept. Asks first.",
        able_to_cancel, True, _cancel, _ask_cancel, rank=4,
    ),
    Action(
        ("b",), "b", "backup", "backup", "Make a verified backup of library.json now.",
        able_to_write, True, _backup, rank=15,
    ),
    Action(
        ("W",), "W", "start_worker", "start worker", "Start a worker when none runs.",
        able_to_start_worker, True, _start_worker, rank=1,
    ),
    *publish_actions.ACTIONS,
    *watch_actions.ACTIONS,
    *backup_actions.ACTIONS,
    *alert_actions.ACTIONS,
)  # fmt: skip


def registry(*, read_only: bool = False) -> tuple[Action, ...]:
    """All actions; a read-only console has none that writes."""
    panes = tuple(
        Action((key,), key, f"pane_{name}", name, f"Give the keys to the pane {name}.")
        for key, name in PANE_KEYS.items()
    )
    return (*(() if read_only else _WRITING), *_READING, *panes)


def label_of(action: Action, snapshot: Snapshot) -> str:
    """The footer's word for an action: pausing reads ``resume`` while something is paused, pinning ``unpin``."""
    job = running_job(snapshot)
    if action.name == "pin" and any(backup.pinned for backup in snapshot.backups if backup.name == snapshot.chosen):
        return "unpin"
    if action.name == "auto":
        return watch_actions.auto_label(snapshot)
    return "resume" if action.name == "pause" and job is not None and pausing(job) else action.label


def footer_actions(actions: Sequence[Action], snapshot: Snapshot) -> list[Action]:
    """Those that can be done now and have a place in the footer, from the left; those of the pane come first."""
    shown = [action for action in actions if action.rank and action.able(snapshot) is None]
    here = snapshot.pane.lower()
    shown = [action for action in shown if not (here and action.leads and action.leads(snapshot) == here)]
    first = _FIRST.get(snapshot.pane, ())
    return sorted(shown, key=lambda action: (action.name not in first, action.rank))
