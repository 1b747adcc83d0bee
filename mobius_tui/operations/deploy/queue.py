"""Whether a publication would flood the reviewers."""

from __future__ import annotations

from mobius_tui.errors import ProcessingFailed
from mobius_tui.text import counted

MOST_WAITING = 100
"""Up to so many waiting pairs and images nothing is asked, however few there were before."""

MOST_TIMES = 5
"""Up to so many times the live queue nothing is asked, however many there are."""


def queue_question(staged: int, live: int) -> str | None:
    """What to ask about a review queue that grows by far.

    Args:
        staged: Pairs and images that would wait for a person after the publication.
        live: How many wait now.

    Returns:
        One sentence; None when there is nothing to ask.
    """
    if staged <= MOST_WAITING or staged <= MOST_TIMES * live:
        return None
    before = "none waits now" if live == 0 else f"{counted(live, 'item')} {'waits' if live == 1 else 'wait'} now"
    return f"the review queue would hold {counted(staged, 'item')}, {before}"


def refuse_queue(staged: int, live: int, *, accepted: bool) -> None:
    """Stop a publication that nobody is there to ask about.

    Args:
        staged: See ``queue_question``.
        live: See ``queue_question``.
        accepted: Whether somebody said yes, or ``--accept-queue``.

    Raises:
        ProcessingFailed: The queue grows by far and nobody accepted it.
    """
    question = None if accepted else queue_question(staged, live)
    if question is not None:
        raise ProcessingFailed(
            f"{question}; more than {MOST_WAITING} and more than {MOST_TIMES} times as many is not published unasked",
            fix="see the pairs first (migrate with --dry-run reports them), then deploy with --accept-queue",
        )
