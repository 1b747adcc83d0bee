"""What a rollback says to people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.recovery.atomic import ABSENT
from mobius_tui.recovery.backup_files import EMERGENCY, PREFIX, Backup, list_backups
from mobius_tui.rollback.merge import Changes
from mobius_tui.rollback.options import Outcome, Preview, RollbackOptions
from mobius_tui.rollback.restore import read_present
from mobius_tui.rollback.run import known_way_back, places_of
from mobius_tui.system import clock
from mobius_tui.text import counted, human_bytes, visible
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from mobius_tui.rollback.command import Talk

_NAMED = 10

Styled = tuple[str, str]
"""A line and its style."""


def preview_lines(preview: Preview) -> Iterator[Styled]:
    """What is about to be done, for the person who has to say yes."""
    yield f"{preview.environment}: {visible(preview.live)}", "title"
    if preview.problem:
        yield f"the live file is no catalogue: {preview.problem}", "warn"
    if preview.target:
        yield f"comes back: {visible(preview.target)}", ""
        yield f"  {preview.how}", "dim"
    else:
        yield "everything that MOBIUS owns is taken out of it", ""
    before, after = preview.before, preview.after
    now, then = (None if each is None else each.with_dhash for each in (before, after))
    yield f"images with a dHash: {_figure(now)} now, {_figure(then)} then", ""
    yield from change_lines(preview.changes, kept=preview.kept, done=False)
    for warning in preview.warnings:
        yield f"warning: {warning}", "warn"


def change_lines(changes: Changes | None, *, kept: bool, done: bool) -> Iterator[Styled]:
    """What others did since, and what becomes of it.

    Args:
        changes: What they did; None when it cannot be told.
        kept: Whether it is kept.
        done: Whether the rollback is over.
    """
    if changes is None:
        yield "what others changed since cannot be told", "warn"
        return
    if not changes:
        return
    if changes.returned:
        came = "came" if done else "come"
        said = f"{len(changes.returned):,} entries that were gone, and nobody is known to have removed, {came} back"
        yield f"{said}: {_some(changes.returned)}", ""
    if changes == Changes(returned=changes.returned):
        return
    if kept:
        yield "others wrote since, and that is kept:", ""
    elif done:
        yield "others wrote since, and that is gone; it is in the emergency copy:", "warn"
    else:
        yield "others wrote since, and that will be gone (--keep-new keeps it):", "warn"
    parts = [
        ("entries added", changes.added),
        ("entries added with nothing but a path, by a publication or by others", changes.bare),
        ("entries removed", changes.removed),
        ("entries changed", [f"{path} ({', '.join(names)})" for path, names in changes.changed]),
        ("top-level members changed", changes.members),
    ]
    for what, names in parts:
        if names:
            yield f"  {len(names):,} {what}: {_some(names)}", ""
    if changes.reordered:
        yield "  entries are in another order", ""


def outcome_lines(outcome: Outcome, given: str | None = None) -> Iterator[Styled]:
    """How a rollback went.

    Args:
        outcome: Of the rollback.
        given: The other catalogue that was named with -i; None for the live one.
    """
    style = "good" if outcome.exit_code == 0 else "bad"
    what = visible(outcome.target) if outcome.target else "without what MOBIUS owns"
    if outcome.mode == "recovered":
        yield "the state before is live already: what was cut off or ended has been undone", style
    elif not outcome.changed:
        yield f"the live catalogue was already as wanted: {what}", style
    else:
        yield f"restored: {what}", style
    if outcome.how:
        yield f"  {outcome.how}", "dim"
    for what, (was, now) in (("images with a dHash", outcome.with_dhash), ("entries", outcome.entries)):
        yield f"{what}: {_figure(was)} before, {_figure(now)} after", ""
    yield from change_lines(outcome.changes, kept=outcome.kept, done=True)
    for name, number in outcome.images.items():
        yield f"images {name}: {number:,}", ""
    if outcome.worker:
        yield outcome.worker, style
    if outcome.emergency:
        yield f"what was live before is kept: {visible(outcome.emergency)}", ""
        other = "" if given is None else f" -i {shlex.quote(visible(given))}"
        yield f"forward: mobius rollback{other} --backup {_as_named(outcome.emergency)}", ""
    yield "a new publication: mobius deploy", "dim"


def _as_named(copy: str) -> str:
    """An emergency copy as --backup takes it: short where it lies with the backups."""
    path = Path(copy)
    if path.parent.name == EMERGENCY and path.name.startswith(PREFIX):
        return f"{EMERGENCY}/{visible(path.name)}"
    return shlex.quote(visible(copy))


def show_list(ws: Workspace, options: RollbackOptions, *, as_json: bool, talk: Talk) -> None:
    """Show what can be gone back to; nothing is changed.

    Raises:
        EnvironmentFailed: The folder of the backups cannot be read.
    """
    places = places_of(ws, options)
    backups = list_backups(places.backups)
    try:
        copies = list_backups(places.emergency, emergency=True)
    except EnvironmentFailed as error:
        talk.tell(f"warning: {error}", "warn")
        copies = []
    present = read_present(places.live)
    way = known_way_back(ws, places, present)
    if as_json:
        chosen = None if way is None else {"backup": way.backup.name, "how": way.how, "certain": way.certain}
        rows = [_facts(backup) for backup in (*backups, *copies)]
        talk.show_json({"live": str(places.live), "sha256": present.sha256, "way_back": chosen, "backups": rows})
        return
    state = "missing" if present.sha256 == ABSENT else present.problem or f"SHA-256 {present.sha256[:12]}..."
    talk.show(f"live: {visible(str(places.live))}  {state}", "title")
    for backup in backups:
        mark = "  <- way back" if way is not None and backup.name == way.backup.name else ""
        facts, more = _rows(backup, mark)
        talk.show(facts, "" if backup.state == "verified" else "warn")
        talk.show(more, "dim")
    for backup in copies:
        for line in _rows(backup, ""):
            talk.show(line, "dim")
    if not backups and not copies:
        talk.show("no backups")
    if way is not None:
        talk.tell(f"the way back is {visible(way.backup.name)}: {way.how}")
    elif backups:
        talk.tell("no backup is known to be the way back; name one with --backup", "warn")


def _rows(backup: Backup, mark: str) -> tuple[str, str]:
    """A backup in two lines of a screen of 80 columns: what it is, then when, which kind and why."""
    images = "" if backup.images is None else f", {counted(backup.images)}"
    also = ", encrypted: not usable here" if backup.encrypted else ""
    name = f"{EMERGENCY}/{visible(backup.name)}" if backup.emergency else visible(backup.name)
    facts = f"{name:<33}  {human_bytes(backup.size):>7}  {backup.state}{mark}"
    return facts, f"    {clock.iso(backup.at)}  {backup.kind}{images}{also}  {visible(backup.reason) or '-'}"


def _facts(backup: Backup) -> dict[str, object]:
    return {**asdict(backup), "path": str(backup.path), "at": clock.iso(backup.at)}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(visible(name) for name in names[:_NAMED]) + more


def _figure(number: int | None) -> str:
    """A number, or a dash where it was not measured."""
    return "-" if number is None else f"{number:,}"
