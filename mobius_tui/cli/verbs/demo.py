"""`mobius demo [DIR]`: a small realistic workspace, and the main job running on it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import fitted, table
from mobius_tui.cli.output import data_width, is_terminal, show, show_json, tell_raw
from mobius_tui.cli.verbs.console import has_terminal
from mobius_tui.cli.verbs.migrate import run_to_end, summary_lines
from mobius_tui.errors import BadInput
from mobius_tui.operations.demo import DemoFacts, create_demo_workspace
from mobius_tui.operations.options import default_options
from mobius_tui.recovery.history import note_act
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import add_job
from mobius_tui.store.pairs import Pair, list_pairs
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

SHOWN = 10
"""Pairs and failures of a kind that are shown as text."""


@click.command("demo")
@takes_common_options
@click.argument("folder", required=False, metavar="[DIR]")
@click.pass_obj
def demo(call: Call, folder: str | None) -> int:
    """Make a small board-game library with known duplicates and look-alikes, and open the console on it.

    DIR is an empty or new folder, default ./mobius-demo. Without a terminal the same is run and printed as text.
    """
    if folder is not None and call.workspace is not None:
        raise BadInput("two folders are given", where=f"{folder} and --workspace {call.workspace}", fix="give one")
    who = call.who()
    root = Path(os.path.realpath(Path(folder or call.workspace or "mobius-demo").expanduser()))
    with _drawing(call) as on_drawn:
        facts = create_demo_workspace(root, on_drawn)
    init_workspace(root)
    ws = open_workspace(root, {"environment": call.env}, os.environ, who)
    call.log = ws.logs / "service.log"
    note_act(ws.state, "demo", who)
    if has_terminal() and not call.json and not call.quiet and call.timeout is None:
        return _in_console(call, ws)
    return _as_text(call, ws, facts)


@contextlib.contextmanager
def _drawing(call: Call) -> Iterator[Callable[[int, int], None]]:
    """A line that counts the files being drawn, on a terminal."""
    wanted = is_terminal(sys.stderr) and not call.quiet and os.environ.get("TERM", "dumb") != "dumb"
    last = 0.0

    def count(done: int, total: int) -> None:
        nonlocal last
        if wanted and (time.monotonic() - last > 0.25 or done == total):
            last = time.monotonic()
            tell_raw(f"\rdrawing the demo library  {done}/{total}\x1b[K")

    try:
        yield count
    finally:
        if last:
            tell_raw("\r\x1b[K")


def _in_console(call: Call, ws: Workspace) -> int:
    from mobius_tui.launch.worker import ensure_worker

    ensure_worker(ws, os.environ, call.env)
    # refused when one is under way already
    with contextlib.closing(open_database(ws.database)) as connection, contextlib.suppress(BadInput):
        add_job(connection, "migrate", default_options(ws).to_json(), ws.actor, reason="demo", alone=("migrate",))
    return call.console(ws)


def _as_text(call: Call, ws: Workspace, facts: DemoFacts) -> int:
    job = run_to_end(call, ws, default_options(ws))
    with contextlib.closing(open_database(ws.database)) as connection:
        pairs = list_pairs(connection, limit=SHOWN)
    if call.json:
        show_json(_facts(ws, job.run_id, job.summary, facts, pairs))
        return 0
    width = data_width()
    show(fitted(f"demo workspace {ws.root}", width), "title")
    for line in summary_lines(job.summary, width):
        show(line)
    _show_found(job.summary, facts, pairs, width)
    show()
    show("next", "title")
    mobius, place = _program(), shlex.quote(os.path.relpath(ws.root))
    steps = (
        (f"{mobius} --workspace {place}", "the console"),
        (f"{mobius} status --workspace {place}", "the same in one screen"),
        (f"{mobius} check --workspace {place}", "catalogue against folder"),
    )
    for line in table(steps, cut_end=True, width=width - 2):
        show(f"  {line}")
    return 0


def _program() -> str:
    """What to type for this program: its name where the shell finds it, else its path."""
    found, own = shutil.which("mobius"), Path(sys.argv[0])
    if own.name != "mobius" or (found is not None and Path(found).resolve() == own.resolve()):
        return "mobius"
    return shlex.quote(os.path.relpath(own))


def _show_found(summary: Mapping[str, Any], facts: DemoFacts, pairs: list[Pair], width: int) -> None:
    show()
    show(f"exact duplicates {summary['exact_duplicates']:,} (drawn so: {len(facts.exact):,})", "title")
    for known in facts.exact[:SHOWN]:
        show(fitted(f"  {known.right} = {known.left}", width))
    show()
    show(f"waiting pairs {summary['waiting_pairs']:,}, the first {len(pairs)}", "title")
    rows = [(f"{pair.confidence:.2f}", f"{pair.distance} bits", pair.left_path, pair.right_path) for pair in pairs]
    for line in table(rows, right=[0, 1], flexible=3, width=width - 2):
        show(f"  {line}")


def _facts(
    ws: Workspace, run_id: str, summary: Mapping[str, Any], facts: DemoFacts, pairs: list[Pair]
) -> dict[str, object]:
    return {
        "workspace": str(ws.root),
        "run": run_id,
        "summary": dict(summary),
        "drawn": {
            "files": facts.files, "images": facts.images, "exact": len(facts.exact), "near": len(facts.near),
            "lookalikes": len(facts.lookalikes), "broken": len(facts.broken),
        },
        "waiting": [
            {"left": pair.left_path, "right": pair.right_path, "hammingDistance": pair.distance,
             "confidence": pair.confidence}
            for pair in pairs
        ],
    }  # fmt: skip
