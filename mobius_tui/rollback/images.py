"""Images from a full backup, put back one by one; what they replace is kept, what the backup has not stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mobius_tui.errors import MobiusError, ProcessingFailed
from mobius_tui.recovery.atomic import ABSENT, hash_or_absent, write_atomic
from mobius_tui.recovery.hashes import open_whole
from mobius_tui.recovery.zipped import Contents, Listed, contents, member_pieces
from mobius_tui.text import visible

IMAGES = "library/"
"""Where the images lie in a full backup."""

_PIECE = 1 << 20
_TOLD_EACH = 1000


def restore_images(
    backup: Path, library: Path, kept: Path, say: Callable[[str], None] = lambda _: None
) -> dict[str, int]:
    """Put back the images of a full backup that are missing or other than they were.

    Done again after it was cut off, it goes on: what is as it was is left alone.

    Args:
        backup: The full backup.
        library: The folder of the images.
        kept: Folder for the present files that are replaced, made when there is one.
        say: Told how far it is.

    Returns:
        How many were ``restored`` over another file, ``added`` where there was none, ``unchanged``, and ``refused``
        because their place is outside of the library.

    Raises:
        ProcessingFailed: The backup is damaged; the files put back so far stay.
        EnvironmentFailed: A file cannot be written; likewise.
        OutOfResource: There is no space; likewise.
        OSError: The backup or a present file cannot be read.
    """
    counts = {"restored": 0, "added": 0, "unchanged": 0, "refused": 0}
    real_library = os.path.realpath(library)
    with open_whole(backup) as file:
        found = contents(file)
        images = [listed for listed in found.files if listed.role == "image"]
        for number, listed in enumerate(images, 1):
            counts[_put_back(found, listed, library, real_library, kept, say)] += 1
            if number % _TOLD_EACH == 0:
                say(f"{number:,} of {len(images):,} images looked at")
    return counts


def _put_back(
    found: Contents, listed: Listed, library: Path, real_library: str, kept: Path, say: Callable[[str], None]
) -> str:
    name = listed.name.removeprefix(IMAGES)
    place = library / name
    parts = name.split("/")
    inside = os.path.realpath(place).startswith(real_library.rstrip(os.sep) + os.sep)
    if not listed.name.startswith(IMAGES) or not inside or {"", ".", ".."} & set(parts) or "\0" in name:
        say(f"not put back, its place is outside of the library: {visible(listed.name)}")
        return "refused"
    present = hash_or_absent(place)
    if present == listed.sha256:
        return "unchanged"
    if present != ABSENT:
        _keep(place, kept.joinpath(*parts), present)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_atomic(place, member_pieces(found, listed), expect=present)
    except ProcessingFailed as error:
        raise ProcessingFailed(f"the backup is damaged: {error.what}; the image there stays") from error
    os.utime(place, ns=(listed.mtime_ns, listed.mtime_ns))
    return "added" if present == ABSENT else "restored"


def _keep(place: Path, copy: Path, digest: str) -> None:
    """Copy a file that is about to be replaced; a copy of the same content may be there from a run that was cut off."""
    copy.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    if hash_or_absent(copy) == digest:
        return
    written = write_atomic(copy, _pieces(place), expect=ABSENT)
    if written != digest:
        raise MobiusError(f"{visible(str(place))} is being written by another program", fix="run it again")


def _pieces(path: Path) -> Iterator[bytes]:
    with open_whole(path) as file:
        while piece := file.read(_PIECE):
            yield piece
