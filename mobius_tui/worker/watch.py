"""Folder events as hints: which paths to look at again. They may be lost; the scan is the truth."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mobius_tui.errors import EnvironmentFailed

MOST_PATHS = 5000
"""Paths held at most; beyond that the whole library is looked at."""

DEBOUNCE_S = 0.3
"""A path is reported when nothing happened to it for this long,"""

LONGEST_S = 1.0
"""or when it waited for this long."""

_WHOLE = {"created", "deleted", "moved", "attrib"}
_FILE = {"created", "deleted", "moved", "attrib", "modified", "closed"}


class FolderWatch:
    """Listens to the events of a folder and all below it.

    Args:
        folder: The library, as its paths are written; may be a symlink.

    Attributes:
        unwatched: Folders of which no events come, in words; empty when all are watched.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.real = os.path.realpath(folder)
        self.identity = _identity(folder)
        self.unwatched = ""
        self._guard = threading.Lock()
        self._paths: dict[str, tuple[float, float]] = {}
        self._everything = False
        self._observer: Any = None

    def start(self) -> None:
        """Begin to listen.

        Raises:
            EnvironmentFailed: The system has no folder events, or no more of them; says why.
        """
        try:
            from watchdog.events import FileSystemEventHandler
            from watchdog.observers import Observer
            from watchdog.observers.polling import PollingObserver
        except ImportError as error:
            raise EnvironmentFailed(f"no folder events: {error}") from error
        observer: Any = Observer()
        if isinstance(observer, PollingObserver):
            raise EnvironmentFailed("this system has no folder events")
        handler = FileSystemEventHandler()
        handler.on_any_event = self._heard  # type: ignore[method-assign]
        before = _inotify_files()
        try:
            observer.schedule(handler, self.real, recursive=True)
            observer.start()
        except OSError as error:
            observer.stop()  # else its descriptor and watches stay
            raise EnvironmentFailed(_why(error)) from error
        self._observer = observer
        self.unwatched = _unwatched(self.real, _inotify_files() - before)

    def stop(self) -> None:
        """End listening."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join(2.0)

    @property
    def alive(self) -> bool:
        """Whether events still come: the folder is the one that is watched, and so are all threads that watch it."""
        if self._observer is None or not self._observer.is_alive() or self.identity != _identity(self.folder):
            return False
        return all(emitter.is_alive() for emitter in self._observer.emitters)

    def take(self, now: float) -> tuple[list[str], bool]:
        """What to look at again.

        Args:
            now: Monotonic seconds.

        Returns:
            Paths to which nothing happens any more, and whether the whole library should be looked at.
        """
        with self._guard:
            everything, self._everything = self._everything, False
            ready = [
                path
                for path, (first, last) in self._paths.items()
                if now - last >= DEBOUNCE_S or now - first >= LONGEST_S
            ]
            for path in ready:
                del self._paths[path]
        return ready, everything

    def _heard(self, event: Any) -> None:
        if event.is_directory:
            if event.event_type in _WHOLE:
                with self._guard:
                    self._everything = True
            return
        if event.event_type not in _FILE:  # opened, and closed without a write: that is us, reading
            return
        for name in (event.src_path, getattr(event, "dest_path", "")):
            if name:
                self._add(os.fsdecode(name), time.monotonic())

    def _add(self, path: str, now: float) -> None:
        if path.startswith(self.real + os.sep):
            path = self.folder + path[len(self.real) :]
        with self._guard:
            first = self._paths[path][0] if path in self._paths else now
            self._paths[path] = (first, now)
            if len(self._paths) > MOST_PATHS:
                self._paths.clear()
                self._everything = True


def _identity(folder: str) -> tuple[int, int]:
    try:
        found = Path(folder).stat()
    except OSError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _why(error: OSError) -> str:
    text = str(error.strerror or error)
    if sys.platform == "linux" and "watch limit" in text:
        return f"{text} (raise fs.inotify.max_user_watches{_limit('max_user_watches')})"
    if sys.platform == "linux" and "instance limit" in text:
        return f"{text} (raise fs.inotify.max_user_instances{_limit('max_user_instances')})"
    return text


def _inotify_files() -> set[str]:
    """This process's inotify descriptors; empty where there is no /proc."""
    found = set()
    for entry in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):
            if "inotify" in str(entry.readlink()):
                found.add(entry.name)
    return found


def _unwatched(folder: str, files: set[str]) -> str:
    """How many folders got no watch: watchdog passes over those below the first without a word."""
    if not files:
        return ""
    watched = 0
    for name in files:
        with contextlib.suppress(OSError):
            lines = Path("/proc/self/fdinfo", name).read_text(encoding="ascii").splitlines()
            watched += sum(line.startswith("inotify ") for line in lines)
    folders = 1 + sum(
        not os.path.islink(os.path.join(root, name))  # noqa: PTH114, PTH118 - there may be very many
        for root, names, _ in os.walk(folder)
        for name in names
    )
    if watched >= folders:
        return ""
    limit = f"fs.inotify.max_user_watches{_limit('max_user_watches')}"
    return f"{folders - watched:,} of {folders:,} folders by scan only ({limit})"


def _limit(name: str) -> str:
    try:
        return f", now {Path('/proc/sys/fs/inotify', name).read_text(encoding='ascii').strip()}"
    except OSError:
        return ""
