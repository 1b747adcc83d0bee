"""What is cut, wrapped or left whole: on a screen, in a pipe, and where COLUMNS is set."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from running_verbs import Mobius

from mobius_tui.cli import call, output
from mobius_tui.cli.layout import UNCUT, hanging, labelled, wrapped
from mobius_tui.cli.plain import PlainTalk
from mobius_tui.cli.verbs.migrate import summary_lines
from mobius_tui.cli.verbs.status import LINES, status_lines
from mobius_tui.launch.health import Address
from mobius_tui.operations.status import read_status
from mobius_tui.store.jobs import Job
from mobius_tui.system.locks import Holder
from mobius_tui.workspace import open_workspace

LONG = " ".join(f"word{number}" for number in range(30))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def joined(lines: list[Any]) -> str:
    return " ".join(" ".join(line if isinstance(line, str) else line[0] for line in lines).split())


@pytest.mark.parametrize(
    ("columns", "width"),
    [("", UNCUT), ("100", 100), ("5", 40), ("x", UNCUT), ("0", UNCUT), ("9" * 5000, UNCUT), ("\u00b2", UNCUT)],
)
def test_in_a_pipe_nothing_has_a_width_unless_columns_is_set(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", columns)
    assert output.data_width() == width


def test_on_a_terminal_columns_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "70")
    assert (output.data_width(), output.screen_width()) == (70, 70)


@pytest.mark.parametrize("columns", ["", "60"])
def test_verbs_hold_to_it(mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    name = "x" * 90 + ".png"
    (ws / "library" / name).write_bytes((ws / "library" / "flat.png").read_bytes())
    monkeypatch.setenv("COLUMNS", columns)
    shown = mobius("hash", ws / "library" / name, "--workspace", ws).out
    shown += mobius("status", "--workspace", ws, "--env", "staging").out
    if columns:
        assert max(map(len, shown.splitlines())) <= 60
    else:
        assert str(ws / "library" / name) in shown and "~" not in shown


def test_long_values_go_on_below_their_start() -> None:
    lines = labelled(
        [("a", "short"), ("label", LONG), ("path", "/" + LONG.replace(" ", "/"))], width=50, keep_end=["path"]
    )
    assert max(map(len, lines)) <= 50 and joined(lines[1:-1]) == f"label {LONG}"
    assert all(line.startswith(" " * 7) for line in lines[2:-1]) and lines[-1].startswith("path   ~")


def test_spaces_of_a_text_stay_and_paths_break_after_a_slash() -> None:
    assert wrapped("  one  two three", width=10) == ["  one  two", "  three"]
    assert wrapped("/aaaa/bbbb/cccc/dddd", width=12) == ["/aaaa/bbbb/", "cccc/dddd"]
    assert wrapped("図図図", width=4) == ["図図", "図"]
    assert hanging("head  ", "one two three", width=15) == ["head  one two", "      three"]
    assert hanging("a head that is long  ", "one two three", width=24) == ["a head that is long", "    one two three"]


def job(**how: object) -> Job:
    values: dict[str, Any] = {
        "id": 3, "kind": "migrate", "state": "failed", "wanted": "run", "wanted_by": "", "options": {}, "run_id": "r",
        "requested_by": "ada", "requested_at": 1.0, "reason": "", "started_at": 2.0, "finished_at": 3.0, "owner": "",
        "phase": "", "total": None, "done": 0, "failed": 0, "missing": 0, "low": 0, "exact": 0, "waiting": 0,
        "decoded": 0, "rate": None, "eta_s": None, "exit_code": 2, "error": LONG,
    }  # fmt: skip
    return Job(**{**values, **how})


def test_status_shows_what_matters_whole(ws: Path) -> None:
    status = replace(
        read_status(open_workspace(ws, {}, {}, "t", lenient=True)),
        warnings=(LONG, f"second {LONG}"),
        worker=Holder(pid=7, who="ada", since=5.0, purpose="worker", token="t"),
        address=Address("http://127.0.0.1:5001", "t"),
        last_failure=job(),
        next_steps=(("mobius backup create", LONG),),
    )
    lines = status_lines(status, 80)
    assert len(lines) <= LINES and max(len(line) for line, _ in lines) <= 80
    said = joined(lines)
    assert f"warning: {LONG}" in said and f"second {LONG}" in said and "http://127.0.0.1:5001" in said
    assert f"exit 2: {LONG}" in said and f"mobius backup create {LONG}" in said
    assert {line.split()[0] for line, _ in lines if "~" in line} <= {"MOBIUS", "catalogue"}
    after = status_lines(replace(status, last_watch=f"rolled back 2026-11-20T18:02:11Z: {LONG} {LONG}"), 80)
    assert len(after) <= LINES and "last watch" in joined(after) and "rolled back 2026-11-20T18:02:11Z" in joined(after)
    assert [style for line, style in after if line.startswith("last watch")] == ["bad"]
    assert f"mobius backup create {LONG}" in joined(after)
    endless = replace(status, warnings=(f"{LONG} " * 50,) * 5)
    lines = status_lines(endless, 80)
    assert "and 2 more warnings" in joined(lines) and "next" in [line for line, _ in lines]


@pytest.mark.parametrize("group", ["backup", "worker"])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_group_without_a_verb_says_which_there_are(mobius: Mobius, group: str, options: tuple[str, ...]) -> None:
    answer = mobius(group, *options)
    assert answer.code == 1 and answer.out == "" and "\\x0a" not in answer.err
    lines = answer.err.splitlines()
    assert lines[0].startswith(f"Usage: mobius {group}") and len(lines) > 15
    assert lines[-1].startswith("mobius: ") and f"`mobius {group} --help`" in lines[-1]
    assert f"Usage: mobius {group} [OPTIONS] COMMAND [ARGS]..." in mobius(group, "--help").out


def test_a_migration_elsewhere_says_that_live_is_untouched(mobius: Mobius, ws: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "new.json"
    told = mobius("migrate", "-o", elsewhere, "--workspace", ws).out.splitlines()
    mode = next(line for line in told if line.startswith("mode "))
    assert mode.split(None, 1)[1] == "LIVE (to new.json, the live catalogue is untouched)"
    assert mobius("migrate", "-o", elsewhere, "--workspace", ws, "--json").json["mode"] == "LIVE"
    in_place = mobius("migrate", "--workspace", ws)
    assert in_place.out.splitlines()[0].split() == ["mode", "LIVE"]
    facts = mobius("migrate", "--workspace", ws, "--dry-run", "--json").json
    assert summary_lines(facts, 80, ws / "library" / "library.json")[0].endswith(" DRY RUN")


def test_a_hook_that_ended_well_is_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(call, "tell_wrapped", lambda text, style: said.append(style))
    for text in (
        "hook on_rollback ended well after 0.1 s",
        "hook on_rollback failed with exit code 3",
        "x was cut off",
    ):
        call.tell_recovery(text)
    assert said == ["", "warn", "warn"]


def test_rollback_and_verify_break_lines_on_a_screen_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    PlainTalk().show(f"    {LONG}")
    monkeypatch.setenv("COLUMNS", "")
    PlainTalk().show(LONG)
    *broken, whole = screen.getvalue().splitlines()
    assert len(broken) > 2 and all(line.startswith("    word") and len(line) <= 80 for line in broken)
    assert whole == LONG
