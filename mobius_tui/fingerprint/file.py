"""One file to one outcome: read, identify, decode, hash, judge. Never raises for a bad file."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from dataclasses import dataclass, replace

from PIL import Image

from mobius_tui.errors import ProcessingFailed
from mobius_tui.fingerprint import confidence, dhash
from mobius_tui.fingerprint.decode import DecodeFailed, Facts, NotOpened, load_luminance, too_many_bytes
from mobius_tui.fingerprint.external import load_external
from mobius_tui.fingerprint.fast import SURE, load_fast
from mobius_tui.fingerprint.model import Limits, Outcome, Profile, Status, Task

_ATTEMPTS = 3
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes and what they were read from.

    Attributes:
        data: All of it.
        sha256: Of ``data``, 32 bytes.
        mtime_ns: Modification time, the same before and after reading.
        inode: Its inode.
        read_ns: Wall clock just before it was opened.
    """

    data: bytes
    sha256: bytes
    mtime_ns: int
    inode: int
    read_ns: int


class ReadFailed(ProcessingFailed):
    """A file could not be read.

    Args:
        what: Why, in words for a person.
        cause: The class of ``Outcome.cause``.
        lasting: Whether the same file fails again.
        missing: Whether it does not exist.
    """

    def __init__(self, what: str, cause: str, *, lasting: bool = False, missing: bool = False) -> None:
        super().__init__(what)
        self.cause = cause
        self.lasting = lasting
        self.missing = missing


def fingerprint_file(task: Task, profile: Profile, limits: Limits) -> Outcome:
    """Read a file once and fingerprint those bytes.

    Args:
        task: The file, and the SHA-256 that is already known of it.
        profile: ``exact`` or ``fast``.
        limits: What it may cost; ``seconds`` holds for external decoders here, for all else in the pool.

    Returns:
        The outcome; every failure is one, too.
    """
    started = time.perf_counter()
    before = _status(task.path)
    try:
        content = read_file(task.path, limits)
    except ReadFailed as failure:
        return _timed(_unread_outcome(task, before, failure), started)
    except MemoryError:
        greedy = ReadFailed("reading it needs more memory than one image may use", "memory")
        return _timed(_unread_outcome(task, before, greedy), started)
    known = _same(task, content)
    if content.sha256 == task.known_sha256:
        return _timed(known, started)
    return _timed(_judged(known, content.data, profile, limits), started)


def identify_file(task: Task, limits: Limits) -> Outcome:
    """What a file's bytes are, without decoding them.

    Args:
        task: The file.
        limits: Bytes that are allowed.

    Returns:
        Status ``same`` with ``sha256``, ``size``, ``mtime_ns`` and ``inode``; ``failed`` or ``missing`` if not.
    """
    before = _status(task.path)
    try:
        content = read_file(task.path, limits)
    except ReadFailed as failure:
        return _unread_outcome(task, before, failure)
    return _same(task, content)


def fingerprint_bytes(data: bytes, profile: Profile, limits: Limits, name: str = "") -> Outcome:
    """Fingerprint bytes that came from elsewhere, such as an upload.

    Args:
        data: The whole file.
        profile: ``exact`` or ``fast``.
        limits: What it may cost.
        name: What the outcome calls it.

    Returns:
        The outcome, without modification time and inode.
    """
    started = time.perf_counter()
    known = Outcome(name, "same", sha256=hashlib.sha256(data).digest(), size=len(data))
    return _timed(_judged(known, data, profile, limits), started)


def load_picture(data: bytes, profile: Profile, limits: Limits) -> tuple[Image.Image, Facts]:
    """The brightness plane that is hashed, from Pillow or, for what it does not open, from an external decoder.

    Args:
        data: The whole file.
        profile: ``exact`` or ``fast``.
        limits: What it may cost.

    Returns:
        Mode ``L``, upright, and the facts.

    Raises:
        DecodeFailed: No decoder can, or a limit was met.
    """
    try:
        return load_fast(data, limits) if profile == "fast" else load_luminance(data, limits)
    except NotOpened as refused:
        return load_external(data, limits, refused)


def read_file(path: str, limits: Limits) -> Content:
    """Read a regular file that does not change meanwhile.

    Args:
        path: Any path; a pipe or device is refused without being waited for.
        limits: Bytes that are allowed.

    Returns:
        The content.

    Raises:
        ReadFailed: With the cause.
    """
    for _ in range(_ATTEMPTS):
        try:
            content = _read_once(path, limits)
        except FileNotFoundError as error:
            raise ReadFailed("the file does not exist", "vanished", missing=True) from error
        except OSError as error:
            raise _unread(error) from error
        except ValueError as error:
            raise ReadFailed("its name holds a character that no file name can", "io") from error
        if content is not None:
            return content
    raise ReadFailed("the file kept changing while it was read", "io")


def _read_once(path: str, limits: Limits) -> Content | None:
    # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    began = time.time_ns()
    descriptor = os.open(path, flags | getattr(os, "O_NOCTTY", 0))
    try:
        before = os.fstat(descriptor)
        if stat.S_ISDIR(before.st_mode):
            raise ReadFailed("it is a folder, not a file", "not an image")
        if not stat.S_ISREG(before.st_mode):
            raise ReadFailed("it is a pipe, socket or device, not a file", "not an image")
        if before.st_size > limits.bytes:
            raise ReadFailed(too_many_bytes(before.st_size, limits), "too large")
        data = _all_bytes(descriptor, before.st_size, limits)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        return None
    return Content(data, hashlib.sha256(data).digest(), after.st_mtime_ns, after.st_ino, began)


def _all_bytes(descriptor: int, expected: int, limits: Limits) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        part = os.read(descriptor, max(_CHUNK, expected - total + 1))
        if not part:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        parts.append(part)
        total += len(part)
        if total > limits.bytes:
            raise ReadFailed(too_many_bytes(total, limits), "too large")


def _status(path: str) -> os.stat_result | None:
    """What is there, looked at before it is read: a change after that shows as one."""
    try:
        return os.stat(path)  # noqa: PTH116 (a million paths)
    except (OSError, ValueError):
        return None


def _unread_outcome(task: Task, before: os.stat_result | None, failure: ReadFailed) -> Outcome:
    if failure.missing or before is None:
        status: Status = "missing" if failure.missing else "failed"
        return Outcome(task.path, status, error=failure.what, cause=failure.cause, lasting=failure.lasting)
    return Outcome(
        task.path,
        "failed",
        size=before.st_size,
        mtime_ns=before.st_mtime_ns,
        inode=before.st_ino,
        error=failure.what,
        cause=failure.cause,
        lasting=failure.lasting,
    )


def _unread(error: OSError) -> ReadFailed:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ReadFailed("permission denied: this user may not read it", "permission")
    if error.errno == errno.ENOTDIR:
        return ReadFailed("the file does not exist", "vanished", missing=True)
    if error.errno == errno.ELOOP:
        return ReadFailed("its symbolic links lead round in a circle", "io")
    if error.errno == errno.ENAMETOOLONG:
        return ReadFailed("its name is too long", "io")
    if error.errno in {errno.ENXIO, errno.ENODEV, getattr(errno, "EOPNOTSUPP", -1)}:
        return ReadFailed("it is a pipe, socket or device, not a file", "not an image")
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return ReadFailed("too many files are open on this machine", "io")
    reason = os.strerror(error.errno).lower() if error.errno else "unknown reason"
    return ReadFailed(f"it cannot be read: {reason}", "io")


def _same(task: Task, content: Content) -> Outcome:
    return Outcome(
        task.path,
        "same",
        sha256=content.sha256,
        size=len(content.data),
        mtime_ns=content.mtime_ns,
        inode=content.inode,
        read_ns=content.read_ns,
    )


def _judged(known: Outcome, data: bytes, profile: Profile, limits: Limits) -> Outcome:
    try:
        image, facts = load_picture(data, profile, limits)
        grid = dhash.reduction_of(image)
        share, reason = confidence.confidence_of(grid, facts.width, facts.height)
        if facts.reduced and share < SURE:
            image, facts = load_luminance(data, limits)
            grid = dhash.reduction_of(image)
            share, reason = confidence.confidence_of(grid, facts.width, facts.height)
    except DecodeFailed as failure:
        return replace(known, status="failed", error=failure.what, cause=failure.cause, lasting=failure.lasting)
    except MemoryError:
        said = "decoding it needs more memory than one image may use"
        return replace(known, status="failed", error=said, cause="memory", lasting=True)
    except OSError as error:  # an external decoder could not be started, or its temporary folder not be made
        trouble = os.strerror(error.errno).lower() if error.errno else "unknown reason"
        return replace(known, status="failed", error=f"no external decoder could be run: {trouble}", cause="io")
    return replace(
        known,
        status="ok" if reason is None else "low_confidence",
        dhash=dhash.dhash_of_reduction(grid),
        confidence=share,
        reason=reason,
        width=facts.width,
        height=facts.height,
        format=facts.format,
        reduced=facts.reduced,
    )


def _timed(outcome: Outcome, started: float) -> Outcome:
    return replace(outcome, duration_ms=(time.perf_counter() - started) * 1000.0)
