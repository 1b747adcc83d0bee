"""The worker around a rollback: started again when one ran before, and asked how it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mobius_tui.errors import MobiusError
from mobius_tui.launch.health import Health, wait_healthy
from mobius_tui.launch.worker import ensure_worker, stop_worker, worker_holder
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

HEALTHY_S = 20.0
"""Seconds a restarted worker has to answer that it is well."""

REASON = "rollback"
"""Why the worker is restarted, as the history says."""


class Service:
    """The worker as it was when the rollback began.

    Args:
        ws: The workspace.
        environ: The environment that a new worker gets.
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
        self._environ = environ
        self._env_name = env_name
        self._wait = wait
        try:
            self.ran = worker_holder(ws) is not None
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
