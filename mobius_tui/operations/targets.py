"""Which file a migration writes, and refusing at once what it could not or should not write."""

from __future__ import annotations

import os
from pathlib import Path

from mobius_tui.errors import BadInput
from mobius_tui.operations.library import source_of
from mobius_tui.operations.options import MigrateOptions
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


def target_of(ws: Workspace, options: MigrateOptions) -> Path | None:
    """The catalogue that will be written; None for a dry run.

    Raises:
        BadInput: The named output cannot be meant, or the live catalogue would get paths that mean another folder.
    """
    source = source_of(ws, options)
    if options.input and not source.exists():
        raise BadInput("there is no such catalogue", where=visible(str(source)))
    if options.output:
        _check_output(Path(options.output).absolute(), ws, source, dry_run=options.dry_run)
    if options.dry_run:
        return None
    target = Path(options.output).absolute() if options.output else source
    if not target.parent.is_dir():
        raise BadInput("there is no folder for the catalogue", where=visible(str(target)), fix="make it first")
    if is_live(ws, target) and os.path.realpath(source.parent) != os.path.realpath(ws.catalogue.parent):
        raise BadInput(
            "this would write paths of another folder into the live catalogue",
            where=visible(str(target)),
            fix="copy the input beside the live catalogue first",
        )
    return target


def is_live(ws: Workspace, path: Path) -> bool:
    """Whether a path leads to the workspace's catalogue."""
    return os.path.realpath(path) == os.path.realpath(ws.catalogue)


def _check_output(output: Path, ws: Workspace, source: Path, *, dry_run: bool) -> None:
    shown = visible(str(output))
    if not output.parent.is_dir():
        raise BadInput("there is no folder for the output", where=shown, fix="make it first")
    if output.is_dir():
        raise BadInput("the output is a folder", where=shown, fix="give the name of a file")
    if dry_run and os.path.realpath(output) in {os.path.realpath(ws.catalogue), os.path.realpath(source)}:
        raise BadInput("the report of a dry run would replace the catalogue", where=shown, fix="give it another name")
    if output.is_file() and not _begins_like_json(output):
        raise BadInput("the output exists and is no JSON object", where=shown, fix="give another name, or remove it")


def _begins_like_json(path: Path) -> bool:
    """Whether a file could be a catalogue or a report; an empty one could become one."""
    with path.open("rb") as file:
        return file.read(4096).lstrip()[:1] in {b"{", b""}
