"""Which backups a person means, and verifying them: what every way to `backup verify` shares."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mobius_tui.errors import BadInput
from mobius_tui.recovery.backup_files import EMERGENCY, HASHES, list_backups, newest, widowed
from mobius_tui.recovery.backups import Decrypt, Verdict, verify_backup
from mobius_tui.system import clock
from mobius_tui.text import visible


def find_backup(backups: Path, name: str) -> Path:
    """Where the backup lies that a person named; whether it is there is not looked at.

    Args:
        backups: Folder of the backups.
        name: A bare name, also of an emergency copy where no backup is called so, ``emergency/NAME``, or the path of
            a backup with its ``.sha256`` beside it.

    Returns:
        The path of its file.

    Raises:
        BadInput: The name cannot be a backup's.
    """
    bare = name.removeprefix(f"{EMERGENCY}/")
    if bare and not any(bad in bare for bad in "/\\\0") and not bare.startswith("."):
        plain, copy = backups / bare, backups / EMERGENCY / bare
        return copy if bare != name or (not _any_of(plain) and _any_of(copy)) else plain
    path = Path(os.path.expanduser(name)) if "\0" not in name else None  # noqa: PTH111 (knows nobody's home: as written)
    if path is None or not path.name or not os.path.isfile(f"{path}{HASHES}"):  # noqa: PTH113
        raise BadInput(f"{visible(name)!r} is no backup's name", fix=f"use a bare name from {visible(str(backups))}")
    return path.absolute()


def _any_of(path: Path) -> bool:
    """Whether there is a backup of this name, or its side file alone."""
    return any(os.path.lexists(f"{path}{side}") for side in ("", HASHES))


def chosen_backups(backups: Path, name: str | None, *, every: bool = False) -> list[Path]:
    """The backups that are meant, newest first; emergency copies come last.

    Args:
        backups: Folder of the backups.
        name: As ``find_backup`` takes it; None means the latest that is not dated in the future.
        every: All of them, those of which only side files are left and emergency copies included.

    Returns:
        Paths of their files.

    Raises:
        BadInput: There is no such backup, or none at all.
        EnvironmentFailed: The folder cannot be read.
    """
    if name is not None and every:
        raise BadInput("NAME and --all contradict each other", fix="give one of them")
    if name is not None:
        path = find_backup(backups, name)
        if not _any_of(path):
            raise BadInput(f"there is no backup {visible(name)!r}", fix="`mobius backup list` names those there are")
        return [path]
    known = list_backups(backups)
    lost = widowed(backups) if every else []
    if not known and not lost:
        raise BadInput("there is no backup yet", where=visible(str(backups)), fix="`mobius backup create` makes one")
    if not every:
        return [(newest(known, clock.now()) or known[0]).path]
    copies = list_backups(backups / EMERGENCY, emergency=True)
    return [*(one.path for one in known), *(backups / one for one in lost), *(one.path for one in copies)]


def verify_chosen(backups: Path, paths: Iterable[Path], decrypt: Decrypt | None) -> list[Verdict]:
    """A verdict each; an emergency copy is called ``emergency/NAME``, so that the name can be typed.

    Args:
        backups: Folder of the backups.
        paths: Paths of the backups' files.
        decrypt: Opens encrypted ones; without it only their outer hash is compared.
    """
    verdicts = []
    for path in paths:
        found = verify_backup(path.parent, path.name, decrypt=decrypt)
        if path.parent == backups / EMERGENCY:
            label = f"{EMERGENCY}/{path.name}"
            said = found.sentence.replace(visible(path.name), visible(label), 1)
            found = replace(found, name=label, sentence=said)
        verdicts.append(found)
    return verdicts
