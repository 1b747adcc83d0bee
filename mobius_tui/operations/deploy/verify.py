"""Whether a staged catalogue may be published: form, counts, nothing of others lost, a sample of hashes recomputed.

Everything is judged from the bytes of the staged file itself, by code that had no part in writing it.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mobius_tui.catalogue.document import (
    DUPLICATES,
    IMAGES,
    MIGRATION,
    SCHEMA_VERSION,
    Document,
    Entry,
    file_key,
    parse,
)
from mobius_tui.catalogue.render import parts_of
from mobius_tui.errors import BadInput, EnvironmentFailed, ProcessingFailed
from mobius_tui.fingerprint.dhash import hamming, hex_of
from mobius_tui.fingerprint.model import Outcome, Profile, Task
from mobius_tui.fingerprint.pool import HashingPool
from mobius_tui.operations.findings import ALGORITHM
from mobius_tui.operations.migrate import LEAST_FAILURES
from mobius_tui.operations.options import available_cores, image_limits
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.text import counted, visible
from mobius_tui.workspace import Workspace

SAMPLE = 32
"""Hashes that are recomputed."""

PROFILES = ("exact", "fast")
"""Ways of decoding that a catalogue may name."""

SHOWN = 5
"""Problems that are told in words; the rest is counted."""

_OWNED = frozenset({"dhash", "dhash_confidence", "dhash_status", "dhash_error"})
_OWNED_TOP = (IMAGES, MIGRATION, DUPLICATES)
_PAIR_STATUSES = frozenset({"auto", "exact", "accepted"})
# within a string a quote has a backslash before it, so this matches members only; those of nested objects too
_OWNED_MEMBER = re.compile(
    r',[ \t\n\r]*"dhash(?:_confidence|_status|_error)?"[ \t\n\r]*:[ \t\n\r]*'
    r'(?:"[^"\\]*(?:\\.[^"\\]*)*"|[^ \t\n\r"{}\[\],:]+)',
    re.DOTALL,
)
_ONLY_PATH = re.compile(r'\{[ \t\n\r]*"path"[ \t\n\r]*:[ \t\n\r]*"[^"\\]*(?:\\.[^"\\]*)*"[ \t\n\r]*\}', re.DOTALL)
_CLOCK_SLACK_S = 2.0
_EACH = 4096


@dataclass(frozen=True, slots=True)
class Verified:
    """What the verification counted, for the journal.

    Attributes:
        sha256: Hash of the staged bytes that were judged.
        entries: Entries of the staged catalogue.
        before: Entries of the live one.
        with_dhash: Staged entries with a dHash.
        failed: Staged entries whose image failed.
        missing: Staged entries whose file is gone.
        duplicates: Items of ``dhash_duplicates``.
        sampled: Hashes chosen for recomputing.
        recomputed: Of these, those that came out the same.
        changed: Of these, files that were changed or removed since they were hashed.
        unread: Of these, files that could not be decoded now for want of time, memory or rights.
    """

    sha256: str
    entries: int
    before: int
    with_dhash: int
    failed: int
    missing: int
    duplicates: int
    sampled: int
    recomputed: int
    changed: int
    unread: int

    def to_json(self) -> dict[str, object]:
        """The counts as a JSON object."""
        return asdict(self)


class _Problems:
    """The first problems in words, all of them counted."""

    def __init__(self, staged: Path) -> None:
        self._staged = staged
        self._said: list[str] = []
        self._count = 0

    def add(self, sentence: str) -> None:
        self._count += 1
        if len(self._said) < SHOWN:
            self._said.append(sentence)

    def refuse(self) -> None:
        """Raise what was found, if anything."""
        if not self._count:
            return
        more = self._count - len(self._said)
        said = "; ".join(self._said) + (f"; and {counted(more, 'more problem')}" if more else "")
        raise ProcessingFailed(
            f"the staged catalogue is not published: {said}",
            where=visible(str(self._staged)),
            fix="run it again; if it stays, `mobius migrate --fresh -o FILE` and `mobius deploy --from FILE`",
        )


def verify_staged(
    ws: Workspace,
    staged: Path,
    live: Document,
    *,
    sample: int = SAMPLE,
    seed: str = "",
    since: float | None = None,
    heed: Callable[[], None] = lambda: None,
) -> Verified:
    """Judge a staged catalogue against the live one that it shall replace.

    Args:
        ws: The workspace: limits, allowed share of failures.
        staged: The staged file; its relative paths mean the folder of the live one's ``origin``.
        live: The live catalogue that was read; ``empty_document`` when there is none.
        sample: How many hashes are recomputed at most.
        seed: Which are chosen: the run id.
        since: Files touched after this time count as changed when their hash is another one, seconds since the epoch:
            when the migration began. None means the end of the run that made the staged catalogue.
        heed: Called now and then; whatever it raises ends the verification.

    Returns:
        The counts.

    Raises:
        ProcessingFailed: It must not be published; names the first problems.
        EnvironmentFailed: It cannot be read.
    """
    data = _bytes_of(staged)
    digest = hashlib.sha256(data).hexdigest()
    document = _parsed(staged, data, live.origin)
    del data
    problems = _Problems(staged)
    _check_migration(document, problems)
    counts = _check_owned(ws, document, len(live.entries), problems, heed)
    _check_foreign(live, document, problems, heed)
    _check_duplicates(document, problems, heed)
    problems.refuse()
    verdicts = _recompute(ws, document, sample, seed, _made_at(document, since), problems, heed)
    problems.refuse()
    return Verified(
        sha256=digest,
        entries=len(document.entries),
        before=len(live.entries),
        with_dhash=counts["hashed"],
        failed=counts["failed"],
        missing=counts["missing"],
        duplicates=len(document.duplicates),
        sampled=sum(verdicts.values()),
        recomputed=verdicts["same"],
        changed=verdicts["changed"],
        unread=verdicts["unread"],
    )


def verify_canary(
    staged: Path, live: Document, chosen: Set[str], *, heed: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """Judge a staged canary against the live catalogue: nothing but the chosen entries may differ.

    Args:
        staged: The staged file.
        live: The live catalogue that was read.
        chosen: Keys of the entries that have new fingerprints.
        heed: Called now and then; whatever it raises ends the verification.

    Returns:
        Its entries, and those with a dHash.

    Raises:
        ProcessingFailed: It must not be published; names the first problems.
        EnvironmentFailed: It cannot be read.
    """
    document = _parsed(staged, _bytes_of(staged), live.origin)
    problems = _Problems(staged)
    _check_migration(document, problems)
    _check_foreign(live, document, problems, heed)
    _check_duplicates(document, problems, heed)
    before = {entry.key: live.raw(entry) for entry in live.entries}
    for number, entry in enumerate(document.entries):
        if entry.key in chosen:
            fault = owned_fault(entry)
        else:
            fault = "" if before.get(entry.key) == document.raw(entry) else "is not as it is live"
        if fault:
            problems.add(f"images[{number}] {visible(entry.path)!r} {fault}")
    if len(document.entries) < len(live.entries):
        problems.add(f"it has {counted(len(document.entries), 'image')}, the live one {len(live.entries):,}")
    problems.refuse()
    return len(document.entries), sum(entry.dhash is not None for entry in document.entries)


def _parsed(staged: Path, data: bytes, origin: str) -> Document:
    try:
        return parse(data, origin=origin)
    except BadInput as error:
        raise ProcessingFailed(
            f"the staged catalogue cannot be read back: {error.what}", where=visible(str(staged)), fix="run it again"
        ) from error


def _bytes_of(staged: Path) -> bytes:
    try:
        return read_whole(staged).data
    except OSError as error:
        raise EnvironmentFailed(
            f"the staged catalogue cannot be read: {error.strerror or error}",
            where=visible(str(staged)),
            fix="run the deploy again",
        ) from error


def _check_migration(document: Document, problems: _Problems) -> None:
    facts = document.migration
    if facts is None:
        problems.add(f'it has no "{MIGRATION}"')
        return
    if facts.get("schema_version") != SCHEMA_VERSION:
        problems.add(f"its schema_version is {visible(repr(facts.get('schema_version')))}, not {SCHEMA_VERSION}")
    if facts.get("algorithm") != ALGORITHM:
        problems.add(f"its algorithm is {visible(repr(facts.get('algorithm')))}, not {ALGORITHM}")
    if facts.get("profile") not in PROFILES:
        problems.add(f"its profile is {visible(repr(facts.get('profile')))}, not exact or fast")
    if DUPLICATES not in document.members:
        problems.add(f'it has no "{DUPLICATES}"')


def _check_owned(
    ws: Workspace, document: Document, before: int, problems: _Problems, heed: Callable[[], None]
) -> dict[str, int]:
    """Form of the owned fields of each entry, and the counts that they give."""
    counts = {"hashed": 0, "failed": 0, "missing": 0}
    for number, entry in enumerate(document.entries):
        if not number % _EACH:
            heed()
        counts["hashed"] += entry.dhash is not None
        if entry.status in counts:
            counts[str(entry.status)] += 1
        fault = owned_fault(entry)
        if fault:
            problems.add(f"images[{number}] {visible(entry.path)!r} {fault}")
    total = len(document.entries)
    if total < before:
        problems.add(f"it has {counted(total, 'image')}, the live one {before:,}")
    bad = counts["failed"] + counts["missing"]
    if bad >= LEAST_FAILURES and bad > ws.settings.max_failure_rate * total + 1e-9:
        share = f"more than {ws.settings.max_failure_rate * 100:g} %"
        problems.add(f"{bad:,} of {counted(total)} failed or are missing, {share}")
    return counts


def owned_fault(entry: Entry) -> str:
    """What is wrong with an entry's owned fields, in words that go on after its name; empty when nothing is."""
    if entry.status is None:
        return "has no dhash_status"
    if entry.status == "missing":  # whatever it had before stays
        return ""
    if not entry.settled:
        return f"has owned fields that do not fit its status {entry.status}"
    if entry.status == "failed":
        return "failed but has a dhash, or no error" if entry.dhash is not None or not entry.error else ""
    return "" if entry.dhash is not None and entry.confidence is not None else f"is {entry.status} without a dhash"


def _check_foreign(live: Document, staged: Document, problems: _Problems, heed: Callable[[], None]) -> None:
    """All old entries are there, in order, and what MOBIUS does not own is the text that was read."""
    for number, (old, new) in enumerate(zip(live.entries, staged.entries, strict=False)):
        if not number % _EACH:
            heed()
        if old.key != new.key:
            problems.add(_out_of_order(live, staged, number))
            break  # every later one would be told, too
        before, after = live.raw(old), staged.raw(new)
        if before != after and not _same_but_owned(before, after):
            problems.add(f"images[{number}] {visible(old.path)!r} lost or changed what is not MOBIUS's")
    for entry in staged.entries[len(live.entries) :]:
        raw = staged.raw(entry)
        only_path = _ONLY_PATH.fullmatch(_OWNED_MEMBER.sub("", raw)) is not None
        if not only_path and [part.name for part in parts_of(raw) if part.name not in _OWNED] != ["path"]:
            problems.add(f"the new entry {visible(entry.path)!r} has more than a path")
    old_members = {name: live.text[m.value_start : m.value_end] for name, m in _foreign_members(live)}
    new_members = {name: staged.text[m.value_start : m.value_end] for name, m in _foreign_members(staged)}
    if list(old_members.items()) != list(new_members.items()):
        differing = [n for n in {**old_members, **new_members} if old_members.get(n) != new_members.get(n)]
        named = ", ".join(visible(repr(name)) for name in differing[:SHOWN]) or "their order"
        problems.add(f"top-level members are not as in the live one: {named}")


def _foreign_members(document: Document) -> Iterator[tuple[str, Any]]:
    return ((name, member) for name, member in document.members.items() if name not in _OWNED_TOP)


def _out_of_order(live: Document, staged: Document, number: int) -> str:
    wanted = live.entries[number]
    there = any(entry.key == wanted.key for entry in staged.entries)
    fault = "is not in its place" if there else "is not there any more"
    return f"the live images[{number}] {visible(wanted.path)!r} {fault}"


def _same_but_owned(before: str, after: str) -> bool:
    """Whether two entries' texts differ in owned members alone."""
    # what follows the last bracket before the end is on the top level: a nested object may have members of these names
    cut, cut_after = (max(raw.rfind("}", 0, -1), raw.rfind("]", 0, -1)) + 1 for raw in (before, after))
    if cut == cut_after and before[:cut] == after[:cut]:
        rest, rest_after = (_OWNED_MEMBER.sub("", raw[cut:]) for raw in (before, after))
        if rest.rstrip("} \t\n\r") == rest_after.rstrip("} \t\n\r"):
            return True
    return _foreign_text(before) == _foreign_text(after)


def _foreign_text(raw: str) -> list[tuple[str, str]]:
    """Key and value of each member that is not owned, as written."""
    return [(raw[p.key : p.colon], raw[p.value : p.end]) for p in parts_of(raw) if p.name not in _OWNED]


def _check_duplicates(document: Document, problems: _Problems, heed: Callable[[], None]) -> None:
    folder = os.path.dirname(os.path.abspath(document.origin))  # noqa: PTH100, PTH120 (as catalogue.document does)
    hashes = {entry.key: entry.dhash for entry in document.entries}
    exact = (document.migration or {}).get("profile") == "exact"
    seen: set[str] = set()
    originals: dict[str, int] = {}
    for number, pair in enumerate(document.duplicates):
        if not number % _EACH:
            heed()
        keys = [_key(pair.get(name), folder) for name in ("duplicate", "original")]
        fault = pair_fault(pair, keys, hashes, exact=exact)
        if not fault and keys[0] in seen:
            fault = f"names the duplicate {visible(str(pair['duplicate']))!r} a second time"
        if fault:
            problems.add(f"{DUPLICATES}[{number}] {fault}")
            continue
        seen.add(keys[0])
        originals.setdefault(keys[1], number)
    for key, number in originals.items():
        if key in seen:
            problems.add(f"{DUPLICATES}[{number}] has an original that is itself a duplicate, {visible(key)!r}")


def _key(path: object, folder: str) -> str:
    return file_key(path, folder) if isinstance(path, str) and path and "\0" not in path else ""


def pair_fault(pair: Mapping[str, Any], keys: list[str], hashes: Mapping[str, str | None], *, exact: bool) -> str:
    """What is wrong with a pair of duplicates, in words that go on after its name; empty when nothing is.

    Args:
        pair: An item of ``dhash_duplicates``.
        keys: Its duplicate and its original, as ``Entry.key`` names them.
        hashes: The dHash of each entry by key.
        exact: Whether the distance must be that of the two.
    """
    for name, key in zip(("duplicate", "original"), keys, strict=True):
        if key not in hashes:
            return f"has a {name} that is no entry, {visible(repr(pair.get(name)))[:200]}"
        if hashes[key] is None:
            return f"has a {name} without a dhash, {visible(key)!r}"
    if keys[0] == keys[1]:
        return f"names {visible(keys[0])!r} a duplicate of itself"
    distance, confidence = pair.get("hammingDistance"), pair.get("confidence")
    if type(distance) is not int or not 0 <= distance <= 64:
        return f"has the hammingDistance {visible(repr(distance))[:80]}"
    if type(confidence) not in {int, float} or not 0 <= float(confidence or 0) <= 1:
        return f"has the confidence {visible(repr(confidence))[:80]}"
    if pair.get("status") not in _PAIR_STATUSES:
        return f"has the status {visible(repr(pair.get('status')))[:80]}"
    if exact and hamming(int(hashes[keys[0]] or "0", 16), int(hashes[keys[1]] or "0", 16)) != distance:
        return f"has the hammingDistance {distance}, which is not that of the two dhashes"
    return ""


def _made_at(document: Document, since: float | None) -> float:
    """From when on a file's change came after its fingerprint, seconds since the epoch; far ahead when unknown."""
    if since is not None:
        return since
    run = (document.migration or {}).get("run")
    finished = run.get("finished") if isinstance(run, dict) else None
    try:
        return datetime.fromisoformat(str(finished)).timestamp()
    except (ValueError, OverflowError):
        return float("inf")


def _recompute(
    ws: Workspace,
    document: Document,
    sample: int,
    seed: str,
    since: float,
    problems: _Problems,
    heed: Callable[[], None],
) -> dict[str, int]:
    """Decode a sample of the images again and compare."""
    folder = os.path.dirname(os.path.abspath(document.origin))  # noqa: PTH100, PTH120
    chosen = chosen_entries(document, sample, seed)
    wanted = {os.path.normpath(os.path.join(folder, entry.key)): entry for entry in chosen}  # noqa: PTH118
    verdicts = {"same": 0, "changed": 0, "unread": 0, "wrong": 0}
    profile: Profile = "fast" if (document.migration or {}).get("profile") == "fast" else "exact"
    if wanted:
        heed()
        workers = min(ws.settings.parallel or available_cores(), len(wanted), 4)
        with HashingPool(profile, image_limits(ws), workers) as pool:
            for outcome in pool.map(Task(path) for path in sorted(wanted)):
                heed()
                entry = wanted[outcome.path]
                verdict = _verdict(outcome, entry, since)
                verdicts[verdict] += 1
                if verdict == "wrong":
                    now = "cannot be decoded" if outcome.dhash is None else f"is {hex_of(outcome.dhash)} now"
                    problems.add(f"the dhash of {visible(entry.path)!r} is {entry.dhash} and {now}")
    if wanted and not verdicts["same"] and not verdicts["wrong"]:
        problems.add(
            f"none of the {len(wanted)} hashes of the sample could be recomputed: {verdicts['changed']} files were"
            f" changed or removed since, {verdicts['unread']} could not be read"
        )
    return verdicts


def chosen_entries(document: Document, sample: int, seed: str) -> list[Entry]:
    """The entries whose hash is recomputed: another choice each run, the same for the same run.

    Args:
        document: The staged catalogue.
        sample: How many at most.
        seed: The run id.

    Returns:
        Entries that have a dHash and a file.
    """
    able = (entry for entry in document.entries if entry.dhash is not None and entry.status != "missing")

    def rank(entry: Entry) -> bytes:
        return hashlib.sha256(f"{seed}\0{entry.key}".encode()).digest()

    return heapq.nsmallest(sample, able, key=rank)


def _verdict(outcome: Outcome, entry: Entry, since: float) -> str:
    """``same``, ``changed``, ``unread`` or ``wrong``."""
    if outcome.dhash is not None and hex_of(outcome.dhash) == entry.dhash:
        return "same"
    if _touched_since(outcome.path, since - _CLOCK_SLACK_S):
        return "changed"
    return "unread" if outcome.dhash is None and not outcome.lasting else "wrong"


def _touched_since(path: str, since: float) -> bool:
    """Whether a file is another one than at a time, or gone; a copy that kept its time still has a new change time."""
    try:
        status = os.stat(path)  # noqa: PTH116 - paths are texts here
    except OSError:
        return True
    return max(status.st_mtime, status.st_ctime) >= since
