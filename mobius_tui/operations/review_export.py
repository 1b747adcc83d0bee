"""Export what waits for a person: doubtful pairs and images whose hash says little."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from mobius_tui.fingerprint.dhash import hex_of
from mobius_tui.operations.inventory import Result
from mobius_tui.operations.library import Library
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.store.images import Fingerprint
from mobius_tui.store.pairs import list_pairs
from mobius_tui.system import clock
from mobius_tui.workspace import Workspace

_PAGE = 5000


def export_queue(
    ws: Workspace,
    connection: sqlite3.Connection,
    output: Path,
    library: Library,
    results: Sequence[Result | None],
) -> int:
    """Write the queue as the JSON of CONTRACT section 10.

    Args:
        ws: The workspace.
        connection: The database with the waiting pairs.
        output: The file.
        library: Names of the images.
        results: Their fingerprints, by place.

    Returns:
        How many pairs were written.
    """
    matches = list(_matches(connection))
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
    document = {
        "totalMatches": len(matches),
        "generated": clock.iso(clock.now()),
        "library": _relative(ws, library.source),
        "matches": matches,
        "items": items,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(output, [json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"])
    return len(matches)


def _matches(connection: sqlite3.Connection) -> Iterator[dict[str, object]]:
    offset = 0
    while page := list_pairs(connection, limit=_PAGE, offset=offset):
        for pair in page:
            yield {
                "id": pair.id,
                "left": pair.left_path,
                "right": pair.right_path,
                "hammingDistance": pair.distance,
                "confidence": round(pair.confidence, 4),
                "status": pair.status,
                "evidence": list(pair.evidence),
            }
        offset += _PAGE


def _relative(ws: Workspace, path: Path) -> str:
    return str(path.relative_to(ws.root)) if path.is_relative_to(ws.root) else str(path)
