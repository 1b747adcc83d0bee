"""New, changed, moved and deleted images reach the store: by the event, or by the scan when the event is lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_worker_jobs import add_migration, wait_for
from worker_process import Worker, draw, events, make_workspace, query, until, value

from mobius_tui.errors import EnvironmentFailed
from mobius_tui.logs import JsonLog
from mobius_tui.worker import follow
from mobius_tui.worker.follow import WATCHING, LibraryFollower
from mobius_tui.worker.row import RowKeeper
from mobius_tui.worker.watch import MOST_PATHS, FolderWatch, _inotify_files, _unwatched
from mobius_tui.workspace import Workspace

Start = Callable[[Workspace], Worker]


def told(ws: Workspace, text: str) -> Callable[[], bool]:
    return lambda: text in events(ws)


def watched(ws: Workspace) -> None:
    until(lambda: value(ws, "SELECT watching FROM worker") == WATCHING, "it watches")
    until(lambda: value(ws, "SELECT scanned_at FROM worker"), "the first scan")


def test_events_bring_every_kind_of_change_within_seconds(tmp_path: Path, start_worker: Start) -> None:
    """The scan is an hour away, so only events can tell."""
    ws = make_workspace(tmp_path / "ws", 6)
    (ws.root / "mobius.toml").write_text("scan_seconds = 3600\nparallel = 1\n")
    start_worker(ws)
    watched(ws)
    assert wait_for(ws, add_migration(ws)).state == "done"
    until(lambda: value(ws, "SELECT unhashed FROM worker") == 0, "the scan after the run")
    began = time.time()
    draw(ws.library / "new [b]name[/].png", 77)
    until(told(ws, "image_new new  new [b]name[/].png"), "new")
    delay = value(ws, "SELECT at FROM events WHERE message LIKE 'new  new%'")
    assert isinstance(delay, float)
    print(f"seen after {delay - began:.2f} s")
    assert delay - began < 20  # 0.4 s on an idle machine; the bound only says that no scan was needed
    draw(ws.library / "p001.png", 88)
    until(told(ws, "image_changed changed  p001.png"), "changed")
    (ws.library / "sub").mkdir()
    (ws.library / "p002.png").rename(ws.library / "sub" / "p002.png")
    until(told(ws, "image_moved moved  p002.png  to  sub/p002.png"), "moved")
    (ws.library / "p003.png").unlink()
    until(told(ws, "image_gone gone  p003.png"), "gone")
    until(lambda: value(ws, "SELECT unhashed FROM worker") == 0, "the new ones are fingerprinted")
    assert value(ws, "SELECT count(*) FROM fingerprints") == 8  # six, the new one and the changed one


def test_a_new_near_duplicate_waits_in_the_queue_and_leaves_it_with_its_file(
    tmp_path: Path, start_worker: Start
) -> None:
    ws = make_workspace(tmp_path / "ws", 4)
    start_worker(ws)
    watched(ws)
    assert wait_for(ws, add_migration(ws)).state == "done"
    assert value(ws, "SELECT count(*) FROM pairs") == 0
    before = ws.catalogue.read_bytes()
    draw(ws.library / "near.png", 2, (330, 220))
    until(lambda: value(ws, "SELECT count(*) FROM pairs"), "the pair")
    assert query(ws, "SELECT left_path, right_path, status FROM pairs") == [("near.png", "p002.png", "waiting")]
    (ws.library / "near.png").rename(ws.library / "other.png")
    until(lambda: value(ws, "SELECT left_path FROM pairs") == "other.png", "the new name")
    (ws.library / "other.png").unlink()
    until(lambda: value(ws, "SELECT count(*) FROM pairs") == 0, "the pair is gone")
    assert ws.catalogue.read_bytes() == before, "the live catalogue is never written"


def test_before_the_first_run_images_are_only_counted(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 30)
    start_worker(ws)
    until(told(ws, "image_new 30 new images"), "one event for all")
    until(lambda: query(ws, "SELECT images, unhashed FROM worker") == [(30, 30)], "counted")
    assert value(ws, "SELECT count(*) FROM fingerprints") == 0


def test_lost_events_are_made_good_by_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace(tmp_path / "ws", 3)
    monkeypatch.setattr(FolderWatch, "_heard", lambda self, event: None)
    monkeypatch.setattr(follow, "_LOST_S", -1.0)
    ended = False
    row = RowKeeper()
    ws.state.mkdir(exist_ok=True)
    follower = LibraryFollower(ws, row, JsonLog(ws.logs / "service.log"), lambda: ended, lambda: False)
    follower.start()
    try:
        until(lambda: row.row.images == 3 and row.row.watching == WATCHING, "the first scan")
        draw(ws.library / "new.png", 50)
        until(told(ws, "image_new new  new.png"), "the scan finds it")
    finally:
        ended = True
        assert follower.ended(30)
    assert "events_lost" in (ws.logs / "service.log").read_text()


def test_without_the_watch_the_reason_is_shown_and_the_scan_goes_on(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 2, "watch_folder = false")
    start_worker(ws)
    until(lambda: value(ws, "SELECT watching FROM worker") == "scan only: watch_folder is off", "the reason")
    draw(ws.library / "new.png", 50)
    until(told(ws, "image_new new  new.png"), "the scan finds it")


def test_a_watch_that_cannot_begin_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = make_workspace(tmp_path / "ws", 2)
    real, tries = FolderWatch.start, []

    def start(self: FolderWatch) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise EnvironmentFailed("inotify watch limit reached")
        real(self)

    monkeypatch.setattr(FolderWatch, "start", start)
    monkeypatch.setattr(follow, "_WATCH_AGAIN_S", 0.5)
    row, seen, ended = RowKeeper(), set(), False

    def stopping() -> bool:
        seen.add(row.row.watching)
        return ended

    follower = LibraryFollower(ws, row, JsonLog(ws.logs / "service.log"), stopping, lambda: False)
    follower.start()
    try:
        until(lambda: row.row.watching == WATCHING, "it watches at last")
    finally:
        ended = True
        assert follower.ended(30)
    assert "scan only: inotify watch limit reached" in seen


def test_the_library_may_go_and_come_back(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 5)
    start_worker(ws)
    watched(ws)
    aside = ws.root / "aside"
    ws.library.rename(aside)
    until(lambda: "nothing is taken as gone" in str(value(ws, "SELECT note FROM worker")), "the note")
    assert value(ws, "SELECT count(*) FROM images") == 5
    aside.rename(ws.library)
    until(lambda: value(ws, "SELECT note FROM worker") == "", "all is well again")
    watched(ws)
    draw(ws.library / "new.png", 50)
    until(told(ws, "image_new new  new.png"), "it is followed again")
    assert not any("image_gone" in event for event in events(ws))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounts need root")
def test_an_unmounted_library_loses_nothing(tmp_path: Path, start_worker: Start) -> None:
    ws = make_workspace(tmp_path / "ws", 0)
    if os.system(f"mount -t tmpfs -o size=4m none '{ws.library}' 2>/dev/null"):
        pytest.skip("this machine does not allow mounts")
    try:
        for number in range(4):
            draw(ws.library / f"p{number}.png", number)
        start_worker(ws)
        watched(ws)
        until(lambda: value(ws, "SELECT images FROM worker") == 4, "all are seen")
    finally:
        until(lambda: os.system(f"umount '{ws.library}' 2>/dev/null") == 0, "unmounted")
    until(lambda: "not mounted" in str(value(ws, "SELECT note FROM worker")), "the note")
    assert value(ws, "SELECT count(*) FROM images") == 4
    assert not any("image_gone" in event for event in events(ws))


def test_more_paths_than_the_limit_mean_the_whole_library(tmp_path: Path) -> None:
    watch = FolderWatch(str(tmp_path))
    for number in range(MOST_PATHS):
        watch._add(f"{tmp_path}/{number}", 0.0)
    assert not watch.take(0.0)[1]
    watch._add(f"{tmp_path}/one more", 0.0)
    assert watch.take(100.0) == ([], True)
    assert watch.take(100.0) == ([], False)


def test_a_path_is_reported_once_it_rests_or_has_waited_long(tmp_path: Path) -> None:
    watch = FolderWatch(str(tmp_path))
    watch._add("/a", 0.0)
    watch._add("/a", 0.2)
    assert watch.take(0.4) == ([], False)
    assert watch.take(0.5) == (["/a"], False)
    for tenth in range(20):
        watch._add("/busy", tenth / 10)
    assert watch.take(1.95) == (["/busy"], False)


def test_our_own_reading_makes_no_events(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 1)
    watch = FolderWatch(str(tmp_path))
    watch.start()
    try:
        (tmp_path / "a.png").read_bytes()
        draw(tmp_path / "b.png", 2)
        seen: list[str] = []
        until(lambda: seen.extend(watch.take(time.monotonic())[0]) or str(tmp_path / "b.png") in seen, "the new one")
        assert str(tmp_path / "a.png") not in seen
    finally:
        watch.stop()


def test_folders_without_a_watch_are_counted(tmp_path: Path) -> None:
    """The watch limit hits the folders below the first, and watchdog does not say so."""
    for name in ("a/b", "a/c", "d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "d")
    before = _inotify_files()
    watch = FolderWatch(str(tmp_path / "a"))
    watch.start()
    try:
        assert watch.unwatched == ""
        said = _unwatched(str(tmp_path), _inotify_files() - before)
        assert said.startswith("2 of 5 folders by scan only (fs.inotify.max_user_watches")
    finally:
        watch.stop()
    assert _inotify_files() == before


def test_a_failed_start_leaves_nothing_open(tmp_path: Path) -> None:
    before = _inotify_files()
    for _ in range(3):
        with pytest.raises(EnvironmentFailed):
            FolderWatch(str(tmp_path / "none")).start()
    until(lambda: _inotify_files() == before, "descriptors are closed")


def test_a_symlinked_library_is_followed_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    watch = FolderWatch(str(tmp_path / "link"))
    watch.start()
    try:
        draw(tmp_path / "real" / "b.png", 2)
        seen: list[str] = []
        until(lambda: seen.extend(watch.take(time.monotonic())[0]) or str(tmp_path / "link" / "b.png") in seen, "it")
    finally:
        watch.stop()
