"""Settings: flags, environment, mobius.toml and defaults, each value with its source.

Standard library only: rollback and guard read these before anything third-party is imported.
"""

from __future__ import annotations

import math
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mobius_tui.audiences import Route, routes_of
from mobius_tui.errors import BadInput, EnvironmentFailed, MobiusError
from mobius_tui.logs import LEVELS
from mobius_tui.redaction import without_secrets
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
    backup_every: float = _setting(0.0, "hours between backups that the worker makes by itself; 0: none")
    backup_key_file: str = _setting("", "age identity file for encrypted backups; nobody else may read it")
    log_level: str = _setting("info", "least level that the log files hold", choices=LEVELS)
    profile: str = _setting("exact", "how images are decoded", choices=("exact", "fast"))
    threshold: int = _setting(10, "largest Hamming distance of a candidate pair, bits")
    max_failure_rate: float = _setting(0.05, "share of failed or missing images that stops a publication")
    parallel: int = _setting(0, "hashing processes; 0: one a core")
    batch_size: int = _setting(100, "images a commit")
    scan_seconds: float = _setting(10.0, "seconds between two scans of the library by the worker")
    sync: str = _setting("off", "whether the worker writes changes into a published catalogue", choices=("off", "live"))
    watch_folder: bool = _setting(True, "whether the worker listens to folder events")
    add_unnamed: bool = _setting(True, "whether files that no entry names get one")
    max_pixels: int = _setting(200_000_000, "pixels of an image at most")
    max_bytes: int = _setting(512 * _MEBI, "bytes of an image file at most")
    image_seconds: float = _setting(30.0, "seconds an image may take")
    image_memory: int = _setting(3072 * _MEBI, "bytes of memory an image may take")
    deploy_window: str = _setting("", "when a deploy in production may begin, like 23:00-00:00 UTC; empty: always")
    hook_before_swap: str = _setting("", "command of the operator's before a deploy's swap")
    hook_after_swap: str = _setting("", "command of the operator's after a deploy's swap")
    hook_on_rollback: str = _setting("", "command of the operator's when a deploy or person rolled back")
    hook_on_completion: str = _setting("", "command of the operator's when a deploy has ended, whichever way")
    hooks_required: str = _setting("", "hooks whose failure stops the deploy, such as before_swap, after_swap")
    hook_seconds: float = _setting(60.0, "seconds a hook may take")
    settle_seconds: float = _setting(30.0, "seconds between a swap and its smoke tests")
    hold_seconds: float = _setting(10.0, "seconds that the file which came out of a swap is watched")
    backup_seconds: float = _setting(900.0, "seconds that the backup of a deploy may take")
    migrate_seconds: float = _setting(21_600.0, "seconds that the migration of a deploy may take")
    verify_seconds: float = _setting(900.0, "seconds that the verification of a staged catalogue may take")
    smoke_seconds: float = _setting(300.0, "seconds that the smoke tests of a deploy may take")
    host: str = _setting("127.0.0.1", "address the worker answers HTTP on; another than loopback opens it to others")
    port: int = _setting(5001, "its port; 0: any free one")
    base_url: str = _setting("", "where health is asked; empty: the worker's own address", alias="BASE_URL")
    internal_api_key: str = _setting("", "key for metrics and API", alias="INTERNAL_API_KEY", secret=True)
    internal_api_key_file: str = _setting("", "file that holds this key instead; nobody else may read it")
    upload_bytes: int = _setting(64 * _MEBI, "bytes of an uploaded image at most")
    watch_seconds: float = _setting(3600.0, "how long the watch after a deploy lasts")
    watch_interval: float = _setting(60.0, "seconds between two measurements of a watch")
    canary_seconds: float = _setting(600.0, "how long a canary is watched")
    probe_images: int = _setting(100, "images that a watch sends through the service at each measurement")
    dead_man_url: str = _setting("", "address that a running watch calls each minute", secret=True)
    theme: str = _setting("mobius-dark", "colours of the console")
    low_bandwidth: bool = _setting(False, "fewer repaints for slow links")
    ascii: bool = _setting(False, "plain ASCII borders and marks in the console")


@dataclass(frozen=True, slots=True)
class Sourced:
    """Settings and where each value came from.

    Attributes:
        values: What holds.
        sources: By setting: ``flag``, a variable's name, ``mobius.toml``, ``mobius.toml [env.NAME]`` or ``default``.
        warnings: What a person should know, such as a misspelt ``MOBIUS_`` variable.
        routes: Where notifications go, by audience; none for an audience that nobody listens for.
        unrouted: The audiences among those whose silence nobody has asked for: no table names a target for them.
    """

    values: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    routes: Mapping[str, Route] = field(default_factory=dict)
    unrouted: tuple[str, ...] = ()


PATHS = ("library", "catalogue", "backups", "logs", "review", "themes", "state_dir", "backup_key_file",
         "internal_api_key_file")  # fmt: skip
"""Settings that name a file or folder; relative ones are meant from the workspace, whoever reads them from wherever."""

_FILES = {"catalogue", "backup_key_file", "internal_api_key_file"}

OTHER_VARIABLES = (
    "MOBIUS_WORKSPACE", "MOBIUS_RUN", "MOBIUS_MOMENT", "MOBIUS_LIVE", "MOBIUS_BACKUP", "MOBIUS_OUTCOME",
    "MOBIUS_NOTIFY_KIND", "MOBIUS_NOTIFY_SEVERITY", "MOBIUS_NOTIFY_AUDIENCE", "MOBIUS_NOTIFY_TITLE",
)  # fmt: skip
"""``MOBIUS_`` variables that are no settings; all but the first are told to hooks and notification commands."""


def setting_names() -> list[str]:
    """Every setting's name, in the order of ``mobius config``."""
    return [item.name for item in fields(Settings)]


def describe(name: str) -> str:
    """What a setting means, in a few words."""
    return str(Settings.__dataclass_fields__[name].metadata["text"])


def is_secret(name: str) -> bool:
    """Whether a setting's value must never be shown."""
    return bool(Settings.__dataclass_fields__[name].metadata["secret"])


def secret_variables() -> frozenset[str]:
    """Variables that hold a secret: no program that MOBIUS runs inherits them without need."""
    secret = [item for item in fields(Settings) if item.metadata["secret"]]
    names = [f"MOBIUS_{item.name.upper()}" for item in secret] + [item.metadata["alias"] for item in secret]
    return frozenset(name for name in names if name)


def shown_setting(name: str, value: object) -> object:
    """A setting's value as it may be shown, in a report too: without the secrets that addresses and commands hold."""
    if is_secret(name) and value:
        return "(hidden)"
    return without_secrets(value) if isinstance(value, str) and name.startswith(("base_url", "hook_")) else value


def load_settings(
    root: Path, flags: Mapping[str, object], environ: Mapping[str, str], *, lenient: bool = False
) -> Sourced:
    """The effective settings of a workspace.

    An empty variable counts as not set.

    Args:
        root: The workspace folder.
        flags: Values given on the command line, by setting name; None counts as not given.
        environ: The process environment.
        lenient: Leave out what is wrong in ``mobius.toml`` or a variable, with a warning (for rollback and status);
            what is right in it still holds. A wrong flag is an error all the same.

    Returns:
        Values, their sources and warnings.

    Raises:
        BadInput: An unknown key, a value of a wrong type or out of range.
        EnvironmentFailed: ``mobius.toml`` cannot be read.
    """
    return _Loading(root, flags, environ, lenient).load()


class _Loading:
    """One reading of all sources; collects warnings."""

    def __init__(self, root: Path, flags: Mapping[str, object], environ: Mapping[str, str], lenient: bool) -> None:
        self.root = root
        self.flags = flags
        self.environ = environ
        self.lenient = lenient
        self.warnings: list[str] = []
        self.notify: object = None
        self.notify_of: dict[str, object] = {}

    def load(self) -> Sourced:
        top, sections = self._tables()
        environment, source = self._value("environment", top, {}, "")
        name = str(environment)
        section = sections.get(name, {})
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for item in fields(Settings):
            if item.name == "environment":
                values[item.name], sources[item.name] = environment, source
            else:
                values[item.name], sources[item.name] = self._value(item.name, top, section, name)
        routes, unrouted = routes_of(self.notify, self.notify_of, name, TOML_NAME, self._refuse)
        self.warnings += _misspelt_variables(self.environ)
        return Sourced(Settings(**values), sources, tuple(self.warnings), routes, unrouted)

    def _tables(self) -> tuple[Mapping[str, object], Mapping[str, Mapping[str, object]]]:
        """The top table and those of the environments, checked for keys."""
        try:
            table = dict(_read_toml(self.root / TOML_NAME))
        except MobiusError as error:
            self._refuse(error)
            return {}, {}
        given = table.pop("env", {})
        self.notify = table.pop("notify", None)
        top = self._known(table, TOML_NAME, setting_names())
        if not isinstance(given, Mapping):
            self._refuse(BadInput("[env] must hold tables such as [env.production]", where=TOML_NAME))
            return top, {}
        sections: dict[str, Mapping[str, object]] = {}
        for name, section in given.items():
            if name not in ENVIRONMENTS:
                advice = _nearest(str(name), ENVIRONMENTS) or f"use {_any(ENVIRONMENTS)}"
                self._refuse(BadInput(f"[env.{visible(str(name))}] is no environment", where=TOML_NAME, fix=advice))
            elif not isinstance(section, Mapping):
                self._refuse(BadInput(f"[env.{name}] must be a table", where=TOML_NAME))
            else:
                allowed = [known for known in setting_names() if known != "environment"]
                self.notify_of[name] = section.get("notify")
                rest = {key: value for key, value in section.items() if key != "notify"}
                sections[name] = self._known(rest, f"{TOML_NAME} [env.{name}]", allowed)
        return top, sections

    def _known(self, table: Mapping[str, object], where: str, allowed: Sequence[str]) -> Mapping[str, object]:
        found: dict[str, object] = {}
        for key, value in table.items():
            if key in allowed:
                found[key] = value
                continue
            advice = _nearest(key, allowed) or "see `mobius config` for the known ones"
            self._refuse(BadInput(f"unknown setting {visible(repr(key))}", where=where, fix=advice))
        return found

    def _value(
        self, name: str, top: Mapping[str, object], section: Mapping[str, object], environment: str
    ) -> tuple[object, str]:
        """The first source's value that is given and, when lenient, right."""
        for raw, source in self._given(name, top, section, environment):
            try:
                return _convert(name, raw, source), source
            except BadInput as error:
                if source == "flag":
                    raise
                self._refuse(error)
        return Settings.__dataclass_fields__[name].default, "default"

    def _given(
        self, name: str, top: Mapping[str, object], section: Mapping[str, object], environment: str
    ) -> list[tuple[object, str]]:
        given: list[tuple[object, str]] = []
        if self.flags.get(name) is not None:
            given.append((self.flags[name], "flag"))
        keys = (f"MOBIUS_{name.upper()}", Settings.__dataclass_fields__[name].metadata["alias"])
        given += [(self.environ[key], key) for key in keys if key and self.environ.get(key)]
        if name in section:
            given.append((section[name], f"{TOML_NAME} [env.{environment}]"))
        if name in top:
            given.append((top[name], TOML_NAME))
        return given

    def _refuse(self, error: MobiusError) -> None:
        if not self.lenient:
            raise error
        self.warnings.append(str(error))


def _misspelt_variables(environ: Mapping[str, str]) -> list[str]:
    import difflib

    settings = [*setting_names(), "workspace"]  # what a person sets; the other variables are told to hooks
    known = {f"MOBIUS_{name.upper()}" for name in settings} | set(OTHER_VARIABLES)
    found = []
    for name in sorted(environ):
        if name.startswith("MOBIUS_") and name not in known:
            meant = name.removeprefix("MOBIUS_").lower()
            longer = [each for each in settings if len(meant) > 2 and each.startswith(meant)]
            near = longer if len(longer) == 1 else difflib.get_close_matches(meant, settings, 1, 0.6)
            advice = f"did you mean MOBIUS_{near[0].upper()}?" if near else ""
            found.append(f"the variable {visible(name)} means nothing to MOBIUS" + (f"; {advice}" if advice else ""))
    return found


def _convert(name: str, raw: object, origin: str) -> object:
    item = Settings.__dataclass_fields__[name]
    kind = type(item.default)
    choices: tuple[str, ...] = item.metadata["choices"]
    shown = "(hidden)" if is_secret(name) else visible(repr(raw))
    try:
        value = _as_kind(kind, raw)
    except (TypeError, ValueError) as error:
        wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
        raise BadInput(f"{name} must be {wanted}, not {shown}", where=origin) from error
    if choices and value not in choices:
        advice = _nearest(str(value), choices) or f"use {_any(choices)}"
        raise BadInput(f"{name} cannot be {shown}", where=origin, fix=advice)
    _check_range(name, value, origin)
    return value


_TRUTH = dict.fromkeys(("1", "true", "yes", "on"), True) | dict.fromkeys(("0", "false", "no", "off"), False)


def _as_kind(kind: type, raw: object) -> object:
    if kind is bool:
        return raw if isinstance(raw, bool) else _truth(raw)
    if isinstance(raw, bool):
        raise ValueError(raw)
    if kind is str:
        return _text(raw)
    if kind is int:
        return raw if isinstance(raw, int) else int(_text(raw))
    number = float(raw) if isinstance(raw, int | float | str) else math.nan
    if not math.isfinite(number):
        raise ValueError(raw)
    return number


def _truth(raw: object) -> bool:
    word = _text(raw).strip().lower()
    if word not in _TRUTH:
        raise ValueError(raw)
    return _TRUTH[word]


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise ValueError(raw)
    return raw


_RANGES = {
    "threshold": (0, 64),
    "max_failure_rate": (0.0, 1.0),
    "parallel": (0, 1024),
    "batch_size": (1, 100_000),
    "scan_seconds": (0.5, 86_400.0),
    "retention_days": (0, 36_500),
    "port": (0, 65_535),
    "backup_every": (0.0, 8760.0),
    "settle_seconds": (0.0, 3600.0),
    "hold_seconds": (0.0, 600.0),
    "backup_seconds": (1.0, 86_400.0),
    "migrate_seconds": (1.0, 864_000.0),
    "verify_seconds": (1.0, 86_400.0),
    "smoke_seconds": (1.0, 3600.0),
    "max_pixels": (1, 10**12),
    "max_bytes": (1, 10**12),
    "image_seconds": (0.1, 3600.0),
    "image_memory": (64 * _MEBI, 10**13),
    "hook_seconds": (0.1, 3600.0),
    "upload_bytes": (1024, 10**10),
    "watch_seconds": (1.0, 604_800.0),
    "watch_interval": (0.05, 3600.0),
    "canary_seconds": (1.0, 86_400.0),
    "probe_images": (0, 1000),
}


def _check_range(name: str, value: Any, origin: str) -> None:
    if name in _RANGES:
        least, most = _RANGES[name]
        if not least <= value <= most:
            raise BadInput(f"{name} must be from {least} to {most}, not {value}", where=origin)
    if name == "base_url" and value and not value.startswith(("http://", "https://")):
        raise BadInput(
            f"base_url must begin with http:// or https://, not {visible(value.rpartition('@')[2])}", where=origin
        )
    if name == "host" and not value.strip():
        raise BadInput("host must name an address, such as 127.0.0.1", where=origin)
    if name not in PATHS:
        return
    if "\0" in value or (not value.strip() and name not in _FILES):
        raise BadInput(f"{name} must name a {'file' if name in _FILES else 'folder'}", where=origin)
    if value.startswith("~"):
        try:
            Path(value).expanduser()
        except RuntimeError as error:
            raise BadInput(f"{name} is in the home folder of nobody known: {visible(value)}", where=origin) from error


def _nearest(name: str, known: Sequence[str]) -> str:
    """``did you mean X?``, or nothing."""
    import difflib

    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else ""


_LARGEST_TOML = 1_000_000


def _read_toml(path: Path) -> Mapping[str, object]:
    shown = visible(str(path))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise BadInput(f"{TOML_NAME} is not a regular file", where=shown)
        if status.st_size > _LARGEST_TOML:
            raise BadInput(f"{TOML_NAME} is larger than {_LARGEST_TOML:,} bytes", where=shown)
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except IsADirectoryError as error:
        raise BadInput(f"{TOML_NAME} is a folder, not a file", where=shown) from error
    except OSError as error:
        raise EnvironmentFailed(
            f"{TOML_NAME} cannot be read: {error.strerror}", where=shown, fix="check its owner and mode"
        ) from error
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput(f"{TOML_NAME} is not UTF-8 (byte {error.start})", where=shown) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{TOML_NAME} cannot be read: {visible(str(error))}", where=shown) from error


def _any(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1]
