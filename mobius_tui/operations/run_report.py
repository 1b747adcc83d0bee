"""Everything that is known of one run, in one archive: what happened when, its logs, samples, journal and settings.

It is made from files and, where there is one, the database; what cannot be had is said in it, and nothing else fails.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import os
import platform
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mobius_tui import __version__
from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError
from mobius_tui.logs import KEPT, SERVICE_LOG
from mobius_tui.operations.deploy.space import nearest
from mobius_tui.operations.run_steps import seconds_of
from mobius_tui.operations.run_timeline import RunFacts, timeline, timeline_page
from mobius_tui.operations.run_watch import collect_watch, is_watch
from mobius_tui.operations.status import job_facts
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import ENDING, JOURNALS, journals, read_journal, run_of
from mobius_tui.recovery.staging import real_file
from mobius_tui.recovery.watches import WATCHES
from mobius_tui.redaction import redacted, redacted_value
from mobius_tui.settings import shown_setting
from mobius_tui.store.database import open_for_reading
from mobius_tui.store.events import list_events
from mobius_tui.store.jobs import Job, find_run, known_runs
from mobius_tui.store.metrics import list_samples
from mobius_tui.system import clock
from mobius_tui.system.mounts import filesystem_of
from mobius_tui.text import human_bytes, visible
from mobius_tui.workspace import Workspace

MARGIN_S = 120.0
"""Seconds before and after a run of which the service log and the samples are taken, too."""

MOST_LOG_BYTES = 8_000_000
"""Of each log so much is taken, the end of it."""

MOST_EVENTS = 100_000
"""So many of a run's events are taken, the latest."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_STAMP = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True, slots=True)
class RunReport:
    """The archive that was written.

    Attributes:
        run: The run.
        path: The archive, readable by its owner alone.
        parts: Names of the files in it.
        missing: What could not be had, a sentence each.
    """

    run: str
    path: Path
    parts: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(slots=True)
class _Parts:
    """What goes into the archive."""

    files: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def write_run_report(ws: Workspace, run: str, output: Path | None = None) -> RunReport:
    """Write the archive of a run.

    Args:
        ws: The workspace, opened leniently; neither a worker nor a database need be there.
        run: A run such as ``deploy-20261120T120431Z``, or a job's number.
        output: Where to; None means the folder of the logs.

    Returns:
        What was written.

    Raises:
        BadInput: There is no such run, or a file stands where the archive should go.
        EnvironmentFailed: The archive cannot be written.
    """
    parts = _Parts()
    with _database(ws, parts.missing) as connection:
        run = _known_run(ws, connection, run)
        facts = _gather(ws, connection, run, parts)
    entries = timeline(facts)
    machine = _machine(ws)
    told = {**facts.head(), "missing": parts.missing, "machine": machine, "timeline": entries}
    parts.files["timeline.json"] = _json(told)
    parts.files["timeline.md"] = redacted(timeline_page(facts, entries, parts.missing, machine))
    path = ws.logs / f"report-{run}.tar.gz" if output is None else output
    _write(ws, path, run, parts.files, may_replace=output is None)
    return RunReport(run, path, tuple(sorted(parts.files)), tuple(parts.missing))


@contextlib.contextmanager
def _database(ws: Workspace, missing: list[str]) -> Iterator[sqlite3.Connection | None]:
    """The database, when it can be read; why not is told otherwise."""
    connection = None
    try:
        connection = open_for_reading(ws.database)
        if connection is None:
            missing.append("there is no database: job row, events and samples are not in it")
    except (MobiusError, OSError, sqlite3.Error) as error:
        missing.append(f"the database cannot be read ({visible(str(error))}): no job row, events or samples")
    try:
        yield connection
    finally:
        if connection is not None:
            connection.close()


def _known_run(ws: Workspace, connection: sqlite3.Connection | None, asked: str) -> str:
    """The run that is meant.

    Raises:
        BadInput: There is none; names the nearest and the latest.
    """
    known: dict[str, None] = {}
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            for number, name in known_runs(connection):
                known[name] = None
                if asked == str(number):
                    asked = name
    for folder in (JOURNALS, WATCHES):
        with contextlib.suppress(OSError):
            known |= dict.fromkeys(run_of(path) for path in journals(ws.state / folder))
    with contextlib.suppress(OSError):
        known |= {str(act.get("run")): None for act in read_history(ws.state, 100_000) if act.get("run")}
    with contextlib.suppress(OSError):
        known |= {name.removesuffix(".log"): None for name in os.listdir(ws.logs) if _STAMP.search(name) and
                  name.endswith(".log")}  # fmt: skip
    names = [name for name in known if _PLAIN_NAME.fullmatch(name)]
    if asked in names:
        return asked
    near = difflib.get_close_matches(asked, names, 1, 0.5)
    latest = sorted(names, key=lambda name: _STAMP.findall(name)[-1:], reverse=True)[:5]
    advice = f"did you mean {near[0]}? " if near else ""
    advice += f"the latest are {', '.join(latest)}" if latest else "nothing has run here yet"
    raise BadInput(f"there is no run {visible(asked)!r}", fix=advice)


def _gather(ws: Workspace, connection: sqlite3.Connection | None, run: str, parts: _Parts) -> RunFacts:
    """Collect what there is of a run; what is not goes to ``parts.missing``."""
    facts = RunFacts(run)
    _add_rows(connection, facts, parts)
    _add_journal(ws, facts, parts)
    if is_watch(run):
        facts.watch = collect_watch(ws, connection, run, facts.records)
        parts.files |= facts.watch.files
        parts.missing += facts.watch.missing
    _add_history(ws, facts, parts)
    _add_run_log(ws, facts, parts)
    if connection is not None and not facts.events and not facts.log_records:
        parts.missing.append("the database has no events of it, and no run log tells what happened")
    began, ended = facts.span()
    if began is None or ended is None:
        parts.missing.append("nothing says when it ran: no service log, no samples")
    else:
        _add_service_log(ws, began - MARGIN_S, ended + MARGIN_S, parts)
        _add_samples(connection, began - MARGIN_S, ended + MARGIN_S, parts)
    _add_backups(ws, facts, parts)
    parts.files["settings.json"] = _json(_settings(ws))
    return facts


def _add_rows(connection: sqlite3.Connection | None, facts: RunFacts, parts: _Parts) -> None:
    if connection is None:
        return
    try:
        job: Job | None = find_run(connection, facts.run)
        facts.events = tuple(list_events(connection, run_id=facts.run, limit=MOST_EVENTS))
    except (sqlite3.Error, ValueError) as error:
        parts.missing.append(f"the database does not give job row and events: {visible(str(error))}")
        return
    if job is None:
        if not is_watch(facts.run):  # the guard's own row is its
            parts.missing.append("the database has no job row of it")
    else:
        facts.job = job_facts(job)
        parts.files["job.json"] = _json(facts.job)


def _add_journal(ws: Workspace, facts: RunFacts, parts: _Parts) -> None:
    path = ws.state / (WATCHES if is_watch(facts.run) else JOURNALS) / f"{facts.run}{ENDING}"
    try:
        reading = read_journal(path)
        raw = read_whole(path).data.rstrip(b"\0")
    except FileNotFoundError:
        if facts.run.startswith(("deploy", "rollback", "watch-")):
            parts.missing.append("there is no journal of it")
        return
    except (OSError, MobiusError) as error:
        parts.missing.append(f"the journal cannot be read: {visible(str(error))}")
        return
    facts.records = tuple(reading.records)
    if reading.problem:
        parts.missing.append(f"the journal is {reading.problem} after {len(reading.records)} whole records")
    parts.files["journal.txt"] = redacted(raw.decode("utf-8", "backslashreplace"))


def _add_history(ws: Workspace, facts: RunFacts, parts: _Parts) -> None:
    try:
        facts.acts = tuple(act for act in read_history(ws.state, 1_000_000) if act.get("run") == facts.run)
    except OSError as error:
        parts.missing.append(f"the history cannot be read: {error.strerror}")
        return
    parts.files["history.json"] = _json(list(facts.acts))


def _add_run_log(ws: Workspace, facts: RunFacts, parts: _Parts) -> None:
    path = ws.logs / f"{facts.run}.log"
    try:
        data = _end_of(path, parts)
    except FileNotFoundError:
        parts.missing.append("there is no run log of it")
        return
    except OSError as error:
        parts.missing.append(f"the run log cannot be read: {error.strerror}")
        return
    text = data.decode("utf-8", "backslashreplace")
    facts.log_records = tuple(_records(text))
    parts.files["run.log"] = redacted(text)


def _end_of(path: Path, parts: _Parts) -> bytes:
    """The last ``MOST_LOG_BYTES`` of a log, from a line's beginning on."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MOST_LOG_BYTES))
        data = file.read(MOST_LOG_BYTES)
    if size <= MOST_LOG_BYTES:
        return data
    parts.missing.append(f"of {visible(path.name)} only the last {MOST_LOG_BYTES:,} of {size:,} bytes are taken")
    return data.partition(b"\n")[2]


def _records(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict):
                yield record


def _add_service_log(ws: Workspace, began: float, ended: float, parts: _Parts) -> None:
    """The lines of its time, from the service log and those that were rotated since."""
    kept: list[str] = []
    size = 0
    names = [*(f"{SERVICE_LOG}.{number}" for number in range(KEPT, 0, -1)), SERVICE_LOG]
    found = False
    for path in (ws.logs / name for name in names):
        with contextlib.suppress(OSError), path.open("rb") as file:
            found = True
            if os.fstat(file.fileno()).st_mtime < began:
                continue
            for line in file:
                at = _time_of(line)
                if at is not None and began <= at <= ended and size < MOST_LOG_BYTES:
                    kept.append(line.decode("utf-8", "backslashreplace"))
                    size += len(line)
    if not found:
        parts.missing.append("there is no service log")
    if size >= MOST_LOG_BYTES:
        parts.missing.append(f"of the service log only the first {MOST_LOG_BYTES:,} bytes of its time are taken")
    parts.files["service.log"] = redacted("".join(kept))


def _time_of(line: bytes) -> float | None:
    try:
        record = json.loads(line)
        return seconds_of(record["time"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _add_samples(connection: sqlite3.Connection | None, began: float, ended: float, parts: _Parts) -> None:
    if connection is None:
        return
    try:
        samples = list_samples(connection, began, ended)
    except sqlite3.Error as error:
        parts.missing.append(f"the database does not give the samples: {visible(str(error))}")
        return
    if not samples:
        parts.missing.append("no one-minute samples were kept at its time (a running worker keeps them)")
    parts.files["samples.json"] = _json([{**sample, "at": clock.iso(sample["at"] or 0)} for sample in samples])


def _add_backups(ws: Workspace, facts: RunFacts, parts: _Parts) -> None:
    """The meta files of the backups that the run speaks of."""
    for name in sorted(facts.names()):
        if not _PLAIN_NAME.fullmatch(name) or not _STAMP.search(name):
            continue
        for folder in (ws.backups, ws.backups / "emergency"):
            meta = folder / f"{name}.meta.json"
            if not os.path.lexists(folder / name) and not os.path.lexists(meta):
                continue
            try:
                parts.files[f"backups/{name}.meta.json"] = redacted(read_whole(meta).data.decode("utf-8", "replace"))
            except OSError as error:
                parts.missing.append(f"the meta file of {name} cannot be read: {error.strerror}")


def _settings(ws: Workspace) -> dict[str, object]:
    values = asdict(ws.settings)
    return {
        "mobius": __version__,
        "environment": ws.settings.environment,
        "warnings": list(ws.sourced.warnings),
        "settings": {
            name: {
                "value": shown_setting(name, value),
                "source": ws.sourced.sources.get(name, "default"),
            }
            for name, value in values.items()
        },
    }


def _machine(ws: Workspace) -> dict[str, str]:
    """What this machine is and has room for, in words by name."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    with contextlib.suppress(OSError, AttributeError):
        system = f"{platform.freedesktop_os_release()['PRETTY_NAME']}, {system}"
    facts = {"system": system, "Python": platform.python_version(), "MOBIUS": __version__, "Pillow": "not installed"}
    with contextlib.suppress(PackageNotFoundError):
        facts["Pillow"] = version("Pillow")
    folders = {"library": ws.library, "state": ws.state, "backups": ws.backups, "logs": ws.logs}
    with contextlib.suppress(MobiusError, OSError):  # which one is live cannot be told
        folders = {"live catalogue": real_file(ws.catalogue).parent, **folders}
    for name, folder in folders.items():
        try:
            usage = shutil.disk_usage(nearest(folder))
            said = f"{human_bytes(usage.free)} of {human_bytes(usage.total)} free"
            facts[f"disk of {name}"] = f"{said}, {filesystem_of(folder) or 'filesystem unknown'}"
        except OSError as error:
            facts[f"disk of {name}"] = f"cannot be told: {error.strerror}"
    return facts


def _json(value: object) -> str:
    plain = json.loads(json.dumps(value, default=str))
    return json.dumps(redacted_value(plain), indent=1) + "\n"


def _write(ws: Workspace, path: Path, run: str, files: Mapping[str, str], *, may_replace: bool) -> None:
    if not may_replace and os.path.lexists(path):
        raise BadInput("there is something of that name already", where=visible(str(path)), fix="give -o another name")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in _reading_order(files):
            data = files[name].encode("utf-8", "backslashreplace")
            member = tarfile.TarInfo(f"report-{run}/{name}")
            member.size, member.mtime, member.mode = len(data), int(clock.now()), 0o600
            archive.addfile(member, io.BytesIO(data))
    try:
        if may_replace:
            ws.logs.mkdir(parents=True, exist_ok=True)
        write_atomic(path, [packed.getvalue()], mode=0o600)
    except OSError as error:
        raise EnvironmentFailed(
            f"the report cannot be written: {error.strerror}",
            where=visible(str(path)),
            fix="check owner, mode and free space of the folder, or give -o another place",
        ) from error


def _reading_order(files: Mapping[str, str]) -> Sequence[str]:
    """What is read first comes first."""
    return sorted(files, key=lambda name: (not name.startswith("timeline.md"), name))
