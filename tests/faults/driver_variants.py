"""Broken variants of the product: negative controls that the tests must call broken. And a foreign writer."""

import contextlib
import os
import stat
from dataclasses import replace
from functools import partial

import driver_operations
from driver_operations import around, deploying
from foreign import write_entry
from harm import HARMS

from mobius_tui.operations.backup import backup_now
from mobius_tui.operations.deploy import canary_step, steps
from mobius_tui.operations.smoke import Check, SmokeReport
from mobius_tui.recovery import atomic, staging
from mobius_tui.rollback import undo


@contextlib.contextmanager
def patched(place, name, replacement):
    """Replace an attribute for a while."""
    before = getattr(place, name)
    setattr(place, name, replacement(before))
    try:
        yield
    finally:
        setattr(place, name, before)


def no_folder_sync():
    """Files are synced, the folders that name them are not."""

    def skipping(real):
        return lambda descriptor: None if stat.S_ISDIR(os.fstat(descriptor).st_mode) else real(descriptor)

    return patched(os, "fsync", skipping)


def no_file_sync():
    """Folders are synced, the files in them are not."""

    def skipping(real):
        return lambda descriptor: real(descriptor) if stat.S_ISDIR(os.fstat(descriptor).st_mode) else None

    return patched(os, "fsync", skipping)


@contextlib.contextmanager
def no_compare_and_swap():
    """The file that is about to be replaced is not looked at again, nor what came out of the exchange."""
    with contextlib.ExitStack() as held:
        for place in (atomic, staging):
            held.enter_context(patched(place, "exchange_checked", lambda _: exchanged))
        yield


def exchanged(temporary, real, expect, *more, **named):
    """An exchange without a look."""
    atomic.exchange(temporary, real)


def foreign_write():
    """The application writes in the last moment: after the last look at the live file, before the exchange."""
    done = []

    def writing(real):
        def exchange(staged, live):
            if not done and live.name == "library.json":
                done.append(1)
                write_entry(live)
            return real(staged, live)

        return exchange

    return patched(atomic, "exchange", writing)


def late_foreign_write():
    """The application had the old file open before the exchange, and writes it afterwards."""
    done = []

    def swapping(real):
        def swap(staged, live, expect):
            real(staged, live, expect)
            if not done:
                done.append(1)
                write_entry(staged)

        return swap

    return patched(steps, "swap", swapping)


def failing_smoke():
    """The smoke tests find that the service does not compute what it should."""
    report = SmokeReport((Check("sample dHash", False, "it is another one", 0.0),), reachable=True)
    failing = replace(around(), smoke=lambda _: report)
    return patched(deploying, "Surroundings", lambda _: lambda: failing)


def staged_file_harmed(harm):
    """The staged file is damaged between its writing and its verification."""

    def harming(real):
        def stage(live, chunks, staged, **more):
            digest = real(live, chunks, staged, **more)
            harm(staged)
            return digest

        return stage

    return patched(steps, "stage", harming)


def trusting_recovery():
    """A recovery that believes what the journal says was done, and does not look at the files."""
    noted = {}

    def reading(real):
        def intent_of(run, records, live):
            noted["swapped"] = any(record.get("step") == "swap" and record.get("state") == "done" for record in records)
            return real(run, records, live)

        return intent_of

    def believing(_):
        def judge(intent, live, staged, **_):
            if intent.proven:
                return "finish"
            return "swap back" if noted["swapped"] else "discard"

        return judge

    held = contextlib.ExitStack()
    held.enter_context(patched(undo, "intent_of", reading))
    held.enter_context(patched(undo, "judge", believing))
    return held


def failing_canary():
    """The canary makes the service fail."""

    def failing(real):
        def watched(*given):
            real(*given)
            return "rolled back", "the service fails"

        return watched

    return patched(driver_operations, "watched", failing)


def canary_backed_up():
    """The way back is made anew when the canary has passed: from what is live then, which is the canary."""

    def backing_up(real):
        def go_on(course):
            course.backup = backup_now(course.ws, "of the canary", run_id=course.journal.run_id).name
            course.before = course.canary
            real(course)

        return go_on

    return patched(canary_step, "_go_on", backing_up)


def canary_taken_for_all():
    """A recovery for which a canary is a publication like any other, which may stay."""

    def staying(real):
        def judge(intent, live, staged, *, carries_run, carries_canary=False, broken=False):
            blind = replace(intent, canaries=frozenset(), automatic=False)
            return real(blind, live, staged, carries_run=carries_run, broken=broken)

        return judge

    return patched(undo, "judge", staying)


VARIANTS = {
    **{f"staged file {name}": partial(staged_file_harmed, harm) for name, harm in HARMS.items()},
    "trusts the journal": trusting_recovery,
    "no folder sync": no_folder_sync,
    "no file sync": no_file_sync,
    "no compare-and-swap": no_compare_and_swap,
    "foreign write": foreign_write,
    "late foreign write": late_foreign_write,
    "smoke tests fail": failing_smoke,
    "the canary fails": failing_canary,
    "backs the canary up": canary_backed_up,
    "lets a canary stay": canary_taken_for_all,
}
