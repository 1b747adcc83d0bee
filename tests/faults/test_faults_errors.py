"""Each open, write, sync and rename of an operation fails: it copes or ends with the right code; nothing is lost."""

import os

import pytest
from cases import CASES
from error_matrix import failing_calls, faults, thinned
from test_faults_kill import PARTS, report

SEED = int(os.environ.get("FAULT_SEED", "1"))


@pytest.mark.parametrize(("name", "part"), [(name, part) for name in CASES for part in range(PARTS.get(name, 1))])
def test_a_call_fails(bench, name, part):
    """One of ENOSPC, EIO, EROFS, EMFILE and EACCES for each call, once or lasting; ``make faults`` tries all ten."""
    chosen = thinned(faults(bench.points(CASES[name])), SEED)[part :: PARTS.get(name, 1)]
    figures = failing_calls(bench, CASES[name], chosen)
    assert not figures.failures, f"FAULT_SEED={SEED}\n{report(figures)}"
    assert figures.points >= 10
