"""Backups of the catalogue: made, read back, verified and read with the standard library alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError, ProcessingFailed
from mobius_tui.recovery.atomic import ABSENT, Changed, write_atomic
from mobius_tui.recovery.backup_files import (
    AGE_ENDING,
    AHEAD_S,
    DECISIONS,
    EMERGENCY,
    HASHES,
    PREFIX,
    Backup,
    change_meta,
    kind_of,
    list_backups,
    newest,
    parse_name,
    read_backup,
    read_meta,
    recorded_digests,
    widowed,
    write_sides,
)
from mobius_tui.recovery.backup_marks import PREFIXES, claimed
from mobius_tui.recovery.hashes import open_whole, read_whole, sha256_file
from mobius_tui.recovery.zipped import catalogue_inside, damage_inside
from mobius_tui.system import clock
from mobius_tui.text import visible

__all__ = [
    "AHEAD_S",
    "EMERGENCY",
    "PREFIX",
    "Backup",
    "Decrypt",
    "Encrypt",
    "Verdict",
    "catalogue_inside",
    "create_backup",
    "hashed",
    "list_backups",
    "newest",
    "opened_backup",
    "parse_name",
    "pin",
    "read_backup_catalogue",
    "verify_backup",
    "widowed",
]

Encrypt = Callable[[Iterable[bytes]], Iterable[bytes]]
"""Turns the pieces of a file into the pieces of an encrypted one."""

Decrypt = Callable[[BinaryIO, BinaryIO], None]
"""Reads an encrypted file and writes the plain one.

Raises ProcessingFailed when it is damaged, BadInput when the key is another's.
"""

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found.

    Attributes:
        state: ``good``, ``corrupt``, ``missing`` or ``unreadable``.
        sentence: The same in words.
        command: What checks it by hand, to be typed in the folder of the backup.
    """

    name: str
    state: str
    sentence: str
    command: str = ""


def create_backup(
    catalogue: Path,
    folder: Path,
    *,
    reason: str,
    who: str,
    details: Mapping[str, object] | None = None,
    prefix: str = PREFIX,
    decisions: Path | None = None,
    encrypt: Encrypt | None = None,
) -> Backup:
    """Copy a catalogue into the folder of the backups, durably, and read it back.

    Args:
        catalogue: The file to keep.
        folder: Where backups lie; made when missing.
        reason: Why, in a word or sentence.
        who: The actor.
        details: Counts and versions for the meta file.
        prefix: What comes before the stamp in its name.
        decisions: What people decided, kept beside it; None or a file that is not there: nothing.
        encrypt: Encrypts what is written; None writes it plain.

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
    ending = AGE_ENDING if encrypt is not None else ""
    prefixes = PREFIXES if prefix == PREFIX else (prefix,)
    with claimed(folder, lambda stamp: f"{prefix}{stamp}{ending}", prefixes) as claim:
        plain = hashlib.sha256()
        pieces: Iterable[bytes] = hashed(_pieces(catalogue), plain)
        written = write_atomic(claim.path, encrypt(pieces) if encrypt else pieces, expect=ABSENT)
        if plain.hexdigest() != digest:
            raise Changed("the catalogue was changed while it was backed up, the backup is dropped", fix="run it again")
        digests = {claim.name: written}
        kept = keep_decisions(folder, claim.name, decisions, encrypt, digests)
        meta = new_meta(claim.name, claim.path, reason, who, written, details)
        write_sides(folder, claim.name, digests, {**meta, "catalogue_sha256": digest, "decisions_sha256": kept})
    return read_backup(folder, claim.name)


def new_meta(
    name: str, path: Path, reason: str, who: str, digest: str, details: Mapping[str, object] | None
) -> dict[str, object]:
    """The facts that the meta file of every new backup has."""
    now = clock.iso(clock.now())
    return {
        **(details or {}),
        "name": name,
        "created": now,
        "reason": reason,
        "who": who,
        "sha256": digest,
        "size": path.stat().st_size,
        "verified": now,
    }


def keep_decisions(
    folder: Path, name: str, decisions: Path | None, encrypt: Encrypt | None, digests: dict[str, str]
) -> str:
    """Copy what people decided beside a backup; returns the hash of its plain bytes, empty when there is nothing.

    Args:
        folder: Where the backup lies.
        name: Its bare name.
        decisions: The file; it may grow meanwhile: what it held at the start is kept.
        encrypt: Encrypts what is written.
        digests: The hash of the written file is added under its bare name.
    """
    if decisions is None or not decisions.is_file():
        return ""
    side = f"{name}{DECISIONS}{AGE_ENDING if encrypt is not None else ''}"
    plain = hashlib.sha256()
    pieces: Iterable[bytes] = hashed(_pieces(decisions), plain)
    digests[side] = write_atomic(folder / side, encrypt(pieces) if encrypt else pieces, expect=ABSENT)
    return plain.hexdigest()


def hashed(pieces: Iterable[bytes], into: hashlib._Hash) -> Iterator[bytes]:
    """The same pieces, hashed on their way."""
    for piece in pieces:
        into.update(piece)
        yield piece


def _pieces(path: Path) -> Iterator[bytes]:
    """A file's bytes as far as it reaches now; what is appended meanwhile is left out."""
    with open_whole(path) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0 and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece


def verify_backup(folder: Path, name: str, *, decrypt: Decrypt | None = None) -> Verdict:
    """Read a backup whole, compare it with its side file, and look at what it holds.

    Args:
        folder: Where the backups lie.
        name: A backup's bare name.
        decrypt: Opens an encrypted one; without it only the hash of the encrypted file is compared.

    Returns:
        The verdict; a good one is noted in the meta file.
    """
    shown = visible(name)
    try:
        digests = recorded_digests(folder, name)
        problem, bad_side = "", False
        found = ""
        for each, wanted in {name: digests.get(name, ""), **digests}.items():
            here = folder / each
            if here.parent != folder:
                problem = problem or f"its .sha256 file names {visible(each)}, which is not beside it"
                continue
            digest = sha256_file(here)
            found = digest if each == name else found
            if digest != wanted and not problem:
                problem, bad_side = _difference(each, name, digest, wanted), each != name
        if not problem or (kind_of(name, read_meta(folder, name)) == "full" and not bad_side):
            inside = _damage(folder, name, decrypt)
            problem = "; ".join(part for part in (problem, inside) if part)
    except FileNotFoundError as error:
        return Verdict(name, "missing", f"{shown}: {_what_is_gone(str(error.filename), name)} is missing")
    except OSError as error:
        return Verdict(name, "unreadable", f"{shown}: cannot be read ({error.strerror or error})")
    except (BadInput, EnvironmentFailed) as error:
        return Verdict(name, "unreadable", f"{shown}: {error}")
    _note_verdict(folder, name, found, good=not problem)
    if problem:
        return Verdict(name, "corrupt", f"{shown}: {problem}")
    command = f"sha256sum -c {shown}{HASHES}"
    said = f"{shown}: SHA-256 {found[:12]}... as noted; check by hand: {command}"
    if name.endswith(AGE_ENDING) and decrypt is None:
        said += " (encrypted: not looked into without its key)"
    return Verdict(name, "good", said, command)


def _difference(each: str, name: str, found: str, wanted: str) -> str:
    if not wanted:
        return "its .sha256 file holds no hash"
    what = "its hash" if each == name else f"the hash of {visible(each)}"
    return f"{what} is {found[:12]}..., {wanted[:12]}... was recorded"


def _what_is_gone(file: str, name: str) -> str:
    bare = Path(file).name
    if bare == name:
        return "the backup file"
    return "its .sha256 file" if bare == f"{name}{HASHES}" else visible(bare)


def _damage(folder: Path, name: str, decrypt: Decrypt | None) -> str:
    """What is wrong with the content of a backup; empty when nothing is, or when nothing can be seen."""
    if name.endswith(AGE_ENDING) and decrypt is None:
        return ""
    try:
        with opened_backup(folder, name, decrypt) as file:
            if kind_of(name, read_meta(folder, name)) == "full":
                return damage_inside(file)
            return _not_a_catalogue(file.read())
    except ProcessingFailed as error:
        return error.what


def _not_a_catalogue(data: bytes) -> str:
    """Why the content could not serve as a catalogue; empty when it could."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return "it is not JSON, as it was when it was made"
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        return "it holds no array of images"
    return ""


@contextlib.contextmanager
def opened_backup(folder: Path, name: str, decrypt: Decrypt | None = None) -> Iterator[BinaryIO]:
    """A backup's plain content to read and seek in; an encrypted one is decrypted into a file without a name.

    Args:
        folder: Where it lies.
        name: Its bare name.
        decrypt: Opens an encrypted one.

    Yields:
        The open file.

    Raises:
        BadInput: It is encrypted and there is no key.
        ProcessingFailed: It is damaged.
        OSError: It cannot be read.
    """
    with open_whole(folder / name) as file:
        if not name.endswith(AGE_ENDING):
            yield file
            return
        if decrypt is None:
            raise BadInput(f"{visible(name)} is encrypted", fix="set backup_key_file to the key that it was made with")
        with tempfile.TemporaryFile(dir=folder) as plain:
            try:
                decrypt(file, plain)
            except BadInput:  # a damaged head looks like one for another key
                if sha256_file(folder / name) not in recorded_digests(folder, name).values():
                    raise ProcessingFailed("its hash is not the one that was recorded") from None
                raise
            plain.seek(0)
            yield plain


def read_backup_catalogue(folder: Path, name: str, decrypt: Decrypt | None = None) -> bytes:
    """The catalogue that a backup holds, verified while it is read.

    Of a full backup only the catalogue's own bytes are compared with its manifest, so that its size does not matter.

    Args:
        folder: Where the backup lies.
        name: Its bare name.
        decrypt: Opens an encrypted one.

    Returns:
        The bytes.

    Raises:
        ProcessingFailed: It is corrupt, or a file of it is missing.
        EnvironmentFailed: It cannot be read.
        BadInput: It is encrypted and there is no key.
    """
    shown = visible(name)
    try:
        with opened_backup(folder, name, decrypt) as file:
            if kind_of(name, read_meta(folder, name)) == "full":
                data = catalogue_inside(file)
            else:
                data = _checked(folder, name, file.read(), decrypt)
    except FileNotFoundError as error:
        gone = _what_is_gone(str(error.filename), name)
        raise ProcessingFailed(
            f"{gone} is missing", where=shown, fix="`mobius backup list` names the others"
        ) from error
    except OSError as error:
        raise EnvironmentFailed(
            f"the backup cannot be read: {error.strerror or error}", where=shown, fix="check its owner and mode"
        ) from error
    problem = _not_a_catalogue(data)
    if problem:
        raise ProcessingFailed(f"the backup is corrupt: {problem}", where=shown, fix="take an older one")
    return data


def _checked(folder: Path, name: str, data: bytes, decrypt: Decrypt | None) -> bytes:
    """A catalogue backup's content, compared with its recorded hash."""
    if decrypt is not None and name.endswith(AGE_ENDING):  # age itself finds any changed byte
        return data
    wanted = recorded_digests(folder, name).get(name, "")
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise ProcessingFailed(
            f"the backup is corrupt: {_difference(name, name, found, wanted)}",
            where=visible(name),
            fix="`mobius backup list` names the others",
        )
    return data


def pin(folder: Path, name: str, on: bool, *, who: str = "", reason: str = "") -> None:
    """Keep a backup for good, or no longer.

    Args:
        folder: Where it lies.
        name: Its bare name.
        on: Whether it is to be kept.
        who: The actor, for the meta file.
        reason: Why, likewise.

    Raises:
        BadInput: There is no such backup.
        EnvironmentFailed: The meta file cannot be written.
    """

    def change(meta: dict[str, object]) -> None:
        meta.setdefault("name", name)
        if on:
            meta |= {"pinned": True, "pinned_by": who, "pinned_for": reason}
        else:
            for key in ("pinned", "pinned_by", "pinned_for"):
                meta.pop(key, None)

    try:
        change_meta(folder, name, change)
    except FileNotFoundError as error:
        raise BadInput(
            f"there is no backup {visible(name)}", fix="`mobius backup list` names those there are"
        ) from error
    except OSError as error:
        raise EnvironmentFailed(
            f"the pin cannot be noted: {error.strerror or error}", where=visible(name), fix="check owner and mode"
        ) from error


def _note_verdict(folder: Path, name: str, digest: str, *, good: bool) -> None:
    """Note in the meta file what a verification found; a folder that cannot be written can still be verified."""
    now = clock.iso(clock.now())

    def change(meta: dict[str, object]) -> None:
        if not good:
            meta["corrupt"] = now
            return
        meta["verified"] = now
        meta.pop("corrupt", None)
        if "sha256" not in meta:  # the meta file was lost
            meta |= {"name": name, "sha256": digest, "size": (folder / name).stat().st_size}

    with contextlib.suppress(MobiusError, OSError):
        change_meta(folder, name, change)


def digest_now(path: Path) -> str:
    """Hash of a file's bytes; empty when it is missing or cannot be read."""
    try:
        return hashlib.sha256(read_whole(path).data).hexdigest()
    except OSError:
        return ""
