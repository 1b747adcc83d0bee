"""The rollback of a watch: which backup, doing it, and telling from the files whether it was done."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError, ProcessingFailed
from mobius_tui.guard.files import open_watch
from mobius_tui.launch.health import Health, ask_health, wait_healthy
from mobius_tui.launch.worker import ensure_worker
from mobius_tui.recovery.staging import hash_or_absent, real_file
from mobius_tui.rollback.options import Outcome, RollbackOptions
from mobius_tui.rollback.publications import read_acts
from mobius_tui.rollback.recover import recover
from mobius_tui.rollback.restore import read_present
from mobius_tui.rollback.run import known_way_back, places_of, roll_back
from mobius_tui.rollback.undo import run_in
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

HEALTHY_S = 20.0
"""Seconds that the service has to be well after a rollback."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a rollback is about to do, noted before it is done.

    Attributes:
        backup: The backup that comes back; empty takes the way back from what is live.
        before: SHA-256 of what is live, or ``absent``.
        run: The run that the live catalogue names; empty when it names none.
        who: Who decided it.
        reason: Why, as the history keeps it; begins with the watch's run id.
        lost: Not empty when the catalogue was found with less than was published and nothing to explain it.
    """

    backup: str
    before: str
    run: str
    who: str
    reason: str
    lost: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Intent:
        """From a record of the journal."""
        return cls(*(str(record.get(name) or "") for name in cls.__dataclass_fields__))


class GoingBack:
    """The rollback as the guard does it.

    Args:
        ws: The workspace.
        environ: The environment that a started worker gets.
        env_name: The environment that was chosen by ``--env``.
        say: Told what happens.
        live: The catalogue that is guarded; empty means the workspace's.
    """

    def __init__(
        self,
        ws: Workspace,
        environ: Mapping[str, str],
        env_name: str | None,
        say: Callable[[str], None],
        live: str = "",
    ) -> None:
        self._ws, self._environ, self._env_name, self._say, self._live = ws, environ, env_name, say, live

    def way(self) -> str:
        """Name of the backup that is on record as the way back from what is live; empty when none is.

        What was published where nothing was before has none; the newest of the backups would be a guess.
        """
        try:
            places = places_of(self._ws, RollbackOptions())
            way = known_way_back(self._ws, places, read_present(places.live, patience_s=0.0))
        except (MobiusError, OSError):
            return ""
        return way.backup.name if way is not None and way.certain else ""

    def intent(self, backup: str, who: str, reason: str) -> Intent:
        """What a rollback now would do."""
        live = self._ws.catalogue
        try:
            before, run = hash_or_absent(real_file(live)), run_in(real_file(live))
        except OSError:
            before, run = "", ""
        return Intent(backup, before, run, who, reason)

    def was_done(self, intent: Intent) -> bool:
        """Whether a rollback that was begun before is done, by what is live now; first it is brought to rest.

        Raises:
            MobiusError: What was cut off cannot be brought to rest.
            OSError: The live file cannot be read.
        """
        recover(self._ws, self._say)
        live = real_file(self._ws.catalogue)
        now = hash_or_absent(live)
        if now == intent.before:
            return False
        for act in reversed(read_acts(self._ws.state)):
            if act.get("act") == "rollback" and act.get("reason") == intent.reason:
                return True
        return bool(intent.run) and run_in(live) not in {"", intent.run}

    def run(self, intent: Intent) -> Outcome:
        """Roll back; a named backup that is bad is passed over for an older good one.

        Where no backup can be gone back to, the catalogue stays and a dead worker is started all the same.

        Returns:
            How it went.

        Raises:
            MobiusError: It is not done; the live file is whole.
            OSError: Likewise.
        """
        try:
            return self._run(intent)
        except (ProcessingFailed, BadInput):
            self._start_own_worker()
            raise

    def _run(self, intent: Intent) -> Outcome:
        ws = replace(self._ws, actor=intent.who)
        if self._live and os.path.realpath(self._live) != os.path.realpath(ws.catalogue):
            raise EnvironmentFailed(
                "the watch guards another catalogue than the settings of its guard name",
                where=visible(self._live),
                fix="`mobius rollback` with the settings of the deploy (--env, LIBRARY_DIR)",
            )
        if not (intent.backup or self.way()):
            raise ProcessingFailed(
                "nothing can be rolled back: no backup is on record as the way back from what is live, and the guard "
                "takes none by guess; the catalogue stays as it is",
                fix="`mobius watch stop --reason TEXT` ends this; if an older backup fits (`mobius rollback --list`), "
                "`mobius rollback --backup NAME`; `mobius backup create` keeps what is live for a next time",
            )
        parses = read_present(real_file(ws.catalogue), patience_s=0.0).document is not None
        options = RollbackOptions(
            backup=intent.backup or None,
            keep_new=parses,
            bring_back=parses and bool(intent.lost),  # else what was lost would stay so
            force=True,
            reason=intent.reason,
        )
        try:
            return self._roll_back(ws, options)
        except (ProcessingFailed, BadInput) as error:
            if options.backup is None:
                raise
            self._say(f"{visible(intent.backup)} cannot be taken: {visible(str(error))}; an older one is looked for")
            return self._roll_back(ws, replace(options, backup=None))

    def _roll_back(self, ws: Workspace, options: RollbackOptions) -> Outcome:
        return roll_back(
            ws, options, confirm=lambda _: True, say=self._say, environ=self._environ, env_name=self._env_name
        )

    def _start_own_worker(self) -> None:
        """Start the workspace's own worker if it is what is watched and it is dead."""
        try:
            watch = open_watch(self._ws)
            if self._ws.settings.base_url or (watch is not None and watch.plan.base_url):
                return
            if ensure_worker(self._ws, self._environ, self._env_name, reason="watch, nothing to roll back to"):
                self._say("the worker was dead and is started; the catalogue stays")
        except (MobiusError, OSError) as error:
            self._say(f"the worker does not start: {visible(str(error))}")

    def revive(self, base_url: str) -> Health:
        """Have the service well after a rollback: the workspace's own worker is started if it is dead.

        Args:
            base_url: The service that was watched; empty means ``base_url`` of the settings, else the own worker.

        Returns:
            How it is.
        """
        url = base_url or self._ws.settings.base_url
        if url:
            return wait_healthy(self._ws, HEALTHY_S, ask=lambda _: ask_health(url))
        try:
            if ensure_worker(self._ws, self._environ, self._env_name, reason="after the watch's verdict"):
                self._say("the worker was dead and is started")
        except (MobiusError, OSError) as error:
            return Health("unreachable", sentence=f"the worker does not start: {visible(str(error))}")
        return wait_healthy(self._ws, HEALTHY_S)
