"""What matching knows of an image, in columns: a million images as arrays, not as a million objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """One image.

    Attributes:
        index: The caller's name for it; comes back in candidates and groups.
        sha256: 32 raw bytes of its content.
        dhash: 0 .. 2**64-1, of the exact profile.
        informative: Whether its hash says enough to be compared; the same for equal content.
        pixels: Width times height.
        bytes: Size of the file.
        order: Its place in the listing.
    """

    index: int
    sha256: bytes
    dhash: int
    informative: bool
    pixels: int
    bytes: int
    order: int


class FactsTable:
    """Images in columns, 73 bytes each; grows one at a time without copying each time.

    Args:
        facts: Images to start with; read once, so a generator will do.
    """

    def __init__(self, facts: Iterable[ImageFacts] = ()) -> None:
        self._used = 0
        self._content = np.empty((4, 0), np.uint64)
        self._dhash = np.empty(0, np.uint64)
        self._informative = np.empty(0, np.bool_)
        self._numbers = np.empty((4, 0), np.int64)
        for one in facts:
            self.append(one)

    def __len__(self) -> int:
        return self._used

    def append(self, facts: ImageFacts) -> int:
        """Add one image.

        Args:
            facts: The image.

        Returns:
            Its row.

        Raises:
            ValueError: The SHA-256 is not 32 bytes.
        """
        if len(facts.sha256) != 32:
            raise ValueError(f"a SHA-256 has 32 bytes, not {len(facts.sha256)}")
        row = self._used
        if row == len(self._dhash):
            self._grow(max(1024, 2 * row))
        self._content[:, row] = np.frombuffer(facts.sha256, dtype=">u8")
        self._dhash[row] = facts.dhash
        self._informative[row] = facts.informative
        self._numbers[:, row] = (facts.index, facts.pixels, facts.bytes, facts.order)
        self._used = row + 1
        return row

    def _grow(self, room: int) -> None:
        """Move the columns into larger ones."""
        used = self._used
        content, numbers = np.empty((4, room), np.uint64), np.empty((4, room), np.int64)
        dhash, informative = np.empty(room, np.uint64), np.empty(room, np.bool_)
        content[:, :used], numbers[:, :used] = self._content[:, :used], self._numbers[:, :used]
        dhash[:used], informative[:used] = self._dhash[:used], self._informative[:used]
        self._content, self._numbers, self._dhash, self._informative = content, numbers, dhash, informative

    @property
    def content(self) -> NDArray[np.uint64]:
        """SHA-256 as four big-endian words a column: (4, images)."""
        return self._content[:, : self._used]

    @property
    def dhash(self) -> NDArray[np.uint64]:
        """The dHash of each image."""
        return self._dhash[: self._used]

    @property
    def informative(self) -> NDArray[np.bool_]:
        """Whether a hash says enough."""
        return self._informative[: self._used]

    @property
    def index(self) -> NDArray[np.int64]:
        """The callers' names."""
        return self._numbers[0, : self._used]

    def sha256(self, row: int) -> bytes:
        """The content of one row, 32 raw bytes."""
        return self._content[:, row].astype(">u8").tobytes()

    def best_first(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows in the order in which they would be kept.

        Args:
            rows: Some rows.

        Returns:
            The same rows: more pixels, more bytes, listed first; the earlier row where all are equal.
        """
        _, pixels, size, order = self._numbers[:, rows]
        return rows[np.lexsort((rows, order, -size, -pixels))]

    def picked(self, rows: NDArray[np.int64], new: ImageFacts) -> FactsTable:
        """Some rows and one more image.

        Args:
            rows: Rows to copy.
            new: The image that comes after them.

        Returns:
            A table of their own.
        """
        some = FactsTable()
        some._content, some._numbers = self._content[:, rows], self._numbers[:, rows]
        some._dhash, some._informative = self._dhash[rows], self._informative[rows]
        some._used = len(rows)
        some.append(new)
        return some


def as_table(facts: FactsTable | Iterable[ImageFacts]) -> FactsTable:
    """Images in columns, as they are when they already are."""
    return facts if isinstance(facts, FactsTable) else FactsTable(facts)


def exact_groups(shas: Sequence[bytes]) -> list[list[int]]:
    """Byte-identical files.

    Args:
        shas: SHA-256 of each file.

    Returns:
        The places of each content that occurs more than once, ascending; groups by their first place.
    """
    first: dict[bytes, int] = {}
    groups: dict[int, list[int]] = {}
    for place, sha in enumerate(shas):
        start = first.setdefault(sha, place)
        if start != place:
            groups.setdefault(start, [start]).append(place)
    return [groups[start] for start in sorted(groups)]


def choose_keeper(facts: Sequence[ImageFacts]) -> int:
    """Which of a group is kept: more pixels, then more bytes, then listed first.

    Args:
        facts: The group, at least one image.

    Returns:
        The place in ``facts``.

    Raises:
        ValueError: The group is empty.
    """
    return min(
        range(len(facts)), key=lambda place: (-facts[place].pixels, -facts[place].bytes, facts[place].order, place)
    )
