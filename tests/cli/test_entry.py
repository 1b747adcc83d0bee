"""Exit codes, streams, signals: what scripts rely on, whatever the verb."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running_verbs import SOURCE, Mobius, finish, start, tree

from mobius_tui.cli.app import VERBS
from mobius_tui.store.database import open_database
from mobius_tui.store.events import add_event

LATER = ["review"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nope"],
        ["nope"],
        ["status", "--nope"],
        ["status", "surplus"],
        ["hash"],
        ["pause"],
        ["pause", "x"],
        ["--timeout", "0", "status"],
        ["--timeout", "soon", "status"],
        ["logs", "--level", "loud"],
        ["--ascii", "status"],
        ["--read-only", "jobs"],
        ["backup", "nope"],
        ["--as", "", "init"],
        ["--as", "a\x1bb", "init"],
        ["status", "--workspace", "there-is-none"],
        ["--env", "prod", "init"],
        ["--workspace", "", "init"],
        ["migrate", "--batch-size", "x"],
    ],
)
def test_usage_errors_are_exit_1_one_sentence_nothing_made(
    mobius: Mobius, tmp_path: Path, arguments: list[str]
) -> None:
    answer = mobius(*arguments)
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("mobius: ") and answer.err.count("\n") == 1
    assert answer.err.strip().isprintable()
    assert list(tmp_path.iterdir()) == []


def test_options_of_the_console_are_refused_by_verbs(mobius: Mobius, ws: Path) -> None:
    answer = mobius("--ascii", "status", "--workspace", ws)
    assert answer.code == 1 and "--ascii is an option of the console, not of `mobius status`" in answer.err


def test_verbs_of_later_are_absent(mobius: Mobius) -> None:
    listed = mobius("--help").out
    for verb in LATER:
        assert f"  {verb}" not in listed
        assert mobius(verb).code == 1
    for verb in VERBS:
        assert f"\n  {verb} " in listed


@pytest.mark.parametrize("verb", [*VERBS, "worker start", "worker run", "worker stop", "worker restart",
                                  "worker status", "backup create", "backup verify"])  # fmt: skip
def test_help_of_every_verb_has_the_common_options_and_fits(mobius: Mobius, verb: str) -> None:
    answer = mobius(*verb.split(), "--help")
    assert answer.code == 0 and answer.err == ""
    for option in ("--workspace", "--env", "--as", "--json", "--verbose", "--quiet", "--timeout"):
        assert option in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_common_options_hold_before_and_after_the_verb_and_the_inner_one_wins(mobius: Mobius, ws: Path) -> None:
    for arguments in (
        ["--workspace", ws, "--json", "worker", "status"],
        ["worker", "status", "--json", "--workspace", ws],
        ["--workspace", "/nowhere", "worker", "--json", "status", "--workspace", ws],
    ):
        assert mobius(*arguments).json["running"] is False


def test_without_a_workspace_it_creates_nothing_and_names_init_and_demo(mobius: Mobius, tmp_path: Path) -> None:
    for arguments in ([], ["status"], ["migrate"], ["check"], ["jobs"], ["worker", "start"], ["config"]):
        answer = mobius(*arguments)
        assert answer.code == 1
        assert "`mobius init`" in answer.err and "`mobius demo`" in answer.err
        assert answer.out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_console_refuses_without_a_terminal_before_it_is_imported(
    mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mobius_tui.console.app", None)
    before = tree(ws)
    answer = mobius("--workspace", ws)
    assert answer.code == 3
    assert "needs a terminal" in answer.err and "mobius status" in answer.err
    assert tree(ws) == before


def test_the_console_takes_no_options_of_verbs(mobius: Mobius, ws: Path) -> None:
    assert mobius("--workspace", ws, "--json").code == 1
    assert mobius("--workspace", ws, "--timeout", "5").code == 1


def test_a_defect_is_one_short_sentence_and_the_traceback_is_in_the_log(
    mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise ZeroDivisionError("\x1b[31moops")

    monkeypatch.setattr("mobius_tui.cli.verbs.backup.backup_now", broken)
    answer = mobius("backup", "create", "--workspace", ws)
    assert answer.code == 70
    assert "a defect of MOBIUS: ZeroDivisionError" in answer.err
    assert "Traceback" not in answer.err and "\x1b" not in answer.err
    record = json.loads((ws / "logs" / "service.log").read_text().splitlines()[-1])
    assert "Traceback" in record["fields"]["traceback"]
    assert "Traceback" in mobius("-v", "backup", "create", "--workspace", ws).err


@pytest.mark.parametrize(
    ("error", "code"), [(PermissionError(13, "Permission denied", "x\x1by"), 3), (OSError(28, "No space left"), 5),
                        (MemoryError(), 5)]
)  # fmt: skip
def test_system_errors_are_sentences(
    mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def broken(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr("mobius_tui.cli.verbs.backup.backup_now", broken)
    answer = mobius("backup", "create", "--workspace", ws)
    assert answer.code == code
    assert "Traceback" not in answer.err and "Errno" not in answer.err
    assert answer.err.strip().isprintable()


def test_light_verbs_import_nothing_heavy(ws: Path) -> None:
    script = (
        "import sys; from mobius_tui.__main__ import run; code = run(sys.argv[1:]);"
        "heavy = {'textual', 'rich', 'numpy', 'PIL', 'imagehash', 'scipy', 'watchdog', 'multiprocessing'};"
        "print(sorted(heavy & set(sys.modules)), code, file=sys.stderr)"
    )
    for arguments in (["--version"], ["--help"], ["status"], ["jobs"], ["logs"], ["history"], ["check"], ["config"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments, *(["--workspace", str(ws)] if arguments[0][0] != "-" else [])],
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": SOURCE}, check=False,
        )  # fmt: skip
        assert done.stderr.splitlines()[-1] == f"[] {1 if arguments == ['check'] else 0}", arguments


def test_data_goes_to_stdout_and_talk_to_stderr(ws: Path) -> None:
    answer = finish(start("history", "--workspace", ws, "--json", env={"MOBIUS_TRESHOLD": "1"}))
    assert (answer.code, json.loads(answer.out)) == (0, [])
    assert "did you mean MOBIUS_THRESHOLD?" in answer.err


@pytest.mark.parametrize("environ", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_full_disk_behind_stdout_is_exit_5(ws: Path, environ: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as full:
        answer = finish(start("config", "--workspace", ws, stdout=full, env=environ))
    assert answer.code == 5
    assert "No space left" in answer.err and "Traceback" not in answer.err


@pytest.mark.parametrize("environ", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_a_reader_that_leaves_is_no_error(ws: Path, environ: dict[str, str]) -> None:
    process = start("config", "--workspace", ws, "--json", env=environ)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert finish(process).err == ""
    assert process.returncode == 0


def test_closed_streams(ws: Path) -> None:
    command = f'exec "{sys.executable}" -m mobius_tui status --workspace "{ws}" >&- 2>&-'
    done = subprocess.run(["sh", "-c", command], env={**os.environ, "PYTHONPATH": SOURCE}, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (None, 4)]
)
def test_signals_and_the_time_limit_have_their_codes(ws: Path, number: signal.Signals | None, code: int) -> None:
    connection = open_database(ws / ".mobius" / "mobius.db")
    add_event(connection, "info", "test", "hello", "it began")
    process = start("logs", "-f", "--workspace", ws, *(["--timeout", "1.5"] if number is None else []))
    assert process.stdout is not None
    assert b"it began" in process.stdout.readline()
    if number is not None:
        process.send_signal(number)
    answer = finish(process)
    assert answer.code == code
    assert answer.err.count("\n") == 1 and "Traceback" not in answer.err


def test_an_ignored_hang_up_stays_ignored(ws: Path) -> None:
    connection = open_database(ws / ".mobius" / "mobius.db")
    add_event(connection, "info", "test", "hello", "it began")
    command = [
        "sh",
        "-c",
        'trap "" HUP; exec "$0" "$@"',
        sys.executable,
        "-m",
        "mobius_tui",
        "logs",
        "-f",
        "--workspace",
        ws,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": SOURCE})
    assert process.stdout is not None
    assert b"it began" in process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    add_event(connection, "info", "test", "hello", "it lives")
    assert b"it lives" in process.stdout.readline()
    process.terminate()
    assert process.wait(timeout=20) == 143
    process.stdout.close()


def test_following_shows_what_comes_once_each(ws: Path) -> None:
    connection = open_database(ws / ".mobius" / "mobius.db")
    add_event(connection, "warning", "test", "loud", "before")
    process = start("logs", "-f", "--json", "--level", "warning", "--workspace", ws)
    assert process.stdout is not None
    heard = [json.loads(process.stdout.readline())]
    for number in range(3):
        add_event(connection, "info", "test", "quiet", "not this")
        add_event(connection, "warning", "test", "loud", f"{number} \x1b[31m", fields={"path": "\x1b"})
        heard.append(json.loads(process.stdout.readline()))
    assert [record["message"] for record in heard] == ["before", "0 \x1b[31m", "1 \x1b[31m", "2 \x1b[31m"]
    assert heard[1]["fields"] == {"path": "\x1b"}
    process.terminate()
    assert finish(process).out == ""
    assert process.returncode == 143


def test_following_goes_on_with_a_database_made_anew(ws: Path) -> None:
    database = ws / ".mobius" / "mobius.db"
    connection = open_database(database)
    add_event(connection, "info", "test", "hello", "before")
    process = start("logs", "-f", "--workspace", ws)
    assert process.stdout is not None
    assert b"before" in process.stdout.readline()
    connection.close()
    for path in database.parent.glob("mobius.db*"):
        path.unlink()
    connection = open_database(database)
    add_event(connection, "info", "test", "hello", "after")
    assert b"after" in process.stdout.readline()
    process.terminate()
    finish(process)


def test_following_waits_for_a_database_to_come(ws: Path) -> None:
    process = start("logs", "-f", "--workspace", ws)
    connection = open_database(ws / ".mobius" / "mobius.db")
    add_event(connection, "info", "test", "hello", "it began")
    assert process.stdout is not None
    assert b"it began" in process.stdout.readline()
    process.terminate()
    finish(process)
