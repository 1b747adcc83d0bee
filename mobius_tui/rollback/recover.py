"""Bringing to rest what a crash cut off: every writing start does it before anything else."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mobius_tui.errors import EnvironmentFailed, Held, MobiusError
from mobius_tui.logs import JsonLog
from mobius_tui.recovery.atomic import ABSENT, sweep_leftovers
from mobius_tui.recovery.backup_files import EMERGENCY
from mobius_tui.recovery.backup_marks import sweep
from mobius_tui.recovery.history import note_act, read_history
from mobius_tui.recovery.journal import ENDING, JOURNALS, Journal, begin_of, open_journals, read_journal, run_of
from mobius_tui.recovery.staging import hash_or_absent, real_file, staged_files, staged_path
from mobius_tui.rollback.hooks import run_hook
from mobius_tui.rollback.restore import keep_displaced, settle_restore
from mobius_tui.rollback.undo import Say, Settled, deploy_of, run_in, settle_deploy
from mobius_tui.system.exchange import rename_new
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.system.processes import is_alive, pid_of, process_token
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

PROOF_ENDING = ".proof"
"""How the scratch file ends to which a backup is restored once, beside the journals."""

CUT_OFF = "its process was cut off"
"""Why an operation is settled by a later start."""

_BUSY_MS = 500
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def recover(ws: Workspace, say: Say, *, locked: bool = False, other: Path | None = None) -> list[Settled]:
    """Finish or undo every operation on a catalogue that was cut off, judging by content hashes.

    Costs a look into two folders when there is none. Does nothing while another process holds the catalogue's lock:
    what is open then is that process's. A journal that names another catalogue is told of and left alone.

    Args:
        ws: The workspace.
        say: Told what is found and done.
        locked: The caller holds the catalogue's lock.
        other: Another catalogue than the workspace's, which the person named; its own rollbacks are meant then.

    Returns:
        What was brought to rest, oldest first.

    Raises:
        MobiusError: Something could not be brought to rest; the live file is whole.
    """
    folder = ws.state / JOURNALS
    live = ws.catalogue if other is None else other
    if not _anything_open(ws, folder):
        return []
    with contextlib.ExitStack() as held:
        if not locked:
            try:
                held.enter_context(catalogue_lock(live, ws.actor, "recovery of a cut-off operation"))
            except Held:
                return []
        if other is None:  # first: a kill in it leaves the journals open, so that the next start does it again
            _sweep(ws, folder)
        settled = [_settle(ws, path, say, live) for path in _open(folder) if _is_about(path, live, say)]
        if other is None:
            _sweep_staged(ws, folder, say)
    return [one for one in settled if one is not None]


def _anything_open(ws: Workspace, folder: Path) -> bool:
    if _open(folder):
        return True
    with contextlib.suppress(OSError):
        return bool(staged_files(ws.catalogue)) or any(name.endswith(PROOF_ENDING) for name in os.listdir(folder))
    return False


def _open(folder: Path) -> list[Path]:
    try:
        return [path for path in open_journals(folder) if not _still_runs(path)]
    except OSError as error:
        raise EnvironmentFailed(
            f"a journal cannot be read: {error.strerror}",
            where=visible(str(error.filename or folder)),
            fix="check owner and mode of the state folder",
        ) from error


def _still_runs(path: Path) -> bool:
    """Whether another process still writes this journal.

    A rollback gives the lock back before it restarts the worker, which must not take it for one that was cut off.
    """
    try:
        token = str(begin_of(read_journal(path)).get("token") or "")
    except FileNotFoundError:
        return True  # whoever removed it has brought it to rest
    return token != process_token() and is_alive(token)


def _is_about(path: Path, live: Path, say: Say) -> bool:
    """Whether a journal's operation is one on this catalogue; what it names elsewhere is not touched.

    A workspace that was moved or copied has journals that name its former place: then what the run left beside the
    catalogue, or the catalogue itself, tells.
    """
    try:
        reading = read_journal(path)
    except FileNotFoundError:
        return False
    begin, run = begin_of(reading), run_of(path)
    named, options = begin.get("live"), begin.get("options")
    if not isinstance(named, str) or not named or os.path.realpath(named) == os.path.realpath(live):
        return True
    if not (isinstance(options, Mapping) and options.get("input")):
        hashes = {record.get(name) for record in reading.records for name in ("before", "after")}
        beside = any(run == deploy_of(name) for name in staged_files(live))
        if beside or hash_or_absent(real_file(live)) in hashes or run_in(real_file(live)) == run:
            return True
    say(f"{visible(run)} was cut off and is about {visible(named)}, not {visible(str(live))}: it is left alone")
    return False


def _settle(ws: Workspace, path: Path, say: Say, live: Path) -> Settled | None:
    """Bring one journal's operation to rest and close it."""
    reading = read_journal(path)
    published = reading.problem == "empty" and run_in(real_file(live)) == run_of(path)
    if reading.problem == "empty" and not published:
        path.unlink()
        say(f"{visible(run_of(path))} was cut off before it began; nothing was changed")
        return None
    run, shown = run_of(path), visible(run_of(path))
    told: list[str] = []

    def tell(text: str, of_run: str = "") -> None:
        say(text)
        told.append(of_run or text)

    if reading.problem == "corrupt" or published:
        shutil.copyfile(path, path.with_name(f"{path.name}.corrupt"))
        tell(f"the journal of {shown} is corrupt after {len(reading.records)} records; going by the files' hashes")
    journal = Journal.resume(path)
    try:
        if reading.problem == "corrupt" or published:
            journal.note("corrupt", records=len(reading.records))
        settled = settle(ws, journal, say=tell, live=live)
        tell(f"{shown} was cut off: {settled.sentence}", f"was cut off: {settled.sentence}")
        close_run(ws, journal, settled, say=tell)
    finally:
        journal.close()
        _keep_told(ws, run, told)
    return settled


def _keep_told(ws: Workspace, run: str, told: Sequence[str]) -> None:
    """Write what a recovery did where that run is looked up: into its own log and into the events, as far as may be."""
    from mobius_tui.store.database import open_database
    from mobius_tui.store.events import add_event

    if not _PLAIN_NAME.fullmatch(run):
        return
    log = JsonLog(ws.logs / f"{run}.log", within=ws.root)
    for text in told:
        log.write("warning", "recovery", "recovery", text, run)
    with contextlib.suppress(sqlite3.Error, MobiusError, OSError, ValueError):
        if told and _has_database(ws):
            with contextlib.closing(open_database(ws.database, busy_ms=_BUSY_MS)) as connection:
                for text in told:
                    add_event(connection, "warning", "recovery", "recovery", text, run_id=run)


def settle(ws: Workspace, journal: Journal, *, say: Say, reason: str = CUT_OFF, live: Path | None = None) -> Settled:
    """Finish or undo the operation of a journal; the catalogue's lock is the caller's to hold.

    Args:
        ws: The workspace.
        journal: Open for writing; it is left open, without an end.
        reason: Why the operation did not go on.
        say: Told what is done.
        live: The catalogue of a rollback; None means the workspace's.

    Returns:
        How it came to rest.

    Raises:
        MobiusError: It could not be brought to rest; the live file is whole.
    """
    begin = journal.records[0] if journal.records else {}
    if begin.get("kind", "deploy") == "deploy":
        return settle_deploy(ws, journal, reason=reason, say=say)
    return _settle_rollback(ws, journal, begin, ws.catalogue if live is None else live)


def _settle_rollback(ws: Workspace, journal: Journal, begin: Mapping[str, Any], live: Path) -> Settled:
    """Finish or undo a rollback: what it meant to put live is in the record before its exchange."""
    emergency = (ws.backups if live == ws.catalogue else live.parent) / EMERGENCY
    restores = [found for found in journal.records if found.get("what") == "restore"]
    meant: Mapping[str, Any] = next((found for found in reversed(restores) if "after" in found), {})
    now = hash_or_absent(real_file(live))
    outcome = "done" if meant and now == meant["after"] else "undone"
    sentence = "nothing of it was done"
    if restores:
        last, who = {**meant, **restores[-1]}, str(begin.get("who", ""))
        sentence = settle_restore(live, journal.run_id, last, who=who, emergency=emergency)
    if outcome == "done":
        note_rollback(ws, journal.run_id, begin, meant)
    return Settled(journal.run_id, "rollback", outcome, sentence, hash_or_absent(real_file(live)))


def note_rollback(ws: Workspace, run: str, begin: Mapping[str, Any], meant: Mapping[str, Any]) -> None:
    """Note a rollback in the history that was cut off between its exchange and that; once, however often it is asked.

    Args:
        ws: The workspace.
        run: The run.
        begin: The journal's first record.
        meant: Its record before the exchange, with both hashes.
    """
    given = begin.get("options")
    options = given if isinstance(given, Mapping) else {}
    mode = "remove-dhash" if options.get("remove_dhash") else "keep-new" if options.get("keep_new") else "exact"
    with contextlib.suppress(OSError, EnvironmentFailed):  # the journal has it; a full disk keeps nobody from ending
        if any(found.get("run") == run and found.get("act") == "rollback" for found in read_history(ws.state)):
            return
        before = meant.get("before")
        note_act(
            ws.state,
            "rollback",
            str(begin.get("who") or ws.actor),
            run_id=run,
            reason=str(begin.get("reason") or CUT_OFF),
            before=None if before in {None, ABSENT} else str(before),
            after=str(meant["after"]),
            details={
                "mode": mode,
                "target": str(options.get("backup") or ""),
                "target_sha256": str(meant["after"]) if mode == "exact" else "",
                "live": str(options.get("input") or ""),
            },
        )


def close_run(ws: Workspace, journal: Journal, settled: Settled, *, say: Say, code: int | None = None) -> None:
    """Run the hooks of the end, close the journal, and note the end in the database where there is one.

    Args:
        ws: The workspace.
        journal: The journal; its last record is the end afterwards.
        settled: How the operation came to rest.
        say: Told of hooks.
        code: Exit code of the end; None takes the outcome's.
    """
    _hooks(ws, journal, settled, say)
    code = (0 if settled.outcome == "done" else 2) if code is None else code
    journal.note("end", state=settled.outcome, exit_code=code, reason=settled.sentence, live=settled.live)
    _close_row(ws, settled, code)


def _hooks(ws: Workspace, journal: Journal, settled: Settled, say: Say) -> None:
    """The operator's commands of the end: only where the one before the swap may have run."""
    began = any(record.get("what") == "step" and record.get("step") == "before hook" for record in journal.records)
    if settled.kind != "deploy" or not began:
        return
    moments = ["on_completion"] if settled.outcome in {"done", "held"} else ["on_rollback", "on_completion"]
    for moment in moments:
        if any(record.get("what") == "hook" and record.get("moment") == moment for record in journal.records):
            continue
        facts = {"MOBIUS_RUN": settled.run, "MOBIUS_OUTCOME": settled.outcome, "MOBIUS_BACKUP": _backup_of(journal)}
        result = run_hook(ws, moment, facts)
        if result.sentence:
            say(result.sentence)
        journal.note("hook", moment=moment, ok=result.ok, text=result.sentence)


def _backup_of(journal: Journal) -> str:
    """The way back that a journal names last; empty when it names none."""
    named = [str(record["backup"]) for record in journal.records if record.get("backup")]
    return named[-1] if named else ""


def _close_row(ws: Workspace, settled: Settled, code: int) -> None:
    """End the run's row when its process is gone; a database that is missing, locked or broken is left alone."""
    from mobius_tui.store.database import open_database
    from mobius_tui.store.jobs import finish_job, list_jobs

    with contextlib.suppress(sqlite3.Error, MobiusError, OSError):
        if not _has_database(ws):
            return
        connection = open_database(ws.database, busy_ms=_BUSY_MS)
        try:
            for job in list_jobs(connection, active_only=True):
                if job.run_id == settled.run and job.state == "interrupted":
                    state = "done" if settled.outcome == "done" else "failed"
                    finish_job(connection, job.id, state, code, f"{CUT_OFF}: {settled.sentence}", job.summary)
        finally:
            connection.close()


def _has_database(ws: Workspace) -> bool:
    """Whether there is a database of this version: none is made, and none upgraded, by a recovery."""
    from mobius_tui.store.database import open_for_reading

    reader = open_for_reading(ws.database)
    if reader is not None:
        reader.close()
    return reader is not None


def _sweep(ws: Workspace, folder: Path) -> None:
    """Remove scratch files and the temporaries of dead processes."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.endswith(PROOF_ENDING):
                (folder / name).unlink()
            elif name.endswith(".tmp") and f"{PROOF_ENDING}." in name:
                sweep_leftovers(folder, name[1:].rpartition(f"{PROOF_ENDING}.")[0] + PROOF_ENDING)
    for backups in (ws.backups, ws.backups / EMERGENCY):
        sweep(backups)
    with contextlib.suppress(OSError):
        real = real_file(ws.catalogue)
        _adopt_spares(real, folder)
        sweep_leftovers(real.parent, real.name)


def _adopt_spares(real: Path, folder: Path) -> None:
    """Give what an exchange in several steps displaced the staged name that it was to have.

    Killed between its two renames, such an exchange leaves the only name of what was live in the temporary of its
    process.
    """
    for path in _open(folder):
        begin = begin_of(read_journal(path))
        spare = real.with_name(f".{real.name}.{pid_of(str(begin.get('token') or '')) or 0}.old")
        for run in (run_of(path), f"{run_of(path)}-undo"):
            staged = staged_path(real, run)
            if spare.exists() and not staged.exists() and not spare.samefile(real):
                rename_new(spare, staged)


def _sweep_staged(ws: Workspace, folder: Path, say: Say) -> None:
    """Remove the staged files that no open journal accounts for any more; unknown content is kept."""
    with contextlib.suppress(OSError):
        for run, staged in staged_files(ws.catalogue).items():
            if hash_or_absent(staged) in {hash_or_absent(real_file(ws.catalogue)), *_own_hashes(folder, run)}:
                staged.unlink()
                continue
            kept, _ = keep_displaced(
                staged, ws.catalogue, ws.backups / EMERGENCY, run_id=run, who=ws.actor, reason=f"left behind by {run}"
            )
            say(f"an unknown file that {visible(run)} left behind is kept as {visible(str(kept))}")


def _own_hashes(folder: Path, run: str) -> set[str]:
    """Contents that a run itself has staged, by its journal: another run's may be the only copy of what was live."""
    own: set[str] = set()
    for name in (run, deploy_of(run)):
        with contextlib.suppress(OSError, EnvironmentFailed):
            for record in read_journal(folder / f"{name}{ENDING}").records:
                if record.get("what") in {"staged", "restore"}:
                    own.add(str(record.get("after", "")))
    return own


def explain_open(ws: Workspace) -> list[str]:
    """A sentence for each operation that was cut off and waits for the next writing start; changes nothing."""
    sentences = []
    with contextlib.suppress(OSError, MobiusError):
        for path in open_journals(ws.state / JOURNALS):
            begin = begin_of(read_journal(path))
            who = visible(str(begin.get("who", "?")))
            sentences.append(f"{visible(run_of(path))} of {who} has not come to its end")
    return sentences


__all__ = ["CUT_OFF", "close_run", "explain_open", "note_rollback", "recover", "settle"]
