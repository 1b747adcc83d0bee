from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from mobius_tui.errors import BadInput
from mobius_tui.operations.check import check_catalogue
from mobius_tui.operations.progress import Tick


def library(tmp_path: Path, images: list[dict[str, object]], **members: object) -> Path:
    for name in ("a.png", "sub/b.png"):
        (tmp_path / "lib" / "sub").mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / "lib" / name)
    path = tmp_path / "lib" / "library.json"
    path.write_text(json.dumps({"images": images, **members}))
    return path


def test_missing_and_unnamed_files(tmp_path: Path) -> None:
    path = library(tmp_path, [{"path": "./sub/../a.png"}, {"path": "gone.png"}, {"path": "/nowhere/x.png"}])
    found = check_catalogue(path, path.parent)
    assert found.missing == ("gone.png", "/nowhere/x.png")
    assert found.unnamed == ("sub/b.png",)
    assert (found.images, found.hashed, found.schema_version) == (3, 0, 0)


def test_an_absolute_path_or_a_linked_folder_names_the_file(tmp_path: Path) -> None:
    path = library(tmp_path, [{"path": str(tmp_path / "lib" / "a.png")}, {"path": "sub/b.png"}])
    assert check_catalogue(path, path.parent).unnamed == ()
    (tmp_path / "link").symlink_to(path.parent)
    assert check_catalogue(path, tmp_path / "link").unnamed == ()
    found = check_catalogue(tmp_path / "link" / "library.json", tmp_path / "link")
    assert (found.unnamed, found.missing) == ((), ())


def test_duplicates_that_name_no_entry(tmp_path: Path) -> None:
    duplicates = [{"duplicate": "a.png", "original": "old.png", "status": "exact"}, {"duplicate": 5, "status": "auto"}]
    path = library(tmp_path, [{"path": "a.png"}, {"path": "sub/b.png"}], dhash_duplicates=duplicates)
    found = check_catalogue(path, path.parent)
    assert (found.duplicates, found.exact_duplicates) == (2, 1)
    assert found.stale_duplicates == ("old.png", "5", "None")


def test_duplicates_that_name_something_else_than_a_path(tmp_path: Path) -> None:
    duplicates = [{"duplicate": ["a.png"], "original": {"a": 1}, "status": ["exact"]}]
    path = library(tmp_path, [{"path": "a.png"}, {"path": "sub/b.png"}], dhash_duplicates=duplicates)
    assert check_catalogue(path, path.parent).stale_duplicates == ("['a.png']", "{'a': 1}")


def test_what_cannot_be_looked_at_is_not_missing(tmp_path: Path) -> None:
    path = library(tmp_path, [{"path": "a.png"}, {"path": "sub/b.png"}, {"path": "loop/x.png"}, {"path": "a.png/x"}])
    (path.parent / "loop").symlink_to("loop")
    found = check_catalogue(path, path.parent)
    assert [name for name, _ in found.unreadable] == ["loop/x.png"]
    assert found.missing == ("a.png/x",)


def test_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no catalogue yet"):
        check_catalogue(tmp_path / "library.json", tmp_path)


def test_a_long_check_tells_how_far_it_is(tmp_path: Path) -> None:
    path = library(tmp_path, [{"path": f"{number}.png"} for number in range(5000)])
    ticks: list[Tick] = []
    check_catalogue(path, path.parent, ticks.append)
    assert [tick.phase for tick in ticks] == ["reading the catalogue", "looking for files", "looking for files"]
    assert [(tick.counts.done, tick.total) for tick in ticks[1:]] == [(2048, 5000), (4096, 5000)]
    assert all(tick.rate and tick.eta_s is not None for tick in ticks[1:])
