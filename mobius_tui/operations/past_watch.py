"""The watch that ended last, when what it ended with still concerns what is live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mobius_tui.guard.ending import last_publication
from mobius_tui.rollback.publications import read_acts
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

_ACT: Final = "watch "
_TOLD: Final = frozenset({"rolled back", "undecided", "stopped"})


def last_watch(ws: Workspace) -> str:
    """How the last watch ended, when it was not accepted and nothing was published since.

    Args:
        ws: The workspace.

    Returns:
        Outcome, time, who decided and why, in one line; empty when there is nothing to tell.
    """
    published = last_publication(ws)[1]
    for act in reversed(read_acts(ws.state)):
        name = str(act.get("act") or "")
        if name.startswith(_ACT):
            outcome = name.removeprefix(_ACT)
            superseded = str(act.get("reason") or "").startswith("superseded by ")
            return _sentence(outcome, act) if outcome in _TOLD and not superseded else ""
        if published and str(act.get("run") or name) == published:
            return ""
    return ""


def _sentence(outcome: str, act: Mapping[str, Any]) -> str:
    who, why = str(act.get("who") or ""), str(act.get("reason") or "no reason was given")
    by = f" by {visible(who)}" if who and not who.startswith("rule ") else ""  # a rule is named in its own reason
    return f"{outcome} {visible(str(act.get('time') or '-'))}{by}: {visible(why)}"
