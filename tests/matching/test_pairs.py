from __future__ import annotations

import hashlib
import subprocess
import sys

import hypothesis.strategies as st
import pytest
from hypothesis import given

from mobius_tui.matching.confidence import distance_confidence, distance_evidence
from mobius_tui.matching.pairs import pair_id

DIGESTS = st.binary(min_size=32, max_size=32)


@given(DIGESTS, DIGESTS)
def test_the_name_of_a_pair_does_not_depend_on_the_side(a: bytes, b: bytes) -> None:
    assert pair_id(a, b) == pair_id(b, a)
    assert len(pair_id(a, b)) == 16


def test_the_name_of_a_pair_is_this_one_for_ever() -> None:
    low, high = hashlib.sha256(b"a").digest(), hashlib.sha256(b"b").digest()
    low, high = sorted((low, high))
    assert pair_id(high, low) == hashlib.sha256(low + high).hexdigest()[:16]
    assert pair_id(bytes(32), b"\xff" * 32) == "bba91ca85dc914b2"


def test_only_whole_digests_have_a_name() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        pair_id(b"short", bytes(32))


def test_confidence_never_rises_with_the_distance() -> None:
    values = [distance_confidence(distance) for distance in range(65)]
    assert values == sorted(values, reverse=True)
    assert all(0 < value < 1 for value in values)
    assert values[0] > 10 * values[10] > 10 * values[20]


@pytest.mark.parametrize("distance", [-1, 65])
def test_a_distance_that_cannot_be_is_refused(distance: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.64"):
        distance_confidence(distance)


def test_evidence_is_said_in_words() -> None:
    assert distance_evidence(0) == ("same dHash",)
    assert distance_evidence(1) == ("1 bit differs",)
    assert distance_evidence(9) == ("9 bits differ",)


def test_names_and_confidence_need_no_numpy() -> None:
    code = "import sys, mobius_tui.matching.pairs, mobius_tui.matching.confidence; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
