"""Write a catalogue: the text that was read, with the values that MOBIUS owns spliced in.

Everything that is not replaced is copied from the text, so what MOBIUS does not own survives byte for byte. New
members, entries and lists follow the style (line breaks, indentation, spaces) of their neighbours.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mobius_tui.catalogue.document import (
    DUPLICATES,
    IMAGES,
    MIGRATION,
    STATUSES,
    Document,
    Entry,
    Member,
    OwnedFields,
    file_key,
)

_CHUNK = 1 << 18
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
# a member with the comma before it; the value is left out where it is an array or object
_MEMBER = re.compile(
    rf'(?:[ \t\n\r]*,)?([ \t\n\r]*)({_STRING})([ \t\n\r]*:[ \t\n\r]*)({_STRING}|[^ \t\n\r"{{}}\[\],:]+)?', re.DOTALL
)
# what a terminal could take for control, what turns text round, and half characters
_ESCAPED = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"
    "\ufff0-\ufffb\U000e0000-\U000e0fff\ud800-\udfff]"
)
_DHASH = re.compile(r"[0-9a-f]{16}")
# only asked where a value ends: float takes an integer of any length
_VALUE = json.JSONDecoder(parse_int=float)


class Style(NamedTuple):
    """How one object is laid out."""

    after_brace: str
    after_comma: str
    colon: str
    before_brace: str


_COMPACT = Style("", " ", ": ", "")


class Part(NamedTuple):
    """A member within an entry's text: its key, and the offsets of its parts."""

    name: str
    lead: int  # after the comma or brace before it, where its white space starts
    key: int
    colon: int
    value: int
    end: int


def render(
    document: Document,
    updates: Sequence[OwnedFields | None] = (),
    *,
    appended: Sequence[tuple[str, OwnedFields]] = (),
    migration: Mapping[str, Any] | None = None,
    duplicates: Iterable[Mapping[str, Any]] | None = None,
) -> Iterator[bytes]:
    """The bytes of a catalogue with new owned values, in pieces.

    Args:
        document: What was read.
        updates: One for each entry, in order; None leaves the entry as it is. Empty leaves them all.
        appended: New entries, path and values, in order.
        migration: The new ``dhash_migration``; None leaves it as it is.
        duplicates: The new ``dhash_duplicates``, consumed once; None leaves them as they are.

    Returns:
        Pieces of about 256 KB. The same arguments give the same bytes.

    Raises:
        ValueError: The number of updates is not that of the entries, or an appended path is no path or is there
            already; while writing, that a value is not of the form that the catalogue allows.
    """
    if updates and len(updates) != len(document.entries):
        raise ValueError(f"{len(updates)} updates for {len(document.entries)} entries")
    _check_appended(document, appended)
    return _encoded(_pieces(document, updates, appended, migration, duplicates))


def _check_appended(document: Document, appended: Sequence[tuple[str, OwnedFields]]) -> None:
    """Refuse what would make a catalogue that cannot be read again."""
    if not appended:
        return
    folder = os.path.dirname(os.path.abspath(document.origin))  # noqa: PTH100, PTH120
    taken = {entry.key for entry in document.entries}
    for path, _ in appended:
        if not path or "\0" in path or any("\ud800" <= c <= "\udfff" for c in path):
            raise ValueError(f"no path for a catalogue: {path!r}")
        key = file_key(path, folder)
        if key in taken:
            raise ValueError(f"the catalogue names {path!r} already")
        taken.add(key)


def _encoded(pieces: Iterable[str]) -> Iterator[bytes]:
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield "".join(held).encode()
            held.clear()
            size = 0
    if held:
        yield "".join(held).encode()


def _pieces(
    document: Document,
    updates: Sequence[OwnedFields | None],
    appended: Sequence[tuple[str, OwnedFields]],
    migration: Mapping[str, Any] | None,
    duplicates: Iterable[Mapping[str, Any]] | None,
) -> Iterator[str]:
    """Copies of the text and replacements, in the order of the text."""
    text, members = document.text, document.members
    outer = _outer_style(document)
    at = 0
    for name, member in members.items():
        if name == IMAGES:
            for start, end, new in _image_splices(document, updates, appended, outer):
                yield from _copied(text, at, start)
                yield new
                at = end
        elif name == MIGRATION and migration is not None:
            yield from _copied(text, at, member.value_start)
            yield _lines("{", [f"{_quoted(key)}: {_compact(migration[key])}" for key in migration], "}", outer)
            at = member.value_end
        elif name == DUPLICATES and duplicates is not None:
            yield from _copied(text, at, member.value_start)
            yield from _duplicate_lines(duplicates, outer)
            at = member.value_end
    last = max(member.value_end for member in members.values())
    yield from _copied(text, at, last)
    if migration is not None and MIGRATION not in members:
        yield f',{outer.after_comma}"{MIGRATION}"{outer.colon}'
        yield _lines("{", [f"{_quoted(key)}: {_compact(migration[key])}" for key in migration], "}", outer)
    if duplicates is not None and DUPLICATES not in members:
        yield f',{outer.after_comma}"{DUPLICATES}"{outer.colon}'
        yield from _duplicate_lines(duplicates, outer)
    yield from _copied(text, last, len(text))


def _copied(text: str, start: int, end: int) -> Iterator[str]:
    """A stretch of the text in slices, never one big copy."""
    for at in range(start, end, _CHUNK):
        yield text[at : min(at + _CHUNK, end)]


def _image_splices(
    document: Document,
    updates: Sequence[OwnedFields | None],
    appended: Sequence[tuple[str, OwnedFields]],
    outer: Style,
) -> Iterator[tuple[int, int, str]]:
    """Replacements within ``images``: start and end of what goes, and what comes."""
    for entry, fields in zip(document.entries, updates, strict=False):
        if fields is None or _is_same(entry, fields):
            continue
        raw = document.raw(entry)
        new = spliced(raw, fields)
        if new != raw:
            yield entry.start, entry.end, new
    if appended:
        yield from _appended(document, appended, outer)


def _is_same(entry: Entry, fields: OwnedFields) -> bool:
    if not entry.settled or entry.status != fields.status or entry.error != _error_of(fields):
        return False
    if fields.status == "missing" and fields.dhash is None:
        return True
    return entry.dhash == fields.dhash and entry.confidence == _rounded(fields.confidence)


def _error_of(fields: OwnedFields) -> str | None:
    if fields.status != "failed":
        return None
    # half characters, as of a name that is not UTF-8, would make strict readers refuse the whole file
    return (fields.error or "unknown").encode("utf-8", "backslashreplace").decode()


def _rounded(confidence: float | None) -> float | None:
    """At most four decimals, no negative zero."""
    return None if confidence is None else round(float(confidence), 4) + 0.0


def _wanted(fields: OwnedFields) -> dict[str, Any]:
    """The owned members that an entry must have, in the order in which they are added."""
    if fields.status not in STATUSES:
        raise ValueError(f"no such status: {fields.status!r}")
    if fields.dhash is not None and (fields.status == "failed" or not _DHASH.fullmatch(fields.dhash)):
        raise ValueError(f"dhash {fields.dhash!r} with status {fields.status}")
    confidence = _rounded(fields.confidence)
    if confidence is not None and not (math.isfinite(confidence) and 0 <= confidence <= 1):
        raise ValueError(f"confidence {confidence!r} is not within 0..1")
    if fields.status == "missing" and fields.dhash is None:
        return {"dhash_status": "missing"}
    wanted = {"dhash": fields.dhash, "dhash_confidence": confidence, "dhash_status": fields.status}
    if fields.status == "failed":
        wanted["dhash_error"] = _error_of(fields)
    return wanted


def spliced(raw: str, fields: OwnedFields) -> str:
    """An entry's text with new owned values.

    Args:
        raw: The text of an object, from ``{`` to ``}``.
        fields: The values it shall have.

    Returns:
        The text with only these members changed, added at the end or taken out; a value that is already the wanted
        one keeps its own spelling.
    """
    wanted = _wanted(fields)
    pieces: list[str] = []
    at = 0
    parts = list(parts_of(raw))
    kept_before = False
    for number, part in enumerate(parts):
        if part.name == "dhash_error" and part.name not in wanted:
            # the comma goes with the member: the one before it, or the one after it when it is the first
            last = number == len(parts) - 1
            pieces.append(raw[at : part.lead - 1 if kept_before else part.lead])
            at = part.end if kept_before or last else parts[number + 1].lead
            continue
        kept_before = True
        if part.name in wanted:
            value = wanted.pop(part.name)
            written = _compact(value)
            if not _already(raw[part.value : part.end], value, written):
                pieces += raw[at : part.value], written
                at = part.end
    if wanted:
        style = style_of(raw, parts)
        end = parts[-1].end if parts else 1
        pieces.append(raw[at:end])
        at = end
        for name, value in wanted.items():
            pieces.append(f'{"," if kept_before else ""}{style.after_comma}"{name}"{style.colon}{_compact(value)}')
            kept_before = True
    pieces.append(raw[at:])
    return "".join(pieces)


def _already(text: str, value: object, written: str) -> bool:
    """True when a member's text means the wanted value, however it is spelt."""
    if text == written:
        return True
    if isinstance(value, str) and "\\" not in text:
        return False
    try:
        found = json.loads(text)
    except ValueError:  # an integer of too many digits
        return False
    return type(found) is not bool and bool(found == value)


def parts_of(raw: str) -> Iterator[Part]:
    """The members of an object's text that is known to be valid."""
    at = 1
    while match := _MEMBER.match(raw, at):
        lead, key = match.span(1)
        token, at = match[2], match.end()
        if match[4] is None:
            at = _VALUE.raw_decode(raw, at)[1]
        name = json.loads(token) if "\\" in token else token[1:-1]
        yield Part(name, lead, key, match.end(2), match.end(3), at)


def style_of(raw: str, parts: Sequence[Part]) -> Style:
    """How an object's text is laid out, told from its last members."""
    if not parts:
        return _COMPACT
    last = parts[-1]
    after_brace = raw[parts[0].lead : parts[0].key]
    colon = raw[last.colon : last.value]
    if len(parts) > 1:
        after_comma = raw[last.lead : last.key]
    elif "\n" in after_brace:
        after_comma = after_brace
    else:
        after_comma = " " if colon.endswith(" ") else ""
    return Style(after_brace, after_comma, colon, raw[last.end : -1])


def _outer_style(document: Document) -> Style:
    """How the top-level object is laid out."""
    text = document.text
    members: list[Member] = list(document.members.values())
    first, last = members[0], members[-1]
    after_brace = text[document.opening + 1 : first.key_start]
    colon = text[last.key_end : last.value_start]
    if len(members) > 1:
        after_comma = _space_before(text, last.key_start)
    elif "\n" in after_brace:
        after_comma = after_brace
    else:
        after_comma = " " if colon.endswith(" ") else ""
    return Style(after_brace, after_comma, colon, "")


def _space_before(text: str, at: int) -> str:
    start = at
    while start and text[start - 1] in " \t\n\r":
        start -= 1
    return text[start:at]


def _appended(
    document: Document, appended: Sequence[tuple[str, OwnedFields]], outer: Style
) -> Iterator[tuple[int, int, str]]:
    """New entries after the last one, laid out like it."""
    text, entries, images = document.text, document.entries, document.members[IMAGES]
    if entries:
        raw = document.raw(entries[-1])
        style = style_of(raw, list(parts_of(raw)))
        at = entries[-1].end
        between = _space_before(text, entries[-1].start)
        for path, fields in appended:
            yield at, at, f",{between}{_new_entry(path, fields, style)}"
        return
    step, back = _indents(outer)
    yield images.value_start, images.value_start, "["
    for number, (path, fields) in enumerate(appended):
        comma = "," if number else ""
        yield images.value_start, images.value_start, f"{comma}{step}{_new_entry(path, fields, _COMPACT)}"
    yield images.value_start, images.value_end, f"{back}]"


def _new_entry(path: str, fields: OwnedFields, style: Style) -> str:
    members = {"path": path, **_wanted(fields)}
    inner = f",{style.after_comma}".join(f'"{name}"{style.colon}{_compact(members[name])}' for name in members)
    return f"{{{style.after_brace}{inner}{style.before_brace}}}"


def _indents(outer: Style) -> tuple[str, str]:
    """The line break before an item of a list in a top-level member, and the one before its closing bracket."""
    break_, _, indent = outer.after_comma.rpartition("\n")
    ending = "\r\n" if break_.endswith("\r") else "\n"
    if "\n" not in outer.after_comma:
        return "\n    ", "\n  "
    return ending + indent * 2, ending + indent


def _lines(opening: str, items: Sequence[str], closing: str, outer: Style) -> str:
    """A list or object with one item a line."""
    if not items:
        return opening + closing
    step, back = _indents(outer)
    return f"{opening}{step}{f',{step}'.join(items)}{back}{closing}"


def _duplicate_lines(duplicates: Iterable[Mapping[str, Any]], outer: Style) -> Iterator[str]:
    step, back = _indents(outer)
    empty = True
    for item in duplicates:
        yield f"{'[' if empty else ','}{step}{_compact(item)}"
        empty = False
    yield "[]" if empty else f"{back}]"


def _compact(value: object) -> str:
    """JSON on one line; what could be taken for terminal control is escaped."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(str(key))}: {_compact(value[key])}" for key in value) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_compact, value)) + "]"
    return json.dumps(value, allow_nan=False)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=_ESCAPED.search(text) is not None)
