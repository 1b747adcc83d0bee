"""Other keys for the console's actions: a TOML file, ``[keys]`` with an action's name and its key.

[keys]
pause = "P"
help = "f1"
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mobius_tui.console.asking import Action
from mobius_tui.errors import BadInput
from mobius_tui.text import visible

_NAMED = (
    "escape|enter|tab|space|backspace|delete|insert|home|end|pageup|pagedown|up|down|left|right|f[1-9]|f1[0-2]|[a-z]"
)
_KEY = re.compile(rf"((ctrl|alt|shift)\+)*({_NAMED})\Z")


def load_keymap(path: Path) -> Mapping[str, str]:
    """Keys by the name of their action.

    Args:
        path: The TOML file.

    Returns:
        What ``remapped`` takes.

    Raises:
        BadInput: The file cannot be read or is not of this form.
    """
    where = visible(str(path))
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"the keymap cannot be read: {visible(str(error))}", where=where) from error
    except UnicodeDecodeError as error:
        raise BadInput("the keymap is not UTF-8", where=where) from error
    except OSError as error:
        raise BadInput(f"the keymap cannot be read: {error.strerror}", where=where) from error
    keys = table.get("keys", {})
    if set(table) - {"keys"} or not isinstance(keys, dict):
        raise BadInput("a keymap holds one table, [keys]", where=where)
    for name, key in keys.items():
        if not isinstance(key, str) or not _is_key(key):
            raise BadInput(
                f"{visible(name)} cannot have the key {visible(str(key))!r}",
                where=where,
                fix='write one character, or a name such as "f5" or "ctrl+r"',
            )
    return keys


def _is_key(key: str) -> bool:
    return (len(key) == 1 and key.isprintable() and key != " ") or _KEY.match(key) is not None


def remapped(actions: Sequence[Action], keymap: Mapping[str, str]) -> tuple[Action, ...]:
    """The actions with the keys of a keymap.

    Args:
        actions: All actions, those that write included.
        keymap: Keys by the name of their action.

    Returns:
        The actions in the same order.

    Raises:
        BadInput: An action is unknown, a key would mean two things, or a key of what changes the catalogue is small.
    """
    names = [action.name for action in actions]
    for name in keymap:
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0.5)
            advice = f"did you mean {near[0]}?" if near else f"use one of {', '.join(names)}"
            raise BadInput(f"the keymap names no action with {visible(name)!r}", fix=advice)
    changed = tuple(
        replace(action, keys=(_spelled(keymap[action.name]),), shown=keymap[action.name])
        if action.name in keymap
        else action
        for action in actions
    )
    owners: dict[str, str] = {}
    for action in changed:
        grave = (action.question or action.plan) and action.leads is None  # what may only lead to a pane is harmless
        if grave and not (len(action.shown) == 1 and action.shown.isupper()):
            raise BadInput(f"{action.name} needs a capital letter as its key, not {visible(action.shown)!r}")
        for key in action.keys:
            if owners.setdefault(key, action.name) != action.name:
                raise BadInput(f"the key {action.shown!r} would mean both {owners[key]} and {action.name}")
    return changed


def _spelled(key: str) -> str:
    """The key as the toolkit spells it: ``/`` is ``slash``."""
    from textual.keys import _character_to_key

    return _character_to_key(key) if len(key) == 1 else key
