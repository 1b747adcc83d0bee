"""`mobius init`, `mobius config` and `mobius history`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict

import click

from mobius_tui.audiences import REPEAT_MINUTES, Route
from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import hanging, table, wrapped
from mobius_tui.cli.output import data_width, show, show_json
from mobius_tui.errors import BadInput
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace


@click.command("init")
@takes_common_options
@click.argument("folder", required=False, metavar="[DIR]")
@click.pass_obj
def init(call: Call, folder: str | None) -> int:
    """Make an empty workspace: its folders, each saying what it is for. What exists is left alone."""
    from pathlib import Path

    from mobius_tui.recovery.history import note_act
    from mobius_tui.settings import load_settings
    from mobius_tui.workspace import Workspace, init_workspace

    who = call.who()
    if folder is not None and call.workspace is not None and Path(folder) != Path(call.workspace):
        raise BadInput("two folders are given", where=f"{folder} and --workspace {call.workspace}", fix="give one")
    root = Path(os.path.realpath((Path(folder) if folder else call.root).expanduser()))
    if root.exists() and not root.is_dir():
        raise BadInput(f"{root} is not a folder")
    sourced = load_settings(root, {"environment": call.env}, os.environ)
    created = init_workspace(root, sourced.values)
    if created:
        note_act(Workspace(root, sourced, who).state, "init", who, details={"made": [str(path) for path in created]})
    if call.json:
        show_json({"workspace": str(root), "created": [str(path) for path in created]})
        return 0
    show(f"workspace {root}")
    for path in created:
        show(f"  made  {os.path.relpath(path, root)}/")
    if not created:
        show("  everything was there already")
    inside = Path.cwd() == root
    place = "" if inside else f" --workspace {root}"
    library = os.path.relpath(root / sourced.values.library, root)
    call.say(f"Next: put images into {library}/, then `mobius migrate{place}`, or `mobius{place}` for the console.")
    return 0


@click.command("config")
@takes_common_options
@click.pass_obj
def config(call: Call) -> int:
    """Each effective setting and where its value comes from; secrets are hidden."""
    from mobius_tui.settings import describe, setting_names, shown_setting

    ws = call.open_quietly()
    values = asdict(ws.settings)
    shown = {name: shown_setting(name, values[name]) for name in setting_names()}
    if call.json:
        facts = {
            name: {"value": shown[name], "source": ws.sourced.sources[name], "means": describe(name)} for name in shown
        }
        routes = {name: _route_facts(route) for name, route in ws.sourced.routes.items()}
        warnings = list(ws.sourced.warnings)
        show_json({"workspace": str(ws.root), "settings": facts, "notify": routes, "warnings": warnings})
    else:
        rows = [(name, _written(shown[name]), ws.sourced.sources[name]) for name in shown]
        rows += [(f"notify.{name}", _route_words(route), route.source) for name, route in ws.sourced.routes.items()]
        for line in table(rows, heads=("setting", "value", "source"), flexible=1, width=data_width()):
            show(line)
        if call.verbose:
            show()
            for name in shown:
                show(f"{name}: {describe(name)}")
    call.open()  # strictly this time: what is wrong ends it with exit code 1
    return 0


def _route_facts(route: Route) -> dict[str, object]:
    """Where notifications go, without what is secret in it."""
    kind = "url" if route.url else "command"
    facts = {kind: route.shown, "at_least": route.at_least, "repeat_minutes": route.repeat_minutes}
    return {**facts, "source": route.source}


def _route_words(route: Route) -> str:
    """The same in one line; only what differs from the usual is told."""
    least = f", from {route.at_least} on" if route.at_least != "info" else ""
    often = f", every {route.repeat_minutes:g} min" if route.repeat_minutes != REPEAT_MINUTES else ""
    return f"{route.shown}{least}{often}"


def _written(value: object) -> str:
    """A value as mobius.toml would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


@click.command("history")
@takes_common_options
@click.option("-n", "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, metavar="N",
              help="The latest N acts.")  # fmt: skip
@click.pass_obj
def history(call: Call, limit: int) -> int:
    """Every act that changed anything, oldest first: when, what, who, why, hash before and after."""
    from mobius_tui.recovery.history import read_history

    ws = call.open(lenient=True)
    acts = read_history(ws.state, limit)
    if call.json:
        show_json(acts)
        return 0
    if not acts:
        call.say("nothing was changed here yet")
    width = data_width()
    for act in acts:
        before, after = (str(act.get(key) or "-")[:12] for key in ("before", "after"))
        change = f"  {before} -> {after}" if before != after else f"  {before}" if before != "-" else ""
        head = f"{act.get('time', '-')}  {act.get('act', '?')}  by {act.get('who', '?')}{change}"
        for line in wrapped(head, width=width):
            show(line)
        why = [visible(str(text)) for text in (act.get("run"), act.get("reason")) if text]
        if why:
            for line in wrapped("    " + "  ".join(why), width=width):
                show(line)
        for concerned in concerned_lines(act):
            for line in wrapped(f"    {concerned}", width=width):
                show(line)
        if output := _elsewhere(ws, act):
            for line in hanging("    wrote ", output, width=width):
                show(line)
    return 0


def concerned_lines(act: Mapping[str, object]) -> list[str]:
    """Which backups, images and job an act of the history was about.

    Args:
        act: A record of the history, whoever wrote it.

    Returns:
        Lines; none when it was about nothing but the catalogue.
    """
    found = act.get("details")
    details: Mapping[str, object] = found if isinstance(found, dict) else {}
    lines = []
    if isinstance(details.get("target"), str) and details["target"]:
        mode = details.get("mode")
        lines.append(f"to {details['target']}" + (f", {mode}" if mode not in {None, "", "exact"} else ""))
    if isinstance(details.get("backup"), str) and details["backup"]:
        lines.append(f"{'the way back is' if act.get('act') == 'deploy' else 'backup'} {details['backup']}")
    if isinstance(details.get("emergency"), str) and details["emergency"]:
        kept = str(details["emergency"])
        lines.append(f"what was live before is kept as {kept if '/' in kept else f'emergency/{kept}'}")
    removed = details.get("removed")
    if isinstance(removed, list) and removed:
        names = [str(each.get("backup", each) if isinstance(each, dict) else each) for each in removed]
        lines.append(f"removed {len(names)}: {', '.join(names)}")
    if isinstance(details.get("job"), int):
        lines.append(f"job {details['job']}")
    return [visible(line) for line in lines]


def _elsewhere(ws: Workspace, act: Mapping[str, object]) -> str:
    """Where an act wrote when that was not the live catalogue; empty otherwise."""
    details = act.get("details")
    output = details.get("output") if isinstance(details, dict) else None
    with contextlib.suppress(BadInput):
        if isinstance(output, str) and os.path.realpath(output) != os.path.realpath(ws.catalogue):
            return output
    return ""
