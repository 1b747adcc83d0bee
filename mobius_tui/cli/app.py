"""The root command: a table of verbs, each imported only when it runs."""

from __future__ import annotations

import importlib
from typing import Any

import click

from mobius_tui import __version__
from mobius_tui.cli.call import Call, takes_common_options

VERBS: dict[str, tuple[str, str]] = {
    "init": ("workspace", "Make an empty workspace."),
    "demo": ("demo", "Make a small realistic workspace and open the console on it."),
    "status": ("status", "One screen: what is live, what runs, what failed, what next."),
    "doctor": ("doctor", "Prerequisites and limits, each with the command that mends it."),
    "check": ("check", "Is the catalogue valid; what is missing, unnamed, duplicate."),
    "hash": ("hash", "dHash, confidence and time of a file; the distance of two."),
    "migrate": ("migrate", "Fingerprint every image and write the catalogue."),
    "deploy": ("deploy", "Publish new fingerprints behind backup, verification and smoke tests."),
    "smoke": ("smoke", "Smoke tests: does the service do what it is for."),
    "health": ("health", "What /health says, for people."),
    "metrics": ("metrics", "What /metrics/dhash says, for people; kept samples of 60 days."),
    "rollback": ("rollback", "Bring the catalogue back that was live before."),
    "watch": ("watch", "Guard what is live: 60 minutes, a measurement a minute, rollback."),
    "backup": ("backup", "Make and verify backups of the catalogue."),
    "worker": ("worker", "The background worker: start, run, stop, restart, status, unit."),
    "jobs": ("jobs", "Running operations."),
    "pause": ("jobs", "Pause an operation."),
    "resume": ("jobs", "Let a paused operation go on."),
    "cancel": ("jobs", "End an operation; its finished work is kept."),
    "alerts": ("alerts", "Alerts and unacknowledged notifications; ack, test."),
    "history": ("workspace", "Every act that changed anything: who, when, why."),
    "report": ("report", "One archive of a run: timeline, logs, samples, journal, settings."),
    "logs": ("logs", "Logs for people."),
    "config": ("workspace", "Effective settings and where each comes from."),
}
"""Verb: the module under ``mobius_tui.cli.verbs`` that has it, and its one line in ``--help``."""

_NAMES_OF_FUNCTIONS = {"hash": "hash_files", "init": "init", "check": "check"}


class LazyGroup(click.Group):
    """A group whose verbs are imported when they run; ``--help`` needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb; None when there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"mobius_tui.cli.verbs.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, _NAMES_OF_FUNCTIONS.get(cmd_name, cmd_name))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb, or a usage error with the nearest one."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, 1, 0.5)
            advice = f"; did you mean `mobius {near[0]}`?" if near else ""
            raise click.UsageError(f"there is no verb {args[0]!r}{advice}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs with one line each, without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Without a verb: the console. `mobius VERB --help` says more.",
)
@takes_common_options
@click.option("--read-only", is_flag=True, help="Console: show only, no key changes anything.")
@click.option("--low-bandwidth", is_flag=True, help="Console: fewer repaints, for slow links.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Console: plain ASCII borders and marks.")
@click.option("--theme", metavar="NAME", help="Console: colours.")
@click.option("--keymap", metavar="FILE", help="Console: a TOML file with other keys.")
@click.version_option(__version__, "--version", prog_name="mobius", message="%(prog)s %(version)s")
@click.pass_context
def root(ctx: click.Context, /, **console: Any) -> int | None:
    """MOBIUS: fingerprints, near-duplicates and guarded rollout of an image library."""
    if ctx.invoked_subcommand is None:
        from mobius_tui.cli.verbs.console import open_console

        call = ctx.obj
        assert isinstance(call, Call)
        code: int = open_console(call, **console)
        return code
    given = [name for name, value in console.items() if value]
    if given:
        option = "--ascii" if given[0] == "ascii_only" else "--" + given[0].replace("_", "-")
        raise click.UsageError(f"{option} is an option of the console, not of `mobius {ctx.invoked_subcommand}`", ctx)
    return None
