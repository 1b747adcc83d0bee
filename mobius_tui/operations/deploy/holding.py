"""What a swap displaced and what it made live, watched for a while: another program may be writing either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mobius_tui.catalogue.live import read_catalogue
from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.operations.deploy.course import Again, Course
from mobius_tui.recovery.atomic import ABSENT
from mobius_tui.recovery.staging import real_file, swap
from mobius_tui.rollback.undo import made_by, take_back


def looking_at_both(course: Course) -> Callable[[], None]:
    """A look at the displaced and the live file that costs next to nothing while nobody has touched them.

    Args:
        course: The deploy, after a swap.

    Returns:
        To be called again and again. It raises Again when the deploy has to start over with what another program
        wrote, and EnvironmentFailed when it cannot; the files are whole in either case.
    """
    seen: dict[str, object] = {}

    def look() -> None:
        _look_at_displaced(course, seen)
        _look_at_live(course, seen)

    return look


def insist_on_lock(course: Course) -> None:
    """Refuse to put anything live without the lock that others see.

    Raises:
        EnvironmentFailed: The lock file was removed.
    """
    if course.lost():
        raise EnvironmentFailed(
            "the catalogue's lock file was removed: another process may hold the library too",
            fix="see that nothing cleans up hidden files beside library.json, then deploy again",
        )


def bring_back(course: Course) -> None:
    """Take a canary away that another program wrote on: what was live before it comes back, with what they wrote."""
    take_back(course.ws, course.journal, say=course.say)
    course.canary = ""


def is_canary(course: Course) -> bool:
    """Whether this deploy's canary is live, with what others wrote on it."""
    return bool(course.canary) and made_by(course.ws.catalogue) == (course.journal.run_id, True)


def _signature(path: Path) -> object:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _look_at_displaced(course: Course, seen: dict[str, object]) -> None:
    if course.displaced == ABSENT:
        return
    now = _signature(course.staged)
    if now == seen.get("displaced", ()):
        return
    seen["displaced"] = now
    if course.staged_hash() == course.displaced:
        return
    _insist_on_catalogue(course.staged, "the old catalogue")
    if course.live_hash() != course.published:
        raise _both_written()
    swap(course.staged, course.ws.catalogue, course.published)
    course.staged.unlink()
    if is_canary(course):
        bring_back(course)
    raise Again("another program wrote the old catalogue after the swap")


def _look_at_live(course: Course, seen: dict[str, object]) -> None:
    now = _signature(real_file(course.ws.catalogue))
    if now == seen.get("live", ()):
        return
    seen["live"] = now
    if course.live_hash() == course.published:
        return
    _insist_on_catalogue(course.ws.catalogue, "the new catalogue")
    run, canary = made_by(course.ws.catalogue)
    if run == course.journal.run_id:
        if canary and course.published != course.canary:
            bring_back(course)
            raise Again("another program put the canary back")
        course.say("another program wrote the new catalogue; its changes stay")
        return
    if course.staged_hash() not in {course.displaced, ABSENT}:
        raise _both_written()
    course.staged.unlink(missing_ok=True)  # it is in the backup
    raise Again("another program replaced the new catalogue")


def _insist_on_catalogue(path: Path, what: str) -> None:
    """What another program is writing may take 5 s to become a catalogue; else it broke off, or writes something else.

    Raises:
        EnvironmentFailed: It is none.
    """
    try:
        read_catalogue(path)
    except BadInput as error:
        raise EnvironmentFailed(
            f"another program wrote {what} after the swap and left something else in it: {error.what}",
            fix="stop the program that writes library.json, then deploy again",
        ) from error


def _both_written() -> EnvironmentFailed:
    return EnvironmentFailed(
        "another program wrote both the old and the new catalogue after the swap",
        fix="stop the program that writes library.json, then deploy again; both are kept",
    )
