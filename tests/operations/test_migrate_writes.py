"""What a migration writes, where, and when it refuses to."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from catalogue_of import catalogue, decoded, entries
from pictures import look_alike, picture, put, truncated
from test_migrate_cut_off import start

from mobius_tui.operations import migrate as migrate_module
from mobius_tui.recovery.backups import list_backups
from mobius_tui.recovery.hashes import sha256_file
from mobius_tui.recovery.history import read_history
from mobius_tui.store.jobs import list_jobs
from mobius_tui.store.pairs import list_pairs
from mobius_tui.workspace import open_workspace


def tree(root: Path) -> dict[str, str]:
    """Every file below a folder with its hash, and every folder."""
    return {
        str(path.relative_to(root)): "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.relative_to(root).parts[0] not in {".mobius", "logs"}
    }


def listed(ws, *names, **fields):
    ws.catalogue.write_text(json.dumps({"images": [{"path": name, **fields} for name in names]}))


# in place: backup, history, compare-and-swap


def test_backup_of_what_is_replaced(make_workspace, run):
    ws = make_workspace(2)
    listed(ws, "deck/00.png")
    before = ws.catalogue.read_bytes()
    job = run(ws, reason="first")
    (backup,) = list_backups(ws.backups)
    assert (backup.name, backup.state, backup.images) == (job.summary["backup"], "verified", 1)
    assert backup.path.read_bytes() == before
    assert job.summary["before"] == hashlib.sha256(before).hexdigest()
    assert job.summary["after"] == sha256_file(ws.catalogue)
    noted = [act for act in read_history(ws.state) if act["act"] == "migrate"]
    assert [(act["who"], act["reason"], act["before"], act["after"], act["run"]) for act in noted] == [
        ("tester", "first", job.summary["before"], job.summary["after"], job.run_id)
    ]


def test_backup_is_checked_by_sha256sum(make_workspace, run):
    ws = make_workspace(1)
    listed(ws)
    run(ws)
    (side,) = ws.backups.glob("*.sha256")
    subprocess.run(["sha256sum", "-c", side.name], cwd=ws.backups, check=True, capture_output=True)
    assert all(path.stat().st_mode & 0o137 == 0 for path in ws.backups.glob("library.json.bak.*"))


def test_no_backup_when_told_so_or_when_there_is_nothing_to_keep(make_workspace, run):
    ws = make_workspace(1)
    assert run(ws).summary["backup"] is None
    assert run(ws, backup=False).summary["backup"] is None
    assert list_backups(ws.backups) == []


def test_change_by_the_application_meanwhile_is_kept_with_our_hashes(make_workspace, run, store):
    ws = make_workspace(3)
    listed(ws, "deck/00.png", "deck/01.png")
    told = []

    def application(tick):
        if tick.phase == "publishing" and not told:
            told.append(tick)
            document = catalogue(ws)
            document["images"][1]["title"] = "The Ace"
            document["images"].append({"path": "later.png"})
            ws.catalogue.write_text(json.dumps(document))
            put(ws.library, {"later.png": picture(9)})

    job = run(ws, on_tick=application)
    assert (job.state, job.summary["decoded"], decoded(store(ws))) == ("done", 4, 4)
    found = entries(ws)
    assert found["deck/01.png"]["title"] == "The Ace"
    assert list(found) == ["deck/00.png", "deck/01.png", "later.png", "deck/02.png"]
    assert all(entry["dhash_status"] == "ok" for entry in found.values())
    assert catalogue(ws)["dhash_migration"]["run"]["decoded"] == 4


def test_change_while_it_is_written_is_kept(make_workspace, run, monkeypatch):
    """After the backup, while the new catalogue goes to its temporary file: only the exchange can notice."""
    ws = make_workspace(2)
    listed(ws, "deck/00.png")
    real, told = migrate_module.catalogue_bytes, []

    def catalogue_bytes(*arguments):
        yield from real(*arguments)
        if not told:
            told.append(1)
            listed(ws, "deck/00.png", title="The Ace")

    monkeypatch.setattr(migrate_module, "catalogue_bytes", catalogue_bytes)
    assert run(ws).state == "done"
    found = entries(ws)["deck/00.png"]
    assert (found["title"], found["dhash_status"]) == ("The Ace", "ok")


def test_catalogue_that_never_rests_is_left_alone(make_workspace, run, store):
    ws = make_workspace(2)
    listed(ws, "deck/00.png")
    changes = []

    def application(tick):
        if tick.phase == "publishing":
            changes.append(tick)
            listed(ws, "deck/00.png", change=len(changes))

    job = run(ws, on_tick=application)
    assert (job.state, job.exit_code) == ("failed", 3)
    assert "changed" in job.error
    assert catalogue(ws) == {"images": [{"path": "deck/00.png", "change": len(changes)}]}
    (tries,) = store(ws).execute("SELECT count(*) FROM events WHERE event = 'catalogue_changed'").fetchone()
    assert tries == 4


def test_catalogue_that_vanishes_is_not_built_anew(make_workspace, run):
    """Its fields of others would be lost; whoever deleted it may be about to write it."""
    ws = make_workspace(1)
    listed(ws, "deck/00.png", title="The Ace")
    job = run(ws, on_tick=lambda tick: tick.phase == "publishing" and ws.catalogue.unlink(missing_ok=True))
    assert (job.state, job.exit_code) == ("failed", 3)
    assert "vanished" in job.error
    assert not ws.catalogue.exists()


def test_catalogue_of_somebody_else_appears_meanwhile(make_workspace, run):
    ws = make_workspace(1)
    job = run(ws, on_tick=lambda tick: tick.phase == "hashing" and listed(ws, "deck/00.png", owner="app"))
    assert job.state == "done"
    assert entries(ws)["deck/00.png"]["owner"] == "app"
    assert entries(ws)["deck/00.png"]["dhash_status"] == "ok"


# one at a time


def test_lock_of_another_process(make_workspace, run):
    ws = make_workspace(1)
    code = (
        "import sys; from pathlib import Path; from mobius_tui.system.locks import catalogue_lock\n"
        "with catalogue_lock(Path(sys.argv[1]), 'anna', 'a deploy'): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, ws.catalogue], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        job = run(ws)
        assert (job.state, job.exit_code) == ("refused", 3)
        for part in ("anna", "a deploy", "since 20", f"PID {holder.pid}"):
            assert part in job.error
        assert not ws.catalogue.exists()
        assert run(ws, "dry-run").state == "done", "a dry run takes no lock"
    finally:
        holder.communicate(timeout=30)
    assert run(ws).state == "done"


def test_of_two_migrations_one_wins(make_workspace, run, store):
    ws = make_workspace(4)
    first = start(ws, "wait-in", "hashing")
    assert first.stdout.readline() == "waiting\n"
    second = run(ws)
    assert (second.state, second.exit_code) == ("refused", 3)
    assert "other" in second.error
    assert first.communicate("\n" * 9, timeout=60)[0].split()[-1] == "done"
    assert first.returncode == 0
    assert [job.state for job in list_jobs(store(ws))] == ["refused", "done"]
    assert len(entries(ws)) == 4


# -i and -o


def test_output_leaves_the_live_catalogue_and_keeps_paths_as_in_the_input(make_workspace, run, tmp_path):
    ws = make_workspace(2)
    listed(ws, "./deck/00.png", str(ws.library / "deck/01.png"))
    live = ws.catalogue.read_bytes()
    output = tmp_path / "elsewhere" / "staged.json"
    output.parent.mkdir()
    job = run(ws, output=str(output))
    assert (job.state, job.summary["backup"], job.summary["output"]) == ("done", None, str(output))
    assert ws.catalogue.read_bytes() == live
    written = json.loads(output.read_bytes())["images"]
    assert [entry["path"] for entry in written] == ["./deck/00.png", str(ws.library / "deck/01.png")]
    assert all(entry["dhash_status"] == "ok" for entry in written)


def test_input_of_another_folder(make_workspace, run, store, tmp_path):
    ws = make_workspace({"a.png": picture(1), "b.png": look_alike(1)})
    run(ws)
    assert len(list_pairs(store(ws))) == 1
    other = tmp_path / "other"
    put(other, {"x.png": picture(7)})
    (other / "their.json").write_text('{"images": [{"path": "x.png"}]}')
    job = run(ws, input=str(other / "their.json"), add=False)
    assert job.state == "done"
    assert json.loads((other / "their.json").read_bytes())["images"][0]["dhash_status"] == "ok"
    (backup,) = other.glob("their.json.bak.*Z")
    assert json.loads(backup.read_bytes()) == {"images": [{"path": "x.png"}]}
    assert list_backups(ws.backups) == [], "a stranger's backup is no way back for the live catalogue"
    assert len(list_pairs(store(ws))) == 1, "the queue is that of the workspace's own library"


def test_input_of_another_folder_is_not_written_over_the_live_catalogue(make_workspace, run, tmp_path):
    ws = make_workspace(1)
    (tmp_path / "their.json").write_text('{"images": []}')
    job = run(ws, input=str(tmp_path / "their.json"), output=str(ws.catalogue))
    assert (job.state, job.exit_code) == ("failed", 1)
    assert not ws.catalogue.exists()


def test_input_beside_the_live_catalogue_replaces_it_after_a_backup(make_workspace, run):
    ws = make_workspace(1)
    listed(ws, "deck/00.png", old=True)
    (ws.library / "next.json").write_text('{"images": [{"path": "deck/00.png", "new": true}]}')
    job = run(ws, input=str(ws.library / "next.json"), output=str(ws.catalogue))
    assert job.state == "done"
    assert entries(ws)["deck/00.png"]["new"] is True
    (backup,) = list_backups(ws.backups)
    assert b"old" in backup.path.read_bytes()
    assert job.summary["before"] == backup.sha256


@pytest.mark.parametrize("output", ["library/deck", "nowhere/out.json", "library/deck/00.png"])
def test_outputs_that_cannot_be_meant(make_workspace, run, output):
    ws = make_workspace(1)
    before = tree(ws.root)
    job = run(ws, output=str(ws.root / output))
    assert (job.state, job.exit_code) == ("failed", 1)
    assert tree(ws.root) == before


def test_input_that_is_not_there(make_workspace, run):
    job = run(make_workspace(1), input="/nowhere/library.json")
    assert (job.state, job.exit_code) == ("failed", 1)
    assert "/nowhere/library.json" in job.error


# dry run


def test_dry_run_writes_only_its_report(make_workspace, run, store):
    ws = make_workspace({"new.png": picture(1), "same.png": picture(2), "changed.png": picture(3)})
    run(ws)
    put(ws.library, {"changed.png": picture(4), "later.png": look_alike(2), "cut.png": truncated(1)})
    document = catalogue(ws)
    document["images"].append({"path": "gone.png"})
    del document["images"][1]["dhash"]
    ws.catalogue.write_text(json.dumps(document))
    before = tree(ws.root)
    job = run(ws, "dry-run")
    assert tree(ws.root) == before
    assert (job.state, job.summary["mode"]) == ("done", "DRY RUN")
    report = json.loads(Path(job.summary["output"]).read_bytes())
    assert Path(job.summary["output"]).parent == ws.logs
    assert {image["path"]: image["state"] for image in report["images"]} == {
        "changed.png": "changed", "new.png": "new", "same.png": "unchanged", "gone.png": "missing", "cut.png": "failed",
        "later.png": "new",
    }  # fmt: skip
    assert [{pair["left"], pair["right"]} for pair in report["pairs"]] == [{"same.png", "later.png"}]
    assert list_pairs(store(ws)) == []
    assert report["unnamed"] == ["cut.png", "later.png"]
    assert report["summary"]["total"] == 6
    assert report["estimate"]["seconds"] >= 0
    assert report["estimate"]["seconds_fresh"] > 0
    run(ws, backup=False)
    live = ws.catalogue.stat().st_size
    assert abs(report["estimate"]["bytes"] - live) < 100


def test_dry_run_to_a_named_report(make_workspace, run):
    ws = make_workspace(1)
    run(ws, "dry-run", output=str(ws.root / "report.json"))
    assert json.loads((ws.root / "report.json").read_bytes())["mode"] == "DRY RUN"


def test_dry_run_never_replaces_the_catalogue(make_workspace, run):
    ws = make_workspace(1)
    listed(ws, "deck/00.png")
    before = tree(ws.root)
    job = run(ws, "dry-run", output=str(ws.catalogue))
    assert (job.state, job.exit_code) == ("failed", 1)
    assert tree(ws.root) == before


def test_dry_run_ends_as_the_migration_would_and_still_reports(make_workspace, run):
    ws = make_workspace({f"{n}.png": truncated(n) for n in range(6)})
    job = run(ws, "dry-run")
    assert (job.state, job.exit_code) == ("failed", 2)
    (report,) = ws.logs.glob("dry-run-*.json")
    assert len(json.loads(report.read_bytes())["images"]) == 6


# limits


@pytest.mark.parametrize("sample", [False, True])
def test_limited_run_is_the_same_each_time_and_leaves_the_rest(make_workspace, run, store, sample):
    chosen = []
    for name in ("one", "two"):
        ws = make_workspace(12, name)
        job = run(ws, limit=4, sample=sample)
        assert (job.summary["decoded"], job.summary["processed"], job.summary["total"]) == (4, 4, 4)
        chosen.append(list(entries(ws)))
    assert chosen[0] == chosen[1]
    assert (chosen[0] == [f"deck/{n:02d}.png" for n in range(4)]) is not sample
    run(ws)
    assert len(entries(ws)) == 12


def test_limited_run_keeps_other_entries_pairs_and_duplicates(make_workspace, run, store):
    ws = make_workspace({"a.png": picture(1), "b.png": picture(2), "c.png": picture(2), "d.png": look_alike(2)})
    run(ws)
    old, pairs = catalogue(ws), list_pairs(store(ws))
    assert (len(old["dhash_duplicates"]), len(pairs)) == (1, 1)
    put(ws.library, {"a.png": picture(9)})
    run(ws, limit=1)
    new = catalogue(ws)
    assert new["images"][0]["dhash"] != old["images"][0]["dhash"]
    assert new["images"][1:] == old["images"][1:]
    assert new["dhash_duplicates"] == old["dhash_duplicates"]
    assert list_pairs(store(ws)) == pairs


def test_limited_run_never_mixes_profiles(make_workspace, run):
    ws = make_workspace(3)
    run(ws)
    before = ws.catalogue.read_bytes()
    job = run(ws, limit=1, profile="fast")
    assert (job.state, job.exit_code) == ("failed", 1)
    assert "mix" in job.error
    assert ws.catalogue.read_bytes() == before
    assert run(ws, "dry-run", limit=1, profile="fast").state == "done"
    assert run(ws, limit=1).state == "done"


def test_unnamed_files_are_only_reported_when_told_so(make_workspace, run, store):
    ws = make_workspace(3)
    listed(ws, "deck/01.png")
    job = run(ws, add=False)
    assert (job.summary["unnamed"], job.summary["decoded"], list(entries(ws))) == (2, 1, ["deck/01.png"])
    said = [row[0] for row in store(ws).execute("SELECT message FROM events WHERE event = 'unnamed'")]
    assert said == ["no entry  deck/00.png", "no entry  deck/02.png"]


# too many failures


@pytest.mark.parametrize(("bad", "good", "code"), [(4, 0, 0), (5, 95, 0), (5, 94, 2), (6, 94, 2)])
def test_failures_that_stop_a_publication(make_workspace, run, store, bad, good, code):
    ws = make_workspace({"a.png": picture(1)})
    same = picture(1)
    put(ws.library, {f"bad{n}.png": b"no image %d" % n for n in range(bad)})
    if good:
        put(ws.library, {f"good{n:02d}.png": same for n in range(good - 1)})
    else:
        (ws.library / "a.png").unlink()
    listed(ws)
    before = ws.catalogue.read_bytes()
    job = run(ws)
    assert job.exit_code == code
    assert (ws.catalogue.read_bytes() == before) is bool(code)
    if code:
        assert "nothing was published" in job.error
        assert list_backups(ws.backups) == []


def test_missing_files_count_as_failures_and_the_queue_stays(make_workspace, run, store):
    ws = make_workspace({"a.png": picture(1), "b.png": look_alike(1)} | {f"{n}.png": picture(n + 5) for n in range(6)})
    run(ws)
    before = ws.catalogue.read_bytes()
    shutil.move(ws.library / "b.png", ws.root / "b.png")
    for n in range(6):
        (ws.library / f"{n}.png").unlink()
    job = run(ws)
    assert job.exit_code == 2
    assert ws.catalogue.read_bytes() == before
    assert len(list_pairs(store(ws))) == 1


# where libraries and catalogues lie


def test_symlinked_library_and_folders(make_workspace, run, tmp_path):
    ws = make_workspace({})
    put(tmp_path / "real", {"a.png": picture(1), "deep/b.png": picture(2)})
    put(tmp_path / "more", {"c.png": picture(3)})
    ws.library.rmdir()
    ws.library.symlink_to(tmp_path / "real")
    (tmp_path / "real/linked").symlink_to(tmp_path / "more")
    listed(ws, "a.png", str(tmp_path / "more/c.png"))
    run(ws)
    assert list(entries(ws)) == ["a.png", str(tmp_path / "more/c.png"), "deep/b.png"]
    run(ws)
    assert len(entries(ws)) == 3


def test_symlinked_catalogue_stays_a_symlink(make_workspace, run, tmp_path):
    ws = make_workspace(2)
    real = tmp_path / "published.json"
    real.write_text('{"images": [{"path": "deck/00.png"}]}')
    ws.catalogue.symlink_to(real)
    run(ws)
    assert ws.catalogue.is_symlink()
    assert [entry["dhash_status"] for entry in json.loads(real.read_bytes())["images"]] == ["ok", "ok"]
    (ws.library / "copy.json").write_bytes(real.read_bytes())
    assert run(ws, input=str(ws.library / "copy.json"), output=str(ws.catalogue)).state == "done"


def test_catalogue_in_the_workspace_itself(make_workspace, run):
    ws = make_workspace(2)
    (ws.root / "library.json").write_text('{"images": [{"path": "library/deck/01.png"}]}')
    run(ws)
    assert list(entries(ws)) == ["library/deck/01.png", "library/deck/00.png"]
    assert not (ws.library / "library.json").exists()


def test_library_elsewhere(make_workspace, run, tmp_path):
    ws = make_workspace({})
    put(tmp_path / "images", {"a.png": picture(1)})
    elsewhere = open_workspace(ws.root, {"parallel": 1}, {"LIBRARY_DIR": str(tmp_path / "images")}, "tester")
    run(elsewhere)
    assert list(entries(elsewhere)) == ["a.png"]
    assert elsewhere.catalogue == tmp_path / "images/library.json"


def test_paths_beyond_the_library(make_workspace, run, tmp_path):
    ws = make_workspace(1)
    put(tmp_path, {"outside.png": picture(5)})
    listed(ws, str(tmp_path / "outside.png"), "../../outside.jpg")
    run(ws)
    found = [entry["dhash_status"] for entry in entries(ws).values()]
    assert found == ["ok", "missing", "ok"]


def test_file_without_an_entry_that_vanishes_meanwhile_is_nothing(make_workspace, run):
    ws = make_workspace(3)
    listed(ws, "deck/00.png", "gone.png")

    def vanish(tick):
        if tick.phase.startswith("comparing"):
            (ws.library / "deck/02.png").unlink(missing_ok=True)

    job = run(ws, on_tick=vanish)
    assert (job.state, job.summary["missing"], job.summary["total"]) == ("done", 1, 3)
    assert list(entries(ws)) == ["deck/00.png", "gone.png", "deck/01.png"]
    assert catalogue(ws)["dhash_migration"]["run"]["images"] == 3


def test_library_that_is_not_there(make_workspace, run):
    ws = make_workspace({})
    ws.library.rmdir()
    job = run(ws)
    assert (job.state, job.exit_code) == ("failed", 1)


def test_broken_catalogue_is_bad_input_and_untouched(make_workspace, run):
    ws = make_workspace(1)
    ws.catalogue.write_bytes(b'{"images": [{"path": 7}]}')
    os.utime(ws.catalogue, (0, 0))
    before = tree(ws.root)
    job = run(ws)
    assert (job.state, job.exit_code) == ("failed", 1)
    assert "line 1 column" in job.error
    assert tree(ws.root) == before
