"""Emergency copies: what was live before a rollback, kept apart from the backups and never a target unless named."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.recovery.atomic import ABSENT, Changed, write_atomic
from mobius_tui.recovery.backup_files import HASHES, META, PREFIX
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.staging import real_file
from mobius_tui.system import clock
from mobius_tui.system.exchange import rename_new
from mobius_tui.text import visible

BESIDE_PREFIX = "library.json.emergency."
"""Start of an emergency copy's name where it could not be moved to the backups; a stamp follows."""

_NAMES = 100
_NEAR = 5
_STAMP = re.compile(r"\d{8}T\d{6}Z")


def finish_copies(emergency: Path, *, run_id: str, who: str, reason: str) -> None:
    """Write the side files of a run's emergency copy where a crash came before them."""
    for kept in _free_names(emergency, PREFIX, _moment(run_id))[:_NEAR]:
        finish_copy(kept, run_id=run_id, who=who, reason=reason)


def _moment(run_id: str) -> float:
    stamp = _STAMP.search(run_id)
    found = clock.from_stamp(stamp[0]) if stamp else None
    return clock.now() if found is None else found


def keep_displaced(
    staged: Path, live: Path, emergency: Path, *, run_id: str, who: str, reason: str, images: int | None = None
) -> tuple[Path, list[str]]:
    """Make the file that came out of an exchange the emergency copy; it is never without a name.

    It is renamed into the folder; onto another filesystem it is copied, read back and then removed. Where neither works
    it stays beside the live file under a name that can be seen.

    Args:
        staged: The displaced file.
        live: The live name.
        emergency: Folder of the emergency copies, made when missing.
        run_id: The run it belongs to.
        who: The actor.
        reason: Why.
        images: Entries of the catalogue; None when they were not counted.

    Returns:
        Where it is now, and what a person should know.

    Raises:
        EnvironmentFailed: It cannot even be renamed where it is; it stays there.
    """
    said: list[str] = []
    at = _moment(run_id)
    try:
        emergency.mkdir(mode=0o750, parents=True, exist_ok=True)
        kept = _moved(staged, emergency, at)
    except (OSError, MobiusError) as error:
        why = error.strerror if isinstance(error, OSError) else error.what
        kept = _beside(staged, live, at)
        said.append(
            f"the emergency copy could not be moved to the backups ({visible(str(why))}): it is {visible(str(kept))}"
        )
    if not finish_copy(kept, run_id=run_id, who=who, reason=reason, images=images):
        said.append(f"the side files of {visible(kept.name)} could not be written")
    return kept, said


def finish_copy(kept: Path, *, run_id: str, who: str, reason: str, images: int | None = None) -> bool:
    """Make an emergency copy 0640 or tighter, and write its side files where they are missing.

    Args:
        kept: The copy; nothing is done when there is none.
        run_id: The run it belongs to.
        who: The actor.
        reason: Why.
        images: Entries of the catalogue; None when they were not counted.

    Returns:
        Whether both are there now; a full disk keeps them from being written.
    """
    with contextlib.suppress(OSError):
        kept.chmod(kept.stat().st_mode & 0o640)
    if not kept.exists() or all(kept.with_name(kept.name + side).exists() for side in (HASHES, META)):
        return True
    try:
        digest = sha256_file(kept)
        meta = {
            "name": kept.name,
            "created": clock.iso(clock.now()),
            "images": images,
            "reason": reason or "before a rollback",
            "run": run_id,
            "sha256": digest,
            "size": kept.stat().st_size,
            "who": who,
        }
        write_atomic(kept.with_name(kept.name + HASHES), [f"{digest}  {kept.name}\n".encode()])
        body = json.dumps(meta, indent=2, sort_keys=True).encode() + b"\n"
        write_atomic(kept.with_name(kept.name + META), [body])
    except (OSError, MobiusError):
        return False
    return True


def _moved(staged: Path, emergency: Path, at: float) -> Path:
    for kept in _free_names(emergency, PREFIX, at):
        try:
            rename_new(staged, kept)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            try:
                _copied(staged, kept)
            except Changed:  # the name was taken meanwhile
                continue
        _sync_folders(emergency, staged.parent)
        return kept
    raise EnvironmentFailed("every name for an emergency copy is taken", where=visible(str(emergency)))


def _copied(staged: Path, kept: Path) -> None:
    data = staged.read_bytes()
    digest = write_atomic(kept, [data], expect=ABSENT)
    if sha256_file(staged) != digest:
        raise EnvironmentFailed("another program is still writing the file that was replaced")
    staged.unlink()


def _beside(staged: Path, live: Path, at: float) -> Path:
    for kept in _free_names(real_file(live).parent, BESIDE_PREFIX, at):
        try:
            rename_new(staged, kept)
        except FileExistsError:
            continue
        except OSError as error:
            raise EnvironmentFailed(
                f"what was live before is kept, but could not be renamed: {error.strerror}", where=visible(str(staged))
            ) from error
        _sync_folders(kept.parent)
        return kept
    raise EnvironmentFailed("what was live before is kept, but could not be renamed", where=visible(str(staged)))


def _free_names(folder: Path, prefix: str, at: float) -> list[Path]:
    """Names to try: a taken stamp waits for the next second's; one that a backup beside the folder has is taken too."""
    names = [f"{prefix}{clock.stamp(at + number)}" for number in range(_NAMES)]
    return [folder / name for name in names if not (folder.parent / name).exists()]


def _sync_folders(*folders: Path) -> None:
    if sys.platform == "win32":
        return
    for folder in folders:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
