"""The actions of pane 5: starting a watch, and what is asked of the one that is on; its guard answers.

Everything goes through files that the guard reads, so it works without a database, too.
"""

from __future__ import annotations

import os

from mobius_tui.console.asking import Act, Action, Plan, Question, typed_in_production
from mobius_tui.console.lines import outside
from mobius_tui.console.publish_actions import REASON, flagged_environment
from mobius_tui.console.snapshot import Snapshot, is_canary, publication_of, watch_on
from mobius_tui.console.views.rules import latest_rules
from mobius_tui.console.views.view import span_of
from mobius_tui.system.clock import clock_text
from mobius_tui.workspace import Workspace

EXTEND_S = 900.0
"""Seconds that one press of the key adds."""


def able_to_watch(snapshot: Snapshot) -> str | None:
    """Whether a watch can begin, or is there to be looked at."""
    publication = publication_of(snapshot)
    if watch_on(snapshot) is None and publication is not None and publication.state in {"queued", "running"}:
        follows = "; its watch follows it" if publication.kind == "deploy" else ""
        return f"{publication.kind} of {outside(publication.who)} is {publication.state}{follows}"
    return None


def pane_of_watch(snapshot: Snapshot) -> str:
    """The pane to look at when a watch is on; empty when none is."""
    return "" if watch_on(snapshot) is None else "watch"


def able_to_ask(snapshot: Snapshot) -> str | None:
    """Whether something can be asked of the watch that is on: pane 5 has the keys."""
    watch = watch_on(snapshot)
    if watch is None:
        return "no watch is on"
    if is_canary(watch):
        return "a canary is watched by its deploy; C ends both"
    if watch.state == "planned":
        return "the watch has not begun; it begins when its deploy is live"
    if watch.state == "rolling back":
        return "the watch is rolling back"
    return None if snapshot.pane == "Watch" else "give the keys to pane 5 first"


def able_to_switch(snapshot: Snapshot) -> str | None:
    """Whether automatic rollback can be turned on or off: there is time left in which it could matter."""
    why, watch = able_to_ask(snapshot), watch_on(snapshot)
    if why is None and watch is not None and watch.state == "undecided":
        return "the time is over: E extends, Y accepts, R rolls back"
    return why


def _plan_watch(ws: Workspace, snapshot: Snapshot) -> Plan:
    """Say what the settings make of it, then ask."""
    settings = ws.settings
    lasts, every = span_of(settings.watch_seconds), span_of(settings.watch_interval)
    question = Question(
        f"Start a watch of what is live in {snapshot.environment}?",
        (
            f"It lasts {lasts} and measures every {every}; the baseline is taken now.",
            "Automatic rollback is off: when a rule fails it pages and asks. T turns it on.",
            "Deploy, migration and restore are refused meanwhile. It needs no console.",
        ),
        "Start the watch",
    )
    return Plan("", (), question, _start)


def _start(ws: Workspace, _: Snapshot) -> str:
    from mobius_tui.operations.watching import WatchOptions, start_watch

    begun, was_on = start_watch(ws, WatchOptions(reason=REASON), os.environ, flagged_environment(ws))
    until = f"until {clock_text(begun.until_at)[:5]} UTC; " if begun.until_at else ""
    return f"{'the watch is on' if was_on else 'the watch has begun'}, {until}5 shows it"


def _asks(act: str, **facts: object) -> Act:
    def call(ws: Workspace, _: Snapshot) -> str:
        from mobius_tui.operations.watching import ask_watch

        return f"{act}: {outside(ask_watch(ws, act, reason=REASON, **facts))}"

    return call


def _ask_accept(snapshot: Snapshot) -> Question:
    return Question(
        f"Accept what is live in {snapshot.environment}, and end the watch now?",
        (rules_say(snapshot), "Nothing is measured and nothing rolls back by itself afterwards."),
        "Accept",
        typed_in_production(snapshot),
        no="Let it go on",
    )


def _plan_switch(_: Workspace, snapshot: Snapshot) -> Plan:
    """Ask; what was asked is done, whatever somebody else has turned meanwhile."""
    watch = watch_on(snapshot)
    on = watch is not None and watch.auto
    means = (
        "When a rule fails it only pages and asks; nothing is undone by itself."
        if on
        else "When a rule fails, the guard rolls back at once, without asking."
    )
    question = Question(
        f"Turn automatic rollback of {snapshot.environment} {'off' if on else 'on'}?",
        (means, rules_say(snapshot)),
        "Turn it off" if on else "Turn it on",
        typed_in_production(snapshot),
    )
    return Plan("", (), question, _asks("auto", on=not on))


def rules_say(snapshot: Snapshot) -> str:
    """What the rules said at the latest measurement, in a sentence."""
    rules = latest_rules(snapshot)
    if not rules:
        return "Nothing was measured yet."
    loud = [f"{name} {outside(rule.get('verdict'))}" for name, rule in rules.items() if rule.get("verdict") != "pass"]
    return f"The rules say: {', '.join(loud)}." if loud else "All rules pass at the latest measurement."


def auto_label(snapshot: Snapshot) -> str:
    """The footer's word for turning automatic rollback the other way."""
    watch = watch_on(snapshot)
    return "auto off" if watch is not None and watch.auto else "auto on"


ACTIONS = (
    Action(
        ("w",), "w", "watch", "watch",
        "Start a watch of what is live, automatic rollback off; asks first. Shows the one that is on.",
        able_to_watch, True, plan=_plan_watch, rank=18, leads=pane_of_watch,
    ),
    Action(
        ("Y",), "Y", "accept", "accept", "End the watch: what is live is good. Asks first.",
        able_to_ask, True, act=_asks("accept"), question=_ask_accept, rank=10,
    ),
    Action(
        ("E",), "E", "extend", "extend", "Let the watch last 15 minutes longer.",
        able_to_ask, True, act=_asks("extend", seconds=EXTEND_S), rank=11,
    ),
    Action(
        ("S",), "S", "snapshot", "snapshot", "Measure now, and keep it as a snapshot of the watch.",
        able_to_ask, True, act=_asks("snapshot", name=""), rank=12,
    ),
    Action(
        ("T",), "T", "auto", "auto", "Turn automatic rollback of the watch on or off. Asks first.",
        able_to_switch, True, plan=_plan_switch, rank=13,
    ),
)  # fmt: skip
"""The actions of the watch."""
