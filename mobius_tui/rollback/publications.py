"""Which backup is the way back from what is live now, and how that is known.

The history knows every publication by the hash of what it wrote; where it is missing, the run that the live catalogue
names in its own text, the journals and the backups' reasons tell. A state that a rollback brought back has the way back
of the publication that once made that state: a second rollback goes one further back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.recovery.backup_files import AGE_ENDING, Backup, list_backups
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import ENDING, JOURNALS, read_journal
from mobius_tui.rollback.plans import Present
from mobius_tui.rollback.restore import read_present
from mobius_tui.system import clock
from mobius_tui.text import visible

GOING_BACK = frozenset({"rollback", "deploy rolled back", "restore", "backup restore"})
"""Acts of the history that brought a former state back."""

_ACTS_READ = 20_000


@dataclass(frozen=True, slots=True)
class WayBack:
    """The way back from what is live.

    Attributes:
        backup: The backup to restore.
        how: How it is known to be the one, in words.
        certain: Whether that is on record, not only likely.
        published: SHA-256 of the live file where it is, byte for byte, what MOBIUS published over this backup; None
            when others may have written.
        others: What may serve in its place when it is bad: first backups of the same content, then older ones.
    """

    backup: Backup
    how: str
    certain: bool
    published: str | None
    others: tuple[Backup, ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """What the records say: a backup's name or content, and when it was published over; or that nothing is earlier."""

    name: str
    content: str
    direct: bool
    run: str
    older_than: str = ""
    at: float | None = None


def way_back(state: Path, backups: Path, live: Path) -> WayBack | None:
    """Which backup belongs to the publication that is live now.

    Args:
        state: The state folder; it may be missing or unreadable.
        backups: Folder of the backups.
        live: The live catalogue; it may be missing or damaged.

    Returns:
        The way back; None when there is no backup that could be one. It is not verified here.

    Raises:
        EnvironmentFailed: The live file or the folder of the backups cannot be read.
    """
    return way_back_of(read_present(live), read_acts(state), list_backups(backups), run_backups(state))


def way_back_of(
    present: Present, acts: Sequence[Mapping[str, Any]], backups: Sequence[Backup], journalled: Mapping[str, str]
) -> WayBack | None:
    """The same, from what has been read.

    Args:
        present: The live file.
        acts: The history, oldest first.
        backups: Those there are, newest first.
        journalled: By run id the backup that its journal names.

    Returns:
        The way back; None when there is none.
    """
    usable = [backup for backup in backups if not backup.encrypted and not backup.emergency]
    changing = [act for act in acts if _changes(act)]
    run = _run_of(present)
    found, how = _recorded(present, changing, run, usable)
    if found is not None and (found.name or found.content):
        backup = _pick(usable, found)
        if backup is not None:
            published = present.sha256 if found.direct and present.data is not None else None
            return WayBack(backup, how, True, published, _substitutes(usable, backup, found.at))
    if found is None and run:
        named = journalled.get(run, "")
        for backup in usable:
            if backup.name == named or backup.reason == f"before {run}":
                how = f"it was made before {visible(run)}, which the live catalogue names"
                return WayBack(backup, how, True, None, _substitutes(usable, backup))
    likely = _likely(present, usable, found)
    locked = found.name if found is not None and found.name.endswith(AGE_ENDING) else ""
    if likely is None or not locked:
        return likely
    how = f"{visible(locked)} is the way back, but is encrypted, and a rollback works without keys; {likely.how}"
    return replace(likely, how=how)


def read_acts(state: Path) -> list[dict[str, Any]]:
    """The history's acts, oldest first; none when it cannot be read."""
    try:
        return read_history(state, limit=_ACTS_READ)
    except OSError:
        return []


def run_backups(state: Path) -> dict[str, str]:
    """By run id, the backup that its journal names; what cannot be read is left out."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for path in (state / JOURNALS).glob(f"*{ENDING}"):
            with contextlib.suppress(OSError, EnvironmentFailed):
                for record in read_journal(path).records:
                    if isinstance(record.get("backup"), str):
                        found[path.name.removesuffix(ENDING)] = record["backup"]
    return found


def _changes(act: Mapping[str, Any]) -> bool:
    """Whether an act put other content live."""
    return isinstance(act.get("after"), str) and act.get("after") != act.get("before")


def _run_of(present: Present) -> str:
    """The run that the live catalogue says made it; empty when it does not say."""
    migration = present.document.migration if present.document is not None else None
    run = (migration or {}).get("run")
    name = run.get("id") if isinstance(run, Mapping) else None
    return name if isinstance(name, str) else ""


def _recorded(
    present: Present, acts: Sequence[Mapping[str, Any]], run: str, backups: Sequence[Backup]
) -> tuple[_Found | None, str]:
    """What the history says of the live state; None when it says nothing."""
    if present.document is None:
        if not acts:
            return None, ""
        last = acts[-1]
        if last.get("act") in GOING_BACK:  # the state that should be live is the one that was brought back
            return _Found(_target_name(last), _target_content(last, backups), False, ""), (
                "the live file is damaged or missing, and a rollback had brought this state back"
            )
        return _walk(acts, len(acts) - 1, backups), "it was made before the last publication in the history"
    place = _latest(acts, len(acts), lambda act: act.get("after") == present.sha256)
    if place is not None:
        return _walk(acts, place, backups, exact=present.sha256), "the history has it with the publication that is live"
    if run:
        place = _latest(acts, len(acts), lambda act: act.get("run") == run and act.get("act") not in GOING_BACK)
        if place is None:
            return None, ""
        how = f"the history has it with {visible(run)}, which the live catalogue names; others wrote since"
        return _walk(acts, place, backups), how
    if acts:
        how = "the history has it with the last publication; others wrote since"
        return _walk(acts, len(acts) - 1, backups), how
    return None, ""


def _walk(acts: Sequence[Mapping[str, Any]], place: int, backups: Sequence[Backup], *, exact: str = "") -> _Found:
    """From an act to the backup made before the publication that made its state, ever further back."""
    while True:
        act = acts[place]
        run = str(act.get("run") or "")
        if act.get("act") in GOING_BACK:
            wanted = _target_content(act, backups) or str(act.get("after"))
            earlier = _latest(acts, place, lambda each, wanted=wanted: each.get("after") == wanted)
            if earlier is None:
                details = act.get("details")
                removed = isinstance(details, Mapping) and details.get("mode") == "remove-dhash"
                # that goes back to no state on record, so none is known to be newer than it
                return _Found("", "", False, run, older_than="" if removed else _target_name(act) or wanted)
        else:
            before = str(act.get("before") or "")
            name = _name(act.get("details"), "backup")
            if name or any(backup.catalogue_sha256 == before for backup in backups if before):
                return _Found(name, before, bool(exact) and exact == act.get("after"), run, at=_moment(act))
            # published without a backup, as the worker does for changes of the library: the one before it counts
            earlier = _latest(acts, place, lambda each, before=before: each.get("after") == before)
            if earlier is None:
                return _Found("", "", False, run)
        place = earlier


def _latest(acts: Sequence[Mapping[str, Any]], end: int, fits: Any) -> int | None:
    return next((place for place in range(end - 1, -1, -1) if fits(acts[place])), None)


def _target_name(act: Mapping[str, Any]) -> str:
    return _name(act.get("details"), "target") or _name(act.get("details"), "backup")


def _target_content(act: Mapping[str, Any], backups: Sequence[Backup]) -> str:
    """SHA-256 of the backup that an act brought back; empty when unknown."""
    details = act.get("details")
    if isinstance(details, Mapping) and isinstance(details.get("target_sha256"), str):
        return str(details["target_sha256"])
    name = _target_name(act)
    return next((backup.catalogue_sha256 for backup in backups if backup.name == name), "")


def _name(details: object, key: str) -> str:
    value = details.get(key) if isinstance(details, Mapping) else None
    return value if isinstance(value, str) else ""


def _pick(backups: Sequence[Backup], found: _Found) -> Backup | None:
    """The backup of that name, else one of the same content."""
    named = next((backup for backup in backups if backup.name == found.name), None)
    if named is not None or not found.content:
        return named
    return next((backup for backup in backups if backup.catalogue_sha256 == found.content), None)


def _substitutes(backups: Sequence[Backup], chosen: Backup, until: float | None = None) -> tuple[Backup, ...]:
    """What may serve in a backup's place; a publication may have taken an old backup of the same content as its own."""
    rest = [backup for backup in backups if backup.name != chosen.name]
    same = [backup for backup in rest if chosen.catalogue_sha256 and _same(backup, chosen)]
    bound = chosen.at if until is None else max(until, chosen.at)
    older = [backup for backup in rest if backup not in same and backup.at < bound]
    return (*same, *older)


def _moment(act: Mapping[str, Any]) -> float | None:
    """When an act was noted; None when that is not told."""
    return clock.from_stamp(str(act.get("time")).replace("-", "").replace(":", ""))


def _same(backup: Backup, chosen: Backup) -> bool:
    return backup.catalogue_sha256 == chosen.catalogue_sha256


def _likely(present: Present, backups: Sequence[Backup], found: _Found | None) -> WayBack | None:
    """Without a record: the newest backup of other content, but none newer than what a rollback brought back."""
    left = [backup for backup in backups if backup.catalogue_sha256 != present.sha256]
    if found is not None and found.older_than:
        names = {backup.name: backup.at for backup in backups}
        contents = {backup.catalogue_sha256: backup.at for backup in reversed(backups)}
        bound = names.get(found.older_than, contents.get(found.older_than))
        if bound is None:
            return None
        left = [backup for backup in left if backup.at < bound]
    good = [backup for backup in left if backup.state == "verified"] or left
    if not good:
        return None
    how = "it is the newest verified backup that differs from the live file; no record says that it is the way back"
    return WayBack(good[0], how, False, None, _substitutes(left, good[0]))
