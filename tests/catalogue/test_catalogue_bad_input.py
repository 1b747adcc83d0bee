"""Every way a catalogue can be wrong: exit 1, one sentence with the place, the file untouched."""

from __future__ import annotations

import codecs
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mobius_tui import errors
from mobius_tui.catalogue import document
from mobius_tui.catalogue.document import parse
from mobius_tui.catalogue.faults import MAX_DEPTH, first_fault, is_too_deep
from mobius_tui.catalogue.live import read_catalogue


def images(*entries: str) -> bytes:
    return ('{"images": [\n' + ",\n".join(entries) + "\n]}").encode()


A = '{"path": "a"}'
DEEP = "[" * (MAX_DEPTH + 50) + "]" * (MAX_DEPTH + 50)

CASES = {
    "empty": (b"", "is empty", "library.json"),
    "only space": (b" \n\t\r\n", "is empty", "library.json"),
    "not JSON": (b"images", "not JSON", "line 1 column 1"),
    "single quotes": (b"{'images': []}", "not JSON", "line 1 column 2"),
    "cut off in a list": (b'{"images": [\n{"path": "a"}', "breaks off", "line 2 column 14"),
    "cut off after a comma": (b'{"images": [{"path": "a"}, ', "breaks off", "line 1 column 28"),
    "cut off in a string": (b'{"images": [{"path": "a', "unterminated string", "line 1 column 22"),
    "cut off in an entry": (b'{"images": [{"path": ', "breaks off", "line 1 column 22"),
    "cut off at the end": (b'{"images": []', "breaks off", "line 1 column 14"),
    "cut off after a key": (b'{"images"', "breaks off", "line 1 column 10"),
    "only a brace": (b"{", "breaks off", "line 1 column 2"),
    "goes on": (b'{"images": []}\n{"images": []}', "goes on after its end", "line 2 column 1"),
    "comma too many": (images(A, ""), "not JSON", "line 4 column 1"),
    "comma too many in an entry": (images('{"path": "a",}'), "not JSON", "line 2 column 1"),
    "comma too many at the top": (b'{"images": [],}', "not JSON", "line 1 column 15"),
    "comma missing": (b'{"images": [{"path": "a"} {"path": "b"}]}', "a comma or ] was expected", "line 1 column 27"),
    "comma missing at the top": (b'{"images": [] "a": 1}', "a comma or } was expected", "line 1 column 15"),
    "colon missing": (b'{"images" []}', "a colon was expected", "line 1 column 11"),
    "wrong bracket": (b'{"images": [{"path": "a"}}', "not JSON", "line 1 column 26"),
    "leading zero": (images('{"path": "a", "n": 01}'), "not JSON", "line 2"),
    "control character": (images('{"path": "a\x1b[31m"}'), "invalid control character", "line 2 column 12"),
    "bad escape": (images(r'{"path": "a\x"}'), "escape", "line 2 column 12"),
    "bad escape in a key": (images(r'{"path": "a", "\x": 1}'), "escape", "line 2 column 16"),
    "UTF-16": (codecs.BOM_UTF16_LE + '{"images": []}'.encode("utf-16-le"), "not UTF-8", "line 1 column 1"),
    "Latin-1": ('{"images": [\n{"path": "é\xe9'.encode()[:-1] + b'"}]}', "not UTF-8", "line 2 column 12"),
    "surrogate in UTF-8": (b'{"images": [{"path": "\xed\xa0\x80"}]}', "not UTF-8", "line 1 column 23"),
    "byte order mark": (codecs.BOM_UTF8 + b'{"images": []}', "byte order mark", "line 1 column 1"),
    "array": (b"[]", "not an object", "line 1 column 1"),
    "number": (b" 7", "not an object", "line 1 column 2"),
    "null": (b"null", "not an object", "line 1 column 1"),
    "no images": (b'{"image": []}', 'no "images"', "library.json"),
    "no images at all": (b"{}", 'no "images"', "library.json"),
    "images an object": (b'{"images": {}}', "not an array", "line 1 column 12"),
    "images null": (b'{"images": null}', "not an array", "line 1 column 12"),
    "images a text": (b'{"images": "x"}', "not an array", "line 1 column 12"),
    "entry a text": (images(A, '"b"'), "images[1] is not an object", "line 3 column 1"),
    "entry an array": (images("[]"), "images[0] is not an object", "line 2 column 1"),
    "entry null": (images("null"), "images[0] is not an object", "line 2 column 1"),
    "no path": (images(A, "{}"), "images[1] has no path", "line 3 column 1"),
    "path null": (images('{"path": null}'), "images[0] has no path", "line 2 column 1"),
    "path a number": (images('{"path": 7}'), "images[0] has a path that is not a string", "line 2 column 1"),
    "path empty": (images('{"path": ""}'), "images[0] has an empty path", "line 2 column 1"),
    "path with NUL": (images(r'{"path": "a\u0000b"}'), "NUL", "line 2 column 1"),
    "path half a character": (images(r'{"path": "\ud83d.png"}'), "surrogate", "line 2 column 1"),
    "same path": (images(A, '{"path": "b"}', A), 'images[0] and images[2] name the same file, "a"', "line 4 column 1"),
    "same by ./": (images(A, '{"path": "./a"}'), 'images[0] and images[1] name the same file, "a" and "./a"', "line 3"),
    "same by ..": (images(A, '{"path": "x/../a"}'), "the same file", "line 3"),
    "same by //": (images('{"path": "x//a"}', '{"path": "x/a"}'), "the same file", "line 3"),
    "same by /.": (images('{"path": "x/./a"}', '{"path": "x/a"}'), "the same file", "line 3"),
    "same by escape": (images(A, r'{"path": "\u0061"}'), "the same file", "line 3"),
    "same, absolute": (images('{"path": "FOLDER/x/a"}', '{"path": "x/a"}'), "the same file", "line 3"),
    "same, absolute twice": (images('{"path": "//etc/a"}', '{"path": "/etc/./a"}'), "the same file", "line 3"),
    "key twice in an entry": (images('{"path": "a", "b": 1,\n "b": 2}'), 'the key "b" twice', "line 3 column 2"),
    "key twice by escape": (images(r'{"path": "a", "p\u0061th": "b"}'), "twice in one object", "line 2 column 15"),
    "key twice deep down": (
        images(A, '{"path": "b", "c": [{"d": {"e": 1, "e": 1}}]}'),
        '"e" twice',
        "line 3 column 36",
    ),
    "key twice at the top": (b'{"images": [], "images": []}', '"images" twice', "line 1 column 16"),
    "key twice elsewhere": (b'{"x": {"y": 1, "y": 2}, "images": []}', '"y" twice', "line 1 column 16"),
    "NaN": (images('{"path": "a", "n": NaN}'), "NaN", "line 2 column 20"),
    "Infinity": (images('{"path": "a", "n": [Infinity]}'), "Infinity", "line 2 column 21"),
    "-Infinity": (b'{"x": -Infinity, "images": []}', "-Infinity", "line 1 column 7"),
    "too deep": (images('{"path": "a", "n": ' + DEEP + "}"), "deeper than 200", "line 2 column"),
    "far too deep": (images('{"path": "a", "n": ' + "[" * 100_000), "deeper than 200", "line 2 column"),
    "too deep elsewhere": (b'{"x": ' + DEEP.encode() + b', "images": []}', "deeper than 200", "line 1 column"),
    "newer schema": (b'{"images": [],\n"dhash_migration": {"schema_version": 2}}', "newer MOBIUS (schema 2", "line 2"),
    "schema a text": (
        b'{"images": [], "dhash_migration": {"schema_version": "1"}}',
        "whole number",
        "line 1 column 35",
    ),
    "schema true": (b'{"images": [], "dhash_migration": {"schema_version": true}}', "whole number", "line 1"),
    "schema 1.0": (b'{"images": [], "dhash_migration": {"schema_version": 1.0}}', "whole number", "line 1"),
    "schema negative": (b'{"images": [], "dhash_migration": {"schema_version": -1}}', "whole number", "line 1"),
    "migration an array": (b'{"images": [], "dhash_migration": []}', '"dhash_migration" is not an object', "line 1"),
    "migration null": (b'{"images": [], "dhash_migration": null}', '"dhash_migration" is not an object', "line 1"),
    "duplicates an object": (b'{"images": [], "dhash_duplicates": {}}', '"dhash_duplicates" is not an array', "line 1"),
    "a duplicate a text": (
        b'{"images": [], "dhash_duplicates": [{}, ""]}',
        "dhash_duplicates[1] is not an obj",
        "line 1",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_in_one_sentence_and_untouched(case: str, tmp_path: Path) -> None:
    data, what, where = CASES[case]
    path = tmp_path / "library.json"
    data = data.replace(b"FOLDER", str(tmp_path).encode())
    path.write_bytes(data)
    before = path.stat()
    with pytest.raises(errors.BadInput) as caught:
        read_catalogue(path, patience_s=0)
    error = caught.value
    assert errors.exit_code_of(error) == 1
    assert what in error.what
    assert where in error.where
    assert str(path) in error.where
    assert error.what.isprintable() and not re.search(r"[.!?]( |$)", error.what), "one sentence, without a full stop"
    after = path.stat()
    assert path.read_bytes() == data
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_every_prefix_of_a_catalogue_is_refused() -> None:
    whole = images('{"path": "a", "n": [1.5, {"x": null}], "\\u00e9": "é\\"x"}', A.replace(': "a', ': "b')).replace(
        b"]}", b'], "dhash_migration": {"schema_version": 1}, "dhash_duplicates": []}'
    )
    parse(whole, origin="/x/library.json")
    for length in range(len(whole)):
        with pytest.raises(errors.BadInput):
            parse(whole[:length], origin="/x/library.json")


@pytest.mark.parametrize("name", ["\x1b[2J", "\u202egnp.exe", "a\nb", "[/]", "[@click=app.quit]x"])
def test_hostile_names_are_shown_escaped(name: str) -> None:
    entry = json.dumps({"path": name})
    with pytest.raises(errors.BadInput) as caught:
        parse(images(entry, entry), origin=f"/x/{name}/library.json")
    assert str(caught.value).isprintable()
    with pytest.raises(errors.BadInput) as caught:
        parse(
            f'{{"images": [], {json.dumps(name)}: 1, {json.dumps(name, ensure_ascii=False)}: 2}}'.encode(), origin="x"
        )
    assert str(caught.value).isprintable()


def test_hostile_keys_are_shown_escaped() -> None:
    data = '{"images": [{"path": "a", "x\u202e": 1, "x\u202e": 2}]}'
    with pytest.raises(errors.BadInput) as caught:
        parse(data.encode(), origin="/x/library.json")
    assert "\\u202e" in caught.value.what


@pytest.mark.parametrize(
    "data",
    [
        b'\n {"images" : [ ] }\r\n',
        images('{"path": "a", "same": {"path": "a"}, "x": {"same": 1}}', '{"path": "A"}', '{"path": "a/b"}'),
        images('{"path": "a", "n": ' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}"),
        images('{"path": "a", "n": [' + "{}," * 1000 + "[]]}"),
        images('{"path": "a", "n": "NaN {{{{ [[[["}'),
        images('{"path": "a", "n": ' + "9" * 10_000 + ', "dhash_confidence": 1e400, "\\ud800": "\\udfff"}'),
        b'{"images": [], "dhash_migration": {"schema_version": 0}}',
        b'{"images": [], "dhash_migration": {"n": ' + b"9" * 10_000 + b"}}",
        images('{"path": "../../b"}', '{"path": "a"}', '{"path": "/a"}', '{"path": ".a"}', '{"path": "..a"}'),
    ],
)
def test_what_only_looks_wrong_is_read(data: bytes) -> None:
    parse(data, origin="/x/library.json")


@pytest.mark.parametrize("make", ["absent", "folder", "below a file", *(["pipe"] if hasattr(os, "mkfifo") else [])])
def test_no_file_to_read(make: str, tmp_path: Path) -> None:
    path = tmp_path / "library.json"
    if make == "folder":
        path.mkdir()
    elif make == "pipe":
        os.mkfifo(path)
    elif make == "below a file":
        path.write_bytes(b"")
        path = path / "library.json"
    with pytest.raises(errors.BadInput) as caught:
        read_catalogue(path, patience_s=0)
    assert str(path) in caught.value.where


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.booleans())
def test_the_slow_walk_finds_nothing_in_good_values(value: object, ascii_only: bool) -> None:
    assert first_fault(json.dumps(value, ensure_ascii=ascii_only)) is None


@given(st.lists(st.sampled_from("[{"), min_size=MAX_DEPTH - 2, max_size=MAX_DEPTH + 2))
def test_depth_is_the_same_by_value_and_by_text(brackets: list[str]) -> None:
    text = "".join(c if c == "[" else '{"k": ' for c in brackets) + "0"
    text += "".join("]" if c == "[" else "}" for c in reversed(brackets))
    assert is_too_deep(json.loads(text)) == (first_fault(text) is not None) == (len(brackets) > MAX_DEPTH)


def test_a_long_list_of_duplicates_is_not_walked_token_by_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "first_fault", lambda *_: pytest.fail("the slow walk"))
    pair = '{"duplicate": "a", "original": "b", "hammingDistance": 0, "confidence": 1.0, "status": "exact"}'
    duplicates = ", ".join([pair] * (MAX_DEPTH + 1))
    parse(f'{{"images": [], "dhash_duplicates": [{duplicates}]}}'.encode(), origin="/x/library.json")


@settings(max_examples=400)
@given(st.binary(max_size=60) | st.text('{}[]":,\\ aimages\n1e.-', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for start in (b"", b'{"images": [', b'{"images": [{"path": "a", '):
        try:
            parse(start + data, origin="/x/library.json")
        except errors.BadInput as error:
            assert str(error).isprintable()
        else:
            json.loads(start + data)
