"""Owns a pool whose processes hang, says their ids, and waits to be killed."""

import sys
import threading
import time
from pathlib import Path

import hostile_child

from mobius_tui.fingerprint import pool
from mobius_tui.fingerprint.model import Limits, Task


def main():
    pool.start_child = hostile_child.start
    with pool.HashingPool("exact", Limits(seconds=float(sys.argv[2])), 2) as running:
        threading.Thread(target=report, args=(running,), daemon=True).start()
        list(running.map([Task(sys.argv[1])] * 32))


def report(running):
    started = []
    while len(started) < 2 or not Path(sys.argv[3]).exists():
        time.sleep(0.01)
        started = [process.pid for process in running._processes if process.pid]
    print(*started, flush=True)


if __name__ == "__main__":
    main()
