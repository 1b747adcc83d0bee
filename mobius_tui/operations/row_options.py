"""Options of an operation, read back from a job's row; rows are data from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import NoneType
from typing import Any, TypeVar

from mobius_tui.errors import BadInput
from mobius_tui.text import visible

Options = TypeVar("Options")

_KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "str": (str,),
    "Profile": (str,),
    "str | None": (str, NoneType),
    "int | None": (int, NoneType),
    "float | None": (float, int, NoneType),
}


def options_from(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """Make options of a dataclass from a row's values; keys that are none are passed over.

    Args:
        kind: The dataclass; its fields are of the kinds that a row can hold.
        values: The row's.

    Returns:
        The options.

    Raises:
        BadInput: A value is of the wrong kind.
    """
    kinds = {item.name: _KINDS[str(item.type)] for item in fields(kind)}  # type: ignore[arg-type]
    taken = {name: value for name, value in values.items() if name in kinds}
    for name, value in taken.items():
        if type(value) not in kinds[name]:
            raise BadInput(f"the job's row has {visible(repr(value)[:80])} as its {name}")
    return kind(**taken)
