"""The end of a watch: report, history, people told, and last the journal; each may be done again after a kill."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mobius_tui.errors import MobiusError
from mobius_tui.guard.keeping import Keeper
from mobius_tui.guard.model import Outcome
from mobius_tui.guard.report import report_markdown, report_of
from mobius_tui.guard.telling import Telling
from mobius_tui.notifications.message import Audience, Severity
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.recovery.backups import pin
from mobius_tui.recovery.history import HISTORY_NAME, note_act, read_history
from mobius_tui.rollback.publications import read_acts
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

EXIT_CODES: Final[Mapping[str, int]] = {"accepted": 0, "rolled back": 2, "void": 2, "undecided": 4, "stopped": 4}
"""What whoever is attached to a watch exits with, by its outcome."""

_PUBLISHES = frozenset({"migrate", "deploy", "deploy held", "backup restore"})

_SEVERITIES: Mapping[str, Severity] = {"accepted": "info", "void": "info", "rolled back": "critical"}


def decide(keeper: Keeper, outcome: Outcome, decided_by: str, reason: str, elapsed_s: float) -> None:
    """Note how the watch ends; from now on nothing else becomes of it."""
    if keeper.story.ending is None:
        code = EXIT_CODES[outcome]
        keeper.note(
            "ending", outcome=outcome, decided_by=decided_by, reason=reason, exit_code=code, elapsed_s=elapsed_s
        )


def finish(ws: Workspace, keeper: Keeper, telling: Telling, verdict: Mapping[str, Any]) -> None:
    """Write down the end that was decided. What the disk does not take is said and does not keep the rest from it.

    Args:
        ws: The workspace.
        keeper: The journal, with its ``ending``.
        telling: The watch's voice.
        verdict: The whole verdict, for people.
    """
    ending = keeper.story.ending or {}
    outcome, who, reason = (str(ending.get(name) or "") for name in ("outcome", "decided_by", "reason"))
    facts = {name: ending.get(name) for name in ("outcome", "decided_by", "reason", "exit_code", "elapsed_s", "at")}
    run = keeper.story.plan.run
    for problem in (*_report(ws, run, [*keeper.records, {"what": "end", **facts}]), *_history(ws, run, facts)):
        telling.say("warning", "trouble", problem)
    by = "" if who.startswith("rule ") else f", decided by {visible(who)}"  # the reason begins with the rule's name
    sentence = f"{outcome}{by}: {visible(reason)}"
    severity = _SEVERITIES.get(outcome, "warning")
    telling.say("info" if outcome == "accepted" else "warning", "watch_ended", f"the watch ended: {sentence}", **facts)
    audience: Audience = "sre" if outcome == "accepted" else "qa" if outcome == "rolled back" else "performance"
    telling.page("end", severity, f"watch {outcome}", sentence, verdict, audience=audience, key="end")
    keeper.note("end", **facts)


def _report(ws: Workspace, run: str, records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The final report, kept for good; what went wrong, in words."""
    try:
        ws.logs.mkdir(parents=True, exist_ok=True)
        report = report_of(records)
        write_atomic(ws.logs / f"{run}.report.json", [json.dumps(report, indent=2).encode() + b"\n"])
        write_atomic(ws.logs / f"{run}.report.md", [report_markdown(report).encode("utf-8", "backslashreplace")])
    except (MobiusError, OSError) as error:
        return [f"the report cannot be written: {visible(str(error))}"]
    except Exception as error:  # a journal that no version of the report understands keeps no watch from its end
        return [f"the report cannot be made: {type(error).__name__}: {visible(str(error))}"]
    return []


def _history(ws: Workspace, run: str, facts: Mapping[str, Any]) -> list[str]:
    """Note the end in the history, once however often it is asked."""
    act = f"watch {facts['outcome']}"
    try:
        if not any(found.get("run") == run and found.get("act") == act for found in read_history(ws.state)):
            note_act(
                ws.state, act, str(facts["decided_by"]), run_id=run, reason=str(facts["reason"]), details=dict(facts)
            )
    except OSError as error:
        return [f"the history cannot be written: {error.strerror or error}"]
    return []


def pin_way_back(ws: Workspace, keeper: Keeper, way: str) -> str:
    """Keep the way back of a watch without a verdict for good; returns its name, empty when there is none to pin."""
    name = keeper.story.plan.backup or keeper.story.way or way
    if name and not keeper.story.pinned:
        with contextlib.suppress(MobiusError, OSError):
            pin(
                ws.backups, name, True, who="guard", reason=f"way back of {keeper.story.plan.run}, which has no verdict"
            )
            keeper.note("pin", backup=name)
    return name


def history_stamp(ws: Workspace) -> tuple[int, int]:
    """What changes when the history does."""
    try:
        status = (ws.state / HISTORY_NAME).stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def last_publication(ws: Workspace) -> tuple[str, str]:
    """Who put content live last, and by which run, as the history has it; empty when nobody did. No rollback is one."""
    for act in reversed(read_acts(ws.state)):
        if _publishes(ws, act):
            return str(act.get("who") or "?"), str(act.get("run") or act.get("act"))
    return "", ""


def superseded_by(ws: Workspace, keeper: Keeper) -> tuple[str, str]:
    """Who has published since the watch began, and by which run; empty when nobody has.

    Judged by the order of the history: a wall clock that was set hides nobody.
    """
    who, run = last_publication(ws)
    plan, start = keeper.story.plan, keeper.story.start or {}
    known = start.get("published")
    if plan.deploy and any(act.get("run") == plan.deploy for act in read_acts(ws.state)):
        known = plan.deploy
    return (who, run) if isinstance(known, str) and run != known else ("", "")


def _publishes(ws: Workspace, act: Mapping[str, Any]) -> bool:
    """Whether an act put new content live: going back does not, nor does what was written to another file."""
    if act.get("act") not in _PUBLISHES or not isinstance(act.get("after"), str):
        return False
    if act["after"] == act.get("before"):
        return False
    details = act.get("details")
    output = details.get("output") if isinstance(details, Mapping) else None
    with contextlib.suppress(MobiusError):  # which catalogue is the live one cannot be told: it may be this one
        return not isinstance(output, str) or os.path.realpath(output) == os.path.realpath(ws.catalogue)
    return True
