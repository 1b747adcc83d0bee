"""The error matrix: each call of an operation that opens, writes, syncs or renames fails once, or from then on."""

import time
from dataclasses import replace

import judging
from injection import Call
from matrix import STEP, Bench, Case, Figures

CALLS = {
    "open": {"open", "openat"},
    "write": {"write", "pwrite64", "writev", "sendfile", "copy_file_range", "fallocate"},
    "fsync": {"fsync", "fdatasync"},
    "rename": {"rename", "renameat", "renameat2", "link", "linkat"},
}
ERRORS = {"ENOSPC": 5, "EIO": 3, "EROFS": 3, "EMFILE": 5, "EACCES": 3}
"""What each one means as an exit code."""

MOST = 150
"""So many calls of an operation fail in a run of all tests; ``make faults`` lets every one fail."""

VERDICTS = ("images failed or are missing", "smoke tests failed", "no backup is good")
"""What a failing call may come out as where it makes a check say no: exit 2."""

UNGUARDED = "no guard watches it"
"""A deploy that went well and could not be guarded ends with 3, whatever kept the guard from starting."""

LASTING = "+"
"""As strace writes it: the n-th call and all after."""


def faults(calls: list[Call]) -> list[tuple[Call, str, str]]:
    """Every fault: call, error, and whether it lasts."""
    every = set().union(*CALLS.values())
    named = [call for call in calls if call.name in every and not call.failed]
    return [(call, error, lasting) for call in named for error in ERRORS for lasting in ("", LASTING)]


def thinned(found: list, seed: int) -> list:
    """One error of the ten for each call, another one for the next; of very many calls every second, third or so."""
    kinds = len(ERRORS) * 2
    chosen = [found[place + (place // kinds + seed) * 3 % kinds] for place in range(0, len(found), kinds)]
    step = 1 + len(chosen) // MOST
    return chosen[seed % step :: step]


def failing_calls(bench: Bench, case: Case, chosen) -> Figures:
    """Make calls fail, judge how the operation ends, run it again as a user would."""
    began = time.perf_counter()
    figures = Figures()
    for call, error, lasting in chosen:
        fault = f"{case.operation}, {error}{lasting} at {call}"
        bench.fresh(bench.template(case))
        ended = bench.run(case, case.operation, bench.at, inject=f"{call.name}:error={error}:when={call.nth}{lasting}")
        figures.failures += [f"{fault}: {what}" for what in judged(bench, case, ended, error, call)]
        figures.points += 1
        if ended.code is not None:
            figures.states[f"exit {ended.code}"] = figures.states.get(f"exit {ended.code}", 0) + 1
        again = bench.run(case, case.recovery, bench.at + STEP)
        if (again.status, again.code) != (0, 0):
            figures.failures.append(f"{fault}: run again it ended {again.status}/{again.code}: {again.sentence}")
        at_rest = judging.at_rest(bench.root, loose(bench.facts(case)))
        figures.failures += [f"{fault}, run again: {what}" for what in at_rest]
    figures.seconds = time.perf_counter() - began
    return figures


def loose(facts):
    """Facts for a run that could not read an image: what MOBIUS owns may tell of it, all else is as ever."""
    return replace(facts, new=facts.new | {"foreign"})


def judged(bench: Bench, case: Case, ended, error: str, call: Call):
    """What is wrong with how the operation ended and what it left."""
    if "(INJECTED)" not in ended.trace:
        yield "the fault did not fire"
    if ended.status != 0:
        yield f"it ended by signal or hung: {ended.status}"
        return
    allowed = {0, ERRORS[error]}
    if "SQLite" in ended.sentence or "database" in ended.sentence:
        allowed |= {3, 5}  # SQLite tells nobody which error it met
    if any(said in ended.sentence for said in VERDICTS):
        allowed.add(2)
    if UNGUARDED in ended.sentence:
        allowed.add(3)
    if '"/proc/' in call.arguments:
        allowed.add(3)  # who holds the lock cannot be told: then it is somebody else
    if ended.code not in allowed:
        yield f"exit {ended.code}, not one of {sorted(allowed)}: {ended.sentence} {ended.defect[-700:]}"
    if ended.code and len(ended.sentence) < 10:
        yield f"no sentence: {ended.sentence!r}"
    if "Traceback" in ended.said + ended.sentence:
        yield f"a traceback: {ended.said[-300:]}"
    yield from judging.at_once(bench.root, loose(bench.facts(case)))
