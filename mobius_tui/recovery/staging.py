"""The staged file beside the live one, and the compare-and-swap that publishes it.

The staged file keeps its name through the swap: afterwards the same name holds what came out, so that whoever finds the
two files after a crash can tell from their hashes what was done.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mobius_tui.recovery.atomic import (
    ABSENT,
    Changed,
    exchange_checked,
    explained,
    fill,
    folder_open,
    hash_or_absent,
    replaceable,
    sync_folder,
)
from mobius_tui.system.exchange import rename_new
from mobius_tui.text import visible


def real_file(live: Path) -> Path:
    """The file that a live name leads to, through symlinks; it may be yet to be made."""
    return Path(os.path.realpath(live))


def staged_path(live: Path, run_id: str) -> Path:
    """Where a run stages its new content: a hidden name beside the real live file, on the same filesystem."""
    real = real_file(live)
    return real.with_name(f".{real.name}.{run_id}.staged")


def staged_files(live: Path) -> dict[str, Path]:
    """Staged or displaced files beside a live one, by run id.

    Raises:
        OSError: The folder cannot be read.
    """
    real = real_file(live)
    start, end = f".{real.name}.", ".staged"
    return {
        name[len(start) : -len(end)]: real.with_name(name)
        for name in os.listdir(real.parent)
        if name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end)
    }


def stage(live: Path, chunks: Iterable[bytes], staged: Path, *, mode: int = 0o640) -> str:
    """Write the content that is to become live, with everything of the live file that is not content.

    Args:
        live: The live name; owner, group, mode and extended attributes of its file are kept.
        chunks: The content in pieces; consumed once.
        staged: Where; what is there is replaced.
        mode: Permissions when there is no live file, less the umask.

    Returns:
        SHA-256 of the content, 64 hex digits; durable and read back.

    Raises:
        EnvironmentFailed: The live file cannot be replaced, or its attributes cannot be kept.
        OutOfResource: Disk space, quota or file handles ran out; the staged file is gone.
    """
    real = real_file(live)
    shown = visible(str(staged))
    try:
        with folder_open(real.parent) as folder:
            old = replaceable(real, visible(str(live)))
            staged.unlink(missing_ok=True)
            try:
                digest = fill(staged, chunks, real, old, mode)
            except BaseException:
                staged.unlink(missing_ok=True)
                raise
            sync_folder(folder, shown)
    except OSError as error:
        if error.errno is None:
            raise
        raise explained(error, shown) from error
    return digest


def swap(staged: Path, live: Path, expect: str) -> None:
    """Make the staged file live if the live one is still the expected one.

    Afterwards the staged name holds what came out; nothing is left there when there was no live file.

    Args:
        staged: The staged file.
        live: The live name; symlinks are followed and stay.
        expect: SHA-256 of the live file, or ``"absent"``.

    Raises:
        Changed: It is another one; what others wrote last is live, and the staged file is where it was.
        EnvironmentFailed: The system does not allow it; both are as they were, unless the message says that only the
            last sync of the folder failed.
    """
    real = real_file(live)
    shown = visible(str(live))
    try:
        with folder_open(real.parent) as folder:
            replaceable(real, shown)
            if staged.parent != real.parent:
                raise Changed(f"{shown} was pointed elsewhere meanwhile, nothing was written", fix="run it again")
            if expect == ABSENT:
                _rename(staged, real, shown)
            else:
                exchange_checked(staged, real, expect)
            sync_folder(folder, shown)
    except OSError as error:
        if error.errno is None:
            raise
        raise explained(error, shown) from error


def _rename(staged: Path, real: Path, shown: str) -> None:
    try:
        rename_new(staged, real)
    except FileExistsError:
        raise Changed(f"{shown} was made by somebody else meanwhile", fix="run it again") from None


__all__ = ["hash_or_absent", "real_file", "stage", "staged_files", "staged_path", "swap"]
