"""The report of a watch: everything its journal tells, as data and as a page for people."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mobius_tui.guard.limits import milliseconds, percent
from mobius_tui.guard.model import RULES
from mobius_tui.system import clock
from mobius_tui.text import human_seconds, visible

_ENTRIES: Final = {"start", "guard", "gap", "wish", "page", "trigger", "rollback", "pin", "time over", "ending", "end"}
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]|~$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}

Report = dict[str, Any]
"""What ``report_of`` gives: plain data, ready for JSON."""


def report_of(records: Sequence[Mapping[str, Any]]) -> Report:
    """The report of a watch.

    Args:
        records: Of its journal, oldest first; whatever is missing or of another kind is left out.

    Returns:
        ``watch`` (the head), ``outcome``, ``decided_by``, ``reason``, ``exit_code``, ``baseline``, ``snapshots``,
        ``measurements`` (each with its ``rules``), ``timeline``, ``collector_errors``.
    """
    begin = next((record for record in records if record.get("what") == "begin"), {})
    start = next((record for record in records if record.get("what") == "start"), {})
    ends = [record for record in records if record.get("what") in {"time over", "ending", "end"}]
    last = ends[-1] if ends else {}
    plan = _mapping(begin.get("plan"))
    measurements = list(_measurements(records))
    report = {
        "watch": {
            **{name: plan.get(name) for name in _HEAD},
            "backup": plan.get("backup") or start.get("way") or "",
            "auto_now": _auto(plan, records),
            "planned_at": begin.get("time"),
            "began_at": start.get("time"),
            "ended_at": _when(last) or None,
        },
        "outcome": last.get("outcome") or "",
        "decided_by": last.get("decided_by") or "",
        "reason": last.get("reason") or "",
        "exit_code": last.get("exit_code"),
        "baseline": dict(_mapping(plan.get("baseline"))),
        "snapshots": [dict(record) for record in records if record.get("what") == "snapshot"],
        "measurements": measurements,
        "timeline": [dict(record) for record in records if record.get("what") in _ENTRIES],
        "collector_errors": [
            {"number": each.get("number"), "at": each.get("at"), "error": error}
            for each in measurements
            for error in _list(each.get("errors"))
        ],
    }
    return {name: _plain(value) for name, value in report.items()}


_HEAD: Final = (
    "run", "deploy", "who", "reason", "environment", "auto", "canary", "duration_s", "interval_s", "base_url", "live",
)  # fmt: skip


def report_markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown; nothing in it that comes from outside is markup."""
    lines = [
        *_head(report),
        *_section("Snapshots", _snapshots(report)),
        *_section("Measurements", _rules(report)),
        *_section("What happened", _timeline(report)),
        *_section("Baseline", _baseline(report)),
        *_section("What the guard could not do", _errors(report)),
    ]
    return "\n".join(lines) + "\n"


def safe(value: object) -> str:
    """Text from outside as Markdown that shows it as it is, on one line."""
    plain = _MARKUP.sub(r"\\\1", visible(str(value)))
    return "".join(_ENTITIES.get(character, character) for character in plain)


# ------------------------------------------------------------------------------------------------------- the data


def _measurements(records: Sequence[Mapping[str, Any]]) -> Iterator[Report]:
    """Each measurement with what the rules said of it; the trends are left out, they repeat the ones before."""
    for record in records:
        if record.get("what") == "tick":
            rules = [
                {name: value for name, value in row.items() if name != "trend"}
                for row in _list(record.get("rules"))
                if isinstance(row, Mapping)
            ]
            yield {**_mapping(record.get("measurement")), "rules": rules}


def _plain(value: object) -> Any:
    """The same as JSON can hold it: what is no number in it becomes text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, str | int) else str(value)


def _auto(plan: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> object:
    """Whether automatic rollback was on in the end."""
    auto = plan.get("auto")
    for record in records:
        if record.get("what") == "wish" and record.get("act") == "auto" and record.get("granted") is not False:
            auto = _mapping(record.get("facts")).get("on", auto)
    return auto


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


# ------------------------------------------------------------------------------------------------------- the page


def _head(report: Mapping[str, Any]) -> list[str]:
    watch = _mapping(report.get("watch"))
    outcome, by = str(report.get("outcome") or "not ended"), report.get("decided_by")
    decided = safe(outcome) + (f", decided by {safe(by)}" if by else "")
    why = safe(report["reason"]) if report.get("reason") else ""
    auto, auto_now = watch.get("auto") is True, watch.get("auto_now") is True
    told = {
        "Deploy": watch.get("deploy") or "none: a person started it",
        "Who": watch.get("who"),
        "Reason": watch.get("reason"),
        "Environment": watch.get("environment"),
        "Service": watch.get("base_url") or "the workspace's own worker",
        "Live catalogue": watch.get("live"),
        "Way back": watch.get("backup") or "none known",
        "Automatic rollback": ("on" if auto else "off") + ("" if auto == auto_now else f", later {_on(auto_now)}"),
        "Canary": "yes" if watch.get("canary") is True else "",
        "Planned": watch.get("planned_at"),
        "Began": watch.get("began_at") or "never",
        "Ended": watch.get("ended_at"),
        "Lasts": f"{_seconds(watch.get('duration_s'))}, a measurement every {_seconds(watch.get('interval_s'))}",
    }
    return [
        f"# Watch {safe(watch.get('run') or '?')}: {safe(outcome)}",
        "",
        f"**{decided}.** {why}".rstrip(),
        "",
        *_table(("", ""), [(name, safe(value)) for name, value in told.items() if value]),
    ]


def _on(auto: bool) -> str:
    return "on" if auto else "off"


def _snapshots(report: Mapping[str, Any]) -> list[str]:
    rows = []
    for each in map(_mapping, _list(report.get("snapshots"))):
        said = [
            f"{row.get('rule')} {row.get('verdict')}"
            for row in map(_mapping, _list(each.get("rules")))
            if row.get("verdict") != "pass"
        ]
        rows.append(
            tuple(
                safe(_dash(value))
                for value in (
                    each.get("name"),
                    each.get("time"),
                    each.get("number"),
                    each.get("verdict"),
                    ", ".join(said),
                )
            )
        )
    return _table(("snapshot", "taken", "measurement", "verdict", "not passed"), rows) if rows else ["None was taken."]


def _rules(report: Mapping[str, Any]) -> list[str]:
    rows = []
    for each in map(_mapping, _list(report.get("measurements"))):
        merged = each.get("merged")
        number = f"{each.get('number')}" + (f" ({merged} in one)" if isinstance(merged, int) and merged > 1 else "")
        begun = _seconds(each.get("elapsed_s"))
        for row in map(_mapping, _list(each.get("rules"))):
            rule = row.get("rule")
            shown = [_figure(rule, row.get(name)) for name in ("value", "limit", "baseline")]
            fire = "yes" if row.get("could_fire") is True else "no"
            samples = f"{_dash(row.get('samples'))} of {_dash(row.get('needed'))}"
            cells = (rule, row.get("verdict"), *shown, samples, fire, row.get("sentence"))
            rows.append((safe(number), begun, *(safe(_dash(cell)) for cell in cells)))
            number = begun = ""
    head = ("no", "after", "rule", "verdict", "value", "limit", "baseline", "samples", "could fire", "in words")
    return _table(head, rows) if rows else ["Nothing was measured."]


def _timeline(report: Mapping[str, Any]) -> list[str]:
    rows = []
    for record in map(_mapping, _list(report.get("timeline"))):
        who, words = _words(record)
        rows.append(tuple(safe(_dash(cell)) for cell in (_when(record), record.get("what"), who, words)))
    return _table(("when", "what", "who", "in words"), rows) if rows else ["Nothing."]


def _words(record: Mapping[str, Any]) -> tuple[object, str]:
    """Who did what a record tells of, and what it was."""
    what, who, why = record.get("what"), record.get("who"), str(record.get("reason") or "")
    because = f": {why}" if why else ""
    if what == "start":
        way = record.get("way")
        return "guard", f"the watch begins, {f'the way back is {way}' if way else 'no way back is known'}"
    if what == "guard":
        note = record.get("note")
        return "guard", "a guard takes the watch up" + (f"; {note}" if note else "")
    if what == "gap":
        missed = f"measurements {_dash(record.get('from'))} to {_dash(record.get('to'))} were missed"
        return "guard", f"{missed}: {record.get('why') or 'no data'}"
    if what == "wish":
        refused = "refused: " if record.get("granted") is False else ""
        asked = f"asks for {record.get('act') or 'something'}" + (f" ({why})" if why else "")
        return who, f"{asked}: {refused}{record.get('answer') or 'answered'}"
    if what == "page":
        return "guard", f"tells people: {_paged(record)}"
    if what == "pin":
        return "guard", f"the way back {record.get('backup')} is kept for good"
    if what == "trigger":
        return who, f"decides to roll back{because}"
    if what == "rollback":
        return who or "guard", _rollback(record, because)
    decided = record.get("decided_by")
    if what == "time over":
        return decided or "guard", f"the time is over without a verdict{because}"
    verb = "decides" if what == "ending" else "it is over"
    return decided, f"{verb}: {record.get('outcome') or '-'}{because}"


def _paged(record: Mapping[str, Any]) -> str:
    about, sentence = str(record.get("about") or ""), record.get("sentence")
    kind, _, rule = about.partition(" ")
    if kind == "undecided":
        return "there is no verdict, and a person has to decide"
    subject = f"{rule} is not judged" if kind == "silent" else f"{about} fails"
    return f"{subject}: {sentence}" if sentence else subject


def _rollback(record: Mapping[str, Any], because: str) -> str:
    if record.get("state") == "done":
        warnings = "; ".join(str(each) for each in _list(record.get("warnings")))
        return f"the catalogue is back as in {_dash(record.get('target'))}" + (f"; {warnings}" if warnings else "")
    if record.get("state") == "failed":
        return f"the rollback failed and is tried again{because}"
    return f"rolls back to {record.get('backup') or 'what was live before'}{because}"


def _when(record: Mapping[str, Any]) -> object:
    """When a record was written; of one without that, the moment that it tells of."""
    return record.get("time") or _moment(record.get("at"))


def _moment(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11:
        return clock.iso(value)
    return ""


def _baseline(report: Mapping[str, Any]) -> list[str]:
    baseline = _mapping(report.get("baseline"))
    rows = []
    for name, value in baseline.items():
        shown = f"{len(value)} images" if name == "probes" and isinstance(value, list | tuple) else value
        if name == "at":
            shown = _moment(value) or value
        shown = _figure({"failure_rate": "failures", "p95_ms": "p95"}.get(name), shown)
        rows.append((safe(name.replace("_", " ")), safe(_dash(shown))))
    return _table(("", "before the swap"), rows) if rows else ["None: only the fixed limits held."]


def _errors(report: Mapping[str, Any]) -> list[str]:
    rows = [
        (safe(_dash(each.get("number"))), safe(_dash(each.get("error"))))
        for each in map(_mapping, _list(report.get("collector_errors")))
    ]
    return _table(("measurement", "in words"), rows) if rows else ["Nothing."]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of cells that are safe already."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _figure(rule: object, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if rule == "failures":
        return percent(value)
    if rule == "p95":
        return milliseconds(value)
    return f"{value:,.0f}" if rule in RULES else value


def _seconds(value: object) -> str:
    return human_seconds(value) if isinstance(value, int | float) and not isinstance(value, bool) else "-"


def _dash(value: object) -> object:
    return "-" if value is None or value == "" else value
