"""Each verb does what it says, on a small workspace."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from running_verbs import Mobius, draw, tree

from mobius_tui.logs import JsonLog
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import add_job, find_job, finish_job, list_jobs, update_job
from mobius_tui.system.locks import catalogue_lock
from mobius_tui.system.processes import process_token


def catalogue_of(ws: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ws / "library" / "library.json").read_text())
    return found


def test_init_says_what_it_made_and_what_next(mobius: Mobius, tmp_path: Path) -> None:
    answer = mobius("init", "new")
    assert answer.code == 0
    made = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert made == [".mobius", "backups", "library", "logs", "review", "themes"]
    for name in made:
        assert f"made  {name}/" in answer.out
    assert "mobius migrate" in answer.err
    assert mobius("init", "--workspace", "new", "--json").json == {"workspace": str(tmp_path / "new"), "created": []}
    assert mobius("init", "a", "--workspace", "b").code == 1


def test_migrate_ends_with_the_summary_in_the_contracts_order(mobius: Mobius, ws: Path) -> None:
    answer = mobius("migrate", "--workspace", ws)
    assert answer.code == 0
    labels = [line[:18].strip() for line in answer.out.splitlines()]
    assert labels[:11] == [
        "mode", "total", "processed", "errors", "missing", "duplicates", "exact duplicates", "low confidence",
        "waiting pairs", "rate", "elapsed",
    ]  # fmt: skip
    shown = dict(
        line.split(None, 1) for line in answer.out.splitlines() if line.split()[0] in {"mode", "total", "errors"}
    )
    assert shown == {"mode": "LIVE", "total": "5", "errors": "1"}
    assert len(catalogue_of(ws)["images"]) == 5


def test_migrate_json_is_the_same_and_a_second_run_decodes_nothing(mobius: Mobius, ws: Path) -> None:
    first = mobius("migrate", "--workspace", ws, "--json")
    assert first.code == 0 and first.err == ""
    expected = {"mode": "LIVE", "total": 5, "processed": 4, "errors": 1, "missing": 0, "duplicates": 1,
                "exact_duplicates": 1, "low_confidence": 1, "decoded": 5}  # fmt: skip
    assert {name: first.json[name] for name in expected} == expected
    assert {"waiting_pairs", "rate", "elapsed_s", "backup", "before", "after", "run"} <= first.json.keys()
    assert mobius("migrate", "--workspace", ws, "--json").json["decoded"] == 0


def test_migrate_dry_run_writes_only_a_report_where_it_is_told(mobius: Mobius, ws: Path, tmp_path: Path) -> None:
    before = tree(ws / "library")
    answer = mobius("migrate", "--dry-run", "--out", "report.json", "--workspace", ws, "--json")
    assert (answer.code, answer.json["mode"]) == (0, "DRY RUN")
    assert json.loads((tmp_path / "report.json").read_text())["mode"] == "DRY RUN"
    assert tree(ws / "library") == before
    default = mobius("migrate", "--dry-run", "--workspace", ws, "--json").json["output"]
    assert Path(default).parent == ws / "logs" and Path(default).name.startswith("dry-run-")


def test_migrate_paths_are_meant_from_the_current_folder(
    mobius: Mobius, ws: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    told = mobius("migrate", "-o", "staged.json", "--temp-dir", ".", "--workspace", ws, "--json").json
    assert told["output"] == str(tmp_path / "elsewhere" / "staged.json")
    assert (tmp_path / "elsewhere" / "staged.json").is_file()
    with contextlib.closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        assert list_jobs(connection)[0].options["temp_dir"] == str(tmp_path / "elsewhere")
    assert not (ws / "library" / "library.json").exists()


def test_migrate_options_reach_the_job(mobius: Mobius, ws: Path, tmp_path: Path) -> None:
    mobius(
        "migrate", "--workspace", ws, "--dry-run", "--no-backup", "--threshold", "3", "--batch-size", "2", "--parallel",
        "1", "--temp-dir", tmp_path, "--fresh", "--fast", "--limit", "4", "--sample", "--no-add", "--reason", "try it",
    )  # fmt: skip
    with contextlib.closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        job = list_jobs(connection)[0]
    expected = {"dry_run": True, "backup": False, "threshold": 3, "batch_size": 2, "parallel": 1, "fresh": True,
                "temp_dir": str(tmp_path), "profile": "fast", "limit": 4, "sample": True, "add": False}  # fmt: skip
    assert {name: job.options[name] for name in expected} == expected
    assert job.reason == "try it"


@pytest.mark.parametrize(
    "options",
    [["--threshold", "65"], ["--batch-size", "0"], ["--parallel", "-1"], ["--limit", "0"], ["--sample"],
     ["-i", "there-is-none.json"], ["-i", ""], ["--temp-dir", "there-is-none"]],
)  # fmt: skip
def test_migrate_bad_options_are_exit_1_and_write_no_catalogue(mobius: Mobius, ws: Path, options: list[str]) -> None:
    answer = mobius("migrate", *options, "--workspace", ws)
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.count("\n") == 1
    assert not (ws / "library" / "library.json").exists()


def test_migrate_refuses_a_library_that_another_process_holds(mobius: Mobius, ws: Path) -> None:
    with catalogue_lock(ws / "library" / "library.json", "berta", "a deploy"):
        answer = mobius("migrate", "--workspace", ws)
    assert answer.code == 3
    assert "berta holds the library since 20" in answer.err and "a deploy" in answer.err


def test_migrate_too_many_failures_is_exit_2_and_publishes_nothing(mobius: Mobius, ws: Path) -> None:
    for number in range(6):
        (ws / "library" / f"bad{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    answer = mobius("migrate", "--workspace", ws, "--json")
    assert answer.code == 2
    assert (answer.json["state"], answer.json["exit_code"]) == ("failed", 2)
    assert "nothing was published" in answer.err
    assert not (ws / "library" / "library.json").exists()


def until_stopped(signal_number: int | None, stop_after: threading.Event) -> Callable[..., object]:
    """A migration that never ends by itself."""

    def endless(_ws: object, _connection: object, _options: object, progress: Any) -> object:
        if signal_number is not None:
            os.kill(os.getpid(), signal_number)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            progress.checkpoint()
            stop_after.wait(0.01)
        raise AssertionError("nobody stopped it")

    return endless


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (None, 4)]
)
def test_migrate_stops_in_order_and_says_that_it_goes_on(
    mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals | None, code: int
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("mobius_tui.operations.run.migrate", until_stopped(number, threading.Event()))
    answer = mobius("migrate", "--workspace", ws, "--json", *(["--timeout", "0.3"] if number is None else []))
    assert answer.code == code
    assert "start it again: it goes on from there" in answer.err
    assert (answer.json["state"], answer.json["exit_code"]) == ("cancelled", code)
    assert mobius("jobs", "--workspace", ws, "--json").json == []
    row = mobius("jobs", "--all", "--workspace", ws, "--json").json[0]
    assert (row["state"], row["exit_code"]) == ("cancelled", code)


def test_migrate_that_does_not_stop_is_left_after_the_grace_and_its_row_is_settled_later(
    mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deaf(*_: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(60)
        raise AssertionError("nothing ended it")

    with monkeypatch.context() as patched:
        patched.setattr("mobius_tui.operations.run.migrate", deaf)
        patched.setattr("mobius_tui.cli.interrupts.GRACE_S", 0.2)
        assert mobius("migrate", "--workspace", ws).code == 143
    assert not (ws / "library" / "library.json").exists()
    assert mobius("migrate", "--workspace", ws).code == 0


def test_jobs_pause_resume_cancel(mobius: Mobius, ws: Path) -> None:
    assert mobius("jobs", "--workspace", ws).code == 0
    assert mobius("pause", 1, "--workspace", ws).code == 1
    assert not (ws / ".mobius" / "mobius.db").exists()
    with contextlib.closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        job = add_job(connection, "migrate", {}, "berta \x1b[31m")
        assert mobius("pause", job.id, "--workspace", ws, "--as", "anna").code == 0
        assert (find_job(connection, job.id).wanted, find_job(connection, job.id).wanted_by) == ("pause", "anna")
        said = mobius("resume", job.id, "--workspace", ws)
        assert "mobius worker start" in said.out
        assert find_job(connection, job.id).wanted == "run"
        assert mobius("jobs", "--workspace", ws, "--json").json[0]["requested_by"] == "berta \x1b[31m"
        assert "\x1b" not in mobius("jobs", "--workspace", ws).out
        assert "cancelled" in mobius("cancel", job.id, "--workspace", ws).out
        again = mobius("cancel", job.id, "--workspace", ws)
    assert again.code == 1 and "is over" in again.err


def test_backup_create_and_verify(mobius: Mobius, ws: Path) -> None:
    assert mobius("backup", "create", "--workspace", ws).code == 1
    assert mobius("backup", "verify", "--workspace", ws).code == 1
    mobius("migrate", "--workspace", ws)
    made = mobius("backup", "create", "--reason", "before lunch", "--workspace", ws, "--json")
    assert made.code == 0
    name = made.json["name"]
    assert (made.json["state"], made.json["reason"]) == ("verified", "before lunch")
    for arguments in ([], [name], ["--all"]):
        answer = mobius("backup", "verify", *arguments, "--workspace", ws)
        assert answer.code == 0 and "sha256sum -c" in answer.out
    assert mobius("backup", "verify", "library.json.bak.19990101T000000Z", "--workspace", ws).code == 1
    assert mobius("backup", "verify", "../library/library.json", "--workspace", ws).code == 1
    assert mobius("backup", "verify", name, "--all", "--workspace", ws).code == 1
    (ws / "backups" / name).write_bytes(b"{}")
    answer = mobius("backup", "verify", name, "--workspace", ws, "--json")
    assert answer.code == 2 and answer.json[0]["state"] == "corrupt"
    (ws / "backups" / name).unlink()
    answer = mobius("backup", "verify", name, "--workspace", ws)
    assert answer.code == 2 and "missing" in answer.out


def test_jobs_shows_who_asked_however_long_the_state_is(mobius: Mobius, ws: Path) -> None:
    with contextlib.closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        job = add_job(connection, "migrate", {}, "berta", owner=process_token())
        update_job(
            connection, job.id, state="running", phase="hashing", total=1_000_000, done=900_000,
            rate=12_345.0, eta_s=90_000.0,
        )  # fmt: skip
        failed = add_job(connection, "dry-run", {}, "x" * 80, owner="gone")
        finish_job(connection, failed.id, "failed", 2, "too many images failed " * 9, {})
    lines = mobius("jobs", "--all", "--workspace", ws).out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "  berta" in lines[2] and "900,000/1,000,000" in lines[2]
    assert "  xxxxxxxxxxx~  failed, exit 2" in lines[1]


def test_logs_without_a_database_are_the_ends_of_the_files(mobius: Mobius, ws: Path) -> None:
    for name in ("a", "b"):
        log = JsonLog(ws / "logs" / f"{name}.log")
        for number in range(5):
            log.write("info", "test", "e", f"{name}{number}")
    (ws / "logs" / "b.log").open("ab").write(b"[" * 100_000 + b"\n\xff\n")
    assert [record["message"] for record in mobius("logs", "-n", "6", "--workspace", ws, "--json").json][-1] == "b4"
    assert len(mobius("logs", "-n", "6", "--workspace", ws, "--json").json) == 6
    assert mobius("logs", "-n", "0", "--workspace", ws, "--json").json == []


def test_history_has_who_when_why_and_hashes(mobius: Mobius, ws: Path) -> None:
    mobius("migrate", "--workspace", ws, "--as", "anna", "--reason", "first")
    acts = mobius("history", "--workspace", ws, "--json").json
    assert [(act["act"], act["who"], act["reason"], act["before"]) for act in acts] == [
        ("migrate", "anna", "first", None)
    ]
    shown = mobius("history", "--workspace", ws).out
    assert "migrate  by anna" in shown and acts[0]["after"][:12] in shown and "first" in shown
    assert mobius("history", "-n", "0", "--workspace", ws).code == 1


def test_history_tells_what_was_written_elsewhere(mobius: Mobius, ws: Path) -> None:
    mobius("migrate", "--workspace", ws)
    assert "wrote" not in mobius("history", "--workspace", ws).out
    mobius("migrate", "-o", ws / "staged.json", "--workspace", ws)
    assert "staged.json" in mobius("history", "--workspace", ws).out
    (ws / "library.json").write_text("{}")
    assert mobius("history", "--workspace", ws).code == 0, "two catalogues are no reason to say nothing"


def test_history_has_every_act(mobius: Mobius, tmp_path: Path) -> None:
    ws = tmp_path / "new"
    mobius("init", ws)
    mobius("init", ws)  # makes nothing
    draw(ws / "library" / "a.png", 3)
    mobius("migrate", "--workspace", ws)
    mobius("backup", "create", "--workspace", ws, "--reason", "the fair")
    with contextlib.closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        job = add_job(connection, "migrate", {}, "berta")
    for verb in ("pause", "resume", "cancel"):
        assert mobius(verb, job.id, "--workspace", ws, "--as", "ann", "--reason", f"{verb} it").code == 0
    mobius("worker", "start", "--workspace", ws, "--reason", "morning")
    mobius("worker", "start", "--workspace", ws)  # runs already
    mobius("worker", "stop", "--workspace", ws, "--reason", "evening")
    mobius("worker", "stop", "--workspace", ws)
    acts = mobius("history", "--workspace", ws, "--json").json
    assert [(act["act"], act["reason"]) for act in acts] == [
        ("init", ""), ("migrate", ""), ("backup", "the fair"), ("pause", "pause it"), ("resume", "resume it"),
        ("cancel", "cancel it"), ("worker start", "morning"), ("worker stop", "evening"),
    ]  # fmt: skip
    assert {(act["who"], act["run"]) for act in acts[3:6]} == {("ann", job.run_id)}
    assert "  -" not in mobius("history", "--workspace", ws).out.splitlines()[0]


def test_status_tells_who_made_what_is_live(mobius: Mobius, ws: Path) -> None:
    mobius("migrate", "--workspace", ws, "--as", "anna")
    found = mobius("status", "--workspace", ws, "--json").json
    assert (found["catalogue"]["by"], found["catalogue"]["act"]) == ("anna", "migrate")
    assert found["catalogue"]["by_status"] == {"failed": 1, "low_confidence": 1, "ok": 3}
    shown = mobius("status", "--workspace", ws).out
    assert "by anna" in shown
    assert len(shown.splitlines()) <= 24 and max(map(len, shown.splitlines())) <= 80


def test_status_needs_neither_settings_nor_database(mobius: Mobius, ws: Path) -> None:
    mobius("migrate", "--workspace", ws)
    (ws / "mobius.toml").write_text("= broken")
    for junk in ("mobius.db", "mobius.db-wal", "mobius.db-shm"):
        (ws / ".mobius" / junk).write_bytes(b"junk" * 2000)
    (ws / "library" / "library.json").write_text('{"images": 3}')
    answer = mobius("status", "--workspace", ws)
    assert answer.code == 0
    assert "mobius.toml" in answer.out and "database" in answer.out and "invalid" in answer.out
    assert "mobius check" in answer.out and "running       unknown" in answer.out
    assert len(answer.out.splitlines()) <= 24 and max(map(len, answer.out.splitlines())) <= 80


def test_check_counts_and_writes_nothing(mobius: Mobius, ws: Path) -> None:
    mobius("migrate", "--workspace", ws)
    (ws / "library" / "cards" / "king.png").unlink()
    draw(ws / "library" / "new.png", 5)
    before = tree(ws)
    answer = mobius("check", "--workspace", ws)
    assert answer.code == 0
    assert "missing  cards/king.png" in answer.out and "unnamed  new.png" in answer.out
    found = mobius("check", "--workspace", ws, "--json").json
    assert found["valid"] and found["missing"] == ["cards/king.png"] and found["unnamed"] == ["new.png"]
    assert (found["duplicates"], found["exact_duplicates"], found["images"], found["hashed"]) == (1, 1, 5, 4)
    assert tree(ws) == before


def test_check_of_another_file_needs_no_workspace_and_makes_none(mobius: Mobius, tmp_path: Path) -> None:
    draw(tmp_path / "lib" / "a.png", 1)
    (tmp_path / "lib" / "some.json").write_text('{"images": [{"path": "a.png"}, {"path": "b.png"}]}')
    before = tree(tmp_path)
    answer = mobius("check", "-i", "lib/some.json", "--json")
    assert (answer.code, answer.json["missing"], answer.json["by_status"]) == (0, ["b.png"], {"not hashed": 2})
    assert tree(tmp_path) == before


@pytest.mark.parametrize("text", ["[]", "{}", '{"images": [{"path": "a"}, {"path": "./a"}]}', '{"images": [NaN]}', "{"])
def test_check_of_an_invalid_catalogue_is_exit_1_with_the_place(mobius: Mobius, ws: Path, text: str) -> None:
    (ws / "library" / "library.json").write_text(text)
    os.utime(ws / "library" / "library.json", (1_000_000_000, 1_000_000_000))  # nobody is writing it
    answer = mobius("check", "--workspace", ws)
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert "library.json" in answer.err
    told = mobius("check", "--workspace", ws, "--json")
    assert told.code == 1 and told.json["valid"] is False and "library.json" in told.json["place"]


def test_hash_of_one_two_and_none(mobius: Mobius, ws: Path, tmp_path: Path) -> None:
    ace, copy, king = (ws / "library" / "cards" / name for name in ("ace.png", "copy.png", "king.png"))
    alone = mobius("hash", ace)
    assert alone.code == 0 and "dHash" in alone.out and "distance" not in alone.out
    found = mobius("hash", ace, copy, "--json").json
    assert found["pair"]["status"] == "exact" and found["pair"]["confidence"] == 1
    found = mobius("hash", ace, king, "--json").json
    ones = [int(one["dhash"], 16) for one in found["files"]]
    assert found["pair"]["distance"] == (ones[0] ^ ones[1]).bit_count()
    assert found["pair"]["evidence"]
    assert mobius("hash", ace, ace).code == 0
    assert mobius("hash", ace, ace, ace).code == 1
    assert mobius("hash", "missing.png").code == 1
    answer = mobius("hash", ws / "library" / "broken.png", ace)
    assert answer.code == 2 and "ace.png" in answer.out and "broken.png" in answer.err
    answer = mobius("hash", ws / "library" / "flat.png", ace)
    assert answer.code == 0 and "low confidence" in answer.out
    assert not (tmp_path / ".mobius").exists() and not (tmp_path / "logs").exists()


def test_config_tells_values_and_sources(mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBRARY_DIR", "pictures")
    (ws / "mobius.toml").write_text("threshold = 4\n[env.staging]\nlog_level = 'error'\n")
    found = mobius("config", "--env", "staging", "--workspace", ws, "--json").json["settings"]
    assert (found["library"]["value"], found["library"]["source"]) == ("pictures", "LIBRARY_DIR")
    assert (found["threshold"]["value"], found["threshold"]["source"]) == (4, "mobius.toml")
    assert found["log_level"]["source"] == "mobius.toml [env.staging]"
    assert found["environment"] == {"value": "staging", "source": "flag", "means": found["environment"]["means"]}
    (ws / "mobius.toml").write_text("treshold = 4\n")
    answer = mobius("config", "--workspace", ws)
    assert answer.code == 1 and "threshold" in answer.out and "did you mean threshold?" in answer.err


def test_logs_by_level_and_run_and_without_a_database(mobius: Mobius, ws: Path) -> None:
    run = mobius("migrate", "--workspace", ws, "--json").json["run"]
    every = mobius("logs", "--workspace", ws, "--json", "-n", "1000").json
    assert {record["run"] for record in every} == {run}
    assert {record["level"] for record in mobius("logs", "--level", "warning", "--workspace", ws, "--json").json} == {
        "warning"
    }
    assert "broken.png" in mobius("logs", "--run", run, "--workspace", ws).out
    assert len(mobius("logs", "-n", "2", "--workspace", ws).out.splitlines()) == 2
    for name in ("mobius.db", "mobius.db-wal", "mobius.db-shm"):
        (ws / ".mobius" / name).unlink(missing_ok=True)
    assert mobius("logs", "--workspace", ws, "--json", "-n", "1000").json == every
    (ws / "secret.log").write_text(json.dumps(every[0]))
    assert mobius("logs", "--run", "../secret", "--workspace", ws).code == 1
    assert mobius("logs", "--run", "migration-19990101T000000Z", "--workspace", ws).code == 1


def test_worker_verbs(mobius: Mobius, ws: Path) -> None:
    assert mobius("worker", "status", "--workspace", ws).out.startswith("worker  not running")
    assert mobius("worker", "stop", "--workspace", ws).code == 0
    try:
        started = mobius("worker", "start", "--workspace", ws, "--json")
        assert started.code == 0 and started.json["running"] and started.json["said"] == "started"
        assert mobius("worker", "start", "--workspace", ws, "--json").json["said"] == "runs already"
        taken = mobius("worker", "run", "--workspace", ws)
        assert taken.code == 3 and str(started.json["pid"]) in taken.err
        again = mobius("worker", "restart", "--workspace", ws, "--json").json
        assert again["running"] and again["pid"] != started.json["pid"]
        assert f"PID {again['pid']}" in mobius("worker", "status", "--workspace", ws).out
    finally:
        assert mobius("worker", "stop", "--workspace", ws).code == 0
    assert mobius("worker", "status", "--workspace", ws, "--json").json["running"] is False


def test_doctor_is_usable_or_says_what_prevents_work(mobius: Mobius, ws: Path) -> None:
    answer = mobius("doctor", "--workspace", ws)
    assert answer.code == 0
    assert max(map(len, answer.out.splitlines())) <= 80
    (ws / "library" / "library.json").write_text("{}")
    (ws / "mobius.toml").write_text("treshold = 1")
    answer = mobius("doctor", "--workspace", ws, "--json")
    assert answer.code == 3 and answer.json["usable"] is False
    problems = {found["topic"]: found["fix"] for found in answer.json["findings"] if found["state"] == "problem"}
    assert problems.keys() == {"settings", "catalogue"} and all(problems.values())
    assert mobius("doctor", "--workspace", "there-is-none").code == 0
    assert mobius("doctor", "--bundle", "--workspace", "there-is-none").code == 1


def test_demo_as_text_then_again(mobius: Mobius, tmp_path: Path) -> None:
    answer = mobius("demo", "d", "--json")
    assert answer.code == 0
    summary, drawn = answer.json["summary"], answer.json["drawn"]
    assert summary["total"] == drawn["files"] and summary["exact_duplicates"] == drawn["exact"]
    assert summary["errors"] == drawn["broken"] and answer.json["waiting"]
    shown = mobius("demo", "d")
    assert shown.code == 0
    for words in ("mode ", "exact duplicates", "waiting pairs", "truncated", "mobius status --workspace d"):
        assert words in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    assert mobius("demo", "full").code == 1
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["mine.txt"]


def test_demo_on_a_terminal_starts_the_worker_asks_for_one_migration_and_opens_the_console(
    mobius: Mobius, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("mobius_tui.cli.verbs.demo.has_terminal", lambda: True)
    monkeypatch.setattr("mobius_tui.cli.verbs.demo.create_demo_workspace", lambda root, _: root.mkdir(exist_ok=True))
    monkeypatch.setattr("mobius_tui.launch.worker.ensure_worker", lambda ws, *_: done.append(f"worker {ws.root.name}"))
    monkeypatch.setattr("mobius_tui.__main__._run_console", lambda ws: done.append(f"console {ws.root.name}") or 7)
    assert mobius("demo").code == 7
    assert mobius("demo").code == 7
    assert done == ["worker mobius-demo", "console mobius-demo"] * 2
    with contextlib.closing(open_database(tmp_path / "mobius-demo" / ".mobius" / "mobius.db")) as connection:
        assert [(job.kind, job.state, job.owner) for job in list_jobs(connection)] == [("migrate", "queued", "")]


def test_demo_wants_one_folder(mobius: Mobius, tmp_path: Path) -> None:
    assert mobius("demo", "a", "--workspace", "b").code == 1
    (tmp_path / "file").write_text("")
    assert mobius("demo", "file").code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_consoles_options_reach_it(mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    monkeypatch.setattr("mobius_tui.cli.verbs.console.has_terminal", lambda: True)
    monkeypatch.setattr("mobius_tui.__main__._run_console", lambda ws, **options: given.append(options) or 0)
    assert mobius("--workspace", ws).code == 0
    options = ("--read-only", "--low-bandwidth", "--ascii", "--theme", "night", "--keymap", "keys.toml")
    assert mobius("--workspace", ws, *options).code == 0
    keys = Path.cwd() / "keys.toml"
    assert given == [
        {"read_only": False, "low_bandwidth": False, "ascii_only": False, "theme": None, "keymap": None},
        {"read_only": True, "low_bandwidth": True, "ascii_only": True, "theme": "night", "keymap": keys},
    ]


def test_worker_run_ends_with_its_time_limit(mobius: Mobius, ws: Path) -> None:
    answer = mobius("worker", "run", "--workspace", ws, "--timeout", "0.5")
    assert answer.code == 4 and "time limit" in answer.err
    assert mobius("worker", "status", "--workspace", ws, "--json").json["running"] is False
