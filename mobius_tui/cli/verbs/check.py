"""`mobius check`: the catalogue and the folder, compared; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import hanging, labelled
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.cli.progress_line import progress_line
from mobius_tui.errors import BadInput
from mobius_tui.operations.check import CheckResult, check_catalogue

SHOWN = 10
"""Paths of a kind that are shown; all of them with -v or --json."""


@click.command("check")
@takes_common_options
@click.option("-i", "--input", "catalogue", metavar="FILE", help="Another catalogue; its paths mean its own folder.")
@click.pass_obj
def check(call: Call, catalogue: str | None) -> int:
    """Is the catalogue valid; counts by status; missing and unnamed files; duplicates. Writes nothing.

    Exit 1 when it is not valid: one sentence with the place.
    """
    if catalogue is None:
        ws = call.open()
        path, library = ws.catalogue, ws.library
    else:
        path = Path(catalogue).expanduser().absolute()
        library = path.parent
    try:
        with progress_line(call) as on_tick:
            result = check_catalogue(path, library, on_tick)
    except BadInput as error:
        if call.json:
            show_json({"valid": False, "catalogue": str(path), "error": error.what, "place": error.where})
        raise
    if call.json:
        show_json(result.to_json())
    else:
        for line, style in check_lines(result, data_width(), None if call.verbose else SHOWN):
            show(line, style)
    return 0


def check_lines(result: CheckResult, width: int, most: int | None = SHOWN) -> list[tuple[str, str]]:
    """The result for people.

    Args:
        result: What was found.
        width: Columns.
        most: Paths of a kind that are shown; None for all.

    Returns:
        Lines and their style.
    """
    statuses = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in result.by_status.items())
    schema = f"schema {result.schema_version}" if result.schema_version else "never written by MOBIUS"
    profile = f", profile {result.profile}" if result.profile else ""
    pairs = [
        ("catalogue", result.catalogue),
        ("valid", f"yes, {schema}{profile}"),
        ("SHA-256", result.sha256),
        ("images", f"{result.images:,}, with a dHash {result.hashed:,}"),
        ("by status", statuses or "-"),
        ("duplicates", f"{result.duplicates:,}, exact {result.exact_duplicates:,}"),
        ("missing", f"{len(result.missing):,}"),
        ("unnamed", f"{len(result.unnamed):,}"),
    ]
    lines = [(line, "") for line in labelled(pairs, width=width, keep_end=["catalogue"])]
    lines += _listed("missing", result.missing, width, most)
    lines += _listed("unreadable", [f"{path}: {why}" for path, why in result.unreadable], width, most)
    lines += _listed("unnamed", result.unnamed, width, most)
    lines += _listed("skipped", [f"{path}: {why}" for path, why in result.skipped], width, most)
    return lines + _listed("duplicate of no entry", result.stale_duplicates, width, most)


def _listed(kind: str, paths: Sequence[str], width: int, most: int | None) -> list[tuple[str, str]]:
    lines = [(line, "warn") for path in paths[:most] for line in hanging(f"{kind}  ", path, width=width)]
    if most is not None and len(paths) > most:
        lines.append((f"{kind}  and {len(paths) - most:,} more (-v shows all)", "warn"))
    return lines
