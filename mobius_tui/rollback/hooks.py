"""Hooks: commands of the operator's at four moments of a deploy or rollback, such as maintenance mode or a restart.

A hook is a command line from the settings, run without a shell from the workspace folder. It is refused where others
could have written it, because it runs with the rights of whoever deploys.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import BadInput, MobiusError
from mobius_tui.settings import TOML_NAME
from mobius_tui.system.commands import prepare_command, run_command
from mobius_tui.text import human_seconds, visible
from mobius_tui.workspace import Workspace

MOMENTS = ("before_swap", "after_swap", "on_rollback", "on_completion")
"""When a hook runs; the setting of each is ``hook_<moment>``."""


@dataclass(frozen=True, slots=True)
class HookResult:
    """How a hook went.

    Attributes:
        moment: One of MOMENTS.
        ran: Whether a program was started; False when none is set or it was refused.
        ok: Whether all is well: it ended with 0, or none is set.
        exit_code: As the shell would say it: 128 + n for signal n; None when nothing ran or the time limit ran out.
        seconds: How long it took.
        output: The last lines of what it printed (both streams), fit to be shown.
        sentence: The same in words; empty when no hook is set.
        required: Whether its failure stops the deploy.
        timed_out: Whether the time limit ended it.
    """

    moment: str
    ran: bool
    ok: bool
    exit_code: int | None = None
    seconds: float = 0.0
    output: tuple[str, ...] = ()
    sentence: str = ""
    required: bool = False
    timed_out: bool = False

    @property
    def stops(self) -> bool:
        """Whether it failed and was required."""
        return self.required and not self.ok


def hook_command(ws: Workspace, moment: str) -> str:
    """The command line of a moment as it is set; empty when there is none."""
    return str(getattr(ws.settings, f"hook_{moment}")).strip()


def required_moments(ws: Workspace) -> frozenset[str]:
    """The moments whose hook has to succeed.

    Raises:
        BadInput: The setting names something else.
    """
    named = [word.strip() for word in ws.settings.hooks_required.split(",") if word.strip()]
    for word in named:
        if word not in MOMENTS:
            raise BadInput(
                f"hooks_required names {visible(repr(word))}, which is no hook",
                where=ws.sourced.sources.get("hooks_required", ""),
                fix=f"use {', '.join(MOMENTS)}",
            )
    return frozenset(named)


def prepare_hook(ws: Workspace, moment: str, environ: Mapping[str, str]) -> list[str]:
    """A hook's program, absolute, and its arguments, after every check.

    Args:
        ws: The workspace.
        moment: One of MOMENTS.
        environ: Its ``PATH`` finds programs that are named without a slash.

    Returns:
        What to run; empty when no hook is set.

    Raises:
        BadInput: The command line cannot be understood.
        EnvironmentFailed: The program is not there or cannot be run, or others can write what would be run.
    """
    line = hook_command(ws, moment)
    if not line:
        return []
    setting = f"hook_{moment}"
    source = ws.sourced.sources.get(setting, "")
    return prepare_command(ws.root, line, setting, environ, config=ws.root / TOML_NAME, source=source)


def run_hook(
    ws: Workspace,
    moment: str,
    facts: Mapping[str, str],
    *,
    tell: Callable[..., object] = lambda *_, **__: None,
    environ: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> HookResult:
    """Run the hook of a moment, if one is set; a failure of any kind is a result, never an exception.

    Args:
        ws: The workspace; its folder is the hook's working folder.
        moment: One of MOMENTS.
        facts: More variables for it, such as ``MOBIUS_RUN``, ``MOBIUS_LIVE``, ``MOBIUS_BACKUP``, ``MOBIUS_OUTCOME``.
            ``MOBIUS_MOMENT``, ``MOBIUS_ENVIRONMENT`` and ``MOBIUS_WORKSPACE`` are set by themselves, and
            ``MOBIUS_LIVE`` is the workspace's catalogue unless it is given.
        tell: Told of start and end: ``tell(level, event, message, **fields)``, as ``Progress.event``.
        environ: The environment it inherits; None means this process's.
        limit_s: Seconds it may take, less than the setting ``hook_seconds``; None means that setting.

    Returns:
        The result. What the hook left running in the background stays, unless the time limit ran out: then its whole
        process group is ended.
    """
    inherited = dict(os.environ if environ is None else environ)
    try:
        required = moment in required_moments(ws)
    except BadInput as error:
        required = True  # whoever misspelt one meant some hook to be required: better stop than go on
        if hook_command(ws, moment):
            return _refused(moment, error, required, tell)
    try:
        command = prepare_hook(ws, moment, inherited)
    except MobiusError as error:
        return _refused(moment, error, required, tell)
    if not command:
        return HookResult(moment, ran=False, ok=True, required=required)
    limit = ws.settings.hook_seconds if limit_s is None else max(0.0, min(limit_s, ws.settings.hook_seconds))
    variables = {
        **inherited,
        "MOBIUS_LIVE": _live(ws),
        **facts,
        "MOBIUS_MOMENT": moment,
        "MOBIUS_ENVIRONMENT": ws.settings.environment,
        "MOBIUS_WORKSPACE": str(ws.root),
    }
    tell("info", "hook", f"hook {moment}: {visible(hook_command(ws, moment))}", moment=moment, limit_s=limit)
    result = _run(command, ws.root, variables, moment, limit, required)
    level = "info" if result.ok else ("error" if required else "warning")
    facts_told = {"exit_code": result.exit_code, "seconds": round(result.seconds, 3), "output": list(result.output)}
    tell(level, "hook_end", result.sentence, moment=moment, ok=result.ok, **facts_told)
    return result


def _live(ws: Workspace) -> str:
    try:
        return str(ws.catalogue)
    except MobiusError:  # two catalogues, and no setting chooses
        return ""


def _refused(moment: str, error: MobiusError, required: bool, tell: Callable[..., object]) -> HookResult:
    sentence = f"hook {moment} was not run: {visible(str(error))}"
    tell("error" if required else "warning", "hook_refused", sentence, moment=moment)
    return HookResult(moment, ran=False, ok=False, sentence=sentence, required=required)


def _run(
    command: list[str], folder: Path, environ: Mapping[str, str], moment: str, limit: float, required: bool
) -> HookResult:
    ended = run_command(command, folder, environ, limit)
    if ended.problem:
        sentence = f"hook {moment} could not be started: {ended.problem}"
        return HookResult(moment, ran=False, ok=False, sentence=sentence, required=required)
    code, output = ended.exit_code, ended.output
    if ended.timed_out:
        sentence = f"hook {moment} took longer than {limit:g} s and was ended"
        return HookResult(moment, True, False, None, ended.seconds, output, sentence, required, timed_out=True)
    said = "ended well" if code == 0 else f"failed with exit code {code}"
    last = f": {output[-1]}" if code and output else ""
    sentence = f"hook {moment} {said} after {human_seconds(ended.seconds)}{last}"
    return HookResult(moment, True, code == 0, code, ended.seconds, output, sentence, required)
