"""The backup that is to come back: chosen, and verified before anything live is touched."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mobius_tui.catalogue.document import Document, parse
from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError, ProcessingFailed
from mobius_tui.recovery.backup_files import (
    AGE_ENDING,
    EMERGENCY,
    Backup,
    kind_of,
    list_backups,
    read_meta,
    recorded_digests,
)
from mobius_tui.recovery.backups import read_backup_catalogue, verify_backup
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.rollback.judging import CANARY
from mobius_tui.rollback.publications import WayBack
from mobius_tui.text import visible


@dataclass(frozen=True, slots=True)
class Target:
    """A verified backup.

    Attributes:
        name: Its bare name.
        folder: Where it lies.
        document: The catalogue that it holds.
        data: The catalogue's bytes.
        sha256: Their hash, 64 hex digits.
        how: Why it is this one, in words.
        published: As in ``WayBack``.
        passed_over: Better ones that turned out bad, each with what is wrong.
    """

    name: str
    folder: Path
    document: Document
    data: bytes
    sha256: str
    how: str
    published: str | None = None
    passed_over: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The backup's file."""
        return self.folder / self.name


def load_target(path: Path, origin: Path, how: str) -> Target:
    """Read a backup, compare it with its recorded hash, and make sure that it is a catalogue.

    Args:
        path: The backup, catalogue or full, with its side file beside it.
        origin: The live catalogue: what relative paths of its entries mean.
        how: Why it is this one.

    Returns:
        The target.

    Raises:
        ProcessingFailed: It is corrupt, missing, encrypted, or without a recorded hash.
        EnvironmentFailed: It cannot be read.
    """
    folder, name = path.parent, path.name
    shown = visible(name)
    if name.endswith(AGE_ENDING):
        raise ProcessingFailed(
            f"{shown} is encrypted, and a rollback works without keys",
            fix=f"`mobius backup restore {shown} --to DIR` decrypts it",
        )
    data = _read(folder, name, shown)
    try:
        document = parse(data, origin=str(origin))
    except BadInput as error:
        raise ProcessingFailed(f"{shown} holds no catalogue that can be read: {error.what}") from error
    return Target(name, folder, document, data, hashlib.sha256(data).hexdigest(), how)


def _read(folder: Path, name: str, shown: str) -> bytes:
    if kind_of(name, read_meta(folder, name)) == "full":
        return read_backup_catalogue(folder, name)
    try:
        data = read_whole(folder / name).data
    except FileNotFoundError as error:
        raise ProcessingFailed(f"{shown} is missing") from error
    except OSError as error:
        raise EnvironmentFailed(f"{shown} cannot be read: {error.strerror}", fix="check owner and mode") from error
    try:
        wanted = recorded_digests(folder, name).get(name, "")
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}:
            raise EnvironmentFailed(
                f"the recorded hash of {shown} cannot be read: {error.strerror}", fix="check owner and mode"
            ) from error
        wanted = ""
    if not wanted:
        raise ProcessingFailed(
            f"{shown} has no recorded hash to compare it with",
            fix=f"if you trust it: cd to its folder, sha256sum {shown} > {shown}.sha256",
        )
    found = hashlib.sha256(data).hexdigest()
    if found != wanted:
        raise ProcessingFailed(f"{shown} is corrupt: its hash is {found[:12]}..., {wanted[:12]}... was recorded")
    return data


def choose_target(way: WayBack, folder: Path, origin: Path) -> Target:
    """The way back, or where it is bad the next best one that is good.

    Args:
        way: The backup that belongs to what is live, and what may serve in its place.
        folder: Where the backups lie.
        origin: The live catalogue.

    Returns:
        The verified target; ``passed_over`` says which were bad.

    Raises:
        ProcessingFailed: None is good.
        EnvironmentFailed: None can be read, so nobody knows whether one is.
    """
    bad: list[MobiusError] = []
    for backup in (way.backup, *way.others):
        how = way.how if backup is way.backup else f"{visible(way.backup.name)} is not good; this is the next older one"
        try:
            found = load_target(folder / backup.name, origin, how)
            if is_canary(found.document):  # somebody backed it up while it was live
                raise ProcessingFailed(f"{visible(backup.name)} holds a canary, which is no publication")
        except MobiusError as error:
            bad.append(error)
            continue
        published = way.published if backup.catalogue_sha256 == way.backup.catalogue_sha256 else None
        return replace(found, published=published, passed_over=tuple(error.what for error in bad))
    if all(isinstance(error, EnvironmentFailed) for error in bad):
        raise EnvironmentFailed(
            f"no backup can be read, the live file is untouched: {'; '.join(error.what for error in bad[:3])}",
            where=visible(str(folder)),
            fix="check owner and mode of the backups, and the disk",
        ) from (bad[0].__cause__ or bad[0])  # which tells what ran out from what is not allowed
    raise ProcessingFailed(
        f"no backup is good, the live file is untouched: {'; '.join(error.what for error in bad[:3])}",
        where=visible(str(folder)),
        fix="`mobius backup verify --all` says more; a copy from elsewhere with its .sha256 can be named with --backup",
    )


def is_canary(document: Document) -> bool:
    """Whether a catalogue says of itself that only a share of its images has the new fingerprints."""
    run = (document.migration or {}).get("run")
    return isinstance(run, Mapping) and CANARY in run


def named_target(given: str, folder: Path, origin: Path, way: WayBack | None) -> Target:
    """The backup that a person named.

    Args:
        given: A name, looked up among the backups and then among the emergency copies, or a path.
        folder: Where the backups lie.
        origin: The live catalogue.
        way: The way back from what is live, to know whether this is it; None when unknown.

    Returns:
        The verified target.

    Raises:
        ProcessingFailed: It is not good; names those that are.
    """
    path = _place(given, folder)
    try:
        target = load_target(path, origin, "you named it")
    except (ProcessingFailed, EnvironmentFailed) as error:
        good = good_ones(folder, origin)
        names = f"good ones are: {', '.join(visible(name) for name in good)}" if good else "there is no good one"
        failed = type(error)(f"{error.what}; the live file is untouched", where=error.where, fix=error.fix or names)
        if error.fix:
            failed.fix = f"{error.fix}; {names}"
        raise failed from error
    if way is None or way.published is None or way.backup.catalogue_sha256 != target.sha256:
        return target
    return Target(target.name, target.folder, target.document, target.data, target.sha256, target.how, way.published)


def full_of(target: Target, folder: Path, origin: Path) -> Target:
    """The full backup for a target: itself, or the newest of the same catalogue; every byte of it is verified.

    Raises:
        ProcessingFailed: There is none that is good.
    """
    places = [target.path]
    if kind_of(target.name, read_meta(target.folder, target.name)) != "full":
        places = [
            folder / backup.name
            for backup in _readable(folder)
            if backup.kind == "full" and backup.catalogue_sha256 == target.sha256
        ]
    problems: list[str] = []
    for path in places:
        verdict = verify_backup(path.parent, path.name)
        if verdict.state == "good":
            full = load_target(path, origin, target.how)
            return replace(full, published=target.published, passed_over=(*target.passed_over, *problems))
        problems.append(verdict.sentence)
    raise ProcessingFailed(
        "; ".join(problems) or f"no full backup holds the catalogue of {visible(target.name)} with its images",
        where=visible(str(folder)),
        fix="leave --with-images out, or name a full backup (dhash_....zip) with --backup",
    )


def _place(given: str, folder: Path) -> Path:
    if not given or "\0" in given:
        raise BadInput("--backup is empty", fix="`mobius rollback --list` names the backups")
    named = Path(given).expanduser()
    if named.is_absolute():
        return named
    places = [folder / given, folder / EMERGENCY / given, named.absolute()]
    return next((place for place in places if place.exists()), places[0])


def good_ones(folder: Path, origin: Path, most: int = 5) -> list[str]:
    """Names of the newest backups that verify now, newest first."""
    good: list[str] = []
    for backup in _readable(folder):
        if len(good) == most:
            break
        try:
            load_target(folder / backup.name, origin, "")
        except MobiusError:
            continue
        good.append(backup.name)
    return good


def kept_before(emergency: Path, origin: Path, live: str) -> str:
    """The newest emergency copy that verifies now and differs from the live file, as --backup takes it; or empty."""
    for copy in _readable(emergency):
        if copy.sha256 == live:
            continue
        try:
            load_target(copy.path, origin, "")
        except MobiusError:
            continue
        return f"{EMERGENCY}/{visible(copy.name)}"
    return ""


def _readable(folder: Path) -> Iterable[Backup]:
    try:
        return [backup for backup in list_backups(folder) if not backup.encrypted]
    except EnvironmentFailed:
        return []
