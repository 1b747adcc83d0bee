"""`mobius rollback`, when it is not reached before click: the same command behind click's door."""

from __future__ import annotations

import click

from mobius_tui.cli.plain import PlainTalk


@click.command(
    "rollback", add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def rollback(arguments: tuple[str, ...]) -> int:
    """Bring the catalogue back that was live before."""
    from mobius_tui.rollback.command import run

    return run(["rollback", *arguments], PlainTalk())
