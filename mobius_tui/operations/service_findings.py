"""What `doctor` finds about the service: who can reach it, its key, its guard, whom it tells, what its log lost."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from mobius_tui.errors import MobiusError
from mobius_tui.guard.files import open_watch
from mobius_tui.guard.launch import guard_holder
from mobius_tui.launch.api_key import read_api_key
from mobius_tui.launch.health import worker_address
from mobius_tui.logs import LOST, SERVICE_LOG
from mobius_tui.notifications.items import outbox_of
from mobius_tui.notifications.outbox import outbox_state
from mobius_tui.operations.machine import Finding
from mobius_tui.system import clock
from mobius_tui.text import counted, visible
from mobius_tui.workspace import Workspace

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine reaches."""

_KEY_VARIABLES = ("INTERNAL_API_KEY", "MOBIUS_INTERNAL_API_KEY")
_DAY_S = 86_400.0
_TAIL = 256 * 1024


def examine_service(ws: Workspace) -> Iterator[Finding]:
    """Everything about the service beside the workspace.

    Args:
        ws: The workspace, opened leniently.

    Yields:
        Findings.
    """
    key = _key(ws)
    has_key = bool(ws.settings.internal_api_key) or key.state == "ok"
    yield from _address(ws, has_key=has_key)
    yield key
    yield _prometheus(ws, has_key=has_key)
    yield from _guard(ws)
    yield from _routes(ws)
    yield from _told(ws)
    yield from _log(ws)


def _address(ws: Workspace, *, has_key: bool) -> Iterator[Finding]:
    """Where the worker answers over HTTP, and who can reach that."""
    address = worker_address(ws)
    host = ws.settings.host
    if host not in LOOPBACK:
        shown = visible(host)
        fix = 'host = "127.0.0.1" in mobius.toml, unless that is meant'
        if has_key:
            yield Finding("http", "note", f"others may reach it: host is {shown}; metrics and API ask for the key", fix)
        else:
            said = f"others may reach it: host is {shown}, and no API key is set: metrics and API are refused"
            yield Finding("http", "warning", said, f"{_make_key(ws)}; or {fix}")
    if address is None:
        return
    if not address.url:
        yield Finding("http", "warning", address.sentence, address.advice)
    elif host in LOOPBACK:
        yield Finding("http", "ok", f"answers on {visible(address.url)}")


def _key(ws: Workspace) -> Finding:
    try:
        key = read_api_key(ws)
    except MobiusError as error:
        return Finding("API key", "warning" if error.exit_code == 1 else "problem", error.what, error.fix)
    if not key:
        return Finding("API key", "note", "none is set: whoever is on this machine may ask", _make_key(ws))
    source = ws.sourced.sources.get("internal_api_key", "default")
    toml = ws.root / "mobius.toml"
    if source.startswith("mobius.toml") and _is_open(toml):
        return Finding(
            "API key", "warning", "it stands in mobius.toml, which others can read", f"chmod 600 {_typed(toml)}"
        )
    if source == "default":
        return Finding("API key", "ok", "read from its file, which nobody else may read")
    if source in _KEY_VARIABLES:
        said = f"it comes from the variable {source} alone: a worker or guard that another process starts may lack it"
        return Finding("API key", "note", said, _make_key(ws, f"printenv {source}"))
    return Finding("API key", "ok", f"set by {visible(source)}")


def _make_key(ws: Workspace, source: str = "openssl rand -hex 32") -> str:
    path = _typed(ws.root / "api.key")
    return f'(umask 077; {source} > {path}), then internal_api_key_file = "api.key" in mobius.toml'


def _is_open(path: Path) -> bool:
    """Whether others can read a file."""
    try:
        return os.name == "posix" and bool(path.stat().st_mode & 0o044)
    except OSError:
        return False


def _typed(path: Path) -> str:
    """A path as one would type it in a shell."""
    return shlex.quote(visible(str(path)))


def _prometheus(ws: Workspace, *, has_key: bool) -> Finding:
    address = worker_address(ws)
    url = address.url if address is not None and address.url else f"http://127.0.0.1:{ws.settings.port or 'PORT'}"
    lock = ", authorization: {credentials_file: ...}" if has_key else ""
    scrape = f"scrape {visible(url)}/metrics (job_name: mobius{lock}); `mobius metrics --rules` prints the alert rules"
    if ws.settings.port == 0:
        return Finding(
            "prometheus", "note", "port is 0: another one at each start, which no scrape finds", "set a port"
        )
    return Finding("prometheus", "ok", scrape)


def _guard(ws: Workspace) -> Iterator[Finding]:
    """Whether a watch that is on has its guard."""
    try:
        watch = open_watch(ws)
        holder = guard_holder(ws) if watch is not None else None
    except MobiusError as error:
        yield Finding("guard", "warning", error.what, error.fix)
        return
    if watch is None:
        return
    shown = visible(watch.run)
    if holder is not None:
        yield Finding("guard", "ok", f"{shown} is guarded by PID {holder.pid}")
    elif watch.ready == "start":
        fix = "mobius worker start: it starts the guard again; `mobius worker unit` keeps one running"
        yield Finding("guard", "problem", f"{shown} is {watch.state}, and no guard runs", fix)
    else:
        yield Finding("guard", "note", f"{shown} is planned and waits for its deploy", "mobius status")


def _routes(ws: Workspace) -> Iterator[Finding]:
    """Audiences that nothing is set for; one that somebody has silenced with an empty command is none."""
    fix = "[notify.default] with command or url in mobius.toml; `mobius alerts test` tries it"
    if not ws.sourced.unrouted:
        return
    if not ws.sourced.routes:
        yield Finding("routes", "note", "nobody is notified: no route is set", fix)
        return
    said = f"no route leads to {', '.join(ws.sourced.unrouted)}: what is critical for them goes to every other route"
    yield Finding("routes", "note", f"{said}, the rest to nobody", fix)


def _told(ws: Workspace) -> Iterator[Finding]:
    """Whether notifications reach anybody."""
    folder = outbox_of(ws)
    try:
        os.listdir(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        fix = f"check owner and mode: ls -ld {_typed(folder)}"
        yield Finding("notify", "warning", f"the outbox cannot be read: {error.strerror}", fix)
        return
    state = outbox_state(ws)
    if state.failing or state.failed:
        several = counted(state.failing + state.failed, "notification")
        why = f": {visible(state.problem)}" if state.problem else ""
        yield Finding("notify", "warning", f"{several} not delivered{why}", "mend [notify], then `mobius alerts test`")
    if state.dropped:
        yield Finding(
            "notify", "warning", f"{counted(state.dropped, 'notification')} dropped for want of room", "mobius alerts"
        )
    if state.unacknowledged:
        said = f"{counted(len(state.unacknowledged), 'critical notification')} that nobody has acknowledged"
        yield Finding("notify", "note", said, "mobius alerts")


def _log(ws: Workspace) -> Iterator[Finding]:
    """What the service log lost within a day, as it says itself."""
    lost = 0
    for name in (f"{SERVICE_LOG}.1", SERVICE_LOG):
        with contextlib.suppress(OSError), (ws.logs / name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lost += sum(_lost_in(line) for line in file)
    if lost:
        fix = f"free space: du -xh {_typed(ws.logs)} | sort -h | tail"
        yield Finding("logs", "warning", f"{counted(lost, 'record')} of the service log lost in the last day", fix)


def _lost_in(line: bytes) -> int:
    if LOST.encode() not in line:
        return 0
    try:
        record = json.loads(line)
        recent = clock.iso(clock.now() - _DAY_S) <= record["time"]
        return int(record["fields"]["lost"]) if record["event"] == LOST and recent else 0
    except (ValueError, KeyError, TypeError):
        return 0
