"""Taking secrets and personal data out of texts and JSON data before they are kept or sent.

Standard library only, and quick on a text without any: each rule runs only where one of its words stands.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

HIDDEN: Final = "[hidden]"
"""What stands where a secret was."""

_SECRET = (
    r"(?:api[_-]?key|private[_-]?key|secret|password|passwd|token|credential|authorization|gps|latitude|longitude)"
)
_IS_SECRET = re.compile(rf"(?i)[\w.-]*{_SECRET}[\w-]*")
_SECRET_WORDS = ("key", "secret", "passw", "token", "credential", "authorization", "gps", "latitude", "longitude")

_Rule = tuple[tuple[str, ...], re.Pattern[str], str]


def own_home_rule(home: str) -> tuple[_Rule, ...]:
    """The rule for this account's home folder where it lies elsewhere, such as /var/lib/mobius.

    Args:
        home: The folder; none when it is as short as ``/srv``, which names nobody.
    """
    plain = home.rstrip("/\\")
    if len(plain.replace("\\", "/").split("/")) < 3 or "~" in plain:
        return ()
    return (((plain.lower(),), re.compile(rf"{re.escape(plain)}(?=[/\\\s\"':,;]|$)"), "~"),)


_SECRETS: Final[tuple[_Rule, ...]] = (
    (("://",), re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@\"']+@"), r"\1[login]@"),
    (
        ("private key-----",),
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        "[key]",
    ),
    (("bearer", "basic", "token"), re.compile(r"(?i)\b(bearer|basic|token)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 [token]"),
    (
        ("gh", "sk-", "xox", "akia", "eyj", "age-secret"),
        re.compile(
            r"\b(?:gh[pousr]_\w{20,}|github_pat_\w{20,}|sk-[\w-]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}"
            r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|AGE-SECRET-KEY-[\w-]{10,})"
        ),
        "[token]",
    ),
    (
        _SECRET_WORDS,
        # a name that goes on with a dot is a file's: "gold-token.png: truncated" tells no secret
        re.compile(
            rf"(?i)({_SECRET}[\w-]{{0,64}}[\"']?\s{{0,8}}[:=]\s{{0,8}})"
            r"(?:\"[^\"]*\"|'[^']*'|\[[^\]]*\]|[^\s,;}\]]+)"
        ),
        rf"\1{HIDDEN}",
    ),
    (
        _SECRET_WORDS,
        # an option of a command line: `--password hunter2`
        re.compile(
            rf"(?i)(?<![\w-])(--[\w-]{{0,40}}{_SECRET}[\w-]{{0,40}}\s{{1,8}})(?:\"[^\"]*\"|'[^']*'|\[[^\]]*\]|(?!-)[^\s\"',;}}\]]+)"
        ),
        rf"\1{HIDDEN}",
    ),
    (
        ("curl", "wget", "://"),
        # `curl -u name:password`
        re.compile(r"(?i)(?<!\S)((?:-u|--(?:proxy-)?user)[ =]?[\"']?)[^\s:\"']{1,200}:[^\s\"']+"),
        r"\1[login]",
    ),
    (
        ("?", "&"),
        re.compile(r"(?i)([?&](?:key|auth|access|code|sig|signature)=)[^\s&#\"']+"),
        rf"\1{HIDDEN}",
    ),
    (
        ("hook",),
        # what stands in these addresses is all that a sender needs
        re.compile(r"(?i)(https?://[\w.-]*(?:hooks\.slack\.com/\w+/|/(?:api/)?webhooks?/))[^\s\"']+"),
        r"\1[token]",
    ),
)
"""What makes a rule worth trying (any of the lower-case words), what it takes out, and what stands there then."""

_RULES: Final[tuple[_Rule, ...]] = (
    *_SECRETS,
    (("@",), re.compile(r"[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"), "[e-mail]"),
    (
        ("/home/", "users", "/root"),
        re.compile(r"(/(?:home|Users)/)[^/\s\"'\\:,;]+|/root(?=[/\s\"':,;]|$)|[A-Za-z]:\\\\?Users\\\\?[^\\\s\"':,;]+"),
        "~",
    ),
    (
        ("°",),
        re.compile(
            r"\d{1,3}(?:\.\d+)?\s*°\s*(?:\d{1,2}(?:\.\d+)?\s*['′]\s*)?(?:\d{1,2}(?:\.\d+)?\s*[\"″]\s*)?[NSEWO]\b"
        ),
        "[position]",
    ),
    *own_home_rule(os.path.expanduser("~")),  # noqa: PTH111 - a home that cannot be told stays "~"
)
"""The same for these and for personal data."""


def redacted(text: str) -> str:
    """A text without e-mail addresses, tokens, keys, positions and the names of home folders.

    Args:
        text: Lines of words, or of JSON objects, which stay such.

    Returns:
        The text with marks such as ``[e-mail]`` and ``~`` in their place.
    """
    return "".join(_redacted_line(line) for line in text.splitlines(keepends=True))


def redacted_words(text: str) -> str:
    """The same for a text that is taken as words, whatever it looks like."""
    return _applied(_RULES, text)


def without_secrets(text: str) -> str:
    """A text without logins, tokens and keys, names of folders and people left in: for who may see them."""
    return _applied(_SECRETS, text)


def _applied(rules: tuple[_Rule, ...], text: str) -> str:
    lower = text.lower()
    for words, pattern, instead in rules:
        for word in words:
            if word in lower:
                text = pattern.sub(instead, text)
                break
    return text


def redacted_value(value: object) -> object:
    """JSON data with every string redacted, and hidden what a secret's name stands before.

    Args:
        value: Anything ``json`` writes; whatever it does not, such as a path, becomes its text. Numbers, truth values,
            null, lists and objects stay what they are.

    Returns:
        Data for ``json``.

    Raises:
        TypeError: A key is neither text nor a number.
        RecursionError: It contains itself.
    """
    if isinstance(value, str):
        return redacted_words(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [redacted_value(item) for item in value]
    if isinstance(value, Mapping):
        return dict(_member(name, item) for name, item in value.items())
    return redacted_words(str(value))


def _member(name: object, item: object) -> tuple[str, object]:
    """A name and what stands under it: nothing but its presence when the name is a secret's."""
    if isinstance(name, str):
        shown, secret = _name(name)
        if secret and item is not None and not isinstance(item, bool):
            return shown, HIDDEN
        return shown, redacted_value(item)
    if name is None or isinstance(name, bool | int | float):
        return json.dumps(name), redacted_value(item)
    raise TypeError(f"keys must be text or numbers, not {type(name).__name__}")


@lru_cache(1024)
def _name(name: str) -> tuple[str, bool]:
    """A member's name, redacted, and whether it is a secret's; the same few come again and again."""
    lower = name.lower()
    secret = any(word in lower for word in _SECRET_WORDS) and _IS_SECRET.fullmatch(name) is not None
    return redacted_words(name), secret


def _redacted_line(line: str) -> str:
    if line.startswith("{"):
        try:
            return json.dumps(redacted_value(json.loads(line))) + "\n"
        except (ValueError, RecursionError):
            pass
    return redacted_words(line)
