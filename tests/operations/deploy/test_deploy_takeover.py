"""deploy --from: fingerprints of a file that was made earlier, in the live catalogue as it is now."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.catalogue.document import OwnedFields, parse
from mobius_tui.catalogue.render import render
from mobius_tui.errors import BadInput
from mobius_tui.operations.deploy.takeover import read_source, take_over

ORIGIN = "/library/library.json"
MIGRATION = {"schema_version": 1, "algorithm": "dhash-64", "profile": "exact", "run": {"id": "r1"}}
OK = OwnedFields("00ff00ff00ff00ff", 0.5, "ok")
SAID = {"dhash": "00ff00ff00ff00ff", "dhash_confidence": 0.5, "dhash_status": "ok"}
FAILED = {"dhash_status": "failed", "dhash_error": "cut off"}
OWNED = ("dhash", "dhash_confidence", "dhash_status", "dhash_error")


def catalogue(*entries: object, **members: object) -> bytes:
    return json.dumps({"images": list(entries), **members}, indent=1).encode()


def migrated(data: bytes, *, appended=(), fields=OK, duplicates=(), updates=None, migration=MIGRATION) -> bytes:
    document = parse(data, origin=ORIGIN)
    chosen = [fields] * len(document.entries) if updates is None else updates
    return b"".join(render(document, chosen, appended=appended, migration=migration, duplicates=duplicates))


def taken(live: bytes, source: bytes, **given: object):
    given = {"exists": lambda _: True, **given}
    return take_over(parse(live, origin=ORIGIN), parse(source, origin=ORIGIN), **given)


def content(live: bytes, source: bytes, **given: object) -> bytes:
    return b"".join(taken(live, source, **given).content())


def test_unchanged_live_catalogue_becomes_the_file_itself():
    live = catalogue({"path": "a.png", "n": 1}, {"path": "b.png"}, other=[1.10])
    pair = {"duplicate": "b.png", "original": "a.png", "hammingDistance": 0, "confidence": 1.0, "status": "exact"}
    source = migrated(live, appended=[("c.png", OK)], duplicates=[pair])
    assert content(live, source) == source


def test_what_others_changed_since_survives():
    live = catalogue({"path": "a.png", "n": 1}, {"path": "b.png"})
    source = migrated(live)
    now = b'{"new": 1.10,\n "images": [{"path":"./b.png"},{"n" : 2, "path": "a.png"}]}'
    found = json.loads(content(now, source))
    assert list(found) == ["new", "images", "dhash_migration", "dhash_duplicates"]
    assert [entry["path"] for entry in found["images"]] == ["./b.png", "a.png"]
    assert found["images"][1]["n"] == 2
    assert all(entry["dhash"] == OK.dhash for entry in found["images"])
    assert b"1.10" in content(now, source)


def test_the_run_that_publishes_is_named_beside_the_one_that_made_it():
    live = catalogue({"path": "a.png"})
    found = json.loads(content(live, migrated(live), run_id="deploy-7"))
    assert found["dhash_migration"] == {**MIGRATION, "run": {"id": "deploy-7", "fingerprints": "r1"}}
    odd = migrated(live, migration={**MIGRATION, "run": 3})
    assert json.loads(content(live, odd, run_id="d"))["dhash_migration"]["run"] == {"id": "d", "fingerprints": None}


def test_duplicates_are_named_as_the_live_catalogue_names_them():
    live = catalogue({"path": "a.png"}, {"path": "b.png"})
    pair = {"duplicate": "b.png", "original": "a.png", "hammingDistance": 0, "confidence": 1.0, "status": "exact"}
    now = catalogue({"path": "./a.png"}, {"path": "/library/b.png"})
    found = json.loads(content(now, migrated(live, duplicates=[pair])))
    assert found["dhash_duplicates"] == [{**pair, "duplicate": "/library/b.png", "original": "./a.png"}]


def test_entries_that_the_file_appended_are_appended_and_gone_ones_left_out():
    live = catalogue({"path": "a.png"}, {"path": "gone.png"})
    pair = {"duplicate": "gone.png", "original": "a.png", "hammingDistance": 0, "confidence": 1.0, "status": "exact"}
    updates = [OK, OwnedFields("00ff00ff00ff00ff", 0.5, "missing")]
    source = migrated(live, appended=[("new.png", OK)], updates=updates, duplicates=[pair])
    now = catalogue({"path": "a.png"})  # somebody removed the entry whose file is gone
    got = taken(now, source)
    assert list(got.left_out) == ["gone.png"]
    found = json.loads(b"".join(got.content()))
    assert [entry["path"] for entry in found["images"]] == ["a.png", "new.png"]
    assert found["dhash_duplicates"] == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (catalogue({"path": "a.png"}, {"path": "b.png"}, {"path": "x.png"}), "1 image ('x.png') that the file lacks"),
        (catalogue({"path": "b.png"}), "removed from the live catalogue since"),
        (catalogue({"path": "cards/a.png"}, {"path": "cards/b.png"}), "mean another folder (live 'cards/a.png', there"),
    ],
)
def test_what_the_file_cannot_know_of_is_refused(now, said):
    source = migrated(catalogue({"path": "a.png", "n": 1}, {"path": "b.png"}))
    with pytest.raises(BadInput) as caught:
        taken(now, source)
    assert said in caught.value.what
    assert "migrate -o" in caught.value.fix


def test_new_entries_without_any_file_mean_another_folder():
    live = catalogue()
    source = migrated(live, appended=[("a.png", OK), ("b.png", OK)])
    looked_for = []
    with pytest.raises(BadInput, match="another folder"):
        taken(live, source, exists=lambda path: bool(looked_for.append(path)))
    assert looked_for == ["/library/a.png", "/library/b.png"]
    assert len(taken(live, source, exists=lambda path: path.endswith("b.png")).appended) == 2


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (catalogue({"path": "a.png"}), 'has no "dhash_migration"'),
        (catalogue({"path": "a.png"}, dhash_migration=MIGRATION), "has no dhash_status"),
        (catalogue({"path": "a.png", **SAID, "dhash": "x"}, dhash_migration=MIGRATION), "owned fields that do not fit"),
        (catalogue({"path": "a.png", **SAID, **FAILED}, dhash_migration=MIGRATION), "failed but has a dhash"),
    ],
)
def test_a_file_that_no_whole_migration_made_is_refused(source, said):
    with pytest.raises(BadInput) as caught:
        taken(catalogue({"path": "a.png"}), source)
    assert said in caught.value.what


def test_names_are_shown_harmless():
    live = catalogue({"path": "a.png"}, {"path": "\x1b[31m\u202e.png"})
    with pytest.raises(BadInput) as caught:
        taken(live, migrated(catalogue({"path": "a.png"})), name="\x1b[2Jfile")
    assert str(caught.value).isprintable()


def test_paths_of_the_file_mean_the_live_catalogues_folder(tmp_path: Path):
    library, elsewhere = tmp_path / "library", tmp_path / "elsewhere"
    for folder in (library, elsewhere):
        folder.mkdir()
    live, file = library / "library.json", elsewhere / "staged.json"
    live.write_bytes(catalogue({"path": str(library / "a.png")}))
    file.write_bytes(migrated(catalogue({"path": "a.png"})))
    loaded = read_source(file, live)
    assert [entry.key for entry in loaded.document.entries] == ["a.png"]
    now = parse(live.read_bytes(), origin=str(live))
    found = json.loads(b"".join(take_over(now, loaded.document).content()))
    assert found["images"] == [{"path": str(library / "a.png"), "dhash": OK.dhash, "dhash_confidence": 0.5,
                                "dhash_status": "ok"}]  # fmt: skip


def test_the_live_catalogue_itself_and_one_name_for_two_entries_are_refused(tmp_path: Path):
    live, link, file = tmp_path / "library.json", tmp_path / "link.json", tmp_path / "new" / "x.json"
    live.write_bytes(catalogue({"path": "a.png"}))
    link.symlink_to(live)
    with pytest.raises(BadInput, match="live catalogue itself"):
        read_source(link, live)
    file.parent.mkdir()
    file.write_bytes(catalogue({"path": "a.png"}, {"path": str(tmp_path / "a.png")}))
    with pytest.raises(BadInput) as caught:
        read_source(file, live)
    assert caught.value.where == str(file)


PLAIN = st.text("abcdefgh", min_size=1, max_size=3).map(lambda name: f"{name}.png")
NAMES = st.text(max_size=4).filter(lambda name: name not in {*OWNED, "path"})
FOREIGN = st.dictionaries(NAMES, st.integers() | st.text(max_size=5), max_size=3)
HASHED = st.builds(
    OwnedFields, st.integers(0, 2**64 - 1).map("{:016x}".format), st.floats(0, 1), st.sampled_from(["ok", "missing"])
)


@given(st.dictionaries(PLAIN, st.tuples(FOREIGN, FOREIGN, HASHED), min_size=1, max_size=6), st.data())
def test_all_of_the_live_catalogue_and_all_fingerprints_of_the_file(images, data):
    then = catalogue(*({"path": path, **before} for path, (before, _, _) in images.items()))
    source = migrated(then, updates=[fields for _, _, fields in images.values()])
    order = data.draw(st.permutations(list(images)))
    now = catalogue(*({"path": path, **images[path][1]} for path in order), more="m")
    found = json.loads(content(now, source))
    assert [entry["path"] for entry in found["images"]] == order
    assert found["more"] == "m"
    for entry in found["images"]:
        _, foreign, fields = images[entry["path"]]
        assert {name: value for name, value in entry.items() if name not in OWNED} == {"path": entry["path"], **foreign}
        assert (entry["dhash"], entry["dhash_status"]) == (fields.dhash, fields.status)
        assert entry["dhash_confidence"] == pytest.approx(fields.confidence, abs=6e-5)
