"""Fingerprint one or two files, outside any library, and compare them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobius_tui.fingerprint.dhash import hamming, hex_of
from mobius_tui.fingerprint.model import Limits, Outcome, Profile, Task
from mobius_tui.fingerprint.pool import HashingPool
from mobius_tui.matching.confidence import distance_confidence, distance_evidence
from mobius_tui.matching.pairs import pair_id


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two fingerprinted files compare.

    Attributes:
        pair: Its name, 16 hex digits.
        distance: Hamming distance of the dHashes, 0..64.
        confidence: Probability that both show the same picture; 1 for the same bytes.
        status: ``exact`` for the same bytes; ``low confidence`` when a hash says too little to compare;
            ``candidate`` within the threshold; else ``different``.
        evidence: What speaks for it or against it, in words.
    """

    pair: str
    distance: int
    confidence: float
    status: str
    evidence: tuple[str, ...]


def hash_files(paths: Sequence[str], profile: Profile, limits: Limits) -> list[Outcome]:
    """Fingerprint files in a process of their own, so that a bad one harms nothing.

    Args:
        paths: Files, in the order wanted.
        profile: ``exact`` or ``fast``.
        limits: What one may cost.

    Returns:
        An outcome a path, in order; every failure is one, too.
    """
    with HashingPool(profile, limits, workers=1) as pool:
        found = {outcome.path: outcome for outcome in pool.map([Task(path) for path in dict.fromkeys(paths)])}
    return [found[path] for path in paths]


def compare(one: Outcome, other: Outcome, threshold: int) -> Comparison | None:
    """Compare two outcomes by content and dHash.

    Args:
        one: A file.
        other: The other.
        threshold: Largest distance of a candidate, bits.

    Returns:
        The comparison; None when one of them has no dHash.
    """
    if one.dhash is None or other.dhash is None or one.sha256 is None or other.sha256 is None:
        return None
    distance = hamming(one.dhash, other.dhash)
    name = pair_id(one.sha256, other.sha256)
    if one.sha256 == other.sha256:
        return Comparison(name, distance, 1.0, "exact", ("same bytes",))
    weak = [str(outcome.reason) for outcome in (one, other) if outcome.status == "low_confidence"]
    if weak:
        evidence = (*distance_evidence(distance), f"a hash says too little: {', '.join(dict.fromkeys(weak))}")
        return Comparison(name, distance, 0.0, "low confidence", evidence)
    status = "candidate" if distance <= threshold else "different"
    return Comparison(name, distance, distance_confidence(distance), status, distance_evidence(distance))


def outcome_facts(outcome: Outcome, profile: Profile) -> dict[str, object]:
    """An outcome as a JSON object."""
    return {
        "path": outcome.path,
        "status": outcome.status,
        "dhash": None if outcome.dhash is None else hex_of(outcome.dhash),
        "confidence": outcome.confidence,
        "reason": outcome.reason,
        "error": outcome.error,
        "cause": outcome.cause,
        "sha256": None if outcome.sha256 is None else outcome.sha256.hex(),
        "bytes": outcome.size,
        "width": outcome.width,
        "height": outcome.height,
        "format": outcome.format,
        "profile": profile,
        "duration_ms": round(outcome.duration_ms, 3),
    }
