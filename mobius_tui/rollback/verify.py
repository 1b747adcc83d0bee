"""`mobius backup verify`, with the standard library alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from mobius_tui.errors import EnvironmentFailed, ProcessingFailed
from mobius_tui.recovery.backup_files import AGE_ENDING
from mobius_tui.recovery.backups import Verdict
from mobius_tui.recovery.choosing import chosen_backups, verify_chosen
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from mobius_tui.rollback.command import Talk


def verify_verb(ws: Workspace, name: str | None, *, every: bool, as_json: bool, talk: Talk) -> int:
    """Verify the latest backup, one by name, or all, and say how they are.

    Args:
        ws: The workspace.
        name: A backup's bare name, ``emergency/NAME`` or a path; None means the latest.
        every: All of them, emergency copies included.
        as_json: Data as JSON.
        talk: Where words go.

    Returns:
        0 when all are good.

    Raises:
        BadInput: There is no such backup.
        ProcessingFailed: One is corrupt or missing.
        EnvironmentFailed: One cannot be read.
    """
    paths = chosen_backups(ws.backups, name, every=every)
    decrypt = talk.decrypt_with(ws) if any(path.name.endswith(AGE_ENDING) for path in paths) else None
    verdicts = verify_chosen(ws.backups, paths, decrypt)
    if as_json:
        talk.show_json([asdict(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            talk.show(f"{verdict.state:<10}  {verdict.sentence}", "good" if verdict.state == "good" else "bad")
    _refuse_bad(verdicts)
    return 0


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
