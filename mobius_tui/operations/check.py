"""Is the catalogue valid, and does it agree with the folder; nothing is written."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mobius_tui.catalogue.document import Document, Entry, file_key
from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.catalogue.walk import Problem, walk_library
from mobius_tui.errors import BadInput
from mobius_tui.operations.progress import Counts, Tick
from mobius_tui.operations.status import status_counts
from mobius_tui.text import visible


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was found; paths exact, as the catalogue writes them or would write them.

    Attributes:
        catalogue: The file.
        sha256: Of its bytes, hex.
        schema_version: 0 when MOBIUS never wrote it.
        profile: In which its hashes were made; None when it says nothing.
        images: Entries.
        by_status: Entries by ``dhash_status``.
        hashed: Entries with a dHash.
        duplicates: Entries of ``dhash_duplicates``.
        exact_duplicates: Of these, those of status ``exact``.
        missing: Entries whose file is gone now.
        unreadable: Entries whose file cannot be looked at, with the reason.
        unnamed: Image files that no entry names.
        skipped: Names in the folder that cannot be used, with the reason.
        stale_duplicates: Duplicates that name a path without an entry.
    """

    catalogue: str
    sha256: str
    schema_version: int
    profile: str | None
    images: int
    by_status: Mapping[str, int]
    hashed: int
    duplicates: int
    exact_duplicates: int
    missing: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    unnamed: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    stale_duplicates: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The result as a JSON object."""
        return {"valid": True, **asdict(self)}


class _Pace:
    """Progress of one phase, told every few thousand steps."""

    _EVERY = 2048

    def __init__(self, on_tick: Callable[[Tick], None], phase: str, total: int | None) -> None:
        self._on_tick, self._phase, self._total = on_tick, phase, total
        self._began = time.monotonic()
        self._done = 0

    def step(self) -> None:
        self._done += 1
        if self._done % self._EVERY:
            return
        rate = self._done / max(0.001, time.monotonic() - self._began)
        left = None if self._total is None else max(0, self._total - self._done) / rate
        phase = self._phase if self._total is not None else f"{self._phase}: {self._done:,}"
        self._on_tick(Tick(phase, self._total, Counts(done=self._done), rate, left, ""))


def check_catalogue(catalogue: Path, library: Path, on_tick: Callable[[Tick], None] = lambda _: None) -> CheckResult:
    """Read a catalogue and compare it with the folder of its images.

    Args:
        catalogue: The ``library.json``; its paths mean its own folder.
        library: The folder whose files should have an entry.
        on_tick: Told now and then how far it is.

    Returns:
        The result.

    Raises:
        BadInput: There is no catalogue, or it breaks a rule: one sentence with the place.
        EnvironmentFailed: It cannot be read.
    """
    if not os.path.lexists(catalogue):
        raise BadInput(
            "there is no catalogue yet",
            where=visible(str(catalogue)),
            fix="`mobius migrate` builds one from the folder",
        )
    on_tick(Tick("reading the catalogue", None, Counts(), None, None, ""))
    loaded = read_catalogue(catalogue)
    document = loaded.document
    folder = os.path.dirname(os.path.abspath(catalogue))  # noqa: PTH100, PTH120 (as catalogue.document does)
    missing, unreadable = _absent(document, folder, _Pace(on_tick, "looking for files", len(document.entries)))
    skipped: list[Problem] = []
    unnamed = _unnamed(document, folder, library, skipped, _Pace(on_tick, "walking the folder", None))
    named = {entry.path for entry in document.entries}
    stale = [
        str(item.get(side))
        for item in document.duplicates
        for side in ("duplicate", "original")
        if not isinstance(item.get(side), str) or item[side] not in named
    ]
    migration = document.migration or {}
    profile = migration.get("profile")
    return CheckResult(
        catalogue=str(catalogue),
        sha256=loaded.sha256,
        schema_version=document.schema_version,
        profile=profile if isinstance(profile, str) else None,
        images=len(document.entries),
        by_status=status_counts(document),
        hashed=sum(entry.dhash is not None for entry in document.entries),
        duplicates=len(document.duplicates),
        exact_duplicates=sum(item.get("status") == "exact" for item in document.duplicates),
        missing=missing,
        unreadable=unreadable,
        unnamed=unnamed,
        skipped=tuple((problem.relative, problem.what) for problem in skipped),
        stale_duplicates=tuple(stale),
    )


def _absent(document: Document, folder: str, pace: _Pace) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Entries whose file is gone, and those that cannot be looked at."""
    missing: list[str] = []
    unreadable: list[tuple[str, str]] = []
    for entry in document.entries:
        pace.step()
        try:
            os.stat(_place(entry, folder))  # noqa: PTH116 - a million paths
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                missing.append(entry.path)
            else:
                unreadable.append((entry.path, error.strerror or str(error)))
    return tuple(missing), tuple(unreadable)


def _place(entry: Entry, folder: str) -> str:
    return os.path.join(folder, entry.key)  # noqa: PTH118 - a million paths


def _unnamed(document: Document, folder: str, library: Path, skipped: list[Problem], pace: _Pace) -> tuple[str, ...]:
    if not library.is_dir():
        return ()
    linked = os.path.realpath(library) != os.path.abspath(library)  # noqa: PTH100
    places = [os.path.normpath(_place(entry, folder)) for entry in document.entries]
    named = {os.path.realpath(place) for place in places} if linked else set(places)
    found = []
    for image in walk_library(library, skipped.append):
        pace.step()
        path = str(image.path)
        if (os.path.realpath(path) if linked else path) not in named:
            found.append(file_key(path, folder))
    return tuple(found)
