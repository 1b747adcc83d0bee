"""Which command lines go the plain way, told before anything else is imported."""

from __future__ import annotations

from collections.abc import Sequence

_TAKES_VALUE = {"--workspace", "--env", "--as", "--timeout"}
_FLAGS = {"--json", "-v", "--verbose", "-q", "--quiet"}


def verb_of(arguments: Sequence[str]) -> str:
    """Which of the verbs that need no package a command line calls.

    Args:
        arguments: What follows ``mobius``.

    Returns:
        ``rollback``, ``backup verify``, ``guard-run``, or empty for any other.
    """
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word in _TAKES_VALUE:
            next(rest, "")
        elif word in _FLAGS or (word.startswith("--") and word.partition("=")[0] in _TAKES_VALUE):
            continue
        elif word.startswith("-"):
            return ""
        else:
            words.append(word)
            if " ".join(words) in {"rollback", "backup verify", "guard-run"}:
                return " ".join(words)
            if words != ["backup"]:
                return ""
    return ""
