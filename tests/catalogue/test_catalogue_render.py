"""Round trip: what MOBIUS does not own survives byte for byte, and what it writes is JSON for jq and Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.catalogue.document import Document, OwnedFields, empty_document, parse
from mobius_tui.catalogue.render import render, spliced

ORIGIN = "/x/library.json"
OK = OwnedFields("f0e4c2d9a1b3c5d7", 0.97, "ok")
FAILED = OwnedFields(None, None, "failed", "truncated file")
MISSING = OwnedFields(None, None, "missing")
OWNED = {"dhash", "dhash_confidence", "dhash_status", "dhash_error"}


def read(data: bytes | str) -> Document:
    return parse(data.encode() if isinstance(data, str) else data, origin=ORIGIN)


def written(document: Document, *args, **kwargs) -> str:
    return b"".join(render(document, *args, **kwargs)).decode()


# --- examples that can be read ----------------------------------------------------------------------------------


def test_a_new_catalogue() -> None:
    text = written(
        empty_document(ORIGIN),
        appended=[("a.png", OK), ("b.png", FAILED)],
        migration={"schema_version": 1, "run": {"by": "ann"}},
        duplicates=[{"duplicate": "a", "original": "b", "confidence": 1.0}, {"duplicate": "c"}],
    )
    assert text == (
        "{\n"
        '  "images": [\n'
        '    {"path": "a.png", "dhash": "f0e4c2d9a1b3c5d7", "dhash_confidence": 0.97, "dhash_status": "ok"},\n'
        '    {"path": "b.png", "dhash": null, "dhash_confidence": null, "dhash_status": "failed", '
        '"dhash_error": "truncated file"}\n'
        "  ],\n"
        '  "dhash_migration": {\n'
        '    "schema_version": 1,\n'
        '    "run": {"by": "ann"}\n'
        "  },\n"
        '  "dhash_duplicates": [\n'
        '    {"duplicate": "a", "original": "b", "confidence": 1.0},\n'
        '    {"duplicate": "c"}\n'
        "  ]\n"
        "}\n"
    )


def test_an_empty_new_catalogue() -> None:
    text = written(empty_document(ORIGIN), migration={"schema_version": 1}, duplicates=[])
    assert json.loads(text) == {"images": [], "dhash_migration": {"schema_version": 1}, "dhash_duplicates": []}


@pytest.mark.parametrize(
    ("raw", "fields", "expected"),
    [
        # added after the last member, in the entry's own style
        ('{"path": "a"}', MISSING, '{"path": "a", "dhash_status": "missing"}'),
        ('{"path":"a"}', MISSING, '{"path":"a","dhash_status":"missing"}'),
        ('{"path":"a", "x":1.10}', MISSING, '{"path":"a", "x":1.10, "dhash_status":"missing"}'),
        ('{"x": [1,{"y":2}]\n , "path" : "a" }', MISSING,
         '{"x": [1,{"y":2}]\n , "path" : "a", "dhash_status" : "missing" }'),
        ('{\n\t"path": "a"\n}', MISSING, '{\n\t"path": "a",\n\t"dhash_status": "missing"\n}'),
        ('{\r\n  "path": "a",\r\n  "x": {}\r\n}', MISSING,
         '{\r\n  "path": "a",\r\n  "x": {},\r\n  "dhash_status": "missing"\r\n}'),
        # replaced where they stand
        ('{"dhash_status": "ok", "path": "a"}', MISSING, '{"dhash_status": "missing", "path": "a"}'),
        ('{"dhash_status": [{"path": "x"}], "path": "a"}', MISSING, '{"dhash_status": "missing", "path": "a"}'),
        (r'{"dhash\u005fstatus":"ok", "path": "a"}', MISSING, r'{"dhash\u005fstatus":"missing", "path": "a"}'),
        # the last hash of a missing file stays, however it is written
        ('{"path":"a","dhash":"0000000000000000","dhash_confidence":0.970,"dhash_status":"ok"}', MISSING,
         '{"path":"a","dhash":"0000000000000000","dhash_confidence":0.970,"dhash_status":"missing"}'),
        # an equal value keeps its spelling, a different type does not
        ('{"path":"a","dhash_confidence":0.970,"dhash":"f0e4c2d9a1b3c5d7","dhash_status":"\\u006fk"}', OK,
         '{"path":"a","dhash_confidence":0.970,"dhash":"f0e4c2d9a1b3c5d7","dhash_status":"\\u006fk"}'),
        ('{"path":"a","dhash":null,"dhash_confidence":1e400,"dhash_status":7}', OK,
         '{"path":"a","dhash":"f0e4c2d9a1b3c5d7","dhash_confidence":0.97,"dhash_status":"ok"}'),
        ('{"path":"a","dhash":"F0E4C2D9A1B3C5D7","dhash_confidence":true,"dhash_status":"ok"}',
         OwnedFields("f0e4c2d9a1b3c5d7", 1.0, "ok"),
         '{"path":"a","dhash":"f0e4c2d9a1b3c5d7","dhash_confidence":1.0,"dhash_status":"ok"}'),
        # the error goes when the image is well again
        ('{"dhash_error": "x", "path": "a"}', MISSING, '{ "path": "a", "dhash_status": "missing"}'),
        ('{"path": "a", "dhash_error": "x"}', MISSING, '{"path": "a", "dhash_status": "missing"}'),
        ('{"path": "a", "dhash_error": {"why": ["x"]}, "y": 1}', MISSING,
         '{"path": "a", "y": 1, "dhash_status": "missing"}'),
        ('{"path": "a", "dhash_status": "missing", "dhash_error": "x"}', MISSING,
         '{"path": "a", "dhash_status": "missing"}'),
        ('{"dhash_error":"x","dhash_status":"ok","path":"a"}', MISSING, '{"dhash_status":"missing","path":"a"}'),
        # names in values and nested objects are not members
        ('{"path": "a", "x": {"dhash_status": "ok"}, "y": "dhash_error\\": 1"}', MISSING,
         '{"path": "a", "x": {"dhash_status": "ok"}, "y": "dhash_error\\": 1", "dhash_status": "missing"}'),
    ],
)  # fmt: skip
def test_an_entry(raw: str, fields: OwnedFields, expected: str) -> None:
    assert spliced(raw, fields) == expected
    text = f'{{"images": [{raw}]}}'
    assert written(read(text), [fields]) == f'{{"images": [{expected}]}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"images":[]}', '{"images":[\n    NEW\n  ]}'),
        ('{\n "images": [ ]}', '{\n "images": [\n  NEW\n ]}'),
        ('{\r\n\t"images": []\r\n}', '{\r\n\t"images": [\r\n\t\tNEW\r\n\t]\r\n}'),
    ],
)
def test_the_first_entry_is_indented_like_the_document(text: str, expected: str) -> None:
    new = '{"path": "n", "dhash_status": "missing"}'
    assert written(read(text), appended=[("n", MISSING)]) == expected.replace("NEW", new)


@pytest.mark.parametrize(
    ("entries", "new"),
    [
        ('[{"path":"a"}]', ',{"path":"n","dhash_status":"missing"}'),
        ('[\n  {"path": "a"},\n  {"path": "b"}\n]', ',\n  {"path": "n", "dhash_status": "missing"}'),
        ('[\n {\n  "path": "a"\n }\n]', ',\n {\n  "path": "n",\n  "dhash_status": "missing"\n }'),
        ('[ { "path": "a", "x": 1 }, {} ]'.replace(", {}", ""), ', { "path": "n", "dhash_status": "missing" }'),
    ],
)
def test_an_appended_entry_is_laid_out_like_the_last(entries: str, new: str) -> None:
    end = len(entries) - len(entries[entries.rindex("}") + 1 :])
    expected = entries[:end] + new + entries[end:]
    assert written(read(f'{{"images": {entries}}}'), appended=[("n", MISSING)]) == f'{{"images": {expected}}}'


def test_the_lists_are_replaced_where_they_stand() -> None:
    text = '{"dhash_duplicates": [{"duplicate": "old"}], "a": 1.10, '
    text += '"dhash_migration": {"x": null}, "images": [], "z": 1e400}'
    new = written(read(text), migration={"schema_version": 1}, duplicates=[{"duplicate": "n"}])
    assert list(json.loads(new)) == ["dhash_duplicates", "a", "dhash_migration", "images", "z"]
    assert '"a": 1.10' in new and '"z": 1e400' in new and "old" not in new and "null" not in new


def test_duplicates_stand_one_a_line() -> None:
    new = written(read('{"images": []}'), duplicates=({"duplicate": f"{n}\n", "original": "o"} for n in range(3)))
    assert [line.strip(" ,") for line in new.splitlines()[1:4]] == [
        f'{{"duplicate": "{n}\\n", "original": "o"}}' for n in range(3)
    ]


def test_missing_without_a_known_hash_adds_none() -> None:
    text = '{"images": [{"path": "a", "dhash_status": "missing"}]}'
    assert written(read(text), [MISSING]) == text


@pytest.mark.parametrize(
    ("confidence", "text"),
    [
        (0.97004, "0.97"),
        (1, "1.0"),
        (0.0, "0.0"),
        (-0.0, "0.0"),
        (0.00005, "0.0001"),
        (0.00004, "0.0"),
        (1 / 3, "0.3333"),
    ],
)
def test_confidence_has_four_decimals(confidence: float, text: str) -> None:
    assert f'"dhash_confidence": {text},' in spliced('{"path": "a"}', OwnedFields("0" * 16, confidence, "ok"))


@pytest.mark.parametrize(
    "fields",
    [
        OwnedFields("xyz", 0.5, "ok"),
        OwnedFields("0" * 16, 1.5, "ok"),
        OwnedFields("0" * 16, float("nan"), "ok"),
        OwnedFields("0" * 16, 0.5, "fine"),
        OwnedFields("0" * 16, 0.5, "failed", "x"),
    ],
)
def test_what_the_catalogue_may_not_hold_is_never_written(fields: OwnedFields) -> None:
    with pytest.raises(ValueError):
        spliced('{"path": "a"}', fields)


def test_the_number_of_updates_is_checked_at_once() -> None:
    with pytest.raises(ValueError, match="2 updates for 1"):
        render(read('{"images": [{"path": "a"}]}'), [OK, OK])


@pytest.mark.parametrize("path", ["a", "./a", "/x/a", "", "b\0", "\udce9.png"])
def test_a_path_that_could_not_be_read_back_is_never_appended(path: str) -> None:
    with pytest.raises(ValueError):
        render(read('{"images": [{"path": "a"}]}'), appended=[(path, OK)])


def test_an_error_with_half_a_character_is_written_in_words() -> None:
    text = spliced('{"path": "a"}', OwnedFields(None, None, "failed", "no \udce9.png"))
    assert json.loads(text)["dhash_error"] == "no \\udce9.png"


def test_owned_values_are_read_leniently() -> None:
    entries = read(
        '{"images": [{"path": "a", "dhash": "f0e4c2d9a1b3c5d7", "dhash_confidence": 1, "dhash_status": "ok"},'
        '{"path": "b", "dhash": "F0E4C2D9A1B3C5D7", "dhash_confidence": 2, "dhash_status": "fine", "dhash_error": 1},'
        '{"path": "c", "dhash": 1, "dhash_confidence": 1e400, "dhash_status": []},'
        '{"path": "d", "dhash": null, "dhash_confidence": true, "dhash_status": "failed", "dhash_error": "why"}]}'
    ).entries
    assert [(e.dhash, e.confidence, e.status, e.error) for e in entries] == [
        ("f0e4c2d9a1b3c5d7", 1.0, "ok", None),
        (None, None, None, None),
        (None, None, None, None),
        (None, None, "failed", "why"),
    ]


def test_a_big_catalogue_comes_in_pieces() -> None:
    whole = '{"images": [' + ",\n".join(f'{{"path": "{n}", "x": "{"é" * 100}"}}' for n in range(20_000)) + "]}"
    pieces = list(render(read(whole)))
    assert b"".join(pieces).decode() == whole
    assert max(map(len, pieces)) < 1_500_000 and len(pieces) > 5


# --- properties -------------------------------------------------------------------------------------------------

SPACE = st.text(" \t\n\r", max_size=3)
NUMBERS = st.sampled_from(["1.10", "1e400", "-0", "0.0", "1E+2", "-1e-999", "123456789012345678901234567890", "7"])
PLAIN = st.text(st.characters(blacklist_categories=("Cs",)), max_size=6)
TEXTS = st.builds(lambda t, a: json.dumps(t, ensure_ascii=a), PLAIN, st.booleans()) | st.sampled_from(
    [
        r'"\u0041"',
        r'"\/"',
        r'"\ud83d\ude00"',
        r'"\ud800"',
        '"]}"',
        r'"\\\""',
        '"{"',
        r'"a\",\"dhash\": \"b"',
        '"\x7f\u2028"',
    ]
)
ATOMS = NUMBERS | TEXTS | st.sampled_from(["true", "false", "null"])


def joined(opening: str, items: list[str], closing: str, spaces: list[str]) -> str:
    text = opening
    for index, item in enumerate(items):
        text += ("," if index else "") + spaces[2 * index % len(spaces)] + item + spaces[(2 * index + 1) % len(spaces)]
    return text + (spaces[0] if not items else "") + closing


SPACES = st.lists(SPACE, min_size=1, max_size=4)


def objects(values, keys=TEXTS):
    def build(members: list[tuple[str, str]], spaces: list[str], colon: str) -> str:
        seen, items = set(), []
        for key, value in members:
            if json.loads(key) not in seen:
                seen.add(json.loads(key))
                items.append(f"{key}{colon}{value}")
        return joined("{", items, "}", spaces)

    colon = st.sampled_from([":", ": ", " : ", "\n:\t"])
    return st.builds(build, st.lists(st.tuples(keys, values), max_size=4), SPACES, colon)


VALUES = st.recursive(
    ATOMS,
    lambda inner: st.builds(lambda i, s: joined("[", i, "]", s), st.lists(inner, max_size=3), SPACES) | objects(inner),
    max_leaves=6,
)
OWNED_TEXT = st.sampled_from(
    ['"dhash": "f0e4c2d9a1b3c5d7"', '"dhash": null', '"dhash" :{"x":[1]}', '"dhash_confidence": 0.970',
     '"dhash_confidence":"no"', '"dhash_status": "ok"', '"dhash_status": "failed"', '"dhash_error": "x"',
     r'"dhash\u005ferror" : ["x", {"y": 1}]', '"dhash_error":null']
)  # fmt: skip


@st.composite
def catalogues(draw) -> str:
    entries = []
    for number in range(draw(st.integers(0, 4))):
        members = [
            f'"path": {json.dumps(f"{number}/" + draw(PLAIN).replace(chr(0), "").replace("/", "").replace(".", ""))}'
        ]
        members += draw(st.lists(OWNED_TEXT, max_size=4))
        members += [f"{k}:{v}" for k, v in draw(st.lists(st.tuples(TEXTS, VALUES), max_size=3))]
        seen, kept = set(), []
        for member in draw(st.permutations(members)):
            name, _ = json.JSONDecoder().raw_decode(member)
            if name not in seen and (name != "path" or member.startswith('"path": ')):
                seen.add(name)
                kept.append(member)
        entries.append(joined("{", kept, "}", draw(SPACES)))
    top = [f'"images"{draw(st.sampled_from([":", ": "]))}{joined("[", entries, "]", draw(SPACES))}']
    top += draw(
        st.lists(
            st.builds(lambda n, v: f'"x{n}": {v}', st.integers(0, 3), VALUES), max_size=2, unique_by=lambda t: t[:4]
        )
    )
    if draw(st.booleans()):
        top.append(f'"dhash_migration": {draw(st.sampled_from(["{}", """{ "schema_version":1, "x": 1.10 }"""]))}')
    if draw(st.booleans()):
        top.append(f'"dhash_duplicates":{draw(st.sampled_from(["[]", """[ {"duplicate": "a"} ]"""]))}')
    return draw(SPACE) + joined("{", draw(st.permutations(top)), "}", draw(SPACES)) + draw(SPACE)


FIELDS = st.sampled_from(
    [
        OK,
        FAILED,
        MISSING,
        OwnedFields("0" * 16, 0.5, "low_confidence"),
        OwnedFields(None, None, "failed", "\x1b[2J\u202e\ud800é"),
    ]
)
NAMES = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="/.\0"), min_size=1, max_size=8)


def as_written(text: str) -> object:
    """The value with members in order and numbers as text, to compare what JSON itself does not tell apart."""
    return json.loads(
        text, object_pairs_hook=list, parse_float=lambda t: ("number", t), parse_int=lambda t: ("number", t)
    )


def foreign(text: str) -> object:
    """What MOBIUS does not own, in order."""
    top = []
    for key, value in as_written(text):
        if key == "images":
            value = [[member for member in entry if member[0] not in OWNED] for entry in value]
        if key not in {"dhash_migration", "dhash_duplicates"}:
            top.append((key, value))
    return top


@given(catalogues())
def test_nothing_to_change_gives_the_same_bytes(text: str) -> None:
    document = read(text)
    assert written(document) == text
    assert written(document, [None] * len(document.entries)) == text


@given(catalogues(), st.data())
def test_what_is_not_owned_survives_and_what_is_owned_is_written(text: str, data: st.DataObject) -> None:
    document = read(text)
    updates = data.draw(st.lists(st.none() | FIELDS, min_size=len(document.entries), max_size=len(document.entries)))
    names = data.draw(st.lists(NAMES, max_size=2, unique=True))
    names = [f"new/{name}" for name in names]
    appended = [(name, data.draw(FIELDS)) for name in names]
    migration = data.draw(st.none() | st.just({"schema_version": 1, "run": {"a": [1, "é\u202e"]}}))
    duplicates = data.draw(
        st.none() | st.lists(st.builds(lambda n: {"duplicate": n, "hammingDistance": 3}, NAMES), max_size=2)
    )
    new = written(document, updates, appended=appended, migration=migration, duplicates=duplicates)
    again = read(new)

    entries = len(document.entries)
    kept = foreign(new)
    for member in kept:
        if member[0] == "images":
            assert [entry[0] for entry in member[1][entries:]] == [("path", name) for name in names]
            del member[1][entries:]
    assert kept == foreign(text)

    for old, entry, fields in zip(document.entries, again.entries, updates, strict=False):
        if fields is None:
            assert again.raw(entry) == document.raw(old)
            continue
        values = json.loads(again.raw(entry))
        assert values["dhash_status"] == fields.status
        assert ("dhash_error" in values) == (fields.status == "failed")
        if fields is MISSING:
            assert values.get("dhash") == json.loads(document.raw(old)).get("dhash")
        else:
            assert values["dhash"] == fields.dhash
            assert values["dhash_confidence"] == fields.confidence
    if migration is not None:
        assert again.migration == migration
    if duplicates is not None:
        assert again.duplicates == duplicates

    same = list(updates) + [fields for _, fields in appended]
    assert written(again, same, migration=migration, duplicates=duplicates) == new
    assert written(again) == new


# --- other people's readers -------------------------------------------------------------------------------------

HOSTILE = ["[/].png", "a\nb.png", "\x1b[2J.png", "\u202egnp.png", 'q"uo\\te.png', "é€😀.png", "\u2028.png", "=1+1.png",
           "</script>.png", "\x7f\x9b.png", "__proto__", " .png"]  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "library.json"
    data = render(
        empty_document(str(path)),
        appended=[
            (name, OwnedFields(None, None, "failed", name) if n % 3 == 0 else OK) for n, name in enumerate(HOSTILE)
        ],
        migration={"schema_version": 1, "algorithm": "dhash-64", "run": {"by": HOSTILE[2]}},
        duplicates=[
            {"duplicate": n, "original": HOSTILE[0], "hammingDistance": 0, "confidence": 1.0} for n in HOSTILE[1:]
        ],
    )
    path.write_bytes(b"".join(data))
    return path


def run(program: str, *arguments: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} here")
    return subprocess.run([found, *arguments], check=True, capture_output=True, timeout=60).stdout.decode()


def test_no_name_reaches_a_terminal_as_control(hostile: Path) -> None:
    text = hostile.read_text()
    assert not [c for c in text if not c.isprintable() and c != "\n"]


def test_jq_reads_it(hostile: Path) -> None:
    assert json.loads(run("jq", ".", str(hostile)))["images"][0]["path"] == HOSTILE[0]
    assert json.loads(run("jq", "-c", "[.images[].path]", str(hostile))) == HOSTILE
    assert json.loads(run("jq", "-c", "[.dhash_duplicates[].duplicate]", str(hostile))) == HOSTILE[1:]


def test_node_reads_it(hostile: Path) -> None:
    script = """
        const lib = JSON.parse(require('fs').readFileSync(process.argv[1], 'utf8'));
        console.log(JSON.stringify({hashed: lib.images.filter(i => i.dhash).length, migration: lib.dhash_migration,
            duplicates: lib.dhash_duplicates.map(d => [d.duplicate, d.original, d.hammingDistance])}));
    """
    seen = json.loads(run("node", "-e", script, str(hostile)))
    assert seen["hashed"] == sum(n % 3 != 0 for n in range(len(HOSTILE)))
    assert seen["migration"]["schema_version"] == 1
    assert seen["duplicates"] == [[name, HOSTILE[0], 0] for name in HOSTILE[1:]]
