"""Pane 1: the verified backups of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, Span, columns, fit, outside, width_of
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.view import Detail, View, labelled, long_time, no_head, short_time
from mobius_tui.recovery.backups import Backup
from mobius_tui.text import human_bytes


def _note(snapshot: Snapshot) -> str:
    return f"{len(snapshot.backups)}" if snapshot.backups else ""


def _items(snapshot: Snapshot) -> Sequence[Backup]:
    return snapshot.backups


def _state(backup: Backup, glyphs: Glyphs) -> Span:
    if backup.state == "verified":
        return glyphs.ok, "ok"
    if backup.state == "unverified":
        return glyphs.unknown, "warn"
    return glyphs.bad, "bad"


_WIDE = 70
"""From this width on the name is shown, too."""


def _line(backup: Backup, width: int, glyphs: Glyphs, snapshot: Snapshot) -> Line:
    pin = "pin" if backup.pinned else ""
    sealed = ("encrypted" if width >= _WIDE else "enc") if backup.encrypted else ""
    reason = outside(backup.reason)
    if backup.state not in {"verified", "unverified"}:
        reason = outside(backup.state)
    mark, role = _state(backup, glyphs)
    parts: list[Span] = [
        (f"{mark} {short_time(backup.at, snapshot.at)}", role),
        (fit(human_bytes(backup.size), 7, right=True), ""),
    ]
    marks: list[Span] = [("full" if backup.kind == "full" else "", "accent"), (sealed, "accent"), (pin, "accent")]
    if width >= _WIDE:
        parts.append((f" {fit(outside(backup.name), 33)}", ""))
    room = width - width_of(columns([*parts, *marks], 1)) - 1
    return columns([*parts, (f" {fit(reason, room - 1)}" if room > 1 else "", "muted"), *marks], 1)


def _detail(backup: Backup, _: Snapshot) -> list[Detail]:
    return [
        labelled("backup", backup.name),
        labelled("made", f"{long_time(backup.at)} by {backup.who or '–'}"),
        labelled("kind", f"{backup.kind}, encrypted" if backup.encrypted else backup.kind),
        labelled("reason", backup.reason),
        labelled("size", f"{human_bytes(backup.size)} ({backup.size:,} bytes)"),
        labelled("entries", None if backup.images is None else f"{backup.images:,}"),
        labelled("state", f"{backup.state}, last read back {long_time(backup.verified_at)}"),
        labelled("pinned", "yes" if backup.pinned else "no"),
        labelled("lies in", backup.path.parent),
    ]


def _empty(snapshot: Snapshot) -> str:
    return snapshot.backups_problem or "no backup yet"


BACKUPS = View(
    number=1,
    name="Backups",
    note=_note,
    head=no_head,
    items=_items,
    line=_line,
    words=lambda backup: f"{backup.name} {backup.reason} {backup.who} {backup.state}",
    key=lambda backup: backup.name,
    detail=_detail,
    empty=_empty,
    points=True,
)
"""The pane's content."""
