"""`mobius rollback` and `mobius backup verify` as a person runs them, with everything else broken."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from publishing import Published, sha

from mobius_tui.recovery.backups import create_backup
from mobius_tui.recovery.history import read_history
from mobius_tui.recovery.journal import JOURNALS, open_journals
from mobius_tui.rollback.words import verb_of
from mobius_tui.store.database import open_database
from mobius_tui.store.jobs import list_jobs
from mobius_tui.system.locks import catalogue_lock

HOME = Path(__file__).parents[2]
POISON = ("click", "PIL", "numpy", "textual", "rich", "imagehash", "watchdog", "pyrage", "pillow_heif")


def mobius(library: Published, *arguments: str, poison: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run it without site-packages; with poison every package raises when it is imported."""
    command = [sys.executable, "-S"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MOBIUS_", "PYTHON"))}
    environ.pop("COLUMNS", None)  # nothing is wrapped in a pipe
    if poison is None:
        command.append("-E")
    else:
        for name in POISON:
            (poison / f"{name}.py").write_text("raise RuntimeError('poisoned')")
        environ["PYTHONPATH"] = f"{poison}{os.pathsep}{HOME}"
    return subprocess.run(
        [*command, "-m", "mobius_tui", *arguments, "--workspace", str(library.root), "--as", "anna"],
        cwd=HOME,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def published(library: Published) -> Published:
    """Published once, over a backup."""
    library.publish()
    return library


def test_rolls_back_without_any_package(published: Published, tmp_path: Path) -> None:
    before = published.live.read_bytes()
    target = next(published.backups.glob("*Z")).read_bytes()
    poison = tmp_path / "poison"
    poison.mkdir()
    done = mobius(published, "rollback", "--force", "--json", "--reason", "why", poison=poison)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert published.live.read_bytes() == target
    assert facts["with_dhash"] == [3, 0]
    assert Path(facts["emergency"]).read_bytes() == before
    act = read_history(published.state)[-1]
    assert (act["act"], act["who"], act["reason"], act["before"], act["after"]) == (
        "rollback", "anna", "why", sha(before), sha(target),
    )  # fmt: skip
    assert open_journals(published.state / JOURNALS) == []
    assert list((published.root / "logs").glob("rollback-*.log"))


def test_loads_nothing_but_the_standard_library(published: Published) -> None:
    code = (
        "import sys; from mobius_tui.__main__ import run\n"
        f"code = run(['rollback', '--force', '--workspace', {str(published.root)!r}])\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'mobius_tui'}))\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1].replace("'", '"')))
    assert not {name for name in loaded if not name.startswith(("_", "sitecustomize"))} - {"__main__"}


def test_verifies_backups_without_any_package(published: Published, tmp_path: Path) -> None:
    poison = tmp_path / "poison"
    poison.mkdir()
    good = mobius(published, "backup", "verify", "--all", poison=poison)
    assert good.returncode == 0 and good.stdout.startswith("good"), good.stderr
    backup = next(published.backups.glob("*Z"))
    backup.write_bytes(backup.read_bytes()[:-1])
    bad = mobius(published, "backup", "verify", "--json", poison=poison)
    assert bad.returncode == 2
    assert json.loads(bad.stdout)[0]["state"] == "corrupt"


@pytest.mark.parametrize("broken", ["mobius.toml", "database", "state", "history", "backups folder listing"])
def test_what_is_broken_around_it_does_not_stop_it(published: Published, broken: str) -> None:
    target = next(published.backups.glob("*Z")).read_bytes()
    if broken == "mobius.toml":
        (published.root / "mobius.toml").write_text('environment = "producton"\n[[[')
    elif broken == "database":
        (published.state / "mobius.db").write_bytes(b"no database" * 1000)
    elif broken == "state":  # a file where the folder should be
        for path in published.state.iterdir():
            path.unlink()
        published.state.rmdir()
        published.state.write_text("in the way")
    elif broken == "history":
        (published.state / "history.jsonl").write_bytes(b'{"torn\n\xff')
    else:
        (published.backups / "library.json.bak.20990101T000000Z").mkdir()
    done = mobius(published, "rollback", "--force")
    assert done.returncode == 0, done.stderr
    assert published.live.read_bytes() == target
    assert ("warning" in done.stderr) == (broken in {"mobius.toml", "database", "state"})


def test_a_row_tells_the_consoles(published: Published) -> None:
    open_database(published.state / "mobius.db").close()
    done = mobius(published, "rollback", "--force", "--json")
    connection = open_database(published.state / "mobius.db")
    job = list_jobs(connection)[0]
    connection.close()
    assert (job.kind, job.state, job.requested_by) == ("rollback", "done", "anna")
    assert job.run_id == json.loads(done.stdout)["run"]


def test_a_corrupt_backup_is_passed_over_for_an_older_one(published: Published) -> None:
    first = next(published.backups.glob("*Z"))
    second = published.publish()
    assert second is not None
    second.path.write_bytes(second.path.read_bytes().replace(b"a.png", b"x.png"))
    done = mobius(published, "rollback", "--force")
    assert done.returncode == 0, done.stderr
    assert published.live.read_bytes() == first.read_bytes()
    assert "corrupt" in done.stderr


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "append", "no side file", "missing"])
def test_a_named_backup_that_is_bad_is_refused_with_the_good_ones(published: Published, damage: str) -> None:
    before = published.live.read_bytes()
    second = published.publish()
    published.live.write_bytes(before)
    assert second is not None
    data = second.path.read_bytes()
    if damage == "no side file":
        second.path.with_name(f"{second.name}.sha256").unlink()
    elif damage == "missing":
        second.path.unlink()
    else:
        changed = {"flip": bytes([data[0] ^ 1]) + data[1:], "truncate": data[:-1], "empty": b"", "append": data + b" "}
        second.path.write_bytes(changed[damage])
    done = mobius(published, "rollback", "--force", "--backup", second.name)
    assert done.returncode == 2
    assert next(published.backups.glob("*Z")).name in done.stderr
    assert published.live.read_bytes() == before
    assert not published.emergency.exists()


def test_an_encrypted_backup_is_no_target(published: Published) -> None:
    before = published.live.read_bytes()
    backup = next(published.backups.glob("*Z"))
    backup.replace(backup.with_name(f"{backup.name}.age"))
    for options in ((), ("--backup", f"{backup.name}.age")):
        done = mobius(published, "rollback", "--force", *options)
        assert done.returncode == 2 and "encrypted" in done.stderr
    assert published.live.read_bytes() == before


def test_none_good_leaves_the_live_file(published: Published) -> None:
    before = published.live.read_bytes()
    for backup in published.backups.glob("*Z"):
        backup.write_bytes(b"{}")
    assert mobius(published, "rollback", "--force").returncode == 2
    assert published.live.read_bytes() == before


def test_an_emergency_copy_can_be_named_and_leads_forward_again(published: Published) -> None:
    before = published.live.read_bytes()
    copy = Path(json.loads(mobius(published, "rollback", "--force", "--json").stdout)["emergency"])
    for name in (str(copy), f"emergency/{copy.name}", copy.name):
        published.live.write_bytes(b'{"images": []}')
        done = mobius(published, "rollback", "--force", "--backup", name)
        assert done.returncode == 0, done.stderr
        assert published.live.read_bytes() == before


def test_what_others_wrote_is_listed_and_goes_or_stays(published: Published) -> None:
    edited = published.edit()
    done = mobius(published, "rollback", "--force")
    assert "a.png (title)" in done.stdout and "new1.png" in done.stdout and "gone" in done.stdout
    assert b"edited" not in published.live.read_bytes()
    published.live.write_bytes(edited)
    kept = mobius(published, "rollback", "--force", "--keep-new", "--backup", next(published.backups.glob("*Z")).name)
    assert kept.returncode == 0, kept.stderr
    live = json.loads(published.live.read_bytes())
    assert live["images"][0]["title"] == "edited 1" and live["images"][-1] == {"path": "new1.png"}
    assert b"dhash" not in published.live.read_bytes()


def test_remove_dhash_needs_no_backup_and_leaves_the_rest(published: Published) -> None:
    for path in published.backups.iterdir():
        path.unlink()
    published.write('{"images": [{"path": "a.png", "price": 1.10, "dhash": null}], "dhash_migration": {}, "z": 1.0}')
    assert mobius(published, "rollback", "--force", "--remove-dhash").returncode == 0
    assert published.live.read_bytes() == b'{"images": [{"path": "a.png", "price": 1.10}], "z": 1.0}'


def test_another_catalogue_is_restored_from_the_backups_beside_it(published: Published, tmp_path: Path) -> None:
    other = tmp_path / "other" / "library.json"
    other.parent.mkdir()
    other.write_bytes(b'{"images": []}')
    create_backup(other, other.parent, reason="by hand", who="t")
    other.write_bytes(b'{"images": [{"path": "z"}]}')
    live = published.live.read_bytes()
    done = mobius(published, "rollback", "--force", "-i", str(other))
    assert done.returncode == 0, done.stderr
    assert other.read_bytes() == b'{"images": []}' and published.live.read_bytes() == live


def test_without_a_terminal_it_needs_force(published: Published) -> None:
    before = published.live.read_bytes()
    done = mobius(published, "rollback")
    assert done.returncode == 1 and "--force" in done.stderr
    assert published.live.read_bytes() == before


def test_list_changes_nothing(published: Published) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in published.root.rglob("*"))
    done = mobius(published, "rollback", "--list", "--json")
    assert json.loads(done.stdout)["way_back"]["backup"] == next(published.backups.glob("*Z")).name
    shown = mobius(published, "rollback", "--list").stdout.splitlines()
    assert [line.split()[0] for line in shown if line.endswith("<- way back")] == [
        next(published.backups.glob("*Z")).name
    ]
    assert max(map(len, shown[1:])) <= 80, "the first line names the catalogue, whatever its path"
    assert sorted((path, path.stat().st_mtime_ns) for path in published.root.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["--backup"],
        ["extra"],
        ["--remove-dhash", "--backup", "x"],
        ["--timeout", "0"],
        ["--env", "prod"],
    ],
)
def test_wrong_usage_is_exit_1_and_a_sentence(published: Published, arguments: list[str]) -> None:
    done = mobius(published, "rollback", "--force", *arguments)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("mobius: ") and "Traceback" not in done.stderr


def test_two_forced_rollbacks_do_not_end_each_other(published: Published) -> None:
    before = published.live.read_bytes()
    with catalogue_lock(published.live, "berta", "rollback"):
        done = mobius(published, "rollback", "--force")
    assert done.returncode == 3 and "berta" in done.stderr and "rollback" in done.stderr
    assert published.live.read_bytes() == before


_HOLDER = """
import signal, sys, time
from pathlib import Path
from mobius_tui.system.locks import catalogue_lock
if sys.argv[2] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with catalogue_lock(Path(sys.argv[1]), "berta", "migrate"):
    print("held", flush=True)
    time.sleep(300)
"""


def holder(library: Published, temper: str = "meek") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(library.live), temper], cwd=HOME, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_running_operation_is_named_and_only_force_ends_it(published: Published) -> None:
    before = published.live.read_bytes()
    target = next(published.backups.glob("*Z")).read_bytes()
    with holder(published) as running:
        asked = mobius(published, "rollback")
        assert asked.returncode == 3 and "berta" in asked.stderr and "migrate" in asked.stderr
        assert published.live.read_bytes() == before
        forced = mobius(published, "rollback", "--force")
        assert forced.returncode == 0, forced.stderr
        assert "berta" in forced.stderr and "migrate" in forced.stderr
        assert running.wait(10) == -signal.SIGTERM
    assert published.live.read_bytes() == target != before


def test_verb_of_finds_its_verbs_behind_common_options() -> None:
    assert verb_of(["rollback", "--list"]) == "rollback"
    assert verb_of(["--workspace", "rollback", "-q", "rollback"]) == "rollback"
    assert verb_of(["--env=production", "--as", "x", "backup", "--json", "verify", "x"]) == "backup verify"
    for other in (
        [],
        ["status"],
        ["backup"],
        ["backup", "list"],
        ["--workspace", "rollback"],
        ["--read-only", "rollback"],
    ):
        assert verb_of(other) == ""


@pytest.mark.parametrize("seconds", ["0.000001", "0.03", "0.1", "0.2"])
def test_a_time_limit_ends_it_with_a_sentence_and_the_live_file_whole(published: Published, seconds: str) -> None:
    before = published.live.read_bytes()
    target = next(published.backups.glob("*Z")).read_bytes()
    done = mobius(published, "rollback", "--force", "--timeout", seconds)
    assert done.returncode in {0, 4}, done.stderr
    assert published.live.read_bytes() in {before, target}
    assert done.returncode == 0 or "time limit" in done.stderr
    assert done.returncode == 4 or seconds != "0.000001"
    mobius(published, "rollback", "--force")
    assert open_journals(published.state / JOURNALS) == []
    assert [path.name for path in published.live.parent.iterdir() if path.name.endswith(".staged")] == []
