"""What is already known of a set of files, and keeping what the pool found out: no image is decoded twice."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mobius_tui.fingerprint.model import Outcome, Task
from mobius_tui.store.database import writing
from mobius_tui.store.images import (
    Fingerprint,
    KnownFile,
    find_fingerprints,
    keep_files,
    keep_fingerprints,
)
from mobius_tui.store.known import find_alike, find_files_since, forget_fingerprints
from mobius_tui.store.metrics import keep_batch
from mobius_tui.store.values import stored
from mobius_tui.text import visible

RACY_NS = 20_000_000
"""A file that was changed so shortly before it was read may change again without a newer time: the clock that stamps
files ticks every 1 to 10 ms. Such a time is not trusted, and the file is read again by the next run."""

_SLICE = 2000


@dataclass(frozen=True, slots=True)
class Setup:
    """What a fingerprint depends on beside the bytes.

    Attributes:
        profile: ``exact`` or ``fast``.
        decoder: Version of all that alters hashes.
        environment: Limits and external decoders, for failures.
    """

    profile: str
    decoder: str
    environment: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The file is gone."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The file is there and gave no content: permission, time, memory."""

    error: str
    cause: str


Result = Fingerprint | Missing | Unread
"""What is known of one image."""


@dataclass(slots=True)
class Plan:
    """What a run has to do.

    Attributes:
        results: A result for each path, None where work is left.
        tasks: The work left, in the order of the paths.
    """

    results: list[Result | None]
    tasks: list[Task] = field(default_factory=list)


def plan_work(
    connection: sqlite3.Connection, paths: Sequence[str], setup: Setup, *, since: float = 0.0
) -> Iterator[Plan]:
    """Compare files with what the store knows of them.

    A file whose size, mtime and inode are as they were has the content it had. Any other is read; if its bytes are
    those that its name, or a file like it, had before, it is not decoded either.

    Args:
        connection: The database.
        paths: Absolute paths, each once.
        setup: Profile, decoder and environment that a known fingerprint must have.
        since: Trust only what was noted from this time on, seconds since the epoch; 0 trusts everything.

    Yields:
        A plan for each slice of some thousand paths, in order.
    """
    for start in range(0, len(paths), _SLICE):
        part = paths[start : start + _SLICE]
        stats = [_stat(path) for path in part]
        known = find_files_since(connection, part, since)
        contents: list[bytes | None] = []
        hints: list[bytes | None] = []
        for path, found in zip(part, stats, strict=True):
            file = known.get(path)
            contents.append(_known_content(found, file))
            if file is not None and file.sha256 is not None:
                hints.append(file.sha256)
            elif found is not None and stat.S_ISREG(found.st_mode) and not since:
                hints.append(find_alike(connection, found.st_size, found.st_mtime_ns, found.st_ino))
            else:
                hints.append(None)
        wanted = [content for content in (*contents, *hints) if content]
        prints = find_fingerprints(connection, wanted, setup.profile, setup.decoder)
        yield _plan_slice(part, stats, contents, hints, prints, setup)


def _plan_slice(
    paths: Sequence[str],
    stats: Sequence[os.stat_result | None],
    contents: Sequence[bytes | None],
    hints: Sequence[bytes | None],
    prints: dict[bytes, Fingerprint],
    setup: Setup,
) -> Plan:
    plan = Plan(results=[None] * len(paths))
    for position, path in enumerate(paths):
        found, status = prints.get(contents[position] or b""), stats[position]
        if status is None:
            plan.results[position] = Missing()
        elif found is not None and still_holds(found, setup):
            plan.results[position] = found
        else:
            hint = prints.get(hints[position] or b"")
            known = hint.sha256 if hint is not None and still_holds(hint, setup) else None
            plan.tasks.append(Task(path, known, status.st_size))
    return plan


def still_holds(found: Fingerprint, setup: Setup) -> bool:
    """Whether a remembered fingerprint needs no new try: a failure is tried again under other limits or decoders."""
    return found.status != "failed" or found.environment == setup.environment


def _stat(path: str) -> os.stat_result | None:
    """The file's status; None when nothing is there (what cannot be looked at is for the pool to report)."""
    try:
        return os.stat(path)  # noqa: PTH116 (a million paths)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError:
        return os.stat_result((0,) * 10)


def _known_content(found: os.stat_result | None, known: KnownFile | None) -> bytes | None:
    """SHA-256 of a file's content when its size, mtime and inode say that it is the one that was read before."""
    if found is None or known is None or not stat.S_ISREG(found.st_mode):
        return None
    unchanged = (known.size, known.mtime_ns, known.inode) == (
        found.st_size,
        stored(found.st_mtime_ns),
        stored(found.st_ino),
    )
    return known.sha256 if unchanged else None


def keep_outcomes(
    connection: sqlite3.Connection, outcomes: Sequence[Outcome], setup: Setup, run_id: str, *, fresh: bool = False
) -> dict[str, Result]:
    """Commit a batch of outcomes, so that a run that is cut off goes on after it.

    Args:
        connection: The database.
        outcomes: What the pool found; ``same`` ones refer to fingerprints that are kept already.
        setup: What they were made with.
        run_id: The run, for the figures.
        fresh: What the exact profile knows of contents that were decoded in the fast one is to be found out again.

    Returns:
        The result of each path.
    """
    same = find_fingerprints(
        connection, [o.sha256 for o in outcomes if o.status == "same" and o.sha256], setup.profile, setup.decoder
    )
    results: dict[str, Result] = {}
    lasting: list[Fingerprint] = []
    for outcome in outcomes:
        result = _result_of(outcome, same, setup)
        results[outcome.path] = result
        if isinstance(result, Fingerprint) and outcome.status != "same":
            lasting.append(result)
            if setup.profile == "fast" and result.dhash is not None and not outcome.reduced:
                lasting.append(replace(result, profile="exact"))  # decoded in full: no second time for the candidates
    decoded = [o for o in outcomes if o.status not in {"same", "missing"}]
    with writing(connection):
        keep_files(connection, (_known_file(o) for o in outcomes if o.status != "missing"))
        if fresh and setup.profile == "fast":
            forget_fingerprints(connection, [o.sha256 for o in decoded if o.sha256], "exact")
        keep_fingerprints(connection, lasting)
        if decoded:
            keep_batch(
                connection,
                run_id,
                [o.duration_ms for o in decoded],
                failed=sum(o.status == "failed" for o in decoded),
                low=sum(o.status == "low_confidence" for o in decoded),
                size=sum(o.size for o in decoded),
            )
    return results


def _result_of(outcome: Outcome, same: dict[bytes, Fingerprint], setup: Setup) -> Result:
    if outcome.status == "missing":
        return Missing()
    if outcome.status == "same" and outcome.sha256 in same:
        return same[outcome.sha256]
    if outcome.sha256 is None or outcome.status == "same" or (outcome.status == "failed" and not outcome.lasting):
        return Unread(visible(outcome.error or "cannot be read"), outcome.cause or "other")
    return Fingerprint(
        sha256=outcome.sha256,
        profile=setup.profile,
        decoder=setup.decoder,
        status=sys.intern(outcome.status),
        dhash=outcome.dhash,
        confidence=outcome.confidence,
        reason=outcome.reason,
        error=None if outcome.error is None else visible(outcome.error),
        cause=outcome.cause,
        environment=setup.environment if outcome.status == "failed" else "",
        width=outcome.width,
        height=outcome.height,
        bytes=outcome.size,
        format=sys.intern(outcome.format),
    )


def _known_file(outcome: Outcome) -> KnownFile:
    window = RACY_NS + int(outcome.duration_ms * 1_000_000)
    racy = abs(outcome.read_ns - outcome.mtime_ns) < window
    content = None if outcome.status == "failed" and not outcome.lasting else outcome.sha256
    return KnownFile(
        path=outcome.path,
        size=outcome.size,
        mtime_ns=-1 if racy else outcome.mtime_ns,
        inode=outcome.inode,
        sha256=content,
        error=None if content else outcome.error,
        cause=None if content else outcome.cause,
    )


def in_batches(outcomes: Iterable[Outcome], size: int, seconds: float = 1.0) -> Iterator[list[Outcome]]:
    """Group outcomes for commits: ``size`` at most, and after ``seconds`` with the next that arrives."""
    batch: list[Outcome] = []
    began = time.monotonic()
    for outcome in outcomes:
        batch.append(outcome)
        if len(batch) >= size or time.monotonic() - began >= seconds:
            yield batch
            batch = []
            began = time.monotonic()
    if batch:
        yield batch
