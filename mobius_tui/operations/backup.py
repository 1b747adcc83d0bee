"""Backups of the live catalogue, by hand and before it is written."""

from __future__ import annotations

from mobius_tui import __version__
from mobius_tui.errors import BadInput
from mobius_tui.recovery.backups import Backup, Verdict, create_backup, list_backups, verify_backup
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import note_act
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


def backup_now(ws: Workspace, reason: str, *, images: int | None = None, run_id: str = "") -> Backup:
    """Back up the live catalogue and note it in the history.

    Args:
        ws: The workspace.
        reason: Why.
        images: Entries of the catalogue, when the caller has counted them.
        run_id: The run it belongs to.

    Returns:
        The verified backup.
    """
    details: dict[str, object] = {"mobius": __version__, "environment": ws.settings.environment}
    if images is not None:
        details["images"] = images
    backup = create_backup(ws.catalogue, ws.backups, reason=reason, who=ws.actor, details=details)
    note_act(
        ws.state,
        "backup",
        ws.actor,
        run_id=run_id,
        reason=reason,
        before=backup.sha256,
        after=backup.sha256,
        details={"backup": backup.name},
    )
    return backup


def verify_backups(ws: Workspace, name: str | None = None, *, every: bool = False) -> list[Verdict]:
    """Verify the latest backup, one by name, or all.

    Args:
        ws: The workspace.
        name: A backup's bare name; None means the latest.
        every: All of them.

    Returns:
        A verdict each, newest first.

    Raises:
        BadInput: There is no backup, or the name is none.
    """
    known = list_backups(ws.backups)
    if name is not None:
        if "/" in name or "\\" in name or "\0" in name or name.startswith("."):
            raise BadInput(
                f"{visible(name)!r} is no backup's name", fix=f"use a bare name from {visible(str(ws.backups))}"
            )
        return [verify_backup(ws.backups, name)]
    if not known:
        raise BadInput("there is no backup yet", where=visible(str(ws.backups)), fix="`mobius backup create` makes one")
    return [verify_backup(ws.backups, backup.name) for backup in (known if every else known[:1])]


def live_hash(ws: Workspace) -> str | None:
    """SHA-256 of the live catalogue, hex; None when there is none."""
    try:
        return sha256_file(ws.catalogue)
    except FileNotFoundError:
        return None
