"""What goes into and comes out of fingerprinting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Profile = Literal["exact", "fast"]
Status = Literal["ok", "low_confidence", "failed", "missing", "same"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may cost before it is given up.

    Attributes:
        pixels: Width times height, read before decoding.
        bytes: Size of the file.
        seconds: Wall-clock time of decode and hash.
        memory: Address space a decoding child may use, bytes beyond what it holds at start.
    """

    pixels: int = 200_000_000
    bytes: int = 512 * 1024 * 1024
    seconds: float = 30.0
    memory: int = 3 * 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Task:
    """One file to fingerprint.

    Attributes:
        path: Absolute path.
        known_sha256: SHA-256 that already has a fingerprint; when the bytes still have it nothing is decoded.
        size: Bytes of the file when it was last looked at; 0 when unknown. Large ones are handed over alone.
    """

    path: str
    known_sha256: bytes | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one file gave.

    Attributes:
        path: As in the task.
        status: ``same`` when the bytes have ``known_sha256`` (all image fields are then empty).
        sha256: 32 bytes of the content that was read; None when it could not be read.
        size: Bytes of the file.
        mtime_ns: Modification time of the file the bytes came from; of one that could not be read, just before that.
        inode: Its inode.
        dhash: 0 .. 2**64-1, the most significant bit first in row order; None when failed.
        confidence: 0..1; None when failed.
        reason: Why the confidence is low: ``flat``, ``blank``, ``tiny``, ``weak gradients``; else None.
        error: Why it failed, in words for a person; else None.
        cause: A short class of the error for counting: ``truncated``, ``not an image``, ``too large``, ``permission``,
            ``vanished``, ``timeout``, ``crash``, ``memory``, ``decoder missing``, ``io``, ``other``; else None.
        lasting: Whether the same bytes will fail again (so the failure may be remembered); never with ``timeout`` and
            ``crash``, which a busy machine can bring about.
        width: Pixels after orientation; 0 when failed.
        height: Pixels after orientation; 0 when failed.
        format: ``JPEG``, ``PNG`` and so on; empty when failed.
        duration_ms: Reading, decoding and hashing.
        read_ns: Wall clock just before the bytes were read, nanoseconds since the epoch; 0 when they were not.
        reduced: Whether it was decoded at a reduced scale; if not, the hash is that of the exact profile.
    """

    path: str
    status: Status
    sha256: bytes | None = None
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0
    dhash: int | None = None
    confidence: float | None = None
    reason: str | None = None
    error: str | None = None
    cause: str | None = None
    lasting: bool = False
    width: int = 0
    height: int = 0
    format: str = ""
    duration_ms: float = 0.0
    read_ns: int = 0
    reduced: bool = False
