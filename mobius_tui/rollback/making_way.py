"""What a rollback does before it chooses its target: end what runs, and bring to rest what was cut off."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.errors import MobiusError, ProcessingFailed
from mobius_tui.recovery.atomic import hash_or_absent
from mobius_tui.recovery.history import note_act
from mobius_tui.rollback.merge import Changes
from mobius_tui.rollback.options import Outcome, RollbackOptions, Say
from mobius_tui.rollback.recover import recover
from mobius_tui.rollback.restore import read_present
from mobius_tui.rollback.service import Service
from mobius_tui.rollback.stopping import has_gone_back, open_runs, running_operation, stop_operation
from mobius_tui.system.locks import catalogue_lock_path, taken_error
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

GOING_BACK_ALREADY = frozenset({"rollback", "recovery of a cut-off operation"})
"""What a forced rollback does not end: another one, or the recovery that it would begin itself."""

_HEX = 64


@dataclass(frozen=True, slots=True)
class Places:
    """Which files a rollback works on.

    Attributes:
        live: The catalogue.
        backups: Where its backups lie.
        emergency: Where the state before is kept.
        own: Whether it is the workspace's live catalogue.
    """

    live: Path
    backups: Path
    emergency: Path
    own: bool


@dataclass(frozen=True, slots=True)
class Way:
    """What making way has done already.

    Attributes:
        before: SHA-256 of the live file when the rollback was asked for, or ``absent``; empty when it cannot be read.
        went_back: Whether ending or recovering an operation has brought the state before it back.
        said: What was brought to rest.
        warnings: What a person should know.
    """

    before: str
    went_back: bool
    said: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def make_way(ws: Workspace, places: Places, options: RollbackOptions, say: Say) -> Way:
    """End what runs if that is forced, and bring to rest what was cut off.

    Raises:
        Held: Something runs, and it was not forced, or it is a rollback itself.
        EnvironmentFailed: What runs cannot be ended.
    """
    before, runs, stopped = live_hash(places.live), open_runs(ws), ""
    holder = running_operation(places.live)
    if options.force and (holder is None or holder.purpose not in GOING_BACK_ALREADY):
        if stop_operation(ws, places.live, say) and holder is not None:
            stopped = holder.purpose
    else:
        refuse_if_running(places.live)
    try:
        settled = recover(ws, say, other=None if places.own else places.live)
    except (MobiusError, OSError) as error:  # what is in the way of the recovery must not be in the way of this
        said = f"an operation that was cut off could not be brought to rest: {visible(str(error))}"
        return Way(before, went_back=False, warnings=(said,))
    went_back = has_gone_back(runs, stopped) or (bool(settled) and live_hash(places.live) != before)
    return Way(before, went_back, tuple(f"{visible(one.run)}: {one.sentence}" for one in settled))


def gone_back_already(
    ws: Workspace, places: Places, way: Way, options: RollbackOptions, service: Service, say: Say
) -> Outcome:
    """What the person wanted is done: undoing the operation that was cut off or ended was the way back.

    Going on would bring back the state before the one that they mean.
    """
    present = read_present(places.live, patience_s=0.0)
    with contextlib.suppress(OSError):  # who asked and why outlives the run that was ended
        note_act(
            ws.state,
            "rollback asked",
            ws.actor,
            reason=options.reason,
            before=way.before if len(way.before) == _HEX else None,
            after=present.sha256 if len(present.sha256) == _HEX else None,
            details={"recovered": list(way.said)},
        )
    worker, healthy = service.restart(say)
    figures = present.figures
    told = ["nothing more was rolled back; `mobius rollback` again goes one publication further back"]
    if options.with_images:
        told.append("no image was put back: `mobius rollback --backup NAME --with-images` with a full backup does that")
    return Outcome(
        run="",
        live=str(places.live),
        target="",
        how="; ".join(way.said) or "the operation that was ended has undone what it did",
        mode="recovered",
        before=way.before,
        after=present.sha256,
        changed=way.before != present.sha256,
        emergency="",
        entries=(None, None if figures is None else figures.entries),
        with_dhash=(None, None if figures is None else figures.with_dhash),
        changes=Changes(),
        kept=True,
        worker=worker,
        warnings=tuple(told),
        exit_code=0 if healthy else ProcessingFailed.exit_code,
    )


def refuse_if_running(live: Path) -> None:
    """Refuse to begin while something writes the catalogue.

    Raises:
        Held: Something does: says who, since when and what.
    """
    holder = running_operation(live)
    if holder is None:
        return
    failed = taken_error(catalogue_lock_path(live))
    failed.fix = "wait for it, or `mobius rollback --force` ends it first"
    if holder.purpose in GOING_BACK_ALREADY:
        failed.fix = "wait for it: it brings a former state back itself"
    raise failed


def live_hash(live: Path) -> str:
    """SHA-256 of the live file, ``absent`` when there is none, empty when it cannot be read."""
    try:
        return hash_or_absent(live)
    except OSError:
        return ""
