"""`mobius` alone: the console."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mobius_tui.cli.call import Call
from mobius_tui.cli.output import is_terminal
from mobius_tui.errors import BadInput, EnvironmentFailed


def open_console(
    call: Call,
    *,
    read_only: bool = False,
    low_bandwidth: bool = False,
    ascii_only: bool = False,
    theme: str | None = None,
    keymap: str | None = None,
) -> int:
    """Open the console on the workspace of a call.

    Args:
        call: The call.
        read_only: No key changes anything.
        low_bandwidth: Fewer repaints.
        ascii_only: Plain ASCII borders and marks.
        theme: Name of the colours; None means that of the settings.
        keymap: TOML file with other keys, meant from the current folder.

    Returns:
        The console's exit code.

    Raises:
        BadInput: There is no workspace, or an option makes no sense here.
        EnvironmentFailed: There is no terminal.
    """
    ws = call.open(writes=not read_only)
    if call.json or call.timeout is not None:
        option = "--json" if call.json else "--timeout"
        raise BadInput(f"{option} is for verbs, not for the console", fix="`mobius status` has the same as text")
    require_terminal()
    keys = None if keymap is None else Path(keymap).absolute()
    return call.console(
        ws, read_only=read_only, low_bandwidth=low_bandwidth, ascii_only=ascii_only, theme=theme, keymap=keys
    )


def has_terminal() -> bool:
    """Whether a console can be shown: stdin and stdout are a terminal that knows how to move its cursor."""
    return is_terminal(sys.stdin) and is_terminal(sys.stdout) and os.environ.get("TERM", "dumb") != "dumb"


def require_terminal() -> None:
    """Refuse where no console can be shown.

    Raises:
        EnvironmentFailed: Says which verbs show the same as text.
    """
    if not has_terminal():
        raise EnvironmentFailed(
            "the console needs a terminal", fix="`mobius status`, `mobius jobs` and `mobius logs -f` show it as text"
        )
