"""Runs one real operation in a fresh process, again and again the same: what strace counts and interrupts.

A server reads requests (JSON lines) and forks a child for each, so that all imports are done and the child makes only
the operation's own system calls. The child has one thread and no hashing pool, its clock and its waits are made up, and
a tracer is attached before it begins. ``END`` marks the last call that belongs to the operation.
"""

import contextlib
import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import time
import traceback
from concurrent.futures import Executor, Future
from pathlib import Path

from driver_clock import CLOCK
from driver_operations import OPERATIONS
from driver_variants import VARIANTS

from mobius_tui.errors import MobiusError, exit_code_of
from mobius_tui.fingerprint.pool import HashingPool
from mobius_tui.matching import neighbours
from mobius_tui.operations import hashing, progress
from mobius_tui.workspace import open_workspace

END = "/the operation has ended"
"""A name that does not exist: the child removes it when the operation is over."""

SETTINGS = {"parallel": 1, "hold_seconds": 0.25, "settle_seconds": 0.0}
"""Few looks while waiting: each is the same."""

SECONDS = 60
"""A child that takes longer hangs."""

_PR_SET_PTRACER = 0x59616D61
_PR_SET_PDEATHSIG = 1


class Inline(Executor):
    """The pool's executor without a pool."""

    def submit(self, function, /, *arguments, **named):
        future = Future()
        try:
            future.set_result(function(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


def make_repeatable():
    """One thread, no pool, no dependence on time: progress is written when a phase begins and at the end."""
    progress.WRITE_EVERY_S = 1e9
    HashingPool._processes_executor = lambda _: Inline()
    neighbours.ThreadPoolExecutor = lambda *_, **__: Inline()
    in_batches = hashing.in_batches
    hashing.in_batches = lambda outcomes, size: in_batches(outcomes, size, 1e9)


def perform(request):
    """Run the operation asked for; returns what a process that ran it would have ended with."""
    with contextlib.ExitStack() as patched:
        for name in request.get("variants", ()):
            patched.enter_context(VARIANTS[name]())
        try:
            ws = open_workspace(Path(request["ws"]), {**SETTINGS, **request.get("settings", {})}, {}, "tester")
            return {"code": 0, "answer": OPERATIONS[request["operation"]](ws), "sentence": "", "defect": ""}
        except MobiusError as error:
            return {"code": exit_code_of(error), "sentence": str(error), "kind": type(error).__name__, "defect": ""}
        except Exception as error:  # the verbs say these in a sentence too, if the exit code is one of the table
            code = exit_code_of(error)
            defect = traceback.format_exc() if code == 70 else ""
            return {"code": code, "sentence": str(error), "kind": type(error).__name__, "defect": defect}


def in_child(request, ready, gate, answer):
    """The child: waits for its tracer, runs, says how it ended."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if not request.get("patient"):
        signal.alarm(SECONDS)
    said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    CLOCK.start(request["at"])
    CLOCK.real = bool(request.get("waits"))
    os.write(ready, b".")  # all of this before the tracer comes: its calls are not counted
    os.close(ready)
    os.read(gate, 1)
    ended = perform(request)
    with contextlib.suppress(OSError):
        Path(END).unlink()
    # through shared memory: the tracer may make any system call fail
    body = json.dumps(ended, default=str).encode()[: SHARED - 8]
    answer[:8] = len(body).to_bytes(8, "little")
    answer[8 : 8 + len(body)] = body
    os._exit(0)


def handle(request):
    """Fork a child, attach the tracer, let it run; returns the wait status and seconds."""
    began = time.perf_counter()
    gate, opener = os.pipe()
    waiting, ready = os.pipe()
    answer = mmap.mmap(-1, SHARED)
    pid = os.fork()
    if pid == 0:
        os.close(opener)
        os.close(waiting)
        try:
            in_child(request, ready, gate, answer)
        finally:
            os._exit(99)
    os.close(gate)
    os.close(ready)
    os.read(waiting, 1)
    os.close(waiting)
    tracer = attach(pid, request)
    os.write(opener, b".")
    os.close(opener)
    UNDER_WAY[pid] = (tracer, answer)
    if request.get("let_run"):
        return {"pid": pid, "seconds": 0.0}
    return {**collect(pid), "seconds": time.perf_counter() - began}


def attach(pid, request):
    """Start strace on the child and wait until it holds it; None without a tracer."""
    if not request.get("strace"):
        return None
    tracer = subprocess.Popen(["strace", *request["strace"], "-p", str(pid)], stderr=subprocess.PIPE)
    # TracerPid alone is set before the child is stopped for the first time: its first calls would not be seen
    said = tracer.stderr.readline()
    if b"attached" not in said:
        os.kill(pid, signal.SIGKILL)
        raise RuntimeError(f"strace: {said.decode()} {tracer.stderr.read().decode()}")
    return tracer


def collect(pid):
    """How a child ended, and what it answered."""
    tracer, answer = UNDER_WAY.pop(pid)
    _, status = os.waitpid(pid, 0)
    words = "" if tracer is None else tracer.communicate()[1].decode(errors="replace")
    size = int.from_bytes(answer[:8], "little")
    said = json.loads(answer[8 : 8 + size]) if size else {}
    answer.close()
    return {"pid": pid, "status": os.waitstatus_to_exitcode(status), "strace_said": words, **said}


SHARED = 1 << 18
UNDER_WAY = {}


def serve():
    """Answer requests until the other side closes."""
    make_repeatable()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request.get("here"):  # import and compile all that is needed once
                CLOCK.start(request["at"])
                answer = perform(request)
            elif "collect" in request:
                answer = collect(request["collect"])
            else:
                answer = handle(request)
        except Exception:
            answer = {"broken": traceback.format_exc()}
        print(json.dumps(answer, default=str), file=answers, flush=True)


if __name__ == "__main__":
    serve()
