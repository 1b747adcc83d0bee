"""Catalogue backups: made, read back, listed and verified with the standard library alone.

A backup is ``library.json.bak.<stamp>``, beside it ``<name>.sha256`` (for ``sha256sum -c``, bare names) and
``<name>.meta.json``. The hash file comes first: making it claims the stamp, so that two processes never write the same
backup. The backup comes last, so that one with a name is a whole one with its side files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import (
    BadInput,
    EnvironmentFailed,
    MobiusError,
    OutOfResource,
    exit_code_of,
)
from mobius_tui.recovery.atomic import ABSENT, Changed, sweep_leftovers, write_atomic
from mobius_tui.recovery.hashes import read_whole, sha256_file
from mobius_tui.system import clock
from mobius_tui.text import visible

PREFIX = "library.json.bak."
"""Start of every catalogue backup's name."""

_SIDES = (".sha256", ".meta.json")


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup, as its folder and side files tell.

    Attributes:
        at: When it was made (its stamp), seconds since the epoch.
        size: Bytes.
        state: ``verified`` when it was read back and not changed in size since, ``corrupt`` when the last reading back
            failed, ``missing side file`` when it has no recorded hash, ``unverified`` otherwise.
        verified_at: When it was last read back whole; None when never.
        images: Entries of the catalogue; None when unknown.
        sha256: Hex digest by its side file; empty when that is missing.
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found.

    Attributes:
        state: ``good``, ``corrupt``, ``missing`` or ``unreadable``.
        sentence: The same in words.
    """

    name: str
    state: str
    sentence: str


def create_backup(
    catalogue: Path,
    folder: Path,
    *,
    reason: str,
    who: str,
    details: Mapping[str, object] | None = None,
    prefix: str = PREFIX,
) -> Backup:
    """Copy a catalogue into the folder of the backups, durably, and read it back.

    Args:
        catalogue: The file to keep.
        folder: Where backups lie; made when missing.
        reason: Why, in a word or sentence.
        who: The actor.
        details: Counts and versions for the meta file.
        prefix: What comes before the stamp in its name.

    Returns:
        The verified backup.

    Raises:
        BadInput: There is no catalogue to keep.
        Changed: The catalogue was changed while it was copied.
        EnvironmentFailed: The copy could not be made or read back.
        OutOfResource: There is no space for it.
    """
    try:
        digest = sha256_file(catalogue)
    except FileNotFoundError as error:
        raise BadInput(
            "there is no catalogue to back up", where=visible(str(catalogue)), fix="run `mobius migrate`"
        ) from error
    _make_folder(folder)
    _sweep(folder, prefix)
    stamp, name = _claimed_name(folder, prefix, digest)
    now = clock.now()
    meta = {
        **(details or {}),
        "name": name,
        "created": clock.iso(now),
        "reason": reason,
        "who": who,
        "sha256": digest,
        "verified": clock.iso(now),
    }
    try:
        _copy(catalogue, folder / name, meta)
    except BaseException:
        for side in ("", *_SIDES):
            with contextlib.suppress(OSError):
                (folder / f"{name}{side}").unlink()
        raise
    tighten(folder / name)
    return _read_backup(folder, name, clock.from_stamp(stamp) or now)


def _copy(catalogue: Path, path: Path, meta: Mapping[str, object]) -> None:
    """Write the meta file, then the backup itself, and insist that it is what was hashed."""
    size = catalogue.stat().st_size
    _write_meta(path.parent, path.name, {**meta, "size": size})
    written = write_atomic(path, _chunks(catalogue), expect=ABSENT)
    if written != meta["sha256"] or path.stat().st_size != size:
        raise Changed("the catalogue was changed while it was backed up, the backup is dropped", fix="run it again")


def tighten(path: Path) -> None:
    """Make a backup and its side files 0640 or tighter."""
    for side in ("", *_SIDES):
        with contextlib.suppress(OSError):
            part = path.with_name(path.name + side)
            part.chmod(part.stat().st_mode & 0o640)


def list_backups(folder: Path) -> list[Backup]:
    """The catalogue backups of a folder, newest first; nothing is read but names, sizes and side files."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = []
    for name in names:
        at = clock.from_stamp(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        if at is not None:
            with contextlib.suppress(OSError):
                found.append(_read_backup(folder, name, at))
    return sorted(found, key=lambda backup: (backup.at, backup.name), reverse=True)


def verify_backup(folder: Path, name: str) -> Verdict:
    """Read a backup whole and compare it with its side file.

    Args:
        folder: Where the backups lie.
        name: A backup's bare name.

    Returns:
        The verdict; a good one is noted in the meta file.
    """
    path = folder / name
    shown = visible(name)
    try:
        wanted = _recorded_digest(folder, name)
        found = sha256_file(path)
    except FileNotFoundError as error:
        gone = "its .sha256 file" if str(error.filename).endswith(".sha256") else "the backup file"
        return Verdict(name, "missing", f"{shown}: {gone} is missing")
    except OSError as error:
        return Verdict(name, "unreadable", f"{shown}: cannot be read ({error.strerror})")
    problem = _problem_of(path, wanted, found)
    _note_verdict(folder, name, found, good=not problem)
    if problem:
        return Verdict(name, "corrupt", f"{shown}: {problem}")
    return Verdict(
        name, "good", f"{shown}: SHA-256 {found[:12]}... as noted; check by hand: sha256sum -c {shown}.sha256"
    )


def _problem_of(path: Path, wanted: str, found: str) -> str:
    """What is wrong with a backup that could be read; empty when nothing is."""
    if not wanted:
        return "its .sha256 file holds no hash"
    if found != wanted:
        return f"its hash is {found[:12]}..., {wanted[:12]}... was recorded"
    return _not_a_catalogue(path)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        kind = OutOfResource if exit_code_of(error) == OutOfResource.exit_code else EnvironmentFailed
        raise kind(
            f"the folder of the backups cannot be made: {error.strerror}",
            where=visible(str(folder)),
            fix="check its owner, and the space left",
        ) from error


def _claimed_name(folder: Path, prefix: str, digest: str) -> tuple[str, str]:
    """A stamp that no backup has and its name, claimed by writing the hash file; a taken one waits for the next."""
    while True:
        stamp = clock.stamp(clock.now())
        name = f"{prefix}{stamp}"
        if not any((folder / f"{name}{side}").exists() for side in ("", *_SIDES)):
            try:
                write_atomic(folder / f"{name}.sha256", [f"{digest}  {name}\n".encode()], expect=ABSENT)
            except Changed:  # another process was faster
                continue
            return stamp, name
        time.sleep(0.05)


def _sweep(folder: Path, prefix: str) -> None:
    """Remove the temporaries of backups whose process was killed."""
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            match = re.fullmatch(r"\.(" + re.escape(prefix) + r".+)\.\d+\.tmp", entry)
            if match is not None:
                sweep_leftovers(folder, match[1])


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


def _recorded_digest(folder: Path, name: str) -> str:
    """The hash in a backup's side file, 64 lower-case hex digits; empty when it holds none.

    Raises:
        OSError: There is no such file, or it cannot be read.
    """
    line = read_whole(folder / f"{name}.sha256").data[:4096].split()
    digest = line[0].lower() if line else b""
    return digest.decode() if re.fullmatch(rb"[0-9a-f]{64}", digest) else ""


def _not_a_catalogue(path: Path) -> str:
    """Why the content could not serve as a catalogue; empty when it could."""
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return "it is not JSON, as it was when it was made"
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        return "it holds no array of images"
    return ""


def _note_verdict(folder: Path, name: str, digest: str, *, good: bool) -> None:
    """Note in the meta file what a verification found; a folder that cannot be written can still be verified."""
    meta = _read_meta(folder, name)
    if good:
        meta["verified"] = clock.iso(clock.now())
        meta.pop("corrupt", None)
    else:
        meta["corrupt"] = clock.iso(clock.now())
    with contextlib.suppress(MobiusError, OSError):
        if good and "sha256" not in meta:  # the meta file was lost
            meta |= {"name": name, "sha256": digest, "size": (folder / name).stat().st_size}
        _write_meta(folder, name, meta)


def _write_meta(folder: Path, name: str, meta: Mapping[str, object]) -> None:
    write_atomic(folder / f"{name}.meta.json", [json.dumps(meta, indent=2, sort_keys=True).encode() + b"\n"])


def _read_meta(folder: Path, name: str) -> dict[str, object]:
    try:
        meta = json.loads(read_whole(folder / f"{name}.meta.json").data)
    except (OSError, ValueError, RecursionError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _read_backup(folder: Path, name: str, at: float) -> Backup:
    meta = _read_meta(folder, name)
    size = (folder / name).stat().st_size
    try:
        digest = _recorded_digest(folder, name)
    except OSError:
        digest = ""
    verified = _seconds(meta.get("verified"))
    images = meta.get("images")
    return Backup(
        name=name,
        path=folder / name,
        at=at,
        size=size,
        reason=str(meta.get("reason", "")),
        who=str(meta.get("who", "")),
        state=_state_of(meta, size, digest, verified),
        verified_at=verified,
        images=images if type(images) is int else None,
        sha256=digest,
        pinned=meta.get("pinned") is True,
    )


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
