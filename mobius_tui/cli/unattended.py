"""Verbs that cron or systemd runs: when one that writes has failed, people are told.

Standard library only, as a rollback goes through here too.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mobius_tui.cli.output import is_terminal
from mobius_tui.errors import Held, MobiusError

_VERBS: Final = {"migrate", "deploy", "backup", "rollback", "watch"}
_HARMLESS: Final = {"backup list", "watch status"}
_LOOKS: Final = {"--dry-run", "--list", "--follow", "--help", "-h"}
_TAKES_VALUE: Final = {"--workspace", "--env", "--as", "--timeout", "--theme", "--keymap"}
_OVER: Final = {"refused", "cancelled"}


def tell_if_unattended(
    arguments: Sequence[str], code: int, error: BaseException | None, sentence: str, began: float
) -> None:
    """Tell people that a verb failed, when nobody looks on and a route leads to them.

    Never raises and never waits: what is sent is waited for when the process ends, a few seconds at most.

    Args:
        arguments: What follows ``mobius``.
        code: The verb's exit code; only 1 to 5 are told.
        error: What ended it; None when it ended by itself.
        sentence: The same in words.
        began: When it began, seconds since the epoch.
    """
    if not 1 <= code <= 5 or isinstance(error, Held) or _attended():
        return
    verb, options = _words(arguments)
    if verb.split(" ")[0] not in _VERBS or verb in _HARMLESS or _LOOKS & set(arguments):
        return
    with contextlib.suppress(BaseException):  # a signal that comes now does not change how it ended
        _tell(verb, options, code, sentence, began)


def _attended() -> bool:
    return any(is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr))


def _tell(verb: str, options: dict[str, str], code: int, sentence: str, began: float) -> None:
    from mobius_tui.notifications.failed import tell_failed
    from mobius_tui.system.identity import login_name
    from mobius_tui.workspace import open_workspace

    root = Path(options.get("--workspace") or os.environ.get("MOBIUS_WORKSPACE") or ".")
    who = options.get("--as") or login_name(os.environ)
    ws = open_workspace(root, {"environment": options.get("--env")}, os.environ, who, lenient=True)
    if not ws.sourced.routes:
        return
    state, run, why = _job_of(ws.database, verb.split(" ", maxsplit=1)[0], began)
    if state not in _OVER:
        tell_failed(ws, verb, code, sentence or why or f"it ended with exit code {code}", run)


def _job_of(database: Path, kind: str, began: float) -> tuple[str, str, str]:
    """State, run and error of the verb's own job; empty when it had none."""
    from mobius_tui.store.database import open_for_reading
    from mobius_tui.store.jobs import list_jobs

    with contextlib.suppress(sqlite3.Error, OSError, MobiusError):
        connection = open_for_reading(database)
        if connection is not None:
            with contextlib.closing(connection):
                for job in list_jobs(connection, limit=5):
                    if job.kind == kind and job.finished_at is not None and job.finished_at >= began:
                        return job.state, job.run_id, job.error
    return "", "", ""


def _words(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The verb, with the one below it, and the options that say which workspace and whose."""
    words: list[str] = []
    options: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in _TAKES_VALUE:
            options[name] = value if equals else next(rest, "")
        elif not word.startswith("-"):
            words.append(word)
    below = words[1:2] if words[:1] in (["backup"], ["watch"]) else []
    return " ".join([*words[:1], *below]), options
