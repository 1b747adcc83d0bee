"""`mobius jobs`, `pause`, `resume` and `cancel`."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import UNCUT, fitted, table
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.cli.verbs.status import job_sentence
from mobius_tui.errors import BadInput
from mobius_tui.operations.asking import ask_job
from mobius_tui.operations.status import job_facts
from mobius_tui.store.database import open_database, open_for_reading
from mobius_tui.store.jobs import Job, list_jobs
from mobius_tui.system import clock
from mobius_tui.system.locks import holder_of
from mobius_tui.workspace import Workspace

NAME_WIDTH = 12
"""Columns of a name in the list, so that the state has room on 80."""


@click.command("jobs")
@takes_common_options
@click.option("-a", "--all", "every", is_flag=True, help="Those that are over, too.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=20, show_default=True, metavar="N",
              help="N at most, the newest.")  # fmt: skip
@click.pass_obj
def jobs(call: Call, every: bool, limit: int) -> int:
    """Running operations, whoever runs them; with --all also those that are over."""
    ws = call.open()
    connection = open_for_reading(ws.database)
    found: list[Job] = []
    if connection is not None:
        with contextlib.closing(connection):
            found = list_jobs(connection, active_only=not every, limit=limit)
    if call.json:
        show_json([job_facts(job) for job in found])
        return 0
    if not found:
        call.say("no operation was ever started here" if every else "nothing is running (`mobius jobs --all`)")
        return 0
    width = data_width()
    name = width if width == UNCUT else NAME_WIDTH
    rows = [(str(job.id), job.kind, _when(job), fitted(job.requested_by, name), _how(job)) for job in found]
    heads = ("id", "kind", "started", "for", "state")
    for line in table(rows, heads=heads, right=[0], cut_end=True, width=width):
        show(line)
    return 0


def _when(job: Job) -> str:
    """The time of today, else the day, UTC; `--json` has both."""
    moment, today = clock.iso(job.started_at or job.requested_at), clock.iso(clock.now())[:10]
    return moment[11:] if moment.startswith(today) else moment[:10]


def _how(job: Job) -> str:
    if job.active:
        return job_sentence(job, asker=False)
    end = f"{job.state}, exit {job.exit_code}"
    return f"{end}: {job.error}" if job.error else end


@click.command("pause")
@takes_common_options
@click.argument("job_id", type=int, metavar="ID")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def pause(call: Call, job_id: int, reason: str) -> int:
    """Pause an operation; it keeps what it has and goes on with `mobius resume ID`."""
    return _ask(call, job_id, "pause", reason, "will pause after the batch it works on")


@click.command("resume")
@takes_common_options
@click.argument("job_id", type=int, metavar="ID")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def resume(call: Call, job_id: int, reason: str) -> int:
    """Let a paused operation go on."""
    return _ask(call, job_id, "run", reason, "goes on")


@click.command("cancel")
@takes_common_options
@click.argument("job_id", type=int, metavar="ID")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def cancel(call: Call, job_id: int, reason: str) -> int:
    """End an operation; images that are finished are not decoded again."""
    return _ask(call, job_id, "cancel", reason, "will end after the batch it works on")


def _ask(call: Call, job_id: int, wanted: str, reason: str, outcome: str) -> int:
    ws = call.open(writes=True)
    with _existing_database(ws, job_id) as connection:
        job = ask_job(ws, connection, job_id, wanted, reason=reason)
    if job.state == "cancelled":
        outcome = "is cancelled"
    elif job.kind == "deploy" and wanted == "cancel":
        outcome = "is asked to end: it undoes what it did (`mobius deploy --follow` shows it)"
    elif job.state in {"queued", "interrupted"} and wanted == "run" and holder_of(ws.worker_lock) is None:
        foreground = bool(job.options.get("foreground"))
        again = "deploy" if job.kind == "deploy" else "migrate"
        outcome = f"waits: `mobius {again}` goes on with it" if foreground else "waits for `mobius worker start`"
    if call.json:
        show_json(job_facts(job))
    else:
        show(f"{job.kind} {job.id} {outcome}")
    return 0


@contextlib.contextmanager
def _existing_database(ws: Workspace, job_id: int) -> Iterator[sqlite3.Connection]:
    """The database, opened for writing only when there is one: asking of no job creates nothing."""
    if not ws.database.exists():
        raise BadInput(f"there is no job {job_id}: no operation was ever started here")
    with contextlib.closing(open_database(ws.database)) as connection:
        yield connection
