import hashlib
import os
import socket
import sys

import pytest
from noise import noise
from PIL import Image

from mobius_tui.fingerprint import file as file_module
from mobius_tui.fingerprint.file import fingerprint_bytes, fingerprint_file, identify_file
from mobius_tui.fingerprint.model import Limits, Task

LIMITS = Limits()


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    noise((64, 48), 90).convert("RGB").save(path)
    return path


def outcome_of(path, limits=LIMITS, **task):
    return fingerprint_file(Task(str(path), **task), "exact", limits)


def test_a_good_file(picture):
    found = outcome_of(picture)
    assert found.status == "ok"
    assert found.sha256 == hashlib.sha256(picture.read_bytes()).digest()
    assert found.size == picture.stat().st_size
    assert (found.mtime_ns, found.inode) == (picture.stat().st_mtime_ns, picture.stat().st_ino)
    assert (found.width, found.height, found.format) == (64, 48, "PNG")
    assert found.confidence > 0.5
    assert found.error is None
    assert found.duration_ms > 0


def test_known_bytes_are_not_decoded(picture, monkeypatch):
    known = outcome_of(picture).sha256

    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(file_module, "load_picture", never)
    found = outcome_of(picture, known_sha256=known)
    assert (found.status, found.sha256, found.dhash) == ("same", known, None)
    assert found.size == picture.stat().st_size


def test_other_bytes_than_the_known_ones_are_decoded(picture):
    assert outcome_of(picture, known_sha256=bytes(32)).status == "ok"


def test_bytes_from_elsewhere_hash_as_the_file_does(picture):
    assert fingerprint_bytes(picture.read_bytes(), "exact", LIMITS).dhash == outcome_of(picture).dhash


def test_a_file_that_does_not_exist_is_missing(tmp_path):
    found = outcome_of(tmp_path / "gone.png")
    assert (found.status, found.cause, found.lasting) == ("missing", "vanished", False)


def test_a_link_to_nothing_is_missing(tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    assert outcome_of(tmp_path / "link.png").status == "missing"


def test_a_circle_of_links_fails(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    found = outcome_of(tmp_path / "a")
    assert (found.status, found.cause) == ("failed", "io")
    assert "circle" in found.error


def test_a_folder_fails(tmp_path):
    found = outcome_of(tmp_path)
    assert (found.status, found.cause) == ("failed", "not an image")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of Unix")
@pytest.mark.timeout(20)
def test_a_pipe_nobody_writes_to_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    found = outcome_of(tmp_path / "pipe.png")
    assert found.status == "failed"
    assert "pipe" in found.error


@pytest.mark.skipif(sys.platform == "win32", reason="devices and sockets of Unix")
def test_devices_and_sockets_fail(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.png")
        for path in ("/dev/zero", str(tmp_path / "s.png")):
            found = outcome_of(path)
            assert (found.status, found.cause) == ("failed", "not an image")
            assert "device" in found.error


@pytest.mark.skipif(sys.platform == "win32", reason="modes of Unix")
def test_without_permission_it_fails_and_is_not_missing(picture, monkeypatch):
    if os.geteuid() == 0:
        real = os.open

        def refused(path, *rest, **named):
            if path == str(picture):
                raise PermissionError(13, "Permission denied", path)
            return real(path, *rest, **named)

        monkeypatch.setattr(os, "open", refused)
    picture.chmod(0)
    found = outcome_of(picture)
    assert (found.status, found.cause, found.lasting) == ("failed", "permission", False)
    there = picture.stat()
    assert (found.size, found.mtime_ns, found.inode) == (there.st_size, there.st_mtime_ns, there.st_ino)


def test_an_empty_file_fails(tmp_path):
    (tmp_path / "e.png").touch()
    found = outcome_of(tmp_path / "e.png")
    assert (found.status, found.cause, found.error) == ("failed", "not an image", "the file is empty")
    assert found.sha256 == hashlib.sha256(b"").digest()


def test_a_text_fails_for_good(tmp_path):
    (tmp_path / "t.png").write_text("not a picture")
    found = outcome_of(tmp_path / "t.png")
    assert (found.status, found.cause, found.lasting) == ("failed", "not an image", True)
    assert found.sha256 is not None


def test_a_truncated_file_fails_for_good(picture):
    picture.write_bytes(picture.read_bytes()[:-200])
    found = outcome_of(picture)
    assert (found.status, found.cause, found.lasting) == ("failed", "truncated", True)
    assert (found.dhash, found.confidence, found.width, found.format) == (None, None, 0, "")


def test_the_byte_limit_is_met_before_reading(picture, monkeypatch):
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("read"))
    found = outcome_of(picture, Limits(bytes=picture.stat().st_size - 1))
    assert (found.status, found.cause) == ("failed", "too large")


def test_a_file_that_grows_past_the_limit_while_it_is_read(picture, monkeypatch):
    real = os.fstat

    def small(descriptor):
        values = list(real(descriptor))
        values[6] = 10
        return os.stat_result(values)

    monkeypatch.setattr(os, "fstat", small)
    assert outcome_of(picture, Limits(bytes=100)).cause == "too large"


def test_a_file_that_changes_once_while_it_is_read_is_read_again(picture, monkeypatch):
    real, changed = os.read, []

    def changing(descriptor, count):
        data = real(descriptor, count)
        if not changed:
            changed.append(True)
            os.utime(picture, ns=(1, 1))
        return data

    monkeypatch.setattr(os, "read", changing)
    found = outcome_of(picture)
    assert changed
    assert (found.status, found.mtime_ns) == ("ok", 1)


def test_a_file_that_never_rests_fails(picture, monkeypatch):
    real, times = os.read, iter(range(1, 1000))

    def changing(descriptor, count):
        data = real(descriptor, count)
        os.utime(picture, ns=(1, next(times)))
        return data

    monkeypatch.setattr(os, "read", changing)
    found = outcome_of(picture)
    assert (found.status, found.cause, found.lasting) == ("failed", "io", False)


def test_too_little_memory_is_a_failure(picture, monkeypatch):
    def greedy(*_):
        raise MemoryError

    monkeypatch.setattr(file_module, "load_picture", greedy)
    assert outcome_of(picture).cause == "memory"


@pytest.mark.parametrize("name", ["nul\0.png", "x" * 5000 + ".png"])
def test_impossible_names_fail(name):
    assert outcome_of("/tmp/" + name).status == "failed"


def test_identifying_reads_and_does_not_decode(tmp_path):
    (tmp_path / "t").write_bytes(b"text")
    found = identify_file(Task(str(tmp_path / "t")), LIMITS)
    assert (found.status, found.sha256) == ("same", hashlib.sha256(b"text").digest())
    assert identify_file(Task(str(tmp_path / "gone")), LIMITS).status == "missing"
    refused = identify_file(Task(str(tmp_path / "t")), Limits(bytes=3))
    assert (refused.cause, refused.size, refused.inode) == ("too large", 4, (tmp_path / "t").stat().st_ino)


@pytest.mark.parametrize(("size", "reason"), [((4, 4), "tiny"), ((200, 9), "tiny"), ((300, 300), "flat")])
def test_what_carries_nothing_is_low_confidence(tmp_path, size, reason):
    image = Image.new("L", size, 128) if reason == "flat" else noise(size, 90)
    image.save(tmp_path / "i.png")
    found = outcome_of(tmp_path / "i.png")
    assert (found.status, found.reason) == ("low_confidence", reason)
    assert found.dhash is not None
