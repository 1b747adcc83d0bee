"""`mobius migrate`: the main job in the foreground."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from mobius_tui.cli import interrupts
from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import labelled
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.cli.progress_line import progress_line
from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError
from mobius_tui.operations.options import MigrateOptions, default_options
from mobius_tui.store.jobs import Job
from mobius_tui.text import human_seconds, visible
from mobius_tui.workspace import Workspace

RESUMES = "start it again: it goes on from there, finished images are not decoded twice"
"""What to say of a run that was stopped."""

COUNTS = (
    "total", "processed", "errors", "missing", "duplicates", "exact_duplicates", "low_confidence", "waiting_pairs",
)  # fmt: skip
"""The counts of a summary, in the order they are shown."""


@click.command("migrate")
@takes_common_options
@click.option("-i", "--input", metavar="FILE", help="Read this catalogue; default: the live one.")
@click.option(
    "-o",
    "--output",
    "--out",
    metavar="FILE",
    help="Write this catalogue, or the report of a dry run; default: in place, or a report in the logs.",
)
@click.option("--dry-run", is_flag=True, help="Write only a report.")
@click.option("--backup/--no-backup", default=None, help="Back up the live catalogue first (default).")
@click.option("--add/--no-add", default=None, help="Give files without an entry one, or only report them.")
@click.option("--threshold", type=int, metavar="N", help="Largest distance of a candidate pair, bits.")
@click.option("--batch-size", type=int, metavar="N", help="Images a commit.")
@click.option("--parallel", type=int, metavar="N", help="Hashing processes; 0: one a core.")
@click.option("--temp-dir", metavar="DIR", help="For what decoders write meanwhile.")
@click.option("--fresh", is_flag=True, help="Decode everything again.")
@click.option("--fast/--exact", default=None, help="Decode JPEG at a reduced scale, or in full.")
@click.option("--limit", type=int, metavar="N", help="At most N images.")
@click.option("--sample", is_flag=True, help="With --limit: chosen evenly, not the first ones.")
@click.option("--export-low-conf", is_flag=True, help="Export what waits for a person to review/ afterwards.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def migrate(call: Call, /, **given: Any) -> int:
    """Fingerprint every image, find duplicates and write the catalogue: in place after a verified backup, or to -o.

    A run that was cut off goes on where it stopped. Exit 2 when too many images failed: then nothing is published.
    """
    ws = call.open(writes=True)
    options = options_from(ws, given)
    options.check()
    _check_folder(options.temp_dir)
    job = run_to_end(call, ws, options)
    if call.json:
        show_json({"run": job.run_id, **job.summary})
    else:
        for line in summary_lines(job.summary, data_width(), ws.catalogue):
            show(line)
        _say_next(call, job.summary)
    return 0


def options_from(ws: Workspace, given: Mapping[str, Any]) -> MigrateOptions:
    """The options of a run: the settings, overridden by what is given; paths are meant from the current folder.

    Args:
        ws: The workspace.
        given: Values of the command line; None means not given.

    Returns:
        The options, not checked yet.
    """
    values = {name: value for name, value in given.items() if value is not None and name != "fast"}
    if given.get("fast") is not None:
        values["profile"] = "fast" if given["fast"] else "exact"
    for name in ("input", "output", "temp_dir"):
        if name in values:
            values[name] = _from_here(name, values[name])
    return replace(default_options(ws), **values)


def _from_here(name: str, text: str) -> str:
    if not text or "\0" in text:
        raise BadInput(f"--{name.replace('_', '-')} names no file: {visible(text)!r}")
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError:
        return str(Path(text).absolute())  # a file that is really called ~something


def _check_folder(temp_dir: str | None) -> None:
    if temp_dir is None:
        return
    if not Path(temp_dir).is_dir():
        raise BadInput("--temp-dir is not a folder", where=visible(temp_dir), fix="make it first")
    if not os.access(temp_dir, os.W_OK | os.X_OK):
        raise EnvironmentFailed(
            "--temp-dir may not be written", where=visible(temp_dir), fix="check its owner and mode"
        )


def run_to_end(call: Call, ws: Workspace, options: MigrateOptions) -> Job:
    """Run a migration or dry run in this process, with its line of progress.

    Args:
        call: How to talk.
        ws: The workspace.
        options: What is asked for.

    Returns:
        The job, done.

    Raises:
        MobiusError: It failed or was stopped; with its exit code.
    """
    from mobius_tui.launch.folder import check_state_folder
    from mobius_tui.operations.run import run_in_foreground
    from mobius_tui.store.database import open_database

    check_state_folder(ws)
    kind = "dry-run" if options.dry_run else "migrate"
    with (
        contextlib.closing(open_database(ws.database)) as connection,
        interrupts.asked_to_stop() as stopping,
        progress_line(call) as on_tick,
    ):
        job = run_in_foreground(
            ws,
            connection,
            kind,
            options.to_json(),
            reason=options.reason,
            stopping=stopping,
            why_stopped=interrupts.cause_of_stop,
            on_tick=on_tick,
        )
    if job.state == "done":
        return job
    failure = _failure_of(job, options)
    if call.json:
        facts = {"run": job.run_id, "state": job.state, "exit_code": failure.exit_code, "error": job.error}
        show_json(facts)
    raise failure


class JobFailed(MobiusError):
    """A job ended otherwise than well.

    Args:
        job: Its row, which has the exit code and the sentence.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job.error or f"{job.kind} {job.state}")
        self.exit_code = job.exit_code or 2


def _failure_of(job: Job, options: MigrateOptions) -> MobiusError:
    cause = interrupts.cause_of_stop()
    if cause is not None and job.state == "cancelled":
        cause.fix = RESUMES.replace("again", "again without --fresh") if options.fresh else RESUMES
        return cause
    return JobFailed(job)


def summary_lines(summary: Mapping[str, Any], width: int, live: Path | None = None) -> list[str]:
    """The block a migration ends with.

    Args:
        summary: ``MigrationSummary.to_json()``.
        width: Columns.
        live: The live catalogue, to say of another file that it is not that; None says nothing of it.

    Returns:
        Lines.
    """
    rate = summary.get("rate")
    rows = [("mode", _mode(summary, live))]
    rows += [(name.replace("_", " "), f"{summary[name]:,}") for name in COUNTS]
    rows.append(("rate", "- (nothing had to be decoded)" if rate is None else f"{rate:,.1f} images/s"))
    rows.append(("elapsed", human_seconds(summary["elapsed_s"])))
    rows += [("failed", f"{count:,}  {cause}") for cause, count in summary.get("failures", {}).items()]
    if summary.get("unnamed"):
        rows.append(("unnamed", f"{summary['unnamed']:,} files had no entry"))
    if summary.get("skipped"):
        rows.append(("skipped", f"{summary['skipped']:,} names that cannot be used (`mobius logs --level warning`)"))
    report = summary["mode"] == "DRY RUN"
    rows += [
        (label, str(summary[name]))
        for label, name in (("report" if report else "catalogue", "output"), ("backup", "backup"), ("export", "export"))
        if summary.get(name)
    ]
    return labelled(rows, width=width)


def _mode(summary: Mapping[str, Any], live: Path | None) -> str:
    """LIVE or DRY RUN; of a run that wrote another file also that."""
    mode, output = str(summary["mode"]), summary.get("output")
    if mode == "DRY RUN" or live is None or not output or os.path.realpath(str(output)) == os.path.realpath(live):
        return mode
    return f"{mode} (to {Path(str(output)).name}, the live catalogue is untouched)"


def _say_next(call: Call, summary: Mapping[str, Any]) -> None:
    if summary["mode"] == "DRY RUN":
        call.say("nothing was changed; `mobius migrate` does it")
    elif summary["waiting_pairs"]:
        call.say(f"{summary['waiting_pairs']:,} pairs wait for a person; `mobius` shows them")
