"""`mobius status`: one screen of text."""

from __future__ import annotations

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import UNCUT, WIDTH, fitted, hanging, with_labels, wrapped
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.operations.status import Status, read_status
from mobius_tui.store.jobs import Job
from mobius_tui.system import clock
from mobius_tui.text import human_bytes, human_seconds

LINES = 24
"""The screen it fits on."""

_WIDEST = 100
_MOST = 4
_SPARED = ("by status", "SHA-256", "duplicates", "backups")
"""What is left out when warnings need its line, in this order: `mobius check` and `mobius backup list` say it."""


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
    width = data_width()
    for line, style in status_lines(found, width if width == UNCUT else min(width, _WIDEST)):
        show(line, style)
    return 0


def status_lines(status: Status, width: int = WIDTH) -> list[tuple[str, str]]:
    """The screen, at most 24 lines; what is long there goes on in a line below, catalogue and workspace are cut.

    Args:
        status: What was found.
        width: Columns.

    Returns:
        Lines and their style.
    """
    head = f"MOBIUS  {status.environment}  "
    root = fitted(status.root, max(8, width - len(head)), keep_end=True)
    warnings = [line for text in status.warnings[:3] for line in _at_most(wrapped(f"warning: {text}", width=width))]
    if len(status.warnings) > 3:
        warnings.append(f"and {len(status.warnings) - 3} more warnings: mobius status --json")
    lines = [(head + root, "title"), *((line, "warn") for line in warnings)]
    facts = _facts(status, width)
    steps = _steps(status, width)
    for label in _SPARED:
        if len(lines) + len(facts) + len(steps) > LINES:
            facts = [each for each in facts if each[0] != label]
    lines += [(line, style) for _, line, style in facts]
    return [*lines, *steps[: max(2, LINES - len(lines))]]


def _facts(status: Status, width: int) -> list[tuple[str, str, str]]:
    """What is live, what runs and what failed: label, line and style."""
    rows = [*_live(status), ("worker", _worker(status))]
    rows += [("watch", status.watch)] if status.watch else []
    rows += [(f"{job.kind} {job.id}", job_sentence(job)) for job in status.active[:3]]
    if not status.active:
        rows.append(("running", "nothing" if status.jobs_known else "unknown, the database cannot be read"))
    if len(status.active) > 3:
        rows.append(("", f"and {len(status.active) - 3} more: mobius jobs"))
    rows += [("last watch", status.last_watch)] if status.last_watch else []
    rows.append(("last failure", _failure(status)))
    bad = {"invalid", "last watch"} if status.last_failure is None else {"invalid", "last watch", "last failure"}
    shown: list[tuple[str, str, str]] = []
    for label, line in with_labels(rows, width=width, keep_end=["catalogue"]):
        number = sum(other == label for other, _, _ in shown)
        most = _MOST if label != "last watch" else _MOST // 2
        if number == most:
            shown[-1] = (label, f"{shown[-1][1][: width - 4]} ...", shown[-1][2])
        if number < most:
            shown.append((label, line, "bad" if label in bad else ""))
    return shown


def _at_most(lines: list[str]) -> list[str]:
    """A text that has no end does not take the screen."""
    return lines if len(lines) <= _MOST else [*lines[: _MOST - 1], f"{lines[_MOST - 1][:-4]} ..."]


def _steps(status: Status, width: int) -> list[tuple[str, str]]:
    """What to type next, each with why."""
    if not status.next_steps:
        return []
    column = max(len(command) for command, _ in status.next_steps)
    lines = [("next", "title")]
    for command, why in status.next_steps:
        lines += [(line, "") for line in hanging(f"  {command:<{column}}  ", why, width=width)]
    return lines


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
        if job.eta_s is not None:
            parts.append(f"{human_seconds(job.eta_s)} left")
    return ", ".join([*parts, f"for {job.requested_by}"] if asker else parts)
