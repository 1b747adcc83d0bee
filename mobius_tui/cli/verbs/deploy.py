"""`mobius deploy`: starts a deploy in a process of its own, and shows it until it is over."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mobius_tui.cli import interrupts
from mobius_tui.cli.call import Call, takes_common_options, tell_recovery
from mobius_tui.cli.layout import UNCUT, hanging, labelled, wrapped
from mobius_tui.cli.output import (
    data_width,
    flush,
    is_terminal,
    screen_width,
    show,
    show_json,
    tell,
    tell_raw,
    tell_wrapped,
)
from mobius_tui.cli.step_lines import StepPrinter
from mobius_tui.errors import NEXT, BadInput, Cancelled, EnvironmentFailed, MobiusError, TimeLimit
from mobius_tui.operations.asking import ask_job
from mobius_tui.operations.deploy.launch import (
    abandoned_words,
    follow_deploy,
    latest_deploy,
    refuse_when_held,
    run_started,
    start_deploy,
)
from mobius_tui.operations.deploy.options import LONGEST_CANARY_S, DeployOptions
from mobius_tui.operations.deploy.window import parse_time
from mobius_tui.operations.run_steps import steps_of_summary, warnings_of
from mobius_tui.store.database import open_database, open_for_reading
from mobius_tui.store.jobs import Job, find_job
from mobius_tui.system import clock
from mobius_tui.text import counted, duration_of, human_seconds, visible
from mobius_tui.uncaught import redact_stderr
from mobius_tui.workspace import Workspace

if TYPE_CHECKING:
    from mobius_tui.operations.deploy.preflight import Finding

_MOST_DAYS = 36_500


@click.command("deploy")
@takes_common_options
@click.option("--dry-run", is_flag=True, help="Preflight and the migration's dry run; writes only its report.")
@click.option("--from", "source", metavar="FILE", help="Publish this catalogue, made by `migrate -o`.")
@click.option("--force", is_flag=True,
              help="Ask nothing; go on although the service is unhealthy or the window closed. Recorded.")  # fmt: skip
@click.option("--canary", type=click.FloatRange(0, 100, min_open=True, max_open=True), metavar="PERCENT",
              help="Publish so many percent of the images first, and watch the service with them.")  # fmt: skip
@click.option("--canary-duration", metavar="TIME",
              help="How long the canary is watched; default: canary_seconds (10m).")  # fmt: skip
@click.option("--no-watch", is_flag=True, help="Let no guard watch the service for the hour after it.")
@click.option("--no-auto-rollback", is_flag=True,
              help="When a step after the swap or the watch fails: hold and ask, do not roll back.")  # fmt: skip
@click.option("--at", metavar="TIME", help='Begin then: "23:15" (UTC), "2026-11-20T23:15Z" or "+10m".')
@click.option("--backup-retention", type=click.IntRange(1, _MOST_DAYS), metavar="DAYS",
              help="Keep backups so long in the cleaning at the end; default: retention_days.")  # fmt: skip
@click.option("--accept-queue", is_flag=True, help="Publish although the review queue grows by far.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.option("--follow", is_flag=True, help="Start nothing: show the deploy under way, or how the last one ended.")
@click.option("--job", "job_id", type=int, hidden=True)
@click.pass_obj
def deploy(call: Call, /, **given: Any) -> int:
    """Publish new fingerprints: backup, staged migration, verification, swap, smoke tests; any failure rolls back.

    It runs in a process of its own: Ctrl-C and a closed terminal leave it running, `mobius cancel ID` ends it and
    undoes what it did. The exit code is the deploy's. A guard then watches the service for an hour, and rolls back
    when it fails; `mobius watch` joins it.
    """
    if given["job_id"] is not None:
        return _be_the_deploy(call, given["job_id"])
    if given["follow"]:
        return _attach(call, given)
    ws = call.open(writes=True)
    options = _options(given)
    if given["dry_run"]:
        return _dry_run(call, ws, options)
    with contextlib.closing(_database(ws)) as connection:
        refuse_when_held(ws, connection)
        if not options.force:
            _ask(ws, options)
        job = start_deploy(ws, connection, options, os.environ, call.env)
    call.say(f"deploy {job.id} runs in a process of its own ({job.run_id})")
    return _follow(call, ws, job)


def _options(given: Mapping[str, Any]) -> DeployOptions:
    """The options of the command line; a time is counted from now, a path from the current folder."""
    source = given["source"]
    if source is not None:
        if not source or "\0" in source:
            raise BadInput(f"--from names no file: {visible(source)!r}", fix="`mobius migrate -o FILE` makes one")
        source = str(Path(source).expanduser().absolute())
        if not Path(source).is_file():
            raise BadInput("--from names no file", where=visible(source), fix="`mobius migrate -o FILE` makes one")
    return DeployOptions(
        source=source,
        force=given["force"],
        auto_rollback=not given["no_auto_rollback"],
        at=None if given["at"] is None else parse_time(given["at"], clock.now()),
        retention_days=given["backup_retention"],
        accept_queue=given["accept_queue"],
        attended=not given["force"] and is_terminal(sys.stdin) and is_terminal(sys.stderr),
        reason=given["reason"],
        canary=given["canary"],
        canary_seconds=_canary_seconds(given),
        watch=not given["no_watch"],
    )


def _canary_seconds(given: Mapping[str, Any]) -> float | None:
    text = given["canary_duration"]
    if text is None:
        return None
    if given["canary"] is None:
        raise BadInput("--canary-duration needs --canary", fix="mobius deploy --canary 5 --canary-duration 10m")
    seconds = duration_of(text)
    if seconds is None or not 0 < seconds <= LONGEST_CANARY_S:
        raise BadInput(
            f"--canary-duration {visible(repr(text))} is no duration up to a day", fix="write it like 10m, 90s or 1h30m"
        )
    return seconds


def _database(ws: Workspace) -> sqlite3.Connection:
    from mobius_tui.launch.folder import check_state_folder

    check_state_folder(ws)
    return open_database(ws.database)


def _ask(ws: Workspace, options: DeployOptions) -> None:
    """Say what will happen, and go on only when the person wants it.

    Raises:
        BadInput: Nobody can be asked.
        Cancelled: The person does not want it.
    """
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise BadInput("nobody can be asked here", fix="with --force a deploy asks nothing")
    environment = ws.settings.environment
    for line in intent_lines(ws, options):
        tell(line)
    if environment == "production":
        tell_raw(f"Type {environment} to deploy, anything else leaves it: ")
        wanted = sys.stdin.readline().strip() == environment
    else:
        tell_raw("Deploy? [y/N] ")
        wanted = sys.stdin.readline().strip().lower() in {"y", "yes"}
    if not wanted:
        raise Cancelled("left as it was, nothing was started")


def intent_lines(ws: Workspace, options: DeployOptions) -> list[str]:
    """What a deploy with these options would do, for the person who is asked.

    Args:
        ws: The workspace.
        options: What is asked for.

    Returns:
        Lines of labels and values.
    """
    from mobius_tui.operations.status import live_catalogue

    live = live_catalogue(ws)
    images = "images not counted" if live.images is None else counted(live.images)
    now = f"{images}, SHA-256 {live.sha256[:12]}" if live.sha256 else "no catalogue yet"
    source = "staged migration" if options.source is None else f"{Path(options.source).name} staged"
    rolls = "rolls back" if options.auto_rollback else "is undone before the swap, held after it"
    rows = [
        ("environment", ws.settings.environment),
        ("catalogue", str(ws.catalogue)),
        ("live now", f"{now}{', since ' + live.since if live.since else ''}"),
        ("begins", "at once" if options.at is None else clock.iso(options.at)),
        ("does", f"preflight, backup, {source}, verification, swap, smoke tests"),
        ("a failure", rolls),
    ]
    if options.canary is not None:
        rows.append(("canary", _canary_line(ws, options)))
    rows.append(("afterwards", _watch_line(ws, options)))
    rows += [("takes", options.source)] if options.source is not None else []
    rows += [("reason", options.reason)] if options.reason else []
    return labelled(rows, width=screen_width() if is_terminal(sys.stderr) else UNCUT)


def _canary_line(ws: Workspace, options: DeployOptions) -> str:
    hold, settle = ws.settings.hold_seconds, ws.settings.settle_seconds
    seconds = options.canary_seconds or ws.settings.canary_seconds
    said = f"{options.canary:g} % of the images first, watched for {human_seconds(seconds)}"
    before = f"after {human_seconds(hold)} of holding and {human_seconds(settle)} of settling"
    return f"{said} {before}: {human_seconds(hold + settle + seconds)} in all"


def _watch_line(ws: Workspace, options: DeployOptions) -> str:
    if not options.watch:
        return "nobody watches it, as --no-watch asks"
    acts = "rolls back when it fails" if options.auto_rollback else "pages and asks when it fails"
    return f"a guard watches the service for {human_seconds(ws.settings.watch_seconds)} and {acts}"


def _dry_run(call: Call, ws: Workspace, options: DeployOptions) -> int:
    """Preflight, then the migration's dry run, in the foreground."""
    from mobius_tui.cli.verbs.migrate import run_to_end, summary_lines
    from mobius_tui.operations.deploy.preflight import preflight, refuse
    from mobius_tui.operations.options import default_options

    if options.at is not None:
        raise BadInput("--at and --dry-run contradict each other", fix="a dry run begins at once")
    findings = preflight(ws, options)
    if not call.json:
        for finding in findings:
            _show_finding(finding)
        flush(sys.stdout)
    try:
        refuse(findings, force=options.force)
    except MobiusError:
        if call.json:
            show_json({"preflight": [asdict(finding) for finding in findings]})
        raise
    canary = _canary_of_dry_run(call, ws, options)
    if options.source is not None:
        return _dry_run_of_file(call, ws, options.source, findings, canary)
    job = run_to_end(call, ws, replace(default_options(ws), dry_run=True, reason=options.reason))
    if call.json:
        facts = {"run": job.run_id, "preflight": [asdict(finding) for finding in findings], **canary}
        show_json({**facts, **job.summary})
        return 0
    for line in summary_lines(job.summary, data_width()):
        show(line)
    call.say("nothing was changed; `mobius deploy` does it")
    return 0


def _canary_of_dry_run(call: Call, ws: Workspace, options: DeployOptions) -> dict[str, Any]:
    """What a canary would publish; shown unless it goes into the JSON."""
    if options.canary is None:
        return {}
    from mobius_tui.operations.deploy.rehearsal import rehearse_canary

    chosen, images = rehearse_canary(ws, options.canary)
    if not call.json:
        show(f"good     canary           {chosen:,} of {counted(images)} would be published first", "good")
    return {"canary": {"percent": options.canary, "images": chosen, "of": images}}


def _show_finding(finding: Finding) -> None:
    """One finding; on a terminal its sentence hangs below itself."""
    mark, style = {True: ("good", "good"), False: ("bad", "bad"), None: ("unknown", "warn")}[finding.ok]
    for line in hanging(f"{mark:<7}  {finding.name:<15}  ", finding.sentence, width=data_width()):
        show(line, style)


def _dry_run_of_file(
    call: Call, ws: Workspace, source: str, findings: Sequence[Finding], canary: Mapping[str, Any]
) -> int:
    """With --from there is nothing to migrate: the file is judged as the deploy would."""
    from mobius_tui.operations.deploy.rehearsal import rehearse_source

    verified, left_out = rehearse_source(ws, source)
    if call.json:
        facts = {"preflight": [asdict(finding) for finding in findings], "verified": verified.to_json()}
        show_json({**facts, "left_out": left_out, **canary})
        return 0
    same = f"{verified.recomputed} of {verified.sampled} sampled hashes the same"
    show(f"good     file             {counted(verified.entries)}, {same}", "good")
    for path in left_out:
        show(f"note     left out         {path} is neither in the catalogue nor in the library any more", "warn")
    call.say("nothing was changed; the same without --dry-run does it")
    return 0


def _attach(call: Call, given: Mapping[str, Any]) -> int:
    """Follow the deploy that runs; of one that is over, show how it ended."""
    other = [name for name, value in given.items() if value and name not in {"follow"}]
    if other:
        raise BadInput("--follow starts nothing and takes no other option", fix="`mobius deploy --follow`")
    ws = call.open()
    connection = open_for_reading(ws.database)
    job = None
    if connection is not None:
        with contextlib.closing(connection):
            job = latest_deploy(connection)
    if job is None:
        raise BadInput("nothing was ever deployed here", fix="`mobius deploy` does it")
    if not job.active:
        call.say(f"no deploy runs; the last one, deploy {job.id} by {visible(job.requested_by)}:")
    return _follow(call, ws, job, own=False)


def _follow(call: Call, ws: Workspace, job: Job, *, own: bool = True) -> int:
    """Print a deploy's steps until it is over, then how it ended; the time limit ends only one's own deploy."""
    printer = StepPrinter(to_stdout=not call.json, quiet=call.quiet)
    try:
        over = _watched(ws, job, printer)
    except interrupts.AskedToEnd as asked:
        printer.clear()
        if not own or not isinstance(asked.cause, TimeLimit):
            _say_goes_on(asked.cause, job)
            raise
        over = _ended_by_limit(ws, job, printer)
        if over.state != "done":
            raise asked.cause from None
    finally:
        printer.clear()
    return _tell_end(call, ws, over)


def _watched(ws: Workspace, job: Job, printer: StepPrinter) -> Job:
    answered: set[str] = set()

    def look(row: Job) -> None:
        printer.look(row)
        question = str(row.summary.get("question") or "")
        if question and row.state == "paused" and question not in answered and is_terminal(sys.stdin):
            answered.add(question)
            printer.clear()
            _answer(ws, row, question)

    return follow_deploy(ws, job.id, look)


def _answer(ws: Workspace, job: Job, question: str) -> None:
    """Ask the person, and let the deploy go on or end."""
    *above, last = wrapped(f"{question}. Publish it? [y/N]", width=screen_width() - 6)
    for line in above:
        tell(line)
    tell_raw(f"{last} ")
    yes = sys.stdin.readline().strip().lower() in {"y", "yes"}
    with contextlib.closing(open_database(ws.database)) as connection, contextlib.suppress(BadInput):
        now = find_job(connection, job.id)
        if now.state == "paused" and now.summary.get("question") == question:
            ask_job(ws, connection, job.id, "run" if yes else "cancel", reason=question)
        else:  # a no that comes late would end what somebody else has let go on
            tell("this was answered elsewhere meanwhile")


def _say_goes_on(cause: MobiusError, job: Job) -> None:
    cause.what = f"{cause.what}; deploy {job.id} goes on without this terminal"
    cause.fix = f"`mobius deploy --follow` shows it again, `mobius cancel {job.id}` ends it"


def _ended_by_limit(ws: Workspace, job: Job, printer: StepPrinter) -> Job:
    """The time limit of the verb ran out: the deploy is asked to end, and undoes what it did."""
    with contextlib.closing(open_database(ws.database)) as connection, contextlib.suppress(BadInput):
        ask_job(ws, connection, job.id, "cancel", reason="the verb's time limit ran out")
    return _watched(ws, job, printer)


class DeployFailed(MobiusError):
    """A deploy ended otherwise than well; what is said to do next is the deploy's own advice, where it has one.

    Args:
        job: Its row, which has the exit code and the sentence.
    """

    def __init__(self, job: Job) -> None:
        what, _, advice = job.error.partition(NEXT)
        self.advice = advice
        super().__init__(what or f"the deploy {job.state}", fix=_fix(job, advice))
        self.exit_code = job.exit_code or 2


def _fix(job: Job, advice: str) -> str:
    """One thing to do next: a deploy that somebody ended needs no report of why."""
    if job.state == "cancelled":
        return advice or "`mobius deploy` starts another one"
    return "; ".join(part for part in (advice, f"`mobius report {job.run_id}` collects the facts") if part)


def _tell_end(call: Call, ws: Workspace, job: Job) -> int:
    if job.state == "interrupted":
        job = _at_rest(ws, job)
    if call.json:
        facts = {"run": job.run_id, "state": job.state, "exit_code": job.exit_code, "error": job.error}
        show_json({**facts, **job.summary})
    elif job.summary.get("outcome"):
        for line in end_lines(job.summary, data_width()):
            show(line)
    if job.state == "interrupted":
        raise EnvironmentFailed(
            "the deploy's process was killed, and it is not at rest yet",
            fix="`mobius deploy --follow` shows how it ended",
        )
    if job.state != "done":
        raise DeployFailed(job)
    return 0


def _at_rest(ws: Workspace, job: Job) -> Job:
    """Finish or undo what a killed deploy left, and say which.

    Returns:
        Its row with its end; still ``interrupted`` when somebody else is just at it.
    """
    from mobius_tui.rollback.recover import recover

    said = abandoned_words(ws, job)
    tell_wrapped("the deploy's process was killed" + (f"; its last words: {said}" if said else ""), "warn")
    recover(ws, tell_recovery)
    with contextlib.closing(open_database(ws.database)) as connection:
        return find_job(connection, job.id)


def end_lines(summary: Mapping[str, Any], width: int) -> list[str]:
    """The block a deploy ends with.

    Args:
        summary: ``DeploySummary.to_json()``.
        width: Columns.

    Returns:
        Lines.
    """

    def short(name: str) -> str:
        value = summary.get(name)
        return str(value)[:12] if value else "none"

    def count(name: str) -> str:
        value = summary.get(name)
        return f"{value:,}" if isinstance(value, int) else "-"

    rows = [("outcome", str(summary["outcome"]))]
    rows += [("why", str(summary["reason"]))] if summary.get("reason") else []
    before, after = short("before"), short("after")
    rows.append(("catalogue", f"{before} -> {after}" if before != after else f"{after}, unchanged"))
    rows.append(("with dHash", f"{count('with_dhash_before')} -> {count('with_dhash_after')} of {count('images')}"))
    if summary.get("backup"):
        rows.append(("way back", str(summary["backup"])))
    if summary.get("emergency"):  # as `mobius rollback --backup` takes it, which a cut path would not be
        rows.append(("emergency copy", "/".join(str(summary["emergency"]).split("/")[-2:])))
    if isinstance(summary.get("rounds"), int) and summary["rounds"] > 1:
        rows.append(("rounds", f"{summary['rounds']} (others wrote the catalogue meanwhile)"))
    rows += [("watch", sentence)] if (sentence := _watch_sentence(summary.get("watch"))) else []
    rows += [("warning", sentence) for sentence in warnings_of(steps_of_summary(summary))]
    elapsed = summary.get("elapsed_s")
    rows.append(("elapsed", human_seconds(elapsed) if isinstance(elapsed, int | float) else "-"))
    return labelled(rows, width=width)


def _watch_sentence(watch: object) -> str:
    """Until when a watch guards it, and how to join that; empty when there is none."""
    if not isinstance(watch, Mapping) or not watch.get("run"):
        return ""
    if watch.get("problem"):
        return f"no guard runs: {visible(str(watch['problem']))}"
    until = visible(str(watch.get("until")))
    return f"guards it until {until}; `mobius watch` joins it, `mobius watch status` shows it"


def _be_the_deploy(call: Call, job_id: int) -> int:
    """What the process of its own does: signals only ask it to end, and a hang-up means nothing to it."""
    asked: list[int] = []
    for name in ("SIGTERM", "SIGINT"):
        signal.signal(getattr(signal, name), lambda number, _: asked.append(number))
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ws = call.open(writes=True)
    redact_stderr()
    with contextlib.closing(open_database(ws.database)) as connection:
        job = run_started(ws, connection, job_id, lambda: bool(asked))
    if job.state == "done":
        return 0
    failed = DeployFailed(job)
    failed.fix = failed.advice
    raise failed
