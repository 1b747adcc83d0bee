"""The terminal's driver: never waits for a terminal that does not read, and takes any byte that it sends.

Three things of the toolkit's own driver are replaced: its writer blocks the event loop after 30 pieces of output, its
reader dies of one byte that is not UTF-8, and it spins for ever when the terminal has gone.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import sys
import termios
import threading
from codecs import getincrementaldecoder

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

MOST_BACKLOG = 1_000_000
"""Bytes kept for a terminal that does not read; what comes after is left out, and all is painted anew later."""

_PIECE = 4096
_CSI = b"\x1b["
_REPORT = ord("M")
_REPORT_BYTES = 3


class PatientWriter:
    """Writes to a terminal in a thread; the caller never waits.

    Args:
        descriptor: The terminal.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._writing = 0
        self._changed = threading.Condition()
        self._stopped = False
        self.lost = False
        self.gone = False
        self._thread = threading.Thread(target=self._run, name="mobius-output", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Queue text; dropped and noted in ``lost`` when too much waits, and when the terminal has gone."""
        data = text.encode("utf-8", "replace")
        with self._changed:
            if self.gone:
                return
            if len(self._waiting) + len(data) > MOST_BACKLOG:
                self.lost = True
                return
            self._waiting += data
            self._changed.notify()

    def backlog(self) -> int:
        """Bytes the terminal has not taken yet."""
        with self._changed:
            return len(self._waiting) + self._writing

    def stop(self, wait_s: float) -> None:
        """Write what waits, for at most this many seconds."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopped:
                    self._changed.wait()
                if not self._waiting:
                    return
                piece = bytes(self._waiting[:_PIECE])
                del self._waiting[:_PIECE]
                self._writing = len(piece)
            try:
                self._write_all(piece)
            except OSError:
                with self._changed:
                    self.gone = True
                    self._waiting.clear()
                    self._writing = 0
                return
            with self._changed:
                self._writing = 0

    def _write_all(self, piece: bytes) -> None:
        while piece:
            try:
                piece = piece[os.write(self._descriptor, piece) :]
            except BlockingIOError:  # somebody made the terminal non-blocking: wait for it
                with selectors.DefaultSelector() as ready:
                    ready.register(self._descriptor, selectors.EVENT_WRITE)
                    ready.select()


class TolerantInput:
    """Turns bytes of a terminal into text, whatever they are.

    Mouse reports of the old kind (ESC [ M and three bytes, seen after a tmux re-attach) are left out: their bytes would
    be taken for keys. Other bytes that are not UTF-8 are left out too.
    """

    def __init__(self) -> None:
        self._decode = getincrementaldecoder("utf-8")("ignore").decode
        self._begun = b""
        self._swallow = 0

    def feed(self, data: bytes) -> str:
        """The text of some bytes; what is surely the rest of an old mouse report is dropped, however it was cut."""
        kept = bytearray()
        held = 0  # bytes of a begun sequence that are in ``kept`` and not given away yet
        for byte in data:
            if self._swallow:
                self._swallow -= 1
                continue
            if self._begun == _CSI and byte == _REPORT:
                del kept[len(kept) - held :]
                self._begun, self._swallow, held = b"", _REPORT_BYTES, 0
                continue
            kept.append(byte)
            begun = self._begun + bytes((byte,))
            if _CSI.startswith(begun):
                self._begun, held = begun, held + 1
            elif byte == _CSI[0]:
                self._begun, held = _CSI[:1], 1
            else:
                self._begun, held = b"", 0
        # A begun sequence is given away too: a lone ESC may be the key itself.
        return self._decode(bytes(kept))


class TerminalDriver(LinuxDriver):
    """The driver of the console on Linux and macOS."""

    _writer: PatientWriter | None = None

    def start_application_mode(self) -> None:
        """Take over the terminal."""
        self._output = (sys.__stdout__ or sys.stdout).fileno()
        self._writer = PatientWriter(self._output)
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def write(self, data: str) -> None:
        """Send text to the terminal, without waiting for it."""
        if self._writer is not None:
            self._writer.write(data)

    def backlog(self) -> int:
        """Bytes the terminal has not taken yet."""
        return self._writer.backlog() if self._writer is not None else 0

    def take_lost(self) -> bool:
        """Whether output was dropped since the last call, so that all must be painted anew."""
        if self._writer is None or not self._writer.lost:
            return False
        self._writer.lost = False
        return True

    def terminal_there(self) -> bool:
        """Whether the terminal still exists."""
        if self._writer is not None and self._writer.gone:
            return False
        try:
            termios.tcgetattr(self.fileno)
        except (termios.error, OSError):
            return False
        return True

    def restore_terminal(self) -> None:
        """Give the terminal its settings back, for an exit without ceremony."""
        if self.attrs_before is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)

    def close(self) -> None:
        """End the writer; a terminal that does not read gets one second."""
        if self._writer is not None:
            self._writer.stop(1.0)
        super().close()

    def _get_terminal_size(self) -> tuple[int, int]:
        """Columns and rows of the terminal itself; an exported COLUMNS is not asked, it does not follow a resize."""
        try:
            columns, rows = os.get_terminal_size((sys.__stdout__ or sys.stdout).fileno())
        except OSError:
            columns, rows = 0, 0
        return columns or 80, rows or 24

    def run_input_thread(self) -> None:
        """Read the terminal until told to stop, or until it has gone."""
        parser = XTermParser(self._debug)
        tolerant = TolerantInput()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(0.1):
                    try:
                        data = os.read(self.fileno, _PIECE)
                    except OSError:
                        data = b""
                    if not data:
                        self._say_gone()
                        break
                    text = tolerant.feed(data)
                    for event in parser.feed(text) if text else ():  # an empty text would mean the end
                        self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)
        with contextlib.suppress(EOFError, ParseError):
            for _ in parser.feed(""):
                pass

    def _say_gone(self) -> None:
        leave = getattr(self._app, "terminal_gone", None)
        if leave is not None:
            self._loop.call_soon_threadsafe(leave)
