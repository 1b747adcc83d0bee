"""A sample of the fuzzing; the whole is `python tests/worker/fuzz_http.py --count 10000`."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz_cases import cases
from fuzz_http import fuzz


@pytest.mark.timeout(300)
def test_malformed_requests_and_images_cost_nothing(tmp_path: Path) -> None:
    result = fuzz(400, 20261120, tmp_path)
    assert not result.problems, "\n".join(result.lines())
    assert result.count == 400 and result.controls > 0
    assert {"200", "400", "401", "403", "404", "415", "422"} <= result.statuses.keys()


def test_the_same_seed_makes_the_same_requests() -> None:
    assert list(cases(50, 3)) == list(cases(50, 3)) != list(cases(50, 4))
