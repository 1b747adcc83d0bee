"""External decoders: what they may read, and that nothing they are given makes them call out."""

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from noise import noise
from PIL import Image

from mobius_tui.catalogue.formats import sniff
from mobius_tui.fingerprint import external
from mobius_tui.fingerprint.dhash import dhash_of, hamming
from mobius_tui.fingerprint.external import READERS, external_tools, run_bounded
from mobius_tui.fingerprint.file import fingerprint_bytes, fingerprint_file
from mobius_tui.fingerprint.model import Limits, Task

LIMITS = Limits()
TOOLS = external_tools()

with_ffmpeg = pytest.mark.skipif("ffmpeg" not in TOOLS, reason="ffmpeg is not installed")
with_magick = pytest.mark.skipif("ImageMagick" not in TOOLS, reason="ImageMagick is not installed")
on_unix = pytest.mark.skipif(sys.platform == "win32", reason="limits of Unix")


def picture(size=(96, 72)):
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.paste((200, 30, 40), (10, 8, 40, 40))
    image.paste((20, 90, 220), (50, 30, 90, 70))
    return image


def encoded(tool, suffix, size=(96, 72), options=()):
    """The picture in a format that Pillow does not write."""
    buffer = io.BytesIO()
    picture(size).save(buffer, "PNG")
    if tool == "ffmpeg":
        command = ["-loglevel", "error", "-i", "pipe:0", *options, "-f", "image2pipe", "-c:v", suffix, "pipe:1"]
    else:
        command = ["png:-", *options, f"{suffix}:-"]
    return subprocess.run([TOOLS[tool], *command], input=buffer.getvalue(), capture_output=True, check=True).stdout


@with_ffmpeg
@pytest.mark.parametrize(("codec", "name"), [("libjxl", "JPEG XL"), ("exr", "OpenEXR"), ("dpx", "DPX")])
def test_ffmpeg_reads_what_pillow_does_not(codec, name):
    try:
        data = encoded("ffmpeg", codec)
    except subprocess.CalledProcessError:
        pytest.skip(f"this ffmpeg does not write {name}")
    found = fingerprint_bytes(data, "exact", LIMITS)
    assert (found.status, found.format, found.width, found.height) == ("ok", name, 96, 72), found.error
    assert hamming(found.dhash, dhash_of(picture())) <= 5  # JPEG XL is lossy, and the gradient has ties


@with_magick
@pytest.mark.parametrize(("coder", "name"), [("hdr", "Radiance HDR"), ("psb", "PSB")])
def test_imagemagick_reads_what_pillow_does_not(coder, name):
    found = fingerprint_bytes(encoded("ImageMagick", coder), "exact", LIMITS)
    assert (found.status, found.format, found.width, found.height) == ("ok", name, 96, 72), found.error
    assert hamming(found.dhash, dhash_of(picture())) <= 2


@with_ffmpeg
def test_the_pixel_limit_holds_there_too():
    data = encoded("ffmpeg", "dpx", size=(400, 300))
    found = fingerprint_bytes(data, "exact", Limits(pixels=400 * 300 - 1))
    assert (found.status, found.cause) == ("failed", "too large")
    assert fingerprint_bytes(data, "exact", Limits(pixels=400 * 300)).status == "ok"


@with_ffmpeg
@pytest.mark.parametrize("codec", ["libjxl", "exr", "dpx"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_a_file_cut_short_is_not_filled_up(codec, kept):
    data = encoded("ffmpeg", codec, size=(400, 300))
    found = fingerprint_bytes(data[: int(len(data) * kept)], "exact", LIMITS)
    assert found.status == "failed"
    assert found.error


@with_magick
@pytest.mark.parametrize("coder", ["hdr", "psb"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
def test_imagemagick_does_not_fill_up_either(coder, kept):
    data = encoded("ImageMagick", coder, size=(400, 300))
    found = fingerprint_bytes(data[: int(len(data) * kept)], "exact", LIMITS)
    assert found.status == "failed"


def test_without_a_program_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(external, "external_tools", dict)
    found = fingerprint_bytes(b"\xff\x0a" + bytes(100), "exact", LIMITS)
    assert (found.status, found.cause, found.lasting) == ("failed", "decoder missing", True)
    assert "ffmpeg or ImageMagick" in found.error


@pytest.mark.skipif(sys.platform == "win32", reason="scripts and signals of Unix")
@pytest.mark.parametrize(
    ("script", "cause", "lasting", "word"),
    [
        ("kill -KILL $$", "crash", False, "ffmpeg crashed"),
        ("exec /bin/sleep 600", "timeout", False, "ffmpeg took longer than 1 s"),
        ("echo broken >&2; exit 1", "truncated", True, "damaged"),
        ("echo Cannot allocate memory >&2; kill -ABRT $$", "too large", True, "memory"),
    ],
)
def test_only_what_the_bytes_are_to_blame_for_is_lasting(tmp_path, monkeypatch, script, cause, lasting, word):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(external, "external_tools", lambda: {external.FFMPEG: str(program)})
    limits = Limits(seconds=1.0 if cause == "timeout" else 60.0)
    found = fingerprint_bytes(b"\xff\x0a" + bytes(100), "exact", limits)
    assert (found.status, found.cause, found.lasting) == ("failed", cause, lasting)
    assert word in found.error


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_what_pillow_opens_and_cannot_finish_is_not_given_to_them(format_name, monkeypatch):
    image = noise((300, 200), 80).convert("P" if format_name == "GIF" else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, format_name)
    ran = []
    monkeypatch.setattr(external, "run_bounded", lambda *given: ran.append(given))
    for kept in (0.05, 0.5, 0.9):
        data = buffer.getvalue()[: int(len(buffer.getvalue()) * kept)]
        found = fingerprint_bytes(data, "exact", LIMITS)
        assert (found.status, found.cause) == ("failed", "truncated")
    assert not ran


CALLS_OUT = {
    "hls": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\n{url}\n#EXTINF:10.0,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{secret}'\nfile '{url}'\n",
    "svg": "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='64' height='64'>"
    "<image width='64' height='64' xlink:href='{url}'/><image width='9' height='9' href='file://{secret}'/></svg>",
    "mvg": "push graphic-context\nviewbox 0 0 64 64\nimage over 0,0 0,0 '{url}'\npop graphic-context\n",
    "mvg label": "push graphic-context\nviewbox 0 0 64 64\nimage over 0,0 0,0 'label:@{secret}'\npop graphic-context\n",
    "msl": "<?xml version='1.0'?><image><read filename='{url}'/><read filename='label:@{secret}'/></image>",
    "postscript": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n({secret}) (r) file pop showpage\n",
    "vid": "vid:{secret}",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
}

SIGNATURES = {
    "none": b"",
    "jxl": b"\xff\x0a",
    "jxl container": b"\x00\x00\x00\x0cJXL \r\n\x87\n",
    "jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    "exr": b"\x76\x2f\x31\x01",
    "dpx": b"SDPX\x00\x00",
    "psd": b"8BPS\x00\x01",
    "psb": b"8BPS\x00\x02",
    "xcf": b"gimp xcf ",
    "hdr": b"#?RADIANCE\n",
    "tiff": b"II*\x00",
    "webp": b"RIFF\x10\x00\x00\x00WEBP",
    "heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heicmif1",
    "jpeg": b"\xff\xd8\xff\xe0",
    "png": b"\x89PNG\r\n\x1a\n",
}


@pytest.fixture
def listener():
    """A port of the loopback interface that notes whoever comes."""
    visits = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                visits.append(address)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], visits
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_the_listener_would_notice(listener):
    port, visits = listener
    with socket.create_connection(("127.0.0.1", port)) as visitor:
        assert visitor.recv(1) == b""
    assert visits


def hostile_files(folder, port, kinds_a_signature=2):
    """Every text as it is, and each signature with some of the texts after it."""
    secret = folder / "secret.ts"
    secret.write_text("the secret")
    texts = {
        kind: text.format(url=f"http://127.0.0.1:{port}/x.ts", secret=secret, port=port).encode()
        for kind, text in CALLS_OUT.items()
    }
    pairs = [("none", kind) for kind in texts]
    for number, signature in enumerate(SIGNATURES):
        kinds = [*texts, *texts][number % len(texts) :][:kinds_a_signature]
        pairs += [(signature, kind) for kind in kinds]
    for signature, kind in dict.fromkeys(pairs):
        path = folder / f"{kind}-{signature}.jpg"
        path.write_bytes(SIGNATURES[signature] + texts[kind])
        yield path


@on_unix
def test_files_that_call_out_reach_nobody(tmp_path, listener):
    port, visits = listener
    # The network of its own that a program gets is a second lock; without it the first one must hold alone.
    for path in hostile_files(tmp_path, port):
        found = fingerprint_file(Task(str(path)), "exact", Limits(seconds=10.0))
        assert found.status == "failed", path.name
        assert "0x" not in found.error
    assert not visits


@on_unix
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("forced", [False, True], ids=["as it comes", "past the signature check"])
def test_no_connection_and_no_foreign_file_by_the_system_calls(tmp_path, listener, forced):
    port, visits = listener
    files = [str(path) for path in hostile_files(tmp_path, port, 1)]
    script = (
        "import sys\n"
        "from mobius_tui.fingerprint import external\n"
        "from mobius_tui.fingerprint.file import fingerprint_file\n"
        "from mobius_tui.fingerprint.model import Limits, Task\n"
        "external._LEAD = external._LEAD.replace('libc.unshare', 'int')\n"
    )
    if forced:
        # Every program with every format it may be told, on text that has no signature at all.
        script += (
            "tools, texts = external.external_tools(), dict(zip(('ffmpeg', 'ImageMagick'), sys.argv[1:]))\n"
            "for tool, name in {reader for readers in external.READERS.values() for reader in readers}:\n"
            "    data = open(texts[tool], 'rb').read()\n"
            "    if tool in tools: external._decoded_by(tool, tools[tool], name, data, Limits(), 10.0)\n"
        )
        files = [str(tmp_path / "hls-none.jpg"), str(tmp_path / "mvg-none.jpg")]
    else:
        script += "for path in sys.argv[1:]: fingerprint_file(Task(path), 'exact', Limits(seconds=10.0))\n"
    log = tmp_path / "calls"
    command = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,open,openat,execve", "-o", str(log)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([*command, sys.executable, "-c", script, *files], env=environment, check=True, timeout=200)
    calls = log.read_text()
    assert "execve(" in calls
    assert any(name in calls for name in ("ffmpeg", "convert", "magick")), "a program was run at all"
    assert f"htons({port})" not in calls
    assert "secret.ts" not in calls
    assert not visits


@on_unix
def test_a_program_that_hangs_is_ended(tmp_path):
    run = run_bounded(["/bin/sleep", "600"], b"", str(tmp_path), LIMITS, 0.2)
    assert (run.why_stopped, run.code) == ("timeout", None)


@on_unix
def test_a_program_that_writes_without_end_is_ended(tmp_path):
    run = run_bounded(["/bin/cat", "/dev/zero"], b"", str(tmp_path), Limits(pixels=1000), 60.0)
    assert run.why_stopped == "too large"
    assert len(run.output) == 1000 * 9 + 1_000_000


@on_unix
def test_a_program_may_not_take_more_memory(tmp_path):
    script = "x = bytearray(900 << 20); print(len(x))"
    python = os.path.realpath(sys.executable)
    assert run_bounded([python, "-I", "-S", "-c", script], b"", str(tmp_path), LIMITS, 30.0).code == 0
    assert run_bounded([python, "-I", "-S", "-c", script], b"", str(tmp_path), Limits(memory=500 << 20), 30.0).code != 0


@on_unix
def test_a_program_sees_no_environment_but_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERNAL_API_KEY", "s3cret")
    run = run_bounded(["/usr/bin/env"], b"", str(tmp_path), LIMITS, 10.0)
    assert b"LC_ALL=C" in run.output
    assert b"s3cret" not in run.output


@on_unix
def test_input_that_nobody_reads_does_not_block(tmp_path):
    assert run_bounded(["/bin/true"], bytes(5_000_000), str(tmp_path), LIMITS, 30.0).code == 0


@with_magick
def test_imagemagicks_policy_allows_one_format():
    buffer = io.BytesIO()
    picture().save(buffer, "GIF")
    drawing = b"viewbox 0 0 64 64\nrectangle 1,1 30,30\n"
    for coder, data, allowed in (
        ("GIF", buffer.getvalue(), "GIF"),
        ("GIF", buffer.getvalue(), "PSD"),
        ("MVG", drawing, "PSD"),
    ):
        arguments = external._imagemagick(TOOLS["ImageMagick"], coder, LIMITS)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "policy.xml").write_text(external._policy(allowed), encoding="ascii")
            run = run_bounded(arguments, data, folder, LIMITS, 20.0)
        assert (run.code == 0) == (coder == allowed)
        assert bool(run.output) == (coder == allowed)
        assert (b"security policy" in run.complaint) == (coder != allowed)


def test_every_format_they_may_read_is_told_by_its_signature():
    told = {sniff(head + bytes(600)) for head in SIGNATURES.values()}
    assert set(READERS) <= told | {"SGI", "PCX", "DDS", "AVIF"}
    for text in CALLS_OUT.values():
        assert sniff(text.encode()) is None
