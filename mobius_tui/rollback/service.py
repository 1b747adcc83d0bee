"""The worker around a rollback: started again when one ran before, and asked how it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

from mobius_tui.errors import MobiusError
from mobius_tui.launch.health import Health, wait_healthy
from mobius_tui.launch.worker import ensure_worker, stop_worker, worker_holder
from mobius_tui.settings import Settings
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

HEALTHY_S = 20.0
"""Seconds a restarted worker has to answer that it is well."""

REASON = "rollback"
"""Why the worker is restarted, as the history says."""


def settings_of(pid: int) -> dict[str, str]:
    """The settings that a process was given by its environment; none where the system does not tell them.

    A worker that is started again without them would lose its key, and serve whoever asks.
    """
    aliases = {item.metadata["alias"] for item in fields(Settings)}
    try:
        given = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (os.fsdecode(each).partition("=") for each in given.split(b"\0"))
    return {name: value for name, is_one, value in pairs if is_one and (name.startswith("MOBIUS_") or name in aliases)}


class Service:
    """The worker as it was when the rollback began.

    Args:
        ws: The workspace.
        environ: The environment that a new worker gets, with the settings that the old one was given.
        env_name: The environment that was chosen by ``--env``.
        wait: Asks for its health until it is well or the time is up.

    Attributes:
        ran: Whether one ran.
    """

    def __init__(
        self,
        ws: Workspace,
        environ: Mapping[str, str],
        env_name: str | None,
        wait: Callable[[Workspace, float], Health] = wait_healthy,
    ) -> None:
        self._ws = ws
        self._environ = dict(environ)
        self._env_name = env_name
        self._wait = wait
        try:
            worker = worker_holder(ws)
            self.ran = worker is not None
            self._environ |= settings_of(worker.pid) if worker is not None else {}
        except MobiusError:
            self.ran = False

    def restart(self, say: Callable[[str], None]) -> tuple[str, bool]:
        """Restart the worker if one ran.

        Args:
            say: Told what is done.

        Returns:
            What became of it, in words, empty when none ran; and whether all is well.
        """
        if not self.ran:
            return "", True
        say("restarting the worker")
        try:
            stop_worker(self._ws, reason=REASON)
            ensure_worker(self._ws, self._environ, self._env_name, reason=REASON)
        except (MobiusError, OSError) as error:
            return f"the worker ran before and does not run now: {visible(str(error))}", False
        health = self._wait(self._ws, HEALTHY_S)
        said = visible(health.sentence)
        if not said.startswith(health.status):  # an answer's own sentence begins with it
            said = f"{health.status}, {said}" if said else health.status
        return f"the worker was restarted: {said}", health.answers
