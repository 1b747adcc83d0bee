"""What the machine gives MOBIUS: decoders, terminal, limits, clock. Each finding names the command that mends it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import locale
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mobius_tui.system import clock

LEAST_HANDLES = 256
"""Open files below which work is refused by the system sooner or later; 1,024 are comfortable."""

_ASK_S = 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        topic: What, in a word or two.
        state: ``ok``, ``note`` (good to know), ``warning`` (works, with a loss) or ``problem`` (prevents work).
        said: What was found, in words.
        fix: The command that mends it, or what to change; empty when there is nothing to mend.
    """

    topic: str
    state: str
    said: str
    fix: str = ""


def examine_machine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that does not depend on a workspace.

    Args:
        environ: The process environment.

    Yields:
        Findings.
    """
    yield _python()
    yield from _pillow()
    yield _reference()
    yield _external()
    yield _terminal(environ)
    yield _encoding()
    yield from _handles()
    yield from _memory()
    yield from _logout(environ)
    yield _multiplexer(environ)
    yield _clock()


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("Python", "ok", f"{version} on {sys.platform}")


def _pillow() -> Iterator[Finding]:
    try:
        import PIL
        from PIL import features
    except ImportError as error:
        yield Finding("Pillow", "problem", f"cannot be imported: {error}", "pip install --force-reinstall Pillow")
        return
    lacking = [
        name for name, codec in (("JPEG", "jpg"), ("PNG", "zlib"), ("TIFF", "libtiff")) if not features.check(codec)
    ]
    if lacking:
        said = f"{PIL.__version__} cannot read {', '.join(lacking)}"
        yield Finding("Pillow", "problem", said, "pip install --force-reinstall --only-binary :all: Pillow")
    else:
        yield Finding("Pillow", "ok", f"{PIL.__version__} reads JPEG, PNG, TIFF")
    for name, codec in (("WebP", "webp"), ("AVIF", "avif")):
        if features.check(codec):
            yield Finding(name, "ok", f"read by Pillow ({features.version(codec) or 'version unknown'})")
        else:
            fix = "pip install --force-reinstall --only-binary :all: Pillow"
            yield Finding(name, "warning", f"{name} images will fail: this Pillow was built without it", fix)
    if importlib.util.find_spec("pillow_heif") is None:
        yield Finding("HEIF", "warning", "HEIC images will fail", "pip install pillow-heif")
    else:
        yield Finding("HEIF", "ok", f"pillow-heif {importlib.metadata.version('pillow-heif')}")


def _reference() -> Finding:
    """Whether this machine's hash of a picture is the reference's: it depends on Pillow."""
    try:
        import imagehash
        from PIL import Image

        from mobius_tui.fingerprint.dhash import dhash_of, hex_of
    except ImportError as error:
        return Finding("dHash", "warning", f"cannot be compared: {error}", "pip install --force-reinstall imagehash")
    drawn = [bytes((x * y * 7 + x * x + 31 * y) % 256 for x in range(width) for y in range(97)) for width in (60, 230)]
    pictures = [Image.frombytes("L", (97, len(data) // 97), data) for data in drawn]
    if all(hex_of(dhash_of(picture)) == str(imagehash.dhash(picture, hash_size=8)) for picture in pictures):
        return Finding("dHash", "ok", "equal to imagehash's")
    return Finding("dHash", "problem", "is not the one of imagehash", "pip install --force-reinstall Pillow imagehash")


def _external() -> Finding:
    from mobius_tui.fingerprint.external import external_tools

    tools = external_tools()
    if tools:
        return Finding("decoders", "ok", ", ".join(f"{name} ({path})" for name, path in sorted(tools.items())))
    said = "neither ffmpeg nor ImageMagick: JPEG XL, OpenEXR and other rare formats will fail"
    return Finding("decoders", "note", said, "apt-get install ffmpeg imagemagick")


def _terminal(environ: Mapping[str, str]) -> Finding:
    if not (_isatty(0) and _isatty(1)):
        return Finding("terminal", "note", "none here: verbs work, the console needs one", "run `mobius` in a terminal")
    kind = environ.get("TERM", "")
    if kind in {"", "dumb"}:
        return Finding("terminal", "warning", f"TERM is {kind or 'not set'}: no console", "export TERM=xterm-256color")
    columns, lines = shutil.get_terminal_size()
    colours = "true colour" if environ.get("COLORTERM") in {"truecolor", "24bit"} else "256 colours or fewer"
    said = f"{kind}, {columns}x{lines}, {'no colours (NO_COLOR)' if environ.get('NO_COLOR') else colours}"
    if columns < 80 or lines < 24:
        return Finding("terminal", "warning", f"{said}: smaller than 80x24", "make the window larger")
    return Finding("terminal", "ok", said)


def _isatty(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def _encoding() -> Finding:
    name = locale.getencoding() if hasattr(locale, "getencoding") else locale.getpreferredencoding(False)
    if name.lower().replace("-", "") == "utf8":
        return Finding("locale", "ok", name)
    return Finding("locale", "warning", f"{name}: names may show escaped", "export LC_ALL=C.UTF-8, or `mobius --ascii`")


def _handles() -> Iterator[Finding]:
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < 1024:
        most = hard if hard != resource.RLIM_INFINITY else 4096
        state = "problem" if soft < LEAST_HANDLES else "warning"
        yield Finding("open files", state, f"at most {soft}", f"ulimit -n {min(4096, most)}")
    else:
        yield Finding("open files", "ok", "any number" if soft == resource.RLIM_INFINITY else f"at most {soft:,}")


def _memory() -> Iterator[Finding]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1e6
    except (OSError, StopIteration, ValueError, IndexError):
        return
    if available < 0.5:
        fix = "end other programs, or run `mobius migrate --parallel 1`"
        yield Finding("memory", "warning", f"{available:.1f} GB are free", fix)
    else:
        yield Finding("memory", "ok", f"{available:.1f} GB are free")


def _logout(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether systemd ends the worker when its user logs out."""
    user = environ.get("USER") or environ.get("LOGNAME") or str(os.getuid() if hasattr(os, "getuid") else "")
    if shutil.which("loginctl") is None or not Path("/run/systemd/system").exists():
        yield Finding("logout", "ok", "no systemd here that ends processes at logout")
        return
    lingers = _answer(["loginctl", "show-user", user, "--property=Linger", "--value"]).strip() == "yes"
    kills = _answer(["busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1",
                     "org.freedesktop.login1.Manager", "KillUserProcesses"]).strip() != "b false"  # fmt: skip
    if lingers or not kills:
        yield Finding("logout", "ok", "the worker survives it")
    else:
        yield Finding("logout", "warning", "the worker may be ended at logout", f"loginctl enable-linger {user}")


def _multiplexer(environ: Mapping[str, str]) -> Finding:
    if environ.get("TMUX") or environ.get("STY"):
        return Finding("tmux", "ok", "this session survives a dropped link")
    if shutil.which("tmux") or shutil.which("screen"):
        said = "installed, not used here; the worker survives a dropped link, the console is opened again"
        return Finding("tmux", "note", said, "tmux new -A -s mobius")
    return Finding("tmux", "note", "not installed: a dropped link closes the console", "apt-get install tmux")


def _clock() -> Finding:
    now = clock.now()
    shown = clock.iso(now)
    if not 1_735_689_600 <= now < 4_102_444_800:  # 2025 .. 2100
        return Finding("clock", "problem", f"it says {shown}", "timedatectl set-ntp true")
    systemd = Path("/run/systemd/system").exists()
    if systemd and _answer(["timedatectl", "show", "--property=NTPSynchronized", "--value"]).strip() == "no":
        return Finding("clock", "warning", f"{shown}, not synchronised", "timedatectl set-ntp true")
    return Finding("clock", "ok", shown)


def _answer(command: list[str]) -> str:
    """What a program prints; empty when it fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
