"""The demo library: what it says of itself is true of its files, and a drawing that is cut off is finished."""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError

from mobius_tui.errors import BadInput
from mobius_tui.operations import demo
from mobius_tui.operations.demo import MARKER, DemoFacts, create_demo_workspace, demo_facts, draw_demo_library
from mobius_tui.operations.demo_art import originals


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return draw_demo_library(tmp_path_factory.mktemp("demo") / "library")


@pytest.fixture
def few(monkeypatch):
    """A plan of six files, so that the workspace tests need not draw three hundred."""
    chosen = [original for original in originals.originals() if original.path.startswith("dice/face-")][:5]
    monkeypatch.setattr(demo, "originals", lambda: chosen)
    monkeypatch.setattr(demo, "EXACT", (("again/one.png", "dice/face-1.png"),))
    monkeypatch.setattr(demo, "near_copies", list)
    monkeypatch.setattr(demo, "NEAR_EMPTY", ())
    monkeypatch.setattr(demo, "BROKEN", ())
    return [original.path for original in chosen] + ["again/one.png"]


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def _dhash(path: Path) -> list[bool]:
    """The 64 bits of a picture, turned as its EXIF says and on white."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "I;16":
            upright = Image.frombytes("L", upright.size, upright.tobytes()[1::2])
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        gray = Image.alpha_composite(white, upright).convert("L").resize((9, 8), Image.Resampling.LANCZOS).tobytes()
    return [gray[9 * row + column + 1] > gray[9 * row + column] for row in range(8) for column in range(8)]


def _distance(one: Path, other: Path) -> int:
    return sum(a != b for a, b in zip(_dhash(one), _dhash(other), strict=True))


def test_there_are_as_many_files_as_said_and_no_leftovers(facts: DemoFacts):
    found = _files(facts.folder)
    assert len(found) == facts.files
    assert 280 <= facts.files <= 330
    assert not [name for name in found if Path(name).name.startswith(".")]


def test_every_path_of_the_facts_is_a_file(facts: DemoFacts):
    found = _files(facts.folder)
    pairs = [*facts.exact, *facts.near, *facts.lookalikes]
    named = {path for pair in pairs for path in (pair.left, pair.right)}
    assert named | set(facts.near_empty) | {path for path, _ in facts.broken} <= found.keys()


def test_files_have_equal_bytes_exactly_where_said(facts: DemoFacts):
    same = defaultdict(set)
    for name, path in _files(facts.folder).items():
        same[hashlib.sha256(path.read_bytes()).digest()].add(name)
    said = defaultdict(set)
    for pair in facts.exact:
        said[pair.left] |= {pair.left, pair.right}
    assert sorted(map(sorted, said.values())) == sorted(sorted(names) for names in same.values() if len(names) > 1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_called_broken_fails_to_decode_and_nothing_else(facts: DemoFacts):
    failed = set()
    for name, path in _files(facts.folder).items():
        try:
            with Image.open(path) as image:
                image.load()
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            failed.add(name)
    assert failed == {path for path, _ in facts.broken}
    assert facts.images == facts.files - len(failed)


def test_near_duplicates_have_other_bytes_and_are_found_by_distance(facts: DemoFacts):
    assert len(facts.near) >= 20
    for pair in facts.near:
        left, right = facts.folder / pair.left, facts.folder / pair.right
        assert left.read_bytes() != right.read_bytes(), pair
        assert _distance(left, right) <= 10, pair


def test_look_alikes_are_as_close_as_duplicates_and_not_the_same(facts: DemoFacts):
    for pair in facts.lookalikes:
        left, right = facts.folder / pair.left, facts.folder / pair.right
        with Image.open(left) as one, Image.open(right) as other:
            assert ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getbbox(), pair
        assert _distance(left, right) <= 10, pair


def test_different_originals_have_different_pixels(facts: DemoFacts):
    seen = {}
    copies = {pair.right for pair in (*facts.exact, *facts.near)} | {path for path, _ in facts.broken}
    for name, path in _files(facts.folder).items():
        if name in copies:
            continue
        with Image.open(path) as image:
            key = (image.size, hashlib.sha256(image.convert("RGBA").tobytes()).digest())
        assert key not in seen, (name, seen[key])
        seen[key] = name


def test_a_reprinted_page_differs_in_one_place(facts: DemoFacts):
    for pair in facts.lookalikes:
        if pair.how in {"one word", "one figure"}:
            with Image.open(facts.folder / pair.left) as one, Image.open(facts.folder / pair.right) as other:
                left, top, right, bottom = ImageChops.difference(one, other).getbbox()
                assert bottom - top < 26, pair
                assert right - left < one.width, pair


def test_the_formats_and_modes_that_make_trouble_are_there(facts: DemoFacts):
    formats, modes, turned, frames = set(), set(), 0, 0
    for pair in facts.near:
        with Image.open(facts.folder / pair.right) as image:
            formats.add(image.format)
            modes.add(image.mode)
            turned += image.getexif().get(0x0112, 1) == 6
            frames = max(frames, getattr(image, "n_frames", 1))
    assert formats >= {"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"}
    assert modes >= {"1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"}
    assert turned == 1
    assert frames > 1


def test_sixteen_bits_use_their_whole_range(facts: DemoFacts):
    with Image.open(facts.folder / "scans/stones-40-16bit.png") as image:
        low, high = image.getextrema()
    assert high > 60_000
    assert low < 15_000


def test_awkward_names_are_there(facts: DemoFacts):
    names = " ".join(_files(facts.folder))
    for sign in ("[bold]x[/].png", "🎲", "\u200f", '"', "<b>", " "):
        assert originals.plain_name(sign) in names


def test_the_bytes_do_not_depend_on_what_was_drawn_before(facts: DemoFacts):
    plan = [original for original in originals.originals() if original.path.endswith(".png")]
    for original in random.Random(7).sample(plan, 30):
        assert demo._drawn(original.draw, original.path) == (facts.folder / original.path).read_bytes(), original.path


def test_progress_counts_every_file(tmp_path, few):
    told = []
    draw_demo_library(tmp_path, lambda done, total: told.append((done, total)))
    assert told == [(done, len(few)) for done in range(1, len(few) + 1)]


def test_a_workspace_is_made_with_its_folders_and_settings(tmp_path, few):
    root = tmp_path / "deep" / "demo"
    facts = create_demo_workspace(root)
    assert facts == replace(demo_facts(root / "library"), folder=root / "library")
    assert sorted(_files(facts.folder)) == sorted(few)
    assert {path.name for path in root.iterdir()} == {
        "library", "backups", "logs", "review", "themes", "mobius.toml", MARKER,
    }  # fmt: skip
    assert all(line.startswith("#") for line in (root / "mobius.toml").read_text().splitlines())


def test_a_complete_demo_is_left_as_it_is(tmp_path, few):
    create_demo_workspace(tmp_path)
    (tmp_path / "library" / few[0]).unlink()
    (tmp_path / "mobius.toml").write_text("threshold = 9\n")
    told = []
    create_demo_workspace(tmp_path, lambda *done: told.append(done))
    assert told == []
    assert not (tmp_path / "library" / few[0]).exists()
    assert (tmp_path / "mobius.toml").read_text() == "threshold = 9\n"


def test_a_drawing_that_was_cut_off_goes_on(tmp_path, few):
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_demo_workspace(tmp_path, stop)
    library = tmp_path / "library"
    before = {name: path.stat().st_mtime_ns for name, path in _files(library).items()}
    assert sorted(before) == sorted(few[:3])
    (library / ".drawing.part").write_bytes(b"half a picture")
    (tmp_path / "mobius.toml").write_text("threshold = 9\n")
    create_demo_workspace(tmp_path)
    assert (tmp_path / "mobius.toml").read_text() == "threshold = 9\n"
    found = _files(library)
    assert sorted(found) == sorted(few)
    assert {name: found[name].stat().st_mtime_ns for name in before} == before


def test_a_file_that_cannot_be_finished_is_not_there(tmp_path, few, monkeypatch):
    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        draw_demo_library(tmp_path)
    assert [name for name in _files(tmp_path) if name in few] == []


@pytest.mark.parametrize("before", range(4))
def test_whatever_write_is_the_last_one_the_next_run_finishes(tmp_path, few, monkeypatch, before):
    written = []
    put = demo._put

    def cut_off(part: Path, target: Path, content: bytes) -> None:
        if len(written) == before:
            target.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content[:5])
            raise KeyboardInterrupt
        written.append(target)
        put(part, target, content)

    with monkeypatch.context() as broken:
        broken.setattr(demo, "_put", cut_off)
        with pytest.raises(KeyboardInterrupt):
            create_demo_workspace(tmp_path / "demo")
    facts = create_demo_workspace(tmp_path / "demo")
    assert sorted(_files(facts.folder)) == sorted(few)
    assert not (tmp_path / "demo" / ".drawing.part").exists()


def test_half_a_demo_of_another_pillow_is_drawn_afresh(tmp_path, few):
    stale = tmp_path / "library" / few[0]
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"drawn by another version")
    (tmp_path / MARKER).write_text(json.dumps({"edition": 0, "pillow": "1.0", "complete": False}))
    create_demo_workspace(tmp_path)
    with Image.open(stale) as image:
        image.load()


@pytest.mark.parametrize("garbage", [b"", b"[]", b"{", b"\xff"])
def test_an_unreadable_marker_means_that_the_drawing_was_cut_off(tmp_path, few, garbage):
    (tmp_path / MARKER).write_bytes(garbage)
    facts = create_demo_workspace(tmp_path)
    assert sorted(_files(facts.folder)) == sorted(few)


def test_a_folder_with_something_else_is_refused_untouched(tmp_path, few):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match="not empty"):
        create_demo_workspace(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, few):
    place = tmp_path / "demo"
    place.write_text("mine")
    with pytest.raises(BadInput, match="no folder"):
        create_demo_workspace(place)
    assert place.read_text() == "mine"
