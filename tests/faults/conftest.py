"""What the fault tests share: a bench a process, and no silent skip where a tracer works."""

import ctypes
import os
import shutil
import sys

import pytest
from matrix import opened


def _may_trace() -> bool:
    """Whether a process here may be traced at all (PTRACE_TRACEME in a child)."""
    child = os.fork()
    if child == 0:
        os._exit(0 if ctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0) == 0 else 1)
    return os.waitpid(child, 0)[1] == 0


@pytest.fixture(scope="session")
def bench():
    """A driver under strace; skipped only where nothing can be traced."""
    if sys.platform != "linux":
        pytest.skip("faults are injected with strace, which is Linux's")
    if not _may_trace():
        pytest.skip("processes cannot be traced here (ptrace is forbidden)")
    if shutil.which("strace") is None:
        pytest.fail("ptrace works here, but strace is not installed: run .ci/system-packages")
    yield from opened()
