"""`mobius report`: one archive of a run, whatever is left of it."""

from __future__ import annotations

import contextlib
import json
import platform
import stat
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
from running_verbs import Mobius

from mobius_tui.logs import JsonLog
from mobius_tui.operations.run_steps import steps_of_journal, steps_of_summary
from mobius_tui.operations.run_timeline import RunFacts, timeline, timeline_page
from mobius_tui.recovery.history import note_act
from mobius_tui.recovery.journal import Journal
from mobius_tui.store.database import open_database
from mobius_tui.store.events import Event

SECRET = "s3cr3t-of-the-house"


_SAMPLE = (
    "INSERT INTO samples(at, average_ms, p95_ms, failure_rate, rate_per_hour, queue, images, hashed)"
    " VALUES(?, 1.5, 2, 0, 10, 3, 4, 5)"
)


def parts(path: Path) -> dict[str, str]:
    """The files of an archive, by their names without the first folder."""
    with tarfile.open(path) as archive:
        found = {}
        for member in archive.getmembers():
            assert member.mode == 0o600 and member.isfile()
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read().decode()
    return found


@pytest.fixture
def migrated(mobius: Mobius, ws: Path) -> str:
    """A workspace with two migrations, the second after a backup; the second's run id."""
    assert mobius("migrate", "--workspace", ws).code == 0
    answer = mobius("migrate", "--workspace", ws, "--fresh", "--as", "anna", "--reason", "the | fair", "--json")
    return str(answer.json["run"])


def deployed(ws: Path, run: str = "deploy-20261120T120000Z") -> str:
    """A deploy as its journal, run log and history leave it, killed in its last step."""
    state = ws / ".mobius"
    journal = Journal.create(state / "deploy", run, kind="deploy", who="anna", reason="new scans", before="a" * 64)
    journal.note("step", step="backup", state="running", limit_s=60)
    journal.note("step", step="backup", state="done", backup="library.json.bak.20261120T120001Z")
    journal.note("step", step="smoke", state="running", limit_s=30.5)
    journal.note("step", step="smoke", state="failed", reason="health: unhealthy <script>")
    journal.close()
    note_act(state, "deploy", "anna", run_id=run, before="a" * 64, after="b" * 64)
    JsonLog(ws / "logs" / f"{run}.log").write("info", "deploy", "start", "deploy [started](x)", run)
    (ws / "backups" / "library.json.bak.20261120T120001Z.meta.json").write_text('{"reason": "deploy"}')
    return run


def test_a_run_is_one_archive(mobius: Mobius, ws: Path, migrated: str) -> None:
    JsonLog(ws / "logs" / "service.log").write("info", "worker", "x", "while it ran")
    answer = mobius("report", migrated, "--workspace", ws, "--json")
    assert answer.code == 0, answer.err
    path = Path(answer.json["path"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = parts(path)
    assert sorted(found) == sorted(answer.json["parts"])
    told = json.loads(found["timeline.json"])
    assert (told["kind"], told["who"], told["reason"], told["outcome"], told["exit_code"]) == (
        "migrate", "anna", "the | fair", "done", 0,
    )  # fmt: skip
    times = [entry["time"] for entry in told["timeline"]]
    assert times == sorted(times)
    assert {entry["source"] for entry in told["timeline"]} == {"event", "history", "job"}
    assert "while it ran" in found["service.log"]
    assert json.loads(found["job.json"])["run_id"] == migrated
    assert migrated in found["run.log"]
    assert [name for name in found if name.startswith("backups/library.json.bak.")], "the backup it made is concerned"
    assert "the \\| fair" in found["timeline.md"]
    number = json.loads(found["job.json"])["id"]
    assert mobius("report", number, "--workspace", ws, "--json").json["run"] == migrated


def test_without_worker_and_database_it_says_what_is_missing(mobius: Mobius, ws: Path) -> None:
    run = deployed(ws)
    answer = mobius("report", run, "--workspace", ws, "-o", ws / "out.tgz")
    assert answer.code == 0, answer.err
    assert "there is no database" in answer.err
    found = parts(ws / "out.tgz")
    told = json.loads(found["timeline.json"])
    assert [(step["name"], step["state"]) for step in told["steps"]] == [("backup", "done"), ("smoke", "failed")]
    assert told["steps"][1]["limit_s"] == 30.5
    assert (told["who"], told["reason"], told["before"], told["after"]) == ("anna", "new scans", "a" * 64, "b" * 64)
    assert found["backups/library.json.bak.20261120T120001Z.meta.json"] == '{"reason": "deploy"}\n'
    assert "health: unhealthy \\<script>" in found["timeline.md"]
    assert "deploy \\[started\\](x)" in found["timeline.md"]
    assert '"step"' in found["journal.txt"] and "\0" not in found["journal.txt"]
    assert "there is no service log" in found["timeline.md"]


def test_a_damaged_database_and_journal_are_told(mobius: Mobius, ws: Path) -> None:
    run = deployed(ws)
    (ws / ".mobius" / "mobius.db").write_bytes(b"no database at all" * 100)
    path = ws / ".mobius" / "deploy" / f"{run}.journal"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"anna"', b'"otto"'))
    answer = mobius("report", run, "--workspace", ws)
    assert answer.code == 0, answer.err
    assert "the journal is corrupt" in answer.err
    assert "the database cannot be read" in answer.err


def test_secrets_are_not_in_it(mobius: Mobius, ws: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = deployed(ws)
    monkeypatch.setenv("INTERNAL_API_KEY", SECRET)
    with (ws / "logs" / f"{run}.log").open("a") as file:
        file.write(
            json.dumps({"time": "2026-11-20T12:00:03Z", "message": f"password: {SECRET} anna@example.org"}) + "\n"
        )
    note_act(ws / ".mobius", "deploy", "anna", run_id=run, details={"api_key": SECRET})
    mobius("report", run, "--workspace", ws, "-o", ws / "out.tgz")
    whole = "".join(parts(ws / "out.tgz").values())
    assert SECRET not in whole and "anna@example.org" not in whole
    assert "[hidden]" in whole


def test_an_unknown_run_names_the_nearest_and_the_latest(mobius: Mobius, ws: Path) -> None:
    for hour in range(7):
        deployed(ws, f"deploy-20261120T1{hour}0000Z")
    answer = mobius("report", "deploi-20261120T130000Z", "--workspace", ws)
    assert answer.code == 1
    assert "did you mean deploy-20261120T130000Z" in " ".join(answer.err.split())
    for hour in (6, 5, 4, 3, 2):
        assert f"deploy-20261120T1{hour}0000Z" in answer.err
    assert "deploy-20261120T110000Z" not in answer.err
    for name in ("../../etc/passwd", "", "\x1b[2J"):
        answer = mobius("report", name, "--workspace", ws)
        assert answer.code == 1 and "\x1b" not in answer.err
    assert not list((ws / "logs").glob("report-*"))


def test_nothing_is_overwritten(mobius: Mobius, ws: Path) -> None:
    run = deployed(ws)
    (ws / "library" / "library.json").write_text("mine")
    assert mobius("report", run, "--workspace", ws, "-o", ws / "library" / "library.json").code == 1
    assert (ws / "library" / "library.json").read_text() == "mine"
    assert mobius("report", run, "--workspace", ws, "-o", ws / "logs").code == 0
    assert mobius("report", run, "--workspace", ws).code == 0, "its own earlier report is replaced"
    assert mobius("report", run, "--workspace", ws, "-o", ws / "no" / "folder.tgz").code == 3


def test_service_log_and_samples_are_those_of_its_time(mobius: Mobius, ws: Path) -> None:
    run = "deploy-20200101T000000Z"
    log = ws / "logs" / f"{run}.log"
    log.write_text(json.dumps({"time": "2020-01-01T00:00:00Z", "level": "info", "message": "began"}) + "\n")
    lines = [json.dumps({"time": f"2020-01-01T00:{minute:02d}:00Z", "message": f"at {minute}"}) for minute in range(9)]
    (ws / "logs" / "service.log").write_text("\n".join(lines) + "\nno JSON\n")
    with contextlib.closing(open_database(ws / ".mobius" / "mobius.db")) as connection:
        for at in (1577836800, 1577836860, 1577840400):
            connection.execute(_SAMPLE, (at,))
    mobius("report", run, "--workspace", ws, "-o", ws / "out.tgz")
    found = parts(ws / "out.tgz")
    assert found["service.log"].count("at ") == 3, found["service.log"]
    assert [sample["at"] for sample in json.loads(found["samples.json"])] == [
        "2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z",
    ]  # fmt: skip


def test_steps_of_damaged_rows_and_records_are_passed_over() -> None:
    assert steps_of_summary({"steps": [1, {"name": ""}, {"name": "x", "began": "no", "limit_s": float("inf")}]}) == (
        steps_of_summary({"steps": [{"name": "x"}]})
    )
    assert steps_of_summary({"steps": "abc"}) == ()
    records = [{"what": "step"}, {"what": "step", "step": "a", "state": "running", "time": "x"}, {"what": "end"}]
    (step,) = steps_of_journal(records)
    assert (step.name, step.state, step.began) == ("a", "running", None)


def test_within_a_second_a_run_begins_before_it_ends() -> None:
    at = "2026-11-20T12:00:00Z"
    job = {"id": 1, "kind": "deploy", "requested_by": "anna", "requested_at": at, "started_at": at, "finished_at": at}
    facts = RunFacts(
        "deploy-1",
        job={**job, "state": "done", "exit_code": 0},
        events=(Event(1, 1_795_176_000.5, "info", "deploy", "deploy-1", "start", "deploy started", {}),),
        records=({"what": "begin", "time": at}, {"what": "end", "time": at}),
    )
    told = [str(entry["what"]) for entry in timeline(facts)]
    assert told[0].endswith("asked for by anna") and told[1] == "started" and told[-1] == "done, exit 0", told


A, B, C = "a" * 64, "b" * 64, "c" * 64


def told_of(*records: dict[str, object], acts: tuple[dict[str, object], ...] = (), kind: str = "deploy") -> RunFacts:
    begin = {"what": "begin", "kind": kind, "time": "2026-11-20T12:00:00Z"}
    return RunFacts(f"{kind}-20261120T120000Z", records=(begin, *records), acts=acts)


ROUND = {"what": "round", "round": 1, "before": A}
STAGED = {"what": "staged", "round": 1, "before": A, "after": B}
SWAPPED = {"what": "step", "step": "swap", "state": "done"}


@pytest.mark.parametrize(
    ("facts", "expected", "words"),
    [
        (  # killed in the swap, then recovered
            told_of(
                ROUND,
                STAGED,
                {"what": "step", "step": "swap", "state": "running"},
                {"what": "restore", "run": "x-undo", "before": B, "after": A, "state": "swapped"},
                {"what": "end", "state": "rolled back", "live": A},
                acts=({"act": "deploy rolled back", "before": B, "after": A},),
            ),
            (A, B, True, A),
            f"{B}, taken back",
        ),
        (
            told_of(ROUND, STAGED, SWAPPED, {"what": "end", "state": "done", "live": B}),
            (A, B, False, B),
            B,
        ),
        (  # undone before its swap
            told_of(ROUND, STAGED, {"what": "end", "state": "undone", "live": A}),
            (A, None, False, A),
            "nothing; what was live before was live throughout",
        ),
        (  # refused before it looked
            told_of({"what": "end", "state": "undone", "live": A}),
            (A, None, False, A),
            "nothing; what was live before was live throughout",
        ),
        (  # others wrote: the former round's content was never live
            told_of(ROUND, STAGED, {**ROUND, "round": 2, "before": C}, {"what": "end", "state": "undone", "live": C}),
            (C, None, False, C),
            "nothing; what was live before was live throughout",
        ),
        (told_of(ROUND, STAGED), (A, None, False, None), "nothing yet, as far as its journal says"),
        (told_of(ROUND, STAGED, SWAPPED), (A, B, False, B), B),
        (
            told_of(
                {"what": "restore", "state": "same", "after": A},
                {"what": "end", "state": "done", "exit_code": 0},
                acts=({"act": "rollback", "before": A, "after": A},),
                kind="rollback",
            ),
            (A, None, False, A),
            "nothing; what was live before was live throughout",
        ),
        (
            told_of(
                {"what": "restore", "state": "swapped", "before": A, "after": B},
                {"what": "end", "state": "done", "exit_code": 0},
                acts=({"act": "rollback", "before": A, "after": B}, {"act": "worker stop"}),
                kind="rollback",
            ),
            (A, B, False, B),
            B,
        ),
    ],
)
def test_what_was_live_is_told_by_the_journal(
    facts: RunFacts, expected: tuple[str | None, str | None, bool, str | None], words: str
) -> None:
    found = facts.publication()
    assert (found["before"], found["published"], found["taken_back"], found["after"]) == expected
    page = timeline_page(facts, timeline(facts), [])
    assert f"- before: {expected[0]}\n- published: {words}\n- after: {expected[3] or '-'}\n" in page


def test_without_a_journal_the_history_tells_what_was_live() -> None:
    facts = RunFacts("migration-20261120T120000Z", acts=({"act": "migrate", "before": A, "after": B},))
    page = timeline_page(facts, timeline(facts), [])
    assert f"- before: {A}\n- after: {B}\n" in page and "published" not in page


def test_the_machine_is_described(mobius: Mobius, ws: Path, migrated: str) -> None:
    answer = mobius("report", migrated, "--workspace", ws, "--json")
    found = parts(Path(answer.json["path"]))
    machine = json.loads(found["timeline.json"])["machine"]
    assert machine["Python"] == platform.python_version() and machine["Pillow"] == version("Pillow")
    assert platform.release() in machine["system"]
    for name in ("live catalogue", "library", "state", "backups", "logs"):
        assert " free, " in machine[f"disk of {name}"]
    assert "## Machine" in found["timeline.md"] and "- disk of backups: " in found["timeline.md"]


def test_events_are_not_missed_where_a_run_log_tells(mobius: Mobius, ws: Path) -> None:
    run = deployed(ws)
    open_database(ws / ".mobius" / "mobius.db").close()
    assert "no events" not in str(mobius("report", run, "--workspace", ws, "--json").json["missing"])
    (ws / "logs" / f"{run}.log").unlink()
    assert "no events" in str(mobius("report", run, "--workspace", ws, "--json").json["missing"])
