"""A migration in a process of its own that is killed, or waits, at a chosen moment.

Arguments: workspace, what (``kill-after-batches`` or ``kill-in`` or ``wait-in``), and the number or the phase.
"""

import os
import signal
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mobius_tui.operations import hashing
from mobius_tui.operations.options import default_options
from mobius_tui.operations.run import run_in_foreground
from mobius_tui.store.database import open_database
from mobius_tui.workspace import open_workspace


def kill_after(batches):
    """End this process by SIGKILL right after so many commits, each of a whole batch however slow the machine is."""
    real, in_batches = hashing.keep_outcomes, hashing.in_batches
    hashing.in_batches = lambda outcomes, size: in_batches(outcomes, size, 3600.0)
    kept = 0

    def keep(*arguments, **named):
        nonlocal kept
        results = real(*arguments, **named)
        kept += 1
        if kept == batches:
            os.kill(os.getpid(), signal.SIGKILL)
        return results

    hashing.keep_outcomes = keep


def main():
    root, what, when = sys.argv[1:]
    if what == "kill-after-batches":
        kill_after(int(when))

    def on_tick(tick):
        if tick.phase != when:
            return
        if what == "kill-in":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "wait-in":
            print("waiting", flush=True)
            sys.stdin.readline()

    ws = open_workspace(Path(root), {"parallel": 1, "batch_size": 2}, {}, "other")
    with closing(open_database(ws.database)) as connection:
        options = replace(default_options(ws))
        job = run_in_foreground(ws, connection, "migrate", options.to_json(), on_tick=on_tick)
    print(job.state, flush=True)
    return job.exit_code


if __name__ == "__main__":  # the fork server imports this file again
    sys.exit(main())
