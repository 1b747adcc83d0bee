"""Encrypted backups: age files, so that the `age` tool opens them where there is no MOBIUS."""

from __future__ import annotations

import os
import queue
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from mobius_tui.errors import BadInput, EnvironmentFailed, OutOfResource, ProcessingFailed, exit_code_of
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

_WAITING = 64
_LARGEST_KEY = 65536


@dataclass(frozen=True, slots=True)
class Key:
    """What a key file holds.

    Attributes:
        path: The file.
        public: The public keys that backups are encrypted to, ``age1...``; safe to show.
    """

    path: Path
    public: tuple[str, ...]
    _identities: tuple[Any, ...]

    def encrypt(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces of an age file that holds these pieces, as they come."""
        age = _pyrage()
        recipients = [identity.to_public() for identity in self._identities]
        yield from _streamed(pieces, lambda reader, writer: age.encrypt_io(reader, writer, recipients))

    def decrypt(self, source: BinaryIO, target: BinaryIO) -> None:
        """Write the plain content of an age file.

        Raises:
            BadInput: It was encrypted to another key.
            ProcessingFailed: It is damaged.
            OSError: It cannot be read or written.
        """
        age = _pyrage()
        told = _Told(source, target)
        try:
            age.decrypt_io(told, told, list(self._identities))
        except Exception as error:
            if told.failed is not None:
                raise told.failed from error
            if "No matching keys" in str(error):
                raise BadInput(
                    "the backup was encrypted to another key", where=visible(str(self.path)), fix="give that key file"
                ) from error
            raise ProcessingFailed(f"it cannot be decrypted ({visible(str(error))})") from error


class _Told:
    """Reads one file, writes another, and remembers what went wrong with either: age says only that something did."""

    def __init__(self, source: BinaryIO, target: BinaryIO) -> None:
        self._source = source
        self._target = target
        self.failed: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            return self._source.read(size)
        except OSError as error:
            self.failed = error
            raise

    def write(self, data: bytes) -> int:
        try:
            return self._target.write(data)
        except OSError as error:
            self.failed = error
            raise

    def flush(self) -> None:
        self._target.flush()


def key_in_use(ws: Workspace) -> Key | None:
    """The key of the setting ``backup_key_file``; None when none is set.

    Raises:
        BadInput: The file holds no key.
        EnvironmentFailed: It cannot be read, others can read it, or the extra [encryption] is not installed.
    """
    named = ws.settings.backup_key_file
    return load_key(ws.root / Path(named).expanduser()) if named else None


def needed_key(ws: Workspace) -> Key:
    """The key of the setting, which there must be.

    Raises:
        BadInput: None is set.
        EnvironmentFailed: It cannot be used.
    """
    key = key_in_use(ws)
    if key is None:
        raise BadInput(
            "there is no key to encrypt with",
            fix="`mobius backup key FILE` makes one; name it as backup_key_file in mobius.toml",
        )
    return key


def load_key(path: Path) -> Key:
    """Read an age identity file.

    Args:
        path: The file; nobody but its owner may be able to read it.

    Raises:
        BadInput: It is missing or holds no key.
        EnvironmentFailed: It cannot be read, or others can read it.
    """
    shown = visible(str(path))
    try:
        reading = read_whole(path)
    except FileNotFoundError as error:
        raise BadInput("there is no key file", where=shown, fix="`mobius backup key FILE` makes one") from error
    except OSError as error:
        raise EnvironmentFailed(f"the key file cannot be read: {error.strerror}", where=shown) from error
    if os.name == "posix" and stat.S_IMODE(reading.before.st_mode) & 0o077:
        raise EnvironmentFailed("others can read the key file", where=shown, fix=f"chmod 600 {shown}")
    age = _pyrage()
    identities = []
    for line in reading.data[:_LARGEST_KEY].decode("utf-8", "replace").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            identities.append(age.x25519.Identity.from_str(text))
        except Exception as error:
            raise BadInput("the key file holds a line that is no age key", where=shown) from error
    if not identities:
        raise BadInput("the key file holds no key", where=shown, fix="`mobius backup key FILE` makes one")
    return Key(path, tuple(str(identity.to_public()) for identity in identities), tuple(identities))


def make_key(path: Path) -> Key:
    """Make a key file (0600); one that is there is never overwritten.

    Args:
        path: The file.

    Returns:
        The key.

    Raises:
        BadInput: The name is taken.
        EnvironmentFailed: It cannot be written.
    """
    identity = _pyrage().x25519.Identity.generate()
    public = str(identity.to_public())
    body = f"# created: {clock.iso(clock.now())}\n# public key: {public}\n{identity}\n".encode()
    shown = visible(str(path))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise BadInput("the file is there already, and a key is never overwritten", where=shown) from error
    except OSError as error:
        spent = exit_code_of(error) == OutOfResource.exit_code
        raise (OutOfResource if spent else EnvironmentFailed)(
            f"the key file cannot be written: {error.strerror}", where=shown, fix="check its folder"
        ) from error
    return load_key(path)


def _pyrage() -> ModuleType:
    try:
        import pyrage
    except ImportError as error:
        raise EnvironmentFailed(
            "encrypted backups need the extra [encryption]", fix="pip install 'mobius-tui[encryption]'"
        ) from error
    module: ModuleType = pyrage
    return module


class _Left(Exception):
    """Nobody takes the encrypted pieces any more."""


class _Pipe:
    """Lets pieces be read as a file in one thread and what is written be taken as pieces in another."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""
        self.out: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING)
        self.left = threading.Event()
        self.failed: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            try:
                self._rest = next(self._pieces)
            except StopIteration:
                return b""
            except BaseException as error:
                self.failed = error
                raise
        taken, self._rest = (self._rest[:size], self._rest[size:]) if size >= 0 else (self._rest, b"")
        return taken

    def write(self, data: bytes) -> int:
        self.put(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def put(self, piece: bytes | BaseException | None) -> None:
        while True:
            if self.left.is_set():
                raise _Left
            try:
                self.out.put(piece, timeout=0.2)
            except queue.Full:
                continue
            return


def _streamed(pieces: Iterable[bytes], work: Any) -> Iterator[bytes]:
    """What a function that reads one file and writes another makes of the pieces, while it makes it."""
    pipe = _Pipe(pieces)

    def run() -> None:
        end: BaseException | None = None
        try:
            work(pipe, pipe)
        except BaseException as error:  # handed to whoever takes the pieces
            end = pipe.failed or error
        try:
            pipe.put(end)
        except _Left:
            return

    thread = threading.Thread(target=run, name="backup-encryption", daemon=True)
    thread.start()
    try:
        while (piece := pipe.out.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        pipe.left.set()
        thread.join()
