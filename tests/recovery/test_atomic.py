"""Atomic writes: whole files, kept attributes, compare-and-swap; and reading while somebody writes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from writing import LINUX, NEW, OLD, PIPES, PLAIN, ROOT, names, run_script, sha

from mobius_tui import errors
from mobius_tui.recovery import atomic, hashes
from mobius_tui.recovery.atomic import Changed, sweep_leftovers, write_atomic
from mobius_tui.recovery.hashes import read_whole, sha256_file
from mobius_tui.system.exchange import exchange


def test_writes_in_pieces_and_returns_their_hash(target: Path) -> None:
    assert write_atomic(target, [NEW[:7], b"", NEW[7:]]) == sha(NEW)
    assert target.read_bytes() == NEW
    assert names(target.parent) == ["library.json"]


def test_a_new_file_gets_the_asked_mode_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomic(tmp_path / "a", [b"x"])
        write_atomic(tmp_path / "b", [b"x"], mode=0o666)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o644


@pytest.mark.skipif(not ROOT, reason="only root can give a file away")
def test_keeps_owner_group_and_mode(target: Path) -> None:
    os.chown(target, 4321, 1234)
    target.chmod(0o604)
    write_atomic(target, [NEW])
    status = target.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (4321, 1234, 0o604)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL in the form of its extended attribute: version 2, then tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
SHARED = acl((1, 6, NOBODY), (2, 4, 4321), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))


@pytest.mark.skipif(not LINUX, reason="extended attributes as Linux has them")
def test_keeps_extended_attributes_and_acl(target: Path) -> None:
    try:
        os.setxattr(target, "user.origin", b"scanner 3")
        os.setxattr(target, "system.posix_acl_access", SHARED)
    except OSError as error:
        pytest.skip(f"this filesystem takes none: {error}")
    mode = target.stat().st_mode
    write_atomic(target, [NEW], expect=sha(OLD))
    assert os.getxattr(target, "user.origin") == b"scanner 3"
    assert os.getxattr(target, "system.posix_acl_access") == SHARED
    assert target.stat().st_mode == mode


@pytest.mark.skipif(not LINUX, reason="ACLs as Linux has them")
def test_a_folders_default_acl_does_not_creep_in(target: Path) -> None:
    try:
        os.setxattr(target.parent, "system.posix_acl_default", SHARED)
    except OSError as error:
        pytest.skip(f"this filesystem takes none: {error}")
    write_atomic(target, [NEW])
    assert os.listxattr(target) == []


@pytest.mark.parametrize("call", ["fchown", "setxattr"])
def test_refuses_when_an_attribute_cannot_be_kept(target: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if call == "setxattr":
        if not LINUX:
            pytest.skip("extended attributes as Linux has them")
        os.setxattr(target, "user.origin", b"x")
    elif ROOT:
        os.chown(target, 4321, 1234)
    else:
        pytest.skip("only root can give a file away")
    monkeypatch.setattr(os, call, denied)
    with pytest.raises(errors.EnvironmentFailed) as caught:
        write_atomic(target, [NEW])
    assert errors.exit_code_of(caught.value) == 3
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["library.json"]


def test_an_owner_that_a_user_cannot_give_is_refused(target: Path) -> None:
    if not ROOT:
        pytest.skip("needs root to become somebody else")
    target.parent.chmod(0o777)
    for parent in target.parents[1:4]:
        parent.chmod(parent.stat().st_mode | 0o055)
    script = "try: write_atomic(target, [NEW])\nexcept EnvironmentFailed as error: print(error)"
    done = run_script(target, script, user=4321)
    assert "cannot be kept" in done.stdout, done.stderr
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["library.json"]


def test_goes_through_symlinks(target: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    first, second = tmp_path / "links/one.json", tmp_path / "links/two.json"
    first.symlink_to("two.json")
    second.symlink_to("../library.json")
    write_atomic(first, [NEW], expect=sha(OLD))
    assert first.is_symlink() and second.is_symlink()
    assert target.read_bytes() == NEW
    assert names(tmp_path / "links") == ["one.json", "two.json"]


def test_a_link_to_nothing_makes_the_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("library.json")
    write_atomic(tmp_path / "link", [NEW], expect="absent")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "library.json").read_bytes() == NEW


def test_refuses_a_hard_linked_file(target: Path, tmp_path: Path) -> None:
    os.link(target, tmp_path / "other")
    with pytest.raises(errors.EnvironmentFailed, match="2 hard links"):
        write_atomic(target, [NEW])
    assert target.read_bytes() == OLD
    assert names(tmp_path) == ["library.json", "other"]


@pytest.mark.parametrize("kind", ["folder", "loop", *(["pipe"] if PIPES else [])])
def test_refuses_what_is_no_regular_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "library.json"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[kind]()
    with pytest.raises(errors.EnvironmentFailed):
        write_atomic(path, [NEW])
    assert names(tmp_path) == ["library.json"]


class TestCompareAndSwap:
    def test_refuses_a_changed_file(self, target: Path) -> None:
        status = target.stat()
        with pytest.raises(Changed) as caught:
            write_atomic(target, [NEW], expect=sha(b"what was read"))
        assert errors.exit_code_of(caught.value) == 3
        assert target.read_bytes() == OLD
        assert target.stat().st_mtime_ns == status.st_mtime_ns
        assert target.stat().st_ino == status.st_ino

    def test_refuses_when_it_was_to_be_absent(self, target: Path) -> None:
        with pytest.raises(Changed):
            write_atomic(target, [NEW], expect="absent")
        assert target.read_bytes() == OLD

    def test_refuses_when_it_is_gone(self, target: Path) -> None:
        target.unlink()
        with pytest.raises(Changed):
            write_atomic(target, [NEW], expect=sha(OLD))
        assert names(target.parent) == []

    def test_a_file_that_appears_while_writing_stays(self, tmp_path: Path) -> None:
        target = tmp_path / "library.json"

        def chunks():
            yield NEW
            target.write_bytes(b"somebody else's")

        with pytest.raises(Changed):
            write_atomic(target, chunks(), expect="absent")
        assert target.read_bytes() == b"somebody else's"
        assert names(tmp_path) == ["library.json"]

    def test_a_file_changed_while_writing_stays(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(atomic, "exchange", lambda *_: pytest.fail("ours was live for a moment"))

        def chunks():
            yield NEW
            target.write_bytes(b"somebody else's")

        with pytest.raises(Changed):
            write_atomic(target, chunks(), expect=sha(OLD))
        assert target.read_bytes() == b"somebody else's"
        assert names(target.parent) == ["library.json"]

    def test_a_file_replaced_at_the_last_moment_comes_back(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []

        def late(staged: Path, live: Path) -> bool:
            if not calls:
                target.write_bytes(b"somebody else's")
            calls.append(1)
            return exchange(staged, live)

        monkeypatch.setattr(atomic, "exchange", late)
        with pytest.raises(Changed):
            write_atomic(target, [NEW], expect=sha(OLD))
        assert target.read_bytes() == b"somebody else's"
        assert names(target.parent) == ["library.json"]

    def test_of_two_late_changes_the_newest_stays(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []

        def late(staged: Path, live: Path) -> bool:
            if len(calls) < 2:
                other = target.with_name("other")
                other.write_bytes(b"version %d" % len(calls))
                other.replace(target)
            calls.append(1)
            return exchange(staged, live)

        monkeypatch.setattr(atomic, "exchange", late)
        with pytest.raises(Changed):
            write_atomic(target, [NEW], expect=sha(OLD))
        assert target.read_bytes() == b"version 1"
        assert names(target.parent) == ["library.json"]

    def test_a_change_right_after_ours_was_live_stays(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[int] = []

        def written_by_others(data: bytes) -> None:
            other = target.with_name("other")
            other.write_bytes(data)
            other.replace(target)

        def between(staged: Path, live: Path) -> bool:
            calls.append(1)
            if len(calls) > 1:
                return exchange(staged, live)
            written_by_others(b"just before")
            done = exchange(staged, live)
            written_by_others(b"just after")
            return done

        monkeypatch.setattr(atomic, "exchange", between)
        with pytest.raises(Changed):
            write_atomic(target, [NEW], expect=sha(OLD))
        assert target.read_bytes() == b"just after"
        assert names(target.parent) == ["library.json"]

    def test_a_link_turned_elsewhere_while_writing(self, target: Path, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to("library.json")

        def chunks():
            yield NEW
            link.unlink()
            link.symlink_to("elsewhere.json")

        with pytest.raises(Changed):
            write_atomic(link, chunks(), expect=sha(OLD))
        assert target.read_bytes() == OLD


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (MemoryError(), MemoryError),
        (TimeoutError("the caller's own limit"), TimeoutError),
        (OSError(errno.EIO, "broken"), errors.EnvironmentFailed),
    ],
)
def test_nothing_is_left_when_the_content_fails(
    target: Path, error: BaseException, raised: type[BaseException]
) -> None:
    def chunks():
        yield NEW
        raise error

    with pytest.raises(raised):
        write_atomic(target, chunks())
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["library.json"]


def test_an_interrupt_while_checking_what_came_out_puts_it_back(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> str:
        if path.suffix == ".swap" and sha256_file(path) == sha(OLD):
            raise KeyboardInterrupt
        return sha256_file(path)

    monkeypatch.setattr(atomic, "sha256_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(target, [NEW], expect=sha(OLD))
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["library.json"]


def test_what_reads_back_otherwise_is_not_published(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(path: Path) -> str:
        if path.suffix == ".tmp":
            path.write_bytes(NEW[:-1] + b"?")  # a bit that turned between memory and disk
        return sha256_file(path)

    monkeypatch.setattr(atomic, "sha256_file", flipped)
    with pytest.raises(errors.EnvironmentFailed, match="other than it was written"):
        write_atomic(target, [NEW])
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["library.json"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    write_atomic(target, [OLD])
    assert write_atomic(target, [NEW], expect=sha(OLD)) == sha(NEW)
    assert names(tmp_path) == [target.name]


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(errors.EnvironmentFailed, match="No such file"):
        write_atomic(tmp_path / "none" / "library.json", [NEW])


def test_a_folder_without_permission(target: Path) -> None:
    target.parent.chmod(0o555)
    for parent in target.parents[1:4]:
        parent.chmod(parent.stat().st_mode | 0o055)
    done = run_script(target, PLAIN, user=4321 if ROOT else None)
    target.parent.chmod(0o755)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Permission denied" in done.stdout
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["library.json"]


class TestSweep:
    def dead_pid(self) -> int:
        child = subprocess.Popen([sys.executable, "-c", ""])
        child.wait()
        return child.pid

    def test_removes_what_dead_processes_left_and_nothing_else(self, target: Path) -> None:
        dead = self.dead_pid()
        left = [f".library.json.{dead}.tmp", f".library.json.{dead}.old", f".library.json.{os.getpid()}.tmp"]
        kept = [".library.json.1.tmp", f".other.json.{dead}.tmp", f"library.json.{dead}.tmp", ".library.json.x.tmp"]
        for name in left + kept:
            (target.parent / name).write_bytes(b"part")
        assert sorted(path.name for path in sweep_leftovers(target.parent, "library.json")) == sorted(left)
        assert names(target.parent) == sorted([*kept, "library.json"])

    @pytest.mark.skipif(not LINUX, reason="flock")
    def test_a_locked_one_of_another_container_stays(self, target: Path) -> None:
        import fcntl

        path = target.parent / f".library.json.{self.dead_pid()}.tmp"
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert sweep_leftovers(target.parent, "library.json") == []
        assert sweep_leftovers(target.parent, "library.json") == [path]

    def test_the_one_being_written_stays(self, target: Path) -> None:
        def chunks():
            assert sweep_leftovers(target.parent, target.name) == []
            yield NEW

        assert write_atomic(target, chunks()) == sha(NEW)

    @pytest.mark.skipif(not LINUX, reason="flock")
    def test_the_one_being_written_stays_where_files_cannot_be_locked(
        self, target: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(atomic.fcntl, "flock", no_locks)
        self.test_the_one_being_written_stays(target)

    def test_a_write_sweeps_what_was_left(self, target: Path) -> None:
        (target.parent / f".library.json.{self.dead_pid()}.tmp").write_bytes(b"part")
        write_atomic(target, [NEW])
        assert names(target.parent) == ["library.json"]

    def test_a_second_writer_in_the_same_process_is_refused(self, target: Path) -> None:
        def chunks():
            with pytest.raises(errors.EnvironmentFailed, match="being written by this process"):
                write_atomic(target, [b"second"])
            yield NEW

        assert write_atomic(target, chunks()) == sha(NEW)
        assert target.read_bytes() == NEW

    def test_of_two_threads_at_once_one_is_refused(self, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        both_looked = threading.Barrier(2)

        class Looked(set[str]):
            def __contains__(self, key: object) -> bool:
                found = super().__contains__(key)
                with contextlib.suppress(threading.BrokenBarrierError):
                    both_looked.wait(1.0)  # nobody else looks meanwhile: that is the guarantee
                return found

        monkeypatch.setattr(atomic, "_in_use", Looked())
        first_is_done = threading.Event()
        refused: list[str] = []

        def write(data: bytes) -> None:
            def chunks():
                yield data
                first_is_done.wait(10.0)

            try:
                write_atomic(target, chunks())
            except errors.EnvironmentFailed as error:
                refused.append(error.what)
                first_is_done.set()

        threads = [threading.Thread(target=write, args=(data,)) for data in (b"one", b"two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1 and "by this process" in refused[0]
        assert target.read_bytes() in {b"one", b"two"}


class TestReading:
    def test_steady(self, target: Path) -> None:
        reading = read_whole(target)
        assert reading.data == OLD
        assert reading.steady

    @pytest.mark.parametrize("act", ["grow", "replace", "remove"])
    def test_not_steady(self, target: Path, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
        acts = {
            "grow": lambda: target.write_bytes(OLD + b" "),
            "replace": lambda: write_atomic(target, [OLD]),
            "remove": target.unlink,
        }
        fstat = os.fstat
        done = []

        def then_act(descriptor: int) -> os.stat_result:
            status = fstat(descriptor)
            done.append(1)
            if len(done) == 2:  # the first call tells whether it is a regular file
                acts[act]()
            return status

        monkeypatch.setattr(hashes.os, "fstat", then_act)
        assert not read_whole(target).steady

    @pytest.mark.skipif(not PIPES, reason="no named pipes here")
    def test_a_pipe_is_refused_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="not a regular file"):
            sha256_file(tmp_path / "pipe")
