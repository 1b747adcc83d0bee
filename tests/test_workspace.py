from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mobius_tui.errors import BadInput, EnvironmentFailed
from mobius_tui.settings import Settings
from mobius_tui.workspace import FOLDERS, Workspace, init_workspace, is_workspace, open_workspace


def opened(root: Path, flags: dict[str, object] | None = None, environ: dict[str, str] | None = None) -> Workspace:
    return open_workspace(root, flags or {}, environ or {}, "anna")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    init_workspace(folder)
    return folder


def test_an_empty_folder_is_none_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        opened(tmp_path)
    assert "mobius init" in caught.value.fix and "mobius demo" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mark", ["library/", "backups/", "logs/", "review/", "themes/", ".mobius/", "mobius.toml",
                                  "library.json"])  # fmt: skip
def test_any_of_the_marks_makes_a_workspace(tmp_path: Path, mark: str) -> None:
    if mark.endswith("/"):
        (tmp_path / mark).mkdir()
    else:
        (tmp_path / mark).write_text("")
    assert is_workspace(tmp_path)
    assert opened(tmp_path).root == tmp_path.resolve()


def test_a_link_that_leads_nowhere_is_a_mark_too(tmp_path: Path) -> None:
    (tmp_path / "library").symlink_to(tmp_path / "not-mounted")
    assert is_workspace(tmp_path)


@pytest.mark.parametrize("text", ["missing", "file", "loop", "a\0b", "~nobody-is-called-so"])
def test_no_folder_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BadInput) as caught:
        opened(Path(text) if text.startswith("~") else tmp_path / text)
    assert str(caught.value).isprintable()


def test_one_workspace_has_one_name_however_it_is_reached(root: Path, tmp_path: Path, monkeypatch) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    monkeypatch.chdir(root / "library")
    names = {opened(place).root for place in (root, link, Path(".."), link / "logs" / "..")}
    assert names == {root.resolve()}
    assert len({opened(place).worker_lock for place in (root, link)}) == 1


def test_relative_settings_mean_the_workspace_and_relative_flags_the_current_folder(
    root: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert opened(root, environ={"LIBRARY_DIR": "pictures"}).library == root / "pictures"
    assert opened(root, {"library": "pictures"}).library == tmp_path / "pictures"
    assert opened(root, environ={"BACKUP_DIR": "/srv/b"}).backups == Path("/srv/b")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert opened(root, environ={"MOBIUS_LOGS": "~/logs"}).logs == tmp_path / "home" / "logs"


def test_catalogue_in_the_library_unless_only_the_workspace_has_one(root: Path) -> None:
    assert opened(root).catalogue == root / "library" / "library.json"
    (root / "library.json").write_text("{}")
    assert opened(root).catalogue == root / "library.json"
    (root / "library" / "library.json").write_text("{}")
    with pytest.raises(BadInput, match="two catalogues"):
        _ = opened(root).catalogue
    assert opened(root, environ={"MOBIUS_CATALOGUE": "library.json"}).catalogue == root / "library.json"


def test_one_catalogue_under_two_names_is_one(root: Path) -> None:
    (root / "library" / "library.json").write_text("{}")
    (root / "library.json").symlink_to("library/library.json")
    assert opened(root).catalogue.samefile(root / "library" / "library.json")
    assert opened(root, environ={"LIBRARY_DIR": "."}).catalogue == root / "library.json"


def test_init_makes_what_is_missing_and_says_what_each_folder_is_for(tmp_path: Path) -> None:
    root = tmp_path / "new" / "ws"
    created = init_workspace(root)
    assert [path.name for path in created] == [*FOLDERS, ".mobius"]
    assert stat.S_IMODE((root / ".mobius").stat().st_mode) == 0o700
    assert (root / "backups" / "README.md").read_text() == FOLDERS["backups"] + "\n"
    assert list((root / "library").iterdir()) == []
    (root / "logs" / "README.md").write_text("mine")
    assert init_workspace(root) == []
    assert (root / "logs" / "README.md").read_text() == "mine"


def test_init_follows_the_settings(tmp_path: Path) -> None:
    init_workspace(tmp_path / "ws", Settings(library="images", state_dir=str(tmp_path / "state")))
    assert (tmp_path / "ws" / "images").is_dir() and (tmp_path / "state").is_dir()
    assert not (tmp_path / "ws" / "library").exists()


def test_init_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("")
    with pytest.raises(BadInput, match="in the way"):
        init_workspace(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look anywhere")
def test_a_folder_that_may_not_be_looked_into(tmp_path: Path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir(mode=0)
    with pytest.raises(EnvironmentFailed):
        opened(shut)
