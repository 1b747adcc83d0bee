from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch_world import PLAN, RUN

from mobius_tui.errors import BadInput
from mobius_tui.guard.files import plan_watch
from mobius_tui.guard.wishes import answer_to, read_wishes, wait_taken, wish
from mobius_tui.recovery.watches import append_wish, wishes_path
from mobius_tui.workspace import Workspace, init_workspace, open_workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    init_workspace(tmp_path)
    found = open_workspace(tmp_path, {}, {}, "tester")
    plan_watch(found, PLAN)
    return found


@pytest.fixture
def journal(ws: Workspace) -> Path:
    return ws.state / "watch" / f"{RUN}.journal"


def test_wishes_are_numbered_by_their_lines(ws: Workspace, journal: Path) -> None:
    assert [wish(ws, RUN, "accept", "ann"), wish(ws, RUN, "stop", "bob", reason="no need")] == [1, 2]
    found = read_wishes(journal, 0)
    assert [(w.number, w.act, w.who, w.reason, w.problem) for w in found] == [
        (1, "accept", "ann", "", ""), (2, "stop", "bob", "no need", ""),
    ]  # fmt: skip
    assert [w.number for w in read_wishes(journal, 1)] == [2]


def test_the_file_is_for_its_owner_alone(ws: Workspace, journal: Path) -> None:
    wish(ws, RUN, "accept", "ann")
    assert wishes_path(journal).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("act", "facts"),
    [
        ("dance", {}),
        ("stop", {"reason": "  "}),
        ("auto", {}),
        ("auto", {"on": "yes"}),
        ("extend", {}),
        ("extend", {"seconds": 0}),
        ("extend", {"seconds": 90_000}),
        ("extend", {"seconds": True}),
        ("extend", {"seconds": float("nan")}),
    ],
)
def test_what_means_nothing_cannot_be_wished(ws: Workspace, journal: Path, act: str, facts: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        wish(ws, RUN, act, "ann", **facts)
    assert not wishes_path(journal).exists()


def test_a_wish_to_no_watch_is_refused(ws: Workspace) -> None:
    with pytest.raises(BadInput, match="no watch"):
        wish(ws, "watch-20200101T000000Z", "accept", "ann")


def test_a_torn_line_is_ended_and_the_next_wish_is_whole(ws: Workspace, journal: Path) -> None:
    wish(ws, RUN, "accept", "ann")
    with wishes_path(journal).open("ab") as file:
        file.write(b'{"act": "st')
    assert [w.number for w in read_wishes(journal, 0)] == [1]
    assert wish(ws, RUN, "auto", "bob", on=True) == 3
    assert [(w.number, bool(w.problem)) for w in read_wishes(journal, 0)] == [(1, False), (2, True), (3, False)]


@given(st.binary(max_size=300))
def test_no_line_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    journal = tmp_path_factory.mktemp("w") / f"{RUN}.journal"
    wishes_path(journal).write_bytes(junk)
    number = append_wish(wishes_path(journal), {"act": "accept", "who": "ann", "facts": {}})
    last = read_wishes(journal, 0)[-1]
    assert (last.number, last.act, last.problem) == (number, "accept", "")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: (
            st.lists(x) | st.dictionaries(st.sampled_from(["act", "who", "reason", "at", "facts", "seconds", "on"]), x)
        ),
    )
)
def test_no_data_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, data: object) -> None:
    journal = tmp_path_factory.mktemp("w") / f"{RUN}.journal"
    wishes_path(journal).write_text(json.dumps(data) + "\n")
    assert len(read_wishes(journal, 0)) == 1


@pytest.mark.parametrize("at", [10**400, -(10**400), float("nan"), float("inf"), True, "now", [1]])
def test_a_moment_that_is_none_keeps_no_wish_from_being_read(journal: Path, at: object) -> None:
    wishes_path(journal).write_text(json.dumps({"act": "accept", "who": "ann", "at": at}) + "\n")
    found = read_wishes(journal, 0)
    assert [(w.act, w.at, w.problem) for w in found] == [("accept", 0.0, "")]


def test_wishes_of_many_processes_and_threads_are_all_there(ws: Workspace, journal: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mobius_tui.recovery.watches import append_wish\n"
        "for n in range(20): append_wish(Path(sys.argv[1]), {'act': 'accept', 'who': sys.argv[2], 'facts': {}})"
    )
    path = str(wishes_path(journal))
    others = [subprocess.Popen([sys.executable, "-c", code, path, f"p{n}"], env=dict(os.environ)) for n in range(3)]
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.append(wish(ws, RUN, "accept", "t"))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0, 0]
    found = read_wishes(journal, 0)
    assert [w.number for w in found] == list(range(1, 66))
    assert not any(w.problem for w in found)
    assert len(set(numbers)) == 5


def test_a_symlink_in_the_files_place_is_not_followed(ws: Workspace, journal: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("")
    wishes_path(journal).symlink_to(target)
    with pytest.raises(Exception, match="cannot be written"):
        wish(ws, RUN, "accept", "ann")
    assert target.read_text() == ""


def test_nobody_answers_while_no_guard_runs(ws: Workspace) -> None:
    number = wish(ws, RUN, "accept", "ann")
    assert (wait_taken(ws, RUN, number, 0.0), answer_to(ws, RUN, number)) == (False, None)
