"""The operations whose system calls are counted, each the product's own function as the verb calls it."""

from contextlib import closing
from dataclasses import replace

from mobius_tui.errors import MobiusError
from mobius_tui.operations.backup import backup_now
from mobius_tui.operations.options import default_options
from mobius_tui.operations.run import run_in_foreground
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.store.database import open_database


def backup(ws):
    """`mobius backup create`."""
    return backup_now(ws, "by hand").name


def migrate(ws):
    """`mobius migrate`: one batch, in place, after a backup."""
    with closing(open_database(ws.database)) as connection:
        job = run_in_foreground(ws, connection, "migrate", replace(default_options(ws)).to_json())
    return ended(job)


def ended(job):
    """The answer of a finished job; one that failed ends the process as the verb does."""
    if job.exit_code:
        failed = MobiusError(job.error)
        failed.exit_code = job.exit_code
        raise failed
    return dict(job.summary)


def write(ws):
    """One file replaced, as every writer of a catalogue does it."""
    return write_atomic(ws.catalogue, [(ws.root / "new.json").read_bytes()])


OPERATIONS = {"backup": backup, "migrate": migrate, "write": write}
