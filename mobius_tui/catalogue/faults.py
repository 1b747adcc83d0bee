"""Where a JSON text breaks the rules that a fast scanner cannot place.

The C scanner of the standard library says where a syntax error is, but not where a key was repeated, where a NaN stood
or how deep a value goes. Only when one of these was met, this slow walk over the tokens finds the place.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

MAX_DEPTH = 200
"""Levels of nesting accepted in one value; jq reads 256."""

_TOKEN = re.compile(r'[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\],:]|[^ \t\n\r"{}\[\],:]+)', re.DOTALL)


class Fault(NamedTuple):
    """A broken rule: what it is, in words, and the offset in the text."""

    what: str
    offset: int


def first_fault(text: str, start: int = 0) -> Fault | None:
    """The first repeated key, NaN, infinity or too deep nesting of one JSON value.

    Args:
        text: The whole text.
        start: Offset of the value; what follows it is not looked at.

    Returns:
        The fault, or None when there is none before the value's end.
    """
    levels: list[set[str] | None] = []
    key_next = False
    offset = start
    while match := _TOKEN.match(text, offset):
        token, at, offset = match[1], match.start(1), match.end()
        if token in {"{", "["}:
            levels.append(set() if token == "{" else None)
            key_next = token == "{"
            if len(levels) > MAX_DEPTH:
                return Fault(f"nests deeper than {MAX_DEPTH} levels", at)
        elif token in {"}", "]"}:
            if levels:
                levels.pop()
            key_next = False
        elif token == ",":
            key_next = bool(levels) and levels[-1] is not None
        elif token in {"NaN", "Infinity", "-Infinity"}:
            return Fault(f"has {token}, which JSON does not know", at)
        elif key_next and token[0] == '"' and levels and (keys := levels[-1]) is not None:
            key_next = False
            try:
                name = json.loads(token, strict=False)
            except json.JSONDecodeError:
                return None  # a syntax error, which the scanner has placed already
            if name in keys:
                return Fault(f"has the key {token} twice in one object", at)
            keys.add(name)
        if not levels and token != ":":
            return None
    return None


def is_too_deep(value: object) -> bool:
    """Whether a parsed value nests deeper than ``MAX_DEPTH``; a level at a time, much faster than its text's tokens."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        level = [
            item
            for held in level
            for item in (held.values() if type(held) is dict else held)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return False
    return True


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, both from 1; columns count characters."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
