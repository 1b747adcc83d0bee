"""Deploy and rollback from the console: what is found out first, what is asked, and the process that does it.

Both run in processes of their own: the console only starts them, and may end before they do.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time

from mobius_tui.console.asking import Action, Plan, Question, typed_in_production
from mobius_tui.console.lines import Line, outside
from mobius_tui.console.snapshot import HASHING, Snapshot, is_canary, publication_of, watch_on, way_is_free
from mobius_tui.console.views.view import long_time, span_of
from mobius_tui.errors import BadInput, MobiusError, ProcessingFailed
from mobius_tui.recovery.backups import Backup
from mobius_tui.text import counted
from mobius_tui.workspace import Workspace

REASON = "from the console"
"""The reason in the history."""

ROLLBACK_OUTPUT = "rollback.out"
"""File in the folder of the logs that takes what a rollback prints."""

LONGEST_S = 900.0
"""Seconds that the end of a process is waited for, to say how it went; it goes on in any case."""

_LOOK_S = 0.1


def able_to_deploy(snapshot: Snapshot) -> str | None:
    """Whether a deploy can begin."""
    if snapshot.problem:
        return snapshot.problem
    for job in snapshot.jobs:
        if job.active and job.kind in HASHING and job.state != "queued":
            return f"{job.kind} {job.id} of {outside(job.requested_by)} is {job.state}; C cancels it"
    return way_is_free(snapshot)


def able_to_roll_back(snapshot: Snapshot) -> str | None:
    """Whether there is a backup to go back to; a database that does not answer is no reason not to."""
    found = publication_of(snapshot)
    if found is not None and found.kind == "rollback" and found.state == "running":
        return f"rollback of {outside(found.who)} is running"
    if not snapshot.backups:
        return snapshot.backups_problem or "there is no backup to go back to"
    return None


def _plan_deploy(ws: Workspace, snapshot: Snapshot) -> Plan:
    """Run the preflight, and show what it found before asking."""
    from mobius_tui.operations.deploy.options import DeployOptions
    from mobius_tui.operations.deploy.preflight import preflight

    findings = preflight(ws, DeployOptions(reason=REASON))
    lines: list[Line] = []
    for finding in findings:
        word, role = {True: ("good", "ok"), False: ("bad", "bad"), None: ("unknown", "warn")}[finding.ok]
        lines.append(((f"{word:<9}", role), (f"{outside(finding.name)}: {outside(finding.sentence)}", "")))
        if finding.ok is not True and finding.fix:
            lines.append(((" " * 9, ""), (f"next: {outside(finding.fix)}", "muted")))
    bad = [finding.name for finding in findings if finding.ok is False]
    if bad:
        said = f"Not now: {', '.join(map(outside, bad))}. `mobius deploy --force` overrides what it may, on record."
        lines += [(), ((said, "bad"),)]
        return Plan("Deploy: preflight", tuple(lines), None)
    return Plan("Deploy: preflight", tuple(lines), _ask_deploy(ws, snapshot), _start_deploy)


def _ask_deploy(ws: Workspace, snapshot: Snapshot) -> Question:
    images = snapshot.store.worker.images if snapshot.store and snapshot.store.worker else None
    many = "all images" if images is None else counted(images)
    return Question(
        f"Deploy {many} to {snapshot.environment}?",
        (
            "Backup, migration into a staged file, verification, swap, smoke tests.",
            "Any failure rolls back. It runs on without this console; C ends and undoes it.",
            f"A watch of {span_of(ws.settings.watch_seconds)} follows, automatic rollback on.",
        ),
        "Start deploy",
        typed_in_production(snapshot),
    )


def _start_deploy(ws: Workspace, _: Snapshot) -> str:
    from mobius_tui.operations.deploy.launch import start_deploy
    from mobius_tui.operations.deploy.options import DeployOptions
    from mobius_tui.store.database import open_database

    with contextlib.closing(open_database(ws.database)) as connection:
        options = DeployOptions(reason=REASON, attended=True, watch=True)
        job = start_deploy(ws, connection, options, os.environ, flagged_environment(ws))
    return f"deploy {job.id} has begun; pane 2 shows its steps"


def question_of(snapshot: Snapshot) -> str:
    """What a deploy under way asks; empty when it asks nothing."""
    found = publication_of(snapshot)
    job = found.job if found is not None else None
    return outside(job.summary.get("question") or "") if job is not None and job.state == "paused" else ""


def able_to_answer(snapshot: Snapshot) -> str | None:
    """Whether a deploy waits for an answer."""
    return snapshot.problem or (None if question_of(snapshot) else "no deploy asks anything")


def _ask_answer(snapshot: Snapshot) -> Question:
    return Question(
        f"{question_of(snapshot)}: publish it?",
        ("The deploy waits for this; C ends it, and nothing is published then.",),
        "Publish it",
        typed_in_production(snapshot),
        no="Not yet",
    )


def _answer(ws: Workspace, connection: sqlite3.Connection, snapshot: Snapshot) -> str:
    from mobius_tui.operations.asking import ask_job

    found = publication_of(snapshot)
    if found is None or found.job is None or not question_of(snapshot):
        raise BadInput("the deploy does not ask any more")
    ask_job(ws, connection, found.job.id, "run", reason=question_of(snapshot))
    return f"deploy {found.job.id} goes on"


def flagged_environment(ws: Workspace) -> str | None:
    """The environment, when a flag chose it: what is started must be told."""
    return ws.settings.environment if ws.sourced.sources.get("environment") == "flag" else None


def _plan_rollback(ws: Workspace, snapshot: Snapshot) -> Plan:
    """Find the target and verify it, then ask."""
    from mobius_tui.operations.backup import verify_backups

    target, how = _target(ws, snapshot)
    verdict = verify_backups(ws, target.name)[0]
    if verdict.state != "good":
        lines: tuple[Line, ...] = (
            ((f"{verdict.state:<11}", "bad"), (outside(verdict.sentence), "")),
            (),
            (("Not now: this backup cannot serve. Choose another one in pane 1.", "bad"),),
        )
        return Plan("Rollback: the target", lines, None)

    def act(ws: Workspace, _: Snapshot) -> str:
        return _roll_back(ws, target.name)

    watch = watch_on(snapshot)
    entries = "" if target.images is None else f", {counted(target.images, 'entry').replace('entrys', 'entries')}"
    question = Question(
        f"Roll {snapshot.environment} back to {outside(target.name)}?",
        (
            f"Made {long_time(target.at)}{entries}, verified just now.",
            how,
            "What is live now is kept as an emergency copy; the worker is restarted.",
            "A deploy or migration under way is stopped first.",
            *(("It ends the watch that is on.",) if watch is not None and not is_canary(watch) else ()),
        ),
        "Roll back",
        typed_in_production(snapshot),
    )
    return Plan("", (), question, act)


def _target(ws: Workspace, snapshot: Snapshot) -> tuple[Backup, str]:
    """The backup under the cursor of pane 1, else the way back from what is live.

    Raises:
        BadInput: There is none, or it is gone.
    """
    from mobius_tui.rollback.publications import way_back

    if not snapshot.chosen:
        found = way_back(ws.state, ws.backups, ws.catalogue)
        if found is None:
            raise BadInput("nothing says which backup belongs to what is live", fix="choose one in pane 1")
        return found.backup, f"Why this one: {outside(found.how)}."
    chosen = next((backup for backup in snapshot.backups if backup.name == snapshot.chosen), None)
    if chosen is None:
        raise BadInput(f"the backup {outside(snapshot.chosen)} is gone")
    how = "You chose it in pane 1"
    with contextlib.suppress(MobiusError, OSError):
        found = way_back(ws.state, ws.backups, ws.catalogue)
        if found is not None:
            same = found.backup.name == chosen.name
            how += ", and it is the way back." if same else f"; the way back is {outside(found.backup.name)}."
    return chosen, how


def _roll_back(ws: Workspace, name: str) -> str:
    said = run_verb(ws, ["rollback", "--force", "--backup", name, "--reason", REASON], ROLLBACK_OUTPUT)
    return said or f"rolled back to {outside(name)}"


def run_verb(ws: Workspace, arguments: list[str], output: str) -> str:
    """Run a verb in a process of its own and wait for its end; it goes on when this console ends.

    Args:
        ws: The workspace.
        arguments: The verb and its arguments.
        output: File in the folder of the logs that takes what it prints.

    Returns:
        A sentence when it is not over after ``LONGEST_S``; empty when it went well.

    Raises:
        MobiusError: It ended with another exit code than 0; says its last words.
    """
    from mobius_tui.operations.deploy.launch import start_verb

    started = start_verb(ws, arguments, os.environ, output=output, env_name=flagged_environment(ws))
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline:
        code = started.ended()
        if code is None:
            time.sleep(_LOOK_S)
            continue
        if code:
            raise _failed(arguments[0], code, started.last_words())
        return ""
    return f"{arguments[0]} goes on; {outside(started.output)} has what it says"


def _failed(verb: str, code: int, words: str) -> MobiusError:
    return ProcessingFailed(words.removeprefix("mobius: ") or f"{verb} ended with exit code {code} and said nothing")


ACTIONS = (
    Action(
        ("D",), "D", "deploy", "deploy", "Deploy: shows the preflight, then asks; every failure rolls back.",
        able_to_deploy, True, plan=_plan_deploy, rank=16,
    ),
    Action(
        ("R",), "R", "rollback", "rollback",
        "Roll back to the backup chosen in pane 1, else to the way back from what is live. Asks first.",
        able_to_roll_back, True, plan=_plan_rollback, rank=17,
    ),
    Action(
        ("A",), "A", "answer", "answer", "Let a deploy go on that waits for an answer. Asks first.",
        able_to_answer, True, _answer, _ask_answer, rank=1,
    ),
)  # fmt: skip
"""The actions that publish."""
