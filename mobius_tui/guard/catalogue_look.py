"""A look at the live catalogue: is it there, whole, and all that was published.

Fewer entries or hashes than published are explained by

- an act of the history, noted after the publication, that wrote exactly this content;
- another operation that is under way (its journal is open);
- a valid write of another program: the file parses, carries the ``dhash_migration`` of the publication, is not empty,
  and every published entry that is still in it has the dHash that it had. Programs may remove entries; a dHash that
  vanished or changed in an entry that stayed is not explained by that.

A missing file and one that does not parse are never explained: whatever MOBIUS does, the live file is always whole.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobius_tui.catalogue.document import Document, parse
from mobius_tui.errors import BadInput
from mobius_tui.guard.model import Baseline, CatalogueLook
from mobius_tui.recovery.hashes import Reading, read_whole
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, open_journals, run_of
from mobius_tui.system import clock as wall
from mobius_tui.text import visible

_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.EISDIR}
_ACTS_READ = 20_000
_FRESH_S = 2.0
_TRIES = 3
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Content:
    """What a catalogue's bytes hold.

    Attributes:
        sha256: Of the bytes.
        problem: Why they are no catalogue, in words; empty when they are one.
        dhashes: By file, its dHash or None.
        migration: ``dhash_migration``; None when absent.
    """

    sha256: str
    problem: str = ""
    dhashes: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    migration: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def with_dhash(self) -> int:
        """How many entries have a dHash."""
        return sum(dhash is not None for dhash in self.dhashes.values())


@dataclass(frozen=True, slots=True)
class Seen:
    """A look, and what the next one can use of it.

    Attributes:
        look: What came of it.
        errors: What kept it from being one, each beginning with ``catalogue:``.
        identity: Of the file that ``content`` was read from; None when it must be read again.
        content: What it held.
        whole: The first content that held no less than was published: what later ones are compared with.
    """

    look: CatalogueLook
    errors: tuple[str, ...] = ()
    identity: tuple[int, ...] | None = None
    content: Content | None = None
    whole: Content | None = None


def look_at(
    live: Path,
    state: Path,
    baseline: Baseline,
    before: Seen | None = None,
    *,
    deploy: str = "",
    sleep: Callable[[float], object] = time.sleep,
) -> Seen:
    """Look at the live catalogue once; it is parsed only when it has changed.

    Args:
        live: The catalogue; symlinks are followed.
        state: The state folder, with history and journals.
        baseline: What was published.
        before: The last look.
        deploy: Run id of the deploy that is watched: its own open journal explains nothing.
        sleep: Waits for some seconds, while somebody is writing the file.

    Returns:
        The look. Somebody in the middle of writing is no data.
    """
    whole = before.whole if before is not None else None
    try:
        content, identity = _content(live, before, sleep)
    except OSError as error:
        return Seen(*_unreadable(error, live), whole=whole)
    if content is None:
        return Seen(CatalogueLook(sentence="the file was being written at the moment of the look"), whole=whole)
    if content.problem:
        return Seen(CatalogueLook(False, content.problem, sha256=content.sha256), (), identity, content, whole)
    entries, with_dhash = len(content.dhashes), content.with_dhash
    said = _fewer(baseline, entries, with_dhash)
    ok = True
    if said:
        why = _explanation(state, baseline, content, whole, deploy)
        ok, said = bool(why), f"{said}: {why or 'nothing on record explains it, and it is no valid write'}"
    elif whole is None or content.sha256 == baseline.published:
        whole = content
    counts = f"{entries:,} entries, {with_dhash:,} with a dHash"
    look = CatalogueLook(ok, f"{counts}; {said}" if said else counts, entries, with_dhash, content.sha256)
    return Seen(look, (), identity, content, whole)


def _content(
    live: Path, before: Seen | None, sleep: Callable[[float], object]
) -> tuple[Content | None, tuple[int, ...] | None]:
    """What the file holds, from the last look when it is the same file; None when it never stood still."""
    status = live.stat()
    if before is not None and before.content is not None and before.identity == _identity(status):
        return before.content, before.identity
    for attempt in range(_TRIES):
        if attempt:
            sleep(_PAUSE_S)
        reading = read_whole(live)
        if reading.steady:
            # one written just now could change again within the same tick of the file system's clock
            fresh = abs(wall.now() - reading.before.st_mtime) < _FRESH_S
            return _parsed(reading, live), None if fresh else _identity(reading.before)
    return None, None


def _identity(status: Any) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _parsed(reading: Reading, live: Path) -> Content:
    sha256 = hashlib.sha256(reading.data).hexdigest()
    try:
        document: Document = parse(reading.data, origin=str(live))
    except BadInput as error:
        return Content(sha256, visible(str(error)))
    return Content(sha256, "", {entry.key: entry.dhash for entry in document.entries}, document.migration)


def _unreadable(error: OSError, live: Path) -> tuple[CatalogueLook, tuple[str, ...]]:
    """A file that is not there is a finding; one that cannot be read is the guard's own trouble."""
    shown = visible(str(live))
    if error.errno in _MISSING:
        said = "it is not a regular file" if error.errno in {errno.EINVAL, errno.EISDIR} else "it is missing"
        return CatalogueLook(False, f"{said}: {shown}"), ()
    said = f"it cannot be read: {visible(error.strerror or str(error))}"
    return CatalogueLook(None, said), (f"catalogue: {said} ({shown})",)


def _fewer(baseline: Baseline, entries: int, with_dhash: int) -> str:
    """What there is less of than was published, in words; empty when of nothing."""
    short = []
    for told, now, noun in ((baseline.entries, entries, "entries"), (baseline.with_dhash, with_dhash, "hashes")):
        if told is not None and now < told:
            short.append(f"{told - now:,} of {told:,} published {noun} are missing")
    return " and ".join(short)


def _explanation(state: Path, baseline: Baseline, content: Content, whole: Content | None, deploy: str) -> str:
    """What explains that there is less than was published, in words; empty when nothing does."""
    act = _act_of(state, baseline, content.sha256)
    if act:
        return f"the history has it: {visible(act)}"
    with contextlib.suppress(OSError):
        for path in open_journals(state / JOURNALS):
            if run_of(path) != deploy:
                return f"{visible(run_of(path))} is under way"
    return "another program removed entries and left the rest as it was" if _is_valid(baseline, content, whole) else ""


def _act_of(state: Path, baseline: Baseline, sha256: str) -> str:
    """The act after the publication that wrote this content; empty when there is none."""
    try:
        acts = read_history(state, limit=_ACTS_READ)
    except OSError:
        return ""
    published = [
        number for number, act in enumerate(acts) if baseline.published and act.get("after") == baseline.published
    ]
    if published:
        acts = acts[published[-1] + 1 :]
    elif baseline.at is not None:
        begun = wall.iso(baseline.at)
        acts = [act for act in acts if str(act.get("time")) >= begun]
    return next((str(act.get("act")) for act in reversed(acts) if act.get("after") == sha256), "")


def _is_valid(baseline: Baseline, content: Content, whole: Content | None) -> bool:
    """Whether a program that only removed entries could have written it."""
    if not content.dhashes:
        return False
    if whole is None:  # a guard that was started again after the write: only the counts are known
        if content.migration is None and baseline.with_dhash:
            return False
        removed = (baseline.entries or 0) - len(content.dhashes)
        return (baseline.with_dhash or 0) - content.with_dhash <= max(0, removed)
    if content.migration != whole.migration:
        return False
    there = content.dhashes
    return all(there[key] == dhash for key, dhash in whole.dhashes.items() if dhash is not None and key in there)
