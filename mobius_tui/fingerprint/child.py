"""What runs inside a decoding process: its limits, its time limit, and a chunk of files."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Final

from mobius_tui.fingerprint.file import fingerprint_file, identify_file
from mobius_tui.fingerprint.model import Limits, Outcome, Profile, Task

NICENESS: Final = 9
"""How much a process that hashes many files gives way to one that hashes the file somebody waits for."""

TIMED_OUT: Final = -signal.SIGALRM if hasattr(signal, "SIGALRM") else 1
"""Exit code of a process that its time limit ended."""


def start_child(limits: Limits, temp_dir: str | None = None, niceness: int = NICENESS) -> None:
    """Prepare a process for files that may be hostile.

    Args:
        limits: ``memory`` bounds its address space from here on.
        temp_dir: Folder for what decoders write meanwhile; None means the system's.
        niceness: How much it gives way to others.
    """
    if temp_dir is not None:
        os.environ["TMPDIR"], tempfile.tempdir = temp_dir, None
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _silence()
    warnings.simplefilter("ignore")
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(niceness)
    with contextlib.suppress(OSError):
        # Out of memory, the kernel should take this process and not the worker.
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    _bound_memory(limits)
    _die_with_parent()
    _prepared.append(os.getpid())


_prepared: list[int] = []


def fingerprint_chunk(tasks: Sequence[Task], profile: Profile, limits: Limits) -> list[Outcome]:
    """Fingerprint some files, each within the time limit.

    Args:
        tasks: The files.
        profile: ``exact`` or ``fast``.
        limits: What each may cost; ``seconds`` ends the process.

    Returns:
        An outcome a file, in order.
    """
    outcomes = []
    for task in tasks:
        with time_limit(limits.seconds):
            outcomes.append(fingerprint_file(task, profile, limits))
    return outcomes


def identify_one(task: Task, limits: Limits) -> Outcome:
    """Read a file without decoding it, within the time limit; see ``file.identify_file``."""
    with time_limit(limits.seconds):
        return identify_file(task, limits)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process when the block takes too long, even inside a library that never lets Python run.

    In a process that ``start_child`` did not prepare (another executor's) it does nothing: that one is not ours to end.

    Args:
        seconds: Wall-clock time.
    """
    if os.getpid() not in _prepared:
        yield
    elif hasattr(signal, "setitimer"):
        # The default action of SIGALRM is the kernel's: it needs no Python, no lock and no other thread.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    else:
        with Path(os.devnull).open("w") as nowhere:
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()


def _silence() -> None:
    """Let what decoders print go nowhere: it may be text from the file, and the terminal is not theirs."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    if nowhere > 2:
        os.close(nowhere)


def _bound_memory(limits: Limits) -> None:
    if sys.platform == "win32":
        return
    import resource

    try:
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        held = 0
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = held + limits.memory
    bound = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent() -> None:
    """End this process when the one that owns the pool is gone, however it went.

    With forkserver the kernel's idea of the parent is the fork server, which outlives a killed owner while children
    hold its pipe. The pipe that multiprocessing gives each child does close with the owner.
    """
    parent = parent_process()
    if parent is None:
        return
    threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True, name="parent-watch").start()


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
