"""Opening an image of the library for a client: what was checked is what is read, and nothing outside is opened.

The name is resolved first and must stay inside; then the resolved one is opened part by part without following a
link, so that one that was put there meanwhile leads nowhere.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from dataclasses import dataclass
from io import FileIO
from typing import Final

from mobius_tui.catalogue.document import file_key
from mobius_tui.errors import BadInput
from mobius_tui.operations.live import catalogue_folder
from mobius_tui.worker.answers import Refused
from mobius_tui.workspace import Workspace

LONGEST_PATH: Final = 4096
"""Characters of a path at most."""

_CLOSED = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _CLOSED
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | _CLOSED
_SPENT = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class LibraryFile:
    """An open image of the library.

    Attributes:
        name: Its path as the catalogue would have it.
        file: Open to be read; closed by who asked.
        size: Bytes.
    """

    name: str
    file: FileIO
    size: int


def open_image(ws: Workspace, given: object) -> LibraryFile:
    """Open a file of the library.

    Args:
        ws: The workspace.
        given: What a client named: a path relative to the catalogue's folder.

    Returns:
        The open regular file.

    Raises:
        Refused: It is no path (400), leads outside (403), or there is no such image (404).
        PermissionError: This user may not read it.
        OSError: It cannot be read.
    """
    parts = _parts(given)
    root = os.path.realpath(ws.library)
    folder = catalogue_folder(ws)
    real = os.path.realpath(os.path.join(folder, *parts))  # noqa: PTH118 - a folder that need not exist
    inside = real.removeprefix(root.rstrip(os.sep) + os.sep)
    if inside == real:
        raise Refused(403, "that path leads out of the library")
    steps = inside.replace(os.sep, "/").split("/")
    if any(step.startswith(".") for step in (*parts, *steps)) or _is_own(ws, real):
        raise _absent()
    try:
        file = _opened(root, steps)
    except (FileNotFoundError, NotADirectoryError):
        raise _absent() from None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO, errno.EMLINK}:
            raise _absent() from None
        if error.errno in _SPENT:
            raise Refused(503, "too many files are open on this machine", retry_s=5) from error
        raise
    return LibraryFile(file_key("/".join(parts), folder), file, os.fstat(file.fileno()).st_size)


def _absent() -> Refused:
    return Refused(404, "there is no such image in the library")


def _parts(given: object) -> list[str]:
    """The steps of a path, none of which leads up."""
    if not isinstance(given, str) or not given:
        raise Refused(400, "path must be the path of an image, relative to the catalogue's folder")
    if len(given) > LONGEST_PATH or "\0" in given:
        raise Refused(400, "path holds a character that no file name can, or is too long")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise Refused(400, "path is not UTF-8") from None
    if sys.platform == "win32":
        given = given.replace("\\", "/")
    # a colon names a drive or a stream of Windows
    if given.startswith("/") or (sys.platform == "win32" and ":" in given):
        raise Refused(403, "only paths inside the library are read, relative to the catalogue's folder")
    parts = [part for part in given.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise Refused(403, "that path leads out of the library")
    if not parts or given.endswith(("/", "/.")):
        raise _absent()
    return parts


def _is_own(ws: Workspace, real: str) -> bool:
    """Whether it is a file of MOBIUS, where its folders lie inside the library."""
    own = [ws.state, ws.backups, ws.logs, ws.review, ws.themes]
    try:
        own.append(ws.catalogue)
    except BadInput:  # two catalogues; both have that name
        if os.path.basename(real) == "library.json":  # noqa: PTH119
            return True
    return any(real == place or real.startswith(place + os.sep) for place in map(os.path.realpath, own))


def _opened(root: str, steps: list[str]) -> FileIO:
    """A regular file below a folder, reached without any link."""
    if os.open not in os.supports_dir_fd:
        return _opened_by_name(os.path.join(root, *steps))  # noqa: PTH118
    at = os.open(root, _FOLDER & ~getattr(os, "O_NOFOLLOW", 0))
    try:
        for step in steps[:-1]:
            below = os.open(step, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        # looked at before it is opened: opening a pipe or device may wake somebody
        if not stat.S_ISREG(os.stat(steps[-1], dir_fd=at, follow_symlinks=False).st_mode):
            raise _absent()
        return _regular(os.open(steps[-1], _FILE, dir_fd=at))
    finally:
        os.close(at)


def _opened_by_name(path: str) -> FileIO:
    """The same where no folder can be held open: a link that was put there meanwhile shows by another real name."""
    file = _regular(os.open(path, _FILE))
    if os.path.realpath(path) != path or not os.path.samestat(os.stat(path), os.fstat(file.fileno())):  # noqa: PTH116
        file.close()
        raise _absent()
    return file


def _regular(descriptor: int) -> FileIO:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor)
    os.close(descriptor)
    raise _absent()
