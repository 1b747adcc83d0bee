"""What a hash and a remembered failure depend on."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import PIL
from PIL import features

from mobius_tui.fingerprint.external import external_tools
from mobius_tui.fingerprint.model import Limits

_LOSSY = ("jpg_2000", "webp", "avif")


def decoder_version() -> str:
    """The decoders whose change can alter hashes, such as ``Pillow 13.0.0, libjpeg-turbo 3.2.0, ...``.

    Only libraries that decode with loss are named: the lossless ones give the same pixels in every version.

    Returns:
        One line, the same in every process of an installation.
    """
    parts = [f"Pillow {PIL.__version__}"]
    turbo = features.version("libjpeg_turbo")
    parts.append(f"libjpeg-turbo {turbo}" if turbo else f"libjpeg {features.version('jpg')}")
    parts += [f"{name} {features.version(name)}" for name in _LOSSY if features.check(name)]
    try:
        parts.append(f"pillow-heif {importlib.metadata.version('pillow-heif')}")
    except importlib.metadata.PackageNotFoundError:
        parts.append("no pillow-heif")
    return ", ".join(parts)


def failure_environment(limits: Limits) -> str:
    """Under what a failure was met: a remembered one is tried again when this changes.

    Args:
        limits: The limits in force.

    Returns:
        One line: limits, decoders, external programs with size and time of their files.
    """
    tools = [f"{name} {_stamp(path)}" for name, path in sorted(external_tools().items())]
    bounds = f"{limits.pixels} px, {limits.bytes} B, {limits.seconds:g} s, {limits.memory} B memory"
    return "; ".join([bounds, decoder_version(), ", ".join(tools) or "no external decoder"])


def _stamp(path: str) -> str:
    try:
        found = Path(path).stat()
    except OSError:
        return path
    return f"{path} {found.st_size} {found.st_mtime_ns}"
