"""Restoring a backup: unpacked into a folder, or, when told so, put live."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import BadInput, EnvironmentFailed, ProcessingFailed
from mobius_tui.guard.files import refuse_during_watch
from mobius_tui.operations.backup import find_backup
from mobius_tui.operations.backup_encryption import key_in_use
from mobius_tui.recovery.backup_files import AGE_ENDING, DECISIONS, EMERGENCY, kind_of, read_meta, recorded_digests
from mobius_tui.recovery.backups import Decrypt, opened_backup, read_backup_catalogue
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.journal import JOURNALS, Journal
from mobius_tui.recovery.unpacking import Unpacked, unpack_files, unpack_full
from mobius_tui.recovery.zipped import Heard
from mobius_tui.rollback.plans import exactly
from mobius_tui.rollback.recover import close_run, recover, settle
from mobius_tui.rollback.restore import Restored, restore_catalogue
from mobius_tui.system import clock
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.text import visible
from mobius_tui.workspace import CATALOGUE_NAME, Workspace

RESTORED = "restored-"
"""Start of the default folder's name in the workspace; the backup's name follows."""


@dataclass(frozen=True, slots=True)
class BackupRestored:
    """What a restoring did.

    Attributes:
        name: The backup's bare name.
        kind: ``catalogue`` or ``full``.
        unpacked: The files that were unpacked; None when it was put live.
        live: How it was put live; None when it was unpacked.
        run_id: The run of a live restoring; empty otherwise.
    """

    name: str
    kind: str
    unpacked: Unpacked | None
    live: Restored | None
    run_id: str = ""


def restore_backup(
    ws: Workspace,
    name: str,
    to: Path | None = None,
    live: bool = False,
    *,
    overwrite: bool = False,
    reason: str = "",
    heard: Heard = lambda done, total: None,
    say: Callable[[str], None] = lambda _: None,
) -> BackupRestored:
    """Unpack a backup into a folder, or put its catalogue live.

    Args:
        ws: The workspace.
        name: As ``find_backup`` takes it.
        to: The folder; None names one in the workspace after the backup.
        live: Put its catalogue live instead, by the way of a rollback: journalled, what was live becomes an emergency
            copy. Images and decisions stay as they are.
        overwrite: Replace files in the folder.
        reason: Why, for the history.
        heard: Told after each file of a full backup.
        say: Told what happens while it is put live.

    Returns:
        What was done.

    Raises:
        BadInput: There is no such backup, files are in the way, the folder is live, or the key is missing.
        ProcessingFailed: The backup is corrupt.
        EnvironmentFailed: It cannot be read or written, or another process holds the library.
    """
    path = find_backup(ws, name)
    if not os.path.lexists(path):
        raise BadInput(f"there is no backup {visible(name)!r}", fix="`mobius backup list` names those there are")
    key = key_in_use(ws)
    decrypt = key.decrypt if key is not None else None
    kind = kind_of(path.name, read_meta(path.parent, path.name))
    if live:
        return _put_live(ws, path, kind, decrypt, reason, say)
    folder = ws.root / f"{RESTORED}{path.name}" if to is None else to.absolute()
    unpacked = _unpack(ws, path, kind, folder, decrypt, overwrite, heard)
    return BackupRestored(path.name, kind, unpacked, None)


def _unpack(
    ws: Workspace, path: Path, kind: str, to: Path, decrypt: Decrypt | None, overwrite: bool, heard: Heard
) -> Unpacked:
    def refuse(place: Path) -> None:
        _refuse_live(ws, place)

    if kind == "full":
        try:
            with opened_backup(path.parent, path.name, decrypt) as file:
                return unpack_full(file, to, overwrite=overwrite, refuse=refuse, heard=heard)
        except OSError as error:
            raise EnvironmentFailed(
                f"the backup cannot be read: {error.strerror or error}", where=visible(path.name)
            ) from error
    files = [(CATALOGUE_NAME, [read_backup_catalogue(path.parent, path.name, decrypt)])]
    decisions = _decisions(path, decrypt)
    if decisions is not None:
        files.append((DECISIONS.removeprefix("."), [decisions]))
    return unpack_files(files, to, overwrite=overwrite, refuse=refuse)


def _decisions(path: Path, decrypt: Decrypt | None) -> bytes | None:
    """What people had decided, as kept beside a catalogue backup; None when nothing is recorded.

    Raises:
        ProcessingFailed: They are recorded and missing or damaged.
    """
    side = f"{path.name}{DECISIONS}{AGE_ENDING if path.name.endswith(AGE_ENDING) else ''}"
    try:
        wanted = recorded_digests(path.parent, path.name).get(side)
        if wanted is None:
            return None
        if sha256_file(path.with_name(side)) != wanted:
            raise ProcessingFailed("the decisions kept with the backup are corrupt", where=visible(side))
        with opened_backup(path.parent, side, decrypt) as file:
            return file.read()
    except FileNotFoundError as error:
        raise ProcessingFailed("the decisions kept with the backup are missing", where=visible(side)) from error
    except OSError as error:
        raise EnvironmentFailed(
            f"the decisions kept with the backup cannot be read: {error.strerror}", where=visible(side)
        ) from error


def _refuse_live(ws: Workspace, place: Path) -> None:
    """Refuse what is in use: nothing live is touched by unpacking."""
    real = os.path.realpath(place)
    folders = (ws.library, ws.review, ws.backups, ws.state, ws.logs)
    inside = any(real.startswith(os.path.realpath(folder) + os.sep) for folder in folders)
    if inside or real == os.path.realpath(ws.catalogue):
        raise BadInput(
            "this would write into what is in use",
            where=visible(str(place)),
            fix="give --to another folder; --live puts the backup's catalogue live",
        )


def _put_live(
    ws: Workspace, path: Path, kind: str, decrypt: Decrypt | None, reason: str, say: Callable[[str], None]
) -> BackupRestored:
    """Exchange the live catalogue for the backup's, under its lock and with a journal."""
    refuse_during_watch(ws)
    with catalogue_lock(ws.catalogue, ws.actor, f"restore of {path.name}"):
        recover(ws, say, locked=True)
        content = read_backup_catalogue(path.parent, path.name, decrypt)
        journal = _begin(ws, path, reason)
        run = journal.run_id
        try:
            restored = restore_catalogue(
                ws.catalogue,
                exactly(content),
                run_id=run,
                emergency=ws.backups / EMERGENCY,
                who=ws.actor,
                reason=reason or f"before {run}",
                note=journal.note,
                say=say,
            )
            _note(ws, run, path, restored, reason)
            journal.note("end", state="done", exit_code=0, reason=f"restored {path.name}")
        except BaseException as error:
            if isinstance(error, Exception):  # a signal's end is settled by the next start
                close_run(ws, journal, settle(ws, journal, say=say, reason=str(error)), say=say)
            raise
        finally:
            journal.close()
    return BackupRestored(path.name, kind, None, restored, run)


def _begin(ws: Workspace, path: Path, reason: str) -> Journal:
    """A journal under a run id that no other has: a taken second waits for the next."""
    facts = {"who": ws.actor, "reason": reason, "live": str(ws.catalogue), "backup": path.name}
    at = clock.now()
    while True:
        try:
            return Journal.create(ws.state / JOURNALS, f"restore-{clock.stamp(at)}", kind="rollback", **facts)
        except FileExistsError:
            at += 1
        except OSError as error:
            raise EnvironmentFailed(
                f"the journal cannot be written: {error.strerror}, nothing was changed",
                where=visible(str(ws.state / JOURNALS)),
                fix="free some space, or use `mobius rollback --backup`, which needs none",
            ) from error


def _note(ws: Workspace, run: str, path: Path, restored: Restored, reason: str) -> None:
    note_act(
        ws.state,
        "backup restore",
        ws.actor,
        run_id=run,
        reason=reason,
        before=restored.before,
        after=restored.after,
        details={
            "target": path.name,
            "target_sha256": restored.after,
            "mode": "exact",
            "emergency": None if restored.emergency is None else str(restored.emergency),
        },
    )
