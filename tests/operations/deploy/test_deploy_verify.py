"""A staged catalogue is judged from its own bytes before anything live is touched."""

import json
import random
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import picture, put

from mobius_tui.catalogue.document import Document, empty_document, parse
from mobius_tui.errors import EnvironmentFailed, ProcessingFailed
from mobius_tui.operations.deploy.verify import SHOWN, _same_but_owned, chosen_entries, verify_staged
from mobius_tui.operations.options import default_options
from mobius_tui.operations.run import run_in_foreground
from mobius_tui.store.database import open_database
from mobius_tui.workspace import Workspace, init_workspace, open_workspace

LATER = 60.0
"""The files of a test are just made: taken as older than the migration with a time ahead."""


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> tuple[Path, bytes]:
    """A migrated workspace and its catalogue before: two copies, one failing file, one entry without a file."""
    root = tmp_path_factory.mktemp("migrated")
    init_workspace(root)
    files = {f"deck/{number:02d}.png": picture(number) for number in range(4)}
    put(root / "library", {**files, "copy.png": picture(1), "text.png": b"no image"})
    ws = open_workspace(root, {"parallel": 1}, {}, "tester")
    listed = [
        {"path": "deck/01.png", "n": 1.1, "text": 'a, "dhash": 1', "in": {"dhash": "mine"}},
        {"path": "./deck/00.png"},
        {"dhash": "0011223344556677", "path": "gone.png", "dhash_confidence": 0.5, "dhash_status": "ok", "k": [1]},
    ]
    before = spelt({"version": 7, "images": listed, "more": {"a": 1}})
    ws.catalogue.write_bytes(before)
    with closing(open_database(ws.database)) as connection:
        assert run_in_foreground(ws, connection, "migrate", default_options(ws).to_json()).exit_code == 0
    return root, before


@pytest.fixture
def staged(migrated, tmp_path) -> tuple[Workspace, Document, bytes]:
    """A workspace of the test's own, the live catalogue, and the bytes that a migration staged."""
    root, before = migrated
    shutil.copytree(root / "library", tmp_path / "ws" / "library")
    ws = open_workspace(tmp_path / "ws", {"parallel": 1}, {}, "tester")
    return ws, parse(before, origin=str(ws.catalogue)), ws.catalogue.read_bytes()


def spelt(document: dict[str, Any]) -> bytes:
    """A catalogue as the one before is laid out; its number has a zero more than Python would write."""
    return json.dumps(document, indent=2).replace('"n": 1.1,', '"n": 1.10,').encode()


def judge(ws: Workspace, live: Document, data: bytes, **given: Any):
    path = ws.catalogue.with_name(".library.json.r1.staged")
    path.write_bytes(data)
    return verify_staged(ws, path, live, **{"since": time.time() + LATER, **given})


def test_what_a_migration_stages_is_verified(staged):
    ws, live, data = staged
    found = judge(ws, live, data, seed="r1")
    assert (found.entries, found.before, found.with_dhash, found.failed, found.missing) == (7, 3, 6, 1, 1)
    assert (found.duplicates, found.sampled, found.recomputed, found.changed, found.unread) == (1, 5, 5, 0, 0)
    assert len(found.sha256) == 64
    assert json.loads(json.dumps(found.to_json()))["entries"] == 7


def test_first_publication_has_no_catalogue_before(staged):
    ws, _, data = staged
    whole = json.loads(data)
    first = {**entry(whole, "./deck/00.png"), "path": "deck/00.png"}
    new = {"images": [first], "dhash_migration": whole["dhash_migration"], "dhash_duplicates": []}
    found = judge(ws, empty_document(str(ws.catalogue)), json.dumps(new).encode())
    assert (found.entries, found.before, found.recomputed) == (1, 0, 1)


Change = Callable[[dict[str, Any]], object]


def entry(document: dict[str, Any], path: str) -> dict[str, Any]:
    return next(e for e in document["images"] if e["path"] == path)


WRONG: dict[str, tuple[Change, str]] = {
    "no facts": (lambda d: d.pop("dhash_migration"), 'has no "dhash_migration"'),
    "old schema": (lambda d: d["dhash_migration"].pop("schema_version"), "schema_version is None"),
    "algorithm": (lambda d: d["dhash_migration"].update(algorithm="phash"), "algorithm is 'phash'"),
    "profile": (lambda d: d["dhash_migration"].update(profile="x"), "profile is 'x'"),
    "no duplicates": (lambda d: d.pop("dhash_duplicates"), 'no "dhash_duplicates"'),
    "entry lost": (lambda d: d["images"].pop(1), "'./deck/00.png' is not there any more"),
    "entries swapped": (lambda d: d["images"].insert(0, d["images"].pop(1)), "'deck/01.png' is not in its place"),
    "fewer": (lambda d: d["images"].__delitem__(slice(2, None)), "it has 2 images, the live one 3"),
    "path respelt": (lambda d: d["images"][1].update(path="deck/00.png"), "lost or changed what is not MOBIUS's"),
    "foreign value": (lambda d: d["images"][0].update(n=1.2), "images[0] 'deck/01.png' lost or changed"),
    "foreign text": (lambda d: d["images"][0].update(text='a, "dhash": 2'), "images[0] 'deck/01.png' lost or changed"),
    "nested namesake": (lambda d: d["images"][0]["in"].update(dhash="x"), "images[0] 'deck/01.png' lost or changed"),
    "foreign gone": (lambda d: d["images"][2].pop("k"), "images[2] 'gone.png' lost or changed"),
    "foreign new": (lambda d: d["images"][2].update(dhash_other=1), "images[2] 'gone.png' lost or changed"),
    "new with more": (lambda d: entry(d, "copy.png").update(n=1), "new entry 'copy.png' has more than a path"),
    "top changed": (lambda d: d["more"].update(a=2), "top-level members are not as in the live one: 'more'"),
    "top gone": (lambda d: d.pop("version"), "'version'"),
    "top new": (lambda d: d.update(extra=1), "'extra'"),
    "top order": (lambda d: d.update(version=d.pop("version")), "their order"),
    "status gone": (lambda d: entry(d, "copy.png").pop("dhash_status"), "'copy.png' has no dhash_status"),
    "status unknown": (lambda d: entry(d, "copy.png").update(dhash_status="fine"), "'copy.png' has no dhash_status"),
    "dhash malformed": (lambda d: entry(d, "copy.png").update(dhash="XYZ"), "do not fit its status ok"),
    "dhash null": (lambda d: entry(d, "copy.png").update(dhash=None), "is ok without a dhash"),
    "confidence": (lambda d: entry(d, "copy.png").update(dhash_confidence=1.5), "do not fit its status ok"),
    "failed with dhash": (lambda d: entry(d, "text.png").update(dhash="0" * 16), "failed but has a dhash"),
    "failed unsaid": (lambda d: entry(d, "text.png").pop("dhash_error"), "do not fit its status failed"),
    "pair of nobody": (lambda d: d["dhash_duplicates"][0].update(duplicate="x.png"), "is no entry, 'x.png'"),
    "pair of number": (lambda d: d["dhash_duplicates"][0].update(original=3), "original that is no entry, 3"),
    "pair of failed": (lambda d: d["dhash_duplicates"][0].update(original="text.png"), "original without a dhash"),
    "pair twice": (lambda d: d["dhash_duplicates"].append(d["dhash_duplicates"][0]), "a second time"),
    "pair of itself": (
        lambda d: d["dhash_duplicates"][0].update(duplicate=d["dhash_duplicates"][0]["original"]),
        "a duplicate of itself",
    ),
    "pair distance": (lambda d: d["dhash_duplicates"][0].update(hammingDistance=3), "not that of the two dhashes"),
    "pair distance form": (lambda d: d["dhash_duplicates"][0].update(hammingDistance=True), "hammingDistance True"),
    "pair confidence": (lambda d: d["dhash_duplicates"][0].update(confidence=2), "confidence 2"),
    "pair status": (lambda d: d["dhash_duplicates"][0].update(status="waiting"), "status 'waiting'"),
    "hash wrong": (lambda d: entry(d, "deck/02.png").update(dhash="0123456789abcdef"), "is 0123456789abcdef"),
    "hash of no image": (
        lambda d: entry(d, "text.png").update(dhash="0" * 16, dhash_confidence=0.1, dhash_status="ok"),
        "do not fit its status ok",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_fault_is_found_and_named(staged, name):
    ws, live, data = staged
    change, said = WRONG[name]
    document = json.loads(data)
    sample = 32 if name == "hash wrong" else 0
    judge(ws, live, spelt(document), sample=sample)  # the control: each finding is the change's alone
    change(document)
    with pytest.raises(ProcessingFailed) as caught:
        judge(ws, live, spelt(document), sample=sample)
    assert said in caught.value.what
    assert caught.value.exit_code == 2


def test_numbers_are_compared_as_they_are_written(staged):
    ws, live, data = staged
    with pytest.raises(ProcessingFailed, match=r"lost or changed"):
        judge(ws, live, data.replace(b"1.10", b"1.1"), sample=0)


def test_original_that_is_itself_a_duplicate(staged):
    ws, live, data = staged
    document = json.loads(data)
    same = entry(document, "copy.png")["dhash"]
    entry(document, "deck/03.png")["dhash"] = same
    first = document["dhash_duplicates"][0]
    document["dhash_duplicates"].append({**first, "duplicate": "deck/03.png", "original": first["duplicate"]})
    with pytest.raises(ProcessingFailed, match="original that is itself a duplicate"):
        judge(ws, live, spelt(document), sample=0)


def test_many_problems_are_counted(staged):
    ws, live, data = staged
    with pytest.raises(ProcessingFailed) as caught:
        judge(ws, live, data.replace(b'"dhash_status": "ok"', b'"dhash_status": "no"').replace(b"1.10", b"1.2"))
    assert caught.value.what.count("has no dhash_status") == SHOWN
    assert "more problem" in caught.value.what


@pytest.mark.parametrize("data", [b"", b"{", b'{"images": 3}', b"\xff"])
def test_broken_bytes_are_not_published(staged, data):
    ws, live, _ = staged
    with pytest.raises(ProcessingFailed, match="cannot be read back"):
        judge(ws, live, data)


def test_no_staged_file(staged):
    ws, live, _ = staged
    with pytest.raises(EnvironmentFailed):
        verify_staged(ws, ws.catalogue.with_name("absent"), live)


def test_too_many_failures(staged):
    ws, live, data = staged
    document = json.loads(data)
    for number in range(4):
        document["images"].append({"path": f"more/{number}.png", "dhash_status": "missing"})
    with pytest.raises(ProcessingFailed, match="6 of 11 images failed or are missing, more than 5 %"):
        judge(ws, live, spelt(document))


def test_files_that_changed_since_are_counted_apart(staged):
    ws, live, data = staged
    put(ws.library, {"deck/02.png": picture(77)})
    (ws.library / "deck/03.png").unlink()
    found = judge(ws, live, data, since=time.time() - LATER)
    assert (found.sampled, found.recomputed, found.changed) == (5, 3, 2)
    with pytest.raises(ProcessingFailed, match=r"'deck/02\.png'"):
        judge(ws, live, data)  # not touched since, says the time: then the hash is wrong


def test_no_sample_is_not_a_pass(staged):
    ws, live, data = staged
    for path in ws.library.rglob("*.png"):
        path.unlink()
    with pytest.raises(ProcessingFailed, match="none of the 5 hashes"):
        judge(ws, live, data, since=time.time() - LATER)


def test_end_of_the_run_says_what_changed_since(staged):
    ws, live, data = staged
    put(ws.library, {"deck/02.png": picture(77)})
    old = data.replace(b'"finished": "20', b'"finished": "19')
    assert judge(ws, live, old, since=None).changed == 1
    new = data.replace(b'"finished": "20', b'"finished": "29')
    with pytest.raises(ProcessingFailed, match="deck/02"):
        judge(ws, live, new, since=None)


def test_sample_depends_on_the_run_and_its_size_is_kept(staged):
    ws, _, data = staged
    document = parse(data, origin=str(ws.catalogue))
    first = [e.key for e in chosen_entries(document, 3, "r1")]
    assert first == [e.key for e in chosen_entries(document, 3, "r1")]
    assert len(first) == 3
    others = [tuple(e.key for e in chosen_entries(document, 3, f"r{n}")) for n in range(20)]
    assert len(set(others)) > 5
    assert {key for chosen in others for key in chosen} == {*(f"deck/0{n}.png" for n in range(4)), "copy.png"}


def test_heed_can_end_it(staged):
    ws, live, data = staged

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(ws, live, data, heed=stop)


TRICKY = st.sampled_from(["a}", ', "dhash": 1', "]", '"', "\\", '}, "dhash_status": "ok"', "{", "x"]) | st.text(
    max_size=6
)
VALUES = st.recursive(
    st.integers() | TRICKY | st.none(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["dhash", "dhash_status", "k"]) | TRICKY, inner, max_size=2)
    ),
    max_leaves=6,
)
OWNED = st.fixed_dictionaries(
    {}, optional={"dhash": TRICKY | st.none(), "dhash_confidence": st.integers(), "dhash_error": TRICKY}
)
MEMBERS = st.dictionaries(st.sampled_from(["path", "n", "dhash_other"]) | TRICKY, VALUES, max_size=4)


def text_of(foreign: dict[str, Any], owned: dict[str, Any], order: random.Random) -> str:
    """An entry with its foreign members in order and the owned ones anywhere between."""
    names = list(foreign)
    for name in owned:
        names.insert(order.randint(0, len(names)), name)
    return json.dumps({name: ({**foreign, **owned})[name] for name in names}, indent=order.choice([None, 1]))


@given(MEMBERS, MEMBERS, OWNED, OWNED, st.randoms(use_true_random=False))
def test_only_what_is_owned_may_differ(foreign, other, owned, owned_later, order):
    before, after = text_of(foreign, owned, order), text_of(foreign, owned_later, order)
    if json.dumps(foreign).count("[") + json.dumps(foreign).count("{") == 1:  # else its inner layout may be another
        assert _same_but_owned(before, after)
    changed = text_of(other, owned_later, order)
    if list(other.items()) != list(foreign.items()):
        assert not _same_but_owned(before, changed)
