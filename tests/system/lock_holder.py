"""A process that takes a lock, starts a child by a start method, says so, and waits to be killed."""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path

from mobius_tui.system.locks import FileLock


def linger(ready: object) -> None:
    ready.set()  # type: ignore[attr-defined]
    time.sleep(600)


if __name__ == "__main__":
    path, method = sys.argv[1:]
    lock = FileLock(Path(path))
    assert lock.acquire("ann [b]\x1b[31m", "a test")
    if method != "none":
        context = multiprocessing.get_context(method)
        ready = context.Event()
        child = context.Process(target=linger, args=(ready,))
        child.start()
        ready.wait()
        print(child.pid, flush=True)
    else:
        print(0, flush=True)
    time.sleep(600)
