"""`mobius backup`: create, verify, list, clean, restore, pin, unpin and key."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mobius_tui.cli.call import Call, needs_verb, takes_common_options
from mobius_tui.cli.layout import padded, wrapped
from mobius_tui.cli.output import data_width, flush, show, show_json
from mobius_tui.cli.progress_line import progress_line
from mobius_tui.errors import BadInput, EnvironmentFailed, ProcessingFailed
from mobius_tui.operations.backup import (
    backup_now,
    clean_backups,
    facts_of,
    facts_of_backup,
    judge_backups,
    known_backups,
    named,
    pin_backup,
)
from mobius_tui.operations.progress import Counts, Tick
from mobius_tui.recovery.retention import Decision
from mobius_tui.system import clock
from mobius_tui.text import counted, human_bytes, visible

if TYPE_CHECKING:
    from mobius_tui.recovery.zipped import Packing

_NAMED = 20
_MARKS = {
    "verified": "ok",
    "unverified": "unverified",
    "corrupt": "CORRUPT",
    "missing": "MISSING",
    "missing side file": "no hash",
}
_STYLES = {"verified": "", "unverified": "warn"}


@click.group("backup", invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...")
@takes_common_options
@click.pass_context
def backup(ctx: click.Context) -> None:
    """Make, verify, list, clean and restore backups."""
    needs_verb(ctx)


@backup.command("create")
@takes_common_options
@click.option("--reason", default="by hand", show_default=True, metavar="TEXT", help="Why, for the history.")
@click.option("--full", is_flag=True, help="Catalogue, decisions and images in one zip.")
@click.option("--include", multiple=True, metavar="GLOB", help="With --full: only these images; may be repeated.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="With --full: not these images; may be repeated.")
@click.option("--out", metavar="FILE", help="With --full: write it there, on another disk for example.")
@click.option("--encrypt", is_flag=True, help="Encrypt it to backup_key_file (an age file).")
@click.pass_obj
def create(
    call: Call,
    reason: str,
    full: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    out: str | None,
    encrypt: bool,
) -> int:
    """Back up the live catalogue with people's decisions, durably, and read the copy back.

    With --full the images as well. Exit 2 when an image is there and could not be read: the backup is kept without it.
    """
    if not full and (include or exclude or out is not None):
        raise BadInput("--include, --exclude and --out belong to --full", fix="add --full")
    ws = call.open(writes=True)
    cipher = None
    if encrypt:
        from mobius_tui.operations.backup_encryption import needed_key

        cipher = needed_key(ws).encrypt
    packing = None
    if full:
        from mobius_tui.operations.backup_full import full_backup

        with _files_done(call, "packing") as heard:
            done = full_backup(
                ws, reason, include=include, exclude=exclude, out=_file(out), encrypt=cipher, on_file=heard
            )
        made, packing = done.backup, done.packing
    else:
        made = backup_now(ws, reason, encrypt=cipher)
    if call.json:
        show_json({**facts_of_backup(made), **(_packing_facts(packing) if packing else {})})
    else:
        show(f"{made.name}  {human_bytes(made.size)}  {made.state}", "good")
        show(f"  {made.path}")
        call.say(f"check by hand: cd {made.path.parent} && sha256sum -c {made.name}.sha256")
    if packing is not None:
        _tell_packing(call, packing)
    return 0


def _file(text: str | None) -> Path | None:
    if text is None:
        return None
    if not text or "\0" in text:
        raise BadInput(f"--out names no file: {visible(text)!r}", fix="name a file, or a folder to name it in")
    return Path(text).expanduser()


def _packing_facts(packing: Packing) -> dict[str, object]:
    return {
        "files": packing.files,
        "bytes": packing.size,
        "flawed": [{"path": name, "why": why} for name, why in packing.flawed],
        "skipped": [{"path": name, "why": why} for name, why in packing.skipped],
    }


def _tell_packing(call: Call, packing: Packing) -> None:
    """Say what a full backup holds and what it lacks; files that could not be read make it fail."""
    call.say(f"{counted(packing.files, 'file')}, {human_bytes(packing.size)}")
    for name, why in [*packing.flawed, *packing.skipped][:_NAMED]:
        call.say(f"warning: {visible(name)}: {why}", "warn")
    more = len(packing.flawed) + len(packing.skipped) - _NAMED
    if more > 0:
        call.say(f"warning: {more:,} more; {'MANIFEST.jsonl'} in the backup lists all", "warn")
    if packing.failed:
        raise ProcessingFailed(
            f"the backup is kept, but it lacks {counted(packing.failed, 'file')} that could not be read",
            fix="mend their rights or the disk, then run it again",
        )


@contextlib.contextmanager
def _files_done(call: Call, phase: str) -> Iterator[Callable[[int, int], None]]:
    """The line of progress of something that goes file by file; yields what to call with done and total."""
    began = time.monotonic()
    with progress_line(call) as update:

        def heard(done: int, total: int) -> None:
            elapsed = time.monotonic() - began
            rate = done / elapsed if elapsed > 0.05 and done else None
            update(Tick(phase, total, Counts(done), rate, None if rate is None else (total - done) / rate, ""))

        yield heard


@backup.command("verify")
@takes_common_options
@click.argument("name", required=False)
@click.option("--all", "every", is_flag=True, help="Every backup, emergency copies included.")
@click.pass_obj
def verify(call: Call, name: str | None, every: bool) -> int:
    """Read a backup whole and compare it with its hash: the latest, one by NAME, or --all.

    A full one is checked file by file, an encrypted one inside when its key is at hand. Exit 2 when one is corrupt or
    its file is missing, 3 when one cannot be read.
    """
    from mobius_tui.cli.plain import PlainTalk
    from mobius_tui.rollback.verify import verify_verb

    return verify_verb(call.open(lenient=True), name, every=every, as_json=call.json, talk=PlainTalk())


@backup.command("list")
@takes_common_options
@click.option("--emergency", is_flag=True, help="The copies of what rollbacks replaced, instead.")
@click.pass_obj
def list_(call: Call, emergency: bool) -> int:
    """What there is, newest first: size, age, last verified, pinned, reason, and until when or why it is kept."""
    ws = call.open()
    try:
        decisions = [each for each in judge_backups(ws) if each.backup.emergency == emergency]
    except EnvironmentFailed as error:  # what is needed cannot be told: they are listed all the same
        decisions = [Decision(each, True, "cannot be told now") for each in known_backups(ws, emergency=emergency)]
        call.say(f"warning: {error}", "warn")
    if call.json:
        show_json([facts_of(decision) for decision in decisions])
        return 0
    now = clock.now()
    for decision in decisions:
        for line, style in _listed(decision, now, data_width()):
            show(line, style)
    if not decisions:
        call.say("no emergency copy" if emergency else "no backup yet; `mobius backup create` makes one")
    return 0


def _listed(decision: Decision, now: float, width: int) -> list[tuple[str, str]]:
    """A backup in two lines: its facts, then reason and fate."""
    one = decision.backup
    verified = "never verified" if one.verified_at is None else f"verified {age_of(one.verified_at, now)} ago"
    state = verified if one.state == "verified" else _MARKS.get(one.state, one.state)
    first = [
        padded(named(one), 43 if one.emergency else 33),
        padded(human_bytes(one.size), 7, right=True),
        f"{age_of(one.at, now)} old".rjust(8),
        state,
    ]
    first += ["pinned"] if one.pinned else []
    fate = f"kept: {decision.reason}" if decision.keep else f"goes: {decision.reason}"
    second = f"{one.reason or '-'} ({one.who or '-'}); {fate}"
    style = _STYLES.get(one.state, "bad")
    rest = [(line, "dim") for line in wrapped(second, indent="    ", width=width)]
    return [(line, style) for line in wrapped("  ".join(first), width=width)] + rest


def age_of(then: float, now: float) -> str:
    """How long ago something was, in one unit: ``40s``, ``12m``, ``5h``, ``3d``; a time to come has a minus."""
    seconds = now - then
    sign, seconds = ("-", -seconds) if seconds < -1 else ("", max(0.0, seconds))
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size * (2 if unit != "m" else 1):
            return f"{sign}{int(seconds // size)}{unit}"
    return f"{sign}{int(seconds)}s"


@backup.command("clean")
@takes_common_options
@click.option("--older-than", type=float, metavar="DAYS", help="Days instead of the setting retention_days.")
@click.option("--dry-run", is_flag=True, help="Only say what would go and what stays, and why.")
@click.pass_obj
def clean(call: Call, older_than: float | None, dry_run: bool) -> int:
    """Remove the backups that no rule keeps, and say the reason for each.

    Kept when any holds: younger than retention_days, among the last 5, the newest of one of 7 days, pinned, the newest
    verified, needed by a deploy or rollback, dated in the future.
    """
    if older_than is not None and not 0 <= older_than <= 100_000:
        raise BadInput("--older-than must be from 0 to 100,000 days", fix="`mobius backup clean --older-than 90`")
    ws = call.open(writes=True)
    decisions = clean_backups(ws, dry_run=dry_run, older_than_days=older_than)
    gone = [decision for decision in decisions if not decision.keep]
    if call.json:
        show_json({"dry_run": dry_run, "decisions": [facts_of(decision) for decision in decisions]})
    else:
        words = ("keep", "would go" if dry_run else "removed")
        freed = human_bytes(sum(each.backup.size for each in gone))
        summary = f"{counted(len(gone), 'backup')}, {freed} {words[1]}; {len(decisions) - len(gone):,} kept"
        call.say(f"{summary}:" if decisions else "no backup yet, nothing to clean")
        for each in decisions:
            show(f"{words[not each.keep]:<8}  {named(each.backup)}")
            for line in wrapped(each.reason, indent=" " * 10, width=data_width()):
                show(line, "dim")
        if len(decisions) > _NAMED // 2:  # the first one has left the screen
            flush(sys.stdout)
            call.say(summary)
    failed = [each for each in decisions if each.failed]
    if failed:
        raise EnvironmentFailed(
            f"{counted(len(failed), 'backup')} could not be removed",
            where=f"{visible(failed[0].backup.name)}: {failed[0].reason}",
            fix="check owner and mode of the backups",
        )
    return 0


@backup.command("restore")
@takes_common_options
@click.argument("name")
@click.option("--to", metavar="DIR", help="The folder; default: restored-NAME in the workspace.")
@click.option("--overwrite", is_flag=True, help="Replace files that are in the folder.")
@click.option("--live", is_flag=True, help="Put its catalogue live instead; what is live becomes an emergency copy.")
@click.option("--reason", default="", metavar="TEXT", help="With --live: why, for the history.")
@click.pass_obj
def restore(call: Call, name: str, to: str | None, overwrite: bool, live: bool, reason: str) -> int:
    """Unpack backup NAME into a folder, verified while it is written. Nothing live is touched without --live."""
    if live and (to is not None or overwrite):
        raise BadInput("--live takes neither --to nor --overwrite", fix="leave one of them out")
    if to is not None and (not to or "\0" in to):
        raise BadInput(f"--to names no folder: {visible(to)!r}", fix="name one, or leave the option out")
    from mobius_tui.operations.backup_restore import restore_backup

    ws = call.open(writes=True)
    with _files_done(call, "unpacking") as heard:
        done = restore_backup(
            ws, name, None if to is None else Path(to).expanduser(), live, overwrite=overwrite, reason=reason,
            heard=heard, say=call.say,
        )  # fmt: skip
    if done.unpacked is not None:
        found = done.unpacked
        if call.json:
            facts = {"to": str(found.to), "files": found.count, "bytes": found.size, "replaced": found.replaced}
            show_json({"name": done.name, "kind": done.kind, "live": False, **facts, "skipped": found.skipped})
        else:
            show(f"{done.name}: {counted(found.count, 'file')}, {human_bytes(found.size)} in {found.to}", "good")
            if found.replaced:
                call.say(f"{counted(len(found.replaced), 'file')} replaced")
            if found.skipped:
                call.say(f"{counted(len(found.skipped), 'file')} were left out when it was made", "warn")
            call.say("nothing live was touched")
    elif done.live is not None:
        emergency = None if done.live.emergency is None else str(done.live.emergency)
        if call.json:
            facts = {"before": done.live.before, "after": done.live.after, "changed": done.live.changed}
            show_json({"name": done.name, "kind": done.kind, "live": True, **facts, "emergency": emergency})
        elif not done.live.changed:
            show(f"{done.name} is what is live already; nothing was changed", "good")
        else:
            show(f"{done.name} is live", "good")
            if emergency:
                call.say(f"what was live before is {emergency}")
        for warning in done.live.warnings:
            call.say(f"warning: {warning}", "warn")
        if done.kind == "full":
            call.say("its images were not touched; `mobius backup restore NAME --to DIR` unpacks them")
    return 0


@backup.command("pin")
@takes_common_options
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def pin(call: Call, names: tuple[str, ...], reason: str) -> int:
    """Keep backups for good, whatever their age."""
    return _pin(call, names, True, reason)


@backup.command("unpin")
@takes_common_options
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def unpin(call: Call, names: tuple[str, ...], reason: str) -> int:
    """Let the other rules decide on backups again."""
    return _pin(call, names, False, reason)


def _pin(call: Call, names: tuple[str, ...], on: bool, reason: str) -> int:
    ws = call.open(writes=True)
    for name in names:
        pin_backup(ws, name, on, reason)
        if not call.json:
            show(f"{name}  {'pinned' if on else 'not pinned'}")
    if call.json:
        show_json([{"name": name, "pinned": on} for name in names])
    return 0


@backup.command("key")
@takes_common_options
@click.argument("file")
@click.pass_obj
def key(call: Call, file: str) -> int:
    """Make a key FILE (0600) for encrypted backups; one that is there is never overwritten."""
    from mobius_tui.operations.backup_encryption import make_key

    if not file or "\0" in file:
        raise BadInput(f"{visible(file)!r} names no file", fix="name one that is not there yet")
    made = make_key(Path(file).expanduser().absolute())
    if call.json:
        show_json({"path": str(made.path), "public": list(made.public)})
        return 0
    show(str(made.path))
    show(f"  public key {made.public[0]}")
    call.say(f'next: backup_key_file = "{made.path}" in mobius.toml, and a copy of the file where no fire reaches both')
    return 0
