"""The actions of pane 1, on the backup under its cursor."""

from __future__ import annotations

from pathlib import Path

from mobius_tui.console.asking import Action, Plan, Question, typed_in_production
from mobius_tui.console.lines import Line, outside
from mobius_tui.console.publish_actions import REASON, run_verb
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.errors import BadInput, ProcessingFailed
from mobius_tui.recovery.backups import Backup
from mobius_tui.text import counted, human_bytes
from mobius_tui.workspace import Workspace

RESTORE_OUTPUT = "restore.out"
"""File in the folder of the logs that takes what a restore prints."""


def able_with_backup(snapshot: Snapshot) -> str | None:
    """Whether a backup is chosen: pane 1 has the keys and is not empty."""
    if not snapshot.backups:
        return snapshot.backups_problem or "there is no backup yet; b makes one"
    return None if snapshot.chosen else "choose a backup in pane 1 first"


def able_in_pane(snapshot: Snapshot) -> str | None:
    """Whether pane 1 has the keys and there are backups."""
    if not snapshot.backups:
        return snapshot.backups_problem or "there is no backup yet"
    return None if snapshot.pane == "Backups" else "give the keys to pane 1 first"


def chosen_backup(snapshot: Snapshot) -> Backup:
    """The backup under the cursor of pane 1.

    Raises:
        BadInput: It is gone.
    """
    for backup in snapshot.backups:
        if backup.name == snapshot.chosen:
            return backup
    raise BadInput(f"the backup {outside(snapshot.chosen)} is gone")


def _verify(ws: Workspace, snapshot: Snapshot) -> str:
    from mobius_tui.operations.backup import verify_backups

    verdict = verify_backups(ws, chosen_backup(snapshot).name)[0]
    if verdict.state != "good":
        raise ProcessingFailed(f"{verdict.state}: {outside(verdict.sentence)}")
    return f"{outside(verdict.name)} is good: read whole, its hash is as noted"


def _pin(ws: Workspace, snapshot: Snapshot) -> str:
    from mobius_tui.operations.backup import pin_backup

    backup = chosen_backup(snapshot)
    pin_backup(ws, backup.name, not backup.pinned, reason=REASON)
    kept = "no longer pinned; the rules of retention hold" if backup.pinned else "pinned: it is kept for good"
    return f"{outside(backup.name)} is {kept}"


def restore_folder(ws: Workspace, backup: Backup) -> Path:
    """Where a backup is unpacked to."""
    return ws.root / "restored" / backup.name


def _plan_restore(ws: Workspace, snapshot: Snapshot) -> Plan:
    backup = chosen_backup(snapshot)
    folder = restore_folder(ws, backup)

    def act(ws: Workspace, _: Snapshot) -> str:
        said = run_verb(ws, ["backup", "restore", backup.name, "--to", str(folder)], RESTORE_OUTPUT)
        return said or f"unpacked into {outside(folder)}"

    what = "The catalogue and the images" if backup.kind == "full" else "The catalogue"
    question = Question(
        f"Unpack {outside(backup.name)}?",
        (
            f"{what} ({human_bytes(backup.size)}) into the workspace's folder",
            f"{outside(folder.relative_to(ws.root))}/",
            "Nothing live is touched; R makes a backup the live catalogue.",
        ),
        "Unpack",
    )
    return Plan("", (), question, act)


def _plan_clean(ws: Workspace, snapshot: Snapshot) -> Plan:
    """Show what becomes of each backup and why, then ask."""
    from mobius_tui.operations.backup import clean_backups

    decisions = clean_backups(ws, dry_run=True)
    going = [decision for decision in decisions if not decision.keep]
    lines: list[Line] = []
    for decision in sorted(decisions, key=lambda each: each.keep):
        word, role = ("keep", "muted") if decision.keep else ("remove", "warn")
        name = f"{'emergency/' if decision.backup.emergency else ''}{outside(decision.backup.name)}"
        lines.append(((f"{word:<8}", role), (f"{name}  {outside(decision.reason)}", "")))
    if not going:
        lines += [(), (("There is nothing to remove: a rule keeps each of them.", "strong"),)]
        return Plan("Clean: the plan", tuple(lines), None)
    freed = sum(decision.backup.size for decision in going)
    question = Question(
        f"Remove {counted(len(going), 'backup')} of {len(decisions)} ({human_bytes(freed)})?",
        ("They cannot be brought back. i keeps one for good.",),
        "Remove them",
        typed_in_production(snapshot),
    )
    return Plan("Clean: the plan", tuple(lines), question, _clean)


def _clean(ws: Workspace, _: Snapshot) -> str:
    from mobius_tui.operations.backup import clean_backups

    removed = sum(not decision.keep for decision in clean_backups(ws, dry_run=False))
    return f"{counted(removed, 'backup')} removed"


ACTIONS = (
    Action(
        ("c",), "c", "verify", "verify", "Read the chosen backup whole and compare it with its hash.",
        able_with_backup, True, act=_verify, rank=5,
    ),
    Action(
        ("i",), "i", "pin", "pin", "Keep the chosen backup for good, or no longer.",
        able_with_backup, True, act=_pin, rank=6,
    ),
    Action(
        ("U",), "U", "restore", "unpack", "Unpack the chosen backup into a folder; touches nothing live. Asks first.",
        able_with_backup, True, plan=_plan_restore, rank=7,
    ),
    Action(
        ("X",), "X", "clean", "clean", "Remove the backups that no rule keeps: shows each with its reason, then asks.",
        able_in_pane, True, plan=_plan_clean, rank=9,
    ),
)  # fmt: skip
"""The actions of the backups."""
