"""`mobius worker start/run/stop/restart/status/unit`."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

import click

from mobius_tui.cli import interrupts
from mobius_tui.cli.call import Call, needs_verb, takes_common_options
from mobius_tui.cli.layout import labelled
from mobius_tui.cli.output import data_width, show, show_json, tell_raw, tell_wrapped
from mobius_tui.errors import BadInput, MobiusError
from mobius_tui.launch.health import Address, worker_address
from mobius_tui.launch.worker import ensure_worker, stop_worker, worker_holder
from mobius_tui.operations.units import outside_settings, units_of
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.worker_row import WorkerRow, read_worker
from mobius_tui.system import clock
from mobius_tui.system.locks import Holder
from mobius_tui.text import human_seconds, visible
from mobius_tui.workspace import Workspace

ADDRESS_S = 3.0
"""Seconds that a new worker has to say where it answers, before nothing is said about it."""

_LOOK_S = 0.05


@click.group("worker", invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...")
@takes_common_options
@click.pass_context
def worker(ctx: click.Context) -> None:
    """The background worker: it watches the folder and runs what consoles ask for."""
    needs_verb(ctx)


_reason = click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")


@worker.command("start")
@takes_common_options
@_reason
@click.pass_obj
def start(call: Call, reason: str) -> int:
    """Start the worker; it outlives this terminal. Harmless when it runs already."""
    ws = call.open(writes=True)
    started = ensure_worker(ws, os.environ, call.env, reason=reason)
    _answer(call, ws, "started" if started else "runs already")
    return 0


@worker.command("run")
@takes_common_options
@click.pass_obj
def run(call: Call) -> int:
    """Be the worker, in the foreground, until Ctrl-C or SIGTERM; for systemd and for looking at it.

    In production it prints nothing: logs/service.log has it all. Only why it could not start or go on is said.
    """
    from mobius_tui.logs import SERVICE_LOG, JsonLog
    from mobius_tui.uncaught import as_background
    from mobius_tui.worker.run import run_worker

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            ws = call.open(writes=True)
    except BaseException:
        tell_raw(said.getvalue())
        raise
    log = JsonLog(ws.logs / SERVICE_LOG, rotate=True, least=ws.settings.log_level, within=ws.root)
    silent = ws.settings.environment == "production"
    if silent:
        for line in said.getvalue().splitlines():
            log.write("warning", "worker", "start", line)
    else:
        tell_raw(said.getvalue())
    interrupts.hand_over_to(signal.SIGTERM)
    with as_background(log, "worker", silent=silent):
        code = run_worker(ws)
    cause = interrupts.cause_of_stop()
    if cause is not None:
        raise cause
    return code


@worker.command("stop")
@takes_common_options
@_reason
@click.pass_obj
def stop(call: Call, reason: str) -> int:
    """End the worker; a job under way goes on at its next start."""
    ws = call.open(writes=True)
    said = stop_worker(ws, reason=reason)
    if call.json:
        show_json({"running": False, "said": said})
    else:
        show(said)
    return 0


@worker.command("restart")
@takes_common_options
@_reason
@click.pass_obj
def restart(call: Call, reason: str) -> int:
    """End the worker and start it again."""
    ws = call.open(writes=True)
    call.say(stop_worker(ws, reason=reason))
    ensure_worker(ws, os.environ, call.env, reason=reason)
    _answer(call, ws, "started")
    return 0


@worker.command("status")
@takes_common_options
@click.pass_obj
def status(call: Call) -> int:
    """Whether the worker runs, since when, and what it sees. Exit 0 either way."""
    ws = call.open(lenient=True)
    holder = worker_holder(ws)
    row = _last_word(ws)
    if call.json:
        show_json(_facts(holder, row, worker_address(ws)))
        return 0
    rows = [("worker", "not running (`mobius worker start`)" if holder is None else _running(holder))]
    address = worker_address(ws)
    if address is not None:
        rows.append(("address", address.url or f"none: {address.problem}. Next: {address.advice}"))
    if row is not None:
        rows += _details(row, alive=holder is not None and holder.pid == row.pid)
    for line in labelled(rows, width=data_width()):
        show(line)
    return 0


@worker.command("unit")
@takes_common_options
@click.option("--user", "manager", flag_value="user", help="For the user's own service manager.")
@click.option("--system", "manager", flag_value="system", default="system", help="For the system's (default).")
@click.option("--name", default="mobius", show_default=True, metavar="NAME", help="What the units' names begin with.")
@click.option("--write", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Write them there.")
@click.pass_obj
def unit(call: Call, manager: str, name: str, folder: Path | None) -> int:
    """Print systemd units: the worker, and a guard that takes up a watch whose guard died."""
    ws = call.open(lenient=True)
    user = manager == "user"
    units = units_of(ws, user=user, name=name, env_name=call.env, environ=os.environ)
    written = [] if folder is None else _written(folder, units)
    if call.json:
        show_json({"units": units, "written": [str(path) for path in written]})
    elif folder is None:
        for file, text in units.items():
            show(f"# {file}")
            for line in text.splitlines():
                show(line)
            show()
    else:
        for path in written:
            show(str(path))
    lost = outside_settings(ws)
    if lost:
        said = f"set in this shell, unknown to a unit: {', '.join(lost)}"
        fix = "set them in mobius.toml, the API key by internal_api_key_file"
        tell_wrapped(f"warning: {said}. Next: {fix}", "warn")
    for line in _unit_steps(name, user, folder):
        call.say(line)
    return 0


def _written(folder: Path, units: Mapping[str, str]) -> list[Path]:
    """The files as they were written; those that were there are replaced."""
    if not folder.is_dir():
        raise BadInput(
            f"there is no folder {visible(str(folder))}", fix=f"mkdir -p {shlex.quote(visible(str(folder)))}"
        )
    for file, text in units.items():
        write_atomic(folder / file, [text.encode()], mode=0o644)
    return [folder / file for file in units]


def _unit_steps(name: str, user: bool, folder: Path | None) -> list[str]:
    """What is done with the units next."""
    place = "~/.config/systemd/user" if user else "/etc/systemd/system"
    control = "systemctl --user" if user else "systemctl"
    steps = [] if folder is not None else [f"Next: mobius worker unit --{'user' if user else 'system'} --write {place}"]
    steps.append(f"Next: {control} daemon-reload && {control} enable --now {name}-worker.service {name}-guard.service")
    if user:
        steps.append("Next: loginctl enable-linger, or the units end with the last login")
    return steps


def _answer(call: Call, ws: Workspace, said: str) -> None:
    """Say what was done; a worker without an address is told with what to do, for everything that asks it fails."""
    address = _settled_address(ws)
    holder = worker_holder(ws)
    if call.json:
        show_json({**_facts(holder, _last_word(ws), worker_address(ws)), "said": said})
    else:
        show(f"the worker {said}" + (f" (PID {holder.pid})" if holder is not None and holder.pid else ""))
    if address is not None and not address.url:
        tell_wrapped(f"warning: {address.sentence}. Next: {address.advice}", "warn")


def _settled_address(ws: Workspace) -> Address | None:
    """The address of a worker that may have been started just now; None when it does not say in time."""
    deadline = time.monotonic() + ADDRESS_S
    while (address := worker_address(ws)) is None and worker_holder(ws) is not None and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    return address


def _last_word(ws: Workspace) -> WorkerRow | None:
    with contextlib.suppress(MobiusError, sqlite3.Error, OSError):
        connection = open_for_reading(ws.database)
        if connection is not None:
            with contextlib.closing(connection):
                return read_worker(connection)
    return None


def _running(holder: Holder) -> str:
    if not holder.since:
        return "running"
    return f"running, PID {holder.pid}, started by {holder.who} at {clock.iso(holder.since)}"


def _details(row: WorkerRow, *, alive: bool) -> list[tuple[str, str]]:
    scanned = "-" if row.scanned_at is None else clock.iso(row.scanned_at)
    took = "" if row.scan_ms is None else f", took {human_seconds(row.scan_ms / 1000)}"
    rows = [("state" if alive else "last state", row.state if alive else f"{row.state} (PID {row.pid}, gone)")]
    rows.append(("watching", row.watching))
    rows.append(("last scan", scanned + took))
    images = "-" if row.images is None else f"{row.images:,}"
    rows.append(("images", images if row.unhashed is None else f"{images}, without a fingerprint {row.unhashed:,}"))
    rows.append(("machine", f"{row.host}, {row.cores} cores, MOBIUS {row.version}"))
    return [*rows, ("note", row.note)] if row.note else rows


def _facts(holder: Holder | None, row: WorkerRow | None, address: Address | None) -> dict[str, object]:
    facts: dict[str, object] = {
        "running": holder is not None,
        "pid": holder.pid if holder else None,
        "since": clock.iso(holder.since) if holder and holder.since else None,
        "who": holder.who if holder else None,
        "address": address.url or None if address else None,
        "no_address": address.problem or None if address else None,
    }
    if row is not None:
        scanned = None if row.scanned_at is None else clock.iso(row.scanned_at)
        last = {
            "state": row.state, "pid": row.pid, "version": row.version, "host": row.host, "cores": row.cores,
            "watching": row.watching, "scanned_at": scanned, "scan_ms": row.scan_ms, "images": row.images,
            "unhashed": row.unhashed, "note": row.note,
        }  # fmt: skip
        facts["last_word"] = last
    return facts
