"""An archive for a ticket: findings, settings, versions and the last logs, without secrets and personal data."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from mobius_tui import __version__
from mobius_tui.errors import EnvironmentFailed
from mobius_tui.operations.machine import Finding
from mobius_tui.operations.status import read_status
from mobius_tui.recovery.atomic import write_atomic
from mobius_tui.recovery.history import read_history
from mobius_tui.redaction import redacted, redacted_value
from mobius_tui.settings import shown_setting
from mobius_tui.system import clock
from mobius_tui.text import visible
from mobius_tui.workspace import Workspace

LOG_BYTES = 400_000
"""Of each log the last so many bytes are taken."""

RUN_LOGS = 5
"""The newest run logs are taken, beside the service log."""


def write_bundle(ws: Workspace, findings: Sequence[Finding]) -> Path:
    """Write the archive into the folder of the logs.

    Args:
        ws: The workspace.
        findings: What the doctor found.

    Returns:
        The file, readable by its owner alone.

    Raises:
        EnvironmentFailed: It cannot be written.
    """
    at = clock.now()
    path = ws.logs / f"doctor-{clock.stamp(at)}.tar.gz"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in _parts(ws, findings):
            data = text.encode("utf-8", "backslashreplace")
            member = tarfile.TarInfo(f"{path.name.removesuffix('.tar.gz')}/{name}")
            member.size, member.mtime, member.mode = len(data), int(at), 0o600
            archive.addfile(member, io.BytesIO(data))
    try:
        ws.logs.mkdir(parents=True, exist_ok=True)
        write_atomic(path, [packed.getvalue()], mode=0o600)
    except OSError as error:
        raise EnvironmentFailed(
            f"the archive cannot be written: {error.strerror}",
            where=visible(str(path)),
            fix="check owner, mode and free space of the logs folder",
        ) from error
    return path


def _parts(ws: Workspace, findings: Sequence[Finding]) -> Iterator[tuple[str, str]]:
    yield "findings.json", _json([asdict(finding) for finding in findings])
    values = asdict(ws.settings)
    settings = {
        name: {"value": shown_setting(name, value), "source": ws.sourced.sources[name]}
        for name, value in values.items()
    }
    yield "settings.json", _json(settings)
    yield "versions.json", _json(_versions())
    yield "status.json", _json(read_status(ws).to_json())
    try:
        yield "history.json", _json(read_history(ws.state))
    except OSError as error:
        yield "history.json", _json({"error": str(error)})
    for path in _logs(ws):
        yield f"logs/{path.name}", redacted(_end_of(path))


def _json(value: object) -> str:
    plain = json.loads(json.dumps(value, default=str))
    return json.dumps(redacted_value(plain), indent=1) + "\n"


def _versions() -> dict[str, object]:
    packages = {}
    for name in ("Pillow", "pillow-heif", "numpy", "imagehash", "textual", "rich", "click", "watchdog", "aiohttp"):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "mobius": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": packages,
    }


def _logs(ws: Workspace) -> list[Path]:
    """The service log, what the worker printed, and the newest run logs."""
    fixed = [ws.logs / "service.log", ws.logs / "worker.out"]
    runs = [path for path in ws.logs.glob("*.log") if path not in fixed] if ws.logs.is_dir() else []
    runs.sort(key=lambda path: path.stat().st_mtime if path.exists() else 0.0, reverse=True)
    return [path for path in (*fixed, *runs[:RUN_LOGS]) if path.is_file()]


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_BYTES))
            data = file.read()
    except OSError as error:
        return f"cannot be read: {error.strerror}\n"
    # a first line that was cut would not be JSON
    return (data.partition(b"\n")[2] if size > LOG_BYTES else data).decode("utf-8", "backslashreplace")
