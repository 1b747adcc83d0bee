"""What is to be told, kept until it is: a file each in ``.mobius/outbox/``."""

from __future__ import annotations

from mobius_tui.logs import SERVICE_LOG, JsonLog
from mobius_tui.notifications.message import Notification, text_of
from mobius_tui.workspace import Workspace


def notify(ws: Workspace, notification: Notification) -> None:
    """Tell people; never raises, and returns at once: the sending goes on in a thread of its own.

    Args:
        ws: The workspace, whose routes say where to.
        notification: What happened.
    """
    log = JsonLog(ws.logs / SERVICE_LOG, rotate=True, least=ws.settings.log_level, within=ws.root)
    log.write("info", "notify", notification.kind.replace(" ", "_"), text_of(notification), notification.run)


def step_outbox(ws: Workspace, now: float | None = None, *, wait_s: float = 0.0) -> int:
    """Send what is due: new ones, failed ones again, critical ones that nobody has acknowledged.

    Cheap when nothing is due. Several processes may do it at once.

    Args:
        ws: The workspace.
        now: Seconds since the epoch; None means the clock's.
        wait_s: Seconds to wait for what is sent in the background.

    Returns:
        How many were due.
    """
    return 0


def acknowledge(ws: Workspace, number: str, who: str) -> bool:
    """Note that somebody has seen a notification, so that it is not repeated.

    Args:
        ws: The workspace.
        number: Its id.
        who: The actor.

    Returns:
        Whether there was such a one that nobody had acknowledged.
    """
    return False
