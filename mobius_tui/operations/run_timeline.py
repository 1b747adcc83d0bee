"""What happened in a run and when: its journal, events, history and job row in one order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mobius_tui.operations.run_steps import cut_off, seconds_of, steps_of_journal, steps_of_summary
from mobius_tui.operations.run_watch import HEAVY, WatchFound, watch_head, watch_page
from mobius_tui.store.events import Event
from mobius_tui.store.jobs import ACTIVE
from mobius_tui.system import clock
from mobius_tui.system.processes import is_alive
from mobius_tui.text import human_seconds, visible

Entry = dict[str, object]
"""One thing that happened: ``time``, ``source``, ``what``, and ``facts`` where there are any."""

_OWN_FACTS = {"n", "time", "what", "step", "state", "reason", "text"}
_HEAD = (
    "kind",
    "who",
    "reason",
    "began",
    "ended",
    "outcome",
    "conclusion",
    "exit_code",
    "before",
    "published",
    "after",
)
_SPECIAL = re.compile(r"([\\`*|<\[\]])")


@dataclass(slots=True)
class RunFacts:
    """What was found of a run.

    Attributes:
        run: Its id.
        job: Its row, as ``job_facts`` gives it; None when there is none.
        events: Its events, oldest first.
        records: Its journal.
        acts: Its acts in the history.
        log_records: The records of its run log.
        watch: What there is of a watch; None for any other run.
    """

    run: str
    job: Mapping[str, Any] | None = None
    events: tuple[Event, ...] = ()
    records: tuple[Mapping[str, Any], ...] = ()
    acts: tuple[Mapping[str, Any], ...] = ()
    log_records: tuple[Mapping[str, Any], ...] = ()
    watch: WatchFound | None = None

    def span(self) -> tuple[float | None, float | None]:
        """When it began and ended, seconds since the epoch, as far as anything says."""
        job = self.job or {}
        texts = [record.get("time") for record in (*self.records, *self.acts, *self.log_records)]
        texts += [job.get(name) for name in ("requested_at", "started_at", "finished_at")]
        known = [event.at for event in self.events] + [at for at in map(seconds_of, texts) if at is not None]
        return (min(known), max(known)) if known else (None, None)

    def head(self) -> dict[str, object]:
        """Who ran what, why, and how it ended."""
        nothing: Mapping[str, Any] = {}
        begin = next((record for record in self.records if record.get("what") == "begin"), nothing)
        end = next((record for record in reversed(self.records) if record.get("what") == "end"), nothing)
        job = self.job or nothing
        act = self.acts[-1] if self.acts else nothing
        began, ended = self.span()
        if self.watch is not None:
            return {
                "run": self.run,
                "kind": "watch",
                "who": begin.get("who") or _planned(self.watch, "who"),
                "reason": begin.get("reason") or _planned(self.watch, "reason"),
                "began": None if began is None else clock.iso(began),
                "ended": None if ended is None else clock.iso(ended),
                **watch_head(self.watch.report),
            }
        return {
            "run": self.run,
            "kind": begin.get("kind") or job.get("kind") or act.get("act") or self.run.partition("-")[0],
            "who": begin.get("who") or job.get("requested_by") or act.get("who"),
            "reason": begin.get("reason") or job.get("reason") or act.get("reason"),
            "began": None if began is None else clock.iso(began),
            "ended": None if ended is None else clock.iso(ended),
            "outcome": end.get("state") or job.get("state"),
            "conclusion": end.get("reason") or job.get("error"),
            "exit_code": end.get("exit_code", job.get("exit_code")),
            **self.publication(),
            "steps": [step.to_json() for step in self.steps()],
        }

    def publication(self) -> dict[str, object]:
        """What was live before, what this run put live, and what was live when it ended: SHA-256, or ``absent``.

        Returns:
            ``before``, ``published`` (None when nothing of it became live), ``taken_back`` and ``after``; by the
            journal where there is one, for the history has only the last change of a run that was rolled back.
        """
        nothing: Mapping[str, Any] = {}
        act = next((act for act in reversed(self.acts) if act.get("before") or act.get("after")), nothing)
        if not self.records:
            return {"before": act.get("before"), "published": None, "taken_back": False, "after": act.get("after")}
        meant, swapped = _meant(self.records)
        begin, end = self.records[0], self.records[-1] if self.records[-1].get("what") == "end" else nothing
        outcome = end.get("state")
        back = outcome == "rolled back" or act.get("act") == "deploy rolled back"
        was_live = back or (swapped and outcome != "undone") or outcome in {"done", "held"} or bool(act)
        published = meant.get("after") if was_live else None
        if was_live and published is None and act:
            published = act.get("before" if back else "after")
        before = meant.get("before") or begin.get("before") or (None if back else act.get("before"))
        before = before or (None if published else end.get("live"))  # it ended before it had looked
        after = end.get("live") or act.get("after") or (published if was_live else before if end else None)
        published = None if published == before else published  # the very bytes that were live
        return {"before": before, "published": published, "taken_back": back, "after": after}

    def steps(self) -> Sequence[Any]:
        """Its steps: by the row when that is over, for it is exact to the millisecond; else by the journal."""
        job = self.job or {}
        mirrored = steps_of_summary(job.get("summary") or {})
        journalled = steps_of_journal(self.records)
        steps = (mirrored or journalled) if job.get("finished_at") else (journalled or mirrored)
        return steps if self._runs() else cut_off(steps)

    def _runs(self) -> bool:
        """Whether its process may still be at it."""
        if self.job is not None:
            return self.job.get("state") in ACTIVE
        ended = any(record.get("what") == "end" for record in self.records)
        return not ended and bool(self.records) and is_alive(str(self.records[0].get("token") or ""))

    def names(self) -> set[str]:
        """Every short text in journal, history and row: among them the names of the backups concerned."""
        found: set[str] = set()
        for value in (*self.records, *self.acts, self.job or {}):
            found |= set(_texts(value, 0))
        return found


def _planned(watch: WatchFound, name: str) -> object:
    plan = watch.report.get("watch")
    return plan.get(name) if isinstance(plan, Mapping) else None


def _meant(records: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], bool]:
    """What a run meant to put live over what, by its last round; and whether it says that this was done."""
    is_rollback = records[0].get("kind") == "rollback"
    meant: dict[str, Any] = {}
    swapped = False
    for record in records:
        what, state = record.get("what"), record.get("state")
        if what == "round":
            meant, swapped = dict(record), False
        elif what == "staged" or (is_rollback and what == "restore"):  # a deploy's are of its undoing
            meant |= record if state != "same" else {**record, "before": record.get("after")}
        if (what == "step" and record.get("step") == "swap" and state == "done") or (
            is_rollback and state == "swapped"
        ):
            swapped = True
    return meant, swapped


def _texts(value: object, depth: int) -> Iterator[str]:
    if isinstance(value, str) and len(value) <= 100:
        yield value
    elif isinstance(value, Mapping) and depth < 8:
        for item in value.values():
            yield from _texts(item, depth + 1)
    elif isinstance(value, list | tuple) and depth < 8:
        for item in value:
            yield from _texts(item, depth + 1)


def timeline(facts: RunFacts) -> list[Entry]:
    """Everything that happened, oldest first.

    Args:
        facts: What was found.

    Returns:
        Entries; events come from the database, and from the run log where that has none.
    """
    rows = list(_of_job(facts.job))
    ended = 1 if (facts.job or {}).get("finished_at") else 0
    entries = [*rows[: len(rows) - ended], *_of_journal(facts.records), *_of_acts(facts.acts)]
    entries += _of_wishes(facts.watch)
    entries += _of_events(facts.events) if facts.events else _of_log(facts.log_records)
    # most sources know whole seconds: within one, a row's beginning stands first and its end last
    return sorted([*entries, *rows[len(rows) - ended :]], key=lambda entry: str(entry["time"]))


def _of_wishes(watch: WatchFound | None) -> Iterator[Entry]:
    for wish in () if watch is None else watch.wishes:
        why = f": {wish.reason}" if wish.reason else ""
        yield _entry(clock.iso(wish.at), "wish", f"{wish.act} by {wish.who}{why}", dict(wish.facts))


def _of_journal(records: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    watch = bool(records) and records[0].get("kind") == "watch"
    for record in records:
        if watch:
            if record.get("what") == "tick":  # events and run log tell the measurements
                continue
            record = {name: value for name, value in record.items() if name not in HEAVY}
        words = [str(record.get("what", "?"))]
        words += [str(record[name]) for name in ("step", "state", "reason", "text") if record.get(name)]
        rest = {name: value for name, value in record.items() if name not in _OWN_FACTS}
        brief = [f"{name}={value}" for name, value in rest.items() if isinstance(value, str | int) and value != ""]
        words += brief if record.get("what") not in {"begin", "step"} else []
        yield _entry(record.get("time"), "journal", " ".join(words), rest)


def _of_acts(acts: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    for act in acts:
        rest = {name: act.get(name) for name in ("reason", "before", "after", "details") if act.get(name)}
        yield _entry(act.get("time"), "history", f"{act.get('act', '?')} by {act.get('who', '?')}", rest)


def _of_job(job: Mapping[str, Any] | None) -> Iterator[Entry]:
    if job is None:
        return
    yield _entry(job["requested_at"], "job", f"{job['kind']} {job['id']} asked for by {job['requested_by']}", {})
    if job.get("started_at"):
        yield _entry(job["started_at"], "job", "started", {})
    if job.get("finished_at"):
        why = f": {job['error']}" if job.get("error") else ""
        yield _entry(job["finished_at"], "job", f"{job['state']}, exit {job['exit_code']}{why}", {})


def _of_events(events: Sequence[Event]) -> Iterator[Entry]:
    for event in events:
        yield _entry(clock.iso(event.at), "event", f"{event.level}: {event.message}", dict(event.fields))


def _of_log(records: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    for record in records:
        fields = record.get("fields")
        rest = fields if isinstance(fields, dict) else {}
        yield _entry(record.get("time"), "log", f"{record.get('level', '?')}: {record.get('message', '')}", rest)


def _entry(time: object, source: str, what: str, facts: Mapping[str, object]) -> Entry:
    at = seconds_of(time)
    return {"time": "" if at is None else clock.iso(at), "source": source, "what": what, "facts": dict(facts)}


def timeline_page(
    facts: RunFacts, entries: Sequence[Entry], missing: Sequence[str], machine: Mapping[str, str] | None = None
) -> str:
    """The timeline for people.

    Args:
        facts: What was found.
        entries: ``timeline(facts)``.
        missing: What could not be had.
        machine: What the report was made on, in words by name.

    Returns:
        A page of Markdown; texts from outside are no markup in it.
    """
    head = facts.head()
    lines = [f"# {_plain(facts.run)}", ""]
    if facts.watch is None:
        head["published"] = _published(head) if facts.records else None
    for name in _HEAD if facts.watch is None else [name for name in head if name != "run"]:
        value = head[name]
        if name == "published" and not value:
            continue
        lines.append(f"- {name.replace('_', ' ')}: {'-' if value in (None, '') else _plain(value)}")
    steps = facts.steps()
    if steps:
        lines += ["", "## Steps", "", "| step | state | began | took | limit | reason |", "|---|---|---|---|---|---|"]
        for step in steps:
            took = "-" if step.began is None or step.ended is None else human_seconds(step.ended - step.began)
            cells = [
                step.name,
                step.state,
                "-" if step.began is None else clock.iso(step.began),
                took,
                "-" if step.limit_s is None else human_seconds(step.limit_s),
                step.reason,
            ]
            lines.append("| " + " | ".join(_plain(cell) for cell in cells) + " |")
    if facts.watch is not None:
        lines += watch_page(facts.watch.report, facts.watch.wishes)
    if missing:
        lines += ["", "## What is missing", "", *(f"- {_plain(sentence)}" for sentence in missing)]
    if machine:
        lines += ["", "## Machine, when this report was made", ""]
        lines += [f"- {_plain(name)}: {_plain(said)}" for name, said in machine.items()]
    lines += ["", "## Timeline", "", "| time | source | what |", "|---|---|---|"]
    lines += [f"| {entry['time'] or '-'} | {entry['source']} | {_plain(entry['what'])} |" for entry in entries]
    return "\n".join(lines) + "\n"


def _published(head: Mapping[str, object]) -> str:
    """What a run with a journal put live, for people."""
    if head["published"]:
        return f"{head['published']}" + (", taken back" if head["taken_back"] else "")
    if head["outcome"] is None:
        return "nothing yet, as far as its journal says"
    return "nothing; what was live before was live throughout"


def _plain(value: object) -> str:
    """A text from outside, on one line and without a character that Markdown would take for its own."""
    return _SPECIAL.sub(r"\\\1", visible(str(value)))
