"""Which backups are kept, and why: a pure function of what is known of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mobius_tui.recovery.backup_files import AHEAD_S, Backup
from mobius_tui.system import clock
from mobius_tui.text import counted

LAST = 5
"""So many latest backups are kept, however old."""

DAYS = 7
"""Of so many latest days that have backups the newest one is kept, however old."""

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a backup.

    Attributes:
        keep: Whether it stays.
        reason: Every rule that keeps it, or why none does.
        until: When it may go, by its age alone; None when another rule keeps it or it goes now.
        failed: It was to go and could not be removed.
    """

    backup: Backup
    keep: bool
    reason: str
    until: float | None = None
    failed: bool = False


def decide(
    backups: Iterable[Backup],
    now: float,
    *,
    retention_days: int,
    older_than_days: float | None = None,
    needed: Mapping[str, str],
) -> list[Decision]:
    """What becomes of each backup.

    One dated in the future is kept and counts for nothing, so that a clock that was ahead pushes no real one out. Full
    and catalogue backups, plain and encrypted ones are counted apart: many small ones never push a full one out, and
    none that needs a key one that needs none. A corrupt one takes no place among the last ones or of a day, and an
    unverified one takes none from a verified one. Emergency copies go by age, pin and need alone.

    Args:
        backups: What there is.
        now: Seconds since the epoch.
        retention_days: Days that every backup is kept.
        older_than_days: Days asked for instead, by a person.
        needed: Names of backups that something still depends on, with the reason.

    Returns:
        A decision each, newest first.
    """
    days = float(retention_days) if older_than_days is None else older_than_days
    known = sorted(backups, key=lambda backup: (backup.at, backup.name, backup.emergency), reverse=True)
    past = [backup for backup in known if backup.at <= now + AHEAD_S]
    reasons: dict[tuple[str, bool], list[str]] = defaultdict(list)
    groups: dict[tuple[str, bool], list[Backup]] = defaultdict(list)
    for backup in past:
        if not backup.emergency:
            groups[backup.kind, backup.encrypted].append(backup)
    for group in groups.values():
        for backup, reason in _by_rank(group):
            reasons[_key(backup)].append(reason)
    return [_decided(backup, now, days, reasons[_key(backup)], needed) for backup in known]


def _decided(backup: Backup, now: float, days: float, ranks: Sequence[str], needed: Mapping[str, str]) -> Decision:
    why = []
    if backup.name in needed:
        why.append(needed[backup.name])
    if backup.pinned:
        why.append("pinned")
    if backup.at > now + AHEAD_S:
        why.append("dated in the future: look at the clock")
    if backup.state == "unreadable":
        why.append("its side files cannot be read: nobody knows whether it is needed")
    why += ranks
    until = backup.at + days * _DAY_S
    young = now < until
    if young:
        why.append(f"younger than {_days(days)}, at least until {clock.iso(until)[:10]}")
    if why:
        return Decision(backup, True, ", ".join(why), until if young and len(why) == 1 else None)
    state = "" if backup.state in {"verified", "unverified"} else f"{backup.state}, "
    return Decision(backup, False, f"{state}older than {_days(days)}, no rule keeps it")


def _by_rank(backups: Sequence[Backup]) -> Iterable[tuple[Backup, str]]:
    """The rules that look at a backup's place among the others; newest first."""
    usable = [backup for backup in backups if backup.state in {"verified", "unverified"}]
    verified = [backup for backup in usable if backup.state == "verified"]
    kind = ("encrypted " if backups[0].encrypted else "") + ("full " if backups[0].kind == "full" else "")
    if verified:
        yield verified[0], f"the newest verified {kind}one"
    for backup in _united(usable[:LAST], verified[:LAST]):
        yield backup, f"among the last {LAST}{f' {kind}ones' if kind else ''}"
    for backup in _united(_newest_of_days(usable), _newest_of_days(verified)):
        yield backup, f"the newest of {_day(backup)}"


def _united(*groups: Iterable[Backup]) -> Iterable[Backup]:
    """Each backup of the groups once."""
    return {_key(backup): backup for group in groups for backup in group}.values()


def _newest_of_days(backups: Sequence[Backup]) -> Iterable[Backup]:
    """The newest backup of each of the latest days that have one."""
    found: dict[str, Backup] = {}
    for backup in backups:
        day = _day(backup)
        if day not in found:
            if len(found) == DAYS:
                break
            found[day] = backup
    return found.values()


def _day(backup: Backup) -> str:
    return clock.iso(backup.at)[:10]


def _key(backup: Backup) -> tuple[str, bool]:
    return backup.name, backup.emergency


def _days(days: float) -> str:
    return counted(int(days), "day") if days == int(days) else f"{days:g} days"
