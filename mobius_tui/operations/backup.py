"""Backups of the live catalogue: made by hand and before it is written, verified, pinned, cleaned."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mobius_tui import __version__
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.operations.backup_encryption import key_in_use
from mobius_tui.recovery import choosing
from mobius_tui.recovery.backup_files import (
    AGE_ENDING,
    EMERGENCY,
    NAMES,
    Backup,
    list_backups,
    newest,
    parse_name,
    read_meta,
    widowed,
)
from mobius_tui.recovery.backup_marks import remove_files, sweep
from mobius_tui.recovery.backups import Encrypt, Verdict, create_backup, digest_now, pin, verify_backup
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.journal import JOURNALS, open_journals, run_of
from mobius_tui.recovery.retention import Decision, decide
from mobius_tui.recovery.watches import open_watches
from mobius_tui.rollback.publications import way_back
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

DECISIONS_NAME = "decisions.jsonl"
"""What people decided, in the review folder."""

_JOURNAL_READ = 1 << 24


def backup_now(
    ws: Workspace,
    reason: str,
    *,
    images: int | None = None,
    run_id: str = "",
    reuse: bool = False,
    encrypt: Encrypt | None = None,
) -> Backup:
    """Back up the live catalogue and note it in the history.

    Args:
        ws: The workspace.
        reason: Why.
        images: Entries of the catalogue, when the caller has read it; None reads it.
        run_id: The run it belongs to.
        reuse: Take the newest verified backup instead when it holds exactly these bytes and decisions; it is read back.
        encrypt: Encrypts it; None writes it plain, as every way back must be.

    Returns:
        The verified backup.

    Raises:
        BadInput: There is no catalogue, or it is none: a copy of it could not serve as a way back.
        Changed: The catalogue was changed while it was copied.
        EnvironmentFailed: The copy could not be made or read back.
    """
    if images is None and ws.catalogue.exists():
        images = len(read_catalogue(ws.catalogue).document.entries)
    same = reusable_backup(ws) if reuse else None
    if same is not None:
        return same
    backup = create_backup(
        ws.catalogue,
        ws.backups,
        reason=reason,
        who=ws.actor,
        details=details_of(ws, images),
        decisions=decisions_of(ws),
        encrypt=encrypt,
    )
    note_backup(ws, backup, reason, run_id)
    return backup


def reusable_backup(ws: Workspace) -> Backup | None:
    """The newest verified backup when it holds exactly what is live now, decisions included; it is read back for that.

    Raises:
        EnvironmentFailed: The folder of the backups cannot be read.
    """
    plain = [
        backup
        for backup in list_backups(ws.backups)
        if backup.kind == "catalogue" and not backup.encrypted and backup.state == "verified"
    ]
    latest = newest(plain, clock.now())
    if latest is None or latest.catalogue_sha256 != digest_now(ws.catalogue):
        return None
    if latest.decisions_sha256 != digest_now(decisions_of(ws)):
        return None
    if verify_backup(ws.backups, latest.name).state != "good":
        return None
    return replace(latest, verified_at=clock.now())


def backup_beside(ws: Workspace, catalogue: Path, reason: str, *, images: int, run_id: str = "") -> Backup:
    """Back up a catalogue that is not the live one, beside itself: ``<name>.bak.<stamp>``.

    Args:
        ws: The workspace.
        catalogue: The file.
        reason: Why.
        images: Its entries.
        run_id: The run it belongs to.

    Returns:
        The verified backup.
    """
    backup = create_backup(
        catalogue,
        catalogue.parent,
        reason=reason,
        who=ws.actor,
        details=details_of(ws, images),
        prefix=f"{catalogue.name}.bak.",
        decisions=decisions_of(ws),
    )
    note_backup(ws, backup, reason, run_id)
    return backup


def decisions_of(ws: Workspace) -> Path:
    """The file of people's decisions, whether there is one or not."""
    return ws.review / DECISIONS_NAME


def details_of(ws: Workspace, images: int | None) -> dict[str, object]:
    """Counts and versions for the meta file of a backup."""
    return {"mobius": __version__, "environment": ws.settings.environment, "images": images}


def note_backup(ws: Workspace, backup: Backup, reason: str, run_id: str = "") -> None:
    """Note a backup in the history."""
    note_act(
        ws.state,
        "backup",
        ws.actor,
        run_id=run_id,
        reason=reason,
        before=backup.catalogue_sha256,
        after=backup.catalogue_sha256,
        details={"backup": backup.name if backup.path.parent == ws.backups else str(backup.path)},
    )


def known_backups(ws: Workspace, *, emergency: bool = False) -> list[Backup]:
    """The backups of a workspace, or its emergency copies, newest first.

    Raises:
        EnvironmentFailed: Their folder cannot be read.
    """
    if emergency:
        return list_backups(ws.backups / EMERGENCY, emergency=True)
    return list_backups(ws.backups)


def find_backup(ws: Workspace, name: str) -> Path:
    """Where the backup lies that a person named; whether it is there is not looked at.

    Args:
        ws: The workspace.
        name: A bare name, ``emergency/NAME``, or the path of a backup with its ``.sha256`` beside it.

    Returns:
        The path of its file.

    Raises:
        BadInput: The name cannot be a backup's.
    """
    return choosing.find_backup(ws.backups, name)


def verify_backups(ws: Workspace, name: str | None = None, *, every: bool = False) -> list[Verdict]:
    """Verify the latest backup, one by name, or all; those of which only side files are left are missing.

    Args:
        ws: The workspace.
        name: A backup's name; None means the latest that is not dated in the future.
        every: All of them, emergency copies included.

    Returns:
        A verdict each, newest first.

    Raises:
        BadInput: There is no backup, or the name is none.
        EnvironmentFailed: The folder of the backups cannot be read, or the key file cannot be used.
    """
    paths = choosing.chosen_backups(ws.backups, name, every=every)
    key = key_in_use(ws) if any(path.name.endswith(AGE_ENDING) for path in paths) else None
    return choosing.verify_chosen(ws.backups, paths, None if key is None else key.decrypt)


def pin_backup(ws: Workspace, name: str, on: bool, reason: str = "") -> Path:
    """Keep a backup for good, or no longer, and note it in the history.

    Args:
        ws: The workspace.
        name: As ``find_backup`` takes it.
        on: Whether it is to be kept.
        reason: Why.

    Returns:
        Its path.

    Raises:
        BadInput: There is no such backup.
        EnvironmentFailed: It cannot be noted.
    """
    path = find_backup(ws, name)
    pin(path.parent, path.name, on, who=ws.actor, reason=reason)
    act = "backup pin" if on else "backup unpin"
    note_act(ws.state, act, ws.actor, reason=reason, details={"backup": name})
    return path


def needed_backups(ws: Workspace) -> dict[str, str]:
    """Names of backups that something still depends on, with the reason.

    Returns:
        Those that a journal of a deploy or rollback names that has not come to its end, and the way back from what is
        live.

    Raises:
        EnvironmentFailed: A journal, the backups or the live catalogue cannot be read: then nothing may be removed.
    """
    needed = _journalled(ws)
    back = way_back(ws.state, ws.backups, ws.catalogue)
    if back is not None:
        needed.setdefault(back.backup.name, "the way back from what is live")
    return needed


def _journalled(ws: Workspace) -> dict[str, str]:
    """Names of backups in the journals that are not at rest, with the reason."""
    needed: dict[str, str] = {}
    try:
        for path in (*open_journals(ws.state / JOURNALS), *open_watches(ws.state)):
            with path.open("rb") as file:  # by its bytes: a torn or corrupt journal needs its backup all the more
                text = file.read(_JOURNAL_READ).decode("ascii", "replace")
            for match in NAMES.finditer(text):
                needed.setdefault(match[0], f"needed by {run_of(path)}, which has not come to its end")
    except OSError as error:
        raise EnvironmentFailed(
            f"a journal cannot be read, so no backup may be removed: {error.strerror}",
            where=visible(str(error.filename or ws.state / JOURNALS)),
            fix="check owner and mode of the state folder",
        ) from error
    return needed


def judge_backups(
    ws: Workspace, *, older_than_days: float | None = None, retention_days: int | None = None
) -> list[Decision]:
    """What becomes of each backup and emergency copy, and why; nothing is changed.

    Args:
        ws: The workspace.
        older_than_days: Days asked for by a person.
        retention_days: Days that every backup is kept; None means the setting's.

    Returns:
        A decision each, newest first; those of which only side files are left are among them.
    """
    lost = [_lost(ws.backups, name) for name in widowed(ws.backups)]
    return decide(
        [*known_backups(ws), *known_backups(ws, emergency=True), *lost],
        clock.now(),
        retention_days=ws.settings.retention_days if retention_days is None else retention_days,
        older_than_days=older_than_days,
        needed=needed_backups(ws),
    )


def _lost(folder: Path, name: str) -> Backup:
    parsed = parse_name(name)
    at = parsed.at if parsed is not None else 0.0
    return Backup(name, folder / name, at, 0, "only side files are left", "", "missing", None, None, "")


def clean_backups(
    ws: Workspace, *, dry_run: bool, older_than_days: float | None = None, retention_days: int | None = None
) -> list[Decision]:
    """Remove the backups that no rule keeps, oldest first, and what killed makers and removers left.

    Args:
        ws: The workspace.
        dry_run: Only say what would be done.
        older_than_days: Days asked for by a person, in place of the setting's.
        retention_days: Days that every backup is kept; None means the setting's.

    Returns:
        A decision each, newest first; one that should go and could not is kept, with the cause and ``failed``.

    Raises:
        EnvironmentFailed: What is needed cannot be told; nothing is removed.
    """
    if not dry_run:
        for folder in (ws.backups, ws.backups / EMERGENCY):
            sweep(folder)
    decisions = judge_backups(ws, older_than_days=older_than_days, retention_days=retention_days)
    if dry_run:
        return decisions
    done = {id(each): _remove(ws, each) for each in reversed(decisions) if not each.keep}
    removed = [named(each.backup) for each in decisions if id(each) in done and not done[id(each)].keep]
    if removed:
        with contextlib.suppress(OSError):  # a full disk must not keep anybody from making room
            note_act(ws.state, "backup clean", ws.actor, details={"removed": removed})
    return [done.get(id(each), each) for each in decisions]


def _remove(ws: Workspace, decision: Decision) -> Decision:
    """Remove one backup, unless it was pinned or came into need since that was decided."""
    backup = decision.backup
    folder = backup.path.parent
    if read_meta(folder, backup.name).get("pinned") is True:
        return replace(decision, keep=True, reason="pinned meanwhile")
    try:
        needed = _journalled(ws).get(backup.name)
        if needed:
            return replace(decision, keep=True, reason=needed)
        remove_files(folder, backup.name)
    except OSError as error:
        return replace(decision, keep=True, failed=True, reason=f"could not be removed: {error.strerror or error}")
    except MobiusError as error:
        return replace(decision, keep=True, failed=True, reason=f"could not be removed: {error.what}")
    return decision


def named(backup: Backup) -> str:
    """A backup's name as every verb takes it: an emergency copy is ``emergency/NAME``."""
    return f"{EMERGENCY}/{backup.name}" if backup.emergency else backup.name


def facts_of(decision: Decision) -> Mapping[str, object]:
    """A decision as plain data, for JSON."""
    backup = decision.backup
    return {
        **facts_of_backup(backup),
        "keep": decision.keep,
        "why": decision.reason,
        "until": None if decision.until is None else clock.iso(decision.until),
    }


def facts_of_backup(backup: Backup) -> dict[str, object]:
    """A backup as plain data, for JSON; times in UTC, ISO 8601."""
    return {
        "name": named(backup),
        "path": str(backup.path),
        "kind": backup.kind,
        "at": clock.iso(backup.at),
        "size": backup.size,
        "reason": backup.reason,
        "who": backup.who,
        "state": backup.state,
        "verified_at": None if backup.verified_at is None else clock.iso(backup.verified_at),
        "images": backup.images,
        "sha256": backup.sha256,
        "pinned": backup.pinned,
        "encrypted": backup.encrypted,
        "emergency": backup.emergency,
    }
