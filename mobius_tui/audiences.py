"""Who is told what, and how: the tables ``[notify.AUDIENCE]`` of the settings."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mobius_tui.errors import BadInput
from mobius_tui.redaction import redacted_words
from mobius_tui.text import visible

AUDIENCES: Final = ("devops", "qa", "sre", "performance", "infrastructure")
"""For whom a notification may be."""

DEFAULT: Final = "default"
"""The table for every audience that has no command and no url of its own."""

SEVERITIES: Final = ("info", "warning", "critical")
"""Least grave first."""

REPEAT_MINUTES: Final = 15.0
"""Minutes between two sendings of a critical notification that nobody has acknowledged, unless a table says other."""

_KEYS = ("command", "url", "at_least", "repeat_minutes")
_TARGETS = ("command", "url")
_MOST_MINUTES = 1440.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where the notifications for an audience go.

    Attributes:
        name: The table that names the target: an audience, or ``default``.
        command: A command line; empty when the target is an address.
        url: A webhook's address, a secret; empty when the target is a command.
        at_least: The least grave severity that is sent.
        repeat_minutes: Between two sendings of a critical one that nobody has acknowledged.
        source: Where the target was set, for people.
    """

    name: str
    command: str = ""
    url: str = ""
    at_least: str = "info"
    repeat_minutes: float = REPEAT_MINUTES
    source: str = ""

    def takes(self, severity: str) -> bool:
        """Whether a notification of this severity is sent."""
        return SEVERITIES.index(severity) >= SEVERITIES.index(self.at_least)

    @property
    def shown(self) -> str:
        """The target for people: of an address no more than the host, of a command no secret."""
        if not self.url:
            return visible(redacted_words(self.command))
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return visible(f"{parts.scheme}://{parts.hostname}{port}/...")


def routes_of(
    tables: object,
    sections: Mapping[str, object],
    environment: str,
    file_name: str,
    refuse: Callable[[BadInput], None],
) -> tuple[dict[str, Route], tuple[str, ...]]:
    """The route of each audience that has one, and the audiences that nothing was said of.

    Args:
        tables: What stands under ``notify`` in the settings file; None when nothing does.
        sections: The same under ``env.NAME``, by environment; all are checked.
        environment: The one that holds: its tables win, key by key.
        file_name: The settings file, for people.
        refuse: Told each thing that is wrong; what it lets pass is left out.

    Returns:
        Routes by audience; and the audiences for which neither a table of their own nor ``default`` names a target,
        not even an empty one, which means that nobody is to be told.
    """
    top = _known_tables(tables, f"{file_name} [notify", refuse)
    all_over = {name: _known_tables(each, f"{file_name} [env.{name}.notify", refuse) for name, each in sections.items()}
    over = all_over.get(environment, {})
    merged = {name: _over(top.get(name, {}), over.get(name, {})) for name in (*AUDIENCES, DEFAULT)}
    routes = {}
    for audience in AUDIENCES:
        own = merged[audience]
        name = audience if _has_target(own) else DEFAULT
        whole = {**merged[DEFAULT], **own} if name == DEFAULT else {**_rest(merged[DEFAULT]), **own}
        values = {key: value for key, (value, _) in whole.items()}
        sources = [whole[key][1] for key in _TARGETS if key in whole]
        if values.get("command") or values.get("url"):
            routes[audience] = Route(name, source=sources[0], **values)
    said = _has_target(merged[DEFAULT])
    return routes, tuple(name for name in AUDIENCES if not said and not _has_target(merged[name]))


_Table = dict[str, tuple[Any, str]]  # by key: the value, and where it was set


def _has_target(table: Mapping[str, object]) -> bool:
    return any(key in table for key in _TARGETS)


def _rest(table: _Table) -> _Table:
    """A table without its target."""
    return {key: value for key, value in table.items() if key not in _TARGETS}


def _over(table: _Table, winner: _Table) -> _Table:
    """Two tables for one audience: a command or url of the winner takes the place of both."""
    return {**(_rest(table) if _has_target(winner) else table), **winner}


def _known_tables(tables: object, where: str, refuse: Callable[[BadInput], None]) -> dict[str, _Table]:
    if tables is None:
        return {}
    if not isinstance(tables, Mapping):
        refuse(BadInput("notify must hold tables such as [notify.sre]", where=f"{where}]"))
        return {}
    found = {}
    for name, table in tables.items():
        place = f"{where}.{visible(str(name))}]"
        if name not in (*AUDIENCES, DEFAULT):
            fix = _nearest(str(name), (*AUDIENCES, DEFAULT)) or f"use {DEFAULT}, {', '.join(AUDIENCES)}"
            refuse(BadInput(f"{visible(repr(name))} is no audience", where=place, fix=fix))
        elif not isinstance(table, Mapping):
            refuse(BadInput("it must be a table", where=place))
        else:
            found[name] = _checked(table, place, refuse)
    return found


def _checked(table: Mapping[str, object], place: str, refuse: Callable[[BadInput], None]) -> _Table:
    found: _Table = {}
    for key, raw in table.items():
        try:
            found[key] = _value(key, raw, place), place
        except BadInput as error:
            refuse(error)
    if "command" in found and "url" in found:
        refuse(BadInput("command and url are both given", where=place, fix="give one of them"))
        del found["url"]
    return found


def _value(key: str, raw: object, place: str) -> str | float:
    """A value of a table, checked; what is wrong with an address is told without it.

    Raises:
        BadInput: It is unknown or cannot be used.
    """
    if key not in _KEYS:
        fix = _nearest(key, _KEYS) or f"use {', '.join(_KEYS)}"
        raise BadInput(f"unknown setting {visible(repr(key))}", where=place, fix=fix)
    if key == "repeat_minutes":
        if isinstance(raw, bool) or not isinstance(raw, int | float) or not 1 <= raw <= _MOST_MINUTES:
            raise BadInput(f"repeat_minutes must be a number from 1 to {_MOST_MINUTES:g}", where=place)
        return float(raw)
    if not isinstance(raw, str):
        raise BadInput(f"{key} must be text", where=place)
    if key == "at_least" and raw not in SEVERITIES:
        fix = _nearest(raw, SEVERITIES) or f"use {', '.join(SEVERITIES)}"
        raise BadInput(f"at_least cannot be {visible(repr(raw))}", where=place, fix=fix)
    if key == "url" and raw and not _is_address(raw):
        raise BadInput("url (hidden) is no http:// or https:// address", where=place, fix="check how it is written")
    return raw.strip()


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return whole and url.isascii() and url.isprintable() and " " not in url


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else ""
