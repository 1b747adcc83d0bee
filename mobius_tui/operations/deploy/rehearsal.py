"""The dry run of ``deploy --from`` and ``--canary``: what a deploy would take over and publish, and nothing is."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import BadInput
from mobius_tui.operations.deploy.canary import chosen_of
from mobius_tui.operations.deploy.takeover import read_source, take_over
from mobius_tui.operations.deploy.verify import Verified, verify_staged
from mobius_tui.operations.library import load_library
from mobius_tui.operations.options import default_options
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


def rehearse_canary(ws: Workspace, percent: float) -> tuple[int, int]:
    """How much a canary would publish.

    Args:
        ws: The workspace.
        percent: The share that was asked for.

    Returns:
        How many images it would give their new fingerprints, and how many images there are.

    Raises:
        BadInput: The catalogue breaks a rule, or there is no library folder.
    """
    library = load_library(ws, default_options(ws), lambda _: None)
    keys = [entry.key for entry in library.document.entries] + library.names[library.entries :]
    return len(chosen_of(keys, percent)), len(keys)


def rehearse_source(ws: Workspace, source: str) -> tuple[Verified, tuple[str, ...]]:
    """Take over a catalogue that ``migrate -o`` made into a temporary file, and verify that.

    Args:
        ws: The workspace.
        source: The file.

    Returns:
        What the verification counted, and the entries of the file that would be left out.

    Raises:
        BadInput: There is no live catalogue, or the file does not belong to it.
        ProcessingFailed: It must not be published.
    """
    if not ws.catalogue.exists():
        raise BadInput("there is no live catalogue to deploy over", fix="run `mobius migrate` first")
    live = read_catalogue(ws.catalogue).document
    file = Path(source)
    taken = take_over(live, read_source(file, ws.catalogue).document, name=visible(file.name))
    with tempfile.TemporaryDirectory(prefix="mobius-dry-run-") as folder:
        staged = Path(folder) / "library.json"
        with staged.open("wb") as out:
            out.writelines(taken.content())
        return verify_staged(ws, staged, live), tuple(taken.left_out)
