"""`mobius status`: one screen of text."""

from __future__ import annotations

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import WIDTH, fitted, labelled
from mobius_tui.cli.output import screen_width, show, show_json
from mobius_tui.operations.status import Status, read_status
from mobius_tui.store.jobs import Job
from mobius_tui.system import clock
from mobius_tui.text import human_bytes, human_seconds

LINES = 24
"""The screen it fits on."""


@click.command("status")
@takes_common_options
@click.pass_obj
def status(call: Call) -> int:
    """One screen: what is live, since when and by whom; what runs; the last failure; what to type next.

    Works without a worker, without a database, and with a broken mobius.toml.
    """
    ws = call.open_quietly()
    found = read_status(ws)
    if call.json:
        show_json(found.to_json())
        return 0
    for line, style in status_lines(found, min(screen_width(), 100)):
        show(line, style)
    return 0


def status_lines(status: Status, width: int = WIDTH) -> list[tuple[str, str]]:
    """The screen, at most 24 lines.

    Args:
        status: What was found.
        width: Columns.

    Returns:
        Lines and their style.
    """
    head = f"MOBIUS  {status.environment}  {status.root}"
    lines = [(fitted(head, width), "title")]
    lines += [(fitted(f"warning: {text}", width), "warn") for text in status.warnings[:3]]
    rows = [*_live(status), ("worker", _worker(status))]
    rows += [(f"{job.kind} {job.id}", job_sentence(job)) for job in status.active[:3]]
    if not status.active:
        rows.append(("running", "nothing" if status.jobs_known else "unknown, the database cannot be read"))
    if len(status.active) > 3:
        rows.append(("", f"and {len(status.active) - 3} more: mobius jobs"))
    rows.append(("last failure", _failure(status)))
    bad = {"invalid"} if status.last_failure is None else {"invalid", "last failure"}
    shown = labelled(rows, width=width, keep_end=["catalogue"])
    lines += [(line, "bad" if label in bad else "") for (label, _), line in zip(rows, shown, strict=True)]
    if status.next_steps:
        lines.append(("next", "title"))
        steps = status.next_steps[: max(1, LINES - len(lines) - 1)]
        column = max(len(command) for command, _ in steps)
        lines += [(fitted(f"  {command:<{column}}  {why}", width), "") for command, why in steps]
    return lines[:LINES]


def _live(status: Status) -> list[tuple[str, str]]:
    live = status.catalogue
    if not live.exists:
        return [("catalogue", f"none yet ({live.path})")] if live.path else [("invalid", live.error)]
    pairs = [("catalogue", live.path)]
    if live.error:
        pairs.append(("invalid", live.error))
    size = human_bytes(live.size)
    count = "-" if live.images is None else f"{live.images:,}"
    pairs.append(("images", f"{count} entries, {size}"))
    if live.by_status:
        words = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in live.by_status.items())
        pairs.append(("by status", words))
    if live.duplicates is not None:
        pairs.append(("duplicates", f"{live.duplicates:,}" + _queue(status)))
    if live.sha256:
        pairs.append(("SHA-256", live.sha256))
    if live.since:
        pairs.append(("live since", f"{live.since}, {live.act} by {live.by}"))
    elif live.changed_at:
        why = "no act of MOBIUS made it" if status.state_readable else "the history may not be read"
        pairs.append(("live since", f"{clock.iso(live.changed_at)} by its time; {why}"))
    if status.backup is not None:
        pairs.append(("backups", f"{status.backups}, newest {clock.iso(status.backup.at)}, {status.backup.state}"))
    else:
        pairs.append(("backups", "none"))
    return pairs


def _queue(status: Status) -> str:
    if status.waiting is None:
        return ""
    low = status.low_confidence or 0
    copies = " (exact copies once)" if low < status.catalogue.by_status.get("low_confidence", 0) else ""
    return f"; {status.waiting:,} pairs wait, {low:,} images of low confidence{copies}"


def _worker(status: Status) -> str:
    if not status.state_readable:
        return "unknown, the state folder may not be read"
    if status.worker is None:
        return "not running (`mobius worker start`)"
    row = status.worker_row
    text = f"running since {clock.iso(status.worker.since)}" if status.worker.since else "running"
    if row is not None and row.pid == status.worker.pid:
        text = f"{row.state}, {text}, PID {row.pid}"
        if row.note:
            text += f"; {row.note}"
    if status.address is not None:
        text += f", {status.address.url}" if status.address.url else f"; no address: {status.address.problem}"
    return text


def _failure(status: Status) -> str:
    job = status.last_failure
    if job is None:
        return "none" if status.jobs_known else "unknown, the database cannot be read"
    when = clock.iso(job.finished_at) if job.finished_at else "-"
    return f"{when} {job.kind} {job.id}, exit {job.exit_code}: {job.error}"


def job_sentence(job: Job, *, asker: bool = True) -> str:
    """How far a job is, in a few words: state, share, rate, time left and, unless shown elsewhere, who asked."""
    parts = [job.state]
    if job.state == "paused" and job.wanted_by:
        parts = [f"paused by {job.wanted_by}"]
    elif job.wanted in {"pause", "cancel"} and job.state == "running":
        parts = [f"running, {job.wanted_by} asked to {job.wanted}"]
    if job.phase:
        parts.append(job.phase)
    if job.total:
        parts.append(f"{job.done:,}/{job.total:,} {min(1.0, job.done / job.total):.0%}")
    if job.state == "running":
        if job.rate:
            parts.append(f"{job.rate:.0f}/s" if job.rate >= 10 else f"{job.rate:.1f}/s")
        parts.append("time left -" if job.eta_s is None else f"{human_seconds(job.eta_s)} left")
    return ", ".join([*parts, f"for {job.requested_by}"] if asker else parts)
