"""A review queue that grows by far is asked about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.errors import ProcessingFailed
from mobius_tui.operations.deploy.queue import queue_question, refuse_queue


@pytest.mark.parametrize(
    ("staged", "live", "asked"),
    [(100, 0, False), (101, 0, True), (101, 20, True), (101, 21, False), (500, 100, False), (501, 100, True)],
)  # fmt: skip
def test_more_than_a_hundred_and_more_than_five_times(staged, live, asked):
    assert (queue_question(staged, live) is not None) is asked


def test_sentence_says_both_numbers():
    assert queue_question(2000, 1) == "the review queue would hold 2,000 items, 1 item waits now"
    assert queue_question(101, 0) == "the review queue would hold 101 items, none waits now"


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_unattended_stops_unless_accepted(staged, live):
    refuse_queue(staged, live, accepted=True)
    if queue_question(staged, live) is None:
        refuse_queue(staged, live, accepted=False)
    else:
        with pytest.raises(ProcessingFailed) as caught:
            refuse_queue(staged, live, accepted=False)
        assert caught.value.exit_code == 2
        assert "--accept-queue" in caught.value.fix
