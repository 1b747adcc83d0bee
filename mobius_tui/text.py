"""Text of files, names and rows, made safe to show.

Nothing that comes from outside is markup or terminal control: control and bidirectional characters are shown escaped.
"""

from __future__ import annotations

import math
import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""The text with every control, format and bidirectional character escaped.

    Args:
        text: Anything, lone surrogates included.

    Returns:
        One line of printable text: ESC becomes ``\x1b``, U+202E becomes ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def counted(number: int, noun: str = "image") -> str:
    """How many of a thing, in words: ``1 image``, ``1,295 images``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def human_bytes(count: float) -> str:
    """A size for people, like ``1.2 MB``; count in bytes, powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def human_seconds(seconds: float) -> str:
    """A duration for people: ``0.4 s``, ``42 s``, ``3:05``, ``1:02:09``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def spoken_seconds(seconds: float) -> str:
    """A time that is left or added, for sentences: ``90 s``, ``15 min``, ``1 h 5 min``; whole minutes, rounded up."""
    if seconds < 119.5:
        return f"{max(0.0, seconds):.0f} s"
    hours, minutes = divmod(math.ceil(seconds / 60 - 0.01), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


_PART = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_PART}d)?(?:{_PART}h)?(?:{_PART}m)?(?:{_PART}s)?", re.ASCII)


def duration_of(text: str) -> float | None:
    """Seconds of a duration as people write it, like ``90s``, ``1h30m`` or ``7d``; None when it is none."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        return None
    return sum(float(part or 0) * unit for part, unit in zip(match.groups(), (86_400, 3600, 60, 1), strict=True))
