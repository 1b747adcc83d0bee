"""What a migration says of a library: hashes, statuses, duplicates, pairs."""

import io
import json

import imagehash
import pytest
from catalogue_of import catalogue, decoded, entries, without_run
from pictures import draw, encoded, flat, look_alike, picture, put, truncated
from PIL import Image

from mobius_tui.store.pairs import list_pairs


def test_dhash_is_that_of_imagehash(make_workspace, run):
    files = {
        "a.png": picture(1),
        "b.jpg": picture(2, (300, 240), "JPEG", quality=80),
        "c.webp": picture(3, kind="WEBP", lossless=True),
        "deep/er/d.gif": picture(4, kind="GIF"),
        "e.tif": picture(5, kind="TIFF"),
        "f.bmp": picture(6, kind="BMP"),
    }
    ws = make_workspace(files)
    job = run(ws)
    assert (job.state, job.exit_code, job.error) == ("done", 0, "")
    found = entries(ws)
    assert list(found) == sorted(files)
    for name, data in files.items():
        with Image.open(io.BytesIO(data)) as image:
            assert found[name]["dhash"] == str(imagehash.dhash(image, hash_size=8)), name
        assert found[name]["dhash_status"] == "ok"
        assert 0 < found[name]["dhash_confidence"] <= 1
        assert "dhash_error" not in found[name]


def test_top_level_facts(make_workspace, run):
    ws = make_workspace(2)
    job = run(ws)
    document = catalogue(ws)
    facts = document["dhash_migration"]
    assert (facts["schema_version"], facts["algorithm"], facts["profile"]) == (1, "dhash-64", "exact")
    assert "Pillow" in facts["decoder"]
    assert facts["run"]["id"] == job.run_id
    assert (facts["run"]["images"], facts["run"]["decoded"], facts["run"]["by"]) == (2, 2, "tester")
    assert document["dhash_duplicates"] == []


def test_statuses_and_their_words(make_workspace, run):
    ws = make_workspace({"good.png": picture(1), "flat.png": flat(), "cut.png": truncated(2), "text.png": b"no image"})
    listed = [{"path": "gone.png", "dhash": "00112233445566ff", "dhash_confidence": 0.5, "dhash_status": "ok"}]
    ws.catalogue.write_text(json.dumps({"images": listed}))
    job = run(ws)
    found = entries(ws)
    assert {name: entry["dhash_status"] for name, entry in found.items()} == {
        "gone.png": "missing",
        "cut.png": "failed",
        "flat.png": "low_confidence",
        "good.png": "ok",
        "text.png": "failed",
    }
    assert found["gone.png"]["dhash"] == "00112233445566ff"
    assert found["gone.png"]["dhash_confidence"] == 0.5
    for name in ("cut.png", "text.png"):
        assert found[name]["dhash"] is None
        assert len(found[name]["dhash_error"].split()) >= 3
    assert found["flat.png"]["dhash_confidence"] < found["good.png"]["dhash_confidence"]
    summary = job.summary
    assert (summary["total"], summary["processed"], summary["errors"], summary["missing"]) == (5, 2, 2, 1)
    assert summary["low_confidence"] == 1
    assert sum(summary["failures"].values()) == 2


def test_exact_duplicates_once_each_against_the_keeper(make_workspace, run):
    same, other = picture(1), picture(2)
    files = {"b/first.png": same, "c/second.png": same, "a/third.png": same, "x.png": other, "y.png": other}
    ws = make_workspace(files | {"single.png": picture(3)})
    # listed first is kept, whatever the name
    order = ["c/second.png", "a/third.png", "b/first.png"]
    ws.catalogue.write_text(json.dumps({"images": [{"path": name} for name in order]}))
    job = run(ws)
    duplicates = catalogue(ws)["dhash_duplicates"]
    assert [(pair["duplicate"], pair["original"]) for pair in duplicates] == [
        ("a/third.png", "c/second.png"), ("b/first.png", "c/second.png"), ("y.png", "x.png"),
    ]  # fmt: skip
    assert all((p["hammingDistance"], p["confidence"], p["status"]) == (0, 1.0, "exact") for p in duplicates)
    assert (job.summary["duplicates"], job.summary["exact_duplicates"]) == (3, 3)


def test_failed_files_of_the_same_bytes_are_no_duplicates(make_workspace, run):
    ws = make_workspace({"a.png": b"nothing", "b.png": b"nothing", "good.png": picture(1)})
    run(ws)
    assert catalogue(ws)["dhash_duplicates"] == []


def test_waiting_pairs_have_the_keeper_on_the_left(make_workspace, run, store):
    small, large = look_alike(1), picture(1, (180, 144))
    ws = make_workspace({"a-small.png": small, "b-large.png": large, "other.png": picture(9)})
    job = run(ws)
    (pair,) = list_pairs(store(ws))
    assert (pair.left_path, pair.right_path) == ("b-large.png", "a-small.png")
    assert pair.distance <= 10
    assert 0 < pair.confidence < 1
    assert pair.status == "waiting"
    assert job.summary["waiting_pairs"] == 1
    assert catalogue(ws)["dhash_duplicates"] == []


def test_exact_copies_are_not_sent_to_review(make_workspace, run, store):
    ws = make_workspace({"a.png": picture(1), "b.png": picture(1), "c.png": look_alike(1)})
    run(ws)
    assert len(list_pairs(store(ws))) == 1


def test_flat_images_match_nothing(make_workspace, run, store):
    ws = make_workspace({f"flat{grey}.png": flat(grey) for grey in (10, 90, 200, 255)} | {"good.png": picture(1)})
    job = run(ws)
    assert job.summary["low_confidence"] == 4
    assert list_pairs(store(ws)) == []


@pytest.mark.parametrize(("threshold", "pairs"), [(0, 0), (2, 1)])
def test_threshold_is_the_largest_distance(make_workspace, run, store, threshold, pairs):
    ws = make_workspace({"a.png": picture(1), "b.png": _one_bit_away(1)})
    run(ws, threshold=threshold)
    assert len(list_pairs(store(ws))) == pairs


def _one_bit_away(seed: int) -> bytes:
    """The picture with one column step turned round."""
    image = draw(seed)
    wanted = imagehash.dhash(image)
    for place in range(9):
        other = image.copy()
        other.paste(other.getpixel((place * 10 + 5, 5)) ^ 0xFF, (place * 10, 0, place * 10 + 10, 9))
        if 1 <= imagehash.dhash(other) - wanted <= 2:
            return encoded(other)
    raise AssertionError("no such picture")


def test_whole_run_drops_pairs_that_are_no_more(make_workspace, run, store):
    ws = make_workspace({"a.png": picture(1), "b.png": look_alike(1), "c.png": picture(2), "d.png": look_alike(2)})
    run(ws)
    assert len(list_pairs(store(ws))) == 2
    put(ws.library, {"d.png": picture(7)})
    run(ws)
    assert [{pair.left_path, pair.right_path} for pair in list_pairs(store(ws))] == [{"a.png", "b.png"}]


def test_appended_in_byte_order_and_the_rest_untouched(make_workspace, run):
    ws = make_workspace({"b.png": picture(1), "a.png": picture(2), "Z.png": picture(3), "ä.png": picture(4)})
    before = '{"app": 1.10,\n "images": [{"path": "./b.png", "n": 1e400, "tags": ["x",  "y"]}]\n}'
    ws.catalogue.write_text(before)
    run(ws)
    text = ws.catalogue.read_text()
    assert text.startswith('{"app": 1.10,\n "images": [{"path": "./b.png", "n": 1e400, "tags": ["x",  "y"], "dhash": ')
    assert [entry["path"] for entry in catalogue(ws)["images"]] == ["./b.png", "Z.png", "a.png", "ä.png"]


def test_two_libraries_of_the_same_files_give_the_same_bytes(make_workspace, run):
    files = {f"{n}.png": picture(n % 9) for n in range(14)} | {"cut.png": truncated(3), "flat.png": flat()}
    one, two = make_workspace(files, "one"), make_workspace(files, "two", batch_size=3, parallel=2)
    run(one)
    run(two)
    assert without_run(one.catalogue.read_bytes()) == without_run(two.catalogue.read_bytes())


def test_empty_library(make_workspace, run, store):
    ws = make_workspace({})
    job = run(ws)
    assert (job.exit_code, job.summary["total"], job.summary["rate"]) == (0, 0, None)
    assert catalogue(ws)["images"] == []
    assert decoded(store(ws)) == 0


def test_low_confidence_export(make_workspace, run):
    ws = make_workspace({"a.png": picture(1), "b.png": look_alike(1), "flat.png": flat()})
    job = run(ws, export_low_conf=True)
    exported = json.loads((ws.review / "low-confidence-queue.json").read_bytes())
    assert job.summary["export"] == str(ws.review / "low-confidence-queue.json")
    assert exported["totalMatches"] == 1
    assert exported["library"] == "library/library.json"
    (match,) = exported["matches"]
    assert ({match["left"], match["right"]}, match["status"]) == ({"a.png", "b.png"}, "waiting")
    assert len(match["id"]) == 16
    (item,) = exported["items"]
    assert item["path"] == "flat.png"
    assert item["reason"] in {"flat", "blank"}
    assert exported["generated"].endswith("Z")
