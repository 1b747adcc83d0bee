"""Views: pure functions that must draw any state in any size."""

import unicodedata
from dataclasses import replace

import pytest
from console_states import NOW, WORKER, event, figures, job, paused, running, store, with_job
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_tui.console.glyphs import ASCII, UNICODE
from mobius_tui.console.lines import plain, width_of
from mobius_tui.console.snapshot import migration_of, running_job
from mobius_tui.console.views.backups import BACKUPS
from mobius_tui.console.views.events import fit_message
from mobius_tui.console.views.header import header_line, notice_text
from mobius_tui.console.views.jobs import JOBS
from mobius_tui.console.views.logs import logs_view, next_level
from mobius_tui.console.views.metrics import METRICS, metrics_of
from mobius_tui.console.views.migration import MIGRATION, percent
from mobius_tui.console.views.review import REVIEW
from mobius_tui.console.views.view import brief_seconds, short_time
from mobius_tui.logs import LEVELS

VIEWS = (BACKUPS, MIGRATION, METRICS, REVIEW, logs_view("debug"), JOBS)
COUNT = st.integers(0, 10**9)
STATES = ("queued", "running", "paused", "interrupted", "done", "failed", "cancelled", "refused", "of a later version")
JOB = st.builds(
    job,
    kind=st.sampled_from(["migrate", "dry-run", "backup", "of a later version"]),
    state=st.sampled_from(STATES),
    wanted=st.sampled_from(["run", "pause", "cancel"]),
    wanted_by=st.text(max_size=20),
    requested_by=st.text(max_size=40),
    reason=st.text(max_size=40),
    error=st.text(max_size=300),
    phase=st.text(max_size=30),
    total=st.one_of(st.none(), COUNT),
    done=COUNT,
    failed=COUNT,
    rate=st.one_of(st.none(), st.floats(0, 1e9)),
    eta_s=st.one_of(st.none(), st.floats(0, 1e9)),
    started_at=st.one_of(st.none(), st.just(NOW - 100)),
    finished_at=st.one_of(st.none(), st.just(NOW)),
    exit_code=st.one_of(st.none(), st.integers(0, 255)),
    summary=st.dictionaries(st.sampled_from(["duplicates", "output", "backup", "x"]), st.text(max_size=80), max_size=4),
)


@given(
    st.lists(JOB, max_size=3), st.integers(0, 200), st.integers(0, 60), st.sampled_from([UNICODE, ASCII]), st.booleans()
)
@settings(max_examples=150, deadline=None)
def test_any_job_is_drawn_in_any_size(jobs, width, height, glyphs, alive):
    snapshot = running(store=store(jobs=tuple(jobs)), worker_alive=alive)
    for view in VIEWS:
        view.note(snapshot)
        view.empty(snapshot)
        for line in view.head(snapshot, width, height, glyphs):
            assert not {unicodedata.category(c) for c in plain(line)} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        for item in view.items(snapshot):
            line = view.line(item, max(width, 20), glyphs, snapshot)
            assert not {unicodedata.category(c) for c in plain(line)} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
            view.words(item)
            view.key(item)
            assert all("\n" not in text for pair in view.detail(item, snapshot) for text in pair)
    if width:
        assert width_of(header_line(snapshot, NOW, width, glyphs)) == width
    notice_text(snapshot)


@pytest.mark.parametrize("width", [32, 60, 76, 118, 156])
def test_lines_keep_to_their_room(width):
    """What is wider than its pane is cut there; at the usual sizes nothing that matters may be."""
    snapshot = running()
    for view in (BACKUPS, REVIEW, logs_view("debug"), JOBS):
        for item in view.items(snapshot):
            assert width_of(view.line(item, width, UNICODE, snapshot)) <= width, view.name


def test_a_hundred_percent_means_done():
    assert percent(job(done=9_999, total=10_000)) == "99%"
    assert percent(job(done=10_000, total=10_000)) == "100%"
    assert percent(job(total=None)) == ""
    assert percent(job(total=0)) == ""


def test_the_run_under_way_is_shown_before_later_ones():
    first, last = job(id=1, state="running"), job(id=2, state="done")
    assert migration_of(running(store=store(jobs=(last, first)))).id == 1
    waiting = job(id=3, state="queued")
    assert migration_of(running(store=store(jobs=(waiting, last)))).id == 3
    assert migration_of(running(store=store(jobs=(last,)))).id == 2
    assert migration_of(running(store=store(jobs=(job(id=4, state="refused"), last)))).id == 2
    assert running_job(running(store=store(jobs=(waiting, first)))).id == 1
    assert running_job(running(store=store(jobs=(last,)))) is None


def test_over_the_limit_is_marked_by_a_sign():
    snapshot = running(store=store(figures=figures(average=101.0, failed=0.2), waiting=101))
    text = "\n".join(plain(line) for line in METRICS.head(snapshot, 32, 20, UNICODE))
    assert text.count("! limit 100") == 2
    assert "! limit 5%" in text
    assert "! limit 200" not in text
    assert "█" in text


def test_at_the_limit_is_not_over_it():
    snapshot = running(store=store(figures=figures(average=100.0), waiting=98, low_confidence=2))
    text = "\n".join(plain(line) for line in METRICS.head(snapshot, 32, 20, UNICODE))
    assert "!" not in text


def test_the_queue_holds_pairs_and_images_of_low_confidence():
    assert next(m for m in metrics_of(running(), UNICODE) if m.label == "queue").value == 39


def test_few_rows_show_values_before_trends():
    for height in range(5, 30):
        lines = [plain(line) for line in METRICS.head(running(), 32, height, UNICODE)]
        assert sum(any(word in line for word in ("avg", "p95", "failures", "queue", "rate")) for line in lines) == 5
        assert len(lines) <= max(height, 17)


@given(st.text(max_size=80), st.text(max_size=80), st.integers(20, 120))
def test_a_message_has_exactly_its_width(path, reason, width):
    assert width_of(((fit_message(f"failed  {path}  {reason}", width), ""),)) == width


def test_a_long_path_leaves_room_for_the_reason():
    path = "rulebook/" + "very-long-folder/" * 5 + "p05.png"
    said = fit_message(f"failed  {path}  truncated: the file ends", 65)
    assert "p05.png  truncated" in said


def test_levels_go_round():
    seen = ["info"]
    for _ in LEVELS:
        seen.append(next_level(seen[-1]))
    assert seen == ["info", "warning", "error", "debug", "info"]


def test_a_level_hides_what_is_below_it():
    snapshot = running(store=store(events=tuple(event(n, level, level) for n, level in enumerate(LEVELS))))
    assert [e.level for e in logs_view("warning").items(snapshot)] == ["error", "warning"]


def test_times():
    assert short_time(NOW - 60, NOW) == "12:03"
    assert short_time(NOW - 86_400, NOW) == "11-19"
    assert brief_seconds(9.4) == "0:09"
    assert brief_seconds(3_729) == "1:02:09"


def test_paused_time_and_who_are_said_until_it_runs_again():
    head = "\n".join(plain(line) for line in MIGRATION.head(paused(), 78, 20, UNICODE))
    assert "paused by bob since 12:03" in head
    asked = with_job(wanted="pause", wanted_by="bob")
    head = "\n".join(plain(line) for line in MIGRATION.head(asked, 78, 20, UNICODE))
    assert "pause asked by bob" in head


def test_the_header_keeps_environment_and_read_only_to_the_last():
    snapshot = running(environment="production", read_only=True)
    for width in range(28, 200):
        text = plain(header_line(snapshot, NOW, width, UNICODE))
        assert "PRODUCTION" in text, width
        assert "READ-ONLY" in text, width


def test_new_images_show_in_the_header():
    snapshot = running(store=store(worker=replace(WORKER, unhashed=3)))
    assert "library 12,482 (3 new)" in plain(header_line(snapshot, NOW, 160, UNICODE))


def test_details_are_words_in_one_column():
    options = {"export_low_conf": False, "backup": True, "input": None}
    finished = job(options=options, summary={"exact_duplicates": 8, "failures": {"truncated": 2}})
    rows = [label + text for label, text in JOBS.detail(finished, running())]
    assert rows[-5:] == [
        "option export low conf   no",
        "option backup            yes",
        "option input             –",
        "result exact duplicates  8",
        "result failures          truncated 2",
    ]
