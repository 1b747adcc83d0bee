"""`mobius report` of a watch: everything that is left of it, and nothing that it never had is called missing."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from running_verbs import Mobius
from test_report import parts

from mobius_tui.guard.files import records_of
from mobius_tui.guard.model import Plan
from mobius_tui.guard.report import report_markdown, report_of
from mobius_tui.logs import JsonLog
from mobius_tui.operations.run_watch import watch_page
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.journal import Journal
from mobius_tui.recovery.watches import append_wish, wishes_path
from mobius_tui.store.database import open_database
from mobius_tui.store.watches import TickRow, WatchRow, write_tick, write_watch

RUN = "watch-20261120T120000Z"
REASON = "failures 12 % <b>"


def tick(number: int) -> dict[str, object]:
    return {"measurement": {"number": number, "at": 1.0, "elapsed_s": float(number)}, "rules": [], "at": 1.0}


@pytest.fixture
def watched(ws: Path) -> Path:
    """A watch that rolled back, as guard, people and database leave it; its journal."""
    state = ws / ".mobius"
    plan = Plan(RUN, deploy="deploy-20261120T115500Z", who="anna", reason="new scans", auto=True)
    journal = Journal.create(state / "watch", RUN, kind="watch", plan=plan.to_json(), who="anna", reason="new scans")
    journal.note("start", at=1.0, elapsed_s=0.0, way="library.json.bak.20261120T115501Z")
    journal.note("tick", **tick(1))
    journal.note("snapshot", name="+5 min", number=1, elapsed_s=300.0, verdict="pass", rules=[{"rule": "health"}])
    journal.note("wish", wish=1, act="extend", granted=False, answer="too | long")
    journal.note("trigger", rule="failures", who="rule failures", reason=REASON)
    journal.note("rollback", state="done", target="library.json.bak.20261120T115501Z", after="b" * 64)
    journal.note("end", outcome="rolled back", decided_by="rule failures", reason=REASON, exit_code=2)
    journal.close()
    append_wish(
        wishes_path(journal.path),
        {"act": "extend", "who": "otto", "reason": "more", "at": 1.0, "facts": {"seconds": 9}},
    )
    report = report_of(records_of(journal.path))
    (ws / "logs" / f"{RUN}.report.json").write_text(json.dumps(report))
    (ws / "logs" / f"{RUN}.report.md").write_text(report_markdown(report))
    JsonLog(ws / "logs" / f"{RUN}.log").write("info", "guard", "tick", "measurement 1: pass", RUN)
    note_act(state, "watch rolled back", "rule failures", run_id=RUN, reason=REASON)
    with contextlib.closing(open_database(state / "mobius.db")) as connection:
        write_watch(connection, WatchRow(RUN, plan.deploy, "ended", "rolled back", "anna", "", True, {}, 1, 2, 3, ""))
        write_tick(connection, RUN, TickRow(1, 1.0, 1.0, "pass", {"number": 1}, [{"rule": "health"}]))
    return journal.path


def reported(mobius: Mobius, ws: Path) -> tuple[dict[str, str], str]:
    answer = mobius("report", RUN, "--workspace", ws, "-o", ws / "out.tgz")
    assert answer.code == 0, answer.err
    found = parts(ws / "out.tgz")
    (ws / "out.tgz").unlink()
    return found, answer.err


def test_everything_that_a_watch_leaves_is_in_it(mobius: Mobius, ws: Path, watched: Path) -> None:
    found, said = reported(mobius, ws)
    assert "job row" not in said and "journal" not in said and "row of the watch" not in said
    assert {"journal.txt", "wishes.jsonl", "watch.report.md", "watch.report.json", "run.log", "history.json"} <= set(
        found
    )
    assert all(json.loads(found[name])["outcome"] == "rolled back" for name in ("watch.json", "watch.report.json"))
    assert [each["number"] for each in json.loads(found["ticks.json"])] == [1]
    assert '"tick"' in found["journal.txt"] and '"otto"' in found["wishes.jsonl"]


def test_the_timeline_tells_how_it_ended(mobius: Mobius, ws: Path, watched: Path) -> None:
    found, _ = reported(mobius, ws)
    told = json.loads(found["timeline.json"])
    assert (told["kind"], told["who"], told["reason"]) == ("watch", "anna", "new scans")
    assert (told["outcome"], told["conclusion"], told["exit_code"]) == ("rolled back", REASON, 2)
    assert told["deploy"] == "deploy-20261120T115500Z" and told["way_back"] == "library.json.bak.20261120T115501Z"
    words = [entry["what"] for entry in told["timeline"] if entry["source"] == "journal"]
    assert [word.split()[0] for word in words] == ["begin", "start", "snapshot", "wish", "trigger", "rollback", "end"]
    assert "extend by otto: more" in [entry["what"] for entry in told["timeline"] if entry["source"] == "wish"]
    page = found["timeline.md"]
    for line in ("- outcome: rolled back", "- exit code: 2", "| +5 min | 1 | +5:00 | pass |"):
        assert line in page
    for words in ("failures, decided by rule failures: failures 12 % &lt;b&gt;", "done, target library.json.bak",
                  "extend by otto (more), refused: too \\| long"):  # fmt: skip
        assert words in page
    assert "<b>" not in page.partition("## Timeline")[0].replace("\\<b>", "")
    assert "live throughout" not in page


def test_without_journal_and_database_the_final_report_tells(mobius: Mobius, ws: Path, watched: Path) -> None:
    watched.unlink()
    (ws / ".mobius" / "mobius.db").unlink()
    found, said = reported(mobius, ws)
    assert "there is no journal of it" in said and "there is no database" in said
    told = json.loads(found["timeline.json"])
    assert (told["outcome"], told["exit_code"], told["who"]) == ("rolled back", 2, "anna")


def test_what_a_watch_should_have_left_is_called_missing(mobius: Mobius, ws: Path, watched: Path) -> None:
    (ws / "logs" / f"{RUN}.report.md").unlink()
    (ws / "logs" / f"{RUN}.report.json").write_text("[" * 10_000)
    with contextlib.closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        connection.execute("DELETE FROM watches")
    found, said = reported(mobius, ws)
    said = " ".join(said.split())
    assert f"there is no {RUN}.report.md, its final report" in said and "no row of the watch" in said
    assert json.loads(found["timeline.json"])["outcome"] == "rolled back"


def test_a_watch_of_which_only_the_journal_is_left_is_a_known_run(mobius: Mobius, ws: Path, watched: Path) -> None:
    for path in [*(ws / "logs").iterdir(), ws / ".mobius" / "history.jsonl", ws / ".mobius" / "mobius.db"]:
        path.unlink()
    found, _ = reported(mobius, ws)
    assert json.loads(found["timeline.json"])["conclusion"] == REASON


def test_a_rollback_by_hand_is_told_as_one() -> None:
    report = {"outcome": "rolled back", "reason": "anna rolled *back*", "timeline": [], "snapshots": "odd"}
    page = "\n".join(watch_page(report, ()))
    assert "Not by the watch: anna rolled \\*back\\*." in page and "None was taken." in page
    assert "Nothing was rolled back." in "\n".join(watch_page({**report, "outcome": "accepted"}, ()))
