"""The outbox's files: one a notification, in ``.mobius/outbox/``, written whole or not at all, bounded in number."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from mobius_tui.errors import EnvironmentFailed, MobiusError
from mobius_tui.recovery.atomic import ABSENT, write_atomic
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.system import clock
from mobius_tui.system.locks import FileLock
from mobius_tui.workspace import Workspace

State = Literal["pending", "delivered", "repeating", "acknowledged", "failed"]
"""``pending``: not delivered yet; ``repeating``: delivered, and again until somebody acknowledges it; ``failed``: given
up."""

MOST: Final = 500
"""Notifications that are kept; the oldest finished ones make room, then the oldest of the least severity."""

BACK_OFF_S: Final = (60.0, 120.0, 300.0, 900.0)
"""Seconds until the next try after the first, second, third failure, and after each further one."""

GIVE_UP_S: Final = 86_400.0
"""Age at which what could not be delivered is given up, unless it repeats until acknowledged."""

KEPT_S: Final = 30 * 86_400.0
"""Finished ones are kept this long."""

_ROOM = 50
_LOCK_S = 5.0
_LARGEST = 1e11
_TOLD = ("kind", "severity", "audience", "title", "sentence", "run", "environment", "at", "acknowledge")
_NAME = re.compile(r"\d{8}T\d{6}Z-([0-9a-f]{8})(?:-[a-z]+)?\.json")
_GRAVITY = {"info": 0, "warning": 1, "critical": 2}
_STATES = {"pending", "delivered", "repeating", "acknowledged", "failed"}


@dataclass(frozen=True, slots=True)
class Item:
    """One notification on its way to one route, and what came of it.

    Attributes:
        number: Its id, 8 hex digits; the same on every route that it goes to.
        state: How it stands.
        body: What is sent: see ``message.body_of``.
        repeats: Whether it is sent until somebody acknowledges it.
        subject: What it is about, such as an alert's name; empty when nothing else is about the same.
        created: Seconds since the epoch; likewise all that ends in ``_at``.
        next_at: When it is due.
        sends: How often it was delivered.
        tries: Failures since it was delivered last.
        problem: Why the last try failed, without secrets; empty when it did not.
        route: The audience whose route it takes; empty for that of its own.
        over_at: When what it is about was over; None before.
    """

    number: str
    state: State
    body: Mapping[str, Any]
    repeats: bool = False
    subject: str = ""
    created: float = 0.0
    next_at: float = 0.0
    sends: int = 0
    tries: int = 0
    problem: str = ""
    delivered_at: float | None = None
    over_at: float | None = None
    acknowledged_by: str = ""
    acknowledged_at: float | None = None
    route: str = ""
    path: Path | None = field(default=None, compare=False)

    @property
    def severity(self) -> str:
        """How grave it is."""
        return str(self.body.get("severity", "info"))

    @property
    def listener(self) -> str:
        """The audience whose route it takes."""
        return self.route or str(self.body.get("audience"))

    @property
    def open(self) -> bool:
        """Whether anything is still to be sent."""
        return self.state in {"pending", "repeating"}

    @property
    def unacknowledged(self) -> bool:
        """Whether it waits for somebody to acknowledge it."""
        return self.repeats and self.state != "acknowledged"

    def due(self, now: float) -> bool:
        """Whether it is to be sent now; a time that lies too far ahead was left by a clock that went back."""
        return self.open and not now < self.next_at <= now + GIVE_UP_S


def delivered(item: Item, now: float, repeat_s: float) -> Item:
    """An item after it was sent."""
    state: State = item.state if item.state == "acknowledged" else "repeating" if item.repeats else "delivered"
    sent = replace(item, state=state, sends=item.sends + 1, tries=0, problem="", delivered_at=now)
    return replace(sent, next_at=now + repeat_s)


def not_delivered(item: Item, now: float, problem: str) -> Item:
    """An item after a try that failed."""
    pause = BACK_OFF_S[min(item.tries, len(BACK_OFF_S) - 1)]
    failed = replace(item, tries=item.tries + 1, problem=problem, next_at=now + pause)
    return given_up(failed, now, problem)


def given_up(item: Item, now: float, problem: str) -> Item:
    """An item that is too old to be tried again is failed; any other is as it was."""
    if item.open and not item.repeats and now - item.created > GIVE_UP_S:
        return replace(item, state="failed", problem=problem)
    return item


def outbox_of(ws: Workspace) -> Path:
    """The folder of the outbox."""
    return ws.state / "outbox"


def list_items(ws: Workspace) -> list[Item]:
    """What is in the outbox, oldest first; a damaged file is none."""
    found = []
    for name in _names(outbox_of(ws)):
        item = _read(outbox_of(ws) / name)
        if item is not None:
            found.append(item)
    return sorted(found, key=lambda item: (item.created, item.number))


def add_item(ws: Workspace, item: Item) -> bool:
    """Keep a new item, making room for it.

    Returns:
        False when one with its number is there already for the same route.

    Raises:
        OSError: It cannot be kept.
        MobiusError: Likewise.
    """
    folder = outbox_of(ws)
    if not ws.root.is_dir():
        raise FileNotFoundError(f"the workspace {ws.root} is gone")
    ws.state.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    with _alone(ws):  # worker and guard may tell the same at the same moment
        names = _names(folder)
        ending = f"-{item.number}-{item.route}.json" if item.route else f"-{item.number}.json"
        if any(name.endswith(ending) for name in names):
            return False
        if len(names) >= MOST:
            _make_room(ws)
        path = folder / f"{clock.stamp(item.created)}{ending}"
        write_atomic(path, [_written(item)], mode=0o600, expect=ABSENT)
    return True


def change_item(ws: Workspace, item: Item, act: Callable[[Item], Item]) -> Item | None:
    """Change an item as it stands in its file now, alone among all processes.

    Args:
        ws: The workspace.
        item: As it was read.
        act: What to make of it.

    Returns:
        What it is now; None when its file is gone. When the disk refuses, this process goes on as if it were written.
    """
    path = item.path
    if path is None:
        return None
    with _alone(ws):
        found = _read(path)
        if found is None:
            return None
        changed = act(found)
        if changed == found and path not in _unwritten:
            return found
        try:
            write_atomic(path, [_written(changed)], mode=0o600)
            _unwritten.pop(path, None)
        except (OSError, MobiusError):
            _unwritten[path] = changed
        return changed


_unwritten: dict[Path, Item] = {}
# what a full disk kept from being noted: else this process would send the same again and again


def dropped_count(ws: Workspace) -> int:
    """How many were dropped unsent, for want of room."""
    try:
        return int(read_whole(outbox_of(ws) / "dropped").data)
    except (OSError, ValueError, MobiusError):
        return 0


def forget_finished(ws: Workspace, items: list[Item], now: float) -> None:
    """Remove finished items that are old."""
    for item in items:
        if not item.open and not item.unacknowledged and now - item.created > KEPT_S:
            _remove(item)


def _make_room(ws: Workspace) -> None:
    """Remove what is wanted least; with the outbox's lock held."""
    items = list_items(ws)
    finished = [item for item in items if not item.open]
    spare = len(items) - (MOST - _ROOM)
    for item in finished[:spare]:
        _remove(item)
    left = [item for item in items if item.open]
    too_many = len(items) - len(finished[:spare]) - (MOST - 1)
    victims = sorted(left, key=lambda item: (_GRAVITY.get(item.severity, 0), item.created))[: max(0, too_many)]
    for item in victims:
        _remove(item)
    if victims:
        number = dropped_count(ws) + len(victims)
        with contextlib.suppress(OSError, MobiusError):
            write_atomic(outbox_of(ws) / "dropped", [f"{number}\n".encode()], mode=0o600)


def _remove(item: Item) -> None:
    if item.path is not None:
        _unwritten.pop(item.path, None)
        with contextlib.suppress(OSError):
            item.path.unlink()


@contextlib.contextmanager
def _alone(ws: Workspace) -> Any:
    """Hold the outbox's lock; a filesystem without locks has one process at a time, or bad luck."""
    lock = FileLock(outbox_of(ws) / "outbox.lock")
    with contextlib.suppress(EnvironmentFailed):
        lock.acquire(ws.actor, "noting a notification", wait_s=_LOCK_S)
    try:
        yield
    finally:
        lock.release()


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))
    except OSError:
        return []


def _written(item: Item) -> bytes:
    data = {name: value for name, value in asdict(item).items() if name != "path"}
    return json.dumps(data).encode("ascii") + b"\n"


def _read(path: Path) -> Item | None:
    """An item from its file; None when there is none that makes sense."""
    if path in _unwritten and path.exists():
        return _unwritten[path]
    try:
        found = json.loads(read_whole(path).data)
        known = {name: found[name] for name in Item.__dataclass_fields__ if name in found}
        item = Item(**{**known, "path": path})
        sound = _is_sound(item)
    except (OSError, MobiusError, ValueError, TypeError, KeyError, RecursionError):
        return None
    number = _NAME.fullmatch(path.name)
    return item if sound and number is not None and number[1] == item.number else None


def _is_sound(item: Item) -> bool:
    """Whether a file holds what can be sent: one that cannot would keep its whole route waiting."""
    body, words = item.body, (item.state, item.subject, item.problem, item.acknowledged_by, item.route)
    if not isinstance(body, dict) or not all(isinstance(each, str) for each in words) or item.state not in _STATES:
        return False
    numbers = [item.created, item.next_at, item.sends, item.tries]
    numbers += [at for at in (item.delivered_at, item.over_at, item.acknowledged_at) if at is not None]
    counted = isinstance(item.sends, int) and isinstance(item.tries, int)
    within = all(isinstance(each, int | float) and 0 <= each < _LARGEST for each in numbers)
    return counted and within and all(isinstance(body.get(name), str) for name in _TOLD)
