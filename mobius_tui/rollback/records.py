"""What a rollback leaves behind: journal, run log, job row, history. None of them may keep it from restoring."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mobius_tui.errors import MobiusError
from mobius_tui.logs import LEVELS, SERVICE_LOG, JsonLog
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.journal import ENDING, JOURNALS, Journal
from mobius_tui.recovery.reserve import release_reserve
from mobius_tui.store.database import open_database
from mobius_tui.store.events import add_event
from mobius_tui.store.jobs import add_job, finish_job
from mobius_tui.system import clock
from mobius_tui.system.processes import process_token
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

_BUSY_MS = 500
_FOR_ALL = {"start", "end"}
_RESTORING = {
    "staging": "the target is being written beside the live file",
    "staged": "the target lies beside the live file and was read back",
    "swapped": "the target is live",
    "same": "the target was live already",
}
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Records:
    """The records of one rollback, each kept as well as the disk allows.

    Args:
        ws: The workspace.
        live: The live catalogue.
        options: What was asked for, as data.
        reason: Why.

    Attributes:
        run_id: The run.
        log: The run log.
        warnings: What could not be kept, in words.
    """

    def __init__(self, ws: Workspace, live: Path, options: Mapping[str, object], reason: str) -> None:
        self.ws = ws
        self.warnings: list[str] = []
        self._live = live
        self._reason = reason
        self._ended = False
        self._connection: sqlite3.Connection | None = None
        self._job: int | None = None
        self._is_deaf = False
        self._untold: list[tuple[float, str, str, str, Mapping[str, object]]] = []
        self.run_id = self._row(options) or self._free_run_id()
        self.log = JsonLog(ws.logs / f"{self.run_id}.log", within=ws.root)
        self._service = JsonLog(ws.logs / SERVICE_LOG, rotate=True, least=ws.settings.log_level, within=ws.root)
        self._journal = self._begun(options)
        why = f": {visible(reason)}" if reason else ""
        self.event("info", "start", f"rollback by {visible(ws.actor)}{why}", options=dict(options))

    def event(self, level: str, event: str, message: str, **fields: object) -> None:
        """Write a record to the run log and the events, and to the service log when it begins, ends or warns.

        A full disk drops it; a database that does not take it is not asked again.
        """
        message = message.encode("utf-8", "backslashreplace").decode()  # half characters cannot be stored
        self.log.write(level, "rollback", event, message, self.run_id, fields)
        if event in _FOR_ALL or LEVELS.index(level) >= LEVELS.index("warning"):
            self._service.write(level, "rollback", event, message, self.run_id, fields)
        if self._connection is not None and not self._is_deaf:
            self._untold.append((clock.now(), level, event, message, fields))
            if event != "restore":  # between those the live file is exchanged: nothing is waited for
                self._tell()

    def _tell(self) -> None:
        """Give the database the events it has not got yet."""
        untold, self._untold = self._untold, []
        if self._connection is None:
            return
        try:
            for at, level, event, message, fields in untold:
                add_event(self._connection, level, "rollback", event, message, run_id=self.run_id, fields=fields, at=at)
        except (sqlite3.Error, TypeError, ValueError):
            self._is_deaf = True

    def note(self, what: str, **facts: object) -> None:
        """Write a record to the journal, if there is one; without it the rollback goes on and says so."""
        self.event("info", what, _sentence(what, facts), **facts)
        if self._journal is None:
            return
        try:
            self._journal.note(what, **facts)
        except OSError as error:
            self._lost(error)

    def last_restore(self) -> Mapping[str, Any]:
        """What the journal says of the restoring, later records over earlier ones; empty when it says nothing."""
        records = self._journal.records if self._journal is not None else []
        found = [record for record in records if record.get("what") == "restore"]
        return {name: value for record in found for name, value in record.items()}

    @property
    def begin(self) -> Mapping[str, Any]:
        """The journal's first record; empty when there is no journal."""
        return self._journal.records[0] if self._journal is not None else {}

    @property
    def journalled(self) -> bool:
        """Whether there is a journal."""
        return self._journal is not None

    def act(self, before: str | None, after: str | None, details: Mapping[str, object]) -> None:
        """Note in the history what was done."""
        try:
            note_act(
                self.ws.state,
                "rollback",
                self.ws.actor,
                run_id=self.run_id,
                reason=self._reason,
                before=before,
                after=after,
                details=details,
            )
        except OSError as error:
            self.warnings.append(f"the history cannot be written: {error.strerror}")

    def end(
        self,
        state: str,
        code: int,
        sentence: str,
        summary: Mapping[str, object],
        warnings: Sequence[str] = (),
    ) -> None:
        """Bring journal, logs, events and row to their end; only the first call counts.

        Args:
            state: How it ended, in a word.
            code: The exit code.
            sentence: How it ended, for people.
            summary: The same as data.
            warnings: What a person should know; each becomes a record of its own.
        """
        if self._ended:
            return
        self._ended = True
        for warning in dict.fromkeys(warnings):
            self.event("warning", "warning", warning)
        target = str(summary.get("target") or "")
        told = f"rollback {state}: {sentence}" + (f" ({visible(target)})" if target else "")
        self.event("info" if code == 0 else "error", "end", told, state=state, exit_code=code, **summary)
        if self._journal is not None:
            with contextlib.suppress(OSError):
                self._journal.note("end", state=state, exit_code=code, reason=sentence)
            self._journal.close()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if self._job is not None:
                    shown = "" if code == 0 else visible(sentence)
                    finish_job(self._connection, self._job, "done" if code == 0 else "failed", code, shown, summary)
            self._connection.close()

    def leave_open(self) -> None:
        """Close the files without an end: the next start brings the journal to rest."""
        self._ended = True
        self._tell()
        if self._journal is not None:
            self._journal.close()
        if self._connection is not None:
            self._connection.close()

    def _row(self, options: Mapping[str, object]) -> str:
        """A row that every console shows; the run id it got, empty when the database does not answer."""
        try:
            if not self.ws.database.exists():
                return ""
            self._connection = open_database(self.ws.database, busy_ms=_BUSY_MS)
            job = add_job(
                self._connection, "rollback", options, self.ws.actor, reason=self._reason, owner=process_token()
            )
        except (sqlite3.Error, MobiusError, OSError) as error:
            said = error.what if isinstance(error, MobiusError) else str(error)
            self.warnings.append(f"consoles will not show this rollback: {visible(said)}")
            return ""
        self._job = job.id
        return job.run_id if self._is_free(job.run_id) else ""

    def _free_run_id(self) -> str:
        at = clock.now()
        while not self._is_free(f"rollback-{clock.stamp(at)}"):
            at += 1
        return f"rollback-{clock.stamp(at)}"

    def _is_free(self, run_id: str) -> bool:
        taken = (self.ws.logs / f"{run_id}.log", self._folder / f"{run_id}{ENDING}")
        with contextlib.suppress(OSError):
            return not any(path.exists() for path in taken)
        return True

    @property
    def _folder(self) -> Path:
        return self.ws.state / JOURNALS

    def _begun(self, options: Mapping[str, object]) -> Journal | None:
        """The journal; on a full disk the space kept for a rollback is given back for it."""
        head = {
            "kind": "rollback",
            "who": self.ws.actor,
            "reason": self._reason,
            "live": str(self._live),
            "options": dict(options),
            "token": process_token(),
        }
        try:
            try:
                return Journal.create(self._folder, self.run_id, **head)
            except OSError as error:
                if error.errno not in _FULL or not release_reserve(self._live):
                    raise
                self.warnings.append("the disk is full: the space kept for a rollback is used")
                return Journal.create(self._folder, self.run_id, **head)
        except OSError as error:
            self._lost(error)
            return None

    def _lost(self, error: OSError) -> None:
        self.warnings.append(f"no journal is kept: {error.strerror or error}")
        journal, self._journal = getattr(self, "_journal", None), None
        if journal is not None:
            journal.close()


def _sentence(what: str, facts: Mapping[str, object]) -> str:
    """A record of the journal in words."""
    state = str(facts.get("state", ""))
    if what == "step":
        reason = str(facts.get("reason") or "")
        said = "begins" if state == "running" else state  # "worker: running" would be read otherwise
        return visible(f"{facts.get('step', '')}: {said}" + (f", {reason}" if reason else ""))
    if what == "restore" and state == "kept":
        name = str(facts.get("emergency") or "").rpartition("/")[2]
        return f"what was live is kept as {visible(name)}" if name else "nothing was live before"
    if what == "restore":
        return _RESTORING.get(state, state)
    return f"{what} {state}".rstrip()
