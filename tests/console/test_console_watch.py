"""The watch and the alerts in the console: what their rows look like, and what keeps a person from being misled."""

from __future__ import annotations

import contextlib
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from console_states import HOSTILE, NOW, running, store, workspace
from hypothesis import given
from hypothesis import strategies as st
from watch_states import (
    ALERTS,
    BEGAN,
    RUN,
    alert,
    alerts_raised,
    guard_killed,
    rule,
    rules,
    watch,
    watch_canary,
    watch_failing,
    watch_rolled_back,
    watch_undecided,
    watching,
)

from mobius_tui.console.actions import registry
from mobius_tui.console.glyphs import ASCII, UNICODE
from mobius_tui.console.lines import plain, width_of
from mobius_tui.console.snapshot import JUST_S, Snapshot, raised_alerts
from mobius_tui.console.views.header import header_line
from mobius_tui.console.views.metrics import METRICS
from mobius_tui.console.views.watch import RULES_COLUMN, WATCH
from mobius_tui.store.database import open_database
from mobius_tui.store.snapshot import read_snapshot
from mobius_tui.store.watches import TickRow, write_tick, write_watch
from mobius_tui.workspace import init_workspace

ACTIONS = {action.name: action for action in registry()}
KEYS = {"accept": "Y", "extend": "E", "snapshot": "S", "auto": "T"}


def drawn(snapshot: Snapshot, width: int = 76, height: int = 19) -> str:
    """Pane 5 without its border."""
    head = WATCH.head(snapshot, width, height, UNICODE)
    lines = [*head, *(WATCH.line(item, width, UNICODE, snapshot) for item in WATCH.items(snapshot))][:height]
    assert all(width_of(line) <= width for line in lines)
    return "\n".join(plain(line).rstrip() for line in lines)


def header(snapshot: Snapshot, width: int = 160, now: float = NOW) -> str:
    return plain(header_line(snapshot, now, width, UNICODE))


def roles(snapshot: Snapshot, width: int = 160) -> set[str]:
    return {role for _, role in header_line(snapshot, NOW, width, UNICODE)}


# ------------------------------------------------------------------------------------------------------ what is shown


def test_each_rule_has_value_limit_baseline_samples_margin_verdict_and_trend() -> None:
    text = drawn(watching())
    assert "WATCH  ▶ RUNNING  41 min left, until 12:45 UTC  auto rollback on" in text
    assert "snapshots  ✓ +5 min pass  ✓ +15 min pass  · +30 min 12:15  · +60 min 12:45" in text
    assert "✓ failures      0.4%    10.0%     0.5%       240    96% pass      ▁▁" in text
    assert "✓ p95          34 ms   119 ms    40 ms        80    71% pass" in text
    assert "✓ health           0        3        –         1   100% pass" in text
    assert "next: all rules pass; accepted in 41 min" in text
    assert text.splitlines()[-1] == "11:45:11   a watch of 1:00:00 begins, automatic rollback is on"


def test_what_was_not_measured_is_a_dash_and_no_pass() -> None:
    text = drawn(watch_undecided())
    assert "? p95              –   119 ms        –  12 of 50      – no data   ··" in text
    assert "its time was over 12:02 UTC" in text
    bare = drawn(watching(changed=(rule("queue", "pass", value=None, limit=None, margin=None, trend=[]),)))
    assert "✓ queue            –        –       39         1      – pass" in bare


def test_a_failing_rule_says_why_and_what_would_happen() -> None:
    text = drawn(watch_failing())
    assert "✗ failures     18.2%" in text and "-82% FAIL" in text and "█" in text
    assert "✗ failures: 22 of 121 failed (18.2 %), limit 10.0 % (fixed)" in text
    assert "next: failures is over the limit: would roll back; automatic rollback is" in text
    assert "auto rollback off" in text


@pytest.mark.parametrize(
    "state", [watching, watch_failing, watch_undecided, watch_rolled_back, guard_killed, watch_canary]
)
def test_on_the_smallest_screen_the_whole_head_and_some_events_fit(state: Any) -> None:
    snapshot = state()
    head = WATCH.head(snapshot, 76, 19, UNICODE)
    assert len(head) <= 15
    text = "\n".join(map(plain, head))
    for name in ("health", "failures", "p95", "queue", "catalogue"):
        assert f" {name} " in text


def test_the_time_left_is_told_in_minutes_and_at_last_in_seconds() -> None:
    for left, said in ((2460.0, "41 min left"), (121.0, "3 min left"), (120.0, "120 s left"), (5.2, "5 s left")):
        snapshot = watching(until_at=NOW + left)
        assert said in drawn(snapshot)
        assert f"guard ● {said}" in header(snapshot)
    assert "its time is over" in drawn(watching(until_at=NOW - 3))


def test_a_dead_guard_is_said_and_what_it_said_is_no_promise() -> None:
    snapshot = guard_killed()
    text = drawn(snapshot)
    assert "○ GUARD DEAD" in text and "RUNNING" not in text
    assert "! guard dead: any verb or the worker starts it again; figures 3 min old" in text
    assert "next:" not in text and "it said: all rules pass" in text
    assert "guard ○ dead" in header(snapshot)
    assert "alarm" in roles(snapshot)
    assert "alarm" not in roles(watching())


def test_old_figures_and_a_guard_in_trouble_are_said() -> None:
    assert "old" not in drawn(watching(updated_at=NOW - 134))
    assert "! no measurement since 12:02 UTC: figures 2 min old" in drawn(watching(updated_at=NOW - 136))
    assert "the guard is in trouble: the journal" in drawn(watching(problem="the journal cannot be written"))


def test_an_ended_watch_tells_outcome_who_why_and_its_report_for_an_hour() -> None:
    snapshot = watch_rolled_back()
    text = drawn(snapshot)
    assert "✗ ROLLED BACK  12:00 UTC, after 15:20" in text
    assert "decided by rule failures: failures: 22 of 121 failed (18.2 %)" in text
    assert f"report logs/{RUN}.report.md" in text
    assert "· +30 min –" in text  # what had not fallen due is not due any more
    assert "guard" not in header(snapshot)
    later = replace(snapshot, at=NOW - 240 + JUST_S)
    assert drawn(later).startswith("No watch is on; w starts one.")
    assert "rolled back" in drawn(later)
    assert RULES_COLUMN.head(later, 32, 20, UNICODE) == []


def test_why_an_ended_watch_ended_is_known_without_its_event() -> None:
    text = drawn(watching(state="ended", outcome="stopped", decided_by="eve", next="seen enough",
                          ended_at=NOW - 240, alive=False, events=()))  # fmt: skip
    assert "decided by eve: seen enough" in text and "next:" not in text


def test_a_canary_shows_like_a_watch() -> None:
    snapshot = watch_canary()
    assert "CANARY  ▶ RUNNING  9 min left" in drawn(snapshot)
    assert "canary ● 9 min left" in header(snapshot)
    assert "56 of 100" in drawn(snapshot)
    gone = drawn(replace(snapshot, guard_alive=False))
    assert "○ INTERRUPTED" in gone and "the next deploy or rollback finishes or undoes it" in gone


def test_trends_come_from_the_measurements_where_the_row_has_none() -> None:
    values = [0.0, 0.02, None, 0.3]
    measured = tuple(
        TickRow(n, BEGAN + n, float(n), "pass", {}, rules(rule("failures", value=value, trend=None)))
        for n, value in enumerate(values, 1)
    )
    snapshot = watching()
    assert snapshot.store is not None
    text = drawn(replace(snapshot, store=replace(snapshot.store, ticks=measured)), 80)
    assert next(line for line in text.splitlines() if "failures" in line).endswith("▁▁▁▂▂▂···███"), text


def harmless(text: str) -> bool:
    return not {unicodedata.category(character) for character in text} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**400), 10**400) | st.text(max_size=20)
    | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
RULE = st.fixed_dictionaries(
    {},
    optional={
        "rule": st.sampled_from(["health", "failures", "p95", "queue", "catalogue"]) | ODD,
        "verdict": st.sampled_from(["pass", "fail", "no data", "collector error"]) | ODD,
        **dict.fromkeys(("value", "limit", "baseline", "samples", "needed", "margin", "could_fire", "sentence"), ODD),
        "trend": st.lists(st.none() | st.floats() | st.integers(-(10**400), 10**400), max_size=70) | ODD,
    },
)


@given(
    damaged=st.lists(RULE, max_size=6),
    taken=st.lists(st.dictionaries(st.sampled_from(["name", "due_at", "taken_at", "verdict"]), ODD), max_size=6),
    plan=st.dictionaries(st.sampled_from(["interval_s", "canary", "baseline", "duration_s"]), ODD),
    state=st.sampled_from(["planned", "running", "rolling back", "undecided", "ended", "of a later version"]),
    words=st.text(max_size=60) | st.sampled_from(HOSTILE),
    at=st.floats(0, 253_402_300_799.0),
    size=st.tuples(st.integers(1, 200), st.integers(1, 50)),
    alive=st.booleans(),
)
def test_damaged_rows_are_drawn_in_any_size(
    damaged: Any, taken: Any, plan: Any, state: str, words: str, at: float, size: Any, alive: bool
) -> None:
    row = watch(
        state=state, outcome=words, who=words, reason=words, next=words, problem=words, decided_by=words, plan=plan,
        snapshots=tuple(taken), until_at=at, began_at=at, updated_at=at, ended_at=at if state == "ended" else None,
        run_id=words, deploy=words,
    )  # fmt: skip
    ticks_ = (TickRow(1, at, at, words, {}, tuple(damaged)),)
    raised = (alert(words, words, sentence=words, value=at, since=at),)
    snapshot = running(store=store(watch=row, ticks=ticks_, alerts=raised), guard_alive=alive)
    for glyphs in (UNICODE, ASCII):
        for view in (WATCH, RULES_COLUMN, METRICS):
            assert all(harmless(plain(line)) for line in view.head(snapshot, *size, glyphs))
            assert harmless(view.note(snapshot))
            for item in view.items(snapshot):
                assert harmless(plain(view.line(item, size[0], glyphs, snapshot)))
                assert all(harmless(text) for pair in view.detail(item, snapshot) for text in pair)
        line = header_line(snapshot, NOW, size[0], glyphs)
        assert harmless(plain(line)) and width_of(line) == size[0]
    for action in registry():
        why = action.able(snapshot)
        assert why is None or harmless(why)


def test_rows_as_the_store_reads_them_whatever_was_written(tmp_path: Path) -> None:
    """A damaged cell costs itself: the row is read and drawn."""
    init_workspace(tmp_path)
    ws = workspace(tmp_path)
    with contextlib.closing(open_database(ws.database)) as connection:
        write_watch(connection, watch())
        write_tick(connection, RUN, TickRow(1, NOW, 60.0, "pass", {}, rules()))
        for column in ("snapshots", "plan", "until_at", "updated_at", "began_at", "token", "state"):
            connection.execute(f"UPDATE watches SET {column} = ?", ("[[1, {",))
        connection.execute('UPDATE watch_ticks SET rules = \'[1, {"rule": 2, "value": "x"}]\'')
        found = read_snapshot(connection, NOW)
    snapshot = running(store=found)
    assert WATCH.head(snapshot, 76, 19, UNICODE)
    assert "[[1, {" in header(snapshot) or "guard" in header(snapshot)


# ------------------------------------------------------------------------------------------------- header and alerts


def test_the_header_tells_watch_and_alerts_and_cuts_the_rest_first() -> None:
    wide = header(watching(alerts=ALERTS))
    assert "guard ● 41 min left   2 alerts: failures 6.2%" in wide
    narrow = header(watching(alerts=ALERTS), 80)
    assert narrow.startswith(" development   worker ● working   guard ● 41 min left   2 alerts   ")
    assert header(watching(alerts=ALERTS), 44).startswith(" development   guard ● 41 min left")
    looking = replace(watching(alerts=ALERTS, environment="production"), read_only=True)
    for width in (160, 80, 60, 40):
        assert "! PRODUCTION !" in header(looking, width)
        assert "READ-ONLY" in header(looking, width)
        assert len(header(looking, width)) == width


def test_all_clear_is_said_only_where_somebody_judges() -> None:
    assert "all clear" in header(running())
    assert "all clear" not in header(running(worker_alive=False))
    assert "all clear" not in header(running(problem="the disk is full"))
    assert "all clear" not in header(running(store=None))
    assert "alert" not in header(running(store=store(alerts=ALERTS[2:])))


def test_a_critical_alert_is_loud_until_somebody_has_seen_it() -> None:
    assert "alarm" in roles(alerts_raised())
    seen = tuple(replace(row, acknowledged_by="bob") for row in ALERTS)
    assert "alarm" not in roles(running(store=store(alerts=seen)))
    assert [row.name for row in raised_alerts(alerts_raised())] == ["failures", "queue"]


def test_the_metrics_show_the_alerts_that_hold_with_since_and_who_has_seen_them() -> None:
    snapshot = alerts_raised()
    lines = [plain(METRICS.line(row, 32, UNICODE, snapshot)) for row in METRICS.items(snapshot)]
    assert lines == ["✗ failures 6.2%      since 11:59", "! queue 606     since 11:49 seen"]
    detail = dict(METRICS.detail(METRICS.items(snapshot)[1], snapshot))
    assert "bob" in detail.values() or any("bob" in value for value in detail.values())
    for height in range(1, 30):
        assert len(METRICS.head(snapshot, 32, height, UNICODE)) <= max(height, 5)


def test_limits_and_targets_are_those_of_the_alerts() -> None:
    text = "\n".join(plain(line) for line in METRICS.head(alerts_raised(), 32, 20, UNICODE))
    assert "61 ms     target 50" in text and "! limit 5%" in text and "! limit 100" in text and "limit 200" in text
