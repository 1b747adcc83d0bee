"""What a run found out, and the catalogue that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mobius_tui.catalogue.document import SCHEMA_VERSION, OwnedFields
from mobius_tui.catalogue.render import render
from mobius_tui.fingerprint.dhash import hex_of
from mobius_tui.operations.hashing import Tally
from mobius_tui.operations.inventory import Missing, Result, Setup, Unread
from mobius_tui.operations.library import Library
from mobius_tui.operations.matches import Duplicate

ALGORITHM = "dhash-64"
"""Name of the fingerprint in ``dhash_migration``."""


@dataclass(slots=True)
class Effort:
    """What a run has cost so far, over all its readings of the catalogue.

    Attributes:
        began: Monotonic seconds.
        decoded: Images decoded.
        hashing_s: Seconds that took.
    """

    began: float
    decoded: int = 0
    hashing_s: float = 0.0

    def add(self, tally: Tally) -> None:
        """Count some work."""
        self.decoded += tally.decoded
        self.hashing_s += tally.hashing_s

    @property
    def rate(self) -> float | None:
        """Images decoded a second; None when none was."""
        return self.decoded / self.hashing_s if self.decoded and self.hashing_s > 0 else None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a run found out before anything is written.

    Attributes:
        chosen: Places of the images worked on.
        results: By place; None of those not worked on.
        unknown: Of the images not worked on, how many would have to be decoded.
        duplicates: Among all images whose content is known.
    """

    library: Library
    chosen: Sequence[int]
    results: Sequence[Result | None]
    unknown: int
    tally: Tally
    duplicates: Sequence[Duplicate]
    setup: Setup

    @property
    def missing(self) -> int:
        """Entries whose file is gone; a file without an entry that vanished meanwhile is none."""
        return sum(isinstance(result, Missing) for result in self.results[: self.library.entries])

    @property
    def total(self) -> int:
        """Entries of the catalogue that these findings make."""
        later = self.results[self.library.entries :]
        return self.library.entries + sum(result is not None and not isinstance(result, Missing) for result in later)


def catalogue_bytes(findings: Findings, run: dict[str, object]) -> Iterator[bytes]:
    """The bytes of the new catalogue; the same findings give the same ones but for ``run``."""
    library = findings.library
    owned = [None if found is None else owned_fields(found) for found in findings.results]
    entries = [_keep_last(library, place, fields) for place, fields in enumerate(owned[: library.entries])]
    appended = [
        (library.names[place], fields)
        for place, fields in enumerate(owned[library.entries :], start=library.entries)
        if fields is not None and fields.status != "missing"
    ]
    return render(
        library.document,
        entries,
        appended=appended,
        migration={
            "schema_version": SCHEMA_VERSION,
            "algorithm": ALGORITHM,
            "profile": findings.setup.profile,
            "decoder": findings.setup.decoder,
            "run": run,
        },
        duplicates=(
            {
                "duplicate": library.names[pair.duplicate],
                "original": library.names[pair.original],
                "hammingDistance": 0,
                "confidence": 1.0,
                "status": "exact",
            }
            for pair in findings.duplicates
        ),
    )


def owned_fields(result: Result) -> OwnedFields:
    """What the catalogue says of an image."""
    if isinstance(result, Missing):
        return OwnedFields(None, None, "missing")
    if isinstance(result, Unread):
        return OwnedFields(None, None, "failed", result.error)
    if result.dhash is None:
        return OwnedFields(None, None, "failed", result.error)
    return OwnedFields(hex_of(result.dhash), result.confidence, result.status)


def _keep_last(library: Library, place: int, fields: OwnedFields | None) -> OwnedFields | None:
    """A missing file keeps its last dHash and confidence."""
    if fields is None or fields.status != "missing":
        return fields
    entry = library.document.entries[place]
    return OwnedFields(entry.dhash, entry.confidence, "missing")
