from __future__ import annotations

from pathlib import Path

import imagehash
import pytest
from PIL import Image

from mobius_tui.fingerprint.model import Limits, Outcome
from mobius_tui.operations.hash_files import compare, hash_files


def outcome(dhash: int | None, content: int = 1, status: str = "ok") -> Outcome:
    reason = "flat" if status == "low_confidence" else None
    return Outcome("x", status, sha256=bytes([content]) * 32, dhash=dhash, reason=reason)  # type: ignore[arg-type]


def test_files_in_the_order_given_as_imagehash_has_them(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        path = tmp_path / f"{number}.png"
        Image.effect_mandelbrot((90, 70), (-2 + number, -1.5, 1, 1.5), 50).save(path)
        paths.append(str(path))
    found = hash_files([paths[1], paths[0], paths[1], str(tmp_path / "none.png")], "exact", Limits())
    assert [one.path for one in found] == [paths[1], paths[0], paths[1], str(tmp_path / "none.png")]
    assert [f"{one.dhash:016x}" for one in found[:2]] == [
        str(imagehash.dhash(Image.open(path), 8)) for path in (paths[1], paths[0])
    ]
    assert found[3].status == "missing"


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        (outcome(5), outcome(5), "exact"),
        (outcome(5), outcome(5, 2), "candidate"),
        (outcome(0), outcome(2**10 - 1, 2), "candidate"),
        (outcome(0), outcome(2**11 - 1, 2), "different"),
        (outcome(0), outcome(0, 2, "low_confidence"), "low confidence"),
    ],
)
def test_how_two_compare(one: Outcome, other: Outcome, status: str) -> None:
    found, turned = compare(one, other, 10), compare(other, one, 10)
    assert found is not None and turned is not None
    assert found.status == status
    assert (found.pair, found.distance, found.confidence) == (turned.pair, turned.distance, turned.confidence)
    assert (found.confidence == 1.0) == (status == "exact")
    assert found.evidence


def test_no_comparison_without_a_hash() -> None:
    assert compare(outcome(None, status="failed"), outcome(1), 10) is None
