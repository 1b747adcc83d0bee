"""The latest deploy or rollback, read from its journal: files tell of it even when the database cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mobius_tui.console.snapshot import Publication
from mobius_tui.errors import MobiusError
from mobius_tui.operations.run_steps import cut_off, seconds_of, steps_of_journal
from mobius_tui.recovery.journal import JOURNALS, Reading, journals, read_journal, run_of
from mobius_tui.system.processes import is_alive
from mobius_tui.workspace import Workspace


class JournalReader:
    """Looks at the newest journal, and reads it again when it has changed.

    Args:
        ws: The workspace.
    """

    def __init__(self, ws: Workspace) -> None:
        self._folder = ws.state / JOURNALS
        self._folder_mtime: int | None = None
        self._path: Path | None = None
        self._stamp: tuple[int, int] | None = None
        self._token = ""
        self._latest: Publication | None = None

    def look(self) -> Publication | None:
        """The latest deploy or rollback; None when there is none whose journal can be read."""
        try:
            self._find()
            if self._path is None:
                return None
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                reading = read_journal(self._path)
                self._latest = publication_of_journal(run_of(self._path), reading)
                self._token = str(_begin(reading).get("token", ""))
                self._stamp = stamp
        except (OSError, MobiusError):
            self._folder_mtime = None
            return self._latest
        latest = self._latest
        if latest is not None and latest.state == "running" and not is_alive(self._token):
            return replace(latest, state="interrupted", steps=cut_off(latest.steps))
        return latest

    def _find(self) -> None:
        mtime = self._folder.stat().st_mtime_ns if self._folder.is_dir() else 0
        if mtime == self._folder_mtime:
            return
        self._folder_mtime = mtime
        found = journals(self._folder)
        path = found[-1] if found else None
        if path != self._path:
            self._path, self._stamp, self._latest = path, None, None


def _begin(reading: Reading) -> dict[str, Any]:
    return reading.records[0] if reading.records else {}


def publication_of_journal(run_id: str, reading: Reading) -> Publication | None:
    """What a journal tells of its run; None when it holds no record.

    Args:
        run_id: The run.
        reading: The journal.

    Returns:
        The run; ``running`` as long as the journal has no end, whether or not its process lives.
    """
    if not reading.records:
        return None
    begin, last = reading.records[0], reading.records[-1]
    began = seconds_of(begin.get("time")) or 0.0
    ended = last if last.get("what") == "end" else None
    code = ended.get("exit_code") if ended else None
    state = "running" if ended is None else str(ended.get("state", "done"))
    said = str(ended.get("reason") or "") if ended else ""
    steps = steps_of_journal(reading.records)
    return Publication(
        run_id=run_id,
        kind=str(begin.get("kind", "deploy")),
        state=state,
        who=str(begin.get("who", "")),
        reason=str(begin.get("reason") or ""),
        began=began,
        ended=seconds_of(ended.get("time")) if ended else None,
        exit_code=code if isinstance(code, int) else None,
        error=said if state != "done" else "",
        steps=steps if ended is None else cut_off(steps),
        said=said if state == "done" else "",
    )
