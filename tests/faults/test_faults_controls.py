"""Negative controls: what is broken on purpose has to be called broken by the same judge and the same faults."""

from dataclasses import replace

import judging
import pytest
from cases import DEPLOY, MIGRATE, WRITE, around_the_swap
from foreign import FOREIGN_ENTRY
from matrix import first_kills
from power_cut import power_cuts, why_not_mountable


@pytest.fixture
def mountable(bench):
    """Skips where a disk in a file cannot be mounted."""
    reason = why_not_mountable(bench.slot)
    if reason:
        pytest.skip(reason)


@pytest.mark.usefixtures("mountable")
def test_a_write_survives_the_power_cut(bench):
    assert power_cuts(bench, WRITE, "noauto_da_alloc").failures == []


@pytest.mark.usefixtures("mountable")
def test_no_sync_of_the_folder_is_caught(bench):
    failures = power_cuts(bench, replace(WRITE, variants=("no folder sync",)), "noauto_da_alloc").failures
    assert any("it had ended well, and the live file is old" in failure for failure in failures)


@pytest.mark.usefixtures("mountable")
def test_no_sync_of_the_file_is_caught(bench):
    failures = power_cuts(bench, replace(WRITE, variants=("no file sync",)), "noauto_da_alloc").failures
    assert any("not a catalogue, 0 bytes" in failure for failure in failures)


def test_a_recovery_that_looks_at_the_files_is_right(bench):
    assert first_kills(bench, DEPLOY, chosen=around_the_swap).failures == []


def test_trusting_the_journal_is_caught(bench):
    case = replace(DEPLOY, variants=("trusts the journal",))
    failures = first_kills(bench, case, chosen=around_the_swap).failures
    assert any("the live file is new" in failure for failure in failures)


def entries_after(bench, *variants):
    """The entries of a catalogue whose migration met a foreign write in the last moment."""
    case = replace(MIGRATE, variants=variants)
    bench.fresh(bench.template(MIGRATE))
    ended = bench.run(case, "migrate", bench.at)
    assert (ended.status, ended.code) == (0, 0), ended
    return judging.live_of(bench.root).read_text().count(FOREIGN_ENTRY["title"])


def test_a_write_in_the_last_moment_is_kept(bench):
    assert entries_after(bench, "foreign write") == 1


def test_no_compare_and_swap_is_caught(bench):
    assert entries_after(bench, "foreign write", "no compare-and-swap") == 0
