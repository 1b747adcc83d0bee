"""The key that guards metrics and API: for the worker that asks for it, and for the programs that show it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.recovery.hashes import open_whole
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

KEY_HEADER: Final = "X-Internal-API-Key"
"""The header that carries it; ``Authorization: Bearer`` does as well."""

LONGEST_KEY: Final = 1024
"""Characters of a key at most: it has to fit a header."""


def read_api_key(ws: Workspace) -> str:
    """The key of a workspace's service, read anew at each call.

    Args:
        ws: The workspace; ``internal_api_key`` counts before ``internal_api_key_file``.

    Returns:
        Visible ASCII characters; empty when no key is set.

    Raises:
        BadInput: The file is missing or empty, or what is set could not be sent in a header.
        EnvironmentFailed: The file cannot be read, or others can read it.
    """
    if ws.settings.internal_api_key:
        return _usable(ws.settings.internal_api_key, ws.sourced.sources.get("internal_api_key", ""))
    named = ws.settings.internal_api_key_file
    return _usable(_content(ws.root / Path(named).expanduser()), visible(named)) if named else ""


def _content(path: Path) -> str:
    """The first line of a key file, which must be the only one."""
    shown = visible(str(path))
    try:
        with open_whole(path) as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise EnvironmentFailed(
                    "others can read the file of the API key", where=shown, fix=f"chmod 600 {shown}"
                )
            data = file.read(LONGEST_KEY + 3)
    except FileNotFoundError as error:
        raise BadInput("there is no file of the API key", where=shown, fix="mend internal_api_key_file") from error
    except OSError as error:
        raise EnvironmentFailed(
            f"the file of the API key cannot be read: {error.strerror}", where=shown, fix="check its owner and mode"
        ) from error
    return data.decode("latin-1").removesuffix("\n").removesuffix("\r")


def _usable(key: str, where: str) -> str:
    """The key itself; never part of what is said of it."""
    if not key:
        raise BadInput("the file of the API key is empty", where=where, fix="write a long random key into it")
    if len(key) > LONGEST_KEY or not all("!" <= letter <= "~" for letter in key):
        raise BadInput(
            f"the API key must be one line of visible ASCII characters without spaces, {LONGEST_KEY} at most",
            where=where,
            fix="such as what `openssl rand -hex 32` prints",
        )
    return key
