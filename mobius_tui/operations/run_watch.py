"""What the report of a run has of a watch: how it ended, its wishes, final report and rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from mobius_tui.errors import MobiusError
from mobius_tui.guard.files import MOST_TICKS, journal_path
from mobius_tui.guard.report import report_of, safe
from mobius_tui.guard.wishes import Wish, read_wishes
from mobius_tui.recovery.hashes import read_whole
from mobius_tui.recovery.watches import wishes_path
from mobius_tui.redaction import redacted, redacted_value
from mobius_tui.store.watches import find_watch, list_ticks
from mobius_tui.system import clock
from mobius_tui.text import human_seconds, visible
from mobius_tui.workspace import Workspace

HEAVY: Final = {"plan", "measurement", "rules", "row", "boot_id", "boottime", "token"}
"""Facts of a watch's records that its journal, report and ticks tell, and a timeline does not."""

_HEAD = ("deploy", "environment", "auto_now", "backup")


@dataclass(slots=True)
class WatchFound:
    """What there is of a watch beside its journal and run log.

    Attributes:
        files: Texts for the archive, by name, without secrets.
        missing: What could not be had, a sentence each.
        report: As ``guard.report.report_of`` makes it; from the final report when there is no journal.
        wishes: What people wished, in the order in which they did.
    """

    files: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    report: Mapping[str, Any] = field(default_factory=dict)
    wishes: tuple[Wish, ...] = ()


def is_watch(run: str) -> bool:
    """Whether a run id is that of a watch."""
    return run.startswith("watch-")


def collect_watch(
    ws: Workspace, connection: sqlite3.Connection | None, run: str, records: Sequence[Mapping[str, Any]]
) -> WatchFound:
    """Collect what there is of a watch; never raises.

    Args:
        ws: The workspace.
        connection: The database; None when there is none.
        run: The watch.
        records: Those of its journal; none when there is no journal.
    """
    found = WatchFound(report=report_of(records) if records else {})
    _add_report(ws, run, found)
    _add_wishes(ws, run, found)
    if connection is not None:
        _add_rows(connection, run, found)
    return found


def _add_report(ws: Workspace, run: str, found: WatchFound) -> None:
    ended = _ended(found.report)
    for ending in ("md", "json"):
        text = _text(ws.logs / f"{run}.report.{ending}", "its final report", found, wanted=ended)
        if text is None:
            continue
        name = f"watch.report.{ending}"
        read = _object(text) if ending == "json" else {}
        found.files[name] = _json(read) if read else redacted(text)
        found.report = found.report or read


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def _json(value: object) -> str:
    return json.dumps(redacted_value(json.loads(json.dumps(value, default=str))), indent=1) + "\n"


def _add_wishes(ws: Workspace, run: str, found: WatchFound) -> None:
    journal = journal_path(ws, run)
    text = _text(wishes_path(journal), "what was wished", found, wanted=False)
    if text is None:
        return
    found.files["wishes.jsonl"] = redacted(text)
    try:
        found.wishes = tuple(wish for wish in read_wishes(journal, 0) if not wish.problem)
    except (OSError, MobiusError) as error:
        found.missing.append(f"what was wished cannot be read: {visible(str(error))}")


def _text(path: Path, what: str, found: WatchFound, *, wanted: bool) -> str | None:
    """A file's text; None when it cannot be had, which is told unless nothing says that there should be one."""
    try:
        return read_whole(path).data.decode("utf-8", "backslashreplace")
    except FileNotFoundError:
        if wanted:
            found.missing.append(f"there is no {visible(path.name)}, {what}")
    except (OSError, MobiusError) as error:
        found.missing.append(f"{visible(path.name)} cannot be read: {visible(str(error))}")
    return None


def _add_rows(connection: sqlite3.Connection, run: str, found: WatchFound) -> None:
    try:
        row = find_watch(connection, run)
        ticks = list_ticks(connection, run, limit=MOST_TICKS)
    except (sqlite3.Error, ValueError) as error:
        found.missing.append(f"the database does not give the rows of the watch: {visible(str(error))}")
        return
    if row is None:
        found.missing.append("the database has no row of the watch (it keeps them 60 days)")
    else:
        found.files["watch.json"] = _json(asdict(row))
    if ticks:
        found.files["ticks.json"] = _json([asdict(tick) for tick in ticks])


def _ended(report: Mapping[str, Any]) -> bool:
    return any(each.get("what") == "end" for each in _each(report.get("timeline")))


def watch_head(report: Mapping[str, Any]) -> dict[str, object]:
    """How a watch ended or stands, and what it guarded.

    Returns:
        ``outcome``, ``conclusion``, ``exit_code``, ``decided_by``, ``deploy``, ``environment``, ``automatic_rollback``,
        ``way_back`` and ``measurements``; None or empty where nothing says.
    """
    plan = report.get("watch")
    plan = plan if isinstance(plan, Mapping) else {}
    deploy, environment, auto, way = (plan.get(name) for name in _HEAD)
    return {
        "outcome": report.get("outcome") or None,
        "conclusion": report.get("reason") or None,
        "exit_code": report.get("exit_code"),
        "decided_by": report.get("decided_by") or None,
        "deploy": deploy or None,
        "environment": environment,
        "automatic_rollback": None if auto is None else "on" if auto else "off",
        "way_back": way or None,
        "measurements": len(list(_each(report.get("measurements")))),
    }


def watch_page(report: Mapping[str, Any], wishes: Sequence[Wish]) -> list[str]:
    """Snapshots, triggers, rollback and wishes, as lines of Markdown; nothing from outside is markup in them."""
    lines = ["", "## Snapshots", ""]
    snapshots = list(_each(report.get("snapshots")))
    if snapshots:
        lines += ["| snapshot | measurement | at | verdict |", "|---|---|---|---|"]
        for each in snapshots:
            cells = (each.get("name"), each.get("number"), _after(each.get("elapsed_s")), each.get("verdict"))
            lines.append("| " + " | ".join(safe(cell) for cell in cells) + " |")
    else:
        lines.append("None was taken.")
    entries = list(_each(report.get("timeline")))
    fired = [f"{_when(each)}: {safe(_trigger(each))}" for each in entries if each.get("what") == "trigger"]
    asked = [f"{_when(each)}: asked about {safe(each.get('about'))}" for each in entries if each.get("what") == "page"]
    back = [f"{_when(each)}: {safe(_rollback(each))}" for each in entries if each.get("what") == "rollback"]
    lines += _listed("Triggers", [*fired, *asked], "Nothing fired.")
    by_hand = f"Not by the watch: {safe(report.get('reason') or '-')}."
    none = by_hand if report.get("outcome") == "rolled back" else "Nothing was rolled back."
    lines += _listed("Rollback", back, none)
    answers = {each.get("wish"): each for each in entries if each.get("what") == "wish"}
    wished = [f"{safe(clock.iso(each.at))}: {safe(_wish(each, answers.get(each.number)))}" for each in wishes]
    return lines + _listed("Wishes", wished, "Nobody wished anything.")


def _listed(title: str, said: Sequence[str], nothing: str) -> list[str]:
    return ["", f"## {title}", "", *([f"- {each}" for each in said] or [nothing])]


def _trigger(record: Mapping[str, Any]) -> str:
    who = f", decided by {record['who']}" if record.get("who") else ""
    return f"{record.get('rule') or 'rolls back'}{who}: {record.get('reason') or '-'}"


def _rollback(record: Mapping[str, Any]) -> str:
    facts = [f"{name} {record[name]}" for name in ("reason", "target", "after", "rollback") if record.get(name)]
    return ", ".join([str(record.get("state") or "?"), *facts])


def _wish(wish: Wish, answer: Mapping[str, Any] | None) -> str:
    why = f" ({wish.reason})" if wish.reason else ""
    came = "not taken" if answer is None else "granted" if answer.get("granted") is True else "refused"
    said = f": {answer['answer']}" if answer is not None and answer.get("answer") else ""
    return f"{wish.act} by {wish.who}{why}, {came}{said}"


def _when(record: Mapping[str, Any]) -> str:
    return safe(record.get("time") or "-")


def _after(elapsed: object) -> str:
    return f"+{human_seconds(elapsed)}" if isinstance(elapsed, int | float) and 0 <= elapsed < 1e9 else "-"


def _each(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list | tuple):
        yield from (item for item in value if isinstance(item, Mapping))
