"""Read the live catalogue while other programs may be writing it."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.catalogue.document import Document, parse
from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.recovery.hashes import Reading, read_whole
from mobius_tui.text import visible

_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Loaded:
    """A catalogue and what identifies the bytes that it was read from.

    Attributes:
        document: The parsed catalogue.
        sha256: Hash of the bytes, 64 hex digits: what a compare-and-swap expects.
        stat: Status of the file when it was read.
    """

    document: Document
    sha256: str
    stat: os.stat_result


def read_catalogue(
    path: Path,
    *,
    patience_s: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    wall: Callable[[], float] = time.time,
) -> Loaded:
    """Read a catalogue, again for a while when somebody seems to be writing it.

    A file that does not parse is read again until it does or the patience ends, unless it has not been touched for that
    long already. A file that moves while it is read is read again too.

    Args:
        path: The catalogue; symlinks are followed.
        patience_s: Seconds to go on.
        clock: Monotonic seconds.
        sleep: Waits for some seconds.
        wall: Seconds since the epoch, to tell how old the last change is.

    Returns:
        The catalogue with the hash of exactly the bytes that were parsed.

    Raises:
        BadInput: There is no such file, it is no regular file, or it breaks a rule of the catalogue.
        EnvironmentFailed: It cannot be read, or it kept changing.
    """
    deadline = clock() + patience_s
    while True:
        reading = _read(path)
        ended = clock() >= deadline
        if reading.steady:
            try:
                document = parse(reading.data, origin=str(path))
            except BadInput:
                if ended or wall() - reading.before.st_mtime >= patience_s:
                    raise
            else:
                return Loaded(document, hashlib.sha256(reading.data).hexdigest(), reading.before)
        elif ended:
            raise EnvironmentFailed(
                f"the catalogue was being written for {patience_s:g} s on end",
                where=visible(str(path)),
                fix="wait for the program that writes it, then run it again",
            )
        sleep(_PAUSE_S)


def _read(path: Path) -> Reading:
    shown = visible(str(path))
    try:
        return read_whole(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput("there is no such catalogue", where=shown) from None
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.EISDIR}:
            raise BadInput("the catalogue is not a regular file", where=shown) from None
        reason = error.strerror or str(error)
        raise EnvironmentFailed(
            f"the catalogue cannot be read: {reason}", where=shown, fix="check its rights"
        ) from error
