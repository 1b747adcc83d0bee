"""The journal of a watch as the guard keeps it: never lost for want of space, and what it tells at any moment."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.guard.records import Story, story_of
from mobius_tui.recovery.journal import Journal
from mobius_tui.system import clock
from mobius_tui.text import visible

AGAIN_S = 1.0
"""Seconds after which a journal that could not be written is tried again."""


class Keeper:
    """An open journal, and what a full disk keeps out of it for now.

    Args:
        path: The journal.

    Attributes:
        story: What it tells, with what waits.
        problem: Why records wait, in words; empty when none do.

    Raises:
        EnvironmentFailed: It is no journal of a watch.
        OSError: It cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._journal: Journal | None = Journal.resume(path)
        self._written = self._journal.records
        self._waiting: deque[tuple[str, Mapping[str, Any]]] = deque()
        self.problem = ""
        self._again_at = 0.0
        story = story_of(self._written)
        if story is None:
            self._journal.close()
            raise EnvironmentFailed("the journal is none of a watch", where=visible(str(path)), fix="move it aside")
        self.story: Story = story

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self._path

    @property
    def records(self) -> list[Mapping[str, Any]]:
        """All records, also those that wait."""
        return [*self._written, *({"what": what, **facts} for what, facts in self._waiting)]

    def note(self, what: str, **facts: object) -> bool:
        """Let a record count, and write it; returns whether it is on the disk."""
        plain: dict[str, Any] = json.loads(json.dumps({"at": clock.now(), **facts}, default=str))
        self._waiting.append((what, plain))
        self.story.take({"what": what, **plain})
        return self.flush()

    def flush(self) -> bool:
        """Write what waits; returns whether nothing waits any more."""
        if not self._waiting:
            return True
        if self.problem and time.monotonic() < self._again_at:
            return False
        try:
            if self._journal is None:  # after an error the file is opened anew: what it holds is what it says
                self._journal = Journal.resume(self._path)
                self._written = self._journal.records
            while self._waiting:
                what, facts = self._waiting[0]
                self._journal.note(what, **facts)
                self._waiting.popleft()
        except (OSError, MobiusError) as error:
            self.problem = visible(str(error.strerror or error) if isinstance(error, OSError) else error.what)
            self._again_at = time.monotonic() + AGAIN_S
            self.close()
            return False
        self.problem = ""
        return True

    def close(self) -> None:
        """Close the file; what waits stays."""
        if self._journal is not None:
            self._journal.close()
        self._journal = None
