"""Who acts: the login name, through sudo."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping


def login_name(environ: Mapping[str, str]) -> str:
    """The person behind the process: ``SUDO_USER`` first, then the account's name.

    Args:
        environ: The process environment.

    Returns:
        A login name; ``uid N`` when the account has none.
    """
    if environ.get("SUDO_USER"):
        return environ["SUDO_USER"]
    try:
        return _account_name()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _account_name() -> str:
    try:
        import pwd
    except ImportError:
        return getpass.getuser()
    return pwd.getpwuid(os.getuid()).pw_name


def host_name() -> str:
    """This machine's name."""
    return socket.gethostname()
