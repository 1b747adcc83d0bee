"""The operator's commands around the swap, as steps of a deploy run them."""

from __future__ import annotations

from mobius_tui.errors import ProcessingFailed
from mobius_tui.operations.deploy.course import Course
from mobius_tui.operations.deploy.options import StepState
from mobius_tui.rollback.hooks import HookResult, run_hook


def do_before_hook(course: Course, row: StepState) -> None:
    """Run the operator's command before anything goes live, once."""
    if course.hooked:
        row.state, row.reason = "skipped", "it has run"
        return
    course.hooked = True
    _show(row, run_moment(course, "before_swap"))


def do_after_hook(course: Course, row: StepState) -> None:
    """Run the operator's command after the swap."""
    _show(row, run_moment(course, "after_swap"))


def run_moment(course: Course, moment: str) -> HookResult:
    """Run the command of a moment.

    Args:
        course: The deploy.
        moment: ``before_swap`` or ``after_swap``.

    Returns:
        How it went.

    Raises:
        ProcessingFailed: It failed, and is required.
    """
    percent = course.options.canary
    facts = {
        "MOBIUS_RUN": course.journal.run_id,
        "MOBIUS_LIVE": str(course.ws.catalogue),
        "MOBIUS_BACKUP": course.backup or "",
        "MOBIUS_CANARY": "" if percent is None or course.canary_passed else f"{percent:g}",
    }
    result = run_hook(course.ws, moment, facts, tell=course.progress.event)
    if result.stops:
        raise ProcessingFailed(f"the required hook {moment} failed: {result.sentence}")
    return result


def _show(row: StepState, result: HookResult) -> None:
    row.reason = result.sentence or "none is set"
    if not result.ok:
        row.state = "warning"
    elif not result.ran:
        row.state = "skipped"
