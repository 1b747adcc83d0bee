"""Export what waits for a person: doubtful pairs and images whose hash says little."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mobius_tui.fingerprint.dhash import hex_of
from mobius_tui.operations.inventory import Result
from mobius_tui.operations.library import Library
from mobius_tui.operations.report import json_chunks, pair_json
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.store.images import Fingerprint
from mobius_tui.store.pairs import Pair, list_pairs
from mobius_tui.system import clock
from mobius_tui.workspace import Workspace

_PAGE = 5000


def export_queue(
    ws: Workspace,
    output: Path,
    library: Library,
    results: Sequence[Result | None],
    pairs: Iterable[Pair],
) -> int:
    """Write the queue as the JSON of CONTRACT section 10.

    Args:
        ws: The workspace.
        output: The file; its folder is made when missing.
        library: Names of the images.
        results: Their fingerprints, by place.
        pairs: The waiting pairs.

    Returns:
        How many pairs were written.
    """
    matches = [pair_json(pair) for pair in pairs]
    items = [
        {
            "path": library.names[place],
            "dhash": None if found.dhash is None else hex_of(found.dhash),
            "confidence": round(found.confidence or 0.0, 4),
            "reason": found.reason or "weak gradients",
        }
        for place, found in enumerate(results)
        if isinstance(found, Fingerprint) and found.status == "low_confidence"
    ]
    head = {
        "totalMatches": len(matches),
        "generated": clock.iso(clock.now()),
        "library": _relative(ws, library.source),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(output, json_chunks(head, {"matches": matches, "items": items}))
    return len(matches)


def queued_pairs(connection: sqlite3.Connection) -> Iterator[Pair]:
    """Every waiting pair of the store, the most confident first; read in pages."""
    offset = 0
    while page := list_pairs(connection, limit=_PAGE, offset=offset):
        yield from page
        offset += _PAGE


def _relative(ws: Workspace, path: Path) -> str:
    return str(path.relative_to(ws.root)) if path.is_relative_to(ws.root) else str(path)
