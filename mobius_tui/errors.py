"""What can go wrong, and the one place that turns it into an exit code."""

from __future__ import annotations

import errno

NEXT = ". Next: "
"""Stands in a whole sentence between what happened and what to do next."""


class MobiusError(Exception):
    """A failure said to a person: what happened, where, and what to do next.

    Args:
        what: One sentence, without a full stop.
        where: The file, line or setting concerned; empty when there is none.
        fix: What to type or change next; empty when nothing can be advised.
    """

    exit_code = 2
    audience = "qa"

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"{NEXT}{self.fix}" if self.fix else ""
        return f"{self.what}{place}{advice}"


class BadInput(MobiusError):
    """Input, configuration or usage is wrong."""

    exit_code = 1
    audience = "devops"


class ProcessingFailed(MobiusError):
    """The work was done and its result cannot be accepted."""

    exit_code = 2
    audience = "qa"


class EnvironmentFailed(MobiusError):
    """The machine does not allow it: permission, decoder, port, lock."""

    exit_code = 3
    audience = "sre"


class Held(EnvironmentFailed):
    """Another process holds the library: nothing was begun."""


class TimeLimit(MobiusError):
    """A time limit ran out."""

    exit_code = 4
    audience = "performance"


class OutOfResource(MobiusError):
    """Disk, memory or file handles ran out."""

    exit_code = 5
    audience = "infrastructure"


class Cancelled(MobiusError):
    """Somebody asked for the operation to stop; its finished work is kept."""

    exit_code = 130
    audience = "devops"


class HungUp(MobiusError):
    """The terminal went away."""

    exit_code = 129
    audience = "devops"


class Terminated(MobiusError):
    """Somebody asked the process to end."""

    exit_code = 143
    audience = "devops"


INTERNAL_ERROR = 70
"""A defect of MOBIUS itself (EX_SOFTWARE of sysexits.h)."""

_SPENT = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EFBIG}


def exit_code_of(error: BaseException) -> int:
    """The exit code a process ends with for an error.

    Args:
        error: What was raised.

    Returns:
        A code of the table in CONTRACT section 4; 130 for Ctrl-C, 70 for a defect.
    """
    if isinstance(error, MobiusError):
        reason = error.__cause__
        # whichever part of the work met it: a disk, a memory or handles that ran out are told as that
        if type(error) is EnvironmentFailed and isinstance(reason, OSError) and reason.errno in _SPENT:
            return max(error.exit_code, OutOfResource.exit_code)
        return error.exit_code
    cause = getattr(error, "cause", None)
    if isinstance(cause, MobiusError):  # a signal or the time limit on its way out: what it means
        return exit_code_of(cause)
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, MemoryError):
        return 5
    if isinstance(error, TimeoutError):
        return 4
    if isinstance(error, OSError):
        return 5 if error.errno in _SPENT else 3
    return INTERNAL_ERROR
