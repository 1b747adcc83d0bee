"""The state folder: made when missing, refused where locks and the database cannot be trusted."""

from __future__ import annotations

from mobius_tui.errors import EnvironmentFailed, OutOfResource, exit_code_of
from mobius_tui.system.mounts import network_filesystem
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


def check_state_folder(ws: Workspace) -> None:
    """Make the state folder, and refuse it where locks and the database cannot be trusted.

    Args:
        ws: The workspace.

    Raises:
        EnvironmentFailed: It lies on a network filesystem or cannot be made.
        OutOfResource: There is no room for it.
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
        spent = exit_code_of(error) == OutOfResource.exit_code
        failed, fix = (
            (OutOfResource, "free space") if spent else (EnvironmentFailed, "check the rights of the workspace")
        )
        said = f"the state folder cannot be made: {error.strerror}"
        raise failed(said, where=visible(str(ws.state)), fix=fix) from error
