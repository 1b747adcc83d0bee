"""The report of a dry run: what a migration would do, path by path."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mobius_tui.catalogue.document import OwnedFields
from mobius_tui.operations.library import Library
from mobius_tui.operations.matches import Duplicate
from mobius_tui.operations.options import MigrationSummary
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.store.pairs import Pair
from mobius_tui.system import clock
from mobius_tui.workspace import Workspace


def write_report(
    output: Path,
    ws: Workspace,
    library: Library,
    states: Iterable[tuple[int, OwnedFields]],
    duplicates: Iterable[Duplicate],
    pairs: Iterable[Pair],
    summary: MigrationSummary,
    estimate: Mapping[str, object],
) -> None:
    """Write the report of a dry run as JSON, a line an image.

    Args:
        output: The file.
        ws: The workspace.
        library: Catalogue and files.
        states: Place and future owned fields of each image that was looked at.
        duplicates: Byte-identical files.
        pairs: Candidates that would wait.
        summary: The run's figures.
        estimate: What a live run would cost: ``seconds`` now, ``seconds_fresh`` when all is decoded again (each null
            when nothing was measured), and ``bytes`` of the catalogue.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    head = {
        "mode": "DRY RUN",
        "generated": clock.iso(clock.now()),
        "catalogue": str(library.source),
        "environment": ws.settings.environment,
        "summary": summary.to_json(),
        "estimate": dict(estimate),
    }
    exact = (
        {"duplicate": library.names[pair.duplicate], "original": library.names[pair.original], "status": "exact"}
        for pair in duplicates
    )
    write_atomic(
        output,
        json_chunks(
            head,
            {
                "images": (_image(library, place, fields) for place, fields in states),
                "duplicates": exact,
                "pairs": (pair_json(pair) for pair in pairs),
                "unnamed": library.unnamed,
            },
        ),
    )


def state_of(library: Library, place: int, fields: OwnedFields) -> str:
    """``new``, ``changed``, ``unchanged``, ``failed`` or ``missing``, against what the catalogue says now."""
    if fields.status in {"failed", "missing"}:
        return fields.status
    before = library.document.entries[place].dhash if place < library.entries else None
    if before is None:
        return "new"
    return "unchanged" if before == fields.dhash else "changed"


def _image(library: Library, place: int, fields: OwnedFields) -> dict[str, object]:
    image: dict[str, object] = {
        "path": library.names[place],
        "state": state_of(library, place, fields),
        "dhash": fields.dhash,
        "dhash_confidence": None if fields.confidence is None else round(fields.confidence, 4),
        "dhash_status": fields.status,
    }
    if fields.error:
        image["dhash_error"] = fields.error
    return image


def pair_json(pair: Pair) -> dict[str, object]:
    """A pair as reports and exports write it (CONTRACT section 10)."""
    return {
        "id": pair.id,
        "left": pair.left_path,
        "right": pair.right_path,
        "hammingDistance": pair.distance,
        "confidence": round(pair.confidence, 4),
        "status": pair.status,
        "evidence": list(pair.evidence),
    }


def json_line(value: object) -> str:
    """JSON on one line; text with anything that a terminal could take for control is escaped, still the same text."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def json_chunks(head: Mapping[str, object], lists: Mapping[str, Iterable[object]]) -> Iterator[bytes]:
    """An object of some values and some lists, a row a line, in pieces.

    Args:
        head: The values, in order; at least one.
        lists: The lists, in order; their rows are taken lazily.

    Yields:
        The text as UTF-8.
    """
    opening = "{"
    for name, value in head.items():
        yield f'{opening}\n  "{name}": {json_line(value)}'.encode()
        opening = ","
    for name, rows in lists.items():
        yield f',\n  "{name}": ['.encode()
        first = True
        for row in rows:
            yield (("\n    " if first else ",\n    ") + json_line(row)).encode()
            first = False
        yield b"]" if first else b"\n  ]"
    yield b"\n}\n"
