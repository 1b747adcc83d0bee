"""What is said and offered around a rollback: short names of emergency copies, hooks, unreadable backups."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from publishing import Published
from test_rollback_command import mobius

from mobius_tui.errors import EnvironmentFailed, ProcessingFailed
from mobius_tui.recovery.backup_files import read_meta
from mobius_tui.rollback import targets
from mobius_tui.rollback.publications import way_back


def copies(library: Published) -> list[str]:
    return sorted(path.name for path in library.emergency.glob("*Z"))


def test_the_way_forward_can_be_typed_as_it_is_said(library: Published) -> None:
    library.publish()
    before = library.live.read_bytes()
    done = mobius(library, "rollback", "--force")
    said = next(line for line in done.stdout.splitlines() if line.startswith("forward: mobius "))
    assert said.endswith(f"rollback --backup emergency/{copies(library)[0]}")
    words = said.removeprefix("forward: mobius ").split()
    assert mobius(library, *words, "--force").returncode == 0
    assert library.live.read_bytes() == before


def test_the_way_forward_of_another_catalogue_names_it(library: Published, tmp_path: Path) -> None:
    other = tmp_path / "a folder" / "library.json"
    other.parent.mkdir()
    other.write_text('{"images": [{"path": "a.png", "dhash": "00", "dhash_status": "ok"}]}')
    done = mobius(library, "rollback", "--force", "--remove-dhash", "-i", str(other))
    assert done.returncode == 0, done.stderr
    assert f"forward: mobius rollback -i '{other}' --backup emergency/library.json.bak." in done.stdout


def test_a_list_shows_names_that_can_be_typed_and_counts(library: Published) -> None:
    library.publish()
    assert mobius(library, "rollback", "--force").returncode == 0
    name = copies(library)[0]
    assert read_meta(library.emergency, name)["images"] == 3
    shown = mobius(library, "rollback", "--list").stdout
    assert f"\nemergency/{name}  " in shown and "catalogue, 3 images" in shown and "?" not in shown
    for typed in (f"emergency/{name}", name):
        verified = mobius(library, "backup", "verify", typed)
        assert verified.returncode == 0 and f"emergency/{name}" in verified.stdout, verified.stderr


def test_after_remove_dhash_the_newest_differing_backup_is_the_likely_way(library: Published) -> None:
    library.publish()
    second = library.publish()
    assert second is not None
    assert mobius(library, "rollback", "--force", "--remove-dhash").returncode == 0
    way = way_back(library.state, library.backups, library.live)
    assert way is not None and (way.backup.name, way.certain) == (second.name, False)
    done = mobius(library, "rollback", "--force")
    assert done.returncode == 0 and library.live.read_bytes() == second.path.read_bytes()


def test_without_a_way_back_the_copy_of_a_moment_ago_is_offered(library: Published) -> None:
    library.live.write_text('{"images": [{"path": "a.png", "dhash": "00", "dhash_status": "ok"}]}')
    assert mobius(library, "rollback", "--force", "--remove-dhash").returncode == 0
    done = mobius(library, "rollback", "--force")
    assert done.returncode == 2
    assert f"`mobius rollback --backup emergency/{copies(library)[0]}`" in done.stderr


def hook(library: Published, text: str) -> Path:
    """A hook that leaves a trace, and fails."""
    script, trace = library.root / "hook.sh", library.root / "trace"
    script.write_text(f"#!/bin/sh\necho ran >> '{trace}'\n{text}\n")
    script.chmod(0o700)
    (library.root / "mobius.toml").write_text(f'hook_on_rollback = "{script}"\n')
    (library.root / "mobius.toml").chmod(0o600)
    return trace


def test_a_failed_hook_is_told_once(library: Published) -> None:
    library.publish()
    trace = hook(library, "exit 3")
    done = mobius(library, "rollback", "--force")
    assert done.returncode == 0 and trace.read_text() == "ran\n"
    assert done.stderr.count("failed with exit code 3") == 1 and "warning: hook on_rollback" in done.stderr


def test_what_is_live_already_runs_no_hook(library: Published) -> None:
    made = library.publish()
    assert made is not None
    library.write(made.path.read_bytes())
    trace = hook(library, "exit 0")
    done = mobius(library, "rollback", "--force", "--backup", made.name)
    assert done.returncode == 0 and "already as wanted" in done.stdout
    assert not trace.exists()


@pytest.mark.parametrize(("corrupt", "kind"), [(False, EnvironmentFailed), (True, ProcessingFailed)])
@pytest.mark.parametrize("which", ["", ".sha256"])
def test_backups_that_cannot_be_read_are_the_environments_fault(
    library: Published, monkeypatch: pytest.MonkeyPatch, corrupt: bool, kind: type[Exception], which: str
) -> None:
    first, second = library.publish(), library.publish()
    assert first is not None and second is not None
    if corrupt:
        first.path.write_bytes(b"{}")
    refused = {f"{second.path}{which}", *([] if corrupt else [f"{first.path}{which}"])}

    def reading(path: Path) -> object:
        if str(path) in refused:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return whole(path)

    way = way_back(library.state, library.backups, library.live)
    assert way is not None
    whole = targets.read_whole
    monkeypatch.setattr("mobius_tui.rollback.targets.read_whole", reading)
    monkeypatch.setattr("mobius_tui.recovery.backup_files.read_whole", reading)
    with pytest.raises(kind, match="the live file is untouched"):
        targets.choose_target(way, library.backups, library.live)
