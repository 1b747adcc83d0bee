"""ffmpeg or ImageMagick for images that Pillow does not open, kept on a short lead.

Only files whose first bytes are those of a known image format get here, the format is forced, the bytes go in and out
by pipe, and the program may use no protocol but its own pipe, no delegate, no other file format, bounded memory, time
and output. A file that Pillow opens and cannot finish is never tried again here: ffmpeg would fill the gap with a
plausible picture.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from PIL import Image

from mobius_tui.catalogue.formats import SNIFF_BYTES, sniff
from mobius_tui.fingerprint.decode import DecodeFailed, Facts, NotOpened, load_luminance
from mobius_tui.fingerprint.model import Limits
from mobius_tui.fingerprint.whole import is_whole

FFMPEG: Final = "ffmpeg"
IMAGEMAGICK: Final = "ImageMagick"

READERS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "JPEG XL": ((FFMPEG, "jpegxl_pipe"), (IMAGEMAGICK, "JXL")),
    "JPEG2000": ((FFMPEG, "j2k_pipe"), (IMAGEMAGICK, "JP2")),
    "OpenEXR": ((FFMPEG, "exr_pipe"), (IMAGEMAGICK, "EXR")),
    "DPX": ((FFMPEG, "dpx_pipe"), (IMAGEMAGICK, "DPX")),
    "Radiance HDR": ((IMAGEMAGICK, "HDR"), (FFMPEG, "hdr_pipe")),
    "PSD": ((IMAGEMAGICK, "PSD"), (FFMPEG, "psd_pipe")),
    "PSB": ((IMAGEMAGICK, "PSB"),),
    "XCF": ((IMAGEMAGICK, "XCF"),),
    "HEIF": ((IMAGEMAGICK, "HEIC"),),
    "AVIF": ((IMAGEMAGICK, "AVIF"),),
    "TIFF": ((IMAGEMAGICK, "TIFF"), (FFMPEG, "tiff_pipe")),
    "WEBP": ((FFMPEG, "webp_pipe"), (IMAGEMAGICK, "WEBP")),
    "DDS": ((FFMPEG, "dds_pipe"), (IMAGEMAGICK, "DDS")),
    "SGI": ((FFMPEG, "sgi_pipe"), (IMAGEMAGICK, "SGI")),
    "PCX": ((FFMPEG, "pcx_pipe"), (IMAGEMAGICK, "PCX")),
}
"""Sniffed format to the programs that read it, each with the name that forces the format; the better one first.

ffmpeg is not asked for HEIF and AVIF: of a tiled picture it gives one tile.
"""

_TOO_LARGE = (b"resources exhausted", b"exceeds limit", b"picture size", b"cannot allocate memory")
_LACKS = (b"no decode delegate", b"unknown input format", b"decoder not found", b"not authorized", b"none) not found")

_LEAD = """
import ctypes, os, sys
memory, seconds, output = (int(value) for value in sys.argv[1:4])
try:
    libc = ctypes.CDLL(None)
    libc.unshare(0x10000000 | 0x40000000)
    libc.prctl(1, 9)
except (OSError, AttributeError):
    pass
import resource
for name, value in (("AS", memory), ("CPU", seconds), ("FSIZE", output), ("NOFILE", 64), ("CORE", 0)):
    kind = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError):
        pass
os.execve(sys.argv[4], sys.argv[4:], dict(os.environ))
"""
# unshare gives it an empty network where the kernel lets a user have one (and clears what prctl 1, PR_SET_PDEATHSIG,
# would have set before it).


@dataclass(frozen=True, slots=True)
class Run:
    """What a program did.

    Attributes:
        output: Its standard output, cut at the limit.
        complaint: The start of its standard error.
        code: Its exit code; None when it was stopped.
        why_stopped: ``timeout`` or ``too large``; empty when it ended by itself.
    """

    output: bytes
    complaint: bytes
    code: int | None
    why_stopped: str


def external_tools() -> dict[str, str]:
    """The programs found: the name for people to the absolute path."""
    found: dict[str, str] = {}
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg:
        found[FFMPEG] = ffmpeg
    # "convert" comes last, and never on Windows, where it is another program.
    names = ("magick", "convert-im7.q16", "convert-im6.q16", *(() if sys.platform == "win32" else ("convert",)))
    magick = next((path for path in map(shutil.which, names) if path), None)
    if magick:
        found[IMAGEMAGICK] = magick
    return found


def load_external(data: bytes, limits: Limits, refused: NotOpened) -> tuple[Image.Image, Facts]:
    """Decode by another program what Pillow does not open.

    Args:
        data: The whole file.
        limits: Pixels, seconds and memory.
        refused: What Pillow said; it is raised again when no program reads the format at all.

    Returns:
        Mode ``L``, upright, and the facts with the sniffed format.

    Raises:
        DecodeFailed: No program is installed (``decoder missing``), it failed, or a limit was met.
    """
    name = sniff(data[:SNIFF_BYTES])
    if name is None or name not in READERS:
        raise refused
    if not is_whole(data, name):
        raise DecodeFailed(_ends_early(name), "truncated")
    tools = external_tools()
    readers = [(tool, forced) for tool, forced in READERS[name] if tool in tools]
    deadline = time.monotonic() + limits.seconds * 0.9
    able, crashed = False, ""
    for tool, forced in readers:
        run = _decoded_by(tool, tools[tool], forced, data, limits, deadline - time.monotonic())
        if run.why_stopped == "timeout":
            said = f"{tool} took longer than {limits.seconds:g} s over this {name} file"
            raise DecodeFailed(said, "timeout", lasting=False)
        if run.why_stopped == "too large":
            raise DecodeFailed("too large: decoded, it has more pixels than the limit", "too large")
        if _succeeded(run):
            plane, facts = _picture_in(run, limits)
            if tool == IMAGEMAGICK:
                again = _decoded_by(tool, tools[tool], forced, data + _FILLER, limits, deadline - time.monotonic())
                if not _succeeded(again) or _picture_in(again, limits)[0].tobytes() != plane.tobytes():
                    raise DecodeFailed(_ends_early(name), "truncated")
            return plane, replace(facts, format=name)
        if any(word in run.complaint.lower() for word in _TOO_LARGE):
            raise DecodeFailed(f"{tool} needs more memory or pixels than one image may use", "too large")
        if run.code is not None and run.code < 0:
            crashed = tool
        elif not any(word in run.complaint.lower() for word in _LACKS):
            able = True
    if crashed and not able:
        raise DecodeFailed(f"{crashed} crashed on this {name} file", "crash", lasting=False)
    if not able:
        wanted = " or ".join(tool for tool, _ in READERS[name])
        state = "as installed cannot read it" if readers else "is not installed"
        if refused.cause == "truncated" and readers:
            raise refused
        raise DecodeFailed(f"a {name} file needs {wanted}, which {state}", "decoder missing")
    said = " and ".join(tool for tool, _ in readers)
    raise DecodeFailed(f"damaged, or of a kind that {said} cannot read: {name} file", "truncated")


_FILLER: Final = random.Random(64).randbytes(1 << 16)
"""Bytes after the end of a file. ImageMagick fills the gap of a cut file in silence; a reader that went past the end of
the file reads these, and gives another picture or none."""


def _succeeded(run: Run) -> bool:
    return run.code == 0 and bool(run.output) and not run.complaint


def _picture_in(run: Run, limits: Limits) -> tuple[Image.Image, Facts]:
    return load_luminance(run.output, replace(limits, bytes=len(run.output)))


def _ends_early(name: str) -> str:
    return f"truncated: the {name} file ends before the picture does"


def _decoded_by(tool: str, program: str, forced: str, data: bytes, limits: Limits, seconds: float) -> Run:
    with tempfile.TemporaryDirectory(prefix="mobius-decode-") as folder:
        if tool == FFMPEG:
            arguments = _ffmpeg(program, forced, len(data), limits)
        else:
            arguments = _imagemagick(program, forced, limits)
            Path(folder, "policy.xml").write_text(_policy(forced), encoding="ascii")
        return run_bounded(arguments, data, folder, limits, seconds)


def _ffmpeg(program: str, forced: str, size: int, limits: Limits) -> list[str]:
    # Told the size, it takes the whole pipe as one frame; formats without a parser of their own need that.
    # Its pixel limit counts padding, so it gets some room; the picture that comes out is held to the exact limit.
    most = limits.pixels + limits.pixels // 8 + (1 << 16)
    return [
        *(program, "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror"),
        *("-protocol_whitelist", "pipe", "-format_whitelist", forced, "-f", forced, "-frame_size", str(size)),
        *("-max_pixels", str(most), "-err_detect", "explode", "-threads", "1", "-i", "pipe:0"),
        *("-map", "0:v:0", "-frames:v", "1", "-threads", "1", "-f", "image2pipe", "-c:v", "png", "pipe:1"),
    ]


def _imagemagick(program: str, forced: str, limits: Limits) -> list[str]:
    bounds = {
        "memory": limits.memory,
        "map": 0,
        "disk": limits.pixels * 16,
        "area": limits.pixels,
        "thread": 1,
    }
    flags = [word for name, value in bounds.items() for word in ("-limit", name, str(value))]
    picture = [f"{forced}:-[0]", "-auto-orient", "-define", "png:compression-level=1", "png:-"]
    return [program, "-regard-warnings", *flags, *picture]


_SAME_CODER = {"PSB": ("PSD",)}
"""ImageMagick asks its policy for the coder that does the work."""


def _policy(forced: str) -> str:
    closed = ["delegate", "filter", "coder"]
    readable = [forced, *_SAME_CODER.get(forced, ())]
    lines = [
        *(f'<policy domain="{domain}" rights="none" pattern="*"/>' for domain in closed),
        '<policy domain="path" rights="none" pattern="@*"/>',
        *(f'<policy domain="coder" rights="read" pattern="{coder}"/>' for coder in readable),
        '<policy domain="coder" rights="write" pattern="PNG"/>',
    ]
    return "<policymap>\n" + "\n".join(lines) + "\n</policymap>\n"


def run_bounded(arguments: list[str], data: bytes, folder: str, limits: Limits, seconds: float) -> Run:
    """Run a program on bytes, with limits on time, memory and output.

    Args:
        arguments: The program's absolute path and its arguments.
        data: Its standard input.
        folder: Its working, home and temporary folder.
        limits: Memory, and pixels for the size of the output.
        seconds: Wall-clock time.

    Returns:
        What it did; it is dead when this returns.
    """
    seconds = max(0.1, seconds)
    # A 16-bit RGBA PNG at its worst is a little over 8 bytes a pixel.
    most = limits.pixels * 9 + 1_000_000
    command = arguments
    if sys.platform != "win32":
        bounds = (limits.memory, max(1, round(seconds + 1)), most)
        command = [sys.executable, "-I", "-S", "-c", _LEAD, *map(str, bounds), *arguments]
    environment = {
        **dict.fromkeys(("HOME", "TMPDIR", "TMP", "TEMP", "MAGICK_CONFIGURE_PATH", "MAGICK_TEMPORARY_PATH"), folder),
        "PATH": str(Path(arguments[0]).parent),
        "LC_ALL": "C",
        "MAGICK_THREAD_LIMIT": "1",
        "OMP_NUM_THREADS": "1",
    }
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        output, complaint = _Bounded(process.stdout, most), _Bounded(process.stderr, 4096)
        threads = [
            threading.Thread(target=_feed, args=(process.stdin, data), daemon=True),
            threading.Thread(target=output.read, args=(process,), daemon=True),
            threading.Thread(target=complaint.read, args=(None,), daemon=True),
        ]
        for thread in threads:
            thread.start()
        stopped = ""
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            stopped = "timeout"
        finally:
            process.kill()
        for thread in threads:
            thread.join()
    if output.full:
        stopped = "too large"
    return Run(bytes(output.data), bytes(complaint.data), None if stopped else process.returncode, stopped)


class _Bounded:
    """A stream read to its end, kept up to a limit."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream = stream
        self.limit = limit
        self.data = bytearray()
        self.full = False

    def read(self, process: subprocess.Popen[bytes] | None) -> None:
        while part := self.stream.read1(1 << 16):  # type: ignore[attr-defined]  # a pipe is a BufferedReader
            room = self.limit - len(self.data)
            self.data += part[:room]
            if len(part) > room:
                self.full = True
                if process is not None:
                    process.kill()


def _feed(stream: IO[bytes], data: bytes) -> None:
    try:
        with stream:
            stream.write(data)
    except OSError:
        return  # it ended without reading everything; its exit code says the rest
