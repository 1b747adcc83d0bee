"""What every verb takes: which workspace, as whom, how to answer, for how long."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mobius_tui.cli import interrupts
from mobius_tui.cli.output import tell, tell_wrapped
from mobius_tui.errors import BadInput
from mobius_tui.text import visible

if TYPE_CHECKING:
    from mobius_tui.workspace import Workspace

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass(slots=True)
class Call:
    """One run of a verb.

    Attributes:
        workspace: As given; None means ``MOBIUS_WORKSPACE``, then the current folder.
        env: The environment asked for; None means that of the settings.
        actor: As given with ``--as``; None means the login name.
        json: Data on stdout as JSON.
        verbose: More talk, tracebacks included.
        quiet: No talk but warnings and errors.
        timeout: Seconds this verb may take; None means any.
        log: The service log, once the verb is known to write in its workspace.
        console: Opens the console on a workspace; given by whoever starts the verb, as verbs do not know the console.
    """

    console: Callable[..., int]

    workspace: str | None = None
    env: str | None = None
    actor: str | None = None
    json: bool = False
    verbose: bool = False
    quiet: bool = False
    timeout: float | None = None
    log: Path | None = None

    @property
    def root(self) -> Path:
        """The folder that is meant to be the workspace.

        Raises:
            BadInput: ``--workspace`` is empty, as from a variable that is not set: the current folder is not meant.
        """
        if self.workspace == "":
            raise BadInput("--workspace is empty", fix="name a folder, or leave the option out")
        return Path(self.workspace or os.environ.get("MOBIUS_WORKSPACE") or ".")

    def who(self) -> str:
        """Who acts.

        Raises:
            BadInput: The name given is none.
        """
        from mobius_tui.system.identity import login_name

        if self.actor is None:
            return login_name(os.environ)
        name = self.actor.strip()
        if not name or len(name) > 80 or not name.isprintable():
            raise BadInput(f"{visible(self.actor)!r} is no name of a person", fix="give --as a short printable name")
        return name

    def open(self, *, lenient: bool = False, writes: bool = False) -> Workspace:
        """The workspace of this call; its warnings are told.

        Args:
            lenient: A broken ``mobius.toml`` is a warning.
            writes: The verb changes something, so a defect may be logged in the workspace.

        Returns:
            The workspace.
        """
        from mobius_tui.workspace import open_workspace

        ws = open_workspace(self.root, {"environment": self.env}, os.environ, self.who(), lenient=lenient)
        for warning in ws.sourced.warnings:
            tell_wrapped(f"warning: {warning}", "warn")
        if writes:
            self.log = ws.logs / "service.log"
            self._bring_to_rest(ws)
        self._heal_guard(ws)
        return ws

    def _heal_guard(self, ws: Workspace) -> None:
        """Start the guard again that died under its watch: any verb does."""
        if not (ws.state / "watch").is_dir():  # most workspaces: nothing is imported for them
            return
        from mobius_tui.guard.launch import heal_guard

        said = heal_guard(ws, os.environ, self.env)
        if said:
            tell_wrapped(said, "warn")

    def _bring_to_rest(self, ws: Workspace) -> None:
        """Finish or undo what a crash cut off, and say which, before this verb writes anything."""
        if not (ws.state / "deploy").is_dir():  # most workspaces: nothing is imported for them
            return
        from mobius_tui.rollback.recover import recover

        recover(ws, tell_recovery)

    def open_quietly(self) -> Workspace:
        """The workspace, opened leniently; the caller shows its warnings itself."""
        from mobius_tui.workspace import open_workspace

        ws = open_workspace(self.root, {"environment": self.env}, os.environ, self.who(), lenient=True)
        self._heal_guard(ws)
        return ws

    def say(self, text: str, style: str = "") -> None:
        """Talk on stderr, unless it is to be quiet."""
        if not self.quiet:
            tell_wrapped(text, style)


def tell_recovery(text: str) -> None:
    """Say what a recovery found and did; a hook that ended well is no warning."""
    well = text.startswith("hook ") and " ended well " in text
    tell_wrapped(f"recovery: {text}", "" if well else "warn")


def needs_verb(ctx: click.Context) -> None:
    """For a group of verbs: without one of them its help, on stderr, and a usage error.

    Raises:
        click.UsageError: No verb was given.
    """
    if ctx.invoked_subcommand is not None:
        return
    assert isinstance(ctx.command, click.Group)
    for line in ctx.get_help().splitlines():
        tell(line)
    raise click.UsageError(f"a verb is missing: {', '.join(ctx.command.list_commands(ctx))}", ctx)


def takes_common_options(function: _F) -> _F:
    """Give a command the options that every verb takes; the innermost place where one is given holds."""
    for option in reversed(_COMMON):
        function = option(function)
    return function


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is None or value is False or param.name is None:
        return
    call = ctx.find_root().obj
    if not isinstance(call, Call):
        return
    if param.name == "timeout" and isinstance(value, float):
        if not 0 < value <= 10_000_000:
            raise click.BadParameter("a time limit must be more than 0 seconds", ctx, param)
        interrupts.set_time_limit(value)
    setattr(call, param.name, value)


def _option(*names: str, **how: Any) -> Callable[[_F], _F]:
    return click.option(*names, expose_value=False, callback=_remember, is_eager=True, **how)


_COMMON = (
    _option("--workspace", metavar="DIR", help="The workspace; default: MOBIUS_WORKSPACE, then the current folder."),
    _option("--env", metavar="NAME", help="development, staging or production."),
    _option("--as", "actor", metavar="NAME", help="Who acts; default: the login name."),
    _option("--json", is_flag=True, help="Data as JSON on stdout."),
    _option("-v", "--verbose", is_flag=True, help="Say more."),
    _option("-q", "--quiet", is_flag=True, help="Say only warnings and errors."),
    _option("--timeout", type=float, metavar="SECONDS", help="End after this long, with exit code 4."),
)
