"""Backups of the live catalogue, by hand and before it is written."""

from __future__ import annotations

from pathlib import Path

from mobius_tui import __version__
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import BadInput
from mobius_tui.recovery.backups import Backup, Verdict, create_backup, list_backups, verify_backup
from mobius_tui.recovery.history import note_act
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


def backup_now(ws: Workspace, reason: str, *, images: int | None = None, run_id: str = "") -> Backup:
    """Back up the live catalogue and note it in the history.

    Args:
        ws: The workspace.
        reason: Why.
        images: Entries of the catalogue, when the caller has read it; None reads it.
        run_id: The run it belongs to.

    Returns:
        The verified backup.

    Raises:
        BadInput: There is no catalogue, or it is none: a copy of it could not serve as a way back.
        Changed: The catalogue was changed while it was copied.
        EnvironmentFailed: The copy could not be made or read back.
    """
    if images is None and ws.catalogue.exists():
        images = len(read_catalogue(ws.catalogue).document.entries)
    backup = create_backup(ws.catalogue, ws.backups, reason=reason, who=ws.actor, details=_details(ws, images))
    _note(ws, backup, reason, run_id)
    return backup


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
    prefix = f"{catalogue.name}.bak."
    details = _details(ws, images)
    backup = create_backup(catalogue, catalogue.parent, reason=reason, who=ws.actor, details=details, prefix=prefix)
    _note(ws, backup, reason, run_id)
    return backup


def _details(ws: Workspace, images: int | None) -> dict[str, object]:
    return {"mobius": __version__, "environment": ws.settings.environment, "images": images}


def _note(ws: Workspace, backup: Backup, reason: str, run_id: str) -> None:
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
