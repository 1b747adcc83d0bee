"""The power fails after each sync and rename: what is there when it is back is the old state or the new one, whole."""

import pytest
from cases import CASES
from power_cut import power_cuts, why_not_mountable
from test_faults_kill import report


@pytest.fixture(scope="session")
def mountable(bench):
    """Skips where a disk in a file cannot be mounted, as in most containers."""
    reason = why_not_mountable(bench.slot)
    if reason:
        pytest.skip(reason)


@pytest.mark.usefixtures("mountable")
@pytest.mark.parametrize("options", ["noauto_da_alloc", ""], ids=["noauto_da_alloc", "default"])
@pytest.mark.parametrize("name", CASES)
def test_power_cut(bench, name, options):
    verdicts = power_cuts(bench, CASES[name], options)
    assert not verdicts.failures, report(verdicts)
    assert verdicts.points >= 10


@pytest.mark.usefixtures("mountable")
@pytest.mark.parametrize("name", [name for name in CASES if name not in {"backup", "clean"}])
def test_power_cut_with_the_state_on_another_disk(bench, name):
    """No sync of the state can carry the library's changes along."""
    verdicts = power_cuts(bench, CASES[name], "noauto_da_alloc", state_elsewhere=True)
    assert not verdicts.failures, report(verdicts)
