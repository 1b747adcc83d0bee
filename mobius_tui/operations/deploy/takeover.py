"""Publish what ``migrate -o`` made earlier: its fingerprints, in the live catalogue as it is now.

The live catalogue's own text is kept; only what MOBIUS owns is taken from the file. So changes that others made since
survive, and what the file cannot know of is refused instead of guessed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobius_tui.catalogue.document import Document, Entry, OwnedFields, file_key, parse
from mobius_tui.catalogue.live import Loaded, read_catalogue
from mobius_tui.catalogue.render import parts_of, render
from mobius_tui.errors import BadInput
from mobius_tui.operations.deploy.verify import owned_fault
from mobius_tui.text import counted, visible

_OWNED = frozenset({"dhash", "dhash_confidence", "dhash_status", "dhash_error"})
_SHOWN = 3
_LOOKED_FOR = 50


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The content to stage.

    Attributes:
        live: The live catalogue whose text is kept.
        updates: Owned values for each of its entries.
        appended: New entries, path and values.
        migration: The new ``dhash_migration``.
        duplicates: The new ``dhash_duplicates``.
        left_out: Entries of the file that were removed from the live catalogue since, and whose files are gone.
    """

    live: Document
    updates: Sequence[OwnedFields]
    appended: Sequence[tuple[str, OwnedFields]]
    migration: Mapping[str, Any]
    duplicates: Sequence[Mapping[str, Any]]
    left_out: Sequence[str]

    def content(self) -> Iterator[bytes]:
        """The bytes of the catalogue, in pieces; the same each time."""
        return render(
            self.live, self.updates, appended=self.appended, migration=self.migration, duplicates=self.duplicates
        )


def read_source(file: Path, live: Path) -> Loaded:
    """Read a catalogue that ``migrate -o`` made from the live one.

    Args:
        file: Where it lies.
        live: The live catalogue: the file's relative paths mean its folder.

    Returns:
        The catalogue with the hash of its bytes.

    Raises:
        BadInput: It is the live catalogue itself, there is none, or it breaks a rule.
        EnvironmentFailed: It cannot be read.
    """
    if os.path.realpath(file) == os.path.realpath(live):
        raise BadInput(
            "this is the live catalogue itself", where=visible(str(file)), fix="run `mobius deploy` without --from"
        )
    loaded = read_catalogue(file)
    try:
        document = parse(loaded.document.text.encode(), origin=str(live))
    except BadInput as error:  # two ways of writing one file that only differ from the live one's folder
        raise BadInput(f"{error.what}, read as paths of the live catalogue", where=visible(str(file))) from error
    return Loaded(document, loaded.sha256, loaded.stat)


def take_over(
    live: Document,
    source: Document,
    *,
    name: str = "the file",
    run_id: str = "",
    exists: Callable[[str], bool] = os.path.lexists,
) -> TakenOver:
    """The live catalogue with the fingerprints of another one.

    Args:
        live: The live catalogue.
        source: What ``migrate -o`` made, read with the live one's folder as the meaning of its paths.
        name: How to call the source in messages.
        run_id: The run that publishes it; its name stands in the new ``dhash_migration.run``, beside that of the run
            that made the fingerprints. Empty: the source's own.
        exists: Whether a file is there, by absolute path.

    Returns:
        The content to stage.

    Raises:
        BadInput: The source was not made by a whole migration of this catalogue, or the live one has changed in a way
            that it cannot know of.
    """
    shown = visible(name)
    if source.migration is None:
        raise BadInput(f'{shown} has no "dhash_migration"', fix="make it with `mobius migrate -o FILE`")
    bare = [entry for entry in source.entries if owned_fault(entry)]
    if bare:
        raise BadInput(
            f"{shown} has {_some(bare)} without a whole fingerprint: the first {owned_fault(bare[0])}",
            fix="make it without --limit: `mobius migrate -o FILE`",
        )
    found = {entry.key: entry for entry in source.entries}
    _refuse_lacking(live, found, shown)
    folder = os.path.dirname(os.path.abspath(live.origin))  # noqa: PTH100, PTH120 (as catalogue.document does)
    names = {entry.key: entry.path for entry in live.entries}
    fresh = [entry for entry in source.entries if entry.key not in names]
    removed = [entry for entry in fresh if _has_more(source, entry)]
    if removed:
        raise BadInput(
            f"{shown} has {_some(removed)} removed from the live catalogue since",
            fix="run `mobius migrate -o FILE` again",
        )
    appended = [entry for entry in fresh if entry.status != "missing"]
    gone = {entry.key: entry.path for entry in fresh if entry.status == "missing"}
    _refuse_other_folder(appended, folder, shown, exists)
    names |= {entry.key: entry.path for entry in appended}
    return TakenOver(
        live=live,
        updates=[owned_of(found[entry.key]) for entry in live.entries],
        appended=[(entry.path, owned_of(entry)) for entry in appended],
        migration=_signed(source.migration, run_id),
        duplicates=[pair for item in source.duplicates if (pair := _named(item, names, set(gone), folder)) is not None],
        left_out=list(gone.values()),
    )


def _signed(migration: Mapping[str, Any], run_id: str) -> Mapping[str, Any]:
    """The facts of the migration with the run that publishes them."""
    if not run_id:
        return migration
    run = migration.get("run")
    made = dict(run) if isinstance(run, dict) else {}
    return {**migration, "run": {**made, "id": run_id, "fingerprints": made.get("id")}}


def owned_of(entry: Entry) -> OwnedFields:
    """What MOBIUS says of an image in a catalogue that was read and verified."""
    return OwnedFields(entry.dhash, entry.confidence, str(entry.status), entry.error)


def _has_more(document: Document, entry: Entry) -> bool:
    """Whether an entry has members that a migration does not give to a new one."""
    return any(part.name not in _OWNED and part.name != "path" for part in parts_of(document.raw(entry)))


def _refuse_lacking(live: Document, found: Mapping[str, Entry], shown: str) -> None:
    lacking = [entry for entry in live.entries if entry.key not in found]
    if not lacking:
        return
    if len(lacking) == len(live.entries):
        raise BadInput(
            f"{shown} knows no image of the live catalogue, its paths mean another folder ({_example(live, found)})",
            fix="make it from the live catalogue: `mobius migrate -o FILE`, without -i",
        )
    raise BadInput(
        f"the live catalogue has {_some(lacking)} that {shown} lacks: added since it was made",
        fix="run `mobius migrate -o FILE` again, or `mobius deploy` without --from",
    )


def _example(live: Document, found: Mapping[str, Entry]) -> str:
    here = visible(live.entries[0].path)
    there = next((visible(entry.path) for entry in found.values()), "it has none")
    return f"live {here!r}, there {there!r}"


def _refuse_other_folder(appended: Sequence[Entry], folder: str, shown: str, exists: Callable[[str], bool]) -> None:
    """New entries are files that were there: when none of them is, their paths mean another folder."""
    looked_for = appended[:: max(1, len(appended) // _LOOKED_FOR)]
    if looked_for and not any(exists(os.path.normpath(os.path.join(folder, e.key))) for e in looked_for):  # noqa: PTH118
        raise BadInput(
            f"{shown} has new entries whose files are not in {visible(folder)}, such as"
            f" {visible(looked_for[0].path)!r}: its paths mean another folder, or the library is not mounted",
            fix="make it from the live catalogue: `mobius migrate -o FILE`, without -i",
        )


def _named(item: Mapping[str, Any], names: Mapping[str, str], gone: Set[str], folder: str) -> Mapping[str, Any] | None:
    """A duplicate with its paths as the live catalogue writes them; None when one of the two is left out.

    What is not of the right form stays as it is, for the verification to refuse.
    """
    renamed = dict(item)
    for which in ("duplicate", "original"):
        path = item.get(which)
        if not isinstance(path, str) or not path or "\0" in path:
            continue
        key = file_key(path, folder)
        if key in gone:
            return None
        renamed[which] = names.get(key, path)
    return renamed


def _some(entries: Sequence[Entry]) -> str:
    named = ", ".join(repr(visible(entry.path)) for entry in entries[:_SHOWN])
    more = len(entries) - _SHOWN
    noun = counted(len(entries), "image")
    return f"{noun} ({named}{f' and {more:,} more' if more > 0 else ''})"
