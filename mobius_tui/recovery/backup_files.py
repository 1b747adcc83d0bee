"""The files of a backup: how they are called, what they tell, and the marks of one that is being made or removed.

A backup is one file and its side files: ``<name>.sha256`` (for ``sha256sum -c``, bare names), ``<name>.meta.json`` and,
where people have decided anything, ``<name>.decisions.jsonl``. While it is made, a hidden mark lies beside it, and what
is marked is in no list; side files come after the file that they speak of, so that none of them ever speaks of one that
is not there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.recovery.atomic import ABSENT, Changed, write_atomic
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.system import clock
from mobius_tui.text import visible

PREFIX = "library.json.bak."
"""Start of every catalogue backup's name; the stamp follows."""

FULL_PREFIX = "dhash_"
"""Start of every full backup's name; the stamp and ``.zip`` follow."""

FULL_ENDING = ".zip"
"""End of a full backup's name."""

AGE_ENDING = ".age"
"""What an encrypted backup's name has at its very end."""

EMERGENCY = "emergency"
"""Folder below the backups for copies of a state that a rollback replaced."""

HASHES, META, DECISIONS = ".sha256", ".meta.json", ".decisions.jsonl"

SIDES = (META, HASHES, DECISIONS, DECISIONS + AGE_ENDING)
"""What is added to a backup's name for its side files, in the order in which they are removed."""

AHEAD_S = 120.0
"""A backup may be so many seconds ahead of the clock before it counts as dated in the future."""

MAKING, REMOVING = "making", "removing"

_STAMP = r"\d{8}T\d{6}Z"
NAMES = re.compile(
    rf"(?:{re.escape(PREFIX)}(?P<catalogue>{_STAMP})|{FULL_PREFIX}(?P<full>{_STAMP})\.zip)(?P<age>\.age)?"
)
"""What a backup's name looks like."""

_MARK = re.compile(rf"\.(.+)\.({MAKING}|{REMOVING})")
_ATTEMPTS = 8
# what stands in a side file's place is no file: as good as none
_NONE_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.EISDIR, errno.ENXIO}


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup, as its folder and side files tell.

    Attributes:
        at: When it was made (its stamp), seconds since the epoch.
        size: Bytes.
        state: ``verified`` when it was read back and not changed in size since, ``corrupt`` when the last reading back
            failed, ``missing side file`` when it has no recorded hash, ``unreadable`` when a side file is there and
            cannot be read, ``unverified`` otherwise.
        verified_at: When it was last read back whole; None when never.
        images: Entries of the catalogue; None when unknown.
        sha256: Hex digest of the file by its side file; empty when that is missing.
        kind: ``catalogue`` or ``full``.
        encrypted: Whether it is an age file.
        emergency: Whether it is a copy of a state that a rollback replaced.
        catalogue_sha256: Hex digest of the catalogue inside; empty when unknown.
        decisions_sha256: Hex digest of the decisions kept with it; empty when there were none.
    """

    name: str
    path: Path
    at: float
    size: int
    reason: str
    who: str
    state: str
    verified_at: float | None
    images: int | None
    sha256: str
    pinned: bool = False
    kind: str = "catalogue"
    encrypted: bool = False
    emergency: bool = False
    catalogue_sha256: str = ""
    decisions_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """What a backup's name says."""

    kind: str
    at: float
    encrypted: bool


def parse_name(name: str) -> Name | None:
    """What a name says of a backup; None when it is no backup's."""
    match = NAMES.fullmatch(name)
    if match is None:
        return None
    kind = "full" if match["full"] else "catalogue"
    at = clock.from_stamp(match[kind])
    return None if at is None else Name(kind, at, bool(match["age"]))


def list_backups(folder: Path, *, emergency: bool = False) -> list[Backup]:
    """The backups of a folder, newest first; nothing is read but names, sizes and side files.

    Args:
        folder: Where they lie.
        emergency: They are copies that a rollback made.

    Returns:
        The backups; none when there is no such folder yet. What is being made or removed is left out.

    Raises:
        EnvironmentFailed: The folder cannot be read: that is not the same as an empty one.
    """
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EnvironmentFailed(
            f"the backups cannot be listed: {error.strerror}",
            where=visible(str(folder)),
            fix="check its owner and mode",
        ) from error
    hidden = {match[1] for entry in names if (match := _MARK.fullmatch(entry))}
    found = []
    for name in names:
        if name not in hidden and parse_name(name) is not None:
            with contextlib.suppress(OSError):
                found.append(read_backup(folder, name, emergency=emergency))
    return sorted(found, key=lambda backup: (backup.at, backup.name), reverse=True)


def widowed(folder: Path) -> list[str]:
    """Names of backups whose file is gone while side files still speak of it, newest first.

    Raises:
        EnvironmentFailed: The folder cannot be read.
    """
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EnvironmentFailed(
            f"the backups cannot be listed: {error.strerror}",
            where=visible(str(folder)),
            fix="check its owner and mode",
        ) from error
    hidden = {match[1] for entry in names if (match := _MARK.fullmatch(entry))}
    bare = {name.removesuffix(side) for name in names for side in SIDES if name.endswith(side)}
    lost = [(parsed.at, name) for name in bare - names - hidden if (parsed := parse_name(name)) is not None]
    return [name for _, name in sorted(lost, reverse=True)]


def newest(backups: list[Backup], now: float) -> Backup | None:
    """The newest backup that is not dated in the future; one from a clock that was ahead is no latest one."""
    past = [backup for backup in backups if backup.at <= now + AHEAD_S]
    return max(past, key=lambda backup: (backup.at, backup.name), default=None)


def read_backup(folder: Path, name: str, *, emergency: bool = False) -> Backup:
    """What a backup's files tell.

    Raises:
        OSError: The backup's file cannot be looked at.
    """
    status = (folder / name).lstat()
    meta, hidden = _meta_of(folder, name)
    parsed = parse_name(name)
    try:
        digests = recorded_digests(folder, name)
    except OSError as error:
        digests, hidden = {}, hidden or error.errno not in _NONE_THERE
    digest = digests.get(name, "")
    verified = _seconds(meta.get("verified"))
    images = meta.get("images")
    encrypted = name.endswith(AGE_ENDING)
    kind = kind_of(name, meta)
    plain = digest if kind == "catalogue" and not encrypted else _digest(meta.get("catalogue_sha256"))
    return Backup(
        name=name,
        path=folder / name,
        at=parsed.at if parsed is not None else _seconds(meta.get("created")) or status.st_mtime,
        size=status.st_size,
        reason=str(meta.get("reason", "")),
        who=str(meta.get("who", "")),
        state="unreadable" if hidden else _state_of(meta, status.st_size, digest, verified),
        verified_at=verified,
        images=images if type(images) is int else None,
        sha256=digest,
        pinned=meta.get("pinned") is True,
        kind=kind,
        encrypted=encrypted,
        emergency=emergency,
        catalogue_sha256=plain,
        decisions_sha256=_digest(meta.get("decisions_sha256")),
    )


def kind_of(name: str, meta: Mapping[str, object]) -> str:
    """``full`` or ``catalogue``, by the name or, where that was chosen freely, by the meta file."""
    parsed = parse_name(name)
    if parsed is not None:
        return parsed.kind
    return "full" if meta.get("kind") == "full" else "catalogue"


def _state_of(meta: Mapping[str, object], size: int, digest: str, verified: float | None) -> str:
    if not digest:
        return "missing side file"
    if "corrupt" in meta or meta.get("size", size) != size:
        return "corrupt"
    return "unverified" if verified is None or "size" not in meta else "verified"


def _seconds(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    return clock.from_stamp(text.replace("-", "").replace(":", ""))


def _digest(text: object) -> str:
    return text if isinstance(text, str) and re.fullmatch(r"[0-9a-f]{64}", text) else ""


def recorded_digests(folder: Path, name: str) -> dict[str, str]:
    """The hashes in a backup's side file: by file name, 64 lower-case hex digits; without an entry when it holds none.

    A file with a single line speaks of the backup whatever the line calls it, so that one renamed by hand is found.

    Raises:
        OSError: There is no such side file, or it cannot be read.
    """
    found: dict[str, str] = {}
    for line in read_whole(folder / f"{name}{HASHES}").data[:65536].splitlines():
        match = re.fullmatch(rb"([0-9a-fA-F]{64})(?: [ *](.+))?", line.rstrip())
        if match is not None:
            found[os.fsdecode(match[2] or b"")] = match[1].lower().decode()
    if name not in found and len(found) == 1:
        return {name: next(iter(found.values()))}
    return found


def write_sides(folder: Path, name: str, digests: Mapping[str, str], meta: Mapping[str, object]) -> None:
    """Write a new backup's hashes, then what is known of it; the meta file is the last of a backup's files.

    Args:
        folder: Where the backup lies.
        name: Its bare name.
        digests: Hex hashes by bare file name.
        meta: Facts.
    """
    lines = "".join(f"{digest}  {each}\n" for each, digest in digests.items())
    write_atomic(folder / f"{name}{HASHES}", [lines.encode()], expect=ABSENT)
    write_atomic(folder / f"{name}{META}", [_encoded(meta)], expect=ABSENT)


def read_meta(folder: Path, name: str) -> dict[str, object]:
    """What the meta file holds; nothing when it is missing, damaged or no plain file."""
    return _meta_of(folder, name)[0]


def _meta_of(folder: Path, name: str) -> tuple[dict[str, object], bool]:
    """The same, and whether there is one that cannot be read: what it says, such as pinned, is then not known."""
    try:
        meta = json.loads(read_whole(folder / f"{name}{META}").data)
    except OSError as error:
        return {}, error.errno not in _NONE_THERE
    except (ValueError, RecursionError):
        return {}, False
    return (meta if isinstance(meta, dict) else {}), False


def change_meta(folder: Path, name: str, change: Callable[[dict[str, object]], None]) -> None:
    """Change what the meta file holds, so that two processes that do it at once lose neither change.

    Args:
        folder: Where the backup lies.
        name: Its bare name.
        change: Changes the facts in place; it may be called again.

    Raises:
        FileNotFoundError: There is no such backup, or it is being removed.
        OSError: The meta file cannot be read.
        MobiusError: It cannot be written.
    """
    path = folder / f"{name}{META}"
    for attempt in range(_ATTEMPTS):
        (folder / name).lstat()
        if os.path.lexists(mark_of(folder, name, REMOVING)):
            raise FileNotFoundError(2, "the backup is being removed", name)
        meta = read_meta(folder, name)
        try:
            before = hashlib.sha256(read_whole(path).data).hexdigest()
        except FileNotFoundError:
            before = ABSENT
        change(meta)
        try:
            write_atomic(path, [_encoded(meta)], expect=before)
        except Changed:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return


def mark_of(folder: Path, name: str, what: str) -> Path:
    """The hidden file that says that a backup is being made or removed."""
    return folder / f".{name}.{what}"


def marked(entry: str) -> tuple[str, str] | None:
    """The backup's name and ``making`` or ``removing`` of a hidden mark; None when the entry is none."""
    match = _MARK.fullmatch(entry)
    return (match[1], match[2]) if match else None


def _encoded(meta: Mapping[str, object]) -> bytes:
    return json.dumps(meta, indent=2, sort_keys=True).encode() + b"\n"
