"""What is told when work that nobody looks at has failed: a verb without a terminal, a job of the worker."""

from __future__ import annotations

from typing import Final

from mobius_tui.notifications.message import AUDIENCE_OF_EXIT, Notification
from mobius_tui.notifications.outbox import notify, routes_to
from mobius_tui.workspace import Workspace

GRAVE: Final = ("rollback", "backup restore")
"""What is critical when it fails: whoever started it has no other way back."""


def tell_failed(ws: Workspace, what: str, code: int, sentence: str, run: str = "") -> None:
    """Tell the audience of an exit code that something failed; never raises, nothing happens without a route.

    Args:
        ws: The workspace.
        what: The verb, such as ``migrate`` or ``backup create``.
        code: Its exit code; only 1 to 5 are told.
        sentence: Why.
        run: Its run; two failures of one run are one.
    """
    audience = AUDIENCE_OF_EXIT.get(code)
    if audience is None:
        return
    told = Notification(
        kind="failed verb",
        severity="critical" if what in GRAVE else "warning",
        audience=audience,
        title=f"{what} failed with exit code {code}",
        sentence=sentence,
        run=run,
        verdict={"verb": what, "exit_code": code, "error": sentence, "run": run},
        key=f"failed {run} {code}" if run else "",
    )
    if routes_to(ws, told):
        notify(ws, told)
