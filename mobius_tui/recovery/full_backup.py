"""Full backups: catalogue, decisions and images in one zip, written as a stream and read back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mobius_tui.errors import BadInput, EnvironmentFailed, OutOfResource
from mobius_tui.recovery.atomic import ABSENT, Changed, write_atomic
from mobius_tui.recovery.backup_files import (
    AGE_ENDING,
    FULL_ENDING,
    FULL_PREFIX,
    Backup,
    read_backup,
    write_sides,
)
from mobius_tui.recovery.backup_marks import PREFIXES, claimed, make_folder
from mobius_tui.recovery.backups import Encrypt, new_meta
from mobius_tui.recovery.zipped import Item, Packing, packed
from mobius_tui.text import human_bytes, visible

_A_FILE = 600
_SPARE = 4 * 1024 * 1024
_LISTED = 1000


def create_full(
    items: Sequence[Item],
    folder: Path,
    *,
    reason: str,
    who: str,
    size: int,
    head: Mapping[str, object],
    details: Mapping[str, object] | None = None,
    out: str | None = None,
    encrypt: Encrypt | None = None,
    packing: Packing | None = None,
    on_file: Callable[[Packing], None] = lambda _: None,
) -> Backup:
    """Write a full backup, durably, and read it back.

    Args:
        items: The files; exactly one of them is the catalogue.
        folder: Where it will lie; made when missing.
        reason: Why.
        who: The actor.
        size: Bytes of all the files, to find out before the first one whether they fit.
        head: Facts for its manifest.
        details: Counts and versions for the meta file.
        out: Its bare name; None names it by the time.
        encrypt: Encrypts it; None writes it plain.
        packing: Told of everything that is packed or skipped.
        on_file: Called after each file.

    Returns:
        The verified backup.

    Raises:
        BadInput: The name is taken or cannot be used, or the catalogue is gone.
        Changed: The catalogue was changed while it was read.
        EnvironmentFailed: It could not be made or read back.
        OutOfResource: There is no space for it.
    """
    packing = Packing() if packing is None else packing
    ending = AGE_ENDING if encrypt is not None else ""
    make_folder(folder)
    _check_space(folder, size + len(items) * _A_FILE + _SPARE)
    _check_name(out)

    def name_at(stamp: str) -> str:
        return f"{FULL_PREFIX}{stamp}{FULL_ENDING}{ending}" if out is None else out

    with claimed(folder, name_at, PREFIXES if out is None else (out,), waits=out is None) as claim:
        pieces = packed(items, head, packing, folder, on_file)
        written = write_atomic(claim.path, encrypt(pieces) if encrypt else pieces, expect=ABSENT)
        _check_catalogue(items, packing)
        meta = new_meta(claim.name, claim.path, reason, who, written, details)
        meta |= _facts(packing)
        write_sides(folder, claim.name, {claim.name: written}, meta)
    return read_backup(folder, claim.name)


def _facts(packing: Packing) -> dict[str, object]:
    """What the meta file says of a full backup beside what it says of any."""
    return {
        "kind": "full",
        "files": packing.files,
        "bytes": packing.size,
        "catalogue_sha256": packing.digests.get("catalogue", ""),
        "decisions_sha256": packing.digests.get("decisions", ""),
        "skipped": len(packing.skipped),
        "flawed": packing.flawed[:_LISTED],
    }


def _check_space(folder: Path, needed: int) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise EnvironmentFailed(
            f"the space left cannot be told: {error.strerror}", where=visible(str(folder)), fix="check the folder"
        ) from error
    if free < needed:
        raise OutOfResource(
            f"a full backup needs {human_bytes(needed)}, {human_bytes(free)} are left",
            where=visible(str(folder)),
            fix="free some, give --out on another disk, or --include fewer images",
        )


def _check_name(out: str | None) -> None:
    """Names that sha256sum would write in another way, or that hide a file, are refused."""
    if out is not None and (not out or not out.isprintable() or "\\" in out or out.startswith(".")):
        raise BadInput(f"{visible(out)!r} cannot name a backup", fix="give --out a plain name, such as full.zip")


def _check_catalogue(items: Sequence[Item], packing: Packing) -> None:
    name = next(item.name for item in items if item.role == "catalogue")
    why = next((why for skipped, why in packing.skipped if skipped == name), "")
    if why:
        raise EnvironmentFailed(f"the catalogue {why}, the backup is dropped", fix="run it again")
    if any(flawed == name for flawed, _ in packing.flawed):
        raise Changed("the catalogue was changed while it was backed up, the backup is dropped", fix="run it again")
