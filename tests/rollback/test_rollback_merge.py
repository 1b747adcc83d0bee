"""Three views of one catalogue: nothing of others is lost, nothing of MOBIUS's is kept that should go."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobius_tui.catalogue.document import Document, OwnedFields, parse
from mobius_tui.catalogue.render import parts_of, render
from mobius_tui.rollback.merge import OWNED, changes, grafted, images_with_dhash, keep_new, remove_owned, stripped
from mobius_tui.rollback.report import change_lines

ORIGIN = "/library/library.json"

# values as they are written: the text has to survive, not only the meaning
scalars = st.sampled_from(
    [
        "1.10",
        "1e3",
        "-0",
        "12345678901234567890",
        "true",
        "null",
        '""',
        '"a"',
        '"\\u0041"',
        '"dhash"',
        '", \\"dhash\\": 1"',
        '"é\\n"',
        '"{[\\"}"',
        '"\\\\"',
    ]
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
    st.dictionaries(st.sampled_from(["a", "dhash", "path"]), scalars, max_size=2).map(
        lambda items: "{" + ", ".join(f'"{name}" : {value}' for name, value in items.items()) + "}"
    ),
)
foreign_names = st.sampled_from(["title", "tags", "dhash_source", "dh\\u0061", "price", '\\"dhash'])
foreign = st.dictionaries(foreign_names, values, max_size=3)
dhashes = st.integers(0, 2**64 - 1).map(lambda number: f'"{number:016x}"')
owned = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {"dhash": dhashes, "dhash_confidence": st.sampled_from(["0.97", "1.0"]), "dhash_status": st.just('"ok"')}
    ),
    st.just({"dhash": "null", "dhash_confidence": "null", "dhash_status": '"failed"', "dhash_error": '"a, \\"b\\""'}),
    st.just({"dhash_status": '"missing"'}),
    st.just({"dh\\u0061sh": '"00000000000000ff"'}),
    st.just({"dhash": '{"not": "one"}'}),
)


@dataclass(frozen=True)
class Made:
    """An entry to be written: its path, members of others, owned members, and which come first."""

    path: str
    foreign: dict[str, str]
    owned: dict[str, str]
    owned_first: bool

    def text(self, wide: bool) -> str:
        plain = {"path": f'"{self.path}"', **self.foreign}
        members = {**self.owned, **plain} if self.owned_first else {**plain, **self.owned}
        gap, after = ("\n    ", "\n  ") if wide else (" ", "")
        return (
            "{"
            + gap.lstrip(" ")
            + f",{gap}".join(f'"{name}": {value}' for name, value in members.items())
            + after
            + "}"
        )


entries = st.lists(
    st.builds(Made, st.sampled_from("abcdefgh").map(lambda name: f"{name}.png"), foreign, owned, st.booleans()),
    max_size=6,
    unique_by=lambda made: made.path,
)
tops = st.dictionaries(st.sampled_from(["version", "owner", "zones"]), values, max_size=2)
layouts = st.booleans()


def catalogue(made: list[Made], top: dict[str, str], migration: str | None, wide: bool, images_last: bool) -> Document:
    images = '"images": [' + ", ".join(each.text(wide) for each in made) + "]"
    members = [f'"{name}" :{value}' for name, value in top.items()]
    if migration is not None:
        members += [f'"dhash_migration": {{"schema_version": 1, "run": {{"id": "{migration}"}}}}']
        members += ['"dhash_duplicates": []']
    ordered = [*members, images] if images_last else [images, *members]
    gap = "\n  " if wide else " "
    text = "{" + gap.lstrip(" ") + f",{gap}".join(ordered) + ("\n}\n" if wide else "}")
    return parse(text.encode(), origin=ORIGIN)


catalogues = st.builds(
    catalogue, entries, tops, st.one_of(st.none(), st.sampled_from(["run-1", "run-2"])), layouts, st.booleans()
)


def members(raw: str, mine: bool) -> dict[str, str]:
    """The members' texts of an entry, MOBIUS's or the others'."""
    return {part.name: raw[part.value : part.end] for part in parts_of(raw) if (part.name in OWNED) is mine}


def top_level(document: Document, mine: bool) -> dict[str, str]:
    named = {"dhash_migration", "dhash_duplicates"}
    return {
        name: document.text[member.value_start : member.value_end]
        for name, member in document.members.items()
        if name != "images" and (name in named) is mine
    }


@given(catalogues, catalogues)
def test_keep_new_has_others_members_of_live_and_owned_members_of_the_target(live: Document, target: Document) -> None:
    merged = keep_new(live, target)
    result = parse(merged.content, origin=ORIGIN)
    if not merged.changes:
        assert merged.content == target.text.encode()
        return
    assert [entry.key for entry in result.entries] == [entry.key for entry in live.entries]
    before = {entry.key: target.raw(entry) for entry in target.entries}
    for was, now in zip(live.entries, result.entries, strict=True):
        wanted = members(before[now.key], True) if now.key in before else {}
        assert members(result.raw(now), True) == wanted
        assert members(result.raw(now), False) == members(live.raw(was), False)
    assert top_level(result, False) == top_level(live, False)
    assert top_level(result, True) == top_level(target, True)


@given(catalogues, catalogues)
def test_bring_back_is_keep_new_with_the_lost_entries_at_the_end(live: Document, target: Document) -> None:
    kept, merged = (keep_new(live, target, bring_back=back) for back in (False, True))
    assert merged.changes == replace(kept.changes, removed=(), returned=kept.changes.removed)
    if merged.content == target.text.encode():  # nothing but entries was lost, or nothing at all
        assert changes(live, target) in {changes(target, target), type(kept.changes)(removed=kept.changes.removed)}
        return
    result, before = parse(merged.content, origin=ORIGIN), {entry.key: target.raw(entry) for entry in target.entries}
    here = parse(kept.content, origin=ORIGIN)
    lost = [entry.key for entry in target.entries if entry.key not in {each.key for each in live.entries}]
    assert [entry.key for entry in result.entries] == [entry.key for entry in live.entries] + lost
    for entry in result.entries[len(live.entries) :]:
        assert result.raw(entry) == before[entry.key]
    assert [result.raw(entry) for entry in result.entries[: len(live.entries)]] == [
        here.raw(entry) for entry in here.entries
    ]
    assert top_level(result, True) == top_level(target, True) and top_level(result, False) == top_level(live, False)


@given(catalogues)
def test_what_only_mobius_changed_is_no_change_and_comes_back_to_the_byte(target: Document) -> None:
    fields = OwnedFields("0123456789abcdef", 0.5, "ok")
    published = b"".join(
        render(target, [fields] * len(target.entries), migration={"run": {"id": "run-9"}}, duplicates=[])
    )
    live = parse(published, origin=ORIGIN)
    assert not changes(live, target)
    assert keep_new(live, target).content == target.text.encode()


@given(catalogues)
def test_remove_owned_leaves_others_texts_and_nothing_of_ours(document: Document) -> None:
    result = parse(remove_owned(document), origin=ORIGIN)
    assert [entry.path for entry in result.entries] == [entry.path for entry in document.entries]
    for was, now in zip(document.entries, result.entries, strict=True):
        assert members(result.raw(now), True) == {}
        assert members(result.raw(now), False) == members(document.raw(was), False)
    assert top_level(result, True) == {}
    assert top_level(result, False) == top_level(document, False)
    assert remove_owned(result) == result.text.encode()


@given(catalogues)
def test_remove_owned_undoes_a_first_publication_to_the_byte(document: Document) -> None:
    plain = parse(remove_owned(document), origin=ORIGIN)
    fields = OwnedFields("0123456789abcdef", 0.5, "ok")
    published = b"".join(render(plain, [fields] * len(plain.entries), migration={"run": {}}, duplicates=[]))
    assert remove_owned(parse(published, origin=ORIGIN)) == plain.text.encode()


@given(catalogues, catalogues)
def test_changes_names_exactly_what_differs(live: Document, target: Document) -> None:
    found = changes(live, target)
    here = {entry.key: json.loads(live.raw(entry)) for entry in live.entries}
    there = {entry.key: json.loads(target.raw(entry)) for entry in target.entries}
    assert {*found.added, *found.bare} == here.keys() - there.keys()
    assert set(found.removed) == there.keys() - here.keys()
    for path, names in found.changed:
        assert names and not set(names) & OWNED
        for name in names:
            assert json.dumps(here[path].get(name, 0)) != json.dumps(there[path].get(name, 0)) or (
                (name in here[path]) != (name in there[path])
            )
    same = here.keys() & there.keys() - {path for path, _ in found.changed}
    for key in same:
        mine, theirs = ({k: v for k, v in each[key].items() if k not in OWNED} for each in (here, there))
        assert json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)


@given(catalogues)
def test_figures_count_dhashes(document: Document) -> None:
    well_formed = [entry for entry in document.entries if entry.dhash is not None]
    assert images_with_dhash(document) == len(well_formed)


def doc(text: str) -> Document:
    return parse(text.encode(), origin=ORIGIN)


def test_entries_that_come_back_are_told_as_such() -> None:
    target = doc('{"images": [{"path": "a"}, {"path": "b"}]}')
    only = keep_new(doc('{"images": [{"path": "a"}]}'), target, bring_back=True).changes
    said = [line for line, _ in change_lines(only, kept=True, done=True)]
    assert said == ["1 entries that were gone, and nobody is known to have removed, came back: b"]
    both = keep_new(doc('{"images": [{"path": "a", "x": 1}, {"path": "c", "x": 1}]}'), target, bring_back=True).changes
    said = [line for line, _ in change_lines(both, kept=True, done=False)]
    assert said[0].endswith("come back: b") and "  1 entries added: c" in said
    assert not any("removed:" in line for line in said)


def test_entries_only_in_live_are_kept_without_owned_members() -> None:
    live = doc(
        '{"images": [{"path": "a", "dhash": "0123456789abcdef"}, {"path": "b", "dhash_status": "ok", "x": 1.10}]}'
    )
    merged = keep_new(live, doc('{"images": [{"path": "a"}]}'))
    assert merged.content == b'{"images": [{"path": "a"}, {"path": "b", "x": 1.10}]}'
    assert merged.changes.added == ("b",)


def test_what_others_removed_stays_removed_with_the_pairs_that_named_it() -> None:
    target = doc(
        '{"images": [{"path": "a"}, {"path": "b"}, {"path": "c"}], "dhash_duplicates": '
        '[{"duplicate": "b", "original": "a"}, {"duplicate": "c", "original": "a"}]}'
    )
    merged = keep_new(doc('{"images": [{"path": "a"}, {"path": "c"}]}'), target)
    result = json.loads(merged.content)
    assert merged.changes.removed == ("b",)
    assert [entry["path"] for entry in result["images"]] == ["a", "c"]
    assert [pair["duplicate"] for pair in result["dhash_duplicates"]] == ["c"]


def test_an_entry_of_path_and_owned_members_is_told_apart() -> None:
    live = doc('{"images": [{"path": "a", "dhash_status": "ok"}, {"path": "b"}]}')
    found = changes(live, doc('{"images": []}'))
    assert (found.bare, found.added) == (("a",), ("b",))


@pytest.mark.parametrize(("mine", "theirs"), [("1.10", "1.1"), ("1", "1.0"), ('"A"', '"\\u0041"'), ("[1, 2]", "[1,2]")])
def test_other_spelling_is_no_change(mine: str, theirs: str) -> None:
    assert not changes(
        doc(f'{{"images": [{{"path": "a", "x": {mine}}}]}}'), doc(f'{{"images": [{{"path": "a", "x": {theirs}}}]}}')
    )


@pytest.mark.parametrize(
    ("mine", "theirs"), [("true", "1"), ("null", '""'), ("[1, 2]", "[2, 1]"), ("9007199254740993", "9007199254740992")]
)
def test_other_values_are_changes(mine: str, theirs: str) -> None:
    found = changes(
        doc(f'{{"images": [{{"path": "a", "x": {mine}}}]}}'), doc(f'{{"images": [{{"path": "a", "x": {theirs}}}]}}')
    )
    assert found.changed == (("a", ("x",)),)


def test_order_of_entries_is_others_and_kept() -> None:
    live, target = doc('{"images": [{"path": "b"}, {"path": "a"}]}'), doc('{"images": [{"path": "a"}, {"path": "b"}]}')
    merged = keep_new(live, target)
    assert merged.changes.reordered
    assert merged.content == live.text.encode()


def test_nested_objects_and_strings_are_no_owned_members() -> None:
    raw = '{"meta": {"k": 1, "dhash": "x"}, "note": ", \\"dhash\\": 1", "path": "a", "dhash": null}'
    assert stripped(raw) == '{"meta": {"k": 1, "dhash": "x"}, "note": ", \\"dhash\\": 1", "path": "a"}'


def test_grafted_members_follow_the_layout_of_their_new_place() -> None:
    raw = '{\n  "path": "a"\n}'
    assert grafted(raw, '{"path":"a","dhash":"x"}') == '{\n  "path": "a",\n  "dhash": "x"\n}'
