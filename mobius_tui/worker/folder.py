"""The state folder: made when missing, refused where locks and the database cannot be trusted."""

from __future__ import annotations

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.system.mounts import network_filesystem
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


def check_state_folder(ws: Workspace) -> None:
    """Make the state folder, and refuse it where locks and the database cannot be trusted.

    Args:
        ws: The workspace.

    Raises:
        EnvironmentFailed: It lies on a network filesystem or cannot be made.
    """
    kind = network_filesystem(ws.state)
    if kind:
        raise EnvironmentFailed(
            f"the state folder is on a network filesystem ({kind}), where locks and the database are not safe",
            where=visible(str(ws.state)),
            fix='set state_dir = "/var/lib/mobius/NAME", or another folder of a local disk, in mobius.toml',
        )
    try:
        ws.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFailed(
            f"the state folder cannot be made: {error.strerror}",
            where=visible(str(ws.state)),
            fix="check the rights of the workspace",
        ) from error
