"""Three views of one catalogue: what is live, what shall be live again, and what others did in between.

MOBIUS owns four members of each entry and two of the whole. Going back gives these the values of the target; with
"keep new" everything else is what the live file says, as the text that was read. Only texts go in and out here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mobius_tui.catalogue.document import DUPLICATES, IMAGES, MIGRATION, Document, Member, file_key, parse
from mobius_tui.catalogue.render import Part, parts_of, render, style_of

OWNED = frozenset({"dhash", "dhash_confidence", "dhash_status", "dhash_error"})
"""Members of an entry that are MOBIUS's."""

OWNED_OF_ALL = frozenset({MIGRATION, DUPLICATES})
"""Members of the whole catalogue that are MOBIUS's."""

# A comma, then an owned key and a plain value. Within a string a quote has a backslash before it, so no text matches.
_OWNED_MEMBER = re.compile(
    r'(,[ \t\n\r]*"(dhash(?:_confidence|_status|_error)?)"[ \t\n\r]*:[ \t\n\r]*)'
    r'("[^"\\]*(?:\\.[^"\\]*)*"|[^ \t\n\r"{}\[\],:]+)',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What the live catalogue has of others that the target has not.

    Attributes:
        added: Paths of entries that only the live one has, with members of their own.
        bare: Paths of entries that only the live one has, with nothing but a path beside what MOBIUS owns: a
            publication adds such entries for files that no entry names.
        removed: Paths of entries that only the target has.
        changed: Paths of entries whose members differ, with the names of these members.
        members: Names of top-level members that differ.
        reordered: Whether entries of both stand in another order.
        returned: Paths of entries that only the target had and that come back; they are not in ``removed``.
    """

    added: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    members: tuple[str, ...] = ()
    reordered: bool = False
    returned: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self != Changes()


@dataclass(frozen=True, slots=True)
class Merged:
    """A catalogue with the target's fingerprints and everything else as it is live.

    Attributes:
        content: Its bytes.
        changes: What others did, all of it kept.
    """

    content: bytes
    changes: Changes


def images_with_dhash(document: Document) -> int:
    """How many entries have a dHash."""
    return sum(entry.dhash is not None for entry in document.entries)


def changes(live: Document, target: Document) -> Changes:
    """What others added, changed and removed; the values that MOBIUS owns are not looked at.

    Args:
        live: The catalogue as it is.
        target: The catalogue that is to come back.

    Returns:
        The differences, in the live catalogue's order. Spelling and layout are none: ``1.10`` is ``1.1``.
    """
    return _compared(live, target)[0]


def keep_new(live: Document, target: Document, *, bring_back: bool = False) -> Merged:
    """The target's fingerprints in the live catalogue: nothing that others wrote is lost.

    Args:
        live: The catalogue as it is; its text is the base.
        target: The catalogue that is to come back.
        bring_back: Whether entries that only the target has come back too, at the end: nobody is known to have
            removed them on purpose.

    Returns:
        The target's own bytes when others changed nothing. Else the live entries in their order: one that the target
        has too gets the target's owned members, one that it has not loses its own. What others removed stays removed,
        but for ``bring_back``.
    """
    found, alike = _compared(live, target)
    if bring_back:
        found = replace(found, removed=(), returned=found.removed)
    if found == Changes(returned=found.returned):
        return Merged(target.text.encode(), found)
    content = "".join(_merged(live, target, alike)).encode()
    here = {entry.key for entry in live.entries}
    if found.returned:
        lost = [target.raw(entry) for entry in target.entries if entry.key not in here]
        content = _with_entries(parse(content, origin=live.origin), lost).encode()
        here |= {entry.key for entry in target.entries}
    if all(_names_known(item, here, target) for item in target.duplicates):
        return Merged(content, found)
    # a pair whose entry others removed would name nothing
    left = [item for item in target.duplicates if _names_known(item, here, target)]
    return Merged(b"".join(render(parse(content, origin=live.origin), duplicates=left)), found)


def remove_owned(document: Document) -> bytes:
    """The catalogue without anything that MOBIUS owns; all else as the text that was read."""
    text, images = document.text, document.members[IMAGES]
    pieces = [text[images.value_start : document.entries[0].start]] if document.entries else []
    end = images.value_start
    for entry in document.entries:
        if end != images.value_start:
            pieces.append(text[end : entry.start])
        pieces.append(stripped(document.raw(entry)))
        end = entry.end
    pieces.append(text[end : images.value_end])
    return "".join(_members_of(document, {IMAGES: "".join(pieces), MIGRATION: None, DUPLICATES: None})).encode()


def stripped(raw: str) -> str:
    """An entry's text without the members that MOBIUS owns.

    Args:
        raw: The text of an object, from ``{`` to ``}``.

    Returns:
        The text with only these members and their commas taken out.
    """
    if "\\u00" not in raw and raw.count("{") == 1:
        text = _OWNED_MEMBER.sub("", raw)
        if '"dhash' not in text:
            return text
    parts = list(parts_of(raw))
    if not any(part.name in OWNED for part in parts):
        return raw
    return _joined(raw, parts, [raw[part.key : part.end] for part in parts if part.name not in OWNED])


def grafted(raw: str, donor: str) -> str:
    """An entry's text with the owned members of another.

    Args:
        raw: The text of an object, from ``{`` to ``}``.
        donor: The text of the object whose owned members it shall have.

    Returns:
        The text with its own owned members replaced, or taken out and the donor's put at the end, in its own layout.
    """
    given = _plain_owned(donor)
    if given == {}:
        return stripped(raw)
    present = _plain_owned(raw)
    if given is not None and present is not None and given.keys() == present.keys():
        return _OWNED_MEMBER.sub(lambda found: found[1] + given[found[2]], raw)
    own = [part for part in parts_of(donor) if part.name in OWNED]
    bare = stripped(raw)
    if not own:
        return bare
    parts = list(parts_of(bare))
    style = style_of(bare, parts)
    end = parts[-1].end if parts else 1
    new = f",{style.after_comma}".join(
        f"{donor[part.key : part.colon]}{style.colon}{donor[part.value : part.end]}" for part in own
    )
    lead = f",{style.after_comma}" if parts else style.after_brace
    return f"{bare[:end]}{lead}{new}{bare[end:]}"


def _plain_owned(raw: str) -> dict[str, str] | None:
    """The owned members of an entry's text; None when a glance does not tell them surely."""
    if "\\u00" in raw or raw.count("{") != 1:
        return None
    found = {name: value for _, name, value in _OWNED_MEMBER.findall(raw)}
    return found if raw.count('"dhash') == len(found) else None


def _compared(live: Document, target: Document) -> tuple[Changes, set[str]]:
    """The changes, and the keys of the entries whose texts, owned members left out, are the same."""
    before = {entry.key: entry for entry in target.entries}
    added: list[str] = []
    bare: list[str] = []
    changed: list[tuple[str, tuple[str, ...]]] = []
    common: list[str] = []
    alike: set[str] = set()
    for entry in live.entries:
        old, raw = before.get(entry.key), live.raw(entry)
        if old is None:
            (bare if _is_bare(raw) else added).append(entry.path)
            continue
        common.append(entry.key)
        other = target.raw(old)
        if stripped(raw) == stripped(other):
            alike.add(entry.key)
        elif names := _differing(raw, other):
            changed.append((entry.path, names))
    kept = set(common)
    here = kept if len(common) == len(live.entries) else {entry.key for entry in live.entries}
    removed = tuple(entry.path for entry in target.entries if entry.key not in here)
    reordered = common != [entry.key for entry in target.entries if entry.key in kept]
    members = _differing_names(_outer(live), _outer(target))
    return Changes(tuple(added), tuple(bare), removed, tuple(changed), members, reordered), alike


def _merged(live: Document, target: Document, alike: set[str]) -> Iterator[str]:
    """The text of the merged catalogue, in pieces."""
    text, images = live.text, live.members[IMAGES]
    before = {entry.key: entry for entry in target.entries}
    pieces: list[str] = []
    at = images.value_start
    for entry in live.entries:
        pieces.append(text[at : entry.start])
        at = entry.end
        old = before.get(entry.key)
        if old is None:
            pieces.append(stripped(live.raw(entry)))
        elif entry.key in alike:
            pieces.append(target.raw(old))
        else:
            pieces.append(grafted(live.raw(entry), target.raw(old)))
    pieces.append(text[at : images.value_end])
    new: dict[str, str | None] = {IMAGES: "".join(pieces)}
    for name in (MIGRATION, DUPLICATES):
        member = target.members.get(name)
        new[name] = None if member is None else target.text[member.value_start : member.value_end]
    yield from _members_of(live, new)


def _with_entries(document: Document, entries: Sequence[str]) -> str:
    """The text with more entries at the end, laid out as those that are there."""
    text, start = document.text, document.members[IMAGES].value_start
    if not document.entries:
        return f"{text[: start + 1]}{', '.join(entries)}{text[start + 1 :]}"
    last = document.entries[-1]
    lead = "," + _space_before(text, last.start)
    return text[: last.end] + "".join(lead + raw for raw in entries) + text[last.end :]


def _members_of(document: Document, new: dict[str, str | None]) -> Iterator[str]:
    """The text with other values for some top-level members; None takes one out, an unknown one comes last."""
    text = document.text
    spans = list(_segments(document))
    first_space = text[document.opening + 1 : spans[0][1].key_start]
    yield text[: document.opening + 1]
    written = False
    for name, member, end in spans:
        if name in new and new[name] is None:
            continue
        space = _space_before(text, member.key_start)
        yield "," + space if written else first_space
        value = new.pop(name, None)
        yield text[member.key_start : member.value_start]
        yield text[member.value_start : member.value_end] if value is None else value
        yield text[member.value_end : end]
        written = True
    last = spans[-1][1]
    outer = _space_before(text, last.key_start) if len(spans) > 1 else first_space
    colon = text[last.key_end : last.value_start]
    for name, value in new.items():
        if value is not None:
            yield f'{"," if written else ""}{outer}"{name}"{colon}{value}'
            written = True
    yield text[last.value_end :]


def _segments(document: Document) -> Iterator[tuple[str, Member, int]]:
    """Each top-level member with the offset of the comma after it; the last one ends with its value."""
    items = list(document.members.items())
    for number, (name, member) in enumerate(items):
        if number + 1 == len(items):
            yield name, member, member.value_end
        else:
            following = items[number + 1][1].key_start
            yield name, member, document.text.rindex(",", member.value_end, following)


def _joined(raw: str, parts: Sequence[Part], kept: Sequence[str]) -> str:
    """An object's text of some of its members, laid out as it was."""
    after_brace = raw[parts[0].lead : parts[0].key]
    between = "," + (raw[parts[1].lead : parts[1].key] if len(parts) > 1 else " ")
    return f"{{{after_brace}{between.join(kept)}{raw[parts[-1].end :]}"


def _space_before(text: str, at: int) -> str:
    start = at
    while text[start - 1] in " \t\n\r":
        start -= 1
    return text[start:at]


def _is_bare(raw: str) -> bool:
    """Whether an entry has owned members and beside them nothing but its path."""
    names = [part.name for part in parts_of(raw)]
    return len(names) > 1 and set(names) <= {*OWNED, "path"}


def _differing(raw: str, other: str) -> tuple[str, ...]:
    """Names of the members, owned ones left out, in which two entries differ."""
    mine, theirs = _SCAN.raw_decode(raw)[0], _SCAN.raw_decode(other)[0]
    for name in OWNED:
        mine.pop(name, None)
        theirs.pop(name, None)
    if mine == theirs and str(mine) == str(theirs):  # true equals 1, but is not written so
        return ()
    return _differing_names(_foreign(raw), _foreign(other))


def _differing_names(mine: dict[str, str], theirs: dict[str, str]) -> tuple[str, ...]:
    names = [*mine, *(name for name in theirs if name not in mine)]
    return tuple(name for name in names if not _same_value(mine.get(name), theirs.get(name)))


def _foreign(raw: str) -> dict[str, str]:
    return {part.name: raw[part.value : part.end] for part in parts_of(raw) if part.name not in OWNED}


def _outer(document: Document) -> dict[str, str]:
    return {
        name: document.text[member.value_start : member.value_end]
        for name, member in document.members.items()
        if name not in {IMAGES, *OWNED_OF_ALL}
    }


def _same_value(mine: str | None, theirs: str | None) -> bool:
    """Whether two values mean the same, however they are spelt."""
    if mine is None or theirs is None or mine == theirs:
        return mine is theirs or mine == theirs
    return _canonical(mine) == _canonical(theirs)


def _canonical(text: str) -> str:
    return json.dumps(json.loads(text, parse_int=_whole, parse_float=_decimal), sort_keys=True)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) < 4000 else digits


_SCAN = json.JSONDecoder(parse_int=_whole)


def _decimal(digits: str) -> float | int:
    """A number by its value: a program that reads and writes 1.0 may write 1."""
    value = float(digits)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _names_known(item: dict[str, object], here: Iterable[str], target: Document) -> bool:
    """Whether the entries that a pair of duplicates names are still there."""
    folder = os.path.dirname(os.path.abspath(target.origin))  # noqa: PTH100, PTH120
    names = [item.get(side) for side in ("duplicate", "original")]
    return all(not isinstance(name, str) or not name or file_key(name, folder) in here for name in names)
