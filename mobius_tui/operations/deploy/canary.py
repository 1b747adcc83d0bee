"""What a canary publishes: the new fingerprints of a share of the images, and everything else as it is live."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mobius_tui.catalogue.document import Document, OwnedFields, file_key
from mobius_tui.catalogue.render import render
from mobius_tui.errors import BadInput
from mobius_tui.operations.deploy.takeover import owned_of
from mobius_tui.operations.deploy.verify import pair_fault
from mobius_tui.rollback.judging import CANARY
from mobius_tui.text import visible

_WHOLE = 1 << 64


@dataclass(frozen=True, slots=True)
class Canary:
    """The content to stage.

    Attributes:
        live: The live catalogue whose text is kept.
        chosen: Keys of the entries whose new fingerprints are published.
        updates: Owned values for each live entry; None leaves it as it is.
        appended: New entries that were chosen, path and values.
        migration: The new ``dhash_migration``; its run says that this is a canary.
        duplicates: The ``dhash_duplicates`` that fit both old and new fingerprints.
    """

    live: Document
    chosen: frozenset[str]
    updates: Sequence[OwnedFields | None]
    appended: Sequence[tuple[str, OwnedFields]]
    migration: Mapping[str, Any]
    duplicates: Sequence[Mapping[str, Any]]

    def content(self) -> Iterator[bytes]:
        """The bytes of the catalogue, in pieces; the same each time."""
        return render(
            self.live, self.updates, appended=self.appended, migration=self.migration, duplicates=self.duplicates
        )


def chosen_of(keys: Iterable[str], percent: float) -> frozenset[str]:
    """The share of a library's entries that a canary publishes.

    Whether an entry is in it depends on its path alone, and who is in a smaller share is in every larger one.

    Args:
        keys: The entries, as ``Entry.key`` names them.
        percent: How many of a hundred, about.

    Returns:
        The chosen ones; of a small library one at least.
    """
    ranks = {key: _rank(key) for key in keys}
    chosen = frozenset(key for key, rank in ranks.items() if rank < percent / 100 * _WHOLE)
    return chosen or frozenset(sorted(ranks, key=lambda key: ranks[key])[:1])


def _rank(key: str) -> int:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def canary_of(live: Document, full: Document, percent: float) -> Canary:
    """A share of a publication.

    Args:
        live: The live catalogue; ``empty_document`` when there is none.
        full: The whole new catalogue: the live entries in order, then new ones.
        percent: How many of a hundred entries get their new fingerprints.

    Returns:
        The content to stage.

    Raises:
        BadInput: The live fingerprints are of another profile or decoder, and a canary would mix them.
    """
    _refuse_mixing(live, full)
    chosen = chosen_of((entry.key for entry in full.entries), percent)
    entries = {entry.key: entry for entry in full.entries}
    known = {entry.key for entry in live.entries}
    run = (full.migration or {}).get("run")
    signed = {**(run if isinstance(run, dict) else {}), CANARY: percent}
    return Canary(
        live=live,
        chosen=chosen,
        updates=[owned_of(entries[entry.key]) if entry.key in chosen else None for entry in live.entries],
        appended=[
            (entry.path, owned_of(entry)) for entry in full.entries if entry.key in chosen and entry.key not in known
        ],
        migration={**(full.migration or {}), "run": signed},
        duplicates=_duplicates(live, full, chosen),
    )


def _refuse_mixing(live: Document, full: Document) -> None:
    old, new = live.migration or {}, full.migration or {}
    if (old.get("profile"), old.get("decoder")) == (new.get("profile"), new.get("decoder")):
        return
    if any(entry.dhash is not None for entry in live.entries):
        was = ", ".join(visible(str(old.get(name))) for name in ("profile", "decoder"))
        raise BadInput(
            f"the live fingerprints are of another profile or decoder ({was}), and a canary would mix them",
            fix="deploy without --canary",
        )


def _duplicates(live: Document, full: Document, chosen: frozenset[str]) -> list[Mapping[str, Any]]:
    """Old pairs of entries that keep their fingerprints, new pairs of chosen ones, and what is in both lists."""
    folder = os.path.dirname(os.path.abspath(live.origin))  # noqa: PTH100, PTH120 (as catalogue.document does)
    hashes = {entry.key: entry.dhash for entry in live.entries}
    hashes |= {entry.key: entry.dhash for entry in full.entries if entry.key in chosen}
    exact = (full.migration or {}).get("profile") == "exact"
    new = {_keys(pair, folder): pair for pair in full.duplicates}
    kept: list[Mapping[str, Any]] = []
    for pair in live.duplicates:
        keys = _keys(pair, folder)
        inside = sum(key in chosen for key in keys)
        taken = (pair, new.get(keys), None)[inside]
        if taken is not None and not pair_fault(taken, list(keys), hashes, exact=exact):
            kept.append(taken)
    return kept + [pair for keys, pair in new.items() if all(key in chosen for key in keys)]


def _keys(pair: Mapping[str, Any], folder: str) -> tuple[str, str]:
    duplicate, original = (
        file_key(name, folder) if isinstance(name, str) and name and "\0" not in name else ""
        for name in (pair.get("duplicate"), pair.get("original"))
    )
    return duplicate, original
