"""`mobius hash FILE [FILE]`: one fingerprint, or two and how they compare; needs no workspace."""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import labelled
from mobius_tui.cli.output import data_width, show, show_json, tell_wrapped
from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError, ProcessingFailed
from mobius_tui.fingerprint.dhash import hex_of
from mobius_tui.fingerprint.model import Limits, Outcome, Profile
from mobius_tui.settings import Settings
from mobius_tui.text import human_bytes, visible

DENIED = "permission"
"""The cause of an outcome that this user may not read."""


@click.command("hash")
@takes_common_options
@click.argument("files", nargs=-1, required=True, metavar="FILE [FILE]")
@click.option("--fast", is_flag=True, help="Decode JPEG at a reduced scale.")
@click.pass_obj
def hash_files(call: Call, files: tuple[str, ...], fast: bool) -> int:
    """dHash, confidence and time of a file; of two also their distance and how likely they show the same picture.

    Works outside a workspace. Exit 1 when a file does not exist, 3 when it may not be read or a decoder is missing,
    2 when it cannot be decoded.
    """
    from mobius_tui.operations.hash_files import compare, outcome_facts
    from mobius_tui.operations.hash_files import hash_files as fingerprint

    if len(files) > 2:
        raise BadInput(f"{len(files)} files are given", fix="one, or two to compare")
    settings = _settings(call)
    limits = Limits(settings.max_pixels, settings.max_bytes, settings.image_seconds, settings.image_memory)
    profile: Profile = "fast" if fast else "exact"
    outcomes = fingerprint([os.path.abspath(path) for path in files], profile, limits)  # noqa: PTH100 - keeps a name's ..
    pair = compare(outcomes[0], outcomes[1], settings.threshold) if len(outcomes) == 2 else None
    if call.json:
        facts: dict[str, object] = {"files": [outcome_facts(outcome, profile) for outcome in outcomes]}
        if len(outcomes) == 2:
            facts["pair"] = None if pair is None else asdict(pair)
        show_json(facts)
    else:
        width = data_width()
        for name, outcome in zip(files, outcomes, strict=True):
            if outcome.dhash is not None:
                for line in labelled(_facts(name, outcome), width=width, keep_end=["file"]):
                    show(line)
        if pair is not None:
            rows = [
                ("distance", f"{pair.distance} of 64 bits"),
                ("confidence", f"{pair.confidence:.3f} that both show the same picture ({pair.status})"),
                ("evidence", ", ".join(pair.evidence)),
                ("pair", pair.pair),
            ]
            for line in labelled(rows, width=width):
                show(line)
    failures = [_error(name, outcome) for name, outcome in zip(files, outcomes, strict=True) if outcome.dhash is None]
    for failure in failures[:-1]:
        tell_wrapped(f"mobius: {failure}", "bad")
    if failures:
        raise failures[-1]
    return 0


def _settings(call: Call) -> Settings:
    """The workspace's settings where there is one, for limits and threshold; else the defaults."""
    if call.workspace is not None:
        return call.open(lenient=True).settings
    from mobius_tui.workspace import is_workspace

    try:
        inside = is_workspace(call.root)
    except MobiusError:
        inside = False
    return call.open(lenient=True).settings if inside else Settings()


def _facts(name: str, outcome: Outcome) -> list[tuple[str, str]]:
    assert outcome.dhash is not None
    sure = f"{outcome.confidence or 0.0:.3f}" + (f"  low: {outcome.reason}" if outcome.reason else "")
    return [
        ("file", name),
        ("dHash", hex_of(outcome.dhash)),
        ("confidence", sure),
        ("image", f"{outcome.width}x{outcome.height} {outcome.format}, {human_bytes(outcome.size)}"),
        ("time", f"{outcome.duration_ms:.1f} ms"),
    ]


def _error(name: str, outcome: Outcome) -> MobiusError:
    said = outcome.error or "it could not be read"
    where = visible(name)
    if outcome.status == "missing":
        return BadInput(said, where=where)
    if outcome.cause == DENIED:
        return EnvironmentFailed(said, where=where, fix="check its owner and mode")
    if outcome.cause == "decoder missing":
        return EnvironmentFailed(said, where=where, fix="`mobius doctor` names what to install")
    return ProcessingFailed(said, where=where)
