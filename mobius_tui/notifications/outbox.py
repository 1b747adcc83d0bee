"""What is to be told, kept until it is: sent at least once, critical ones again until somebody acknowledges them.

Each notification is a file of its own before it is sent, and what came of it is noted in it after. A process that is
killed in between leaves it to the next one that looks; nobody waits for a receiver but threads in the background.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from mobius_tui.audiences import Route
from mobius_tui.errors import MobiusError
from mobius_tui.logs import SERVICE_LOG, JsonLog
from mobius_tui.notifications.items import (
    GIVE_UP_S,
    Item,
    add_item,
    change_item,
    delivered,
    dropped_count,
    forget_finished,
    given_up,
    list_items,
    not_delivered,
    outbox_of,
)
from mobius_tui.notifications.message import Audience, Notification, body_of, repeated
from mobius_tui.notifications.sending import send
from mobius_tui.system import clock
from mobius_tui.system.locks import FileLock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

LAST_WORDS_S: Final = 3.0
"""Seconds that the end of a process waits for what is being sent."""

_TURN_S = 30.0
_SETTLED_S = 1.0


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How the outbox stands, for ``status`` and ``doctor``.

    Attributes:
        pending: Not delivered yet.
        repeating: Delivered, and again until somebody acknowledges them.
        failing: Those whose last try failed.
        failed: Given up.
        dropped: Dropped unsent, for want of room, since there is an outbox.
        problem: Why the latest failing one was not delivered; empty when none fails.
        unacknowledged: Critical ones that nobody has acknowledged, oldest first, once each.
    """

    pending: int = 0
    repeating: int = 0
    failing: int = 0
    failed: int = 0
    dropped: int = 0
    problem: str = ""
    unacknowledged: tuple[Item, ...] = ()


def notify(ws: Workspace, notification: Notification) -> str:
    """Tell people; never raises, and returns at once: the sending goes on in a thread of its own.

    Args:
        ws: The workspace, whose settings say where to.
        notification: What happened.

    Returns:
        Its id in the outbox; empty when nobody is to be told, or it could not be kept and is sent all the same.
    """
    try:
        return _notify(ws, notification)
    except Exception as error:  # whoever tells something has better to do than to care for this
        _log(ws, "error", "notify_failed", f"a notification failed: {type(error).__name__}: {visible(str(error))}")
        return ""


def _notify(ws: Workspace, notification: Notification) -> str:
    at = notification.at or clock.now()
    number = hashlib.sha256(notification.key.encode()).hexdigest()[:8] if notification.key else secrets.token_hex(4)
    whole = replace(notification, at=at, environment=notification.environment or ws.settings.environment)
    body = body_of(whole, number, platform.node(), str(ws.root))
    routes = routes_to(ws, whole)
    if not routes:
        _log(ws, "info", "no_route", body["text"], whole.run)
        return ""
    item = Item(number, "pending", body, whole.repeats, whole.subject, created=clock.now(), next_at=clock.now())
    kept = []
    try:
        for route in routes:
            # one for its own audience is found by that, whichever table its route comes from
            taken = "" if whole.audience in ws.sourced.routes else route.name
            if add_item(ws, replace(item, route=taken)):
                kept.append(route)
    except (OSError, MobiusError) as error:
        _log(ws, "warning", "not_kept", f"sent without being kept: {visible(str(error))}", whole.run)
        for left in routes[routes.index(route) :]:
            _start(partial(_send_unkept, ws, left, item))
        number = ""
    if not kept:
        return number
    _log(ws, "info", "notification", body["text"], whole.run)
    if whole.subject:
        _note_earlier(ws, whole, item.number)
    for route in kept:
        _send_soon(ws, route.name, clock.now)
    return number


def send_test(ws: Workspace, audience: Audience, who: str) -> tuple[Route | None, str]:
    """Send a test notification at once, past the outbox.

    Args:
        ws: The workspace.
        audience: For whom.
        who: The actor.

    Returns:
        Where it went (None: nowhere, no route leads there), and why it was not delivered (empty when it was).
    """
    said = f"{who} tests whether notifications for {audience} arrive; nothing has happened"
    at, environment = clock.now(), ws.settings.environment
    test = Notification("test", "info", audience, "a test", said, environment=environment, at=at)
    route = ws.sourced.routes.get(audience)
    if route is None:
        return None, ""
    problem = send(ws, route, body_of(test, secrets.token_hex(4), platform.node(), str(ws.root)))
    level, how = ("warning", f"was not delivered: {problem}") if problem else ("info", "was delivered")
    _log(ws, level, "test", f"the test for {audience} to {route.shown} {how}")
    return route, problem


def routes_to(ws: Workspace, notification: Notification) -> tuple[Route, ...]:
    """Where a notification goes: to the route of its audience when that takes it.

    A critical one for an audience that no table names a target for goes to every route there is, once each.

    Returns:
        The routes; none when nobody wants it.
    """
    own = ws.sourced.routes.get(notification.audience)
    if own is not None:
        return (own,) if own.takes(notification.severity) else ()
    if notification.severity != "critical" or notification.audience not in ws.sourced.unrouted:
        return ()
    each: dict[tuple[str, str], Route] = {}
    for route in ws.sourced.routes.values():
        each.setdefault((route.command, route.url), route)
    return tuple(each.values())


def step_outbox(ws: Workspace, now: float | None = None, *, wait_s: float = 0.0) -> int:
    """Send what is due: new ones, failed ones again, critical ones that nobody has acknowledged.

    Cheap when nothing is due, returns at once when something is, never raises. Several processes may do it at once.

    Args:
        ws: The workspace.
        now: Seconds since the epoch; None means the clock's.
        wait_s: Seconds to wait for what is sent.

    Returns:
        How many were due.
    """
    try:
        due = _step(ws, now)
    except Exception as error:  # a full disk, a folder that is gone: whoever steps has other work
        _log(ws, "error", "outbox", f"the outbox cannot be looked at: {type(error).__name__}: {visible(str(error))}")
        return 0
    if wait_s:
        wait_sent(wait_s)
    return due


def _step(ws: Workspace, now: float | None) -> int:
    at = clock.now() if now is None else now
    if _nothing_since(outbox_of(ws), at):
        return 0
    before = _changed_at(outbox_of(ws))
    items = list_items(ws)
    forget_finished(ws, items, at)
    due: dict[str, int] = {}
    for item in items:
        route = ws.sourced.routes.get(item.listener)
        if item.due(at) and route is not None:
            due[route.name] = due.get(route.name, 0) + 1
        elif item.open and route is None and at - item.created > GIVE_UP_S:
            change_item(ws, item, lambda old: given_up(old, at, "no route leads to its audience"))
    if not due:
        waiting = [item.next_at for item in items if item.open]
        _glances[outbox_of(ws)] = (before, min(waiting, default=at + GIVE_UP_S), at)
    for name in due:
        _send_soon(ws, name, clock.now if now is None else lambda: at)
    return sum(due.values())


def acknowledge(ws: Workspace, number: str, who: str) -> bool:
    """Note that somebody has seen a notification, so that it is not repeated on any route.

    Args:
        ws: The workspace.
        number: Its id.
        who: The actor.

    Returns:
        Whether there was such a one that nobody had acknowledged.
    """
    done = False
    for item in list_items(ws):
        if item.number == number and item.unacknowledged:
            changed = change_item(ws, item, lambda old: _acknowledged(old, who))
            done |= changed is not None and changed.state == "acknowledged"
    return done


def outbox_state(ws: Workspace) -> OutboxState:
    """How the outbox stands; never raises."""
    items = list_items(ws)
    failing = [item for item in items if item.open and item.problem]
    return OutboxState(
        pending=sum(item.state == "pending" for item in items),
        repeating=sum(item.state == "repeating" for item in items),
        failing=len(failing),
        failed=sum(item.state == "failed" for item in items),
        dropped=dropped_count(ws),
        problem=failing[-1].problem if failing else "",
        unacknowledged=tuple({item.number: item for item in reversed(items) if item.unacknowledged}.values())[::-1],
    )


def wait_sent(seconds: float) -> bool:
    """Wait until nothing is being sent by this process; returns whether that came in time."""
    deadline = time.monotonic() + seconds
    for thread in list(_threads):
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in list(_threads))


atexit.register(wait_sent, LAST_WORDS_S)


def _acknowledged(item: Item, who: str) -> Item:
    if not item.unacknowledged:
        return item
    return replace(item, state="acknowledged", acknowledged_by=who, acknowledged_at=clock.now())


def _note_earlier(ws: Workspace, notification: Notification, number: str) -> None:
    """What was told of the same subject before is over, or has a successor that is repeated in its place."""
    for item in list_items(ws):
        if item.subject != notification.subject or item.number == number or not item.unacknowledged:
            continue
        if notification.kind == "clear" and item.over_at is None:
            change_item(ws, item, lambda old: replace(old, over_at=notification.at))
        elif notification.kind == "alert" and notification.repeats:
            change_item(ws, item, lambda old: _acknowledged(old, f"notification {number}"))


_threads: set[threading.Thread] = set()
_wanted: dict[tuple[Path, str], bool] = {}
# routes that a thread of this process works on, and whether it should look once more
_guard = threading.Lock()
_glances: dict[Path, tuple[int, float, float]] = {}
# by outbox: its folder's time when nothing was due, until when nothing will be, and when that was found


def _changed_at(folder: Path) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 - each few seconds
    except OSError:
        return 0


def _nothing_since(folder: Path, now: float) -> bool:
    """Whether nothing is due because nothing was and the folder is the same; a young time proves nothing."""
    changed = _changed_at(folder)
    if not changed:
        return True
    known, until, seen = _glances.get(folder, (0, 0.0, 0.0))
    return known == changed and seen <= now < until and time.time() - changed / 1e9 > _SETTLED_S


def _send_soon(ws: Workspace, name: str, now: Callable[[], float]) -> None:
    """See to it that a thread of this process sends what is due on a route."""
    key = (outbox_of(ws), name)
    with _guard:
        if key in _wanted:
            _wanted[key] = True
            return
        _wanted[key] = False
    if not _start(lambda: _work(ws, key, now)):
        with _guard:
            del _wanted[key]


def _start(act: Callable[[], None]) -> bool:
    def run() -> None:
        try:
            act()
        finally:
            _threads.discard(thread)

    thread = threading.Thread(target=run, name="notify", daemon=True)
    _threads.add(thread)
    try:
        thread.start()
    except RuntimeError:  # no thread can be started: what is kept is sent later
        _threads.discard(thread)
        return False
    return True


def _work(ws: Workspace, key: tuple[Path, str], now: Callable[[], float]) -> None:
    while True:
        try:
            _send_due(ws, key[1], now)
        except Exception as error:  # it stays in the outbox
            _log(ws, "error", "sending_failed", f"{type(error).__name__}: {visible(str(error))}")
        with _guard:
            if not _wanted[key]:
                del _wanted[key]
                return
            _wanted[key] = False


def _send_due(ws: Workspace, name: str, now: Callable[[], float]) -> None:
    """Send what is due on a route, alone among all processes; the first failure puts all of it off."""
    lock = FileLock(outbox_of(ws) / f"route-{name}.lock")
    if not lock.acquire(ws.actor, "sending notifications", wait_s=_TURN_S):
        return
    try:
        while due := _due_on(ws, name, now()):
            for number, (item, route) in enumerate(due):
                problem = _send_one(ws, item, route, now)
                if problem:
                    _put_off(ws, [later for later, _ in due[number + 1 :]], item, problem, now())
                    break
    finally:
        lock.release()


def _put_off(ws: Workspace, later: list[Item], failed: Item, problem: str, now: float) -> None:
    """What is due on the same route waits as long as the one that failed."""
    until = not_delivered(failed, now, problem).next_at
    for item in later:
        change_item(ws, item, lambda old: given_up(replace(old, next_at=until), now, problem))


def _due_on(ws: Workspace, name: str, now: float) -> list[tuple[Item, Route]]:
    """What is due on a route, the gravest first, then the oldest."""
    found = []
    for item in list_items(ws):
        route = ws.sourced.routes.get(item.listener)
        if route is not None and route.name == name and item.due(now):
            found.append((item, route))
    return sorted(found, key=lambda each: (each[0].severity != "critical", each[0].created))


def _send_one(ws: Workspace, item: Item, route: Route, now: Callable[[], float]) -> str:
    """Send an item unless somebody has acknowledged it meanwhile, and note what came of it; returns the problem."""
    current = change_item(ws, item, lambda old: old)
    if current is None or not current.due(now()):
        return ""
    body = repeated(current.body, current.sends, current.over_at) if current.sends else current.body
    problem = send(ws, route, body)
    if problem:
        changed = change_item(ws, item, lambda old: not_delivered(old, now(), problem))
        state = changed.state if changed is not None else "gone"
        facts = {"id": item.number, "try": current.tries + 1, "state": state}
        if problem != current.problem or state == "failed":
            said = f"{item.number} was not delivered to {route.shown}: {problem}"
            _log(ws, "warning", "not_delivered", said, str(item.body.get("run", "")), facts)
        return problem
    change_item(ws, item, lambda old: delivered(old, now(), route.repeat_minutes * 60))
    told = {"id": item.number, "repeat": current.sends}
    _log(ws, "info", "delivered", f"{item.number} delivered to {route.shown}", str(item.body.get("run", "")), told)
    return ""


def _send_unkept(ws: Workspace, route: Route, item: Item) -> None:
    problem = send(ws, route, item.body)
    if problem:
        _log(ws, "warning", "not_delivered", f"{item.number} was not kept and not delivered: {problem}")


def _log(
    ws: Workspace, level: str, event: str, message: str, run: str = "", facts: dict[str, object] | None = None
) -> None:
    log = JsonLog(ws.logs / SERVICE_LOG, rotate=True, least=ws.settings.log_level, within=ws.root)
    log.write(level, "notify", event, message, run, facts)
