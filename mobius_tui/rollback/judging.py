"""What a cut-off deploy has done, told from the files' hashes; the journal only says what was meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mobius_tui.recovery.atomic import ABSENT

CANARY = "canary"
"""Key in a catalogue's record of its run: only so many percent of its images have the new fingerprints."""

Verdict = Literal["finish", "swap back", "restore", "put back", "mend", "withdraw", "discard", "hold"]
"""What is to be done about a deploy that was cut off or has failed:

- finish: published and proven; only the cleaning up is left.
- swap back: published, not proven; what it displaced is beside it and goes back in one exchange.
- restore: published, not proven, and others have written on top or the displaced file is gone: the way back is
  restored, with what others wrote.
- put back: the live file is gone; the displaced one takes its place again.
- mend: after the swap another program has put something live that is no catalogue; the displaced one takes its place.
- withdraw: published where no catalogue was before; it is taken away again.
- discard: nothing of it is live; only its leftovers go.
- hold: published, not proven, and the operator wanted no rollback by itself.

A canary is published and never proven: it goes back whatever the operator wanted, as no one asked for it to stay.
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a deploy's journal says was meant.

    Attributes:
        run: The run id.
        live: The live name.
        before: SHA-256 of the live file that was read last; ``absent`` when there was none, empty before it was read.
        after: SHA-256 of the content staged last; empty before it was staged, and while another is being staged.
        ours: Hashes of everything this run has staged.
        canaries: Those of them that are a canary: content that must not stay.
        backup: Name of the way back; empty when there is none.
        proven: Whether the smoke tests of the publication passed.
        hooked: Whether the hook before the swap may have run.
        automatic: Whether it rolls back by itself.
        restore: The records of a restore that was begun, later ones over earlier ones; None when none was.
        sound: Whether the journal is whole: what it does not say was then not begun.
        who: The actor.
        reason: Why it ran.
    """

    run: str
    live: Path
    before: str
    after: str
    ours: frozenset[str]
    canaries: frozenset[str]
    backup: str
    proven: bool
    hooked: bool
    automatic: bool
    restore: Mapping[str, Any] | None
    sound: bool
    who: str
    reason: str


def intent_of(run: str, records: Sequence[Mapping[str, Any]], live: Path) -> Intent:
    """Read a deploy's intent from its records.

    Args:
        run: The run id.
        records: The journal's, oldest first; any of them may be missing.
        live: The live name; the one in the journal is not gone by, for the workspace may have been moved or copied.

    Returns:
        The intent; text where text belongs, whatever the records hold.
    """
    begin = next((record for record in records if record.get("what") == "begin"), {})
    last: Mapping[str, Any] = {}
    ours, canaries = set(), set()
    proven = hooked = False
    restore: Mapping[str, Any] | None = None
    for record in records:
        what, step, state = record.get("what"), record.get("step"), record.get("state")
        if what == "round":  # the former round is over and cleaned up: what it staged is not live
            last, proven, restore = record, False, None
        elif what == "staging":  # a torn piece of our own may lie under the staged name
            last = {**last, "after": ""}
        elif what == "staged":
            last = {**last, **record}
            ours.add(_text(record.get("after")))
            if record.get("canary"):
                canaries.add(_text(record.get("after")))
        elif what == "restore":
            restore = {**(restore or {}), **record}
        elif what == "step" and step == "smoke" and state == "done":
            proven = True
        elif what == "step" and step == "before hook" and state in {"running", "done", "failed"}:
            hooked = True
    options = begin.get("options")
    return Intent(
        run=run,
        live=live,
        before=_text(last.get("before")),
        after=_text(last.get("after")),
        ours=frozenset(ours - {""}),
        canaries=frozenset(canaries - {""}),
        backup=_text(last.get("backup")),
        proven=proven,
        hooked=hooked,
        automatic=not isinstance(options, Mapping) or options.get("auto_rollback") is not False,
        restore=restore,
        sound=bool(begin) and not any(record.get("what") == "corrupt" for record in records),
        who=_text(begin.get("who")),
        reason=_text(begin.get("reason")),
    )


def judge(
    intent: Intent, live: str, staged: str, *, carries_run: bool, carries_canary: bool = False, broken: bool = False
) -> Verdict:
    """Decide by the hashes what a deploy has done and what is left to do.

    Args:
        intent: What was meant.
        live: SHA-256 of the live file now, or ``absent``.
        staged: SHA-256 of what lies under the staged name, or ``absent``.
        carries_run: Whether the live file says in its own text that this run made it: others then wrote on top of it.
        carries_canary: Whether it says, too, that it is a canary.
        broken: Whether the live file is no catalogue.

    Returns:
        The verdict.
    """
    displaced = staged != ABSENT and staged not in intent.ours
    if live == ABSENT:
        if not intent.after or intent.before == ABSENT:
            return "discard"
        return "put back" if displaced else "restore"
    # a run that found nothing to change stages the very bytes that are live
    published = (live in intent.ours and live != intent.before) or carries_run
    if not published:
        # what was live before lies under the staged name only after the swap
        return "mend" if broken and staged == intent.before else "discard"
    if live not in intent.canaries and not carries_canary:
        if intent.proven:
            return "finish"
        if not intent.automatic:
            return "hold"
    if intent.before == ABSENT:
        return "withdraw"
    return "swap back" if displaced and live in intent.ours else "restore"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
