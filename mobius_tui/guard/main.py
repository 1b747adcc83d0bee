"""`mobius guard-run`: the guard in the foreground, reached before any third-party package is imported."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from mobius_tui.errors import BadInput, MobiusError
from mobius_tui.guard.collector import Collector
from mobius_tui.guard.files import OpenWatch, all_open, readable_watches
from mobius_tui.guard.going_back import GoingBack
from mobius_tui.guard.keeping import Keeper
from mobius_tui.guard.launch import VERB, close_void, forget_starts, guard_lock
from mobius_tui.guard.mirror import Mirror
from mobius_tui.guard.model import Measurement, Plan
from mobius_tui.guard.surroundings import Leaving, Surroundings
from mobius_tui.guard.telling import Telling
from mobius_tui.guard.timing import BootClock
from mobius_tui.guard.watch import run_watch
from mobius_tui.launch.folder import check_state_folder
from mobius_tui.logs import SERVICE_LOG, JsonLog
from mobius_tui.notifications.outbox import notify, step_outbox
from mobius_tui.notifications.sending import ping
from mobius_tui.system.identity import login_name
from mobius_tui.system.locks import FileLock
from mobius_tui.text import visible
from mobius_tui.uncaught import as_background
from mobius_tui.workspace import Workspace, open_workspace

WAIT_S = 2.0
"""Seconds between two looks for a watch, with ``--wait``."""

_SLICE_S = 0.25


class _Wish:
    """The wish that this process ends, as a signal set it."""

    reason = ""


def run(arguments: Sequence[str], environ: Mapping[str, str], tell: Callable[[str], None]) -> int:
    """Be the guard until no watch is left.

    Args:
        arguments: What follows ``mobius``, the verb included.
        environ: The process environment.
        tell: Says a sentence on stderr.

    Returns:
        0: no watch is left, another guard runs, or the end was asked for.

    Raises:
        MobiusError: The workspace or its lock cannot be used.
    """
    given = _parsed(arguments)
    root = Path(given.workspace or environ.get("MOBIUS_WORKSPACE") or ".")
    actor = given.actor or login_name(environ)
    ws = open_workspace(root, {"environment": given.env}, environ, actor, lenient=True)
    log = JsonLog(ws.logs / SERVICE_LOG, rotate=True, within=ws.root)
    silent = ws.settings.environment == "production"
    for warning in ws.sourced.warnings:
        log.write("warning", "guard", "settings", warning)
        if not silent:
            tell(f"warning: {warning}")
    with as_background(log, "guard", silent=silent):
        return _guard_until_the_end(ws, environ, given, tell)


def _guard_until_the_end(
    ws: Workspace, environ: Mapping[str, str], given: argparse.Namespace, tell: Callable[[str], None]
) -> int:
    """Guard what is open, and with ``--wait`` what comes."""
    wish = _settled(ws)
    check_state_folder(ws)
    once = _once(tell)
    while not wish.reason:
        lock = FileLock(guard_lock(ws))
        if lock.acquire(ws.actor, "guard"):
            try:
                _guard_all(ws, environ, given.env, lock, wish, once)
            except (MobiusError, OSError) as error:
                if not given.wait:
                    raise
                once(visible(str(error)))
            finally:
                lock.release()
        elif not given.wait:
            tell("another guard runs already")
        if not given.wait or not ws.root.is_dir():
            return 0
        _sleep(WAIT_S, wish)
    return 0


def _settled(ws: Workspace) -> _Wish:
    """Make this process one that no terminal ends; SIGTERM and SIGINT ask it to end."""
    wish = _Wish()

    def ask(number: int, _: object) -> None:
        wish.reason = signal.Signals(number).name

    for name, handler in (("SIGHUP", signal.SIG_IGN), ("SIGPIPE", signal.SIG_IGN), ("SIGTERM", ask), ("SIGINT", ask)):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)
    if sys.platform != "win32":
        os.umask(0o027)
        with contextlib.suppress(OSError):  # as a nice worker's child it would be late where the machine is busy
            os.setpriority(os.PRIO_PROCESS, 0, 0)
    os.chdir(ws.root)
    return wish


def _guard_all(
    ws: Workspace,
    environ: Mapping[str, str],
    env_name: str | None,
    lock: FileLock,
    wish: _Wish,
    tell: Callable[[str], None],
) -> None:
    """Guard each watch that is open, one after the other; what is planned for later is left to its deploy.

    Raises:
        MobiusError: A watch could not be taken up, or its files could not be opened, also at a second attempt after
            all others.
        OSError: Likewise.
    """
    done: set[str] = set()
    failed: set[str] = set()
    while not wish.reason and not lock.lost:
        found = [watch for watch in _open(ws, tell) if watch.run not in done]
        for watch in found:
            if watch.ready == "void":
                done.add(watch.run)
                _close(watch, tell)
        ready = sorted((watch for watch in found if watch.ready == "start"), key=lambda watch: watch.run in failed)
        if not ready:
            return
        run = ready[0].run
        try:
            _guard(ws, environ, env_name, ready[0], lock, wish)
        except (MobiusError, OSError) as error:  # the others are guarded all the same
            if run in failed:
                raise
            failed.add(run)
            tell(f"the watch {visible(run)} is passed over for now: {visible(str(error))}")
        else:
            done.add(run)


def _close(watch: OpenWatch, tell: Callable[[str], None]) -> None:
    try:
        tell(close_void(watch))
    except (MobiusError, OSError) as error:
        tell(f"the watch {visible(watch.run)} is void and cannot be closed: {visible(str(error))}")


def _open(ws: Workspace, tell: Callable[[str], None]) -> list[OpenWatch]:
    """The open watches; a journal that cannot be read is told, and the others are guarded.

    Raises:
        MobiusError: None is left that could be.
    """
    try:
        return all_open(ws)
    except MobiusError as error:
        found = readable_watches(ws)
        if not found:
            raise
        tell(visible(str(error)))
        return found


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Says each sentence once, however often it is tried again."""
    said: set[str] = set()

    def once(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            tell(sentence)

    return once


def _guard(
    ws: Workspace, environ: Mapping[str, str], env_name: str | None, watch: OpenWatch, lock: FileLock, wish: _Wish
) -> None:
    plan, clock = watch.plan, BootClock()
    if plan.environment and plan.environment != ws.settings.environment:  # whoever started this guard chose another
        ws, env_name = meant_by(ws, plan, environ), plan.environment
    keeper, mirror = Keeper(watch.path), Mirror(ws)
    telling = Telling(ws, plan.run, mirror, notify)
    live = Path(plan.live) if plan.live else None
    collector = Collector(
        ws, plan.base_url, plan.baseline, plan.interval_s, live=live, deploy=plan.deploy, monotonic=clock.seconds
    )
    around = Surroundings(
        clock=clock,
        sleep=lambda seconds: pause(ws, seconds, wish),
        collector=_Alive(ws, collector, wish),
        back=GoingBack(ws, environ, env_name, lambda text: telling.say("info", "rollback", text), plan.live),
        notify=notify,
        ping=lambda: ping(ws.settings.dead_man_url) if ws.settings.dead_man_url else "",
        asked_to_end=lambda: wish.reason or _gone(ws, lock),
    )
    try:
        run_watch(ws, keeper, around, mirror, telling)
    finally:
        keeper.close()
        mirror.close()


def meant_by(ws: Workspace, plan: Plan, environ: Mapping[str, str]) -> Workspace:
    """The workspace with the settings of the environment that a watch was begun in, whoever starts its guard again."""
    return open_workspace(ws.root, {"environment": plan.environment}, environ, ws.actor, lenient=True)


class _Alive:
    """The collector in a thread of its own, so that a wish to end is heard at once.

    Its first measurement shows that this start came to something.
    """

    def __init__(self, ws: Workspace, collector: Collector, wish: _Wish) -> None:
        self._ws, self._collector, self._wish, self._first = ws, collector, wish, True

    def measure(self, number: int, elapsed_s: float, merged: int = 1) -> Measurement:
        """Collect everything once."""
        found: list[Measurement] = []
        thread = threading.Thread(
            target=lambda: found.append(self._collector.measure(number, elapsed_s, merged)), name="measure", daemon=True
        )
        thread.start()
        while thread.is_alive():
            thread.join(_SLICE_S)
            if self._wish.reason:
                raise Leaving(self._wish.reason)
        if self._first:
            forget_starts(self._ws)
        self._first = False
        return found[0]


def _gone(ws: Workspace, lock: FileLock) -> str:
    """Why this guard is one that nobody can see any more; empty when it is not."""
    if lock.lost:
        return "its lock file was removed" if ws.root.is_dir() else "the workspace was removed"
    return ""


def pause(ws: Workspace, seconds: float, wish: _Wish) -> None:
    """Between two measurements: send what is due, without waiting for it, and rest; a worker may not be there to."""
    step_outbox(ws)
    _sleep(seconds, wish)


def _sleep(seconds: float, wish: _Wish) -> None:
    until = time.monotonic() + seconds
    while not wish.reason and (left := until - time.monotonic()) > 0:
        time.sleep(min(_SLICE_S, left))


class _Parser(argparse.ArgumentParser):
    """Errors as sentences of MOBIUS."""

    def error(self, message: str) -> NoReturn:
        raise BadInput((message[:1].upper() + message[1:]).rstrip("."), fix=f"`mobius {VERB} --help`")


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    about = "Be the guard of this workspace: takes up the watch that is on. Started by MOBIUS itself or by the unit."
    parser = _Parser(prog=f"mobius {VERB}", allow_abbrev=False, description=about)
    parser.add_argument("--workspace", metavar="DIR", help="The workspace; default: the current folder.")
    parser.add_argument("--env", metavar="NAME", help="development, staging or production.")
    parser.add_argument("--as", dest="actor", metavar="NAME", help="Who acts; default: the login name.")
    parser.add_argument("--wait", action="store_true", help="Wait for watches, as the unit does; else end without one.")
    rest = list(arguments)
    if VERB in rest:
        rest.remove(VERB)
    return parser.parse_args(rest)


__all__ = ["MobiusError", "run"]
