"""The workspace: one folder, its paths, its settings, and who acts in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.settings import PATHS, TOML_NAME, Settings, Sourced, load_settings
from mobius_tui.text import visible

CATALOGUE_NAME = "library.json"
"""Name of the catalogue file."""

_MARKS = ("library", "backups", "logs", "review", "themes", TOML_NAME, ".mobius", CATALOGUE_NAME)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace's folder, settings and the person or program acting in it.

    Attributes:
        root: Absolute folder.
        sourced: Settings and their sources.
        actor: Login name that is recorded with every act.
    """

    root: Path
    sourced: Sourced
    actor: str

    @property
    def settings(self) -> Settings:
        """The effective settings."""
        return self.sourced.values

    @property
    def library(self) -> Path:
        """Folder of the images."""
        return self._path(self.settings.library)

    @property
    def backups(self) -> Path:
        """Folder of the backups."""
        return self._path(self.settings.backups)

    @property
    def logs(self) -> Path:
        """Folder of the logs."""
        return self._path(self.settings.logs)

    @property
    def review(self) -> Path:
        """Folder of review exports."""
        return self._path(self.settings.review)

    @property
    def themes(self) -> Path:
        """Folder of the workspace's own colour themes."""
        return self._path(self.settings.themes)

    @property
    def state(self) -> Path:
        """Folder of database, locks and checkpoints."""
        return self._path(self.settings.state_dir)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.state / "mobius.db"

    @property
    def worker_lock(self) -> Path:
        """The file whose flock the worker holds for life."""
        return self.state / "worker.lock"

    @property
    def catalogue(self) -> Path:
        """The catalogue file, existing or to be written.

        Raises:
            BadInput: Both the library and the workspace hold a ``library.json`` and no setting chooses.
        """
        if self.settings.catalogue:
            return self._path(self.settings.catalogue)
        inside, beside = self.library / CATALOGUE_NAME, self.root / CATALOGUE_NAME
        if inside == beside or not beside.exists():
            return inside
        if inside.exists() and not inside.samefile(beside):
            raise BadInput(
                f"two catalogues: {visible(str(inside))} and {visible(str(beside))}",
                fix=f"remove one, or set `catalogue` in {TOML_NAME}",
            )
        return beside

    def _path(self, name: str) -> Path:
        return self.root / Path(name).expanduser()


def open_workspace(
    root: Path, flags: Mapping[str, object], environ: Mapping[str, str], actor: str, *, lenient: bool = False
) -> Workspace:
    """The workspace in a folder; nothing is created.

    Args:
        root: The folder. Symlinks are followed, so that one workspace has one name, whichever way it is reached.
        flags: Settings given as flags; relative paths among them are meant from the current folder.
        environ: The process environment.
        actor: Who acts.
        lenient: What is wrong in ``mobius.toml`` or a variable is a warning, not an error.

    Returns:
        The workspace.

    Raises:
        BadInput: The folder is no workspace, or its settings are wrong.
        EnvironmentFailed: The folder or ``mobius.toml`` cannot be read.
    """
    root = _real_folder(root)
    if not is_workspace(root):
        raise BadInput(
            f"no workspace in {visible(str(root))}",
            fix="`mobius init` makes an empty one here, `mobius demo` a small one with images",
        )
    paths = {name: _from_here(value) for name, value in flags.items() if name in PATHS and value}
    return Workspace(root, load_settings(root, {**flags, **paths}, environ, lenient=lenient), actor)


def _real_folder(root: Path) -> Path:
    shown = visible(str(root))
    try:
        real = root.expanduser().resolve()
        if not real.is_dir():
            raise BadInput(f"there is no folder {shown}" if not real.exists() else f"{shown} is not a folder")
    except RuntimeError as error:  # a loop of symlinks, or the home folder of nobody
        raise BadInput(f"{shown} leads nowhere") from error
    except ValueError as error:
        raise BadInput(f"{shown} is no name of a folder") from error
    except OSError as error:
        raise EnvironmentFailed(
            f"the workspace cannot be read: {error.strerror}", where=shown, fix="check its owner and mode"
        ) from error
    return real


def _from_here(value: object) -> str:
    return str(Path(str(value)).expanduser().absolute())


def is_workspace(root: Path) -> bool:
    """Whether a folder holds anything that makes it a workspace; a symlink that leads nowhere counts too.

    Raises:
        EnvironmentFailed: The folder cannot be looked into.
    """
    try:
        return any((root / mark).is_symlink() or (root / mark).exists() for mark in _MARKS)
    except OSError as error:
        raise EnvironmentFailed(
            f"the folder cannot be looked into: {error.strerror}",
            where=visible(str(root)),
            fix="check its owner and mode",
        ) from error


FOLDERS = {
    "library": "The images, any depth, and their catalogue library.json.",
    "backups": "Verified backups of the catalogue, each with its .sha256 and .meta.json.",
    "logs": "JSON logs, one run log per operation, and dry-run reports.",
    "review": "Exports of doubtful pairs, decisions and quarantined files.",
    "themes": "Colour themes, a TOML file each; they add to the built-in ones or override them by name.",
}
"""The folders of a workspace, by the setting that names each, and what each is for."""


def init_workspace(root: Path, settings: Settings | None = None) -> list[Path]:
    """Make an empty workspace; what exists is left alone.

    Args:
        root: The folder, made when missing.
        settings: Where its folders lie; None means the defaults.

    Returns:
        What was created, folders only.

    Raises:
        BadInput: A file stands where a folder should be.
        OSError: A folder cannot be made.
    """
    chosen = settings or Settings()
    ws = Workspace(root, Sourced(chosen, {}), "")
    created: list[Path] = []
    for name, purpose in FOLDERS.items():
        folder: Path = getattr(ws, name)
        if _make_folder(folder):
            created.append(folder)
            if name != "library":
                with open(folder / "README.md", "x", encoding="utf-8", opener=_for_others_to_read) as file:
                    file.write(purpose + "\n")
    if _make_folder(ws.state, mode=0o700):
        created.append(ws.state)
    return created


def _for_others_to_read(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)


def _make_folder(folder: Path, mode: int = 0o755) -> bool:
    """Whether the folder had to be made."""
    if folder.is_dir():
        return False
    if folder.exists() or folder.is_symlink():
        raise BadInput(f"{visible(str(folder))} is in the way: it is not a folder", fix="move it aside")
    folder.mkdir(mode=mode, parents=True)
    return True
