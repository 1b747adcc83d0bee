"""Where words go: data to stdout, talk to stderr, nothing from outside as terminal control."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from mobius_tui.cli.layout import UNCUT, WIDTH, wrapped
from mobius_tui.text import visible

_COLOURS = {"good": "32", "bad": "31", "warn": "33", "title": "1", "dim": "2"}


def prepare_streams() -> None:
    """Make stdout and stderr usable whatever they are: closed, or of an encoding that lacks characters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        elif hasattr(stream, "reconfigure"):
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors="backslashreplace")


def show(line: str = "", style: str = "") -> None:
    """A line of data on stdout.

    Args:
        line: One line; what in it is control or bidirectional is escaped.
        style: ``good``, ``bad``, ``warn``, ``title`` or ``dim``; plain when stdout is no colour terminal.
    """
    _write(sys.stdout, _painted(visible(line), style, sys.stdout) + "\n")


def show_json(value: object) -> None:
    """A JSON document on stdout: exact, ASCII only, so that no terminal is steered by it."""
    _write(sys.stdout, json.dumps(value, indent=2, default=str) + "\n")


def show_json_line(value: Mapping[str, Any]) -> None:
    """A JSON object in one line on stdout."""
    _write(sys.stdout, json.dumps(dict(value), default=str) + "\n")
    flush(sys.stdout)


def tell(line: str, style: str = "") -> None:
    """A line of talk on stderr."""
    tell_raw(_painted(visible(line), style, sys.stderr) + "\n")


def tell_raw(text: str) -> None:
    """Text on stderr as it is, with terminal control of our own: the caller has made the rest visible."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:  # nobody can be told, on a full disk for example: the exit code still says it
        discard(sys.stderr)


def tell_wrapped(text: str, style: str = "") -> None:
    """Talk on stderr; on a terminal broken into lines that fit it, else one line that scripts can match."""
    if not is_terminal(sys.stderr):
        tell(text, style)
        return
    for line in wrapped(text, width=screen_width()):
        tell(line, style)


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a stream is a terminal; one that was closed before the start is None."""
    try:
        return stream is not None and stream.isatty()
    except (ValueError, OSError):
        return False


def has_colours(stream: IO[str]) -> bool:
    """Whether a stream may be sent colours: a terminal, not a dumb one, without ``NO_COLOR``."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def screen_width() -> int:
    """Columns to talk in: ``COLUMNS``, else the terminal's, from 40 to 200; 80 when there is none."""
    for stream in (sys.stdout, sys.stderr):
        if is_terminal(stream):
            with contextlib.suppress(OSError, ValueError):
                return max(40, min(200, _asked_columns() or os.get_terminal_size(stream.fileno())[0]))
    return WIDTH


def data_width() -> int:
    """Columns for data on stdout: ``COLUMNS``, else the terminal's, 40 or more; without both nothing has to be cut."""
    asked = _asked_columns()
    if asked:
        return max(40, min(UNCUT, asked))
    return screen_width() if is_terminal(sys.stdout) else UNCUT


def _asked_columns() -> int:
    """What ``COLUMNS`` asks for; 0 for nothing."""
    asked = os.environ.get("COLUMNS", "")
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0


def flush(stream: IO[str]) -> None:
    """Send what is buffered; a reader that has left is no error."""
    try:
        stream.flush()
    except BrokenPipeError:
        discard(stream)


def reader_has_left() -> bool:
    """Whether whoever read stdout is gone."""
    return sys.stdout in _gone


_gone: list[IO[str]] = []


def _write(stream: IO[str], text: str) -> None:
    try:
        stream.write(text)
    except BrokenPipeError:
        discard(stream)


def discard(stream: IO[str]) -> None:
    """Let the rest of a stream go nowhere: the verb ends its work and keeps its exit code."""
    if stream not in _gone:
        _gone.append(stream)
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _painted(text: str, style: str, stream: IO[str]) -> str:
    return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if style and has_colours(stream) else text
