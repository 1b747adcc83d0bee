"""Atomic writes: whole files, kept attributes, compare-and-swap, and every fault that can be injected here."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from mobius_tui import errors
from mobius_tui.recovery import atomic, hashes
from mobius_tui.recovery.atomic import Changed, sweep_leftovers, write_atomic
from mobius_tui.recovery.hashes import read_whole, sha256_file
from mobius_tui.system import exchange as exchange_module
from mobius_tui.system.exchange import exchange, rename_new

LINUX = sys.platform.startswith("linux")
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
PIPES = hasattr(os, "mkfifo")
REPOSITORY = Path(__file__).parents[2]
OLD, NEW = b'{"images": []}\n', b'{"images": [], "x": 1}\n' * 1000


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "library.json"
    path.write_bytes(OLD)
    return path


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


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
        if path.suffix == ".tmp" and sha256_file(path) == sha(OLD):
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


@pytest.mark.skipif(not LINUX, reason="renameat2 is Linux's")
class TestFallbacks:
    @pytest.fixture(autouse=True)
    def without_the_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exchange_module, "_renameat2", lambda *_: False)

    def test_exchange(self, target: Path) -> None:
        staged = target.with_name("staged")
        staged.write_bytes(NEW)
        assert exchange(staged, target) is False
        assert (target.read_bytes(), staged.read_bytes()) == (NEW, OLD)
        assert names(target.parent) == ["library.json", "staged"]

    def test_exchange_that_fails_leaves_both(self, target: Path) -> None:
        with pytest.raises(FileNotFoundError):
            exchange(target.with_name("staged"), target)
        assert target.read_bytes() == OLD
        assert names(target.parent) == ["library.json"]

    def test_rename_new(self, target: Path) -> None:
        with pytest.raises(FileExistsError):
            rename_new(target, target)
        rename_new(target, target.with_name("b"))
        assert names(target.parent) == ["b"]

    def test_write(self, target: Path) -> None:
        assert write_atomic(target, [NEW], expect=sha(OLD)) == sha(NEW)
        with pytest.raises(Changed):
            write_atomic(target, [NEW], expect="absent")
        assert names(target.parent) == ["library.json"]


def test_exchange_and_rename_new(target: Path) -> None:
    staged = target.with_name("staged")
    staged.write_bytes(NEW)
    exchange(staged, target)
    assert (target.read_bytes(), staged.read_bytes()) == (NEW, OLD)
    with pytest.raises(FileExistsError):
        rename_new(staged, target)
    rename_new(staged, target.with_name("free"))
    assert names(target.parent) == ["free", "library.json"]


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


def run_script(
    target: Path, script: str, *, strace: list[str] | None = None, user: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script that knows write_atomic, target and NEW, with the bare standard library."""
    head = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from pathlib import Path\n"
        "from mobius_tui.errors import EnvironmentFailed, MobiusError, exit_code_of\n"
        "from mobius_tui.recovery.atomic import write_atomic\n"
        f"target = Path({str(target)!r}); NEW = {NEW!r}; OLD_HASH = {sha(OLD)!r}\n"
    )
    become = "" if user is None else f"import os; os.setgroups([]); os.setgid({user}); os.setuid({user})\n"
    command = [*(strace or []), sys.executable, "-S", "-E", "-B", "-c", head + become + script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


WRITE = (
    "try: write_atomic(target, [NEW], expect=OLD_HASH)\n"
    "except MobiusError as error: print(error); sys.exit(exit_code_of(error))\n"
)
PLAIN = WRITE.replace(", expect=OLD_HASH", "")


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-o", os.devnull, "true"], check=False).returncode:
        pytest.skip("no strace here, or it may not trace")
    return found


def injected(strace: str, log: Path, call: str, fault: str) -> list[str]:
    return [strace, "-f", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{fault}"]


@pytest.mark.parametrize(
    ("call", "fault", "script", "code", "content"),
    [
        ("fsync", "error=EIO:when=1", WRITE, 3, OLD),
        ("fsync", "error=ENOSPC:when=1", WRITE, 5, OLD),
        ("fsync", "error=EIO:when=2", WRITE, 3, NEW),  # the folder: the swap was made
        ("fsync", "error=EINVAL:when=2", WRITE, 0, NEW),  # a filesystem that syncs no folders
        ("write", "error=EDQUOT:when=1", WRITE, 5, OLD),
        ("write", "error=EIO:when=1", WRITE, 3, OLD),
        ("write", "error=EFBIG:when=1", WRITE, 5, OLD),
        ("fchmod", "error=ENOSPC:when=1", WRITE, 5, OLD),
        ("fchmod", "error=EPERM:when=1", WRITE, 3, OLD),
        ("flock", "error=ENOLCK:when=1", WRITE, 0, NEW),
        ("renameat2", "error=EIO:when=1", WRITE, 3, OLD),
        ("renameat2", "error=EROFS:when=1", WRITE, 3, OLD),
        ("renameat2", "error=ENOSYS:when=1", WRITE, 0, NEW),
        ("rename", "error=EACCES:when=1", PLAIN, 3, OLD),
    ],
)
def test_a_failing_call(
    strace: str, target: Path, tmp_path: Path, call: str, fault: str, script: str, code: int, content: bytes
) -> None:
    log = tmp_path.parent / f"{tmp_path.name}.log"
    done = run_script(target, script, strace=injected(strace, log, call, fault))
    assert "(INJECTED)" in log.read_text(), "the fault never fired"
    assert done.returncode == code, done.stdout + done.stderr
    assert target.read_bytes() == content
    assert names(target.parent) == ["library.json"]


def test_killed_at_each_call_the_file_is_old_or_new(strace: str, target: Path, tmp_path: Path) -> None:
    log = tmp_path.parent / f"{tmp_path.name}.log"
    kills, seen = 0, set()
    for call in ("write", "fsync", "fchmod", "flock", "renameat2", "unlink"):
        for number in range(1, 9):
            target.write_bytes(OLD)
            done = run_script(target, WRITE, strace=injected(strace, log, call, f"signal=KILL:when={number}"))
            if done.returncode == 0:
                break
            assert "killed by SIGKILL" in log.read_text(), done.stderr
            kills += 1
            seen.add(target.read_bytes())
            sweep_leftovers(target.parent, target.name)
            assert names(target.parent) == ["library.json"]
        assert number > 1, f"{call} was never met"
    assert kills >= 7
    assert seen == {OLD, NEW}


def test_interrupted_at_each_call_nothing_is_left(strace: str, target: Path, tmp_path: Path) -> None:
    log = tmp_path.parent / f"{tmp_path.name}.log"
    seen = set()
    for call, most in (("write", 1), ("fsync", 2), ("fchmod", 1), ("flock", 1), ("renameat2", 1), ("unlink", 2)):
        for number in range(1, most + 1):
            target.write_bytes(OLD)
            done = run_script(target, WRITE, strace=injected(strace, log, call, f"signal=INT:when={number}"))
            assert "SIGINT" in log.read_text(), "the fault never fired"
            assert "KeyboardInterrupt" in done.stderr
            seen.add(target.read_bytes())
            assert names(target.parent) == ["library.json"]
    assert seen == {OLD, NEW}


@pytest.fixture
def small_disk(tmp_path: Path):
    """A filesystem of 256 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if not ROOT or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small filesystem")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    target = small_disk / "library.json"
    target.write_bytes(OLD)
    with pytest.raises(errors.OutOfResource) as caught:
        write_atomic(target, [b"x" * 65536] * 8, expect=sha(OLD))
    assert errors.exit_code_of(caught.value) == 5
    assert target.read_bytes() == OLD
    assert names(small_disk) == ["library.json"]
    assert write_atomic(target, [NEW], expect=sha(OLD)) == sha(NEW)


def test_a_read_only_disk(small_disk: Path) -> None:
    target = small_disk / "library.json"
    target.write_bytes(OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(errors.EnvironmentFailed, match="Read-only"):
        write_atomic(target, [NEW])
    assert target.read_bytes() == OLD


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


def test_works_with_the_standard_library_alone(target: Path) -> None:
    done = run_script(target, WRITE + "print(sorted(m for m in sys.modules if 'site-packages' in m))")
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == NEW
