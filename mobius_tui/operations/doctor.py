"""What a workspace lacks, and the command that mends each. Nothing is written."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from mobius_tui import __version__
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import MobiusError
from mobius_tui.operations.machine import Finding, examine_machine
from mobius_tui.operations.service_findings import examine_service
from mobius_tui.recovery.backups import list_backups, newest
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.worker_row import read_worker
from mobius_tui.system import clock
from mobius_tui.system.locks import holder_of
from mobius_tui.system.mounts import filesystem_of, network_filesystem
from mobius_tui.text import human_bytes, visible
from mobius_tui.workspace import FOLDERS, Workspace, open_workspace

WORKS_WITH = 50_000_000
"""Free bytes without which nothing is begun."""

COMFORT = 1_000_000_000
"""Free bytes below which a person should know."""

LEAST_INODES = 1000
"""Free inodes without which nothing is begun."""

_COUNT_S = 5.0
_CHECK_S = 20.0
_AHEAD_S = 120.0


def examine(
    root: Path, flags: Mapping[str, object], environ: Mapping[str, str], actor: str
) -> tuple[Workspace | None, list[Finding]]:
    """Look at machine and workspace.

    Args:
        root: The folder that may be a workspace.
        flags: Settings given as flags.
        environ: The process environment.
        actor: Who asks.

    Returns:
        The workspace, None when there is none or it cannot be opened; and the findings, machine first.
    """
    findings = list(examine_machine(environ))
    try:
        ws = open_workspace(root, flags, environ, actor, lenient=True)
    except MobiusError as error:
        state = "note" if error.exit_code == 1 else "problem"
        return None, [*findings, Finding("workspace", state, error.what, error.fix)]
    return ws, [*findings, *examine_workspace(ws)]


def examine_workspace(ws: Workspace) -> Iterator[Finding]:
    """Everything about a workspace.

    Args:
        ws: The workspace, opened leniently.

    Yields:
        Findings.
    """
    yield from _settings(ws)
    yield from _owner(ws)
    yield from _folders(ws)
    yield from _filesystems(ws)
    yield from _space(ws)
    yield from _watches(ws)
    yield _database(ws)
    yield _worker(ws)
    yield from examine_service(ws)
    yield _catalogue(ws)
    yield _backups(ws)
    yield from _future(ws)


def is_usable(findings: list[Finding]) -> bool:
    """Whether nothing prevents work."""
    return all(finding.state != "problem" for finding in findings)


def _settings(ws: Workspace) -> Iterator[Finding]:
    for warning in ws.sourced.warnings:
        if warning.startswith("the variable "):
            yield Finding("settings", "warning", warning, "unset it, or mend its name")
        else:
            yield Finding("settings", "problem", warning, "mend mobius.toml, then `mobius config`")
    if not ws.sourced.warnings:
        yield Finding("settings", "ok", f"environment {ws.settings.environment}")


def _owner(ws: Workspace) -> Iterator[Finding]:
    found = ws.root.stat()
    shown = visible(str(ws.root))
    foreign = hasattr(os, "geteuid") and found.st_uid != os.geteuid()
    theirs = f"sudo -u {_user(found.st_uid)} mobius ..."
    if not os.access(ws.root, os.W_OK | os.X_OK):
        fix = theirs if foreign else f"chmod u+rwx {_typed(ws.root)}"
        yield Finding("workspace", "problem", f"{shown} may not be written", fix)
    elif foreign:
        said = f"{shown} belongs to {_user(found.st_uid)}, not to this user: files will have mixed owners"
        yield Finding("workspace", "warning", said, theirs)
    elif stat.S_IMODE(found.st_mode) & 0o002:
        yield Finding("workspace", "warning", f"others can write {shown}", f"chmod o-w {_typed(ws.root)}")
    else:
        yield Finding("workspace", "ok", shown)
    if ws.state.exists() and stat.S_IMODE(ws.state.stat().st_mode) & 0o077 and os.name == "posix":
        yield Finding(
            "state", "warning", "others can look into the state folder", f"chmod 700 {visible(str(ws.state))}"
        )


def _typed(path: Path) -> str:
    """A path as one would type it in a shell."""
    return shlex.quote(visible(str(path)))


def _user(number: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return f"uid {number}"


def _folders(ws: Workspace) -> Iterator[Finding]:
    lacking = []
    for name in (*FOLDERS, "state"):
        folder: Path = getattr(ws, name)
        shown = visible(str(folder))
        try:
            if not folder.exists():
                lacking.append(name)
            elif not folder.is_dir():
                yield Finding(
                    name, "problem", f"{shown} is not a folder", f"mv {_typed(folder)} {_typed(folder)}.aside"
                )
            elif name in {"library", "themes"}:
                if not os.access(folder, os.R_OK | os.X_OK):
                    yield Finding(name, "problem", f"{shown} may not be read", f"chmod u+rx {_typed(folder)}")
            elif not os.access(folder, os.W_OK | os.X_OK):
                yield Finding(name, "problem", f"{shown} may not be written", f"chmod u+rwx {_typed(folder)}")
        except OSError as error:
            yield Finding(name, "problem", f"{shown} cannot be looked at: {error.strerror}", "check its owner and mode")
    if "library" in lacking:
        yield Finding("folders", "problem", f"there is no {visible(str(ws.library))}", "mobius init")
    elif lacking:
        yield Finding("folders", "note", f"not made yet: {', '.join(lacking)}", "mobius init")


def _filesystems(ws: Workspace) -> Iterator[Finding]:
    kind = network_filesystem(ws.state)
    if kind:
        said = f"the state lies on {kind}, a network filesystem: its locks and database are not safe there"
        yield Finding("filesystem", "problem", said, 'state_dir = "/a/local/folder" in mobius.toml')
    kind = network_filesystem(ws.library)
    if kind:
        said = f"the library lies on {kind}: changes made on other machines are seen by the scan only"
        yield Finding("filesystem", "warning", said, "scan_seconds = 60 in mobius.toml, or a local disk")
    kinds = {name: filesystem_of(folder) or "?" for name, folder in (("state", ws.state), ("library", ws.library))}
    yield Finding("filesystem", "ok", ", ".join(f"{name} on {kind}" for name, kind in kinds.items()))


def _space(ws: Workspace) -> Iterator[Finding]:
    """Free space and inodes, once a filesystem."""
    needed = WORKS_WITH + 3 * _size(ws)
    seen: set[int] = set()
    for name in ("state", "library", "backups", "logs"):
        folder = _nearest(getattr(ws, name))
        with contextlib.suppress(OSError):
            device = folder.stat().st_dev
            if device in seen:
                continue
            seen.add(device)
            yield _free(name, folder, needed)
            yield from _inodes(name, folder)


def _free(name: str, folder: Path, needed: int) -> Finding:
    free = shutil.disk_usage(folder).free
    said = f"{human_bytes(free)} free for {name}"
    fix = f"free space: du -xh {_typed(folder)} | sort -h | tail"
    if free < needed:
        return Finding("disk", "problem", f"{said}, {human_bytes(needed)} are needed", fix)
    return Finding("disk", "warning", said, fix) if free < COMFORT else Finding("disk", "ok", said)


def _inodes(name: str, folder: Path) -> Iterator[Finding]:
    if not hasattr(os, "statvfs"):
        return
    found = os.statvfs(folder)
    if found.f_files and found.f_favail < LEAST_INODES:
        fix = f"delete small files: du --inodes -x {_typed(folder)} | sort -n | tail"
        yield Finding("inodes", "problem", f"{found.f_favail:,} free for {name}", fix)


def _size(ws: Workspace) -> int:
    try:
        return ws.catalogue.stat().st_size
    except (OSError, MobiusError):
        return 0


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.is_dir() and folder.parent != folder:
        folder = folder.parent
    return folder


def _watches(ws: Workspace) -> Iterator[Finding]:
    """Folder events against the kernel's limit."""
    limit_file = Path("/proc/sys/fs/inotify/max_user_watches")
    try:
        limit = int(limit_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return
    deadline = time.monotonic() + _COUNT_S
    count = 0
    for _ in os.walk(ws.library):
        count += 1
        if time.monotonic() > deadline:
            break
    said = f"{count:,} folders, {limit:,} watches allowed"
    if count > limit * 0.8:
        fix = f"sudo sysctl fs.inotify.max_user_watches={max(524_288, 4 * count)}"
        yield Finding("inotify", "warning", f"{said}: changes are seen by the scan only", fix)
    else:
        yield Finding("inotify", "ok", said)


def _database(ws: Workspace) -> Finding:
    shown = _typed(ws.database)
    try:
        if not ws.database.exists():
            return Finding("database", "ok", "none yet, it is made when needed")
        connection = open_for_reading(ws.database)
        if connection is None:
            return Finding("database", "note", "of an older version; the next start upgrades it", "mobius worker start")
        with contextlib.closing(connection):
            deadline = time.monotonic() + _CHECK_S
            connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 100_000)
            answer = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            said = f"{human_bytes(ws.database.stat().st_size)}, not checked whole within {_CHECK_S:g} s"
            return Finding("database", "note", said, f"sqlite3 {shown} 'PRAGMA quick_check'")
        answer = str(error)
    except OSError as error:
        return Finding("database", "problem", f"cannot be read: {error.strerror}", f"chmod u+rw {shown}")
    except MobiusError as error:
        if error.exit_code == 5:
            return Finding("database", "problem", error.what, f"free space: df {shown}")
        answer = error.what
    except sqlite3.Error as error:
        answer = str(error)
    if answer == "ok":
        return Finding("database", "ok", f"{human_bytes(ws.database.stat().st_size)}, sound")
    fix = f"mobius worker stop; mv {shown} {shown}.damaged; it is built again from the files"
    return Finding("database", "problem", visible(answer), fix)


def _worker(ws: Workspace) -> Finding:
    holder = holder_of(ws.worker_lock)
    if holder is None:
        return Finding("worker", "note", "not running", "mobius worker start")
    with contextlib.suppress(MobiusError, sqlite3.Error, OSError):
        connection = open_for_reading(ws.database)
        if connection is not None:
            with contextlib.closing(connection):
                row = read_worker(connection)
            if row is not None and row.pid == holder.pid and row.version != __version__:
                said = f"runs MOBIUS {row.version}, this is {__version__}"
                return Finding("worker", "warning", said, "mobius worker restart")
            if row is not None and row.pid == holder.pid and row.note:
                return Finding("worker", "warning", visible(row.note), "mobius worker status")
    return Finding("worker", "ok", f"runs, PID {holder.pid}")


def _catalogue(ws: Workspace) -> Finding:
    try:
        path = ws.catalogue
        if not os.path.lexists(path):
            return Finding("catalogue", "note", "none yet", "mobius migrate")
        loaded = read_catalogue(path, patience_s=1.0)
    except MobiusError as error:
        return Finding("catalogue", "problem", str(error), "mobius check")
    if not os.access(path, os.W_OK) or not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK):  # noqa: PTH120
        said = f"{visible(str(path))} or its folder may not be written"
        return Finding("catalogue", "problem", said, f"chmod u+w {_typed(path)}")
    return Finding("catalogue", "ok", f"valid, {len(loaded.document.entries):,} entries")


def _backups(ws: Workspace) -> Finding:
    try:
        backups = list_backups(ws.backups)
    except MobiusError as error:
        return Finding("backups", "problem", str(error), f"chmod u+rwx {_typed(ws.backups)}")
    latest = newest(backups, clock.now())
    if latest is None:
        said = "all are dated in the future" if backups else "none yet"
        return Finding("backups", "warning" if backups else "note", said, "mobius backup create")
    said = f"{len(backups)}, the newest of {clock.iso(latest.at)} is {latest.state}"
    if latest.state != "verified":
        return Finding("backups", "warning", said, "mobius backup verify")
    return Finding("backups", "ok", said)


def _future(ws: Workspace) -> Iterator[Finding]:
    """Files of a time to come: the clock was wrong then, or is now."""
    places = [ws.database, ws.state / "history.jsonl"]
    with contextlib.suppress(MobiusError):
        places.append(ws.catalogue)
    for path in places:
        with contextlib.suppress(OSError):
            ahead = path.stat().st_mtime - clock.now()
            if ahead > _AHEAD_S:
                said = f"{visible(str(path))} is {ahead / 60:,.0f} minutes ahead of the clock"
                yield Finding("clock", "warning", said, "timedatectl set-ntp true")
