"""What the live catalogue shall become: bytes in, bytes out, so that it can be worked out anew when others write."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from mobius_tui.catalogue.document import Document, parse
from mobius_tui.errors import BadInput, ProcessingFailed
from mobius_tui.recovery.atomic import ABSENT
from mobius_tui.rollback.merge import Changes, changes, images_with_dhash, keep_new, remove_owned
from mobius_tui.text import visible


@dataclass(frozen=True, slots=True)
class Figures:
    """What a catalogue holds.

    Attributes:
        entries: Its images.
        with_dhash: Those with a dHash.
    """

    entries: int
    with_dhash: int


def figures_of(data: bytes | Document | None) -> Figures | None:
    """A catalogue's figures, of bytes without the care that ``parse`` takes; None of what is no catalogue."""
    if data is None:
        return None
    if isinstance(data, Document):
        return Figures(len(data.entries), images_with_dhash(data))
    try:
        images = json.loads(data, parse_int=len)["images"]  # no number is looked at, however long
        return Figures(len(images), sum(type(each.get("dhash")) is str for each in images))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


@dataclass(frozen=True)
class Present:
    """The live file as it was read.

    Attributes:
        data: Its bytes; None when there is no such file.
        sha256: Their hash, 64 hex digits, or ``"absent"``.
        origin: Its path.
    """

    data: bytes | None
    sha256: str
    origin: str

    @classmethod
    def of(cls, data: bytes | None, origin: str) -> Present:
        """Bytes that were read, None for no file, with their hash."""
        return cls(data, ABSENT if data is None else hashlib.sha256(data).hexdigest(), origin)

    @cached_property
    def _parsed(self) -> Document | str:
        if self.data is None:
            return "there is no such file"
        try:
            return parse(self.data, origin=self.origin)
        except BadInput as error:
            return str(error)

    @cached_property
    def figures(self) -> Figures | None:
        """Entries and dHashes; None when it is no catalogue. Costs less than ``document``, unless that is there."""
        if "_parsed" in self.__dict__:
            return figures_of(self.document)
        return figures_of(self.data)

    @property
    def document(self) -> Document | None:
        """The catalogue; None when it is none."""
        return self._parsed if isinstance(self._parsed, Document) else None

    @property
    def problem(self) -> str:
        """Why it is no catalogue, in words; empty when it is one."""
        return self._parsed if isinstance(self._parsed, str) else ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall be live.

    Attributes:
        content: The bytes.
        changes: What others did since; None when that cannot be told or was not asked for.
        kept: Whether these changes are in the content.
        sentence: How the content came about, in words.
        figures: What the content holds; None when that was not looked at.
    """

    content: bytes
    changes: Changes | None
    kept: bool
    sentence: str
    figures: Figures | None = None


Plan = Callable[[Present], Wanted]
"""From what is live to what shall be; called again when the live file turned out to be another."""


def exactly(
    target: bytes, *, published: str | None = None, compare: bool = False, document: Document | None = None
) -> Plan:
    """A plan for the target's bytes as they are.

    Args:
        target: The catalogue that is to come back.
        published: As for ``keeping_others``.
        compare: Whether to tell what others did since, which then goes.
        document: The target, parsed; None parses it when that is needed.

    Returns:
        The plan.
    """

    def plan(present: Present) -> Wanted:
        found: Changes | None = None
        if present.sha256 == published:
            found = Changes()
        elif compare and present.document is not None:
            found = changes(present.document, document or parse(target, origin=present.origin))
        return Wanted(target, found, False, "restored exactly", figures_of(document))

    return _remembered(plan)


def keeping_others(
    target: bytes, *, published: str | None = None, document: Document | None = None, bring_back: bool = False
) -> Plan:
    """A plan for the target's fingerprints with everything that others added or changed.

    Args:
        target: The catalogue that is to come back.
        published: SHA-256 of what MOBIUS published over the target. While the live file is still that, nobody else
            wrote, and the target comes back exactly.
        document: The target, parsed; None parses it when that is needed.
        bring_back: Whether entries that are gone from the live file come back too.

    Returns:
        The plan. Where the live file is no catalogue there is nothing to keep: the target comes back exactly.
    """

    def plan(present: Present) -> Wanted:
        if present.sha256 == published:
            said = "restored exactly: nobody else wrote since the publication"
            return Wanted(target, Changes(), True, said, figures_of(document))
        if present.document is None:
            said = f"restored exactly: nothing to keep, {present.problem}"
            return Wanted(target, None, False, said, figures_of(document))
        wanted = document or parse(target, origin=present.origin)
        merged = keep_new(present.document, wanted, bring_back=bring_back)
        if not merged.changes:
            said = "restored exactly: others changed nothing"
            return Wanted(target, merged.changes, True, said, figures_of(wanted))
        said = "restored with what others wrote since"
        return Wanted(merged.content, merged.changes, True, said, _proven(merged.content))

    return _remembered(plan)


def without_owned() -> Plan:
    """A plan that takes out of the live catalogue what MOBIUS owns and leaves all else.

    Returns:
        The plan; it raises ProcessingFailed when the live file is no catalogue.
    """

    def plan(present: Present) -> Wanted:
        if present.document is None:
            raise ProcessingFailed(
                f"what MOBIUS owns cannot be taken out of the live file: {present.problem}",
                fix=f"`mobius rollback` without --remove-dhash restores a backup over {visible(present.origin)}",
            )
        content = remove_owned(present.document)
        return Wanted(content, Changes(), True, "everything that MOBIUS owns was taken out", _proven(content))

    return _remembered(plan)


def _proven(content: bytes) -> Figures:
    """The figures of a text that was put together here: what cannot be read back never becomes live."""
    figures = figures_of(content)
    if figures is None:
        raise ProcessingFailed(
            "the catalogue that was put together cannot be read back; the live file is untouched",
            fix="`mobius rollback` without --keep-new and --remove-dhash restores a backup as it is",
        )
    return figures


def _remembered(plan: Plan) -> Plan:
    """The plan, which does not work out the same answer twice in a row."""
    last: list[tuple[str, Wanted]] = []

    @functools.wraps(plan)
    def remembering(present: Present) -> Wanted:
        if not last or last[0][0] != present.sha256:
            last[:] = [(present.sha256, plan(present))]
        return last[0][1]

    return remembering
