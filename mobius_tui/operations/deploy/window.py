"""When a deploy may begin: the deploy window of the settings, and the times people type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.system import clock
from mobius_tui.text import visible

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
"""Days as a window names them, in any case."""

FURTHEST_DAYS = 31
"""A deploy waits for its time no longer than this."""

_DAY = 86_400
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday."""

_SPAN = re.compile(
    r"(?:(?P<first>[a-z]+)(?:\s*-\s*(?P<last>[a-z]+))?\s+)?"
    r"(?P<begin>[0-9]{1,2}:[0-9]{2})\s*-\s*(?P<end>[0-9]{1,2}:[0-9]{2})(?:\s*(?P<zone>\S.*))?",
    re.IGNORECASE | re.ASCII,
)
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}", re.ASCII)
_LATER = re.compile(r"\+(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?", re.ASCII)
_EXAMPLE = 'write it like "23:00-00:00 UTC" or "Mon-Fri 22:00-02:00 UTC", several with commas'


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of a window.

    Attributes:
        days: Weekdays on which it begins, 0 is Monday.
        begin: Seconds after midnight UTC.
        length: Seconds; a stretch may end on the next day.
    """

    days: frozenset[int]
    begin: int
    length: int


@dataclass(frozen=True, slots=True)
class Window:
    """When deploys may begin; without a span always.

    Attributes:
        spans: Its stretches.
        text: As it was written.
    """

    spans: tuple[Span, ...]
    text: str = ""


def parse_window(text: str, *, where: str = "") -> Window:
    """A deploy window as the setting writes it.

    Args:
        text: Stretches with commas between, each like ``23:00-00:00 UTC`` or ``Sat 01:00-05:00 UTC``; weekdays mean
            the day on which a stretch begins. Empty: no window.
        where: Where the text stands, for the message.

    Returns:
        The window.

    Raises:
        BadInput: It cannot be understood, or names another time zone than UTC.
    """
    if not text.strip():
        return Window((), "")
    return Window(tuple(_span(part.strip(), where) for part in text.split(",")), text.strip())


def _span(text: str, where: str) -> Span:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise BadInput(f"deploy_window cannot be {visible(repr(text))}", where=where, fix=_EXAMPLE)
    zone = match["zone"]
    if zone is None or zone.upper() != "UTC":
        said = "says no time zone" if zone is None else f"names the time zone {visible(zone)}"
        raise BadInput(f"deploy_window {said}, and only UTC is known", where=where, fix=_EXAMPLE)
    begin, end = _seconds(match["begin"], where), _seconds(match["end"], where)
    length = (end - begin) % _DAY or (_DAY if (begin, end) == (0, _DAY) else 0)
    if not length or begin == _DAY:
        raise BadInput(
            f"deploy_window {visible(repr(text))} has no length", where=where, fix="00:00-24:00 UTC is a whole day"
        )
    return Span(_days(match["first"], match["last"], where), begin, length)


def _days(first: str | None, last: str | None, where: str) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    begin = _day(first, where)
    end = begin if last is None else _day(last, where)
    return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _day(name: str, where: str) -> int:
    if name.title() not in WEEKDAYS:
        raise BadInput(
            f"deploy_window names {visible(repr(name))}, which is no day", where=where, fix=f"use {', '.join(WEEKDAYS)}"
        )
    return WEEKDAYS.index(name.title())


def _seconds(text: str, where: str) -> int:
    hours, minutes = map(int, text.split(":"))
    if minutes > 59 or hours * 60 + minutes > 24 * 60:
        raise BadInput(f"there is no time {text}", where=where, fix="write 00:00 to 24:00")
    return (hours * 60 + minutes) * 60


def is_open(window: Window, at: float) -> bool:
    """Whether a deploy may begin at a time.

    Args:
        window: The window.
        at: Seconds since the epoch.
    """
    if not window.spans:
        return True
    today = int(at // _DAY)
    return any(
        begin <= at < begin + span.length
        for span in window.spans
        for day in (today - 1, today)
        if (begin := _beginning(span, day)) is not None
    )


def next_open(window: Window, at: float) -> float:
    """When a deploy may begin next.

    Args:
        window: The window.
        at: Seconds since the epoch.

    Returns:
        The time itself when it is open then, else the next beginning, seconds since the epoch.
    """
    if is_open(window, at):
        return at
    today = int(at // _DAY)
    return min(
        begin
        for span in window.spans
        for day in range(today, today + 9)
        if (begin := _beginning(span, day)) is not None and begin > at
    )


def _beginning(span: Span, day: int) -> float | None:
    """When a stretch begins on a day, counted from the epoch; None when it does not."""
    return day * _DAY + span.begin if (day + _EPOCH_WEEKDAY) % 7 in span.days else None


def closed_sentence(window: Window, at: float) -> str:
    """Why a deploy must not begin at a time, and when it may; empty when it may."""
    if is_open(window, at):
        return ""
    opens = next_open(window, at)
    return f"the deploy window ({visible(window.text)}) is closed at {clock.iso(at)}, it opens at {clock.iso(opens)}"


def refuse_closed(window: Window, at: float, *, force: bool) -> None:
    """Stop a deploy outside its window.

    Raises:
        EnvironmentFailed: The window is closed and nobody insists.
    """
    sentence = "" if force else closed_sentence(window, at)
    if sentence:
        opens = clock.iso(next_open(window, at))
        raise EnvironmentFailed(sentence, fix=f"mobius deploy --at {opens}, or --force, which is recorded")


def parse_time(text: str, now: float) -> float:
    """A time that somebody typed.

    Args:
        text: ``23:15`` (the next such time, UTC), ISO 8601 with a zone such as ``2026-11-20T23:15Z``, or ``+10m``
            (hours, minutes and seconds from now, such as ``+1h30m``).
        now: Seconds since the epoch.

    Returns:
        Seconds since the epoch, not before now.

    Raises:
        BadInput: It cannot be understood, is past, or more than ``FURTHEST_DAYS`` days ahead.
    """
    at = _typed(text.strip(), now)
    if at < now:
        raise BadInput(f"{visible(text.strip())} is past, it is {clock.iso(now)} now", fix="name a later time (UTC)")
    if at > now + FURTHEST_DAYS * _DAY:
        raise BadInput(f"{visible(text.strip())} is more than {FURTHEST_DAYS} days ahead", fix="name an earlier time")
    return at


def _typed(text: str, now: float) -> float:
    later = _LATER.fullmatch(text)
    if later is not None and any(later.groups()):
        hours, minutes, seconds = (int(part or 0) for part in later.groups())
        return now + hours * 3600 + minutes * 60 + seconds
    if _CLOCK.fullmatch(text):
        wanted = _seconds(text, "") % _DAY
        today = now // _DAY * _DAY + wanted
        return today if today >= now else today + _DAY
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{visible(repr(text))} is no time", fix='write "23:15" (UTC), "2026-11-20T23:15Z" or "+10m"'
        ) from None
    if found.tzinfo is None:
        raise BadInput(f"{visible(text)} says no time zone", fix="add a Z for UTC, like 2026-11-20T23:15Z")
    try:
        return found.astimezone(UTC).timestamp()
    except (OverflowError, ValueError):
        raise BadInput(f"{visible(text)} is no time that a calendar has", fix="name a nearer time") from None
