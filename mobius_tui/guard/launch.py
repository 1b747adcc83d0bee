"""Starting the guard and finding it: a process of its own, started again by whoever finds it dead."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mobius_tui.errors import EnvironmentFailed, Held, MobiusError, OutOfResource, exit_code_of
from mobius_tui.guard.files import OpenWatch, all_open, open_watch, plan_watch
from mobius_tui.guard.model import Plan
from mobius_tui.guard.timing import is_figure
from mobius_tui.launch.folder import check_state_folder
from mobius_tui.launch.worker import last_words, worker_environment
from mobius_tui.notifications.message import Notification
from mobius_tui.notifications.outbox import notify
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.recovery.journal import Journal, read_journal
from mobius_tui.recovery.watches import GUARD_LOCK, open_watches
from mobius_tui.system import clock
from mobius_tui.system.locks import FileLock, Holder, catalogue_lock, holder_of
from mobius_tui.system.processes import process_token, reap, start_detached
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

VERB = "guard-run"
"""The verb that is the guard, in the foreground; reached before any third-party package is imported."""

OUTPUT = "guard.out"
"""File in the folder of the logs that takes what a guard prints."""

START_S = 15.0
"""Seconds a new guard has to take up its watch."""

STARTS = "guard.starts"
"""File in the state folder with the times of the starts by themselves that came to nothing."""

FREE_STARTS = 3
"""So many starts in a row that come to nothing are tried at once; after them ever longer is waited."""

MOST_PAUSE_S = 600.0
"""Seconds between two starts by themselves at most."""

_started: set[int] = set()
# guards that this process started: collected when they have ended, so that no zombie stays

_LOCKED_S = 2.0
_PAUSE_S = 5.0
_FORGOTTEN_S = 3600.0
_PAGED_START = 5
_UNBEGUN_S = 60.0
_LOOK_S = 0.05
_OUTPUT_BYTES = 1_000_000


def guard_lock(ws: Workspace) -> Path:
    """The file whose flock the guard holds for life."""
    return ws.state / GUARD_LOCK


def guard_holder(ws: Workspace) -> Holder | None:
    """Who is the guard now; None when none runs."""
    return holder_of(guard_lock(ws))


def guard_command(ws: Workspace, env_name: str | None = None) -> list[str]:
    """The command that is the guard of a workspace, in the foreground."""
    command = [sys.executable, "-P", "-m", "mobius_tui", VERB, "--workspace", str(ws.root)]
    command += ["--env", env_name] if env_name else []
    return [*command, "--as", ws.actor]


def begin_watch(
    ws: Workspace, plan: Plan, environ: Mapping[str, str], env_name: str | None = None, *, wait_s: float = START_S
) -> OpenWatch:
    """Start a watch, or join the one that is on.

    Args:
        ws: The workspace.
        plan: What is asked for; not used when a watch is on.
        environ: The process environment; the guard gets it without what concerns a terminal.
        env_name: The environment that was chosen by ``--env``.
        wait_s: Seconds the guard has to take it up.

    Returns:
        The watch that is on; another one than the plan's when it was joined.

    Raises:
        Held: A deploy is about to begin one, or another operation holds the library.
        EnvironmentFailed: The guard does not start; says why, as far as it told. The plan stays and is tried again.
        OutOfResource: There is no room for it.
    """
    check_state_folder(ws)
    one = FileLock(ws.state / "watch-start.lock")
    if not one.acquire(ws.actor, "starting a watch", wait_s=START_S):
        raise EnvironmentFailed("another process has been starting a watch for a while", fix="`mobius watch status`")
    try:
        found = open_watch(ws)
        if found is not None and found.ready == "wait":
            said = f"{visible(found.plan.deploy)} of {visible(found.who)} is under way and begins a watch itself"
            raise Held(said, fix="wait for it, then `mobius watch` joins its watch")
        if found is None or found.ready == "void":
            # a publication that is under way would be judged, and undone, as if it were what is live now
            with catalogue_lock(ws.catalogue, ws.actor, "starting a watch", wait_s=_LOCKED_S):
                plan_watch(ws, plan)
    finally:
        one.release()
    return start_guard(ws, environ, env_name, wait_s=wait_s)


def start_guard(
    ws: Workspace, environ: Mapping[str, str], env_name: str | None = None, *, wait_s: float = START_S
) -> OpenWatch:
    """Have the guard run for the watch that is on: started detached unless it runs, and waited for.

    Args:
        ws: The workspace.
        environ: The process environment.
        env_name: The environment that was chosen by ``--env``.
        wait_s: Seconds it has to take the watch up.

    Returns:
        The watch, taken up.

    Raises:
        EnvironmentFailed: There is no watch that a guard could take up, or it does not start; says why.
        OutOfResource: There is no room for it.
    """
    check_state_folder(ws)
    before = all_open(ws)
    if not any(watch.ready == "start" for watch in before):
        raise EnvironmentFailed("there is no watch to guard", fix="`mobius watch` starts one")
    pid, output, said_before = 0, ws.logs / OUTPUT, 0
    deadline = time.monotonic() + wait_s
    while True:
        found = _taken_up(ws)
        if found is not None:
            return found
        if guard_holder(ws) is None:
            code = reap(pid) if pid else None
            if pid and (code is not None or not process_token(pid)):
                if not all_open(ws):
                    return before[0]  # taken up and brought to its end already
                raise _stillborn(reap(pid) if code is None else code, output, said_before)
            if not pid:
                pid, said_before = _start(ws, environ, env_name, output)
        if time.monotonic() > deadline:
            raise EnvironmentFailed(
                f"the guard has not taken up the watch within {wait_s:g} s",
                where=visible(str(output)),
                fix="`mobius watch status` shows whether it does; every verb and the worker try again",
            )
        time.sleep(_LOOK_S)


def _taken_up(ws: Workspace) -> OpenWatch | None:
    """The watch that a living guard has taken up."""
    holder = guard_holder(ws)
    if holder is None or not holder.token:
        return None
    return next((watch for watch in all_open(ws) if watch.token == holder.token), None)


def _start(ws: Workspace, environ: Mapping[str, str], env_name: str | None, output: Path) -> tuple[int, int]:
    """Start the process; its PID, and how much its output held before."""
    try:
        ws.logs.mkdir(parents=True, exist_ok=True)
        if output.exists() and output.stat().st_size > _OUTPUT_BYTES:
            output.replace(output.with_name(f"{OUTPUT}.1"))
        before = output.stat().st_size if output.exists() else 0
        return start_detached(guard_command(ws, env_name), ws.root, worker_environment(environ), output), before
    except OSError as error:
        spent = exit_code_of(error) == OutOfResource.exit_code
        failed, fix = (OutOfResource, "free space") if spent else (EnvironmentFailed, "check the rights of the logs")
        said = f"the guard cannot be started: {error.strerror}"
        raise failed(said, where=visible(str(error.filename or output)), fix=fix) from error


def _stillborn(code: int | None, output: Path, said_before: int) -> MobiusError:
    said = last_words(output, said_before) or (
        "the disk is full" if code == OutOfResource.exit_code else "it said none"
    )
    failed = OutOfResource if code == OutOfResource.exit_code else EnvironmentFailed
    return failed(f"the guard did not start: {said}", where=visible(str(output)), fix=f"`mobius {VERB}` shows more")


def heal_guard(ws: Workspace, environ: Mapping[str, str], env_name: str | None = None) -> str:
    """Start a guard that died under its watch, or whose planned watch is due; close what will never start.

    Costs a look at one lock and one folder when there is nothing to do. Waits for nothing, never raises. A guard that
    comes to nothing again and again is started ever less often.

    Args:
        ws: The workspace.
        environ: The process environment.
        env_name: The environment that was chosen by ``--env``.

    Returns:
        What was done, as a sentence; empty when there was nothing to do.
    """
    _started.difference_update([pid for pid in _started if reap(pid) is not None])
    try:
        if guard_holder(ws) is not None or not open_watches(ws.state):
            return ""
        found = all_open(ws)
        said = [close_void(watch) for watch in found if watch.ready == "void"]
        said += _unbegun(ws, found)
        if any(watch.ready == "start" for watch in found):
            said.append(_started_again(ws, environ, env_name))
        return "; ".join(sentence for sentence in said if sentence)
    except (MobiusError, OSError) as error:
        return f"the guard cannot be started again: {visible(str(error))}"


def _unbegun(ws: Workspace, found: Sequence[OpenWatch]) -> list[str]:
    """Remove what a kill left of a watch before its first record was written; of a damaged journal, say so."""
    said = []
    for path in set(open_watches(ws.state)) - {watch.path for watch in found}:
        with contextlib.suppress(FileNotFoundError):
            reading = read_journal(path)
            if reading.records:
                continue
            if reading.problem == "corrupt":
                said.append(f"the journal {visible(str(path))} is damaged: nobody guards its watch; move it aside")
            elif clock.now() - path.stat().st_mtime > _UNBEGUN_S:
                path.unlink()
    return said


def close_void(watch: OpenWatch) -> str:
    """Bring a planned watch to its end whose deploy never went live."""
    with contextlib.suppress(FileNotFoundError):
        journal = Journal.resume(watch.path)
        try:
            reason = f"{visible(watch.plan.deploy)} did not go live"
            journal.note("end", outcome="void", decided_by=watch.plan.deploy, reason=reason, exit_code=2)
        finally:
            journal.close()
        return f"the watch {visible(watch.run)} is void: {reason}"
    return ""


def _started_again(ws: Workspace, environ: Mapping[str, str], env_name: str | None) -> str:
    """Start the guard unless it was started in vain just now; two that do so at once are one guard by its lock."""
    one = FileLock(ws.state / "guard-start.lock")
    if not one.acquire(ws.actor, "starting the guard"):
        return ""
    try:
        starts, now = starts_in_vain(ws), clock.now()
        pause = pause_after(len(starts))
        if guard_holder(ws) is not None or (starts and 0 <= now - starts[-1] < pause):
            return ""
        with contextlib.suppress(OSError, MobiusError):
            write_atomic(ws.state / STARTS, [json.dumps([*starts[-50:], now]).encode()])
        if len(starts) + 1 == _PAGED_START:
            _page(ws, last_words(ws.logs / OUTPUT, 0))
        pid, _ = _start(ws, environ, env_name, ws.logs / OUTPUT)
        _started.add(pid)
    finally:
        one.release()
    again = f", start {len(starts) + 1} in a row without a measurement" if starts else ""
    return f"the guard of a watch was dead: it is started again{again}"


def _page(ws: Workspace, words: str) -> None:
    """Tell people that nobody guards the watch."""
    watch = open_watch(ws)
    run = "" if watch is None else watch.run
    said = f"it was started {_PAGED_START - 1} times and came to no measurement: {words or 'it said nothing'}"
    title, place = "the guard does not come up", ws.settings.environment
    told = Notification("alert", "critical", "sre", title, said, run, place, key=f"{run}/guard starts")
    notify(ws, told)


def pause_after(starts: int) -> float:
    """Seconds to wait after so many starts in a row that came to nothing."""
    if starts < FREE_STARTS:
        return _PAUSE_S if starts else 0.0
    return float(min(MOST_PAUSE_S, _PAUSE_S * 2.0 ** (min(starts, 20) - FREE_STARTS + 1)))


def starts_in_vain(ws: Workspace) -> list[float]:
    """When the guard was started within an hour since it last came to a measurement, seconds since the epoch."""
    try:
        found = json.loads(read_whole(ws.state / STARTS).data)
    except (OSError, ValueError, RecursionError):
        return []
    since = clock.now() - _FORGOTTEN_S
    return [float(at) for at in found if is_figure(at) and at > since] if isinstance(found, list) else []


def forget_starts(ws: Workspace) -> None:
    """The guard works: starts before count no more."""
    with contextlib.suppress(OSError):
        (ws.state / STARTS).unlink(missing_ok=True)
