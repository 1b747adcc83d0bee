"""The images of a folder, in an order that does not depend on the machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mobius_tui.catalogue.formats import EXTENSIONS, SNIFF_BYTES, extension, surely_image
from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.text import visible

CATALOGUE_NAME = "library.json"


class Found(NamedTuple):
    """An image file.

    Attributes:
        path: Absolute path.
        relative: Path below the folder, with ``/``.
        size: Bytes.
        mtime_ns: Time of the last change, nanoseconds since the epoch.
        inode: Number of the file in its filesystem.
    """

    path: Path
    relative: str
    size: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something below the folder that was skipped.

    Attributes:
        relative: Path below the folder; bytes that are not UTF-8 are lone surrogates, so show it ``visible()``.
        kind: ``name``, ``permission``, ``loop``, ``link`` or ``unreadable``.
        what: Why, in words.
    """

    relative: str
    kind: str
    what: str


class _Item(NamedTuple):
    """A directory entry with its place in the order: a folder sorts as its name with a slash."""

    key: bytes
    entry: os.DirEntry[str]
    is_folder: bool


def walk_library(folder: Path, on_problem: Callable[[Problem], None]) -> Iterator[Found]:
    """The images of a folder and its subfolders, sorted by the bytes of their relative path.

    Hidden names, sockets, pipes and devices are passed over. A file of an unknown extension counts when its first bytes
    are an image's. Symlinks to folders outside are followed; one that leads back into the library, or to a folder read
    already, is a problem and is skipped. A file or folder that vanishes meanwhile is passed over without a word.

    Args:
        folder: Where to start.
        on_problem: Told of everything else that was skipped.

    Yields:
        The images, one at a time; no more than one chain of folders is held.

    Raises:
        BadInput: There is no such folder.
        EnvironmentFailed: The folder itself cannot be read.
    """
    root = Path(os.path.abspath(folder))  # noqa: PTH100 - symlinks in it stay as they are
    walk = _Walk(root, on_problem)
    stack = [walk.root_items()]
    prefixes = [""]
    while stack:
        if not stack[-1]:
            stack.pop()
            prefixes.pop()
            continue
        item = stack[-1].pop()
        relative = prefixes[-1] + item.entry.name
        if not _is_utf8(relative):
            on_problem(Problem(relative, "name", "the name is not UTF-8"))
        elif item.is_folder:
            stack.append(walk.items(item.entry, relative))
            prefixes.append(relative + "/")
        elif found := walk.image(item.entry, relative):
            yield found


class _Walk:
    """Folders visited so far, and how to look at one entry."""

    def __init__(self, root: Path, on_problem: Callable[[Problem], None]) -> None:
        self.root = root
        self.real_root = os.path.realpath(root)
        self.on_problem = on_problem
        self.visited: set[tuple[int, int]] = set()

    def root_items(self) -> list[_Item]:
        """The folder's own entries, the first one last."""
        shown = visible(str(self.root))
        try:
            status = self.root.stat()
            self.visited.add((status.st_dev, status.st_ino))
            return self._listed(str(self.root), "")
        except (FileNotFoundError, NotADirectoryError):
            raise BadInput("there is no such folder", where=shown) from None
        except OSError as error:
            raise EnvironmentFailed(
                f"the folder cannot be read: {error.strerror}", where=shown, fix="check its rights"
            ) from error

    def items(self, entry: os.DirEntry[str], relative: str) -> list[_Item]:
        """A subfolder's entries, the first one last; empty when it is skipped."""
        try:
            if entry.is_symlink() and self._leads_back(entry, relative):
                return []
            status = _status(entry)
            identity = status.st_dev, status.st_ino
            if identity in self.visited:
                self.on_problem(Problem(relative, "loop", "leads to a folder that was read already"))
                return []
            self.visited.add(identity)
            return self._listed(entry.path, relative + "/")
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._failed(relative, error)
            return []

    def image(self, entry: os.DirEntry[str], relative: str) -> Found | None:
        """The entry when it is an image file, else None."""
        known = extension(entry.name) in EXTENSIONS
        try:
            status = _status(entry)
            if not stat.S_ISREG(status.st_mode) or not (known or (status.st_size and starts_as_image(entry.path))):
                return None
        except (FileNotFoundError, NotADirectoryError):
            if known and entry.is_symlink() and os.path.lexists(entry.path):
                self.on_problem(Problem(relative, "link", "the link leads nowhere"))
            return None
        except OSError as error:
            self._failed(relative, error)
            return None
        return Found(Path(entry.path), relative, status.st_size, status.st_mtime_ns, status.st_ino)

    def _listed(self, path: str, prefix: str) -> list[_Item]:
        items = []
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == "." or (not prefix and name == CATALOGUE_NAME):
                    continue
                try:
                    is_folder = entry.is_dir()
                except OSError as error:  # such as a symlink that leads to itself
                    self._failed(prefix + name, error)
                    continue
                items.append(_Item(os.fsencode(name) + (b"/" if is_folder else b""), entry, is_folder))
        items.sort(key=lambda item: item.key, reverse=True)
        return items

    def _leads_back(self, entry: os.DirEntry[str], relative: str) -> bool:
        """True when a symlink's folder is read under its own name anyway, or holds the library."""
        target = os.path.realpath(entry.path)
        if target == self.real_root or (self.real_root + os.sep).startswith(target.rstrip(os.sep) + os.sep):
            self.on_problem(Problem(relative, "loop", "leads to a folder that holds the library itself"))
            return True
        inside = target.removeprefix(self.real_root + os.sep)
        if inside != target and not any(part.startswith(".") for part in Path(inside).parts):
            self.on_problem(Problem(relative, "loop", f"leads back into the library, to {visible(inside)}"))
            return True
        return False

    def _failed(self, relative: str, error: OSError) -> None:
        kind = "permission" if isinstance(error, PermissionError) else "unreadable"
        self.on_problem(Problem(relative, kind, f"cannot be read: {error.strerror or error}"))


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    """What an entry leads to; a listing of Windows has no inodes, so the file itself is asked there."""
    status = entry.stat()
    return status if status.st_ino else os.stat(entry.path)  # noqa: PTH116 (a million paths)


def starts_as_image(path: str) -> bool:
    """Whether a file's first bytes are surely an image's.

    Args:
        path: A regular file, or what was one a moment ago.

    Raises:
        OSError: It cannot be read.
    """
    # O_NONBLOCK: the name may have become a pipe since it was looked at
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        return surely_image(os.read(descriptor, SNIFF_BYTES))
    finally:
        os.close(descriptor)


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
