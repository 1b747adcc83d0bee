"""`mobius report`: everything that is known of one run, in one archive."""

from __future__ import annotations

import os
from pathlib import Path

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.output import show, show_json
from mobius_tui.errors import BadInput
from mobius_tui.operations.run_report import write_run_report
from mobius_tui.text import human_bytes, visible


@click.command("report")
@takes_common_options
@click.argument("run", metavar="RUN")
@click.option("-o", "--output", "--out", metavar="FILE", help="Write here; default: report-RUN.tar.gz in the logs.")
@click.pass_obj
def report(call: Call, run: str, output: str | None) -> int:
    """One archive of a run (migration-..., deploy-..., rollback-..., or a job's number).

    It holds the timeline, logs, one-minute samples, journal, settings without secrets, and the meta files of the
    backups concerned. Works without a worker and without a database, and says what is missing.
    """
    ws = call.open(lenient=True)
    written = write_run_report(ws, run, None if output is None else _place(output, run))
    if call.json:
        facts = {"run": written.run, "path": str(written.path), "parts": written.parts, "missing": written.missing}
        show_json(facts)
        return 0
    show(str(written.path))
    size = human_bytes(written.path.stat().st_size)
    call.say(f"{len(written.parts)} files, {size}, without secrets; begin with timeline.md in it")
    for sentence in written.missing:
        call.say(f"missing: {sentence}", "warn")
    return 0


def _place(text: str, run: str) -> Path:
    """Where the archive goes: the file, or into the folder, that was named."""
    if not text or "\0" in text:
        raise BadInput(f"-o names no file: {visible(text)!r}", fix="name a file or a folder, or leave the option out")
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        return path / f"report-{os.path.basename(run)}.tar.gz"  # noqa: PTH119
    return path
