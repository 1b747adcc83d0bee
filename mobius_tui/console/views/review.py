"""Pane 4: the pairs that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence

from mobius_tui.console.glyphs import Glyphs
from mobius_tui.console.lines import Line, Span, columns, fit, fit_middle, outside
from mobius_tui.console.snapshot import Snapshot
from mobius_tui.console.views.view import Detail, View, labelled
from mobius_tui.store.pairs import Pair


def _note(snapshot: Snapshot) -> str:
    if snapshot.store is None or not snapshot.store.waiting:
        return ""
    shown = len(snapshot.store.pairs)
    waiting = snapshot.store.waiting
    return f"{waiting:,} waiting" + (f", the first {shown:,} listed" if waiting > shown else "")


def _head(snapshot: Snapshot, width: int, height: int, glyphs: Glyphs) -> list[Line]:
    if snapshot.store is None or not snapshot.store.low_confidence or height < 8:
        return []
    low = snapshot.store.low_confidence
    return [
        ((f"and {low:,} image{'s' if low != 1 else ''} of low confidence {glyphs.dot} too flat or small", "muted"),)
    ]


def _items(snapshot: Snapshot) -> Sequence[Pair]:
    return snapshot.store.pairs if snapshot.store else ()


def _line(pair: Pair, width: int, glyphs: Glyphs, _: Snapshot) -> Line:
    evidence = ", ".join(outside(word) for word in pair.evidence)
    room = width - 4 - 2 - 7 - 2
    told = min(max(0, room // 4), 40) if room >= 48 else 0
    each = max(3, (room - (told + 2 if told else 0) - 2) // 2)
    spans: list[Span] = [
        (f"{pair.confidence:.2f}", "strong"),
        (fit(f"{pair.distance} bit{'s' if pair.distance != 1 else ' '}", 7, right=True), ""),
        (fit_middle(outside(pair.left_path), each, ellipsis=glyphs.middle), ""),
        (fit_middle(outside(pair.right_path), each, ellipsis=glyphs.middle), ""),
        (fit(evidence, told, ellipsis=glyphs.middle) if told else "", "muted"),
    ]
    return columns(spans)


def _detail(pair: Pair, _: Snapshot) -> list[Detail]:
    return [
        labelled("pair", pair.id),
        labelled("left", pair.left_path),
        labelled("right", pair.right_path),
        labelled("distance", f"{pair.distance} of 64 bits differ"),
        labelled("confidence", f"{pair.confidence:.3f} that both show the same picture"),
        labelled("evidence", ", ".join(pair.evidence)),
        labelled("SHA-256 left", pair.left_sha.hex()),
        labelled("SHA-256 right", pair.right_sha.hex()),
    ]


REVIEW = View(
    number=4,
    name="Review",
    note=_note,
    head=_head,
    items=_items,
    line=_line,
    words=lambda pair: f"{pair.left_path} {pair.right_path} {' '.join(pair.evidence)}",
    key=lambda pair: pair.id,
    detail=_detail,
    empty=lambda _: "no pair waits for a person",
)
"""The pane's content."""
