"""The staged file, the compare-and-swap, and the reserve."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.recovery import atomic
from mobius_tui.recovery.atomic import ABSENT, Changed, hash_or_absent, sweep_leftovers
from mobius_tui.recovery.reserve import SLACK_BYTES, ensure_reserve, release_reserve, reserve_bytes
from mobius_tui.recovery.staging import real_file, stage, staged_files, staged_path, swap

OLD, NEW, OTHER = b'{"images": []}\n', b'{"images": [1]}\n', b'{"images": [2]}\n'
RUN = "deploy-20261120T120000Z"


@pytest.fixture
def live(tmp_path: Path) -> Path:
    path = tmp_path / "library.json"
    path.write_bytes(OLD)
    path.chmod(0o664)
    return path


def sha(path: Path) -> str:
    return hash_or_absent(path)


def test_staged_and_swapped(live: Path) -> None:
    staged = staged_path(live, RUN)
    before = sha(live)
    after = stage(live, [NEW], staged)
    assert live.read_bytes() == OLD and staged.read_bytes() == NEW and after == sha(staged)
    assert stat.S_IMODE(staged.stat().st_mode) == 0o664
    assert staged_files(live) == {RUN: staged}
    swap(staged, live, before)
    assert live.read_bytes() == NEW and staged.read_bytes() == OLD
    swap(staged, live, after)
    assert live.read_bytes() == OLD and staged.read_bytes() == NEW


def test_another_live_file_is_left_alone(live: Path) -> None:
    staged = staged_path(live, RUN)
    before = sha(live)
    stage(live, [NEW], staged)
    live.write_bytes(OTHER)
    with pytest.raises(Changed):
        swap(staged, live, before)
    assert live.read_bytes() == OTHER and staged.read_bytes() == NEW


def test_a_file_that_arrives_in_the_last_instant_goes_back(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = staged_path(live, RUN)
    before = sha(live)
    stage(live, [NEW], staged)
    real, calls = atomic.exchange, []

    def late(one: Path, two: Path) -> bool:
        if not calls:
            live.write_bytes(OTHER)
        calls.append(1)
        return real(one, two)

    monkeypatch.setattr(atomic, "exchange", late)
    with pytest.raises(Changed):
        swap(staged, live, before)
    assert live.read_bytes() == OTHER and staged.read_bytes() == NEW


def test_through_a_symlink_the_real_file_is_swapped(tmp_path: Path, live: Path) -> None:
    name = tmp_path / "elsewhere" / "library.json"
    name.parent.mkdir()
    name.symlink_to(live)
    staged = staged_path(name, RUN)
    assert staged.parent == real_file(live).parent
    before = sha(live)
    stage(name, [NEW], staged)
    swap(staged, name, before)
    assert name.is_symlink() and live.read_bytes() == NEW


def test_where_there_was_none_it_is_new(tmp_path: Path) -> None:
    live = tmp_path / "library.json"
    staged = staged_path(live, RUN)
    stage(live, [NEW], staged)
    swap(staged, live, ABSENT)
    assert live.read_bytes() == NEW and not staged.exists()
    stage(live, [OTHER], staged)
    with pytest.raises(Changed):
        swap(staged, live, ABSENT)
    assert live.read_bytes() == NEW


def test_a_file_with_two_names_is_refused(live: Path) -> None:
    os.link(live, live.with_name("second"))
    with pytest.raises(EnvironmentFailed, match="hard links"):
        stage(live, [NEW], staged_path(live, RUN))
    assert not staged_path(live, RUN).exists()


def dead_pid() -> int:
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("leftover", "now", "left"),
    [
        (NEW, OLD, OLD),  # killed before the exchange
        (OLD, NEW, NEW),  # killed after it
        (OTHER, NEW, OTHER),  # somebody's write came out: it goes back
    ],
)
def test_a_cut_off_exchange_loses_no_write(live: Path, leftover: bytes, now: bytes, left: bytes) -> None:
    short = {content: _short(content) for content in (OLD, NEW)}
    piece = live.with_name(f".{live.name}.{dead_pid()}.{short[OLD]}.{short[NEW]}.swap")
    piece.write_bytes(leftover)
    live.write_bytes(now)
    assert sweep_leftovers(live.parent, live.name) == [piece]
    assert live.read_bytes() == left and not piece.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_of_two_foreign_writes_both_stay(live: Path) -> None:
    piece = live.with_name(f".{live.name}.{dead_pid()}.{_short(OLD)}.{_short(NEW)}.swap")
    piece.write_bytes(OTHER)
    live.write_bytes(b"a third one")
    assert sweep_leftovers(live.parent, live.name) == []
    kept = [path for path in live.parent.iterdir() if ".rescued-" in path.name]
    assert len(kept) == 1 and kept[0].read_bytes() == OTHER and live.read_bytes() == b"a third one"


def _short(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()[:16]


def test_the_reserve_takes_real_blocks_and_gives_them_back(live: Path) -> None:
    ensure_reserve(live, 100_000)
    assert reserve_bytes(live) == 100_000 + SLACK_BYTES
    reserve = next(path for path in live.parent.iterdir() if path.name.endswith(".reserve"))
    assert reserve.stat().st_blocks * 512 >= 100_000 + SLACK_BYTES and stat.S_IMODE(reserve.stat().st_mode) == 0o600
    inode = reserve.stat().st_ino
    ensure_reserve(live, 50_000)
    assert reserve.stat().st_ino == inode and reserve_bytes(live) == 100_000 + SLACK_BYTES
    assert release_reserve(live) == 100_000 + SLACK_BYTES
    assert reserve_bytes(live) == 0 and release_reserve(live) == 0
