"""`mobius backup create` and `mobius backup verify`."""

from __future__ import annotations

from dataclasses import asdict

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.output import show, show_json
from mobius_tui.errors import BadInput, EnvironmentFailed, ProcessingFailed
from mobius_tui.operations.backup import backup_now, verify_backups
from mobius_tui.recovery.backups import Verdict
from mobius_tui.system import clock
from mobius_tui.text import human_bytes


@click.group("backup")
@takes_common_options
def backup() -> None:
    """Make and verify backups of the catalogue."""


@backup.command("create")
@takes_common_options
@click.option("--reason", default="by hand", show_default=True, metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def create(call: Call, reason: str) -> int:
    """Copy the live catalogue into the backups, durably, and read the copy back."""
    ws = call.open(writes=True)
    made = backup_now(ws, reason)
    if call.json:
        facts = {**asdict(made), "path": str(made.path), "at": clock.iso(made.at)}
        facts["verified_at"] = None if made.verified_at is None else clock.iso(made.verified_at)
        show_json(facts)
    else:
        show(f"{made.name}  {human_bytes(made.size)}  {made.state}", "good")
        show(f"  {made.path}")
        call.say(f"check by hand: cd {ws.backups} && sha256sum -c {made.name}.sha256")
    return 0


@backup.command("verify")
@takes_common_options
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Every backup.")
@click.pass_obj
def verify(call: Call, name: str | None, every: bool) -> int:
    """Read a backup whole and compare it with its hash: the latest, one by NAME, or --all.

    Exit 2 when one is corrupt or its file is missing, 3 when one cannot be read.
    """
    if name is not None and every:
        raise BadInput("NAME and --all contradict each other", fix="give one of them")
    ws = call.open(writes=True)
    verdicts = verify_backups(ws, name, every=every)
    if name is not None and not any((ws.backups / f"{name}{side}").exists() for side in ("", ".sha256")):
        raise BadInput(f"there is no backup {name!r}", fix="`mobius backup verify --all` names those there are")
    if call.json:
        show_json([asdict(verdict) for verdict in verdicts])
    else:
        for verdict in verdicts:
            show(f"{verdict.state:<10}  {verdict.sentence}", "good" if verdict.state == "good" else "bad")
    _refuse_bad(verdicts)
    return 0


def _refuse_bad(verdicts: list[Verdict]) -> None:
    bad = [verdict for verdict in verdicts if verdict.state != "good"]
    if not bad:
        return
    said = (
        f"{len(bad)} of {len(verdicts)} backups are not good" if len(verdicts) > 1 else f"the backup is {bad[0].state}"
    )
    if all(verdict.state == "unreadable" for verdict in bad):
        raise EnvironmentFailed(said, where=bad[0].sentence, fix="check owner and mode of the backups")
    raise ProcessingFailed(said, where=bad[0].sentence, fix="`mobius backup create` makes a new one")
