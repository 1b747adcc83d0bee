"""library.json, read so that what is not MOBIUS's own survives as the text that was read.

The text is kept as it is; each entry knows its span in it and the few values that MOBIUS looks at. Writing (``render``)
splices changed values into that text. Only the standard library is used, so that a rollback can read a catalogue too.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from mobius_tui.catalogue.faults import MAX_DEPTH, first_fault, is_too_deep, line_and_column
from mobius_tui.errors import BadInput
from mobius_tui.text import visible

SCHEMA_VERSION = 1
"""The form of ``dhash_migration`` and the owned fields that this program writes; an absent one counts as 0."""

STATUSES = frozenset({"ok", "low_confidence", "failed", "missing"})
"""The values of ``dhash_status``."""

IMAGES, MIGRATION, DUPLICATES = "images", "dhash_migration", "dhash_duplicates"

_SPACE = re.compile(r"[ \t\n\r]*")
_NEXT = re.compile(r"[ \t\n\r]*([,\]}])[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_DHASH = re.compile(r"[0-9a-f]{16}")
_MEMBERS_OWNED = ("dhash", "dhash_confidence", "dhash_status", "dhash_error")


@dataclass(frozen=True, slots=True)
class OwnedFields:
    """What MOBIUS says of one image.

    Attributes:
        dhash: 16 lower-case hex digits; None when it failed, or to keep the last one of a missing file.
        confidence: 0..1; written with at most four decimals.
        status: One of STATUSES.
        error: Why it failed, in words; written only with status ``failed``.
    """

    dhash: str | None
    confidence: float | None
    status: str
    error: str | None = None


class Entry:
    """One object of ``images``.

    Attributes:
        path: As written in the catalogue.
        key: The file it names: see ``file_key``.
        start: Offset of its ``{`` in the document's text.
        end: Offset after its ``}``.
        dhash: The owned values; None where absent or not of the form that MOBIUS writes.
        confidence: See ``dhash``.
        status: See ``dhash``.
        error: See ``dhash``.
        settled: True when exactly the owned members that the status asks for are there, all well-formed.
    """

    __slots__ = ("confidence", "dhash", "end", "error", "key", "path", "settled", "start", "status")

    path: str
    key: str
    start: int
    end: int
    dhash: str | None
    confidence: float | None
    status: str | None
    error: str | None
    settled: bool


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member of the top-level object stands: offsets of its key and value in the text."""

    key_start: int
    key_end: int
    value_start: int
    value_end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A catalogue that was read.

    Attributes:
        origin: The file it came from; relative paths of entries mean its folder.
        text: The whole text as it was read.
        entries: The images, in order.
        members: The top-level members by key, in order.
        opening: Offset of the top-level ``{``.
        migration: The parsed ``dhash_migration``, None when absent.
        duplicates: The parsed ``dhash_duplicates``; empty when absent.
    """

    origin: str
    text: str = field(repr=False)
    entries: list[Entry] = field(repr=False)
    members: Mapping[str, Member]
    opening: int
    migration: Mapping[str, Any] | None
    duplicates: list[dict[str, Any]] = field(repr=False)

    @property
    def schema_version(self) -> int:
        """The catalogue's schema version; 0 when MOBIUS never wrote it."""
        return int((self.migration or {}).get("schema_version", 0))

    def raw(self, entry: Entry) -> str:
        """The entry's text as it was read."""
        return self.text[entry.start : entry.end]


def file_key(path: str, folder: str) -> str:
    """A name for the file that a path means, the same for every way of writing it.

    Lexical: no file is looked at, so a symlinked folder followed by ``..`` is not seen through.

    Args:
        path: A path of an entry, relative to the folder or absolute.
        folder: The catalogue's folder, absolute and normalised.

    Returns:
        The path relative to the folder with ``/`` when it lies in it, else the absolute path.
    """
    if os.sep == "/" and path[0] not in "./" and path[-1] != "/" and "/." not in path and "//" not in path:
        return path
    whole = os.path.normpath(os.path.join(folder, path))  # noqa: PTH118 - a million paths
    if whole.startswith("//"):
        whole = whole[1:]  # POSIX gives a leading pair of slashes a meaning that Linux does not
    inside = folder if folder.endswith(os.sep) else folder + os.sep
    return whole[len(inside) :].replace(os.sep, "/") if whole.startswith(inside) else whole


def parse(data: bytes, *, origin: str) -> Document:
    """Read a catalogue.

    Args:
        data: The file's bytes.
        origin: The file's path, for messages and as the folder that relative paths mean.

    Returns:
        The document. Wrongly formed owned values of entries count as absent, as they will be overwritten.

    Raises:
        BadInput: The catalogue breaks a rule; one sentence with the place.
    """
    text = _decoded(data, origin)
    with _collector_paused():
        try:
            return _Reader(text, origin).document()
        except RecursionError:
            raise BadInput(f"the catalogue nests deeper than {MAX_DEPTH} levels", where=visible(origin)) from None


def empty_document(origin: str) -> Document:
    """A catalogue without images, in the style that MOBIUS writes a new one in."""
    return parse(b'{\n  "images": []\n}\n', origin=origin)


def _decoded(data: bytes, origin: str) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        raise BadInput(
            "the catalogue starts with a byte order mark", where=f"{visible(origin)}, line 1 column 1",
            fix="save it as UTF-8 without one",
        )  # fmt: skip
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8")) + 1
        raise BadInput(
            f"the catalogue is not UTF-8: byte 0x{data[error.start]:02x}",
            where=f"{visible(origin)}, line {line} column {column}",
        ) from None


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """No garbage collection meanwhile: a million new objects would be walked again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _RepeatedKey(Exception):
    pass


class _NotANumber(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKey
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise _NotANumber


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) < 4000 else float(digits)


_SCAN = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=_whole_number)
# the values of unknown members are thrown away: float takes an integer of any length
_SCAN_ENTRY = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_int=float)


_SCAN_ERRORS = (json.JSONDecodeError, RecursionError, _RepeatedKey, _NotANumber)


class _Reader:
    """One pass over the text; every error knows its place."""

    def __init__(self, text: str, origin: str) -> None:
        self.text = text
        self.origin = origin
        self.folder = os.path.dirname(os.path.abspath(origin))  # noqa: PTH100, PTH120
        self.entries: list[Entry] = []
        self.migration: dict[str, Any] | None = None
        self.duplicates: list[dict[str, Any]] = []

    def document(self) -> Document:
        text = self.text
        opening = self._after_space(0)
        if opening == len(text):
            raise BadInput("the catalogue is empty", where=visible(self.origin))
        if text[opening] != "{":
            self._value(opening)
            self._fail("the catalogue is not an object", opening)
        members: dict[str, Member] = {}
        at = self._after_space(opening + 1)
        if text[at : at + 1] == "}":
            at += 1
        else:
            at = self._members(at, members)
        at = self._after_space(at)
        if at != len(text):
            self._fail("the catalogue goes on after its end", at)
        if IMAGES not in members:
            raise BadInput('the catalogue has no "images"', where=visible(self.origin))
        return Document(self.origin, text, self.entries, members, opening, self.migration, self.duplicates)

    def _members(self, at: int, members: dict[str, Member]) -> int:
        while True:
            if self.text[at : at + 1] != '"':
                self._fail("the catalogue is not JSON: a key in double quotes was expected", at)
            key_start = at
            key, key_end = self._value(at)
            if key in members:
                self._fail(f'the catalogue has the key "{visible(key)}" twice in one object', key_start)
            colon = _COLON.match(self.text, key_end)
            if colon is None:
                self._fail("the catalogue is not JSON: a colon was expected", self._after_space(key_end))
            value_end = self._top_value(key, colon.end())
            members[key] = Member(key_start, key_end, colon.end(), value_end)
            at, closed = self._next(value_end, "}")
            if closed:
                return at

    def _top_value(self, key: str, at: int) -> int:
        if key == IMAGES:
            if self.text[at : at + 1] != "[":
                self._value(at)
                self._fail('"images" is not an array', at)
            return self._images(at)
        value, end = self._value(at)
        if key == MIGRATION:
            self._check_migration(value, at)
        elif key == DUPLICATES:
            if not isinstance(value, list):
                self._fail(f'"{DUPLICATES}" is not an array', at)
            for index, item in enumerate(value):
                if not isinstance(item, dict):
                    self._fail(f"{DUPLICATES}[{index}] is not an object", at)
            self.duplicates = value
        return end

    def _check_migration(self, value: object, at: int) -> None:
        if not isinstance(value, dict):
            self._fail(f'"{MIGRATION}" is not an object', at)
        version = value.get("schema_version", 0)
        if not isinstance(version, int) or isinstance(version, bool) or version < 0:
            self._fail(f'"schema_version" of "{MIGRATION}" is not a whole number', at)
        if version > SCHEMA_VERSION:
            self._fail(
                f"the catalogue was written by a newer MOBIUS (schema {version}, this one knows {SCHEMA_VERSION})",
                at,
                fix="upgrade MOBIUS",
            )
        self.migration = value

    def _images(self, at: int) -> int:
        text, entries, seen = self.text, self.entries, set[str]()
        at = self._after_space(at + 1)
        if text[at : at + 1] == "]":
            return at + 1
        count, step, scan = text.count, _NEXT.match, _SCAN_ENTRY.raw_decode
        while True:
            start = at
            if text[at : at + 1] != "{":
                self._value(at)
                self._fail(f"images[{len(entries)}] is not an object", at)
            try:
                fields, at = scan(text, start)
            except _SCAN_ERRORS as error:
                self._explain(error, start)
            if count("{", start, at) + count("[", start, at) > MAX_DEPTH and is_too_deep(fields):
                self._too_deep(start)
            entry = self._entry(fields, start, at)
            if entry.key in seen:
                self._same_file(entry)
            seen.add(entry.key)
            entries.append(entry)
            separator = step(text, at)
            if separator is None or separator[1] == "}":
                self._fail("the catalogue is not JSON: a comma or ] was expected", self._after_space(at))
            if separator[1] == "]":
                return separator.end(1)
            at = separator.end()

    def _entry(self, fields: dict[str, Any], start: int, end: int) -> Entry:
        entry = Entry()
        entry.start, entry.end = start, end
        path = fields.get("path")
        if type(path) is not str:
            self._bad_path("has no path" if path is None else "has a path that is not a string", start)
        if not path or "\0" in path:
            self._bad_path("has a path with a NUL in it" if path else "has an empty path", start)
        if not path.isascii():
            try:
                path.encode()
            except UnicodeEncodeError:
                self._bad_path("has a path with half a character in it (a lone surrogate)", start)
        entry.path = path
        entry.key = file_key(path, self.folder)
        read_owned(entry, fields)
        return entry

    def _bad_path(self, what: str, start: int) -> NoReturn:
        self._fail(f"images[{len(self.entries)}] {what}", start)

    def _same_file(self, entry: Entry) -> NoReturn:
        number = next(index for index, other in enumerate(self.entries) if other.key == entry.key)
        first = self.entries[number]
        named = f'"{visible(first.path)}"'
        also = "" if first.path == entry.path else f' and "{visible(entry.path)}"'
        self._fail(f"images[{number}] and images[{len(self.entries)}] name the same file, {named}{also}", entry.start)

    def _value(self, at: int) -> tuple[Any, int]:
        """Scan one value; the catalogue's error with its place when it is none."""
        try:
            value, end = _SCAN.raw_decode(self.text, at)
        except _SCAN_ERRORS as error:
            self._explain(error, at)
        if self.text.count("{", at, end) + self.text.count("[", at, end) > MAX_DEPTH and is_too_deep(value):
            self._too_deep(at)
        return value, end

    def _too_deep(self, start: int) -> NoReturn:
        fault = first_fault(self.text, start)
        self._fail(f"the catalogue nests deeper than {MAX_DEPTH} levels", fault.offset if fault else start)

    def _next(self, at: int, closing: str) -> tuple[int, bool]:
        separator = _NEXT.match(self.text, at)
        if separator is None or separator[1] not in {",", closing}:
            self._fail(f"the catalogue is not JSON: a comma or {closing} was expected", self._after_space(at))
        if separator[1] == closing:
            return separator.end(1), True
        return separator.end(), False

    def _after_space(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return match.end() if match else at

    def _explain(self, error: Exception, start: int) -> NoReturn:
        """Turn what the scanner raised into the catalogue's error."""
        fault = first_fault(self.text, start)
        if isinstance(error, json.JSONDecodeError) and (fault is None or error.pos <= fault.offset):
            self._syntax(error)
        if fault is None:
            self._fail("the catalogue is not JSON", start)
        self._fail(f"the catalogue {visible(fault.what)}", fault.offset)

    def _syntax(self, error: json.JSONDecodeError) -> NoReturn:
        reason = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        self._fail(f"the catalogue is not JSON: {reason}", error.pos)

    def _fail(self, what: str, offset: int, fix: str = "") -> NoReturn:
        if offset >= len(self.text):
            what = "the catalogue breaks off before its end"
        line, column = line_and_column(self.text, min(offset, len(self.text)))
        raise BadInput(what, where=f"{visible(self.origin)}, line {line} column {column}", fix=fix)


def read_owned(entry: Entry, fields: Mapping[str, Any]) -> None:
    """Set an entry's owned values from its parsed members, leniently."""
    dhash = fields.get("dhash")
    confidence = fields.get("dhash_confidence")
    status = fields.get("dhash_status")
    error = fields.get("dhash_error")
    entry.dhash = dhash if type(dhash) is str and _DHASH.fullmatch(dhash) else None
    number = type(confidence) is float and math.isfinite(confidence) and 0 <= confidence <= 1
    entry.confidence = confidence if number else None
    entry.status = status if type(status) is str and status in STATUSES else None
    entry.error = error if type(error) is str else None
    entry.settled = (
        entry.status is not None
        and entry.dhash == dhash
        and entry.confidence == confidence
        and entry.error == error
        and ("dhash_error" in fields) == (status == "failed")
        and "dhash" in fields
        and "dhash_confidence" in fields
    )
