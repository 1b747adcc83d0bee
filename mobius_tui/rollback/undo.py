"""Finishing or undoing a deploy: the same after a crash and after a step that failed."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import EnvironmentFailed, MobiusError, ProcessingFailed
from mobius_tui.recovery.atomic import ABSENT, Changed
from mobius_tui.recovery.backups import read_backup_catalogue
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.recovery.history import note_act, read_history
from mobius_tui.recovery.journal import Journal
from mobius_tui.recovery.staging import hash_or_absent, real_file, staged_path, swap
from mobius_tui.rollback.judging import CANARY, Intent, Verdict, intent_of, judge
from mobius_tui.rollback.plans import Plan, keeping_others, without_owned
from mobius_tui.rollback.publications import WayBack, way_back
from mobius_tui.rollback.restore import keep_displaced, restore_catalogue, settle_restore
from mobius_tui.rollback.targets import choose_target
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

Say = Callable[[str], None]
"""Is told what was found and done, a sentence at a time; safe to show."""

_TRIES = 5
_ASIDE = "-full"


@dataclass(frozen=True, slots=True)
class Settled:
    """How an operation that was cut off, or had failed, came to rest.

    Attributes:
        run: The run id.
        kind: ``deploy`` or ``rollback``.
        outcome: ``done``, ``rolled back``, ``undone`` (nothing of it was live) or ``held``.
        sentence: What was found and done.
        live: SHA-256 of the live file now, or ``absent``.
        emergency: The copy that was kept of what was live; None when there was none to keep.
    """

    run: str
    kind: str
    outcome: str
    sentence: str
    live: str
    emergency: Path | None = None


def settle_deploy(ws: Workspace, journal: Journal, *, reason: str, say: Say) -> Settled:
    """Bring a deploy to rest, judging by content hashes; the catalogue's lock is the caller's to hold.

    Args:
        ws: The workspace.
        journal: The deploy's journal, open for writing; it is left open, without an end.
        reason: Why it did not go on, for the history.
        say: Told what is done.

    Returns:
        How it ended.

    Raises:
        ProcessingFailed: It has to be rolled back and no way back is good; the live file is as it was.
        EnvironmentFailed: The system does not allow it; the live file is whole.
        OutOfResource: Something ran out; the live file is whole.
    """
    for attempt in range(_TRIES):
        intent = intent_of(journal.run_id, journal.records, ws.catalogue)
        if intent.restore is not None:
            say(_settle_cut_restore(ws, intent))
        try:
            return _settle_once(ws, journal, intent, reason, say)
        except Changed:
            if attempt == _TRIES - 1:
                raise
            say("the catalogue was changed meanwhile; looking again")
    raise AssertionError("the last attempt returns or raises")


def take_back(ws: Workspace, journal: Journal, *, say: Say) -> None:
    """Bring back what a canary displaced, with what others wrote on top of it; the deploy itself goes on.

    Args:
        ws: The workspace.
        journal: The deploy's journal, open for writing.
        say: Told what is done.

    Raises:
        MobiusError: As ``settle_deploy``.
    """
    for attempt in range(_TRIES):
        try:
            _act(ws, journal, intent_of(journal.run_id, journal.records, ws.catalogue), say)
            return
        except Changed:
            if attempt == _TRIES - 1:
                raise


def aside_path(live: Path, run: str) -> Path:
    """Where the whole new content waits while a canary of it is live."""
    return staged_path(live, f"{run}{_ASIDE}")


def deploy_of(name: str) -> str:
    """The deploy that the run in a staged file's name belongs to."""
    return name.removesuffix("-undo").removesuffix(_ASIDE)


def _settle_cut_restore(ws: Workspace, intent: Intent) -> str:
    """Bring a restore inside an earlier undoing to rest first; it is judged by hashes like everything else."""
    record = intent.restore or {}
    return settle_restore(intent.live, _undo_run(intent), record, who=intent.who, emergency=_emergency(ws))


def _settle_once(ws: Workspace, journal: Journal, intent: Intent, reason: str, say: Say) -> Settled:
    verdict, emergency = _act(ws, journal, intent, say)
    _clear_aside(ws, intent, say)
    now = hash_or_absent(real_file(intent.live))
    if verdict == "discard" and intent.after and (intent.restore or {}).get("after") == now:
        verdict = "restore"  # killed after that and before its end
    outcome = _OUTCOMES[verdict]
    _note_once(ws, intent, outcome, now, reason, live_since(journal.records))
    return Settled(intent.run, "deploy", outcome, _SENTENCES[verdict], now, emergency)


def _act(ws: Workspace, journal: Journal, intent: Intent, say: Say) -> tuple[Verdict, Path | None]:
    """Judge by the files and do what that asks for; the copy that is kept of what was live."""
    staged = staged_path(intent.live, intent.run)
    live_hash, staged_hash = hash_or_absent(real_file(intent.live)), hash_or_absent(staged)
    foreign = live_hash not in {ABSENT, intent.before, *intent.ours}
    run, canary = made_by(intent.live) if foreign else ("", False)
    carries = foreign and run == intent.run
    broken = foreign and not carries and not _is_catalogue(real_file(intent.live))
    verdict = judge(
        intent, live_hash, staged_hash, carries_run=carries, carries_canary=carries and canary, broken=broken
    )
    if broken and verdict == "discard":
        say("the live file is no catalogue, and not by this deploy; `mobius rollback` brings the newest backup back")
    journal.note("note", text=f"found live {live_hash[:16]}, staged {staged_hash[:16]}: {verdict}")
    return verdict, _ACTS[verdict](ws, journal, intent, staged, say)


def _clear_aside(ws: Workspace, intent: Intent, say: Say) -> None:
    """Remove the whole new content that waited for its canary."""
    _drop_displaced(ws, intent, aside_path(intent.live, intent.run), say)


def made_by(live: Path) -> tuple[str, bool]:
    """What a catalogue says of itself.

    Args:
        live: The file.

    Returns:
        The id of the run that made it, and whether it is a canary; empty and False when it cannot be read or does
        not say.
    """
    try:
        # a number of thousands of digits is no number to Python, but no fault of the catalogue
        record = json.loads(read_whole(live).data, parse_int=str)["dhash_migration"]["run"]
        run, canary = record["id"], CANARY in record
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", False
    return (run, canary) if isinstance(run, str) else ("", False)


def run_in(live: Path) -> str:
    """The run id that a catalogue names in its own text; empty when it cannot be read or names none."""
    return made_by(live)[0]


def _finish(ws: Workspace, journal: Journal, intent: Intent, staged: Path, say: Say) -> None:
    _drop_displaced(ws, intent, staged, say)


def _hold(ws: Workspace, journal: Journal, intent: Intent, staged: Path, say: Say) -> None:
    _drop_displaced(ws, intent, staged, say)
    say(f"{intent.run} stays live unproven, as --no-auto-rollback asked; `mobius rollback` takes it back")


def _discard(ws: Workspace, journal: Journal, intent: Intent, staged: Path, say: Say) -> None:
    # what was staged before its hash was noted is a torn piece of our own, if the journal is whole
    if (intent.sound and not intent.after) or hash_or_absent(staged) in intent.ours:
        staged.unlink(missing_ok=True)
        return
    _drop_displaced(ws, intent, staged, say)


def _drop_displaced(ws: Workspace, intent: Intent, staged: Path, say: Say) -> Path | None:
    """Remove what the swap displaced when it is known content; somebody's late write into it is kept."""
    found = hash_or_absent(staged)
    if found == ABSENT:
        return None
    if found in intent.ours or (found == intent.before and _is_backed_up(ws, intent)):
        staged.unlink()
        return None
    kept, _ = keep_displaced(
        staged, intent.live, _emergency(ws), run_id=intent.run, who=intent.who, reason=f"displaced by {intent.run}"
    )
    say(f"what {intent.run} displaced holds a later write of another program; it is kept as {visible(str(kept))}")
    return kept


def _is_backed_up(ws: Workspace, intent: Intent) -> bool:
    """Whether the way back holds what was displaced, so that its removal loses nothing."""
    if not intent.backup:
        return False
    try:
        kept = read_backup_catalogue(ws.backups, intent.backup)
    except (MobiusError, OSError):
        return False
    return hashlib.sha256(kept).hexdigest() == intent.before


def _swap_back(ws: Workspace, journal: Journal, intent: Intent, staged: Path, say: Say) -> Path | None:
    """Exchange the displaced file for the published one: needs no space, and brings a late foreign write back too."""
    if hash_or_absent(staged) != intent.before and not _is_catalogue(staged):
        say("what the swap displaced was written to by another program and is no catalogue; the way back is restored")
        return _restore(ws, journal, intent, staged, say)
    published = hash_or_absent(real_file(intent.live))
    if published not in intent.ours:  # written by others since it was judged: that is to be kept
        raise Changed(f"{visible(str(intent.live))} was changed by somebody else meanwhile", fix="run it again")
    swap(staged, intent.live, published)
    if run_in(intent.live) == intent.run:  # a canary that others wrote on after it was displaced
        return _restore(ws, journal, intent, staged, say)
    return _keep_published(ws, intent, staged, say)


def _is_catalogue(path: Path) -> bool:
    try:
        read_catalogue(path)
    except MobiusError:
        return False
    return True


def _put_back(ws: Workspace, journal: Journal, intent: Intent, staged: Path, say: Say) -> Path | None:
    swap(staged, intent.live, ABSENT)
    say("the live catalogue was gone; the one from before the deploy is live again")
    return _restore(ws, journal, intent, staged, say) if run_in(intent.live) == intent.run else None


def _mend(ws: Workspace, journal: Journal, intent: Intent, staged: Path, say: Say) -> Path:
    """Exchange what is no catalogue for the displaced one; it is kept all the same."""
    swap(staged, intent.live, hash_or_absent(real_file(intent.live)))
    return _keep_published(ws, intent, staged, say)


def _withdraw(ws: Workspace, journal: Journal, intent: Intent, staged: Path, say: Say) -> Path | None:
    """Take the first publication away; what others wrote on top of it stays, without what MOBIUS owns."""
    _drop_displaced(ws, intent, staged, say)
    if hash_or_absent(real_file(intent.live)) in intent.ours:
        return _keep_published(ws, intent, real_file(intent.live), say)
    say("others wrote the catalogue since; it stays live without what MOBIUS owns")
    return _restored(ws, journal, intent, without_owned(), say)


def _keep_published(ws: Workspace, intent: Intent, file: Path, say: Say) -> Path:
    kept, warnings = keep_displaced(
        file, intent.live, _emergency(ws), run_id=intent.run, who=intent.who, reason=f"rolled back from {intent.run}"
    )
    for warning in warnings:
        say(warning)
    return kept


def _restore(ws: Workspace, journal: Journal, intent: Intent, staged: Path, say: Say) -> Path | None:
    """Write the way back, with what others wrote on top of the publication."""
    target = _former(ws, intent, staged, say)
    now = hash_or_absent(real_file(intent.live))
    published = now if now in intent.ours else intent.after or None
    kept = _restored(ws, journal, intent, keeping_others(target, published=published), say)
    _drop_displaced(ws, intent, staged, say)
    return kept


def _restored(ws: Workspace, journal: Journal, intent: Intent, plan: Plan, say: Say) -> Path | None:
    """Put other content live, journalled; returns the copy that is kept of what was."""
    run = _undo_run(intent)

    def note(what: str, **facts: object) -> None:
        journal.note(what, **{"run": run, **facts})

    return restore_catalogue(
        intent.live,
        plan,
        run_id=run,
        emergency=_emergency(ws),
        who=intent.who,
        reason=f"rolled back from {intent.run}",
        note=note,
        say=say,
    ).emergency


def _former(ws: Workspace, intent: Intent, staged: Path, say: Say) -> bytes:
    """What was live before: the displaced file while it is still that, else the way back, else an older good one."""
    with contextlib.suppress(OSError):
        displaced = read_whole(staged).data
        if hashlib.sha256(displaced).hexdigest() == intent.before:
            return displaced
    try:
        return read_backup_catalogue(ws.backups, intent.backup or _way_back(ws, intent).backup.name)
    except (ProcessingFailed, EnvironmentFailed) as error:
        target = choose_target(_way_back(ws, intent), ws.backups, intent.live)
        say(f"{error.what}; {visible(target.name)} takes its place")
        return target.data


def _way_back(ws: Workspace, intent: Intent) -> WayBack:
    """The backups to go back to when the journal no longer names one, or that one is not good."""
    found = way_back(ws.state, ws.backups, intent.live)
    if found is None:
        raise ProcessingFailed(
            "the deploy cannot be undone: no backup is known to be its way back",
            where=visible(str(ws.backups)),
            fix="`mobius rollback --list` names the good ones",
        )
    return found


def _undo_run(intent: Intent) -> str:
    return f"{intent.run}-undo"


def _emergency(ws: Workspace) -> Path:
    return ws.backups / "emergency"


_ACTS: dict[Verdict, Callable[[Workspace, Journal, Intent, Path, Say], Path | None]] = {
    "finish": _finish,
    "hold": _hold,
    "discard": _discard,
    "swap back": _swap_back,
    "put back": _put_back,
    "mend": _mend,
    "withdraw": _withdraw,
    "restore": _restore,
}

_OUTCOMES: dict[Verdict, str] = {
    "finish": "done",
    "hold": "held",
    "discard": "undone",
    "swap back": "rolled back",
    "put back": "rolled back",
    "mend": "rolled back",
    "withdraw": "rolled back",
    "restore": "rolled back",
}

_SENTENCES: dict[Verdict, str] = {
    "finish": "it was published and proven; only the cleaning up was left",
    "hold": "it is live but not proven; it was left so, as asked",
    "discard": "nothing of it is live; its leftovers are removed",
    "swap back": "it was live but not proven; the catalogue from before is live again",
    "put back": "the live catalogue was gone; the one from before is live again",
    "mend": "another program broke the live file after the swap; the catalogue from before is live again",
    "withdraw": "it was live but not proven; there was no catalogue before, and nothing of this deploy is live now",
    "restore": "it was live but not proven; the way back is live again, with what others wrote since",
}

_NOTED: dict[str, str] = {"done": "deploy", "rolled back": "deploy rolled back", "held": "deploy held"}


def live_since(records: Sequence[Mapping[str, Any]]) -> str:
    """When a deploy's content became live, by its journal, as ISO 8601; empty when it does not say."""
    swaps = [found for found in records if found.get("what") == "step" and found.get("step") == "swap"]
    taken = [found for found in swaps if found.get("state") == "done"] or swaps  # killed before that was noted
    return str(taken[-1].get("time") or "") if taken else ""


def _note_once(ws: Workspace, intent: Intent, outcome: str, now: str, reason: str, since: str) -> None:
    """Note what changed the live file in the history, once, however often the end of the deploy is cut off."""
    act = _NOTED.get(outcome)
    if act is None:
        return
    with contextlib.suppress(OSError, EnvironmentFailed):  # the journal has it; a full disk keeps nobody from ending
        if any(found.get("run") == intent.run and found.get("act") == act for found in read_history(ws.state)):
            return
        before = intent.after if outcome == "rolled back" else intent.before
        if outcome != "rolled back" and now not in intent.ours:
            now = intent.after or now  # what others wrote on top is not ours: a rollback has to tell it apart
        note_act(
            ws.state,
            act,
            intent.who or ws.actor,
            run_id=intent.run,
            reason=reason or intent.reason,
            before=None if before in {"", ABSENT} else before,
            after=None if now == ABSENT else now,
            details={"backup": intent.backup or None}
            | ({"live_since": since} if since and outcome != "rolled back" else {}),
        )
