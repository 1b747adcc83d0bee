"""Colour themes: TOML files, built-in ones and the workspace's own."""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import BadInput
from mobius_tui.text import visible

COLORS = (
    "background", "foreground", "strong", "muted", "border", "focus", "accent", "ok", "warn", "bad", "bar", "rest",
    "key", "header_background", "header_foreground", "production_background", "production_foreground",
    "cursor_background", "cursor_foreground",
)  # fmt: skip
"""Every colour a theme has."""

ANSI_NAMES = (
    "default", "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
    "bright_black", "bright_red", "bright_green", "bright_yellow",
    "bright_blue", "bright_magenta", "bright_cyan", "bright_white",
)  # fmt: skip
"""Colours of a theme with ``ansi = true``."""

_KEYS = ("dark", "ansi", "colors")
_HEX = re.compile(r"#[0-9a-fA-F]{6}\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Theme:
    """A colour theme.

    Attributes:
        dark: Whether its background is dark.
        ansi: Whether its colours are the terminal's own.
        colors: A colour for each of ``COLORS``: ``#rrggbb``, or one of ``ANSI_NAMES``.
    """

    name: str
    dark: bool
    ansi: bool
    colors: Mapping[str, str]


def builtin_folder() -> Path:
    """Where the built-in themes lie: in the installed package, or at the top of a source checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "builtin_themes"
    return installed if installed.is_dir() else package.parent / "themes"


def theme_names(folder: Path | None) -> list[str]:
    """Names of all themes, built-in ones and those in a workspace's folder, sorted."""
    folders = [builtin_folder(), *([folder] if folder else [])]
    return sorted({path.stem for each in folders for path in each.glob("*.toml") if _NAME.match(path.stem)})


def load_theme(name: str, folder: Path | None = None) -> Theme:
    """The theme of a name; the workspace's own before the built-in one.

    Args:
        name: The file's name without ``.toml``.
        folder: The workspace's folder of themes; None looks at the built-in ones only.

    Returns:
        The theme.

    Raises:
        BadInput: There is none, it is broken, or others can write where it lies.
    """
    if not _NAME.match(name):
        raise BadInput(f"no theme can be called {visible(name)!r}", fix=f"use one of {_listed(folder)}")
    builtin = builtin_folder()
    own = folder / f"{name}.toml" if folder else None
    if own is not None and folder is not None and own.is_file() and not _same(folder, builtin):
        for path in (folder.parent, folder, own):
            _refuse_shared(path)
        return _read(own, name)
    if (builtin / f"{name}.toml").is_file():
        return _read(builtin / f"{name}.toml", name)
    near = difflib.get_close_matches(name, theme_names(folder), 1, 0.5)
    raise BadInput(
        f"there is no theme {name!r}", fix=f"did you mean {near[0]}?" if near else f"use one of {_listed(folder)}"
    )


def _listed(folder: Path | None) -> str:
    return ", ".join(theme_names(folder))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _refuse_shared(path: Path) -> None:
    """A theme is refused where others can write, for whoever writes it chooses what an operator cannot see."""
    if os.name != "posix":
        return
    status = path.stat()
    if status.st_uid not in {0, os.geteuid()}:
        raise BadInput("the theme belongs to somebody else", where=visible(str(path)), fix="use a built-in theme")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise BadInput(
            "others can write where the theme lies, so it is not used",
            where=visible(str(path)),
            fix=f"chmod go-w {visible(str(path))}",
        )


def _read(path: Path, name: str) -> Theme:
    where = visible(str(path))
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput("the theme is not UTF-8", where=where) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"the theme cannot be read: {visible(str(error))}", where=where) from error
    except OSError as error:
        raise BadInput(f"the theme cannot be read: {error.strerror}", where=where) from error
    _known(table, _KEYS, "key", where)
    dark, ansi, colors = table.get("dark", True), table.get("ansi", False), table.get("colors", {})
    if not isinstance(dark, bool) or not isinstance(ansi, bool):
        raise BadInput("dark and ansi must be true or false", where=where)
    if not isinstance(colors, dict):
        raise BadInput("[colors] must be a table", where=where)
    _known(colors, COLORS, "colour", where)
    for key, value in colors.items():
        _check_color(key, value, ansi, where)
    return Theme(name, dark, ansi, {**_base(dark, ansi, name), **colors})


def _base(dark: bool, ansi: bool, name: str) -> Mapping[str, str]:
    """The built-in theme that gives the colours a theme leaves out."""
    base = "mobius-ansi" if ansi else "mobius-dark" if dark else "mobius-light"
    path = builtin_folder() / f"{base}.toml"
    if base == name or not path.is_file():
        return dict.fromkeys(COLORS, "default")
    return {str(key): str(value) for key, value in tomllib.loads(path.read_text("utf-8"))["colors"].items()}


def _known(table: Mapping[str, object], known: tuple[str, ...], what: str, where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            raise BadInput(
                f"unknown {what} {visible(key)!r} in the theme",
                where=where,
                fix=f"did you mean {near[0]}?" if near else f"use {', '.join(known)}",
            )


def _check_color(key: str, value: object, ansi: bool, where: str) -> None:
    if ansi and value not in ANSI_NAMES:
        raise BadInput(
            f"{key} cannot be {visible(str(value))!r} in a theme of the terminal's own colours",
            where=where,
            fix=f"use one of {', '.join(ANSI_NAMES)}",
        )
    if not ansi and not (isinstance(value, str) and _HEX.match(value)):
        raise BadInput(f"{key} cannot be {visible(str(value))!r}", where=where, fix="write a colour as #rrggbb")
