"""Reading the live catalogue while another program writes it; the clock is a number."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mobius_tui import errors
from mobius_tui.catalogue import live
from mobius_tui.catalogue.live import read_catalogue

GOOD = b'{"images": [{"path": "a"}]}'


class Clock:
    """Time that passes only when somebody sleeps; acts at given moments."""

    def __init__(self, acts: dict[float, Callable[[], object]] | None = None) -> None:
        self.now = 0.0
        self.acts = dict(acts or {})
        self.sleeps = 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.sleeps += 1
        for moment in [moment for moment in self.acts if moment <= self.now]:
            self.acts.pop(moment)()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.json"


def test_a_good_file_is_read_at_once(path: Path) -> None:
    path.write_bytes(GOOD)
    clock = Clock()
    loaded = read_catalogue(path, clock=clock, sleep=clock.sleep)
    assert loaded.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert loaded.stat.st_ino == path.stat().st_ino
    assert [entry.path for entry in loaded.document.entries] == ["a"]
    assert clock.sleeps == 0


def test_a_half_written_file_is_read_again_until_it_is_whole(path: Path) -> None:
    path.write_bytes(GOOD[:10])
    clock = Clock({2.0: lambda: path.write_bytes(GOOD[:15]), 4.5: lambda: path.write_bytes(GOOD)})
    wall = path.stat().st_mtime
    loaded = read_catalogue(path, clock=clock, sleep=clock.sleep, wall=lambda: wall)
    assert loaded.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert 4.4 < clock.now < 5


def test_a_file_that_stays_bad_is_refused_after_the_patience(path: Path) -> None:
    path.write_bytes(GOOD[:10])
    clock = Clock()
    wall = path.stat().st_mtime
    with pytest.raises(errors.BadInput):
        read_catalogue(path, clock=clock, sleep=clock.sleep, wall=lambda: wall)
    assert 5 <= clock.now < 5.2


def test_an_old_bad_file_is_refused_at_once(path: Path) -> None:
    path.write_bytes(GOOD[:10])
    clock = Clock()
    wall = path.stat().st_mtime + 5
    with pytest.raises(errors.BadInput):
        read_catalogue(path, clock=clock, sleep=clock.sleep, wall=lambda: wall)
    assert clock.sleeps == 0


def moving(path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let the file be replaced during each of the first reads."""
    read, count = live.read_whole, []

    def busy(name: Path):
        reading = read(name)
        if len(count) < times:
            count.append(1)
            status = os.stat_result((*reading.before[:6], reading.before.st_size + 1, *reading.before[7:]))
            return type(reading)(reading.data, status, reading.after)
        return reading

    monkeypatch.setattr(live, "read_whole", busy)


def test_a_file_that_moves_while_it_is_read_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(GOOD)
    moving(path, monkeypatch, 3)
    clock = Clock()
    assert read_catalogue(path, clock=clock, sleep=clock.sleep).document.entries
    assert clock.sleeps == 3


def test_a_file_that_never_stands_still_is_an_environment_failure(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(GOOD)
    moving(path, monkeypatch, 10_000)
    clock = Clock()
    with pytest.raises(errors.EnvironmentFailed, match="being written"):
        read_catalogue(path, clock=clock, sleep=clock.sleep)
    assert 5 <= clock.now < 5.2


def test_a_symlink_is_followed_and_paths_mean_its_own_folder(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/real.json").write_bytes(GOOD[:-2] + b', {"path": "%s/b"}]}' % str(tmp_path).encode())
    path.symlink_to("elsewhere/real.json")
    assert [entry.key for entry in read_catalogue(path).document.entries] == ["a", "b"]


def test_a_file_without_permission(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(name: Path):
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr(live, "read_whole", denied)
    with pytest.raises(errors.EnvironmentFailed, match="Permission denied") as caught:
        read_catalogue(path)
    assert errors.exit_code_of(caught.value) == 3


def test_a_catalogue_is_read_and_written_with_the_standard_library_alone(path: Path) -> None:
    path.write_bytes(GOOD)
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r}); path = {str(path)!r}\n"
        "from pathlib import Path\n"
        "from mobius_tui.catalogue import document, live, render, walk\n"
        "from mobius_tui.recovery.atomic import write_atomic\n"
        "loaded = live.read_catalogue(Path(path))\n"
        "fields = [document.OwnedFields('0' * 16, 0.5, 'ok')]\n"
        "write_atomic(Path(path), render.render(loaded.document, fields), expect=loaded.sha256)\n"
    )
    subprocess.run([sys.executable, "-S", "-E", "-B", "-c", script], check=True, timeout=60)
    assert read_catalogue(path).document.entries[0].dhash == "0" * 16
