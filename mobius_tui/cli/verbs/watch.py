"""`mobius watch`: starts or joins the one watch, stays attached, and asks things of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from mobius_tui.cli import interrupts
from mobius_tui.cli.call import Call, takes_common_options
from mobius_tui.cli.layout import labelled
from mobius_tui.cli.output import data_width, flush, show, show_json, show_json_line, tell_wrapped
from mobius_tui.cli.watch_lines import (
    STYLES,
    end_lines,
    event_sentence,
    failing_lines,
    rule_table,
    tick_line,
    verdict_of,
)
from mobius_tui.errors import BadInput, ProcessingFailed, TimeLimit
from mobius_tui.guard.launch import heal_guard
from mobius_tui.launch.questions import shown_url
from mobius_tui.operations.canary_view import canary_facts, canary_rows, canary_rules, read_canary
from mobius_tui.operations.watching import (
    WatchOptions,
    WatchView,
    ask_watch,
    exit_code_of_watch,
    is_guarded,
    journal_stamp,
    next_of,
    read_watch,
    report_path,
    start_watch,
    trouble_of,
)
from mobius_tui.store.values import number
from mobius_tui.system import clock
from mobius_tui.text import duration_of, human_seconds, spoken_seconds, visible
from mobius_tui.workspace import Workspace

_LOOK_S = 0.25
_LONELY_S = 2.0
_SURE_NS = 2_000_000_000  # a file's time has steps: what was written just now is read once more


class Duration(click.ParamType[float]):
    """A duration as people write it, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds of ``60m``, ``90s``, ``1h30m``."""
        if isinstance(value, float):
            return value
        seconds = duration_of(str(value))
        if seconds is None or seconds <= 0:
            self.fail(f"{visible(str(value))!r} is no duration such as 60m, 90s or 1h30m", param, ctx)
        return seconds


@click.group("watch", invoke_without_command=True)
@takes_common_options
@click.option("--backup", metavar="NAME", default="", help="The way back; default: that of what is live.")
@click.option("--auto-rollback", is_flag=True, help="Roll back by itself; without it, it pages and asks.")
@click.option("--duration", type=Duration(), metavar="TIME", help="How long it lasts; default 60m.")
@click.option("--interval", type=Duration(), metavar="TIME", help="Between two measurements; default 60s.")
@click.option("--base-url", default="", metavar="URL", help="The service to measure; default: this library's worker.")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_context
def watch(ctx: click.Context, /, **given: Any) -> int | None:
    """Guard what is live: a measurement a minute for 60 minutes, by a process of its own.

    Starts the watch or joins the one that is on, and stays attached: a line a measurement. Ctrl-C only detaches.
    Ends with 0 when accepted, 2 when rolled back, 4 without a verdict.
    """
    if ctx.invoked_subcommand is not None:
        asked = [name for name, value in given.items() if value]
        if asked:
            option = "--" + asked[0].replace("_", "-")
            raise click.UsageError(f"{option} is an option of `mobius watch` alone", ctx)
        return None
    call: Call = ctx.obj
    ws = call.open(writes=True)
    options = _options(given)
    found, joined = start_watch(ws, options, os.environ, call.env, say=call.say)
    if joined:
        asked = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
        note = f"; {', '.join(asked)} had no effect" if asked else ""
        later = "; it begins when its deploy is live" if found.ready == "wait" else ""
        until = f", until {clock.iso(found.until_at)}" if found.until_at else ""
        auto = f", automatic rollback {_on(found.plan.auto)}"
        said = f"joined the watch {found.run} of {visible(found.who)}{later}{until}{auto}{note}"
        call.say(said, "warn" if asked else "")
    else:
        call.say(f"the watch {found.run} runs in a process of its own, with automatic rollback {_on(found.plan.auto)}")
        _warn_without_way(ws, found.run)
    return _attached(call, ws, found.run)


def _warn_without_way(ws: Workspace, run: str) -> None:
    view = read_watch(ws, run)
    if view is not None and not (view.story.plan.backup or view.story.way):
        said = "no way back is known: what is live was published without a backup, and nothing could be rolled back"
        tell_wrapped(f"warning: {said}; `mobius watch --backup NAME` names one", "warn")


def _options(given: Mapping[str, Any]) -> WatchOptions:
    interval, duration = given["interval"], given["duration"]
    if interval is not None and interval < 0.05:
        raise BadInput("the interval is shorter than 0.05 s", fix="give --interval more")
    if duration is not None and duration > 604_800:
        raise BadInput("a watch lasts 7 days at most", fix="give --duration less")
    return WatchOptions(
        auto=given["auto_rollback"],
        duration_s=duration,
        interval_s=interval,
        base_url=given["base_url"],
        backup=given["backup"],
        reason=given["reason"],
    )


def _on(auto: bool) -> str:
    return "on" if auto else "off: it pages and asks"


def _attached(call: Call, ws: Workspace, run: str) -> int:
    """Print each measurement until the watch has ended or its time is over."""
    shown, said, seen = _Shown(), "", (0, 0)
    lonely = time.monotonic()
    try:
        while True:
            stamp = journal_stamp(ws, run)
            if stamp != seen or time.time_ns() - stamp[0] < _SURE_NS:
                view = read_watch(ws, run)
                if view is None:
                    raise ProcessingFailed("the files of the watch are gone", fix="`mobius watch status`")
                seen = stamp
                _print_new(call, view, shown)
                _print_trouble(ws, view, shown)
                if view.story.state in {"ended", "undecided"}:
                    return _tell_end(call, ws, view)
            if is_guarded(ws):
                lonely = time.monotonic()
            elif time.monotonic() - lonely > _LONELY_S:
                said, lonely = _take_up(call, ws, said), time.monotonic()
            time.sleep(_LOOK_S)
    except interrupts.AskedToEnd as asked:
        asked.cause.what = f"{asked.cause.what}; detached, the watch goes on without this terminal"
        asked.cause.fix = "`mobius watch` joins it again, `mobius watch stop --reason TEXT` ends it"
        if isinstance(asked.cause, TimeLimit):
            asked.cause.what = f"{asked.cause.what} and has no verdict yet"
        raise


class _Shown:
    """What the attached verb has printed: how many records, last event and trouble, rollbacks, rules without data."""

    records = 0
    event = ""
    rollbacks: frozenset[str] = frozenset()
    trouble = ""
    lacking: frozenset[str] = frozenset()


def _take_up(call: Call, ws: Workspace, before: str) -> str:
    """The guard is gone: start it again, as any verb does. What was said before is not said again."""
    said = heal_guard(ws, os.environ, call.env)
    if said and said != before:
        tell_wrapped(said, "warn")
    return said or before


def _print_new(call: Call, view: WatchView, shown: _Shown) -> None:
    """Print what the journal tells since the last look."""
    for record in view.records[shown.records :]:
        what = str(record.get("what") or "")
        if call.json:
            if what not in {"begin", "guard"}:
                show_json_line(record)
            continue
        if what == "tick":
            _print_tick(record, shown)
            continue
        said = event_sentence(record)
        if said and said != shown.event and said not in shown.rollbacks:
            shown.event = said
            shown.rollbacks |= {said} if what == "rollback" else set()  # tried again at each interval, told once
            flush(sys.stdout)
            grave = what in {"trigger", "rollback", "gap"}
            (tell_wrapped if grave else call.say)(f"{_time(record)}  {said}", "bad" if grave else "title")
    flush(sys.stdout)
    shown.records = len(view.records)


def _print_trouble(ws: Workspace, view: WatchView, shown: _Shown) -> None:
    """What the guard cannot do, once while it is the same: a rollback that fails is tried again at each interval."""
    trouble = trouble_of(ws, view.run)
    if trouble and trouble != shown.trouble:
        tell_wrapped(f"the guard is in trouble: {trouble}", "bad")
    shown.trouble = trouble


def _print_tick(record: Mapping[str, Any], shown: _Shown) -> None:
    """A measurement: below its line why a rule does not pass, for want of data only when that is new."""
    rules = record.get("rules") or []
    style = STYLES.get(verdict_of(rules), "")
    show(tick_line(record.get("measurement") or {}, rules), style)
    lacking = frozenset(str(rule.get("rule")) for rule in rules if rule.get("verdict") == "no data")
    for line in failing_lines(rules, data_width(), also=lacking - shown.lacking):
        show(line, style)
    shown.lacking = lacking


def _time(record: Mapping[str, Any]) -> str:
    return str(record.get("time") or "")[11:19] or "--:--:--"


def _tell_end(call: Call, ws: Workspace, view: WatchView) -> int:
    facts = _end_facts(ws, view)
    code = exit_code_of_watch(str(facts["outcome"]))
    if call.json:
        show_json_line({"run": view.run, "exit_code": code, **facts})
    else:
        for line in end_lines(facts, data_width()):
            show(line)
    if view.story.state == "undecided":
        call.say("it holds what is live, pages hourly and asks: `mobius watch accept`, or `mobius rollback`", "warn")
    return code


def _end_facts(ws: Workspace, view: WatchView) -> dict[str, object]:
    story = view.story
    last = story.end or story.over or {}
    report = report_path(ws, view.run)
    ended, elapsed = str(last.get("time") or ""), number(last.get("elapsed_s"))
    return {
        "outcome": story.outcome,
        "reason": str(last.get("reason") or ""),
        "decided_by": str(last.get("decided_by") or ""),
        "measurements": len(story.measurements),
        "began_at": clock.iso(story.started_at) if story.started_at else None,
        "ended_at": ended or None,
        "lasted_s": None if elapsed is None else round(elapsed, 1),
        "report": str(report) if report.exists() else "",
    }


@watch.command("status")
@takes_common_options
@click.pass_obj
def status(call: Call) -> int:
    """Where the watch stands: time left, each rule with value, limit and verdict, what would happen next."""
    ws = call.open_quietly()
    view, canary = read_watch(ws), read_canary(ws)
    if call.json:
        more = {} if canary is None else {"canary": canary_facts(canary)}
        show_json({"watch": None if view is None else _facts(ws, view), **more})
        return 0
    width = data_width()
    if canary is not None:
        rows, rules = canary_rows(canary), canary_rules(canary)
        if view is not None and view.open is not None:
            rows.append(("afterwards", f"{view.run}, {_state(view)}"))
    elif view is None:
        show("there was no watch yet; `mobius watch` starts one")
        return 0
    else:
        rows = _status_rows(ws, view)
        rules = [row.to_json() for row in view.story.history[-1]] if view.story.history else []
    for line in labelled(rows, width=width):
        show(line)
    if rules:
        show("")
        for line, style in rule_table(rules, width):
            show(line, style)
        for line in failing_lines(rules, width):
            show(line, "warn")
    return 0


def _status_rows(ws: Workspace, view: WatchView) -> list[tuple[str, str]]:
    story, found = view.story, view.open
    plan = story.plan
    rows = [("watch", view.run), ("started by", plan.who or "-")]
    rows += [("guards", plan.deploy)] if plan.deploy else []
    rows += [("reason", plan.reason)] if plan.reason else []
    rows.append(("state", _state(view)))
    if found is not None and story.start is not None:
        left = spoken_seconds(abs(found.left_s))
        rows.append(("until", f"{clock.iso(found.until_at)}, {left} {'left' if found.left_s > 0 else 'ago'}"))
    rows.append(("automatic rollback", "on" if plan.auto else "off: it pages and asks"))
    way = plan.backup or story.way
    if way or story.start is not None:
        rows.append(("way back", way or "none: nothing can be rolled back"))
    rows += [("service", shown_url(plan.base_url))] if plan.base_url else []
    rows.append(("measurements", f"{len(story.measurements):,}, every {human_seconds(plan.interval_s)}"))
    if story.snapshots:
        rows.append(("snapshots", ", ".join(f"{each.get('name')} {each.get('verdict')}" for each in story.snapshots)))
    trouble = trouble_of(ws, view.run) if found is not None else ""
    rows += [("trouble", trouble)] if trouble else []
    if found is not None:
        rows.append(("next", next_of(story, found.left_s)))
    elif story.end is not None:
        rows.append(("why", str(story.end.get("reason") or "-")))
        rows.append(("decided by", str(story.end.get("decided_by") or "-")))
        report = report_path(ws, view.run)
        rows += [("report", str(report))] if report.exists() else []
    return rows


def _state(view: WatchView) -> str:
    if view.open is None:
        return f"ended: {view.story.outcome}"
    if view.open.ready == "wait":
        return "planned: it begins when its deploy is live"
    lost = "" if view.guarded else "; its guard is dead, any verb or the worker starts it again"
    return f"{view.story.state}{lost}"


def _facts(ws: Workspace, view: WatchView) -> dict[str, object]:
    found, story = view.open, view.story
    return {
        "run": view.run,
        "state": story.state,
        "guarded": view.guarded,
        "plan": {**story.plan.to_json(), "base_url": shown_url(story.plan.base_url) if story.plan.base_url else ""},
        "until": None if found is None or not found.until_at else clock.iso(found.until_at),
        "left_s": None if found is None else round(found.left_s, 1),
        "rules": [row.to_json() for row in story.history[-1]] if story.history else [],
        "snapshots": list(story.snapshots),
        "next": None if found is None else next_of(story, found.left_s),
        **_end_facts(ws, view),
    }


@watch.command("accept")
@takes_common_options
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def accept(call: Call, reason: str) -> int:
    """End the watch now: what is live is good."""
    return _asked(call, "accept", reason=reason)


@watch.command("extend")
@takes_common_options
@click.argument("time", type=Duration(), default=900.0, metavar="[TIME]")
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def extend(call: Call, time: float, reason: str) -> int:
    """Let the watch last longer: by 15m, or by the time given."""
    return _asked(call, "extend", reason=reason, seconds=time)


@watch.command("snapshot")
@takes_common_options
@click.argument("name", default="", metavar="[NAME]")
@click.pass_obj
def snapshot(call: Call, name: str) -> int:
    """Measure now, and keep it as a snapshot of this name."""
    return _asked(call, "snapshot", name=name)


@watch.command("auto")
@takes_common_options
@click.argument("switch", type=click.Choice(["on", "off"]))
@click.option("--reason", default="", metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def auto(call: Call, switch: str, reason: str) -> int:
    """Turn automatic rollback on or off."""
    return _asked(call, "auto", reason=reason, on=switch == "on")


@watch.command("stop")
@takes_common_options
@click.option("--reason", required=True, metavar="TEXT", help="Why, for the history.")
@click.pass_obj
def stop(call: Call, reason: str) -> int:
    """End the watch without a verdict; what is live stays."""
    if not reason.strip():
        raise BadInput("a watch is stopped with a reason", fix="--reason TEXT")
    return _asked(call, "stop", reason=reason)


def _asked(call: Call, act: str, *, reason: str = "", **facts: object) -> int:
    ws = call.open(writes=True)
    answer = ask_watch(ws, act, reason=reason, **facts)
    if call.json:
        show_json({"act": act, "answer": answer})
    else:
        show("the snapshot is taken; `mobius watch status` shows it" if act == "snapshot" else answer)
    return 0
