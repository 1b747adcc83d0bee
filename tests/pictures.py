"""Small pictures for tests: told apart by their dHash, and quick to draw."""

import io
import itertools
import os
import random
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

LONG_AGO = 1_700_000_000
"""A modification time that nobody takes for fresh."""


def draw(seed: int, size: tuple[int, int] = (90, 72)) -> Image.Image:
    """A grid of 9 x 8 random greys: two seeds are about 32 bits apart."""
    grid = Image.frombytes("L", (9, 8), random.Random(seed).randbytes(72))
    return grid.resize(size, Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """An image as a file's bytes."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def picture(seed: int, size: tuple[int, int] = (90, 72), kind: str = "PNG", **options: object) -> bytes:
    """The file of ``draw``."""
    return encoded(draw(seed, size), kind, **options)


def look_alike(seed: int, size: tuple[int, int] = (90, 72)) -> bytes:
    """Other bytes than ``picture``, the same dHash: one pixel differs a little."""
    image = draw(seed, size)
    image.putpixel((0, 0), (image.getpixel((0, 0)) + 2) % 255)
    return encoded(image)


def flat(grey: int = 200) -> bytes:
    """A picture that says nothing."""
    return encoded(Image.new("L", (64, 64), grey))


def truncated(seed: int) -> bytes:
    """A file that breaks off in the middle of its pixels."""
    whole = picture(seed, (200, 160))
    return whole[: len(whole) * 2 // 3]


def put(folder: Path, files: dict[str, bytes]) -> None:
    """Write files below a folder, each with a time long ago."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    age(folder / name for name in files)


def age(paths: Iterable[Path]) -> None:
    """Give files a time long ago, each another one."""
    for path in paths:
        os.utime(path, ns=(0, LONG_AGO * 1_000_000_000 + next(_seconds) * 1_000_000_007))


_seconds = itertools.count()
