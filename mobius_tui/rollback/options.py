"""What a rollback is asked for, and how it talks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from mobius_tui.rollback.merge import Changes
from mobius_tui.rollback.plans import Figures


@dataclass(frozen=True, slots=True)
class RollbackOptions:
    """What a person asked for.

    Attributes:
        backup: A backup's name or path; None takes the way back from what is live.
        with_images: Images come back too, from a full backup.
        remove_dhash: No backup: only what MOBIUS owns is taken out of the live catalogue.
        keep_new: What others added or changed since is kept.
        bring_back: With ``keep_new``: entries that are gone, and nobody is known to have removed, come back.
        force: Ask nothing, and end what runs.
        input: Another catalogue than the workspace's; None means the live one.
        reason: Why, for the history.
    """

    backup: str | None = None
    with_images: bool = False
    remove_dhash: bool = False
    keep_new: bool = False
    bring_back: bool = False
    force: bool = False
    input: str | None = None
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain data, without what was not asked for."""
        return {name: value for name, value in asdict(self).items() if value and name != "reason"}

    @property
    def mode(self) -> str:
        """``exact``, ``keep-new`` or ``remove-dhash``."""
        return "remove-dhash" if self.remove_dhash else "keep-new" if self.keep_new else "exact"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a rollback is about to do, for the person who has to say yes.

    Attributes:
        live: The live catalogue's path.
        environment: Of the workspace.
        target: What comes back, in words; how: why it is that.
        problem: Why the live file is no catalogue; empty when it is one.
        changes: What others did since; None when it cannot be told.
        kept: Whether that is kept.
        before: What the live catalogue holds, None when it is none.
        after: What shall be live.
        warnings: What a person should know.
    """

    live: str
    environment: str
    target: str
    how: str
    problem: str
    changes: Changes | None
    kept: bool
    before: Figures | None
    after: Figures | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a rollback went.

    Attributes:
        run: The run id.
        live: The catalogue's path.
        target: The backup's name; empty with --remove-dhash.
        before: SHA-256 of the live file before, or ``absent``.
        after: SHA-256 of the live file now.
        changed: False when it was already so.
        emergency: Where the state before is kept; empty when there was none.
        entries: Images before and after; None where that could not be read.
        with_dhash: Those of them with a dHash.
        images: Images that came back, by what happened to them; empty without --with-images.
        worker: What became of the worker, in words; empty when none ran.
        warnings: What a person should know.
        exit_code: 0, or 2 when the worker that ran before is not healthy now.
    """

    run: str
    live: str
    target: str
    how: str
    mode: str
    before: str
    after: str
    changed: bool
    emergency: str
    entries: tuple[int | None, int | None]
    with_dhash: tuple[int | None, int | None]
    changes: Changes | None
    kept: bool
    images: Mapping[str, int] = field(default_factory=dict)
    worker: str = ""
    warnings: tuple[str, ...] = ()
    exit_code: int = 0

    def to_json(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)


Say = Callable[[str], None]
"""Takes a sentence on what happens; safe to show."""

Confirm = Callable[[Preview], bool]
"""Asks whether to go on."""
