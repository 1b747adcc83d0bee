"""Settings: flags, environment, mobius.toml and defaults, each value with its source.

Standard library only: rollback and guard read these before anything third-party is imported.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mobius_tui.errors import BadInput
from mobius_tui.text import visible

ENVIRONMENTS = ("development", "staging", "production")
"""Where a workspace stands; the console always shows it."""

TOML_NAME = "mobius.toml"
"""The optional settings file in the workspace."""

_MEBI = 1024 * 1024


def _setting(
    default: object, text: str, *, alias: str = "", choices: tuple[str, ...] = (), secret: bool = False
) -> Any:
    return field(default=default, metadata={"text": text, "alias": alias, "choices": choices, "secret": secret})


@dataclass(frozen=True, slots=True)
class Settings:
    """Effective settings; paths as written, relative ones meant from the workspace."""

    environment: str = _setting("development", "where this workspace stands", choices=ENVIRONMENTS)
    library: str = _setting("library", "folder of the images", alias="LIBRARY_DIR")
    catalogue: str = _setting("", "the catalogue file; empty: library.json in the library, or in the workspace")
    backups: str = _setting("backups", "folder of the backups", alias="BACKUP_DIR")
    logs: str = _setting("logs", "folder of the logs", alias="MIGRATION_LOG_DIR")
    review: str = _setting("review", "folder of the review exports")
    themes: str = _setting("themes", "folder of the colour themes")
    state_dir: str = _setting(".mobius", "folder of database, journal and locks")
    retention_days: int = _setting(30, "days every backup is kept", alias="RETENTION_DAYS")
    log_level: str = _setting("info", "least level that is logged", choices=("debug", "info", "warning", "error"))
    profile: str = _setting("exact", "how images are decoded", choices=("exact", "fast"))
    threshold: int = _setting(10, "largest Hamming distance of a candidate pair, bits")
    max_failure_rate: float = _setting(0.05, "share of failed or missing images that stops a publication")
    parallel: int = _setting(0, "hashing processes; 0: one a core")
    batch_size: int = _setting(100, "images a commit")
    scan_seconds: float = _setting(10.0, "seconds between two scans of the library by the worker")
    watch_folder: bool = _setting(True, "whether the worker listens to folder events")
    add_unnamed: bool = _setting(True, "whether files that no entry names get one")
    max_pixels: int = _setting(200_000_000, "pixels of an image at most")
    max_bytes: int = _setting(512 * _MEBI, "bytes of an image file at most")
    image_seconds: float = _setting(30.0, "seconds an image may take")
    image_memory: int = _setting(3072 * _MEBI, "bytes of memory an image may take")
    theme: str = _setting("mobius-dark", "colours of the console")
    low_bandwidth: bool = _setting(False, "fewer repaints for slow links")
    ascii: bool = _setting(False, "plain ASCII borders and marks in the console")


@dataclass(frozen=True, slots=True)
class Sourced:
    """Settings and where each value came from."""

    values: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def setting_names() -> list[str]:
    """Every setting's name, in the order of ``mobius config``."""
    return [item.name for item in fields(Settings)]


def describe(name: str) -> str:
    """What a setting means, in a few words."""
    return str(Settings.__dataclass_fields__[name].metadata["text"])


def load_settings(
    root: Path, flags: Mapping[str, object], environ: Mapping[str, str], *, lenient: bool = False
) -> Sourced:
    """The effective settings of a workspace.

    Args:
        root: The workspace folder.
        flags: Values given on the command line, by setting name; None counts as not given.
        environ: The process environment.
        lenient: Turn a broken ``mobius.toml`` into a warning (for rollback) instead of an error.

    Returns:
        Values, their sources and warnings.

    Raises:
        BadInput: An unknown key, a value of a wrong type or out of range.
    """
    warnings: list[str] = []
    try:
        table = _read_toml(root / TOML_NAME)
        return _merge(table, flags, environ, ())
    except BadInput as error:
        if not lenient:
            raise
        warnings.append(str(error))
        return _merge({}, flags, environ, tuple(warnings))


def _merge(
    table: Mapping[str, object], flags: Mapping[str, object], environ: Mapping[str, str], warnings: tuple[str, ...]
) -> Sourced:
    top = {key: value for key, value in table.items() if key != "env"}
    _reject_unknown(top, TOML_NAME)
    chosen, source = _pick("environment", top, {}, flags, environ)
    environment = _convert("environment", chosen, source) if source != "default" else "development"
    sections = table.get("env", {})
    if not isinstance(sections, Mapping):
        raise BadInput("[env] must hold tables such as [env.production]", where=TOML_NAME)
    for name, section in sections.items():
        if name not in ENVIRONMENTS:
            raise BadInput(
                f"[env.{visible(str(name))}] is no environment", where=TOML_NAME, fix=f"use {_any(ENVIRONMENTS)}"
            )
        if not isinstance(section, Mapping):
            raise BadInput(f"[env.{name}] must be a table", where=TOML_NAME)
        _reject_unknown(section, f"{TOML_NAME} [env.{name}]")
    section = sections.get(str(environment), {})
    values: dict[str, Any] = {"environment": environment}
    sources = {"environment": source}
    for item in fields(Settings):
        if item.name == "environment":
            continue
        raw, origin = _pick(item.name, top, section, flags, environ, str(environment))
        sources[item.name] = origin
        values[item.name] = item.default if origin == "default" else _convert(item.name, raw, origin)
    return Sourced(Settings(**values), sources, warnings)


def _pick(
    name: str,
    top: Mapping[str, object],
    section: Mapping[str, object],
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    environment: str = "",
) -> tuple[object, str]:
    if flags.get(name) is not None:
        return flags[name], "flag"
    variable = f"MOBIUS_{name.upper()}"
    alias = Settings.__dataclass_fields__[name].metadata["alias"]
    for key in (variable, alias):
        if key and environ.get(key):
            return environ[key], key
    if name in section:
        return section[name], f"{TOML_NAME} [env.{environment}]"
    if name in top:
        return top[name], TOML_NAME
    return None, "default"


def _convert(name: str, raw: object, origin: str) -> object:
    item = Settings.__dataclass_fields__[name]
    kind = type(item.default)
    choices: tuple[str, ...] = item.metadata["choices"]
    try:
        value = _as_kind(kind, raw)
    except (TypeError, ValueError) as error:
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
        raise BadInput(f"{name} must be {wanted}, not {visible(str(raw))!r}", where=origin) from error
    if choices and value not in choices:
        near = difflib.get_close_matches(str(value), choices, 1)
        raise BadInput(
            f"{name} cannot be {visible(str(value))!r}",
            where=origin,
            fix=f"did you mean {near[0]}?" if near else f"use {_any(choices)}",
        )
    _check_range(name, value, origin)
    return value


_TRUTH = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def _as_kind(kind: type, raw: object) -> object:
    if kind is bool:
        return (
            raw if isinstance(raw, bool) else _TRUTH[str(raw).lower()] if str(raw).lower() in _TRUTH else _refuse(raw)
        )
    if isinstance(raw, bool):
        return _refuse(raw)
    if kind is str:
        return raw if isinstance(raw, str) else _refuse(raw)
    if kind is int:
        return raw if isinstance(raw, int) else int(str(raw)) if isinstance(raw, str) else _refuse(raw)
    number = float(raw) if isinstance(raw, int | float | str) else _refuse(raw)
    return number if math.isfinite(number) else _refuse(raw)


def _refuse(raw: object) -> Any:
    raise ValueError(raw)


_RANGES = {
    "threshold": (0, 64),
    "max_failure_rate": (0.0, 1.0),
    "parallel": (0, 1024),
    "batch_size": (1, 100_000),
    "scan_seconds": (0.5, 86_400.0),
    "retention_days": (0, 36_500),
    "max_pixels": (1, 10**12),
    "max_bytes": (1, 10**12),
    "image_seconds": (0.1, 3600.0),
    "image_memory": (64 * _MEBI, 10**13),
}


def _check_range(name: str, value: Any, origin: str) -> None:
    if name in _RANGES:
        least, most = _RANGES[name]
        if not least <= value <= most:
            raise BadInput(f"{name} must be from {least} to {most}, not {value}", where=origin)
    if name in {"library", "backups", "logs", "review", "state_dir"} and (not value or "\0" in value):
        raise BadInput(f"{name} must name a folder", where=origin)


def _reject_unknown(table: Mapping[str, object], where: str) -> None:
    known = setting_names()
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1, 0.5)
            advice = f"did you mean {near[0]}?" if near else "see `mobius config` for the known ones"
            raise BadInput(f"unknown setting {visible(key)!r}", where=where, fix=advice)


def _read_toml(path: Path) -> Mapping[str, object]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except IsADirectoryError as error:
        raise BadInput(f"{TOML_NAME} is a folder, not a file", where=visible(str(path))) from error
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput(f"{TOML_NAME} is not UTF-8 (byte {error.start})", where=visible(str(path))) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"{TOML_NAME} cannot be read: {visible(str(error))}", where=visible(str(path))) from error


def _any(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1]
