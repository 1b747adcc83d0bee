"""Put other content live: stage, exchange if nobody wrote meanwhile, verify, keep what came out.

Whatever is killed and whenever, the live name leads to the old file or the new one, and the state before is under one
name at least: live, staged, or as the emergency copy.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobius_tui.errors import EnvironmentFailed, MobiusError, OutOfResource, ProcessingFailed
from mobius_tui.recovery.atomic import ABSENT, Changed, hash_or_absent
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.recovery.reserve import release_reserve
from mobius_tui.recovery.staging import real_file, stage, staged_path, swap
from mobius_tui.rollback.emergency import finish_copies, keep_displaced
from mobius_tui.rollback.plans import Plan, Present, Wanted, exactly, keeping_others, without_owned
from mobius_tui.text import visible

TRIES = 5
"""How often the restoring starts over because another program wrote the live file meanwhile."""

_CHUNK = 1 << 20
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Restored:
    """How a restoring went.

    Attributes:
        before: SHA-256 of the live file before, or ``"absent"``.
        after: SHA-256 of the live file now.
        changed: False when the live file was already as wanted.
        emergency: The copy of what was live before; None when there was nothing or nothing changed.
        wanted: What was put live.
        tries: How often it was begun.
        warnings: What a person should know.
    """

    before: str
    after: str
    changed: bool
    emergency: Path | None
    wanted: Wanted
    tries: int
    warnings: tuple[str, ...] = ()


def read_present(
    live: Path,
    *,
    patience_s: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    wall: Callable[[], float] = time.time,
) -> Present:
    """The live file as it is; one that is being written is read again for a while.

    Args:
        live: The live name; symlinks are followed.
        patience_s: Seconds to wait for one that is no catalogue and was touched within that time.
        clock: Seconds that never go back.
        sleep: Waits for some seconds.
        wall: Seconds since the epoch, to tell how old the last change is.

    Returns:
        The reading.

    Raises:
        EnvironmentFailed: It is there and cannot be read.
    """
    deadline = clock() + patience_s
    while True:
        try:
            reading = read_whole(live)
        except FileNotFoundError:
            return Present.of(None, str(live))
        except OSError as error:
            raise _unreadable(live, error) from error
        present = Present.of(reading.data, str(live))
        fresh = not reading.steady or wall() - reading.before.st_mtime < patience_s
        if clock() >= deadline or not fresh or (reading.steady and present.document is not None):
            return present
        sleep(_PAUSE_S)


def restore_catalogue(
    live: Path,
    plan: Plan,
    *,
    run_id: str,
    emergency: Path,
    who: str,
    reason: str = "",
    note: Callable[..., None] | None = None,
    say: Callable[[str], None] = lambda _: None,
    patience_s: float = 0.0,
) -> Restored:
    """Put live what a plan asks for, and keep what was live as an emergency copy.

    The caller holds the lock of the catalogue.

    Args:
        live: The live name; symlinks are followed and stay.
        plan: From the live bytes to the wanted ones; called again when another program wrote meanwhile.
        run_id: The run; names the staged file and the emergency copy.
        emergency: Folder of the emergency copies, made when missing.
        who: The actor.
        reason: Why, for the emergency copy's side file.
        note: Notes a record durably, as ``Journal.note``: what="restore", state="staging" and "staged" before the
            exchange, "swapped" and "kept" after it, "same" when nothing has to be done.
        say: Takes sentences on what happens.
        patience_s: Seconds to wait for a live file that is being written and no catalogue yet.

    Returns:
        What was done.

    Raises:
        Changed: Another program wrote the live file again and again; it is as that program left it.
        EnvironmentFailed: The system does not allow it; the live file is as it was.
        OutOfResource: No space, though the reserve was given back; the live file is as it was.
        ProcessingFailed: After the exchange the live file is not what was staged: another program wrote it.
    """
    attempt = _Attempt(live, run_id, emergency, who, reason, note or (lambda *_args, **_facts: None), say)
    for number in range(1, TRIES + 1):
        present = read_present(live, patience_s=patience_s)
        try:
            return attempt.make(present, plan(present), number)
        except Changed:
            say("another program wrote the catalogue meanwhile: working it out anew")
    staged_path(live, run_id).unlink(missing_ok=True)
    raise Changed(
        f"{visible(str(live))} was changed by another program {TRIES} times while it was being restored",
        fix="stop the program that writes it, then run it again",
    )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One try after another to put content live, for one run."""

    live: Path
    run_id: str
    emergency: Path
    who: str
    reason: str
    note: Callable[..., None]
    say: Callable[[str], None]

    def make(self, present: Present, wanted: Wanted, number: int) -> Restored:
        """Stage, exchange, keep what came out; raises Changed, with the live file as others left it."""
        live, warnings = self.live, list[str]()
        after = hashlib.sha256(wanted.content).hexdigest()
        if after == present.sha256:
            self.note("restore", state="same", after=after)
            return Restored(present.sha256, after, False, None, wanted, number)
        staged = staged_path(live, self.run_id)
        facts = {"before": present.sha256, "after": after, "staged": staged.name, "emergency": str(self.emergency)}
        self.note("restore", state="staging", **facts)  # later notes may be lost: it goes on without a journal
        _stage(live, wanted.content, staged, self.say)
        try:
            self.note("restore", state="staged", **facts)
            _exchange(staged, live, present.sha256, after, warnings)
        except Changed:
            raise
        except BaseException:
            _leave(staged, live, after)
            raise
        with _told(warnings):
            self.note("restore", state="swapped", **facts)
        kept: Path | None = None
        if present.sha256 != ABSENT:
            told = {"run_id": self.run_id, "who": self.who, "reason": self.reason}
            images = None if present.figures is None else present.figures.entries
            kept, said = keep_displaced(staged, live, self.emergency, images=images, **told)
            warnings += said
        with _told(warnings):
            self.note("restore", state="kept", emergency="" if kept is None else str(kept))
        _insist(live, after, kept)
        return Restored(present.sha256, after, True, kept, wanted, number, tuple(warnings))


def settle_restore(live: Path, run_id: str, record: Mapping[str, Any], *, who: str, emergency: Path) -> str:
    """Finish or undo a restoring that was cut off, judging by content hashes alone; may be done any number of times.

    Args:
        live: The live name.
        run_id: The run that was cut off.
        record: The last journal record with what="restore"; empty when there is none: then nothing was staged whole.
        who: The actor.
        emergency: Folder of the emergency copies.

    Returns:
        What was found and done, as a sentence.

    Raises:
        EnvironmentFailed: A file cannot be read or moved.
    """
    staged = staged_path(live, run_id)
    why = f"cut off: {run_id}"
    try:
        now, beside = hash_or_absent(real_file(live)), hash_or_absent(staged)
        if beside == ABSENT:
            finish_copies(emergency, run_id=run_id, who=who, reason=why)
            return "nothing was left to be done"
        exchanged = beside == record.get("before") or now == record.get("after")
        begun = record.get("state") in {None, "staging"} and not exchanged  # a torn piece of our own, perhaps
        if begun or (beside in {now, record.get("after")} and beside != record.get("before")):
            staged.unlink()
            return "it had not been put live yet: its staged file was removed, the live file is as it was"
    except OSError as error:
        raise _unreadable(staged, error) from error
    kept, _ = keep_displaced(staged, live, emergency, run_id=run_id, who=who, reason=why)
    if now == record.get("after"):
        return f"it was finished: what was live before is kept as {visible(kept.name)}"
    return f"the live file was written by others since; what was found beside it is kept as {visible(kept.name)}"


def _stage(live: Path, content: bytes, staged: Path, say: Callable[[str], None]) -> None:
    """Write the staged file; on a full disk the reserve is given back first."""
    try:
        stage(live, _chunks(content), staged)
    except OutOfResource as error:
        cause = error.__cause__
        full = isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}
        if not full or not release_reserve(live):
            raise
        say("the disk is full: the space kept for a rollback is used")
        stage(live, _chunks(content), staged)


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]


def _exchange(staged: Path, live: Path, before: str, after: str, warnings: list[str]) -> None:
    """Swap; a failure after which the new content is live all the same, such as the folder's sync, is a warning."""
    try:
        swap(staged, live, before)
    except Changed:
        raise
    except MobiusError as error:
        if hash_or_absent(real_file(live)) != after:
            raise
        warnings.append(str(error))


def _leave(staged: Path, live: Path, after: str) -> None:
    """After a failure: remove the staged file, unless it is live already and the name holds what was displaced."""
    with contextlib.suppress(OSError):
        if hash_or_absent(staged) == after and hash_or_absent(real_file(live)) != after:
            staged.unlink()


def _insist(live: Path, after: str, kept: Path | None) -> None:
    """The live file is what was staged, or that is said."""
    try:
        found = hash_or_absent(real_file(live))
    except OSError as error:
        raise _unreadable(live, error) from error
    if found != after:
        also = "" if kept is None else f"; what was live before is kept as {visible(str(kept))}"
        raise ProcessingFailed(
            f"another program wrote {visible(str(live))} right after it was restored{also}",
            fix="stop that program, then run it again",
        )


@contextlib.contextmanager
def _told(warnings: list[str]) -> Iterator[None]:
    """After the exchange nothing that cannot be noted makes the rollback undone."""
    try:
        yield
    except OSError as error:
        warnings.append(f"the journal cannot be written ({os.strerror(error.errno or 0)})")


def _unreadable(path: Path, error: OSError) -> EnvironmentFailed:
    reason = error.strerror or str(error)
    if error.errno in {errno.EINVAL, errno.EISDIR}:
        reason = "it is no regular file"
    return EnvironmentFailed(f"{visible(str(path))} cannot be read: {reason}", fix="check its owner and mode")


__all__ = [
    "Plan",
    "Present",
    "Restored",
    "Wanted",
    "exactly",
    "keep_displaced",
    "keeping_others",
    "read_present",
    "restore_catalogue",
    "settle_restore",
    "without_owned",
]
