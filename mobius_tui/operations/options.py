"""What a migration is asked for, and what it reports at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mobius_tui.errors import BadInput
from mobius_tui.fingerprint.model import Limits, Profile
from mobius_tui.operations.row_options import options_from
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


@dataclass(frozen=True, slots=True)
class MigrateOptions:
    """The options of one migration, as plain data: they are kept in the job's row.

    Attributes:
        dry_run: Write a report instead of a catalogue.
        input: Catalogue to read; None means the workspace's.
        output: Catalogue to write, or the report of a dry run; None means in place, or a report in the logs.
        backup: Back the replaced catalogue up first.
        add: Give files that no entry names an entry; False only reports them.
        threshold: Largest distance of a candidate pair, bits.
        batch_size: Images a commit.
        parallel: Hashing processes; 0 means one a core.
        temp_dir: Folder for what decoders write meanwhile; None means the system's.
        fresh: Decode everything again.
        profile: How images are decoded.
        limit: At most this many images; None means all.
        sample: Choose the limited number evenly by a hash of the path, not the first ones.
        export_low_conf: Export waiting pairs and low-confidence images afterwards.
        reason: Why, for the history.
    """

    dry_run: bool = False
    input: str | None = None
    output: str | None = None
    backup: bool = True
    add: bool = True
    threshold: int = 10
    batch_size: int = 100
    parallel: int = 0
    temp_dir: str | None = None
    fresh: bool = False
    profile: Profile = "exact"
    limit: int | None = None
    sample: bool = False
    export_low_conf: bool = False
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """The options as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> MigrateOptions:
        """Options from a job's row; keys that are none are passed over.

        Raises:
            BadInput: A value is of the wrong kind.
        """
        return options_from(cls, values)

    @property
    def workers(self) -> int:
        """How many hashing processes run."""
        return self.parallel or available_cores()

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            BadInput: A value is out of range or two options contradict each other.
        """
        if not 0 <= self.threshold <= 64:
            raise BadInput(f"the threshold must be from 0 to 64 bits, not {self.threshold}")
        if self.batch_size < 1:
            raise BadInput(f"the batch size must be 1 or more, not {self.batch_size}")
        if self.parallel < 0:
            raise BadInput(f"the number of processes must be 0 or more, not {self.parallel}")
        if self.limit is not None and self.limit < 1:
            raise BadInput(f"the limit must be 1 or more, not {self.limit}")
        if self.profile not in {"exact", "fast"}:
            raise BadInput(f"the profile must be exact or fast, not {visible(str(self.profile))}")
        if self.sample and self.limit is None:
            raise BadInput("--sample needs a number", fix="add --limit N")


def default_options(ws: Workspace) -> MigrateOptions:
    """The options that the settings give, for a migration in place."""
    settings = ws.settings
    return MigrateOptions(
        add=settings.add_unnamed,
        threshold=settings.threshold,
        batch_size=settings.batch_size,
        parallel=settings.parallel,
        profile="fast" if settings.profile == "fast" else "exact",
    )


def image_limits(ws: Workspace) -> Limits:
    """What one image may cost, by the settings."""
    settings = ws.settings
    return Limits(settings.max_pixels, settings.max_bytes, settings.image_seconds, settings.image_memory)


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class MigrationSummary:
    """How a migration ended.

    Attributes:
        mode: ``LIVE`` or ``DRY RUN``.
        total: Images in the catalogue that was, or would be, written.
        processed: Images with a fingerprint.
        errors: Images that failed.
        missing: Entries whose file is gone.
        duplicates: Entries of ``dhash_duplicates``.
        exact_duplicates: Of these, the byte-identical ones.
        low_confidence: Images whose hash says little.
        waiting_pairs: Pairs that wait for a person.
        decoded: Images decoded by this run; the rest was known.
        unnamed: Files that no entry named.
        rate: Images decoded a second; None when none was.
        elapsed_s: Seconds, paused time included.
        output: File that was written: catalogue or report.
        backup: Name of the backup; None when none was made.
        export: The exported queue; None when none was asked for.
        failures: How many failed, by cause.
        before: SHA-256 of the replaced catalogue; None when there was none.
        after: SHA-256 of what was written.
        skipped: Files and folders the walk could not use.
    """

    mode: str
    total: int
    processed: int
    errors: int
    missing: int
    duplicates: int
    exact_duplicates: int
    low_confidence: int
    waiting_pairs: int
    decoded: int
    unnamed: int
    rate: float | None
    elapsed_s: float
    output: str
    backup: str | None
    export: str | None
    failures: Mapping[str, int]
    before: str | None
    after: str | None
    skipped: int

    def to_json(self) -> dict[str, object]:
        """The summary as a JSON object."""
        return asdict(self)
