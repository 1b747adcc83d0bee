"""A second run decodes only what it must: files, decoders and limits that did not change are not looked at twice."""

import os
import shutil

import pytest
from catalogue_of import catalogue, decoded, entries, without_run
from pictures import LONG_AGO, age, draw, encoded, look_alike, picture, put, truncated

from mobius_tui.fingerprint.fast import SHORTER_SIDE
from mobius_tui.operations import hashing
from mobius_tui.operations.options import MigrateOptions
from mobius_tui.store.pairs import list_pairs
from mobius_tui.workspace import open_workspace


@pytest.fixture
def migrated(make_workspace, run, store):
    """A workspace after its first run, and how many images were decoded since."""
    ws = make_workspace({f"{number}.png": picture(number) for number in range(5)} | {"cut.png": truncated(3)})
    run(ws)
    first = decoded(store(ws))
    assert first == 6
    return ws, lambda: decoded(store(ws)) - first


def test_unchanged_library_decodes_nothing_and_gives_the_same_bytes(migrated, run):
    ws, since = migrated
    before = ws.catalogue.read_bytes()
    job = run(ws)
    assert (since(), job.summary["decoded"], job.summary["rate"]) == (0, 0, None)
    after = ws.catalogue.read_bytes()
    assert without_run(after) == without_run(before)
    assert after != before, "the run itself is another one"


def test_touched_file_is_not_decoded(migrated, run):
    ws, since = migrated
    os.utime(ws.library / "1.png", ns=(0, (LONG_AGO + 999) * 10**9))
    run(ws)
    assert since() == 0
    run(ws)
    assert since() == 0


def test_moved_file_is_not_decoded(migrated, run):
    ws, since = migrated
    (ws.library / "sub").mkdir()
    (ws.library / "1.png").rename(ws.library / "sub/renamed.png")
    run(ws)
    assert since() == 0
    found = entries(ws)
    assert found["1.png"]["dhash_status"] == "missing"
    assert found["sub/renamed.png"]["dhash"] == found["1.png"]["dhash"]


def test_file_replaced_by_a_copy_of_itself_is_not_decoded(migrated, run):
    ws, since = migrated
    shutil.copyfile(ws.library / "1.png", ws.library / "copy")
    (ws.library / "copy").replace(ws.library / "1.png")
    run(ws)
    assert since() == 0


def test_copy_under_another_name_is_not_decoded(migrated, run):
    ws, since = migrated
    shutil.copyfile(ws.library / "1.png", ws.library / "copy.png")
    run(ws)
    assert since() == 0
    (pair,) = catalogue(ws)["dhash_duplicates"]
    assert (pair["duplicate"], pair["original"]) == ("copy.png", "1.png")


def test_new_file_with_inode_and_time_of_a_deleted_one_is_read(migrated, run, store):
    """Archives with one time for all, sizes without compression, and filesystems that reuse inodes."""
    ws, since = migrated
    old, new = draw(50), draw(51)
    put(ws.library, {"old.bmp": encoded(old, "BMP")})
    run(ws)
    status = (ws.library / "old.bmp").stat()
    (ws.library / "old.bmp").rename(ws.library / "new.bmp")
    (ws.library / "new.bmp").write_bytes(encoded(new, "BMP"))  # the same inode, the same size
    os.utime(ws.library / "new.bmp", ns=(status.st_atime_ns, status.st_mtime_ns))
    run(ws)
    assert since() == 2
    assert entries(ws)["new.bmp"]["dhash"] != entries(ws)["old.bmp"]["dhash"]


def test_changed_file_alone_is_decoded(migrated, run):
    ws, since = migrated
    old = entries(ws)
    put(ws.library, {"2.png": picture(77)})
    job = run(ws)
    assert (since(), job.summary["decoded"]) == (1, 1)
    new = entries(ws)
    assert {name for name in new if new[name] != old[name]} == {"2.png"}


def test_change_within_the_same_tick_and_size_is_noticed(make_workspace, run, store):
    """What was written just before it was read is read again, though size, time and inode are the same."""
    one, two = encoded(draw(1), "BMP"), encoded(draw(2), "BMP")
    assert len(one) == len(two)
    ws = make_workspace({"a.png": picture(5), "fresh.bmp": one})
    path = ws.library / "fresh.bmp"
    now = path.stat().st_mtime_ns + 10**18  # any time: what counts is that it is that of the reading
    real = hashing.keep_outcomes

    def keep(connection, outcomes, setup, run_id, **named):
        for outcome in outcomes:
            if outcome.path == str(path):
                object.__setattr__(outcome, "mtime_ns", now)
                object.__setattr__(outcome, "read_ns", now + 3_000_000)
        return real(connection, outcomes, setup, run_id, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "keep_outcomes", keep)
        run(ws)
    first = entries(ws)["fresh.bmp"]["dhash"]
    path.write_bytes(two)
    os.utime(path, ns=(now, now))
    run(ws)
    assert entries(ws)["fresh.bmp"]["dhash"] != first
    assert decoded(store(ws)) == 3


def test_fresh_file_is_trusted_from_the_next_reading_on(make_workspace, run, store):
    ws = make_workspace({"a.png": picture(1)})
    path = ws.library / "a.png"
    path.write_bytes(picture(2))  # a moment ago
    run(ws)
    age([path])
    run(ws)
    run(ws)
    (row,) = store(ws).execute("SELECT mtime_ns FROM images").fetchall()
    assert row["mtime_ns"] == path.stat().st_mtime_ns
    assert decoded(store(ws)) == 1


def test_fresh_decodes_everything_once(migrated, run):
    ws, since = migrated
    before = ws.catalogue.read_bytes()
    job = run(ws, fresh=True)
    assert (since(), job.summary["decoded"]) == (6, 6)
    assert without_run(ws.catalogue.read_bytes()) == without_run(before)


def test_fresh_run_that_reads_the_catalogue_again_decodes_nothing_twice(migrated, run):
    ws, since = migrated
    changes = iter([b"\n", b"\n\n"])

    def change(tick):
        if tick.phase == "publishing" and (more := next(changes, None)):
            with ws.catalogue.open("ab") as file:
                file.write(more)

    job = run(ws, fresh=True, on_tick=change)
    assert (job.state, since(), job.summary["decoded"]) == ("done", 6, 6)
    assert job.summary["rate"] > 0


def test_other_decoder_hashes_everything_again(migrated, run, monkeypatch):
    ws, since = migrated
    monkeypatch.setattr(hashing, "decoder_version", lambda: "Pillow of tomorrow")
    run(ws)
    assert since() == 6
    assert catalogue(ws)["dhash_migration"]["decoder"] == "Pillow of tomorrow"
    run(ws)
    assert since() == 6


def test_failure_is_tried_again_when_the_environment_changes_and_not_otherwise(migrated, run, monkeypatch):
    ws, since = migrated
    run(ws)
    assert since() == 0
    monkeypatch.setattr(hashing, "failure_environment", lambda limits: "ffmpeg was installed")
    run(ws)
    assert since() == 1
    run(ws)
    assert since() == 1


def test_failure_by_a_limit_is_tried_again_under_another(make_workspace, run, store):
    strict = make_workspace(3, max_pixels=100)
    assert run(strict).summary["failures"] == {"too large": 3}
    assert run(strict).summary["decoded"] == 0
    job = run(open_workspace(strict.root, {"parallel": 1}, {}, "tester"))
    assert (job.summary["errors"], job.summary["decoded"]) == (0, 3)


def test_unreadable_file_is_tried_again_each_time(make_workspace, run, store, monkeypatch):
    ws = make_workspace({"a.png": picture(1)})
    (ws.library / "folder.png").mkdir()
    ws.catalogue.write_text('{"images": [{"path": "a.png"}, {"path": "folder.png"}]}')
    job = run(ws)
    assert entries(ws)["folder.png"]["dhash_status"] == "failed"
    assert "folder" in entries(ws)["folder.png"]["dhash_error"]
    (ws.library / "folder.png").rmdir()
    put(ws.library, {"folder.png": picture(2)})
    job = run(ws)
    assert (job.summary["errors"], entries(ws)["folder.png"]["dhash_status"]) == (0, "ok")


LARGE = (2 * SHORTER_SIDE + 120, 2 * SHORTER_SIDE + 30)
PHOTOS = {f"{n}.jpg": picture(n, LARGE, "JPEG", quality=85) for n in range(3)}
"""Large enough that the fast profile decodes them at a reduced scale."""


def test_profiles_never_mix(make_workspace, run, store):
    ws = make_workspace(PHOTOS | {"small.png": picture(9)})
    run(ws)
    assert decoded(store(ws)) == 4
    exact = entries(ws)
    run(ws, profile="fast")
    assert decoded(store(ws)) == 8
    assert catalogue(ws)["dhash_migration"]["profile"] == "fast"
    rows = store(ws).execute("SELECT profile, count(*) AS n FROM fingerprints GROUP BY profile").fetchall()
    assert {row["profile"]: row["n"] for row in rows} == {"exact": 4, "fast": 4}
    run(ws, profile="exact")
    assert catalogue(ws)["dhash_migration"]["profile"] == "exact"
    assert entries(ws) == exact


def test_fast_gives_the_pairs_of_exact(make_workspace, run, store):
    files = dict(PHOTOS)
    for n in range(3):
        image = draw(n, LARGE).rotate(0.4, fillcolor=128)
        files[f"turned{n}.jpg"] = encoded(image, "JPEG", quality=60)
    files |= {"a.png": picture(20), "b.png": look_alike(20)}
    exact, fast = make_workspace(files, "exact"), make_workspace(files, "fast")
    run(exact, threshold=16)
    run(fast, threshold=16, profile="fast")
    pairs = list_pairs(store(exact))
    assert len(pairs) >= 4
    assert list_pairs(store(fast)) == pairs


def test_fast_decodes_in_full_only_once(make_workspace, run, store):
    """What the fast profile could not reduce has its exact hash already."""
    ws = make_workspace({"a.png": picture(30), "b.png": look_alike(30)} | PHOTOS | {"copy.jpg": PHOTOS["0.jpg"]})
    job = run(ws, profile="fast")
    # the six, and of these the two equal photos once more in full
    assert decoded(store(ws)) == 8
    assert job.summary["decoded"] == decoded(store(ws))
    assert job.low == 0
    assert job.done == 6


def test_fresh_fast_run_hashes_its_candidates_again_too(make_workspace, run, store):
    ws = make_workspace({"0.jpg": PHOTOS["0.jpg"], "copy.jpg": PHOTOS["0.jpg"], "1.jpg": PHOTOS["1.jpg"]})
    run(ws, profile="fast")
    first = decoded(store(ws))
    assert first == 5
    run(ws, profile="fast", fresh=True)
    assert decoded(store(ws)) == 2 * first


def test_options_survive_the_job_row():
    options = MigrateOptions(dry_run=True, output="x", limit=3, sample=True, profile="fast", reason="why")
    assert MigrateOptions.from_json(options.to_json() | {"foreground": True}) == options
