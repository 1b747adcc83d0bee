"""What ``/health`` looks at: cheap checks, remembered for a moment, that never hold up who asks."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mobius_tui import __version__
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import MobiusError
from mobius_tui.operations.options import available_cores
from mobius_tui.recovery.atomic import ABSENT, Changed, write_atomic
from mobius_tui.recovery.backups import Backup, list_backups
from mobius_tui.recovery.hashes import read_whole, sha256_file
from mobius_tui.recovery.history import read_history
from mobius_tui.redaction import redacted_value
from mobius_tui.store.alerts import AlertRow
from mobius_tui.store.database import open_for_reading
from mobius_tui.system import clock
from mobius_tui.text import counted, human_bytes, human_seconds, visible
from mobius_tui.worker.triggers import fixed, read_triggers
from mobius_tui.workspace import Workspace

FRESH_S: Final = 2.0
"""Checks younger than this are not made again."""

BACKUPS_FRESH_S: Final = 30.0
"""An unchanged folder of backups is looked through at most this often."""

CATALOGUE_WAIT_S: Final = 1.0
"""Seconds that a check waits for a changed catalogue to be read; afterwards it goes on being read meanwhile."""

STEP_S: Final = 45.0
"""Seconds since the worker's last good step after which it counts as stuck."""

WORKS_WITH: Final = 50_000_000
"""Free bytes that a publication needs beside three copies of the catalogue."""

COMFORT: Final = 1_000_000_000
"""Free bytes below which a person should know."""

BACKUP_AGE_S: Final = 7 * 86_400.0
"""Age of the newest verified backup from which a person should know."""

ID_NAME: Final = "library.id"
"""File in the state folder that holds the id of the library."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        ok: None when it is not known yet.
        sentence: In words.
        value: The figure behind it, for programs; None when there is none.
        grave: Whether the service cannot do its work when this is not ok.
    """

    ok: bool | None
    sentence: str
    value: object = None
    grave: bool = False


@dataclass(frozen=True, slots=True)
class Pulse:
    """What the worker says of itself to its health.

    Attributes:
        step_s: Seconds since its main loop's last good step.
        trouble: Why the steps fail; empty when they do not.
        working: Whether a job runs or images are hashed.
        pool_trouble: Why the hashing processes failed last; empty when they did not.
        note: What a person should know.
        lost: Records that its log could not take.
    """

    step_s: float = 0.0
    trouble: str = ""
    working: bool = False
    pool_trouble: str = ""
    note: str = ""
    lost: int = 0


class HealthChecks:
    """The checks of one workspace.

    Args:
        ws: The workspace.
        worker_id: The worker's process token.
        pulse: Says how the worker itself is.
        monotonic: Seconds, to tell how old a result is.
        alerts: The alerts that hold.
    """

    def __init__(
        self,
        ws: Workspace,
        worker_id: str,
        pulse: Callable[[], Pulse] = Pulse,
        monotonic: Callable[[], float] = time.monotonic,
        alerts: Callable[[], Sequence[AlertRow]] = tuple,
    ) -> None:
        self._ws = ws
        self._worker_id = worker_id
        self._alerts = alerts
        self._triggers: list[dict[str, Any]] = fixed({})
        self._pulse = pulse
        self._monotonic = monotonic
        self._began = monotonic()
        self._catalogue = CatalogueCheck(ws)
        self._backups: tuple[tuple[float, int], list[Backup]] | None = None
        self._library_id = ""
        self._guard = threading.Lock()
        self._last: tuple[float, dict[str, Check]] | None = None
        self._under_way: Future[dict[str, Check]] | None = None

    def ask(self) -> Future[dict[str, Check]]:
        """The checks: fresh ones at once, else those of an examination in a thread of its own."""
        with self._guard:
            if self._under_way is not None:
                return self._under_way
            done: Future[dict[str, Check]] = Future()
            if self._last is not None and self._monotonic() - self._last[0] <= FRESH_S:
                done.set_result(self._last[1])
                return done
            self._under_way = done
        try:
            threading.Thread(target=self._run, args=(done,), name="health", daemon=True).start()
        except (RuntimeError, MemoryError):  # out of threads; the next who asks tries again
            with self._guard:
                self._under_way = None
            done.set_result({"checks": Check(False, "no thread can be started for the checks", grave=True)})
        return done

    def last(self) -> dict[str, Check]:
        """The checks of the last examination that ended; empty when none has."""
        with self._guard:
            return self._last[1] if self._last is not None else {}

    def _run(self, done: Future[dict[str, Check]]) -> None:
        try:
            checks = self.examine()
        except Exception as error:  # a check that fails is told, whatever it is
            checks = {"checks": Check(False, f"the checks failed: {type(error).__name__}: {error}", grave=True)}
        with self._guard:
            self._last = (self._monotonic(), checks)
            self._under_way = None
        done.set_result(checks)

    def examine(self) -> dict[str, Check]:
        """Make every check now, and read what would roll back."""
        self._triggers = read_triggers(self._ws.database, clock.now())
        pulse = self._pulse()
        return {
            "library": _library(self._ws),
            "catalogue": self._catalogue.look(),
            "database": _database(self._ws),
            "worker": _worker(pulse),
            "pool": _pool(self._ws, pulse),
            "disk": _disk(self._ws),
            "backup": self._backup(),
        }

    def body(self, checks: Mapping[str, Check]) -> dict[str, object]:
        """The answer of ``/health``.

        Args:
            checks: What was found.

        Returns:
            JSON data without personal data.
        """
        wrong = [check.sentence for check in checks.values() if check.ok is not True]
        pulse = self._pulse()
        noted = [pulse.note] if pulse.note else []
        if pulse.lost:
            noted.append(f"{counted(pulse.lost, 'record')} of the log lost since the worker's start")
        body = {
            "timestamp": clock.iso(clock.now()),
            "status": status_of(checks),
            "version": __version__,
            "system": {
                "platform": platform.system(),
                "release": platform.release(),
                "python": platform.python_version(),
                "cores": available_cores(),
            },
            "uptime": round(self._monotonic() - self._began, 3),
            "environment": self._ws.settings.environment,
            "library_id": self._identity(),
            "worker_id": self._worker_id,
            "checks": {
                name: {"ok": check.ok, "sentence": check.sentence, "value": check.value}
                for name, check in checks.items()
            },
            "alerts": [
                {"name": row.name, "severity": row.severity, "since": clock.iso(row.since), "sentence": row.sentence}
                for row in self._alerts()
            ],
            "rollback_triggers": self._triggers,
            "warnings": [*wrong, *self._ws.sourced.warnings, *noted],
        }
        found = redacted_value(body)
        assert isinstance(found, dict)
        return found

    def backups(self) -> list[Backup] | None:
        """The backups as they were when a check last looked through them; None when none could yet."""
        return self._backups[1] if self._backups is not None else None

    def _identity(self) -> str | None:
        if not self._library_id:
            with contextlib.suppress(OSError, MobiusError, ValueError):
                self._library_id = library_id(self._ws.state)
        return self._library_id or None

    def _backup(self) -> Check:
        """Whether a way back exists that was read back whole."""
        now = self._monotonic()
        try:
            changed = self._ws.backups.stat().st_mtime_ns if self._ws.backups.exists() else 0
            before = self._backups[0] if self._backups is not None else (-BACKUPS_FRESH_S, 0)
            if self._backups is None or changed != before[1] or now - before[0] > BACKUPS_FRESH_S:
                self._backups = ((now, changed), list_backups(self._ws.backups))
        except (OSError, MobiusError) as error:
            return Check(False, f"the backups cannot be looked at: {_reason(error)}")
        return judge_backups(self._backups[1], clock.now(), has_catalogue=self._catalogue.exists())


def status_of(checks: Mapping[str, Check]) -> str:
    """``unhealthy`` when a grave check is not ok, ``degraded`` when another is not or is unknown, else ``healthy``."""
    if any(check.grave and check.ok is False for check in checks.values()):
        return "unhealthy"
    return "healthy" if all(check.ok is True for check in checks.values()) else "degraded"


def library_id(state: Path) -> str:
    """The id of a workspace's library, made at the first call and kept in the state folder.

    Args:
        state: The state folder.

    Returns:
        32 hex digits.

    Raises:
        OSError: It cannot be read.
        MobiusError: It cannot be written.
        ValueError: What is kept there is no id.
    """
    path = state / ID_NAME
    if not path.exists():
        with contextlib.suppress(Changed):  # another process made it
            write_atomic(path, [uuid.uuid4().hex.encode() + b"\n"], expect=ABSENT)
    return uuid.UUID(read_whole(path).data.decode("ascii").strip()).hex


class CatalogueCheck:
    """Whether the live catalogue is valid; read again only when its status has changed, and never by who asks.

    Args:
        ws: The workspace.
        wait_s: Seconds that ``look`` waits for the reading.
    """

    def __init__(self, ws: Workspace, wait_s: float = CATALOGUE_WAIT_S) -> None:
        self._ws = ws
        self._wait_s = wait_s
        self._verdict: tuple[tuple[int, ...], Check] | None = None
        self._reader: threading.Thread | None = None
        self._seen = False

    def exists(self) -> bool:
        """Whether there is a catalogue file."""
        try:
            return self._ws.catalogue.exists()
        except (OSError, MobiusError):
            return True

    def look(self) -> Check:
        """The verdict, or that it is being read."""
        try:
            path = self._ws.catalogue
            identity = _identity(path)
        except FileNotFoundError:
            return self._absent()
        except OSError as error:
            return Check(False, f"the catalogue cannot be looked at: {_reason(error)}", grave=True)
        except MobiusError:  # its words name both files, and who asks is elsewhere
            return Check(False, "two files claim to be the catalogue; `mobius check` names them", grave=True)
        if self._known(identity) is None and (self._reader is None or not self._reader.is_alive()):
            self._reader = threading.Thread(target=self._read, args=(path, identity), name="catalogue", daemon=True)
            self._reader.start()
        if self._reader is not None and self._known(identity) is None:
            self._reader.join(self._wait_s)
        return self._known(identity) or Check(None, "the catalogue has changed and is being read", grave=True)

    def _known(self, identity: tuple[int, ...]) -> Check | None:
        return self._verdict[1] if self._verdict is not None and self._verdict[0] == identity else None

    def _read(self, path: Path, identity: tuple[int, ...]) -> None:
        try:
            digest = sha256_file(path)
            if digest in _published(self._ws):  # whoever published it has verified it: not parsed again
                check = Check(True, "the catalogue is as it was published", digest, grave=True)
            else:
                loaded = read_catalogue(path, patience_s=2.0)
                said = f"the catalogue is valid, {len(loaded.document.entries):,} entries"
                check = Check(True, said, loaded.sha256, grave=True)
            self._seen = True
        except (OSError, MobiusError) as error:
            check = Check(False, f"the catalogue is not valid: {_reason(error)}", grave=True)
        except MemoryError:
            check = Check(None, "the catalogue could not be read for want of memory", grave=True)
        with contextlib.suppress(OSError):
            if _identity(path) == identity:  # else what was read is of no file that is there now
                self._verdict = (identity, check)

    def _absent(self) -> Check:
        if self._seen or _published(self._ws):
            return Check(False, "the published catalogue is missing", grave=True)
        return Check(True, "no catalogue has been published yet", grave=True)


def _identity(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _published(ws: Workspace) -> set[str]:
    """SHA-256 of every catalogue that an act of the history made the live one."""
    try:
        acts = read_history(ws.state, limit=5000)
    except OSError:
        return set()
    return {str(act["after"]) for act in acts if act.get("after") and act.get("after") != act.get("before")}


def judge_backups(backups: list[Backup], now: float, *, has_catalogue: bool) -> Check:
    """Whether the newest verified backup is recent; its age in seconds is the value.

    Args:
        backups: All of them.
        now: Seconds since the epoch.
        has_catalogue: Whether there is anything to back up.
    """
    ages = [now - backup.at for backup in backups if backup.state == "verified" and backup.at <= now]
    if not ages:
        if has_catalogue:
            return Check(False, "there is no verified backup")
        return Check(True, "nothing to back up yet")
    age = round(min(ages), 3)
    if age > BACKUP_AGE_S:
        return Check(False, f"the newest verified backup is {human_seconds(age)} old", age)
    return Check(True, f"the newest verified backup is {human_seconds(age)} old", age)


def _library(ws: Workspace) -> Check:
    try:
        with os.scandir(ws.library) as entries:
            next(entries, None)
    except OSError as error:
        return Check(False, f"the library cannot be read: {_reason(error)}", grave=True)
    return Check(True, "the library is readable", grave=True)


def _database(ws: Workspace) -> Check:
    try:
        connection = open_for_reading(ws.database)
        if connection is None:
            return Check(False, "there is no database of this version", grave=True)
        with contextlib.closing(connection):
            jobs = int(connection.execute("SELECT count(*) FROM jobs WHERE state = 'running'").fetchone()[0])
            connection.execute("SELECT 1 FROM worker LIMIT 1").fetchone()
    except (sqlite3.Error, OSError, MobiusError) as error:
        return Check(False, f"the database cannot be used: {_reason(error)}", grave=True)
    return Check(True, "the database can be used", {"running_jobs": jobs}, grave=True)


def _worker(pulse: Pulse) -> Check:
    age = round(pulse.step_s, 3)
    if age > STEP_S:
        why = f": {pulse.trouble}" if pulse.trouble else ""
        return Check(False, f"the worker made no step for {human_seconds(age)}{why}", age, grave=True)
    if pulse.trouble:
        return Check(False, f"the worker is in trouble: {pulse.trouble}", age)
    return Check(True, "the worker is working" if pulse.working else "the worker is idle", age, grave=True)


def _pool(ws: Workspace, pulse: Pulse) -> Check:
    processes = ws.settings.parallel or available_cores()
    if pulse.pool_trouble:
        return Check(False, f"the hashing processes failed: {pulse.pool_trouble}", processes, grave=True)
    return Check(True, f"hashing with {processes} process{'es' if processes != 1 else ''}", processes, grave=True)


def _disk(ws: Workspace) -> Check:
    """Free space where a publication writes: least of all filesystems."""
    try:
        size = ws.catalogue.stat().st_size
    except (OSError, MobiusError):
        size = 0
    needed = WORKS_WITH + 3 * size
    try:
        free, name = min((shutil.disk_usage(folder).free, name) for name, folder in _written(ws))
    except (OSError, ValueError) as error:
        return Check(False, f"free space cannot be told: {_reason(error)}")
    said = f"{human_bytes(free)} free for {name}"
    if free < needed:
        return Check(False, f"{said}, a publication needs {human_bytes(needed)}", free, grave=True)
    if free < COMFORT:
        return Check(False, f"only {said}", free)
    return Check(True, said, free)


def _written(ws: Workspace) -> Iterator[tuple[str, Path]]:
    """Folders that a publication writes into; one that is not made yet counts where it would be."""
    catalogue = ws.library
    with contextlib.suppress(MobiusError, OSError):
        catalogue = Path(os.path.realpath(ws.catalogue)).parent
    for name, folder in (("state", ws.state), ("catalogue", catalogue), ("backups", ws.backups), ("logs", ws.logs)):
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        yield name, folder


def _reason(error: BaseException) -> str:
    """Why, without a path: the answer is read from elsewhere."""
    if isinstance(error, MobiusError):
        return visible(error.what)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return visible(str(error)) or type(error).__name__
