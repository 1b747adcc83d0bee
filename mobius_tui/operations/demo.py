"""A small board-game library with known duplicates, known look-alikes and a few broken files, drawn on the spot.

Every file depends on its place in the plan and on the versions of Pillow and zlib alone, so two machines with the same
versions draw the same bytes. A file appears under its name only when it is whole; a drawing that was cut off goes on
where it stopped.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import PIL
from PIL import Image

from mobius_tui.errors import BadInput
from mobius_tui.operations.demo_art.copies import (
    BROKEN,
    EXACT,
    LOOKALIKES,
    NEAR_EMPTY,
    Copy,
    broken_file,
    near_copies,
    near_empty,
)
from mobius_tui.operations.demo_art.originals import originals, plain_name

MARKER = ".mobius-demo"
"""File in a demo workspace that says it is one, and whether its drawing is complete."""

EDITION = 1
"""Raised when the plan changes, so that a half-drawn older library is drawn afresh."""

_PART = ".drawing.part"

_SETTINGS = """\
# A demo workspace: everything in library/ was drawn by `mobius demo` and may be changed, moved or deleted.
# Settings go here, one a line; `mobius config` prints each one with its value and where that came from.
"""

_FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".tif": "TIFF", ".avif": "AVIF",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownPair:
    """Two files of which it is known whether they show the same picture.

    Attributes:
        left: The original; relative to the library, with slashes.
        right: The other one.
        how: In words, what differs.
    """

    left: str
    right: str
    how: str


@dataclass(frozen=True, slots=True)
class DemoFacts:
    """What is true of the demo library; all paths relative to it, with slashes.

    Files that are in no ``exact`` or ``near`` pair together show different pictures.

    Attributes:
        folder: The library.
        files: How many files there are.
        images: How many of them can be decoded.
        exact: Byte-identical copies.
        near: The same picture in other bytes: another format, size, mode, orientation, a scan.
        lookalikes: Different pictures that look nearly the same.
        near_empty: Blank, flat and tiny pictures.
        broken: Path and what is wrong, for each file that cannot be decoded.
    """

    folder: Path
    files: int
    images: int
    exact: tuple[KnownPair, ...]
    near: tuple[KnownPair, ...]
    lookalikes: tuple[KnownPair, ...]
    near_empty: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]


def draw_demo_library(folder: Path, on_drawn: Callable[[int, int], None] | None = None) -> DemoFacts:
    """Draws what is missing of the demo library.

    Args:
        folder: Where; made when it does not exist. Files that are there already are left as they are.
        on_drawn: Called with the files done and the files in all, after each.

    Returns:
        What is known about the library.

    Raises:
        OSError: A file could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = list(_plan(folder))
    for done, (path, make) in enumerate(plan, 1):
        target = folder / path
        if not target.exists():
            _put(folder / _PART, target, make())
        if on_drawn:
            on_drawn(done, len(plan))
    return demo_facts(folder)


def create_demo_workspace(root: Path, on_drawn: Callable[[int, int], None] | None = None) -> DemoFacts:
    """Makes a workspace with the demo library in it, or finishes one that was cut off.

    Args:
        root: An empty or missing folder, or an earlier demo; a complete demo is left as it is.
        on_drawn: As for ``draw_demo_library``.

    Returns:
        What is known about the library.

    Raises:
        BadInput: The folder holds something else, or is no folder.
        OSError: A file could not be written.
    """
    library, marker = root / "library", root / MARKER
    state = _state(root)
    if state.get("complete") is True:
        return demo_facts(library)
    if state and state != {**_versions(), "complete": False}:
        for path, _ in _plan(library):
            (library / path).unlink(missing_ok=True)
    # The marker comes first: whatever a kill leaves behind is then known as a demo's.
    _put(root / _PART, marker, json.dumps({**_versions(), "complete": False}).encode())
    for name in ("library", "backups", "logs", "review", "themes"):
        (root / name).mkdir(exist_ok=True)
    settings = root / "mobius.toml"
    if not settings.exists():
        _put(root / _PART, settings, _SETTINGS.encode())
    facts = draw_demo_library(library, on_drawn)
    _put(root / _PART, marker, json.dumps({**_versions(), "complete": True}).encode())
    return facts


def demo_facts(folder: Path) -> DemoFacts:
    """What is known about the demo library in a folder; nothing is read or written."""
    near = near_copies()
    files = len(originals()) + len(EXACT) + len(near) + len(NEAR_EMPTY) + len(BROKEN)
    return DemoFacts(
        folder=folder,
        files=files,
        images=files - len(BROKEN),
        exact=tuple(KnownPair(source, plain_name(path), "the same bytes") for path, source in EXACT),
        near=tuple(KnownPair(copy.source, plain_name(copy.path), copy.how) for copy in near),
        lookalikes=tuple(KnownPair(*pair) for pair in LOOKALIKES),
        near_empty=NEAR_EMPTY,
        broken=BROKEN,
    )


def _versions() -> dict[str, Any]:
    return {"edition": EDITION, "pillow": PIL.__version__}


def _state(root: Path) -> dict[str, Any]:
    if root.exists() and not root.is_dir():
        raise BadInput("The place for the demo is no folder", where=str(root), fix="mobius demo with another folder")
    marker = root / MARKER
    if not marker.exists():
        if root.is_dir() and any(entry.name != _PART for entry in root.iterdir()):
            raise BadInput(
                "The folder is not empty and holds no demo",
                where=str(root),
                fix="mobius demo with an empty or new folder",
            )
        return {}
    try:
        state = json.loads(marker.read_bytes())
    except ValueError:
        state = None
    return state if isinstance(state, dict) else {"complete": False}


def _put(part: Path, target: Path, content: bytes) -> None:
    # A name that is there is a file that is whole, also after a kill.
    target.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    part.replace(target)


def _plan(folder: Path) -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """Each file's place and what makes its bytes; copies come after what they are copies of."""
    for original in originals():
        yield _place(original.path), partial(_drawn, original.draw, original.path)
    for name in NEAR_EMPTY:
        yield _place(name), partial(_drawn, partial(near_empty, name), name)
    for path, source in EXACT:
        yield _place(path), (folder / _place(source)).read_bytes
    for copy in near_copies():
        yield _place(copy.path), partial(_copied, folder / _place(copy.source), copy)
    for path, _ in BROKEN:
        yield _place(path), partial(broken_file, path)


def _place(path: str) -> Path:
    return Path(PurePosixPath(plain_name(path)))


def _drawn(draw: Callable[[], Image.Image], path: str) -> bytes:
    options = {"quality": 88} if path.endswith(".jpg") else {"compress_level": 1}
    return _encoded(draw(), path, options)


def _copied(source: Path, copy: Copy) -> bytes:
    with Image.open(source) as picture:
        picture.load()
        return _encoded(copy.change(picture), copy.path, copy.options)


def _encoded(picture: Image.Image, path: str, options: dict[str, Any]) -> bytes:
    made = io.BytesIO()
    picture.save(made, _FORMATS[PurePosixPath(path).suffix], **options)
    return made.getvalue()
