"""`mobius backup verify`, with the standard library alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mobius_tui.errors import BadInput, EnvironmentFailed, ProcessingFailed
from mobius_tui.recovery.backup_files import AGE_ENDING, list_backups, newest, widowed
from mobius_tui.recovery.backups import Verdict, verify_backup
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from mobius_tui.rollback.command import Talk


def verify_verb(ws: Workspace, name: str | None, *, every: bool, as_json: bool, talk: Talk) -> int:
    """Verify the latest backup, one by name, or all, and say how they are.

    Args:
        ws: The workspace.
        name: A backup's bare name; None means the latest.
        every: All of them.
        as_json: Data as JSON.
        talk: Where words go.

    Returns:
        0 when all are good.

    Raises:
        BadInput: There is no such backup.
        ProcessingFailed: One is corrupt or missing.
        EnvironmentFailed: One cannot be read.
    """
    names = chosen_names(ws, name, every=every)
    decrypt = talk.decrypt_with(ws) if any(each.endswith(AGE_ENDING) for each in names) else None
    verdicts = [verify_backup(ws.backups, each, decrypt=decrypt) for each in names]
    if as_json:
        talk.show_json([asdict(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            talk.show(f"{verdict.state:<10}  {verdict.sentence}", "good" if verdict.state == "good" else "bad")
    _refuse_bad(verdicts)
    return 0


def chosen_names(ws: Workspace, name: str | None, *, every: bool) -> list[str]:
    """Which backups are meant, newest first.

    Raises:
        BadInput: There is none, or the name is none.
        EnvironmentFailed: The folder cannot be read.
    """
    if name is not None:
        if every:
            raise BadInput("NAME and --all contradict each other", fix="give one of them")
        if not name or any(bad in name for bad in "/\\\0") or name.startswith("."):
            raise BadInput(
                f"{visible(name)!r} is no backup's name", fix=f"use a bare name from {visible(str(ws.backups))}"
            )
        if not any((ws.backups / f"{name}{side}").exists() for side in ("", ".sha256")):
            raise BadInput(
                f"there is no backup {visible(name)!r}", fix="`mobius backup verify --all` names those there are"
            )
        return [name]
    known = list_backups(ws.backups)
    lost = widowed(ws.backups)
    if not known and not (every and lost):
        raise BadInput("there is no backup yet", where=visible(str(ws.backups)), fix="`mobius backup create` makes one")
    if every:
        return [*(backup.name for backup in known), *lost]
    latest = newest(known, clock.now()) or known[0]
    return [latest.name]


def _refuse_bad(verdicts: Sequence[Verdict]) -> None:
    bad = [verdict for verdict in verdicts if verdict.state != "good"]
    if not bad:
        return
    said = (
        f"{len(bad)} of {len(verdicts)} backups are not good" if len(verdicts) > 1 else f"the backup is {bad[0].state}"
    )
    if all(verdict.state == "unreadable" for verdict in bad):
        raise EnvironmentFailed(said, where=bad[0].sentence, fix="check owner and mode of the backups")
    raise ProcessingFailed(said, where=bad[0].sentence, fix="`mobius backup create` makes a new one")
