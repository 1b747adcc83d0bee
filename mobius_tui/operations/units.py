"""systemd units of a workspace: the worker, and a guard that takes up a watch whose guard died.

A unit holds no secret and no setting: the programs read mobius.toml. What must outlive a restart of the worker (a
deploy, a rollback, the guard) has a session of its own, so systemd ends the worker's process alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from mobius_tui.errors import BadInput, MobiusError
from mobius_tui.guard.launch import guard_command
from mobius_tui.launch.worker import worker_command, worker_environment
from mobius_tui.text import visible
from mobius_tui.workspace import FOLDERS, Workspace

HOOKS = ("hook_before_swap", "hook_after_swap", "hook_on_rollback", "hook_on_completion")
"""Settings with commands of the operator's, which may need more rights than MOBIUS does."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")
_TEMPORARY: Final = ("/tmp", "/var/tmp")


def units_of(
    ws: Workspace, *, user: bool, name: str = "mobius", env_name: str | None = None, environ: Mapping[str, str]
) -> dict[str, str]:
    """The units of a workspace.

    Args:
        ws: The workspace.
        user: For the user's own service manager; else for the system's, running as the workspace's owner.
        name: What their names begin with; another one for each workspace of a host.
        env_name: The environment that was chosen by ``--env``.
        environ: The process environment; only where this package is found is taken from it.

    Returns:
        The text of each by file name: worker and guard.

    Raises:
        BadInput: A path cannot stand in a unit, or the name is none.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(f"{visible(name)!r} is no name of a unit", fix="use letters, digits, - and _")
    common = list(_common(ws, user, environ))
    worker = [
        "Type=exec",
        f"ExecStart={exec_line(worker_command(ws, env_name))}",
        *common,
        "# It goes on with what it was doing; one that a person started in the background ends first.",
        "Restart=on-failure",
        "RestartSec=10",
        "# Deploy, rollback and guard outlive `systemctl restart`; hashing processes end with their worker.",
        "KillMode=process",
        "TimeoutStopSec=30",
        "# An image that takes too much memory costs a hashing process, not the worker.",
        "OOMPolicy=continue",
    ]
    guard = [
        "Type=exec",
        f"ExecStart={exec_line([*guard_command(ws, env_name), '--wait'])}",
        *common,
        "# It waits for a watch; one whose guard died is taken up within seconds, with the same deadlines.",
        "Restart=always",
        "RestartSec=5",
        "# A worker that it starts after its verdict outlives it; a rollback under way is not cut short.",
        "KillMode=process",
        "TimeoutStopSec=360",
        "OOMPolicy=continue",
    ]
    where = visible(str(ws.root))
    wanted = "default.target" if user else "multi-user.target"
    after = [] if user else [f"RequiresMountsFor={_words(_places(ws))}", "After=network.target"]
    return {
        f"{name}-worker.service": _unit(
            f"MOBIUS worker of {where}", [*after, "StartLimitIntervalSec=0"], worker, wanted
        ),
        f"{name}-guard.service": _unit(f"MOBIUS guard of {where}", [*after, "StartLimitIntervalSec=0"], guard, wanted),
    }


def exec_line(command: Sequence[str]) -> str:
    """A command as ``ExecStart=`` has it; the colon keeps ``$`` from meaning a variable.

    Raises:
        BadInput: An argument cannot be written there.
    """
    return ":" + " ".join(quoted(argument) for argument in command)


def quoted(text: str) -> str:
    r"""A word as systemd reads it: in double quotes, ``%`` doubled, backslash, quote and controls as ``\x..``.

    Raises:
        BadInput: It is not UTF-8, or holds a NUL.
    """
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(f"a name that is not UTF-8 cannot stand in a unit: {visible(text)}", fix="rename it") from error
    if b"\0" in data:
        raise BadInput("a name with a NUL cannot stand in a unit")
    plain = "".join(letter if letter.isprintable() and letter not in '"\\' else _escaped(letter) for letter in text)
    return f'"{plain.replace("%", "%%")}"'


def _escaped(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8"))


def outside_settings(ws: Workspace) -> list[str]:
    """Variables of this shell that set something here, and would set nothing for a unit."""
    return sorted({source for source in ws.sourced.sources.values() if source.isupper()})


def _common(ws: Workspace, user: bool, environ: Mapping[str, str]) -> Iterator[str]:
    """Where and as whom both services run, and what they are kept from."""
    places = worker_environment(environ).get("PYTHONPATH")
    yield f"WorkingDirectory={_line(str(ws.root))}"
    if places:
        yield f"Environment={quoted(f'PYTHONPATH={places}')}"
    yield "UMask=0027"
    if user:
        yield "# A user's service manager can hide and protect folders only behind another user namespace: left out."
        yield "NoNewPrivileges=true"
        return
    yield from _account(ws)
    told_by_command = any(route.command for route in ws.sourced.routes.values())
    if told_by_command or any(getattr(ws.settings, hook) for hook in HOOKS):
        yield "# Hooks or [notify] commands are set, which may use sudo or sendmail: less is forbidden."
        yield "ProtectSystem=full"
    else:
        yield from ("NoNewPrivileges=true", "ProtectSystem=strict")
        yield from ("ProtectKernelTunables=true", "ProtectKernelModules=true", "RestrictSUIDSGID=true")
    places_written = _places(ws)
    yield f"ReadWritePaths={_words([f'-{path}' for path in places_written])}"
    yield "ProtectControlGroups=true"
    if any(path == folder or path.startswith(f"{folder}/") for path in places_written for folder in _TEMPORARY):
        yield "# PrivateTmp would hide what lies below /tmp."
    else:
        yield "PrivateTmp=true"


def _account(ws: Workspace) -> Iterator[str]:
    """The user and group that own the workspace."""
    try:
        import grp
        import pwd
    except ImportError:
        return
    found = ws.root.stat()
    try:
        user = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        user = str(found.st_uid)
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    yield from (f"User={user}", f"Group={group}")


def _places(ws: Workspace) -> list[str]:
    """Where MOBIUS writes: the workspace, and its folders and catalogue that lie outside; links followed."""
    folders = [getattr(ws, name) for name in FOLDERS if name != "themes"]
    try:
        catalogue = [Path(os.path.realpath(ws.catalogue)).parent]
    except MobiusError:  # two claim to be it: `mobius check` says so
        catalogue = []
    real = [os.path.realpath(path) for path in (ws.root, ws.state, *folders, *catalogue)]
    found: list[str] = []
    for path in real:
        if not any(path == place or path.startswith(f"{place.rstrip('/')}/") for place in found):
            found.append(path)
    return found


def _words(words: Sequence[str]) -> str:
    return " ".join(quoted(word) for word in words)


def _line(path: str) -> str:
    """A path as the rest of a line, which systemd takes without quotes.

    Raises:
        BadInput: It would be read as another one.
    """
    quoted(path)
    if path != path.strip() or path.endswith("\\") or any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        raise BadInput(
            f"a folder of this name cannot stand in a unit: {visible(path)}", fix="rename it, or reach it by a symlink"
        )
    return path.replace("%", "%%")


def _unit(description: str, head: Sequence[str], service: Sequence[str], wanted: str) -> str:
    described = f"Description={description.replace('%', '%%').rstrip(chr(92))}"
    lines = ["# Made by `mobius worker unit`.", "[Unit]", described, *head, "", "[Service]", *service]
    return "\n".join([*lines, "", "[Install]", f"WantedBy={wanted}"]) + "\n"
