"""`mobius doctor`: prerequisites and limits, and an archive for the ticket."""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import GAP, wrapped
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.operations.doctor import examine, is_usable
from mobius_tui.operations.machine import Finding

_STYLES = {"ok": "", "note": "", "warning": "warn", "problem": "bad"}
_FIRST = 21


@click.command("doctor")
@takes_common_options
@click.option("--bundle", is_flag=True, help="Write a redacted archive for the ticket into logs/.")
@click.pass_obj
def doctor(call: Call, bundle: bool) -> int:
    """Prerequisites and limits, each finding with the command that mends it. Exit 3 when something prevents work."""
    ws, findings = examine(call.root, {"environment": call.env}, os.environ, call.who())
    archive = None
    if bundle:
        from mobius_tui.operations.bundle import write_bundle

        if ws is None:
            raise BadInput(f"an archive needs a workspace: {findings[-1].said}", fix=findings[-1].fix)
        archive = write_bundle(ws, findings)
    if call.json:
        facts: dict[str, object] = {"usable": is_usable(findings), "findings": [asdict(found) for found in findings]}
        show_json({**facts, "bundle": None if archive is None else str(archive)})
    else:
        for found in findings:
            if call.quiet and found.state in {"ok", "note"}:
                continue
            for line in finding_lines(found, data_width()):
                show(line, _STYLES[found.state])
        if archive is not None:
            show(str(archive))
    problems = [found.topic for found in findings if found.state == "problem"]
    if problems:
        raise EnvironmentFailed(f"something prevents work: {', '.join(dict.fromkeys(problems))}")
    return 0


def finding_lines(found: Finding, width: int) -> list[str]:
    """A finding for people: state, topic, words; the command that mends it below.

    Args:
        found: The finding.
        width: Columns.

    Returns:
        Lines.
    """
    head = f"{found.state:<7}{GAP}{found.topic:<10}"
    lines = wrapped(found.said, width=width - _FIRST)
    shown = [f"{head:<{_FIRST}}{lines[0]}".rstrip(), *(" " * _FIRST + line for line in lines[1:])]
    if found.fix and found.state != "ok":
        shown += [" " * _FIRST + line for line in wrapped(f"-> {found.fix}", width=width - _FIRST)]
    return shown
