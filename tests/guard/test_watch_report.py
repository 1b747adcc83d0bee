import json
import math
import re

from mobius_tui.guard.model import Baseline, CatalogueLook, HealthLook, Measurement, Plan
from mobius_tui.guard.report import report_markdown, report_of, safe
from mobius_tui.guard.rules import judge

EVIL = "x|y `z` <b>n</b> *a* _u_ [l](http://evil) \x1b[31m\u202e\n# head & @all"
PLAN = Plan(
    "watch-20261120T120000Z",
    deploy="deploy-20261120T115500Z",
    who=EVIL,
    reason="after the deploy",
    environment="production",
    auto=True,
    baseline=Baseline(at=1.0, source="probes", samples=1000, failures=10, failure_rate=0.01, p95_ms=40.0, queue=10),
)


def measurement(number, failures, errors=()):
    return Measurement(
        number, 60.0 * number, 60.0 * number,
        health=HealthLook(True, "healthy", EVIL), source="probes", samples=100, failures=failures,
        durations_ms=(12.0,) * 100, queue=12, catalogue=CatalogueLook(True, "whole"), errors=errors,
        merged=3 if number == 5 else 1, other={"cpu": math.nan},
    )  # fmt: skip


def records():
    measured = [measurement(1, 1), measurement(2, 2, (f"p95: {EVIL}",)), measurement(5, 30)]
    found = [
        {"what": "begin", "time": "2026-11-20T12:00:00Z", "plan": PLAN.to_json(), "who": EVIL, "token": "t"},
        {"what": "start", "time": "2026-11-20T12:00:01Z", "way": "dhash_a.zip", "boot_id": "b"},
        {"what": "guard", "time": "2026-11-20T12:00:01Z", "token": "1:2"},
    ]
    for end in range(1, 4):
        rules = [row.to_json() for row in judge(PLAN, measured[:end])]
        found.append({"what": "tick", "time": "t", "measurement": measured[end - 1].to_json(), "rules": rules})
    return [
        *found,
        {"what": "snapshot", "time": "t", "name": "+5", "number": 5, "verdict": "fail", "rules": rules},
        {"what": "gap", "time": "t", "from": 3, "to": 4, "why": "asleep"},
        {"what": "wish", "time": "t", "act": "auto", "who": EVIL, "granted": True, "facts": {"on": False}},
        {"what": "trigger", "time": "t", "rule": "failures", "who": "rule failures", "reason": "30 of 100"},
        {"what": "end", "time": "t", "outcome": "rolled back", "decided_by": "rule failures", "reason": EVIL,
         "exit_code": 2},
    ]  # fmt: skip


def test_the_report_holds_every_measurement_and_who_decided():
    report = report_of(records())
    assert (report["outcome"], report["decided_by"], report["exit_code"]) == ("rolled back", "rule failures", 2)
    assert [each["number"] for each in report["measurements"]] == [1, 2, 5]
    assert [row["verdict"] for row in report["measurements"][-1]["rules"]][1] == "fail"
    assert report["watch"]["backup"] == "dhash_a.zip"
    assert (report["watch"]["auto"], report["watch"]["auto_now"]) == (True, False)
    assert report["collector_errors"] == [{"number": 2, "at": 120.0, "error": f"p95: {EVIL}"}]
    assert [each["what"] for each in report["timeline"]] == ["start", "guard", "gap", "wish", "trigger", "end"]
    assert report["baseline"]["failure_rate"] == 0.01


def test_the_data_is_json_and_exact():
    report = report_of(records())
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["watch"]["who"] == EVIL
    assert report["measurements"][0]["other"] == {"cpu": "nan"}


def test_the_page_shows_figures_and_no_markup_from_outside():
    page = report_markdown(report_of(records()))
    assert "30 of 100 failed (30.0 %), over the limit 3.0 % (3x baseline 1.0 %), and no accident" in page
    assert "5 (3 in one)" in page and "asleep" in page and "on, later off" in page
    for raw in ("<b>", "[l](", "`z`", "*a*", "\x1b", "\u202e", "http://evil", "\n# head", "@all"):
        assert raw not in page
    for line in page.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)
            assert len(cells) in {4, 6, 7, 12}, line


def test_text_is_shown_as_it_is():
    assert safe("a|b") == "a\\|b"
    assert safe("a\\|b") == "a\\\\\\|b"
    assert safe("<x>&") == "&lt;x&gt;&amp;"
    assert safe("\x1b") == "\\\\x1b"
    assert safe("two\nlines") == "two\\\\x0alines"


def test_a_watch_that_never_started_or_has_strange_records_has_a_report():
    for odd in (
        [],
        [{"what": "begin"}],
        [{"what": "begin", "plan": 5}, {"what": "tick", "measurement": "x", "rules": 7}, {"what": "end"}],
        [{"what": "begin", "plan": {"baseline": [1], "duration_s": "x"}}, {"what": "tick", "rules": [None, {}]}],
        [{"what": "begin", "plan": {"baseline": {"at": 1e300}}}, {"what": "snapshot", "rules": None}],
    ):
        report = report_of(odd)
        json.dumps(report, allow_nan=False)
        assert "not ended" in report_markdown(report)


def test_the_state_of_an_open_watch_is_that_of_its_latest_word():
    told = [*records()[:-1], {"what": "time over", "outcome": "undecided", "reason": "p95 could not have fired"}]
    assert report_of(told)["outcome"] == "undecided"


def happened(*records):
    page = report_markdown(report_of([{"what": "begin", "plan": PLAN.to_json()}, *records]))
    section = page.split("## What happened")[1].split("##")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and "---" not in line][1:]
    return [tuple(cell.strip().replace("\\", "") for cell in line.strip("|").split(" | ")) for line in lines]


def test_what_happened_is_told_in_words_with_time_and_who():
    at = {"time": "2026-11-20T18:02:11Z", "at": 1795197862.4043753, "elapsed_s": 3.0148696709984506}
    told = happened(
        {**at, "what": "start", "way": "", "boot_id": "b", "boottime": 4.5, "published": "deploy-1"},
        {**at, "what": "guard", "token": "1:2", "note": "the machine was started again since"},
        {**at, "what": "wish", "wish": 1, "act": "auto", "who": "ann", "reason": "night", "granted": True,
         "answer": "automatic rollback is on", "facts": {"on": True}},
        {**at, "what": "wish", "act": "extend", "who": "bob", "granted": False, "answer": "at most 24 hours"},
        {**at, "what": "page", "about": "p95", "sentence": "40 s, over the limit"},
        {**at, "what": "page", "about": "silent queue", "sentence": "no figure"},
        {**at, "what": "page", "about": "undecided 4 0"},
        {**at, "what": "pin", "backup": "a.bak"},
        {**at, "what": "trigger", "who": "rule health", "rule": "health", "reason": "3 bad", "row": {"value": 3.0}},
        {**at, "what": "rollback", "state": "begins", "backup": "a.bak", "who": "guard", "before": "ab", "reason": ""},
        {**at, "what": "rollback", "state": "failed", "reason": "no room"},
        {**at, "what": "rollback", "state": "done", "target": "a.bak", "after": "cd", "warnings": ["slow"]},
        {**at, "what": "ending", "outcome": "rolled back", "decided_by": "rule health", "reason": "3 bad"},
        {"what": "end", "outcome": "rolled back", "decided_by": "rule health", "reason": "3 bad", "at": at["at"]},
    )  # fmt: skip
    assert [each[1:] for each in told] == [
        ("start", "guard", "the watch begins, no way back is known"),
        ("guard", "guard", "a guard takes the watch up; the machine was started again since"),
        ("wish", "ann", "asks for auto (night): automatic rollback is on"),
        ("wish", "bob", "asks for extend: refused: at most 24 hours"),
        ("page", "guard", "tells people: p95 fails: 40 s, over the limit"),
        ("page", "guard", "tells people: queue is not judged: no figure"),
        ("page", "guard", "tells people: there is no verdict, and a person has to decide"),
        ("pin", "guard", "the way back a.bak is kept for good"),
        ("trigger", "rule health", "decides to roll back: 3 bad"),
        ("rollback", "guard", "rolls back to a.bak"),
        ("rollback", "guard", "the rollback failed and is tried again: no room"),
        ("rollback", "guard", "the catalogue is back as in a.bak; slow"),
        ("ending", "rule health", "decides: rolled back: 3 bad"),
        ("end", "rule health", "it is over: rolled back: 3 bad"),
    ]
    assert {each[0] for each in told[:-1]} == {at["time"]} and told[-1][0] == "2026-11-20T18:04:22Z"


def test_an_end_that_is_not_in_the_journal_yet_has_its_time():
    report = report_of([{"what": "begin", "plan": PLAN.to_json()}, {"what": "end", "at": 1795197862.4}])
    assert report["watch"]["ended_at"] == "2026-11-20T18:04:22Z"
    assert "| Ended | 2026-11-20T18:04:22Z |" in report_markdown(report)
    for odd in (True, "x", -1, 1e300, None, math.nan):
        assert report_of([{"what": "end", "at": odd}])["watch"]["ended_at"] is None
