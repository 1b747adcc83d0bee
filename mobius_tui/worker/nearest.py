"""The known images nearest to a dHash: all of them in memory, one against all."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from mobius_tui.catalogue.document import file_key
from mobius_tui.fingerprint.versions import decoder_version
from mobius_tui.matching.neighbours import neighbours_of
from mobius_tui.operations.live import catalogue_folder
from mobius_tui.store.database import data_version
from mobius_tui.store.known import files_mark, known_dhashes
from mobius_tui.store.scan import paths_of
from mobius_tui.workspace import Workspace

MOST: Final = 20
"""Neighbours in an answer at most."""

LOOK_S: Final = 2.0
"""Seconds between two looks at whether the store knows other files than before."""

MOST_IMAGES: Final = 5_000_000
"""Images that are searched at most: 200 MB."""

_SHARE = 20


class Nearest:
    """The dHashes that the store knows, 40 bytes an image; for one thread.

    Args:
        ws: The workspace.
        monotonic: Seconds.
    """

    def __init__(self, ws: Workspace, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ws = ws
        self._monotonic = monotonic
        self._dhashes = np.empty(0, np.uint64)
        self._contents = b""
        self._mark: object = None
        self._version: object = None
        self._due = 0.0

    def of(
        self, connection: sqlite3.Connection, dhash: int, *, leave_out: str | None, most: int, within: int
    ) -> list[dict[str, object]]:
        """The nearest known images.

        Args:
            connection: The database; the same one each time, or one that was opened since.
            dhash: Of the image, in the exact profile.
            leave_out: Its own path as the catalogue would have it; None for an upload.
            most: How many at most.
            within: Bits that may differ.

        Returns:
            ``path`` and ``hammingDistance``, nearest first, then by path.

        Raises:
            sqlite3.Error: The database cannot be read.
        """
        self._refresh(connection)
        rows, distances = neighbours_of(dhash, self._dhashes, within)
        folder = catalogue_folder(self._ws)
        found: list[dict[str, object]] = []
        told: set[bytes] = set()
        for place in np.argsort(distances, kind="stable").tolist():
            row = int(rows[place])
            content = self._contents[row * 32 : row * 32 + 32]
            if content in told:
                continue
            told.add(content)
            names = [file_key(path, folder) for path in paths_of(connection, content)]
            found += [{"path": name, "hammingDistance": int(distances[place])} for name in names if name != leave_out]
            if len(found) >= most:
                break
        found.sort(key=lambda each: (each["hammingDistance"], each["path"]))
        return found[:most]

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Read the store again when it knows other files; not more than a twentieth of the time goes into that."""
        began = self._monotonic()
        version = (id(connection), data_version(connection))
        if version == self._version or began < self._due:
            return
        mark = files_mark(connection)
        if mark != self._mark:
            known: dict[bytes, bytes] = {}
            for content, dhash in known_dhashes(connection, "exact", decoder_version()):
                known[content] = dhash
                if len(known) >= MOST_IMAGES:
                    break
            self._dhashes = np.frombuffer(b"".join(known.values()), ">u8").astype(np.uint64)
            self._contents = b"".join(known)
            self._mark = mark
        self._version = version
        ended = self._monotonic()
        self._due = ended + max(LOOK_S, (ended - began) * _SHARE)
