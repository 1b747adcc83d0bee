"""Batches, and what is kept of outcomes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import picture

from mobius_tui.fingerprint.model import Outcome, Task
from mobius_tui.operations import inventory
from mobius_tui.operations.inventory import RACY_NS, Missing, Setup, Unread, in_batches, keep_outcomes, plan_work
from mobius_tui.store.images import Fingerprint, KnownFile, find_files, keep_files
from mobius_tui.store.known import find_alike

SETUP = Setup("exact", "decoder 1", "few tools")


@given(st.lists(st.integers(), max_size=30), st.integers(1, 7))
def test_batches_hold_everything_in_order(items, size):
    batches = list(in_batches(iter(items), size, seconds=1e9))
    assert list(itertools.chain.from_iterable(batches)) == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)


def test_slow_outcomes_are_committed_after_a_while(monkeypatch):
    now = itertools.count()
    monkeypatch.setattr(inventory.time, "monotonic", lambda: float(next(now)))
    assert [len(batch) for batch in in_batches(iter(range(4)), 100, seconds=2.0)] == [2, 2]


@pytest.mark.parametrize(
    ("status", "lasting", "kind"),
    [("failed", True, Fingerprint), ("failed", False, Unread), ("missing", False, Missing)],
)
def test_only_lasting_failures_are_remembered(make_workspace, store, status, lasting, kind):
    connection = store(make_workspace(0))
    outcome = Outcome("/lib/a.png", status, b"a" * 32, 10, error="it broke", cause="truncated", lasting=lasting)
    result = keep_outcomes(connection, [outcome], SETUP, "run")["/lib/a.png"]
    assert isinstance(result, kind)
    (count,) = connection.execute("SELECT count(*) FROM fingerprints").fetchone()
    assert count == lasting
    known = find_files(connection, ["/lib/a.png"])
    assert bool(known) is (status != "missing")
    if status == "failed":
        assert (known["/lib/a.png"].sha256 is None) is not lasting


def test_same_without_a_fingerprint_is_no_result(make_workspace, store):
    connection = store(make_workspace(0))
    outcome = Outcome("/lib/a.png", "same", b"a" * 32)
    assert isinstance(keep_outcomes(connection, [outcome], SETUP, "run")["/lib/a.png"], Unread)


@pytest.mark.parametrize(("late", "trusted"), [(RACY_NS - 1, False), (RACY_NS + 1, True), (-RACY_NS + 1, False)])
def test_time_of_a_file_that_was_read_too_soon_is_not_trusted(make_workspace, store, late, trusted):
    connection = store(make_workspace(0))
    outcome = Outcome(
        "/a", "ok", b"a" * 32, 10, mtime_ns=10**18, inode=7, dhash=5, confidence=0.9, read_ns=10**18 + late
    )
    keep_outcomes(connection, [outcome], SETUP, "run")
    assert find_files(connection, ["/a"])["/a"].mtime_ns == (10**18 if trusted else -1)


@pytest.mark.parametrize(("profile", "reduced", "profiles"), [
    ("exact", False, {"exact"}), ("fast", True, {"fast"}), ("fast", False, {"exact", "fast"}),
])  # fmt: skip
def test_fast_outcome_at_full_scale_is_an_exact_one_too(make_workspace, store, profile, reduced, profiles):
    connection = store(make_workspace(0))
    outcome = Outcome("/a", "ok", b"a" * 32, 10, dhash=5, confidence=0.9, reduced=reduced)
    keep_outcomes(connection, [outcome], Setup(profile, "decoder 1", ""), "run")
    assert {row[0] for row in connection.execute("SELECT profile FROM fingerprints")} == profiles


def test_files_alike_are_searched_by_index(make_workspace, store):
    """Thousands of files of one size, read or not, must not be gone through for each new one."""
    connection = store(make_workspace(0))
    asked: list[str] = []
    connection.set_trace_callback(asked.append)
    assert find_alike(connection, 10, 20, 30) is None
    connection.set_trace_callback(None)
    plans = [connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchone()["detail"] for query in asked]
    assert [plan.split(" USING ")[1] for plan in plans] == [
        "INDEX images_inode (inode=?)",
        "INDEX images_size (size=?)",
    ]


def test_new_file_that_was_only_seen_is_compared_with_files_alike(make_workspace, store):
    ws = make_workspace({"a.png": picture(1), "b.png": picture(1)})
    connection = store(ws)
    one, other = (str(ws.library / name) for name in ("a.png", "b.png"))
    size = (ws.library / "a.png").stat().st_size
    outcome = Outcome(one, "ok", b"a" * 32, size, mtime_ns=1, inode=1, dhash=5, confidence=0.9, read_ns=10**18)
    keep_outcomes(connection, [outcome], SETUP, "run")
    keep_files(connection, [KnownFile(other, size, 7, 7, None)])  # as a scan of the library leaves it
    (plan,) = plan_work(connection, [other], SETUP)
    assert plan.tasks == [Task(other, b"a" * 32, size)]


def test_plan_keeps_the_order_over_slices(make_workspace, store, monkeypatch):
    monkeypatch.setattr(inventory, "_SLICE", 3)
    ws = make_workspace(7)
    paths = [str(path) for path in sorted((ws.library / "deck").iterdir())]
    plans = list(plan_work(store(ws), [*paths, "/gone.png"], SETUP))
    assert [len(plan.results) for plan in plans] == [3, 3, 2]
    assert [task.path for plan in plans for task in plan.tasks] == paths
    assert plans[-1].results == [None, Missing()]
