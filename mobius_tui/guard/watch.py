"""The watch itself: measure, judge, and act on it, by deadlines that no death of this process moves."""

from __future__ import annotations

import threading
from dataclasses import replace
from traceback import format_exception

from mobius_tui.guard.canary import watch_canary
from mobius_tui.guard.ending import decide, finish, history_stamp, last_publication, pin_way_back, superseded_by
from mobius_tui.guard.going_back import Intent
from mobius_tui.guard.granting import answer
from mobius_tui.guard.keeping import Keeper
from mobius_tui.guard.mirror import Mirror
from mobius_tui.guard.model import Measurement, Outcome, Plan, RuleRow
from mobius_tui.guard.records import Story, kept_measurement, kept_rules
from mobius_tui.guard.rows import tick_row, watch_row
from mobius_tui.guard.rules import judge
from mobius_tui.guard.surroundings import Leaving, Surroundings
from mobius_tui.guard.telling import Telling, names_of, whole_verdict
from mobius_tui.guard.timing import GAP_INTERVALS, Anchor, due_at, due_number, snapshots_due
from mobius_tui.guard.verdict import SILENT_FROM, decide_end, failing, next_line, overall, silent
from mobius_tui.guard.wishes import Wish, read_wishes
from mobius_tui.notifications.message import Audience, Severity
from mobius_tui.system.processes import process_token
from mobius_tui.text import spoken_seconds, visible
from mobius_tui.workspace import Workspace

LOOK_S = 0.25
"""Seconds between two looks at the wishes."""

PAGES_EVERY = 60
"""Intervals between two pages about a watch without a verdict: an hour of minutes."""

_TROUBLE_PAUSE_S = 1.0
_LEAST_S = 0.005


def run_watch(ws: Workspace, keeper: Keeper, around: Surroundings, mirror: Mirror, telling: Telling) -> str:
    """Guard a watch until its end, or until this process is asked to end.

    Args:
        ws: The workspace.
        keeper: The watch's journal.
        around: What it needs of the world.
        mirror: Its rows in the database.
        telling: Its voice.

    Returns:
        The outcome; empty when the watch goes on without this process.
    """
    watch = Watch(ws, keeper, around, mirror, telling)
    while not watch.over:
        reason = around.asked_to_end()
        if reason:
            watch.leave(reason)
            return ""
        try:
            around.sleep(watch.attempt())
        except Leaving as leaving:
            watch.leave(str(leaving))
            return ""
    mirror.flush()
    return keeper.story.outcome


class Watch:
    """One watch under way; all that must outlive this process is in the journal.

    Args:
        ws: The workspace.
        keeper: The journal.
        around: The world.
        mirror: The rows.
        telling: The voice.
    """

    def __init__(self, ws: Workspace, keeper: Keeper, around: Surroundings, mirror: Mirror, telling: Telling) -> None:
        self._ws, self._keeper, self._around, self._mirror, self._telling = ws, keeper, around, mirror, telling
        self._rows: tuple[RuleRow, ...] = judge(self._plan, self._story.measurements)
        self._idle_since = self._story.last_elapsed_s
        self._up = False
        self._retry_at = 0.0
        self._troubles: dict[str, str] = {}
        self._pinging: threading.Thread | None = None
        self._unheard = ""
        self._acts: tuple[int, int] | None = None

    @property
    def over(self) -> bool:
        """Whether the watch has ended, and its journal says so."""
        return self._story.end is not None and (not self._keeper.problem or not self._keeper.path.exists())

    @property
    def _story(self) -> Story:
        return self._keeper.story

    @property
    def _plan(self) -> Plan:
        return self._keeper.story.plan

    def _elapsed(self) -> float:
        anchor = self._story.anchor
        return 0.0 if anchor is None else anchor.elapsed(self._around.clock, self._story.last_elapsed_s)

    def attempt(self) -> float:
        """One look at everything; whatever fails in it is told and tried again, it never ends the guard.

        Returns:
            Seconds until the next look.
        """
        try:
            self._look()
            self._trouble("guard", "")
        except Exception as error:  # a guard that gives up guards nothing
            said = f"{type(error).__name__}: {visible(str(error))}"
            self._trouble("guard", said, "".join(format_exception(error)))
        self._trouble(
            "journal", "" if self._keeper.flush() else f"the journal cannot be written: {self._keeper.problem}"
        )
        self._mirror.flush()
        if "guard" in self._troubles:
            return _TROUBLE_PAUSE_S
        if self._story.state != "running" or self._story.ending is not None:
            return LOOK_S
        due = min(due_at(self._story.last_number + 1, self._plan.interval_s), self._story.deadline_s)
        return max(_LEAST_S, min(LOOK_S, due - self._elapsed()))

    def leave(self, reason: str) -> None:
        """This process ends and the watch does not: the next start takes it up again."""
        said = f"the guard ends ({visible(reason)}); the watch goes on when the worker or a verb starts it again"
        self._telling.say("warning", "guard_leaves", said)
        self._show(said)
        self._mirror.flush()

    def _look(self) -> None:
        if not self._up:
            self._take_up()
            self._up = True
        if self._story.ending is None:
            self._meet()
        if self._story.ending is None and not self._superseded():
            self._take_wishes()
        if self._story.ending is None:
            {"rolling back": self._go_back, "undecided": self._hold}.get(self._story.state, self._go_on)()
        if self._story.ending is not None and self._story.end is None:
            finish(self._ws, self._keeper, self._telling, self._verdict())
            self._show()
        self._idle_since = self._elapsed()

    def _take_up(self) -> None:
        """Begin the watch, or go on with it by the same deadlines."""
        clock, plan, token = self._around.clock, self._plan, process_token()
        if self._story.start is None:
            begin = Anchor.here(clock, 0.0)
            known = {"way": self._around.back.way(), "published": last_publication(self._ws)[1]}
            self._keeper.note("start", **begin.to_json(), **known)
            self._keeper.note("guard", token=token, **begin.to_json())
            auto = "on" if plan.auto else "off"
            said = f"a watch of {spoken_seconds(plan.duration_s)} begins, automatic rollback is {auto}"
            self._telling.say("info", "watch_started", said, plan=plan.to_json())
            self._telling.page(
                "watch start", "info", "watch started", said, self._verdict(), audience="devops", key="start"
            )
        else:
            before, elapsed = self._story.anchor or Anchor.here(clock, 0.0), self._elapsed()
            note = "" if before.boot_id == clock.boot_id() else "the machine was started again since"
            self._keeper.note("guard", token=token, **Anchor.here(clock, elapsed).to_json(), note=note)
            said = (
                f"the guard goes on with the watch, {spoken_seconds(max(0.0, self._story.deadline_s - elapsed))} left"
            )
            self._telling.say("info", "guard_started", f"{said}; {note}" if note else said)
        self._show()

    def _take_wishes(self) -> None:
        last = max(self._story.taken, default=0)
        try:
            wishes = read_wishes(self._keeper.path, last)
        except OSError as error:
            self._trouble("wishes", f"the wishes cannot be read: {error.strerror or error}")
            return
        self._trouble("wishes", "")
        for wish in wishes:
            self._take(wish)

    def _take(self, wish: Wish) -> None:
        elapsed = self._elapsed()
        given, was = answer(wish, self._story, elapsed), self._story.state
        facts = {"wish": wish.number, "act": wish.act, "who": wish.who, "reason": wish.reason}
        answered = {
            "granted": given.granted,
            "answer": given.sentence,
            "facts": dict(given.facts),
            "elapsed_s": elapsed,
        }
        self._keeper.note("wish", **facts, **answered)
        act = f"{visible(wish.who)} asks: {visible(wish.act)}" if wish.act else f"line {wish.number} of the wishes"
        why = f" ({visible(wish.reason)})" if wish.reason else ""
        self._telling.say("info" if given.granted else "warning", "wish", f"{act}{why}: {given.sentence}", **facts)
        if given.granted:
            self._grant(wish, was, elapsed)
        self._show()

    def _grant(self, wish: Wish, was: str, elapsed: float) -> None:
        if wish.act == "extend" and was == "undecided":
            number = due_number(elapsed, self._plan.interval_s)
            self._miss(number, elapsed, "the time was over")
        elif wish.act == "snapshot":
            number = self._story.last_number
            measurement = self._measured(number, elapsed, 0)
            rows = judge(self._plan, [*self._story.measurements, measurement])
            name = str(wish.facts.get("name") or "") or f"asked by {wish.who}"
            self._snapshot(name, None, measurement, rows, elapsed)
        else:
            self._meet()

    def _meet(self) -> None:
        """Do what was granted: at once, or after a kill between the two."""
        act, who, reason = (str((self._story.unmet or {}).get(name) or "") for name in ("act", "who", "reason"))
        if act == "rollback":
            self._trigger(None, who, reason or f"{who} asked for it")
        elif act == "gone back":
            self._end("rolled back", who, reason or f"{who} rolled back")
        elif act:
            self._end("accepted" if act == "accept" else "stopped", who, reason or f"{who} accepted it")

    def _go_on(self) -> None:
        """Measure what has fallen due, and come to the end when the time is over."""
        elapsed, interval, deadline = self._elapsed(), self._plan.interval_s, self._story.deadline_s
        number = due_number(min(elapsed, deadline), interval)
        if number > self._story.last_number:
            due = due_at(self._story.last_number + 1, interval)
            if elapsed - max(due, self._idle_since) > GAP_INTERVALS * interval:
                self._miss(number - 1, elapsed, "the guard did not run")
            self._measure(number, elapsed)
        if self._story.state == "running" and self._elapsed() >= deadline:
            self._time_over()

    def _miss(self, number: int, elapsed: float, why: str) -> None:
        """Measurements that fell due and that nobody made are no data."""
        first = self._story.last_number + 1
        if number < first:
            return
        self._keeper.note("gap", **{"from": first, "to": number, "elapsed_s": elapsed, "why": why})
        self._telling.say("warning", "gap", f"measurements {first} to {number} were missed: {why}; they are no data")

    def _measured(self, number: int, elapsed: float, merged: int) -> Measurement:
        try:
            return self._around.collector.measure(number, elapsed, merged)
        except Exception as error:  # the collector promises not to; what breaks it is no sign of the service
            said = f"the measurement failed: {type(error).__name__}: {visible(str(error))}"
            return Measurement(number, self._around.clock.now(), elapsed, merged, errors=(said,))

    def _measure(self, number: int, elapsed: float) -> None:
        measurement = self._measured(number, elapsed, number - self._story.last_number)
        rows = judge(self._plan, [*self._story.measurements, measurement])
        verdict = overall(rows)
        self._keeper.note("tick", measurement=kept_measurement(measurement), rules=kept_rules(rows), verdict=verdict)
        self._rows = rows
        self._mirror.tick(self._plan.run, tick_row(measurement, rows))
        level = "debug" if verdict == "pass" else "info"
        self._telling.say(level, "tick", f"measurement {number}: {verdict}; {self._next()}", verdict=verdict)
        self._ping()
        self._take_due_snapshots(elapsed)
        self._miss_data()
        fails = failing(rows)
        if fails and self._plan.auto and not self._superseded():
            self._trigger(fails[0], f"rule {fails[0].rule}", names_of(fails))
        elif fails:
            self._ask(fails)
        self._show()

    def _take_due_snapshots(self, elapsed: float) -> None:
        """Keep the named snapshots that have fallen due, from the latest measurement."""
        taken = {each.get("name") for each in self._story.snapshots if each.get("due_s") is not None}
        for due in snapshots_due(self._plan):
            if due.due_s <= elapsed + 1e-6 and due.name not in taken and self._story.measurements:
                self._snapshot(due.name, due.due_s, self._story.measurements[-1], self._rows, elapsed)

    def _snapshot(
        self, name: str, due_s: float | None, measurement: Measurement, rows: tuple[RuleRow, ...], elapsed: float
    ) -> None:
        """Keep what is known now under a name."""
        verdict = overall(rows)
        facts = {"name": name, "due_s": due_s, "number": measurement.number, "elapsed_s": elapsed, "verdict": verdict}
        more = {"measurement": measurement.to_json()} if due_s is None else {}
        self._keeper.note("snapshot", **facts, rules=kept_rules(rows), **more)
        said = f"snapshot {visible(name)}: {verdict}"
        self._telling.say("info", "snapshot", said, **facts)
        severity: Severity = "warning" if verdict == "fail" else "info"
        key = f"snapshot {len(self._story.snapshots)}"
        self._telling.page("snapshot", severity, said, self._next(), self._verdict(), audience="performance", key=key)

    def _ask(self, fails: tuple[RuleRow, ...]) -> None:
        """Automatic rollback is off: page once for each rule, and go on."""
        for row in fails:
            if row.rule in self._story.paged:
                continue
            self._keeper.note("page", about=row.rule, sentence=row.sentence)
            said = f"{row.rule}: {visible(row.sentence)}; automatic rollback is off: roll back, accept or stop?"
            self._telling.say("error", "asks", said, rule=row.rule)
            self._telling.page("trigger", "critical", f"{row.rule} fails", said, self._verdict(), key=f"ask {row.rule}")

    def _miss_data(self) -> None:
        """Page once for each rule that cannot be judged: a guard without the key would say nothing for an hour."""
        for row in silent(self._plan, self._story.measurements, self._story.history):
            about = f"silent {row.rule}"
            if about in self._story.paged:
                continue
            self._keeper.note("page", about=about, sentence=row.sentence)
            said = f"{row.rule} is not judged for {SILENT_FROM} measurements in a row: {visible(row.sentence)}"
            if row.verdict != "collector error":
                said += "; `mobius metrics` shows what the service tells, with its key in internal_api_key_file"
            self._telling.say("warning", "silent", said, rule=row.rule)
            self._telling.page("alert", "warning", f"{row.rule} has no data", said, self._verdict(), key=about)

    def _trigger(self, row: RuleRow | None, who: str, reason: str) -> None:
        """Decide for a rollback, and do it; from now on there is no other way."""
        rule, fact = ("", None) if row is None else (row.rule, row.to_json())
        self._keeper.note("trigger", rule=rule, row=fact, who=who, reason=reason, elapsed_s=self._elapsed())
        by = "" if rule else f", decided by {visible(who)}"
        self._telling.say("error", "trigger", f"rolling back{by}: {visible(reason)}", rule=rule)
        self._telling.page("trigger", "critical", "rolling back", visible(reason), self._verdict(), key="trigger")
        self._show()
        self._go_back()

    def _go_back(self) -> None:
        """Roll back, or go on with it; a failure is tried again at each interval, never forward."""
        if self._elapsed() < self._retry_at:
            return
        trigger, back = self._story.trigger or {}, self._around.back
        who, reason = str(trigger.get("who") or "guard"), str(trigger.get("reason") or "")
        try:
            begun = self._story.rollback
            if begun is None or not back.was_done(Intent.of(begun)):
                actor = "guard" if trigger.get("rule") else who
                because = f"watch {self._plan.run}: {reason}"
                lost = any(row.rule == "catalogue" for row in failing(self._rows))
                intent = back.intent(self._plan.backup or self._story.way, actor, because)
                intent = replace(intent, lost="catalogue" if lost else "")
                self._keeper.note("rollback", state="begins", **intent.to_json())
                outcome = back.run(intent)
                done = {"target": outcome.target, "after": outcome.after, "rollback": outcome.run}
                self._keeper.note("rollback", state="done", **done, warnings=list(outcome.warnings))
        except Exception as error:  # whatever it is: this is tried until it is done
            self._retry_at = self._elapsed() + self._plan.interval_s
            why = visible(str(error)) or type(error).__name__
            if why not in self._story.failed:
                self._keeper.note("rollback", state="failed", reason=why, elapsed_s=self._elapsed())
            said = f"the rollback failed and is tried again: {why}"
            self._trouble("rollback", said, "".join(format_exception(error)))
            self._show(said)
            return
        self._trouble("rollback", "")
        health = back.revive(self._plan.base_url)
        said = f"the catalogue is back; the service is {health.status}"
        self._telling.say("info" if health.answers else "error", "rolled_back", said, health=visible(health.sentence))
        severity: Severity = "warning" if health.answers else "critical"
        self._telling.page("rollback", severity, "rolled back", said, self._verdict(), audience="qa", key="rolled back")
        self._end(
            "rolled back", who, reason if health.answers else f"{reason}; afterwards the service is {health.status}"
        )

    def _time_over(self) -> None:
        self._take_due_snapshots(self._elapsed())
        story, numbers = self._story, [each.number for each in self._story.measurements]
        due = due_number(story.deadline_s, self._plan.interval_s)
        outcome, reason = decide_end(self._plan, story.history, numbers=numbers, due=due, answered=story.answered)
        if outcome == "accepted":
            self._end(outcome, "the rules", reason)
            return
        self._keeper.note("time over", outcome="undecided", reason=reason, elapsed_s=self._elapsed())
        self._telling.say("warning", "time_over", f"the time is over without a verdict: {visible(reason)}")
        self._show()
        self._hold()

    def _hold(self) -> None:
        """Without a verdict: keep the way back, page each hour, wait for a person or the next publication."""
        late = max(0.0, self._elapsed() - self._story.deadline_s)
        page = f"undecided {self._story.last_number} {due_number(late, self._plan.interval_s * PAGES_EVERY)}"
        if page in self._story.paged:
            return
        way = pin_way_back(self._ws, self._keeper, "" if self._story.pinned else self._around.back.way())
        self._keeper.note("page", about=page)
        reason = visible(str((self._story.over or {}).get("reason") or ""))
        pinned = f"the way back {visible(way)} is kept" if way else "no way back is known"
        said = f"no verdict: {reason}; {pinned}; accept, extend, stop or roll back?"
        self._telling.say("error", "undecided", said)
        self._telling.page(
            "undecided", "critical", "no verdict", said, self._verdict(), audience="performance", key=page
        )
        self._show()

    def _superseded(self) -> bool:
        """End a watch of what is live no more: what somebody has published since is not its to judge or to undo."""
        acts = history_stamp(self._ws)
        if acts != self._acts and self._story.state != "rolling back":  # four times a second: read only what changed
            self._acts = acts
            who, run = superseded_by(self._ws, self._keeper)
            if who:
                self._end("undecided", who, f"superseded by {run}")
        return self._story.ending is not None

    def _end(self, outcome: Outcome, decided_by: str, reason: str) -> None:
        decide(self._keeper, outcome, decided_by, reason, self._elapsed())

    def _ping(self) -> None:
        """Call the dead-man switch in the background; one call at a time, its answer is told at the next."""
        if self._pinging is not None and self._pinging.is_alive():
            return
        self._trouble("dead-man switch", f"the dead-man ping failed: {self._unheard}" if self._unheard else "")
        self._pinging = threading.Thread(target=self._call, name="dead-man", daemon=True)
        self._pinging.start()

    def _call(self) -> None:
        self._unheard = self._around.ping()

    def _trouble(self, about: str, said: str, traceback: str = "") -> None:
        """The guard's own trouble: told and paged once while it is the same; empty when it is over."""
        if self._troubles.get(about, "") == said:
            return
        self._troubles.pop(about, None)
        if not said:
            self._telling.say("info", "trouble_over", f"the guard's trouble with the {about} is over")
            return
        self._troubles[about] = said
        self._telling.say("error", "trouble", said, traceback=traceback)
        audience: Audience = "infrastructure" if about == "journal" else "sre"
        self._telling.page(
            "alert",
            "critical",
            f"the guard is in trouble: {about}",
            said,
            self._verdict(),
            audience=audience,
            key=about,
        )

    def _next(self) -> str:
        """What would happen next and why, one line."""
        state, story = self._story.state, self._story
        if state == "rolling back":
            return self._troubles.get("rollback") or "rolling back"
        if state == "undecided":
            return "no verdict: waits for accept, extend, stop, rollback or the next publication"
        if state == "ended":
            return ""
        rows = self._rows if story.measurements else ()
        return next_line(self._plan, rows, story.deadline_s - self._elapsed())

    def _verdict(self) -> dict[str, object]:
        latest = self._story.measurements[-1] if self._story.measurements else None
        return whole_verdict(self._story, self._plan, latest, self._rows, self._elapsed(), self._next())

    def _show(self, problem: str = "") -> None:
        """Put the watch's row as it stands."""
        said = problem or "; ".join(self._troubles.values())
        now, token = self._around.clock.now(), process_token()
        row = watch_row(self._story, elapsed_s=self._elapsed(), now=now, token=token, next_=self._next(), problem=said)
        self._mirror.watch(row)


__all__ = ["Watch", "run_watch", "watch_canary"]
