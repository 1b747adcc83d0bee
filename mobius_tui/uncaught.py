"""What nobody caught, in any thread, task or interpreter hook of a background process: redacted into its log.

Standard library only. A background process has no terminal: what it prints lands in a file or in the system's journal,
so that is redacted as well, and in production it prints nothing but why it ended.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from mobius_tui.logs import JsonLog
from mobius_tui.redaction import redacted_words

if TYPE_CHECKING:
    import asyncio

    LoopHandler = Callable[[asyncio.AbstractEventLoop, Mapping[str, Any]], None]


class RedactedStream(io.TextIOBase):
    """A text stream in front of another one: what it is given comes out without secrets and personal data."""

    def __init__(self, behind: IO[str]) -> None:
        self._behind = behind

    def write(self, text: str) -> int:
        """Pass a text on, redacted."""
        self._behind.write(redacted_words(text))
        return len(text)

    def flush(self) -> None:
        """Send what is buffered."""
        self._behind.flush()

    def isatty(self) -> bool:
        """Whether a terminal is behind."""
        return self._behind.isatty()

    def fileno(self) -> int:
        """The descriptor behind."""
        return self._behind.fileno()

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream behind."""
        return getattr(self._behind, "encoding", None) or "utf-8"


Note = Callable[[BaseException, str], None]
"""Takes an exception and where it ended something."""


@contextlib.contextmanager
def uncaught_into(note: Note) -> Iterator[None]:
    """Give what nobody catches in threads and finalisers to a function, none of it to stderr, while the block lasts.

    Args:
        note: Takes it; must not raise.
    """

    def of_thread(told: threading.ExceptHookArgs) -> None:
        if told.exc_type is not SystemExit:
            name = told.thread.name if told.thread is not None else "unknown"
            note(told.exc_value or told.exc_type(), f"thread {name}")

    def of_interpreter(told: sys.UnraisableHookArgs) -> None:
        note(told.exc_value or told.exc_type(), told.err_msg or "a finaliser")

    before = (threading.excepthook, sys.unraisablehook)
    threading.excepthook, sys.unraisablehook = of_thread, of_interpreter
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before


@contextlib.contextmanager
def logging_uncaught(log: JsonLog, component: str) -> Iterator[None]:
    """The same into a log, with what ends the main thread.

    Args:
        log: Where to; it redacts.
        component: Which part of MOBIUS this process is.
    """

    def of_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        note_uncaught(log, component, error, "the main thread")

    before, sys.excepthook = sys.excepthook, of_main
    try:
        with uncaught_into(lambda error, where: note_uncaught(log, component, error, where)):
            yield
    finally:
        sys.excepthook = before


def note_uncaught(log: JsonLog, component: str, error: BaseException, where: str) -> None:
    """Write one exception that nobody caught.

    Args:
        log: Where to.
        component: Which part of MOBIUS.
        error: The exception.
        where: Thread, task or the like that it ended.
    """
    text = "".join(traceback.format_exception(error))
    message = f"{type(error).__name__}: {error} (in {where}, not caught)"
    log.write("error", component, "uncaught", message, fields={"traceback": text, "where": where})


def loop_handler(log: JsonLog, component: str) -> LoopHandler:
    """A handler for ``loop.set_exception_handler``: asyncio's own prints to stderr.

    Args:
        log: Where exceptions of tasks and callbacks go.
        component: Which part of MOBIUS the loop serves.
    """

    def handle(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        said = str(context.get("message") or "an event loop is in trouble")
        if isinstance(error, BaseException):
            note_uncaught(log, component, error, said)
        else:
            log.write("error", component, "uncaught", said)

    return handle


@contextlib.contextmanager
def as_background(log: JsonLog, component: str, *, silent: bool) -> Iterator[None]:
    """Be a background process: uncaught exceptions into the log, stderr redacted from here on, or nothing printed.

    Stderr stays redacted after the block: the last words of a process, why it ended, come then.

    Args:
        log: The log of this process.
        component: Which part of MOBIUS it is.
        silent: In production: whatever is printed inside the block, by libraries in C as well, goes nowhere.
    """
    redact_stderr()
    with logging_uncaught(log, component), _nothing_printed() if silent else contextlib.nullcontext():
        yield


def redact_stderr() -> None:
    """Redact whatever this process says on stderr from here on: it lands in a file."""
    if sys.stderr is not None and not isinstance(sys.stderr, RedactedStream):
        sys.stderr = RedactedStream(sys.stderr)


@contextlib.contextmanager
def _nothing_printed() -> Iterator[None]:
    """Let stdout and stderr of this process lead nowhere."""
    kept: dict[int, int] = {}
    with contextlib.suppress(OSError, ValueError):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            for number in (1, 2):
                with contextlib.suppress(OSError):  # one that was closed before the start stays so
                    kept[number] = os.dup(number)
                    os.dup2(nowhere, number)
        finally:
            os.close(nowhere)
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)
