"""What a deploy is asked for, as plain data, and what it reports at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mobius_tui.errors import BadInput
from mobius_tui.operations.row_options import options_from

LONGEST_CANARY_S = 86_400.0
"""No canary is watched longer, in seconds."""


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """The options of one deploy; they are kept in the job's row and in the journal.

    Attributes:
        source: A catalogue that ``migrate -o`` made, to be published as it is; None migrates now.
        force: Go on although the service is unhealthy, and outside the deploy window; both are recorded.
        auto_rollback: Roll back by itself when a step after the swap fails; False holds and asks.
        at: Seconds since the epoch to wait for before it starts; None starts at once.
        retention_days: Days that backups are kept by the cleaning at the end; None means the setting's.
        accept_queue: Publish although the review queue grows by far.
        attended: Somebody watches and can be asked.
        reason: Why, for the history.
        canary: First publish the fingerprints of so many percent of the images, and watch them; None publishes all.
        canary_seconds: How long the canary is watched; None means the setting's.
        watch: Let the guard watch what was published.
    """

    source: str | None = None
    force: bool = False
    auto_rollback: bool = True
    at: float | None = None
    retention_days: int | None = None
    accept_queue: bool = False
    attended: bool = False
    reason: str = ""
    canary: float | None = None
    canary_seconds: float | None = None
    watch: bool = False

    def check(self) -> None:
        """Refuse values that no deploy can have.

        Raises:
            BadInput: One of them is out of its range.
        """
        if self.canary is not None and not 0 < self.canary < 100:
            raise BadInput(f"a canary of {self.canary:g} % is none", fix="give more than 0 and less than 100 percent")
        if self.canary_seconds is not None and not 0 < self.canary_seconds <= LONGEST_CANARY_S:
            raise BadInput("a canary is watched for some time, and for a day at most", fix="--canary-duration 10m")

    def to_json(self) -> dict[str, object]:
        """The options as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DeployOptions:
        """Options from a job's row; keys that are none are passed over.

        Raises:
            BadInput: A value is of the wrong kind.
        """
        return options_from(cls, values)


@dataclass(slots=True)
class StepState:
    """One row of a deploy's table as people see it.

    Attributes:
        state: ``waiting``, ``running``, ``done``, ``warning`` (done, and something in it went wrong that stops
            nothing), ``failed``, ``undone``, ``skipped`` or ``again``.
        began: Seconds since the epoch; None before it began.
        ended: Seconds since the epoch; None before it ended.
        reason: What it found or why it failed, in words.
        limit_s: Seconds it may take.
    """

    name: str
    state: str = "waiting"
    began: float | None = None
    ended: float | None = None
    reason: str = ""
    limit_s: float | None = None

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DeploySummary:
    """How a deploy ended.

    Attributes:
        outcome: ``done``, ``rolled back``, ``undone`` (nothing was published), ``unchanged`` or ``held``.
        run: The run id.
        reason: Why it ended like that, in words.
        backup: Name of the way back; None when there was no catalogue before.
        before: SHA-256 of the live file before; None when there was none.
        after: SHA-256 of the live file now; None when there is none.
        images: Entries of the live catalogue.
        with_dhash_before: Entries with a dHash before.
        with_dhash_after: Entries with a dHash now.
        rounds: How often the catalogue had to be read because others wrote it.
        elapsed_s: Seconds.
        steps: The table.
        migration: The migration's own summary; empty with ``--from``.
        emergency: Name of the copy that a rollback kept of what was live; None when there was none.
        watch: The watch that guards it: ``run``, ``until`` (UTC), ``auto``; ``problem`` in words when no guard runs.
            Empty when none was asked for.
    """

    outcome: str
    run: str
    reason: str
    backup: str | None
    before: str | None
    after: str | None
    images: int | None
    with_dhash_before: int | None
    with_dhash_after: int | None
    rounds: int
    elapsed_s: float
    steps: Sequence[Mapping[str, object]]
    migration: Mapping[str, object] = field(default_factory=dict)
    emergency: str | None = None
    watch: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The summary as a JSON object."""
        return asdict(self)
